//! Configuration file, read and parsed.

use std::fmt;
use std::path::{Path, PathBuf};

use super::file::{self, FileError};
use crate::config::{self, Config, ParseError};
use crate::limits::CONFIG_BYTES;

/// Error of one configuration file.
#[derive(Debug)]
pub enum LoadError {
    /// Errors of the content.
    Config(ParseError),
    /// The file at this path has no content.
    Empty(PathBuf),
    /// The file cannot be read.
    File(FileError),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(errors) => errors.fmt(f),
            Self::Empty(path) => write!(f, "{}: the file is empty", path.display()),
            Self::File(error) => error.fmt(f),
        }
    }
}

/// Reads any file that a person names: a pipe of the shell, too. The built-in service runs `program`.
pub fn read(path: &Path, program: &str) -> Result<(Config, String), LoadError> {
    parse(path, program, file::read(path, CONFIG_BYTES))
}

/// Reads a regular file that is not empty. The built-in service runs `program`.
pub fn read_regular(path: &Path, program: &str) -> Result<(Config, String), LoadError> {
    match parse(path, program, file::read_regular(path, CONFIG_BYTES))? {
        // A power cut leaves this of a file that was written in place. As a file that sets nothing it would become the
        // last good one.
        (_, text) if text.trim().is_empty() => Err(LoadError::Empty(path.to_owned())),
        read => Ok(read),
    }
}

fn parse(
    path: &Path,
    program: &str,
    bytes: Result<Vec<u8>, FileError>,
) -> Result<(Config, String), LoadError> {
    let text = bytes.and_then(|bytes| file::text(path, bytes)).map_err(LoadError::File)?;
    let config = config::parse(&text, &path.display().to_string(), program).map_err(LoadError::Config)?;
    Ok((config, text))
}
