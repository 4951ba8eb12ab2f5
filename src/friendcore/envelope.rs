//! Envelope form of messages, since 2017: `{"type":T,"data":{..}}`.
//!
//! Friend Core decodes it by position, and needs `type` before `data`. This decoder finds every member by
//! its key, in any order.

use core::ops::Range;
use core::str;

use super::{Form, Message, Part, Refusal, RefusalKind, Request, Scratch};
use crate::call::{Call, ParameterError, Parameters};
use crate::json::{self, JsonError, Member, Object, Table, Value, ValueKind};
use crate::limits;

/// Longest value of a ping that is echoed. Other pongs contain a session id, which has this limit.
const ECHO_BYTES: usize = crate::session::PRESENTED_SESSION_BYTES;

/// Members of a call's `data` that are not parameters of the call.
const CALL_MEMBERS: &[&str] = &["type", "path", "requestid", "sessionid", "authid"];

/// Decodes an envelope.
pub(super) fn decode<'a, 'm: 'a>(
    message: &'m mut [u8],
    scratch: &'a mut Scratch<'m>,
) -> Result<Message<'a>, Refusal<'a>> {
    let refusal = |request_id, kind| Refusal { form: Form::Envelope, request_id, kind };
    if let Some(place) = usual_ping(message) {
        let message: &[u8] = message;
        let echo = message.get(place).and_then(|echo| str::from_utf8(echo).ok());
        return echo.map(|echo| Message::Ping { echo }).ok_or(refusal(None, RefusalKind::Malformed));
    }
    let Scratch { table, parameters } = scratch;
    // The WebSocket has checked the encoding of its messages, but not of text from chunks.
    let scanned = if message.is_ascii() || str::from_utf8(message).is_ok() {
        table.scan(message)
    } else {
        Err(JsonError::Encoding)
    };
    if let Err(error) = scanned {
        return Err(refusal(find_request_id(message), error.into()));
    }
    if let Some(id) = legacy_ping(message, table) {
        let message: &[u8] = message;
        let id = message.get(id).and_then(|id| str::from_utf8(id).ok());
        return id.map(|id| Message::LegacyPing { id }).ok_or(refusal(None, RefusalKind::Malformed));
    }
    let root = table.resolve(message).map_err(|error| refusal(None, error.into()))?;
    read(root, parameters).map_err(|kind| {
        let data = root.object("data");
        let id = data.and_then(|data| data.get("requestid")).and_then(Value::id);
        refusal(id.filter(|id| id.len() <= limits::REQUEST_ID_BYTES), kind)
    })
}

fn read<'a, 'm: 'a>(
    root: Object<'_, 'm>,
    parameters: &'a mut Parameters<'m>,
) -> Result<Message<'a>, RefusalKind> {
    let kind = root.get("type").ok_or(RefusalKind::Missing)?;
    let Value::String(kind) = kind else {
        return Err(RefusalKind::WrongType);
    };
    if kind == "session" {
        return Ok(Message::Nothing);
    }
    let data = match (kind, root.get("data")) {
        ("con" | "msg", Some(Value::Object)) => root.object("data").ok_or(RefusalKind::WrongType)?,
        ("con" | "msg", Some(_)) => return Err(RefusalKind::WrongType),
        ("con" | "msg", None) => return Err(RefusalKind::Missing),
        _ => return Err(RefusalKind::Type),
    };
    let inner = match data.get("type") {
        None => None,
        Some(Value::String(inner)) => Some(inner),
        Some(_) => return Err(RefusalKind::WrongType),
    };
    match (kind, inner) {
        ("con", None) => bind(data),
        ("con", Some("ping")) => ping(data),
        ("con", Some("pong")) => Ok(Message::Pong),
        ("con", Some("chunk")) => chunk(data),
        ("msg", Some("request")) => {
            let mut request = call(data, parameters)?;
            let id = data.get("requestid").ok_or(RefusalKind::Missing)?;
            let id = id.id().ok_or(RefusalKind::WrongType)?;
            if id.len() > limits::REQUEST_ID_BYTES {
                return Err(RefusalKind::TooLong);
            }
            request.request_id = Some(id);
            Ok(Message::Call(request))
        }
        ("msg", Some("event")) => call(data, parameters).map(Message::Event),
        ("msg", None) => Err(RefusalKind::Missing),
        _ => Err(RefusalKind::Type),
    }
}

fn bind<'m>(data: Object<'_, 'm>) -> Result<Message<'m>, RefusalKind> {
    // The server of Friend Core reads `sessionId` and `authid`; its script sends `authId`.
    for key in ["sessionId", "sessionid", "authid", "authId"] {
        if let Some(value) = data.get(key) {
            let session = value.id().ok_or(RefusalKind::WrongType)?;
            if session.len() > crate::session::PRESENTED_SESSION_BYTES {
                return Err(RefusalKind::TooLong);
            }
            return Ok(Message::Bind { form: Form::Envelope, session });
        }
    }
    Err(RefusalKind::Missing)
}

fn ping<'m>(data: Object<'_, 'm>) -> Result<Message<'m>, RefusalKind> {
    let echo = match data.get("data") {
        None => "",
        Some(value) => value.text().ok_or(RefusalKind::WrongType)?,
    };
    if echo.len() > ECHO_BYTES { Err(RefusalKind::TooLong) } else { Ok(Message::Ping { echo }) }
}

fn chunk<'m>(data: Object<'_, 'm>) -> Result<Message<'m>, RefusalKind> {
    let chunk = data.object("data").ok_or(RefusalKind::Missing)?;
    let string = |key| match chunk.get(key) {
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(RefusalKind::WrongType),
        None => Err(RefusalKind::Missing),
    };
    let number = |key| match chunk.get(key) {
        Some(Value::Number(text) | Value::String(text)) => json::number(text).ok_or(RefusalKind::WrongType),
        Some(_) => Err(RefusalKind::WrongType),
        None => Err(RefusalKind::Missing),
    };
    let part =
        Part { id: string("id")?, part: number("part")?, total: number("total")?, data: string("data")? };
    if part.id.is_empty() {
        Err(RefusalKind::Missing)
    } else if part.id.len() > limits::CHUNK_ID_BYTES {
        Err(RefusalKind::TooLong)
    } else {
        Ok(Message::Chunk(part))
    }
}

/// Decodes the common part of a request and an event. As in Friend Core, every value in `data` is a
/// parameter, at any depth, except the members of the envelope itself.
fn call<'a, 'm: 'a>(
    data: Object<'_, 'm>,
    parameters: &'a mut Parameters<'m>,
) -> Result<Request<'a>, RefusalKind> {
    let path = match data.get("path") {
        None | Some(Value::String("")) => return Err(RefusalKind::Missing),
        Some(Value::String(path)) => path,
        Some(_) => return Err(RefusalKind::WrongType),
    };
    if path.len() > limits::PATH_BYTES {
        return Err(RefusalKind::TooLong);
    }
    parameters.clear();
    flatten_into(data, parameters, |key, value| {
        // `"data":null` means no parameters; it is not a parameter of that name.
        CALL_MEMBERS.contains(&key) || (key == "data" && matches!(value, Value::Word(_)))
    })?;
    let session = session_id(data, &["sessionid", "authid"])?;
    Ok(Request { form: Form::Envelope, request_id: None, call: Call { path, parameters, session } })
}

/// Session id under the first of these keys that has one; `null` or `false` counts as none.
pub(super) fn session_id<'m>(object: Object<'_, 'm>, keys: &[&str]) -> Result<Option<&'m str>, RefusalKind> {
    let session = keys.iter().filter_map(|key| object.get(key)).find_map(Value::id);
    match session {
        Some(id) if id.len() > crate::session::PRESENTED_SESSION_BYTES => Err(RefusalKind::TooLong),
        session => Ok(session),
    }
}

/// Adds every value except objects to `parameters`, from all depths, under its own key. If a key occurs at
/// several depths, the outermost counts; at one depth, the first. `skip` leaves out members of the object
/// itself.
pub(super) fn flatten_into<'m>(
    object: Object<'_, 'm>,
    parameters: &mut Parameters<'m>,
    skip: impl Fn(&str, Value<'m>) -> bool,
) -> Result<(), RefusalKind> {
    for level in 0..=object.deepest() {
        for (key, value) in object.members_at(level) {
            let Some(text) = value.text() else { continue };
            if level == 0 && skip(key, value) {
                continue;
            }
            match parameters.insert(key, text) {
                Ok(()) | Err(ParameterError::Duplicate) => {}
                Err(ParameterError::Full) => return Err(RefusalKind::TooManyParameters),
            }
        }
    }
    Ok(())
}

/// Recognizes the ping of a browser by its bytes, and returns the range of its time. Most messages of a
/// client are these. The general decoder handles all others, with the same result for a ping.
fn usual_ping(message: &[u8]) -> Option<Range<usize>> {
    const BEFORE: &[u8; 43] = br#"{"type":"con","data":{"type":"ping","data":"#;
    let (before, digits) = message.split_first_chunk::<{ BEFORE.len() }>()?;
    // Eight bytes at a time: byte by byte, this is a tenth of the instructions of a ping.
    let (words, rest) = before.as_chunks::<8>();
    let (usual_words, usual_rest) = BEFORE.as_chunks::<8>();
    let mut words = words.iter().zip(usual_words);
    if !words.all(|(a, b)| u64::from_ne_bytes(*a) == u64::from_ne_bytes(*b)) || rest != usual_rest {
        return None;
    }
    let digits = digits.strip_suffix(b"}}")?;
    let is_number = matches!(digits, [b'1'..=b'9', rest @ ..] if rest.iter().all(u8::is_ascii_digit));
    (is_number && digits.len() <= ECHO_BYTES).then_some(BEFORE.len()..BEFORE.len() + digits.len())
}

/// Recognizes `{"id":N,"req":{"cmd":"ping"}}` and returns the range of the id with its quotes.
fn legacy_ping(text: &[u8], table: &Table) -> Option<Range<usize>> {
    let entries = table.entries();
    let top = |name: &str| entries.iter().position(|entry| entry.depth() == 1 && entry.has_key(text, name));
    if top("type").is_some() {
        return None;
    }
    let id = entries.get(top("id")?)?;
    let id = match id.kind() {
        ValueKind::String => id.value().start - 1..id.value().end + 1,
        ValueKind::Number => id.value(),
        _ => return None,
    };
    let mut inside = entries.get(top("req")? + 1..)?.iter().take_while(|entry| entry.depth() > 1);
    let is_ping = |entry: &Member| entry.has_key(text, "cmd") && text.get(entry.value()) == Some(b"ping");
    let ping = inside.any(|entry| entry.depth() == 2 && is_ping(entry));
    (ping && id.len() <= limits::REQUEST_ID_BYTES).then_some(id)
}

/// Finds `"requestid":"..."` in a malformed message, so that the client can assign the answer to its
/// request. White space around the colon is allowed, unlike in Friend Core.
fn find_request_id(message: &mut [u8]) -> Option<&str> {
    const KEY: &[u8] = b"\"requestid\"";
    let mut from = 0;
    let place = loop {
        let rest = message.get(from..)?;
        let at = from + rest.windows(KEY.len()).position(|window| window == KEY)?;
        from = at + KEY.len();
        // A quote after a backslash is part of a string, and so is the apparent key.
        let escapes = message.get(..at)?.iter().rev().take_while(|byte| **byte == b'\\').count();
        if escapes % 2 == 0
            && let Some(place) = string_after_colon(message, from)
        {
            break place;
        }
    };
    let id = json::unescape(message.get_mut(place)?)?;
    (id.len() <= limits::REQUEST_ID_BYTES).then_some(id)
}

fn string_after_colon(message: &[u8], from: usize) -> Option<Range<usize>> {
    let after_space = |at: usize| {
        let rest = message.get(at..)?;
        Some(at + rest.iter().position(|byte| !json::is_space(*byte))?)
    };
    let colon = after_space(from)?;
    if message.get(colon) != Some(&b':') {
        return None;
    }
    let quote = after_space(colon + 1)?;
    if message.get(quote) != Some(&b'"') {
        return None;
    }
    json::string_end(message, quote + 1).map(|end| quote + 1..end)
}
