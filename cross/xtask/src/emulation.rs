//! Running a board's programs here: natively, or in user-mode QEMU as the board's processor.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::board::Board;
use crate::left_out::{self, Condition};
use crate::toolchain::Way;
use crate::{build, cargo, run, side};

/// File system to register programs that run foreign binaries.
const BINFMT: &str = "/proc/sys/fs/binfmt_misc";
/// Registered name of QEMU, the same as in Debian's packages.
const NAME: &str = "qemu-arm";
/// Tests at once: an emulated one takes more of a core, and still most of them wait.
const TEST_THREADS: &str = "6";
/// Test programs at once: the longest wait for deadlines most of their time.
const SIDE_BY_SIDE: usize = 2;
/// Options of friendlet's build for them: a second more here saves many where every
/// instruction is emulated. Overflows and broken assumptions still end a test.
const OPTIMISED: [&str; 2] = ["--config", "profile.dev.opt-level=1"];
/// A test program without output for so long is stalled and started again, once; the longest
/// test fails in less. A child of a program with threads, which QEMU 7.2 forks, at times waits for a lock of
/// QEMU's that no thread there holds any more, before its own program begins: neither the tests nor the program
/// under test have a part in it. A program that stalls for another reason does so again.
const SILENCE: Duration = Duration::from_secs(150);

/// QEMU's program for the board, where it needs one.
pub(crate) fn emulator(board: &Board) -> Option<String> {
    let native = board.emulated_cpu.is_none() || board.architecture() == std::env::consts::ARCH;
    (!native).then(|| format!("qemu-{}-static", board.architecture()))
}

/// The same, an error where it is needed and not there.
fn installed(board: &Board) -> Result<Option<String>, String> {
    match emulator(board) {
        Some(emulator) if !run::works(&emulator, &["--version"]) => {
            Err(format!("{emulator} is not there; `cargo xtask setup --board {}` installs it", board.name))
        }
        emulator => Ok(emulator),
    }
}

/// A command that runs a binary of the board.
pub(crate) fn command(board: &Board, binary: &Path) -> Result<Command, String> {
    let Some(emulator) = installed(board)? else {
        return Ok(run::at_root(&binary.to_string_lossy()));
    };
    let mut command = run::at_root(&emulator);
    command.arg(binary);
    set_cpu(&mut command, board);
    Ok(command)
}

fn set_cpu(command: &mut Command, board: &Board) {
    if let Some(cpu) = &board.emulated_cpu {
        command.env("QEMU_CPU", cpu);
    }
}

/// Runs the library's and the integration tests on the processors of these boards.
pub(crate) fn test(boards: &[Board]) -> Result<(), String> {
    let mut command = Way::find()?.cargo();
    command.args(["test", "--no-run", "--locked", "--package", "friendlet", "--lib", "--test", "it"]);
    command.arg("-Zbuild-std").args(OPTIMISED);
    let mut is_foreign = false;
    for board in boards {
        // The cases are written for the limits of the host.
        build::for_target(&mut command, board, "host");
        build::shrink(&mut command, board);
        is_foreign |= installed(board)?.is_some() && board.architecture() == "arm";
    }
    let programs = cargo::test_programs(&mut command)?;
    if is_foreign {
        register()?;
    }
    // Those that take longest are begun first.
    let mut jobs = Vec::new();
    for name in ["it", "friendlet"] {
        for board in boards {
            let directory = format!("/{}/", board.target);
            let program = programs
                .iter()
                .find(|program| program.name == name && program.path.to_string_lossy().contains(&directory));
            let program =
                program.ok_or_else(|| format!("cargo built no tests '{name}' for {}", board.target))?;
            let mut command = self::command(board, &program.path)?;
            command.args(["--test-threads", TEST_THREADS]);
            if emulator(board).is_some() {
                command.args(left_out::arguments(Some(Condition::Emulated)));
            }
            let log = board.directory().join(format!("emulated-{name}.log"));
            let name = format!("{name} on {}", board.name);
            jobs.push(side::Job { name, log, command, silence: Some(SILENCE) });
        }
    }
    side::by_side(jobs, SIDE_BY_SIDE)
}

/// Lets the kernel run 32-bit ARM binaries: a server under test starts services that are such.
pub(crate) fn register() -> Result<(), String> {
    let known = Path::new(BINFMT).join(NAME);
    if known.exists() {
        return Ok(());
    }
    let advice = format!(
        "cannot register QEMU for ARM binaries: {BINFMT}/register; as root, or by \
         Debian's package qemu-user-binfmt, it can"
    );
    if !Path::new(BINFMT).join("register").exists() {
        run::shown(run::at_root("mount").args(["-t", "binfmt_misc", "binfmt_misc", BINFMT]))
            .map_err(|error| format!("{advice}: {error}"))?;
    }
    fs::write(Path::new(BINFMT).join("register"), registration())
        .map_err(|error| format!("{advice}: {error}"))
}

/// The rule: little-endian 32-bit ELF programs for ARM (machine 40), of any OS ABI. `F`: the
/// emulator is opened now, so that the rule holds in every root.
fn registration() -> String {
    let magic = r"\x7fELF\x01\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x28\x00";
    let mask = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff";
    format!(":{NAME}:M::{magic}:{mask}:/usr/bin/qemu-arm-static:F")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_fits_the_kernels_form() {
        let rule = registration();
        assert!(rule.starts_with(":qemu-arm:M::\\x7fELF") && rule.ends_with(":F"));
        let fields: Vec<&str> = rule.split(':').collect();
        assert_eq!(fields.len(), 8);
        let bytes = |field: &str| field.replace("\\x7fELF", "....").replace("\\x", ".").len();
        assert!(bytes(fields[4]) > 20 && fields[5].matches("\\x").count() == 20);
    }

    #[test]
    fn boards_of_another_processor_are_emulated() {
        for board in Board::all().unwrap() {
            let emulator = emulator(&board);
            assert_eq!(emulator.is_some(), board.name != "host", "{}", board.name);
            if let Some(emulator) = emulator {
                assert!(["qemu-arm-static", "qemu-aarch64-static"].contains(&emulator.as_str()));
            }
        }
    }
}
