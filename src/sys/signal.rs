//! The signals that the server itself gets.

use std::future::poll_fn;
use std::io::{self, Read as _};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};
use signal_hook::{flag, low_level::pipe};

use crate::runtime::Source;

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

/// These signals. Their default actions are off from the first one on, for good.
///
/// A handler sets a flag and writes a byte into a socket pair, which the loop waits for. Of a signal that
/// comes again before it was looked at, one is left.
///
/// `PIPE` is ignored by Rust's start-up code, and is the default again in every child.
#[derive(Debug)]
pub struct Signals {
    woken: Source<UnixStream>,
    flags: [(Received, Arc<AtomicBool>); 4],
}

impl Signals {
    /// Listens from now on. What children end before this is found by the first reaping.
    ///
    /// # Errors
    /// Those of the system: no descriptors left.
    pub fn new() -> io::Result<Self> {
        let (woken, wake) = UnixStream::pair()?;
        woken.set_nonblocking(true)?;
        // An end of the server comes before what its children do.
        let wanted = [
            (SIGTERM, Received::Term),
            (SIGINT, Received::Int),
            (SIGHUP, Received::Hup),
            (SIGCHLD, Received::Child),
        ];
        let flags = wanted.map(|(_, received)| (received, Arc::default()));
        for ((signal, _), (_, raised)) in wanted.iter().zip(&flags) {
            // In this order: who is woken finds the flag set.
            flag::register(*signal, Arc::clone(raised))?;
            pipe::register(*signal, wake.try_clone()?)?;
        }
        Ok(Self { woken: Source::new(woken)?, flags })
    }

    /// The next signal.
    pub async fn next(&self) -> Received {
        loop {
            if let Some(received) = self.take() {
                return received;
            }
            poll_fn(|context| self.woken.poll_readable(context)).await;
            let mut bytes = [0; 64];
            // What could not be written was one of many.
            while self.woken.get_ref().read(&mut bytes).is_ok_and(|count| count > 0) {}
            self.woken.note_empty();
        }
    }

    fn take(&self) -> Option<Received> {
        let raised = self.flags.iter().find(|(_, raised)| raised.swap(false, Ordering::SeqCst));
        raised.map(|(received, _)| *received)
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
