//! The listening socket and the tasks behind it.

use core::fmt;
use core::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use smol::{Async, LocalExecutor, Timer};

use super::driver::Connection;
use super::ports::Port;
use super::{Endpoint, Ports};
use crate::limits::{SOCKET_BUFFER_BYTES, TICK};

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
    socket: Async<TcpListener>,
}

impl Listener {
    /// Listens on `address`; port 0 takes a free one. Accepted connections inherit small kernel
    /// buffers: what a peer leaves unread must not pile up there either.
    pub fn bind(address: SocketAddr) -> Result<Self, BindError> {
        let wrap = |error| BindError { address, error };
        let socket = TcpListener::bind(address).map_err(wrap)?;
        let set = |result: rustix::io::Result<()>| result.map_err(io::Error::from).map_err(wrap);
        set(rustix::net::sockopt::set_socket_send_buffer_size(&socket, SOCKET_BUFFER_BYTES))?;
        set(rustix::net::sockopt::set_socket_recv_buffer_size(&socket, SOCKET_BUFFER_BYTES))?;
        Ok(Self { socket: Async::new(socket).map_err(wrap)? })
    }

    /// Where it listens, with the port taken.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.get_ref().local_addr()
    }
}

/// Bytes of one slot's task and its port.
pub fn task_bytes<E: Endpoint>() -> usize {
    fn of<A, B, C, D, F: Future>(_: impl Fn(A, B, C, D) -> F) -> usize {
        size_of::<F>()
    }
    of(serve_port::<E>) + size_of::<Port>()
}

/// Makes the tasks of `listener` on `executor`: they run as long as it does.
pub fn run<E: Endpoint + 'static>(
    executor: &LocalExecutor<'_>,
    listener: Listener,
    ports: &Rc<Ports>,
    endpoint: &Rc<E>,
    tls: Option<&Arc<ServerConfig>>,
) {
    for index in 0..ports.len() {
        executor.spawn(serve_port(Rc::clone(ports), index, Rc::clone(endpoint), tls.cloned())).detach();
    }
    executor.spawn(accept(listener, Rc::clone(ports), Rc::clone(endpoint))).detach();
    executor.spawn(tick(Rc::clone(ports), Rc::clone(endpoint))).detach();
}

async fn serve_port<E: Endpoint>(
    ports: Rc<Ports>,
    index: usize,
    endpoint: Rc<E>,
    tls: Option<Arc<ServerConfig>>,
) {
    let Some(port) = ports.get(index) else { return };
    loop {
        let (stream, id) = port.handed().await;
        let mut connection = Connection::new(&stream, id, &ports, port, &*endpoint, tls.as_ref());
        poll_fn(|context| connection.poll(context)).await;
        drop(connection);
        drop(stream);
        port.lingers.set(false);
        endpoint.release(id);
        ports.released().ring();
    }
}

async fn accept<E: Endpoint>(listener: Listener, ports: Rc<Ports>, endpoint: Rc<E>) {
    loop {
        let (stream, peer) = match listener.socket.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                if let Some(held_back) = ports.complaint(endpoint.now()) {
                    crate::warning!(
                        "cannot accept a connection: {} ({} like it not shown)",
                        error,
                        held_back
                    );
                }
                Timer::after(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // A peer that is gone already: its reading will find out.
        let _ = stream.get_ref().set_nodelay(true);
        let id = loop {
            if let Some(id) = endpoint.claim(peer) {
                break id;
            }
            endpoint.make_room();
            ports.released().heard().await;
        };
        ports.hand(stream, id);
    }
}

async fn tick<E: Endpoint>(ports: Rc<Ports>, endpoint: Rc<E>) {
    loop {
        Timer::after(TICK).await;
        endpoint.handle_tick();
        ports.wake_lingering();
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
        let (stream, _) = smol::block_on(listener.socket.accept()).unwrap();
        let mut stream = stream.get_ref();
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
