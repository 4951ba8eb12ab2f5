//! Process 1 of a board: `friendlet init`, as described in `docs/init.md`.
//!
//! In an initramfs with `friendlet.root=` on the kernel command line, `root` mounts that root and
//! becomes its `/sbin/init`. Otherwise `bring_up` mounts the other file systems, and `main_loop`
//! starts the server and supervises it until the board ends.
//!
//! `data` mounts, checks and restores the data, with `repair` and `backup`.
//! `supervisor` decides, without system calls. Pure functions parse the command line, the list of
//! modules, the boot state and the notifications of the server. The process has one thread and no
//! executor; a second thread loads the modules of devices or writes a file, and ends. It never exits, because the kernel panics when process 1 exits.

mod backup;
mod boot_state;
mod bring_up;
mod clock;
mod command_line;
mod data;
mod devices;
mod due_write;
mod hotplug;
mod main_loop;
mod modules;
mod notification;
mod repair;
mod root;
mod seed;
mod supervisor;

use core::time::Duration;
use std::path::Path;
use std::process::ExitCode;

use self::command_line::CommandLine;
use crate::config::{CONFIRM_TIME, DeviceRules, GOOD_TIME, Network, SETTLE_TIME_MAX};
use crate::log::console::{error, info, warning};
use crate::log::{Reason, print};
use crate::sys::{file, machine as system};

crate::limits::limits! {
    /// Kernel command line.
    COMMAND_LINE_BYTES: usize = 4096, exceeded "logged as an error; init uses an empty one",
        tests ["line_over_its_limit_is_rejected"];
    /// List of kernel modules.
    MODULES_BYTES: usize = 16 * 1024, exceeded "logged as an error; no module is loaded",
        tests ["list_over_its_limit_is_rejected"];
    /// Aliases of devices without a driver that are searched for at once.
    ALIASES_BYTES: usize = 8192, exceeded "the rest is searched for in another pass",
        tests ["aliases_over_their_buffer_take_another_pass"];
    /// Line of the tables of modules.
    MODULE_LINE_BYTES: usize = 4096, exceeded "the line has no effect",
        tests ["dependencies_and_lines_over_their_limits_are_left_out"];
    /// Modules that one module needs.
    MODULE_DEPENDENCIES: usize = 32, exceeded "the rest is not loaded",
        tests ["dependencies_and_lines_over_their_limits_are_left_out"];
    /// Event of the kernel about a device; its own buffer has 2 KiB and the path.
    UEVENT_BYTES: usize = 4096, fixed "the kernel sends no longer event";
    /// Events about devices that are handled before other events.
    UEVENTS_AT_ONCE: usize = 64, fixed "the next iteration handles the rest";
    /// Memory of the files in `/run`.
    RUN_BYTES: usize = 1024 * 1024, fixed "the kernel refuses more: ENOSPC";
    /// Memory of the files in `/tmp` and `/dev/shm`.
    TMP_BYTES: usize = 8 * 1024 * 1024, fixed "the kernel refuses more: ENOSPC";
    /// Memory of the files in `/data` without a data partition.
    SPARE_DATA_BYTES: usize = 4 * 1024 * 1024, fixed "the kernel refuses more: ENOSPC";
    /// Consecutive short runs of the server.
    SHORT_RUNS: u8 = 5, exceeded "the slot fails its test",
        tests ["short_runs_give_up_a_slot_that_has_another_one"];
    /// Time for a disk to appear.
    DEVICE_TIMEOUT: Duration = Duration::from_secs(20),
        fixed "the time that init gives to `wait_for`, which is tested with any time";
    /// Time that a message stays on the console before a board without a root restarts.
    ROOT_FAILURE_PAUSE: Duration = Duration::from_secs(5), fixed "a pause: a restart follows";
    /// Pause between two attempts to mount the data.
    DATA_RETRY_PAUSE: Duration = Duration::from_secs(1), fixed "a pause: one attempt follows";
    /// Time from a start of the server to `READY=1`; of a slot in test, all starts together.
    READY_TIMEOUT: Duration = Duration::from_secs(120),
        exceeded "the server is killed, or the slot fails its test",
        tests [
            "server_is_killed_when_it_is_not_ready_in_time",
            "tested_slot_has_one_ready_timeout_for_all_starts"
        ];
    /// Time from the first `READY=1` of a slot in test to its being marked good, all starts together. The server has
    /// shorter times of its own.
    GOOD_TIMEOUT: Duration = Duration::from_secs(90 * 60), exceeded "the slot fails its test",
        tests ["tested_slot_that_serves_has_to_be_marked_good"];
    /// Time between two heartbeats of the server.
    HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(10),
        exceeded "the watchdog is not fed, or the server is killed",
        tests [
            "watchdog_is_fed_while_the_server_has_a_heartbeat",
            "silent_server_is_killed_without_a_watchdog"
        ];
    /// Time for the hardware watchdog to reset a board whose server has no heartbeat.
    WATCHDOG_TIMEOUT: Duration = Duration::from_secs(180), exceeded "the server is killed",
        tests ["server_is_killed_when_the_watchdog_does_not_reset"];
    /// Time from SIGKILL for the server to its exit.
    REAP_TIMEOUT: Duration = Duration::from_secs(60), exceeded "the board restarts",
        tests ["killed_server_that_is_not_reaped_restarts_the_board"];
    /// Time from SIGTERM to SIGKILL for the processes that are left at the shutdown of the board.
    TERMINATE_TIMEOUT: Duration = Duration::from_secs(2), exceeded "they are killed",
        tests ["shutdown_runs_in_order", "shutdown_of_the_board_is_bounded"];
    /// Time that a server may ask for to shut down.
    STOP_TIME_MAX: Duration = Duration::from_secs(3600), exceeded "this time counts",
        tests ["stop_time_of_the_server_counts_up_to_its_limit"];
    /// `/data/clock`.
    CLOCK_FILE_BYTES: usize = 32, exceeded "the file counts as empty",
        tests ["clock_file_up_to_its_limit_is_read"];
    /// Time between two writes of `/data/clock`, and of the seed, while the board runs.
    SAVE_INTERVAL: Duration = Duration::from_secs(24 * 3600), exceeded "the file is written",
        tests ["file_is_written_once_an_interval"];
    /// Pause before such a file is written again while a thread still writes it.
    SAVE_RETRY: Duration = Duration::from_secs(1), exceeded "the next attempt",
        tests ["write_under_way_delays_the_next_one"];
    /// Time from the start of a board without a seed to the first attempt to store one, and between two attempts.
    SEED_DELAY: Duration = Duration::from_secs(60), exceeded "the seed is stored",
        tests ["first_seed_is_stored_once_the_kernel_has_random_numbers"];
    /// Seed of an image that is mixed in.
    IMAGE_SEED_BYTES: usize = 512, exceeded "logged as a warning; it is not used",
        tests ["seed_of_an_image_is_mixed_in_up_to_its_limit"];
    /// Number of a board or of its disk, as a file of the kernel has it.
    IDENTITY_BYTES: usize = 256, exceeded "the rest is not read",
        tests ["identity_is_that_of_board_and_disk"];
    /// Time from a change of configuration, users or identity to its write to the backup, so that several are one.
    BACKUP_DELAY: Duration = Duration::from_secs(1), exceeded "the backup is written",
        tests ["change_is_written_after_the_delay_and_the_pause"];
    /// Time between two writes of the backup.
    BACKUP_PAUSE: Duration = Duration::from_secs(10), exceeded "the backup is written",
        tests ["change_is_written_after_the_delay_and_the_pause"];
    /// Check or repair of the data partition.
    REPAIR_TIMEOUT: Duration = Duration::from_secs(300), exceeded "the program is killed; the data are mounted as they are",
        tests ["repair_is_killed_after_its_time_and_the_watchdog_is_fed_meanwhile"];
    /// Pause between two looks for its end.
    REPAIR_STEP: Duration = Duration::from_millis(20), exceeded "the next look",
        tests ["repair_is_killed_after_its_time_and_the_watchdog_is_fed_meanwhile"];
    /// Time between two writes to the hardware watchdog.
    FEED_INTERVAL: Duration = Duration::from_secs(1), exceeded "the watchdog is fed",
        tests ["watchdog_is_fed_once_an_interval"];
}

const _: () = assert!(
    WATCHDOG_TIMEOUT.as_secs() > HEARTBEAT_TIMEOUT.as_secs(),
    "the watchdog resets the board before init kills a server without a heartbeat"
);

const _: () = assert!(
    GOOD_TIMEOUT.as_secs() > SETTLE_TIME_MAX.as_secs() + GOOD_TIME.as_secs() + CONFIRM_TIME.as_secs(),
    "the server decides about a slot before init does"
);

const _: () = assert!(crate::sys::ALIAS_BYTES < ALIASES_BYTES, "one alias alone has room");

const COMMAND_LINE: &str = "/proc/cmdline";
const MODULES: &str = "/etc/friendlet/modules";
/// Directory of the modules.
const MODULES_DIRECTORY: &str = "/lib/modules";
const WATCHDOG: &str = "/dev/watchdog";
/// State directory of the server.
pub const STATE_DIRECTORY: &str = "/data/state";
const CLOCK_FILE: &str = "/data/clock";
const SEED_FILE: &str = "/data/state/seed";
const IMAGE_SEED: &str = "/data/seed";
const CONFIG_FILE: &str = "/data/friendlet.toml";
/// `EX_USAGE` of sysexits(3).
const USAGE: u8 = 64;

/// Tables of the configuration file that init reads.
#[derive(Debug)]
pub struct Settings {
    /// `[network]`.
    pub network: Option<Network>,
    /// Each `[[device]]`.
    pub devices: DeviceRules,
}

/// Runs process 1. It never returns there; any other process gets a usage error.
///
/// `read_settings` reads a configuration file by the rules of the server.
pub fn run(read_settings: fn(&Path) -> Settings) -> ExitCode {
    if !system::is_first_process() {
        print(format_args!(
            "friendlet init: this is process {}, but only the first process can be init; \
             run the server on this machine with 'friendlet serve'\n",
            std::process::id()
        ));
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
        _ => main_loop::run(&line, read_settings),
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
