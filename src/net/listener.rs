//! Listening socket, and the certificate of its connections.

use core::cell::RefCell;
use core::fmt;
use core::task::{Context, Poll};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use rustix::net::sockopt::{
    set_ip_freebind, set_ipv6_freebind, set_socket_recv_buffer_size, set_socket_reuseaddr,
    set_socket_send_buffer_size, set_tcp_nodelay,
};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with};
use rustls::ServerConfig;

use super::local::{self, SocketFile};
use super::peer_uid::peer_uid;
use super::socket::Socket;
use super::{ACCEPT_BACKLOG, SOCKET_BUFFER_BYTES};
use crate::connection::Peer;
use crate::runtime::AsyncFd;

/// Failure to open a listening socket.
#[derive(Debug)]
pub struct BindError {
    /// Address, or path of the local socket.
    place: String,
    is_local: bool,
    error: io::Error,
}

impl BindError {
    /// Returns true if another program listens there.
    pub fn is_in_use(&self) -> bool {
        self.error.kind() == io::ErrorKind::AddrInUse
    }

    /// Returns true if this machine does not have the address, perhaps not yet.
    pub fn is_address_missing(&self) -> bool {
        self.error.kind() == io::ErrorKind::AddrNotAvailable
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen on {}: {}", self.place, self.error)?;
        f.write_str(match (self.error.kind(), self.is_local) {
            (io::ErrorKind::AddrInUse, true) => {
                "; is another friendlet running? [listen] socket names another path, or \"off\""
            }
            (_, true) => "; [listen] socket names another path, or \"off\"",
            (io::ErrorKind::AddrInUse, _) => {
                "; is another friendlet running? [listen] address names the port"
            }
            (io::ErrorKind::PermissionDenied, _) => "; ports below 1024 need root",
            (io::ErrorKind::AddrNotAvailable, _) => "; this machine does not have that address",
            _ => "",
        })
    }
}

impl std::error::Error for BindError {}

/// Listening socket: the TCP port, or the local socket.
#[derive(Debug)]
pub struct Listener {
    socket: AsyncFd<OwnedFd>,
    /// File of the local socket; `None`: the TCP port.
    file: Option<SocketFile>,
}

/// Socket as `TcpListener::bind` makes it, not bound yet.
fn unbound(address: SocketAddr) -> rustix::io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    set_socket_reuseaddr(&socket, true)?;
    Ok(socket)
}

/// As `TcpListener::bind`, with [`ACCEPT_BACKLOG`]; `is_ahead`: on an address that this machine may get later.
fn bound(address: SocketAddr, is_ahead: bool) -> rustix::io::Result<TcpListener> {
    let socket = unbound(address)?;
    if is_ahead {
        if address.is_ipv4() { set_ip_freebind(&socket, true) } else { set_ipv6_freebind(&socket, true) }?;
    }
    bind(&socket, &address)?;
    listen(&socket, ACCEPT_BACKLOG as i32)?;
    Ok(socket.into())
}

impl Listener {
    /// Listens on `address`; port 0 selects a free one. Accepted connections inherit `TCP_NODELAY` and small
    /// kernel buffers, which limit the bytes that a peer can leave unread.
    pub fn bind(address: SocketAddr) -> Result<Self, BindError> {
        Self::over(address, bound(address, false).map_err(io::Error::from))
    }

    /// Listens on an address that this machine may get later, by DHCP or with a carrier (`IP_FREEBIND`).
    pub fn bind_ahead(address: SocketAddr) -> Result<Self, BindError> {
        Self::over(address, bound(address, true).map_err(io::Error::from))
    }

    /// Socket of [`bind`](Self::bind), for another thread.
    pub fn bind_socket(address: SocketAddr) -> Result<TcpListener, BindError> {
        let wrap = |error| BindError { place: address.to_string(), is_local: false, error };
        bound(address, false).map_err(|errno| wrap(errno.into()))
    }

    /// Checks that [`bind`](Self::bind) can have the address. The socket does not listen: no client connects to it, and a
    /// server that starts meanwhile gets the address.
    pub fn check(address: SocketAddr) -> Result<(), BindError> {
        unbound(address).and_then(|socket| bind(&socket, &address)).map_err(|errno| BindError {
            place: address.to_string(),
            is_local: false,
            error: errno.into(),
        })
    }

    /// Checks that [`bind_local`](Self::bind_local) can have the path, but not whether a server listens there: a
    /// connection to it would use one of its slots.
    pub fn check_local(path: &Path) -> Result<(), BindError> {
        local::check(path).map_err(|error| BindError {
            place: path.display().to_string(),
            is_local: true,
            error,
        })
    }

    pub(super) fn over(address: SocketAddr, socket: io::Result<TcpListener>) -> Result<Self, BindError> {
        let wrap = |error| BindError { place: address.to_string(), is_local: false, error };
        let socket = socket.map_err(wrap)?;
        let set = |result: rustix::io::Result<()>| result.map_err(io::Error::from).map_err(wrap);
        set(set_socket_send_buffer_size(&socket, SOCKET_BUFFER_BYTES))?;
        set(set_socket_recv_buffer_size(&socket, SOCKET_BUFFER_BYTES))?;
        set(set_tcp_nodelay(&socket, true))?;
        socket.set_nonblocking(true).map_err(wrap)?;
        Ok(Self { socket: AsyncFd::new(socket.into()).map_err(wrap)?, file: None })
    }

    /// Listens on a UNIX socket at `path`, which only root and the user of this process can open. A socket
    /// without a server is replaced. The file is removed with the listener.
    pub fn bind_local(path: &Path) -> Result<Self, BindError> {
        let wrap = |error| BindError { place: path.display().to_string(), is_local: true, error };
        let (socket, file) = local::open(path).map_err(wrap)?;
        Ok(Self { socket: AsyncFd::new(socket).map_err(wrap)?, file: Some(file) })
    }

    /// Address and port that it listens on.
    ///
    /// # Errors
    /// It is the local socket.
    pub fn address(&self) -> io::Result<SocketAddr> {
        Ok(rustix::net::getsockname(self.socket.get_ref())?.try_into()?)
    }

    pub(super) fn is_local(&self) -> bool {
        self.file.is_some()
    }

    pub(super) fn poll_readable(&self, context: &Context<'_>) -> Poll<()> {
        self.socket.poll_readable(context)
    }

    /// Accepts the next connection.
    pub(super) fn accept(&self) -> io::Result<(AsyncFd<Socket>, Peer)> {
        let accepted = self.try_accept();
        if accepted.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
            self.socket.note_empty();
        }
        accepted
    }

    fn try_accept(&self) -> io::Result<(AsyncFd<Socket>, Peer)> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (stream, peer) = rustix::net::acceptfrom_with(self.socket.get_ref(), flags)?;
        let peer = if self.is_local() {
            // A UNIX socket does not inherit it.
            set_socket_send_buffer_size(&stream, SOCKET_BUFFER_BYTES)?;
            Peer::Local { uid: peer_uid(&stream)? }
        } else {
            // A peer that is gone may have no address.
            let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
            Peer::Network(peer.map_or(Ipv4Addr::UNSPECIFIED.into(), |peer| peer.ip()))
        };
        Ok((AsyncFd::new(Socket::new(stream))?, peer))
    }
}

/// Certificate and key of new connections, which a reload may replace.
#[derive(Debug)]
pub struct TlsConfig(RefCell<Arc<ServerConfig>>);

impl TlsConfig {
    /// Configuration of the next connections.
    pub fn new(config: Arc<ServerConfig>) -> Self {
        Self(RefCell::new(config))
    }

    /// Replaces it. Connections keep the one that they began with.
    pub fn replace(&self, config: Arc<ServerConfig>) {
        self.0.replace(config);
    }

    /// The one of new connections.
    pub fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0.borrow())
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::ErrorKind;
    use std::net::TcpStream;

    use super::*;
    use crate::runtime::Tasks;

    #[test]
    fn unread_bytes_of_an_accepted_connection_are_bounded() {
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let client = TcpStream::connect(listener.address().unwrap()).unwrap();
        // The client's own buffer counts too, and is made as small as the system lets it be.
        set_socket_recv_buffer_size(&client, 1).unwrap();
        let wait = poll_fn(|context| listener.socket.poll_readable(context));
        crate::runtime::block_on(&mut Tasks::new(0), wait).unwrap();
        let (stream, peer) = listener.accept().unwrap();
        assert!(matches!(peer, Peer::Network(address) if address.is_loopback()));
        let stream = stream.get_ref();
        assert!(rustix::net::sockopt::tcp_nodelay(stream).unwrap());
        // Linux doubles what it is asked for, and reads the doubled back.
        let sizes = [
            rustix::net::sockopt::socket_send_buffer_size(stream).unwrap(),
            rustix::net::sockopt::socket_recv_buffer_size(stream).unwrap(),
        ];
        assert_eq!(sizes, [2 * SOCKET_BUFFER_BYTES; 2]);
        let mut taken = 0;
        loop {
            match stream.write(&[0; 1024]) {
                Ok(count) => taken += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
            assert!(taken <= 4 * SOCKET_BUFFER_BYTES, "{taken}");
        }
        assert!(taken >= 1024, "{taken}");
    }
}
