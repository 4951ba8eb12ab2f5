//! Signals of the server, and the flags by which the server and process 1 receive them.

use core::ffi::c_int;
use std::future::poll_fn;
use std::io::{self, Read as _};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR2};
use signal_hook::{flag, low_level::pipe};

use crate::runtime::AsyncFd;

/// Wake-ups drained at once.
const WAKEUPS: usize = 64;

/// One flag for each of `N` signals, set by its handler. Several signals before [`clear`](Self::clear)
/// set one flag.
#[derive(Debug)]
pub(super) struct SignalFlags<const N: usize>([(c_int, Arc<AtomicBool>); N]);

impl<const N: usize> SignalFlags<N> {
    /// Installs the handlers, for the rest of the process. A handler sets its flag, then writes a
    /// byte to the returned non-blocking socket.
    ///
    /// # Errors
    /// Error of the system: no descriptors left.
    pub(super) fn install(signals: [c_int; N]) -> io::Result<(Self, UnixStream)> {
        let (wakeups, wake) = UnixStream::pair()?;
        wakeups.set_nonblocking(true)?;
        let flags = signals.map(|signal| (signal, Arc::default()));
        for (signal, is_set) in &flags {
            // In this order, so that the woken task finds the flag set.
            flag::register(*signal, Arc::clone(is_set))?;
            pipe::register(*signal, wake.try_clone()?)?;
        }
        Ok((Self(flags), wakeups))
    }

    /// Clears the flag of a signal and returns its old value.
    pub(super) fn clear(&self, signal: c_int) -> bool {
        let flag = self.0.iter().find(|(known, _)| *known == signal);
        flag.is_some_and(|(_, is_set)| is_set.swap(false, Ordering::SeqCst))
    }
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
    flags: SignalFlags<{ ORDER.len() }>,
}

impl Signals {
    /// Installs the handlers.
    ///
    /// # Errors
    /// Error of the system: no descriptors left.
    pub fn new() -> io::Result<Self> {
        let (flags, wakeups) = SignalFlags::install(ORDER.map(Received::signal))?;
        Ok(Self { wakeups: AsyncFd::new(wakeups)?, flags })
    }

    /// Waits for the next signal.
    pub async fn next(&self) -> Received {
        loop {
            if let Some(received) = self.next_pending() {
                return received;
            }
            poll_fn(|context| self.wakeups.poll_readable(context)).await;
            while drain_wakeups(self.wakeups.get_ref()) {}
            self.wakeups.note_empty();
        }
    }

    fn next_pending(&self) -> Option<Received> {
        ORDER.into_iter().find(|received| self.flags.clear(received.signal()))
    }
}

#[cfg(test)]
mod tests {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::process::{Signal, getpid, kill_process};
    use signal_hook::consts::{SIGURG, SIGUSR1, SIGWINCH};

    use super::*;
    use crate::runtime::{Tasks, block_on};

    #[test]
    fn signal_sets_its_flag_and_makes_the_socket_readable() {
        let (flags, wakeups) = SignalFlags::install([SIGWINCH, SIGUSR1]).unwrap();
        assert!(!drain_wakeups(&wakeups));
        for _ in 0..2 {
            kill_process(getpid(), Signal::WINCH).unwrap();
        }
        let limit = Timespec { tv_sec: 10, tv_nsec: 0 };
        assert_eq!(poll(&mut [PollFd::new(&wakeups, PollFlags::IN)], Some(&limit)).unwrap(), 1);
        assert!(drain_wakeups(&wakeups));
        assert!(!flags.clear(SIGUSR1));
        assert!(flags.clear(SIGWINCH));
        assert!(!flags.clear(SIGURG), "not handled");
    }

    #[test]
    fn next_returns_the_received_signal() {
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
