//! Frame form of messages, of 2016.
//!
//! ```text
//! message = "<!--" q TYPE q "--" q LENGTH q "--" q URL q "-->" body [ "<--!>" ]
//! con     = "<!--" q "CON" q "--" q "0" q "--" q SESSIONID q "-->"
//! ```
//!
//! The header has no escapes. LENGTH is advisory: the documented example has 760 for a body of 81 bytes.
//! The body therefore extends from the header to the last trailer, or to the end. Like Friend Core, this
//! decoder refuses a LENGTH that is not a number above zero. The body is a JSON object. Friend Core only
//! collects its quoted strings, so JSON is a superset.

use core::ops::Range;
use core::str;

use super::envelope::{flatten_into, session_id};
use super::{Form, Message, RefusalKind, Request, Scratch};
use crate::call::Call;
use crate::{json, limits};

/// Start of every `CON`; its LENGTH is always zero.
const CON: &str = "<!--\"CON\"--\"0\"--\"";
const TRAILER: &str = "<--!>";

/// Pieces of a frame, as ranges of the message.
enum Pieces {
    Con { session: Range<usize> },
    Call { path: Range<usize>, body: Range<usize> },
}

/// Decodes a frame.
pub(super) fn decode<'a, 'm: 'a>(
    message: &'m mut [u8],
    scratch: &'a mut Scratch<'m>,
) -> Result<Message<'a>, RefusalKind> {
    let pieces = split(str::from_utf8(message).map_err(|_| RefusalKind::Encoding)?)?;
    match pieces {
        Pieces::Con { session } => {
            let message: &[u8] = message;
            let session = message.get(session).and_then(|session| str::from_utf8(session).ok());
            session.map(|session| Message::Bind { form: Form::Frame, session }).ok_or(RefusalKind::Malformed)
        }
        Pieces::Call { path, body } => {
            let body_bytes = body.len();
            let (head, rest) = message.split_at_mut_checked(body.start).ok_or(RefusalKind::Malformed)?;
            let head: &[u8] = head;
            let path = head.get(path).and_then(|path| str::from_utf8(path).ok());
            let body = rest.get_mut(..body_bytes);
            let (Some(path), Some(body)) = (path, body) else {
                return Err(RefusalKind::Malformed);
            };
            call(path, body, scratch).map(Message::Call)
        }
    }
}

fn call<'a, 'm: 'a>(
    path: &'m str,
    body: &'m mut [u8],
    scratch: &'a mut Scratch<'m>,
) -> Result<Request<'a>, RefusalKind> {
    let Scratch { table, parameters } = scratch;
    parameters.clear();
    let mut session = None;
    if !body.iter().all(|byte| json::is_space(*byte)) {
        table.scan(body)?;
        let root = table.resolve(body)?;
        flatten_into(root, parameters, |_, _| false)?;
        session = session_id(root, &["sessionid", "authid"])?;
    }
    Ok(Request { form: Form::Frame, request_id: None, call: Call { path, parameters, session } })
}

/// Finds the pieces of a frame. Each literal between them is required.
fn split(text: &str) -> Result<Pieces, RefusalKind> {
    if let Some(rest) = text.strip_prefix(CON) {
        let (session, _) = piece(rest, "\"-->").ok_or(RefusalKind::Malformed)?;
        if session.len() > crate::session::PRESENTED_SESSION_BYTES {
            return Err(RefusalKind::TooLong);
        }
        return Ok(Pieces::Con { session: CON.len()..CON.len() + session.len() });
    }

    let malformed = RefusalKind::Malformed;
    let rest = text.strip_prefix("<!--\"").ok_or(malformed)?;
    let (kind, rest) = piece(rest, "\"--\"").ok_or(malformed)?;
    let (length, rest) = piece(rest, "\"--\"").ok_or(malformed)?;
    let (path, rest) = piece(rest, "\"-->").ok_or(malformed)?;
    if path.is_empty() {
        return Err(malformed);
    }
    // Friend Core's grammar has STR, a stream, which was never implemented.
    if kind != "MSG" {
        return Err(RefusalKind::Type);
    }
    // Zeros alone are zero. The number of digits does not matter, because the value is not used.
    let number = length.bytes().all(|byte| byte.is_ascii_digit());
    if !number || length.bytes().all(|byte| byte == b'0') {
        return Err(RefusalKind::Length);
    }
    if path.len() > limits::PATH_BYTES {
        return Err(RefusalKind::TooLong);
    }
    let body_start = text.len() - rest.len();
    let path_start = body_start - "\"-->".len() - path.len();
    // Most frames end with it.
    let body_bytes = match rest.strip_suffix(TRAILER) {
        Some(body) => body.len(),
        None => rest.rfind(TRAILER).unwrap_or(rest.len()),
    };
    Ok(Pieces::Call { path: path_start..path_start + path.len(), body: body_start..body_start + body_bytes })
}

/// Returns the piece up to the next quote, which must be that of `end`, and the rest.
fn piece<'t>(text: &'t str, end: &str) -> Option<(&'t str, &'t str)> {
    let quote = text.bytes().position(|byte| byte == b'"')?;
    let (piece, rest) = text.split_at_checked(quote)?;
    Some((piece, rest.strip_prefix(end)?))
}
