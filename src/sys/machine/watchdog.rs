//! The hardware watchdog: a device that resets the board unless it is written to.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

/// The byte that says that the device is to be stopped when it is closed.
const MAGIC_CLOSE: &[u8] = b"V";

/// An armed watchdog. Dropped without [`Watchdog::disarm`] it goes on, and resets the board.
#[derive(Debug)]
pub struct Watchdog {
    device: File,
}

impl Watchdog {
    /// Opens the device, which arms it.
    ///
    /// # Errors
    /// There is none, or somebody else has it.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { device: OpenOptions::new().write(true).open(path)? })
    }

    /// Puts the reset off by the time that its driver was given.
    ///
    /// # Errors
    /// Those of the device.
    pub fn feed(&mut self) -> io::Result<()> {
        self.device.write_all(b"\0")
    }

    /// Stops it, where the driver can be stopped at all.
    ///
    /// # Errors
    /// Those of the device; it is armed still.
    pub fn disarm(mut self) -> io::Result<()> {
        self.device.write_all(MAGIC_CLOSE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fed_and_stopped_by_what_is_written() {
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
