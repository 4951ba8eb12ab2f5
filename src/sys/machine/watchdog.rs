//! Hardware watchdog: a device that resets the board unless it is written to.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

/// Byte that disarms the device when it is closed.
const MAGIC_CLOSE: &[u8] = b"V";

/// Armed watchdog. It stays armed, and resets the board, if it is dropped without
/// [`Watchdog::disarm`].
#[derive(Debug)]
pub struct Watchdog {
    file: File,
}

impl Watchdog {
    /// Opens the device. This arms it.
    ///
    /// # Errors
    /// Error of the device: `ENOENT` if there is none, `EBUSY` if another process has it open.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { file: OpenOptions::new().write(true).open(path)? })
    }

    /// Restarts the timeout.
    ///
    /// # Errors
    /// Error of the device.
    pub fn feed(&mut self) -> io::Result<()> {
        self.file.write_all(b"\0")
    }

    /// Disarms the device, unless its driver forbids that.
    ///
    /// # Errors
    /// Error of the device, which is still armed.
    pub fn disarm(mut self) -> io::Result<()> {
        self.file.write_all(MAGIC_CLOSE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_feed_and_disarm() {
        let path = std::env::temp_dir().join(format!("friendlet-watchdog-{}", std::process::id()));
        assert_eq!(Watchdog::open(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
        std::fs::write(&path, "").unwrap();
        let mut watchdog = Watchdog::open(&path).unwrap();
        watchdog.feed().unwrap();
        watchdog.feed().unwrap();
        watchdog.disarm().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"\0\0V");
        std::fs::remove_file(path).unwrap();
    }
}
