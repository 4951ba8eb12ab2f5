//! Exit codes, and failures of a command.

/// The call failed.
pub(super) const FAILED: u8 = 1;
/// `status`: the service does not run (LSB).
pub(super) const NOT_RUNNING: u8 = 3;
/// No such service, command or call (LSB's unknown status).
pub(super) const UNKNOWN: u8 = 4;
/// Command line error (`EX_USAGE`).
pub(super) const USAGE: u8 = 64;
/// Server not reached, or at capacity (`EX_UNAVAILABLE`).
pub(super) const UNAVAILABLE: u8 = 69;
/// Another certificate than expected (`EX_PROTOCOL`).
pub(super) const UNTRUSTED: u8 = 76;
/// Not logged in, or permission denied (`EX_NOPERM`).
pub(super) const NO_RIGHT: u8 = 77;

/// Failure of a command.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Failure {
    /// Exit code.
    pub(super) code: u8,
    /// Error message: what failed, on what, why, and what to do. Empty: the reader of the output has enough.
    pub(super) text: String,
    /// Error number of Linux in the server's reply, or 0.
    pub(super) number: i32,
}

impl Failure {
    pub(super) fn new(code: u8, text: impl Into<String>) -> Self {
        Self { code, text: text.into(), number: 0 }
    }

    /// The same failure in other words.
    pub(super) fn with_text(self, text: impl Into<String>) -> Self {
        Self { text: text.into(), ..self }
    }
}
