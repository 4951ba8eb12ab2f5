//! Log: four macros, two sinks, a ring buffer.
//!
//! A build for a workstation writes lines, each with the time of day. It is formatted on the stack, cut at
//! [`LOG_LINE_BYTES`], and written to standard error: directly, or after [`attach`] by a thread for
//! it, so that no other waits for the descriptor. A build for a device (feature `defmt`) keeps the format
//! strings out of the binary: a record is the index of its string, the time and the arguments, and
//! `cargo xtask log` turns it into the same line. After [`enable`] the newest records are in a
//! [ring buffer](Ring), the source of log files and of `board/log`.
//!
//! The macros accept a literal whose placeholders are all `{}`, and up to four arguments. A value
//! without `Display` is logged by its number or name. [`console`] has the same macros for messages on a
//! board's console, in text in every build. Records below the level in force are not formatted. A record with an
//! argument whose `Display` fails is left out: a [`Subject`] over its limit. The
//! log never contains a secret: no password, no session id, no request body.

pub mod audit;
mod batch;
mod buffer;
mod clock;
pub mod console;
pub(crate) mod errno;
#[cfg(feature = "defmt")]
pub mod frames;
mod level;
mod line;
mod line_queue;
mod rate;
mod reason;
mod ring;
mod stderr;
#[cfg(test)]
pub(crate) mod test_process;
mod text;

use core::time::Duration;

pub use audit::Word;
pub use batch::Batch;
pub use buffer::{
    Chunk, copy, enable, has_unwritten, is_dirty, is_enabled, mark_persisted, mark_written, since, tail,
    take_lost,
};
pub use clock::{ClockSample, StepWatch, header, sample_clock};
pub use level::{Level, level, set_level};
pub use line::is_harmful;
pub use rate::{RateLimit, Subject, SubjectLimit, Suppressed};
pub use reason::Reason;
pub use ring::{RECORD_END, Ring};
pub use stderr::{attach, discard, fill, is_attached, never_wait, print};
pub use text::write_line;

use crate::limits::LOG_RING_BYTES;

crate::limits::limits! {
    /// Text of one log line, and of one argument of a record.
    LOG_LINE_BYTES: usize = 512, exceeded "cut", tests ["line_up_to_the_limit_is_whole", "long_line_is_cut"];
    /// Arguments of one record.
    LOG_ARGUMENTS: usize = 4, exceeded "the format does not compile", tests ["formats_of_both_forms"];
    /// Size of one log file unless configured.
    LOG_FILE_BYTES: usize = 64 * 1024, exceeded "the next file is started",
        tests ["defaults_are_those_of_the_limits"];
    /// Smallest `file_bytes`: the head and the longest record, with room to spare.
    LOG_FILE_BYTES_MIN: usize = 8 * 1024, exceeded "configuration error",
        tests ["numbers_of_the_file_stay_in_their_ranges"];
    /// Largest `file_bytes`.
    LOG_FILE_BYTES_MAX: usize = 16 * 1024 * 1024, exceeded "configuration error",
        tests ["numbers_of_the_file_stay_in_their_ranges"];
    /// Log files unless configured.
    LOG_FILES: usize = 4, exceeded "the oldest is removed", tests ["defaults_are_those_of_the_limits"];
    /// Largest `files`.
    LOG_FILES_MAX: usize = 16, exceeded "configuration error",
        tests ["numbers_of_the_file_stay_in_their_ranges"];
    /// Difference between two readings of the wall clock that is a step of it.
    LOG_CLOCK_STEP: Duration = Duration::from_secs(1), exceeded "a record, and a header in the log file",
        tests ["step_of_the_clock_is_found_once"];
    /// Run after which a start does not count as one of a crash loop: the log files go on as usual.
    LOG_YOUNG_RUN: Duration = Duration::from_secs(600), exceeded "a file of its own is begun",
        tests ["run_that_grows_older_begins_a_file"];
    /// Bytes of one write to a log file.
    LOG_WRITE_BYTES: usize = 4096, exceeded "the rest follows in the next",
        tests ["tick_writes_up_to_its_limit_and_lost_records_are_counted"];
    /// Log lines that wait until standard error accepts them; 16 KiB where the log is frames.
    STDERR_QUEUE_BYTES: usize = if cfg!(feature = "defmt") { 16 * 1024 } else { 64 * 1024 }, exceeded "the line is lost and counted, and the next line reports the count",
        tests ["queue_accepts_lines_up_to_its_limit"];
    /// Lines of the audit trail that wait for the disk.
    AUDIT_QUEUE_BYTES: usize = 8 * 1024, exceeded "the line is lost and counted, and the next line reports the count",
        tests ["line_has_words_alone_and_lost_ones_are_counted"];
    /// Lines of the audit trail that wait for a log server.
    AUDIT_RING_BYTES: usize = 8 * 1024, exceeded "the oldest are dropped; a message reports their number",
        tests ["newest_lines_wait_for_a_log_server_and_the_others_are_numbered"];
    /// Size of one file of the audit trail unless configured.
    AUDIT_FILE_BYTES: usize = 32 * 1024, exceeded "the next file is started",
        tests ["defaults_are_those_of_the_limits"];
    /// Bytes of one write to standard error: Linux' `PIPE_BUF`, which a pipe that is ready accepts at once.
    STDERR_WRITE_BYTES: usize = 4096, exceeded "the rest follows in the next",
        tests ["batch_is_as_long_as_its_limit_with_its_notice"];
    /// Head of a log file.
    LOG_HEAD_BYTES: usize = 256, exceeded "cut", tests ["longest_head_has_room"];
    /// Build id in hexadecimal, up to the length of a SHA-256.
    BUILD_ID_BYTES: usize = 64, exceeded "cut", tests ["build_id_is_as_long_as_its_limit_and_no_longer"];
    /// Records about one service, and about the sessions of users, within `log_subject_window`.
    LOG_SUBJECT_BURST: u32 = 40, exceeded "counted instead of logged; the last one before and the first one after report it",
        tests ["records_about_a_subject_up_to_the_limit_and_the_rest_is_counted"];
    /// Time over which `log_subject_burst` counts.
    LOG_SUBJECT_WINDOW: Duration = Duration::from_secs(600), exceeded "the count starts again",
        tests ["records_about_a_subject_up_to_the_limit_and_the_rest_is_counted"];
    /// Log lines of one kind within `log_window`.
    LOG_BURST: u32 = 5, exceeded "counted instead of logged", tests ["burst_is_acquired_and_the_rest_is_counted"];
    /// Time over which `log_burst` counts.
    LOG_WINDOW: Duration = Duration::from_secs(10), exceeded "the count starts again",
        tests ["burst_is_acquired_and_the_rest_is_counted"];
}

const _: () = {
    assert!(LOG_RING_BYTES >= 4096, "log_ring_bytes: must hold the longest record, and a few more");
    assert!(
        LOG_HEAD_BYTES + LOG_WRITE_BYTES <= LOG_FILE_BYTES_MIN,
        "a log file holds its head and one write"
    );
};

/// Form of the records of this build: `defmt` frames, or lines of `text`.
pub const FORM: &str = if cfg!(feature = "defmt") { "defmt" } else { "text" };

/// Returns true for a format that both forms of the log accept: every placeholder is `{}`, and there
/// are at most [`LOG_ARGUMENTS`].
pub const fn is_plain(format: &str) -> bool {
    let bytes = format.as_bytes();
    let (mut at, mut placeholders) = (0, 0);
    while at < bytes.len() {
        if bytes[at] == b'}' {
            return false;
        }
        if bytes[at] == b'{' {
            at += 1;
            if at == bytes.len() || bytes[at] != b'}' {
                return false;
            }
            placeholders += 1;
        }
        at += 1;
    }
    placeholders <= LOG_ARGUMENTS
}

/// Logs at a level given by its variant's name.
#[macro_export]
macro_rules! log_at {
    ($level:ident, $format:literal $(, $argument:expr)* $(,)?) => {
        if $crate::log::Level::$level <= $crate::log::level() {
            const { assert!($crate::log::is_plain($format), "every placeholder is {{}}, and there are at most four") };
            $crate::log_record!($level, $format $(, $argument)*);
        }
    };
}

/// Writes a record as a line.
#[cfg(not(feature = "defmt"))]
#[macro_export]
macro_rules! log_record {
    ($level:ident, $format:literal $(, $argument:expr)*) => {
        $crate::log::write_line($crate::log::Level::$level, module_path!(), format_args!($format $(, $argument)*))
    };
}

/// Writes a record as a frame.
#[cfg(feature = "defmt")]
#[macro_export]
macro_rules! log_record {
    (Error, $($rest:tt)+) => { $crate::log_frame!(error, $($rest)+) };
    (Warn, $($rest:tt)+) => { $crate::log_frame!(warn, $($rest)+) };
    (Info, $($rest:tt)+) => { $crate::log_frame!(info, $($rest)+) };
    (Debug, $($rest:tt)+) => { $crate::log_frame!(debug, $($rest)+) };
}

/// Writes a frame with a macro of defmt, numbers as numbers and all else as text.
#[cfg(feature = "defmt")]
#[macro_export]
macro_rules! log_frame {
    ($name:ident, $format:literal $(, $argument:expr)*) => {{
        #[allow(unused_imports, reason = "a record may have arguments of one kind, or none")]
        use $crate::log::frames::{NumberArg as _, TextArg as _};
        ::defmt::$name!($format $(, (&$crate::log::frames::Arg(&($argument))).argument())*)
    }};
}

/// Logs a failure of something that should work.
#[macro_export]
macro_rules! error { ($($argument:tt)+) => { $crate::log_at!(Error, $($argument)+) }; }
/// Logs a condition that an administrator may want to check.
#[macro_export]
macro_rules! warning { ($($argument:tt)+) => { $crate::log_at!(Warn, $($argument)+) }; }
/// Logs normal operation: starts, stops, logins.
#[macro_export]
macro_rules! info { ($($argument:tt)+) => { $crate::log_at!(Info, $($argument)+) }; }
/// Logs events of single connections.
#[macro_export]
macro_rules! debug { ($($argument:tt)+) => { $crate::log_at!(Debug, $($argument)+) }; }
/// Reports a broken invariant: a panic with debug assertions, otherwise an error in text, in every build.
#[macro_export]
macro_rules! internal_error {
    ($($argument:tt)+) => {{
        debug_assert!(false, $($argument)+);
        $crate::console_error!("internal error: {}", format_args!($($argument)+));
    }};
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_of_both_forms() {
        for plain in ["", "a", "{}", "a {} b {}: {}", &"{}".repeat(LOG_ARGUMENTS)] {
            assert!(is_plain(plain), "{plain}");
        }
        let too_many = "{}".repeat(LOG_ARGUMENTS + 1);
        for other in ["{:?}", "{0}", "{a}", "{", "}", "a {{}}", &too_many] {
            assert!(!is_plain(other), "{other}");
        }
    }
}
