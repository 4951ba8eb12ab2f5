//! Request head (RFC 9112, sections 2 to 6), parsed in place.
//!
//! The parser is strict where leniency allows request smuggling: one Host, one Content-Length of
//! digits only, or `Transfer-Encoding: chunked` and no length, no folded line, no bare CR. A line may end in LF
//! alone (RFC 9112, 2.2 allows it), and one empty line may precede the request line.

use core::ops::Range;

use httparse::{EMPTY_HEADER, Error, Request, Status};

use crate::limits;

#[cfg(test)]
mod tests;

/// Longest method; more bytes before the first space are not HTTP.
const METHOD_BYTES: usize = 16;

/// Supported method.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Method {
    /// `GET`: pages, calls by query string, the upgrade.
    Get,
    /// `HEAD`: as `GET`, with a response without body.
    Head,
    /// `OPTIONS`: the methods of any path, and the preflight request of a browser for a call from another origin.
    Options,
    /// `POST`: calls by form.
    Post,
}

/// Error response to a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rejection {
    /// HTTP status.
    pub status: u16,
    /// One line for the peer: reason and remedy.
    pub reason: &'static str,
}

impl Rejection {
    /// Every slot is in use.
    pub const AT_CAPACITY: Self = Self { status: 503, reason: "all connections are in use; try again later" };
    /// An internal error; the log has the details.
    pub const INTERNAL: Self = Self { status: 500, reason: "internal error; see the log of the server" };
    /// Request of another user at the local socket.
    pub const FOREIGN_USER: Self =
        Self { status: 403, reason: "only root and the user of the server may use this socket" };
    /// Unknown path.
    pub const NOT_FOUND: Self =
        Self { status: 404, reason: "nothing is here; see /console for what this server offers" };
    /// Plain HTTP on a TLS port.
    pub const PLAIN_ON_TLS: Self =
        Self { status: 400, reason: "this port speaks TLS; use https:// or wss://" };
    /// The request did not arrive in time.
    pub const TIMED_OUT: Self =
        Self { status: 408, reason: "the request did not arrive in time; send it whole and at once" };
    /// The peer closed its side in the middle of a request.
    pub const TRUNCATED: Self =
        Self { status: 400, reason: "the request ended in its middle; send head and body whole" };

    pub(super) const fn new(status: u16, reason: &'static str) -> Self {
        Self { status, reason }
    }
}

/// WebSocket fields of a request (RFC 6455, 4.1), validated by `check_upgrade`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct UpgradeFields<'b> {
    /// `Connection` lists `upgrade`.
    pub connection: bool,
    /// `Upgrade` lists `websocket`.
    pub websocket: bool,
    /// `Sec-WebSocket-Key`.
    pub key: Option<&'b str>,
    /// `Sec-WebSocket-Version`.
    pub version: Option<&'b str>,
    /// `Sec-WebSocket-Protocol` is present.
    pub offers_protocols: bool,
    /// `Sec-WebSocket-Protocol` lists `FC-protocol`.
    pub offers_ours: bool,
}

/// Valid request head.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Head<'b> {
    /// Request method.
    pub method: Method,
    /// The version is HTTP/1.0: without upgrade, expectation and chunked body.
    pub http_1_0: bool,
    /// Path with its leading slash, still percent-encoded; `*` of `OPTIONS *`.
    pub path: &'b str,
    /// Query without its question mark, still encoded.
    pub query: Option<&'b str>,
    /// Position of `path` in the parsed bytes, for decoding in place.
    pub path_at: Range<usize>,
    /// Position of `query` in the parsed bytes; empty without one.
    pub query_at: Range<usize>,
    /// `Host` as `host` or `host:port`; always present in HTTP/1.1.
    pub host: Option<&'b str>,
    /// `Origin` of a browser's request.
    pub origin: Option<&'b str>,
    /// `Sec-Fetch-Site` names a page of another origin.
    pub is_cross_origin: bool,
    /// Length of the body; 0 without one, or with a chunked one.
    pub content_length: usize,
    /// The body is chunked.
    pub is_chunked: bool,
    /// The client waits for `100 Continue` before it sends the body.
    pub expects_continue: bool,
    /// `Content-Type`.
    pub content_type: Option<&'b str>,
    /// `Authorization`.
    pub authorization: Option<&'b str>,
    /// `Cookie`.
    pub cookie: Option<&'b str>,
    /// `Accept-Encoding` lists `gzip`.
    pub accepts_gzip: bool,
    /// `If-None-Match`: the versions that the client has.
    pub known_tags: Option<&'b str>,
    /// Present in a WebSocket handshake.
    pub upgrade: Option<UpgradeFields<'b>>,
}

/// Parses the head of a request at the front of the received bytes.
///
/// Returns the head and its length, the empty line included, or `None` while it is incomplete. Bytes
/// that can never become a request are rejected at once.
///
/// # Errors
///
/// 400 for malformed HTTP, 403 for an absolute target, 405 for an unsupported method, 413 for a body over `BODY_BYTES`,
/// 414 for a path over `PATH_BYTES` or a request line over `HEAD_BYTES`, 417 for another `Expect` than `100-continue`, 431
/// for a head over `HEAD_BYTES` or `HEAD_FIELDS`, 501 for another `Transfer-Encoding` than `chunked`, 505 for another
/// version of HTTP.
pub fn parse_head(bytes: &[u8]) -> Result<Option<(Head<'_>, usize)>, Rejection> {
    let bounded = bytes.get(..limits::HEAD_BYTES).unwrap_or(bytes);
    let Some(line) = request_line(bounded)? else {
        return too_long_or_more(bytes, false);
    };
    let mut fields = [EMPTY_HEADER; limits::HEAD_FIELDS];
    let mut request = Request::new(&mut fields);
    let length = match request.parse(bounded) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) => return too_long_or_more(bytes, line.contains(&b'\n')),
        Err(error) => return Err(rejection(error, line)),
    };
    let (Some(method), Some(target), Some(minor)) = (request.method, request.path, request.version) else {
        return Ok(None);
    };

    // The line begins with method and target, each followed by one space.
    let at = bounded.len() - line.len() + method.len() + 1;
    let method = parse_method(method)?;
    let http_1_0 = minor == 0;
    let (path, query) = split_target(method, target)?;
    let path_at = at..at + path.len();
    let query_at = match query {
        Some(query) => path_at.end + 1..path_at.end + 1 + query.len(),
        None => path_at.end..path_at.end,
    };

    let mut head = Head {
        method,
        http_1_0,
        path,
        query,
        path_at,
        query_at,
        host: None,
        origin: None,
        is_cross_origin: false,
        content_length: 0,
        is_chunked: false,
        expects_continue: false,
        content_type: None,
        authorization: None,
        cookie: None,
        accepts_gzip: false,
        known_tags: None,
        upgrade: None,
    };
    read_fields(&mut head, request.headers)?;
    if head.host.is_none() && !http_1_0 {
        return Err(Rejection::new(400, "the host header is missing; HTTP/1.1 requires one"));
    }
    Ok(Some((head, length)))
}

/// Returns true if the bytes begin a request with the method `HEAD`, whatever follows.
pub fn is_head(bytes: &[u8]) -> bool {
    without_empty_line(bytes).starts_with(b"HEAD ")
}

/// The bytes after the empty line that may precede a request.
pub(super) fn without_empty_line(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\r\n").or(bytes.strip_prefix(b"\n")).unwrap_or(bytes)
}

/// Returns the bytes from the request line on; `None` while it has not begun.
fn request_line(bytes: &[u8]) -> Result<Option<&[u8]>, Rejection> {
    if bytes.is_empty() || bytes == b"\r" {
        return Ok(None);
    }
    let line = without_empty_line(bytes);
    let method = line.split(|b| *b == b' ').next().unwrap_or(line);
    if matches!(line.first(), Some(b'\r' | b'\n')) || method.len() > METHOD_BYTES {
        return Err(NOT_HTTP);
    }
    // A path over its limit is rejected before the line is complete. Missing parts are empty.
    let target = line.get(method.len() + 1..).unwrap_or_default();
    let path = target.split(|b| matches!(b, b' ' | b'?' | b'\r' | b'\n')).next().unwrap_or_default();
    if path.starts_with(b"/") && path.len() > limits::PATH_BYTES {
        return Err(Rejection::new(414, "the path is too long; no call of this server has such a path"));
    }
    Ok(Some(line))
}

const NOT_HTTP: Rejection = Rejection::new(400, "this is not an HTTP request");

fn too_long_or_more<T>(bytes: &[u8], line_ended: bool) -> Result<Option<T>, Rejection> {
    match (bytes.len() >= limits::HEAD_BYTES, line_ended) {
        (false, _) => Ok(None),
        (true, true) => Err(Rejection::new(431, "the head is too long; send fewer or shorter headers")),
        (true, false) => {
            Err(Rejection::new(414, "the request line is too long; send a call's values by POST"))
        }
    }
}

fn rejection(error: Error, line: &[u8]) -> Rejection {
    match error {
        Error::TooManyHeaders => Rejection::new(431, "too many headers; send fewer"),
        Error::HeaderName => {
            Rejection::new(400, "a header line is malformed; send `name: value`, not folded over lines")
        }
        Error::HeaderValue => Rejection::new(400, "a header's value has a control character or a bare CR"),
        Error::NewLine => Rejection::new(400, "a line has a wrong end; end lines with CR LF"),
        Error::Version => {
            let version = line.split(|b| *b == b' ').nth(2).unwrap_or_default();
            if version.starts_with(b"HTTP/") {
                Rejection::new(505, "this version of HTTP is not supported; use HTTP/1.1")
            } else {
                NOT_HTTP
            }
        }
        Error::Status | Error::Token => NOT_HTTP,
    }
}

fn parse_method(method: &str) -> Result<Method, Rejection> {
    Ok(match method {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "OPTIONS" => Method::Options,
        "POST" => Method::Post,
        _ => return Err(Rejection::new(405, "this method is not supported; use GET or POST")),
    })
}

/// Splits the target into path and query (RFC 9112, 3.2). An absolute target gets 403, as in Friend Core.
fn split_target(method: Method, target: &str) -> Result<(&str, Option<&str>), Rejection> {
    if !target.is_ascii() || target.contains('#') {
        return Err(Rejection::new(400, "the target has a character that must be percent-encoded"));
    }
    if target == "*" && method == Method::Options {
        return Ok((target, None));
    }
    if !target.starts_with('/') {
        return Err(if target.contains("://") {
            Rejection::new(403, "this server is not a proxy; send a path, not a URL")
        } else {
            Rejection::new(400, "the target is not a path; begin it with a slash")
        });
    }
    Ok(match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    })
}

fn read_fields<'b>(head: &mut Head<'b>, fields: &[httparse::Header<'b>]) -> Result<(), Rejection> {
    let mut upgrade = UpgradeFields::default();
    let (mut length, mut encoding, mut expectation) = (None, None, None);
    for field in fields {
        let is = |name: &str| field.name.eq_ignore_ascii_case(name);
        if is("host") {
            set(&mut head.host, field)?;
        } else if is("origin") {
            set(&mut head.origin, field)?;
        } else if is("content-type") {
            set(&mut head.content_type, field)?;
        } else if is("authorization") {
            set(&mut head.authorization, field)?;
        } else if is("cookie") {
            // Those of other servers on this host are in it, too, in any bytes.
            head.cookie = core::str::from_utf8(field.value).ok();
        } else if is("content-length") {
            set(&mut length, field)?;
        } else if is("expect") {
            set(&mut expectation, field)?;
        } else if is("transfer-encoding") {
            set(&mut encoding, field)?;
        } else if is("accept-encoding") {
            head.accepts_gzip |= tokens(field)?.any(is_gzip);
        } else if is("if-none-match") {
            head.known_tags = Some(value(field)?);
        } else if is("sec-fetch-site") {
            head.is_cross_origin |= matches!(value(field)?, "cross-site" | "same-site");
        } else if is("connection") {
            upgrade.connection |= tokens(field)?.any(|token| token.eq_ignore_ascii_case("upgrade"));
        } else if is("upgrade") {
            upgrade.websocket |= tokens(field)?.any(|token| token.eq_ignore_ascii_case("websocket"));
        } else if is("sec-websocket-key") {
            set(&mut upgrade.key, field)?;
        } else if is("sec-websocket-version") {
            set(&mut upgrade.version, field)?;
        } else if is("sec-websocket-protocol") {
            upgrade.offers_protocols = true;
            upgrade.offers_ours |= tokens(field)?.any(|token| token == super::SUBPROTOCOL);
        }
    }
    if head.host.is_some_and(|host| !is_host(host)) {
        return Err(Rejection::new(400, "the host header is malformed; send `host` or `host:port`"));
    }
    match (length, encoding) {
        (None, None) => {}
        (Some(length), None) => head.content_length = body_length(length)?,
        (Some(_), Some(_)) => {
            return Err(Rejection::new(400, "content-length and transfer-encoding exclude each other"));
        }
        (None, Some(_)) if head.http_1_0 => {
            return Err(Rejection::new(
                400,
                "transfer-encoding is not part of HTTP/1.0; send content-length",
            ));
        }
        (None, Some(encoding)) if encoding.eq_ignore_ascii_case("chunked") => head.is_chunked = true,
        (None, Some(_)) => {
            return Err(Rejection::new(501, "the only transfer-encoding is chunked; or send content-length"));
        }
    }
    match expectation {
        // RFC 9110, 10.1.1: a server ignores it in HTTP/1.0.
        Some(_) if head.http_1_0 => {}
        Some(value) if !value.eq_ignore_ascii_case("100-continue") => {
            return Err(Rejection::new(
                417,
                "the only expectation is 100-continue; send the request without",
            ));
        }
        expectation => head.expects_continue = expectation.is_some(),
    }
    // RFC 9110, 7.8: a server ignores `upgrade` in HTTP/1.0, and other protocols.
    if !head.http_1_0 && (upgrade.websocket || upgrade.key.is_some()) {
        head.upgrade = Some(upgrade);
    }
    Ok(())
}

/// Stores a field that may occur once.
fn set<'b>(place: &mut Option<&'b str>, field: &httparse::Header<'b>) -> Result<(), Rejection> {
    if place.is_some() {
        return Err(Rejection::new(400, "a header that may occur once occurs twice"));
    }
    *place = Some(value(field)?);
    Ok(())
}

fn value<'b>(field: &httparse::Header<'b>) -> Result<&'b str, Rejection> {
    core::str::from_utf8(field.value)
        .ok()
        .filter(|value| value.is_ascii())
        .ok_or(Rejection::new(400, "a header's value is not ASCII"))
}

/// Members of a list field (RFC 9110, 5.6.1), without empty ones.
fn tokens<'b>(field: &httparse::Header<'b>) -> Result<impl Iterator<Item = &'b str>, Rejection> {
    Ok(value(field)?
        .split(',')
        .map(|token| token.trim_matches([' ', '\t']))
        .filter(|token| !token.is_empty()))
}

/// Returns true if a member of `Accept-Encoding` accepts gzip (RFC 9110, 12.5.3): one with a weight of 0 does not.
fn is_gzip(coding: &str) -> bool {
    let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
    let weight = weight.trim_matches([' ', '\t']).strip_prefix(['q', 'Q']).unwrap_or("=1");
    let is_refused = weight.bytes().all(|b| matches!(b, b'=' | b'0' | b'.'));
    matches!(name.trim_end_matches([' ', '\t']), "gzip" | "GZIP" | "x-gzip" | "*") && !is_refused
}

fn body_length(value: &str) -> Result<usize, Rejection> {
    if value.is_empty() || !value.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Rejection::new(400, "content-length is not a number"));
    }
    // A number that overflows is too large, too.
    match value.parse() {
        Ok(length) if length <= limits::BODY_BYTES => Ok(length),
        _ => Err(Rejection::new(413, "the body is too large; a call is short")),
    }
}

/// Checks for `uri-host [":" port]` (RFC 9110, 7.2), without escapes and sub-delimiters.
fn is_host(value: &str) -> bool {
    split_host(value).is_some()
}

/// Splits `host`, `host:port`, `[v6]` or `[v6]:port`; an empty port counts as none.
pub(super) fn split_host(value: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = if let Some(inner) = value.strip_prefix('[') {
        let (address, rest) = inner.split_once(']')?;
        if !address.contains(':')
            || !address.bytes().all(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.'))
        {
            return None;
        }
        match rest.strip_prefix(':') {
            Some(port) => (address, Some(port)),
            None if rest.is_empty() => (address, None),
            None => return None,
        }
    } else {
        let (host, port) = match value.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (value, None),
        };
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
        if host.is_empty() || !host.bytes().all(fits) {
            return None;
        }
        (host, port)
    };
    match port {
        None | Some("") => Some((host, None)),
        Some(port) if port.bytes().all(|b| b.is_ascii_digit()) => Some((host, Some(port.parse().ok()?))),
        Some(_) => None,
    }
}
