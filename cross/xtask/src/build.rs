//! Building friendlet for a board: one static binary.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::board::Board;
use crate::elf::Elf;
use crate::run;
use crate::toolchain::Way;

/// What of std is built for a device. A panic there ends the process with a message that names the
/// place; a backtrace of a stripped binary would tell nothing, and its code weighs more than 100 kB.
const STD: [&str; 2] = ["-Zbuild-std=std,panic_abort", "-Zbuild-std-features=optimize_for_size"];

/// Builds the board's binary, checks that it is a static one and puts it in the board's folder.
pub(crate) fn build(board: &Board) -> Result<PathBuf, String> {
    let built = build_in(board, &run::root().join("target"), &[])?;
    let binary = binary_path(board);
    let failed = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
    fs::create_dir_all(board.folder()).map_err(|error| failed(&board.folder(), error))?;
    // Replaced, not written over: an emulator may run the old one.
    let _ = fs::remove_file(&binary);
    fs::copy(&built, &binary).map_err(|error| failed(&binary, error))?;
    Ok(binary)
}

/// The same in another target folder and with an environment of its own, such as limits; the binary
/// stays where cargo puts it.
pub(crate) fn build_in(
    board: &Board,
    folder: &Path,
    environment: &[(&str, &str)],
) -> Result<PathBuf, String> {
    let start = Instant::now();
    let mut command = Way::find()?.cargo();
    command.args([
        "build",
        "--release",
        "--locked",
        "--quiet",
        "--package",
        "friendlet",
        "--bin",
        "friendlet",
    ]);
    command.args(STD).arg("--target-dir").arg(folder).envs(environment.iter().copied());
    for_board(&mut command, board);
    run::shown(&mut command)?;

    let built = folder.join(&board.target).join("release/friendlet");
    let elf = Elf::read(&built)?;
    if !elf.is_static() {
        return Err(format!("{}: is linked to shared libraries", built.display()));
    }
    println!(
        "    {}: {} bytes, static, {}, in {:.0} s",
        board.name,
        elf.file_bytes(),
        board.target,
        start.elapsed().as_secs_f64()
    );
    Ok(built)
}

/// Limits that no board may have, and what the build has to say of them: a name that is none, a value
/// that is none, and two limits that do not fit each other.
const REFUSED: [(&str, &str, &str); 3] = [
    ("FRIENDLET_LIMIT_SLOTZ", "8", "FRIENDLET_LIMIT_SLOTZ: 'slotz' is no limit"),
    ("FRIENDLET_LIMIT_SLOTS", "-8", "FRIENDLET_LIMIT_SLOTS: '-8' is not a positive integer"),
    ("FRIENDLET_LIMIT_SLOTS", "1", "slots: one is kept for an administrator, so two are needed"),
];

/// Holds the build to its refusals.
pub(crate) fn check_refusals() -> Result<(), String> {
    for (variable, value, wanted) in REFUSED {
        // Another limit changes with it: cargo asks build.rs again when one that there is has changed,
        // and knows of no other.
        let mut command =
            crate::cargo::cargo(&["check", "--quiet", "--locked", "--package", "friendlet", "--lib"]);
        let output = command
            .env("FRIENDLET_LIMIT_USERS", "15")
            .env(variable, value)
            .output()
            .map_err(|error| format!("cargo check: {error}"))?;
        let said = String::from_utf8_lossy(&output.stderr);
        if output.status.success() || !said.contains(wanted) {
            return Err(format!(
                "{variable}={value}: the build should stop with \"{wanted}\", and said:\n{said}"
            ));
        }
    }
    println!("    {} wrong limits stop the build", REFUSED.len());
    Ok(())
}

/// The board's binary, built if it is not there yet.
pub(crate) fn binary(board: &Board) -> Result<PathBuf, String> {
    let path = binary_path(board);
    if path.is_file() { Ok(path) } else { build(board) }
}

fn binary_path(board: &Board) -> PathBuf {
    board.folder().join("friendlet")
}

/// Tells a cargo command the board's target and limits.
pub(crate) fn for_board(command: &mut Command, board: &Board) {
    command.args(["--target", &board.target]).env("FRIENDLET_BOARD", &board.name);
    // What the caller's own builds use must not leak into a board's.
    command.env_remove("RUSTFLAGS").env_remove("CARGO_BUILD_TARGET");
}
