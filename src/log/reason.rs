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

/// Texts of the numbers that files, processes and sockets can give, in glibc's words. A table, because
/// the standard library allocates a string for each.
const TEXTS: [(i32, &str); 52] = [
    (1, "Operation not permitted"),
    (2, "No such file or directory"),
    (3, "No such process"),
    (4, "Interrupted system call"),
    (5, "Input/output error"),
    (6, "No such device or address"),
    (7, "Argument list too long"),
    (8, "Exec format error"),
    (9, "Bad file descriptor"),
    (10, "No child processes"),
    (11, "Resource temporarily unavailable"),
    (12, "Cannot allocate memory"),
    (13, "Permission denied"),
    (16, "Device or resource busy"),
    (17, "File exists"),
    (18, "Invalid cross-device link"),
    (19, "No such device"),
    (20, "Not a directory"),
    (21, "Is a directory"),
    (22, "Invalid argument"),
    (23, "Too many open files in system"),
    (24, "Too many open files"),
    (25, "Inappropriate ioctl for device"),
    (26, "Text file busy"),
    (27, "File too large"),
    (28, "No space left on device"),
    (30, "Read-only file system"),
    (32, "Broken pipe"),
    (36, "File name too long"),
    (37, "No locks available"),
    (38, "Function not implemented"),
    (39, "Directory not empty"),
    (40, "Too many levels of symbolic links"),
    (74, "Bad message"),
    (90, "Message too long"),
    (95, "Operation not supported"),
    (97, "Address family not supported by protocol"),
    (98, "Address already in use"),
    (99, "Cannot assign requested address"),
    (100, "Network is down"),
    (101, "Network is unreachable"),
    (103, "Software caused connection abort"),
    (104, "Connection reset by peer"),
    (105, "No buffer space available"),
    (107, "Transport endpoint is not connected"),
    (110, "Connection timed out"),
    (111, "Connection refused"),
    (113, "No route to host"),
    (116, "Stale file handle"),
    (117, "Structure needs cleaning"),
    (121, "Remote I/O error"),
    (122, "Disk quota exceeded"),
];

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Errno(errno) => {
                let text = TEXTS.iter().find(|(number, _)| number == errno).map_or("error", |(_, text)| text);
                write!(f, "{text} (errno {errno})")
            }
            Self::Other(error) => error.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_those_of_the_system() {
        for (number, text) in TEXTS {
            let system = io::Error::from_raw_os_error(number).to_string();
            assert_eq!(system, format!("{text} (os error {number})"));
        }
    }

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
