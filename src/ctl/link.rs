//! The WebSocket after the upgrade: bind, calls, pushes, chunks.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD as BASE64, Engine as _};

use super::connection::{REPLY_TIMEOUT, explain};
use super::failure::{FAILED, Failure, UNAVAILABLE};
use super::output::sanitize;
use super::reply::{no_session, parse_reply};
use super::socket::{ClientSocket, Incoming};
use super::values::{LIBRARY, compose, string, text_of};
use crate::json::{Full, Raw, Writer};
use crate::ws::CloseCode;

/// Longest wait for the bind.
const BIND_TIMEOUT: Duration = Duration::from_secs(20);
/// Messages received while waiting for a reply and not read yet; the oldest is dropped for one more.
const UNREAD_MESSAGES: usize = 256;
/// Messages discarded while waiting for the close frame of the server.
const CLOSING_MESSAGES: u32 = 64;
/// Longest chunked message, in base64.
const CHUNKED_BYTES: usize = 4 << 20;

/// An upgraded connection.
#[derive(Debug)]
pub(super) struct Link {
    socket: ClientSocket,
    session: String,
    /// The server has confirmed the bind.
    bound: bool,
    /// Number of calls, and number in the id of the latest.
    calls: u32,
    /// Messages received while waiting for a reply.
    unread: VecDeque<String>,
    /// Id and base64 of an incomplete chunked message.
    chunked: Option<(String, String)>,
}

impl Link {
    /// Sends the bind to the session, as Friend Core's clients do.
    pub(super) fn new(socket: ClientSocket, session: String) -> Result<Self, Failure> {
        socket.stream().set_idle_timeout().map_err(|error| lost(&error))?;
        let message = compose(|out| {
            out.put(r#"{"type":"con","data":{"sessionId":"#)?;
            out.put_text(&session)?;
            out.put("}}")
        })?;
        let mut link =
            Self { socket, session, bound: false, calls: 0, unread: VecDeque::new(), chunked: None };
        link.send(message)?;
        Ok(link)
    }

    /// Waits for the bind: from then on the server pushes changes.
    pub(super) fn wait_bound(&mut self) -> Result<(), Failure> {
        let deadline = Instant::now() + BIND_TIMEOUT;
        while !self.bound {
            let text = self.read(Some(deadline))?;
            self.keep(text);
        }
        Ok(())
    }

    /// Makes a call and returns the content of its reply. Other messages are kept for [`next`](Self::next).
    pub(super) fn call(&mut self, path: &str, parameters: &[(&str, &str)]) -> Result<String, Failure> {
        self.calls += 1;
        let id = format!("ctl-{}", self.calls);
        self.send(request(&id, path, parameters, &self.session)?)?;
        let deadline = Instant::now() + REPLY_TIMEOUT;
        loop {
            let text = self.read(Some(deadline))?;
            if let Some(content) = response(&text, &id)? {
                return parse_reply(&content).map(str::to_owned);
            }
            self.keep(text);
        }
    }

    /// Lets waits end when the reader of standard output has gone.
    pub(super) fn end_with_output(&mut self) {
        self.socket.ends_with_output = true;
    }

    /// Waits for the next message; chunks are assembled.
    pub(super) fn next(&mut self) -> Result<String, Failure> {
        match self.unread.pop_front() {
            Some(text) => Ok(text),
            None => self.read(None),
        }
    }

    /// Waits until the server closes the connection, or for `timeout`.
    pub(super) fn wait_closed(&mut self, timeout: Duration) {
        let deadline = Instant::now() + timeout;
        while self.read(Some(deadline)).is_ok() {}
    }

    fn keep(&mut self, text: String) {
        if self.unread.len() == UNREAD_MESSAGES {
            self.unread.pop_front();
        }
        self.unread.push_back(text);
    }

    fn send(&mut self, text: String) -> Result<(), Failure> {
        self.socket.send(&text).map_err(|error| lost(&error))
    }

    fn read(&mut self, deadline: Option<Instant>) -> Result<String, Failure> {
        self.socket.stream_mut().set_deadline(deadline);
        loop {
            // Messages that were received already are not read.
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Err(Failure::new(UNAVAILABLE, "the server did not reply in time"));
            }
            match self.socket.read() {
                Ok(Incoming::Text(text)) => {
                    if let Some(whole) = self.assemble(text)? {
                        self.bound |= is_bound(&whole, &self.session);
                        return Ok(whole);
                    }
                }
                Ok(Incoming::Close(code, reason)) => return Err(closed(code, &sanitize(&reason))),
                Ok(Incoming::Control) => {}
                Ok(Incoming::NoReader) => return Err(Failure::no_reader()),
                Err(error) => return Err(lost(&error)),
            }
        }
    }

    /// Returns a message that is not a chunk, and a chunked message once it is complete.
    fn assemble(&mut self, message: String) -> Result<Option<String>, Failure> {
        let Some(chunk) = Raw::parse(&message).and_then(read_chunk) else {
            return Ok(Some(message));
        };
        let broken = |why| Failure::new(FAILED, format!("the server sent a broken chunked message: {why}"));
        let (id, pieces) = match self.chunked.take() {
            None if chunk.part == 0 => (chunk.id, String::new()),
            Some((id, pieces)) if id == chunk.id => (id, pieces),
            _ => return Err(broken("a part is missing")),
        };
        let pieces = pieces + &chunk.piece;
        if pieces.len() > CHUNKED_BYTES {
            return Err(broken("it is too long"));
        }
        if chunk.part + 1 < chunk.total {
            self.chunked = Some((id, pieces));
            return Ok(None);
        }
        let text = BASE64.decode(&pieces).map_err(|_| broken("it is not base64"))?;
        Ok(Some(String::from_utf8(text).map_err(|_| broken("it is not UTF-8"))?))
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // Completes the closing handshake, so that the server need not wait for it. Nothing depends on it.
        self.socket.stream_mut().set_deadline(Some(Instant::now() + BIND_TIMEOUT));
        if self.socket.close().is_err() || self.socket.stream().set_close_timeout().is_err() {
            return;
        }
        for _ in 0..CLOSING_MESSAGES {
            if !matches!(self.socket.read(), Ok(Incoming::Text(_) | Incoming::Control)) {
                return;
            }
        }
    }
}

/// Envelope of a call.
fn request(id: &str, path: &str, parameters: &[(&str, &str)], session: &str) -> Result<String, Failure> {
    let write_parameters = |out: &mut Writer<'_>| -> Result<(), Full> {
        for (number, (name, value)) in parameters.iter().enumerate() {
            out.put(if number == 0 { "" } else { "," })?;
            out.put_text(name)?;
            out.put(":")?;
            out.put_text(value)?;
        }
        Ok(())
    };
    compose(|out| {
        out.put(r#"{"type":"msg","data":{"type":"request","requestid":"#)?;
        out.put_text(id)?;
        out.put(r#","path":"#)?;
        out.put_string(format_args!("{LIBRARY}{path}"))?;
        out.put(r#","data":{"#)?;
        write_parameters(out)?;
        out.put(r#"},"sessionid":"#)?;
        out.put_text(session)?;
        out.put("}}")
    })
}

/// Reads `{"type":"con","data":{"type":"pong","data":SESSION}}`.
fn is_bound(message: &str, session: &str) -> bool {
    let data = Raw::parse(message).and_then(|message| message.get("data"));
    let is = |key, text| data.and_then(|data| data.get(key)).and_then(string).as_deref() == Some(text);
    is("type", "pong") && is("data", session)
}

struct Chunk {
    id: String,
    part: u32,
    total: u32,
    piece: String,
}

/// Reads `{"type":"con","data":{"type":"chunk","data":{"id":I,"total":N,"part":N,"data":"base64"}}}`.
fn read_chunk(message: Raw<'_>) -> Option<Chunk> {
    let data = message.get("data")?;
    if text_of(message, "type")? != "con" || text_of(data, "type")? != "chunk" {
        return None;
    }
    let data = data.get("data")?;
    Some(Chunk {
        id: text_of(data, "id")?,
        part: text_of(data, "part")?.parse().ok()?,
        total: text_of(data, "total")?.parse().ok()?,
        piece: string(data.get("data")?)?,
    })
}

/// The content of the reply to this request; `None` for any other message.
fn response(message: &str, id: &str) -> Result<Option<String>, Failure> {
    let Some(message) = Raw::parse(message) else {
        let text = "the server sent a message that is not JSON; check that --url is friendlet";
        return Err(Failure::new(FAILED, text));
    };
    let message = Some(message).filter(|message| text_of(*message, "type").as_deref() == Some("msg"));
    let Some(data) = message.and_then(|message| message.get("data")) else {
        return Ok(None);
    };
    let has_id = |object| text_of(object, "requestid").as_deref() == Some(id);
    match text_of(data, "type").as_deref() {
        // A reply without content is a call that returned nothing.
        Some("response") if has_id(data) => Ok(Some(data.get("data").map_or_else(String::new, |content| {
            string(content).unwrap_or_else(|| content.text().to_owned())
        }))),
        Some("error") if data.get("data").is_some_and(has_id) => {
            Err(Failure::new(FAILED, "the server rejected the call as malformed"))
        }
        _ => Ok(None),
    }
}

/// Failure of a connection that the server has closed, with the reason in words.
fn closed(code: Option<u16>, reason: &str) -> Failure {
    match code {
        Some(code) if code == u16::from(CloseCode::Policy) => no_session(reason),
        Some(code) => Failure::new(UNAVAILABLE, format!("the server closed the connection: {code} {reason}")),
        None => Failure::new(UNAVAILABLE, "the server closed the connection"),
    }
}

fn lost(error: &io::Error) -> Failure {
    let why = if error.kind() == io::ErrorKind::WouldBlock {
        "the server sent nothing for too long".to_owned()
    } else {
        format!("connection lost: {}", explain(error))
    };
    Failure::new(UNAVAILABLE, why)
}
