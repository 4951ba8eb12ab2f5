//! Addresses of services, to which the server connects.

use core::fmt;
use core::net::SocketAddr;

use heapless::String;

use super::UNIX_PATH_BYTES;

/// Numeric address that accepts connections. Nothing is resolved.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Endpoint {
    /// TCP address.
    Tcp(SocketAddr),
    /// Path of a UNIX socket.
    Unix(String<UNIX_PATH_BYTES>),
}

impl Endpoint {
    /// Returns the TCP endpoint with this text, such as `127.0.0.1:1883` or `[::1]:1883`.
    pub fn tcp(text: &str) -> Option<Self> {
        text.parse().ok().filter(|address: &SocketAddr| address.port() != 0).map(Self::Tcp)
    }

    /// Returns the UNIX socket with this absolute path.
    pub fn unix(path: &str) -> Option<Self> {
        let is_path = path.starts_with('/') && !path.contains('\0');
        path.try_into().ok().filter(|_| is_path).map(Self::Unix)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "tcp:{address}"),
            Self::Unix(path) => write!(f, "unix:{path}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_numeric_and_have_a_port() {
        for good in ["127.0.0.1:1", "0.0.0.0:65535", "[::1]:1883"] {
            assert_eq!(Endpoint::tcp(good), Some(Endpoint::Tcp(good.parse().unwrap())), "{good}");
        }
        for wrong in ["", "localhost:80", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:65536", ":80", "::1:80"] {
            assert_eq!(Endpoint::tcp(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn path_of_a_unix_socket_up_to_its_limit() {
        let path = |length: usize| format!("/{}", "x".repeat(length - 1));
        assert!(Endpoint::unix(&path(UNIX_PATH_BYTES)).is_some());
        assert_eq!(Endpoint::unix(&path(UNIX_PATH_BYTES + 1)), None);
        for wrong in ["", "a.sock", "/a\0"] {
            assert_eq!(Endpoint::unix(wrong), None, "{wrong}");
        }
    }
}
