//! File systems: those of the kernel, memory, the root and the data.

use std::ffi::{CStr, CString};
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::statfs;
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_move, mount_remount, unmount};

use super::{release, wait};
use crate::log::Reason;
use crate::sys::{DATA_DEPTH, INITRAMFS_DEPTH, UNMOUNT_PAUSE, UNMOUNT_TRIES};

/// Mount point of the data.
pub const DATA: &str = "/data";
/// Mount point of the root before [`move_root`].
const NEW_ROOT: &str = "/root";

const RAMFS_MAGIC: u64 = 0x8584_58f6;
const TMPFS_MAGIC: u64 = 0x0102_1994;

/// Failed mount.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MountError {
    source: String,
    target: &'static str,
    kind: &'static str,
    errno: Errno,
}

impl fmt::Display for MountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { source, target, kind, errno } = self;
        write!(f, "cannot mount {source} on {target}: {}", Reason::from(*errno))?;
        match *errno {
            Errno::INVAL if source.starts_with('/') => write!(f, "; it has no {kind}, or a damaged one"),
            Errno::NODEV => write!(f, "; is the module of {kind} in /etc/friendlet/modules?"),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for MountError {}

/// Mounts a file system of type `kind`.
fn try_mount(
    source: &str,
    target: &'static str,
    kind: &'static str,
    flags: MountFlags,
    options: Option<&CStr>,
) -> Result<(), MountError> {
    mount(source, target, kind, flags, options).map_err(|errno| MountError {
        source: source.to_owned(),
        target,
        kind,
        errno,
    })
}

/// Mounts proc, sysfs, devtmpfs and cgroup2, unless they are mounted.
///
/// # Errors
/// The last failure; the other file systems are mounted.
pub fn mount_kernel() -> Result<(), MountError> {
    let safe = MountFlags::NOSUID | MountFlags::NOEXEC;
    let mut outcome = Ok(());
    for (kind, target, flags) in [
        ("proc", "/proc", safe | MountFlags::NODEV),
        ("sysfs", "/sys", safe | MountFlags::NODEV),
        ("devtmpfs", "/dev", safe),
        ("cgroup2", "/sys/fs/cgroup", safe | MountFlags::NODEV),
    ] {
        // A second proc would be mounted over the first.
        if is_mounted(target) {
            continue;
        }
        match try_mount(kind, target, kind, flags, None) {
            // A kernel without control groups.
            Err(error) if kind == "cgroup2" && matches!(error.errno, Errno::NOENT | Errno::NODEV) => {}
            Err(error) if error.errno != Errno::BUSY => outcome = Err(error),
            _ => {}
        }
    }
    outcome
}

/// Returns true if this directory is on another file system than the one that it is in.
fn is_mounted(directory: &str) -> bool {
    let directory = Path::new(directory);
    let device = |path| fs::metadata(path).ok().map(|found| found.dev());
    let parent = directory.parent().unwrap_or(directory);
    device(directory).is_some_and(|found| Some(found) != device(parent))
}

/// Mounts a tmpfs of at most `bytes` on a directory, which is created if it is missing.
///
/// # Errors
/// Error of the kernel.
pub fn mount_memory(target: &'static str, bytes: usize, mode: u32) -> Result<(), MountError> {
    // Fails if the directory exists; the mount reports a missing one.
    let _ = fs::create_dir(target);
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    let options = CString::new(format!("size={bytes},mode={mode:o}"));
    let errno = Errno::INVAL;
    let options =
        options.map_err(|_| MountError { source: "tmpfs".to_owned(), target, kind: "tmpfs", errno })?;
    try_mount("tmpfs", target, "tmpfs", flags, Some(&options))
}

/// Returns true if the root is the initramfs.
pub fn is_initramfs() -> bool {
    // Width and sign of `f_type` differ between machines.
    statfs("/").is_ok_and(|found| matches!(found.f_type as u64 & 0xffff_ffff, RAMFS_MAGIC | TMPFS_MAGIC))
}

/// Mounts the squashfs of a device read-only, for [`move_root`].
///
/// # Errors
/// Error of the kernel.
pub fn mount_root(device: &str) -> Result<(), MountError> {
    // Fails if the directory exists; the mount reports a missing one.
    let _ = fs::create_dir(NEW_ROOT);
    try_mount(device, NEW_ROOT, "squashfs", MountFlags::RDONLY, None)
}

/// Deletes the content of the initramfs, to free its memory, and returns the size of the deleted
/// files. Other file systems mounted there keep their content.
pub fn empty_initramfs() -> u64 {
    // Any other root is a disk.
    if !is_initramfs() {
        return 0;
    }
    fs::symlink_metadata("/").map_or(0, |root| empty(Path::new("/"), root.dev(), INITRAMFS_DEPTH))
}

/// Deletes the content of the data. Returns false if something is left.
pub fn empty_data() -> bool {
    if let Ok(data) = fs::symlink_metadata(DATA) {
        release(Path::new(DATA));
        empty(Path::new(DATA), data.dev(), DATA_DEPTH);
    }
    fs::read_dir(DATA).is_ok_and(|mut left| left.next().is_none())
}

/// Deletes the content of a directory on this device, at most `depth` levels deep.
fn empty(directory: &Path, device: u64, depth: usize) -> u64 {
    let Some(depth) = depth.checked_sub(1) else { return 0 };
    let mut bytes = 0;
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(found) = fs::symlink_metadata(&path) else { continue };
        if found.dev() != device {
            continue;
        }
        release(&path);
        if found.is_dir() {
            bytes += empty(&path, device, depth);
            // Fails if a file system is mounted inside.
            let _ = fs::remove_dir(&path);
        } else if fs::remove_file(&path).is_ok() {
            bytes += found.size();
        }
    }
    bytes
}

/// Moves the kernel's file systems into the new root and makes that the root of this process. Calls
/// `release_old` when the old root is not needed any more.
///
/// # Errors
/// Error of the system. Only a reboot helps, because parts of the old root may be gone.
pub fn move_root(release_old: impl FnOnce()) -> io::Result<()> {
    for name in ["dev", "proc", "sys"] {
        mount_move(format!("/{name}"), format!("{NEW_ROOT}/{name}"))?;
    }
    std::env::set_current_dir(NEW_ROOT)?;
    release_old();
    mount_move(".", "/")?;
    rustix::process::chroot(".")?;
    std::env::set_current_dir("/")
}

/// Mounts the ext4 of a device as the data. It becomes read-only when the kernel finds errors.
///
/// # Errors
/// Error of the kernel.
pub fn mount_data(device: &str) -> Result<(), MountError> {
    // Fails if the directory exists; the mount reports a missing one.
    let _ = fs::create_dir(DATA);
    let flags = MountFlags::NOATIME | MountFlags::NOSUID | MountFlags::NODEV;
    try_mount(device, DATA, "ext4", flags, Some(c"errors=remount-ro"))
}

/// Unmounts the data, which nothing uses yet.
///
/// # Errors
/// Error of the kernel.
pub fn unmount_data() -> io::Result<()> {
    Ok(unmount(DATA, UnmountFlags::NOFOLLOW)?)
}

/// Writes what is in memory to all disks.
pub fn sync() {
    rustix::fs::sync();
}

/// Failure to unmount the data, or to make them read-only.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct UnmountError {
    unmount: Errno,
    remount: Errno,
}

impl fmt::Display for UnmountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unmount, remount) = (Reason::from(self.unmount), Reason::from(self.remount));
        write!(f, "cannot unmount {DATA}: {unmount}; cannot make it read-only: {remount}")
    }
}

impl std::error::Error for UnmountError {}

/// Syncs and unmounts the data, or makes them read-only while they are in use.
///
/// # Errors
/// Errors of both attempts.
pub fn release_data() -> Result<(), UnmountError> {
    rustix::fs::sync();
    match retry_while_busy(|| unmount(DATA, UnmountFlags::NOFOLLOW)) {
        // Nothing is mounted.
        Ok(()) | Err(Errno::INVAL | Errno::NOENT) => Ok(()),
        Err(unmount) => {
            mount_remount(DATA, MountFlags::RDONLY, c"").map_err(|remount| UnmountError { unmount, remount })
        }
    }
}

/// Repeats an operation while it fails with `EBUSY`.
fn retry_while_busy(mut attempt: impl FnMut() -> Result<(), Errno>) -> Result<(), Errno> {
    for _ in 1..UNMOUNT_TRIES {
        match attempt() {
            Err(Errno::BUSY) => wait(UNMOUNT_PAUSE, &mut || ()),
            outcome => return outcome,
        }
    }
    attempt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_are_found() {
        assert!(is_mounted("/proc"));
        assert!(!is_mounted("/") && !is_mounted("/etc/passwd/none"));
    }

    #[test]
    fn only_an_initramfs_is_emptied() {
        if !is_initramfs() {
            assert_eq!(empty_initramfs(), 0);
            assert!(Path::new("/proc").exists());
        }
    }

    #[test]
    fn directories_up_to_the_depth_limit_are_emptied() {
        let top = std::env::temp_dir().join(format!("friendlet-empty-{}", std::process::id()));
        let emptied = |depth: usize, limit: usize| {
            // Nested directories with a file in the innermost.
            let path = (1..depth).fold(top.clone(), |path, n| path.join(n.to_string()));
            fs::create_dir_all(&path).unwrap();
            fs::write(path.join("file"), "twelve bytes").unwrap();
            let device = fs::metadata(&top).unwrap().dev();
            let bytes = empty(&top, device, limit);
            let left = path.join("file").exists();
            fs::remove_dir_all(&top).unwrap();
            (bytes, left)
        };
        for limit in [INITRAMFS_DEPTH, DATA_DEPTH] {
            assert_eq!(emptied(limit, limit), (12, false));
            assert_eq!(emptied(limit + 1, limit), (0, true));
        }
    }

    #[test]
    fn other_file_systems_are_not_emptied() {
        let top = std::env::temp_dir().join(format!("friendlet-other-{}", std::process::id()));
        fs::create_dir_all(top.join("directory")).unwrap();
        fs::write(top.join("directory/file"), "x").unwrap();
        std::os::unix::fs::symlink("/etc", top.join("link")).unwrap();
        let device = fs::metadata(&top).unwrap().dev();
        assert_eq!(empty(&top, device + 1, INITRAMFS_DEPTH), 0);
        assert!(top.join("directory/file").exists());
        empty(&top, device, INITRAMFS_DEPTH);
        assert_eq!(fs::read_dir(&top).unwrap().count(), 0);
        assert!(Path::new("/etc/passwd").exists());
        fs::remove_dir_all(top).unwrap();
    }

    #[test]
    fn busy_data_are_retried_up_to_the_limit() {
        let start = std::time::Instant::now();
        let tried = |free_after: usize| {
            let mut tries = 0;
            let outcome = retry_while_busy(|| {
                tries += 1;
                if tries < free_after { Err(Errno::BUSY) } else { Ok(()) }
            });
            (tries, outcome)
        };
        assert_eq!(tried(UNMOUNT_TRIES), (UNMOUNT_TRIES, Ok(())));
        assert!(start.elapsed() >= UNMOUNT_PAUSE * (UNMOUNT_TRIES as u32 - 1));
        assert_eq!(tried(UNMOUNT_TRIES + 1), (UNMOUNT_TRIES, Err(Errno::BUSY)));
        let mut tries = 0;
        let refused = retry_while_busy(|| {
            tries += 1;
            Err(Errno::INVAL)
        });
        assert_eq!((tries, refused), (1, Err(Errno::INVAL)));
    }

    #[test]
    fn errors_contain_a_hint() {
        let text = |errno| {
            MountError { source: "/dev/vda2".to_owned(), target: NEW_ROOT, kind: "squashfs", errno }
                .to_string()
        };
        let expected = "cannot mount /dev/vda2 on /root: No such file or directory (errno 2)";
        assert_eq!(text(Errno::NOENT), expected);
        assert!(text(Errno::INVAL).ends_with("(errno 22); it has no squashfs, or a damaged one"));
        assert!(
            text(Errno::NODEV).ends_with("(errno 19); is the module of squashfs in /etc/friendlet/modules?")
        );
    }
}
