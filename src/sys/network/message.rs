//! Messages of the routing socket (rtnetlink(7)), encoded and parsed in fixed buffers.
//!
//! Constants are those of `linux/netlink.h`, `linux/rtnetlink.h`, `linux/if_link.h`,
//! `linux/if_addr.h` and `linux/if.h`. Integers are in native byte order.

use std::net::{IpAddr, Ipv4Addr};

use crate::config::InterfaceName;
use crate::dhcp::HARDWARE_BYTES;

/// Index of the loopback interface (`LOOPBACK_IFINDEX`).
pub(super) const LOOPBACK: u32 = 1;
/// Multicast group of events about interfaces (`RTMGRP_LINK`).
pub(super) const LINK_GROUP: u32 = 1;
/// Those of events about addresses (`RTMGRP_IPV4_IFADDR`, `RTMGRP_IPV6_IFADDR`).
pub(super) const ADDRESS_GROUPS: u32 = 0x110;

/// Length of the longest request: two headers, and a few addresses.
const REQUEST_BYTES: usize = 96;
/// Length of `struct nlmsghdr`, of `struct ifinfomsg` and of `struct ifaddrmsg`.
const HEADER_BYTES: usize = 16;
const LINK_BYTES: usize = 16;
const ADDRESS_BYTES: usize = 8;

const ERROR: u16 = 2;
const DONE: u16 = 3;
const NEW_LINK: u16 = 16;
const GET_LINK: u16 = 18;
const NEW_ADDRESS: u16 = 20;
const DELETE_ADDRESS: u16 = 21;
const GET_ADDRESS: u16 = 22;
const NEW_ROUTE: u16 = 24;
const DELETE_ROUTE: u16 = 25;

const REQUEST: u16 = 0x1;
const ACKNOWLEDGE: u16 = 0x4;
const DUMP: u16 = 0x300;
const REPLACE: u16 = 0x100;
const CREATE: u16 = 0x400;

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const IFF_UP: u32 = 0x1;
const IFF_LOOPBACK: u32 = 0x8;
const IFF_RUNNING: u32 = 0x40;
/// `ARPHRD_ETHER`.
const ETHERNET: u16 = 1;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_EXT_MASK: u16 = 29;
/// Leaves out the statistics of an interface, which are most of its data.
const SKIP_STATISTICS: u32 = 8;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
/// `IFA_F_TEMPORARY` (RFC 8981) and `IFA_F_DEPRECATED` of IPv6; the former is `IFA_F_SECONDARY` of IPv4.
const UNSTABLE: u8 = 0x21;
/// `IFA_F_DADFAILED` and `IFA_F_TENTATIVE`: another host has the address, or may have it.
const UNUSABLE: u8 = 0x48;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;

const TABLE_MAIN: u8 = 254;
const PROTOCOL_BOOT: u8 = 3;
const SCOPE_UNIVERSE: u8 = 0;
const SCOPE_LINK: u8 = 253;
const SCOPE_NOWHERE: u8 = 255;
const UNICAST: u8 = 1;
/// `RTNH_F_ONLINK`: the gateway is on the link although no subnet of the interface contains it.
const ON_LINK: u32 = 4;

/// Request to the kernel.
#[derive(Debug)]
pub(super) struct Request {
    bytes: [u8; REQUEST_BYTES],
    len: usize,
}

impl Request {
    fn new(kind: u16, flags: u16) -> Self {
        let mut request = Self { bytes: [0; REQUEST_BYTES], len: 0 };
        request.put(&[0; 4]);
        request.put(&kind.to_ne_bytes());
        request.put(&(REQUEST | flags).to_ne_bytes());
        // Sequence number and sender.
        request.put(&[0; 8]);
        request
    }

    /// Lists the interfaces.
    pub(super) fn links() -> Self {
        let mut request = Self::new(GET_LINK, DUMP);
        request.put(&[0; LINK_BYTES]);
        request.attribute(IFLA_EXT_MASK, &SKIP_STATISTICS.to_ne_bytes());
        request
    }

    /// Lists the addresses of all interfaces.
    pub(super) fn addresses() -> Self {
        let mut request = Self::new(GET_ADDRESS, DUMP);
        request.put(&[0; ADDRESS_BYTES]);
        request
    }

    /// Brings an interface up.
    pub(super) fn up(index: u32) -> Self {
        let mut request = Self::new(NEW_LINK, ACKNOWLEDGE);
        request.put(&[0; 4]);
        request.put(&index.to_ne_bytes());
        request.put(&IFF_UP.to_ne_bytes());
        // Mask of the flags to change.
        request.put(&IFF_UP.to_ne_bytes());
        request
    }

    /// Adds an address to an interface, unless it has it.
    pub(super) fn add_address(index: u32, address: Ipv4Addr, prefix: u8) -> Self {
        let mut request = Self::address(NEW_ADDRESS, ACKNOWLEDGE | CREATE | REPLACE, index, address, prefix);
        // Subnets of one or two hosts have no broadcast address (RFC 3021).
        if prefix < 31 {
            let hosts = u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
            request.attribute(IFA_BROADCAST, &(address.to_bits() | hosts).to_be_bytes());
        }
        request
    }

    /// Deletes an address from an interface.
    pub(super) fn delete_address(index: u32, address: Ipv4Addr, prefix: u8) -> Self {
        Self::address(DELETE_ADDRESS, ACKNOWLEDGE, index, address, prefix)
    }

    fn address(kind: u16, flags: u16, index: u32, address: Ipv4Addr, prefix: u8) -> Self {
        let mut request = Self::new(kind, flags);
        request.put(&[AF_INET, prefix, 0, SCOPE_UNIVERSE]);
        request.put(&index.to_ne_bytes());
        request.attribute(IFA_LOCAL, &address.octets());
        request.attribute(IFA_ADDRESS, &address.octets());
        request
    }

    /// Sets the default gateway. With `is_on_link` the gateway is outside the subnet of the
    /// interface.
    pub(super) fn add_gateway(index: u32, gateway: Ipv4Addr, is_on_link: bool) -> Self {
        let mut request = Self::new(NEW_ROUTE, ACKNOWLEDGE | CREATE | REPLACE);
        let flags = if is_on_link { ON_LINK } else { 0 };
        request.route(0, SCOPE_UNIVERSE, flags);
        request.attribute(RTA_GATEWAY, &gateway.octets());
        request.attribute(RTA_OIF, &index.to_ne_bytes());
        request
    }

    /// Deletes the default gateway.
    pub(super) fn delete_gateway(index: u32, gateway: Ipv4Addr) -> Self {
        let mut request = Self::new(DELETE_ROUTE, ACKNOWLEDGE);
        request.route(0, SCOPE_NOWHERE, 0);
        request.attribute(RTA_GATEWAY, &gateway.octets());
        request.attribute(RTA_OIF, &index.to_ne_bytes());
        request
    }

    /// Routes 255.255.255.255 out of this interface, which may have no address.
    pub(super) fn add_broadcast(index: u32) -> Self {
        let mut request = Self::new(NEW_ROUTE, ACKNOWLEDGE | CREATE | REPLACE);
        request.route(32, SCOPE_LINK, 0);
        request.attribute(RTA_DST, &Ipv4Addr::BROADCAST.octets());
        request.attribute(RTA_OIF, &index.to_ne_bytes());
        request
    }

    fn route(&mut self, prefix: u8, scope: u8, flags: u32) {
        self.put(&[AF_INET, prefix, 0, 0, TABLE_MAIN, PROTOCOL_BOOT, scope, UNICAST]);
        self.put(&flags.to_ne_bytes());
    }

    fn attribute(&mut self, kind: u16, value: &[u8]) {
        let len = 4 + value.len();
        // Values are addresses and numbers, of at most REQUEST_BYTES.
        self.put(&(len as u16).to_ne_bytes());
        self.put(&kind.to_ne_bytes());
        self.put(value);
        self.put(&[0; 3][..aligned(len) - len]);
    }

    fn put(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        let Some(room) = self.bytes.get_mut(self.len..end) else {
            crate::internal_error!("rtnetlink request of {} bytes or more", end);
            return;
        };
        room.copy_from_slice(bytes);
        self.len = end;
    }

    /// Completes the header and returns the request.
    pub(super) fn finish(&mut self, sequence: u32) -> &[u8] {
        self.bytes[..4].copy_from_slice(&(self.len as u32).to_ne_bytes());
        self.bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
        &self.bytes[..self.len]
    }
}

/// Message of a response.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Response {
    /// Last message, with an error number, or 0 for success.
    End(i32),
    /// Interface.
    Link(Link),
    /// Address of this host.
    Address(HostAddress),
    /// Message of another type.
    Other,
}

/// Network interface.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Link {
    /// Interface index.
    pub(super) index: u32,
    /// Interface name.
    pub(super) name: InterfaceName,
    /// Ethernet address, if it is an Ethernet interface.
    pub(super) hardware: Option<[u8; HARDWARE_BYTES]>,
    /// True if it is up.
    pub(super) is_up: bool,
    /// True if it is up and has a carrier.
    pub(super) is_running: bool,
    /// True if it is the loopback.
    pub(super) is_loopback: bool,
}

/// Address of an interface of this host.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct HostAddress {
    /// The address.
    pub address: IpAddr,
    /// Length of its prefix in bits.
    pub prefix: u8,
    /// Index of its interface.
    pub interface: u32,
    /// Scope of the kernel, `RT_SCOPE_..` of linux/rtnetlink.h.
    pub scope: u8,
    /// False for an address of IPv6 that is temporary (RFC 8981), or no longer to be used for new connections.
    pub is_stable: bool,
}

impl HostAddress {
    /// Returns true if it is valid beyond its link: not an address of the loopback or of the link alone.
    pub fn is_global(&self) -> bool {
        self.scope == SCOPE_UNIVERSE
    }

    /// Returns true if its interface is the loopback.
    pub fn is_loopback(&self) -> bool {
        self.interface == LOOPBACK
    }
}

/// Iterator over the messages of one datagram with their sequence numbers, without a truncated one.
pub(super) struct Responses<'b> {
    rest: &'b [u8],
}

impl<'b> Responses<'b> {
    pub(super) fn new(bytes: &'b [u8]) -> Self {
        Self { rest: bytes }
    }
}

impl Iterator for Responses<'_> {
    type Item = (u32, Response);

    fn next(&mut self) -> Option<Self::Item> {
        let len = usize::try_from(word(self.rest, 0)?).ok()?;
        let body = self.rest.get(HEADER_BYTES..len)?;
        let (kind, sequence) = (half_word(self.rest, 4)?, word(self.rest, 8)?);
        // The padding of the last message may be missing.
        self.rest = self.rest.get(aligned(len)..).unwrap_or(&[]);
        let response = match kind {
            // The kernel's errors are negative.
            ERROR | DONE => Response::End(
                word(body, 0).map_or(0, |error| i32::from_ne_bytes(error.to_ne_bytes()).wrapping_neg()),
            ),
            NEW_LINK => Link::parse(body).map_or(Response::Other, Response::Link),
            NEW_ADDRESS => parse_address(body).map_or(Response::Other, Response::Address),
            _ => Response::Other,
        };
        Some((sequence, response))
    }
}

impl Link {
    fn parse(body: &[u8]) -> Option<Self> {
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
        visit_attributes(body.get(LINK_BYTES..)?, &mut |kind, value| {
            match kind {
                IFLA_IFNAME => {
                    let name = value.split(|byte| *byte == 0).next()?;
                    link.name = InterfaceName::try_from(std::str::from_utf8(name).ok()?).ok()?;
                }
                IFLA_ADDRESS if is_ethernet => link.hardware = value.try_into().ok(),
                _ => {}
            }
            Some(())
        })?;
        Some(link)
    }
}

/// Parses an address. `None`: it cannot be used.
fn parse_address(body: &[u8]) -> Option<HostAddress> {
    let [family, prefix, flags, scope] = *body.first_chunk()?;
    let mut address = None;
    visit_attributes(body.get(ADDRESS_BYTES..)?, &mut |kind, value| {
        // With a peer, `IFA_ADDRESS` is the peer's.
        if kind == IFA_LOCAL || kind == IFA_ADDRESS && address.is_none() {
            address = match family {
                AF_INET => value.try_into().ok().map(<[u8; 4]>::into),
                AF_INET6 => value.try_into().ok().map(<[u8; 16]>::into),
                _ => None,
            };
        }
        Some(())
    })?;
    let address: IpAddr = address.filter(|_| flags & UNUSABLE == 0)?;
    let interface = word(body, 4)?;
    let is_stable = address.is_ipv4() || flags & UNSTABLE == 0;
    Some(HostAddress { address, prefix, interface, scope, is_stable })
}

/// Calls `visit` with type and value of each attribute. Returns `None` if one is truncated, or `visit` refuses it.
fn visit_attributes<'b>(
    mut rest: &'b [u8],
    visit: &mut dyn FnMut(u16, &'b [u8]) -> Option<()>,
) -> Option<()> {
    while let (Some(len), Some(kind)) = (half_word(rest, 0), half_word(rest, 2)) {
        let len = usize::from(len);
        let value = rest.get(4..len)?;
        // The padding of the last attribute may be missing.
        rest = rest.get(aligned(len)..).unwrap_or(&[]);
        visit(kind, value)?;
    }
    Some(())
}

/// Length with its padding: messages and attributes are aligned to four bytes.
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
