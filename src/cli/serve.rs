//! `friendlet serve`.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::build_id;
use super::load::{self, Loaded};
use super::place::{Environment, state_dir};
use super::refuse;
use crate::api::Board;
use crate::config::{self, Complaint, Config, InForce};
use crate::limits::NOTICE_BYTES;
use crate::serve::{self, Start, StartError};
use crate::sys::log_files;

/// Environment variable that `friendlet init` sets to `1`: it shuts the board down on request.
const INIT: &str = "FRIENDLET_INIT";
/// Environment variable with the boot slot that runs: `A` or `B`.
const SLOT: &str = "FRIENDLET_SLOT";
/// Environment variable with an error of the boot, before the server was started.
const NOTICE: &str = "FRIENDLET_NOTICE";

/// Runs the server with the configuration file at `config`, or at the default path. With `falls_back`, the
/// last good copy replaces a file that cannot be used, and the built-in default replaces that.
pub(super) fn run(config: Option<&Path>, falls_back: bool) -> ExitCode {
    crate::log::keep();
    log_files::log_panics();
    if falls_back {
        return run_falling_back(load::load_falling_back(config.unwrap_or(Path::new(load::DEFAULT_PATH))));
    }
    match load::load(config) {
        Ok((config, _)) => finish(serve(config, None, board(InForce::Given, None))),
        Err(error) => refuse(&error),
    }
}

/// Tries each of the files at most once, and none when another would not help.
fn run_falling_back(mut loaded: Loaded) -> ExitCode {
    loop {
        // Logged whatever the level of the file.
        crate::log::set_level(crate::log::Level::Error);
        if let Some(complaint) = &loaded.complaint {
            crate::log::console::error!("{}", complaint);
        }
        let board = board(loaded.in_force, loaded.complaint.clone());
        let (config, good_copy, next) = loaded.into_parts();
        match serve(config, good_copy, board) {
            Err(error) if error.is_of_the_file() => match next.after(&error) {
                Some(next) => loaded = next,
                None => return finish(Err(error)),
            },
            outcome => return finish(outcome),
        }
    }
}

fn serve(config: Config, good_copy: Option<(PathBuf, String)>, board: Board) -> Result<(), StartError> {
    let state_dir = state_dir(&config, &Environment::of_this_process());
    let has_init = std::env::var_os(INIT).is_some_and(|value| value == "1");
    serve::run(Start { config, state_dir, board, has_init, good_copy })
}

/// The board, as this program and its init describe it.
fn board(in_force: InForce, complaint: Option<Complaint>) -> Board {
    Board {
        // A program that was linked without a build id has none to report.
        build: build_id::of_this_program().map_or_else(Default::default, config::one_line),
        slot: boot_slot(std::env::var_os(SLOT).as_deref()),
        in_force,
        complaint,
        notice: notice(std::env::var_os(NOTICE).as_deref()),
    }
}

fn boot_slot(value: Option<&OsStr>) -> &'static str {
    match value.and_then(OsStr::to_str) {
        Some("A") => "A",
        Some("B") => "B",
        _ => "",
    }
}

fn notice(value: Option<&OsStr>) -> Option<heapless::String<NOTICE_BYTES>> {
    value.filter(|text| !text.is_empty()).map(|text| config::one_line(text.to_string_lossy()))
}

/// Prints why the server did not start, or not shut its board down.
fn finish(outcome: Result<(), StartError>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("friendlet: {error}");
            ExitCode::from(error.code())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::BUILD_ID_BYTES;

    #[test]
    fn slot_is_one_of_two() {
        for (value, slot) in [("A", "A"), ("B", "B"), ("", ""), ("C", ""), ("a", ""), ("AB", "")] {
            assert_eq!(boot_slot(Some(OsStr::new(value))), slot, "{value}");
        }
        assert_eq!(boot_slot(None), "");
    }

    #[test]
    fn notice_is_as_long_as_its_limit_and_no_longer() {
        let longest = "n".repeat(NOTICE_BYTES);
        for text in [longest.clone(), longest.clone() + "o"] {
            assert_eq!(notice(Some(OsStr::new(&text))).as_deref(), Some(longest.as_str()));
        }
        assert_eq!(notice(Some(OsStr::new("no\ndata"))).as_deref(), Some("no?data"));
        assert_eq!(notice(Some(OsStr::new(""))), None);
        assert_eq!(notice(None), None);
    }

    #[test]
    fn build_id_is_as_long_as_its_limit_and_no_longer() {
        let longest = "0".repeat(BUILD_ID_BYTES);
        for text in [longest.clone(), longest.clone() + "1"] {
            assert_eq!(config::one_line::<BUILD_ID_BYTES>(text).as_str(), longest);
        }
        let own = board(InForce::Given, None).build;
        assert_eq!(Some(own.to_string()), build_id::of_this_program().or(Some(String::new())));
    }
}
