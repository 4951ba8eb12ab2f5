//! The signals of PID 1, as something that poll(2) waits for.
//!
//! Those of the server are in `sys::signal`.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use signal_hook::consts::{SIGCHLD, SIGINT, SIGTERM, SIGUSR2};

use crate::sys::flags::{Flags, take_wakes};

/// The signals that have come since they were last asked for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Raised {
    /// `CHLD`: a child has ended.
    pub child: bool,
    /// `TERM` or `INT`, which is what ctrl-alt-del sends: restart the machine.
    pub restart: bool,
    /// `USR2`: switch the machine off.
    pub switch_off: bool,
}

const LISTENED: [i32; 4] = [SIGCHLD, SIGTERM, SIGINT, SIGUSR2];

/// The signals that PID 1 listens to. All others whose default is to end a process do not reach it.
#[derive(Debug)]
pub struct BoardSignals {
    woken: UnixStream,
    flags: Flags<{ LISTENED.len() }>,
}

impl BoardSignals {
    /// Listens from now on.
    ///
    /// # Errors
    /// No descriptors left.
    pub fn new() -> io::Result<Self> {
        let (flags, woken) = Flags::listen(LISTENED)?;
        Ok(Self { woken, flags })
    }

    /// What has come since the last time.
    pub fn take(&self) -> Raised {
        // What is more than is taken at once stays for the next turn.
        take_wakes(&self.woken);
        let [child, term, int, switch_off] = LISTENED.map(|signal| self.flags.take(signal));
        Raised { child, restart: term || int, switch_off }
    }
}

impl AsFd for BoardSignals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.woken.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::process::{Signal, getpid, kill_process};

    use super::*;

    #[test]
    fn a_signal_wakes_and_is_told_once() {
        let signals = BoardSignals::new().unwrap();
        kill_process(getpid(), Signal::USR2).unwrap();
        let limit = Timespec { tv_sec: 10, tv_nsec: 0 };
        let woken = poll(&mut [PollFd::new(&signals, PollFlags::IN)], Some(&limit)).unwrap();
        assert_eq!(woken, 1);
        // Children of other tests may end meanwhile, and other tests send themselves other signals.
        assert!(signals.take().switch_off);
        assert!(!signals.take().switch_off);
    }
}
