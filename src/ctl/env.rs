//! Environment of a command: terminal, directories of the user, variables.

use std::fmt;
use std::io::{self, Write};
use std::time::Duration;

use super::failure::{Failure, IO};
use super::output::{Terminal, reader_has_gone};
use super::state::StateDir;
use crate::log::Reason;

/// Reads a line of standard input after a prompt; without echo if the second argument is true.
pub(super) type Ask<'e> = dyn FnMut(&str, bool) -> io::Result<String> + 'e;

/// Environment of a command.
pub(super) struct Env<'e> {
    /// State directory of the user.
    pub(super) state: Result<StateDir, Failure>,
    /// Configuration directory of the user.
    pub(super) configuration: Result<StateDir, Failure>,
    /// `FRIENDLET_URL`.
    pub(super) url: Option<String>,
    /// `FRIENDLET_SESSION`.
    pub(super) session: Option<String>,
    /// Results.
    pub(super) out: &'e mut dyn Write,
    /// Errors and notes.
    pub(super) err: &'e mut dyn Write,
    pub(super) ask: &'e mut Ask<'e>,
    /// Standard input is a terminal.
    pub(super) is_terminal: bool,
    /// Terminal of standard output.
    pub(super) terminal: Option<Terminal>,
    /// Asks for that, whose size may have changed.
    pub(super) measure: fn() -> Option<Terminal>,
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
        self.out.write_all(bytes).and_then(|()| self.out.flush()).map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::no_reader(),
            _ => Failure::new(IO, format!("cannot write to standard output: {}", Reason::from(&error))),
        })
    }

    /// Pauses a command without an end, unless the reader of its results has gone.
    pub(super) fn pause(&self, pause: Duration) -> Result<(), Failure> {
        match reader_has_gone(None, pause) {
            Ok(true) => Err(Failure::no_reader()),
            _ => Ok(()),
        }
    }

    /// Writes a line to standard error.
    pub(super) fn note(&mut self, text: impl fmt::Display) {
        // A closed standard error does not fail the command.
        let _ = writeln!(self.err, "{text}");
    }

    /// Writes the message of a failure.
    pub(super) fn note_failure(&mut self, failure: &Failure) {
        if !failure.text.is_empty() {
            self.note(format_args!("friendlet ctl: {}", failure.text));
        }
    }
}

/// Output whose every line has a beginning and an end.
pub(super) struct Framed<'e> {
    pub(super) out: &'e mut dyn Write,
    pub(super) begin: String,
    pub(super) end: &'static str,
    /// A line has begun.
    pub(super) is_open: bool,
}

impl Write for Framed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            if !self.is_open {
                self.out.write_all(self.begin.as_bytes())?;
            }
            self.is_open = !line.ends_with(b"\n");
            let text = line.strip_suffix(b"\n").unwrap_or(line);
            self.out.write_all(text)?;
            if !self.is_open {
                self.out.write_all(self.end.as_bytes())?;
                self.out.write_all(b"\n")?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_framed_however_they_are_written() {
        let mut out = Vec::new();
        let mut framed = Framed { out: &mut out, begin: "a  ".to_owned(), end: "!", is_open: false };
        for piece in ["one", " two\nthree\n", "\n", "four"] {
            framed.write_all(piece.as_bytes()).unwrap();
        }
        assert_eq!(String::from_utf8(out).unwrap(), "a  one two!\na  three!\na  !\na  four");
    }
}
