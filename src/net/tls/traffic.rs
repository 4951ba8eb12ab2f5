//! After the handshake: data, alerts and new keys (RFC 8446, 4.6.3, 5 and 6).

use rustls::kernel::KernelConnection;
use rustls::server::ServerConnectionData;
use rustls::{AlertDescription, ExtractedSecrets};

use super::buffers::{Incoming, Outgoing};
use super::failure::TlsFailure;
use super::record::{
    ALERT, APPLICATION_DATA, CONTENT_BYTES, Content, HANDSHAKE, HEADER_BYTES, OVERHEAD_BYTES, RecordKey,
    SEALED_BYTES,
};
use crate::net::tls::TLS_IDLE_RECORDS;

const KEY_UPDATE: u8 = 24;
const KEY_UPDATE_RECORD: usize = 5 + OVERHEAD_BYTES;
const ALERT_RECORD: usize = 2 + OVERHEAD_BYTES;
/// Room that data leaves for a new key and the last alert.
pub(super) const CONTROL_ROOM: usize = KEY_UPDATE_RECORD + ALERT_RECORD;
/// Data does not start a record for less than this where more waits.
const LEAST_CONTENT: usize = 512;
/// Records that a sending key keeps back for the message that ends it and an alert.
const LAST_RECORDS: u64 = 2;

pub(super) struct Traffic {
    receiving: RecordKey,
    sending: RecordKey,
    /// Records that the sending key may seal.
    sending_limit: u64,
    /// What makes new keys of the old.
    connection: KernelConnection<ServerConnectionData>,
    /// Records in a row that brought no data.
    idle_records: u8,
    /// The peer is to be told of a new key of ours before anything else.
    owes_key: bool,
    /// The last word is said: no more is sealed.
    closed: bool,
    closed_by_peer: bool,
}

impl Traffic {
    pub(super) fn new(
        secrets: ExtractedSecrets,
        connection: KernelConnection<ServerConnectionData>,
    ) -> Result<Self, AlertDescription> {
        let suite = connection.negotiated_cipher_suite().tls13().ok_or(AlertDescription::InternalError)?;
        Ok(Self {
            receiving: RecordKey::new(secrets.rx)?,
            sending: RecordKey::new(secrets.tx)?,
            sending_limit: suite.common.confidentiality_limit,
            connection,
            idle_records: 0,
            owes_key: false,
            closed: false,
            closed_by_peer: false,
        })
    }

    /// Makes the sending key spent after so many records.
    #[cfg(test)]
    pub(super) fn limit_sending(&mut self, records: u64) {
        self.sending_limit = records;
    }

    pub(super) fn is_closed_by_peer(&self) -> bool {
        self.closed_by_peer
    }

    /// Opens records until there is data to read, or no whole record is left.
    pub(super) fn receive(
        &mut self,
        incoming: &mut Incoming,
        outgoing: &mut Outgoing,
    ) -> Result<(), TlsFailure> {
        while incoming.opened().is_empty() {
            if self.closed_by_peer {
                // Whatever comes after a goodbye was not said by the peer (6.1).
                incoming.clear();
                return Ok(());
            }
            let received = incoming.sealed();
            let [kind, _, _, high, low, ..] = *received else { return Ok(()) };
            let length = usize::from(u16::from_be_bytes([high, low]));
            if kind != APPLICATION_DATA {
                return Err(TlsFailure::Refused(AlertDescription::UnexpectedMessage));
            }
            if length > SEALED_BYTES {
                return Err(TlsFailure::Refused(AlertDescription::RecordOverflow));
            }
            let end = HEADER_BYTES + length;
            let Some(record) = received.get_mut(..end) else { return Ok(()) };
            let content = self.receiving.open(record).map_err(TlsFailure::Refused)?;
            if content.kind == APPLICATION_DATA && content.len > 0 {
                self.idle_records = 0;
                incoming.open(end, content.len);
                return Ok(());
            }
            if self.idle_records >= TLS_IDLE_RECORDS {
                return Err(TlsFailure::Refused(AlertDescription::UnexpectedMessage));
            }
            self.idle_records += 1;
            match content.kind {
                APPLICATION_DATA => {}
                ALERT => self.hear_alert(&record[HEADER_BYTES..HEADER_BYTES + content.len])?,
                HANDSHAKE => self.hear_handshake(&record[HEADER_BYTES..HEADER_BYTES + content.len])?,
                _ => return Err(TlsFailure::Refused(AlertDescription::UnexpectedMessage)),
            }
            incoming.skip(end);
            self.renew(outgoing)?;
        }
        Ok(())
    }

    /// The level of an alert says nothing in TLS 1.3 (RFC 8446, 6).
    fn hear_alert(&mut self, alert: &[u8]) -> Result<(), TlsFailure> {
        let alert = match *alert {
            [_, alert] => alert,
            // An empty record of this kind is another fault (5.4).
            [] => return Err(TlsFailure::Refused(AlertDescription::UnexpectedMessage)),
            _ => return Err(TlsFailure::Refused(AlertDescription::DecodeError)),
        };
        match AlertDescription::from(alert) {
            AlertDescription::CloseNotify => self.closed_by_peer = true,
            AlertDescription::UserCanceled => {}
            alert => return Err(TlsFailure::Told(alert)),
        }
        Ok(())
    }

    /// A new key of the peer's, whole and alone in its record, is all that a client may say now.
    fn hear_handshake(&mut self, message: &[u8]) -> Result<(), TlsFailure> {
        let refused = |alert| Err(TlsFailure::Refused(alert));
        match *message {
            [KEY_UPDATE, 0, 0, 1, 0] => {}
            [KEY_UPDATE, 0, 0, 1, 1] => self.owes_key = true,
            [KEY_UPDATE, 0, 0, 1, _] => return refused(AlertDescription::IllegalParameter),
            [KEY_UPDATE, high, middle, low, ref body @ ..]
                if body.len() == u32::from_be_bytes([0, high, middle, low]) as usize =>
            {
                return refused(AlertDescription::DecodeError);
            }
            _ => return refused(AlertDescription::UnexpectedMessage),
        }
        let secrets = self.connection.update_rx_secret()?;
        self.receiving = RecordKey::new(secrets).map_err(TlsFailure::Refused)?;
        Ok(())
    }

    /// Seals as much of `data` as one record takes and there is room for; none while the peer has to
    /// hear of a new key first and there is no room for that.
    pub(super) fn seal(&mut self, data: &[u8], outgoing: &mut Outgoing) -> Result<usize, TlsFailure> {
        if self.sending.sequence() >= self.sending_limit - LAST_RECORDS {
            self.owes_key = true;
        }
        self.renew(outgoing)?;
        let room = outgoing.space().len().saturating_sub(CONTROL_ROOM + OVERHEAD_BYTES).min(CONTENT_BYTES);
        let count = data.len().min(room);
        if self.closed || self.owes_key || count < data.len().min(LEAST_CONTENT) {
            return Ok(0);
        }
        self.put(APPLICATION_DATA, &data[..count], outgoing)?;
        Ok(count)
    }

    /// Changes the sending key if that is owed and there is room to say so (4.6.3).
    pub(super) fn renew(&mut self, outgoing: &mut Outgoing) -> Result<(), TlsFailure> {
        if !self.owes_key || self.closed || outgoing.space().len() < CONTROL_ROOM {
            return Ok(());
        }
        // The peer is asked for nothing: its keys are its own affair.
        self.put(HANDSHAKE, &[KEY_UPDATE, 0, 0, 1, 0], outgoing)?;
        let secrets = self.connection.update_tx_secret()?;
        self.sending = RecordKey::new(secrets).map_err(TlsFailure::Refused)?;
        self.owes_key = false;
        Ok(())
    }

    /// Says the last word, once.
    pub(super) fn close(&mut self, alert: AlertDescription, outgoing: &mut Outgoing) {
        const WARNING: u8 = 1;
        const FATAL: u8 = 2;
        let level = if alert == AlertDescription::CloseNotify { WARNING } else { FATAL };
        if !self.closed {
            // There is always room, and a key that seals nothing more closes without a word.
            let _ = self.put(ALERT, &[level, alert.into()], outgoing);
            self.closed = true;
        }
    }

    fn put(&mut self, kind: u8, content: &[u8], outgoing: &mut Outgoing) -> Result<(), TlsFailure> {
        let space = outgoing.space();
        let place = space.get_mut(HEADER_BYTES..HEADER_BYTES + content.len()).ok_or(TlsFailure::NoRoom)?;
        place.copy_from_slice(content);
        let content = Content { kind, len: content.len() };
        let count = self.sending.seal(content, space).map_err(TlsFailure::Refused)?;
        outgoing.add(count);
        Ok(())
    }
}
