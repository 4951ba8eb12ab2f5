//! Connected stream socket, TCP or UNIX.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};

/// Connected socket in non-blocking mode.
#[derive(Debug)]
pub(super) struct Socket(OwnedFd);

impl Socket {
    pub(super) fn new(socket: impl Into<OwnedFd>) -> Self {
        Self(socket.into())
    }

    /// Receives bytes; 0 is the end.
    pub(super) fn read(&self, room: &mut [u8]) -> io::Result<usize> {
        Ok(recv(&self.0, room, RecvFlags::empty())?.0)
    }

    /// The same, and the bytes stay in the socket.
    pub(super) fn peek(&self, room: &mut [u8]) -> io::Result<usize> {
        Ok(recv(&self.0, room, RecvFlags::PEEK)?.0)
    }

    /// Sends as many bytes as there is room for.
    pub(super) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        Ok(send(&self.0, bytes, SendFlags::NOSIGNAL)?)
    }

    /// Ends the outgoing side.
    pub(super) fn shutdown_write(&self) -> io::Result<()> {
        Ok(shutdown(&self.0, Shutdown::Write)?)
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
