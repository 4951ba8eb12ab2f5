//! Reports of the server to the service manager (sd_notify(3)). The manager accepts those of its own child
//! alone, which is the keeper: it passes the datagrams on.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use heapless::Vec;

use crate::sys::{ManagerSocket, NOTIFY_BYTES, NotifyEnvironment, SLOT_GOOD};

/// Pause before a datagram that the manager had no room for is sent again.
pub(super) const RETRY: Duration = Duration::from_millis(50);

/// Datagrams on their way to the service manager.
#[derive(Debug)]
pub(super) struct Relay {
    server: UnixDatagram,
    manager: ManagerSocket,
    /// The slot was reported as good.
    pub(super) is_slot_good: bool,
    /// Datagram that the manager had no room for.
    held: Option<Vec<u8, NOTIFY_BYTES>>,
}

impl Relay {
    /// Creates a relay and the server's end of it; `None` without a service manager.
    ///
    /// # Errors
    /// Error of the system: no descriptors left.
    pub(super) fn new(environment: &NotifyEnvironment) -> io::Result<Option<(Self, UnixDatagram)>> {
        let Some(manager) = ManagerSocket::new(environment) else { return Ok(None) };
        let (server, end) = pair()?;
        Ok(Some((Self { server, manager, is_slot_good: false, held: None }, end)))
    }

    /// Replaces the socket to the server. Returns the new server's end of it.
    ///
    /// # Errors
    /// Error of the system: no descriptors left.
    pub(super) fn renew(&mut self) -> io::Result<UnixDatagram> {
        let (server, end) = pair()?;
        self.server = server;
        Ok(end)
    }

    /// Returns true while a datagram waits for room.
    pub(super) fn is_held(&self) -> bool {
        self.held.is_some()
    }

    /// Passes on what the server has sent.
    pub(super) fn run(&mut self) {
        loop {
            if self.held.is_none() {
                let mut datagram = Vec::new();
                // A datagram has at most this size; it is filled before it is cut.
                if datagram.resize(NOTIFY_BYTES, 0).is_err() {
                    return;
                }
                let Ok(count) = self.server.recv(&mut datagram) else { return };
                datagram.truncate(count);
                self.held = Some(datagram);
            }
            let Some(datagram) = &self.held else { return };
            self.is_slot_good |= datagram == SLOT_GOOD;
            match self.manager.send(datagram) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Ok(()) | Err(_) => self.held = None,
            }
        }
    }
}

fn pair() -> io::Result<(UnixDatagram, UnixDatagram)> {
    let (server, end) = UnixDatagram::pair()?;
    server.set_nonblocking(true)?;
    end.set_nonblocking(true)?;
    Ok((server, end))
}

impl AsFd for Relay {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.server.as_fd()
    }
}
