//! The black-box cases, against a booted board.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{BOOT, END, lab};
use crate::board::Board;
use crate::cargo::{cargo, executable};
use crate::left_out::{self, Condition};
use crate::machine::Qemu;
use crate::part::Part;
use crate::qemu::{Guest, GuestOptions, Storage};
use crate::{build, log, run};

/// Ports of the board for servers under test.
const PORTS: u16 = 8;
/// Tests at once: the board has one processor, and most tests wait.
const TEST_THREADS: &str = "4";
/// The cases that a server started on the board is asked, by the beginning of their names.
const CASES: [&str; 10] = [
    "system::reference_exchange::",
    "system::bad_input::",
    "system::cgroups::limits_",
    "system::cgroups::processor_",
    "system::commands::",
    "system::http::",
    "system::sandbox::",
    "system::services::",
    "system::stopping::",
    "system::tls::",
];
/// The cases of the whole gate alone: each vector is asked of a server of its own, which takes minutes, and half
/// an hour on a machine whose clock follows its instructions.
const LONG_CASES: [&str; 1] = ["vectors::over_tls"];

/// Boots the board, asks it everything and switches it off.
pub(crate) fn run(board: &Board, part: Part) -> Result<(), String> {
    println!("==> {}: the black-box cases", board.name);
    let tests = program(board);
    let (mut guest, took) = Guest::boot(board, BOOT, || Ok(options("suite")))?;
    println!("    serves {:.1} s after the start of QEMU", took.as_secs_f64());
    // The lab is a service, and comes after the server.
    lab::run(guest.port(lab::PORT), "true")?;

    let qemu = Qemu::of(board)?;
    let cases = ask(&tests, &guest, &["system::booted::asked::"]).and_then(|()| {
        let mut command = test_command(&tests, &guest);
        command.args(CASES);
        if part == Part::Whole && !qemu.counts_instructions {
            command.args(LONG_CASES);
        }
        command.args(["--test-threads", TEST_THREADS]);
        command.args(left_out::arguments(Some(Condition::Booted)));
        run::shown(&mut command)
    });
    // A board in distress is the better news.
    guest.verdict().expect(None)?;
    cases.map_err(|error| format!("{error}; serial log: {}", guest.serial_log().display()))?;

    switch_off(&tests, &mut guest)
}

/// Boots the board and measures it beside spinning services.
pub(super) fn run_spinning(board: &Board) -> Result<(), String> {
    println!("==> {}: beside spinning services", board.name);
    run_cases(board, &options("spinning"), &["system::spinning::"])
}

/// Options of a guest whose lab and servers under test are reached.
pub(super) fn options(name: &str) -> GuestOptions {
    GuestOptions {
        name: name.to_owned(),
        ports: (0..=PORTS).map(|port| lab::PORT + port).collect(),
        ..GuestOptions::default()
    }
}

/// Boots the board, runs the tests whose names begin with one of `cases`, and switches it off.
pub(super) fn run_cases(board: &Board, options: &GuestOptions, cases: &[&str]) -> Result<(), String> {
    let tests = program(board);
    let (mut guest, _) = Guest::boot(board, BOOT, || Ok(options.clone()))?;
    let result = ask(&tests, &guest, cases);
    // A board in distress is the better news.
    guest.verdict().expect(None)?;
    result.map_err(|error| format!("{error}; serial log: {}", guest.serial_log().display()))?;
    switch_off(&tests, &mut guest)
}

/// Boots `disk` with the clock chip at `date`, waits for these lines of init, and switches the board off.
pub(super) fn start_at(
    board: &Board,
    name: &str,
    disk: &Path,
    date: &'static str,
    lines: &[&str],
) -> Result<(), String> {
    let storage = Storage::File(disk.to_owned());
    let options = GuestOptions { storage, rtc: Some(date), ..options(name) };
    let (mut guest, _) = Guest::boot(board, BOOT, || Ok(options.clone()))?;
    for line in lines {
        guest.wait_serial(line, BOOT)?;
    }
    switch_off(&program(board), &mut guest)
}

/// Lets the board switch itself off.
pub(super) fn switch_off(tests: &Path, guest: &mut Guest) -> Result<(), String> {
    let mut command = test_command(tests, guest);
    run::shown(command.args(["--ignored", "--exact", "system::booted::board_switches_itself_off"]))?;
    guest.wait_end(END)?.expect(Some("guest-shutdown"))
}

/// Runs the tests whose names begin with one of `cases`, of the server that init started, one after the other.
pub(super) fn ask(tests: &Path, guest: &Guest, cases: &[&str]) -> Result<(), String> {
    let mut command = test_command(tests, guest);
    command.args(["--ignored", "--test-threads", "1", "--show-output"]).args(cases);
    command.env("FRIENDLET_FRAMES", log::reader()?).env("FRIENDLET_SYMBOLS", build::symbols());
    run::shown(&mut command)
}

/// The integration tests, which reach `guest`.
pub(crate) fn test_command(tests: &Path, guest: &Guest) -> Command {
    let mut command = Command::new(tests);
    let mut ports = vec![guest.port(crate::qemu::PORT).to_string()];
    let further = (0..=PORTS).map(|port| guest.port(lab::PORT + port)).filter(|port| *port != 0);
    ports.extend(further.map(|port| port.to_string()));
    command.current_dir(run::root()).env("FRIENDLET_GUEST", ports.join(","));
    command.env("FRIENDLET_BINARY", tests.with_file_name("friendlet"));
    command
}

/// Path of the board's integration tests, whatever image is booted; `friendlet` is in the same directory.
pub(crate) fn program(board: &Board) -> PathBuf {
    board.under_test().directory().join("tests/it")
}

/// Builds the integration tests, which know the limits of the board, and puts them and the program that
/// they start on this machine into the board's directory: cargo keeps those of one board alone.
pub(crate) fn build(board: &Board) -> Result<(), String> {
    let mut command = cargo(&["test", "--no-run", "--workspace", "--locked", "--test", "it"]);
    let tests = executable(command.env("FRIENDLET_BOARD", &board.name), "it")?;
    let friendlet = tests.ancestors().nth(2).map(|directory| directory.join("friendlet")).unwrap_or_default();
    let to = program(board);
    build::put(&friendlet, &to.with_file_name("friendlet"))?;
    build::put(&tests, &to)?;
    log::reader().map(drop)
}
