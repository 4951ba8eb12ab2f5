//! Terminal of a person.

use std::io::{self, IsTerminal as _};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

/// Disables the echo of typed characters until it is dropped. Without a terminal it does nothing.
#[derive(Debug)]
pub struct HiddenInput {
    before: Option<Termios>,
}

impl HiddenInput {
    /// Disables the echo.
    ///
    /// # Errors
    /// Error of the terminal.
    pub fn new() -> io::Result<Self> {
        if !is_terminal() {
            return Ok(Self { before: None });
        }
        let before = tcgetattr(io::stdin())?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        // The end of the line is still echoed, so that the next output starts a new line.
        hidden.local_modes.insert(LocalModes::ECHONL);
        tcsetattr(io::stdin(), OptionalActions::Flush, &hidden)?;
        Ok(Self { before: Some(before) })
    }
}

impl Drop for HiddenInput {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // If this fails, nothing else can restore the echo.
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}

/// Returns true if standard input is a terminal.
pub fn is_terminal() -> bool {
    io::stdin().is_terminal()
}
