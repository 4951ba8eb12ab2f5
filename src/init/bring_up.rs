//! Bring-up of a board before the server starts: file systems, watchdog and boot state.

use std::fmt::Display;
use std::io;
use std::path::Path;

use heapless::String;

use super::boot_state::{self, Sector};
use super::command_line::{CommandLine, Slot};
use super::supervisor::SlotTest;
use super::{RUN_BYTES, TMP_BYTES, WATCHDOG};
use crate::config::NOTICE_BYTES;
use crate::log::Reason;
use crate::log::console::{error, info, warning};
use crate::sys::machine::{self as system, Watchdog};

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
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
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

/// Appends to the notice, which is cut at its limit.
pub(super) fn append(notice: &mut Notice, text: &dyn Display) {
    for c in text.to_string().chars() {
        if notice.push(c).is_err() {
            break;
        }
    }
}

/// Reads the boot state, has `change` change it, and writes it if that returns true.
fn change_state(disk: &str, change: &mut dyn FnMut(&mut Sector) -> bool) -> io::Result<()> {
    let mut sector = system::read_sector(Path::new(disk), boot_state::SECTOR)?;
    let before = sector;
    if change(&mut sector) && sector != before {
        system::write_sectors(Path::new(disk), boot_state::SECTOR, &sector)?;
    }
    Ok(())
}

/// Begins the test of the running slot. Returns the test, and the state of the slot for the server, if there are two
/// slots. The failure of the other one is a notice.
pub(super) fn begin_test(line: &CommandLine<'_>, notice: &mut Notice) -> (SlotTest, Option<&'static str>) {
    let (Some(slot), Some(disk)) = (line.slot, line.state) else { return (SlotTest::Over, None) };
    let (mut test, mut state) = (SlotTest::Over, None);
    let begun = change_state(disk, &mut |sector| match boot_state::begin(sector, slot) {
        Ok(begun) => {
            test = begun;
            let is_good = boot_state::is_good(sector, slot);
            let name = match begun {
                SlotTest::Good => "testing",
                _ if is_good => "good",
                _ => "confirmed",
            };
            state = Some(name);
            let until =
                if matches!(begun, SlotTest::Serves | SlotTest::Stays) { " once it serves" } else { "" };
            info!("slot {} is {}{}", slot, name, until);
            if let Some(reason) =
                boot_state::failure_of_other(sector, slot).filter(|_| begun != SlotTest::Good)
            {
                warning!("slot {} was given up: {}", slot.other(), reason);
                let joint = if notice.is_empty() { "" } else { "; " };
                for part in [joint, "slot ", slot.other().name(), " was given up: ", reason] {
                    append(notice, &part);
                }
            }
            true
        }
        Err(error) => {
            warning!("cannot use the boot state on {}: {}", disk, error);
            false
        }
    });
    if let Err(error) = begun {
        warning!("cannot begin the test of slot {} on {}: {}", slot, disk, Reason::from(&error));
    }
    (test, state)
}

/// Confirms the slot; with `is_good`, marks it good.
pub(super) fn confirm_slot(slot: Option<Slot>, disk: Option<&str>, is_good: bool) {
    let (Some(slot), Some(disk)) = (slot, disk) else { return };
    let mut is_changed = false;
    let confirmed = change_state(disk, &mut |sector| {
        is_changed = boot_state::confirm(sector, slot, is_good).unwrap_or(false);
        is_changed
    });
    match confirmed {
        Ok(()) if is_good && is_changed => info!("slot {} confirmed, marked good", slot),
        Ok(()) if is_changed => info!("slot {} confirmed", slot),
        Ok(()) => {}
        Err(error) => error!("cannot confirm slot {} on {}: {}", slot, disk, Reason::from(&error)),
    }
}

/// Records that the slot has failed. Returns false if that is not on the disk.
pub(super) fn give_up(slot: Option<Slot>, disk: Option<&str>, reason: &str) -> bool {
    let (Some(slot), Some(disk)) = (slot, disk) else { return false };
    error!("slot {} failed: {}", slot, reason);
    let mut is_recorded = false;
    let recorded = change_state(disk, &mut |sector| {
        is_recorded = boot_state::give_up(sector, slot, reason);
        is_recorded
    });
    if let Err(error) = &recorded {
        error!("cannot change the boot state on {}: {}", disk, Reason::from(error));
    }
    is_recorded && recorded.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notice_is_cut_at_its_limit() {
        let mut notice = Notice::new();
        append(&mut notice, &"x".repeat(NOTICE_BYTES - 2));
        append(&mut notice, &"ab");
        assert_eq!(notice.len(), NOTICE_BYTES);
        assert!(notice.ends_with("xab"));
        append(&mut notice, &"c");
        assert!(notice.ends_with("xab"));
        // Between characters.
        let mut notice = Notice::new();
        append(&mut notice, &("x".repeat(NOTICE_BYTES - 1) + "\u{e4}"));
        assert_eq!(notice.len(), NOTICE_BYTES - 1);
    }
}
