//! Fixed send buffer of one connection.

use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};

use super::CONTROL_BYTES;
use crate::mmap_buffer::{IdleTracker, MappedBuffer};

/// Longest header of a frame without a mask.
const HEADER_BYTES: usize = 10;
/// Largest gap before the first frame of an empty buffer, left when its header has 2 bytes.
const GAP_BYTES: usize = HEADER_BYTES - 2;

/// Text message in a frame, encoded once for many buffers.
#[derive(Clone, Debug)]
pub struct TextFrame<const BYTES: usize> {
    /// Room for the longest header, then the payload.
    bytes: heapless::Vec<u8, BYTES>,
    start: usize,
}

impl<const BYTES: usize> TextFrame<BYTES> {
    /// Longest payload.
    pub const PAYLOAD_BYTES: usize = BYTES - HEADER_BYTES;

    /// Encodes a message that `write` composes, which returns its length, or `None` if it does not fit.
    pub fn new(write: impl FnOnce(&mut [u8]) -> Option<usize>) -> Option<Self> {
        let mut bytes = heapless::Vec::new();
        bytes.resize_default(BYTES).ok()?;
        let (head, payload) = bytes.split_at_mut_checked(HEADER_BYTES)?;
        let length = write(payload)?;
        let header = FrameHeader { opcode: OpCode::Data(Data::Text), ..FrameHeader::default() };
        let start = HEADER_BYTES - header.len(length as u64);
        header.format(length as u64, &mut head.get_mut(start..)?).ok()?;
        bytes.truncate(HEADER_BYTES + length);
        Some(Self { bytes, start })
    }

    /// Payload.
    pub fn payload(&self) -> &[u8] {
        self.bytes.get(HEADER_BYTES..).unwrap_or_default()
    }

    /// Header and payload.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }
}

/// The send buffer has no room for the frame; nothing was written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SendBufferFull;

/// Send buffer that never grows. It accepts a whole frame or nothing.
#[derive(Debug, Default)]
pub struct SendBuffer {
    storage: MappedBuffer,
    start: usize,
    end: usize,
    tracker: IdleTracker,
}

impl SendBuffer {
    /// Buffer of `capacity` bytes, mapped as it is filled.
    pub fn new(capacity: usize) -> Self {
        Self { storage: MappedBuffer::new(capacity), ..Self::default() }
    }

    /// Releases the pages of an empty buffer that was not used since the last call. Returns true if the
    /// next call has pages to release.
    pub fn release_idle(&mut self) -> bool {
        let is_empty = self.is_empty();
        if self.tracker.should_release(is_empty) {
            self.storage.release_pages();
        }
        is_empty && self.tracker != IdleTracker::Released
    }

    /// Bytes to be sent.
    pub fn pending(&self) -> &[u8] {
        self.storage.get(self.start..self.end).unwrap_or_else(|| {
            wrong_range();
            &[]
        })
    }

    /// Number of bytes to be sent.
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// Returns true if no bytes are to be sent.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Free space in bytes. A frame needs at most 10 bytes more than its payload.
    pub fn free(&self) -> usize {
        self.storage.len() - self.end + self.reclaimable()
    }

    /// Drops `count` sent bytes from the front.
    pub fn sent(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
        if self.is_empty() {
            self.clear();
        }
    }

    /// Drops all bytes.
    pub fn clear(&mut self) {
        self.start = 0;
        self.end = 0;
    }

    /// Appends bytes without a frame: an HTTP response. `write` fills the free space and returns the
    /// used length, or `None` if the space is too small.
    pub fn raw(&mut self, write: impl FnOnce(&mut [u8]) -> Option<usize>) -> Result<(), SendBufferFull> {
        self.compact();
        let count = write(self.storage.get_mut(self.end..).ok_or(SendBufferFull)?).ok_or(SendBufferFull)?;
        self.end += count;
        Ok(())
    }

    /// Appends a text message that `write` composes in place, as in [`raw`](Self::raw).
    pub fn text(&mut self, write: impl FnOnce(&mut [u8]) -> Option<usize>) -> Result<(), SendBufferFull> {
        self.frame(OpCode::Data(Data::Text), write)
    }

    /// Appends a text or binary message.
    pub fn message(&mut self, text: bool, payload: &[u8]) -> Result<(), SendBufferFull> {
        let kind = if text { Data::Text } else { Data::Binary };
        self.frame(OpCode::Data(kind), |room| copy(payload, room))
    }

    /// Appends an encoded message.
    pub fn encoded<const BYTES: usize>(&mut self, frame: &TextFrame<BYTES>) -> Result<(), SendBufferFull> {
        self.raw(|room| copy(frame.bytes(), room))
    }

    /// Appends a ping with a payload of at most 125 bytes.
    pub fn ping(&mut self, payload: &[u8]) -> Result<(), SendBufferFull> {
        self.control(Control::Ping, payload)
    }

    /// Appends a pong with a payload of at most 125 bytes.
    pub fn pong(&mut self, payload: &[u8]) -> Result<(), SendBufferFull> {
        self.control(Control::Pong, payload)
    }

    /// Appends a close frame. A reason over 123 bytes is omitted. `None` sends no code, in reply to a
    /// close frame without one.
    pub fn close(&mut self, code: Option<CloseCode>, reason: &str) -> Result<(), SendBufferFull> {
        let Some(code) = code else {
            return self.control(Control::Close, b"");
        };
        let mut payload = heapless::Vec::<u8, CONTROL_BYTES>::new();
        payload.extend_from_slice(&u16::from(code).to_be_bytes()).map_err(|_| SendBufferFull)?;
        // Adds nothing when the reason is too long.
        let _ = payload.extend_from_slice(reason.as_bytes());
        self.control(Control::Close, &payload)
    }

    fn control(&mut self, kind: Control, payload: &[u8]) -> Result<(), SendBufferFull> {
        if payload.len() > CONTROL_BYTES {
            return Err(SendBufferFull);
        }
        self.frame(OpCode::Control(kind), |room| copy(payload, room))
    }

    /// Appends a frame. `write` composes the payload after space for the longest header. In an empty
    /// buffer the frame then starts at its actual header; after other frames the payload moves to it.
    fn frame(
        &mut self,
        opcode: OpCode,
        write: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> Result<(), SendBufferFull> {
        self.compact();
        let payload = self.end + HEADER_BYTES;
        let length = write(self.storage.get_mut(payload..).ok_or(SendBufferFull)?).ok_or(SendBufferFull)?;
        let header = FrameHeader { opcode, ..FrameHeader::default() };
        let header_bytes = header.len(length as u64);
        if self.is_empty() {
            self.start = payload - header_bytes;
            self.end = self.start;
        } else {
            self.storage.copy_within(payload..payload + length, self.end + header_bytes);
        }
        let mut place = self.storage.get_mut(self.end..self.end + header_bytes).ok_or(SendBufferFull)?;
        header.format(length as u64, &mut place).map_err(|_| SendBufferFull)?;
        self.end += header_bytes + length;
        Ok(())
    }

    /// Moves the pending bytes to the front, except over the small gap of a first frame.
    fn compact(&mut self) {
        self.tracker = IdleTracker::Active;
        let count = self.reclaimable();
        if count > 0 {
            self.storage.copy_within(self.start..self.end, 0);
            self.end -= count;
            self.start = 0;
        }
    }

    /// Bytes before the pending ones, if they are worth a move.
    fn reclaimable(&self) -> usize {
        if self.start > GAP_BYTES { self.start } else { 0 }
    }
}

/// Reports a pending range outside of the storage, which cannot happen: `start <= end <= capacity`.
#[cold]
fn wrong_range() {
    crate::internal_error!("a send buffer has a wrong range");
}

fn copy(payload: &[u8], room: &mut [u8]) -> Option<usize> {
    room.get_mut(..payload.len())?.copy_from_slice(payload);
    Some(payload.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoded_frame_is_that_of_the_message() {
        for length in [0, 1, 125, 126, 300] {
            let payload = vec![b'x'; length];
            let frame = TextFrame::<400>::new(|room| copy(&payload, room)).unwrap();
            let (mut encoded, mut composed) = (SendBuffer::new(1000), SendBuffer::new(1000));
            for _ in 0..2 {
                encoded.encoded(&frame).unwrap();
                composed.message(true, &payload).unwrap();
                assert_eq!(encoded.pending(), composed.pending(), "{length}");
            }
            assert_eq!(SendBuffer::new(length + 1).encoded(&frame), Err(SendBufferFull));
        }
        assert!(TextFrame::<20>::new(|room| copy(&[0; 11], room)).is_none());
    }

    #[test]
    fn frames_to_the_byte() {
        let mut buffer = SendBuffer::new(400);
        buffer.message(true, b"Hello").unwrap();
        assert_eq!(buffer.pending(), [0x81, 0x05, b'H', b'e', b'l', b'l', b'o']);
        buffer.clear();
        buffer.message(false, &[7; 300]).unwrap();
        assert_eq!(buffer.pending()[..4], [0x82, 126, 1, 44]);
        buffer.clear();
        buffer.close(Some(CloseCode::Away), "bye").unwrap();
        assert_eq!(buffer.pending(), [0x88, 0x05, 0x03, 0xE9, b'b', b'y', b'e']);
        buffer.clear();
        buffer.close(None, "").unwrap();
        assert_eq!(buffer.pending(), [0x88, 0x00]);
    }

    #[test]
    fn message_up_to_the_capacity() {
        let mut buffer = SendBuffer::new(HEADER_BYTES + 20);
        assert_eq!(buffer.message(true, &[b'x'; 21]), Err(SendBufferFull));
        assert!(buffer.is_empty());
        assert_eq!(buffer.message(true, &[b'x'; 20]), Ok(()));
        assert_eq!(buffer.message(true, b""), Err(SendBufferFull));
        assert_eq!(buffer.pending().len(), 22);
    }

    #[test]
    fn sent_bytes_free_space() {
        let mut buffer = SendBuffer::new(HEADER_BYTES + 10);
        buffer.message(true, b"0123456789").unwrap();
        buffer.sent(7);
        assert_eq!(buffer.pending(), b"56789");
        buffer.message(true, b"abc").unwrap();
        assert_eq!(buffer.pending(), b"56789\x81\x03abc");
    }

    #[test]
    fn message_of_the_free_space_fits() {
        // The gap before a first frame, and so the free space, depends on its length.
        for first in [0, 5, 125, 126, 300] {
            for sent in [0, 3, 8, 9, 100] {
                let mut buffer = SendBuffer::new(1000);
                buffer.message(true, &vec![b'a'; first]).unwrap();
                let sent = sent.min(buffer.pending().len() - 1);
                buffer.sent(sent);
                let waiting = buffer.pending().to_vec();
                let fits = buffer.free() - HEADER_BYTES;
                assert_eq!(
                    buffer.message(true, &vec![b'b'; fits + 1]),
                    Err(SendBufferFull),
                    "{first} {sent}"
                );
                assert_eq!(buffer.message(true, &vec![b'b'; fits]), Ok(()), "{first} {sent}");
                assert_eq!(buffer.pending()[..waiting.len()], waiting);
                assert!(buffer.pending().ends_with(&vec![b'b'; fits]));
            }
        }
    }

    #[test]
    fn reason_up_to_its_limit() {
        let mut buffer = SendBuffer::new(400);
        buffer.close(Some(CloseCode::Policy), &"r".repeat(123)).unwrap();
        assert_eq!(buffer.pending().len(), 2 + CONTROL_BYTES);
        buffer.clear();
        buffer.close(Some(CloseCode::Policy), &"r".repeat(124)).unwrap();
        assert_eq!(buffer.pending(), [0x88, 0x02, 0x03, 0xF0]);
    }

    #[test]
    fn ping_over_125_bytes_is_refused() {
        let mut buffer = SendBuffer::new(400);
        assert_eq!(buffer.ping(&[0; CONTROL_BYTES]), Ok(()));
        assert_eq!(buffer.ping(&[0; CONTROL_BYTES + 1]), Err(SendBufferFull));
    }
}
