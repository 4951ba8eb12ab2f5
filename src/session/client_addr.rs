//! Addresses of clients, as quotas and logs count them.

use core::fmt;
use core::net::{IpAddr, Ipv6Addr};

/// Address of a client: an IPv4 address, or the /64 of an IPv6 address, because one host may use
/// every address of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ClientAddr([u8; 16]);

impl From<IpAddr> for ClientAddr {
    fn from(address: IpAddr) -> Self {
        // An IPv4 peer of an IPv6 socket has an IPv4-mapped address.
        match address.to_canonical() {
            IpAddr::V4(address) => Self(address.to_ipv6_mapped().octets()),
            IpAddr::V6(address) => {
                let mut octets = address.octets();
                octets[8..].fill(0);
                Self(octets)
            }
        }
    }
}

/// The address; `ADDRESS/64` of IPv6, and `local` at the local socket.
impl fmt::Display for ClientAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = Ipv6Addr::from(self.0);
        match address.to_ipv4_mapped() {
            _ if address.is_unspecified() => f.write_str("local"),
            Some(address) => address.fmt(f),
            None => write!(f, "{address}/64"),
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
        ] {
            assert_eq!(ClientAddr::from(address.parse::<IpAddr>().unwrap()).to_string(), text);
        }
    }

    #[test]
    fn ipv6_counts_by_network_and_mapped_ipv4_by_address() {
        assert_eq!(client("2001:db8::1"), client("2001:db8::ffff:2:3:4"));
        assert_ne!(client("2001:db8::1"), client("2001:db8:0:1::1"));
        assert_eq!(client("::ffff:192.0.2.1"), client("192.0.2.1"));
        assert_ne!(client("192.0.2.1"), client("192.0.2.2"));
    }
}
