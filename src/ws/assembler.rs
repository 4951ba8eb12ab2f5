//! Frame parser and message assembler.

use core::ops::Range;
use std::io::Cursor;

use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};

use super::{CONTROL_BYTES, ReceiveBuffer};

/// Shortest frame header (RFC 6455, 5.2). Fewer bytes are not given to the parser, which would need as
/// long to reject them as to parse a header, after every message.
const SHORTEST_HEADER_BYTES: usize = 2;
/// Code of a close frame, before its reason.
const CODE_BYTES: usize = 2;

/// Limits of an [`Assembler`].
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Largest message in bytes, all fragments together. The receive buffer needs space for it, one
    /// header and one control frame.
    pub message_bytes: usize,
    /// Accept binary messages.
    pub binary: bool,
    /// Frames are masked: those of a client are, those of a server are not (RFC 6455, 5.1).
    pub masked: bool,
}

/// Event parsed from the received bytes. Ranges are relative to [`ReceiveBuffer::filled`] and valid
/// until the next [`Assembler::poll`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event {
    /// Nothing complete yet: read more.
    More,
    /// Message; text is valid UTF-8.
    Message {
        /// True for a text message.
        text: bool,
        /// Position in the filled part.
        range: Range<usize>,
    },
    /// Ping, to be answered by a pong with this payload of at most [`CONTROL_BYTES`].
    Ping(Range<usize>),
    /// Pong.
    Pong,
    /// Close frame, with its code if it has one, and the position of its reason, which is UTF-8.
    Close(Option<u16>, Range<usize>),
}

/// Violation of RFC 6455 or of the limits; each ends the connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Violation {
    /// Violation of the framing rules, with its description.
    Protocol(&'static str),
    /// Message over `message_bytes`.
    TooBig,
    /// Binary message where only text is accepted.
    Binary,
    /// Text or close reason that is not UTF-8.
    Utf8,
}

impl Violation {
    /// Close code for the peer (RFC 6455, 7.4.1).
    pub fn close_code(self) -> CloseCode {
        match self {
            Self::Protocol(_) => CloseCode::Protocol,
            Self::TooBig => CloseCode::Size,
            Self::Binary => CloseCode::Unsupported,
            Self::Utf8 => CloseCode::Invalid,
        }
    }

    /// Close reason, at most 123 bytes.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Protocol(reason) => reason,
            Self::TooBig => "message too big",
            Self::Binary => "text messages only",
            Self::Utf8 => "not UTF-8",
        }
    }
}

/// Data frame with a partly received payload.
#[derive(Clone, Copy, Debug)]
struct DataFrame {
    /// The message is text.
    text: bool,
    remaining: usize,
    mask: [u8; 4],
    is_final: bool,
}

/// Assembler that joins frames to messages inside the receive buffer.
///
/// The buffer has, in this order: consumed bytes, the message so far, a gap of consumed headers and
/// control frames, unparsed bytes. A message of one frame is never moved. The payload of a further
/// fragment is moved once, to the end of the message. Gaps are closed once a read.
#[derive(Debug)]
pub struct Assembler {
    limits: Limits,
    frame: Option<DataFrame>,
    /// Type of the incomplete message: `Some(true)` for text.
    text: Option<bool>,
    /// Start of the message.
    base: usize,
    /// Length of the message so far.
    assembled: usize,
    /// Start of the unparsed bytes.
    next: usize,
    /// Length of the prefix of the message that is known to be UTF-8.
    valid: usize,
    closed: bool,
}

impl Assembler {
    /// Assembler of a new connection.
    pub fn new(limits: Limits) -> Self {
        Self { limits, frame: None, text: None, base: 0, assembled: 0, next: 0, valid: 0, closed: false }
    }

    /// Returns the next event. Call again until it returns [`Event::More`]; after a violation or
    /// [`Event::Close`] it returns nothing else.
    pub fn poll(&mut self, buffer: &mut ReceiveBuffer) -> Result<Event, Violation> {
        if self.closed {
            buffer.clear();
            return Ok(Event::More);
        }
        let result = self.next_event(buffer);
        match result {
            Ok(Event::More) => self.close_gaps(buffer),
            Ok(Event::Close(..)) | Err(_) => self.closed = true,
            Ok(_) => {}
        }
        result
    }

    /// Drops the consumed bytes.
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

    fn next_event(&mut self, buffer: &mut ReceiveBuffer) -> Result<Event, Violation> {
        let filled = buffer.filled_mut();
        loop {
            if let Some(frame) = self.frame {
                if let Some(event) = self.receive_payload(frame, filled)? {
                    return Ok(event);
                }
                if self.frame.is_some() {
                    return Ok(Event::More);
                }
            }
            let Some(unread) = filled.get(self.next..) else { return Ok(wrong_range()) };
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
            let mask = check_header(&header, length, header_bytes, self.limits.masked)?;
            let length = usize::try_from(length).map_err(|_| Violation::TooBig)?;
            match header.opcode {
                OpCode::Data(kind) => {
                    let text = self.start_frame(kind, length)?;
                    self.next += header_bytes;
                    if self.assembled == 0 {
                        self.base = self.next;
                    }
                    self.frame = Some(DataFrame { text, remaining: length, mask, is_final: header.is_final });
                }
                OpCode::Control(kind) => {
                    let start = self.next + header_bytes;
                    let Some(payload) = filled.get_mut(start..start + length) else {
                        return Ok(Event::More);
                    };
                    self.next = start + length;
                    if self.assembled == 0 {
                        self.base = self.next;
                    }
                    unmask(payload, mask);
                    return parse_control(kind, payload, start..start + length);
                }
            }
        }
    }

    /// Checks the start of a data frame; returns true for a text message.
    fn start_frame(&mut self, kind: Data, length: usize) -> Result<bool, Violation> {
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
        Ok(text)
    }

    /// Appends the received payload of the frame to the message. Returns an event for a complete one.
    fn receive_payload(
        &mut self,
        mut frame: DataFrame,
        filled: &mut [u8],
    ) -> Result<Option<Event>, Violation> {
        let end = self.base + self.assembled;
        let count = frame.remaining.min(filled.len() - self.next);
        let Some(payload) = filled.get_mut(self.next..self.next + count) else {
            return Ok(Some(wrong_range()));
        };
        let is_ascii = unmask(payload, frame.mask);
        if self.next != end {
            filled.copy_within(self.next..self.next + count, end);
        }
        frame.mask.rotate_left(count % 4);
        frame.remaining -= count;
        self.assembled += count;
        self.next += count;
        let is_whole = frame.is_final && frame.remaining == 0;
        if is_ascii && self.base + self.valid == end {
            // Checked while it was unmasked.
            self.valid += count;
        } else if frame.text {
            let unchecked = filled.get(self.base + self.valid..end + count);
            let Some(unchecked) = unchecked else { return Ok(Some(wrong_range())) };
            self.check_utf8(unchecked, is_whole)?;
        }
        self.frame = (frame.remaining > 0).then_some(frame);
        if !is_whole {
            return Ok(None);
        }
        let event = Event::Message { text: frame.text, range: self.base..end + count };
        self.text = None;
        self.base = self.next;
        self.assembled = 0;
        self.valid = 0;
        Ok(Some(event))
    }

    /// Checks the bytes of the message after the valid prefix. Fails as soon as the text can no longer
    /// become UTF-8, before the message is complete.
    fn check_utf8(&mut self, unchecked: &[u8], is_whole: bool) -> Result<(), Violation> {
        match core::str::from_utf8(unchecked) {
            Ok(_) => self.valid += unchecked.len(),
            Err(error) if error.error_len().is_some() || is_whole => return Err(Violation::Utf8),
            Err(error) => self.valid += error.valid_up_to(),
        }
        Ok(())
    }
}

/// Reports a range outside of the receive buffer, which cannot happen: it never loses parsed bytes.
#[cold]
fn wrong_range() -> Event {
    crate::internal_error!("a frame lies outside of the receive buffer");
    Event::More
}

fn parse_control(kind: Control, payload: &[u8], range: Range<usize>) -> Result<Event, Violation> {
    Ok(match kind {
        Control::Ping => Event::Ping(range),
        Control::Pong => Event::Pong,
        _ => Event::Close(check_close(payload)?, range.end.min(range.start + CODE_BYTES)..range.end),
    })
}

/// Checks a header by the rules of RFC 6455, 5.2 and 5.5; returns its mask.
fn check_header(
    header: &FrameHeader,
    length: u64,
    header_bytes: usize,
    masked: bool,
) -> Result<[u8; 4], Violation> {
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
    // RFC 6455, 5.2: the length has the minimal number of bytes, and the top bit of 64 is 0.
    let minimal = match length {
        0..=125 => 2,
        126..=0xFFFF => 4,
        _ => 10,
    };
    if length > i64::MAX as u64 || header_bytes - header.mask.map_or(0, |mask| mask.len()) != minimal {
        return Err(Violation::Protocol("length not in its shortest form"));
    }
    match header.mask {
        Some(mask) if masked => Ok(mask),
        None if !masked => Ok([0; 4]),
        Some(_) => Err(Violation::Protocol("frame masked")),
        None => Err(Violation::Protocol("frame not masked")),
    }
}

/// Checks the payload of a close frame (RFC 6455, 5.5.1 and 7.4).
fn check_close(payload: &[u8]) -> Result<Option<u16>, Violation> {
    let Some((code, reason)) = payload.split_first_chunk::<CODE_BYTES>() else {
        return if payload.is_empty() { Ok(None) } else { Err(Violation::Protocol("close code cut short")) };
    };
    let code = u16::from_be_bytes(*code);
    if !CloseCode::from(code).is_allowed() {
        return Err(Violation::Protocol("bad close code"));
    }
    core::str::from_utf8(reason).map_err(|_| Violation::Utf8)?;
    Ok(Some(code))
}

/// Applies the mask (RFC 6455, 5.3), eight bytes at a time; returns true if the result is ASCII.
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
    for (byte, key) in rest.iter_mut().zip(wide.to_ne_bytes()) {
        *byte ^= key;
        seen_of_rest |= *byte;
    }
    seen & u64::from_ne_bytes([0x80; 8]) == 0 && seen_of_rest.is_ascii()
}

#[cfg(test)]
mod tests;
