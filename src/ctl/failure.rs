//! Exit codes, and failures of a command.

/// The call failed.
pub(super) const FAILED: u8 = 1;
/// `status`: the service does not run (LSB).
pub(super) const NOT_RUNNING: u8 = 3;
/// Command line error (`EX_USAGE`).
pub(super) const USAGE: u8 = 64;
/// Server not reached, or at capacity (`EX_UNAVAILABLE`).
pub(super) const UNAVAILABLE: u8 = 69;
/// Not logged in, or permission denied (`EX_NOPERM`).
pub(super) const NO_RIGHT: u8 = 77;

/// Failure of a command.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Failure {
    /// Exit code.
    pub(super) code: u8,
    /// Error message: what failed, on what, why, and what to do.
    pub(super) text: String,
}

impl Failure {
    pub(super) fn new(code: u8, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }
}
