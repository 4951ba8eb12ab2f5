//! Sockets of multicast DNS, one of each IP version.
//!
//! One socket sends to each interface and receives of all: the sender's address is in the subnet of its interface, and
//! with an IPv6 address of the link the kernel names that interface.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::net::sockopt::{
    set_ip_add_membership_with_ifindex, set_ip_multicast_if_with_ifindex, set_ip_multicast_ttl, set_ip_ttl,
    set_ipv6_add_membership, set_ipv6_multicast_hops, set_ipv6_unicast_hops, set_ipv6_v6only,
    set_socket_recv_buffer_size, set_socket_reuseaddr,
};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with};

use super::MULTICAST_BUFFER_BYTES;
use crate::mdns::{GROUP_V4, GROUP_V6, PORT};

/// Time to live of every packet (RFC 6762, 11).
const TTL: u8 = 255;

/// IP version.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum IpVersion {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// Socket of multicast DNS in non-blocking mode.
#[derive(Debug)]
pub struct MulticastSocket {
    socket: UdpSocket,
    version: IpVersion,
}

impl MulticastSocket {
    /// Opens the socket of a responder, on a port that others of this host share.
    ///
    /// # Errors
    /// Error of the system, such as a kernel without this IP version.
    pub fn open(version: IpVersion) -> rustix::io::Result<Self> {
        Self::open_at(version, PORT)
    }

    /// Opens the socket of a client, on a port of its own.
    ///
    /// # Errors
    /// The same.
    pub fn open_client(version: IpVersion) -> rustix::io::Result<Self> {
        Self::open_at(version, 0)
    }

    fn open_at(version: IpVersion, port: u16) -> rustix::io::Result<Self> {
        let is_v4 = version == IpVersion::V4;
        let family = if is_v4 { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(family, SocketType::DGRAM, flags, None)?;
        // With it, Linux lets several programs bind the port, whichever of both options they use.
        set_socket_reuseaddr(&socket, true)?;
        set_socket_recv_buffer_size(&socket, MULTICAST_BUFFER_BYTES)?;
        let any: IpAddr = if is_v4 {
            set_ip_multicast_ttl(&socket, TTL.into())?;
            set_ip_ttl(&socket, TTL.into())?;
            Ipv4Addr::UNSPECIFIED.into()
        } else {
            set_ipv6_v6only(&socket, true)?;
            set_ipv6_multicast_hops(&socket, TTL.into())?;
            set_ipv6_unicast_hops(&socket, Some(TTL))?;
            Ipv6Addr::UNSPECIFIED.into()
        };
        bind(&socket, &SocketAddr::new(any, port))?;
        Ok(Self { socket: socket.into(), version })
    }

    /// IP version.
    pub fn version(&self) -> IpVersion {
        self.version
    }

    /// Joins the group on an interface, once. The kernel leaves it with the socket.
    ///
    /// # Errors
    /// Error of the system, such as an interface that has gone.
    pub fn join(&self, interface: u32) -> rustix::io::Result<()> {
        match self.version {
            IpVersion::V4 => {
                set_ip_add_membership_with_ifindex(self, &GROUP_V4, &Ipv4Addr::UNSPECIFIED, interface)
            }
            IpVersion::V6 => set_ipv6_add_membership(self, &GROUP_V6, interface),
        }
    }

    /// Sends a message to the group on an interface.
    ///
    /// # Errors
    /// Error of the system.
    pub fn send(&self, bytes: &[u8], interface: u32) -> io::Result<()> {
        let group = match self.version {
            IpVersion::V4 => {
                let any = &Ipv4Addr::UNSPECIFIED;
                set_ip_multicast_if_with_ifindex(self, any, any, interface)?;
                SocketAddr::from((GROUP_V4, PORT))
            }
            IpVersion::V6 => SocketAddrV6::new(GROUP_V6, PORT, 0, interface).into(),
        };
        self.reply(bytes, group)
    }

    /// Sends a message to one receiver.
    ///
    /// # Errors
    /// Error of the system.
    pub fn reply(&self, bytes: &[u8], receiver: SocketAddr) -> io::Result<()> {
        self.socket.send_to(bytes, receiver).map(|_| ())
    }

    /// Receives a message with its sender. One that is longer than the buffer is cut.
    ///
    /// # Errors
    /// `WouldBlock`: there is none.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.socket.recv_from(buffer)
    }
}

impl AsFd for MulticastSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_is_shared_by_several_responders() {
        let sockets = [(); 2].map(|()| MulticastSocket::open(IpVersion::V4).unwrap());
        for socket in &sockets {
            assert_eq!(socket.socket.local_addr().unwrap(), "0.0.0.0:5353".parse().unwrap());
            // Nothing is there yet, or what others of this host have sent.
            let received = socket.receive(&mut [0; 100]).map_err(|error| error.kind());
            assert!(received.is_ok() || received == Err(io::ErrorKind::WouldBlock), "{received:?}");
            assert!(socket.join(u32::MAX >> 1).is_err());
        }
        let client = MulticastSocket::open_client(IpVersion::V4).unwrap();
        assert_ne!(client.socket.local_addr().unwrap().port(), PORT);
    }

    #[test]
    fn unread_bytes_of_the_network_are_bounded() {
        let socket = MulticastSocket::open_client(IpVersion::V4).unwrap();
        let bytes = rustix::net::sockopt::socket_recv_buffer_size(&socket).unwrap();
        assert_eq!(bytes, 2 * MULTICAST_BUFFER_BYTES);
    }
}
