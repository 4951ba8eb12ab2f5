//! Running a board's programs here: natively, or in user-mode QEMU as the board's processor.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::board::Board;
use crate::{build, run, toolchain::Way};

/// Where the kernel is told which program runs foreign binaries.
const BINFMT: &str = "/proc/sys/fs/binfmt_misc";
/// The name under which it is told of QEMU; Debian's packages use the same.
const NAME: &str = "qemu-arm";
/// Most tests at once: an emulated one takes a core.
const TEST_THREADS: &str = "4";

/// QEMU's program for the board, where it needs one.
pub(crate) fn emulator(board: &Board) -> Option<String> {
    let native = board.emulated_cpu.is_none() || board.architecture() == std::env::consts::ARCH;
    (!native).then(|| format!("qemu-{}-static", board.architecture()))
}

/// A command that runs a binary of the board.
pub(crate) fn command(board: &Board, binary: &Path) -> Result<Command, String> {
    let Some(emulator) = emulator(board) else {
        return Ok(run::at_root(&binary.to_string_lossy()));
    };
    if !run::works(&emulator, &["--version"]) {
        return Err(format!(
            "{emulator} is not there; `cargo xtask setup --board {}` installs it",
            board.name
        ));
    }
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

/// Runs the library's and the integration tests on the board's processor.
pub(crate) fn test(board: &Board) -> Result<(), String> {
    let mut command = Way::find()?.cargo();
    command.args(["test", "--locked", "--package", "friendlet", "--lib", "--test", "it"]);
    command.args(["--no-fail-fast", "-Zbuild-std"]);
    build::for_board(&mut command, board);
    if let Some(emulator) = emulator(board) {
        if !run::works(&emulator, &["--version"]) {
            return Err(format!(
                "{emulator} is not there; `cargo xtask setup --board {}` installs it",
                board.name
            ));
        }
        if board.architecture() == "arm" {
            register()?;
        }
        // Tests of what the emulator itself does not do are left out by name there.
        command.env("FRIENDLET_EMULATED", "1");
    }
    set_cpu(&mut command, board);
    command.args(["--", "--test-threads", TEST_THREADS]);
    run::shown(&mut command)
}

/// Lets the kernel run 32-bit ARM binaries: a server under test starts services that are such.
pub(crate) fn register() -> Result<(), String> {
    let known = Path::new(BINFMT).join(NAME);
    if known.exists() {
        return Ok(());
    }
    let advice = format!(
        "the kernel cannot be told to run ARM binaries: {BINFMT}/register; as root, or by \
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
