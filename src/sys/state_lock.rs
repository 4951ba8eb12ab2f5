//! Lock of the state directory: one server uses it at a time.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

/// Lock that is held until this is dropped, or its process ends.
#[derive(Debug)]
pub struct StateLock(#[expect(dead_code, reason = "open as long as the lock is held")] File);

/// Failure to lock a directory.
#[derive(Debug)]
pub enum LockError {
    /// Another process holds the lock: its number, if the kernel reports it.
    InUse(Option<u32>),
    /// Error of the system, such as one of a file system without locks.
    Io(io::Error),
}

impl StateLock {
    /// Locks a directory. The lock needs no file, so a read-only one can be locked too.
    ///
    /// # Errors
    /// See [`LockError`].
    pub fn new(directory: &Path) -> Result<Self, LockError> {
        let opened = open_directory(directory).map_err(LockError::Io)?;
        match flock(&opened, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self(opened)),
            Err(Errno::WOULDBLOCK) => Err(LockError::InUse(holder(&opened))),
            Err(errno) => Err(LockError::Io(errno.into())),
        }
    }
}

/// Process that holds the lock of a directory; `None` without one. The lock stays free for a server that starts.
pub fn holder_of(directory: &Path) -> Option<u32> {
    let opened = open_directory(directory).ok()?;
    let holder = holder(&opened)?;
    // An inode with that number may be one of another file system. Only then is this lock granted, for a moment.
    is_locked(&opened).then_some(holder)
}

/// Returns true if a process has the lock of a directory, be it a child of one that was killed. Otherwise the lock is
/// granted for a moment.
pub fn is_in_use(directory: &Path) -> bool {
    open_directory(directory).is_ok_and(|opened| is_locked(&opened))
}

fn is_locked(opened: &File) -> bool {
    flock(opened, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK)
}

/// Opens a directory. A pipe in its place would have its reader wait for ever.
fn open_directory(path: &Path) -> io::Result<File> {
    let flags = OFlags::DIRECTORY | OFlags::NONBLOCK;
    File::options().read(true).custom_flags(flags.bits().cast_signed()).open(path)
}

/// Process that has locked a file or directory, by its inode in `/proc/locks` (proc_locks(5)); `None` if it has ended, and
/// another one has its descriptor.
pub fn holder(file: &File) -> Option<u32> {
    let inode = file.metadata().ok()?.ino().to_string();
    let holder = holder_in(&fs::read_to_string("/proc/locks").ok()?, &inode)?;
    // The kernel reports one that has ended, too, but not to processes in a namespace of their own.
    let pid = Pid::from_raw(holder.cast_signed())?;
    (test_kill_process(pid) != Err(Errno::SRCH)).then_some(holder)
}

/// Finds `N: FLOCK ADVISORY WRITE PID MAJOR:MINOR:INODE 0 EOF`.
fn holder_in(locks: &str, inode: &str) -> Option<u32> {
    locks.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, "FLOCK", _, _, pid, file, ..] = fields[..] else { return None };
        (file.rsplit(':').next() == Some(inode)).then(|| pid.parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::tests::{TestDirectory, lock_children};

    #[test]
    fn directory_is_locked_once_until_the_lock_is_dropped() {
        // A child of another test would have the lock, too.
        let _children = lock_children();
        let directory = TestDirectory::new("lock");
        let first = StateLock::new(&directory.0).unwrap();
        let second = StateLock::new(&directory.0).unwrap_err();
        let LockError::InUse(holder) = second else { panic!("{second:?}") };
        assert_eq!(holder, Some(std::process::id()));
        assert_eq!((holder_of(&directory.0), is_in_use(&directory.0)), (holder, true));
        drop(first);
        assert_eq!((holder_of(&directory.0), is_in_use(&directory.0)), (None, false));
        assert!(StateLock::new(&directory.0).is_ok());
        assert!(matches!(StateLock::new(&directory.0.join("none")), Err(LockError::Io(_))));
    }

    /// Its number was that of the holder, in the first namespace of processes.
    #[test]
    fn process_that_has_ended_is_not_the_holder() {
        let directory = TestDirectory::new("lock-ended");
        let opened = open_directory(&directory.0).unwrap();
        // Another test may reap all children.
        let _children = lock_children();
        let ended = std::process::Command::new("flock").arg("0").stdin(opened.try_clone().unwrap()).status();
        assert!(ended.unwrap().success());
        assert_eq!((holder_of(&directory.0), is_in_use(&directory.0)), (None, true));
    }

    /// It waited for ever for a writer.
    #[test]
    fn pipe_in_place_of_the_directory_is_an_error() {
        let directory = TestDirectory::new("lock-pipe");
        let pipe = directory.0.join("pipe");
        let mode = rustix::fs::Mode::RUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        assert!(matches!(StateLock::new(&pipe), Err(LockError::Io(_))));
        assert_eq!(holder_of(&pipe), None);
    }

    #[test]
    fn holder_is_that_of_the_inode() {
        let locks = "\
1: POSIX  ADVISORY  WRITE 11 08:01:77 0 EOF
1: -> FLOCK  ADVISORY  WRITE 12 08:01:77 0 EOF
2: FLOCK  ADVISORY  WRITE 13 08:01:770 0 EOF
3: FLOCK  ADVISORY  WRITE 14 08:01:77 0 EOF
4: FLOCK  ADVISORY  WRITE x 08:01:78 0 EOF
";
        assert_eq!(holder_in(locks, "77"), Some(14));
        assert_eq!(holder_in(locks, "770"), Some(13));
        assert_eq!((holder_in(locks, "78"), holder_in(locks, "9"), holder_in("", "9")), (None, None, None));
    }
}
