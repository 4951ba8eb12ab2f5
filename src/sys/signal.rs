//! Signals of the server, and their arrival at the server and at process 1.

use core::ffi::c_int;
use std::future::poll_fn;
use std::io::{self, Read as _};
use std::os::unix::net::UnixStream;

use libc::{SIGHUP, SIGINT, SIGTERM, SIGUSR2};

use super::fork;
use crate::runtime::AsyncFd;

/// Wake-ups drained at once.
const WAKEUPS: usize = 64;

/// Installs a handler for each signal, for the rest of the process. It notes the signal for [`fork::take_signal`], once for
/// several equal ones, then writes a byte to the returned non-blocking socket.
///
/// # Errors
/// Error of the system: no descriptors left.
pub(super) fn install(signals: &[c_int]) -> io::Result<UnixStream> {
    let (wakeups, wake) = UnixStream::pair()?;
    wakeups.set_nonblocking(true)?;
    wake.set_nonblocking(true)?;
    fork::handle_signals(signals, wake.into());
    Ok(wakeups)
}

/// Drains the socket of the handlers, before the flags are read. Returns false if it was empty.
pub(super) fn drain_wakeups(mut wakeups: &UnixStream) -> bool {
    wakeups.read(&mut [0; WAKEUPS]).is_ok_and(|count| count > 0)
}

/// Signal that the server handles.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Received {
    /// SIGTERM.
    Term,
    /// SIGINT.
    Int,
    /// SIGHUP.
    Hup,
    /// SIGUSR2.
    Usr2,
}

/// Order of signals that are pending together.
const ORDER: [Received; 4] = [Received::Term, Received::Int, Received::Hup, Received::Usr2];

impl Received {
    fn signal(self) -> i32 {
        match self {
            Self::Term => SIGTERM,
            Self::Int => SIGINT,
            Self::Hup => SIGHUP,
            Self::Usr2 => SIGUSR2,
        }
    }
}

/// Signals of the server. Their default actions are disabled for the rest of the process.
///
/// Equal signals that are pending together are returned once. SIGPIPE is ignored by Rust's start-up
/// code, and has its default action in every child.
#[derive(Debug)]
pub struct Signals {
    wakeups: AsyncFd<UnixStream>,
}

impl Signals {
    /// Installs the handlers.
    ///
    /// # Errors
    /// Error of the system: no descriptors left.
    pub fn new() -> io::Result<Self> {
        Ok(Self { wakeups: AsyncFd::new(install(&ORDER.map(Received::signal))?)? })
    }

    /// Waits for the next signal.
    pub async fn next(&self) -> Received {
        loop {
            let arrived = |received: &Received| fork::take_signal(received.signal());
            if let Some(received) = ORDER.into_iter().find(arrived) {
                return received;
            }
            poll_fn(|context| self.wakeups.poll_readable(context)).await;
            while drain_wakeups(self.wakeups.get_ref()) {}
            self.wakeups.note_empty();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::{Tasks, block_on};
    use crate::sys::tests::lock_children;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::process::{Signal, getpid, kill_process};

    #[test]
    fn signal_is_noted_and_makes_the_socket_readable() {
        let _lock = lock_children();
        let wakeups = install(&[libc::SIGWINCH, libc::SIGUSR1]).unwrap();
        assert!(!drain_wakeups(&wakeups));
        for _ in 0..2 {
            kill_process(getpid(), Signal::WINCH).unwrap();
        }
        let limit = Timespec { tv_sec: 10, tv_nsec: 0 };
        assert_eq!(poll(&mut [PollFd::new(&wakeups, PollFlags::IN)], Some(&limit)).unwrap(), 1);
        assert!(drain_wakeups(&wakeups));
        assert!(!fork::take_signal(libc::SIGUSR1));
        assert!(fork::take_signal(libc::SIGWINCH));
        assert!(!fork::take_signal(libc::SIGWINCH), "once");
        assert!(!fork::take_signal(libc::SIGURG), "not handled");
    }

    #[test]
    fn next_returns_the_received_signal() {
        let _lock = lock_children();
        let signals = Signals::new().unwrap();
        for (sent, expected) in [
            (Signal::HUP, Received::Hup),
            (Signal::TERM, Received::Term),
            (Signal::INT, Received::Int),
            (Signal::USR2, Received::Usr2),
        ] {
            kill_process(getpid(), sent).unwrap();
            assert_eq!(block_on(&mut Tasks::new(0), signals.next()).unwrap(), expected);
        }
    }
}
