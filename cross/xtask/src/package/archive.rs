//! Archives of packages as bytes: tar (POSIX ustar with pax records) and ar. Everything belongs to root and has one
//! time, so that the same content gives the same bytes for every user.

/// Entry of an archive.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    /// Path from the root of the archive; that of a directory ends with a slash.
    pub(super) path: String,
    pub(super) mode: u32,
    pub(super) content: Vec<u8>,
    /// pax records of the entry: key and value.
    pub(super) records: Vec<(&'static str, String)>,
}

impl Entry {
    /// A file.
    pub(super) fn file(path: impl Into<String>, mode: u32, content: impl Into<Vec<u8>>) -> Self {
        Self { path: path.into(), mode, content: content.into(), records: Vec::new() }
    }

    /// A directory.
    pub(super) fn directory(path: impl Into<String>) -> Self {
        Self::file(path, 0o755, [])
    }

    /// Returns whether it is a directory.
    pub(super) fn is_directory(&self) -> bool {
        self.path.ends_with('/')
    }
}

/// Unit of a tar archive.
const BLOCK: usize = 512;
/// End of a tar archive.
pub(super) const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];
/// Bytes of a name in the header. A longer one is a pax record.
const NAME_BYTES: usize = 100;

/// A tar archive without [`END`].
pub(super) fn tar(entries: &[Entry], time: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in entries {
        let mut records = entry.records.clone();
        if entry.path.len() > NAME_BYTES {
            records.push(("path", entry.path.clone()));
        }
        if !records.is_empty() {
            let text: String = records.iter().map(|(key, value)| record(key, value)).collect();
            append(&mut bytes, "pax", b'x', 0o644, text.as_bytes(), time);
        }
        let kind = if entry.is_directory() { b'5' } else { b'0' };
        append(&mut bytes, &entry.path, kind, entry.mode, &entry.content, time);
    }
    bytes
}

/// `LENGTH KEY=VALUE\n`, where the length counts its own digits.
fn record(key: &str, value: &str) -> String {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != length.to_string().len() + rest {
        length += 1;
    }
    format!("{length} {key}={value}\n")
}

fn append(bytes: &mut Vec<u8>, path: &str, kind: u8, mode: u32, content: &[u8], time: u64) {
    let mut header = [0; BLOCK];
    let mut put = |at: usize, text: &[u8]| header[at..at + text.len()].copy_from_slice(text);
    put(0, &path.as_bytes()[..path.len().min(NAME_BYTES)]);
    put(100, format!("{mode:07o}").as_bytes());
    put(108, b"0000000\x000000000");
    put(124, format!("{:011o}", content.len()).as_bytes());
    put(136, format!("{time:011o}").as_bytes());
    // The sum is that of a header with blanks in its place.
    put(148, b"        ");
    put(156, &[kind]);
    put(257, b"ustar\x0000");
    put(265, b"root");
    put(297, b"root");
    let sum: u32 = header.iter().copied().map(u32::from).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    bytes.extend_from_slice(&header);
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
}

/// An ar archive: name and content of each member.
pub(super) fn ar(members: &[(&str, &[u8])], time: u64) -> Vec<u8> {
    let mut bytes = b"!<arch>\n".to_vec();
    for (name, content) in members {
        let length = content.len();
        bytes
            .extend_from_slice(format!("{name:<16}{time:<12}0     0     100644  {length:<10}`\n").as_bytes());
        bytes.extend_from_slice(content);
        bytes.resize(bytes.len().next_multiple_of(2), b'\n');
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::package::files::filter;

    #[test]
    fn tar_lists_what_was_put_in() {
        let long = format!("./{}/name", "d".repeat(120));
        let entries = [
            Entry::directory("./"),
            Entry::file("./a", 0o755, *b"12345"),
            Entry::file(&long, 0o600, [b'x'; 513]),
        ];
        let bytes = [tar(&entries, 1_767_225_600), END.to_vec()].concat();
        let text = filter("tar", &["--utc", "-tvf", "-"], &bytes).unwrap();
        let text = String::from_utf8(text).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "drwxr-xr-x root/root         0 2026-01-01 00:00 ./");
        assert_eq!(lines[1], "-rwxr-xr-x root/root         5 2026-01-01 00:00 ./a");
        assert_eq!(lines[2], format!("-rw------- root/root       513 2026-01-01 00:00 {long}"));
        assert_eq!(filter("tar", &["-xOf", "-", "./a"], &bytes).unwrap(), b"12345");
    }

    #[test]
    fn record_counts_its_own_length() {
        for bytes in 0..1200 {
            let text = record("path", &"v".repeat(bytes));
            assert_eq!(text.split(' ').next(), Some(text.len().to_string().as_str()));
        }
    }

    #[test]
    fn ar_pads_to_two_bytes() {
        let bytes = ar(&[("debian-binary", b"2.0\n"), ("odd", b"x"), ("last", b"yz")], 7);
        let text = String::from_utf8(bytes).unwrap();
        let header = "debian-binary   7           0     0     100644  4         `\n2.0\n";
        assert_eq!(text.strip_prefix("!<arch>\n").unwrap().get(..64), Some(header));
        assert!(text.contains("1         `\nx\nlast "), "{text}");
    }
}
