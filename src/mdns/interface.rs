//! Interface of the host, and what the responder does there next.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use heapless::Vec;

use super::names::{A, AAAA, ALL, Set};
use super::packet::{NONE, Octets};
use super::{MDNS_ADDRESSES, MDNS_PAUSE};

/// Time since the start in milliseconds, which takes less code than a `Duration`.
pub(super) type Millis = u64;

/// No time.
pub(super) const NEVER: Millis = Millis::MAX;
/// See [`MDNS_PAUSE`].
pub(super) const PAUSE: Millis = MDNS_PAUSE.as_millis() as Millis;
/// Probes, and their distance (RFC 6762, 8.1).
const PROBES: u8 = 3;
pub(super) const PROBE_PAUSE: Millis = 250;
/// Announcements, and their distance (8.3).
const ANNOUNCEMENTS: u8 = 2;
const ANNOUNCE_PAUSE: Millis = 1000;

pub(super) fn millis(time: Duration) -> Millis {
    time.as_secs() * 1000 + Millis::from(time.subsec_millis())
}

/// Interface of the host, with its addresses.
#[derive(Clone, Debug)]
pub struct Interface {
    pub(super) index: u32,
    pub(super) addresses: Vec<Address, { 2 * MDNS_ADDRESSES }>,
    pub(super) link: Link,
}

pub(super) fn octets(ip: IpAddr) -> Octets {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

/// Address of an interface.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Address {
    pub(super) octets: Octets,
    prefix: u32,
    is_v4: bool,
    is_served: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Phase {
    /// The names may be those of another host.
    Probing,
    Announcing,
    Established,
}

/// Message that is due.
pub(super) enum Due {
    Probe,
    Response(Set),
}

/// State on one interface.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub(super) phase: Phase,
    /// Messages of the phase that were sent.
    pub(super) sent: u8,
    /// Time of the next one.
    due: Millis,
    /// Records to be multicast as an answer, and the time of that.
    pub(super) answers: Set,
    answers_due: Millis,
    /// Time of the last response.
    last: Millis,
}

impl Link {
    pub(super) fn begin(&mut self, phase: Phase, due: Millis) {
        (self.phase, self.sent, self.due) = (phase, 0, due);
        (self.answers, self.answers_due) = (0, NEVER);
    }

    /// Adds records to the next answer, which is due no later than this, and at least so long after the last response.
    pub(super) fn answer(&mut self, records: Set, due: Millis, pause: Millis) {
        self.answers |= records;
        self.answers_due = self.answers_due.min(due.max(self.last + pause));
    }

    /// Takes the next message if it is due.
    pub(super) fn take_due(&mut self, now: Millis) -> Option<Due> {
        if self.due <= now {
            if self.phase == Phase::Probing && self.sent == PROBES {
                self.begin(Phase::Announcing, now);
            }
            self.sent += 1;
            if self.phase == Phase::Probing {
                self.due = now + PROBE_PAUSE;
                return Some(Due::Probe);
            }
            self.due = now + ANNOUNCE_PAUSE;
            if self.sent == ANNOUNCEMENTS {
                (self.phase, self.due) = (Phase::Established, NEVER);
            }
            self.answers = ALL;
            self.answers_due = now;
        }
        if self.answers_due > now {
            return None;
        }
        (self.answers_due, self.last) = (NEVER, now);
        Some(Due::Response(core::mem::take(&mut self.answers)))
    }

    /// Time of the next [`take_due`](Self::take_due).
    pub(super) fn next(&self) -> Millis {
        self.due.min(self.answers_due)
    }
}

impl Address {
    /// Address with the length of its prefix. `is_served`: the server is reached there.
    pub fn new(ip: IpAddr, prefix: u8, is_served: bool) -> Self {
        let is_v4 = ip.is_ipv4();
        Self { octets: octets(ip), prefix: u32::from(prefix) + if is_v4 { 96 } else { 0 }, is_v4, is_served }
    }

    /// Data of its record.
    pub(super) fn data(&self) -> &[u8] {
        self.octets.get(if self.is_v4 { 12 } else { 0 }..).unwrap_or_default()
    }

    /// Returns true if another address is in its subnet.
    fn contains(&self, other: &Octets) -> bool {
        let differs = u128::from_be_bytes(self.octets) ^ u128::from_be_bytes(*other);
        differs.leading_zeros() >= self.prefix
    }
}

impl Interface {
    /// Interface of this index, whose state begins.
    pub(super) fn new(index: u32) -> Self {
        let link =
            Link { phase: Phase::Probing, sent: 0, due: NEVER, answers: 0, answers_due: NEVER, last: 0 };
        Self { index, addresses: Vec::new(), link }
    }

    /// Index of the interface.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Adds an address; at most [`MDNS_ADDRESSES`] of each IP version.
    pub(super) fn add(&mut self, address: Address) {
        if self.addresses.iter().filter(|other| other.is_v4 == address.is_v4).count() < MDNS_ADDRESSES {
            let _ = self.addresses.push(address);
        }
    }

    /// Addresses of an IP version on which the server is reached.
    pub(super) fn served(&self, is_v4: bool) -> impl Iterator<Item = &Address> {
        self.addresses.iter().filter(move |address| address.is_served && address.is_v4 == is_v4)
    }

    /// Returns true if the server is reached over this IP version.
    pub fn serves(&self, is_v4: bool) -> bool {
        self.served(is_v4).next().is_some()
    }

    /// Returns true if the sender is on the link.
    pub(super) fn is_on_link(&self, source: &SocketAddr, octets: &Octets) -> bool {
        match source {
            SocketAddr::V6(source) if source.scope_id() != 0 => source.scope_id() == self.index,
            _ => self.addresses.iter().any(|own| own.contains(octets)),
        }
    }

    /// Records that there are on this interface.
    pub(super) fn available(&self) -> Set {
        let without = |index: usize, is_v4| if self.serves(is_v4) { 0 } else { 1 << index };
        ALL & !without(A, true) & !without(AAAA, false)
    }

    /// The address whose record is the least, or [`NONE`].
    pub(super) fn least(&self) -> Octets {
        let served = self.addresses.iter().filter(|address| address.is_served);
        served.fold(NONE, |least, address| least.min(address.octets))
    }
}
