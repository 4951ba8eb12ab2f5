//! Exit codes, and failures of a command.

use core::ops::{Deref, DerefMut};

/// The call failed.
pub(super) const FAILED: u8 = 1;
/// `status`: the service does not run (LSB).
pub(super) const NOT_RUNNING: u8 = 3;
/// No such service, command or call (LSB's unknown status).
pub(super) const UNKNOWN: u8 = 4;
/// Command line error (`EX_USAGE`).
pub(super) const USAGE: u8 = 64;
/// Certificate or key of the client that cannot be used (`EX_DATAERR`).
pub(super) const UNUSABLE: u8 = 65;
/// Server not reached, or at capacity (`EX_UNAVAILABLE`).
pub(super) const UNAVAILABLE: u8 = 69;
/// Standard output, or a file of the user, cannot be written or read (`EX_IOERR`).
pub(super) const IO: u8 = 74;
/// Another certificate than expected (`EX_PROTOCOL`).
pub(super) const UNTRUSTED: u8 = 76;
/// Not logged in, or permission denied (`EX_NOPERM`).
pub(super) const NO_RIGHT: u8 = 77;

/// Failure of a command. It is a pointer, so that results are short.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Failure(Box<Details>);

#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Details {
    /// Exit code.
    pub(super) code: u8,
    /// Error message: what failed, on what, why, and what to do. Empty: the reader of the output has enough.
    pub(super) text: String,
    /// Error number of Linux in the server's reply, or 0.
    pub(super) number: i32,
}

impl Failure {
    pub(super) fn new(code: u8, text: impl Into<String>) -> Self {
        Self::of_number(code, text.into(), 0)
    }

    /// Failure of a call that returned this number.
    #[inline(never)]
    pub(super) fn of_number(code: u8, text: String, number: i32) -> Self {
        Self(Box::new(Details { code, text, number }))
    }

    /// End of a command whose reader has enough, such as `head`.
    pub(super) fn no_reader() -> Self {
        Self::new(0, "")
    }

    /// The same failure in other words.
    pub(super) fn with_text(mut self, text: impl Into<String>) -> Self {
        self.text = text.into();
        self
    }
}

impl Deref for Failure {
    type Target = Details;

    fn deref(&self) -> &Details {
        &self.0
    }
}

impl DerefMut for Failure {
    fn deref_mut(&mut self) -> &mut Details {
        &mut self.0
    }
}
