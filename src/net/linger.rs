//! How a connection is read on after its last word.

use core::time::Duration;
use std::io::{ErrorKind, Read as _};
use std::net::TcpStream;

use super::driver::Turn;
use crate::net::{LINGER_BYTES, LINGER_TIMEOUT};
use crate::runtime::Source;

/// A connection on which everything is said. What still comes is read and dropped, for a moment and up to
/// a number of bytes: closing a socket with unread bytes resets it and may take our last answer away.
pub(super) struct Linger {
    deadline: Duration,
    bytes: usize,
}

impl Linger {
    /// Begins now, and lasts `LINGER_TIMEOUT` at most.
    pub(super) fn new(now: Duration) -> Self {
        Self { deadline: now + LINGER_TIMEOUT, bytes: 0 }
    }

    /// Reads once. Done at the end of what comes, at the deadline, and past `LINGER_BYTES`.
    pub(super) fn turn(&mut self, stream: &Source<TcpStream>, now: Duration) -> Turn {
        if now >= self.deadline || self.bytes > LINGER_BYTES {
            return Turn::Done;
        }
        if !stream.is_readable() {
            return Turn::Blocked;
        }
        let mut dropped = [0; 1024];
        match stream.get_ref().read(&mut dropped) {
            Ok(0) => Turn::Done,
            Ok(count) => {
                self.bytes += count;
                Turn::Progress
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                stream.note_empty();
                Turn::Blocked
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Turn::Progress,
            Err(_) => Turn::Done,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn closed_connection_is_read_on_to_its_limits_and_no_further() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let server = listener.accept().unwrap().0;
        server.set_nonblocking(true).unwrap();
        let (deadline, moment) = (LINGER_TIMEOUT, Duration::from_millis(1));
        let server = Source::new(server).unwrap();
        let turn = |bytes, now| Linger { deadline, bytes }.turn(&server, now);
        assert!(matches!(turn(LINGER_BYTES, deadline - moment), Turn::Blocked));
        assert!(matches!(turn(0, deadline), Turn::Done));
        client.write_all(&[0; 3]).unwrap();
        while server.get_ref().peek(&mut [0; 3]).unwrap_or_default() < 3 {}
        let wait = core::future::poll_fn(|context| server.poll_readable(context));
        crate::runtime::block_on(&mut crate::runtime::Tasks::new(0), wait).unwrap();
        let mut linger = Linger { deadline, bytes: LINGER_BYTES };
        assert!(matches!(linger.turn(&server, deadline - moment), Turn::Progress));
        assert_eq!(linger.bytes, LINGER_BYTES + 3);
        assert!(matches!(linger.turn(&server, deadline - moment), Turn::Done));
    }
}
