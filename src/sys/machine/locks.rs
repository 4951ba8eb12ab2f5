//! Attributes of a file system that even root obeys: immutable, append-only (ioctl_iflags(2)).

use std::fs;
use std::path::Path;

use rustix::fs::{IFlags, Mode, OFlags, ioctl_getflags, ioctl_setflags, open};

use crate::log::Reason;
use crate::log::console::{error, warning};

/// Removes these attributes of a file or directory, if it has them.
pub fn release(path: &Path) {
    // To open a device may change it.
    if !fs::symlink_metadata(path).is_ok_and(|found| found.is_file() || found.is_dir()) {
        return;
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let Ok(file) = open(path, flags, Mode::empty()) else { return };
    // A file system without attributes refuses the question.
    let Ok(attributes) = ioctl_getflags(&file) else { return };
    let locks = IFlags::IMMUTABLE | IFlags::APPEND;
    if !attributes.intersects(locks) {
        return;
    }
    match ioctl_setflags(&file, attributes - locks) {
        Ok(()) => warning!("{}: an attribute is removed, immutable or append-only", path.display()),
        Err(errno) => {
            error!("{}: cannot make it mutable: {}", path.display(), Reason::from(errno.raw_os_error()));
        }
    }
}
