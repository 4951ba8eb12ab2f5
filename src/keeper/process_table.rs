//! Table of the processes of the keeper, in a file in memory (`/run`): a keeper that is killed leaves its services
//! running, and the next one finds them there.
//!
//! A record for each slot: the name of the service, the leader, and its start in ticks since the boot, which
//! distinguishes it from a later process with the same number. The writer of the table decides what a keeper ends, so
//! only a file of its own user counts.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Instant;
use std::{fmt, thread};

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;
use rustix::process::Pid;

use super::slot::Slot;
use super::{KEEPER_TIME, LAUNCH_TIME, LOCK_PAUSE, SLOTS, procfs, raw};
use crate::limits::{SERVICE_NAME_BYTES, SERVICES};
use crate::log::Reason;
use crate::log::console::warning;
use crate::service::{ServiceId, ServiceTable};
use crate::sys::{file, state_lock};

/// Size of a record: length and bytes of the name, pid, start.
const RECORD_BYTES: usize = 1 + SERVICE_NAME_BYTES + 4 + 8;

/// Failure to open the table.
#[derive(Debug)]
pub(super) enum TableError {
    /// There is none, for this reason.
    Problem(String),
    /// The keeper with this number runs, with the table at this path.
    InUse(PathBuf, u32),
}

type Record = [u8; RECORD_BYTES];

/// Process that an earlier keeper has left.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Left {
    /// Its service; `None` of a named command, or of a service that is configured no more.
    pub(super) service: Option<ServiceId>,
    pub(super) pid: Pid,
}

/// File with the table.
#[derive(Debug)]
pub(super) struct ProcessTable {
    file: Option<File>,
    /// Leaders in the file.
    pids: [Option<Pid>; SLOTS],
}

impl ProcessTable {
    /// No table.
    pub(super) const NONE: Self = Self { file: None, pids: [None; SLOTS] };

    /// Goes on with the file of an earlier program, and with its lock.
    pub(super) fn continued(file: OwnedFd) -> Self {
        Self { file: Some(file.into()), ..Self::NONE }
    }

    /// The file; `None` without a table.
    pub(super) fn file(&self) -> Option<BorrowedFd<'_>> {
        self.file.as_ref().map(|file| file.as_fd())
    }

    /// Opens the file at `path`, and returns the processes that run of those in it. The table is empty and
    /// stays so without a path.
    ///
    /// # Errors
    /// The problem of the file, or another keeper that uses it.
    pub(super) fn open(
        path: Option<&Path>,
        services: &ServiceTable,
    ) -> Result<(Self, Vec<Left>), TableError> {
        let mut table = Self::NONE;
        let Some(path) = path else { return Ok((table, Vec::new())) };
        let problem = |reason: &dyn fmt::Display| {
            format!(
                "{}: no table of processes, so the next start finds none that run: {reason}",
                path.display()
            )
        };
        let opened =
            Self::open_file(path).map_err(|error| TableError::Problem(problem(&Reason::from(&error))))?;
        let begun = Instant::now();
        let mut is_reported = false;
        loop {
            match flock(&opened, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(Errno::WOULDBLOCK) => {}
                Err(errno) => return Err(TableError::Problem(problem(&Reason::from(errno)))),
            }
            // One that was killed has no lock any more, but its children have it until they have executed their programs.
            let keeper = state_lock::holder(&opened);
            let timeout = if keeper.is_some() { KEEPER_TIME } else { LAUNCH_TIME };
            if begun.elapsed() >= timeout {
                return Err(keeper.map_or_else(
                    || TableError::Problem(problem(&"a process that starts has it")),
                    |pid| TableError::InUse(path.to_owned(), pid),
                ));
            }
            if !is_reported && begun.elapsed() >= KEEPER_TIME {
                warning!("{}: waiting for programs that an earlier keeper is starting", path.display());
                is_reported = true;
            }
            thread::sleep(LOCK_PAUSE);
        }
        let mut text = Vec::new();
        let read = (&opened).take((SLOTS * RECORD_BYTES) as u64).read_to_end(&mut text);
        read.map_err(|error| TableError::Problem(problem(&Reason::from(&error))))?;
        table.file = Some(opened);
        Ok((table, left(&text, services)))
    }

    /// Opens the file.
    fn open_file(path: &Path) -> io::Result<File> {
        if let Some(directory) = path.parent() {
            // The error of the open says more.
            let _ = file::create_dir(directory);
        }
        if fs::symlink_metadata(path).is_ok_and(|found| !is_own(&found)) && file::set_aside(path) {
            warning!("{}: set aside: not a file of this user alone", path.display());
        }
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(flags);
        let file = options.open(path)?;
        if !is_own(&file.metadata()?) {
            return Err(Errno::PERM.into());
        }
        Ok(file)
    }

    /// Writes the leaders that have changed.
    #[inline(never)]
    pub(super) fn update(&mut self, slots: &[Slot], services: &ServiceTable) {
        let Some(file) = &self.file else { return };
        for (index, (known, slot)) in self.pids.iter_mut().zip(slots).enumerate() {
            let pid = slot.pid();
            if *known != pid {
                *known = pid;
                let name = ServiceId::from_index(index).and_then(|id| services.get(id));
                let record =
                    pid.map_or([0; RECORD_BYTES], |pid| record(name.map_or("", |spec| &spec.name), pid));
                // It is in memory. Without it, a later keeper does not find this process.
                let _ = file.write_all_at(&record, (index * RECORD_BYTES) as u64);
            }
        }
    }
}

/// Returns true for a regular file that has one name and that this user alone can write.
fn is_own(found: &Metadata) -> bool {
    let is_private = found.mode() & 0o022 == 0 && found.uid() == rustix::process::geteuid().as_raw();
    found.is_file() && found.nlink() == 1 && is_private
}

fn record(name: &str, pid: Pid) -> Record {
    let mut record = [0; RECORD_BYTES];
    let (length, rest) = record.split_at_mut(1);
    let (place, numbers) = rest.split_at_mut(SERVICE_NAME_BYTES);
    let (number, start) = numbers.split_at_mut(4);
    // No name is longer.
    if let Some(place) = place.get_mut(..name.len()) {
        place.copy_from_slice(name.as_bytes());
        length.fill(name.len() as u8);
    }
    number.copy_from_slice(&raw(pid).to_ne_bytes());
    start.copy_from_slice(&procfs::start(pid).unwrap_or_default().to_ne_bytes());
    record
}

/// The processes of a table that still run.
fn left(text: &[u8], services: &ServiceTable) -> Vec<Left> {
    let (records, _) = text.as_chunks::<RECORD_BYTES>();
    let left = records.iter().take(SLOTS).filter_map(|record| {
        let (length, rest) = record.split_first()?;
        let (name, numbers) = rest.split_at_checked(SERVICE_NAME_BYTES)?;
        let (pid, start) = numbers.split_first_chunk()?;
        // Process 1 is not one of them, and numbers below 0 are none.
        let pid = Pid::from_raw(Some(i32::from_ne_bytes(*pid)).filter(|pid| *pid > 1)?)?;
        let start = u64::from_ne_bytes(*start.first_chunk()?);
        if procfs::start(pid) != Some(start) || procfs::group_of_any(pid) != Some(pid) {
            return None;
        }
        let name = core::str::from_utf8(name.get(..usize::from(*length))?).ok()?;
        let service = services.find(name).filter(|service| service.index() < SERVICES);
        Some(Left { service, pid })
    });
    left.collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::process::CommandExt as _;
    use std::process::Command;

    use super::*;
    use crate::service::Spec;
    use crate::sys::tests::{TestDirectory, lock_children};

    fn services() -> ServiceTable {
        let mut services = ServiceTable::new();
        services.push(Spec::new("web", &["/bin/true"]).unwrap()).unwrap();
        services
    }

    #[test]
    fn running_leaders_of_a_table_are_found() {
        let _lock = lock_children();
        let mut child = Command::new("sleep").arg("1000").process_group(0).spawn().unwrap();
        let pid = Pid::from_child(&child);
        let own = rustix::process::getpid();
        let services = services();
        let mut later = record("web", pid);
        later[RECORD_BYTES - 8] ^= 1;
        let text = [record("gone", pid), record("", pid), later, record("web", own), [255; RECORD_BYTES]];
        let text = [record("web", pid)].into_iter().chain(text).collect::<Vec<_>>().concat();
        let found = left(&text, &services);
        child.kill().unwrap();
        child.wait().unwrap();
        let web = services.find("web");
        assert_eq!(
            found,
            [Left { service: web, pid }, Left { service: None, pid }, Left { service: None, pid }]
        );
        assert_eq!(left(&text, &services), [], "it has ended");
        assert_eq!(left(&text[..RECORD_BYTES - 1], &services), []);
    }

    #[test]
    fn table_belongs_to_one_keeper() {
        // A child of another test would have the lock, too.
        let _children = lock_children();
        let directory = TestDirectory::new("process-table");
        let path = directory.0.join("run/ctl.processes");
        let open = |path| ProcessTable::open(path, &services()).unwrap();
        let (first, left) = open(Some(&path));
        assert!(first.file.is_some() && left.is_empty());
        let begun = Instant::now();
        let error = ProcessTable::open(Some(&path), &services()).unwrap_err();
        assert!(begun.elapsed() >= KEEPER_TIME);
        assert!(matches!(error, TableError::InUse(_, pid) if pid == std::process::id()), "{error:?}");
        drop(first);
        assert!(open(Some(&path)).0.file.is_some());
        assert!(open(None).0.file.is_none());
    }

    #[test]
    fn table_that_a_process_keeps_is_waited_for_and_then_left() {
        crate::log::set_level(crate::log::Level::Off);
        let directory = TestDirectory::new("process-table-kept");
        let path = directory.0.join("ctl.processes");
        // The lock of a process that has ended, in the open file that it shared with another.
        let kept = ProcessTable::open_file(&path).unwrap();
        let keeper = {
            // Another test may reap all children.
            let _children = lock_children();
            Command::new("flock").arg("0").stdin(kept.try_clone().unwrap()).status()
        };
        assert!(keeper.unwrap().success());
        let begun = Instant::now();
        let problem = ProcessTable::open(Some(&path), &services()).unwrap_err();
        let TableError::Problem(problem) = problem else { panic!("{problem:?}") };
        assert!(problem.ends_with("a process that starts has it"), "{problem}");
        assert!((LAUNCH_TIME..LAUNCH_TIME * 2).contains(&begun.elapsed()));
    }

    /// Asserts that a table with a running process in it counts, or that it is set aside after `change`.
    fn assert_believed(name: &str, change: &dyn Fn(&Path), is_believed: bool) {
        let _lock = lock_children();
        let mut child = Command::new("sleep").arg("1000").process_group(0).spawn().unwrap();
        let directory = TestDirectory::new(name);
        let path = directory.0.join("ctl.processes");
        fs::write(&path, record("web", Pid::from_child(&child))).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        change(&path);
        crate::log::set_level(crate::log::Level::Off);
        let opened = ProcessTable::open(Some(&path), &services());
        child.kill().unwrap();
        child.wait().unwrap();
        let (table, left) = opened.unwrap();
        assert_eq!((table.file.is_some(), left.len()), (true, usize::from(is_believed)), "{name}");
        let is_aside = fs::symlink_metadata(directory.0.join("ctl.processes.broken")).is_ok();
        assert!(is_aside != is_believed && is_own(&fs::symlink_metadata(&path).unwrap()), "{name}");
    }

    /// Name and effect of a change, and whether the table counts after it.
    type Change = (&'static str, fn(&Path), bool);

    /// Gives a file another name.
    fn aside(path: &Path) -> PathBuf {
        let other = path.with_extension("other");
        fs::rename(path, &other).unwrap();
        other
    }

    #[test]
    fn table_that_others_may_have_written_ends_no_process() {
        let changes: [Change; 6] = [
            ("table-own", |_| (), true),
            (
                "table-open",
                |path| fs::set_permissions(path, fs::Permissions::from_mode(0o620)).unwrap(),
                false,
            ),
            ("table-names", |path| fs::hard_link(path, path.with_extension("other")).unwrap(), false),
            ("table-link", |path| std::os::unix::fs::symlink(aside(path), path).unwrap(), false),
            (
                "table-directory",
                |path| {
                    aside(path);
                    fs::create_dir(path).unwrap();
                },
                false,
            ),
            (
                "table-pipe",
                |path| {
                    aside(path);
                    let (file_type, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU);
                    rustix::fs::mknodat(rustix::fs::CWD, path, file_type, mode, 0).unwrap();
                },
                false,
            ),
        ];
        for (name, change, is_believed) in changes {
            assert_believed(name, &change, is_believed);
        }
    }

    #[test]
    fn table_of_another_user_ends_no_process() {
        let give = |path: &Path| std::os::unix::fs::chown(path, Some(65534), None).unwrap();
        assert_believed("table-user", &give, false);
    }

    #[test]
    fn table_whose_place_cannot_be_cleared_is_a_problem() {
        let directory = TestDirectory::new("table-blocked");
        let path = directory.0.join("ctl.processes");
        for suffix in ["", ".broken", ".broken.1"] {
            fs::create_dir_all(file::with_suffix(&path, suffix).join("x")).unwrap();
        }
        let problem = ProcessTable::open(Some(&path), &services()).unwrap_err();
        let TableError::Problem(problem) = problem else { panic!("{problem:?}") };
        assert!(problem.contains("Is a directory (errno 21)"), "{problem}");
    }

    proptest::proptest! {
        #[test]
        fn any_table_is_read(bytes: Vec<u8>) {
            let _ = left(&bytes, &services());
        }
    }
}
