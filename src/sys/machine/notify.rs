//! Socket that receives the reports of sd_notify(3): those of the server, and those of services.

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, UCred, recvmsg};

use super::super::file;

/// Datagram socket that identifies senders.
#[derive(Debug)]
pub struct NotifySocket {
    socket: UnixDatagram,
}

impl NotifySocket {
    /// Creates the socket and its directory, with access for root only.
    ///
    /// # Errors
    /// Error of the system.
    pub fn bind(path: &Path) -> io::Result<Self> {
        if let Some(directory) = path.parent() {
            file::create_dir(directory).map_err(io::Error::other)?;
        }
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        Self::new(UnixDatagram::bind(path)?)
    }

    /// Identifies the senders of a bound socket.
    ///
    /// # Errors
    /// Error of the system.
    pub fn new(socket: UnixDatagram) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        rustix::net::sockopt::set_socket_passcred(&socket, true)?;
        Ok(Self { socket })
    }

    /// Receives the next datagram with its sender, or `None`. A datagram that exceeds the buffer,
    /// or has no sender, is returned empty. Descriptors that come with it have no room, and the kernel closes
    /// them.
    ///
    /// # Errors
    /// Error of the system.
    pub fn receive<'b>(&self, buffer: &'b mut [u8]) -> io::Result<Option<(&'b [u8], Option<UCred>)>> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmCredentials(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = loop {
            let mut pieces = [IoSliceMut::new(buffer)];
            match recvmsg(
                &self.socket,
                &mut pieces,
                &mut control,
                RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC,
            ) {
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(None),
                outcome => break outcome?,
            }
        };
        let sender = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmCredentials(credentials) => Some(credentials),
            _ => None,
        });
        let is_cut = received.flags.contains(ReturnFlags::TRUNC);
        let length = if is_cut || sender.is_none() { 0 } else { received.bytes.min(buffer.len()) };
        Ok(Some((&buffer[..length], sender)))
    }
}

impl AsFd for NotifySocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::sys::NOTIFY_BYTES;

    #[test]
    fn datagram_over_its_limit_is_empty() {
        let directory = std::env::temp_dir().join(format!("friendlet-notify-{}", std::process::id()));
        let path = directory.join("run/notify");
        // The second call replaces the socket of an earlier run.
        drop(NotifySocket::bind(&path).unwrap());
        let socket = NotifySocket::bind(&path).unwrap();
        assert_eq!(std::fs::metadata(directory.join("run")).unwrap().permissions().mode() & 0o777, 0o700);

        let mut buffer = [0; NOTIFY_BYTES];
        assert!(socket.receive(&mut buffer).unwrap().is_none());
        let peer = UnixDatagram::unbound().unwrap();
        let own = Some(rustix::process::getpid());
        let longest = [b'x'; NOTIFY_BYTES];
        for (sent, received) in [
            (&b"READY=1"[..], &b"READY=1"[..]),
            (&[], &[]),
            (&longest, &longest),
            (&[b'x'; NOTIFY_BYTES + 1], &[]),
            (b"WATCHDOG=1\n", b"WATCHDOG=1\n"),
        ] {
            peer.send_to(sent, &path).unwrap();
            let (content, sender) = socket.receive(&mut buffer).unwrap().unwrap();
            assert_eq!((content, sender.map(|sender| sender.pid)), (received, own));
        }
        assert!(socket.receive(&mut buffer).unwrap().is_none());
        std::fs::remove_dir_all(directory).unwrap();
    }
}
