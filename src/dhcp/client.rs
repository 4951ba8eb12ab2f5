//! The state machine of RFC 2131, figure 5.

use core::net::Ipv4Addr;
use core::time::Duration;

use heapless::{String, Vec};

use super::packet::{HARDWARE_BYTES, Kind, ParseError, Reply, Request};
use crate::dhcp::{
    DHCP_BYTES, DHCP_LEASE_MIN, DHCP_RENEW_MIN, DHCP_RETRY_MAX, DHCP_RETRY_MIN, DHCP_TRIES, HOST_NAME_BYTES,
    NAMESERVERS,
};

/// An address, and what goes with it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Lease {
    /// The host's address.
    pub address: Ipv4Addr,
    /// Bits of it that are the network's, 1 to 32.
    pub prefix: u8,
    /// Where everything goes that is not for this network.
    pub gateway: Option<Ipv4Addr>,
    /// Whom to ask for names.
    pub nameservers: Vec<Ipv4Addr, NAMESERVERS>,
    /// Who gave it.
    pub server: Ipv4Addr,
    /// For how long, from the message on that asked for it; none: for ever.
    pub time: Option<Duration>,
}

/// What to do about the host's address.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Action {
    /// Use this one from now on, and no other. Also told when a lease is renewed.
    Configure(Lease),
    /// Use none.
    Deconfigure(Lost),
}

/// Why an address may not be used any more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Lost {
    /// The lease ended, and nobody renewed it.
    Expired,
    /// A server refused it.
    Refused,
}

/// Where a message goes, to port 67.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Destination {
    /// 255.255.255.255, out of the client's interface.
    Broadcast,
    /// This server.
    Server(Ipv4Addr),
}

/// Why a message was left alone. That is no fault: a broadcast is heard by all.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ignored {
    /// It is no message of a DHCP server.
    Malformed(ParseError),
    /// It answers another client or another question.
    NotOurs,
    /// It is none that is waited for now.
    Unexpected(Kind),
    /// It has no address that a host can have, or another than the one asked for.
    Address,
    /// It does not say who sent it, or another sent it than the one asked.
    Server,
    /// It has no lease, or one shorter than [`DHCP_LEASE_MIN`], or one that has ended by now.
    ShortLease,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// There is no link; a lease goes on.
    Down,
    /// Begins when its time comes.
    Init,
    Selecting,
    /// This server offered this address.
    Requesting(Ipv4Addr, Ipv4Addr),
    /// The link is back: is the lease still good? (INIT-REBOOT in the RFC.)
    Rebooting,
    Bound,
    Renewing,
    Rebinding,
}

/// A lease with its times on the clock; none: never.
#[derive(Clone, Debug)]
struct Held {
    lease: Lease,
    renewal: Option<Duration>,
    rebinding: Option<Duration>,
    end: Option<Duration>,
}

/// A client for one interface.
#[derive(Clone, Debug)]
pub struct Client {
    hardware: [u8; HARDWARE_BYTES],
    host_name: String<HOST_NAME_BYTES>,
    /// State of the generator of transaction numbers and jitter.
    random: u64,
    state: State,
    /// When `handle_timeout` has something to do.
    deadline: Option<Duration>,
    transaction: u32,
    /// When this exchange began.
    began: Duration,
    /// When what is waited for was first asked. A lease counts from here: which of several equal
    /// messages a late answer is for nobody can tell.
    asked: Duration,
    /// When the newest message was sent.
    sent: Duration,
    /// Messages sent without an answer.
    tries: u8,
    /// Refusals in a row.
    refusals: u8,
    held: Option<Held>,
    is_output: bool,
    action: Option<Action>,
}

impl Client {
    /// A client without a link. `seed` is random: clients that start at once must not speak at once.
    pub fn new(hardware: [u8; HARDWARE_BYTES], host_name: &str, seed: u64) -> Self {
        Self {
            hardware,
            host_name: String::try_from(host_name).unwrap_or_default(),
            // The generator stays at zero once it is there.
            random: seed | 1,
            state: State::Down,
            deadline: None,
            transaction: 0,
            began: Duration::ZERO,
            asked: Duration::ZERO,
            sent: Duration::ZERO,
            tries: 0,
            refusals: 0,
            held: None,
            is_output: false,
            action: None,
        }
    }

    /// The lease in force.
    pub fn lease(&self) -> Option<&Lease> {
        self.held.as_ref().map(|held| &held.lease)
    }

    /// The link is there: asks for an address, the one of before if there is one.
    pub fn handle_link_up(&mut self, now: Duration) {
        if self.state != State::Down {
            return;
        }
        if self.has_ended(now) {
            self.lose(Lost::Expired);
        }
        let state = if self.held.is_some() { State::Rebooting } else { State::Selecting };
        self.begin(state, now);
    }

    /// The link is gone. An address is kept until its lease ends.
    pub fn handle_link_down(&mut self) {
        self.state = State::Down;
        self.is_output = false;
        self.deadline = self.held.as_ref().and_then(|held| held.end);
    }

    /// A datagram came from port 67.
    ///
    /// # Errors
    /// Why it was left alone.
    pub fn handle_packet(&mut self, bytes: &[u8], now: Duration) -> Result<(), Ignored> {
        let reply = Reply::parse(bytes).map_err(Ignored::Malformed)?;
        if reply.transaction != self.transaction || reply.hardware != self.hardware {
            return Err(Ignored::NotOurs);
        }
        match (self.state, reply.kind) {
            (State::Selecting, Kind::Offer) => self.take_offer(&reply, now),
            (
                State::Requesting(..) | State::Rebooting | State::Renewing | State::Rebinding,
                Kind::Ack | Kind::Nak,
            ) => self.take_answer(&reply, now),
            (_, kind) => Err(Ignored::Unexpected(kind)),
        }
    }

    fn take_offer(&mut self, reply: &Reply, now: Duration) -> Result<(), Ignored> {
        if !is_of_a_host(reply.address) {
            return Err(Ignored::Address);
        }
        let server = reply.server.ok_or(Ignored::Server)?;
        if reply.lease.is_some_and(is_short) {
            return Err(Ignored::ShortLease);
        }
        self.state = State::Requesting(server, reply.address);
        self.asked = now;
        self.tries = 0;
        self.send(now);
        Ok(())
    }

    fn take_answer(&mut self, reply: &Reply, now: Duration) -> Result<(), Ignored> {
        let (asked, wanted) = match self.state {
            State::Requesting(server, address) => (Some(server), Some(address)),
            _ => (None, self.lease().map(|lease| lease.address)),
        };
        let server = reply.server.ok_or(Ignored::Server)?;
        if asked.is_some_and(|asked| asked != server) {
            return Err(Ignored::Server);
        }
        if reply.kind == Kind::Nak {
            self.lose(Lost::Refused);
            self.state = State::Init;
            self.is_output = false;
            // At once for the first time: the host is in another net than before. A server that
            // offers what it then refuses is asked less and less.
            let pause = match self.refusals {
                0 => Duration::ZERO,
                refusals => self.pause(refusals),
            };
            self.refusals = self.refusals.saturating_add(1);
            self.deadline = Some(now + pause);
            return Ok(());
        }
        if Some(reply.address) != wanted || !is_of_a_host(reply.address) {
            return Err(Ignored::Address);
        }
        let is_over = |seconds: &u32| self.asked + Duration::from_secs((*seconds).into()) <= now;
        let seconds = reply.lease.filter(|seconds| !is_short(*seconds) && !is_over(seconds));
        let seconds = seconds.ok_or(Ignored::ShortLease)?;
        self.refusals = 0;
        self.bind(reply, server, seconds);
        Ok(())
    }

    /// Takes the lease of this answer.
    fn bind(&mut self, reply: &Reply, server: Ipv4Addr, seconds: u32) {
        let time = (seconds != u32::MAX).then(|| Duration::from_secs(seconds.into()));
        let lease = Lease {
            address: reply.address,
            prefix: reply.prefix.unwrap_or_else(|| prefix_of_class(reply.address)),
            gateway: reply.router.filter(|router| is_of_a_host(*router)),
            nameservers: reply.nameservers.clone(),
            server,
            time,
        };
        let asked = |seconds: Option<u32>| seconds.map(|seconds| Duration::from_secs(seconds.into()));
        // RFC 2131, 4.4.5, where the server's own make no sense.
        let times = time.map(|time| match (asked(reply.renewal), asked(reply.rebinding)) {
            (Some(renewal), Some(rebinding))
                if DHCP_LEASE_MIN / 2 <= renewal && renewal < rebinding && rebinding < time =>
            {
                (renewal, rebinding, time)
            }
            _ => (time / 2, time / 8 * 7, time),
        });
        let fuzz = self.random_below(1 << 10);
        let at = |after: Duration| self.asked + after;
        self.held = Some(Held {
            lease: lease.clone(),
            // A little early, so that boards which start together do not renew together for ever.
            renewal: times.map(|(renewal, ..)| at(renewal - renewal / 16 * fuzz / (1 << 10))),
            rebinding: times.map(|(_, rebinding, _)| at(rebinding)),
            end: times.map(|(.., end)| at(end)),
        });
        self.rest();
        self.action = Some(Action::Configure(lease));
    }

    /// Waits until the lease is to be renewed.
    fn rest(&mut self) {
        self.state = State::Bound;
        self.is_output = false;
        self.deadline = self.held.as_ref().and_then(|held| held.renewal);
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Duration) {
        if self.deadline.is_none_or(|deadline| now < deadline) {
            return;
        }
        if self.has_ended(now) {
            self.lose(Lost::Expired);
            match self.state {
                State::Down => self.deadline = None,
                _ => self.begin(State::Selecting, now),
            }
            return;
        }
        let rebinding = self.held.as_ref().and_then(|held| held.rebinding);
        let is_rebinding = rebinding.is_some_and(|rebinding| now >= rebinding);
        match self.state {
            State::Down => {}
            State::Init => self.begin(State::Selecting, now),
            State::Selecting | State::Rebinding => self.send(now),
            State::Requesting(..) if self.tries >= DHCP_TRIES => self.begin(State::Selecting, now),
            // RFC 2131, 3.2: the rest of the lease may be used when nobody answers.
            State::Rebooting if self.tries >= DHCP_TRIES => self.rest(),
            State::Requesting(..) | State::Rebooting => self.send(now),
            State::Bound | State::Renewing if is_rebinding => self.begin(State::Rebinding, now),
            State::Bound => self.begin(State::Renewing, now),
            State::Renewing => self.send(now),
        }
    }

    /// The next message to send, if there is one.
    pub fn poll_output<'b>(&mut self, buffer: &'b mut [u8; DHCP_BYTES]) -> Option<(&'b [u8], Destination)> {
        if !core::mem::take(&mut self.is_output) {
            return None;
        }
        let used = self.lease().map(|lease| (lease.address, lease.server));
        let (kind, address, requested, server, destination) = match (self.state, used) {
            (State::Selecting, _) => (Kind::Discover, None, None, None, Destination::Broadcast),
            (State::Requesting(server, address), _) => {
                (Kind::Request, None, Some(address), Some(server), Destination::Broadcast)
            }
            (State::Rebooting, Some((address, _))) => {
                (Kind::Request, None, Some(address), None, Destination::Broadcast)
            }
            (State::Renewing, Some((address, server))) => {
                (Kind::Request, Some(address), None, None, Destination::Server(server))
            }
            (State::Rebinding, Some((address, _))) => {
                (Kind::Request, Some(address), None, None, Destination::Broadcast)
            }
            _ => return None,
        };
        let request = Request {
            kind,
            transaction: self.transaction,
            seconds: u16::try_from(self.sent.saturating_sub(self.began).as_secs()).unwrap_or(u16::MAX),
            hardware: self.hardware,
            address,
            requested,
            server,
            host_name: &self.host_name,
        };
        Some((request.write(buffer), destination))
    }

    /// What is to be done about the address, if anything.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.action.take()
    }

    /// Call [`handle_timeout`](Self::handle_timeout) no later than this.
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.deadline
    }

    /// Starts an exchange.
    fn begin(&mut self, state: State, now: Duration) {
        self.state = state;
        self.transaction = self.random_below(u32::MAX);
        self.began = now;
        self.asked = now;
        self.tries = 0;
        self.send(now);
    }

    /// Sends the message of this state, and says when it is sent again.
    fn send(&mut self, now: Duration) {
        self.is_output = true;
        self.sent = now;
        self.tries = self.tries.saturating_add(1);
        let held = self.held.as_ref();
        let end = held.and_then(|held| held.end);
        let half_of = |end: Duration| now + (end.saturating_sub(now) / 2).max(DHCP_RENEW_MIN);
        self.deadline = match self.state {
            State::Renewing => held.and_then(|held| held.rebinding).map(|end| half_of(end).min(end)),
            State::Rebinding => end.map(|end| half_of(end).min(end)),
            _ => {
                let next = now + self.pause(self.tries);
                Some(end.map_or(next, |end| next.min(end)))
            }
        };
    }

    /// The pause before the message after this many: doubled each time, and a second more or less.
    fn pause(&mut self, tries: u8) -> Duration {
        let doubled = DHCP_RETRY_MIN * (1 << u32::from(tries.saturating_sub(1)).min(16));
        let jitter = Duration::from_millis(self.random_below(2001).into());
        doubled.min(DHCP_RETRY_MAX) + jitter - Duration::from_secs(1)
    }

    fn has_ended(&self, now: Duration) -> bool {
        self.held.as_ref().and_then(|held| held.end).is_some_and(|end| now >= end)
    }

    fn lose(&mut self, why: Lost) {
        if self.held.take().is_some() {
            self.action = Some(Action::Deconfigure(why));
        }
    }

    /// A number below `limit` (xorshift64*, Vigna 2016): it has to differ between boards, no more.
    fn random_below(&mut self, limit: u32) -> u32 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        let high = self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        // The product of two numbers of 32 bits, its upper half: below `limit`.
        u32::try_from((high * u64::from(limit)) >> 32).unwrap_or(0)
    }
}

/// Whether a lease of so many seconds would have to be renewed all the time.
fn is_short(seconds: u32) -> bool {
    Duration::from_secs(seconds.into()) < DHCP_LEASE_MIN
}

/// Whether one host can have this address.
fn is_of_a_host(address: Ipv4Addr) -> bool {
    (1..224).contains(&address.octets()[0]) && !address.is_loopback()
}

/// The net of an address whose server did not tell it (RFC 950): by its class.
fn prefix_of_class(address: Ipv4Addr) -> u8 {
    match address.octets()[0] {
        0..128 => 8,
        128..192 => 16,
        _ => 24,
    }
}

#[cfg(test)]
mod tests;
