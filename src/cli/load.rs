//! Finding and reading the device file.

use std::fmt;
use std::path::Path;
use std::process::ExitCode;

use super::exit;
use crate::config::{self, Config, Diagnostics};
use crate::limits::{BOARD, BOARD_FILE, CONFIG_BYTES};
use crate::sys::file::{self, FileError, FileReason};

/// Where the device file is, unless the command line names another.
const DEFAULT_PATH: &str = "/etc/friendlet/friendlet.toml";

/// Why there is no configuration.
#[derive(Debug)]
pub(super) enum LoadError {
    Config(Diagnostics),
    File(FileError),
}

impl LoadError {
    pub(super) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Config(_) => exit::config(),
            Self::File(error) if error.is_missing() => exit::no_input(),
            Self::File(error) if error.is_permission() => exit::no_permission(),
            Self::File(error) => match error.reason {
                FileReason::Io(_) => exit::io(),
                FileReason::NotUtf8(_) | FileReason::TooLarge(_) => exit::config(),
            },
        }
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(errors) => errors.fmt(f),
            Self::File(error) => error.fmt(f),
        }
    }
}

/// Reads the device file named, or the one in its usual place, or the board's own. With it comes
/// what it is called.
pub(super) fn load(named: Option<&Path>) -> Result<(Config, String), LoadError> {
    load_from(named, Path::new(DEFAULT_PATH))
}

fn load_from(named: Option<&Path>, default: &Path) -> Result<(Config, String), LoadError> {
    let path = named.unwrap_or(default);
    let (text, origin) = match file::read_text(path, CONFIG_BYTES) {
        Ok(text) => (text, path.display().to_string()),
        Err(error) if named.is_none() && error.is_missing() => {
            (BOARD_FILE.to_owned(), format!("boards/{BOARD}/friendlet.toml (built in)"))
        }
        Err(error) => return Err(LoadError::File(error)),
    };
    let config = config::parse(&text, &origin, &program()).map_err(LoadError::Config)?;
    Ok((config, origin))
}

/// The path of this binary, for the service that is built in.
fn program() -> String {
    std::env::current_exe()
        .ok()
        .and_then(|path| path.into_os_string().into_string().ok())
        .unwrap_or_else(|| "/proc/self/exe".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MISSING: &str = "/nonexistent/friendlet.toml";

    #[test]
    fn boards_file_is_taken_where_there_is_none_in_the_usual_place() {
        let (config, origin) = load_from(None, Path::new(MISSING)).unwrap();
        assert!(origin.ends_with("(built in)"), "{origin}");
        let hello = config.services.find("hello").and_then(|id| config.services.get(id)).unwrap();
        assert!(hello.argv.first().is_some_and(|program| program.starts_with('/')));
    }

    #[test]
    fn named_file_must_be_there() {
        let error = load_from(Some(Path::new(MISSING)), Path::new(MISSING)).unwrap_err();
        assert!(matches!(&error, LoadError::File(error) if error.is_missing()));
        assert!(error.to_string().starts_with(MISSING), "{error}");
    }

    #[test]
    fn folder_in_the_usual_place_is_an_error() {
        assert!(matches!(load_from(None, Path::new("/")), Err(LoadError::File(_))));
    }
}
