//! Capacities of the board built for, and the macro that defines every limit.
//!
//! The capacities come from `[limits]` of `boards/base.toml` and of the board's `board.toml`, through
//! `build.rs`; the configuration file may lower `slots` and raise nothing. A time or size of one module
//! stands in that module, in a `limits!` block: the constant, the line of `friendlet limits`, the row
//! of `docs/limits.md` and the tests that hold it are one definition. The assertions at the end relate
//! the capacities: a board that breaks one does not build.

use core::time::Duration;

/// A limit: a line of `friendlet limits` and a row of `docs/limits.md`.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// Name of its constant.
    pub name: &'static str,
    /// Value of its constant.
    pub value: Value,
    /// Doc comment of its constant: the limited item.
    pub about: &'static str,
    /// Enforcement, with its tests.
    pub bound: Bound,
}

/// Value of a limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// A size or a count.
    Number(u64),
    /// A time.
    Time(Duration),
}

/// Enforcement of a limit.
#[derive(Clone, Copy, Debug)]
pub enum Bound {
    /// Effect of exceeding it; the test that meets it and the one that exceeds it, or one test that does
    /// both. A test is named by its function, with as much of its path as makes the name unique.
    Exceeded(&'static str, &'static [&'static str]),
    /// Reason why nothing can exceed it.
    Fixed(&'static str),
}

/// Defines the limits of a module: a constant each, and `LIMITS`, their table.
///
/// ```text
/// limits! {
///     /// Request head, upgrade included.
///     HEAD_TIMEOUT: Duration = Duration::from_secs(10), exceeded "answered 408",
///         tests ["head_in_time_is_answered", "late_head_is_rejected"];
///     /// Longest WebSocket frame header (RFC 6455, 5.2).
///     FRAME_HEADER_BYTES: usize = 14, fixed "RFC 6455 has no longer header";
/// }
/// ```
macro_rules! limits {
    (@value Duration $name:ident) => { $crate::limits::Value::Time($name) };
    (@value $integer:tt $name:ident) => { $crate::limits::Value::Number($name as u64) };
    (@bound exceeded $outcome:literal [$($test:literal),+]) => {
        $crate::limits::Bound::Exceeded($outcome, &[$($test),+])
    };
    (@bound fixed $reason:literal) => { $crate::limits::Bound::Fixed($reason) };
    ($(
        $(#[doc = $about:literal])+
        $name:ident: $type:tt = $value:expr, $bound:ident $text:literal $(, tests $tests:tt)?;
    )+) => {
        $(
            $(#[doc = $about])+
            pub const $name: $type = $value;
        )+
        /// The limits of this module.
        pub const LIMITS: &[$crate::limits::Limit] = &[$(
            $crate::limits::Limit {
                name: stringify!($name),
                value: $crate::limits::limits!(@value $type $name),
                about: concat!($($about),+),
                bound: $crate::limits::limits!(@bound $bound $text $($tests)?),
            }
        ),+];
    };
}
pub(crate) use limits;

include!(concat!(env!("OUT_DIR"), "/limits.rs"));

/// Name of the board built for.
pub const BOARD: &str = env!("FRIENDLET_BOARD");
/// Target triple built for.
pub const TARGET: &str = env!("FRIENDLET_TARGET");
/// Built-in default configuration file, used when the file at the default path is missing.
pub const BOARD_FILE: &str = include_str!(concat!(env!("OUT_DIR"), "/friendlet.toml"));

const _: () = {
    assert!(SLOTS >= 2, "slots: one is kept for an administrator, so two are needed");
    assert!(SLOTS <= 4096, "slots: at most 4096");
    assert!(MESSAGE_BYTES >= 1024, "message_bytes: an upgrade and a login need 1024");
    assert!(PATH_BYTES < HEAD_BYTES, "path_bytes: must be less than head_bytes");
    assert!(REQUEST_ID_BYTES * 6 + 256 < REPLY_BYTES, "reply_bytes: must hold an escaped requestid");
    assert!(
        REQUEST_ID_BYTES >= 36 && CHUNK_ID_BYTES >= 36,
        "request_id_bytes, chunk_id_bytes: Friend Core's web client makes ids of 36"
    );
    assert!(SERVICES <= 64, "services: at most 64, one bit each of the pending pushes");
    assert!(CHECKS <= 64, "checks: at most 64");
    assert!(USERS <= 254 && TOKENS <= 255, "users: at most 254, tokens: at most 255");
    assert!(SESSIONS <= 65_535, "sessions: at most 65535");
    assert!(CHUNK_PARTS <= 255 && CHUNK_SETS <= 255, "chunk_parts, chunk_sets: at most 255");
};
