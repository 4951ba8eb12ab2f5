//! Signals as flags: what the server and PID 1 have in common in how they hear of them.

use core::ffi::c_int;
use std::io::{self, Read as _};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::{flag, low_level::pipe};

/// Bytes of wake-ups taken away at once.
const WAKES: usize = 64;

/// One flag for each of these signals, which its handler sets. Of a signal that comes again before its
/// flag was taken, one is left.
#[derive(Debug)]
pub(super) struct Flags<const N: usize>([(c_int, Arc<AtomicBool>); N]);

impl<const N: usize> Flags<N> {
    /// Listens to these signals from now on; their default actions are off, for good. A handler that has
    /// set its flag writes a byte, which makes the socket readable that is given beside the flags; it is
    /// in non-blocking mode.
    ///
    /// # Errors
    /// Those of the system: no descriptors left.
    pub(super) fn listen(signals: [c_int; N]) -> io::Result<(Self, UnixStream)> {
        let (woken, wake) = UnixStream::pair()?;
        woken.set_nonblocking(true)?;
        let flags = signals.map(|signal| (signal, Arc::default()));
        for (signal, raised) in &flags {
            // In this order: who is woken finds the flag set.
            flag::register(*signal, Arc::clone(raised))?;
            pipe::register(*signal, wake.try_clone()?)?;
        }
        Ok((Self(flags), woken))
    }

    /// Whether this signal has come since the last time this was asked.
    pub(super) fn take(&self, signal: c_int) -> bool {
        let flag = self.0.iter().find(|(known, _)| *known == signal);
        flag.is_some_and(|(_, raised)| raised.swap(false, Ordering::SeqCst))
    }
}

/// Takes wake-ups out of the socket, before the flags are looked at. `false`: there was none. What could
/// not be written there was one of many.
pub(super) fn take_wakes(mut woken: &UnixStream) -> bool {
    woken.read(&mut [0; WAKES]).is_ok_and(|count| count > 0)
}

#[cfg(test)]
mod tests {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::process::{Signal, getpid, kill_process};
    use signal_hook::consts::{SIGURG, SIGUSR1, SIGWINCH};

    use super::*;

    #[test]
    fn a_signal_raises_its_own_flag_and_makes_the_socket_readable() {
        let (flags, woken) = Flags::listen([SIGWINCH, SIGUSR1]).unwrap();
        assert!(!take_wakes(&woken));
        for _ in 0..2 {
            kill_process(getpid(), Signal::WINCH).unwrap();
        }
        let limit = Timespec { tv_sec: 10, tv_nsec: 0 };
        assert_eq!(poll(&mut [PollFd::new(&woken, PollFlags::IN)], Some(&limit)).unwrap(), 1);
        assert!(take_wakes(&woken));
        assert!(!flags.take(SIGUSR1));
        assert!(flags.take(SIGWINCH));
        assert!(!flags.take(SIGURG), "nobody listens to it");
    }
}
