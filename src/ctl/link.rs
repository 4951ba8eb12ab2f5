//! The socket after the upgrade: bind, call, pushes, chunks.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use data_encoding::BASE64;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Error, Message, WebSocket};

use super::connection::Stream;
use super::json::{self, Node, put_string};
use super::output::clean;
use super::reply::no_session;
use super::{FAILED, Failure, UNAVAILABLE};

/// How long a call may take: the longest stop of a service, and the way there and back.
const CALL_TIMEOUT: Duration = Duration::from_secs(330);
/// How long the server may take to answer the bind.
const BIND_TIMEOUT: Duration = Duration::from_secs(20);
/// Messages that came while an answer was waited for, kept for later; beyond them the oldest goes.
const UNREAD_MESSAGES: usize = 256;
/// Messages read past while the server's own good-bye is waited for.
const FAREWELL_MESSAGES: u32 = 64;
/// Base64 text of one chunked message.
const CHUNKED_BYTES: usize = 4 << 20;

/// An upgraded connection.
#[derive(Debug)]
pub(super) struct Link {
    socket: WebSocket<Stream>,
    session: String,
    /// The server has said that the socket is bound.
    bound: bool,
    /// Calls made, and so the id of the last.
    calls: u32,
    /// What came while an answer was waited for.
    unread: VecDeque<String>,
    /// Id and pieces of the chunked message under way.
    chunked: Option<(String, String)>,
}

impl Link {
    /// Takes the socket over and asks for it to be bound to the session, as Friend Core's clients do.
    pub(super) fn new(socket: WebSocket<Stream>, session: String) -> Result<Self, Failure> {
        socket.get_ref().settle().map_err(|error| lost(&Error::Io(error)))?;
        let mut message = "{\"type\":\"con\",\"data\":{\"sessionId\":".to_owned();
        put_string(&mut message, &session);
        let mut link =
            Self { socket, session, bound: false, calls: 0, unread: VecDeque::new(), chunked: None };
        link.send(message + "}}")?;
        Ok(link)
    }

    /// Waits until the socket is bound, so that changes are pushed to it.
    pub(super) fn wait_bound(&mut self) -> Result<(), Failure> {
        let deadline = Instant::now() + BIND_TIMEOUT;
        while !self.bound {
            let text = self.read(Some(deadline))?;
            self.keep(text);
        }
        Ok(())
    }

    /// Makes a call and waits for its content; all else that comes is kept for [`next`](Self::next).
    pub(super) fn call(&mut self, path: &str, parameters: &[(&str, &str)]) -> Result<String, Failure> {
        self.calls += 1;
        let id = format!("ctl-{}", self.calls);
        let mut message = "{\"type\":\"msg\",\"data\":{\"type\":\"request\",\"requestid\":".to_owned();
        put_string(&mut message, &id);
        message += ",\"path\":";
        put_string(&mut message, path);
        message += ",\"data\":{";
        for (number, (name, value)) in parameters.iter().enumerate() {
            if number > 0 {
                message.push(',');
            }
            put_string(&mut message, name);
            message.push(':');
            put_string(&mut message, value);
        }
        message += "},\"sessionid\":";
        put_string(&mut message, &self.session);
        self.send(message + "}}")?;

        let deadline = Instant::now() + CALL_TIMEOUT;
        loop {
            let text = self.read(Some(deadline))?;
            if let Some(content) = response(&text, &id)? {
                return Ok(content);
            }
            self.keep(text);
        }
    }

    /// The next text message, chunks put together.
    pub(super) fn next(&mut self) -> Result<String, Failure> {
        match self.unread.pop_front() {
            Some(text) => Ok(text),
            None => self.read(None),
        }
    }

    fn keep(&mut self, text: String) {
        if self.unread.len() == UNREAD_MESSAGES {
            self.unread.pop_front();
        }
        self.unread.push_back(text);
    }

    fn send(&mut self, text: String) -> Result<(), Failure> {
        self.socket.send(Message::text(text)).map_err(|error| lost(&error))
    }

    fn read(&mut self, deadline: Option<Instant>) -> Result<String, Failure> {
        loop {
            // The server's pings wake the socket often enough to see the deadline pass.
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Err(Failure::new(UNAVAILABLE, "the server did not answer in time"));
            }
            match self.socket.read() {
                Ok(Message::Text(text)) => {
                    if let Some(whole) = self.assemble(text.as_str().to_owned())? {
                        self.bound |= is_bound(&whole, &self.session);
                        return Ok(whole);
                    }
                }
                Ok(Message::Close(frame)) => return Err(self.closed(frame)),
                // Pings are answered by the socket itself.
                Ok(_) => {}
                Err(error) => return Err(lost(&error)),
            }
        }
    }

    fn closed(&mut self, frame: Option<tungstenite::protocol::CloseFrame>) -> Failure {
        // Sends the answer to the close; the connection is over either way.
        let _ = self.socket.flush();
        match frame {
            Some(frame) if frame.code == CloseCode::Policy => no_session(&clean(&frame.reason)),
            Some(frame) => Failure::new(
                UNAVAILABLE,
                format!(
                    "the server closed the connection: {} {}",
                    u16::from(frame.code),
                    clean(&frame.reason)
                ),
            ),
            None => Failure::new(UNAVAILABLE, "the server closed the connection"),
        }
    }

    /// Gives a message that is no chunk back, and a chunked one once it is whole.
    fn assemble(&mut self, message: String) -> Result<Option<String>, Failure> {
        let Some(chunk) = json::parse(&message).and_then(|node| read_chunk(&node)) else {
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
        let mut text = vec![0; BASE64.decode_len(pieces.len()).map_err(|_| broken("it is no base64"))?];
        let length =
            BASE64.decode_mut(pieces.as_bytes(), &mut text).map_err(|_| broken("it is no base64"))?;
        text.truncate(length);
        Ok(Some(String::from_utf8(text).map_err(|_| broken("it is not UTF-8"))?))
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // Says good-bye and hears it back, so that the server need not wait; all of it may fail.
        if self.socket.close(None).is_err() || self.socket.get_ref().hurry().is_err() {
            return;
        }
        for _ in 0..FAREWELL_MESSAGES {
            if self.socket.read().is_err() {
                return;
            }
        }
    }
}

/// `{"type":"con","data":{"type":"pong","data":SESSION}}`
fn is_bound(text: &str, session: &str) -> bool {
    let node = json::parse(text);
    let data = node.as_ref().and_then(|node| node.get("data"));
    let is = |name, value| data.and_then(|data| data.get(name)).and_then(Node::string) == Some(value);
    is("type", "pong") && is("data", session)
}

struct Chunk {
    id: String,
    part: u32,
    total: u32,
    piece: String,
}

/// `{"type":"con","data":{"type":"chunk","data":{"id":I,"total":N,"part":N,"data":"base64"}}}`
fn read_chunk(node: &Node<'_>) -> Option<Chunk> {
    let data = node.get("data")?;
    if node.get("type")?.string()? != "con" || data.get("type")?.string()? != "chunk" {
        return None;
    }
    let data = data.get("data")?;
    Some(Chunk {
        id: data.get("id")?.text()?.to_owned(),
        part: data.get("part")?.text()?.parse().ok()?,
        total: data.get("total")?.text()?.parse().ok()?,
        piece: data.get("data")?.string()?.to_owned(),
    })
}

/// The content of the response to this request; `None` for any other message.
fn response(text: &str, id: &str) -> Result<Option<String>, Failure> {
    let node = json::parse(text);
    let data = node.as_ref().filter(|node| node.get("type").and_then(Node::string) == Some("msg"));
    let Some(data) = data.and_then(|node| node.get("data")) else {
        return Ok(None);
    };
    let has_id = |node: &Node<'_>| node.get("requestid").and_then(Node::string) == Some(id);
    match data.get("type").and_then(Node::string) {
        Some("response") if has_id(data) => {
            let content = data.get("data");
            let content = content.map(|content| content.string().unwrap_or(content.raw).to_owned());
            Ok(Some(content.unwrap_or_default()))
        }
        Some("error") if data.get("data").is_some_and(has_id) => {
            Err(Failure::new(FAILED, "the server did not understand the call"))
        }
        _ => Ok(None),
    }
}

fn lost(error: &Error) -> Failure {
    let why = match error {
        Error::Io(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
            "the server has said nothing for too long".to_owned()
        }
        other => format!("the connection was lost: {}", clean(&other.to_string())),
    };
    Failure::new(UNAVAILABLE, why)
}
