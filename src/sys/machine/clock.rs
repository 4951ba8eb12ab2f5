//! Time of day, and the times of files from which a board without a battery starts.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

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

/// Modification time as time since 1970; zero for earlier times, and of a path that does not exist.
fn modified(path: &Path) -> Duration {
    // The standard library of a 32-bit processor may have 32 bits of seconds.
    let seconds = rustix::fs::lstat(path).map_or(0, |status| status.st_mtime);
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

/// Sets the time of day, as time since 1970.
///
/// # Errors
/// `EPERM` without the capability.
pub fn set_clock(time: Duration) -> io::Result<()> {
    let tv_sec = i64::try_from(time.as_secs()).map_err(|_| io::ErrorKind::InvalidInput)?;
    Ok(clock_settime(ClockId::Realtime, Timespec { tv_sec, tv_nsec: time.subsec_nanos().into() })?)
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use rustix::fs::{Timestamps, futimens};

    use super::*;

    fn at(path: &Path, seconds: u64) {
        fs::write(path, "").unwrap();
        let file = File::options().append(true).open(path).unwrap();
        let time = Timespec { tv_sec: seconds.try_into().unwrap(), tv_nsec: 0 };
        futimens(&file, &Timestamps { last_access: time, last_modification: time }).unwrap();
    }

    #[test]
    fn newest_file_counts() {
        let directory = std::env::temp_dir().join(format!("friendlet-newest-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        // After 2038-01-19: more than 31 bits.
        let far = 3_000_000_000;
        at(&directory.join("old"), 1_000_000_000);
        assert_eq!(newest_under(&directory.join("old")), Duration::from_secs(1_000_000_000));
        // The directory itself is newer than that.
        assert!(newest_under(&directory) > Duration::from_secs(1_000_000_000));
        at(&directory.join("new"), far);
        assert_eq!(newest_under(&directory), Duration::from_secs(far));
        at(&directory.join("new"), 2);
        assert!(newest_under(&directory) < Duration::from_secs(far));
        assert_eq!(newest_under(&directory.join("gone")), Duration::ZERO);
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn files_up_to_the_limit_count() {
        let directory = std::env::temp_dir().join(format!("friendlet-files-{}", std::process::id()));
        let far = Duration::from_secs(3_000_000_000);
        let found = |count: usize| {
            fs::create_dir_all(&directory).unwrap();
            (0..count).for_each(|n| at(&directory.join(n.to_string()), 3_000_000_000 + n as u64));
            let newest = newest_under(&directory);
            fs::remove_dir_all(&directory).unwrap();
            newest
        };
        assert_eq!(found(CLOCK_FILES), far + Duration::from_secs(CLOCK_FILES as u64 - 1));
        // The order of the files is undefined, so more than the limit may not all count.
        assert!(found(4 * CLOCK_FILES) >= far + Duration::from_secs(CLOCK_FILES as u64 - 1));
    }
}
