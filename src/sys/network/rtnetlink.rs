//! Sockets to the kernel's network configuration (rtnetlink(7)).

use std::fmt;
use std::net::Ipv4Addr;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, recvfrom, sendto, socket_with,
};

use super::message::{HostAddress, Link, Request, Response, Responses};
use crate::log::Reason;
use crate::sys::{NETLINK_BYTES, NETWORK_STEPS};

/// Failed operation of the network, and the error of the system.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct NetworkError {
    pub(super) op: Op,
    pub(super) errno: Errno,
}

/// Operation on the network.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Op {
    /// Open the sockets to the kernel.
    Open,
    /// Set the host name.
    HostName,
    /// List the interfaces.
    List,
    /// List the addresses of this host.
    Addresses,
    /// Bring the interface up.
    Up,
    /// Add an address with its prefix length.
    AddAddress(Ipv4Addr, u8),
    /// Delete an address with its prefix length.
    DeleteAddress(Ipv4Addr, u8),
    /// Add a default gateway.
    AddGateway(Ipv4Addr),
    /// Delete a default gateway.
    DeleteGateway(Ipv4Addr),
    /// Route broadcasts out of the interface.
    AddBroadcast,
    /// Listen for DHCP messages.
    Listen,
    /// Send a DHCP message.
    Send,
    /// Write the nameservers.
    Nameservers,
}

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.op {
            Op::Open => write!(f, "cannot open sockets to the kernel (AF_NETLINK)"),
            Op::HostName => write!(f, "cannot set the host name"),
            Op::List => write!(f, "cannot list the interfaces (RTM_GETLINK)"),
            Op::Addresses => write!(f, "cannot list the addresses of this host (RTM_GETADDR)"),
            Op::Up => write!(f, "cannot bring the interface up (RTM_NEWLINK)"),
            Op::AddAddress(address, prefix) => write!(f, "cannot add {address}/{prefix} (RTM_NEWADDR)"),
            Op::DeleteAddress(address, prefix) => write!(f, "cannot delete {address}/{prefix} (RTM_DELADDR)"),
            Op::AddGateway(gateway) => write!(f, "cannot add gateway {gateway} (RTM_NEWROUTE)"),
            Op::DeleteGateway(gateway) => write!(f, "cannot delete gateway {gateway} (RTM_DELROUTE)"),
            Op::AddBroadcast => write!(f, "cannot route 255.255.255.255 (RTM_NEWROUTE)"),
            Op::Listen => write!(f, "cannot listen on UDP port 68"),
            Op::Send => write!(f, "cannot send to UDP port 67"),
            Op::Nameservers => write!(f, "cannot write {}", super::RESOLV_CONF),
        }?;
        write!(f, ": {}", Reason::from(self.errno))
    }
}

/// Socket for requests to the kernel.
#[derive(Debug)]
pub(super) struct RtNetlink {
    socket: OwnedFd,
    sequence: u32,
}

impl RtNetlink {
    pub(super) fn open() -> Result<Self, NetworkError> {
        Ok(Self { socket: open(0)?, sequence: 0 })
    }

    /// Calls `visit` with every interface.
    pub(super) fn links(&mut self, mut visit: impl FnMut(Link)) -> Result<(), NetworkError> {
        self.exchange(Op::List, Request::links(), |response| {
            if let Response::Link(link) = response {
                visit(link);
            }
        })
    }

    /// Calls `visit` with every address.
    pub(super) fn addresses(&mut self, mut visit: impl FnMut(HostAddress)) -> Result<(), NetworkError> {
        self.exchange(Op::Addresses, Request::addresses(), |response| {
            if let Response::Address(address) = response {
                visit(address);
            }
        })
    }

    /// Sends a request and checks its acknowledgement.
    pub(super) fn run(&mut self, op: Op, request: Request) -> Result<(), NetworkError> {
        self.exchange(op, request, |_| {})
    }

    /// Sends a request and calls `visit` with each response. It never blocks, because the kernel has
    /// responded before `sendto` returns.
    fn exchange(
        &mut self,
        op: Op,
        mut request: Request,
        visit: impl FnMut(Response),
    ) -> Result<(), NetworkError> {
        let failed = |errno| NetworkError { op, errno };
        self.sequence = self.sequence.wrapping_add(1);
        let kernel = SocketAddrNetlink::new(0, 0);
        let request = request.finish(self.sequence);
        sendto(&self.socket, request, SendFlags::empty(), &kernel).map_err(failed)?;
        let receive = |buffer: &mut [u8]| {
            let (_, len, sender) = recvfrom(&self.socket, buffer, RecvFlags::TRUNC)?;
            let sender = sender.and_then(|sender| SocketAddrNetlink::try_from(sender).ok());
            // Any process may send to this socket.
            Ok(if sender.is_some_and(|sender| sender.pid() == 0) { len } else { 0 })
        };
        recv_response(self.sequence, receive, visit).map_err(failed)
    }
}

/// Receives the response to the request of this sequence number, datagram by datagram. `receive`
/// returns the length of a datagram, which may exceed the buffer.
fn recv_response(
    request: u32,
    mut receive: impl FnMut(&mut [u8]) -> Result<usize, Errno>,
    mut visit: impl FnMut(Response),
) -> Result<(), Errno> {
    let mut buffer = [0; NETLINK_BYTES];
    for _ in 0..NETWORK_STEPS {
        let len = receive(&mut buffer)?;
        for (sequence, response) in Responses::new(buffer.get(..len).ok_or(Errno::MSGSIZE)?) {
            // Other numbers are of an earlier request that failed.
            if sequence == request {
                match response {
                    Response::End(0) => return Ok(()),
                    Response::End(errno) => return Err(Errno::from_raw_os_error(errno)),
                    response => visit(response),
                }
            }
        }
    }
    Err(Errno::OVERFLOW)
}

/// Socket that becomes readable when interfaces, or addresses, appear, disappear or change.
#[derive(Debug)]
pub struct KernelEvents(OwnedFd);

impl KernelEvents {
    /// Opens the socket for the events of these multicast groups.
    pub(super) fn open(groups: u32) -> Result<Self, NetworkError> {
        open(groups).map(Self)
    }

    /// Drains the socket and returns true if there were events. The caller then lists what the
    /// kernel has, so an overflow of the socket loses nothing.
    pub fn drain(&self) -> bool {
        let mut has_changed = false;
        for _ in 0..NETWORK_STEPS {
            // A short buffer is enough, because the content is not used.
            match recv(&self.0, &mut [0; 16][..], RecvFlags::TRUNC) {
                Ok(_) | Err(Errno::NOBUFS) => has_changed = true,
                Err(_) => break,
            }
        }
        has_changed
    }
}

impl AsFd for KernelEvents {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn open(groups: u32) -> Result<OwnedFd, NetworkError> {
    let failed = |errno| NetworkError { op: Op::Open, errno };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    // Protocol 0 of this family is NETLINK_ROUTE.
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None).map_err(failed)?;
    bind(&socket, &SocketAddrNetlink::new(0, groups)).map_err(failed)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::super::message::LOOPBACK;
    use super::*;

    /// Message of the kernel in response to request 7: header and body.
    fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        let mut bytes = u32::try_from(16 + body.len()).unwrap().to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend([0; 2]);
        bytes.extend(7_u32.to_ne_bytes());
        bytes.extend([0; 4]);
        bytes.extend(body);
        bytes
    }

    fn done(errno: i32) -> Vec<u8> {
        message(3, &(-errno).to_ne_bytes())
    }

    /// Result of these datagrams, and number of visited messages.
    fn received(request: u32, datagrams: &[Vec<u8>]) -> (Result<(), Errno>, usize) {
        let (mut datagrams, mut visited) = (datagrams.iter(), 0);
        let receive = |buffer: &mut [u8]| {
            let datagram = datagrams.next().ok_or(Errno::AGAIN)?;
            let len = datagram.len().min(buffer.len());
            buffer[..len].copy_from_slice(&datagram[..len]);
            Ok(datagram.len())
        };
        (recv_response(request, receive, |_| visited += 1), visited)
    }

    #[test]
    fn response_is_received_to_its_end() {
        let other = message(16, &[0; 16]);
        let two = [other.clone(), other.clone()].concat();
        assert_eq!(received(7, &[two.clone(), done(0)]), (Ok(()), 2));
        assert_eq!(received(7, &[[two.clone(), done(0), two.clone()].concat()]), (Ok(()), 2));
        assert_eq!(received(7, &[two.clone(), done(17)]), (Err(Errno::EXIST), 2));
        assert_eq!(received(7, &[message(2, &0_i32.to_ne_bytes())]), (Ok(()), 0));
        assert_eq!(received(7, std::slice::from_ref(&two)), (Err(Errno::AGAIN), 2));
        assert_eq!(received(8, &[two, done(1)]), (Err(Errno::AGAIN), 0), "of another request");
    }

    #[test]
    fn datagram_may_be_as_long_as_the_limit() {
        // Padded by a message of an unknown type.
        let of = |len: usize| [message(99, &vec![0; len - 16 - 20]), done(0)].concat();
        assert_eq!(of(NETLINK_BYTES).len(), NETLINK_BYTES);
        assert_eq!(received(7, &[of(NETLINK_BYTES)]), (Ok(()), 1));
        assert_eq!(received(7, &[of(NETLINK_BYTES + 4)]), (Err(Errno::MSGSIZE), 0));
    }

    #[test]
    fn response_has_at_most_the_limit_of_datagrams() {
        let of = |count: usize| {
            let mut datagrams = vec![message(99, &[]); count - 1];
            datagrams.push(done(0));
            datagrams
        };
        assert_eq!(received(7, &of(NETWORK_STEPS)), (Ok(()), NETWORK_STEPS - 1));
        assert_eq!(received(7, &of(NETWORK_STEPS + 1)), (Err(Errno::OVERFLOW), NETWORK_STEPS));
    }

    #[test]
    fn kernel_lists_its_loopback() {
        let mut kernel = RtNetlink::open().unwrap();
        for _ in 0..2 {
            let mut loopback = None;
            kernel.links(|link| loopback = loopback.take().or(link.is_loopback.then_some(link))).unwrap();
            let loopback = loopback.unwrap();
            assert_eq!((loopback.name.as_str(), loopback.index, loopback.hardware), ("lo", LOOPBACK, None));
        }
    }

    #[test]
    fn failed_request_reports_operation_and_errno() {
        let mut kernel = RtNetlink::open().unwrap();
        let address = Ipv4Addr::new(192, 0, 2, 1);
        let request = Request::add_address(u32::MAX >> 1, address, 24);
        let error = kernel.run(Op::AddAddress(address, 24), request).unwrap_err();
        assert!([Errno::NODEV, Errno::PERM].contains(&error.errno), "{error}");
        assert_eq!(
            NetworkError { errno: Errno::NODEV, ..error }.to_string(),
            "cannot add 192.0.2.1/24 (RTM_NEWADDR): No such device (errno 19)"
        );
        // The socket still works.
        assert_eq!(kernel.links(|_| {}), Ok(()));
    }
}
