//! What PID 1 of a board asks of the system: modules, mounts, watchdog, signals, children, the
//! notify socket, and the end of the machine.
//!
//! Nothing here decides: [`crate::init`](../../init/index.html) does. Memory is taken while the
//! board starts; afterwards only the start of a process takes some.

mod children;
mod clock;
mod console;
mod disk;
mod modules;
mod mounts;
mod notify;
mod power;
mod signals;
mod watchdog;

pub use children::{Reaped, Server, ServerError, kill_all_others, reap};
pub use clock::{newest_under, set_clock_forward, touch};
pub use console::open_console;
pub use disk::{SECTOR_BYTES, read_sector, write_sector};
pub use modules::load_module;
pub use mounts::{
    DATA, MountError, empty_initramfs, is_initramfs, mount_data, mount_kernel, mount_memory, mount_root,
    move_root, release_data,
};
pub use notify::NotifySocket;
pub use power::{prepare, restart, switch_off};
pub use signals::{BoardSignals, Raised};
pub use watchdog::Watchdog;

use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::limits::DEVICE_STEP;

/// Whether this process is the first one, which nobody else looks after.
pub fn is_first_process() -> bool {
    rustix::process::getpid() == rustix::process::Pid::INIT
}

/// Waits until there is a file of this name, at most so long; `meanwhile` is called at every step.
pub fn wait_for(path: &Path, limit: Duration, meanwhile: &mut dyn FnMut()) -> bool {
    let start = Instant::now();
    loop {
        if path.exists() {
            return true;
        }
        let left = limit.saturating_sub(start.elapsed());
        if left.is_zero() {
            return false;
        }
        meanwhile();
        std::thread::sleep(left.min(DEVICE_STEP));
    }
}

/// Waits until one of these can be read, at most so long; without a time, for ever. A signal ends it,
/// too.
///
/// # Errors
/// No memory, or a descriptor that is none.
pub fn wait_input<const N: usize>(
    sources: [Option<BorrowedFd<'_>>; N],
    limit: Option<Duration>,
) -> io::Result<()> {
    let readable = |source| PollFd::from_borrowed_fd(source, PollFlags::IN);
    let mut sources: heapless::Vec<_, N> = sources.into_iter().flatten().map(readable).collect();
    let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
    match poll(&mut sources, limit.as_ref()) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Waits so long; `meanwhile` is called at every step.
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
    fn waits_for_what_comes_and_not_longer_than_it_may() {
        let path = std::env::temp_dir().join(format!("friendlet-wait-{}", std::process::id()));
        let mut steps = 0;
        assert!(!wait_for(&path, 2 * DEVICE_STEP, &mut || steps += 1));
        // A busy machine may sleep through some of them.
        assert!(steps <= 4, "{steps}");
        let mut steps = 0;
        let came = wait_for(&path, Duration::from_secs(60), &mut || {
            steps += 1;
            if steps == 2 {
                std::fs::write(&path, "").unwrap();
            }
        });
        assert!(came && steps == 2, "{steps}");
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn wait_lasts_its_time() {
        let start = Instant::now();
        let mut steps = 0;
        let time = DEVICE_STEP + DEVICE_STEP / 2;
        wait(time, &mut || steps += 1);
        // A busy machine may sleep through the second step.
        assert!(start.elapsed() >= time && (1..=2).contains(&steps), "{steps}");
    }

    #[test]
    fn input_is_waited_for_and_not_longer_than_it_may() {
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
