//! The terminal, where there is one.

use std::io::{self, IsTerminal as _};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

/// Keeps what is typed from being shown, until it is dropped. Does nothing where standard input is no
/// terminal.
#[derive(Debug)]
pub struct HiddenInput {
    before: Option<Termios>,
}

impl HiddenInput {
    /// Hides what is typed from now on.
    pub fn new() -> io::Result<Self> {
        if !is_terminal() {
            return Ok(Self { before: None });
        }
        let before = tcgetattr(io::stdin())?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        // The line's end is still shown, so that what is written next has a line of its own.
        hidden.local_modes.insert(LocalModes::ECHONL);
        tcsetattr(io::stdin(), OptionalActions::Flush, &hidden)?;
        Ok(Self { before: Some(before) })
    }
}

impl Drop for HiddenInput {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // There is nothing left to be done when this fails.
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}

/// Whether standard input is a terminal.
pub fn is_terminal() -> bool {
    io::stdin().is_terminal()
}
