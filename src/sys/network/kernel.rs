//! What is asked of the kernel about its network, and how it answers.

use std::fmt;
use std::net::Ipv4Addr;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, recvfrom, sendto, socket_with,
};

use super::message::{Answer, Answers, LINK_GROUP, Link, Question};
use crate::sys::{NETLINK_BYTES, NETWORK_TURNS};

/// What did not work about the network, and the system's word for why.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct NetworkError {
    pub(super) tried: Tried,
    pub(super) errno: Errno,
}

/// What was tried.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Tried {
    /// To open the sockets to the kernel.
    Open,
    /// To give the host its name.
    HostName,
    /// To list the interfaces.
    List,
    /// To switch the interface on.
    Up,
    /// To give it this address.
    AddAddress(Ipv4Addr, u8),
    /// To take it away.
    DeleteAddress(Ipv4Addr, u8),
    /// To use this gateway.
    AddGateway(Ipv4Addr),
    /// To use it no more.
    DeleteGateway(Ipv4Addr),
    /// To send broadcasts out of the interface.
    AddBroadcast,
    /// To listen for DHCP.
    Listen,
    /// To send a DHCP message.
    Send,
    /// To write the nameservers.
    Nameservers,
}

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.tried {
            Tried::Open => write!(f, "opening sockets to the kernel (AF_NETLINK)"),
            Tried::HostName => write!(f, "setting the host's name"),
            Tried::List => write!(f, "listing the interfaces (RTM_GETLINK)"),
            Tried::Up => write!(f, "switching the interface on (RTM_NEWLINK)"),
            Tried::AddAddress(address, prefix) => write!(f, "setting {address}/{prefix} (RTM_NEWADDR)"),
            Tried::DeleteAddress(address, prefix) => write!(f, "giving up {address}/{prefix} (RTM_DELADDR)"),
            Tried::AddGateway(gateway) => write!(f, "setting gateway {gateway} (RTM_NEWROUTE)"),
            Tried::DeleteGateway(gateway) => write!(f, "giving up gateway {gateway} (RTM_DELROUTE)"),
            Tried::AddBroadcast => write!(f, "routing 255.255.255.255 (RTM_NEWROUTE)"),
            Tried::Listen => write!(f, "listening on UDP port 68"),
            Tried::Send => write!(f, "sending to UDP port 67"),
            Tried::Nameservers => write!(f, "writing {}", super::RESOLV_CONF),
        }?;
        write!(f, ": {}", self.errno)
    }
}

/// A socket to the kernel for questions.
#[derive(Debug)]
pub(super) struct Kernel {
    socket: OwnedFd,
    sequence: u32,
}

impl Kernel {
    pub(super) fn open() -> Result<Self, NetworkError> {
        Ok(Self { socket: open(0)?, sequence: 0 })
    }

    /// Every interface there is.
    pub(super) fn links(&mut self, mut visit: impl FnMut(Link)) -> Result<(), NetworkError> {
        self.ask(Tried::List, Question::links(), |answer| {
            if let Answer::Link(link) = answer {
                visit(link);
            }
        })
    }

    /// Has something done.
    pub(super) fn run(&mut self, tried: Tried, question: Question) -> Result<(), NetworkError> {
        self.ask(tried, question, |_| {})
    }

    /// Asks, and gives what is answered to `visit`. The kernel has answered before `sendto` returns, so
    /// this waits for nothing.
    fn ask(
        &mut self,
        tried: Tried,
        mut question: Question,
        visit: impl FnMut(Answer),
    ) -> Result<(), NetworkError> {
        let failed = |errno| NetworkError { tried, errno };
        self.sequence = self.sequence.wrapping_add(1);
        let kernel = SocketAddrNetlink::new(0, 0);
        let question = question.finish(self.sequence);
        sendto(&self.socket, question, SendFlags::empty(), &kernel).map_err(failed)?;
        let receive = |buffer: &mut [u8]| {
            let (_, len, sender) = recvfrom(&self.socket, buffer, RecvFlags::TRUNC)?;
            let sender = sender.and_then(|sender| SocketAddrNetlink::try_from(sender).ok());
            // Any process may send to this socket.
            Ok(if sender.is_some_and(|sender| sender.pid() == 0) { len } else { 0 })
        };
        hear(self.sequence, receive, visit).map_err(failed)
    }
}

/// Hears the answer to a question, a datagram after the other. `receive` gives the length of one, which
/// may be more than has room.
fn hear(
    question: u32,
    mut receive: impl FnMut(&mut [u8]) -> Result<usize, Errno>,
    mut visit: impl FnMut(Answer),
) -> Result<(), Errno> {
    let mut buffer = [0; NETLINK_BYTES];
    for _ in 0..NETWORK_TURNS {
        let len = receive(&mut buffer)?;
        for (sequence, answer) in Answers::new(buffer.get(..len).ok_or(Errno::MSGSIZE)?) {
            // Else it is left of a question that was given up.
            if sequence == question {
                match answer {
                    Answer::End(0) => return Ok(()),
                    Answer::End(errno) => return Err(Errno::from_raw_os_error(errno)),
                    answer => visit(answer),
                }
            }
        }
    }
    Err(Errno::OVERFLOW)
}

/// A socket that hears when interfaces come, go and change.
#[derive(Debug)]
pub(super) struct Events(OwnedFd);

impl Events {
    pub(super) fn open() -> Result<Self, NetworkError> {
        open(LINK_GROUP).map(Self)
    }

    /// Whether something has changed since the last call. What exactly is for the kernel to say:
    /// nothing is missed when there were more events than the socket holds.
    pub(super) fn take(&self) -> bool {
        let mut has_changed = false;
        for _ in 0..NETWORK_TURNS {
            // A short buffer cuts the message, which is not read.
            match recv(&self.0, &mut [0; 16][..], RecvFlags::TRUNC) {
                Ok(_) | Err(Errno::NOBUFS) => has_changed = true,
                Err(_) => break,
            }
        }
        has_changed
    }
}

impl AsFd for Events {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn open(groups: u32) -> Result<OwnedFd, NetworkError> {
    let failed = |errno| NetworkError { tried: Tried::Open, errno };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    // Protocol 0 of this family is the routing socket (NETLINK_ROUTE).
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None).map_err(failed)?;
    bind(&socket, &SocketAddrNetlink::new(0, groups)).map_err(failed)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::super::message::LOOPBACK;
    use super::*;

    /// A message of the kernel to question 7: header and body.
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

    /// What comes of these datagrams, and how many messages were visited.
    fn heard(question: u32, datagrams: &[Vec<u8>]) -> (Result<(), Errno>, usize) {
        let (mut datagrams, mut visited) = (datagrams.iter(), 0);
        let receive = |buffer: &mut [u8]| {
            let datagram = datagrams.next().ok_or(Errno::AGAIN)?;
            let len = datagram.len().min(buffer.len());
            buffer[..len].copy_from_slice(&datagram[..len]);
            Ok(datagram.len())
        };
        (hear(question, receive, |_| visited += 1), visited)
    }

    #[test]
    fn answer_is_heard_to_its_end() {
        let other = message(16, &[0; 16]);
        let two = [other.clone(), other.clone()].concat();
        assert_eq!(heard(7, &[two.clone(), done(0)]), (Ok(()), 2));
        assert_eq!(heard(7, &[[two.clone(), done(0), two.clone()].concat()]), (Ok(()), 2));
        assert_eq!(heard(7, &[two.clone(), done(17)]), (Err(Errno::EXIST), 2));
        assert_eq!(heard(7, &[message(2, &0_i32.to_ne_bytes())]), (Ok(()), 0));
        assert_eq!(heard(7, std::slice::from_ref(&two)), (Err(Errno::AGAIN), 2));
        assert_eq!(heard(8, &[two, done(1)]), (Err(Errno::AGAIN), 0), "that of another question");
    }

    #[test]
    fn datagram_may_be_as_long_as_the_limit() {
        // Padded by a message that nobody asked for.
        let of = |len: usize| [message(99, &vec![0; len - 16 - 20]), done(0)].concat();
        assert_eq!(of(NETLINK_BYTES).len(), NETLINK_BYTES);
        assert_eq!(heard(7, &[of(NETLINK_BYTES)]), (Ok(()), 1));
        assert_eq!(heard(7, &[of(NETLINK_BYTES + 4)]), (Err(Errno::MSGSIZE), 0));
    }

    #[test]
    fn answer_has_its_number_of_datagrams() {
        let of = |count: usize| {
            let mut datagrams = vec![message(99, &[]); count - 1];
            datagrams.push(done(0));
            datagrams
        };
        assert_eq!(heard(7, &of(NETWORK_TURNS)), (Ok(()), NETWORK_TURNS - 1));
        assert_eq!(heard(7, &of(NETWORK_TURNS + 1)), (Err(Errno::OVERFLOW), NETWORK_TURNS));
    }

    #[test]
    fn kernel_lists_its_loopback() {
        let mut kernel = Kernel::open().unwrap();
        for _ in 0..2 {
            let mut loopback = None;
            kernel.links(|link| loopback = loopback.take().or(link.is_loopback.then_some(link))).unwrap();
            let loopback = loopback.unwrap();
            assert_eq!((loopback.name.as_str(), loopback.index, loopback.hardware), ("lo", LOOPBACK, None));
        }
    }

    #[test]
    fn kernel_says_why_not() {
        let mut kernel = Kernel::open().unwrap();
        let address = Ipv4Addr::new(192, 0, 2, 1);
        let question = Question::add_address(u32::MAX >> 1, address, 24);
        let error = kernel.run(Tried::AddAddress(address, 24), question).unwrap_err();
        assert!([Errno::NODEV, Errno::PERM].contains(&error.errno), "{error}");
        let told = NetworkError { errno: Errno::NODEV, ..error }.to_string();
        assert!(told.starts_with("setting 192.0.2.1/24 (RTM_NEWADDR): No such device"), "{told}");
        // It goes on to answer.
        assert_eq!(kernel.links(|_| {}), Ok(()));
    }
}
