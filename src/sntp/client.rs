//! State machine of the client.

use core::net::Ipv4Addr;
use core::time::Duration;

use heapless::Vec;

use super::packet::{MESSAGE_BYTES, Rejection, Reply, request};
use super::{NTP_POLL_MAX, NTP_POLL_MIN, NTP_RETRY_MAX, NTP_RETRY_MIN, NTP_SERVERS, NTP_STEP, NTP_TIMEOUT};

/// Kiss codes after which a server must not be asked again (RFC 5905, 7.4).
const DENIALS: [&[u8; 4]; 2] = [b"DENY", b"RSTR"];

/// Correction that the clock needs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Correction {
    /// The clock is off by [`NTP_STEP`] or more: set it to this time since 1970.
    Step(Duration),
    /// The clock is off by less: adjust it by these nanoseconds.
    Adjust(i32),
}

/// Result of a reply.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Reading {
    /// Server that sent it.
    pub server: Ipv4Addr,
    /// Correction that the clock needs.
    pub correction: Correction,
    /// Time until the next request.
    pub interval: Duration,
}

/// Failure of a server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Failure {
    /// No reply within [`NTP_TIMEOUT`].
    Silent,
    /// The request could not be sent, or the host has no such server.
    Unreachable,
    /// Its reply was rejected.
    Rejected(Rejection),
}

#[derive(Clone, Copy, Debug)]
struct Server {
    address: Ipv4Addr,
    /// It must not be asked again.
    is_denied: bool,
    /// Its failure has been reported.
    is_failing: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum ClientState {
    /// Waits for the next request; without a deadline, until the servers change.
    Waiting,
    /// Waits for the reply to this random number, sent at this time.
    Asked { nonce: u64, at: Duration, is_sent: bool },
}

/// SNTP client of a board. It asks one server at a time, and the next one when that fails.
#[derive(Clone, Debug)]
pub struct Client {
    /// Time of the build in seconds since 1970.
    built: u64,
    servers: Vec<Server, NTP_SERVERS>,
    /// Index of the server that is asked now or next.
    current: usize,
    state: ClientState,
    deadline: Option<Duration>,
    /// Time of the newest request.
    last_sent: Option<Duration>,
    /// Pause after all servers have failed.
    retry: Duration,
    /// Pause after a reply.
    interval: Duration,
    failure: Option<(Ipv4Addr, Failure)>,
}

impl Client {
    /// Client without servers. `built` is the time of the build in seconds since 1970.
    pub fn new(built: u64) -> Self {
        Self {
            built,
            servers: Vec::new(),
            current: 0,
            state: ClientState::Waiting,
            deadline: None,
            last_sent: None,
            retry: NTP_RETRY_MIN,
            interval: NTP_POLL_MIN,
            failure: None,
        }
    }

    /// Handles the servers that the network has now: none without a network. Others than before are asked at once,
    /// but not sooner than [`NTP_RETRY_MIN`] after the last request.
    pub fn handle_servers(&mut self, servers: &[Ipv4Addr], now: Duration) {
        if self.servers.iter().map(|server| server.address).eq(servers.iter().take(NTP_SERVERS).copied()) {
            return;
        }
        let new = |address: &Ipv4Addr| Server { address: *address, is_denied: false, is_failing: false };
        self.servers = servers.iter().take(NTP_SERVERS).map(new).collect();
        self.current = 0;
        self.state = ClientState::Waiting;
        self.retry = NTP_RETRY_MIN;
        self.interval = NTP_POLL_MIN;
        let earliest = self.last_sent.map_or(now, |sent| sent + NTP_RETRY_MIN);
        self.deadline = (!self.servers.is_empty()).then(|| earliest.max(now));
    }

    /// Handles the deadline, if it has passed. `random` is a number that others cannot guess.
    pub fn handle_timeout(&mut self, now: Duration, random: u64) {
        if self.deadline.is_none_or(|deadline| now < deadline) {
            return;
        }
        match self.state {
            ClientState::Asked { .. } => self.fail(Failure::Silent, now),
            ClientState::Waiting => {
                self.state = ClientState::Asked { nonce: random, at: now, is_sent: false };
                self.last_sent = Some(now);
                self.deadline = Some(now + NTP_TIMEOUT);
            }
        }
    }

    /// Next request to send, if any, and the address of its server.
    pub fn poll_request(&mut self) -> Option<(Ipv4Addr, [u8; MESSAGE_BYTES])> {
        let server = self.servers.get(self.current)?;
        match &mut self.state {
            ClientState::Asked { nonce, is_sent, .. } if !*is_sent => {
                *is_sent = true;
                Some((server.address, request(*nonce)))
            }
            _ => None,
        }
    }

    /// Returns true between a request and its reply.
    pub fn awaits_reply(&self) -> bool {
        self.state != ClientState::Waiting
    }

    /// Handles a datagram from the server that was asked. `clock` is the time since 1970 on the clock of the board.
    /// Datagrams that are not the reply to the last request are ignored.
    pub fn handle_packet(&mut self, bytes: &[u8], now: Duration, clock: Duration) -> Option<Reading> {
        let ClientState::Asked { nonce, at, .. } = self.state else { return None };
        let reply = match Reply::parse(bytes, nonce, self.built) {
            Ok(reply) => reply,
            Err(Rejection::NotOurs) => return None,
            Err(rejection) => {
                self.handle_rejection(rejection);
                self.fail(Failure::Rejected(rejection), now);
                return None;
            }
        };
        let server = self.servers.get_mut(self.current)?;
        server.is_failing = false;
        // Half of the way is assumed to be the way back.
        let way_back = now.saturating_sub(at).saturating_sub(reply.processing) / 2;
        let correction = correction(reply.sent + way_back, clock);
        self.interval = match correction {
            Correction::Step(_) => NTP_POLL_MIN,
            Correction::Adjust(_) => self.interval,
        };
        let reading = Reading { server: server.address, correction, interval: self.interval };
        self.state = ClientState::Waiting;
        self.retry = NTP_RETRY_MIN;
        // A little early, so that boards that start together do not ask together for ever.
        let early = self.interval / 16 * (nonce as u8).into() / 256;
        self.deadline = Some(now + self.interval - early);
        self.interval = (2 * self.interval).min(NTP_POLL_MAX);
        Some(reading)
    }

    /// Handles a request that could not be sent, or that the host rejected.
    pub fn handle_unreachable(&mut self, now: Duration) {
        if self.awaits_reply() {
            self.fail(Failure::Unreachable, now);
        }
    }

    /// First failure of a server since its last reply.
    pub fn poll_failure(&mut self) -> Option<(Ipv4Addr, Failure)> {
        self.failure.take()
    }

    /// Time of the next [`handle_timeout`](Self::handle_timeout).
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.deadline
    }

    fn handle_rejection(&mut self, rejection: Rejection) {
        let Rejection::Kiss(code) = rejection else { return };
        if DENIALS.contains(&&code) {
            self.servers.get_mut(self.current).into_iter().for_each(|server| server.is_denied = true);
        } else if &code == b"RATE" {
            self.retry = NTP_RETRY_MAX;
        }
    }

    /// Goes on to the next server: at once, or after a pause if the others have failed, too.
    fn fail(&mut self, failure: Failure, now: Duration) {
        self.state = ClientState::Waiting;
        if let Some(server) = self.servers.get_mut(self.current)
            && !core::mem::replace(&mut server.is_failing, true)
        {
            self.failure = Some((server.address, failure));
        }
        let is_usable = |index: &usize| self.servers.get(*index).is_some_and(|server| !server.is_denied);
        let next = (self.current + 1..self.servers.len()).find(is_usable);
        self.deadline = match next.or_else(|| (0..self.servers.len()).find(is_usable)) {
            None => None,
            Some(index) => {
                self.current = index;
                let pause = if next.is_some() { Duration::ZERO } else { self.retry };
                if next.is_none() {
                    self.retry = (2 * self.retry).min(NTP_RETRY_MAX);
                }
                Some(now + pause)
            }
        };
    }
}

/// Correction of a clock that shows `clock` instead of `time`.
fn correction(time: Duration, clock: Duration) -> Correction {
    let error = time.abs_diff(clock);
    if error >= NTP_STEP {
        return Correction::Step(time);
    }
    // Less than a second.
    let nanoseconds = error.subsec_nanos().cast_signed();
    Correction::Adjust(if time < clock { -nanoseconds } else { nanoseconds })
}

#[cfg(test)]
mod tests;
