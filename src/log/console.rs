//! The same macros for what a person at the board has to read: text on standard error in every build.
//!
//! Who uses them is a rule of modules: process 1 and what runs in it (`init`, `sys::machine`,
//! `sys::network`), and what the server says before it serves (`serve::identity`, `cli`). They take
//! any format that `format_args!` takes. A server that keeps its log has these lines there, too.

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

/// Tells that something that should work did not.
#[macro_export]
macro_rules! console_error { ($($argument:tt)+) => { $crate::console_at!(Error, $($argument)+) }; }
/// Tells what somebody may want to look at.
#[macro_export]
macro_rules! console_warning { ($($argument:tt)+) => { $crate::console_at!(Warn, $($argument)+) }; }
/// Tells what is done for the owner.
#[macro_export]
macro_rules! console_info { ($($argument:tt)+) => { $crate::console_at!(Info, $($argument)+) }; }
/// Tells the details.
#[macro_export]
macro_rules! console_debug { ($($argument:tt)+) => { $crate::console_at!(Debug, $($argument)+) }; }
