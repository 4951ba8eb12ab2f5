//! Changes of files in directories: inotify(7).

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

/// Bytes of the events that are read at once, whatever they contain.
const EVENTS_BYTES: usize = 4096;

/// Watch for changes.
#[derive(Debug)]
pub struct Changes(OwnedFd);

impl Changes {
    /// Watches for nothing yet.
    ///
    /// # Errors
    /// Error of the kernel.
    pub fn new() -> io::Result<Self> {
        Ok(Self(inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?))
    }

    /// Watches for files of a directory that are created, written, renamed or deleted. A directory that is watched
    /// already stays so.
    ///
    /// # Errors
    /// Error of the kernel.
    pub fn watch(&self, directory: &Path) -> io::Result<()> {
        let changes = WatchFlags::CREATE | WatchFlags::CLOSE_WRITE | WatchFlags::MOVE | WatchFlags::DELETE;
        inotify::add_watch(&self.0, directory, changes | WatchFlags::ONLYDIR)?;
        Ok(())
    }

    /// Readable after a change.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Returns true if something has changed since the last call.
    pub fn take(&self) -> bool {
        let mut buffer = [0; EVENTS_BYTES];
        let mut is_changed = false;
        while rustix::io::read(&self.0, &mut buffer).is_ok_and(|length| length > 0) {
            is_changed = true;
        }
        is_changed
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::sys::tests::TestDirectory;

    #[test]
    fn changes_of_files_are_seen_and_reads_are_not() {
        let directory = TestDirectory::new("changes");
        let changes = Changes::new().unwrap();
        let path = directory.0.join("file");
        fs::write(&path, "").unwrap();
        assert!(!changes.take());
        changes.watch(&directory.0).unwrap();
        changes.watch(&directory.0).unwrap();
        let steps: [&dyn Fn(); 5] = [
            &|| fs::write(&path, "x").unwrap(),
            &|| fs::rename(&path, directory.0.join("other")).unwrap(),
            &|| fs::create_dir(directory.0.join("directory")).unwrap(),
            &|| fs::remove_file(directory.0.join("other")).unwrap(),
            // More than the kernel keeps.
            &|| (0..20_000).for_each(|_| fs::write(&path, "").unwrap()),
        ];
        for step in steps {
            step();
            assert!(changes.take() && !changes.take());
        }
        fs::read(&path).unwrap();
        assert!(!changes.take());
        assert!(changes.watch(&path).is_err());
    }
}
