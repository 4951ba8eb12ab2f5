//! Address of a server.

use std::fmt;
use std::path::{Path, PathBuf};

/// Address of a server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Url {
    /// `wss://HOST:PORT` or `ws://HOST:PORT`, with a path behind a proxy.
    Network {
        tls: bool,
        /// Name or address; an IPv6 address is without its brackets.
        host: String,
        port: u16,
        /// `/board` of the server's `public_url`, or empty.
        prefix: String,
    },
    /// `unix:PATH`: the local socket.
    Local(PathBuf),
}

impl Url {
    /// Address without an option: the local socket if it exists, else the default port of this machine.
    pub(super) fn default_with(socket: &Path) -> Self {
        if socket.exists() {
            Self::Local(socket.to_owned())
        } else {
            Self::Network { tls: true, host: "127.0.0.1".to_owned(), port: 6500, prefix: String::new() }
        }
    }

    /// Parses an address. `https` and `http` are synonyms; the default port is that of the scheme, 443 or
    /// 80. A path is the prefix of all paths of the server; `/fcws` at its end is left out.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "'{text}' is not the address of a server; write it like wss://127.0.0.1:6500 or unix:/run/friendlet/ctl"
            )
        };
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.starts_with('/') { Ok(Self::Local(path.into())) } else { Err(wrong()) };
        }
        let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "wss" | "https" => true,
            "ws" | "http" => false,
            _ => return Err(wrong()),
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let path = path.trim_end_matches('/');
        let prefix =
            path.strip_suffix("fcws").filter(|rest| rest.is_empty() || rest.ends_with('/')).unwrap_or(path);
        let prefix = prefix.trim_end_matches('/');
        if prefix.bytes().any(|b| !b.is_ascii_graphic() || matches!(b, b'?' | b'#')) {
            return Err(wrong());
        }
        let prefix = if prefix.is_empty() { String::new() } else { format!("/{prefix}") };
        let (host, port) = match authority.strip_prefix('[') {
            Some(inner) => {
                let (address, port) = inner.split_once(']').ok_or_else(wrong)?;
                // An address of the link has the number or name of an interface.
                let (numbers, zone) = address.split_once('%').unwrap_or((address, "1"));
                numbers.parse::<std::net::Ipv6Addr>().map_err(|_| wrong())?;
                if zone.is_empty() {
                    return Err(wrong());
                }
                match port.strip_prefix(':') {
                    Some(port) => (address, Some(port)),
                    None if port.is_empty() => (address, None),
                    None => return Err(wrong()),
                }
            }
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        let is_allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b':' | b'%');
        if host.is_empty() || !host.bytes().all(is_allowed) {
            return Err(wrong());
        }
        let port = match port {
            None => {
                if tls {
                    443
                } else {
                    80
                }
            }
            Some(port) => port.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)?,
        };
        Ok(Self::Network { tls, host: host.to_ascii_lowercase(), port, prefix })
    }

    /// Path before those of the server.
    pub(super) fn prefix(&self) -> &str {
        match self {
            Self::Network { prefix, .. } => prefix,
            Self::Local(_) => "",
        }
    }

    /// `HOST:PORT`, as in a `Host` field and in the file of known servers.
    pub(super) fn authority(&self) -> String {
        match self {
            Self::Network { host, port, .. } => authority(without_zone(host), *port),
            Self::Local(_) => "localhost".to_owned(),
        }
    }
}

fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Address of the link without its interface, which means nothing to others (RFC 6874).
pub(super) fn without_zone(host: &str) -> &str {
    host.split('%').next().unwrap_or(host)
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network { tls, host, port, prefix } => {
                write!(f, "{}://{}{prefix}", if *tls { "wss" } else { "ws" }, authority(host, *port))
            }
            Self::Local(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parsed_and_formatted() {
        for (text, written) in [
            ("wss://127.0.0.1:6500", "wss://127.0.0.1:6500"),
            ("WSS://Board.local:1/", "wss://board.local:1"),
            ("ws://localhost/fcws", "ws://localhost:80"),
            ("https://[fe80::1]", "wss://[fe80::1]:443"),
            ("wss://[fe80::1%eth0]:1", "wss://[fe80::1%eth0]:1"),
            ("http://[::1]:65535", "ws://[::1]:65535"),
            ("unix:/run/a b", "unix:/run/a b"),
        ] {
            assert_eq!(Url::parse(text).map(|url| url.to_string()), Ok(written.to_owned()));
        }
        assert_eq!(Url::parse("wss://[fe80::1%2]:1").unwrap().authority(), "[fe80::1]:1");
        assert_eq!(Url::default_with(Path::new("/nonexistent")).to_string(), "wss://127.0.0.1:6500");
        assert_eq!(Url::default_with(Path::new("/dev/null")).to_string(), "unix:/dev/null");
    }

    #[test]
    fn refused() {
        for text in [
            "",
            "board",
            "board:6500",
            "ftp://board",
            "wss://",
            "wss://:1",
            "wss://a:0",
            "wss://a:65536",
            "wss://a:x",
            "wss://a:1/?x",
            "wss://a:1/a b",
            "wss://[::1",
            "wss://[::1]x",
            "wss://[x]",
            "wss://[fe80::1%]",
            "wss://[%1]",
            "wss://u@a",
            "wss://a b",
            "wss://a:1:2",
            "unix:",
            "unix:a",
        ] {
            assert!(Url::parse(text).is_err(), "{text}");
        }
    }
}
