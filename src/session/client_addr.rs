//! Addresses of clients, as quotas and logs count them.

use core::fmt;
use core::net::{IpAddr, Ipv6Addr};

/// Address of a client: an IPv4 address, or the /64 of an IPv6 address, because one host may use
/// every address of it. The addresses of `::/64`, `::1` among them, and those of NAT64 (RFC 6052) are of a host each.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ClientAddr(pub(super) [u8; ADDRESS_BYTES]);

/// Bytes of a [`ClientAddr`].
pub(super) const ADDRESS_BYTES: usize = 16;

/// Prefix of the addresses of NAT64, whose last 4 bytes are an IPv4 address.
const NAT64: [u8; 12] = [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0];

impl From<IpAddr> for ClientAddr {
    fn from(address: IpAddr) -> Self {
        // An IPv4 peer of an IPv6 socket has an IPv4-mapped address.
        match address.to_canonical() {
            IpAddr::V4(address) => Self(address.to_ipv6_mapped().octets()),
            IpAddr::V6(address) => {
                let mut octets = address.octets();
                if octets[..8] != [0; 8] && octets[..NAT64.len()] != NAT64 {
                    octets[8..].fill(0);
                }
                Self(octets)
            }
        }
    }
}

/// The address; `ADDRESS/64` of a network, and `local` at the local socket.
impl fmt::Display for ClientAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = Ipv6Addr::from(self.0);
        match address.to_ipv4_mapped() {
            _ if address.is_unspecified() => f.write_str("local"),
            Some(address) => address.fmt(f),
            None if self.0[8..] == [0; 8] => write!(f, "{address}/64"),
            None => address.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(text: &str) -> ClientAddr {
        ClientAddr::from(text.parse::<IpAddr>().unwrap())
    }

    #[test]
    fn addresses_are_displayed() {
        for (address, text) in [
            ("192.0.2.7", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("::", "local"),
            ("::1", "::1"),
            ("64:ff9b::192.0.2.7", "64:ff9b::c000:207"),
        ] {
            assert_eq!(ClientAddr::from(address.parse::<IpAddr>().unwrap()).to_string(), text);
        }
    }

    /// Clients of `::1` were logged as `local`, and shared the lock-out of the local socket.
    #[test]
    fn loopback_of_ipv6_is_not_the_local_socket() {
        assert_ne!(client("::1"), client("::"));
        assert_ne!(client("::1"), client("::2"));
    }

    /// Clients who shared the network of a user counted as one who has logged in from there.
    #[test]
    fn clients_of_nat64_count_by_the_ipv4_address() {
        assert_ne!(client("64:ff9b::192.0.2.1"), client("64:ff9b::192.0.2.2"));
        assert_eq!(client("64:ff9b:1::1"), client("64:ff9b:1::2"), "a network of one's own");
    }

    #[test]
    fn ipv6_counts_by_network_and_mapped_ipv4_by_address() {
        assert_eq!(client("2001:db8::1"), client("2001:db8::ffff:2:3:4"));
        assert_ne!(client("2001:db8::1"), client("2001:db8:0:1::1"));
        assert_eq!(client("::ffff:192.0.2.1"), client("192.0.2.1"));
        assert_ne!(client("192.0.2.1"), client("192.0.2.2"));
    }
}
