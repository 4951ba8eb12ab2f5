//! File systems: the kernel's own, memory, the root and the data.

use std::ffi::CString;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::statfs;
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_move, mount_remount, unmount};

use super::wait;
use crate::sys::{INITRAMFS_DEPTH, UNMOUNT_PAUSE, UNMOUNT_TRIES};

/// Where the data are.
pub const DATA: &str = "/data";
/// Where the root is mounted before it becomes one.
const NEW_ROOT: &str = "/root";

const RAMFS_MAGIC: u64 = 0x8584_58f6;
const TMPFS_MAGIC: u64 = 0x0102_1994;

/// What could not be mounted, and why.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct MountError {
    kind: &'static str,
    errno: Errno,
}

impl MountError {
    fn new(kind: &'static str) -> impl Fn(Errno) -> Self {
        move |errno| Self { kind, errno }
    }
}

impl fmt::Display for MountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.errno {
            Errno::INVAL => write!(f, "there is no {} on it, or it is damaged", self.kind),
            Errno::NODEV => {
                write!(f, "the kernel knows no {}: name its module in /etc/friendlet/modules", self.kind)
            }
            Errno::NOENT => write!(f, "there is no such device, or no folder to mount {} on", self.kind),
            errno => write!(f, "{}: {errno}", self.kind),
        }
    }
}

impl std::error::Error for MountError {}

/// Mounts proc, sysfs and devtmpfs, where they are not.
///
/// # Errors
/// The last of those that cannot be; the others are.
pub fn mount_kernel() -> Result<(), MountError> {
    let safe = MountFlags::NOSUID | MountFlags::NOEXEC;
    let mut outcome = Ok(());
    for (kind, target, flags) in [
        ("proc", "/proc", safe | MountFlags::NODEV),
        ("sysfs", "/sys", safe | MountFlags::NODEV),
        ("devtmpfs", "/dev", safe),
    ] {
        // A second proc would be mounted over the first.
        if is_mounted(target) {
            continue;
        }
        match mount(kind, target, kind, flags, None) {
            Ok(()) | Err(Errno::BUSY) => {}
            Err(errno) => outcome = Err(MountError::new(kind)(errno)),
        }
    }
    outcome
}

/// Whether this folder of the root belongs to another file system than the root.
fn is_mounted(folder: &str) -> bool {
    let device = |path| fs::metadata(path).ok().map(|found| found.dev());
    device(folder).is_some_and(|found| Some(found) != device("/"))
}

/// Mounts memory on a folder, which is made when it is not there: at most so many bytes, for `mode`.
///
/// # Errors
/// The kernel's reason.
pub fn mount_memory(target: &str, bytes: usize, mode: u32) -> Result<(), MountError> {
    // Of a read-only root it has to be there; the mount says so.
    let _ = fs::create_dir(target);
    let options = CString::new(format!("size={bytes},mode={mode:o}")).unwrap_or_default();
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    mount("tmpfs", target, "tmpfs", flags, options.as_c_str()).map_err(MountError::new("tmpfs"))
}

/// Whether the root is what the kernel unpacked into memory.
pub fn is_initramfs() -> bool {
    // Its type differs between machines, and so does its sign.
    statfs("/").is_ok_and(|found| matches!(found.f_type as u64 & 0xffff_ffff, RAMFS_MAGIC | TMPFS_MAGIC))
}

/// Mounts this device's squashfs, read-only, where [`move_root`] takes it from.
///
/// # Errors
/// The kernel's reason.
pub fn mount_root(device: &str) -> Result<(), MountError> {
    let _ = fs::create_dir(NEW_ROOT);
    mount(device, NEW_ROOT, "squashfs", MountFlags::RDONLY, None).map_err(MountError::new("squashfs"))
}

/// Deletes what the kernel unpacked, so that its memory is free again. Other file systems mounted
/// there are left alone. Gives the bytes of the files.
pub fn empty_initramfs() -> u64 {
    // Anything else would be somebody's disk.
    if !is_initramfs() {
        return 0;
    }
    fs::symlink_metadata("/").map_or(0, |root| empty(Path::new("/"), root.dev(), INITRAMFS_DEPTH))
}

/// Deletes what is in a folder and on this device, so many folders deep.
fn empty(folder: &Path, device: u64, depth: usize) -> u64 {
    let Some(depth) = depth.checked_sub(1) else { return 0 };
    let mut bytes = 0;
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(found) = fs::symlink_metadata(&path) else { continue };
        if found.dev() != device {
            continue;
        }
        if found.is_dir() {
            bytes += empty(&path, device, depth);
            // One in which something is mounted stays.
            let _ = fs::remove_dir(&path);
        } else if fs::remove_file(&path).is_ok() {
            bytes += found.size();
        }
    }
    bytes
}

/// Moves the kernel's file systems into the mounted root and makes it the root of this process.
/// `before_the_last_step` is called when nothing of the old root is needed any more.
///
/// # Errors
/// Those of the system. The old root may be half gone then; there is nothing left but a reboot.
pub fn move_root(before_the_last_step: impl FnOnce()) -> io::Result<()> {
    for name in ["dev", "proc", "sys"] {
        mount_move(format!("/{name}"), format!("{NEW_ROOT}/{name}"))?;
    }
    std::env::set_current_dir(NEW_ROOT)?;
    before_the_last_step();
    mount_move(".", "/")?;
    rustix::process::chroot(".")?;
    std::env::set_current_dir("/")
}

/// Mounts this device's ext4 for the data. It becomes read-only when its errors say so.
///
/// # Errors
/// The kernel's reason.
pub fn mount_data(device: &str) -> Result<(), MountError> {
    let _ = fs::create_dir(DATA);
    let flags = MountFlags::NOATIME | MountFlags::NOSUID | MountFlags::NODEV;
    mount(device, DATA, "ext4", flags, c"errors=remount-ro").map_err(MountError::new("ext4"))
}

/// Writes out all that waits, and lets go of the data: unmounted, or read-only when somebody cannot
/// let go of them.
///
/// # Errors
/// The kernel's reason why not even that worked.
pub fn release_data() -> Result<(), MountError> {
    rustix::fs::sync();
    match while_busy(|| unmount(DATA, UnmountFlags::NOFOLLOW)) {
        // It was not mounted.
        Ok(()) | Err(Errno::INVAL | Errno::NOENT) => Ok(()),
        Err(_) => mount_remount(DATA, MountFlags::RDONLY, c"").map_err(MountError::new("ext4")),
    }
}

/// Tries this again while the system says that somebody has not let go yet.
fn while_busy(mut attempt: impl FnMut() -> Result<(), Errno>) -> Result<(), Errno> {
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
    fn what_is_mounted_is_known() {
        assert!(is_mounted("/proc"));
        assert!(!is_mounted("/") && !is_mounted("/etc/passwd/none"));
    }

    #[test]
    fn what_is_no_initramfs_is_not_emptied() {
        if !is_initramfs() {
            assert_eq!(empty_initramfs(), 0);
            assert!(Path::new("/proc").exists());
        }
    }

    #[test]
    fn emptied_as_deep_as_the_limit_and_no_deeper() {
        let top = std::env::temp_dir().join(format!("friendlet-empty-{}", std::process::id()));
        let emptied = |folders: usize| {
            // The folders and a file in the innermost.
            let path = (1..folders).fold(top.clone(), |path, n| path.join(n.to_string()));
            fs::create_dir_all(&path).unwrap();
            fs::write(path.join("file"), "twelve bytes").unwrap();
            let device = fs::metadata(&top).unwrap().dev();
            let bytes = empty(&top, device, INITRAMFS_DEPTH);
            let left = path.join("file").exists();
            fs::remove_dir_all(&top).unwrap();
            (bytes, left)
        };
        assert_eq!(emptied(INITRAMFS_DEPTH), (12, false));
        assert_eq!(emptied(INITRAMFS_DEPTH + 1), (0, true));
    }

    #[test]
    fn what_is_mounted_there_is_left_alone() {
        let top = std::env::temp_dir().join(format!("friendlet-other-{}", std::process::id()));
        fs::create_dir_all(top.join("folder")).unwrap();
        fs::write(top.join("folder/file"), "x").unwrap();
        std::os::unix::fs::symlink("/etc", top.join("link")).unwrap();
        let device = fs::metadata(&top).unwrap().dev();
        assert_eq!(empty(&top, device + 1, INITRAMFS_DEPTH), 0);
        assert!(top.join("folder/file").exists());
        empty(&top, device, INITRAMFS_DEPTH);
        assert_eq!(fs::read_dir(&top).unwrap().count(), 0);
        assert!(Path::new("/etc/passwd").exists());
        fs::remove_dir_all(top).unwrap();
    }

    #[test]
    fn busy_data_are_tried_again_as_often_as_the_limit_says() {
        let start = std::time::Instant::now();
        let tried = |free_after: usize| {
            let mut tries = 0;
            let outcome = while_busy(|| {
                tries += 1;
                if tries < free_after { Err(Errno::BUSY) } else { Ok(()) }
            });
            (tries, outcome)
        };
        assert_eq!(tried(UNMOUNT_TRIES), (UNMOUNT_TRIES, Ok(())));
        assert!(start.elapsed() >= UNMOUNT_PAUSE * (UNMOUNT_TRIES as u32 - 1));
        assert_eq!(tried(UNMOUNT_TRIES + 1), (UNMOUNT_TRIES, Err(Errno::BUSY)));
        let mut tries = 0;
        let refused = while_busy(|| {
            tries += 1;
            Err(Errno::INVAL)
        });
        assert_eq!((tries, refused), (1, Err(Errno::INVAL)));
    }

    #[test]
    fn errors_say_what_to_do() {
        let text = |errno| MountError::new("squashfs")(errno).to_string();
        assert_eq!(text(Errno::INVAL), "there is no squashfs on it, or it is damaged");
        assert!(text(Errno::NODEV).contains("/etc/friendlet/modules"));
        assert!(text(Errno::IO).starts_with("squashfs: "));
    }
}
