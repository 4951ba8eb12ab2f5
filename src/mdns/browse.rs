//! The other side: the question of a client, and the servers in a response.

use core::net::IpAddr;

use heapless::{String, Vec};

use super::packet::{Entry, INTERNET, Message, NONE, Name, Section, kind};
use super::{LABEL_BYTES, MDNS_ADDRESSES};

/// Labels of its name.
const NAME: [&str; 3] = ["_friendlet", "_tcp", "local"];
/// Longest version that is read.
const VERSION_BYTES: usize = 32;

/// Question for all servers, of a client with a port of its own: each server replies to it alone (RFC 6762, 5.1).
pub const QUESTION: &[u8] = b"\0\x01\0\0\0\x01\0\0\0\0\0\0\x0a_friendlet\x04_tcp\x05local\0\0\x0c\0\x01";

/// Server in a response.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Found {
    /// Name of its host, without `.local`.
    pub name: String<LABEL_BYTES>,
    /// TCP port.
    pub port: u16,
    /// TLS on it.
    pub has_tls: bool,
    /// Version of the program, or empty.
    pub version: String<VERSION_BYTES>,
    /// Addresses.
    pub addresses: Vec<IpAddr, { 2 * MDNS_ADDRESSES }>,
}

/// Calls `visit` with each server in a response. A server whose port or addresses are missing is left out.
pub fn visit_servers(bytes: &[u8], visit: &mut dyn FnMut(Found)) {
    let Some(message) = Message::parse(bytes).filter(|message| message.is_response()) else { return };
    let of_kind = |kind: u16| {
        let is_record = move |entry: &Entry<'_>| {
            entry.section != Section::Question && entry.kind == kind && entry.ttl > 0
        };
        message.entries().filter(move |entry| is_record(entry) && entry.class & INTERNET != 0)
    };
    for pointer in of_kind(kind::PTR).filter(|entry| entry.name.labels().eq(NAME.map(str::as_bytes))) {
        let instance = pointer.target(0);
        let Some(service) = of_kind(kind::SRV).find(|entry| is_same(entry.name, instance)) else { continue };
        let name = instance.labels().next().and_then(|label| core::str::from_utf8(label).ok());
        let Some(name) = name.and_then(|name| String::try_from(name).ok()) else { continue };
        let [_, _, _, _, high, low, ..] = *service.data else { continue };
        let target = service.target(6);
        let mut found = Found {
            name,
            port: u16::from_be_bytes([high, low]),
            has_tls: true,
            version: String::new(),
            addresses: Vec::new(),
        };
        if let Some(text) = of_kind(kind::TXT).find(|entry| is_same(entry.name, instance)) {
            read_text(text.data, &mut found);
        }
        let addresses =
            of_kind(kind::A).chain(of_kind(kind::AAAA)).filter(|entry| is_same(entry.name, target));
        for address in addresses.map(|entry| entry.octets()).filter(|octets| *octets != NONE) {
            // Some are enough.
            let _ = found.addresses.push(IpAddr::from(address).to_canonical());
        }
        if !found.addresses.is_empty() && found.port > 0 {
            visit(found);
        }
    }
}

fn is_same(name: Name<'_>, other: Name<'_>) -> bool {
    let mut others = other.labels();
    let is_same =
        name.labels().all(|label| others.next().is_some_and(|other| other.eq_ignore_ascii_case(label)));
    is_same && others.next().is_none()
}

/// Reads the strings `KEY=VALUE` of a text record (RFC 6763, 6).
fn read_text(mut data: &[u8], found: &mut Found) {
    while let Some((len, rest)) = data.split_first() {
        let Some((text, rest)) = rest.split_at_checked(usize::from(*len)) else { return };
        data = rest;
        let Ok(text) = core::str::from_utf8(text) else { continue };
        match text.split_once('=') {
            Some(("version", version)) => found.version = String::try_from(version).unwrap_or_default(),
            Some(("tls", value)) => found.has_tls = value != "0",
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
