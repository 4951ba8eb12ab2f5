//! System calls of process 1 of a board: modules, mounts, watchdog, signals, children, the notify
//! socket, restart and power-off.
//!
//! The decisions are in [`crate::init`](../../init/index.html). Nothing here allocates after the
//! bring-up of the board, except the start of a process and the search for modules of new devices.

mod changes;
mod children;
mod clock;
mod devices;
mod disk;
mod kernel;
mod locks;
mod mounts;
mod notify;
mod signals;
mod watchdog;

pub use changes::Changes;
pub use children::{Reaped, ServerError, ServerProcess, kill_all_others, reap};
pub use clock::{newest_under, set_clock};
pub use devices::{DeviceEvents, Received, set_device, visit_aliases, visit_devices};
pub use disk::{SECTOR_BYTES, read_sector, read_sectors, write_sectors};
pub use kernel::{kernel_release, load_module, power_off, prepare, redirect_to_console, restart};
pub use locks::release;
pub use mounts::{
    DATA, MountError, empty_data, empty_initramfs, is_initramfs, mount_data, mount_kernel, mount_memory,
    mount_root, move_root, release_data, sync, unmount_data,
};
pub use notify::NotifySocket;
pub use signals::{BoardSignals, PendingSignals};
pub use watchdog::Watchdog;

use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::sys::DEVICE_STEP;

/// Returns true in process 1.
pub fn is_first_process() -> bool {
    rustix::process::getpid() == rustix::process::Pid::INIT
}

/// Waits until a file exists, and returns false after `timeout`. Calls `meanwhile` at every step.
pub fn wait_for(path: &Path, timeout: Duration, meanwhile: &mut dyn FnMut()) -> bool {
    let start = Instant::now();
    loop {
        if path.exists() {
            return true;
        }
        let left = timeout.saturating_sub(start.elapsed());
        if left.is_zero() {
            return false;
        }
        meanwhile();
        std::thread::sleep(left.min(DEVICE_STEP));
    }
}

/// Waits until a source is readable, `timeout` has passed, or a signal arrives. Without a timeout
/// it waits for ever.
///
/// # Errors
/// Error of poll(2).
pub fn wait_input<const N: usize>(
    sources: [Option<BorrowedFd<'_>>; N],
    timeout: Option<Duration>,
) -> io::Result<()> {
    let readable = |source| PollFd::from_borrowed_fd(source, PollFlags::IN);
    let mut sources: heapless::Vec<_, N> = sources.into_iter().flatten().map(readable).collect();
    // A timeout that the kernel cannot represent is as good as none.
    let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
    match poll(&mut sources, timeout.as_ref()) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Waits for a time. Calls `meanwhile` at every step.
pub fn wait(time: Duration, meanwhile: &mut dyn FnMut()) {
    let start = Instant::now();
    while let Some(left) = time.checked_sub(start.elapsed()).filter(|left| !left.is_zero()) {
        meanwhile();
        std::thread::sleep(left.min(DEVICE_STEP));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_is_waited_for_until_the_timeout() {
        let path = std::env::temp_dir().join(format!("friendlet-wait-{}", std::process::id()));
        let mut steps = 0;
        assert!(!wait_for(&path, 2 * DEVICE_STEP, &mut || steps += 1));
        // A busy machine may sleep through some of them.
        assert!(steps <= 4, "{steps}");
        let mut steps = 0;
        let exists = wait_for(&path, Duration::from_secs(60), &mut || {
            steps += 1;
            if steps == 2 {
                std::fs::write(&path, "").unwrap();
            }
        });
        assert!(exists && steps == 2, "{steps}");
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn wait_lasts_for_its_time() {
        let start = Instant::now();
        let mut steps = 0;
        let time = DEVICE_STEP + DEVICE_STEP / 2;
        wait(time, &mut || steps += 1);
        // A busy machine may sleep through the second step.
        assert!(start.elapsed() >= time && (1..=2).contains(&steps), "{steps}");
    }

    #[test]
    fn input_is_waited_for_until_the_timeout() {
        use std::os::fd::AsFd as _;
        use std::os::unix::net::UnixDatagram;
        let (one, other) = UnixDatagram::pair().unwrap();
        let start = Instant::now();
        wait_input([None, Some(one.as_fd())], Some(DEVICE_STEP)).unwrap();
        assert!(start.elapsed() >= DEVICE_STEP);
        other.send(b"x").unwrap();
        wait_input([None, Some(one.as_fd())], None).unwrap();
        wait_input([Some(one.as_fd()), Some(other.as_fd())], None).unwrap();
    }

    #[test]
    fn tests_are_not_the_first_process() {
        assert!(!is_first_process());
    }
}
