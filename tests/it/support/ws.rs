//! WebSocket client that can also send malformed frames.

use std::collections::VecDeque;
use std::io::{ErrorKind, Write};
use std::time::{Duration, Instant};

use super::stream::{ReadOutcome, Stream};
use super::wait::SOON;

/// Key and accept value of RFC 6455, 1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// Event from the server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Event {
    Text(String),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    /// A closing frame; 1005 stands for none given.
    Close(u16),
    /// The connection ended without a closing frame, or after it.
    End,
}

/// One frame to be sent, every part of it free to be wrong.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) fin: bool,
    /// The three reserved bits, as in the first byte.
    pub(crate) reserved: u8,
    pub(crate) opcode: u8,
    pub(crate) masked: bool,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    pub(crate) fn new(opcode: u8, payload: impl Into<Vec<u8>>) -> Self {
        Self { fin: true, reserved: 0, opcode, masked: true, payload: payload.into() }
    }

    /// The frame's bytes, its length in the shortest form.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mask_bit = u8::from(self.masked) << 7;
        let mut bytes = vec![u8::from(self.fin) << 7 | self.reserved | self.opcode];
        match self.payload.len() {
            length @ 0..=125 => bytes.push(mask_bit | length as u8),
            length @ 126..=0xffff => {
                bytes.push(mask_bit | 126);
                bytes.extend((length as u16).to_be_bytes());
            }
            length => {
                bytes.push(mask_bit | 127);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        if self.masked {
            let mask = [0x37, 0xfa, 0x21, 0x3d];
            bytes.extend(mask);
            bytes.extend(self.payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        } else {
            bytes.extend(&self.payload);
        }
        bytes
    }
}

/// Opcodes of RFC 6455, 5.2.
pub(crate) const CONTINUATION: u8 = 0;
pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// An open WebSocket.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: Stream,
    buffer: Vec<u8>,
    /// Messages read while another was waited for.
    earlier: VecDeque<Event>,
    /// True if pings of the server are answered.
    pub(crate) answers_pings: bool,
}

/// The upgrade request, with further header lines, each ended by CR LF.
pub(crate) fn upgrade_request(path: &str, lines: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: FC-protocol\r\n\
         {lines}\r\n"
    )
}

impl Socket {
    /// Upgrades `stream`.
    #[track_caller]
    pub(crate) fn open(stream: Stream) -> Self {
        Self::try_open(stream, "/fcws").unwrap_or_else(|answer| panic!("not upgraded: {answer}"))
    }

    /// Upgrades `stream` at `path`; gives back what refused it.
    #[track_caller]
    pub(crate) fn try_open(mut stream: Stream, path: &str) -> Result<Self, String> {
        let _ = stream.write_all(upgrade_request(path, "").as_bytes());
        let _ = stream.flush();
        let mut buffer = Vec::new();
        let start = Instant::now();
        let end = loop {
            if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            let left = SOON.checked_sub(start.elapsed()).unwrap_or_default();
            match stream.read_some(&mut buffer, left) {
                Ok(ReadOutcome::Bytes) => {}
                other => return Err(format!("{other:?} after {:?}", String::from_utf8_lossy(&buffer))),
            }
        };
        let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
        if !head.starts_with("HTTP/1.1 101 ") {
            return Err(head);
        }
        let lower = head.to_ascii_lowercase();
        assert!(head.contains(ACCEPT) && lower.contains("sec-websocket-protocol: fc-protocol"), "{head}");
        assert!(!lower.contains("sec-websocket-extensions"), "{head}");
        buffer.drain(..end);
        Ok(Self { stream, buffer, earlier: VecDeque::new(), answers_pings: true })
    }

    /// The connection beneath.
    pub(crate) fn stream(&mut self) -> &mut Stream {
        &mut self.stream
    }

    /// Sends bytes as they are.
    pub(crate) fn send_raw(&mut self, bytes: &[u8]) {
        // The server may have closed: what it said is read by whoever waits for it.
        let _ = self.stream.write_all(bytes);
        let _ = self.stream.flush();
    }

    pub(crate) fn send_frame(&mut self, frame: &Frame) {
        self.send_raw(&frame.bytes());
    }

    pub(crate) fn send(&mut self, text: &str) {
        self.send_frame(&Frame::new(TEXT, text));
    }

    /// The next frame of the server within `timeout`, pings included.
    fn receive_frame(&mut self, timeout: Duration) -> Option<Event> {
        let start = Instant::now();
        loop {
            if let Some((event, length)) = parse(&self.buffer) {
                self.buffer.drain(..length);
                return Some(event);
            }
            let left = timeout.checked_sub(start.elapsed())?;
            match self.stream.read_some(&mut self.buffer, left) {
                Ok(ReadOutcome::Bytes) => {}
                Ok(ReadOutcome::Nothing) => return None,
                Ok(ReadOutcome::End) => return Some(Event::End),
                Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {
                    return Some(Event::End);
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// The next event within `timeout`. Pings are answered and not reported, unless
    /// `answers_pings` is off.
    pub(crate) fn receive(&mut self, timeout: Duration) -> Option<Event> {
        if let Some(event) = self.earlier.pop_front() {
            return Some(event);
        }
        let start = Instant::now();
        loop {
            let left = timeout.checked_sub(start.elapsed())?;
            match self.receive_frame(left)? {
                Event::Ping(payload) if self.answers_pings => {
                    self.send_frame(&Frame::new(PONG, payload));
                }
                event => return Some(event),
            }
        }
    }

    /// The next text, whatever it is.
    #[track_caller]
    pub(crate) fn text(&mut self) -> String {
        match self.receive(SOON) {
            Some(Event::Text(text)) => text,
            other => panic!("no text but {other:?}"),
        }
    }

    /// The next text that is not a push of the server; pushes are kept for [`Self::push`].
    #[track_caller]
    pub(crate) fn reply(&mut self) -> String {
        self.select(|text| !is_push(text))
    }

    /// The next push that contains `part`; other messages before it are kept.
    #[track_caller]
    pub(crate) fn push(&mut self, part: &str) -> String {
        self.select(|text| is_push(text) && text.contains(part))
    }

    #[track_caller]
    fn select(&mut self, is_wanted: impl Fn(&str) -> bool) -> String {
        let start = Instant::now();
        let wanted = |event: &Event| matches!(event, Event::Text(text) if is_wanted(text));
        let mut passed = VecDeque::new();
        loop {
            let event = self.receive(SOON.saturating_sub(start.elapsed()));
            match event {
                Some(event) if wanted(&event) => {
                    passed.append(&mut self.earlier);
                    self.earlier = passed;
                    let Event::Text(text) = event else { unreachable!("a text was wanted") };
                    return text;
                }
                Some(event @ (Event::Text(_) | Event::Ping(_) | Event::Pong(_))) => passed.push_back(event),
                other => panic!("{other:?} came, after {passed:?}"),
            }
        }
    }

    /// Sends a message and returns the answer.
    #[track_caller]
    pub(crate) fn call(&mut self, message: &str) -> String {
        self.send(message);
        self.reply()
    }

    /// A frame call with the administrator's token and no other parameter than the service.
    #[track_caller]
    pub(crate) fn service(&mut self, verb: &str, name: &str) -> String {
        self.call(&frame(
            &format!("services/{verb}"),
            &format!(r#"{{ "serviceName":"{name}", "sessionid":"{}" }}"#, super::device::ADMIN),
        ))
    }

    /// Binds the socket to `session`, and waits until it is.
    #[track_caller]
    pub(crate) fn bind(&mut self, session: &str) {
        let reply = self.call(&format!(r#"{{"type":"con","data":{{"sessionId":"{session}"}}}}"#));
        assert_eq!(reply, format!(r#"{{"type":"con","data":{{"type":"pong","data":"{session}"}}}}"#));
    }

    /// Expects that nothing has been answered so far: a call is sent, and its answer is the next
    /// text that is not a push.
    #[track_caller]
    pub(crate) fn expect_nothing(&mut self) {
        assert_eq!(self.call(NO_FRAME), NOT_A_FRAME, "something was answered");
    }

    /// The first text, push or not, that came before the answer to a call sent now.
    #[track_caller]
    pub(crate) fn text_after_probe(&mut self) -> Option<String> {
        self.send(NO_FRAME);
        Some(self.text()).filter(|text| text != NOT_A_FRAME)
    }

    /// Expects a closing frame with `code`, texts before it left aside, and then the end.
    #[track_caller]
    pub(crate) fn expect_close(&mut self, code: u16, timeout: Duration) {
        let start = Instant::now();
        loop {
            match self.receive(timeout.saturating_sub(start.elapsed())) {
                Some(Event::Close(seen)) => {
                    assert_eq!(seen, code, "close code");
                    break;
                }
                Some(Event::End) | None => panic!("no closing frame ({code})"),
                Some(_) => {}
            }
        }
        self.send_frame(&Frame::new(CLOSE, code.to_be_bytes()));
        assert_eq!(self.receive(SOON), Some(Event::End), "the server ends the connection");
    }
}

/// Message that is not a frame.
const NO_FRAME: &str = "hello world, not a frame";

/// Answer to a message that is not a frame.
pub(crate) const NOT_A_FRAME: &str = " { \"ErrorMessage\":\"Request do not contain required data\" }";

/// A frame of 2016 with its exact length.
pub(crate) fn frame(path: &str, body: &str) -> String {
    format!(r#"<!--"MSG"--"{}"--"system.library/{path}"-->{body}<--!>"#, body.len())
}

/// An envelope's request.
pub(crate) fn request(id: &str, path: &str, data: &str, session: &str) -> String {
    format!(
        r#"{{"type":"msg","data":{{"type":"request","requestid":"{id}","path":"system.library/{path}","data":{data},"sessionid":"{session}"}}}}"#
    )
}

/// Returns whether the server sends this without a request.
fn is_push(text: &str) -> bool {
    text.starts_with(r#"{"type":"msg","data":{"type":"service-change""#)
        || text.starts_with(r#"{"type":"msg","data":{"type":"service-log""#)
        || text.starts_with(r#"{"type":"msg","data":{"type":"server-notice""#)
}

/// The first whole frame of `bytes` and its length. A server sends no fragments and no masks.
#[track_caller]
fn parse(bytes: &[u8]) -> Option<(Event, usize)> {
    let [first, second, ..] = *bytes else { return None };
    assert_eq!(first & 0x70, 0, "reserved bits");
    assert_eq!(first & 0x80, 0x80, "a fragment");
    assert_eq!(second & 0x80, 0, "a masked frame");
    let (length, header) = match second {
        126 => (usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)), 4),
        127 => (u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?) as usize, 10),
        length => (usize::from(length), 2),
    };
    let payload = bytes.get(header..header + length)?.to_vec();
    let event = match first & 0x0f {
        TEXT => Event::Text(String::from_utf8(payload).unwrap()),
        CLOSE => Event::Close(payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code))),
        PING => Event::Ping(payload),
        PONG => Event::Pong(payload),
        opcode => panic!("opcode {opcode}"),
    };
    Some((event, header + length))
}
