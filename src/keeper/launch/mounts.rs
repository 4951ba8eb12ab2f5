//! Mounts of one process alone: a `/tmp` of its own, and file systems that it can only read.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_bind, mount_change, mount_remount};

use super::super::{PRIVATE_TMP_BYTES, TMP};
use super::at;
use crate::service::{Attributes, SpawnError, SpawnStage};
use crate::sys::fork;

/// File systems of the kernel, whose own rules apply.
const KERNEL: [&str; 3] = ["/proc", "/sys", "/dev"];

/// Makes the mounts that the attributes ask for. `own` are directories of the service, which it can write.
///
/// # Errors
/// Error of the system: a user who is not root, or a kernel without namespaces.
pub(super) fn make(attributes: &Attributes, own: &[(&'static str, String)]) -> Result<(), SpawnError> {
    let Attributes { private_tmp, read_only, .. } = *attributes;
    if !private_tmp && !read_only {
        return Ok(());
    }
    let failed = |index: usize| move |errno| at(SpawnStage::Mounts)(errno).with_item(index);
    let first = if private_tmp { 0 } else { 1 };
    fork::leave_mounts().map_err(failed(first))?;
    // Nothing from here goes to the machine. What is mounted there later comes here, but not to a process
    // that may write to nothing else.
    let propagation =
        if read_only { MountPropagationFlags::PRIVATE } else { MountPropagationFlags::DOWNSTREAM };
    mount_change("/", propagation | MountPropagationFlags::REC).map_err(failed(first))?;
    if private_tmp {
        TMP.iter().try_for_each(|directory| mount_tmp(directory)).map_err(failed(0))?;
    }
    if read_only {
        let own = own.iter().map(|(_, path)| path.as_str());
        let kept = if private_tmp { &TMP[..] } else { &[] };
        protect(own, kept).map_err(failed(1))?;
    }
    Ok(())
}

fn mount_tmp(directory: &str) -> Result<(), Errno> {
    if !Path::new(directory).is_dir() {
        return Ok(());
    }
    let options = std::ffi::CString::new(format!("size={PRIVATE_TMP_BYTES},mode=1777"));
    let options = options.map_err(|_| Errno::INVAL)?;
    mount("tmpfs", directory, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, options.as_c_str())
}

/// Makes every file system read-only but those of the kernel, the `own` directories and those in `kept`.
fn protect<'p>(own: impl Iterator<Item = &'p str> + Clone, kept: &[&'p str]) -> Result<(), Errno> {
    for path in own.clone() {
        // A mount of its own, which stays as it is.
        mount_bind(path, path)?;
    }
    let text = fs::read("/proc/self/mountinfo")
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    for (path, flags) in text.split(|byte| *byte == b'\n').filter_map(entry) {
        let stays = own.clone().chain(kept.iter().copied()).any(|own| path == Path::new(own));
        if stays || KERNEL.iter().any(|kernel| path.starts_with(kernel)) {
            continue;
        }
        match mount_remount(&path, MountFlags::BIND | MountFlags::RDONLY | flags, "") {
            // Another mount covers it.
            Ok(()) | Err(Errno::INVAL | Errno::NOENT | Errno::NOTDIR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Mount point and flags of a line of `/proc/self/mountinfo` (proc_pid_mountinfo(5)).
fn entry(line: &[u8]) -> Option<(PathBuf, MountFlags)> {
    let mut fields = line.split(|byte| *byte == b' ').skip(4);
    let path = PathBuf::from(OsString::from_vec(unescape(fields.next()?)));
    let options = core::str::from_utf8(fields.next()?).ok()?;
    let flags = options.split(',').fold(MountFlags::empty(), |flags, option| {
        flags
            | match option {
                "nosuid" => MountFlags::NOSUID,
                "nodev" => MountFlags::NODEV,
                "noexec" => MountFlags::NOEXEC,
                "noatime" => MountFlags::NOATIME,
                "nodiratime" => MountFlags::NODIRATIME,
                "relatime" => MountFlags::RELATIME,
                _ => MountFlags::empty(),
            }
    });
    Some((path, flags))
}

/// Replaces `\040` and the like, which stand for white space and backslashes.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let octal = after.get(..3).filter(|_| *first == b'\\');
        let octal = octal.and_then(|digits| u8::from_str_radix(core::str::from_utf8(digits).ok()?, 8).ok());
        bytes.push(octal.unwrap_or(*first));
        rest = if octal.is_some() { after.get(3..).unwrap_or_default() } else { after };
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_mount_points_and_flags() {
        let line = br"36 35 98:0 /mnt1 /mnt/a\040b\134c rw,nosuid,noexec,relatime master:1 - ext3 /dev/root rw,errors=continue";
        let flags = MountFlags::NOSUID | MountFlags::NOEXEC | MountFlags::RELATIME;
        assert_eq!(entry(line), Some((PathBuf::from(r"/mnt/a b\c"), flags)));
        assert_eq!(entry(b"36 35 98:0 / / rw - x y z"), Some((PathBuf::from("/"), MountFlags::empty())));
        for broken in [&b""[..], b"36 35 98:0 /mnt1", b"36 35 98:0 /mnt1 /x", b"36 35 98:0 /mnt1 /x \xff"] {
            assert_eq!(entry(broken), None);
        }
    }

    #[test]
    fn escapes_of_three_octal_digits() {
        for (text, bytes) in
            [(r"a\040b", "a b"), (r"\01", r"\01"), (r"\999", r"\999"), (r"\", r"\"), (r"\011\012", "\t\n")]
        {
            assert_eq!(unescape(text.as_bytes()), bytes.as_bytes());
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics(line: Vec<u8>) {
            let _ = entry(&line);
        }
    }
}
