//! Responses, written whole to a send buffer.
//!
//! Names and order of the first fields are Friend Core's: `content-type`, `connection: close`,
//! `access-control-allow-origin`, `content-length`. No cache stores a response (`no-store`) but
//! that of a file of the console, and no browser guesses another type for it (`nosniff`).

use super::Rejection;
use crate::limits::ORIGIN_BYTES;

/// Largest head of a response to a call, with the [`CONTINUE`] before it.
pub const CALL_HEAD_BYTES: usize = 480 + 2 * ORIGIN_BYTES;

/// Response to `Expect: 100-continue`, before the one to the request.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

const TEXT: &str = "text/plain; charset=utf-8";
/// Type of metrics (OpenMetrics 1.0).
const METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const METHODS: &str = "GET, HEAD, POST, OPTIONS";
/// Methods of a path that is only read.
pub const READ_METHODS: &str = "GET, HEAD, OPTIONS";
/// Type of the body of a problem (RFC 9457).
const PROBLEM: &str = "application/problem+json";

/// Type of the body of a response.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MediaType {
    /// JSON.
    Json,
    /// Problem details (RFC 9457).
    Problem,
    /// Plain text.
    Text,
    /// OpenMetrics.
    Metrics,
    /// HTML of a service: a page of no origin and without scripts (`sandbox`), if a browser opens it.
    Html,
}

/// Client of a response, as far as the response depends on it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Recipient<'a> {
    /// The method is `HEAD`: the response has no body.
    pub head_only: bool,
    /// Allowed `Origin` of the request, whose pages may read the response.
    pub origin: Option<&'a str>,
    /// It reads problem details, and not lines of text.
    pub reads_problems: bool,
    /// Methods of the path; empty: every one that the server supports.
    pub methods: &'a str,
    /// Seconds to wait after a 429 or 503.
    pub retry_after_s: u32,
}

/// Session in a cookie that the browser keeps until it is closed and sends with requests of this server's pages alone
/// (RFC 6265).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Cookie<'a> {
    /// Its name.
    pub name: &'a str,
    /// The session; empty: the browser deletes the cookie.
    pub session: &'a str,
    /// Path of the server with a slash at its end, below which the cookie is sent.
    pub path: [&'a str; 2],
    /// It is sent over TLS alone.
    pub is_secure: bool,
}

/// The buffer is too small for the response; its content must not be sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ResponseTooLarge;

/// Reason phrase of a status that this server sends (RFC 9110, 15), otherwise empty.
pub fn phrase(status: u16) -> &'static str {
    match status {
        101 => "Switching Protocols",
        200 => "OK",
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        417 => "Expectation Failed",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}

/// Writer of a response into a send buffer.
pub(super) struct ResponseWriter<'b> {
    out: &'b mut [u8],
    used: usize,
}

impl<'b> ResponseWriter<'b> {
    pub(super) fn new(out: &'b mut [u8]) -> Self {
        Self { out, used: 0 }
    }

    /// Length written so far.
    pub(super) fn used(&self) -> usize {
        self.used
    }

    pub(super) fn put(&mut self, bytes: &[u8]) -> Result<(), ResponseTooLarge> {
        let place = self
            .out
            .get_mut(self.used..)
            .and_then(|rest| rest.get_mut(..bytes.len()))
            .ok_or(ResponseTooLarge)?;
        place.copy_from_slice(bytes);
        self.used += bytes.len();
        Ok(())
    }

    pub(super) fn status(&mut self, status: u16) -> Result<(), ResponseTooLarge> {
        self.put(b"HTTP/1.1 ")?;
        self.number(status.into())?;
        self.put(b" ")?;
        self.put(phrase(status).as_bytes())?;
        self.put(b"\r\n")
    }

    pub(super) fn field(&mut self, name: &str, value: &str) -> Result<(), ResponseTooLarge> {
        self.put(name.as_bytes())?;
        self.put(b": ")?;
        self.put(value.as_bytes())?;
        self.put(b"\r\n")
    }

    pub(super) fn number_field(&mut self, name: &str, value: usize) -> Result<(), ResponseTooLarge> {
        self.put(name.as_bytes())?;
        self.put(b": ")?;
        self.number(value)?;
        self.put(b"\r\n")
    }

    fn cookie(&mut self, cookie: Cookie<'_>) -> Result<(), ResponseTooLarge> {
        let Cookie { name, session, path: [prefix, path], is_secure } = cookie;
        let end = if session.is_empty() { "; Max-Age=0" } else { "" };
        let secure = if is_secure { "; Secure" } else { "" };
        for part in ["set-cookie: ", name, "=", session, end, "; Path=", prefix, path, secure] {
            self.put(part.as_bytes())?;
        }
        self.put(b"; HttpOnly; SameSite=Strict\r\n")
    }

    fn number(&mut self, value: usize) -> Result<(), ResponseTooLarge> {
        if value > 9 {
            self.number(value / 10)?;
        }
        self.put(&[b'0' + (value % 10) as u8])
    }

    /// Writes the fields of every response that no cache stores.
    pub(super) fn head(
        &mut self,
        status: u16,
        content_type: &str,
        content_length: usize,
        to: Recipient<'_>,
    ) -> Result<(), ResponseTooLarge> {
        self.head_for_cache(status, content_type, Some(content_length), "no-store", to)
    }

    /// Writes the fields of every response, with the rule for caches. Without a length, the body ends with the connection.
    pub(super) fn head_for_cache(
        &mut self,
        status: u16,
        content_type: &str,
        content_length: Option<usize>,
        cache_control: &str,
        to: Recipient<'_>,
    ) -> Result<(), ResponseTooLarge> {
        self.status(status)?;
        self.field("content-type", content_type)?;
        // RFC 9110, 7.8: a sender of `upgrade` lists it in `connection`.
        self.field("connection", if status == 426 { "close, upgrade" } else { "close" })?;
        if let Some(origin) = to.origin {
            self.field("access-control-allow-origin", origin)?;
            self.field("vary", "origin")?;
        }
        if let Some(content_length) = content_length {
            self.number_field("content-length", content_length)?;
        }
        self.field("cache-control", cache_control)?;
        self.field("x-content-type-options", "nosniff")?;
        match status {
            429 | 503 => self.number_field("retry-after", to.retry_after_s as usize),
            _ => Ok(()),
        }
    }

    /// Writes the empty line and, unless `head_only`, the body; returns the length.
    pub(super) fn finish(mut self, body: &[u8], head_only: bool) -> Result<usize, ResponseTooLarge> {
        self.put(b"\r\n")?;
        if !head_only {
            self.put(body)?;
        }
        Ok(self.used)
    }
}

/// Writes the head of the response to a call; a body of `content_length` bytes follows.
///
/// Friend Core calls every content `text/html`, and its client reads it as text. Here the content repeats what clients
/// and programs wrote, so it never becomes a page of this origin.
///
/// # Errors
///
/// [`ResponseTooLarge`] when `out` is shorter than the head; [`CALL_HEAD_BYTES`] suffice.
pub fn write_call_head(
    out: &mut [u8],
    status: u16,
    media_type: MediaType,
    cookie: Option<Cookie<'_>>,
    content_length: usize,
    to: Recipient<'_>,
) -> Result<usize, ResponseTooLarge> {
    let content_type = match media_type {
        MediaType::Json => "application/json",
        MediaType::Problem => PROBLEM,
        MediaType::Text => TEXT,
        MediaType::Metrics => METRICS,
        MediaType::Html => "text/html; charset=utf-8",
    };
    let mut writer = ResponseWriter::new(out);
    writer.head(status, content_type, content_length, to)?;
    if media_type == MediaType::Html {
        writer.field("content-security-policy", "sandbox")?;
    }
    // RFC 9110, 11.6.1: it says how to authenticate.
    if status == 401 {
        writer.field("www-authenticate", "Bearer")?;
    }
    if let Some(cookie) = cookie {
        writer.cookie(cookie)?;
    }
    writer.finish(b"", true)
}

/// Writes the response to a call.
///
/// # Errors
///
/// [`ResponseTooLarge`] when `out` is too short.
pub fn write_call(
    out: &mut [u8],
    status: u16,
    media_type: MediaType,
    cookie: Option<Cookie<'_>>,
    body: &[u8],
    to: Recipient<'_>,
) -> Result<usize, ResponseTooLarge> {
    let used = write_call_head(out, status, media_type, cookie, body.len(), to)?;
    if to.head_only {
        return Ok(used);
    }
    let mut writer = ResponseWriter::new(out.get_mut(used..).ok_or(ResponseTooLarge)?);
    writer.put(body)?;
    Ok(used + writer.used())
}

/// Writes the head of a stream of events (HTML, 9.2), which nginx would hold back without being asked not to.
///
/// # Errors
///
/// [`ResponseTooLarge`] when `out` is too short.
pub fn write_stream_head(out: &mut [u8], to: Recipient<'_>) -> Result<usize, ResponseTooLarge> {
    let mut writer = ResponseWriter::new(out);
    writer.head_for_cache(200, "text/event-stream", None, "no-store", to)?;
    writer.field("x-accel-buffering", "no")?;
    writer.finish(b"", true)
}

/// Writes the response to `OPTIONS`, also as a preflight request (Fetch, 4.8): pages of an allowed origin may call.
/// Friend Core's client sends a field `Method` with each call.
///
/// # Errors
///
/// [`ResponseTooLarge`] when `out` is too short.
pub fn write_options(out: &mut [u8], to: Recipient<'_>) -> Result<usize, ResponseTooLarge> {
    let mut writer = ResponseWriter::new(out);
    writer.head(200, TEXT, 0, to)?;
    writer.field("allow", methods(to))?;
    if to.origin.is_some() {
        writer.field("access-control-allow-methods", methods(to))?;
        writer.field("access-control-allow-headers", "content-type, method, authorization")?;
        writer.field("access-control-max-age", "86400")?;
    }
    writer.finish(b"", true)
}

/// Writes an error response: the reason as a line of plain text.
///
/// 405 lists the methods, 426 the protocol.
///
/// # Errors
///
/// [`ResponseTooLarge`] when `out` is too short.
pub fn write_rejection(
    out: &mut [u8],
    rejection: &Rejection,
    to: Recipient<'_>,
) -> Result<usize, ResponseTooLarge> {
    let mut writer = ResponseWriter::new(out);
    let Rejection { status, reason } = *rejection;
    let mut digits = [0; 3];
    let problem = [
        "{\"title\":\"",
        phrase(status),
        "\",\"status\":",
        digits_of(status, &mut digits),
        ",\"code\":\"",
        code(status),
        "\",\"detail\":\"",
        reason,
        "\"}",
    ];
    let text = [reason, "\n"];
    let (content_type, body): (_, &[&str]) =
        if to.reads_problems { (PROBLEM, &problem) } else { (TEXT, &text) };
    writer.head(status, content_type, body.iter().map(|part| part.len()).sum(), to)?;
    match status {
        405 => writer.field("allow", methods(to))?,
        426 => {
            writer.field("upgrade", "websocket")?;
            writer.field("sec-websocket-version", "13")?;
        }
        _ => {}
    }
    writer.put(b"\r\n")?;
    let body = if to.head_only { &[] } else { body };
    body.iter().try_for_each(|part| writer.put(part.as_bytes()))?;
    Ok(writer.used())
}

fn methods<'a>(to: Recipient<'a>) -> &'a str {
    if to.methods.is_empty() { METHODS } else { to.methods }
}

/// Name of a rejection for programs: where a call fails with the same status for the same reason, that of its failure.
fn code(status: u16) -> &'static str {
    match status {
        403 => "not-allowed",
        404 => "unknown-call",
        405 => "wrong-method",
        500 => "internal",
        503 => "full",
        _ => "bad-request",
    }
}

/// The three digits of a status.
fn digits_of(status: u16, digits: &mut [u8; 3]) -> &str {
    *digits = [status / 100, status / 10 % 10, status % 10].map(|digit| b'0' + digit as u8 % 10);
    str::from_utf8(digits).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut [u8]) -> Result<usize, ResponseTooLarge>) -> String {
        let mut out = [0; 1024];
        let used = write(&mut out).unwrap();
        String::from_utf8(out[..used].to_vec()).unwrap()
    }

    const TO: Recipient<'_> =
        Recipient { head_only: false, origin: None, reads_problems: false, methods: "", retry_after_s: 9 };
    const HEAD_ONLY: Recipient<'_> = Recipient { head_only: true, ..TO };
    const PANEL: Recipient<'_> = Recipient { origin: Some("https://panel.example"), ..TO };

    const OK: &[u8] = b"{ \"Status\": \"ok\"}";
    const START: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: 17\r\ncache-control: no-store\r\nx-content-type-options: nosniff\r\n\r\n{ \"Status\": \"ok\"}";

    #[test]
    fn call_to_the_byte() {
        assert_eq!(text(|out| write_call(out, 200, MediaType::Json, None, OK, TO)), START);
        assert_eq!(
            text(|out| write_call(out, 200, MediaType::Json, None, OK, HEAD_ONLY)),
            START.strip_suffix("{ \"Status\": \"ok\"}").unwrap()
        );
    }

    #[test]
    fn pages_of_an_allowed_origin_may_read() {
        assert_eq!(
            text(|out| write_call(out, 200, MediaType::Json, None, OK, PANEL)),
            START.replace(
                "content-length",
                "access-control-allow-origin: https://panel.example\r\nvary: origin\r\ncontent-length"
            )
        );
        let rejection = Rejection::new(400, "why");
        assert!(text(|out| write_rejection(out, &rejection, PANEL)).contains("https://panel.example"));
    }

    #[test]
    fn content_is_never_a_page_with_the_rights_of_this_origin() {
        let content = |media_type| text(|out| write_call(out, 200, media_type, None, b"<script>", TO));
        assert!(content(MediaType::Text).contains("\r\ncontent-type: text/plain; charset=utf-8\r\n"));
        let html = content(MediaType::Html);
        assert!(html.contains("\r\ncontent-type: text/html; charset=utf-8\r\n"), "{html}");
        assert!(html.contains("\r\ncontent-security-policy: sandbox\r\n"), "{html}");
        for media_type in [MediaType::Json, MediaType::Text, MediaType::Html] {
            assert!(
                content(media_type).contains("\r\nx-content-type-options: nosniff\r\n"),
                "{media_type:?}"
            );
            assert!(content(media_type).contains("\r\ncache-control: no-store\r\n"), "{media_type:?}");
        }
    }

    #[test]
    fn response_up_to_the_size_of_the_buffer() {
        let mut out = vec![0; START.len()];
        assert_eq!(write_call(&mut out, 200, MediaType::Json, None, OK, TO), Ok(START.len()));
        assert_eq!(out, START.as_bytes());
        out.pop();
        assert_eq!(write_call(&mut out, 200, MediaType::Json, None, OK, TO), Err(ResponseTooLarge));
        assert_eq!(write_call(&mut [], 200, MediaType::Json, None, b"", TO), Err(ResponseTooLarge));
    }

    #[test]
    fn every_call_head_fits_its_limit() {
        let mut out = [0; CALL_HEAD_BYTES - CONTINUE.len()];
        let origin = "a".repeat(ORIGIN_BYTES);
        let to = Recipient { origin: Some(&origin), ..TO };
        let session = "d".repeat(40);
        let path = [origin.as_str(), "/api/v1/"];
        let cookie = Cookie { name: "friendlet", session: &session, path, is_secure: true };
        for status in 0..600 {
            for media_type in [MediaType::Json, MediaType::Problem, MediaType::Text, MediaType::Html] {
                let written =
                    write_call_head(&mut out, status, media_type, Some(cookie), u32::MAX as usize, to);
                assert!(written.is_ok(), "{status}");
            }
        }
    }

    #[test]
    fn rejections() {
        let rejection = Rejection::new(400, "why");
        assert_eq!(
            text(|out| write_rejection(out, &rejection, TO)),
            "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\nconnection: close\r\ncontent-length: 4\r\ncache-control: no-store\r\nx-content-type-options: nosniff\r\n\r\nwhy\n"
        );
        let head_only = text(|out| write_rejection(out, &rejection, HEAD_ONLY));
        assert!(
            head_only.contains("content-length: 4\r\n") && head_only.ends_with("\r\n\r\n"),
            "{head_only}"
        );
        let head = |status| text(|out| write_rejection(out, &Rejection::new(status, "why"), TO));
        assert!(head(405).contains("\r\nallow: GET, HEAD, POST, OPTIONS\r\n"));
        assert!(head(503).contains("\r\nretry-after: 9\r\n"));
        assert!(head(426).contains("\r\nconnection: close, upgrade\r\n"));
        assert!(head(426).contains("\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\r\n"));
        assert!(!head(408).contains("retry-after"));
        let problem = |status| text(|out| write_call(out, status, MediaType::Problem, None, b"{}", TO));
        assert!([429, 503].iter().all(|status| problem(*status).contains("\r\nretry-after: 9\r\n")));
    }

    #[test]
    fn rejection_is_a_problem_for_who_reads_them() {
        let to = Recipient { reads_problems: true, ..TO };
        let problem = text(|out| write_rejection(out, &Rejection::new(404, "why"), to));
        let (head, body) = problem.split_once("\r\n\r\n").unwrap();
        assert_eq!(body, r#"{"title":"Not Found","status":404,"code":"unknown-call","detail":"why"}"#);
        assert!(head.contains("\r\ncontent-type: application/problem+json\r\n"), "{head}");
        let to_resource = Recipient { methods: "POST", ..to };
        let other_method = text(|out| write_rejection(out, &Rejection::new(405, "why"), to_resource));
        assert!(other_method.contains("\r\nallow: POST\r\n"), "{other_method}");
        assert!(head.contains(&format!("\r\ncontent-length: {}\r\n", body.len())), "{head}");
        let head_only = text(|out| {
            write_rejection(out, &Rejection::new(404, "why"), Recipient { head_only: true, ..to })
        });
        assert_eq!(head_only, format!("{head}\r\n\r\n"));
    }

    #[test]
    fn stream_has_no_length() {
        assert_eq!(
            text(|out| write_stream_head(out, TO)),
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\ncache-control: no-store\r\nx-content-type-options: nosniff\r\nx-accel-buffering: no\r\n\r\n"
        );
    }

    #[test]
    fn session_is_kept_in_a_cookie_and_dropped_from_it() {
        let cookie = Cookie { name: "n", session: "s1", path: ["/board", "/api/v1/"], is_secure: true };
        let set = |cookie| text(|out| write_call(out, 200, MediaType::Json, Some(cookie), b"{}", TO));
        assert!(
            set(cookie)
                .contains("\r\nset-cookie: n=s1; Path=/board/api/v1/; Secure; HttpOnly; SameSite=Strict\r\n")
        );
        let dropped = set(Cookie { session: "", path: ["", "/"], is_secure: false, ..cookie });
        assert!(dropped.contains("\r\nset-cookie: n=; Max-Age=0; Path=/; HttpOnly; SameSite=Strict\r\n"));
    }

    #[test]
    fn every_status_has_a_phrase() {
        for status in [
            200, 304, 400, 401, 403, 404, 405, 406, 408, 409, 413, 414, 415, 417, 426, 429, 431, 500, 501,
            503, 505,
        ] {
            assert!(!phrase(status).is_empty(), "{status}");
        }
        assert_eq!(phrase(299), "");
    }

    #[test]
    fn options() {
        let plain = text(|out| write_options(out, TO));
        assert!(plain.starts_with("HTTP/1.1 200 OK\r\n"), "{plain}");
        assert!(plain.contains("\r\ncontent-length: 0\r\n"), "{plain}");
        assert!(plain.ends_with("\r\nallow: GET, HEAD, POST, OPTIONS\r\n\r\n"), "{plain}");
        assert!(!plain.contains("access-control"), "{plain}");
        let preflight = text(|out| write_options(out, PANEL));
        for line in [
            "access-control-allow-origin: https://panel.example\r\nvary: origin",
            "access-control-allow-methods: GET, HEAD, POST, OPTIONS",
            "access-control-allow-headers: content-type, method, authorization",
        ] {
            assert!(preflight.contains(&format!("\r\n{line}\r\n")), "{preflight}");
        }
    }
}
