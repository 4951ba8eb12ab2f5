//! `friendlet check`.

use std::path::Path;
use std::process::ExitCode;

use super::budget::Budget;
use super::load::Loaded;
use super::{load, print, refuse};

/// Reports all errors of a configuration file, or the memory that a server with it uses at most.
pub(super) fn run(file: Option<&Path>) -> ExitCode {
    match load::load(file) {
        Ok(loaded) => {
            // Counted as 0 where the size of the program is unknown.
            let program = std::fs::metadata("/proc/self/exe").map_or(0, |file| file.len());
            let budget = Budget::new(&loaded.config, usize::try_from(program).unwrap_or(usize::MAX));
            let Loaded { config, source, .. } = &loaded;
            let warnings: String = config.without_reboot().map(|name| warning(source, name)).collect();
            print(&format!("{source}: ok\n{warnings}\n{budget}"))
        }
        Err(error) => refuse(&error),
    }
}

/// Warning about a service that restarts the board where only `friendlet init` can.
fn warning(source: &str, name: &str) -> String {
    format!("{source}: warning: {name}: on_failure needs friendlet init, because [board] has no reboot\n")
}
