//! Process 1 of a board: `friendlet init`, as described in `docs/init.md`.
//!
//! In an initramfs with `friendlet.root=` on the kernel command line, `root` mounts that root and
//! becomes its `/sbin/init`. Otherwise `bring_up` mounts the other file systems, and `main_loop`
//! starts the server and supervises it until the board ends.
//!
//! `supervisor` decides, without system calls. Pure functions parse the command line, the list of
//! modules, the boot state and the notifications of the server. The process has one thread and no
//! executor. It never exits, because the kernel panics when process 1 exits.

mod boot_state;
mod bring_up;
mod command_line;
mod main_loop;
mod modules;
mod notification;
mod root;
mod supervisor;

use std::path::Path;
use std::process::ExitCode;

use self::command_line::CommandLine;
use crate::config::Network;
use crate::limits::{COMMAND_LINE_BYTES, MODULES_BYTES};
use crate::log::Reason;
use crate::log::console::{error, info, warning};
use crate::sys::file;
use crate::sys::machine as system;

const COMMAND_LINE: &str = "/proc/cmdline";
const MODULES: &str = "/etc/friendlet/modules";
/// Directory of the modules.
const MODULES_DIRECTORY: &str = "/lib/modules";
const WATCHDOG: &str = "/dev/watchdog";
const STATE_DIRECTORY: &str = "/data/state";
const CLOCK_FILE: &str = "/data/clock";
const CONFIG_FILE: &str = "/data/friendlet.toml";
/// `EX_USAGE` of sysexits(3).
const USAGE: u8 = 64;

/// Runs process 1. It never returns there; any other process gets a usage error.
///
/// `read_network` returns `[network]` of a configuration file, by the rules of the server.
pub fn run(read_network: fn(&Path) -> Option<Network>) -> ExitCode {
    if !system::is_first_process() {
        eprintln!(
            "friendlet init: this is process {}, but only the first process can be init; \
             run the server on this machine with 'friendlet serve'",
            std::process::id()
        );
        return ExitCode::from(USAGE);
    }
    let kernel = system::mount_kernel();
    // Without a console the error cannot be shown.
    let _ = system::redirect_to_console();
    crate::log::set_level(crate::log::Level::Info);
    info!("friendlet {} is process 1", env!("CARGO_PKG_VERSION"));
    if let Err(error) = kernel {
        error!("{}", error);
    }
    let text = file::read_text(Path::new(COMMAND_LINE), COMMAND_LINE_BYTES).unwrap_or_else(|error| {
        error!("cannot read the kernel command line: {}", error);
        String::new()
    });
    let line = CommandLine::parse(&text);
    load_modules();
    match line.root {
        Some(device) if system::is_initramfs() => root::enter(device, &line),
        _ => main_loop::run(&line, read_network),
    }
}

/// Loads the listed modules in order. A failure is logged and skipped: another kernel may have the
/// module built in, or this board may lack its device.
fn load_modules() {
    let text = match file::read_text(Path::new(MODULES), MODULES_BYTES) {
        Ok(text) => text,
        Err(error) if error.is_missing() => return,
        Err(error) => {
            error!("cannot read the list of modules: {}", error);
            return;
        }
    };
    let (mut loaded, mut failed) = (0, 0);
    for module in modules::parse(&text) {
        let path = Path::new(MODULES_DIRECTORY).join(module.file);
        match system::load_module(&path, module.parameters) {
            Ok(()) => loaded += 1,
            Err(error) => {
                failed += 1;
                warning!("cannot load module {}: {}", module.file, Reason::from(&error));
            }
        }
    }
    info!("{} kernel modules loaded, {} failed", loaded, failed);
}
