//! Responses, written whole to a send buffer.
//!
//! Names and order of the fields are Friend Core's: `content-type`, `connection: close`,
//! `access-control-allow-origin: *`, `content-length`. Further fields follow.

use super::Rejection;

/// Largest head of a response to a call.
pub const CALL_HEAD_BYTES: usize = 192;

/// The buffer is too small for the response; its content must not be sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ResponseTooLarge;

/// Reason phrase of a status that this server sends (RFC 9110, 15), otherwise empty.
fn phrase(status: u16) -> &'static str {
    match status {
        101 => "Switching Protocols",
        200 => "OK",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        417 => "Expectation Failed",
        426 => "Upgrade Required",
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

    fn number(&mut self, value: usize) -> Result<(), ResponseTooLarge> {
        if value > 9 {
            self.number(value / 10)?;
        }
        self.put(&[b'0' + (value % 10) as u8])
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
/// Responses are `text/html` as in Friend Core. A failed call repeats input of the client (its
/// session), so its response is `text/plain` with `nosniff`: markup in a session id never becomes a
/// page of this origin.
///
/// # Errors
///
/// [`ResponseTooLarge`] when `out` is shorter than the head; [`CALL_HEAD_BYTES`] suffice.
pub fn write_call_head(
    out: &mut [u8],
    status: u16,
    content_length: usize,
) -> Result<usize, ResponseTooLarge> {
    let mut writer = ResponseWriter::new(out);
    writer.status(status)?;
    writer.field("content-type", if status == 200 { "text/html" } else { "text/plain" })?;
    writer.field("connection", "close")?;
    writer.field("access-control-allow-origin", "*")?;
    writer.number_field("content-length", content_length)?;
    if status != 200 {
        writer.field("x-content-type-options", "nosniff")?;
    }
    writer.finish(b"", true)
}

/// Writes the response to a call; `head_only` omits the body for `HEAD`.
///
/// # Errors
///
/// [`ResponseTooLarge`] when `out` is too short.
pub fn write_call(
    out: &mut [u8],
    status: u16,
    body: &[u8],
    head_only: bool,
) -> Result<usize, ResponseTooLarge> {
    let used = write_call_head(out, status, body.len())?;
    if head_only {
        return Ok(used);
    }
    let mut writer = ResponseWriter::new(out.get_mut(used..).ok_or(ResponseTooLarge)?);
    writer.put(body)?;
    Ok(used + writer.used())
}

/// Writes the response to `OPTIONS`: any origin may call, because a call contains its session.
///
/// # Errors
///
/// [`ResponseTooLarge`] when `out` is too short.
pub fn write_preflight(out: &mut [u8]) -> Result<usize, ResponseTooLarge> {
    let mut writer = ResponseWriter::new(out);
    writer.status(200)?;
    writer.field("content-type", "text/plain")?;
    writer.field("connection", "close")?;
    writer.field("access-control-allow-origin", "*")?;
    writer.field("content-length", "0")?;
    writer.field("access-control-allow-methods", "GET, POST, OPTIONS")?;
    writer.field("access-control-allow-headers", "content-type")?;
    writer.field("access-control-max-age", "86400")?;
    writer.finish(b"", true)
}

/// Writes an error response: the reason as a line of plain text.
///
/// 405 lists the methods, 426 the protocol, and 503 has `Retry-After: retry_after_s`.
///
/// # Errors
///
/// [`ResponseTooLarge`] when `out` is too short.
pub fn write_rejection(
    out: &mut [u8],
    rejection: &Rejection,
    retry_after_s: u32,
) -> Result<usize, ResponseTooLarge> {
    let status = rejection.status;
    let mut writer = ResponseWriter::new(out);
    writer.status(status)?;
    writer.field("content-type", "text/plain")?;
    // RFC 9110, 7.8: a sender of `upgrade` lists it in `connection`.
    writer.field("connection", if status == 426 { "close, upgrade" } else { "close" })?;
    writer.field("access-control-allow-origin", "*")?;
    writer.number_field("content-length", rejection.reason.len() + 1)?;
    match status {
        405 => writer.field("allow", "GET, HEAD, POST, OPTIONS")?,
        426 => {
            writer.field("upgrade", "websocket")?;
            writer.field("sec-websocket-version", "13")?;
        }
        503 => writer.number_field("retry-after", retry_after_s as usize)?,
        _ => {}
    }
    writer.put(b"\r\n")?;
    writer.put(rejection.reason.as_bytes())?;
    writer.put(b"\n")?;
    Ok(writer.used())
}

/// Writes a response of plain text with `no-store`.
///
/// # Errors
///
/// [`ResponseTooLarge`] when `out` is too short.
pub fn write_text(
    out: &mut [u8],
    status: u16,
    body: &str,
    head_only: bool,
) -> Result<usize, ResponseTooLarge> {
    let mut writer = ResponseWriter::new(out);
    writer.status(status)?;
    writer.field("content-type", "text/plain; charset=utf-8")?;
    writer.field("connection", "close")?;
    writer.number_field("content-length", body.len())?;
    writer.field("cache-control", "no-store")?;
    writer.field("x-content-type-options", "nosniff")?;
    writer.finish(body.as_bytes(), head_only)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut [u8]) -> Result<usize, ResponseTooLarge>) -> String {
        let mut out = [0; 1024];
        let used = write(&mut out).unwrap();
        String::from_utf8(out[..used].to_vec()).unwrap()
    }

    const START: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\naccess-control-allow-origin: *\r\ncontent-length: 17\r\n\r\n{ \"Status\": \"ok\"}";

    #[test]
    fn call_to_the_byte() {
        assert_eq!(text(|out| write_call(out, 200, b"{ \"Status\": \"ok\"}", false)), START);
        assert_eq!(
            text(|out| write_call(out, 200, b"{ \"Status\": \"ok\"}", true)),
            START.strip_suffix("{ \"Status\": \"ok\"}").unwrap()
        );
    }

    #[test]
    fn failed_call_is_never_a_page() {
        assert_eq!(
            text(|out| write_call(out, 403, b"fail", false)),
            "HTTP/1.1 403 Forbidden\r\ncontent-type: text/plain\r\nconnection: close\r\naccess-control-allow-origin: *\r\ncontent-length: 4\r\nx-content-type-options: nosniff\r\n\r\nfail"
        );
    }

    #[test]
    fn response_up_to_the_size_of_the_buffer() {
        let mut out = vec![0; START.len()];
        assert_eq!(write_call(&mut out, 200, b"{ \"Status\": \"ok\"}", false), Ok(START.len()));
        assert_eq!(out, START.as_bytes());
        out.pop();
        assert_eq!(write_call(&mut out, 200, b"{ \"Status\": \"ok\"}", false), Err(ResponseTooLarge));
        assert_eq!(write_call(&mut [], 200, b"", false), Err(ResponseTooLarge));
    }

    #[test]
    fn every_call_head_fits_its_limit() {
        let mut out = [0; CALL_HEAD_BYTES];
        for status in 0..600 {
            assert!(write_call_head(&mut out, status, u32::MAX as usize).is_ok(), "{status}");
        }
    }

    #[test]
    fn rejections() {
        let rejection = Rejection::new(400, "why");
        assert_eq!(
            text(|out| write_rejection(out, &rejection, 9)),
            "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\nconnection: close\r\naccess-control-allow-origin: *\r\ncontent-length: 4\r\n\r\nwhy\n"
        );
        let head = |status| text(|out| write_rejection(out, &Rejection::new(status, "why"), 9));
        assert!(head(405).contains("\r\nallow: GET, HEAD, POST, OPTIONS\r\n"));
        assert!(head(503).contains("\r\nretry-after: 9\r\n"));
        assert!(head(426).contains(
            "\r\nconnection: close, upgrade\r\naccess-control-allow-origin: *\r\ncontent-length: 4\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\r\n"
        ));
        assert!(!head(408).contains("retry-after"));
    }

    #[test]
    fn every_status_has_a_phrase() {
        for status in [200, 400, 403, 404, 405, 408, 413, 414, 415, 417, 426, 431, 500, 501, 503, 505] {
            assert!(!phrase(status).is_empty(), "{status}");
        }
        assert_eq!(phrase(299), "");
    }

    #[test]
    fn preflight() {
        let text = text(write_preflight);
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
        assert!(text.contains("\r\naccess-control-allow-origin: *\r\ncontent-length: 0\r\n"), "{text}");
        assert!(text.contains("\r\naccess-control-allow-methods: GET, POST, OPTIONS\r\n"), "{text}");
        assert!(text.ends_with("\r\n\r\n"), "{text}");
    }
}
