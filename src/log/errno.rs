//! Error numbers of Linux, as a log line shows them.

use core::fmt;

/// An `errno`, displayed as `No such file or directory (errno 2)`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Errno(pub i32);

/// Texts of the numbers that starting a program, opening a file or sending a signal can give, in
/// glibc's words. A table, because the standard library allocates a string for each.
const TEXTS: [(i32, &str); 21] = [
    (1, "Operation not permitted"),
    (2, "No such file or directory"),
    (3, "No such process"),
    (5, "Input/output error"),
    (7, "Argument list too long"),
    (8, "Exec format error"),
    (11, "Resource temporarily unavailable"),
    (12, "Cannot allocate memory"),
    (13, "Permission denied"),
    (16, "Device or resource busy"),
    (17, "File exists"),
    (20, "Not a directory"),
    (21, "Is a directory"),
    (22, "Invalid argument"),
    (23, "Too many open files in system"),
    (24, "Too many open files"),
    (26, "Text file busy"),
    (28, "No space left on device"),
    (30, "Read-only file system"),
    (36, "File name too long"),
    (40, "Too many levels of symbolic links"),
];

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = TEXTS.iter().find(|(number, _)| *number == self.0).map_or("error", |(_, text)| text);
        write!(f, "{text} (errno {})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_and_text() {
        assert_eq!(Errno(2).to_string(), "No such file or directory (errno 2)");
        assert_eq!(Errno(4095).to_string(), "error (errno 4095)");
        assert!(TEXTS.is_sorted_by_key(|(number, _)| *number));
    }

    #[test]
    #[cfg(target_env = "gnu")]
    fn texts_are_those_of_the_system() {
        for (number, text) in TEXTS {
            let system = std::io::Error::from_raw_os_error(number).to_string();
            assert_eq!(system, format!("{text} (os error {number})"));
        }
    }
}
