//! The signals that the server itself gets.

use std::io;

use async_signal::Signal;
use smol::stream::StreamExt as _;

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

/// The stream of these signals. Their default actions are off from the first one on, for good.
///
/// `PIPE` is ignored by Rust's start-up code, and is the default again in every child.
#[derive(Debug)]
pub struct Signals {
    stream: async_signal::Signals,
}

impl Signals {
    /// Listens from now on. What children end before this is found by the first reaping.
    ///
    /// # Errors
    /// Those of the system: no descriptors left.
    pub fn new() -> io::Result<Self> {
        let wanted = [Signal::Child, Signal::Term, Signal::Int, Signal::Hup];
        Ok(Self { stream: async_signal::Signals::new(wanted)? })
    }

    /// The next signal.
    ///
    /// # Errors
    /// Those of the system; there is no use in going on then.
    pub async fn next(&mut self) -> io::Result<Received> {
        loop {
            match self.stream.next().await {
                Some(Ok(Signal::Child)) => return Ok(Received::Child),
                Some(Ok(Signal::Term)) => return Ok(Received::Term),
                Some(Ok(Signal::Int)) => return Ok(Received::Int),
                Some(Ok(Signal::Hup)) => return Ok(Received::Hup),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error),
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_what_came() {
        let mut signals = Signals::new().unwrap();
        for (sent, expected) in [
            (rustix::process::Signal::HUP, Received::Hup),
            (rustix::process::Signal::TERM, Received::Term),
            (rustix::process::Signal::INT, Received::Int),
            (rustix::process::Signal::CHILD, Received::Child),
        ] {
            rustix::process::kill_process(rustix::process::getpid(), sent).unwrap();
            // Children of other tests may end meanwhile.
            let came = smol::block_on(async {
                loop {
                    let came = signals.next().await.unwrap();
                    if came == expected || came != Received::Child {
                        return came;
                    }
                }
            });
            assert_eq!(came, expected);
        }
    }
}
