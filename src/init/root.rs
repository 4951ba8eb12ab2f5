//! Switch from the initramfs to the root.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::path::Path;

use super::command_line::CommandLine;
use super::{DEVICE_TIMEOUT, ROOT_FAILURE_PAUSE, bring_up};
use crate::log::Reason;
use crate::log::console::{error, info};
use crate::sys::machine::{self as system, MountError};
use crate::sys::program::Command;

const INIT: &str = "/sbin/init";

/// Reason for not entering the root.
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
                "no such device after {} s: are its modules in /etc/friendlet/modules?",
                DEVICE_TIMEOUT.as_secs()
            ),
            Self::Mount(error) => error.fmt(f),
            Self::Move(error) => write!(f, "cannot switch root: {}", Reason::from(error)),
            Self::Start(error) => write!(f, "cannot start {INIT}: {}", Reason::from(error)),
        }
    }
}

/// Mounts the root of this device, empties the initramfs and becomes the init of that root.
///
/// On failure the board restarts after a pause, so that the boot loader counts a try. A confirmed
/// slot is given up, so that the boot loader starts the other one.
pub(super) fn enter(device: &str, line: &CommandLine<'_>) -> ! {
    let Err(error) = try_enter(device);
    error!("cannot enter root {}: {}", device, error);
    bring_up::give_up(line.slot, line.state, "its root cannot be entered");
    error!("restarting in {} s", ROOT_FAILURE_PAUSE.as_secs());
    restart()
}

/// Restarts the board after a pause for reading the console.
pub(super) fn restart() -> ! {
    loop {
        system::wait(ROOT_FAILURE_PAUSE, &mut || ());
        if let Err(error) = system::restart() {
            error!("cannot restart: {}", Reason::from(&error));
        }
    }
}

fn try_enter(device: &str) -> Result<Infallible, RootError> {
    if !system::wait_for(Path::new(device), DEVICE_TIMEOUT, &mut || ()) {
        return Err(RootError::NoDevice);
    }
    system::mount_root(device).map_err(RootError::Mount)?;
    info!("root {} mounted", device);
    // Before the switch, because no path leads to the initramfs afterwards.
    let free = || info!("initramfs emptied: {} kB", system::empty_initramfs() / 1024);
    system::move_root(free).map_err(RootError::Move)?;
    Err(RootError::Start(Command::new(INIT).argument(INIT).inherit_variables().execute()))
}
