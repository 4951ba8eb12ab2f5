//! Access to sectors of a disk.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// Length of a sector.
pub const SECTOR_BYTES: usize = 512;

/// Reads a sector.
///
/// # Errors
/// Error of the device.
pub fn read_sector(disk: &Path, number: u64) -> io::Result<[u8; SECTOR_BYTES]> {
    let mut sector = [0; SECTOR_BYTES];
    read_sectors(disk, number, &mut sector)?;
    Ok(sector)
}

/// Reads bytes from the beginning of a sector on.
///
/// # Errors
/// Error of the device.
pub fn read_sectors(disk: &Path, number: u64, bytes: &mut [u8]) -> io::Result<()> {
    OpenOptions::new().read(true).open(disk)?.read_exact_at(bytes, offset(number))
}

/// Writes bytes from the beginning of a sector on and syncs them, so that they survive a power cut.
///
/// # Errors
/// Error of the device.
pub fn write_sectors(disk: &Path, number: u64, bytes: &[u8]) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(disk)?;
    file.write_all_at(bytes, offset(number))?;
    file.sync_all()
}

fn offset(number: u64) -> u64 {
    number.saturating_mul(SECTOR_BYTES as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_sector_is_written_and_no_other() {
        let path = std::env::temp_dir().join(format!("friendlet-disk-{}", std::process::id()));
        std::fs::write(&path, vec![7; 4 * SECTOR_BYTES]).unwrap();
        write_sectors(&path, 2, &[9; SECTOR_BYTES]).unwrap();
        assert_eq!(read_sector(&path, 2).unwrap(), [9; SECTOR_BYTES]);
        for other in [0, 1, 3] {
            assert_eq!(read_sector(&path, other).unwrap(), [7; SECTOR_BYTES], "{other}");
        }
        assert_eq!(read_sector(&path, 4).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        std::fs::remove_file(path).unwrap();
    }
}
