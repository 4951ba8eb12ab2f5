//! `[syslog]` of the configuration file.

use core::fmt;
use core::net::{IpAddr, SocketAddr};

use heapless::String;

use super::{Form, SYSLOG_NAME_BYTES};
use crate::limits::FILE_PATH_BYTES;

/// `address` of the journal.
const JOURNAL: &str = "journal";

/// Name of a host.
pub type HostName = String<SYSLOG_NAME_BYTES>;

/// Address of a log server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Target {
    /// Datagrams in plain text (RFC 5426).
    Datagrams(SocketAddr),
    /// TLS over TCP (RFC 5425).
    Tls(SocketAddr),
    /// Journal of systemd on this machine, in its native protocol.
    Journal,
}

impl Target {
    /// Parses `udp://ADDRESS:PORT`, `tls://ADDRESS:PORT` or `journal`. The port is 514 or 6514 where there is none.
    pub fn parse(text: &str) -> Option<Self> {
        if text == JOURNAL {
            return Some(Self::Journal);
        }
        let (is_tls, rest) = match text.split_once("://")? {
            ("udp", rest) => (false, rest),
            ("tls", rest) => (true, rest),
            _ => return None,
        };
        let of_host = || {
            let host: IpAddr = rest.trim_start_matches('[').trim_end_matches(']').parse().ok()?;
            Some(SocketAddr::new(host, if is_tls { 6514 } else { 514 }))
        };
        let address = rest.parse().ok().or_else(of_host)?;
        let target = if is_tls { Self::Tls(address) } else { Self::Datagrams(address) };
        (address.port() != 0 && !address.ip().is_unspecified()).then_some(target)
    }

    /// Form of the messages.
    pub fn form(&self) -> Form {
        if *self == Self::Journal { Form::Journal } else { Form::Syslog }
    }

    /// Returns true for TLS.
    pub fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// Returns true if datagrams in plain text leave the networks of their owner.
    pub fn is_readable_by_all(&self) -> bool {
        let Self::Datagrams(address) = self else { return false };
        let is_private = match address.ip().to_canonical() {
            IpAddr::V4(ip) => {
                ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_documentation()
            }
            IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
        };
        !is_private
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Datagrams(address) => write!(f, "udp://{address}"),
            Self::Tls(address) => write!(f, "tls://{address}"),
            Self::Journal => f.write_str(JOURNAL),
        }
    }
}

/// Facility of messages (RFC 5424, 6.2.1): its number.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Facility(pub(super) u8);

impl Facility {
    /// Facility of the audit trail.
    pub const AUDIT: Self = Self(10);
    /// Names of those of services.
    pub const NAMES: [&str; 10] =
        ["user", "daemon", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"];

    /// The facility with a name.
    pub fn from_name(name: &str) -> Option<Self> {
        let index = Self::NAMES.iter().position(|known| *known == name)?;
        Some(Self(match index {
            0 => 1,
            1 => 3,
            // `local0` is 16.
            index => index as u8 + 14,
        }))
    }
}

/// Values of the table.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// `address`.
    pub target: Target,
    /// `ca`: PEM file of the authority of a log server with TLS, or empty.
    pub authority: String<FILE_PATH_BYTES>,
    /// `server_name`, or empty.
    pub server_name: HostName,
    /// `fingerprint`: SHA-256 of the public key of the log server.
    pub key: Option<[u8; 32]>,
    /// `facility`.
    pub facility: Facility,
    /// `hostname`; empty: that of the system.
    pub host: HostName,
    /// `audit`.
    pub has_audit: bool,
    /// `server_log`.
    pub has_log: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        for (text, shown) in [
            ("udp://192.0.2.1:514", "udp://192.0.2.1:514"),
            ("udp://192.0.2.1", "udp://192.0.2.1:514"),
            ("tls://[2001:db8::1]", "tls://[2001:db8::1]:6514"),
            ("tls://[2001:db8::1]:7000", "tls://[2001:db8::1]:7000"),
            ("journal", "journal"),
        ] {
            assert_eq!(Target::parse(text).unwrap().to_string(), shown);
        }
        for wrong in [
            "",
            "192.0.2.1:514",
            "tcp://192.0.2.1",
            "udp://logs.example",
            "udp://192.0.2.1:0",
            "udp://0.0.0.0",
        ] {
            assert_eq!(Target::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn plain_text_to_a_public_address_is_readable_by_all() {
        for (text, expected) in [
            ("udp://198.41.0.4", true),
            ("udp://[2001:500::1]", true),
            ("tls://198.41.0.4", false),
            ("udp://10.1.2.3", false),
            ("udp://127.0.0.1", false),
            ("udp://[fd00::1]", false),
            ("udp://[fe80::1]", false),
            ("journal", false),
        ] {
            assert_eq!(Target::parse(text).unwrap().is_readable_by_all(), expected, "{text}");
        }
    }

    #[test]
    fn facilities_have_the_numbers_of_the_standard() {
        for (name, number) in [("user", 1), ("daemon", 3), ("local0", 16), ("local7", 23)] {
            assert_eq!(Facility::from_name(name), Some(Facility(number)));
        }
        assert_eq!(Facility::from_name("mail"), None);
    }
}
