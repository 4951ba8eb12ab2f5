//! The same macros for messages on a board's console: text on standard error in every build.
//!
//! The rule is one of modules: process 1 and its code (`init`, `sys::machine`, `sys::network`), and
//! everything before the server serves (`serve::identity`, `cli`). The macros accept any format of
//! `format_args!`. An enabled ring buffer stores these lines too.

pub use crate::console_warning as warning;
pub use crate::{console_debug as debug, console_error as error, console_info as info};

/// Writes a line at a level given by its variant's name.
#[macro_export]
macro_rules! console_at {
    ($level:ident, $($argument:tt)+) => {
        if $crate::log::Level::$level <= $crate::log::level() {
            $crate::log::write_line($crate::log::Level::$level, module_path!(), format_args!($($argument)+));
        }
    };
}

/// Logs a failure of something that should work.
#[macro_export]
macro_rules! console_error { ($($argument:tt)+) => { $crate::console_at!(Error, $($argument)+) }; }
/// Logs a condition that an administrator may want to check.
#[macro_export]
macro_rules! console_warning { ($($argument:tt)+) => { $crate::console_at!(Warn, $($argument)+) }; }
/// Logs normal operation.
#[macro_export]
macro_rules! console_info { ($($argument:tt)+) => { $crate::console_at!(Info, $($argument)+) }; }
/// Logs details.
#[macro_export]
macro_rules! console_debug { ($($argument:tt)+) => { $crate::console_at!(Debug, $($argument)+) }; }
