//! A clock that is never set back: boards without a battery begin in 1970.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, Timespec, clock_settime};

use crate::sys::CLOCK_FILES;

/// The newest time of change of this file or folder and what is in it, `CLOCK_FILES` of it
/// at most, as time since 1970. Zero when there is nothing.
pub fn newest_under(path: &Path) -> Duration {
    let newest_inside = fs::read_dir(path).map_or(Duration::ZERO, |entries| {
        let times = entries.take(CLOCK_FILES).filter_map(Result::ok).map(|entry| changed(&entry.path()));
        times.max().unwrap_or_default()
    });
    newest_inside.max(changed(path))
}

fn changed(path: &Path) -> Duration {
    let time = fs::symlink_metadata(path).and_then(|metadata| metadata.modified());
    time.map_or(Duration::ZERO, |time| time.duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// Sets the time of day to this time since 1970, unless it is past that. `true`: it was set.
///
/// # Errors
/// `EPERM` without the right to.
pub fn set_clock_forward(floor: Duration) -> io::Result<bool> {
    if SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() >= floor {
        return Ok(false);
    }
    let tv_sec = i64::try_from(floor.as_secs()).map_err(|_| io::ErrorKind::InvalidInput)?;
    clock_settime(ClockId::Realtime, Timespec { tv_sec, tv_nsec: floor.subsec_nanos().into() })?;
    Ok(true)
}

/// Gives a file the time of now, and makes it when it is not there.
///
/// # Errors
/// Those of the file.
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
    fn newest_counts() {
        let folder = std::env::temp_dir().join(format!("friendlet-newest-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        // Before 2038: the standard library of 32-bit boards sets no later time.
        let far = 2_000_000_000;
        at(&folder.join("old"), 1_000_000_000);
        assert_eq!(newest_under(&folder.join("old")), Duration::from_secs(1_000_000_000));
        // The folder itself is newer than that.
        assert!(newest_under(&folder) > Duration::from_secs(1_000_000_000));
        at(&folder.join("new"), far);
        assert_eq!(newest_under(&folder), Duration::from_secs(far));
        touch(&folder.join("new")).unwrap();
        assert!(newest_under(&folder) < Duration::from_secs(far));
        assert_eq!(newest_under(&folder.join("gone")), Duration::ZERO);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn as_many_files_are_looked_at_as_the_limit_says() {
        let folder = std::env::temp_dir().join(format!("friendlet-files-{}", std::process::id()));
        let far = Duration::from_secs(2_000_000_000);
        let found = |count: usize| {
            fs::create_dir_all(&folder).unwrap();
            (0..count).for_each(|n| at(&folder.join(n.to_string()), 2_000_000_000 + n as u64));
            let newest = newest_under(&folder);
            fs::remove_dir_all(&folder).unwrap();
            newest
        };
        assert_eq!(found(CLOCK_FILES), far + Duration::from_secs(CLOCK_FILES as u64 - 1));
        // In which order they come is the file system's choice; that it is bounded is not.
        assert!(found(4 * CLOCK_FILES) >= far + Duration::from_secs(CLOCK_FILES as u64 - 1));
    }

    #[test]
    fn clock_is_never_set_back() {
        assert!(!set_clock_forward(Duration::from_secs(1_700_000_000)).unwrap());
        assert!(!set_clock_forward(Duration::ZERO).unwrap());
    }
}
