//! `friendlet serve`.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::load::{self, Loaded};
use super::state_dir::{Environment, socket, state_dir};
use super::{build_id, exit, refuse};
use crate::api::Board;
use crate::call::SlotState;
use crate::config::{self, Config, NOTICE_BYTES};
use crate::keeper::{self, Cgroups, Configuration, Force, Legacy, ServerEnd};
use crate::log::print;
use crate::serve::{self, Finding, ReloadFiles, Start, StartError};
use crate::service::{BoardEnd, ServiceTable};
use crate::sys::board::{DATA_VARIABLE, SLOT_STATE_VARIABLE, has_init};
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
    let path = config.unwrap_or(Path::new(load::DEFAULT_PATH));
    let legacy = match Legacy::of_this_process() {
        Ok(legacy) => legacy,
        Err(error) => {
            print(format_args!("{error}\n"));
            return keeper::SOFTWARE.into();
        }
    };
    // What is in force stays so: a file that was changed meanwhile is read by a reload.
    let inherited =
        legacy.as_ref().map(|legacy| load::of_predecessor(path, &legacy.configuration)).transpose();
    let inherited = match inherited {
        Ok(inherited) => inherited,
        Err(error) => return refuse(&error),
    };
    if let (Some(loaded), Some(Legacy { is_trial: true, .. })) = (&inherited, &legacy) {
        return accept(&loaded.config, path, falls_back);
    }
    if falls_back {
        let loaded = inherited.unwrap_or_else(|| load::load_with_fallback(path));
        return run_with_fallback(loaded, legacy);
    }
    match inherited.map_or_else(|| load::load(config), Ok) {
        Ok(loaded) => {
            log_errors(&loaded);
            let board = board(&loaded);
            let files = loaded.reload_files(false);
            let text = loaded.text();
            match serve(loaded.config, None, text, files, board, false, legacy) {
                Ok(end) => ExitCode::from(end.code),
                Err(code) => code,
            }
        }
        Err(error) => refuse(&error),
    }
}

/// Answers whether this program can take over with a configuration: it must not end the services by an error of its
/// start. With `falls_back`, only errors after which another configuration would be in force are such.
fn accept(config: &Config, path: &Path, falls_back: bool) -> ExitCode {
    let environment = Environment::of_this_process();
    let (dir, socket) = (state_dir(config, &environment), socket(config, &environment));
    let findings = serve::check_start(config, path, &dir, socket.as_deref());
    let error = findings.into_iter().find_map(|finding| match finding {
        Finding::Error(error) if !falls_back || error.is_of_the_file() => Some(error),
        _ => None,
    });
    if let Some(error) = error {
        print(format_args!("{error}\n"));
        return error.code().into();
    }
    Legacy::accept();
    ExitCode::SUCCESS
}

/// Logs the files that are not in force.
fn log_errors(loaded: &Loaded) {
    for error in &loaded.errors {
        crate::log::console::error!("{}", error);
    }
}

/// Tries each of the files at most once, and none where another would not help.
fn run_with_fallback(mut loaded: Loaded, mut legacy: Option<Legacy>) -> ExitCode {
    loop {
        // Logged whatever level the file sets.
        crate::log::set_level(crate::log::Level::Error);
        log_errors(&loaded);
        let board = board(&loaded);
        let files = loaded.reload_files(true);
        let text = loaded.text();
        let (config, good_copy, next) = loaded.into_parts();
        let good_copy = good_copy.map(|(path, _)| path);
        match serve(config, good_copy, text, files, board, true, legacy.take()) {
            Ok(ServerEnd { refusal: Some(error), code, .. }) => match next.after(&error) {
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
    good_copy: Option<PathBuf>,
    text: Option<String>,
    files: ReloadFiles,
    board: Board,
    falls_back: bool,
    mut legacy: Option<Legacy>,
) -> Result<ServerEnd, ExitCode> {
    let environment = Environment::of_this_process();
    let (state_dir, socket) = (state_dir(&config, &environment), socket(&config, &environment));
    let has_init = has_init();
    let start = Start { config, state_dir, socket, board, has_init, good_copy, text, files, falls_back };
    // From here on the file decides what the keeper logs.
    crate::log::set_level(start.config.log_level);
    // In memory, and for each server another one.
    let table = start.socket.as_ref().map(|socket| file::with_suffix(socket, ".processes"));
    let cgroups = match &mut legacy {
        Some(legacy) => legacy.take_cgroups(),
        None if start.config.board.has_no_cgroups => None,
        None => Cgroups::create(table.as_deref()),
    };
    let commands = start.config.board.clone();
    let server = |start, link| end_of(serve::run(start, link));
    let mut end = keeper::run(start, cgroups, table.as_deref(), legacy, server).map_err(|error| {
        print(format_args!("friendlet: cannot start the server: {error}\n"));
        ExitCode::from(exit::SYSTEM)
    })?;
    // A server that was killed has not ended as it should.
    if let Some(board_end) = end.board_end.filter(|_| end.code == 0) {
        end.code = serve::end_board(&commands, board_end);
    }
    Ok(end)
}

impl Configuration for Start {
    fn services(&mut self) -> &mut ServiceTable {
        &mut self.config.services
    }

    fn configure(&mut self, text: String, force: Force) -> Option<ServiceTable> {
        let source = self.files.config.display().to_string();
        match config::parse_document(&text, &source, &self.files.program) {
            Ok((later, _)) if matches!(force, Force::Trial | Force::Return) => return Some(later.services),
            Ok((later, config_origin)) => {
                if force == Force::Confirmed {
                    self.config.listen.address = later.listen.address;
                }
                self.config.succeed(later);
                self.board.config_origin = config_origin;
            }
            Err(errors) => {
                crate::log::console::error!("keeper: cannot take over the configuration file: {}", errors);
                return None;
            }
        }
        self.board.config_error = None;
        self.board.is_file_out_of_force = false;
        self.good_copy.clone_from(&self.files.good_copy);
        self.text = Some(text);
        Some(core::mem::take(&mut self.config.services))
    }

    fn add_notice(&mut self, problem: &str) {
        crate::log::console::warning!("{}", problem);
        let earlier = self.board.notice.take().map(|earlier| format!("{earlier}; ")).unwrap_or_default();
        self.board.notice = Some(config::one_line(earlier + problem));
    }

    fn set_slot_good(&mut self) {
        self.board.slot_state = SlotState::Good;
    }

    fn text(&self) -> String {
        let error = self.board.config_error.as_deref().unwrap_or_default();
        load::to_successor(self.board.config_origin, error, self.text.as_deref())
    }
}

/// Facts about the board: from this program, from its configuration, and from its init.
fn board(loaded: &Loaded) -> Board {
    Board {
        build: config::one_line(build_id::of_this_program().unwrap_or_default()),
        slot: boot_slot(std::env::var_os(SLOT).as_deref()),
        slot_state: slot_state(std::env::var_os(SLOT_STATE_VARIABLE).as_deref()),
        has_data_in_memory: std::env::var_os(DATA_VARIABLE).is_some_and(|place| place == "memory"),
        config_origin: loaded.config_origin,
        config_error: loaded.config_error.clone(),
        is_file_out_of_force: loaded.config_error.is_some(),
        notice: notice(std::env::var_os(NOTICE).as_deref()),
        sandbox: String::new(),
        syslog: heapless::String::new(),
        syslog_notice: None,
        slot_notice: None,
        change_notice: None,
        certificate: None,
        certificate_names: heapless::String::new(),
        certificate_facts: std::sync::Arc::default(),
        token: None,
        name: None,
        is_audit_failing: false,
        is_end_failing: false,
    }
}

fn slot_state(value: Option<&OsStr>) -> SlotState {
    value.and_then(OsStr::to_str).map_or(SlotState::None, SlotState::from_name)
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
fn end_of(outcome: Result<Option<BoardEnd>, StartError>) -> ServerEnd {
    let error = match outcome {
        Ok(board_end) => return ServerEnd { code: 0, refusal: None, board_end },
        Err(error) => error,
    };
    print(format_args!("friendlet: {error}\n"));
    log_threads::flush();
    let refusal = error.is_of_the_file().then(|| error.to_string());
    ServerEnd { code: error.code(), refusal, board_end: None }
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
