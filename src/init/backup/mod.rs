//! Backup of configuration, users and identity outside the file system: written soon after a change, used at a start
//! when files of the data are missing or damaged.
//!
//! Process 1 does all of it. It watches the directories, so that a change by any program counts, and writes on a thread,
//! because a write waits for the disk. The server has no descriptor of the disk: one that is taken over cannot overwrite
//! the boot loader.

mod files;
mod place;

use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::due_write::DueWrite;
use super::{BACKUP_DELAY, BACKUP_PAUSE, SAVE_RETRY};
use crate::backup;
use crate::log::Reason;
use crate::log::console::{error, info, warning};
use crate::sys::file::FileError;
use crate::sys::machine::{self as system, Changes, DATA};

pub(super) use place::Place;

/// Directories of the data with files of the backup.
const DIRECTORIES: [&str; 4] = ["", "friendlet.d", "state", "state/tls"];
/// Files that a factory reset puts on the data: of the root, as the maker of the image wants them.
const FACTORY: &str = "/etc/friendlet/factory";
/// Attempts to wait for a write at the end of the board, each of a second.
const LAST_WAITS: u32 = 5;

/// Backup of a running board.
pub(super) struct Backup {
    place: Option<Arc<Store>>,
    write: DueWrite,
    /// Time since start of the last write.
    last: Duration,
    /// Something has changed since the last write.
    is_pending: bool,
    /// A factory reset is requested.
    is_marked: bool,
}

/// Data, and their place on the disk.
struct Store {
    place: Place,
    data: PathBuf,
    changes: Changes,
}

impl Backup {
    /// Watches the data. Without a place, nothing is written.
    pub(super) fn start(place: Option<Place>) -> Self {
        Self::new(place, Path::new(DATA))
    }

    fn new(place: Option<Place>, data: &Path) -> Self {
        let watch = |place| match Changes::new() {
            Ok(changes) => Some(Arc::new(Store { place, data: data.to_owned(), changes })),
            Err(error) => {
                error!("backup: cannot watch for changes: {}", Reason::from(&error));
                None
            }
        };
        let place = place.and_then(watch);
        let first = if place.is_some() { BACKUP_DELAY } else { Duration::MAX };
        Self { place, write: DueWrite::new(first), last: Duration::ZERO, is_pending: true, is_marked: false }
    }

    /// The disk has a place for the backup, and for the mark of a factory reset.
    pub(super) fn has_place(&self) -> bool {
        self.place.is_some()
    }

    /// Readable after a change, unless a write is due.
    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        // Of a file that is written all the time, one event per write is enough.
        self.place.as_ref().filter(|_| !self.is_pending).map(|store| store.changes.fd())
    }

    /// Time since start of the next [`handle_ready`](Self::handle_ready).
    pub(super) fn poll_timeout(&self) -> Duration {
        self.write.at()
    }

    /// Schedules a write after a change, and starts it when it is due.
    pub(super) fn handle_ready(&mut self, now: Duration) {
        let Some(store) = &self.place else { return };
        if !self.is_pending && store.changes.take() {
            self.is_pending = true;
            self.write.set((now + BACKUP_DELAY).max(self.last + BACKUP_PAUSE));
        }
        if self.write.is_due(now) {
            self.last = now;
            self.is_pending = false;
            // Whatever changes from here on is in another write.
            store.changes.take();
            let store = Arc::clone(store);
            self.write.start(Box::new(move || store.write()));
        }
    }

    /// Writes at the end of the board what has changed or, after a request of a factory reset, the mark again: a write that was
    /// under way may have replaced it.
    pub(super) fn finish(&self) {
        let Some(store) = &self.place else { return };
        for _ in 0..LAST_WAITS {
            if !self.write.is_writing() {
                if self.is_marked {
                    // It was logged when the mark was written first.
                    let _ = store.place.mark();
                } else if self.is_pending || store.changes.take() {
                    store.write();
                }
                return;
            }
            system::wait(SAVE_RETRY, &mut || ());
        }
        warning!("backup: not written: the disk does not answer");
    }

    /// Marks the disk for a factory reset, which the next start does. Returns false if that is impossible.
    pub(super) fn mark(&mut self) -> bool {
        // Without a place, the server refuses the call.
        let no_place = || Err(io::ErrorKind::NotFound.into());
        let marked = self.place.as_ref().map_or_else(no_place, |store| store.place.mark());
        match &marked {
            Ok(()) => {
                warning!("factory reset: the board restarts, and erases configuration, users and identity")
            }
            Err(error) => {
                error!("factory reset: cannot mark the disk, nothing is erased: {}", Reason::from(error))
            }
        }
        self.is_marked = marked.is_ok();
        self.is_marked
    }
}

impl Store {
    fn write(&self) {
        // Before the files are read, so that no change is missed. A directory that does not exist is a change of the one
        // above it when it is made.
        for directory in DIRECTORIES {
            let _ = self.changes.watch(&self.data.join(directory));
        }
        let earlier = self.place.read().unwrap_or_default().unwrap_or_default();
        let earlier = backup::files(&earlier).unwrap_or_default();
        match files::collect(&self.data, &earlier) {
            Ok(archive) => match self.place.write(archive.bytes()) {
                Ok(true) => info!("backup: {} files, {} bytes", archive.files(), archive.bytes().len()),
                Ok(false) => {}
                Err(error) => error!("backup: cannot write it: {}", Reason::from(&error)),
            },
            Err(error) => warning!("backup: the earlier one remains: {}", error),
        }
    }
}

/// Files that the data had lost.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Restored {
    /// Their names, for people.
    pub(super) names: String,
    /// The file system is damaged, and has to be repaired.
    pub(super) is_damaged: bool,
}

/// Writes the files of the backup that `data` have lost.
pub(super) fn restore(place: &Place, data: &Path, feed: &mut dyn FnMut()) -> Restored {
    let content = match place.read() {
        Ok(content) => content.unwrap_or_default(),
        Err(error) => {
            error!("backup: cannot read it: {}", Reason::from(&error));
            return Restored::default();
        }
    };
    let backup = backup::files(&content).unwrap_or_default();
    feed();
    files::release_state(data);
    feed();
    let losses = files::losses(data, &backup);
    let mut restored = Restored { is_damaged: losses.is_damaged, ..Restored::default() };
    let files = if losses.is_damaged { Vec::new() } else { losses.files };
    for file in files {
        feed();
        match files::restore(data, file) {
            Ok(()) => {
                warning!("backup: {} is restored", file.name);
                let joint = if restored.names.is_empty() { "" } else { ", " };
                restored.names.extend([joint, file.name]);
            }
            Err(error) => {
                error!("backup: cannot restore a file: {}", error);
                restored.is_damaged |= files::is_damage(&error);
            }
        }
    }
    restored
}

/// Erases the data, which are mounted, and puts the files of the maker there.
pub(super) fn reset_data() -> Result<(), FileError> {
    let data = Path::new(DATA);
    files::overwrite(data);
    if !system::empty_data() {
        warning!("factory reset: some files could not be deleted");
    }
    let factory = files::collect(Path::new(FACTORY), &[]).unwrap_or_default();
    let factory = backup::files(factory.bytes()).unwrap_or_default();
    factory.iter().try_for_each(|file| files::restore(data, file))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::place::tests::Disk;
    use super::*;
    use crate::sys::tests::TestDirectory;

    fn content(disk: &Disk) -> Vec<u8> {
        disk.place().read().unwrap().unwrap_or_default()
    }

    /// Calls the backup when it wants to be called, until the write has ended.
    fn turn(backup: &mut Backup, now: Duration) {
        backup.handle_ready(now);
        backup.write.wait();
    }

    #[test]
    fn change_is_written_after_the_delay_and_the_pause() {
        let (disk, data) = (Disk::new("backup-write"), TestDirectory::new("backup-data"));
        let mut backup = Backup::new(Some(disk.place()), &data.0);
        assert!(backup.has_place() && backup.fd().is_none());
        fs::write(data.0.join("friendlet.toml"), "a = 1").unwrap();
        turn(&mut backup, Duration::ZERO);
        assert!(content(&disk).is_empty());
        assert_eq!(backup.poll_timeout(), BACKUP_DELAY);
        turn(&mut backup, BACKUP_DELAY);
        assert!(content(&disk).ends_with(b"a = 1") && backup.fd().is_some());
        // Directories that are made later are watched, too.
        fs::create_dir_all(data.0.join("state/tls")).unwrap();
        let second = BACKUP_DELAY + BACKUP_PAUSE;
        turn(&mut backup, BACKUP_DELAY);
        assert_eq!((backup.poll_timeout(), backup.fd().is_none()), (second, true));
        turn(&mut backup, second);
        fs::write(data.0.join("state/tls/key.pem"), "-----END X-----").unwrap();
        let late = second + 3 * BACKUP_PAUSE;
        turn(&mut backup, late);
        assert_eq!(backup.poll_timeout(), late + BACKUP_DELAY);
        turn(&mut backup, late + BACKUP_DELAY);
        assert!(content(&disk).ends_with(b"state/tls/key.pem-----END X-----"));
    }

    #[test]
    fn last_change_is_written_at_the_end_of_the_board() {
        let (disk, data) = (Disk::new("backup-end"), TestDirectory::new("backup-end-data"));
        let mut backup = Backup::new(Some(disk.place()), &data.0);
        turn(&mut backup, BACKUP_DELAY);
        fs::write(data.0.join("friendlet.toml"), "a = 1").unwrap();
        backup.finish();
        assert!(content(&disk).ends_with(b"a = 1"));
    }

    #[test]
    fn without_a_place_nothing_is_ever_due() {
        let mut backup = Backup::new(None, Path::new("/nonexistent"));
        backup.handle_ready(Duration::from_secs(1));
        backup.finish();
        assert_eq!((backup.poll_timeout(), backup.fd().is_none()), (Duration::MAX, true));
        assert!(!backup.has_place() && !backup.mark());
    }

    #[test]
    fn lost_files_are_restored_and_named() {
        let (disk, data) = (Disk::new("backup-restore"), TestDirectory::new("backup-lost"));
        for (name, text) in [("friendlet.toml", "a = 1"), ("state/first-password", "x")] {
            fs::create_dir_all(data.0.join("state")).unwrap();
            fs::write(data.0.join(name), text).unwrap();
        }
        Backup::new(Some(disk.place()), &data.0).finish();
        assert_eq!(restore(&disk.place(), &data.0, &mut || ()), Restored::default());
        fs::remove_dir_all(&data.0).unwrap();
        let restored = restore(&disk.place(), &data.0, &mut || ());
        assert_eq!(restored.names, "friendlet.toml, state/first-password");
        assert_eq!(fs::read(data.0.join("friendlet.toml")).unwrap(), b"a = 1");
    }

    #[test]
    fn mark_is_that_of_the_disk() {
        let (disk, data) = (Disk::new("backup-mark"), TestDirectory::new("backup-mark-data"));
        let mut backup = Backup::new(Some(disk.place()), &data.0);
        assert!(backup.mark() && disk.place().is_erasing());
        // Neither a late change nor a write that was under way removes it.
        fs::write(data.0.join("friendlet.toml"), "a = 1").unwrap();
        disk.place().erase().unwrap();
        backup.finish();
        assert!(disk.place().is_erasing() && content(&disk).is_empty());
    }
}
