//! `friendlet serve`.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::load::{self, Loaded};
use super::state_dir::{Environment, socket, state_dir};
use super::{build_id, exit, refuse};
use crate::api::Board;
use crate::config::{self, Config, ConfigOrigin, NOTICE_BYTES};
use crate::keeper::{self, Cgroups, ServerEnd};
use crate::log::print;
use crate::serve::{self, ReloadFiles, Start, StartError};
use crate::service::ServiceTable;
use crate::sys::board::has_init;
use crate::sys::{file, log_threads};

/// Variable with the slot of the running system: `A` or `B`.
const SLOT: &str = "FRIENDLET_SLOT";
/// Variable with the error before the start of the server.
const NOTICE: &str = "FRIENDLET_NOTICE";

/// Runs the server with the configuration file at `config`, or the one at the default path. With
/// `falls_back`, the last good copy replaces a file that cannot be used, and the built-in default a copy
/// that cannot be used.
pub(super) fn run(config: Option<&Path>, falls_back: bool) -> ExitCode {
    crate::log::enable();
    log_threads::log_panics();
    if falls_back {
        return run_with_fallback(load::load_with_fallback(config.unwrap_or(Path::new(load::DEFAULT_PATH))));
    }
    match load::load(config) {
        Ok(loaded) => {
            let board = board(&loaded);
            let files = loaded.reload_files(false);
            match serve(loaded.config, None, files, board, false) {
                Ok(end) => ExitCode::from(end.code),
                Err(code) => code,
            }
        }
        Err(error) => refuse(&error),
    }
}

/// Tries each of the files at most once, and none where another would not help.
fn run_with_fallback(mut loaded: Loaded) -> ExitCode {
    loop {
        // Logged whatever level the file sets.
        crate::log::set_level(crate::log::Level::Error);
        if let Some(error) = &loaded.config_error {
            crate::log::console::error!("{}", error);
        }
        let board = board(&loaded);
        let files = loaded.reload_files(true);
        let (config, good_copy, next) = loaded.into_parts();
        match serve(config, good_copy, files, board, true) {
            Ok(ServerEnd { refusal: Some(error), code }) => match next.after(&error) {
                Some(next) => loaded = next,
                None => return ExitCode::from(code),
            },
            Ok(end) => return ExitCode::from(end.code),
            Err(code) => return code,
        }
    }
}

/// Keeps a server with this configuration until it ends. An error is printed where it occurs.
fn serve(
    config: Config,
    good_copy: Option<(PathBuf, String)>,
    files: ReloadFiles,
    board: Board,
    falls_back: bool,
) -> Result<ServerEnd, ExitCode> {
    let environment = Environment::of_this_process();
    let (state_dir, socket) = (state_dir(&config, &environment), socket(&config, &environment));
    let has_init = has_init();
    let start = Start { config, state_dir, socket, board, has_init, good_copy, files, falls_back };
    let cgroups = if start.config.board.has_no_cgroups { None } else { Cgroups::create() };
    // In memory, and for each server another one.
    let table = start.socket.as_ref().map(|socket| file::with_suffix(socket, ".processes"));
    let server = |start, link| end_of(serve::run(start, link));
    keeper::run(start, cgroups, table.as_deref(), services, configure, server).map_err(|error| {
        print(format_args!("friendlet: cannot start the server: {error}\n"));
        exit::SYSTEM.into()
    })
}

fn services(start: &mut Start) -> &mut ServiceTable {
    &mut start.config.services
}

/// Puts the text of a later configuration file into the parameters of the next server.
fn configure(start: &mut Start, text: String) -> Result<(), String> {
    let source = start.files.config.display().to_string();
    let later = config::parse(&text, &source, &start.files.program).map_err(|errors| errors.to_string())?;
    start.config.succeed(later);
    start.board.config_origin = ConfigOrigin::Given;
    start.board.config_error = None;
    start.good_copy = start.files.good_copy.clone().map(|path| (path, text));
    Ok(())
}

/// Facts about the board: from this program, from its configuration, and from its init.
fn board(loaded: &Loaded) -> Board {
    Board {
        build: config::one_line(build_id::of_this_program().unwrap_or_default()),
        slot: boot_slot(std::env::var_os(SLOT).as_deref()),
        config_origin: loaded.config_origin,
        config_error: loaded.config_error.clone(),
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

/// Prints the error of a server, and returns its end for the keeper.
fn end_of(outcome: Result<(), StartError>) -> ServerEnd {
    let Err(error) = outcome else { return ServerEnd { code: 0, refusal: None } };
    print(format_args!("friendlet: {error}\n"));
    log_threads::flush();
    ServerEnd { code: error.code(), refusal: error.is_of_the_file().then(|| error.to_string()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::BUILD_ID_BYTES;

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
    fn board_has_the_origin_of_its_configuration() {
        let origin = |path: &str| board(&load::load_with_fallback(Path::new(path))).config_origin.name();
        assert_eq!(origin("/nonexistent/friendlet.toml"), "built in");
        assert_eq!(origin(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/friendlet.toml")), "given");
    }

    #[test]
    fn build_id_is_as_long_as_its_limit_and_no_longer() {
        let longest = "0".repeat(BUILD_ID_BYTES);
        for text in [longest.clone(), longest.clone() + "1"] {
            assert_eq!(config::one_line::<BUILD_ID_BYTES>(text).as_str(), longest);
        }
        let own = board(&load::load_with_fallback(Path::new("/nonexistent"))).build;
        assert_eq!(own.as_str(), build_id::of_this_program().unwrap_or_default());
    }
}
