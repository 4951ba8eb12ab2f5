//! Pages for a browser or a probe.
//!
//! They need no session, so they contain nothing of this installation: no version and no name, except that of
//! a failing check or service in `/healthz?level=LEVEL`.

use super::response::ResponseWriter;
use super::{MediaType, Recipient, ResponseTooLarge, write_call};

/// Content security policy: no script, image, frame or form, and one style by its hash (see the tests).
const POLICY: &str = "default-src 'none'; style-src 'sha256-13qg4NKcgmr2/gJIl4p2yvLwOEWzJEz7VbQpIt8Vtfs='; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

macro_rules! style {
    () => {
        "body{font:1em sans-serif;max-width:40em;margin:2em auto;padding:0 1em}"
    };
}

const PAGE: &str = concat!(
    "<!doctype html><html lang=en><meta charset=utf-8>",
    "<meta name=viewport content=\"width=device-width\"><title>Service control</title><style>",
    style!(),
    "</style><h1>Service control</h1>",
    "<p>This device starts, stops and watches its services for programs that speak Friend Core's protocol.",
    "<p>Its console needs a browser that accepts gzip.",
    "<ul><li>WebSocket: this address, path <code>/fcws</code>, subprotocol <code>FC-protocol</code>",
    "<li>Calls: <code>POST /system.library/..</code>; first <code>/system.library/login</code>",
    "<li>Health: <a href=healthz><code>/healthz</code></a></ul></html>\n",
);

/// Writes the page at `/` for clients that cannot show the console.
pub(super) fn write_plain_page(out: &mut [u8], to: Recipient<'_>) -> Result<usize, ResponseTooLarge> {
    let mut writer = ResponseWriter::new(out);
    writer.head(200, "text/html; charset=utf-8", PAGE.len(), to)?;
    writer.field("vary", "accept-encoding")?;
    writer.field("content-security-policy", POLICY)?;
    writer.finish(PAGE.as_bytes(), to.head_only)
}

/// Writes the response to `GET /healthz`: `ok`, or a line about the problem of the board.
///
/// # Errors
///
/// [`ResponseTooLarge`] when `out` is too short.
pub fn write_health(
    out: &mut [u8],
    problem: Option<&str>,
    to: Recipient<'_>,
) -> Result<usize, ResponseTooLarge> {
    let status = if problem.is_some() { 503 } else { 200 };
    write_call(out, status, MediaType::Text, None, problem.unwrap_or("ok\n").as_bytes(), to)
}

#[cfg(test)]
mod tests {
    use base64::prelude::{BASE64_STANDARD as BASE64, Engine as _};
    use ring::digest;

    use super::*;
    use crate::http::SEND_RESERVE_BYTES;
    use crate::limits;

    fn text(write: impl FnOnce(&mut [u8]) -> Result<usize, ResponseTooLarge>) -> String {
        // Smallest send buffer that the limits of a board allow.
        let mut out = [0; 1024];
        let used = write(&mut out).unwrap();
        String::from_utf8(out[..used].to_vec()).unwrap()
    }

    #[test]
    fn page_lists_the_addresses() {
        let mut out = vec![0; limits::SEND_BYTES];
        let used = write_plain_page(&mut out, Recipient::default()).unwrap();
        let page = String::from_utf8(out[..used].to_vec()).unwrap();
        let (head, body) = page.split_once("\r\n\r\n").unwrap();
        for part in ["/fcws", "FC-protocol", "/system.library/login", "/healthz"] {
            assert!(body.contains(part), "{part}");
        }
        assert!(head.contains(&format!("content-length: {}", body.len())), "{head}");
        for part in ["script", "src=", "http:", "https:", env!("CARGO_PKG_VERSION")] {
            assert!(!body.contains(part), "{part}");
        }
    }

    #[test]
    fn page_fits_the_smallest_send_buffer() {
        let mut out = [0; 1024 + SEND_RESERVE_BYTES];
        let used = write_plain_page(&mut out, Recipient::default()).unwrap();
        assert!(used > PAGE.len());
        assert_eq!(
            text(|out| write_plain_page(out, Recipient { head_only: true, ..Recipient::default() })).len(),
            used - PAGE.len()
        );
    }

    #[test]
    fn policy_names_the_hash_of_the_style() {
        let hash = BASE64.encode(digest::digest(&digest::SHA256, style!().as_bytes()).as_ref());
        assert!(POLICY.contains(&format!("'sha256-{hash}'")), "{hash}");
    }

    #[test]
    fn health() {
        assert_eq!(
            text(|out| write_health(out, None, Recipient::default())),
            "HTTP/1.1 200 OK\r\ncontent-type: text/plain; charset=utf-8\r\nconnection: close\r\ncontent-length: 3\r\ncache-control: no-store\r\nx-content-type-options: nosniff\r\n\r\nok\n"
        );
    }

    #[test]
    fn problem_is_a_line_with_status_503() {
        let problem = |head_only| {
            let to = Recipient { head_only, ..Recipient::default() };
            text(|out| write_health(out, Some("check web is failing\n"), to))
        };
        let text = problem(false);
        assert!(text.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{text}");
        assert!(text.ends_with("\r\n\r\ncheck web is failing\n"), "{text}");
        assert!(problem(true).ends_with(
            "content-length: 21\r\ncache-control: no-store\r\nx-content-type-options: nosniff\r\nretry-after: 0\r\n\r\n"
        ));
    }
}
