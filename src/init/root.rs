//! From the initramfs into the root.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use crate::limits::{DEVICE_TIMEOUT, ROOT_FAILURE_PAUSE};
use crate::sys::machine::{self as system, MountError};
use crate::{error, info};

const INIT: &str = "/sbin/init";

/// Why the root cannot be entered.
#[derive(Debug)]
enum RootError {
    NoDevice,
    Mount(MountError),
    Move(io::Error),
    Start(io::Error),
}

impl fmt::Display for RootError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDevice => write!(
                f,
                "no such disk appeared in {} s: are its modules in /etc/friendlet/modules?",
                DEVICE_TIMEOUT.as_secs()
            ),
            Self::Mount(error) => error.fmt(f),
            Self::Move(error) => write!(f, "it cannot become the root: {error}"),
            Self::Start(error) => write!(f, "{INIT}: {error}"),
        }
    }
}

/// Mounts this device's root, frees the initramfs and becomes that root's init. When that cannot be,
/// the board starts again after a moment, so that the boot loader counts a try.
pub(super) fn enter(device: &str) -> ! {
    let Err(error) = try_enter(device);
    error!("root {}: {}", device, error);
    error!("restarting in {} s", ROOT_FAILURE_PAUSE.as_secs());
    restart()
}

/// Starts the board again, after a moment in which the console can be read.
pub(super) fn restart() -> ! {
    loop {
        system::wait(ROOT_FAILURE_PAUSE, &mut || ());
        if let Err(error) = system::restart() {
            error!("the board does not restart: {}", error);
        }
    }
}

fn try_enter(device: &str) -> Result<Infallible, RootError> {
    if !system::wait_for(Path::new(device), DEVICE_TIMEOUT, &mut || ()) {
        return Err(RootError::NoDevice);
    }
    system::mount_root(device).map_err(RootError::Mount)?;
    info!("root {} mounted", device);
    // Before the move: afterwards no path leads to the initramfs any more.
    let free = || info!("initramfs emptied: {} kB", system::empty_initramfs() / 1024);
    system::move_root(free).map_err(RootError::Move)?;
    Err(RootError::Start(Command::new(INIT).exec()))
}
