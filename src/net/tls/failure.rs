//! Why TLS with a peer came to nothing.

use core::fmt;

use rustls::AlertDescription;

use crate::net::tls::TLS_HANDSHAKE_BYTES;

/// Why TLS with a peer failed. The alert that tells the peer is in the output already, where there is
/// one to send.
#[derive(Debug, PartialEq)]
pub enum TlsFailure {
    /// The handshake: a client that wants something else, or that is none.
    Handshake(rustls::Error),
    /// A message of the handshake, or a record in it, that is longer than is taken.
    TooLong,
    /// The flight of the server does not fit its buffer: [`super::server_config`] should have said so.
    NoRoom,
    /// A record after the handshake was refused, with this alert.
    Refused(AlertDescription),
    /// The peer ended it with this alert.
    Told(AlertDescription),
}

impl TlsFailure {
    /// What the peer has to be told of a failure after the handshake.
    pub(super) fn alert(&self) -> Option<AlertDescription> {
        match self {
            Self::Refused(alert) => Some(*alert),
            _ => None,
        }
    }
}

impl From<rustls::Error> for TlsFailure {
    fn from(error: rustls::Error) -> Self {
        Self::Handshake(error)
    }
}

impl fmt::Display for TlsFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Handshake(error) => error.fmt(f),
            Self::TooLong => write!(f, "a handshake message of over {TLS_HANDSHAKE_BYTES} bytes"),
            Self::NoRoom => f.write_str("no room for the handshake's answer"),
            Self::Refused(alert) => write!(f, "a record was refused: {alert:?}"),
            Self::Told(alert) => write!(f, "the peer gave up: {alert:?}"),
        }
    }
}
