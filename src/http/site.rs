//! Own pages: the files of a directory, which were read before they are served. A response looks its file up in a table, so no
//! disk delays it, and no path leads out of the directory.

use core::ops::Range;

use super::response::ResponseWriter;
use super::{Recipient, ResponseTooLarge, decode_path, has_tag};
use crate::limits::PATH_BYTES;

/// Content security policy: files and sockets of this server alone. Styles may be inline, scripts may not.
const POLICY: &str = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data: blob:; object-src 'none'; base-uri 'self'; \
    form-action 'self'; frame-ancestors 'self'";
/// File of a directory.
const INDEX: &[u8] = b"index.html";
/// Suffix of a compressed file beside another one.
const GZIP: &[u8] = b".gz";
/// Longest path with both.
const NAME_BYTES: usize = PATH_BYTES + INDEX.len() + GZIP.len();
/// `"`, 16 digits, `"`.
const TAG_BYTES: usize = 18;

/// Media types by the extension of a name.
const TYPES: [(&str, &str); 17] = [
    ("html", "text/html; charset=utf-8"),
    ("css", "text/css; charset=utf-8"),
    ("js", "text/javascript; charset=utf-8"),
    ("mjs", "text/javascript; charset=utf-8"),
    ("txt", "text/plain; charset=utf-8"),
    ("json", "application/json"),
    ("svg", "image/svg+xml"),
    ("png", "image/png"),
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("gif", "image/gif"),
    ("webp", "image/webp"),
    ("ico", "image/x-icon"),
    ("woff2", "font/woff2"),
    ("wasm", "application/wasm"),
    ("mp3", "audio/mpeg"),
    ("mp4", "video/mp4"),
];

/// Own pages. The default has none.
#[derive(Debug, Default)]
pub struct Site {
    /// Contents of all files, one after the other.
    bytes: Vec<u8>,
    /// Hash of all paths and tags.
    version: u64,
    files: Vec<SiteFile>,
}

/// One file.
#[derive(Debug, Eq, PartialEq)]
pub struct SiteFile {
    /// Path of a request, decoded.
    path: Box<str>,
    content: Range<usize>,
    /// Hash of the content.
    tag: u64,
}

/// File for a request, and the use that the client has for it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SiteUse {
    /// Number of the file.
    pub file: usize,
    media_type: &'static str,
    /// A compressed file is beside it.
    has_gzip: bool,
    is_gzip: bool,
    /// The client has this version.
    is_known: bool,
}

impl SiteUse {
    /// Returns true if the content follows the head of the response.
    pub fn has_body(&self, head_only: bool) -> bool {
        !head_only && !self.is_known
    }
}

impl Site {
    /// Adds a file of `size` bytes, which `read` writes.
    ///
    /// # Errors
    /// Those of `read`; nothing is added then.
    pub fn add<E>(
        &mut self,
        path: &str,
        size: usize,
        read: impl FnOnce(&mut [u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let start = self.bytes.len();
        // Exactly: twice as much would exceed the budget.
        self.bytes.reserve_exact(size);
        self.bytes.resize(start + size, 0);
        let room = self.bytes.get_mut(start..).unwrap_or_default();
        if let Err(error) = read(room) {
            self.bytes.truncate(start);
            return Err(error);
        }
        let tag = hash(0xcbf2_9ce4_8422_2325, room);
        self.version = hash(self.version ^ tag, path.as_bytes());
        self.files.push(SiteFile { path: path.into(), content: start..start + size, tag });
        Ok(())
    }

    /// Number of files.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Returns true without any file.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Returns true if both have the same files in the same versions and order.
    pub fn is_same(&self, other: &Self) -> bool {
        self.version == other.version
    }

    /// Returns the file at the path of a request, which may be percent-encoded; that of a directory is its `index.html`.
    /// `known_tags` are those of `If-None-Match`.
    pub fn find(&self, path: &str, accepts_gzip: bool, known_tags: Option<&str>) -> Option<SiteUse> {
        if self.files.is_empty() {
            return None;
        }
        let mut name = heapless::Vec::<u8, NAME_BYTES>::from_slice(path.as_bytes()).ok()?;
        let length = decode_path(&mut name).ok()?.len();
        name.truncate(length);
        if name.ends_with(b"/") {
            name.extend_from_slice(INDEX).ok()?;
        }
        let plain = self.position(&name)?;
        let media_type = media_type(&name);
        name.extend_from_slice(GZIP).ok()?;
        let gzip = self.position(&name);
        let file = gzip.filter(|_| accepts_gzip).unwrap_or(plain);
        let is_known = self.files.get(file).is_some_and(|file| has_tag(known_tags, file.tag().text()));
        Some(SiteUse { file, media_type, has_gzip: gzip.is_some(), is_gzip: file != plain, is_known })
    }

    fn position(&self, path: &[u8]) -> Option<usize> {
        self.files.iter().position(|file| file.path.as_bytes() == path)
    }

    /// Content of a file from this position on.
    pub fn content(&self, file: usize, from: usize) -> &[u8] {
        let content = self.files.get(file).and_then(|file| self.bytes.get(file.content.clone()));
        content.and_then(|content| content.get(from..)).unwrap_or_default()
    }
}

impl SiteFile {
    /// Entity tag. Dates are of no use: a board may have no clock, and all files of an image one date.
    fn tag(&self) -> Tag {
        let mut tag = [b'"'; TAG_BYTES];
        let [_, digits @ .., _] = &mut tag;
        // There is room for 16 digits.
        let _ = base16ct::lower::encode(&self.tag.to_be_bytes(), digits);
        Tag(tag)
    }
}

/// Text of an entity tag.
struct Tag([u8; TAG_BYTES]);

impl Tag {
    fn text(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// Hash of bytes (FNV-1a, 64 bits), from that of the bytes before them.
fn hash(before: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(before, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Media type of a file with this name.
fn media_type(name: &[u8]) -> &'static str {
    let extension = name.rsplit(|byte| *byte == b'.').next().unwrap_or_default();
    let row = TYPES.iter().find(|(known, _)| known.as_bytes().eq_ignore_ascii_case(extension));
    row.map_or("application/octet-stream", |(_, media_type)| media_type)
}

/// Writes the head of the response with a file.
///
/// # Errors
///
/// [`ResponseTooLarge`] when `out` is too short.
pub fn write_site_head(
    out: &mut [u8],
    site: &Site,
    page: SiteUse,
    to: Recipient<'_>,
) -> Result<usize, ResponseTooLarge> {
    let file = site.files.get(page.file).ok_or(ResponseTooLarge)?;
    let mut writer = ResponseWriter::new(out);
    let status = if page.is_known { 304 } else { 200 };
    writer.head_for_cache(status, page.media_type, Some(file.content.len()), "no-cache", to)?;
    if page.is_gzip {
        writer.field("content-encoding", "gzip")?;
    }
    if page.has_gzip {
        writer.field("vary", "accept-encoding")?;
    }
    writer.field("etag", file.tag().text())?;
    writer.field("content-security-policy", POLICY)?;
    writer.finish(b"", true)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn site(files: &[(&str, &str)]) -> Site {
        let mut site = Site::default();
        for (path, content) in files {
            let read = |room: &mut [u8]| {
                room.copy_from_slice(content.as_bytes());
                Ok::<(), ()>(())
            };
            site.add(path, content.len(), read).unwrap();
        }
        site
    }

    fn found<'s>(site: &'s Site, path: &str) -> Option<&'s str> {
        site.find(path, false, None).map(|page| str::from_utf8(site.content(page.file, 0)).unwrap())
    }

    fn head(site: &Site, page: SiteUse) -> String {
        let mut out = [0; 1024];
        let used = write_site_head(&mut out, site, page, Recipient::default()).unwrap();
        String::from_utf8(out[..used].to_vec()).unwrap()
    }

    #[test]
    fn file_has_one_path() {
        let site =
            site(&[("/z.js", "z"), ("/index.html", "i"), ("/a/index.html", "ai"), ("/a b\u{e4}.txt", "ab")]);
        for (path, content) in [
            ("/", Some("i")),
            ("/index.html", Some("i")),
            ("/a/", Some("ai")),
            ("/z.js", Some("z")),
            ("/%7a.js", Some("z")),
            ("/a%20b%C3%a4.txt", Some("ab")),
            ("/a", None),
            ("/a+b%C3%a4.txt", None),
            ("/Z.js", None),
            ("/z.js/", None),
            ("//z.js", None),
            ("/./z.js", None),
            ("/a/../z.js", None),
            ("/a/%2e%2e/z.js", None),
            ("/a/..%2fz.js", None),
            ("/z.js%00", None),
            ("/z.js%", None),
            ("/%ff", None),
            ("*", None),
            ("", None),
        ] {
            assert_eq!(found(&site, path), content, "{path}");
        }
        assert_eq!(Site::default().find("/", true, None), None);
    }

    #[test]
    fn longest_path_is_found_with_its_compressed_file() {
        let path = |length| format!("/{}", "x".repeat(length - 1));
        let longest = path(PATH_BYTES);
        let site = site(&[(&longest, "x"), (&format!("{longest}.gz"), "z")]);
        assert_eq!(found(&site, &longest), Some("x"));
        assert!(site.find(&longest, true, None).unwrap().is_gzip);
        // The head of such a request is refused.
        assert_eq!(found(&site, &path(NAME_BYTES + 1)), None);
    }

    #[test]
    fn compressed_file_is_for_clients_that_read_it() {
        let site = site(&[("/a.js", "plain"), ("/a.js.gz", "packed"), ("/b.js", "b")]);
        let content = |page: SiteUse| str::from_utf8(site.content(page.file, 0)).unwrap();
        let packed = site.find("/a.js", true, None).unwrap();
        assert_eq!(content(packed), "packed");
        let lines = "\r\ncontent-encoding: gzip\r\nvary: accept-encoding\r\netag: \"";
        assert!(head(&site, packed).contains(lines), "{}", head(&site, packed));
        let plain = site.find("/a.js", false, None).unwrap();
        assert_eq!(content(plain), "plain");
        let text = head(&site, plain);
        assert!(text.contains("\r\nvary: accept-encoding\r\n") && !text.contains("gzip"), "{text}");
        for page in [packed, plain] {
            assert!(head(&site, page).contains("\r\ncontent-type: text/javascript; charset=utf-8\r\n"));
        }
        let lone = head(&site, site.find("/b.js", true, None).unwrap());
        assert!(!lone.contains("vary") && !lone.contains("encoding"), "{lone}");
    }

    #[test]
    fn known_version_has_no_body() {
        let before = site(&[("/a.txt", "1")]);
        let tag = before.files[0].tag().text().to_owned();
        // FNV-1a of "1".
        assert_eq!(tag, "\"af63ac4c86019afc\"");
        let known = before.find("/a.txt", true, Some(&format!("\"x\", W/{tag}"))).unwrap();
        assert!(head(&before, known).starts_with("HTTP/1.1 304 Not Modified\r\n"));
        assert!(!known.has_body(false));
        let later = site(&[("/a.txt", "2")]);
        assert!(later.find("/a.txt", true, Some(&tag)).unwrap().has_body(false));
        assert!(!later.is_same(&before) && later.is_same(&site(&[("/a.txt", "2")])));
        assert!(!later.is_same(&site(&[("/b.txt", "2")])) && !later.is_same(&Site::default()));
    }

    #[test]
    fn types_are_those_of_the_table() {
        for (name, media_type) in [
            ("/a/index.html", "text/html; charset=utf-8"),
            ("/A.PNG", "image/png"),
            ("/a.tar.gz", "application/octet-stream"),
            ("/html", "application/octet-stream"),
            ("/a.", "application/octet-stream"),
        ] {
            assert_eq!(super::media_type(name.as_bytes()), media_type, "{name}");
        }
    }

    proptest! {
        #[test]
        fn any_path_finds_its_file_or_none(path in "(/|[a-c./%]|%2[fFeE5]|%61|%00|\\PC){0,12}", gzip in any::<bool>()) {
            let site = site(&[("/a", "a"), ("/a.gz", "z"), ("/b/index.html", "b"), ("/index.html", "i")]);
            if site.find(&path, gzip, None).is_some() {
                let decoded = path.replace("%61", "a").replace("%2f", "/").replace("%2F", "/");
                let decoded = decoded.replace("%2e", ".").replace("%2E", ".");
                prop_assert!(matches!(decoded.as_str(), "/" | "/a" | "/a.gz" | "/b/"), "{path}");
            }
        }
    }

    #[test]
    fn file_that_cannot_be_read_is_not_added() {
        let mut site = site(&[("/a", "a")]);
        assert_eq!(site.add("/b", 5, |_| Err(7)), Err(7));
        assert_eq!((site.len(), site.bytes()), (1, 1));
    }
}
