//! The signals that the server itself gets.

use std::future::poll_fn;
use std::io;
use std::os::unix::net::UnixStream;

use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};

use super::flags::{Flags, take_wakes};
use crate::runtime::AsyncFd;

/// A signal that came.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Received {
    /// A child has ended: `CHLD`. Several may share one.
    Child,
    /// `TERM`.
    Term,
    /// `INT`.
    Int,
    /// `HUP`.
    Hup,
}

/// What is looked at first comes first: an end of the server comes before what its children do.
const ORDER: [Received; 4] = [Received::Term, Received::Int, Received::Hup, Received::Child];

impl Received {
    fn signal(self) -> i32 {
        match self {
            Self::Child => SIGCHLD,
            Self::Term => SIGTERM,
            Self::Int => SIGINT,
            Self::Hup => SIGHUP,
        }
    }
}

/// These signals. Their default actions are off from the first one on, for good.
///
/// Of a signal that comes again before it was looked at, one is left.
///
/// `PIPE` is ignored by Rust's start-up code, and is the default again in every child.
#[derive(Debug)]
pub struct Signals {
    woken: AsyncFd<UnixStream>,
    flags: Flags<{ ORDER.len() }>,
}

impl Signals {
    /// Listens from now on. What children end before this is found by the first reaping.
    ///
    /// # Errors
    /// Those of the system: no descriptors left.
    pub fn new() -> io::Result<Self> {
        let (flags, woken) = Flags::listen(ORDER.map(Received::signal))?;
        Ok(Self { woken: AsyncFd::new(woken)?, flags })
    }

    /// The next signal.
    pub async fn next(&self) -> Received {
        loop {
            if let Some(received) = self.take() {
                return received;
            }
            poll_fn(|context| self.woken.poll_readable(context)).await;
            while take_wakes(self.woken.get_ref()) {}
            self.woken.note_empty();
        }
    }

    fn take(&self) -> Option<Received> {
        ORDER.into_iter().find(|received| self.flags.take(received.signal()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::{Tasks, block_on};

    #[test]
    fn tells_what_came() {
        let signals = Signals::new().unwrap();
        for (sent, expected) in [
            (rustix::process::Signal::HUP, Received::Hup),
            (rustix::process::Signal::TERM, Received::Term),
            (rustix::process::Signal::INT, Received::Int),
            (rustix::process::Signal::CHILD, Received::Child),
        ] {
            rustix::process::kill_process(rustix::process::getpid(), sent).unwrap();
            // Children of other tests may end meanwhile.
            let came = async {
                loop {
                    let came = signals.next().await;
                    if came == expected || came != Received::Child {
                        return came;
                    }
                }
            };
            assert_eq!(block_on(&mut Tasks::new(0), came).unwrap(), expected);
        }
    }
}
