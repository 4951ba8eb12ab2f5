//! NTP over UDP: a socket for each request, and the [`Client`] that decides.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use rustix::fd::{AsFd as _, BorrowedFd};

use super::{BUILT_UNIX_S, NETWORK_STEPS, random};
use crate::log::console::{debug, warning};
use crate::sntp::{Client, Failure, MESSAGE_BYTES, Reading, Rejection, SERVER_PORT};
use crate::wall_clock;

/// Asks the NTP servers of the network for the time. It never blocks, and allocates nothing.
///
/// Call [`handle_ready`](Self::handle_ready) when [`fd`](Self::fd) is readable, when the servers change, and no later
/// than [`poll_timeout`](Self::poll_timeout).
#[derive(Debug)]
pub struct NtpManager {
    client: Client,
    /// Connected to the server that was asked. A socket of its own for each request has another port each time, which
    /// a forger has to guess.
    socket: Option<UdpSocket>,
}

impl NtpManager {
    /// Manager without servers.
    #[expect(clippy::new_without_default, reason = "made once, by process 1")]
    pub fn new() -> Self {
        Self { client: Client::new(BUILT_UNIX_S), socket: None }
    }

    /// Descriptor that is readable when there is a reply. There is one between a request and its reply.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.socket.as_ref().map(UdpSocket::as_fd)
    }

    /// Time since start of the next [`handle_ready`](Self::handle_ready).
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.client.poll_timeout()
    }

    /// Handles a reply and deadlines at `now`, the time since start, with the servers that the network has now.
    pub fn handle_ready(&mut self, servers: &[Ipv4Addr], now: Duration) -> Option<Reading> {
        self.client.handle_servers(servers, now);
        let reading = self.receive(now);
        while self.client.poll_timeout().is_some_and(|at| at <= now) {
            // Not zero either on a kernel that has no random numbers yet.
            self.client.handle_timeout(now, random::seed() ^ u64::from(now.subsec_nanos()));
            self.send(now);
        }
        if !self.client.awaits_reply() {
            self.socket = None;
        }
        if let Some((server, failure)) = self.client.poll_failure() {
            warning!("NTP server {}: {}", server, FailureText(failure));
        }
        reading
    }

    fn receive(&mut self, now: Duration) -> Option<Reading> {
        let socket = self.socket.as_ref()?;
        let mut buffer = [0; MESSAGE_BYTES];
        for _ in 0..NETWORK_STEPS {
            match socket.recv(&mut buffer) {
                Ok(len) => {
                    let bytes = buffer.get(..len).unwrap_or_default();
                    let reading = self.client.handle_packet(bytes, now, wall_clock::now());
                    if reading.is_some() || !self.client.awaits_reply() {
                        return reading;
                    }
                    debug!("dropped a datagram that is not the reply of an NTP server");
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => {
                    self.client.handle_unreachable(now);
                    break;
                }
            }
        }
        None
    }

    fn send(&mut self, now: Duration) {
        let Some((server, bytes)) = self.client.poll_request() else { return };
        let open = || -> io::Result<UdpSocket> {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
            socket.set_nonblocking(true)?;
            socket.connect((server, SERVER_PORT))?;
            socket.send(&bytes)?;
            Ok(socket)
        };
        self.socket = open().ok();
        if self.socket.is_none() {
            self.client.handle_unreachable(now);
        }
    }
}

/// Failure of a server, for log lines.
struct FailureText(Failure);

impl fmt::Display for FailureText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Failure::Silent => f.write_str("no reply"),
            Failure::Unreachable => f.write_str("cannot be reached"),
            Failure::Rejected(Rejection::NotOurs) => f.write_str("not a reply to the request"),
            Failure::Rejected(Rejection::Unsynchronised) => f.write_str("is not synchronised"),
            Failure::Rejected(Rejection::BeforeBuild) => f.write_str("has a time before the build"),
            Failure::Rejected(Rejection::Kiss(code)) => write!(f, "refuses: {}", code.escape_ascii()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_as_text() {
        let text = |failure| FailureText(failure).to_string();
        assert_eq!(text(Failure::Silent), "no reply");
        assert_eq!(text(Failure::Rejected(Rejection::Kiss(*b"DENY"))), "refuses: DENY");
        assert_eq!(text(Failure::Rejected(Rejection::Kiss(*b"\x1b[\n\xff"))), "refuses: \\x1b[\\n\\xff");
    }

    #[test]
    fn socket_lives_from_request_to_failure() {
        crate::log::set_level(crate::log::Level::Off);
        let mut manager = NtpManager::new();
        let mut now = Duration::from_secs(5);
        assert_eq!((manager.poll_timeout(), manager.fd().is_some()), (None, false));
        // Nothing listens there, and the kernel reports it.
        let servers = [Ipv4Addr::new(127, 127, 0, 1)];
        manager.handle_ready(&servers, now);
        assert!(manager.fd().is_some());
        let mut fd =
            [rustix::event::PollFd::from_borrowed_fd(manager.fd().unwrap(), rustix::event::PollFlags::IN)];
        rustix::event::poll(&mut fd, None).unwrap();
        now += Duration::from_millis(1);
        assert_eq!(manager.handle_ready(&servers, now), None);
        assert_eq!(
            (manager.fd().is_some(), manager.poll_timeout()),
            (false, Some(now + crate::sntp::NTP_RETRY_MIN))
        );
        manager.handle_ready(&[], now);
        assert_eq!(manager.poll_timeout(), None);
    }
}
