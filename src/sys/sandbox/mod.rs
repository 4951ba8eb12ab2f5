//! Sandbox of the server: no process, and few writes.
//!
//! The server parses what strangers send. It starts no process and changes nothing of the machine, which the keeper does,
//! so the kernel forbids it both (docs/decisions/0033-sandbox-of-the-server.md). The keeper and the services have no part
//! of this.
//!
//! | part | in force after it |
//! |---|---|
//! | user | another one than root, if the system has it |
//! | capabilities | no others than [`KEPT`], which root alone has to give |
//! | system calls | those of a table; another one ends the process, and the keeper logs its number |
//! | files | writes in the directories of the configuration alone (Landlock); no file is executed |

mod calls;
mod filter;
mod raw;

use std::fmt;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::fs::{Mode, OFlags, open};
use rustix::process::{Gid, Uid, geteuid};
use rustix::thread::{
    CapabilitySet, set_keep_capabilities, set_no_new_privs, set_thread_gid, set_thread_groups, set_thread_uid,
};

pub use self::raw::{FORBIDDEN, report};
use super::{Account, SANDBOX_TIME, capabilities, file, lookup, thread};
use crate::log::Reason;

/// Capabilities that a server of root keeps: it writes files in directories of other users, and keeps the owner of a
/// configuration file that it changes; and it opens ports below 1024, at a reload too.
pub const KEPT: CapabilitySet = CapabilitySet::DAC_OVERRIDE
    .union(CapabilitySet::CHOWN)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::NET_BIND_SERVICE);

/// Access to files that each version of Landlock can forbid: all bits below this one, but for reading.
const ACCESS_BITS: [u32; 5] = [13, 14, 15, 15, 16];
/// `LANDLOCK_ACCESS_FS_EXECUTE`, `.._READ_FILE`, `.._READ_DIR`, `.._MAKE_CHAR`, `.._MAKE_BLOCK`, `.._REFER` and `.._IOCTL_DEV`.
const EXECUTE: u64 = 1;
const READ: u64 = 1 << 2 | 1 << 3;
const MAKE_DEVICE: u64 = 1 << 6 | 1 << 11;
const REFER: u64 = 1 << 13;
const IOCTL_DEVICE: u64 = 1 << 15;

/// Stack of the thread that opens directories.
const DIRECTORIES_STACK_BYTES: usize = 64 * 1024;

/// The sandbox of this process.
#[derive(Debug, Default)]
pub struct Sandbox {
    /// Reason of each part why it is not in force.
    errors: [Option<io::Error>; PARTS.len()],
    /// A directory has not been opened in time.
    is_incomplete: bool,
}

/// Names of the parts.
const PARTS: [&str; 4] = ["user", "capabilities", "system calls", "files"];

impl Sandbox {
    /// Confines this process, which must have one thread: no capability, no call and no write is left to it but those that
    /// a server needs that writes in these directories. In place of root it gets this user. `keeper` is the socket for the
    /// report of a forbidden call.
    pub fn enter(directories: Vec<PathBuf>, user: &str, keeper: BorrowedFd<'_>) -> Self {
        let (directories, is_complete) = open_within(SANDBOX_TIME, directories);
        // Without it, a filter needs a capability.
        let prepared = set_no_new_privs(true).map_err(io::Error::from);
        let files = forbid_writes(&directories);
        let user = find(user).and_then(|account| account.map_or(Ok(()), |account| become_user(&account)));
        let capabilities = capabilities::reduce(KEPT).map_err(io::Error::from);
        // The last one: it forbids the calls of the others.
        let process = rustix::process::getpid().as_raw_nonzero().get().unsigned_abs();
        let calls = prepared.and_then(|()| match filter::program(process) {
            Some(program) => raw::filter(&program, keeper),
            None => Err(io::ErrorKind::Unsupported.into()),
        });
        Self {
            errors: [user.err(), capabilities.err(), calls.err(), files.err()],
            is_incomplete: !is_complete,
        }
    }

    /// Returns the sandbox that this kernel can give, without entering it.
    pub fn preview(user: &str) -> Self {
        let errors = [find(user).err(), None, raw::check_filters().err(), raw::landlock_version().err()];
        Self { errors, is_incomplete: false }
    }

    /// Returns true if what the server writes in some of its directories fails, because their media do not answer.
    pub fn is_incomplete(&self) -> bool {
        self.is_incomplete
    }

    /// Returns true if the server can write only in the directories of the sandbox.
    pub fn confines_files(&self) -> bool {
        matches!(self.errors.last(), Some(None))
    }

    /// Parts that are in force, separated by commas.
    pub fn in_force(&self) -> String {
        let parts: Vec<&str> =
            self.parts().filter(|(_, error)| error.is_none()).map(|(name, _)| name).collect();
        parts.join(", ")
    }

    /// Parts that are not in force, each with the reason.
    pub fn missing(&self) -> impl Iterator<Item = Missing<'_>> {
        self.parts().filter_map(|(name, error)| Some(Missing { name, error: error.as_ref()? }))
    }

    fn parts(&self) -> impl Iterator<Item = (&'static str, &Option<io::Error>)> {
        PARTS.into_iter().zip(&self.errors)
    }
}

/// Part of the sandbox that is not in force.
#[derive(Debug)]
pub struct Missing<'s> {
    name: &'static str,
    error: &'s io::Error,
}

impl Missing<'_> {
    /// Returns true if the kernel lacks it.
    pub fn is_of_kernel(&self) -> bool {
        matches!(self.error.raw_os_error(), Some(libc::ENOSYS | libc::EOPNOTSUPP | libc::EINVAL))
    }

    /// Returns true if the system has no user for the server, or this program no table for the processor.
    pub fn is_of_system(&self) -> bool {
        self.error.raw_os_error().is_none()
    }
}

impl fmt::Display for Missing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sandbox: nothing restricts the server's {}: {}", self.name, Reason::from(self.error))
    }
}

/// Finds the user in whose place root would be too much; `None` for a process of another user.
fn find(user: &str) -> io::Result<Option<Account>> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    let account = lookup(user)?.filter(|account| account.uid != 0);
    account
        .map(Some)
        .ok_or(io::Error::new(io::ErrorKind::NotFound, "the system has no user for it ([board] user)"))
}

/// Takes the user and group of an account in place of root's, with the capabilities of this process.
fn become_user(account: &Account) -> io::Result<()> {
    // As long as it is root's.
    capabilities::bound(KEPT)?;
    set_keep_capabilities(true)?;
    set_thread_groups(&[])?;
    set_thread_gid(Gid::from_raw(account.gid))?;
    Ok(set_thread_uid(Uid::from_raw(account.uid))?)
}

/// Forbids writes outside of these directories, and to execute any file. Reading is not restricted.
fn forbid_writes(directories: &[OwnedFd]) -> io::Result<()> {
    let version = usize::try_from(raw::landlock_version()?).unwrap_or_default();
    let bits = ACCESS_BITS.get(version.saturating_sub(1)).or(ACCESS_BITS.last()).copied().unwrap_or_default();
    let handled = ((1 << bits) - 1) & !READ;
    let allowed = handled & !(EXECUTE | MAKE_DEVICE | REFER | IOCTL_DEVICE);
    let rules = raw::ruleset(handled)?;
    directories.iter().try_for_each(|directory| raw::allow(&rules, directory, allowed))?;
    raw::restrict(&rules)
}

/// Opens directories on a thread, because one on a medium that hangs has no answer. Returns those that are open within a
/// time, and false if that is not all.
fn open_within(time: Duration, paths: Vec<PathBuf>) -> (Vec<OwnedFd>, bool) {
    let opened = Arc::new(Mutex::new(Vec::new()));
    let theirs = Arc::clone(&opened);
    let open = move || {
        for directory in paths.iter().filter_map(|path| open_existing(path)) {
            thread::lock(&theirs).push(directory);
        }
    };
    let is_complete = thread::within("directories", DIRECTORIES_STACK_BYTES, time, open).is_some();
    (core::mem::take(&mut thread::lock(&opened)), is_complete)
}

/// Opens a directory. One that is missing is created, as the first write would; where that is impossible, the nearest one
/// that exists takes its place, because its medium may come later. The root does not: it would allow everything.
fn open_existing(path: &Path) -> Option<OwnedFd> {
    // A failure shows below.
    let _ = file::create_dir(path);
    let found = path.ancestors().find(|path| path.is_dir())?;
    let is_given = found == path || found.parent().is_some();
    open(found, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok().filter(|_| is_given)
}

#[cfg(test)]
mod tests;
