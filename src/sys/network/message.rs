//! Messages of the kernel's routing socket (rtnetlink(7)): made and read in fixed buffers.
//!
//! Numbers are those of `linux/netlink.h`, `linux/rtnetlink.h`, `linux/if_link.h`,
//! `linux/if_addr.h` and `linux/if.h`, which do not change; words are in the machine's own order.

use std::net::Ipv4Addr;

use crate::config::InterfaceName;
use crate::dhcp::HARDWARE_BYTES;

/// Index of the loopback interface (`LOOPBACK_IFINDEX`).
pub(super) const LOOPBACK: u32 = 1;
/// Multicast group of the sockets that hear of interfaces (`RTMGRP_LINK`).
pub(super) const LINK_GROUP: u32 = 1;

/// Room for any question below: two headers, and a few addresses.
const REQUEST_BYTES: usize = 96;
/// Length of `struct nlmsghdr`, and of `struct ifinfomsg`.
const HEADER_BYTES: usize = 16;
const LINK_BYTES: usize = 16;

const ERROR: u16 = 2;
const DONE: u16 = 3;
const NEW_LINK: u16 = 16;
const GET_LINK: u16 = 18;
const NEW_ADDRESS: u16 = 20;
const DELETE_ADDRESS: u16 = 21;
const NEW_ROUTE: u16 = 24;
const DELETE_ROUTE: u16 = 25;

const REQUEST: u16 = 0x1;
const ACKNOWLEDGE: u16 = 0x4;
const DUMP: u16 = 0x300;
const REPLACE: u16 = 0x100;
const CREATE: u16 = 0x400;

const AF_INET: u8 = 2;
const IFF_UP: u32 = 0x1;
const IFF_LOOPBACK: u32 = 0x8;
const IFF_RUNNING: u32 = 0x40;
/// `ARPHRD_ETHER`.
const ETHERNET: u16 = 1;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_EXT_MASK: u16 = 29;
/// Leaves out an interface's statistics, which are most of what is told of it.
const SKIP_STATISTICS: u32 = 8;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;

const TABLE_MAIN: u8 = 254;
const PROTOCOL_BOOT: u8 = 3;
const SCOPE_UNIVERSE: u8 = 0;
const SCOPE_LINK: u8 = 253;
const SCOPE_NOWHERE: u8 = 255;
const UNICAST: u8 = 1;
/// The gateway is reached directly although no net of the interface has it.
const ON_LINK: u32 = 4;

/// A question to the kernel.
#[derive(Debug)]
pub(super) struct Question {
    bytes: [u8; REQUEST_BYTES],
    len: usize,
}

impl Question {
    fn new(kind: u16, flags: u16) -> Self {
        let mut question = Self { bytes: [0; REQUEST_BYTES], len: 0 };
        question.put(&[0; 4]);
        question.put(&kind.to_ne_bytes());
        question.put(&(REQUEST | flags).to_ne_bytes());
        // Sequence number and sender.
        question.put(&[0; 8]);
        question
    }

    /// Which interfaces are there?
    pub(super) fn links() -> Self {
        let mut question = Self::new(GET_LINK, DUMP);
        question.put(&[0; LINK_BYTES]);
        question.attribute(IFLA_EXT_MASK, &SKIP_STATISTICS.to_ne_bytes());
        question
    }

    /// Switches an interface on.
    pub(super) fn up(index: u32) -> Self {
        let mut question = Self::new(NEW_LINK, ACKNOWLEDGE);
        question.put(&[0; 4]);
        question.put(&index.to_ne_bytes());
        question.put(&IFF_UP.to_ne_bytes());
        // Which of the flags change.
        question.put(&IFF_UP.to_ne_bytes());
        question
    }

    /// Gives an interface an address; nothing happens when it has it.
    pub(super) fn add_address(index: u32, address: Ipv4Addr, prefix: u8) -> Self {
        let mut question = Self::address(NEW_ADDRESS, ACKNOWLEDGE | CREATE | REPLACE, index, address, prefix);
        // Nets of one or two have no address that stands for all (RFC 3021).
        if prefix < 31 {
            let hosts = u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
            question.attribute(IFA_BROADCAST, &(address.to_bits() | hosts).to_be_bytes());
        }
        question
    }

    /// Takes an address from an interface.
    pub(super) fn delete_address(index: u32, address: Ipv4Addr, prefix: u8) -> Self {
        Self::address(DELETE_ADDRESS, ACKNOWLEDGE, index, address, prefix)
    }

    fn address(kind: u16, flags: u16, index: u32, address: Ipv4Addr, prefix: u8) -> Self {
        let mut question = Self::new(kind, flags);
        question.put(&[AF_INET, prefix, 0, SCOPE_UNIVERSE]);
        question.put(&index.to_ne_bytes());
        question.attribute(IFA_LOCAL, &address.octets());
        question.attribute(IFA_ADDRESS, &address.octets());
        question
    }

    /// Sends everything that has no other way to this gateway, instead of the one before.
    /// `is_on_link`: the interface's own net does not have it.
    pub(super) fn add_gateway(index: u32, gateway: Ipv4Addr, is_on_link: bool) -> Self {
        let mut question = Self::new(NEW_ROUTE, ACKNOWLEDGE | CREATE | REPLACE);
        let flags = if is_on_link { ON_LINK } else { 0 };
        question.route(0, SCOPE_UNIVERSE, flags);
        question.attribute(RTA_GATEWAY, &gateway.octets());
        question.attribute(RTA_OIF, &index.to_ne_bytes());
        question
    }

    /// Sends what has no other way to this gateway no more.
    pub(super) fn delete_gateway(index: u32, gateway: Ipv4Addr) -> Self {
        let mut question = Self::new(DELETE_ROUTE, ACKNOWLEDGE);
        question.route(0, SCOPE_NOWHERE, 0);
        question.attribute(RTA_GATEWAY, &gateway.octets());
        question.attribute(RTA_OIF, &index.to_ne_bytes());
        question
    }

    /// Sends what is for 255.255.255.255 out of this interface, though it may have no address.
    pub(super) fn add_broadcast(index: u32) -> Self {
        let mut question = Self::new(NEW_ROUTE, ACKNOWLEDGE | CREATE | REPLACE);
        question.route(32, SCOPE_LINK, 0);
        question.attribute(RTA_DST, &Ipv4Addr::BROADCAST.octets());
        question.attribute(RTA_OIF, &index.to_ne_bytes());
        question
    }

    fn route(&mut self, prefix: u8, scope: u8, flags: u32) {
        self.put(&[AF_INET, prefix, 0, 0, TABLE_MAIN, PROTOCOL_BOOT, scope, UNICAST]);
        self.put(&flags.to_ne_bytes());
    }

    fn attribute(&mut self, kind: u16, value: &[u8]) {
        let len = 4 + value.len();
        self.put(&u16::try_from(len).unwrap_or(0).to_ne_bytes());
        self.put(&kind.to_ne_bytes());
        self.put(value);
        self.put([0; 3].get(..aligned(len) - len).unwrap_or_default());
    }

    fn put(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        if let Some(room) = self.bytes.get_mut(self.len..end) {
            room.copy_from_slice(bytes);
            self.len = end;
        }
    }

    /// The whole question, under this number.
    pub(super) fn finish(&mut self, sequence: u32) -> &[u8] {
        let len = u32::try_from(self.len).unwrap_or(0);
        for (at, word) in [(0, len), (8, sequence)] {
            if let Some(room) = self.bytes.get_mut(at..at + 4) {
                room.copy_from_slice(&word.to_ne_bytes());
            }
        }
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// One message of an answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Answer {
    /// The last one. The number of an error, 0 for none.
    End(i32),
    /// An interface.
    Link(Link),
    /// Something that was not asked for.
    Other,
}

/// An interface.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Link {
    /// Its number.
    pub(super) index: u32,
    /// Its name.
    pub(super) name: InterfaceName,
    /// Its address, if it is Ethernet.
    pub(super) hardware: Option<[u8; HARDWARE_BYTES]>,
    /// Whether it is switched on.
    pub(super) is_up: bool,
    /// Whether it is on and has a carrier.
    pub(super) is_running: bool,
    /// Whether it leads back to this host.
    pub(super) is_loopback: bool,
}

/// The messages of one datagram with their sequence numbers. What is cut off is left out.
pub(super) struct Answers<'b> {
    rest: &'b [u8],
}

impl<'b> Answers<'b> {
    pub(super) fn new(bytes: &'b [u8]) -> Self {
        Self { rest: bytes }
    }
}

impl Iterator for Answers<'_> {
    type Item = (u32, Answer);

    fn next(&mut self) -> Option<Self::Item> {
        let len = usize::try_from(word(self.rest, 0)?).ok()?;
        let body = self.rest.get(HEADER_BYTES..len)?;
        let (kind, sequence) = (half_word(self.rest, 4)?, word(self.rest, 8)?);
        self.rest = self.rest.get(aligned(len)..).unwrap_or_default();
        let answer = match kind {
            // The kernel's errors are negative.
            ERROR | DONE => Answer::End(
                word(body, 0).map_or(0, |error| i32::from_ne_bytes(error.to_ne_bytes()).wrapping_neg()),
            ),
            NEW_LINK => Link::read(body).map_or(Answer::Other, Answer::Link),
            _ => Answer::Other,
        };
        Some((sequence, answer))
    }
}

impl Link {
    fn read(body: &[u8]) -> Option<Self> {
        let is_ethernet = half_word(body, 2)? == ETHERNET;
        let (index, flags) = (word(body, 4)?, word(body, 8)?);
        let has = |flag: u32| flags & flag != 0;
        let mut link = Self {
            index,
            name: InterfaceName::new(),
            hardware: None,
            is_up: has(IFF_UP),
            is_running: has(IFF_UP) && has(IFF_RUNNING),
            is_loopback: has(IFF_LOOPBACK),
        };
        let mut rest = body.get(LINK_BYTES..)?;
        while let (Some(len), Some(kind)) = (half_word(rest, 0), half_word(rest, 2)) {
            let len = usize::from(len);
            let value = rest.get(4..len)?;
            rest = rest.get(aligned(len)..).unwrap_or_default();
            match kind {
                IFLA_IFNAME => {
                    let name = value.split(|byte| *byte == 0).next()?;
                    link.name = InterfaceName::try_from(std::str::from_utf8(name).ok()?).ok()?;
                }
                IFLA_ADDRESS if is_ethernet => link.hardware = value.try_into().ok(),
                _ => {}
            }
        }
        Some(link)
    }
}

/// Everything in these messages begins at a multiple of four bytes.
fn aligned(len: usize) -> usize {
    len.next_multiple_of(4)
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
}

fn half_word(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|bytes| u16::from_ne_bytes(*bytes))
}

#[cfg(test)]
mod tests;
