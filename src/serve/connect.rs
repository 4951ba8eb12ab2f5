//! Connections to the sockets of services, which never block.

use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::sockopt::socket_error;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, getpeername, socket_with,
};

use crate::service::Endpoint;

/// Begins a connection. [`poll_connected`] returns what becomes of it.
pub(super) fn begin(endpoint: &Endpoint) -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let stream = |family| socket_with(family, SocketType::STREAM, flags, None);
    let (begun, socket) = match endpoint {
        Endpoint::Tcp(address) => {
            let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
            let socket = stream(family)?;
            (connect(&socket, address), socket)
        }
        Endpoint::Unix(path) => {
            let address = SocketAddrUnix::new(path.as_str())?;
            let socket = stream(AddressFamily::UNIX)?;
            (connect(&socket, &address), socket)
        }
    };
    match begun {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        // A full backlog among them: the next attempt is a new one.
        Err(error) => Err(error),
    }
}

/// Returns whether a connection is accepted or has failed; `None`: neither.
pub(super) fn poll_connected(socket: &OwnedFd) -> Option<Result<(), Errno>> {
    match socket_error(socket) {
        Ok(Ok(())) => getpeername(socket).is_ok().then_some(Ok(())),
        Ok(Err(error)) | Err(error) => Some(Err(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::sys::tests::lock_children;

    /// Result of a connection on this machine, which is there at once.
    fn outcome(endpoint: &Endpoint) -> Result<(), Errno> {
        begin(endpoint).and_then(|socket| poll_connected(&socket).unwrap())
    }

    #[test]
    fn tcp_connection_is_accepted_or_refused_at_once() {
        let _lock = lock_children();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = Endpoint::Tcp(listener.local_addr().unwrap());
        assert_eq!(outcome(&endpoint), Ok(()));
        drop(listener);
        assert_eq!(outcome(&endpoint), Err(Errno::CONNREFUSED));
    }

    #[test]
    fn unix_connection_is_accepted_or_refused_at_once() {
        let _lock = lock_children();
        let path = std::env::temp_dir().join(format!("friendlet-connect-{}", std::process::id()));
        let endpoint = Endpoint::unix(path.to_str().unwrap()).unwrap();
        assert_eq!(outcome(&endpoint), Err(Errno::NOENT));
        let listener = UnixListener::bind(&path).unwrap();
        assert_eq!(outcome(&endpoint), Ok(()));
        drop(listener);
        assert_eq!(outcome(&endpoint), Err(Errno::CONNREFUSED));
        std::fs::remove_file(path).unwrap();
    }
}
