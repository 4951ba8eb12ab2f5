//! A DHCP server that does what a test says.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use super::namespaces::Namespaces;
use super::wait::until;

pub(crate) const DISCOVER: u8 = 1;
pub(crate) const OFFER: u8 = 2;
pub(crate) const REQUEST: u8 = 3;
pub(crate) const ACK: u8 = 5;
pub(crate) const NAK: u8 = 6;
/// The server's address in [`Namespaces`].
pub(crate) const SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// A message of a client.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) from: SocketAddr,
    bytes: Vec<u8>,
}

impl Message {
    /// The value of an option.
    pub(crate) fn option(&self, code: u8) -> Option<&[u8]> {
        let mut rest = &self.bytes[240..];
        while rest[0] != 255 {
            let (value, after) = rest[2..].split_at(usize::from(rest[1]));
            if rest[0] == code {
                return Some(value);
            }
            rest = after;
        }
        None
    }

    pub(crate) fn kind(&self) -> u8 {
        self.option(53).unwrap()[0]
    }

    /// The address that the client says it uses.
    pub(crate) fn client(&self) -> Ipv4Addr {
        <[u8; 4]>::try_from(&self.bytes[12..16]).unwrap().into()
    }
}

pub(crate) struct DhcpServer<'a> {
    namespaces: &'a Namespaces,
    socket: UdpSocket,
}

impl<'a> DhcpServer<'a> {
    pub(crate) fn start(namespaces: &'a Namespaces) -> Self {
        let socket = namespaces.at_server(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 67)).unwrap());
        socket.set_broadcast(true).unwrap();
        Self { namespaces, socket }
    }

    /// The next message of this kind; others are left unanswered.
    #[track_caller]
    pub(crate) fn receive(&self, kind: u8, timeout: Duration) -> Message {
        let end = Instant::now() + timeout;
        let mut buffer = [0; 1500];
        loop {
            let left = end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            self.socket.set_read_timeout(Some(left)).unwrap();
            let Ok((len, from)) = self.socket.recv_from(&mut buffer) else {
                panic!("no message of kind {kind} within {timeout:?}");
            };
            let message = Message { from, bytes: buffer[..len].to_vec() };
            assert!(len >= 300 && message.bytes[..4] == [1, 1, 6, 0], "{message:?}");
            if message.kind() == kind {
                return message;
            }
        }
    }

    /// Answers with this address, lease and whatever options.
    pub(crate) fn answer(&self, message: &Message, kind: u8, address: [u8; 4], lease_s: u32, options: &[u8]) {
        let asked = &message.bytes;
        let mut bytes = vec![2, 1, 6, 0];
        bytes.extend(&asked[4..8]);
        bytes.extend([0, 0]);
        // Flags, and the address that the client has.
        bytes.extend(&asked[10..16]);
        bytes.extend(address);
        bytes.extend([0; 8]);
        // chaddr; sname and file are empty.
        bytes.extend(&asked[28..44]);
        bytes.extend([0; 64 + 128]);
        bytes.extend([99, 130, 83, 99, 53, 1, kind, 54, 4]);
        bytes.extend(SERVER.octets());
        if kind != NAK {
            bytes.extend([51, 4]);
            bytes.extend(lease_s.to_be_bytes());
            bytes.extend([1, 4, 255, 255, 255, 0]);
        }
        bytes.extend(options);
        bytes.push(255);
        // RFC 2131, 4.1: to the client's address if it has one, else to all.
        let to = match message.client() {
            Ipv4Addr::UNSPECIFIED => Ipv4Addr::BROADCAST,
            _ if kind == NAK => Ipv4Addr::BROADCAST,
            client => client,
        };
        // The cable's other end may be up before this one is, which drops what is sent till then.
        until("the server's end of the cable is up", || self.namespaces.is_server_up());
        self.socket.send_to(&bytes, (to, 68)).unwrap();
    }
}
