//! The log: four macros and a text sink.
//!
//! The macros take positional arguments only (`{}`, `{:?}`, `{:02x}`), no inline `{name}`, so that
//! a binary sink can stand behind the same lines. A line is formatted on the stack, cut at
//! [`LOG_LINE_BYTES`](crate::limits::LOG_LINE_BYTES), and written to standard error in one write. What is below the level in force is
//! not formatted. Nothing secret is ever logged: no password, no session id, no request body.

mod rate;
mod text;

pub use rate::RateLimit;
pub use text::{level, set_level, write_line};

/// How much a line matters; the device file's `[log] level` sets what is written.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub enum Level {
    /// Nothing is written.
    Off = 0,
    /// Something that should work did not.
    Error = 1,
    /// Somebody may want to look.
    Warn = 2,
    /// What the server does for its owner: starts, stops, logins.
    Info = 3,
    /// What single connections do.
    Debug = 4,
}

impl Level {
    /// The level of this name in the device file.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "off" => Self::Off,
            "error" => Self::Error,
            "warn" => Self::Warn,
            "info" => Self::Info,
            "debug" => Self::Debug,
            _ => return None,
        })
    }

    /// Name in the device file and in a log line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

/// Logs at a level given by its variant's name.
#[macro_export]
macro_rules! log_at {
    ($level:ident, $($argument:tt)+) => {
        if $crate::log::Level::$level <= $crate::log::level() {
            $crate::log::write_line($crate::log::Level::$level, module_path!(), format_args!($($argument)+));
        }
    };
}

/// Logs that something that should work did not.
#[macro_export]
macro_rules! error { ($($argument:tt)+) => { $crate::log_at!(Error, $($argument)+) }; }
/// Logs what somebody may want to look at.
#[macro_export]
macro_rules! warning { ($($argument:tt)+) => { $crate::log_at!(Warn, $($argument)+) }; }
/// Logs what the server does for its owner.
#[macro_export]
macro_rules! info { ($($argument:tt)+) => { $crate::log_at!(Info, $($argument)+) }; }
/// Logs what single connections do.
#[macro_export]
macro_rules! debug { ($($argument:tt)+) => { $crate::log_at!(Debug, $($argument)+) }; }
