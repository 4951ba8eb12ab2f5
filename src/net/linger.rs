//! Lingering close: drains the input of a connection before closing it.

use core::time::Duration;
use std::io::ErrorKind;

use super::socket::Socket;
use super::{LINGER_BYTES, LINGER_TIMEOUT};
use crate::runtime::AsyncFd;

/// Outcome of one step of a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Step {
    Progress,
    /// Nothing more can be done until the socket or the endpoint changes.
    Blocked,
    Done,
}

/// A connection whose output is shut down. Its input is read and dropped, for a moment and up to a number
/// of bytes: closing a socket with unread input resets the connection, and the last answer may be lost.
pub(super) struct LingeringClose {
    deadline: Duration,
    bytes: usize,
}

impl LingeringClose {
    /// Begins at `now` and lasts `LINGER_TIMEOUT` at most.
    pub(super) fn new(now: Duration) -> Self {
        Self { deadline: now + LINGER_TIMEOUT, bytes: 0 }
    }

    /// Reads once. Done at the end of the input, at the deadline, and past `LINGER_BYTES`.
    pub(super) fn step(&mut self, stream: &AsyncFd<Socket>, now: Duration) -> Step {
        if now >= self.deadline || self.bytes > LINGER_BYTES {
            return Step::Done;
        }
        if !stream.is_readable() {
            return Step::Blocked;
        }
        let mut dropped = [0; 1024];
        match stream.get_ref().read(&mut dropped) {
            Ok(0) => Step::Done,
            Ok(count) => {
                self.bytes += count;
                Step::Progress
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                stream.note_empty();
                Step::Blocked
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Step::Progress,
            Err(_) => Step::Done,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn closed_connection_is_drained_up_to_its_limits() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let server = listener.accept().unwrap().0;
        server.set_nonblocking(true).unwrap();
        let (deadline, moment) = (LINGER_TIMEOUT, Duration::from_millis(1));
        let server = AsyncFd::new(Socket::new(server)).unwrap();
        let step = |bytes, now| LingeringClose { deadline, bytes }.step(&server, now);
        assert!(matches!(step(LINGER_BYTES, deadline - moment), Step::Blocked));
        assert!(matches!(step(0, deadline), Step::Done));
        client.write_all(&[0; 3]).unwrap();
        while server.get_ref().peek(&mut [0; 3]).unwrap() < 3 {}
        let wait = core::future::poll_fn(|context| server.poll_readable(context));
        crate::runtime::block_on(&mut crate::runtime::Tasks::new(0), wait).unwrap();
        let mut linger = LingeringClose { deadline, bytes: LINGER_BYTES };
        assert!(matches!(linger.step(&server, deadline - moment), Step::Progress));
        assert_eq!(linger.bytes, LINGER_BYTES + 3);
        assert!(matches!(linger.step(&server, deadline - moment), Step::Done));
    }
}
