//! The step `logs`: what a device logs in frames is what a workstation logs in lines.

use crate::board::{Board, Log};
use crate::build::{build_as, symbols};
use crate::cargo::{cargo, executable};
use crate::{log, run};

/// Builds the host's program with both kinds of log and compares what they log of the same exchange.
pub(crate) fn check() -> Result<(), String> {
    let board = Board::load("host")?;
    let program = |name: &str| board.directory().join("logs").join(name);
    let [lines, frames] = [program("friendlet-text"), program("friendlet-defmt")];
    let bytes = [(Log::Text, &lines), (Log::Defmt, &frames)]
        .map(|(log, path)| build_as(&board, log, path).map(|elf| elf.file_bytes));
    let [of_lines, of_frames] = bytes;
    println!("    {} bytes with a text log, {} with frames", of_lines?, of_frames?);
    let mut command = cargo(&["test", "--no-run", "--workspace", "--locked", "--test", "it"]);
    let tests = executable(&mut command, "it")?;
    let mut command = run::at_root(&tests.to_string_lossy());
    command.args(["--ignored", "--exact", "--show-output"]);
    command.arg("system::logs::frames_are_the_lines_of_a_text_log");
    command.env("FRIENDLET_TEXT", &lines).env("FRIENDLET_DEFMT", &frames);
    command.env("FRIENDLET_FRAMES", log::reader()?).env("FRIENDLET_SYMBOLS", symbols());
    run::shown(&mut command)
}
