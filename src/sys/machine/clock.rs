//! Time of day of boards without a battery, which start in 1970. It is never set back.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, Timespec, clock_settime};

use crate::sys::CLOCK_FILES;

/// Newest modification time of a file, or of a directory and at most `CLOCK_FILES` of its
/// entries, as time since 1970. Zero if the path does not exist.
pub fn newest_under(path: &Path) -> Duration {
    let newest_inside = fs::read_dir(path).map_or(Duration::ZERO, |entries| {
        let times = entries.take(CLOCK_FILES).filter_map(Result::ok).map(|entry| modified(&entry.path()));
        times.max().unwrap_or(Duration::ZERO)
    });
    newest_inside.max(modified(path))
}

fn modified(path: &Path) -> Duration {
    fs::symlink_metadata(path).and_then(|metadata| metadata.modified()).map_or(Duration::ZERO, since_1970)
}

/// Time since 1970, zero for earlier times.
fn since_1970(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO)
}

/// Sets the time of day to `floor`, as time since 1970, unless it is later. Returns true if it was
/// set.
///
/// # Errors
/// `EPERM` without the capability.
pub fn set_clock_forward(floor: Duration) -> io::Result<bool> {
    if since_1970(SystemTime::now()) >= floor {
        return Ok(false);
    }
    let tv_sec = i64::try_from(floor.as_secs()).map_err(|_| io::ErrorKind::InvalidInput)?;
    clock_settime(ClockId::Realtime, Timespec { tv_sec, tv_nsec: floor.subsec_nanos().into() })?;
    Ok(true)
}

/// Sets the modification time of a file to now, and creates the file if it is missing.
///
/// # Errors
/// Error of the file system.
pub fn touch(path: &Path) -> io::Result<()> {
    let file: File = OpenOptions::new().create(true).append(true).open(path)?;
    file.set_modified(SystemTime::now())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(path: &Path, seconds: u64) {
        fs::write(path, "").unwrap();
        File::options()
            .append(true)
            .open(path)
            .unwrap()
            .set_modified(UNIX_EPOCH + Duration::from_secs(seconds))
            .unwrap();
    }

    #[test]
    fn newest_file_counts() {
        let directory = std::env::temp_dir().join(format!("friendlet-newest-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        // Before 2038: the standard library of 32-bit boards sets no later time.
        let far = 2_000_000_000;
        at(&directory.join("old"), 1_000_000_000);
        assert_eq!(newest_under(&directory.join("old")), Duration::from_secs(1_000_000_000));
        // The directory itself is newer than that.
        assert!(newest_under(&directory) > Duration::from_secs(1_000_000_000));
        at(&directory.join("new"), far);
        assert_eq!(newest_under(&directory), Duration::from_secs(far));
        touch(&directory.join("new")).unwrap();
        assert!(newest_under(&directory) < Duration::from_secs(far));
        assert_eq!(newest_under(&directory.join("gone")), Duration::ZERO);
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn files_up_to_the_limit_count() {
        let directory = std::env::temp_dir().join(format!("friendlet-files-{}", std::process::id()));
        let far = Duration::from_secs(2_000_000_000);
        let found = |count: usize| {
            fs::create_dir_all(&directory).unwrap();
            (0..count).for_each(|n| at(&directory.join(n.to_string()), 2_000_000_000 + n as u64));
            let newest = newest_under(&directory);
            fs::remove_dir_all(&directory).unwrap();
            newest
        };
        assert_eq!(found(CLOCK_FILES), far + Duration::from_secs(CLOCK_FILES as u64 - 1));
        // The order of the files is undefined, so more than the limit may not all count.
        assert!(found(4 * CLOCK_FILES) >= far + Duration::from_secs(CLOCK_FILES as u64 - 1));
    }

    #[test]
    fn clock_is_never_set_back() {
        assert!(!set_clock_forward(Duration::from_secs(1_700_000_000)).unwrap());
        assert!(!set_clock_forward(Duration::ZERO).unwrap());
    }
}
