//! Terminal of a person.

use core::ffi::c_int;
use std::io::{self, IsTerminal as _};

use libc::{SIGINT, SIGQUIT, SIGTERM, SIGTSTP};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::retry_on_intr;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use super::fork::{SignalFd, unblock_signals};

/// Signals that end or stop a program at a terminal.
const SIGNALS: [c_int; 4] = [SIGINT, SIGQUIT, SIGTERM, SIGTSTP];

/// Standard input, a terminal, without the echo of typed characters until it is dropped. A signal that ends or stops
/// this process takes effect with the echo restored.
#[derive(Debug)]
pub struct HiddenInput {
    before: Termios,
    signals: SignalFd,
}

impl HiddenInput {
    /// Disables the echo.
    ///
    /// # Errors
    /// Error of the terminal.
    pub fn new() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let signals = hide(&before)?;
        Ok(Self { before, signals })
    }

    /// Reads bytes of standard input.
    ///
    /// # Errors
    /// Error of the terminal.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let input = io::stdin();
        loop {
            let mut descriptors =
                [PollFd::new(&self.signals, PollFlags::IN), PollFd::new(&input, PollFlags::IN)];
            retry_on_intr(|| poll(&mut descriptors, None))?;
            let [signal, _] = descriptors;
            if signal.revents().is_empty() {
                return read_input(buffer);
            }
            // It stays pending, and ends or stops this process here. Continued, it reads on.
            self.show();
            self.signals = hide(&self.before)?;
        }
    }

    fn show(&self) {
        // If this fails, nothing else can restore the echo.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
        unblock_signals();
    }
}

/// Blocks the signals and disables the echo.
fn hide(before: &Termios) -> io::Result<SignalFd> {
    let signals = SignalFd::new(&SIGNALS)?;
    let mut hidden = before.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    // The end of the line is still echoed, so that the next output starts a new line.
    hidden.local_modes.insert(LocalModes::ECHONL);
    tcsetattr(io::stdin(), OptionalActions::Flush, &hidden)?;
    Ok(signals)
}

impl Drop for HiddenInput {
    fn drop(&mut self) {
        self.show();
    }
}

/// Returns true if standard input is a terminal.
pub fn is_terminal() -> bool {
    io::stdin().is_terminal()
}

/// Reads bytes of standard input.
///
/// # Errors
/// Error of read(2).
pub fn read_input(buffer: &mut [u8]) -> io::Result<usize> {
    Ok(retry_on_intr(|| rustix::io::read(io::stdin(), &mut *buffer))?)
}

/// Reads a line of up to `limit` bytes, and returns it without its end; `None` at the end of the input. Nothing is read
/// beyond it.
///
/// # Errors
/// Those of `read`.
pub fn read_line(
    read: &mut dyn FnMut(&mut [u8]) -> io::Result<usize>,
    limit: usize,
) -> io::Result<Option<Vec<u8>>> {
    let (mut line, mut byte) = (Vec::new(), [0]);
    while line.len() < limit && line.last() != Some(&b'\n') && read(&mut byte)? > 0 {
        line.extend(byte);
    }
    if line.is_empty() {
        return Ok(None);
    }
    if line.pop_if(|byte| *byte == b'\n').is_some() {
        line.pop_if(|byte| *byte == b'\r');
    }
    Ok(Some(line))
}
