//! TLS records under one key (RFC 8446, 5.2 to 5.5), sealed and opened in place.

use ring::aead::{
    AES_128_GCM, AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey,
};
use rustls::{AlertDescription, ConnectionTrafficSecrets};

/// Header of a record: its type, a legacy version and its length.
pub(super) const HEADER_BYTES: usize = 5;
/// Most bytes of content in a record.
pub(super) const CONTENT_BYTES: usize = 1 << 14;
/// Most bytes behind the header of a sealed record.
pub(super) const SEALED_BYTES: usize = CONTENT_BYTES + 256;
/// Bytes of a record beside its content: header, type of the content, tag.
pub(super) const OVERHEAD_BYTES: usize = HEADER_BYTES + 1 + TAG_BYTES;
const TAG_BYTES: usize = 16;
const NONCE_BYTES: usize = 12;

/// Types of content (RFC 8446, 5.1).
pub(super) const ALERT: u8 = 21;
pub(super) const HANDSHAKE: u8 = 22;
pub(super) const APPLICATION_DATA: u8 = 23;

/// Content of a record: `len` bytes of this type, right behind the header.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Content {
    pub(super) kind: u8,
    pub(super) len: usize,
}

/// Key of one direction, with the number of the next record.
///
/// The key stays expanded: to expand it for each record takes more time than the record, and keeping
/// it takes 544 bytes (docs/decisions/0012).
pub(super) struct TrafficKey {
    key: LessSafeKey,
    iv: [u8; NONCE_BYTES],
    sequence: u64,
}

impl TrafficKey {
    /// The key and the number of the first record under it, as rustls returns them.
    pub(super) fn new(
        (sequence, secrets): (u64, ConnectionTrafficSecrets),
    ) -> Result<Self, AlertDescription> {
        let (algorithm, key, iv) = match &secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (&AES_128_GCM, key, iv),
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (&AES_256_GCM, key, iv),
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (&CHACHA20_POLY1305, key, iv),
            _ => return Err(AlertDescription::InternalError),
        };
        Self::from_parts(algorithm, key.as_ref(), iv.as_ref(), sequence)
            .ok_or(AlertDescription::InternalError)
    }

    /// `None` if the length of key or iv is not the algorithm's.
    pub(super) fn from_parts(
        algorithm: &'static Algorithm,
        key: &[u8],
        iv: &[u8],
        sequence: u64,
    ) -> Option<Self> {
        let key = LessSafeKey::new(UnboundKey::new(algorithm, key).ok()?);
        Some(Self { key, iv: iv.try_into().ok()?, sequence })
    }

    /// Number of records under this key.
    pub(super) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Opens a whole record in place, header included. After an error nothing in it is to be used.
    pub(super) fn open(&mut self, record: &mut [u8]) -> Result<Content, AlertDescription> {
        let nonce = self.next_nonce()?;
        let (header, sealed) =
            record.split_first_chunk_mut::<HEADER_BYTES>().ok_or(AlertDescription::DecodeError)?;
        let inner = self
            .key
            .open_in_place(nonce, Aad::from(&*header), sealed)
            .map_err(|_| AlertDescription::BadRecordMac)?;
        if inner.len() > CONTENT_BYTES + 1 {
            return Err(AlertDescription::RecordOverflow);
        }
        // Behind the content lie its type and any number of zeros (5.4).
        let last = inner.iter().copied().enumerate().rfind(|(_, byte)| *byte != 0);
        let (len, kind) = last.ok_or(AlertDescription::UnexpectedMessage)?;
        Ok(Content { kind, len })
    }

    /// Seals `content`, which lies in `record` as [`Content`] describes, and writes header, type and tag around
    /// it. Returns the length of the record.
    pub(super) fn seal(&mut self, content: Content, record: &mut [u8]) -> Result<usize, AlertDescription> {
        let nonce = self.next_nonce()?;
        let (end, error) = (HEADER_BYTES + content.len + 1, AlertDescription::InternalError);
        let length = u16::try_from(content.len + 1 + TAG_BYTES).map_err(|_| error)?;
        let (inner, rest) = record.split_at_mut_checked(end).ok_or(error)?;
        let tag_space = rest.first_chunk_mut::<TAG_BYTES>().ok_or(error)?;
        let (header, inner) = inner.split_first_chunk_mut::<HEADER_BYTES>().ok_or(error)?;
        let [high, low] = length.to_be_bytes();
        *header = [APPLICATION_DATA, 3, 3, high, low];
        *inner.last_mut().ok_or(error)? = content.kind;
        let tag =
            self.key.seal_in_place_separate_tag(nonce, Aad::from(&*header), inner).map_err(|_| error)?;
        tag_space.copy_from_slice(tag.as_ref());
        Ok(end + TAG_BYTES)
    }

    /// Nonce of the next record (5.3), unique under this key.
    fn next_nonce(&mut self) -> Result<Nonce, AlertDescription> {
        let next = self.sequence.checked_add(1).ok_or(AlertDescription::InternalError)?;
        let mut nonce = self.iv;
        for (byte, number) in nonce.iter_mut().rev().zip(self.sequence.to_le_bytes()) {
            *byte ^= number;
        }
        self.sequence = next;
        Ok(Nonce::assume_unique_for_key(nonce))
    }
}
