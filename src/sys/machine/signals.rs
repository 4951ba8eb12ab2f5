//! The signals of PID 1, as something that poll(2) waits for.
//!
//! Those of the server are in `sys::signal`. A handler sets a flag and writes a byte into a socket pair.

use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGCHLD, SIGINT, SIGTERM, SIGUSR2};
use signal_hook::{flag, low_level::pipe};

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

/// The signals that PID 1 listens to. All others whose default is to end a process do not reach it.
#[derive(Debug)]
pub struct BoardSignals {
    wake: UnixStream,
    child: Arc<AtomicBool>,
    restart: Arc<AtomicBool>,
    switch_off: Arc<AtomicBool>,
}

impl BoardSignals {
    /// Listens from now on.
    ///
    /// # Errors
    /// No descriptors left.
    pub fn new() -> io::Result<Self> {
        let (wake, write) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        let signals =
            Self { wake, child: Arc::default(), restart: Arc::default(), switch_off: Arc::default() };
        for (signal, raised) in [
            (SIGCHLD, &signals.child),
            (SIGTERM, &signals.restart),
            (SIGINT, &signals.restart),
            (SIGUSR2, &signals.switch_off),
        ] {
            // In this order: who is woken finds the flag set.
            flag::register(signal, Arc::clone(raised))?;
            pipe::register(signal, write.try_clone()?)?;
        }
        Ok(signals)
    }

    /// What has come since the last time.
    pub fn take(&self) -> Raised {
        let mut bytes = [0; 64];
        // What does not fit stays for the next turn; what could not be written was one of many.
        let _ = (&self.wake).read(&mut bytes);
        let take = |flag: &AtomicBool| flag.swap(false, Ordering::SeqCst);
        Raised { child: take(&self.child), restart: take(&self.restart), switch_off: take(&self.switch_off) }
    }
}

impl AsFd for BoardSignals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
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
