//! Handshake of rustls, over the buffers of the connection.
//!
//! rustls gets one record at a time. At the end of the handshake it has therefore read nothing beyond the
//! client's last message, and the record layer opens the data that follows.

use std::sync::Arc;

use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeTlsData, UnbufferedStatus};
use rustls::{AlertDescription, Error, ServerConfig};

use super::TLS_HANDSHAKE_BYTES;
use super::buffers::{Buffers, Incoming, Outgoing};
use super::failure::TlsFailure;
use super::record::{ALERT, HEADER_BYTES, OVERHEAD_BYTES};
use super::record_layer::RecordLayer;

pub(super) struct Handshake {
    connection: UnbufferedServerConnection,
    /// Bytes of whole records, at the front of the input, that rustls has seen and still uses.
    known: usize,
    /// A message was sent, so alerts must be encrypted from now on.
    answered: bool,
}

impl Handshake {
    pub(super) fn new(config: &Arc<ServerConfig>) -> Result<Self, TlsFailure> {
        let connection = UnbufferedServerConnection::new(Arc::clone(config))?;
        Ok(Self { connection, known: 0, answered: false })
    }

    /// Returns true once a message was sent.
    pub(super) fn is_answered(&self) -> bool {
        self.answered
    }

    /// Processes the input. Returns whether the handshake is done and both sides have their keys.
    pub(super) fn advance(&mut self, buffers: &mut Buffers) -> Result<bool, TlsFailure> {
        let Buffers { incoming, outgoing } = buffers;
        let mut end = self.known;
        loop {
            let received = incoming.sealed().get_mut(..end).ok_or_else(TlsFailure::internal)?;
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
                Ok(_) => return Err(TlsFailure::LocalAlert(AlertDescription::UnexpectedMessage)),
                Err(error) => {
                    self.report_failure(&error, end, incoming, outgoing)?;
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
            let next = match received.get(self.known..) {
                Some(&[_, _, _, high, low, ..]) => header + usize::from(u16::from_be_bytes([high, low])),
                _ => header,
            };
            if next > TLS_HANDSHAKE_BYTES && end >= header {
                self.send_alert(outgoing, AlertDescription::DecodeError);
                return Err(TlsFailure::TooLong);
            }
            // rustls sees a header before its record is whole, and before its length is checked: it reports
            // one that is not of TLS.
            let shown = if next > TLS_HANDSHAKE_BYTES { header } else { next }.min(received.len());
            if next == shown && next > header {
                self.known = next;
            } else if shown <= end {
                return Ok(false);
            }
            end = shown;
        }
    }

    /// Sends what rustls had ready when it failed: its alert, and the messages just before it, without which
    /// the client would not understand the alert.
    fn report_failure(
        &mut self,
        error: &Error,
        end: usize,
        incoming: &mut Incoming,
        outgoing: &mut Outgoing,
    ) -> Result<(), TlsFailure> {
        loop {
            // rustls keeps its place in the same bytes; once the alert is out it must not see them again.
            let received = incoming.sealed().get_mut(..end).ok_or_else(TlsFailure::internal)?;
            let status = self.connection.process_tls_records(received);
            let Ok(ConnectionState::EncodeTlsData(message)) = status.state else { break };
            let start = outgoing.pending().len();
            encode(message, outgoing)?;
            self.answered = true;
            if outgoing.pending().get(start..).is_some_and(is_alert) {
                return Ok(());
            }
        }
        // For some errors rustls has no alert.
        if !matches!(error, Error::AlertReceived(_)) {
            self.send_alert(outgoing, description(error));
        }
        Ok(())
    }

    /// Sends an alert in the clear, which the client understands as long as nothing else was sent.
    fn send_alert(&self, outgoing: &mut Outgoing, alert: AlertDescription) {
        let record = [ALERT, 3, 3, 0, 2, 2, alert.into()];
        if !self.answered
            && let Some(space) = outgoing.space().first_chunk_mut()
        {
            *space = record;
            outgoing.add(record.len());
        }
    }

    /// The record layer with the agreed keys.
    pub(super) fn finish(self) -> Result<RecordLayer, TlsFailure> {
        let (secrets, connection) = self.connection.dangerous_into_kernel_connection()?;
        RecordLayer::new(secrets, connection).map_err(TlsFailure::LocalAlert)
    }
}

/// Returns true for the record of an alert, in the clear or sealed: no other is as short.
fn is_alert(record: &[u8]) -> bool {
    matches!(record, [ALERT, ..]) || record.len() == 2 + OVERHEAD_BYTES
}

/// The alert for an error for which rustls has none.
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
