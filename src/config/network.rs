//! `[network]`: network of a board that `friendlet init` runs.

use core::net::Ipv4Addr;

use heapless::{String, Vec};

use super::checks::HOST_NAME;
use super::diagnostics::Diagnostics;
use super::section::{Document, Section};
use super::value::Span;
use super::{INTERFACE_NAME_BYTES, schema};
use crate::dhcp::{HOST_NAME_BYTES, NAMESERVERS};
use crate::sntp::NTP_SERVERS;

/// Name of a network interface.
pub type InterfaceName = String<INTERFACE_NAME_BYTES>;

/// `[network]`. The default is that of a file without the table: DHCP on the first interface.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// `interface`; none: the first Ethernet interface.
    pub interface: Option<InterfaceName>,
    /// `address` and `gateway`.
    pub address: Address,
    /// `nameservers`; empty: those of DHCP.
    pub nameservers: Vec<Ipv4Addr, NAMESERVERS>,
    /// `ntp`; empty: those of DHCP.
    pub ntp: Vec<Ipv4Addr, NTP_SERVERS>,
    /// `hostname`.
    pub host_name: String<HOST_NAME_BYTES>,
}

/// Source of the board's address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Address {
    /// DHCP.
    Dhcp,
    /// The configuration file.
    Static {
        /// Address of the board.
        address: Ipv4Addr,
        /// Length of the network prefix, 1 to 32.
        prefix: u8,
        /// Router to other networks.
        gateway: Option<Ipv4Addr>,
    },
}

impl Default for Network {
    fn default() -> Self {
        Self {
            interface: None,
            address: Address::Dhcp,
            nameservers: Vec::new(),
            ntp: Vec::new(),
            // The assertion above holds its length.
            host_name: String::try_from(HOST_NAME).unwrap_or_default(),
        }
    }
}

/// `[network]`, if the file has it.
pub(super) fn network(document: &Document<'_, '_>, diagnostics: &mut Diagnostics<'_>) -> Option<Network> {
    if !document.has(&schema::NETWORK) {
        return None;
    }
    let section = document.section(&schema::NETWORK, diagnostics);
    let [nameservers, ntp] = ["nameservers", "ntp"].map(|name| section.strings(name, diagnostics));
    Some(Network {
        interface: section.bounded_if_set("interface", diagnostics),
        address: address(&section, diagnostics),
        nameservers: section.list("nameservers", &nameservers, host_address, diagnostics),
        ntp: section.list("ntp", &ntp, host_address, diagnostics),
        host_name: section.bounded("hostname", diagnostics),
    })
}

/// `address` and `gateway`.
fn address(section: &Section<'_, '_>, diagnostics: &mut Diagnostics<'_>) -> Address {
    let gateway = section.parsed_if_set("gateway", |text| text.parse().ok(), diagnostics);
    let configured = section.parsed("address", configured_address, diagnostics);
    match (configured, gateway) {
        (Some((address, prefix)), gateway) => {
            let gateway = gateway.and_then(|gateway| checked_gateway(gateway, address, prefix, diagnostics));
            Address::Static { address, prefix, gateway }
        }
        (None, Some((_, span))) if !section.is_wrong("address", configured_address) => {
            diagnostics.missing(
                &span,
                "gateway: needs an address such as '192.168.1.20/24'",
                "DHCP sends its own",
            );
            Address::Dhcp
        }
        (None, _) => Address::Dhcp,
    }
}

/// Address and prefix of `192.168.1.20/24`, if a host can have them; `Some(None)` for `dhcp`.
fn configured_address(text: &str) -> Option<Option<(Ipv4Addr, u8)>> {
    if text == "dhcp" {
        return Some(None);
    }
    let (address, prefix) = text.split_once('/')?;
    let address = host_address(address)?;
    let is_number = prefix.bytes().all(|byte| byte.is_ascii_digit());
    let prefix = prefix.parse().ok().filter(|prefix| is_number && (1..=32).contains(prefix))?;
    (!is_edge(address, prefix)).then_some(Some((address, prefix)))
}

/// The gateway, if a host with this address can reach it.
fn checked_gateway(
    (gateway, span): (Ipv4Addr, Span),
    address: Ipv4Addr,
    prefix: u8,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<Ipv4Addr> {
    let network = Ipv4Addr::from_bits(address.to_bits() & mask(prefix));
    if gateway.to_bits() & mask(prefix) != network.to_bits() {
        diagnostics.error(
            &span,
            format_args!("gateway {gateway}: is not in the network {network}/{prefix} of the address"),
        );
    } else if gateway == address {
        diagnostics.error(&span, format_args!("gateway {gateway}: is the address of the board"));
    } else if is_edge(gateway, prefix) {
        diagnostics.error(&span, format_args!("gateway {gateway}: is not an address of a host"));
    } else {
        return Some(gateway);
    }
    None
}

/// Network mask of a prefix.
fn mask(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0)
}

/// The address, if one host can have it.
fn host_address(text: &str) -> Option<Ipv4Addr> {
    let address: Ipv4Addr = text.parse().ok()?;
    ((1..224).contains(&address.octets()[0]) && !address.is_loopback()).then_some(address)
}

/// Returns whether this is the network or the broadcast address of its network. A network of two addresses has
/// neither (RFC 3021).
fn is_edge(address: Ipv4Addr, prefix: u8) -> bool {
    let host = address.to_bits() & !mask(prefix);
    prefix < 31 && (host == 0 || host == !mask(prefix))
}
