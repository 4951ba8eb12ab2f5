//! `friendlet check`.

use std::path::Path;
use std::process::ExitCode;

use super::budget::Budget;
use super::load::Loaded;
use super::{load, print, refuse};
use crate::service::BoardEnd;

/// Reports all errors of a configuration file, or the memory that a server with it uses at most.
pub(super) fn run(file: Option<&Path>) -> ExitCode {
    match load::load(file) {
        Ok(loaded) => {
            // Counted as 0 where the size of the program is unknown.
            let program = std::fs::metadata("/proc/self/exe").map_or(0, |file| file.len());
            let budget = Budget::new(&loaded.config, usize::try_from(program).unwrap_or(usize::MAX));
            let Loaded { config, source, .. } = &loaded;
            let warnings: String =
                config.without_board_end().map(|(name, end)| warning(source, name, end)).collect();
            print(&format!("{source}: ok\n{warnings}\n{budget}"))
        }
        Err(error) => refuse(&error),
    }
}

/// Warning about a service whose end ends the board where only `friendlet init` can.
fn warning(source: &str, name: &str, end: BoardEnd) -> String {
    let end = end.name();
    format!(
        "{source}: warning: {name}: {end} after its end needs friendlet init, because [board] has no {end}\n"
    )
}
