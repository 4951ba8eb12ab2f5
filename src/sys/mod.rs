//! The operating system: the only place that calls it.

mod accounts;
mod clock;
mod enabled;
pub mod file;
pub mod password;
mod process;
pub mod random;
mod process;
pub mod random;
mod signal;
pub mod terminal;
