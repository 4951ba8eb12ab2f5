//! `friendlet check`.

use std::path::Path;
use std::process::ExitCode;

use super::budget::Budget;
use super::{load, print, refuse};

/// Tells what is wrong with a device file, or that it is right and what memory it can take.
pub(super) fn run(file: Option<&Path>) -> ExitCode {
    match load::load(file) {
        Ok((config, origin)) => {
            // Where it cannot be told, the program does not count.
            let program = std::fs::metadata("/proc/self/exe").map_or(0, |file| file.len());
            let budget = Budget::new(&config, usize::try_from(program).unwrap_or(usize::MAX));
            print(&format!("{origin}: ok\n\n{budget}"))
        }
        Err(error) => refuse(&error),
    }
}
