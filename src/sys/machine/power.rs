//! The machine's own settings and its end.

use std::io;

use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::system::{RebootCommand, reboot};

/// What processes inherit from the first one: files that others may read and not write, no core
/// files; and ctrl-alt-del becomes a signal to this process.
///
/// # Errors
/// The first of what cannot be set; the rest is.
pub fn prepare() -> io::Result<()> {
    rustix::process::umask(Mode::WGRP | Mode::WOTH);
    let core = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: None });
    Ok(reboot(RebootCommand::CadOff).and(core)?)
}

/// Restarts the machine. It returns only when the kernel will not.
///
/// # Errors
/// The kernel's reason.
pub fn restart() -> io::Result<()> {
    Ok(reboot(RebootCommand::Restart)?)
}

/// Switches the machine off, or halts it where it cannot be. It returns only when the kernel will
/// not.
///
/// # Errors
/// The kernel's reason.
pub fn switch_off() -> io::Result<()> {
    Ok(reboot(RebootCommand::PowerOff)?)
}
