//! Sockets from an address of the loopback.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt::{self, Timeout};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};

fn from(source: Ipv4Addr, flags: SocketFlags) -> io::Result<OwnedFd> {
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags | SocketFlags::CLOEXEC, None)?;
    bind(&socket, &SocketAddr::from((source, 0)))?;
    Ok(socket)
}

/// A connection in progress. Its end is a reset, which leaves the port to the next one.
pub(super) fn dial(source: Ipv4Addr, address: SocketAddr) -> io::Result<TcpStream> {
    let socket = from(source, SocketFlags::NONBLOCK)?;
    sockopt::set_socket_linger(&socket, Some(Duration::ZERO))?;
    match connect(&socket, &address) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket.into()),
        Err(errno) => Err(errno.into()),
    }
}

/// A connection, within `timeout`, which applies to each read and write, too.
pub(super) fn connected(source: Ipv4Addr, address: SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
    let socket = from(source, SocketFlags::empty())?;
    for direction in [Timeout::Send, Timeout::Recv] {
        sockopt::set_socket_timeout(&socket, direction, Some(timeout))?;
    }
    sockopt::set_tcp_nodelay(&socket, true)?;
    connect(&socket, &address)?;
    Ok(socket.into())
}

/// Makes the kernel take as few bytes as it can for a client that does not read.
pub(super) fn narrow(socket: &TcpStream) -> io::Result<()> {
    Ok(sockopt::set_socket_recv_buffer_size(socket, 1)?)
}
