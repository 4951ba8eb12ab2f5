//! Data of a board at its start: checked, mounted, erased by a factory reset, restored from the backup.

use std::fmt::Display;
use std::path::Path;

use super::backup::{self, Place, Restored};
use super::bring_up::{Notice, append};
use super::command_line::CommandLine;
use super::{DATA_RETRY_PAUSE, DEVICE_TIMEOUT, SPARE_DATA_BYTES, repair};
use crate::log::Reason;
use crate::log::console::{error, info, warning};
use crate::sys::machine::{self as system, DATA, MountError};

/// Place of the data of a board.
pub(super) struct Data {
    /// Place of the backup, if the disk has one.
    pub(super) place: Option<Place>,
    /// They are on the data partition, and not in memory.
    pub(super) is_kept: bool,
}

/// Mounts the data partition, or memory in its place: a board that loses its changes can still be repaired from afar.
pub(super) fn mount(line: &CommandLine<'_>, notice: &mut Notice, feed: &mut dyn FnMut()) -> Data {
    let mut is_mounted = match line.data {
        Some(device) => mount_partition(device, notice, feed),
        None => {
            warning!("no friendlet.data= on the kernel command line");
            add(notice, &"no data partition on the kernel command line");
            false
        }
    };
    // After the data partition has appeared, which may be on the same disk.
    let place = line.state.and_then(|disk| Place::find(Path::new(disk)));
    if let Some(place) = place.as_ref().filter(|place| place.is_erasing()) {
        reset(place, is_mounted, notice);
    }
    let mut restored = restore(place.as_ref().filter(|_| is_mounted), feed);
    if let (true, Some(device)) = (restored.is_damaged, line.data) {
        report(notice, &format_args!("{device} is damaged"));
        is_mounted = system::unmount_data().is_ok() && {
            repair::repair(device, feed);
            system::mount_data(device).inspect_err(|error| report(notice, error)).is_ok()
        };
        restored = restore(place.as_ref().filter(|_| is_mounted), feed);
        if restored.is_damaged {
            is_mounted = system::unmount_data().is_err();
        }
    }
    if !is_mounted {
        warning!("{} is in memory: changes are lost when the board restarts", DATA);
        if let Err(error) = system::mount_memory(DATA, SPARE_DATA_BYTES, 0o755) {
            error!("{}", error);
        }
        restored = restore(place.as_ref(), feed);
        add(notice, &"changes are lost when the board restarts");
        if place.is_some() {
            append(notice, &", but for configuration, users and certificate; write the image again");
        }
    }
    if !restored.names.is_empty() {
        add(notice, &format_args!("restored from the backup: {}", restored.names));
    }
    Data { place, is_kept: is_mounted }
}

/// Writes what the mounted data have lost, with a backup.
fn restore(place: Option<&Place>, feed: &mut dyn FnMut()) -> Restored {
    place.map(|place| backup::restore(place, Path::new(DATA), feed)).unwrap_or_default()
}

/// Checks and mounts the partition. Returns false if that is impossible.
fn mount_partition(device: &str, notice: &mut Notice, feed: &mut dyn FnMut()) -> bool {
    // Without the device, mounting reports the error.
    let is_there = system::wait_for(Path::new(device), DEVICE_TIMEOUT, feed);
    let is_damaged = is_there && !repair::preen(device, feed);
    let repair = |notice: &mut Notice, feed: &mut dyn FnMut()| {
        let is_repaired = repair::repair(device, feed);
        if is_repaired {
            report(notice, &format_args!("{device} was repaired, files may be missing"));
        }
        is_repaired
    };
    if is_damaged {
        repair(notice, feed);
    }
    let mounted = try_mount(device, feed).or_else(|error| {
        // Damage that the check did not look for.
        let is_repaired = is_there && !is_damaged && repair(notice, feed);
        if is_repaired { system::mount_data(device) } else { Err(error) }
    });
    match mounted {
        Ok(()) => {
            info!("{} mounted on {}", device, DATA);
            true
        }
        Err(error) => {
            report(notice, &error);
            false
        }
    }
}

fn try_mount(device: &str, feed: &mut dyn FnMut()) -> Result<(), MountError> {
    system::mount_data(device).or_else(|error| {
        warning!("{}; trying again", error);
        system::wait(DATA_RETRY_PAUSE, feed);
        system::mount_data(device)
    })
}

/// Finishes a factory reset. The mark stays until all else is done, so that a power cut starts it again.
fn reset(place: &Place, is_mounted: bool, notice: &mut Notice) {
    warning!("factory reset: erasing {} and the backup", DATA);
    if !is_mounted {
        report(notice, &"factory reset: the data partition was not erased, it cannot be mounted");
    }
    let is_done = is_mounted
        && backup::reset_data()
            .inspect_err(|error| report(notice, &format_args!("factory reset: {error}")))
            .is_ok();
    system::sync();
    match place.erase() {
        Ok(()) if is_done => warning!("factory reset: done"),
        Ok(()) => warning!("factory reset: the backup alone was erased"),
        Err(error) => report(notice, &format_args!("factory reset: {}", Reason::from(&error))),
    }
}

/// Logs an error, and adds it to the notice for administrators.
fn report(notice: &mut Notice, error: &dyn Display) {
    error!("{}", error);
    add(notice, error);
}

fn add(notice: &mut Notice, text: &dyn Display) {
    let joint = if notice.is_empty() { "" } else { "; " };
    append(notice, &joint);
    append(notice, text);
}
