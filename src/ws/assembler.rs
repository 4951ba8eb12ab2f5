//! Frames in, messages out.

use core::ops::Range;
use std::io::Cursor;

use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};

use super::ReceiveBuffer;
use crate::ws::CONTROL_BYTES;

/// Shortest header of a frame (RFC 6455, 5.2). To see it whole takes more bytes yet; to find with the
/// parser that there is none takes as long as to read one, and is done after every message.
const SHORTEST_HEADER_BYTES: usize = 2;

/// What an [`Assembler`] takes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Largest message in bytes, all fragments together. The receive buffer must hold this and one
    /// header and one control frame besides.
    pub message_bytes: usize,
    /// Whether binary messages are taken.
    pub binary: bool,
}

/// What the bytes so far amount to. Ranges are relative to [`ReceiveBuffer::filled`] and stay true
/// until the next [`Assembler::poll`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event {
    /// Nothing whole yet: read on.
    More,
    /// A message; text is valid UTF-8.
    Message {
        /// Whether it came as text.
        text: bool,
        /// Where it lies.
        range: Range<usize>,
    },
    /// A ping, to be answered with these bytes, at most [`CONTROL_BYTES`].
    Ping(Range<usize>),
    /// A pong.
    Pong,
    /// The peer closes, with this code if it gave one.
    Close(Option<u16>),
}

/// What a peer did against RFC 6455 or our limits; each ends the connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Violation {
    /// Against the framing rules; the text says which.
    Protocol(&'static str),
    /// A message over `message_bytes`.
    TooBig,
    /// A binary message where none is taken.
    Binary,
    /// Text, or a close reason, that is not UTF-8.
    Utf8,
}

impl Violation {
    /// The close code that tells the peer (RFC 6455, 7.4.1).
    pub fn close_code(self) -> CloseCode {
        match self {
            Self::Protocol(_) => CloseCode::Protocol,
            Self::TooBig => CloseCode::Size,
            Self::Binary => CloseCode::Unsupported,
            Self::Utf8 => CloseCode::Invalid,
        }
    }

    /// The reason that goes with the code: at most 123 bytes.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Protocol(reason) => reason,
            Self::TooBig => "message too big",
            Self::Binary => "text messages only",
            Self::Utf8 => "not UTF-8",
        }
    }
}

/// A data frame whose payload is being received.
#[derive(Clone, Copy, Debug)]
struct Frame {
    remaining: usize,
    mask: [u8; 4],
    is_final: bool,
}

/// Joins frames to messages inside the buffer they arrive in.
///
/// In the buffer lie, in this order: what is used up, the message so far, a gap of used headers and
/// control frames, and the bytes not looked at. A message of one frame is never moved; the payload
/// of a further fragment is moved once, to the message's end; gaps are closed once a read.
#[derive(Debug)]
pub struct Assembler {
    limits: Limits,
    frame: Option<Frame>,
    /// Kind of the message under way: `Some(true)` for text.
    text: Option<bool>,
    /// Where the message starts, how much of it is there, and where the unread bytes start.
    base: usize,
    assembled: usize,
    next: usize,
    /// How many bytes of the message are known to be UTF-8.
    valid: usize,
    closed: bool,
}

impl Assembler {
    /// An assembler for a new connection.
    pub fn new(limits: Limits) -> Self {
        Self { limits, frame: None, text: None, base: 0, assembled: 0, next: 0, valid: 0, closed: false }
    }

    /// Looks for the next event. Call again until it gives [`Event::More`]; after a violation or
    /// [`Event::Close`] it gives nothing else.
    pub fn poll(&mut self, buffer: &mut ReceiveBuffer) -> Result<Event, Violation> {
        if self.closed {
            buffer.clear();
            return Ok(Event::More);
        }
        let result = self.advance(buffer);
        match result {
            Ok(Event::More) => self.close_gaps(buffer),
            Ok(Event::Close(_)) | Err(_) => self.closed = true,
            Ok(_) => {}
        }
        result
    }

    fn close_gaps(&mut self, buffer: &mut ReceiveBuffer) {
        if self.assembled == 0 {
            buffer.consume(self.next);
        } else {
            buffer.cut(self.base + self.assembled..self.next);
            buffer.consume(self.base);
        }
        self.base = 0;
        self.next = self.assembled;
    }

    fn advance(&mut self, buffer: &mut ReceiveBuffer) -> Result<Event, Violation> {
        let filled = buffer.filled_mut();
        loop {
            if let Some(frame) = self.frame {
                if let Some(event) = self.take_payload(frame, filled)? {
                    return Ok(event);
                }
                if self.frame.is_some() {
                    return Ok(Event::More);
                }
            }
            let unread = filled.get(self.next..).unwrap_or_default();
            if unread.len() < SHORTEST_HEADER_BYTES {
                return Ok(Event::More);
            }
            let mut cursor = Cursor::new(unread);
            let parsed =
                FrameHeader::parse(&mut cursor).map_err(|_| Violation::Protocol("reserved opcode"))?;
            let Some((header, length)) = parsed else {
                return Ok(Event::More);
            };
            let header_bytes = cursor.position() as usize;
            let mask = check_header(&header, length, header_bytes)?;
            let length = usize::try_from(length).map_err(|_| Violation::TooBig)?;
            match header.opcode {
                OpCode::Data(kind) => {
                    self.start_frame(kind, length)?;
                    self.next += header_bytes;
                    if self.assembled == 0 {
                        self.base = self.next;
                    }
                    self.frame = Some(Frame { remaining: length, mask, is_final: header.is_final });
                }
                OpCode::Control(kind) => {
                    if unread.len() < header_bytes + length {
                        return Ok(Event::More);
                    }
                    let start = self.next + header_bytes;
                    self.next = start + length;
                    if self.assembled == 0 {
                        self.base = self.next;
                    }
                    let payload = &mut filled[start..start + length];
                    unmask(payload, mask);
                    return take_control(kind, payload, start..start + length);
                }
            }
        }
    }

    fn start_frame(&mut self, kind: Data, length: usize) -> Result<(), Violation> {
        let text = match (kind, self.text) {
            (Data::Continue, Some(text)) => text,
            (Data::Continue, None) => return Err(Violation::Protocol("continuation of nothing")),
            (_, Some(_)) => return Err(Violation::Protocol("new message inside a fragmented one")),
            (Data::Text, None) => true,
            (_, None) if self.limits.binary => false,
            (_, None) => return Err(Violation::Binary),
        };
        if length > self.limits.message_bytes - self.assembled {
            return Err(Violation::TooBig);
        }
        self.text = Some(text);
        Ok(())
    }

    /// Takes what has arrived of the frame's payload into the message. `Some`: the message is whole.
    fn take_payload(&mut self, mut frame: Frame, filled: &mut [u8]) -> Result<Option<Event>, Violation> {
        let end = self.base + self.assembled;
        let count = frame.remaining.min(filled.len() - self.next);
        let is_ascii = unmask(&mut filled[self.next..self.next + count], frame.mask);
        if self.next != end {
            filled.copy_within(self.next..self.next + count, end);
        }
        frame.mask.rotate_left(count % 4);
        frame.remaining -= count;
        self.assembled += count;
        self.next += count;
        let is_whole = frame.is_final && frame.remaining == 0;
        if is_ascii && self.base + self.valid == end {
            // Looked at while it was unmasked.
            self.valid += count;
        } else if self.text == Some(true) {
            self.check_utf8(&filled[self.base..end + count], is_whole)?;
        }
        self.frame = (frame.remaining > 0).then_some(frame);
        if !is_whole {
            return Ok(None);
        }
        let event =
            Event::Message { text: self.text.take().unwrap_or_default(), range: self.base..end + count };
        self.base = self.next;
        self.assembled = 0;
        self.valid = 0;
        Ok(Some(event))
    }

    /// Fails as soon as the text can no longer become UTF-8, so that a bad message is not waited for.
    fn check_utf8(&mut self, message: &[u8], is_whole: bool) -> Result<(), Violation> {
        match core::str::from_utf8(&message[self.valid..]) {
            Ok(_) => self.valid = message.len(),
            Err(error) if error.error_len().is_some() || is_whole => return Err(Violation::Utf8),
            Err(error) => self.valid += error.valid_up_to(),
        }
        Ok(())
    }
}

fn take_control(kind: Control, payload: &[u8], range: Range<usize>) -> Result<Event, Violation> {
    Ok(match kind {
        Control::Ping => Event::Ping(range),
        Control::Pong => Event::Pong,
        _ => Event::Close(check_close(payload)?),
    })
}

fn check_header(header: &FrameHeader, length: u64, header_bytes: usize) -> Result<[u8; 4], Violation> {
    if header.rsv1 || header.rsv2 || header.rsv3 {
        return Err(Violation::Protocol("reserved bit set"));
    }
    if matches!(header.opcode, OpCode::Control(_)) {
        if !header.is_final {
            return Err(Violation::Protocol("fragmented control frame"));
        }
        if length > CONTROL_BYTES as u64 {
            return Err(Violation::Protocol("control frame over 125 bytes"));
        }
    }
    // RFC 6455, 5.2: the minimal number of bytes must be used, and the top bit of 64 is 0.
    let minimal = match length {
        0..=125 => 2,
        126..=0xFFFF => 4,
        _ => 10,
    };
    if length > i64::MAX as u64 || header_bytes - header.mask.map_or(0, |mask| mask.len()) != minimal {
        return Err(Violation::Protocol("length not in its shortest form"));
    }
    header.mask.ok_or(Violation::Protocol("frame not masked"))
}

/// Checks the payload of a close frame (RFC 6455, 5.5.1 and 7.4).
fn check_close(payload: &[u8]) -> Result<Option<u16>, Violation> {
    let Some((code, reason)) = payload.split_first_chunk::<2>() else {
        return if payload.is_empty() { Ok(None) } else { Err(Violation::Protocol("close code cut short")) };
    };
    let code = u16::from_be_bytes(*code);
    if !CloseCode::from(code).is_allowed() {
        return Err(Violation::Protocol("bad close code"));
    }
    core::str::from_utf8(reason).map_err(|_| Violation::Utf8)?;
    Ok(Some(code))
}

/// Applies the client's mask (RFC 6455, 5.3), eight bytes at a time, and tells whether all that comes out
/// is ASCII.
fn unmask(bytes: &mut [u8], mask: [u8; 4]) -> bool {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let mut seen = 0;
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for word in words {
        let plain = u64::from_ne_bytes(*word) ^ wide;
        seen |= plain;
        *word = plain.to_ne_bytes();
    }
    let mut seen_of_rest = 0;
    for (at, byte) in rest.iter_mut().enumerate() {
        *byte ^= mask[at % 4];
        seen_of_rest |= *byte;
    }
    seen & u64::from_ne_bytes([0x80; 8]) == 0 && seen_of_rest.is_ascii()
}

#[cfg(test)]
mod tests;
