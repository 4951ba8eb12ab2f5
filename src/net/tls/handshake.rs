//! The handshake: rustls's own, over our buffers.
//!
//! rustls is given one record at a time. So it has read nothing beyond the client's last message when
//! the handshake is done, and what a client sends right behind it is ours to open.

use std::sync::Arc;

use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeTlsData, UnbufferedStatus};
use rustls::{AlertDescription, ServerConfig};

use super::buffers::{Buffers, Outgoing};
use super::failure::TlsFailure;
use super::record::{ALERT, HEADER_BYTES, SEALED_BYTES};
use super::traffic::Traffic;

/// How far it has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Progress {
    /// It is the client's turn.
    Waits,
    /// Both sides have their keys.
    Done,
    /// The client has thought better of it.
    Closed,
}

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

    /// Goes as far as what was received allows.
    pub(super) fn advance(&mut self, buffers: &mut Buffers) -> Result<Progress, TlsFailure> {
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
                    return Ok(Progress::Done);
                }
                Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => return Ok(Progress::Closed),
                Ok(_) => return Err(TlsFailure::Refused(AlertDescription::UnexpectedMessage)),
                Err(error) => {
                    // The same bytes once more, for rustls has a place in them; it has an alert to give
                    // now, or the same error.
                    let received = &mut incoming.sealed()[..end];
                    let status = self.connection.process_tls_records(received);
                    match status.state {
                        Ok(ConnectionState::EncodeTlsData(alert)) => encode(alert, outgoing)?,
                        // Of some faults rustls says nothing to the peer.
                        _ => self.tell(outgoing, description(&error)),
                    }
                    return Err(error.into());
                }
            }
            incoming.skip(discard);
            self.known = self.known.saturating_sub(discard);
            end = end.saturating_sub(discard);
            if !waits {
                continue;
            }
            // A record that is not whole is shown, too: if its header is wrong, rustls says so at once.
            let received = incoming.sealed();
            let (next, is_whole) = match received[self.known..] {
                [_, _, _, high, low, ..] => {
                    let length = usize::from(u16::from_be_bytes([high, low]));
                    if (SEALED_BYTES + 1..SEALED_BYTES + 2048).contains(&length) {
                        return Err(self.refuse(buffers, AlertDescription::RecordOverflow));
                    }
                    let next = self.known + HEADER_BYTES + length;
                    (next.min(received.len()), next <= received.len())
                }
                _ => (self.known, false),
            };
            if is_whole {
                self.known = next;
            } else if incoming.is_full() {
                return Err(self.refuse(buffers, AlertDescription::DecodeError));
            } else if next <= end {
                return Ok(Progress::Waits);
            }
            end = next;
        }
    }

    /// The client sends more than there is room for.
    fn refuse(&self, buffers: &mut Buffers, alert: AlertDescription) -> TlsFailure {
        self.tell(&mut buffers.outgoing, alert);
        TlsFailure::TooLong
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

/// What the peer is told of an error of which rustls tells it nothing.
fn description(error: &rustls::Error) -> AlertDescription {
    match error {
        rustls::Error::InvalidMessage(_) => AlertDescription::DecodeError,
        _ => AlertDescription::HandshakeFailure,
    }
}

fn encode<D>(mut message: EncodeTlsData<'_, D>, outgoing: &mut Outgoing) -> Result<(), TlsFailure> {
    let count = message.encode(outgoing.space()).map_err(|_| TlsFailure::NoRoom)?;
    outgoing.add(count);
    Ok(())
}
