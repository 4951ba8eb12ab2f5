//! Failures of TLS with a peer.

use core::fmt;

use rustls::AlertDescription;

use super::TLS_HANDSHAKE_BYTES;

/// Failure of TLS with a peer. The alert for the peer, if there is one to send, is in the output already.
#[derive(Debug, PartialEq)]
pub enum TlsFailure {
    /// A failed handshake: the client supports no common parameters, or does not use TLS.
    Handshake(rustls::Error),
    /// A message of the handshake, or a record in it, that is too long.
    TooLong,
    /// The flight of the server does not fit its buffer, which [`super::server_config`] should have found.
    NoRoom,
    /// A record after the handshake was rejected with this alert.
    LocalAlert(AlertDescription),
    /// The peer ended the connection with this alert.
    PeerAlert(AlertDescription),
}

impl TlsFailure {
    /// Returns an internal error: a range lies outside of its buffer.
    #[cold]
    pub(super) fn internal() -> Self {
        debug_assert!(false, "a range of TLS is outside of its buffer");
        Self::LocalAlert(AlertDescription::InternalError)
    }

    /// Alert for the peer, of a failure after the handshake.
    pub(super) fn alert(&self) -> Option<AlertDescription> {
        match self {
            Self::LocalAlert(alert) => Some(*alert),
            _ => None,
        }
    }
}

impl From<rustls::Error> for TlsFailure {
    fn from(error: rustls::Error) -> Self {
        Self::Handshake(error)
    }
}

/// Name of an alert, or its number.
struct Alert(AlertDescription);

impl fmt::Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_str() {
            Some(name) => f.write_str(name),
            None => u8::from(self.0).fmt(f),
        }
    }
}

impl fmt::Display for TlsFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Handshake(error) => error.fmt(f),
            Self::TooLong => write!(f, "a handshake message of over {TLS_HANDSHAKE_BYTES} bytes"),
            Self::NoRoom => f.write_str("no room for the server's handshake messages"),
            Self::LocalAlert(alert) => write!(f, "a record was rejected: {}", Alert(*alert)),
            Self::PeerAlert(alert) => write!(f, "the peer sent an alert: {}", Alert(*alert)),
        }
    }
}
