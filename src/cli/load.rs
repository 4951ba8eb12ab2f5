//! Finds and reads the configuration file with its drop-ins, or the replacement of what cannot be used.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::exit;
use crate::config::{
    self, COMPLAINT_BYTES, Config, ConfigError, ConfigOrigin, Diagnostic, ParseError, References, Settled,
    Severity, Source,
};
use crate::limits::{BOARD_FILE, CONFIG_BYTES};
use crate::serve::{GOOD, ReloadFiles};
use crate::sys::drop_ins::{self, DropIn};
use crate::sys::file::{self, FileError, FileReason};

/// Default path of the configuration file.
pub const DEFAULT_PATH: &str = "/etc/friendlet/friendlet.toml";

/// Error of one configuration file.
#[derive(Debug)]
pub(super) enum LoadError {
    Config(ParseError),
    File(FileError),
}

impl LoadError {
    /// The error of a file that cannot be read.
    pub(super) fn finding(&self) -> Option<Diagnostic> {
        let Self::File(error) = self else { return None };
        let place = match error.reason {
            FileReason::NotUtf8 { line, column, .. } => Some((line, column)),
            _ => None,
        };
        let (source, message) = (error.path.display().to_string(), error.reason.to_string());
        let hint = hint_of(error).unwrap_or_default().to_owned();
        Some(Diagnostic { source, place, severity: Severity::Error, message, hint })
    }

    pub(super) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Config(_) => exit::CONFIG.into(),
            Self::File(error) if error.is_missing() => exit::NO_INPUT.into(),
            Self::File(error) if error.is_permission() => exit::NO_PERMISSION.into(),
            Self::File(error) => match error.reason {
                FileReason::Io(_) => exit::IO.into(),
                FileReason::NotUtf8 { .. }
                | FileReason::TooLarge(_)
                | FileReason::NotRegular
                | FileReason::Empty => exit::CONFIG.into(),
            },
        }
    }
}

/// Correction of a file that is not UTF-8.
fn hint_of(error: &FileError) -> Option<&'static str> {
    matches!(error.reason, FileReason::NotUtf8 { .. }).then_some("save it as UTF-8")
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(errors) => errors.fmt(f),
            Self::File(error) => {
                error.fmt(f)?;
                hint_of(error).map_or(Ok(()), |hint| write!(f, "; {hint}"))
            }
        }
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
    /// Reasons for not using the given file, or a drop-in.
    pub config_error: Option<ConfigError>,
    /// The same, each whole.
    pub errors: Vec<String>,
    /// Path of the given file.
    path: PathBuf,
    /// The files in force; `None` of the built-in default alone.
    document: Option<String>,
    /// SHA-256 of the given file, if it is in force.
    given: Option<Digest>,
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
            LoadError::Config(errors) => Self { first: errors.first(), more: errors.after_first() },
            LoadError::File(error) => Self::new(error),
        }
    }

    /// `last good copy in force: FILE:3:1: unknown key 'x'; and 2 more`. Too long a message is cut before
    /// the number.
    fn message(&self, config_origin: ConfigOrigin) -> String {
        let mut message = format!("{} in force: {}", title(config_origin), self.first);
        let end = if self.more > 0 { format!("; and {} more", self.more) } else { String::new() };
        while message.len() + end.len() > COMPLAINT_BYTES {
            message.pop();
        }
        message + &end
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
    /// Text of the files in force, for a later program; `None` of the built-in default alone.
    pub(super) fn text(&self) -> Option<String> {
        self.document.clone()
    }

    /// Files of a reload. With `falls_back`, the last good copy is written.
    pub(super) fn reload_files(&self, falls_back: bool) -> ReloadFiles {
        let good_copy = falls_back.then(|| good_path(&self.path));
        let may_be_missing = self.config_origin == ConfigOrigin::BuiltIn && self.failure.is_none();
        ReloadFiles { config: self.path.clone(), good_copy, may_be_missing, program: program() }
    }

    /// Parts: the configuration for the server; path and document of the last good copy, which is written
    /// once the server serves; and the fallbacks.
    pub(super) fn into_parts(self) -> (Config, Option<(PathBuf, String)>, FallbackChain) {
        // The last good copy alone would be written again.
        let is_other = |document: &String| self.given.is_some() || config::split(document, "").len() > 1;
        let good_copy = self.document.filter(is_other).map(|document| (good_path(&self.path), document));
        let fallbacks = FallbackChain {
            config_origin: self.config_origin,
            given: self.given,
            path: self.path,
            failure: self.failure,
        };
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
        let surroundings = Surroundings::read(&self.path, true);
        match self.config_origin {
            ConfigOrigin::Given => Some(surroundings.fall_back(self.given, failure)),
            ConfigOrigin::LastGood => Some(surroundings.built_in(Some(failure))),
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

/// The configuration of an earlier program, for the file at `path`. This program has a built-in default of its own.
pub(super) fn of_predecessor(path: &Path, configuration: &str) -> Result<Loaded, LoadError> {
    let mut lines = configuration.splitn(3, '\n');
    let [origin, error, text] = [(); 3].map(|()| lines.next().unwrap_or_default());
    let origins = [ConfigOrigin::Given, ConfigOrigin::LastGood, ConfigOrigin::BuiltIn];
    let config_origin =
        origins.into_iter().find(|known| known.name() == origin).unwrap_or(ConfigOrigin::Given);
    let name = match config_origin {
        ConfigOrigin::Given => path.display().to_string(),
        ConfigOrigin::LastGood => good_path(path).display().to_string(),
        ConfigOrigin::BuiltIn => config::built_in_source(),
    };
    let mut files = config::split(text, &name);
    if let (Some(file), ConfigOrigin::BuiltIn) = (files.first_mut(), config_origin) {
        *file = Source::new(&name, BOARD_FILE);
    }
    // Some drop-ins may have been left out.
    let config =
        config::parse_files(&files, References::MayBeMissing, &program()).map_err(LoadError::Config)?;
    let given = files.first().filter(|_| config_origin == ConfigOrigin::Given);
    Ok(Loaded {
        config,
        source: name.clone(),
        config_origin,
        config_error: (!error.is_empty()).then(|| config::one_line(error)),
        errors: Vec::new(),
        path: path.to_owned(),
        document: (config_origin != ConfigOrigin::BuiltIn || files.len() > 1).then(|| text.to_owned()),
        given: given.map(|file| digest(file.text.unwrap_or_default())),
        failure: (config_origin != ConfigOrigin::Given && !error.is_empty()).then(|| LoadFailure::new(error)),
    })
}

/// Files beside a configuration file.
struct Surroundings<'p> {
    /// Path of the configuration file.
    path: &'p Path,
    drop_ins: Vec<DropIn>,
    /// Document of the last good copy; empty without one.
    good: String,
}

impl<'p> Surroundings<'p> {
    fn read(path: &'p Path, falls_back: bool) -> Self {
        let good = falls_back.then(|| file::read_regular_text(&good_path(path), CONFIG_BYTES).ok()).flatten();
        Self { path, drop_ins: drop_ins::read(path), good: good.unwrap_or_default() }
    }

    /// Returns true without a file, or even a link to one, and without a last good copy, or with that of drop-ins alone.
    fn never_had_a_file(&self) -> bool {
        let of_drop_ins = !self.good.is_empty() && self.good_file().is_none();
        file::is_absent(self.path) && (of_drop_ins || file::is_absent(&good_path(self.path)))
    }

    /// Text of the file in the last good copy.
    fn good_file(&self) -> Option<&str> {
        let text = config::split(&self.good, "").first()?.text.ok()?;
        (!text.trim().is_empty()).then_some(text)
    }

    fn drop_ins(&self) -> Vec<Source<'_>> {
        self.drop_ins.iter().map(DropIn::source).collect()
    }

    /// The file with this text, and its drop-ins. One that cannot be used is replaced or left out.
    fn load(
        &self,
        file: Source<'_>,
        config_origin: ConfigOrigin,
        failure: Option<LoadFailure>,
    ) -> Result<Loaded, LoadError> {
        let references = match config_origin {
            ConfigOrigin::Given | ConfigOrigin::BuiltIn => References::Known,
            // A drop-in may have gone since.
            ConfigOrigin::LastGood => References::MayBeMissing,
        };
        let good = config::split(&self.good, "");
        let copies = good.get(1..).unwrap_or_default();
        let settled = config::settle(file, &self.drop_ins(), copies, references, &program());
        Ok(self.loaded(file, settled.map_err(LoadError::Config)?, config_origin, failure))
    }

    fn loaded(
        &self,
        file: Source<'_>,
        settled: Settled<'_>,
        config_origin: ConfigOrigin,
        failure: Option<LoadFailure>,
    ) -> Loaded {
        let Settled { config, files, failures } = settled;
        let is_given = config_origin == ConfigOrigin::Given;
        let of_the_file = failure.iter().map(|failure| failure.message(config_origin));
        let errors: Vec<_> = of_the_file.chain(failures.iter().map(ToString::to_string)).collect();
        Loaded {
            config,
            source: file.name.to_owned(),
            config_origin,
            config_error: (!errors.is_empty()).then(|| config::one_line(errors.join("; "))),
            errors,
            path: self.path.to_owned(),
            document: (config_origin != ConfigOrigin::BuiltIn || files.len() > 1)
                .then(|| config::join(&files, config_origin)),
            given: is_given.then(|| digest(file.text.unwrap_or_default())),
            failure,
        }
    }

    /// The last good copy, unless its text is that of `given`; else the built-in default.
    fn fall_back(&self, given: Option<Digest>, failure: LoadFailure) -> Loaded {
        let name = good_path(self.path).display().to_string();
        let text = self.good_file().filter(|text| given != Some(digest(text)));
        let file = text.map(|text| Source::new(&name, text));
        let loaded = file.map(|file| self.load(file, ConfigOrigin::LastGood, Some(failure.clone())));
        loaded.and_then(Result::ok).unwrap_or_else(|| self.built_in(Some(failure)))
    }

    /// The built-in default.
    fn built_in(&self, failure: Option<LoadFailure>) -> Loaded {
        let name = config::built_in_source();
        let file = Source::new(&name, BOARD_FILE);
        self.load(file, ConfigOrigin::BuiltIn, failure.clone()).unwrap_or_else(|_| {
            let config = config::built_in(&program());
            let settled = Settled { config, files: vec![file], failures: Vec::new() };
            self.loaded(file, settled, ConfigOrigin::BuiltIn, failure)
        })
    }
}

/// Reads the named configuration file, or the one at the default path; where that is missing, the
/// built-in default.
pub(super) fn load(named: Option<&Path>) -> Result<Loaded, LoadError> {
    load_from(named, Path::new(DEFAULT_PATH))
}

fn load_from(named: Option<&Path>, default: &Path) -> Result<Loaded, LoadError> {
    let path = named.unwrap_or(default);
    let (name, text, config_origin) = read_named(named, path)?;
    Surroundings::read(path, false).load(Source::new(&name, &text), config_origin, None)
}

/// The same file and its drop-ins, as they are on the disk.
#[derive(Debug)]
pub(super) struct Files {
    /// Name of the file, for people.
    pub(super) name: String,
    text: String,
    drop_ins: Vec<DropIn>,
}

impl Files {
    pub(super) fn read(named: Option<&Path>) -> Result<Self, LoadError> {
        let path = named.unwrap_or(Path::new(DEFAULT_PATH));
        let (name, text, _) = read_named(named, path)?;
        Ok(Self { name, text, drop_ins: drop_ins::read(path) })
    }

    /// Returns true if the configuration file has nothing but white space.
    pub(super) fn is_empty(&self) -> bool {
        self.text.trim().is_empty()
    }

    /// The files for the parser.
    pub(super) fn sources(&self) -> Vec<Source<'_>> {
        let file = Source::new(&self.name, &self.text);
        std::iter::once(file).chain(self.drop_ins.iter().map(DropIn::source)).collect()
    }
}

/// Name, text and origin of a file that is named, or may be missing.
fn read_named(named: Option<&Path>, path: &Path) -> Result<(String, String, ConfigOrigin), LoadError> {
    // Whatever it is that a person names: a pipe of the shell, too.
    match file::read_text(path, CONFIG_BYTES) {
        Ok(text) => Ok((path.display().to_string(), text, ConfigOrigin::Given)),
        Err(error) if named.is_none() && error.is_missing() && file::is_absent(path) => {
            Ok((config::built_in_source(), BOARD_FILE.to_owned(), ConfigOrigin::BuiltIn))
        }
        Err(error) => Err(LoadError::File(error)),
    }
}

/// Reads the configuration file at `path`; where it cannot be used, the last good copy beside it
/// (`PATH.good`); where that cannot be used either, the built-in default. That is in force without an error where neither
/// has ever been.
pub fn load_with_fallback(path: &Path) -> Loaded {
    let surroundings = Surroundings::read(path, true);
    let failure = match file::read_content(path, CONFIG_BYTES) {
        Ok(text) => {
            let name = path.display().to_string();
            match surroundings.load(Source::new(&name, &text), ConfigOrigin::Given, None) {
                Ok(loaded) => return loaded,
                Err(error) => LoadFailure::of(&error),
            }
        }
        Err(error) if error.is_missing() && surroundings.never_had_a_file() => {
            return surroundings.built_in(None);
        }
        Err(error) if error.is_missing() => {
            let good = good_path(path);
            LoadFailure::new(format_args!("{error}; to do without it, remove {}, too", good.display()))
        }
        Err(error) => LoadFailure::new(error),
    };
    surroundings.fall_back(None, failure)
}

/// Path of the last good copy of a configuration file.
fn good_path(path: &Path) -> PathBuf {
    file::with_suffix(path, GOOD)
}

/// Path of this binary, for the built-in service.
pub(super) fn program() -> String {
    std::env::current_exe()
        .ok()
        .and_then(|path| path.into_os_string().into_string().ok())
        .unwrap_or_else(|| "/proc/self/exe".to_owned())
}

#[cfg(test)]
mod tests;
