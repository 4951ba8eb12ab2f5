//! `[network]` of the device file: what `friendlet init` makes of a board's network.

use core::net::Ipv4Addr;

use heapless::{String, Vec};

use super::diagnostics::Report;
use super::section::{Place, Section, bounded};
use crate::config::INTERFACE_NAME_BYTES;
use crate::dhcp::{HOST_NAME_BYTES, NAMESERVERS};

/// Name of a board that is not given one.
const HOST_NAME: &str = "friendlet";

/// Name of a network interface.
pub type InterfaceName = String<INTERFACE_NAME_BYTES>;

/// `[network]`. The default is what a board does whose file has none: DHCP on the first interface.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// `interface`; none: the first that is not the loopback.
    pub interface: Option<InterfaceName>,
    /// `address` and `gateway`.
    pub address: Address,
    /// `nameservers`; empty: those that DHCP tells.
    pub nameservers: Vec<Ipv4Addr, NAMESERVERS>,
    /// `hostname`.
    pub host_name: String<HOST_NAME_BYTES>,
}

/// Where the board's address comes from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Address {
    /// From a server in its network.
    Dhcp,
    /// From the device file.
    Static {
        /// The board's own.
        address: Ipv4Addr,
        /// Bits of it that are the network's, 1 to 32.
        prefix: u8,
        /// Where everything goes that is not for this network.
        gateway: Option<Ipv4Addr>,
    },
}

impl Default for Network {
    fn default() -> Self {
        Self {
            interface: None,
            address: Address::Dhcp,
            nameservers: Vec::new(),
            host_name: String::try_from(HOST_NAME).unwrap_or_default(),
        }
    }
}

/// `[network]`, if the file has it.
pub(super) fn network(root: &Section<'_, '_>, report: &mut Report<'_>) -> Option<Network> {
    root.value("network")?;
    let known = ["address", "gateway", "hostname", "interface", "nameservers"];
    let section = root.section("network", "[network]", &known, report);
    let mut network = Network { address: address(&section, report), ..Network::default() };

    if let Some(text) = section.text("interface", report) {
        if !is_interface_name(text.0) {
            report.error(
                &text.1,
                format_args!("interface '{}': expected the name of one, such as 'eth0'", text.0),
            );
        } else if text.0 == "lo" {
            report.error(&text.1, "interface: 'lo' leads nowhere; name one such as 'eth0'");
        } else {
            network.interface = bounded("interface", &text, report);
        }
    }
    if let Some(text) = section.text("hostname", report) {
        if !is_host_name(text.0) {
            report.error(
                &text.1,
                format_args!("hostname '{}': expected letters, digits and '-', such as 'gateway-1'", text.0),
            );
        } else if let Some(name) = bounded("hostname", &text, report) {
            network.host_name = name;
        }
    }
    for (text, at) in section.texts("nameservers", report).unwrap_or_default() {
        match text.parse() {
            Ok(server) if is_of_a_host(server) => {
                if network.nameservers.push(server).is_err() {
                    report.error(&at, format_args!("nameservers: more than {NAMESERVERS}"));
                }
            }
            _ => report.error(&at, format_args!("nameservers: expected an IPv4 address, found '{text}'")),
        }
    }
    Some(network)
}

/// `address` and `gateway`.
fn address(section: &Section<'_, '_>, report: &mut Report<'_>) -> Address {
    let given = section.text("address", report);
    let gateway = section.text("gateway", report).and_then(|(text, at)| match text.parse() {
        Ok(gateway) => Some((gateway, at)),
        Err(_) => {
            report.error(
                &at,
                format_args!("gateway '{text}': expected an IPv4 address, such as '192.168.1.1'"),
            );
            None
        }
    });
    let (text, at) = match given {
        Some(given) if given.0 != "dhcp" => given,
        given => {
            // A value of another kind has its error, and is no 'dhcp'.
            if let Some((_, at)) = gateway
                && (given.is_some() || section.value("address").is_none())
            {
                report.missing(
                    &at,
                    "gateway: DHCP tells it; it goes with an address such as '192.168.1.20/24'",
                );
            }
            return Address::Dhcp;
        }
    };
    let parsed = text.split_once('/').and_then(|(address, prefix)| {
        let is_number = !prefix.starts_with('+');
        Some((address.parse::<Ipv4Addr>().ok()?, prefix.parse::<u8>().ok().filter(|_| is_number)?))
    });
    let Some((address, prefix @ 1..=32)) = parsed else {
        report.error(
            &at,
            format_args!(
                "address '{text}': expected 'dhcp', or an IPv4 address with its prefix, such as '192.168.1.20/24'"
            ),
        );
        return Address::Dhcp;
    };
    if !is_of_a_host(address) || is_edge(address, prefix) {
        report.error(&at, format_args!("address '{text}': is none that a host can have"));
        return Address::Dhcp;
    }
    let gateway = gateway.and_then(|gateway| checked_gateway(gateway, address, prefix, report));
    Address::Static { address, prefix, gateway }
}

/// The gateway, if a host with this address reaches it.
fn checked_gateway(
    (gateway, at): (Ipv4Addr, Place),
    address: Ipv4Addr,
    prefix: u8,
    report: &mut Report<'_>,
) -> Option<Ipv4Addr> {
    let net = Ipv4Addr::from_bits(address.to_bits() & mask(prefix));
    if gateway.to_bits() & mask(prefix) != net.to_bits() {
        report.error(&at, format_args!("gateway {gateway}: is not in the net {net}/{prefix} of the address"));
    } else if gateway == address {
        report.error(&at, format_args!("gateway {gateway}: is the board's own address"));
    } else if is_edge(gateway, prefix) {
        report.error(&at, format_args!("gateway {gateway}: is none that a host can have"));
    } else {
        return Some(gateway);
    }
    None
}

/// The bits of an address that are the network's.
fn mask(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0)
}

/// Whether one host can have this address.
fn is_of_a_host(address: Ipv4Addr) -> bool {
    (1..224).contains(&address.octets()[0]) && !address.is_loopback()
}

/// Whether this is the first or the last address of its net, which stand for the net and for all in
/// it. A net of two has neither (RFC 3021).
fn is_edge(address: Ipv4Addr, prefix: u8) -> bool {
    let host = address.to_bits() & !mask(prefix);
    prefix < 31 && (host == 0 || host == !mask(prefix))
}

/// Whether Linux takes this as the name of an interface; its length aside.
fn is_interface_name(text: &str) -> bool {
    !matches!(text, "" | "." | "..")
        && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"/:".contains(&byte))
}

/// Whether this is a host's name (RFC 1123, 2.1); its length aside, whose limit is that of one part
/// of it as well.
fn is_host_name(text: &str) -> bool {
    text.split('.').all(|label| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    })
}
