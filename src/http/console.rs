//! Files of the console, the page at `/console`, and the description of the API: compressed by `build.rs`, and sent as they are.

use super::page::write_plain_page;
use super::response::ResponseWriter;
use super::{CONSOLE_BYTES, Recipient, Rejection, ResponseTooLarge, SEND_RESERVE_BYTES, write_rejection};
use crate::limits::SEND_BYTES;

/// Content security policy: files of this server alone, no inline script or style, and no text that becomes HTML.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
    trusted-types 'none'";
/// Longest head of the response with a file.
const HEAD_BYTES: usize = 768;

const _: () = {
    let (mut files, mut bytes): (&[ConsoleFile], usize) = (&CONSOLE, 0);
    while let [file, rest @ ..] = files {
        let needed = HEAD_BYTES + file.gzip.len() + SEND_RESERVE_BYTES;
        assert!(needed <= SEND_BYTES, "send_bytes: must hold a file of the console");
        bytes += file.gzip.len();
        files = rest;
    }
    assert!(bytes <= CONSOLE_BYTES, "the console is over its limit");
};

/// One file.
#[derive(Debug)]
pub struct ConsoleFile {
    path: &'static str,
    media_type: &'static str,
    /// Entity tag, made of the content.
    tag: &'static str,
    gzip: &'static [u8],
}

static CONSOLE: [ConsoleFile; 4] = include!(concat!(env!("OUT_DIR"), "/console.rs"));

impl ConsoleFile {
    /// Returns the file at a path. `/console` is the page of `/`, where an own page may be.
    pub fn find(path: &str) -> Option<&'static Self> {
        let path = if path == "/console" { "/" } else { path };
        CONSOLE.iter().find(|file| file.path == path)
    }
}

/// Use that a client has for a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ConsoleUse {
    /// It has this version.
    Known,
    /// It reads gzip.
    Compressed,
    /// It does not.
    Plain,
}

impl ConsoleUse {
    /// Use by the fields of a request: `known_tags` are those of `If-None-Match`.
    pub fn of(file: &ConsoleFile, accepts_gzip: bool, known_tags: Option<&str>) -> Self {
        match (accepts_gzip, has_tag(known_tags, file.tag)) {
            (true, true) => Self::Known,
            (true, false) => Self::Compressed,
            (false, _) => Self::Plain,
        }
    }
}

/// Returns true if the tags of `If-None-Match` have this one.
pub(super) fn has_tag(known_tags: Option<&str>, tag: &str) -> bool {
    let mut tags = known_tags.unwrap_or_default().split(',').map(|tag| tag.trim_matches([' ', '\t']));
    tags.any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}

/// Writes the response with a file. A client that does not read gzip gets the page about the protocol instead of `/`, and 406
/// for the others.
///
/// # Errors
///
/// [`ResponseTooLarge`] when `out` is too short. The send buffer of every board is large enough.
pub fn write_console(
    out: &mut [u8],
    file: &ConsoleFile,
    mode: ConsoleUse,
    to: Recipient<'_>,
) -> Result<usize, ResponseTooLarge> {
    const UNREADABLE: Rejection = Rejection { status: 406, reason: "this file is compressed; accept gzip" };
    let (status, head_only) = match mode {
        ConsoleUse::Known => (304, true),
        ConsoleUse::Compressed => (200, to.head_only),
        ConsoleUse::Plain if file.path == "/" => return write_plain_page(out, to),
        ConsoleUse::Plain => return write_rejection(out, &UNREADABLE, to),
    };
    let mut writer = ResponseWriter::new(out);
    writer.head_for_cache(status, file.media_type, Some(file.gzip.len()), "no-cache", to)?;
    writer.field("content-encoding", "gzip")?;
    writer.field("vary", "accept-encoding")?;
    writer.field("etag", file.tag)?;
    writer.field("content-security-policy", POLICY)?;
    writer.field("referrer-policy", "no-referrer")?;
    writer.finish(file.gzip, head_only)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::ORIGIN_BYTES;

    fn head(file: &ConsoleFile, mode: ConsoleUse) -> (String, Vec<u8>) {
        let mut out = vec![0; SEND_BYTES - SEND_RESERVE_BYTES];
        let origin = "a".repeat(ORIGIN_BYTES);
        let to = Recipient { origin: Some(&origin), ..Recipient::default() };
        let used = write_console(&mut out, file, mode, to).unwrap();
        let end = out.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        (String::from_utf8(out[..end].to_vec()).unwrap(), out[end..used].to_vec())
    }

    #[test]
    fn console_stays_light() {
        let bytes: usize = CONSOLE.iter().map(|file| file.gzip.len()).sum();
        assert!(bytes > 1024 && bytes <= CONSOLE_BYTES, "{bytes}");
    }

    #[test]
    fn every_file_is_whole_with_its_policy() {
        for file in &CONSOLE {
            let (head, body) = head(file, ConsoleUse::Compressed);
            assert!(head.len() <= HEAD_BYTES, "{}", head.len());
            assert_eq!(body, file.gzip);
            for line in [
                "content-encoding: gzip",
                "cache-control: no-cache",
                "vary: accept-encoding",
                "x-content-type-options: nosniff",
                &format!("content-length: {}", file.gzip.len()),
                &format!("etag: {}", file.tag),
                &format!("content-security-policy: {POLICY}"),
            ] {
                assert!(head.contains(&format!("\r\n{line}\r\n")), "{line}: {head}");
            }
        }
        assert!(!POLICY.contains("unsafe") && POLICY.contains("frame-ancestors 'none'"));
    }

    #[test]
    fn known_version_has_no_body() {
        let (head, body) = head(&CONSOLE[0], ConsoleUse::Known);
        assert!(head.starts_with("HTTP/1.1 304 Not Modified\r\n"), "{head}");
        assert!(body.is_empty());
    }

    #[test]
    fn versions_are_compared_by_their_tags() {
        let file = &CONSOLE[1];
        let of = |tags: &str| ConsoleUse::of(file, true, Some(tags));
        for tags in [file.tag, "*", &format!("\"old\", W/{}", file.tag)] {
            assert_eq!(of(tags), ConsoleUse::Known, "{tags}");
            assert_eq!(ConsoleUse::of(file, false, Some(tags)), ConsoleUse::Plain);
        }
        for tags in ["", "\"old\"", file.tag.trim_matches('"'), CONSOLE[2].tag] {
            assert_eq!(of(tags), ConsoleUse::Compressed, "{tags}");
        }
        assert_eq!(ConsoleUse::of(file, true, None), ConsoleUse::Compressed);
    }

    #[test]
    fn client_without_gzip_gets_the_page_about_the_protocol() {
        let (page, body) = head(&CONSOLE[0], ConsoleUse::Plain);
        assert!(page.starts_with("HTTP/1.1 200 OK\r\n") && !page.contains("content-encoding"), "{page}");
        assert!(body.starts_with(b"<!doctype html>"));
        assert!(head(&CONSOLE[2], ConsoleUse::Plain).0.starts_with("HTTP/1.1 406 Not Acceptable\r\n"));
    }
}
