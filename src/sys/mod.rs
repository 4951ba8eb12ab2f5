//! The operating system.

pub mod file;
pub mod password;
pub mod random;
pub mod terminal;
