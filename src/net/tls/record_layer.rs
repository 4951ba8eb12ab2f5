//! Record layer after the handshake: data, alerts and key updates (RFC 8446, 4.6.3, 5 and 6).

use rustls::kernel::KernelConnection;
use rustls::server::ServerConnectionData;
use rustls::{AlertDescription, ExtractedSecrets};

use super::TLS_IDLE_RECORDS;
use super::buffers::{Incoming, Outgoing};
use super::failure::TlsFailure;
use super::record::{
    ALERT, APPLICATION_DATA, CONTENT_BYTES, Content, HANDSHAKE, HEADER_BYTES, OVERHEAD_BYTES, SEALED_BYTES,
    TrafficKey,
};

const KEY_UPDATE: u8 = 24;
const KEY_UPDATE_RECORD: usize = 5 + OVERHEAD_BYTES;
const ALERT_RECORD: usize = 2 + OVERHEAD_BYTES;
/// Room that data leaves for a key update and the final alert.
pub(super) const CONTROL_ROOM: usize = KEY_UPDATE_RECORD + ALERT_RECORD;
/// Least content of a record while more data waits.
const LEAST_CONTENT: usize = 512;
/// Records of a sending key that are reserved for its key update and an alert.
const LAST_RECORDS: u64 = 2;

pub(super) struct RecordLayer {
    receiving: TrafficKey,
    sending: TrafficKey,
    /// Records that the sending key may seal.
    sending_limit: u64,
    /// Derives new keys from the old ones.
    connection: KernelConnection<ServerConnectionData>,
    /// SHA-256 of the public key of the client's certificate.
    pub(super) client_key: Option<[u8; 32]>,
    /// Records in a row without data.
    idle_records: u8,
    /// A key update has to be sent before anything else.
    key_update_pending: bool,
    /// The final alert is sent: nothing more is sealed.
    closed: bool,
    closed_by_peer: bool,
}

impl RecordLayer {
    pub(super) fn new(
        secrets: ExtractedSecrets,
        connection: KernelConnection<ServerConnectionData>,
    ) -> Result<Self, AlertDescription> {
        let suite = connection.negotiated_cipher_suite().tls13().ok_or(AlertDescription::InternalError)?;
        Ok(Self {
            receiving: TrafficKey::new(secrets.rx)?,
            sending: TrafficKey::new(secrets.tx)?,
            sending_limit: suite.common.confidentiality_limit,
            connection,
            client_key: None,
            idle_records: 0,
            key_update_pending: false,
            closed: false,
            closed_by_peer: false,
        })
    }

    /// Limits the sending key to this many records.
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
                // Bytes after a close_notify are ignored (6.1).
                incoming.clear();
                return Ok(());
            }
            let received = incoming.sealed();
            let [kind, _, _, high, low, ..] = *received else { return Ok(()) };
            let length = usize::from(u16::from_be_bytes([high, low]));
            if kind != APPLICATION_DATA {
                return Err(TlsFailure::LocalAlert(AlertDescription::UnexpectedMessage));
            }
            if length > SEALED_BYTES {
                return Err(TlsFailure::LocalAlert(AlertDescription::RecordOverflow));
            }
            let end = HEADER_BYTES + length;
            let Some(record) = received.get_mut(..end) else { return Ok(()) };
            let content = self.receiving.open(record).map_err(TlsFailure::LocalAlert)?;
            if content.kind == APPLICATION_DATA && content.len > 0 {
                self.idle_records = 0;
                incoming.open(end, content.len);
                return Ok(());
            }
            if self.idle_records >= TLS_IDLE_RECORDS {
                return Err(TlsFailure::LocalAlert(AlertDescription::UnexpectedMessage));
            }
            self.idle_records += 1;
            let bytes = record.get(HEADER_BYTES..HEADER_BYTES + content.len);
            let bytes = bytes.ok_or_else(TlsFailure::internal)?;
            match content.kind {
                APPLICATION_DATA => {}
                ALERT => self.handle_alert(bytes)?,
                HANDSHAKE => self.handle_handshake(bytes)?,
                _ => return Err(TlsFailure::LocalAlert(AlertDescription::UnexpectedMessage)),
            }
            incoming.skip(end);
            self.update_key(outgoing)?;
        }
        Ok(())
    }

    /// Handles an alert, whose level has no meaning in TLS 1.3 (RFC 8446, 6).
    fn handle_alert(&mut self, alert: &[u8]) -> Result<(), TlsFailure> {
        let alert = match *alert {
            [_, alert] => alert,
            // An empty record of this type is another error (5.4).
            [] => return Err(TlsFailure::LocalAlert(AlertDescription::UnexpectedMessage)),
            _ => return Err(TlsFailure::LocalAlert(AlertDescription::DecodeError)),
        };
        match AlertDescription::from(alert) {
            AlertDescription::CloseNotify => self.closed_by_peer = true,
            AlertDescription::UserCanceled => {}
            alert => return Err(TlsFailure::PeerAlert(alert)),
        }
        Ok(())
    }

    /// Handles a handshake message. A client may send nothing but a KeyUpdate, whole and alone in its record.
    fn handle_handshake(&mut self, message: &[u8]) -> Result<(), TlsFailure> {
        let refused = |alert| Err(TlsFailure::LocalAlert(alert));
        match *message {
            [KEY_UPDATE, 0, 0, 1, 0] => {}
            [KEY_UPDATE, 0, 0, 1, 1] => self.key_update_pending = true,
            [KEY_UPDATE, 0, 0, 1, _] => return refused(AlertDescription::IllegalParameter),
            [KEY_UPDATE, high, middle, low, ref body @ ..]
                if body.len() == u32::from_be_bytes([0, high, middle, low]) as usize =>
            {
                return refused(AlertDescription::DecodeError);
            }
            _ => return refused(AlertDescription::UnexpectedMessage),
        }
        let secrets = self.connection.update_rx_secret()?;
        self.receiving = TrafficKey::new(secrets).map_err(TlsFailure::LocalAlert)?;
        Ok(())
    }

    /// Seals as much of `data` as fits one record and the output. Returns the number of bytes: 0 while a key
    /// update must be sent first and does not fit.
    pub(super) fn seal(&mut self, data: &[u8], outgoing: &mut Outgoing) -> Result<usize, TlsFailure> {
        if self.sending.sequence() >= self.sending_limit - LAST_RECORDS {
            self.key_update_pending = true;
        }
        self.update_key(outgoing)?;
        let room = outgoing.space().len().saturating_sub(CONTROL_ROOM + OVERHEAD_BYTES).min(CONTENT_BYTES);
        let count = data.len().min(room);
        if self.closed || self.key_update_pending || count < data.len().min(LEAST_CONTENT) {
            return Ok(0);
        }
        let (content, _) = data.split_at(count);
        self.put(APPLICATION_DATA, content, outgoing)?;
        Ok(count)
    }

    /// Updates the sending key if that is pending and there is room for the message (4.6.3).
    pub(super) fn update_key(&mut self, outgoing: &mut Outgoing) -> Result<(), TlsFailure> {
        if !self.key_update_pending || self.closed || outgoing.space().len() < CONTROL_ROOM {
            return Ok(());
        }
        // The peer is not asked to update its own key.
        self.put(HANDSHAKE, &[KEY_UPDATE, 0, 0, 1, 0], outgoing)?;
        let secrets = self.connection.update_tx_secret()?;
        self.sending = TrafficKey::new(secrets).map_err(TlsFailure::LocalAlert)?;
        self.key_update_pending = false;
        Ok(())
    }

    /// Sends the final alert, once.
    pub(super) fn close(&mut self, alert: AlertDescription, outgoing: &mut Outgoing) {
        const WARNING: u8 = 1;
        const FATAL: u8 = 2;
        let level = if alert == AlertDescription::CloseNotify { WARNING } else { FATAL };
        if !self.closed {
            if self.put(ALERT, &[level, alert.into()], outgoing).is_err() {
                // A key whose records are used up seals no alert either.
                crate::debug!("TLS: the final alert cannot be sent");
            }
            self.closed = true;
        }
    }

    fn put(&mut self, kind: u8, content: &[u8], outgoing: &mut Outgoing) -> Result<(), TlsFailure> {
        let space = outgoing.space();
        let place = space.get_mut(HEADER_BYTES..HEADER_BYTES + content.len()).ok_or(TlsFailure::NoRoom)?;
        place.copy_from_slice(content);
        let content = Content { kind, len: content.len() };
        let count = self.sending.seal(content, space).map_err(TlsFailure::LocalAlert)?;
        outgoing.add(count);
        Ok(())
    }
}
