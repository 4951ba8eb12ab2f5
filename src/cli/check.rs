//! `friendlet check`.

use std::path::Path;
use std::process::ExitCode;

use super::budget::Budget;
use super::{load, print, refuse};

/// Tells what is wrong with a device file, or that it is right and what memory it can take.
pub(super) fn run(file: Option<&Path>) -> ExitCode {
    match load::load(file) {
        Ok((config, origin)) => print(&format!("{origin}: ok\n\n{}", Budget::new(&config))),
        Err(error) => refuse(&error),
    }
}
