//! Bring-up of a board before the server starts: file systems, watchdog and boot state.

use std::fmt::Display;
use std::path::Path;

use heapless::String;

use super::boot_state::{self, SlotState};
use super::command_line::{CommandLine, Slot};
use super::{DATA_RETRY_PAUSE, DEVICE_TIMEOUT, RUN_BYTES, SPARE_DATA_BYTES, TMP_BYTES, WATCHDOG};
use crate::config::NOTICE_BYTES;
use crate::log::Reason;
use crate::log::console::{error, info, warning};
use crate::sys::machine::{self as system, MountError, Watchdog};

/// Boot errors that the server shows to administrators.
pub(super) type Notice = String<NOTICE_BYTES>;

/// Opens the watchdog, if there is one. This arms it.
pub(super) fn open_watchdog(seconds: Option<u32>) -> Option<Watchdog> {
    match Watchdog::open(Path::new(WATCHDOG)) {
        Ok(watchdog) => {
            match seconds {
                Some(seconds) => info!("{} is armed: reset after {} s", WATCHDOG, seconds),
                None => info!("{} is armed", WATCHDOG),
            }
            Some(watchdog)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            info!("no {}: init kills a server without a heartbeat", WATCHDOG);
            None
        }
        Err(error) => {
            warning!("cannot open {}: {}", WATCHDOG, Reason::from(&error));
            None
        }
    }
}

pub(super) fn mount_memory() {
    for (target, bytes, mode) in
        [("/run", RUN_BYTES, 0o755), ("/tmp", TMP_BYTES, 0o1777), ("/dev/shm", TMP_BYTES, 0o1777)]
    {
        if let Err(error) = system::mount_memory(target, bytes, mode) {
            error!("{}", error);
        }
    }
}

/// Mounts the data partition, or memory in its place: a board that loses its changes can still be
/// repaired from afar.
pub(super) fn mount_data(device: Option<&str>, notice: &mut Notice, feed: &mut dyn FnMut()) {
    match device {
        Some(device) => match try_mount_data(device, feed) {
            Ok(()) => {
                info!("{} mounted on {}", device, system::DATA);
                return;
            }
            Err(error) => {
                error!("{}", error);
                append(notice, error);
            }
        },
        None => {
            warning!("no friendlet.data= on the kernel command line");
            append(notice, "no data partition on the kernel command line");
        }
    }
    append(notice, "; changes are lost when the board restarts");
    warning!("{} is in memory: changes are lost when the board restarts", system::DATA);
    if let Err(error) = system::mount_memory(system::DATA, SPARE_DATA_BYTES, 0o755) {
        error!("{}", error);
    }
}

/// Appends to the notice, which is cut at its limit.
fn append(notice: &mut Notice, text: impl Display) {
    for c in text.to_string().chars() {
        if notice.push(c).is_err() {
            break;
        }
    }
}

fn try_mount_data(device: &str, feed: &mut dyn FnMut()) -> Result<(), MountError> {
    // Without the device, mounting reports the error.
    system::wait_for(Path::new(device), DEVICE_TIMEOUT, feed);
    system::mount_data(device).or_else(|error| {
        warning!("{}; trying again", error);
        system::wait(DATA_RETRY_PAUSE, feed);
        system::mount_data(device)
    })
}

/// Returns true if the running slot is not confirmed.
pub(super) fn is_testing(line: &CommandLine<'_>) -> bool {
    let (Some(slot), Some(disk)) = (line.slot, line.state) else { return false };
    let sector = match system::read_sector(Path::new(disk), boot_state::SECTOR) {
        Ok(sector) => sector,
        Err(error) => {
            warning!("cannot read the boot state on {}: {}", disk, Reason::from(&error));
            return false;
        }
    };
    match boot_state::slot_state(&sector, slot) {
        Ok(SlotState::Confirmed) => {
            info!("slot {} is confirmed", slot);
            false
        }
        Ok(SlotState::Testing(tries)) => {
            info!("testing slot {}: {} tries left", slot, tries);
            true
        }
        Err(error) => {
            warning!("cannot use the boot state on {}: {}", disk, error);
            false
        }
    }
}

pub(super) fn confirm_slot(slot: Option<Slot>, disk: Option<&str>) {
    let (Some(slot), Some(disk)) = (slot, disk) else { return };
    let confirmed = system::read_sector(Path::new(disk), boot_state::SECTOR).and_then(|mut sector| {
        if boot_state::confirm(&mut sector, slot).is_ok_and(|is_new| is_new) {
            system::write_sector(Path::new(disk), boot_state::SECTOR, &sector)?;
        }
        Ok(())
    });
    match confirmed {
        Ok(()) => info!("slot {} confirmed", slot),
        Err(error) => error!("cannot confirm slot {} on {}: {}", slot, disk, Reason::from(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notice_is_cut_at_its_limit() {
        let mut notice = Notice::new();
        append(&mut notice, "x".repeat(NOTICE_BYTES - 2));
        append(&mut notice, "ab");
        assert_eq!(notice.len(), NOTICE_BYTES);
        assert!(notice.ends_with("xab"));
        append(&mut notice, "c");
        assert!(notice.ends_with("xab"));
        // Between characters.
        let mut notice = Notice::new();
        append(&mut notice, "x".repeat(NOTICE_BYTES - 1) + "\u{e4}");
        assert_eq!(notice.len(), NOTICE_BYTES - 1);
    }
}
