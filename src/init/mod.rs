//! PID 1 of a board: `friendlet init`.
//!
//! Two lives, told in `docs/init.md`. In an initramfs with `friendlet.root=` on the kernel command
//! line, `root` loads the modules, mounts that root and becomes its `/sbin/init`. Otherwise
//! `board` mounts the rest, starts the server and looks after it until the board ends.
//!
//! What is to be done when is decided by `keeper`, which is sans-IO like all below it: the command
//! line, the list of modules, the boot state and the server's messages are read by pure functions.
//! The process is one thread without an executor. It never returns: the kernel panics when PID 1
//! ends.

mod board;
mod boot_state;
mod command_line;
mod keeper;
mod message;
mod modules;
mod root;

use std::path::Path;
use std::process::ExitCode;

use self::command_line::CommandLine;
use crate::config::Network;
use crate::limits::{COMMAND_LINE_BYTES, MODULES_BYTES};
use crate::log::console::{error, info, warning};
use crate::sys::file;
use crate::sys::machine as system;

const COMMAND_LINE: &str = "/proc/cmdline";
const MODULES: &str = "/etc/friendlet/modules";
/// The list names them relative to this.
const MODULES_FOLDER: &str = "/lib/modules";
/// sysexits' `EX_USAGE`.
const USAGE: u8 = 64;

/// Brings the board up and keeps it up, for ever. As any other process than the first one it refuses.
/// `read_network` reads the `[network]` of a device file, by the rules of the server.
pub fn run(read_network: fn(&Path) -> Option<Network>) -> ExitCode {
    if !system::is_first_process() {
        eprintln!(
            "friendlet init: this is process {}, and only the kernel's first process can be init; \
             to run the server on this machine, say 'friendlet serve'",
            std::process::id()
        );
        return ExitCode::from(USAGE);
    }
    let kernel = system::mount_kernel();
    // Without a console there is nobody to tell.
    let _ = system::open_console();
    crate::log::set_level(crate::log::Level::Info);
    info!("friendlet {} is process 1", env!("CARGO_PKG_VERSION"));
    if let Err(error) = kernel {
        error!("the kernel's own file systems: {}", error);
    }
    let text = file::read_text(Path::new(COMMAND_LINE), COMMAND_LINE_BYTES).unwrap_or_else(|error| {
        error!("the kernel's command line: {}", error);
        String::new()
    });
    let line = CommandLine::read(&text);
    load_modules();
    match line.root {
        Some(device) if system::is_initramfs() => root::enter(device, &line),
        _ => board::run(&line, read_network),
    }
}

/// Loads what the list names, in its order. What cannot be loaded is told and passed over: another
/// kernel may have it built in, or its device is not on this board.
fn load_modules() {
    let text = match file::read_text(Path::new(MODULES), MODULES_BYTES) {
        Ok(text) => text,
        Err(error) if error.is_missing() => return,
        Err(error) => {
            error!("the list of modules: {}", error);
            return;
        }
    };
    let (mut loaded, mut failed) = (0, 0);
    for module in modules::read(&text) {
        let path = Path::new(MODULES_FOLDER).join(module.file);
        match system::load_module(&path, module.parameters) {
            Ok(()) => loaded += 1,
            Err(error) => {
                failed += 1;
                warning!("module {}: {}", module.file, error);
            }
        }
    }
    info!("{} kernel modules loaded, {} not", loaded, failed);
}
