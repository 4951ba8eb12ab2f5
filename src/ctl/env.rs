//! Environment of a command: terminal, state directory, variables.

use std::fmt;
use std::io::{self, Write};

use super::failure::{FAILED, Failure};
use super::state::StateDir;

/// Environment of a command.
pub(super) struct Env<'e> {
    /// State directory of the user.
    pub(super) state: Result<StateDir, Failure>,
    /// `FRIENDLET_SESSION`.
    pub(super) session: Option<String>,
    /// Results.
    pub(super) out: &'e mut dyn Write,
    /// Errors and notes.
    pub(super) err: &'e mut dyn Write,
    /// Reads a password, after this prompt.
    pub(super) password: &'e mut dyn FnMut(&str) -> io::Result<String>,
    /// Standard input is a terminal.
    pub(super) is_terminal: bool,
}

impl Env<'_> {
    pub(super) fn state(&self) -> Result<&StateDir, Failure> {
        self.state.as_ref().map_err(Failure::clone)
    }

    /// Writes a result.
    pub(super) fn print(&mut self, text: &str) -> Result<(), Failure> {
        self.write(text.as_bytes())
    }

    /// Writes a result of any bytes.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.out
            .write_all(bytes)
            .and_then(|()| self.out.flush())
            .map_err(|error| Failure::new(FAILED, format!("cannot write to standard output: {error}")))
    }

    /// Writes a line to standard error.
    pub(super) fn note(&mut self, text: impl fmt::Display) {
        // A closed standard error does not fail the command.
        let _ = writeln!(self.err, "{text}");
    }
}
