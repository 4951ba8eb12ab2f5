//! Signals of process 1, as a descriptor for poll(2). Those of the server are in `sys::signal`.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use libc::{SIGCHLD, SIGINT, SIGTERM, SIGUSR2};

use crate::sys::fork::take_signal;
use crate::sys::signal::{drain_wakeups, install};

/// Signals received since the last [`BoardSignals::take_pending`].
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct PendingSignals {
    /// SIGCHLD: a child has exited.
    pub child: bool,
    /// SIGTERM, or SIGINT of ctrl-alt-del: restart the machine.
    pub restart: bool,
    /// SIGUSR2: power the machine off.
    pub power_off: bool,
}

const HANDLED: [i32; 4] = [SIGCHLD, SIGTERM, SIGINT, SIGUSR2];

/// Signals that process 1 handles. The kernel discards all others that would terminate it.
#[derive(Debug)]
pub struct BoardSignals {
    wakeups: UnixStream,
}

impl BoardSignals {
    /// Installs the handlers.
    ///
    /// # Errors
    /// Error of the system: no descriptors left.
    pub fn new() -> io::Result<Self> {
        Ok(Self { wakeups: install(&HANDLED)? })
    }

    /// Returns and clears the pending signals.
    pub fn take_pending(&self) -> PendingSignals {
        // The next call drains the rest.
        drain_wakeups(&self.wakeups);
        let [child, term, int, power_off] = HANDLED.map(take_signal);
        PendingSignals { child, restart: term || int, power_off }
    }
}

impl AsFd for BoardSignals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wakeups.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::process::{Signal, getpid, kill_process};

    use super::*;
    use crate::sys::tests::lock_children;

    #[test]
    fn signal_wakes_and_is_reported_once() {
        let _lock = lock_children();
        let signals = BoardSignals::new().unwrap();
        kill_process(getpid(), Signal::USR2).unwrap();
        let limit = Timespec { tv_sec: 10, tv_nsec: 0 };
        let woken = poll(&mut [PollFd::new(&signals, PollFlags::IN)], Some(&limit)).unwrap();
        assert_eq!(woken, 1);
        // Other tests cause other signals meanwhile.
        assert!(signals.take_pending().power_off);
        assert!(!signals.take_pending().power_off);
    }
}
