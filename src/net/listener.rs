//! Listening sockets and the tasks of their connections.

use core::cell::RefCell;
use core::fmt;
use core::future::poll_fn;
use core::task::Poll;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::sockopt::{
    set_ip_freebind, set_ipv6_freebind, set_socket_recv_buffer_size, set_socket_reuseaddr,
    set_socket_send_buffer_size, set_tcp_nodelay, socket_peercred,
};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with};
use rustls::ServerConfig;

use super::connection_table::{Accepted, ConnectionTable, Mailbox};
use super::driver::Connection;
use super::endpoint::Endpoint;
use super::local::{self, SocketFile};
use super::socket::Socket;
use super::tls::Buffers;
use super::{ACCEPT_BACKLOG, SOCKET_BUFFER_BYTES, STEP_BUDGET};
use crate::connection::Peer;
use crate::runtime::{AsyncFd, Tasks, Timer};

/// Pause of the acceptor while the system has no socket for it (no descriptors, no memory), or the server
/// no slot: all are an administrator's of this machine.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

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
        Self::over(address, bound(address, false))
    }

    /// Listens on an address that this machine may get later, by DHCP or with a carrier (`IP_FREEBIND`).
    pub fn bind_ahead(address: SocketAddr) -> Result<Self, BindError> {
        Self::over(address, bound(address, true))
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

    fn over(address: SocketAddr, socket: rustix::io::Result<TcpListener>) -> Result<Self, BindError> {
        let wrap = |error| BindError { place: address.to_string(), is_local: false, error };
        let socket = socket.map_err(|errno| wrap(errno.into()))?;
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

    fn is_local(&self) -> bool {
        self.file.is_some()
    }

    /// Accepts the next connection.
    fn accept(&self) -> io::Result<(AsyncFd<Socket>, Peer)> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (stream, peer) = rustix::net::acceptfrom_with(self.socket.get_ref(), flags)?;
        let peer = if self.is_local() {
            // A UNIX socket does not inherit it.
            set_socket_send_buffer_size(&stream, SOCKET_BUFFER_BYTES)?;
            Peer::Local { uid: socket_peercred(&stream)?.uid.as_raw() }
        } else {
            // A peer that is gone may have no address.
            let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
            Peer::Network(peer.map_or(Ipv4Addr::UNSPECIFIED.into(), |peer| peer.ip()))
        };
        Ok((AsyncFd::new(Socket::new(stream))?, peer))
    }
}

/// Bytes of the task of one slot and its mailbox.
pub fn task_bytes<E: Endpoint>() -> usize {
    fn of<A, B, C, D, F: Future>(_: impl Fn(A, B, C, D) -> F) -> usize {
        size_of::<F>()
    }
    of(serve_slot::<E>) + size_of::<Mailbox>()
}

/// Number of tasks that [`run`] spawns at most for `slots` slots.
pub fn tasks(slots: usize) -> usize {
    slots + 2
}

/// Spawns the tasks of the listeners, the TCP port and the local socket if there is one. They never end.
///
/// # Errors
/// See [`Timer::new`]; or `tasks` is full.
pub fn run<E: Endpoint + 'static>(
    tasks: &mut Tasks,
    network: Listener,
    local: Option<Listener>,
    connections: &Rc<ConnectionTable>,
    endpoint: &Rc<RefCell<E>>,
    tls: Option<&Rc<TlsConfig>>,
) -> io::Result<()> {
    for index in 0..connections.slots() {
        let slot = Slot { connections: Rc::clone(connections), index };
        tasks.spawn(serve_slot(slot, Rc::clone(endpoint), tls.cloned(), Timer::new()?))?;
    }
    // Of two tasks that wait for a slot, the first one is polled first: local administrators go before others.
    for listener in local.into_iter().chain([network]) {
        tasks.spawn(accept(listener, Rc::clone(connections), Rc::clone(endpoint), Timer::new()?))?;
    }
    Ok(())
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

    fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0.borrow())
    }
}

/// One slot of the table.
struct Slot {
    connections: Rc<ConnectionTable>,
    index: usize,
}

async fn serve_slot<E: Endpoint>(
    slot: Slot,
    endpoint: Rc<RefCell<E>>,
    tls: Option<Rc<TlsConfig>>,
    timer: Timer,
) {
    let Some(mailbox) = slot.connections.get(slot.index) else { return };
    let mut buffers = if tls.is_some() { Buffers::new() } else { Buffers::default() };
    // Once is enough, here and for the mailbox: a task keeps its waker.
    poll_fn(|context| {
        timer.listen(context);
        Poll::Ready(())
    })
    .await;
    loop {
        let Accepted { stream, id, is_local } = mailbox.next_connection().await;
        timer.set(None);
        let tls = tls.as_ref().filter(|_| !is_local).map(|tls| tls.current());
        let mut connection = Connection::new(&stream, id, &timer, tls.as_ref(), buffers);
        // A connection borrows the machines only here, for one poll.
        poll_fn(|context| connection.poll(&mut *endpoint.borrow_mut(), context)).await;
        buffers = connection.into_buffers();
        drop(stream);
        let now = endpoint.borrow().now();
        endpoint.borrow_mut().release(id, now);
        slot.connections.note_freed();
    }
}

async fn accept<E: Endpoint>(
    listener: Listener,
    connections: Rc<ConnectionTable>,
    endpoint: Rc<RefCell<E>>,
    pause: Timer,
) {
    let is_local = listener.is_local();
    let mut accepted_at_once = 0;
    loop {
        poll_fn(|context| listener.socket.poll_readable(context)).await;
        let (stream, peer) = match listener.accept() {
            Ok(accepted) => accepted,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                listener.socket.note_empty();
                accepted_at_once = 0;
                continue;
            }
            // The peer hung up while it waited; accept(2) lists more errors of the network.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted) =>
            {
                continue;
            }
            Err(error) => {
                let now = endpoint.borrow().now();
                if let Some(suppressed) = endpoint.borrow_mut().log_limit(now) {
                    crate::warning!(
                        "cannot accept a connection: {} ({} lines suppressed)",
                        error,
                        suppressed
                    );
                }
                pause.after(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let id = loop {
            let now = endpoint.borrow().now();
            let claimed = endpoint.borrow_mut().claim(peer, now);
            if let Some(id) = claimed {
                break id;
            }
            smol::future::or(connections.slot_freed(is_local).notified(), pause.after(ACCEPT_PAUSE)).await;
        };
        connections.assign(Accepted { stream, id, is_local });
        accepted_at_once += 1;
        if accepted_at_once >= STEP_BUDGET {
            // Yield to the other tasks.
            accepted_at_once = 0;
            smol::future::yield_now().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::net::TcpStream;

    use super::*;

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
