//! `[board]`: programs that end the board where friendlet is not its init.

use heapless::String;

use super::diagnostics::Diagnostics;
use super::schema;
use super::section::Document;
use super::value::arguments;
use crate::limits::USER_NAME_BYTES;
use crate::service::Arguments;

/// Programs that end the board, each with its arguments; control groups and sandbox.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BoardCommands {
    /// Restarts it. Empty: none.
    pub reboot: Arguments,
    /// Switches it off. Empty: none.
    pub poweroff: Arguments,
    /// No control groups for the services.
    pub has_no_cgroups: bool,
    /// No sandbox for the server.
    pub has_no_sandbox: bool,
    /// User of the server in its sandbox, in place of root.
    pub user: String<USER_NAME_BYTES>,
}

/// `[board]`.
pub(super) fn commands(document: &Document<'_, '_>, diagnostics: &mut Diagnostics<'_>) -> BoardCommands {
    let section = document.section(&schema::BOARD, diagnostics);
    let command = |name| {
        let (_, Some(value)) = section.value(name, diagnostics) else {
            return Arguments::new();
        };
        // A wrong value is reported, and no configuration comes of the file.
        let argv = arguments(name, value, diagnostics).unwrap_or_default();
        // The search path at shutdown is not the administrator's.
        if argv.first().is_some_and(|program| !program.starts_with('/')) {
            let message = format_args!("{name}: expected the absolute path of a program");
            diagnostics.error(&value.span(), message);
        }
        argv
    };
    let [reboot, poweroff] = ["reboot", "poweroff"].map(command);
    let mut is_off = |name| !section.boolean(name, diagnostics);
    let (has_no_cgroups, has_no_sandbox) = (is_off("cgroups"), is_off("sandbox"));
    let user = section.bounded("user", diagnostics);
    BoardCommands { reboot, poweroff, has_no_cgroups, has_no_sandbox, user }
}
