//! Finds and reads the configuration file, or its replacement if it cannot be used.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::exit;
use crate::config::{self, COMPLAINT_BYTES, Config, ConfigError, ConfigOrigin};
use crate::limits::{BOARD, BOARD_FILE};
use crate::serve::ReloadFiles;
use crate::sys::config_file::{self, LoadError};
use crate::sys::file::{self, FileReason};

/// Default path of the configuration file.
pub const DEFAULT_PATH: &str = "/etc/friendlet/friendlet.toml";
/// Suffix of the last good copy of a configuration file.
const GOOD: &str = ".good";

/// Exit code of a program that cannot use its configuration file.
pub(super) fn exit_code(error: &LoadError) -> ExitCode {
    match error {
        LoadError::Config(_) | LoadError::Empty(_) => exit::CONFIG.into(),
        LoadError::File(error) if error.is_missing() => exit::NO_INPUT.into(),
        LoadError::File(error) if error.is_permission() => exit::NO_PERMISSION.into(),
        LoadError::File(error) => match error.reason {
            FileReason::Io(_) => exit::IO.into(),
            FileReason::NotUtf8(_) | FileReason::TooLarge(_) | FileReason::NotRegular => exit::CONFIG.into(),
        },
    }
}

/// A configuration and its origin.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Name of the file, for people.
    pub source: String,
    /// Origin of the configuration.
    pub config_origin: ConfigOrigin,
    /// Reason for not using the given file.
    pub config_error: Option<ConfigError>,
    /// Path of the given file.
    path: PathBuf,
    /// Text of the file in force, unless it is built in.
    text: Option<String>,
    /// Failure of the given file.
    failure: Option<LoadFailure>,
}

/// Failure of the given configuration file: its first error, and the number of further ones.
#[derive(Clone, Debug)]
struct LoadFailure {
    first: String,
    more: usize,
}

impl LoadFailure {
    fn new(first: impl fmt::Display) -> Self {
        Self { first: first.to_string(), more: 0 }
    }

    fn of(error: &LoadError) -> Self {
        match error {
            LoadError::Config(errors) => {
                Self { first: errors.first().to_string(), more: errors.after_first() }
            }
            error => Self::new(error),
        }
    }

    /// `last good copy in force: FILE:3:1: unknown key 'x'; and 2 more`. Too long a message is cut before
    /// the number.
    fn message(&self, config_origin: ConfigOrigin) -> ConfigError {
        let beginning = format!("{} in force: {}", title(config_origin), self.first);
        let end = if self.more > 0 { format!("; and {} more", self.more) } else { String::new() };
        let mut room = COMPLAINT_BYTES.saturating_sub(end.len()).min(beginning.len());
        while !beginning.is_char_boundary(room) {
            room -= 1;
        }
        // `room` is a character boundary within the text.
        config::one_line(format_args!("{}{end}", beginning.get(..room).unwrap_or_default()))
    }
}

fn title(config_origin: ConfigOrigin) -> &'static str {
    match config_origin {
        ConfigOrigin::Given => "configuration file",
        ConfigOrigin::LastGood => "last good copy",
        ConfigOrigin::BuiltIn => "built-in default",
    }
}

impl Loaded {
    fn given(config: Config, path: &Path, text: String) -> Self {
        Self {
            config,
            source: path.display().to_string(),
            config_origin: ConfigOrigin::Given,
            config_error: None,
            path: path.to_owned(),
            text: Some(text),
            failure: None,
        }
    }

    /// The last good copy at `good`, for the file at `path`.
    fn last_good(config: Config, path: &Path, good: &Path, text: String, failure: LoadFailure) -> Self {
        Self {
            config,
            source: good.display().to_string(),
            config_origin: ConfigOrigin::LastGood,
            config_error: Some(failure.message(ConfigOrigin::LastGood)),
            path: path.to_owned(),
            text: Some(text),
            failure: Some(failure),
        }
    }

    /// The built-in default, for the file at `path`.
    fn built_in(path: &Path, failure: Option<LoadFailure>) -> Self {
        Self {
            config: config::built_in(&program()),
            source: built_in_source(),
            config_origin: ConfigOrigin::BuiltIn,
            config_error: failure.as_ref().map(|failure| failure.message(ConfigOrigin::BuiltIn)),
            path: path.to_owned(),
            text: None,
            failure,
        }
    }

    /// Text of the file in force; `None` of the built-in default.
    pub(super) fn text(&self) -> Option<String> {
        self.text.clone()
    }

    /// Files of a reload. With `falls_back`, the last good copy is written.
    pub(super) fn reload_files(&self, falls_back: bool) -> ReloadFiles {
        let good_copy = falls_back.then(|| good_path(&self.path));
        ReloadFiles { config: self.path.clone(), good_copy, program: program() }
    }

    /// Parts: the configuration for the server; path and text of the last good copy, which is written
    /// once the server serves and is that of a given file alone; and the fallbacks.
    pub(super) fn into_parts(self) -> (Config, Option<(PathBuf, String)>, FallbackChain) {
        let given = match self.config_origin {
            ConfigOrigin::Given => self.text,
            ConfigOrigin::LastGood | ConfigOrigin::BuiltIn => None,
        };
        let fallbacks = FallbackChain {
            config_origin: self.config_origin,
            given: given.as_deref().map(digest),
            path: self.path,
            failure: self.failure,
        };
        let good_copy = given.map(|text| (good_path(&fallbacks.path), text));
        (self.config, good_copy, fallbacks)
    }
}

/// Files that remain when the server cannot start with the one in force.
#[derive(Debug)]
pub(super) struct FallbackChain {
    path: PathBuf,
    config_origin: ConfigOrigin,
    /// SHA-256 of the given file, if it could be read.
    given: Option<Digest>,
    failure: Option<LoadFailure>,
}

impl FallbackChain {
    /// The next file, after the server could not start with the one in force because of `error`. `None`:
    /// that was the built-in default.
    pub(super) fn after(self, error: impl fmt::Display) -> Option<Loaded> {
        // The first failure is the cause of the others.
        let failure = self.failure.unwrap_or_else(|| LoadFailure::new(error));
        match self.config_origin {
            ConfigOrigin::Given => Some(fall_back(&self.path, self.given, failure)),
            ConfigOrigin::LastGood => Some(Loaded::built_in(&self.path, Some(failure))),
            ConfigOrigin::BuiltIn => None,
        }
    }
}

type Digest = [u8; 32];

fn digest(text: &str) -> Digest {
    let mut digest = Digest::default();
    digest.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, text.as_bytes()).as_ref());
    digest
}

/// The configuration in force, for a later program that takes the place of this one: origin and error, a line each, and
/// the text.
pub(super) fn to_successor(origin: ConfigOrigin, error: &str, text: Option<&str>) -> String {
    format!("{}\n{error}\n{}", origin.name(), text.unwrap_or_default())
}

/// The configuration of an earlier program, for the file at `path`. `None`: it was the built-in default, and this program
/// has its own.
pub(super) fn of_predecessor(path: &Path, configuration: &str) -> Result<Option<Loaded>, LoadError> {
    let mut lines = configuration.splitn(3, '\n');
    let [origin, error, text] = [(); 3].map(|()| lines.next().unwrap_or_default());
    if origin == ConfigOrigin::BuiltIn.name() {
        return Ok(None);
    }
    let source = path.display().to_string();
    let config = config::parse(text, &source, &program()).map_err(LoadError::Config)?;
    let mut loaded = Loaded::given(config, path, text.to_owned());
    if origin == ConfigOrigin::LastGood.name() {
        loaded.source = good_path(path).display().to_string();
        loaded.config_origin = ConfigOrigin::LastGood;
        loaded.failure = Some(LoadFailure::new(error));
    }
    loaded.config_error = (!error.is_empty()).then(|| config::one_line(error));
    Ok(Some(loaded))
}

/// Reads the named configuration file, or the one at the default path; where that is missing, the
/// built-in default.
pub(super) fn load(named: Option<&Path>) -> Result<Loaded, LoadError> {
    load_from(named, Path::new(DEFAULT_PATH))
}

fn load_from(named: Option<&Path>, default: &Path) -> Result<Loaded, LoadError> {
    let path = named.unwrap_or(default);
    match config_file::read(path, &program()) {
        Ok((config, text)) => Ok(Loaded::given(config, path, text)),
        Err(LoadError::File(error)) if named.is_none() && error.is_missing() => {
            // Unlike `config::built_in`, this reports errors to who makes a board.
            config::parse(BOARD_FILE, &built_in_source(), &program()).map_err(LoadError::Config)?;
            Ok(Loaded::built_in(path, None))
        }
        Err(error) => Err(error),
    }
}

/// Reads the configuration file at `path`; where it cannot be used, the last good copy beside it
/// (`PATH.good`); where that cannot be used either, the built-in default. A missing file is not an error:
/// the built-in default is in force then.
pub fn load_with_fallback(path: &Path) -> Loaded {
    let failure = match config_file::read_regular(path, &program()) {
        Ok((config, text)) => return Loaded::given(config, path, text),
        Err(LoadError::File(error)) if error.is_missing() => return Loaded::built_in(path, None),
        Err(error) => LoadFailure::of(&error),
    };
    fall_back(path, None, failure)
}

/// Replacement of the file at `path`; `given` is the SHA-256 of its text, if it could be read.
fn fall_back(path: &Path, given: Option<Digest>, failure: LoadFailure) -> Loaded {
    let good = good_path(path);
    match config_file::read_regular(&good, &program()) {
        Ok((config, text)) if given != Some(digest(&text)) => {
            Loaded::last_good(config, path, &good, text, failure)
        }
        _ => Loaded::built_in(path, Some(failure)),
    }
}

fn built_in_source() -> String {
    format!("boards/{BOARD}/friendlet.toml (built in)")
}

/// Path of the last good copy of a configuration file.
fn good_path(path: &Path) -> PathBuf {
    file::with_suffix(path, GOOD)
}

/// Path of this binary, for the built-in service.
fn program() -> String {
    std::env::current_exe()
        .ok()
        .and_then(|path| path.into_os_string().into_string().ok())
        .unwrap_or_else(|| "/proc/self/exe".to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const MISSING: &str = "/nonexistent/friendlet.toml";
    const GOOD_TEXT: &str = "[log]\nlevel = 'debug'\n";
    const BROKEN: &str = "[log]\nlevel = 'loud'\nlever = 1\n[limits]\nslots = 1\n";

    /// Directory of one test, removed afterwards.
    struct Directory(PathBuf);

    impl Directory {
        fn new(test: &str) -> Self {
            let path = std::env::temp_dir().join(format!("friendlet-load-{test}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn file(&self) -> PathBuf {
            self.0.join("friendlet.toml")
        }

        fn write(&self, given: &str, good: Option<&str>) -> PathBuf {
            fs::write(self.file(), given).unwrap();
            let copy = self.0.join("friendlet.toml.good");
            match good {
                Some(good) => fs::write(copy, good).unwrap(),
                None => drop(fs::remove_file(copy)),
            }
            self.file()
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn built_in_default_is_used_where_the_default_path_has_no_file() {
        let Loaded { config, source, config_origin, .. } = load_from(None, Path::new(MISSING)).unwrap();
        assert!(source.ends_with("(built in)"), "{source}");
        assert_eq!(config_origin, ConfigOrigin::BuiltIn);
        let hello = config.services.find("hello").and_then(|id| config.services.get(id)).unwrap();
        assert!(hello.argv.first().is_some_and(|program| program.starts_with('/')));
    }

    #[test]
    fn named_file_must_exist() {
        let error = load_from(Some(Path::new(MISSING)), Path::new(MISSING)).unwrap_err();
        assert!(matches!(&error, LoadError::File(error) if error.is_missing()));
        assert!(error.to_string().starts_with(MISSING), "{error}");
    }

    #[test]
    fn directory_at_the_default_path_is_an_error() {
        assert!(matches!(load_from(None, Path::new("/")), Err(LoadError::File(_))));
    }

    #[test]
    fn correct_file_is_in_force_and_becomes_the_good_copy() {
        let directory = Directory::new("right");
        let file = directory.write(GOOD_TEXT, None);
        let loaded = load_with_fallback(&file);
        assert_eq!((loaded.config_origin, loaded.config_error.as_deref()), (ConfigOrigin::Given, None));
        let (config, good_copy, _) = loaded.into_parts();
        assert_eq!(config.log_level, crate::log::Level::Debug);
        assert_eq!(good_copy, Some((directory.0.join("friendlet.toml.good"), GOOD_TEXT.to_owned())));
    }

    #[test]
    fn good_copy_replaces_a_broken_file_and_the_error_is_reported() {
        let directory = Directory::new("good");
        let file = directory.write(BROKEN, Some(GOOD_TEXT));
        let loaded = load_with_fallback(&file);
        assert_eq!(loaded.config_origin, ConfigOrigin::LastGood);
        assert_eq!(loaded.config.log_level, crate::log::Level::Debug);
        assert!(loaded.source.ends_with("friendlet.toml.good"), "{}", loaded.source);
        let message = loaded.config_error.as_deref().unwrap();
        let beginning = format!("last good copy in force: {}:2:9: level: ", file.display());
        assert!(message.starts_with(&beginning) && message.ends_with("; and 2 more"), "{message}");
        assert_eq!(loaded.into_parts().1, None);
    }

    #[test]
    fn built_in_default_is_in_force_without_a_usable_good_copy() {
        let directory = Directory::new("built-in");
        for good in [None, Some(BROKEN), Some("\n")] {
            let file = directory.write("\0", good);
            let loaded = load_with_fallback(&file);
            assert_eq!((loaded.config_origin, loaded.source), (ConfigOrigin::BuiltIn, built_in_source()));
            let message = loaded.config_error.unwrap();
            let beginning = format!("built-in default in force: {}:1:1: ", file.display());
            assert!(message.starts_with(&beginning) && message.ends_with("; and 1 more"), "{message}");
        }
    }

    #[test]
    fn missing_file_is_not_an_error_and_an_empty_one_is() {
        let directory = Directory::new("empty");
        let loaded = load_with_fallback(&directory.file());
        assert_eq!((loaded.config_origin, loaded.config_error.as_deref()), (ConfigOrigin::BuiltIn, None));
        for empty in ["", " \n\n"] {
            let loaded = load_with_fallback(&directory.write(empty, Some(GOOD_TEXT)));
            assert_eq!(loaded.config_origin, ConfigOrigin::LastGood);
            assert!(loaded.config_error.unwrap().ends_with("friendlet.toml: the file is empty"));
        }
        // A directory cannot be read.
        let loaded = load_with_fallback(&directory.0);
        assert_eq!(loaded.config_origin, ConfigOrigin::BuiltIn);
        assert!(loaded.config_error.is_some());
    }

    #[test]
    fn each_file_is_tried_once_when_the_server_does_not_start() {
        let directory = Directory::new("after");
        let file = directory.write(GOOD_TEXT, Some("[log]\nlevel = 'warn'\n"));
        let after = |loaded: Loaded, why: &str| loaded.into_parts().2.after(why);
        let good = after(load_with_fallback(&file), "no such address").unwrap();
        assert_eq!(
            (good.config_origin, good.config.log_level),
            (ConfigOrigin::LastGood, crate::log::Level::Warn)
        );
        assert_eq!(good.config_error.as_deref(), Some("last good copy in force: no such address"));
        let built_in = after(good, "another reason").unwrap();
        assert_eq!(built_in.config_origin, ConfigOrigin::BuiltIn);
        assert_eq!(built_in.config_error.as_deref(), Some("built-in default in force: no such address"));
        assert!(after(built_in, "a third").is_none());
        // A copy of what did not start would not start either.
        let file = directory.write(GOOD_TEXT, Some(GOOD_TEXT));
        assert_eq!(after(load_with_fallback(&file), "x").unwrap().config_origin, ConfigOrigin::BuiltIn);
    }

    #[test]
    fn message_is_cut_at_its_limit_and_keeps_its_end() {
        let message = |first: usize, more| {
            LoadFailure { first: "é".repeat(first), more }.message(ConfigOrigin::BuiltIn).as_str().to_owned()
        };
        assert!(message(10, 2).ends_with("éé; and 2 more"));
        let cut = message(COMPLAINT_BYTES, 31);
        assert!(cut.ends_with("é; and 31 more"), "{cut}");
        assert!((COMPLAINT_BYTES - 1..=COMPLAINT_BYTES).contains(&cut.len()), "{}", cut.len());
        let whole = (COMPLAINT_BYTES - message(0, 0).len()) / 2;
        assert_eq!(message(whole, 0).chars().filter(|c| *c == 'é').count(), whole);
        assert_eq!(message(whole + 1, 0).chars().filter(|c| *c == 'é').count(), whole);
    }
}
