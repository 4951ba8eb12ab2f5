//! Texts that pass from one process or program to another in a file in memory.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::OwnedFd;

use rustix::fs::{MemfdFlags, memfd_create};

/// Makes a file with this text. `name` is for people who look at the descriptors of the process.
///
/// # Errors
/// Error of the system: no memory or no descriptors left.
pub fn create(name: &str, text: &str) -> io::Result<File> {
    let mut file = File::from(memfd_create(name, MemfdFlags::CLOEXEC)?);
    file.write_all(text.as_bytes())?;
    Ok(file)
}

/// Reads such a file, at most `limit` bytes of it.
///
/// # Errors
/// Error of the system, or a text that is not UTF-8.
pub fn read(file: OwnedFd, limit: usize) -> io::Result<String> {
    let (mut file, mut text) = (File::from(file), String::new());
    file.rewind()?;
    file.take(limit as u64).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_up_to_its_limit() {
        for (limit, expected) in [(7, "text"), (4, "text"), (3, "tex"), (0, "")] {
            assert_eq!(read(create("test", "text").unwrap().into(), limit).unwrap(), expected);
        }
        // In the middle of a character.
        assert!(read(create("test", "\u{e4}").unwrap().into(), 1).is_err());
    }
}
