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

use core::time::Duration;
use std::path::Path;
use std::process::ExitCode;

use self::command_line::CommandLine;
use crate::config::Network;
use crate::log::console::{error, info, warning};
use crate::sys::file;
use crate::sys::machine as system;

crate::limits::limits! {
    /// Kernel command line.
    COMMAND_LINE_BYTES: usize = 4096, exceeded "logged as an error; init uses an empty one",
        tests ["line_is_read_to_its_limit_and_no_further"];
    /// List of kernel modules.
    MODULES_BYTES: usize = 16 * 1024, exceeded "logged as an error; no module is loaded",
        tests ["list_is_read_to_its_limit_and_no_further"];
    /// Memory of the files in `/run`.
    RUN_BYTES: usize = 1024 * 1024, fixed "the kernel refuses more: ENOSPC";
    /// Memory of the files in `/tmp` and `/dev/shm`.
    TMP_BYTES: usize = 8 * 1024 * 1024, fixed "the kernel refuses more: ENOSPC";
    /// Memory of the files in `/data` without a data partition.
    SPARE_DATA_BYTES: usize = 4 * 1024 * 1024, fixed "the kernel refuses more: ENOSPC";
    /// Consecutive short runs of the server.
    SHORT_RUNS: u8 = 5, exceeded "the trial of a slot ends",
        tests ["short_runs_end_the_trial_of_a_slot_and_nothing_else"];
    /// Time for a disk to appear.
    DEVICE_TIMEOUT: Duration = Duration::from_secs(20),
        fixed "the time that init gives to `wait_for`, which is tested with any time";
    /// Time that a message stays on the console before a board without a root restarts.
    ROOT_FAILURE_PAUSE: Duration = Duration::from_secs(5), fixed "a pause: a restart follows";
    /// Pause between two attempts to mount the data.
    DATA_RETRY_PAUSE: Duration = Duration::from_secs(1), fixed "a pause: one attempt follows";
    /// Time for the server to serve; of a slot on trial, all its starts together.
    READY_TIMEOUT: Duration = Duration::from_secs(120), exceeded "the server is killed, or the slot given up",
        tests [
            "server_has_its_time_to_serve",
            "slot_on_trial_has_that_time_for_all_its_starts_and_is_given_up"
        ];
    /// Time of the server without a sign of life.
    SILENCE_TIMEOUT: Duration = Duration::from_secs(10),
        exceeded "the watchdog is not fed, or the server is killed",
        tests [
            "watchdog_is_fed_while_the_server_speaks_and_not_longer",
            "silent_server_is_killed_where_there_is_no_watchdog"
        ];
    /// Time for the hardware watchdog to reset a board with a silent server.
    RESET_TIMEOUT: Duration = Duration::from_secs(180), exceeded "the server is killed",
        tests ["watchdog_that_does_not_reset_has_its_time"];
    /// Time for a killed server to end.
    VANISH_TIMEOUT: Duration = Duration::from_secs(60), exceeded "the board restarts",
        tests ["killed_server_that_does_not_vanish_ends_the_board"];
    /// Time for processes that the server left to end when the board does.
    LEFTOVER_TIMEOUT: Duration = Duration::from_secs(2), exceeded "they are killed",
        tests ["board_ends_in_order", "end_of_the_board_is_bounded"];
    /// Time between two writes to the hardware watchdog.
    FEED_INTERVAL: Duration = Duration::from_secs(1), exceeded "the watchdog is fed",
        tests ["watchdog_is_not_fed_more_often_than_it_has_to_be"];
}

const _: () = assert!(
    RESET_TIMEOUT.as_secs() > SILENCE_TIMEOUT.as_secs(),
    "the watchdog resets a silent board before init kills the server"
);

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
