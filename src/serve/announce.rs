//! Announcement of the server on its networks: sockets of multicast DNS, joined with the responder.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::task::Context;
use std::time::Duration;

use heapless::Vec;

use crate::log::Reason;
use crate::mdns::{
    Address, MDNS_BYTES, MDNS_INTERFACES, MDNS_READ_TIME, MDNS_READS, MDNS_RECEIVED_BYTES, Responder,
    Service, Transmit,
};
use crate::runtime::{AsyncFd, Timer};
use crate::sys::multicast::{IpVersion, MulticastSocket};
use crate::sys::{Clock, HostAddress, random};
use crate::warning;

/// Announcer of a server.
pub(super) struct Announcer {
    responder: Responder,
    clock: Clock,
    timer: Timer,
    sockets: [Socket; 2],
    reads: ReadBudget,
}

/// Memory of an announcer.
pub(crate) const ANNOUNCER_BYTES: usize = size_of::<Announcer>();

/// Place of the socket of an IP version.
struct Socket {
    version: IpVersion,
    /// `None`: no interface needs it, or it cannot be opened.
    socket: Option<AsyncFd<MulticastSocket>>,
    /// Interfaces on which it is a member of the group.
    members: Vec<u32, MDNS_INTERFACES>,
    /// A failure was logged.
    is_failing: bool,
}

/// Datagrams that were read since this time.
struct ReadBudget {
    count: u8,
    since: Duration,
}

impl ReadBudget {
    /// Returns the time of the next read, or `None` at once.
    fn take(&mut self, now: Duration) -> Option<Duration> {
        let end = self.since + MDNS_READ_TIME;
        if now >= end {
            (self.count, self.since) = (0, now);
        } else if self.count >= MDNS_READS {
            return Some(end);
        }
        self.count += 1;
        None
    }
}

impl Announcer {
    /// Announcer of a server with or without TLS.
    ///
    /// # Errors
    /// See [`Timer::new`].
    pub(super) fn new(has_tls: bool, clock: Clock) -> io::Result<Self> {
        let name = rustix::system::uname();
        let name = name.nodename().to_str().unwrap_or_default();
        let socket = |version| Socket { version, socket: None, members: Vec::new(), is_failing: false };
        Ok(Self {
            responder: Responder::new(
                name,
                Service { port: 0, has_tls },
                env!("CARGO_PKG_VERSION"),
                random::seed(),
            ),
            clock,
            timer: Timer::new()?,
            sockets: [socket(IpVersion::V4), socket(IpVersion::V6)],
            reads: ReadBudget { count: 0, since: Duration::ZERO },
        })
    }

    /// Passes the addresses of this host on to the responder, and opens the sockets that they need.
    pub(super) fn update(&mut self, addresses: &[HostAddress], listening: SocketAddr, now: Duration) {
        let found = addresses.iter().filter(|address| !address.is_loopback());
        let mut found = found.map(|found| {
            (found.interface, Address::new(found.address, found.prefix, is_served(found, listening)))
        });
        self.responder.handle_addresses(&mut found, listening.port(), now);
        for socket in &mut self.sockets {
            socket.update(&self.responder);
        }
        // The next step listens to the sockets.
        self.timer.set(Some(self.clock.instant(now)));
    }

    /// Does what is due, and returns the name that the server has from now on, if that is another one: see
    /// [`Responder::poll_name`].
    pub(super) fn step(&mut self, context: &Context<'_>, now: Duration) -> Option<(&str, bool)> {
        self.timer.listen(context);
        self.timer.take_expired();
        let reads_due = self.receive(context, now);
        let mut out = [0; MDNS_BYTES];
        while let Some(transmit) = self.responder.poll_transmit(now, &mut out) {
            self.send(&transmit, &out);
        }
        let due = [reads_due, self.responder.poll_timeout()].into_iter().flatten().min();
        self.timer.set(due.map(|due| self.clock.instant(due)));
        self.responder.poll_name()
    }

    /// Handles what was received. Returns the time at which the rest is read, if there is more than the limit.
    fn receive(&mut self, context: &Context<'_>, now: Duration) -> Option<Duration> {
        let mut bytes = [0; MDNS_RECEIVED_BYTES + 1];
        let mut reply = [0; MDNS_BYTES];
        for socket in self.sockets.iter().filter_map(|socket| socket.socket.as_ref()) {
            socket.listen(context);
            while socket.is_readable() {
                if let Some(due) = self.reads.take(now) {
                    return Some(due);
                }
                match socket.get_ref().receive(&mut bytes) {
                    Ok((len, source)) => {
                        let bytes = bytes.get(..len).unwrap_or_default();
                        let len = self.responder.handle_packet(bytes, source, now, &mut reply);
                        if let Some(reply) = len.and_then(|len| reply.get(..len)) {
                            // The client asks again.
                            let _ = socket.get_ref().reply(reply, source);
                        }
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => socket.note_empty(),
                    Err(_) => {}
                }
            }
        }
        None
    }

    /// Sends a message. One that is lost, as without a carrier, is missed as any other.
    fn send(&self, transmit: &Transmit, out: &[u8]) {
        let bytes = out.get(..transmit.len).unwrap_or_default();
        for (Socket { socket, .. }, is_over) in self.sockets.iter().zip(transmit.over) {
            if let Some(socket) = socket.as_ref().filter(|_| is_over) {
                let _ = socket.get_ref().send(bytes, transmit.index);
            }
        }
    }

    /// Withdraws the server from its networks.
    pub(super) fn withdraw(&self) {
        let mut out = [0; MDNS_BYTES];
        for at in 0..self.responder.interfaces().len() {
            if let Some(transmit) = self.responder.withdraw(at, &mut out) {
                self.send(&transmit, &out);
            }
        }
    }
}

impl Socket {
    /// Opens the socket anew where other interfaces need it: the kernel would keep the memberships of those that have gone.
    fn update(&mut self, responder: &Responder) {
        let is_v4 = self.version == IpVersion::V4;
        let needed = responder.interfaces().iter().filter(|interface| interface.serves(is_v4));
        let needed = needed.map(|interface| interface.index()).collect();
        if self.members == needed && self.socket.is_some() {
            return;
        }
        (self.socket, self.members) = (None, needed);
        if self.members.is_empty() {
            return;
        }
        match self.open() {
            Ok(()) => self.is_failing = false,
            Err(error) if !self.is_failing => {
                self.is_failing = true;
                let version = if is_v4 { 4 } else { 6 };
                warning!(
                    "multicast over IPv{}: not found there on the network: {}",
                    version,
                    Reason::from(&error)
                );
            }
            Err(_) => {}
        }
    }

    /// Opens the socket, which stays where it cannot join the group on each interface.
    fn open(&mut self) -> io::Result<()> {
        let socket = self.socket.insert(AsyncFd::new(MulticastSocket::open(self.version)?)?);
        let joined = self.members.iter().map(|member| socket.get_ref().join(*member));
        Ok(joined.fold(Ok(()), Result::and)?)
    }
}

/// Returns true if the server that listens there is reached on this address of the host. An address that changes every day
/// is not announced.
fn is_served(address: &HostAddress, listening: SocketAddr) -> bool {
    let ip = listening.ip().to_canonical();
    let is_any = ip.is_unspecified() && (ip.is_ipv6() || address.address.is_ipv4()) && address.is_stable;
    is_any || ip == address.address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_beyond_the_limit_wait() {
        let mut reads = ReadBudget { count: 0, since: Duration::ZERO };
        let begin = Duration::from_secs(7);
        for _ in 0..MDNS_READS {
            assert_eq!(reads.take(begin), None);
        }
        let end = begin + MDNS_READ_TIME;
        assert_eq!(reads.take(begin), Some(end));
        assert_eq!(reads.take(end - Duration::from_millis(1)), Some(end));
        assert_eq!(reads.take(end), None);
    }

    #[test]
    fn addresses_where_the_server_is_reached() {
        let address = |text: &str, is_stable| HostAddress {
            address: text.parse().unwrap(),
            prefix: 24,
            interface: 2,
            scope: 0,
            is_stable,
        };
        for (listening, text, is_stable, expected) in [
            ("0.0.0.0:1", "192.0.2.1", true, true),
            ("0.0.0.0:1", "192.0.2.1", false, false),
            ("0.0.0.0:1", "fe80::1", true, false),
            ("[::]:1", "fe80::1", true, true),
            ("[::]:1", "192.0.2.1", true, true),
            ("[::ffff:192.0.2.1]:1", "192.0.2.1", true, true),
            ("192.0.2.1:1", "192.0.2.1", false, true),
            ("192.0.2.2:1", "192.0.2.1", true, false),
            ("127.0.0.1:1", "192.0.2.1", true, false),
        ] {
            let is_served = is_served(&address(text, is_stable), listening.parse().unwrap());
            assert_eq!(is_served, expected, "{listening} {text}");
        }
    }
}
