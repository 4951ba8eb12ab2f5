//! Listening socket and the tasks of its connections.

use core::cell::RefCell;
use core::fmt;
use core::future::poll_fn;
use core::task::Poll;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::SocketFlags;
use rustls::ServerConfig;

use super::connection_table::{ConnectionTable, Mailbox};
use super::driver::Connection;
use super::endpoint::Endpoint;
use super::tls::Buffers;
use super::{SOCKET_BUFFER_BYTES, STEP_BUDGET};
use crate::runtime::{AsyncFd, Tasks, Timer};

/// Pause of the acceptor while the system has no socket for it (no descriptors, no memory), or the server
/// has no slot.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Failure to open the listening socket.
#[derive(Debug)]
pub struct BindError {
    address: SocketAddr,
    error: io::Error,
}

impl BindError {
    /// Returns true if another program listens there.
    pub fn is_in_use(&self) -> bool {
        self.error.kind() == io::ErrorKind::AddrInUse
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen on {}: {}", self.address, self.error)?;
        match self.error.kind() {
            io::ErrorKind::AddrInUse => {
                write!(f, "; is another friendlet running? [listen] address names the port")
            }
            io::ErrorKind::PermissionDenied => write!(f, "; ports below 1024 need root"),
            io::ErrorKind::AddrNotAvailable => write!(f, "; this machine does not have that address"),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for BindError {}

/// Listening socket.
#[derive(Debug)]
pub struct Listener {
    socket: AsyncFd<TcpListener>,
}

impl Listener {
    /// Listens on `address`; port 0 selects a free one. Accepted connections inherit `TCP_NODELAY` and small
    /// kernel buffers, which limit the bytes that a peer can leave unread.
    pub fn bind(address: SocketAddr) -> Result<Self, BindError> {
        let wrap = |error| BindError { address, error };
        let socket = TcpListener::bind(address).map_err(wrap)?;
        let set = |result: rustix::io::Result<()>| result.map_err(io::Error::from).map_err(wrap);
        set(rustix::net::sockopt::set_socket_send_buffer_size(&socket, SOCKET_BUFFER_BYTES))?;
        set(rustix::net::sockopt::set_socket_recv_buffer_size(&socket, SOCKET_BUFFER_BYTES))?;
        set(rustix::net::sockopt::set_tcp_nodelay(&socket, true))?;
        socket.set_nonblocking(true).map_err(wrap)?;
        Ok(Self { socket: AsyncFd::new(socket).map_err(wrap)? })
    }

    /// Address and port that it listens on.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.get_ref().local_addr()
    }

    /// Accepts the next connection.
    fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (stream, peer) = rustix::net::acceptfrom_with(self.socket.get_ref(), flags)?;
        // A peer that is gone may have no address.
        let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
        let peer = peer.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)));
        Ok((TcpStream::from(stream), peer))
    }
}

/// Bytes of the task of one slot and its mailbox.
pub fn task_bytes<E: Endpoint>() -> usize {
    fn of<A, B, C, D, F: Future>(_: impl Fn(A, B, C, D) -> F) -> usize {
        size_of::<F>()
    }
    of(serve_slot::<E>) + size_of::<Mailbox>()
}

/// Number of tasks that [`run`] spawns for `slots` slots.
pub fn tasks(slots: usize) -> usize {
    slots + 1
}

/// Spawns the tasks of `listener`, which never end.
///
/// # Errors
/// See [`Timer::new`]; or `tasks` is full.
pub fn run<E: Endpoint + 'static>(
    tasks: &mut Tasks,
    listener: Listener,
    connections: &Rc<ConnectionTable>,
    endpoint: &Rc<RefCell<E>>,
    tls: Option<&Arc<ServerConfig>>,
) -> io::Result<()> {
    for index in 0..connections.slots() {
        let slot = Slot { connections: Rc::clone(connections), index };
        tasks.spawn(serve_slot(slot, Rc::clone(endpoint), tls.cloned(), Timer::new()?))?;
    }
    tasks.spawn(accept(listener, Rc::clone(connections), Rc::clone(endpoint), Timer::new()?))?;
    Ok(())
}

/// One slot of the table.
struct Slot {
    connections: Rc<ConnectionTable>,
    index: usize,
}

async fn serve_slot<E: Endpoint>(
    slot: Slot,
    endpoint: Rc<RefCell<E>>,
    tls: Option<Arc<ServerConfig>>,
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
        let (stream, id) = mailbox.next_connection().await;
        timer.set(None);
        let mut connection = Connection::new(&stream, id, &timer, tls.as_ref(), buffers);
        // A connection borrows the machines only here, for one poll.
        poll_fn(|context| connection.poll(&mut *endpoint.borrow_mut(), context)).await;
        buffers = connection.into_buffers();
        drop(stream);
        let now = endpoint.borrow().now();
        endpoint.borrow_mut().release(id, now);
        slot.connections.slot_freed().notify();
    }
}

async fn accept<E: Endpoint>(
    listener: Listener,
    connections: Rc<ConnectionTable>,
    endpoint: Rc<RefCell<E>>,
    pause: Timer,
) {
    let mut accepted_at_once = 0;
    loop {
        poll_fn(|context| listener.socket.poll_readable(context)).await;
        let accepted = listener.accept().and_then(|(stream, peer)| Ok((AsyncFd::new(stream)?, peer)));
        let (stream, peer) = match accepted {
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
            endpoint.borrow_mut().evict_idle(now);
            smol::future::or(connections.slot_freed().notified(), pause.after(ACCEPT_PAUSE)).await;
        };
        connections.assign(stream, id);
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
    use std::io::{ErrorKind, Write as _};
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn unread_bytes_of_an_accepted_connection_are_bounded() {
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let client = TcpStream::connect(listener.address().unwrap()).unwrap();
        // The client's own buffer counts too, and is made as small as the system lets it be.
        rustix::net::sockopt::set_socket_recv_buffer_size(&client, 1).unwrap();
        let wait = poll_fn(|context| listener.socket.poll_readable(context));
        crate::runtime::block_on(&mut Tasks::new(0), wait).unwrap();
        let (stream, peer) = listener.accept().unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
        assert!(stream.nodelay().unwrap());
        let mut stream = &stream;
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
