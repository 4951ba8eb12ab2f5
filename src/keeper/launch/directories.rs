//! Directories that are created for a service.

use rustix::fs::{Mode, OFlags, fchmod, fchown, fstat, mkdir, open};
use rustix::io::Errno;
use rustix::process::{Gid, Uid};

use super::at;
use crate::service::{Attributes, DirectoryKind, SpawnError, SpawnStage};
use crate::sys::Account;
use crate::sys::board::has_init;

/// Mode of a new directory.
const MODE: Mode = Mode::from_raw_mode(0o755);

/// Creates the directories of a service that do not exist, for this user or for that of the keeper. Returns
/// the paths of all, each with its environment variable.
///
/// # Errors
/// Error of the system, such as of a disk that cannot be written, and `ELOOP` or `ENOTDIR` for a link.
pub(super) fn create(
    attributes: &Attributes,
    owner: Option<&Account>,
) -> Result<Vec<(&'static str, String)>, SpawnError> {
    let has_init = has_init();
    let mut created = Vec::new();
    for (index, (kind, name)) in DirectoryKind::ALL.into_iter().zip(&attributes.directories).enumerate() {
        if let Some(name) = name {
            let base = kind.base(has_init);
            let path = format!("{base}/{name}");
            create_one(base, &path, owner)
                .map_err(|errno| at(SpawnStage::Directories)(errno).with_item(index))?;
            created.push((kind.variable(), path));
        }
    }
    Ok(created)
}

fn create_one(base: &str, path: &str, owner: Option<&Account>) -> Result<(), Errno> {
    create_if_missing(base)?;
    let is_new = create_if_missing(path)?;
    // A link would give the user the directory that it leads to.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = open(path, flags, Mode::empty())?;
    if is_new {
        // The umask does not count.
        fchmod(&directory, MODE)?;
    }
    match owner {
        Some(owner) if fstat(&directory)?.st_uid != owner.uid => {
            fchown(&directory, Some(Uid::from_raw(owner.uid)), Some(Gid::from_raw(owner.gid)))
        }
        _ => Ok(()),
    }
}

/// Returns true for a directory that did not exist.
fn create_if_missing(path: &str) -> Result<bool, Errno> {
    match mkdir(path, MODE) {
        Ok(()) => Ok(true),
        Err(Errno::EXIST) => Ok(false),
        // A base on a disk that cannot be written exists, or the next step fails.
        Err(Errno::ROFS | Errno::ACCESS) if rustix::fs::stat(path).is_ok() => Ok(false),
        Err(errno) => Err(errno),
    }
}
