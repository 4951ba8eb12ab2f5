//! An NTP server that does what a test says.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

use friendlet::wall_clock;

use super::namespaces::Namespaces;
use super::wait::{SOON, until};

/// Seconds from 1900 to 1970.
const UNIX_EPOCH: i64 = 2_208_988_800;

/// Request of a client.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) from: SocketAddr,
    pub(crate) bytes: [u8; 48],
}

impl Request {
    /// The same with another transmit timestamp, which the reply repeats.
    pub(crate) fn with_timestamp(&self, timestamp: u64) -> Self {
        let mut request = self.clone();
        request.bytes[40..].copy_from_slice(&timestamp.to_be_bytes());
        request
    }
}

pub(crate) struct NtpServer<'a> {
    namespaces: &'a Namespaces,
    socket: UdpSocket,
}

impl<'a> NtpServer<'a> {
    pub(crate) fn start(namespaces: &'a Namespaces) -> Self {
        let socket = namespaces.at_server(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 123)).unwrap());
        socket.set_read_timeout(Some(SOON)).unwrap();
        Self { namespaces, socket }
    }

    /// The next request.
    #[track_caller]
    pub(crate) fn receive(&self) -> Request {
        let mut bytes = [0; 48];
        let (len, from) = self.socket.recv_from(&mut bytes).expect("a request");
        assert_eq!(len, bytes.len());
        Request { from, bytes }
    }

    /// Answers with a clock that is off by so many seconds, and with the reference of a clock, or a kiss code.
    pub(crate) fn answer(&self, request: &Request, stratum: u8, off_s: i64, reference: &[u8; 4]) {
        let now = wall_clock::now();
        let seconds = i64::try_from(now.as_secs()).unwrap() + UNIX_EPOCH + off_s;
        let fraction = (u64::from(now.subsec_nanos()) << 32) / 1_000_000_000;
        // Version 4, mode 4; of the seconds the wire has 32 bits.
        let mut bytes = vec![0x24, stratum, 6, 0xec, 0, 0, 0, 0, 0, 0, 0, 0];
        bytes.extend(reference);
        bytes.extend([0; 8]);
        bytes.extend(&request.bytes[40..]);
        for _ in 0..2 {
            bytes.extend((seconds as u32).to_be_bytes());
            bytes.extend((fraction as u32).to_be_bytes());
        }
        until("the server's end of the cable is up", || self.namespaces.is_server_up());
        self.socket.send_to(&bytes, request.from).unwrap();
    }
}
