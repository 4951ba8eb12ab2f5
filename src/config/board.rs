//! `[board]` of the device file: how the machine is ended where friendlet is not its init.

use super::diagnostics::Report;
use super::section::Section;
use super::services::arguments;
use crate::service::Arguments;

/// The programs that end the board, each with its arguments.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BoardCommands {
    /// Starts it anew. Empty: there is none.
    pub reboot: Arguments,
    /// Switches it off. Empty: there is none.
    pub poweroff: Arguments,
}

/// `[board]`.
pub(super) fn commands(root: &Section<'_, '_>, report: &mut Report<'_>) -> BoardCommands {
    let section = root.section("board", "[board]", &["poweroff", "reboot"], report);
    let mut command = |key| {
        let Some(value) = section.value(key) else {
            return Arguments::new();
        };
        let argv = arguments(key, value, report).unwrap_or_default();
        // What is run last must not depend on where programs are looked for.
        if argv.first().is_some_and(|program| !program.starts_with('/')) {
            report.error(&value.span(), format_args!("{key}: expected the absolute path of a program"));
        }
        argv
    };
    BoardCommands { reboot: command("reboot"), poweroff: command("poweroff") }
}
