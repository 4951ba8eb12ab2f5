//! The fixed buffer that one connection sends from.

use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};

use crate::mmap_buffer::{IdleTracker, MappedBuffer};
use crate::ws::CONTROL_BYTES;

/// Longest header of a frame without a mask.
const HEADER_BYTES: usize = 10;
/// Most that the first frame of an empty buffer leaves in front of it: its header is then 2 bytes long.
const GAP_BYTES: usize = HEADER_BYTES - 2;

/// There was no room: nothing was written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Full;

/// Bytes that wait to be sent, in storage that never grows. What is put in goes in whole or not at
/// all.
#[derive(Debug, Default)]
pub struct SendBuffer {
    storage: MappedBuffer,
    start: usize,
    end: usize,
    use_: IdleTracker,
}

impl SendBuffer {
    /// A buffer of `capacity` bytes, whose memory is taken as it is filled.
    pub fn new(capacity: usize) -> Self {
        Self { storage: MappedBuffer::new(capacity), ..Self::default() }
    }

    /// Gives the memory of an empty buffer back that has not been used since the last call of this.
    pub fn rest(&mut self) {
        if self.use_.should_release(self.is_empty()) {
            self.storage.release_pages();
        }
    }

    /// What waits to be sent.
    pub fn pending(&self) -> &[u8] {
        &self.storage[self.start..self.end]
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Room, in bytes. A frame takes at most 10 more than its payload.
    pub fn free(&self) -> usize {
        self.storage.len() - self.end + self.reclaimable()
    }

    /// Drops the `count` bytes at the front that were sent.
    pub fn sent(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
        if self.is_empty() {
            self.clear();
        }
    }

    /// Drops everything.
    pub fn clear(&mut self) {
        self.start = 0;
        self.end = 0;
    }

    /// Puts in bytes that are no frame: an HTTP response. `write` gets the room and says how much of
    /// it it used, or `None` if it was too little.
    pub fn raw(&mut self, write: impl FnOnce(&mut [u8]) -> Option<usize>) -> Result<(), Full> {
        self.compact();
        let count = write(&mut self.storage[self.end..]).ok_or(Full)?;
        self.end += count;
        Ok(())
    }

    /// Puts in a text message, written straight into its place.
    pub fn text(&mut self, write: impl FnOnce(&mut [u8]) -> Option<usize>) -> Result<(), Full> {
        self.frame(OpCode::Data(Data::Text), write)
    }

    /// Puts in a text or binary message.
    pub fn message(&mut self, text: bool, payload: &[u8]) -> Result<(), Full> {
        let kind = if text { Data::Text } else { Data::Binary };
        self.frame(OpCode::Data(kind), |room| copy(payload, room))
    }

    /// Puts in a ping with this payload, of at most 125 bytes.
    pub fn ping(&mut self, payload: &[u8]) -> Result<(), Full> {
        self.control(Control::Ping, payload)
    }

    /// Puts in a pong.
    pub fn pong(&mut self, payload: &[u8]) -> Result<(), Full> {
        self.control(Control::Pong, payload)
    }

    /// Puts in a close frame; a reason over 123 bytes is left out. `None`: without a code, as an
    /// answer to a close frame that had none.
    pub fn close(&mut self, code: Option<CloseCode>, reason: &str) -> Result<(), Full> {
        let mut payload = [0; CONTROL_BYTES];
        let Some(code) = code else {
            return self.control(Control::Close, b"");
        };
        payload[..2].copy_from_slice(&u16::from(code).to_be_bytes());
        let reason = if reason.len() > CONTROL_BYTES - 2 { "" } else { reason };
        payload[2..2 + reason.len()].copy_from_slice(reason.as_bytes());
        self.control(Control::Close, &payload[..2 + reason.len()])
    }

    fn control(&mut self, kind: Control, payload: &[u8]) -> Result<(), Full> {
        if payload.len() > CONTROL_BYTES {
            return Err(Full);
        }
        self.frame(OpCode::Control(kind), |room| copy(payload, room))
    }

    /// The payload is written behind room for the longest header. In an empty buffer the frame then starts
    /// where its own header has to; behind other frames the payload is moved up to it.
    fn frame(&mut self, opcode: OpCode, write: impl FnOnce(&mut [u8]) -> Option<usize>) -> Result<(), Full> {
        self.compact();
        let payload = self.end + HEADER_BYTES;
        let length = write(self.storage.get_mut(payload..).ok_or(Full)?).ok_or(Full)?;
        let header = FrameHeader { opcode, ..FrameHeader::default() };
        let header_bytes = header.len(length as u64);
        if self.is_empty() {
            self.start = payload - header_bytes;
            self.end = self.start;
        } else {
            self.storage.copy_within(payload..payload + length, self.end + header_bytes);
        }
        let mut place = &mut self.storage[self.end..self.end + header_bytes];
        header.format(length as u64, &mut place).map_err(|_| Full)?;
        self.end += header_bytes + length;
        Ok(())
    }

    /// Moves what waits to the front, but not for the few bytes that a first frame has left there.
    fn compact(&mut self) {
        self.use_ = IdleTracker::Active;
        let count = self.reclaimable();
        if count > 0 {
            self.storage.copy_within(self.start..self.end, 0);
            self.end -= count;
            self.start = 0;
        }
    }

    /// Bytes in front of what waits, where they are worth a move.
    fn reclaimable(&self) -> usize {
        if self.start > GAP_BYTES { self.start } else { 0 }
    }
}

fn copy(payload: &[u8], room: &mut [u8]) -> Option<usize> {
    room.get_mut(..payload.len())?.copy_from_slice(payload);
    Some(payload.len())
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn message_that_fits_exactly_and_one_byte_more() {
        let mut buffer = SendBuffer::new(HEADER_BYTES + 20);
        assert_eq!(buffer.message(true, &[b'x'; 21]), Err(Full));
        assert!(buffer.is_empty());
        assert_eq!(buffer.message(true, &[b'x'; 20]), Ok(()));
        assert_eq!(buffer.message(true, b""), Err(Full));
        assert_eq!(buffer.pending().len(), 22);
    }

    #[test]
    fn room_comes_back_as_bytes_are_sent() {
        let mut buffer = SendBuffer::new(HEADER_BYTES + 10);
        buffer.message(true, b"0123456789").unwrap();
        buffer.sent(7);
        assert_eq!(buffer.pending(), b"56789");
        buffer.message(true, b"abc").unwrap();
        assert_eq!(buffer.pending(), b"56789\x81\x03abc");
    }

    #[test]
    fn as_much_fits_as_is_said_to_be_free() {
        // A first frame starts where its header has to, so what is free depends on its length.
        for first in [0, 5, 125, 126, 300] {
            for sent in [0, 3, 8, 9, 100] {
                let mut buffer = SendBuffer::new(1000);
                buffer.message(true, &vec![b'a'; first]).unwrap();
                let sent = sent.min(buffer.pending().len() - 1);
                buffer.sent(sent);
                let waiting = buffer.pending().to_vec();
                let fits = buffer.free() - HEADER_BYTES;
                assert_eq!(buffer.message(true, &vec![b'b'; fits + 1]), Err(Full), "{first} {sent}");
                assert_eq!(buffer.message(true, &vec![b'b'; fits]), Ok(()), "{first} {sent}");
                assert_eq!(buffer.pending()[..waiting.len()], waiting);
                assert!(buffer.pending().ends_with(&vec![b'b'; fits]));
            }
        }
    }

    #[test]
    fn reason_at_the_limit_and_past_it() {
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
        assert_eq!(buffer.ping(&[0; CONTROL_BYTES + 1]), Err(Full));
    }
}
