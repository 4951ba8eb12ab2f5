//! Proxies in front of the server, and the pages that reach it through them.

use core::net::{IpAddr, Ipv6Addr};
use core::str::FromStr;

use heapless::{String, Vec};

use super::TRUSTED_PROXIES;
use crate::limits::{ORIGIN_BYTES, ORIGINS};

/// Pages that may call, the URL of a proxy, and the proxies that name their clients.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Front {
    /// Allowed origins in addition to the server's own.
    pub origins: Vec<String<ORIGIN_BYTES>, ORIGINS>,
    /// URL under which a proxy makes the server reachable; empty without one.
    pub public_url: String<ORIGIN_BYTES>,
    /// Addresses of proxies whose word counts.
    pub proxies: Vec<Network, TRUSTED_PROXIES>,
    /// Form in which they name their client.
    pub client_from: ClientFrom,
}

impl Front {
    /// Returns true for the address of a proxy whose word counts.
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.proxies.iter().any(|network| network.contains(address))
    }

    /// Address of the client that a proxy names in these lines of a request's head: the last one that is not the address of
    /// a proxy, too. What a client writes itself comes before it.
    pub fn client(&self, head: &[u8]) -> Option<IpAddr> {
        let name = match self.client_from {
            ClientFrom::XForwardedFor => "x-forwarded-for",
            ClientFrom::Forwarded => "forwarded",
            ClientFrom::ProxyProtocol => return None,
        };
        let mut found = None;
        for line in head.rsplit(|byte| *byte == b'\n') {
            let Some((field, values)) = str::from_utf8(line).ok().and_then(|line| line.split_once(':'))
            else {
                continue;
            };
            if !field.eq_ignore_ascii_case(name) {
                continue;
            }
            for value in values.rsplit(',') {
                // Beyond a word without an address, no proxy vouches for what was written.
                let Some(address) = self.client_from.address(value.trim()) else { return found };
                found = Some(address);
                if !self.trusts(address) {
                    return found;
                }
            }
        }
        found
    }
}

/// Form in which a proxy names its client.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ClientFrom {
    /// The field `X-Forwarded-For`.
    #[default]
    XForwardedFor,
    /// The field `Forwarded` (RFC 7239).
    Forwarded,
    /// A header before the first byte of a connection (PROXY protocol, version 2).
    ProxyProtocol,
}

impl ClientFrom {
    /// Every form by its name.
    pub const NAMES: [&str; 3] = ["x-forwarded-for", "forwarded", "proxy-protocol"];

    /// The form of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        let forms = [Self::XForwardedFor, Self::Forwarded, Self::ProxyProtocol];
        Self::NAMES.iter().zip(forms).find(|(known, _)| **known == name).map(|(_, form)| form)
    }

    /// Address in one element of the field.
    fn address(self, element: &str) -> Option<IpAddr> {
        let node = match self {
            Self::Forwarded => {
                let is_for =
                    |pair: &&str| pair.get(..4).is_some_and(|name| name.eq_ignore_ascii_case("for="));
                element.split(';').map(str::trim).find(is_for)?.get(4..)?.trim_matches('"')
            }
            _ => element,
        };
        // With a port: that of IPv6 follows a bracket, that of IPv4 the only colon.
        let host = match node.strip_prefix('[') {
            Some(rest) => rest.split_once(']')?.0,
            None => {
                node.split_once(':').filter(|(_, port)| !port.contains(':')).map_or(node, |(host, _)| host)
            }
        };
        // `::` and `0.0.0.0` are of no host, and `::` stands for the local socket.
        host.parse().ok().filter(|address: &IpAddr| !address.is_unspecified())
    }
}

/// Addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Network {
    /// IPv6, or IPv4-mapped.
    address: u128,
    mask: u128,
}

impl Network {
    /// Returns true for an address of the network; an IPv4-mapped one is IPv4.
    pub fn contains(self, address: IpAddr) -> bool {
        bits(address) & self.mask == self.address
    }
}

impl FromStr for Network {
    type Err = ();

    /// `ADDRESS`, or `ADDRESS/BITS`. The bits after these are 0.
    fn from_str(text: &str) -> Result<Self, ()> {
        let (host, length) = text.split_once('/').map_or((text, None), |(host, length)| (host, Some(length)));
        let host: IpAddr = host.parse().map_err(|_| ())?;
        let (before, most) = if host.is_ipv4() { (96, 32) } else { (0, 128) };
        let length = match length {
            None => most,
            Some(length) if length.bytes().all(|byte| byte.is_ascii_digit()) => {
                length.parse().map_err(|_| ())?
            }
            Some(_) => return Err(()),
        };
        if length > most {
            return Err(());
        }
        let mask = u128::MAX.checked_shl(128 - before - length).unwrap_or(0);
        let address = bits(host);
        if address & mask == address { Ok(Self { address, mask }) } else { Err(()) }
    }
}

/// An address as one number.
fn bits(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
    .to_bits()
}

/// Bytes that are not a header of the PROXY protocol, version 2.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct WrongHeader;

/// First bytes of a header of the PROXY protocol, version 2.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// Header of the PROXY protocol, version 2, at the begin of these bytes: its length, and the address of the client unless the
/// proxy speaks for itself. `Ok(None)`: more bytes are needed.
///
/// # Errors
/// Wrong bytes, or a header that is longer than [`PROXY_HEADER_BYTES`](super::PROXY_HEADER_BYTES).
pub fn proxy_header(bytes: &[u8]) -> Result<Option<(usize, Option<IpAddr>)>, WrongHeader> {
    let start = bytes.len().min(SIGNATURE.len());
    if bytes.get(..start) != SIGNATURE.get(..start) {
        return Err(WrongHeader);
    }
    let Some((&[.., command, family, high, low], rest)) = bytes.split_first_chunk::<16>() else {
        return Ok(None);
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if command >> 4 != 2 || command & 15 > 1 || 16 + length > super::PROXY_HEADER_BYTES {
        return Err(WrongHeader);
    }
    let Some(addresses) = rest.get(..length) else { return Ok(None) };
    let client = match (command & 15, family >> 4) {
        (1, 1) if length >= 12 => addresses.first_chunk::<4>().map(|octets| IpAddr::from(*octets)),
        (1, 2) if length >= 36 => addresses.first_chunk::<16>().map(|octets| Ipv6Addr::from(*octets).into()),
        (1, 1 | 2) => return Err(WrongHeader),
        // The proxy's own connection, such as a check, or a client without an address of IP.
        _ => None,
    };
    Ok(Some((16 + length, client.filter(|address| !address.is_unspecified()))))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn front(proxies: &[&str], client_from: ClientFrom) -> Front {
        let proxies = proxies.iter().map(|proxy| proxy.parse().unwrap()).collect();
        Front { proxies, client_from, ..Front::default() }
    }

    #[test]
    fn networks_contain_their_addresses() {
        for (network, inside, outside) in [
            ("127.0.0.1", "127.0.0.1", "127.0.0.2"),
            ("127.0.0.1", "::ffff:127.0.0.1", "::1"),
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("0.0.0.0/0", "192.0.2.1", "::1"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("fd00::7", "fd00::7", "fd00::8"),
            ("::/0", "192.0.2.1", ""),
        ] {
            let network: Network = network.parse().unwrap();
            assert!(network.contains(address(inside)), "{network:?}");
            assert!(outside.is_empty() || !network.contains(address(outside)), "{network:?}");
        }
        for wrong in ["", "host", "10.0.0.1/8", "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/+8", "[::1]"]
        {
            assert_eq!(wrong.parse::<Network>(), Err(()), "{wrong}");
        }
    }

    #[test]
    fn client_is_the_last_address_that_is_not_a_proxy() {
        let front = front(&["127.0.0.1", "10.0.0.0/8"], ClientFrom::XForwardedFor);
        for (head, client) in [
            ("X-Forwarded-For: 192.0.2.1", Some("192.0.2.1")),
            ("x-forwarded-for:192.0.2.9,192.0.2.1 , 10.1.1.1", Some("192.0.2.1")),
            ("X-Forwarded-For: 192.0.2.9\r\nX-Forwarded-For: 192.0.2.1", Some("192.0.2.1")),
            ("X-Forwarded-For: 192.0.2.1:4711", Some("192.0.2.1")),
            ("X-Forwarded-For: [2001:db8::1]:4711", Some("2001:db8::1")),
            ("X-Forwarded-For: 2001:db8::1", Some("2001:db8::1")),
            ("X-Forwarded-For: 10.0.0.2, 10.0.0.3", Some("10.0.0.2")),
            // Written by a stranger before a word without an address.
            ("X-Forwarded-For: 192.0.2.9, unknown, 10.0.0.3", Some("10.0.0.3")),
            ("X-Forwarded-For: 192.0.2.9, ", None),
            ("X-Forwarded-For: ::", None),
            ("Forwarded: for=192.0.2.9", None),
            ("Host: 192.0.2.9", None),
        ] {
            let head = format!("GET / HTTP/1.1\r\n{head}\r\n\r\n");
            assert_eq!(front.client(head.as_bytes()), client.map(address), "{head}");
        }
    }

    #[test]
    fn client_of_the_standard_field() {
        let front = front(&["127.0.0.1"], ClientFrom::Forwarded);
        for (value, client) in [
            ("for=192.0.2.1;proto=https", Some("192.0.2.1")),
            ("proto=https; For=\"[2001:db8::1]:4711\"", Some("2001:db8::1")),
            ("for=192.0.2.9, for=192.0.2.1", Some("192.0.2.1")),
            ("for=_hidden", None),
            ("proto=https", None),
        ] {
            let head = format!("GET / HTTP/1.1\r\nForwarded: {value}\r\nX-Forwarded-For: 192.0.2.7\r\n\r\n");
            assert_eq!(front.client(head.as_bytes()), client.map(address), "{value}");
        }
        assert_eq!(ClientFrom::from_name("proxy-protocol"), Some(ClientFrom::ProxyProtocol));
        assert_eq!(ClientFrom::from_name(""), None);
    }

    fn header(command: u8, family: u8, addresses: &[u8]) -> std::vec::Vec<u8> {
        let length = (addresses.len() as u16).to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, addresses].concat()
    }

    #[test]
    fn headers_of_the_proxy_protocol() {
        let four = [192, 0, 2, 1, 127, 0, 0, 1, 0, 1, 0, 2];
        let six = [&Ipv6Addr::LOCALHOST.octets()[..], &[0; 20]].concat();
        let long = [&four[..], &[0; 200]].concat();
        for (header, client) in [
            (header(0x21, 0x11, &four), Some("192.0.2.1")),
            (header(0x21, 0x21, &six), Some("::1")),
            (header(0x21, 0x11, &long), Some("192.0.2.1")),
            (header(0x20, 0x00, &[]), None),
            (header(0x20, 0x11, &four), None),
            (header(0x21, 0x21, &[0; 36]), None),
            (header(0x21, 0x31, &[0; 216]), None),
        ] {
            assert_eq!(proxy_header(&header), Ok(Some((header.len(), client.map(address)))));
            let more = [&header[..], b"GET"].concat();
            assert_eq!(proxy_header(&more), Ok(Some((header.len(), client.map(address)))));
            for end in 0..header.len() {
                assert_eq!(proxy_header(&header[..end]), Ok(None), "{end}");
            }
        }
        for wrong in [
            header(0x11, 0x11, &four),
            header(0x22, 0x11, &four),
            header(0x21, 0x11, &four[1..]),
            header(0x21, 0x21, &six[1..]),
            b"GET / HTTP/1.1\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1 127.0.0.1 1 2\r\n".to_vec(),
            b"\x16".to_vec(),
        ] {
            assert_eq!(proxy_header(&wrong), Err(WrongHeader), "{wrong:?}");
        }
    }

    #[test]
    fn header_of_the_proxy_protocol_up_to_its_limit() {
        let most = super::super::PROXY_HEADER_BYTES - 16;
        assert!(proxy_header(&header(0x20, 0, &vec![0; most])).unwrap().is_some());
        assert_eq!(proxy_header(&header(0x20, 0, &vec![0; most + 1])), Err(WrongHeader));
        // The length alone is enough for the refusal.
        assert_eq!(proxy_header(&header(0x20, 0, &vec![0; most + 1])[..16]), Err(WrongHeader));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_header_or_a_refusal(start in 0..16_usize, rest in prop::collection::vec(any::<u8>(), 0..600)) {
            let whole = header(0x21, 0x11, &[1; 12]);
            let bytes = [&whole[..start], &rest[..]].concat();
            if let Ok(Some((length, _))) = proxy_header(&bytes) {
                prop_assert!((16..=bytes.len()).contains(&length));
            }
        }

        #[test]
        fn any_field_has_an_address_or_none(value in "[0-9a-f.:,\\[\\]\";= for]{0,40}|\\PC{0,20}") {
            for form in [ClientFrom::XForwardedFor, ClientFrom::Forwarded] {
                let front = front(&["127.0.0.1"], form);
                let name = if form == ClientFrom::Forwarded { "Forwarded" } else { "X-Forwarded-For" };
                let _ = front.client(format!("GET / HTTP/1.1\r\n{name}: {value}\r\n\r\n").as_bytes());
            }
        }
    }
}
