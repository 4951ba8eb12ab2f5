//! Handshake of rustls, over the buffers of the connection.
//!
//! rustls gets one record at a time. At the end of the handshake it has therefore read nothing beyond the
//! client's last message, and the record layer opens the data that follows.

use std::sync::Arc;

use rustls::AlertDescription::{
    self, DecodeError, HandshakeFailure, MissingExtension, ProtocolVersion, RecordOverflow, UnexpectedMessage,
};
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeTlsData, UnbufferedStatus};
use rustls::{Error, PeerIncompatible, ServerConfig};

use super::buffers::{Buffers, Incoming, Outgoing};
use super::client_certificate;
use super::failure::TlsFailure;
use super::record::{
    ALERT, APPLICATION_DATA, CONTENT_BYTES, HANDSHAKE, HEADER_BYTES, OVERHEAD_BYTES, SEALED_BYTES,
};
use super::record_layer::RecordLayer;
use super::suites::is_erased;
use super::{TLS_HANDSHAKE_BYTES, TLS_RECORD_BYTES};

/// Place of the version in a hello, behind the headers of record and message.
const HELLO_VERSION: usize = HEADER_BYTES + 4;

pub(super) struct Handshake {
    connection: UnbufferedServerConnection,
    /// The client is asked for a certificate.
    asks: bool,
    /// Bytes of whole records, at the front of the input, that rustls has seen and still uses.
    known: usize,
    sent: Sent,
}

/// Records that were sent to the client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Sent {
    Nothing,
    /// A demand for another hello, which is in the clear.
    Clear,
    /// Alerts have to be sealed, too.
    Sealed,
}

impl Handshake {
    pub(super) fn new(config: &Arc<ServerConfig>, asks: bool) -> Result<Self, TlsFailure> {
        // Asked from the begin on, rustls would keep all messages, as TLS 1.2 needs them.
        client_certificate::ask(false);
        let connection = UnbufferedServerConnection::new(Arc::clone(config))?;
        Ok(Self { connection, asks, known: 0, sent: Sent::Nothing })
    }

    /// Returns true once a message was sent.
    pub(super) fn is_answered(&self) -> bool {
        self.sent != Sent::Nothing
    }

    /// Processes the input. Returns whether the handshake is done and both sides have their keys.
    pub(super) fn advance(&mut self, buffers: &mut Buffers) -> Result<bool, TlsFailure> {
        client_certificate::ask(self.asks);
        let Buffers { incoming, outgoing } = buffers;
        // The record that rustls sees for the first time, up to the end of what it sees.
        let (mut start, mut end) = (self.known, self.known);
        loop {
            let received = incoming.sealed().get_mut(..end).ok_or_else(TlsFailure::internal)?;
            let UnbufferedStatus { discard, state, .. } = self.connection.process_tls_records(received);
            let mut waits = false;
            match state {
                Ok(ConnectionState::EncodeTlsData(message)) => encode(message, outgoing, &mut self.sent)?,
                Ok(ConnectionState::TransmitTlsData(message)) => message.done(),
                Ok(ConnectionState::BlockedHandshake) => waits = true,
                Ok(ConnectionState::WriteTraffic(_)) => {
                    incoming.skip(discard);
                    return Ok(true);
                }
                Ok(_) => return Err(TlsFailure::LocalAlert(UnexpectedMessage)),
                Err(error) => {
                    if matches!(
                        error,
                        Error::PeerIncompatible(PeerIncompatible::SignatureAlgorithmsExtensionRequired)
                    ) {
                        // rustls looks for it before the version, and sends handshake_failure for both.
                        let is_old = matches!(incoming.sealed().get(HELLO_VERSION..), Some([3, 0..=2, ..]));
                        put_alert(if is_old { ProtocolVersion } else { MissingExtension }, outgoing);
                    } else if !matches!(error, Error::AlertReceived(_)) {
                        self.send_alert(description(&error), start, end, incoming, outgoing)?;
                    }
                    return Err(error.into());
                }
            }
            incoming.skip(discard);
            self.known = self.known.saturating_sub(discard);
            (start, end) = (start.saturating_sub(discard), end.saturating_sub(discard));
            if !waits {
                continue;
            }
            let received = incoming.sealed();
            if start == 0 && self.known == end && received.get(..end).is_some_and(is_erased) {
                // Early data, which rustls passes over and would count again with the next record.
                incoming.skip(end);
                (self.known, end) = (0, 0);
            }
            let received = incoming.sealed();
            start = self.known;
            let header = start + HEADER_BYTES;
            let (mut next, mut limit) = (header, TLS_HANDSHAKE_BYTES);
            if let Some(&[kind, _, _, high, low, ..]) = received.get(start..) {
                next += usize::from(u16::from_be_bytes([high, low]));
                if kind == APPLICATION_DATA && start == 0 {
                    // It may be padding for the most part, or early data.
                    limit = TLS_RECORD_BYTES;
                }
            }
            if next > limit && end >= header {
                let is_overlong = start == 0 && next - header > CONTENT_BYTES;
                let alert = if is_overlong { RecordOverflow } else { DecodeError };
                self.send_alert(alert, start, end, incoming, outgoing)?;
                return Err(TlsFailure::TooLong);
            }
            // rustls sees a header before its record is whole, and before its length is checked: it reports
            // one that is not of TLS.
            let shown = if next > limit { header } else { next }.min(received.len());
            if next == shown {
                self.known = next;
            } else if shown <= end {
                return Ok(false);
            }
            end = shown;
        }
    }

    /// Sends an alert: the one that rustls has ready, or this one. rustls has seen the input up to `end`, with
    /// the record at `start` as the last.
    fn send_alert(
        &mut self,
        alert: AlertDescription,
        start: usize,
        mut end: usize,
        incoming: &mut Incoming,
        outgoing: &mut Outgoing,
    ) -> Result<(), TlsFailure> {
        let mut provoked = self.sent == Sent::Sealed;
        if provoked {
            // Only rustls has the key: it gets a record that it refuses with this alert, in place of the client's.
            let room = incoming.space().len();
            incoming.add(room);
            let received = incoming.sealed();
            end = received.len();
            let record = received.get_mut(start..).ok_or_else(TlsFailure::internal)?;
            record.fill(0);
            if let Some(header) = record.first_chunk_mut() {
                *header = refused_with(alert);
            }
        }
        loop {
            // Before its alert, rustls sends the messages without which the client would not understand it. It
            // keeps its place in the same bytes; once the alert is out it must not see them again.
            let received = incoming.sealed().get_mut(..end).ok_or_else(TlsFailure::internal)?;
            match self.connection.process_tls_records(received).state {
                Ok(ConnectionState::EncodeTlsData(message)) => {
                    let sent = outgoing.pending().len();
                    encode(message, outgoing, &mut self.sent)?;
                    if outgoing.pending().get(sent..).is_some_and(is_alert) {
                        return Ok(());
                    }
                }
                Err(_) if provoked => provoked = false,
                _ => break,
            }
        }
        if self.sent != Sent::Sealed {
            put_alert(alert, outgoing);
        }
        Ok(())
    }

    /// The record layer with the agreed keys, and the key of the certificate with which the client has signed.
    pub(super) fn finish(self) -> Result<RecordLayer, TlsFailure> {
        let certificate = self.connection.peer_certificates().and_then(|chain| chain.first());
        let client_key = certificate.and_then(client_certificate::key_of);
        let (secrets, connection) = self.connection.dangerous_into_kernel_connection()?;
        let mut records = RecordLayer::new(secrets, connection).map_err(TlsFailure::LocalAlert)?;
        records.client_key = client_key;
        Ok(records)
    }
}

/// Puts an alert in the clear.
fn put_alert(alert: AlertDescription, outgoing: &mut Outgoing) {
    let record = [ALERT, 3, 3, 0, 2, 2, alert.into()];
    if let Some(space) = outgoing.space().first_chunk_mut() {
        *space = record;
        outgoing.add(record.len());
    }
}

/// Returns true for the record of an alert, in the clear or sealed: no other is as short.
fn is_alert(record: &[u8]) -> bool {
    matches!(record, [ALERT, ..]) || record.len() == 2 + OVERHEAD_BYTES
}

/// Header of a record that is refused with this alert: too long for any content, of no type, or in the clear.
fn refused_with(alert: AlertDescription) -> [u8; HEADER_BYTES] {
    let [high, low] = (SEALED_BYTES as u16).to_be_bytes();
    match alert {
        RecordOverflow => [APPLICATION_DATA, 3, 3, high, low],
        DecodeError => [0; HEADER_BYTES],
        _ => [HANDSHAKE, 3, 3, 0, 1],
    }
}

/// The alert for an error for which rustls has none.
fn description(error: &Error) -> AlertDescription {
    match error {
        Error::InvalidMessage(_) => DecodeError,
        Error::PeerMisbehaved(_) => UnexpectedMessage,
        _ => HandshakeFailure,
    }
}

fn encode<D>(
    mut message: EncodeTlsData<'_, D>,
    outgoing: &mut Outgoing,
    sent: &mut Sent,
) -> Result<(), TlsFailure> {
    let space = outgoing.space();
    let count = message.encode(space).map_err(|_| TlsFailure::NoRoom)?;
    *sent = if space.first() == Some(&APPLICATION_DATA) { Sent::Sealed } else { Sent::Clear };
    outgoing.add(count);
    Ok(())
}
