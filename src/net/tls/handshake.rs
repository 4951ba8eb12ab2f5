//! The handshake: rustls's own, over our buffers.
//!
//! rustls is given one record at a time. So it has read nothing beyond the client's last message when
//! the handshake is done, and what a client sends right behind it is ours to open.

use std::sync::Arc;

use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeTlsData, UnbufferedStatus};
use rustls::{AlertDescription, Error, ServerConfig};

use super::buffers::{Buffers, Incoming, Outgoing};
use super::failure::TlsFailure;
use super::record::{ALERT, HEADER_BYTES, OVERHEAD_BYTES};
use super::traffic::Traffic;
use crate::net::tls::TLS_HANDSHAKE_BYTES;

pub(super) struct Handshake {
    connection: UnbufferedServerConnection,
    /// Bytes of whole records that rustls knows and still has use for, at the front of the incoming.
    known: usize,
    /// Something was said, so that an alert in the clear would not be understood.
    answered: bool,
}

impl Handshake {
    pub(super) fn new(config: &Arc<ServerConfig>) -> Result<Self, TlsFailure> {
        let connection = UnbufferedServerConnection::new(Arc::clone(config))?;
        Ok(Self { connection, known: 0, answered: false })
    }

    /// Goes as far as what was received allows. Whether it is done: both sides have their keys.
    pub(super) fn advance(&mut self, buffers: &mut Buffers) -> Result<bool, TlsFailure> {
        let Buffers { incoming, outgoing } = buffers;
        let mut end = self.known;
        loop {
            let received = &mut incoming.sealed()[..end];
            let UnbufferedStatus { discard, state, .. } = self.connection.process_tls_records(received);
            let mut waits = false;
            match state {
                Ok(ConnectionState::EncodeTlsData(message)) => {
                    encode(message, outgoing)?;
                    self.answered = true;
                }
                Ok(ConnectionState::TransmitTlsData(message)) => message.done(),
                Ok(ConnectionState::BlockedHandshake) => waits = true,
                Ok(ConnectionState::WriteTraffic(_)) => {
                    incoming.skip(discard);
                    return Ok(true);
                }
                Ok(_) => return Err(TlsFailure::Refused(AlertDescription::UnexpectedMessage)),
                Err(error) => {
                    self.say_why(&error, end, incoming, outgoing)?;
                    return Err(error.into());
                }
            }
            incoming.skip(discard);
            self.known = self.known.saturating_sub(discard);
            end = end.saturating_sub(discard);
            if !waits {
                continue;
            }
            let received = incoming.sealed();
            let header = self.known + HEADER_BYTES;
            let next = match received[self.known..] {
                [_, _, _, high, low, ..] => header + usize::from(u16::from_be_bytes([high, low])),
                _ => header,
            };
            if next > TLS_HANDSHAKE_BYTES && end >= header {
                self.tell(outgoing, AlertDescription::DecodeError);
                return Err(TlsFailure::TooLong);
            }
            // A header is shown before its record is whole, and before its length is judged: if it is
            // none of TLS, rustls says so.
            let shown = if next > TLS_HANDSHAKE_BYTES { header } else { next }.min(received.len());
            if next == shown && next > header {
                self.known = next;
            } else if shown <= end {
                return Ok(false);
            }
            end = shown;
        }
    }

    /// Sends what rustls had ready when it failed: its alert, and what it said just before, without
    /// which the alert would not be understood.
    fn say_why(
        &mut self,
        error: &Error,
        end: usize,
        incoming: &mut Incoming,
        outgoing: &mut Outgoing,
    ) -> Result<(), TlsFailure> {
        loop {
            // What is ready comes first. rustls looks at the same bytes for it, for it has a place in
            // them; once the alert is out it is not to look again.
            let received = &mut incoming.sealed()[..end];
            let status = self.connection.process_tls_records(received);
            let Ok(ConnectionState::EncodeTlsData(message)) = status.state else { break };
            let start = outgoing.pending().len();
            encode(message, outgoing)?;
            self.answered = true;
            if is_alert(&outgoing.pending()[start..]) {
                return Ok(());
            }
        }
        // Of some faults rustls says nothing to the peer.
        if !matches!(error, Error::AlertReceived(_)) {
            self.tell(outgoing, description(error));
        }
        Ok(())
    }

    /// Tells the client why this is the end, in the clear: as long as nothing else was said, it is
    /// understood so.
    fn tell(&self, outgoing: &mut Outgoing, alert: AlertDescription) {
        let record = [ALERT, 3, 3, 0, 2, 2, alert.into()];
        if !self.answered
            && let Some(space) = outgoing.space().first_chunk_mut()
        {
            *space = record;
            outgoing.add(record.len());
        }
    }

    /// The keys that were agreed on.
    pub(super) fn finish(self) -> Result<Traffic, TlsFailure> {
        let (secrets, connection) = self.connection.dangerous_into_kernel_connection()?;
        Traffic::new(secrets, connection).map_err(TlsFailure::Refused)
    }
}

/// Whether this is the record of an alert, in the clear or sealed: no other has so little in it.
fn is_alert(record: &[u8]) -> bool {
    matches!(record, [ALERT, ..]) || record.len() == 2 + OVERHEAD_BYTES
}

/// What the peer is told of an error of which rustls tells it nothing.
fn description(error: &Error) -> AlertDescription {
    match error {
        Error::InvalidMessage(_) => AlertDescription::DecodeError,
        _ => AlertDescription::HandshakeFailure,
    }
}

fn encode<D>(mut message: EncodeTlsData<'_, D>, outgoing: &mut Outgoing) -> Result<(), TlsFailure> {
    let count = message.encode(outgoing.space()).map_err(|_| TlsFailure::NoRoom)?;
    outgoing.add(count);
    Ok(())
}
