//! Reasons of failed system calls, in words and number.

use core::fmt;
use std::io;

/// Reason of a failure, for log lines and errors: `No such file or directory (errno 2)`.
///
/// An error without a number of the system keeps its own words.
#[derive(Clone, Copy, Debug)]
pub enum Reason<'a> {
    /// Error number of the system, errno(3).
    Errno(i32),
    /// Error of a library.
    Other(&'a io::Error),
}

impl From<i32> for Reason<'_> {
    fn from(errno: i32) -> Self {
        Self::Errno(errno)
    }
}

impl From<rustix::io::Errno> for Reason<'_> {
    fn from(errno: rustix::io::Errno) -> Self {
        Self::Errno(errno.raw_os_error())
    }
}

impl<'a> From<&'a io::Error> for Reason<'a> {
    fn from(error: &'a io::Error) -> Self {
        error.raw_os_error().map_or(Self::Other(error), Self::Errno)
    }
}

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Errno(errno) => {
                // The standard library appends "(os error 2)", which no manual page uses.
                let text = io::Error::from_raw_os_error(*errno).to_string();
                let words = text.split_once(" (os error").map_or(text.as_str(), |(words, _)| words);
                write!(f, "{words} (errno {errno})")
            }
            Self::Other(error) => error.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_error_is_shown_in_words_and_number() {
        let expected = "No such file or directory (errno 2)";
        assert_eq!(Reason::from(2).to_string(), expected);
        assert_eq!(Reason::from(rustix::io::Errno::NOENT).to_string(), expected);
        assert_eq!(Reason::from(&io::Error::from_raw_os_error(2)).to_string(), expected);
        let unknown = Reason::from(i32::MIN).to_string();
        assert!(unknown.ends_with(" (errno -2147483648)"), "{unknown}");
    }

    #[test]
    fn other_error_keeps_its_words() {
        let error = io::Error::other("expected a path");
        assert_eq!(Reason::from(&error).to_string(), "expected a path");
    }
}
