//! The listening socket and the tasks behind it.

use core::fmt;
use core::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::SocketFlags;
use rustls::ServerConfig;

use super::driver::Connection;
use super::ports::Port;
use super::tls::Buffers;
use super::{Endpoint, Ports};
use crate::net::{SOCKET_BUFFER_BYTES, TURNS};
use crate::runtime::{Source, TICK, Tasks, Timer};

/// Pause after the system had no socket for us: it is out of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The listening socket could not be made.
#[derive(Debug)]
pub struct BindError {
    address: SocketAddr,
    error: io::Error,
}

impl BindError {
    /// Whether somebody else listens there.
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

/// A socket that listens.
#[derive(Debug)]
pub struct Listener {
    socket: Source<TcpListener>,
}

impl Listener {
    /// Listens on `address`; port 0 takes a free one. Accepted connections inherit small kernel
    /// buffers: what a peer leaves unread must not pile up there either. They inherit, too, that small
    /// packets go out at once.
    pub fn bind(address: SocketAddr) -> Result<Self, BindError> {
        let wrap = |error| BindError { address, error };
        let socket = TcpListener::bind(address).map_err(wrap)?;
        let set = |result: rustix::io::Result<()>| result.map_err(io::Error::from).map_err(wrap);
        set(rustix::net::sockopt::set_socket_send_buffer_size(&socket, SOCKET_BUFFER_BYTES))?;
        set(rustix::net::sockopt::set_socket_recv_buffer_size(&socket, SOCKET_BUFFER_BYTES))?;
        set(rustix::net::sockopt::set_tcp_nodelay(&socket, true))?;
        socket.set_nonblocking(true).map_err(wrap)?;
        Ok(Self { socket: Source::new(socket).map_err(wrap)? })
    }

    /// Where it listens, with the port taken.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.get_ref().local_addr()
    }

    /// The next connection that waits.
    fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (stream, peer) = rustix::net::acceptfrom_with(self.socket.get_ref(), flags)?;
        // A peer that is gone already may have no address.
        let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
        let peer = peer.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)));
        Ok((TcpStream::from(stream), peer))
    }
}

/// Bytes of one slot's task and its port.
pub fn task_bytes<E: Endpoint>() -> usize {
    fn of<A, B, C, D, F: Future>(_: impl Fn(A, B, C, D) -> F) -> usize {
        size_of::<F>()
    }
    of(serve_port::<E>) + size_of::<Port>()
}

/// How many tasks [`run`] makes for so many ports.
pub fn tasks(ports: usize) -> usize {
    ports + 2
}

/// Makes the tasks of `listener`: they run as long as the loop does.
///
/// # Errors
/// See [`Timer::new`]; or `tasks` has not the room that [`tasks`] tells.
pub fn run<E: Endpoint + 'static>(
    tasks: &mut Tasks,
    listener: Listener,
    ports: &Rc<Ports>,
    endpoint: &Rc<E>,
    tls: Option<&Arc<ServerConfig>>,
) -> io::Result<()> {
    let mut all = true;
    for index in 0..ports.len() {
        all &= tasks.spawn(serve_port(Rc::clone(ports), index, Rc::clone(endpoint), tls.cloned()));
    }
    all &= tasks.spawn(accept(listener, Rc::clone(ports), Rc::clone(endpoint), Timer::new()?));
    all &= tasks.spawn(tick(Rc::clone(ports), Rc::clone(endpoint), Timer::new()?));
    if all { Ok(()) } else { Err(io::Error::other("the table of tasks is too small")) }
}

async fn serve_port<E: Endpoint>(
    ports: Rc<Ports>,
    index: usize,
    endpoint: Rc<E>,
    tls: Option<Arc<ServerConfig>>,
) {
    let Some(port) = ports.get(index) else { return };
    let mut buffers = if tls.is_some() { Buffers::new() } else { Buffers::default() };
    loop {
        let (stream, id) = port.handed().await;
        let mut connection = Connection::new(&stream, id, &ports, port, &*endpoint, tls.as_ref(), buffers);
        poll_fn(|context| connection.poll(context)).await;
        buffers = connection.into_buffers();
        drop(stream);
        port.lingers.set(false);
        endpoint.release(id);
        ports.released().ring();
    }
}

async fn accept<E: Endpoint>(listener: Listener, ports: Rc<Ports>, endpoint: Rc<E>, pause: Timer) {
    let mut accepted_at_once = 0;
    loop {
        poll_fn(|context| listener.socket.poll_readable(context)).await;
        let accepted = listener.accept().and_then(|(stream, peer)| Ok((Source::new(stream)?, peer)));
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                listener.socket.note_empty();
                accepted_at_once = 0;
                continue;
            }
            // A peer that hung up while it waited; accept(2) lists more that are its network's.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted) =>
            {
                continue;
            }
            Err(error) => {
                if let Some(held_back) = ports.complaint(endpoint.now()) {
                    crate::warning!(
                        "cannot accept a connection: {} ({} like it not shown)",
                        error,
                        held_back
                    );
                }
                pause.after(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let id = loop {
            if let Some(id) = endpoint.claim(peer) {
                break id;
            }
            endpoint.evict_idle();
            ports.released().heard().await;
        };
        ports.hand(stream, id);
        accepted_at_once += 1;
        if accepted_at_once >= TURNS {
            // It is others' turn.
            accepted_at_once = 0;
            smol::future::yield_now().await;
        }
    }
}

async fn tick<E: Endpoint>(ports: Rc<Ports>, endpoint: Rc<E>, timer: Timer) {
    loop {
        timer.after(TICK).await;
        endpoint.handle_tick();
        ports.handle_tick();
        ports.released().ring();
    }
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Write as _};
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn accepted_connection_keeps_a_bounded_number_of_bytes_that_nobody_reads() {
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
