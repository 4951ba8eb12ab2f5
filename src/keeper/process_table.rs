//! Table of the processes of the keeper, in a file in memory (`/run`): a keeper that is killed leaves its services
//! running, and the next one finds them there.
//!
//! A record for each slot: the name of the service, the leader, and its start in ticks since the boot, which
//! distinguishes it from a later process with the same number.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::process::Pid;

use super::slot::Slot;
use super::{SLOTS, procfs, raw};
use crate::limits::{SERVICE_NAME_BYTES, SERVICES};
use crate::log::Reason;
use crate::log::console::warning;
use crate::service::{ServiceId, ServiceTable};
use crate::sys::file;

/// Size of a record: length and bytes of the name, pid, start.
const RECORD_BYTES: usize = 1 + SERVICE_NAME_BYTES + 4 + 8;

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
    /// stays so without a path, or while another keeper uses the file.
    pub(super) fn open(path: Option<&Path>, services: &ServiceTable) -> (Self, Vec<Left>) {
        let mut table = Self::NONE;
        let Some(path) = path else { return (table, Vec::new()) };
        match Self::open_file(path) {
            Ok(Some((file, text))) => {
                table.file = Some(file);
                (table, left(&text, services))
            }
            Ok(None) => (table, Vec::new()),
            Err(error) => {
                warning!("{}: no table of processes: {}", path.display(), Reason::from(&error));
                (table, Vec::new())
            }
        }
    }

    /// Opens and locks the file, and empties it. Returns its old content; `None` while another keeper uses it.
    fn open_file(path: &Path) -> io::Result<Option<(File, Vec<u8>)>> {
        if let Some(directory) = path.parent() {
            // The error of the open says more.
            let _ = file::create_dir(directory);
        }
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(flags);
        let file = options.open(path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        }
        let mut text = Vec::new();
        (&file).take((SLOTS * RECORD_BYTES) as u64).read_to_end(&mut text)?;
        Ok(Some((file, text)))
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
        let (first, left) = ProcessTable::open(Some(&path), &services());
        assert!(first.file.is_some() && left.is_empty());
        assert!(ProcessTable::open(Some(&path), &services()).0.file.is_none());
        drop(first);
        assert!(ProcessTable::open(Some(&path), &services()).0.file.is_some());
        assert!(ProcessTable::open(None, &services()).0.file.is_none());
    }

    proptest::proptest! {
        #[test]
        fn any_table_is_read(bytes: Vec<u8>) {
            let _ = left(&bytes, &services());
        }
    }
}
