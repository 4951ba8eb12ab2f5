//! From the initramfs into the root.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use super::boot_state;
use super::command_line::{CommandLine, Slot};
use crate::init::{DEVICE_TIMEOUT, ROOT_FAILURE_PAUSE};
use crate::log::console::{error, info};
use crate::sys::machine::{self as system, MountError};

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
/// the board starts again after a moment, so that the boot loader counts a try. A slot that was good
/// is so no more: it has no tries, and the boot loader goes to the other one.
pub(super) fn enter(device: &str, line: &CommandLine<'_>) -> ! {
    let Err(error) = try_enter(device);
    error!("root {}: {}", device, error);
    if let (Some(slot), Some(disk)) = (line.slot, line.state) {
        match give_up(slot, Path::new(disk)) {
            Ok(true) => error!("slot {} was good, and is given up", slot),
            Ok(false) => {}
            Err(error) => error!("boot state on {}: {}", disk, error),
        }
    }
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

/// Takes from a good slot that it is; `false` when it was not.
fn give_up(slot: Slot, disk: &Path) -> io::Result<bool> {
    let mut sector = system::read_sector(disk, boot_state::SECTOR)?;
    let was_good = boot_state::give_up(&mut sector, slot);
    if was_good {
        system::write_sector(disk, boot_state::SECTOR, &sector)?;
    }
    Ok(was_good)
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
