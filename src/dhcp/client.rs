//! State machine of a client (RFC 2131, figure 5).

use core::fmt;
use core::net::Ipv4Addr;
use core::time::Duration;

use heapless::{String, Vec};

use super::packet::{ClientMessage, HARDWARE_BYTES, MessageType, ParseError, ServerMessage};
use super::{
    DHCP_BYTES, DHCP_LEASE_MIN, DHCP_RENEW_MIN, DHCP_RETRY_MAX, DHCP_RETRY_MIN, DHCP_TRIES, HOST_NAME_BYTES,
    NAMESERVERS,
};
use crate::sntp::NTP_SERVERS;

/// Address with its parameters.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Lease {
    /// Address of the host.
    pub address: Ipv4Addr,
    /// Length of the subnet prefix, 1 to 32.
    pub prefix: u8,
    /// Default gateway.
    pub gateway: Option<Ipv4Addr>,
    /// Nameservers.
    pub nameservers: Vec<Ipv4Addr, NAMESERVERS>,
    /// NTP servers.
    pub ntp: Vec<Ipv4Addr, NTP_SERVERS>,
    /// Server that granted the lease.
    pub server: Ipv4Addr,
    /// Duration from the first request on; `None` is infinite.
    pub time: Option<Duration>,
}

/// Change of the host's address.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum AddressChange {
    /// Use this lease and no other. Also returned for a renewal.
    Configure(Lease),
    /// Use no address.
    Deconfigure(LeaseEnd),
}

/// Reason for the end of a lease.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LeaseEnd {
    /// The lease expired without a renewal.
    Expired,
    /// A server sent a DHCPNAK.
    Refused,
}

/// Destination of a message, on port 67.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Destination {
    /// 255.255.255.255, out of the client's interface.
    Broadcast,
    /// Unicast to this server.
    Server(Ipv4Addr),
}

/// Reason for dropping a message. A drop is normal: broadcasts reach every client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DropReason {
    /// Not a message from a DHCP server.
    Malformed(ParseError),
    /// Reply to another client or another transaction.
    NotOurs,
    /// Message type that the current state does not accept.
    Unexpected(MessageType),
    /// Address that no host can have, or another than the requested one.
    Address,
    /// Missing server identifier, or another server than the selected one.
    Server,
    /// No lease time, one shorter than [`DHCP_LEASE_MIN`], or one that has passed.
    ShortLease,
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed(_) => "malformed",
            Self::NotOurs => "a reply to another request",
            Self::Unexpected(_) => "of an unexpected type",
            Self::Address => "an address that this host cannot have",
            Self::Server => "of another server, or of none",
            Self::ShortLease => "without a lease time, or with a short one",
        })
    }
}

/// State of the client, with the names of the RFC.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum ClientState {
    /// Without a link; a lease runs on.
    Down,
    /// Waits before it starts again.
    Init,
    Selecting,
    /// Requests the offered address.
    Requesting {
        server: Ipv4Addr,
        address: Ipv4Addr,
    },
    /// Verifies its lease after the link came back.
    Rebooting,
    Bound,
    Renewing,
    Rebinding,
}

/// Lease with its deadlines; an infinite lease has none.
#[derive(Clone, Debug)]
struct BoundLease {
    lease: Lease,
    renewal: Option<Duration>,
    rebinding: Option<Duration>,
    end: Option<Duration>,
}

/// DHCP client of one interface.
#[derive(Clone, Debug)]
pub struct Client {
    hardware: [u8; HARDWARE_BYTES],
    host_name: String<HOST_NAME_BYTES>,
    /// State of the generator of transaction numbers and jitter.
    random: u64,
    state: ClientState,
    /// Time of the next `handle_timeout`.
    deadline: Option<Duration>,
    transaction: u32,
    /// Start of this exchange.
    exchange_start: Duration,
    /// Time of the first request of this state. The lease starts here, because a late reply may be
    /// for any of several equal requests.
    first_request: Duration,
    /// Time of the newest message.
    last_sent: Duration,
    /// Messages sent without a reply.
    tries: u8,
    /// DHCPNAKs in a row.
    refusals: u8,
    bound: Option<BoundLease>,
    has_output: bool,
    change: Option<AddressChange>,
}

impl Client {
    /// Client without a link. `seed` is random, so that clients that start together do not send
    /// together.
    pub fn new(hardware: [u8; HARDWARE_BYTES], host_name: String<HOST_NAME_BYTES>, seed: u64) -> Self {
        Self {
            hardware,
            host_name,
            // The generator never leaves zero.
            random: seed | 1,
            state: ClientState::Down,
            deadline: None,
            transaction: 0,
            exchange_start: Duration::ZERO,
            first_request: Duration::ZERO,
            last_sent: Duration::ZERO,
            tries: 0,
            refusals: 0,
            bound: None,
            has_output: false,
            change: None,
        }
    }

    /// Current lease.
    pub fn lease(&self) -> Option<&Lease> {
        self.bound.as_ref().map(|bound| &bound.lease)
    }

    /// Handles a link that came up: requests the address of the last lease, or any.
    pub fn handle_link_up(&mut self, now: Duration) {
        if self.state != ClientState::Down {
            return;
        }
        if self.has_expired(now) {
            self.end_lease(LeaseEnd::Expired);
        }
        let state = if self.bound.is_some() { ClientState::Rebooting } else { ClientState::Selecting };
        self.start_exchange(state, now);
    }

    /// Handles a link that went down. The address stays until its lease expires.
    pub fn handle_link_down(&mut self) {
        self.state = ClientState::Down;
        self.has_output = false;
        self.deadline = self.bound.as_ref().and_then(|bound| bound.end);
    }

    /// Handles a datagram from port 67.
    ///
    /// # Errors
    /// Reason for dropping it.
    pub fn handle_packet(&mut self, bytes: &[u8], now: Duration) -> Result<(), DropReason> {
        let reply = ServerMessage::parse(bytes).map_err(DropReason::Malformed)?;
        if reply.transaction != self.transaction || reply.hardware != self.hardware {
            return Err(DropReason::NotOurs);
        }
        match (self.state, reply.kind) {
            (ClientState::Selecting, MessageType::Offer) => self.handle_offer(&reply, now),
            (
                ClientState::Requesting { .. }
                | ClientState::Rebooting
                | ClientState::Renewing
                | ClientState::Rebinding,
                MessageType::Ack | MessageType::Nak,
            ) => self.handle_ack_or_nak(&reply, now),
            (_, kind) => Err(DropReason::Unexpected(kind)),
        }
    }

    fn handle_offer(&mut self, reply: &ServerMessage, now: Duration) -> Result<(), DropReason> {
        if !is_host_address(reply.address) {
            return Err(DropReason::Address);
        }
        let server = reply.server.ok_or(DropReason::Server)?;
        if reply.lease.is_some_and(is_short) {
            return Err(DropReason::ShortLease);
        }
        self.state = ClientState::Requesting { server, address: reply.address };
        self.first_request = now;
        self.tries = 0;
        self.send(now);
        Ok(())
    }

    fn handle_ack_or_nak(&mut self, reply: &ServerMessage, now: Duration) -> Result<(), DropReason> {
        let (selected, requested) = match self.state {
            ClientState::Requesting { server, address } => (Some(server), Some(address)),
            _ => (None, self.lease().map(|lease| lease.address)),
        };
        let server = reply.server.ok_or(DropReason::Server)?;
        if selected.is_some_and(|selected| selected != server) {
            return Err(DropReason::Server);
        }
        if reply.kind == MessageType::Nak {
            self.end_lease(LeaseEnd::Refused);
            self.state = ClientState::Init;
            self.has_output = false;
            // The first restart is immediate, because the host has moved to another subnet. A server
            // that refuses what it offers gets fewer and fewer requests.
            let pause = match self.refusals {
                0 => Duration::ZERO,
                refusals => self.retry_pause(refusals),
            };
            self.refusals = self.refusals.saturating_add(1);
            self.deadline = Some(now + pause);
            return Ok(());
        }
        if Some(reply.address) != requested || !is_host_address(reply.address) {
            return Err(DropReason::Address);
        }
        let is_over = |seconds: &u32| self.first_request + Duration::from_secs((*seconds).into()) <= now;
        let seconds = reply.lease.filter(|seconds| !is_short(*seconds) && !is_over(seconds));
        let seconds = seconds.ok_or(DropReason::ShortLease)?;
        self.refusals = 0;
        self.bind(reply, server, seconds);
        Ok(())
    }

    /// Starts to use the lease of a DHCPACK.
    fn bind(&mut self, reply: &ServerMessage, server: Ipv4Addr, seconds: u32) {
        let time = (seconds != u32::MAX).then(|| Duration::from_secs(seconds.into()));
        let lease = Lease {
            address: reply.address,
            prefix: reply.prefix.unwrap_or_else(|| prefix_of_class(reply.address)),
            gateway: reply.router.filter(|router| is_host_address(*router)),
            nameservers: reply.nameservers.clone(),
            ntp: reply.ntp.iter().copied().filter(|server| is_host_address(*server)).collect(),
            server,
            time,
        };
        let duration = |seconds: Option<u32>| seconds.map(|seconds| Duration::from_secs(seconds.into()));
        // Times that contradict each other are replaced by those of RFC 2131, 4.4.5.
        let times = time.map(|time| match (duration(reply.renewal), duration(reply.rebinding)) {
            (Some(renewal), Some(rebinding))
                if DHCP_LEASE_MIN / 2 <= renewal && renewal < rebinding && rebinding < time =>
            {
                (renewal, rebinding, time)
            }
            _ => (time / 2, time / 8 * 7, time),
        });
        let fuzz = self.random_below(1 << 10);
        let at = |after: Duration| self.first_request + after;
        self.bound = Some(BoundLease {
            lease: lease.clone(),
            // A little early, so that boards that start together do not renew together for ever.
            renewal: times.map(|(renewal, ..)| at(renewal - renewal / 16 * fuzz / (1 << 10))),
            rebinding: times.map(|(_, rebinding, _)| at(rebinding)),
            end: times.map(|(.., end)| at(end)),
        });
        self.enter_bound();
        self.change = Some(AddressChange::Configure(lease));
    }

    /// Enters BOUND: waits for the renewal.
    fn enter_bound(&mut self) {
        self.state = ClientState::Bound;
        self.has_output = false;
        self.deadline = self.bound.as_ref().and_then(|bound| bound.renewal);
    }

    /// Handles the deadlines up to `now`.
    pub fn handle_timeout(&mut self, now: Duration) {
        if self.deadline.is_none_or(|deadline| now < deadline) {
            return;
        }
        if self.has_expired(now) {
            self.end_lease(LeaseEnd::Expired);
            match self.state {
                ClientState::Down => self.deadline = None,
                _ => self.start_exchange(ClientState::Selecting, now),
            }
            return;
        }
        let rebinding = self.bound.as_ref().and_then(|bound| bound.rebinding);
        let is_rebinding = rebinding.is_some_and(|rebinding| now >= rebinding);
        match self.state {
            ClientState::Down => {}
            ClientState::Init => self.start_exchange(ClientState::Selecting, now),
            ClientState::Selecting | ClientState::Rebinding => self.send(now),
            ClientState::Requesting { .. } if self.tries >= DHCP_TRIES => {
                self.start_exchange(ClientState::Selecting, now);
            }
            // RFC 2131, 3.2: without a reply the rest of the lease may be used.
            ClientState::Rebooting if self.tries >= DHCP_TRIES => self.enter_bound(),
            ClientState::Requesting { .. } | ClientState::Rebooting => self.send(now),
            ClientState::Bound | ClientState::Renewing if is_rebinding => {
                self.start_exchange(ClientState::Rebinding, now);
            }
            ClientState::Bound => self.start_exchange(ClientState::Renewing, now),
            ClientState::Renewing => self.send(now),
        }
    }

    /// Next message to send, if any.
    pub fn poll_output<'b>(&mut self, buffer: &'b mut [u8; DHCP_BYTES]) -> Option<(&'b [u8], Destination)> {
        if !core::mem::take(&mut self.has_output) {
            return None;
        }
        let request = MessageType::Request;
        let lease = self.lease().map(|lease| (lease.address, lease.server));
        let (kind, address, requested, server, destination) = match (self.state, lease) {
            (ClientState::Selecting, _) => (MessageType::Discover, None, None, None, Destination::Broadcast),
            (ClientState::Requesting { server, address }, _) => {
                (request, None, Some(address), Some(server), Destination::Broadcast)
            }
            (ClientState::Rebooting, Some((address, _))) => {
                (request, None, Some(address), None, Destination::Broadcast)
            }
            (ClientState::Renewing, Some((address, server))) => {
                (request, Some(address), None, None, Destination::Server(server))
            }
            (ClientState::Rebinding, Some((address, _))) => {
                (request, Some(address), None, None, Destination::Broadcast)
            }
            _ => return None,
        };
        let elapsed = self.last_sent.saturating_sub(self.exchange_start);
        let message = ClientMessage {
            kind,
            transaction: self.transaction,
            seconds: u16::try_from(elapsed.as_secs()).unwrap_or(u16::MAX),
            hardware: self.hardware,
            address,
            requested,
            server,
            host_name: &self.host_name,
        };
        Some((message.write(buffer), destination))
    }

    /// Pending change of the host's address, if any.
    pub fn poll_change(&mut self) -> Option<AddressChange> {
        self.change.take()
    }

    /// Deadline of the next [`handle_timeout`](Self::handle_timeout).
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.deadline
    }

    /// Starts an exchange with a new transaction number.
    fn start_exchange(&mut self, state: ClientState, now: Duration) {
        self.state = state;
        self.transaction = self.random_below(u32::MAX);
        self.exchange_start = now;
        self.first_request = now;
        self.tries = 0;
        self.send(now);
    }

    /// Queues the message of this state and sets the time of its repetition.
    fn send(&mut self, now: Duration) {
        self.has_output = true;
        self.last_sent = now;
        self.tries = self.tries.saturating_add(1);
        let bound = self.bound.as_ref();
        let end = bound.and_then(|bound| bound.end);
        let half_of = |end: Duration| now + (end.saturating_sub(now) / 2).max(DHCP_RENEW_MIN);
        self.deadline = match self.state {
            ClientState::Renewing => bound.and_then(|bound| bound.rebinding).map(|end| half_of(end).min(end)),
            ClientState::Rebinding => end.map(|end| half_of(end).min(end)),
            _ => {
                let next = now + self.retry_pause(self.tries);
                Some(end.map_or(next, |end| next.min(end)))
            }
        };
    }

    /// Pause after the given number of tries: it doubles each time, with a jitter of one second.
    fn retry_pause(&mut self, tries: u8) -> Duration {
        let doubled = DHCP_RETRY_MIN * (1 << u32::from(tries.saturating_sub(1)).min(16));
        let jitter = Duration::from_millis(self.random_below(2001).into());
        doubled.min(DHCP_RETRY_MAX) + jitter - Duration::from_secs(1)
    }

    fn has_expired(&self, now: Duration) -> bool {
        self.bound.as_ref().and_then(|bound| bound.end).is_some_and(|end| now >= end)
    }

    fn end_lease(&mut self, reason: LeaseEnd) {
        if self.bound.take().is_some() {
            self.change = Some(AddressChange::Deconfigure(reason));
        }
    }

    /// Random number below `limit` (xorshift64*, Vigna 2016). It differs between boards; it is not
    /// for secrets.
    fn random_below(&mut self, limit: u32) -> u32 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        let high = self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        // The upper half of the product of two 32-bit numbers fits 32 bits, and is below `limit`.
        ((high * u64::from(limit)) >> 32) as u32
    }
}

/// Returns true if a lease is too short to renew in time.
fn is_short(seconds: u32) -> bool {
    Duration::from_secs(seconds.into()) < DHCP_LEASE_MIN
}

/// Returns true if a single host can have this address.
fn is_host_address(address: Ipv4Addr) -> bool {
    (1..224).contains(&address.octets()[0]) && !address.is_loopback()
}

/// Prefix length of an address without a subnet mask: that of its class (RFC 950).
fn prefix_of_class(address: Ipv4Addr) -> u8 {
    match address.octets()[0] {
        0..128 => 8,
        128..192 => 16,
        _ => 24,
    }
}

#[cfg(test)]
mod tests;
