//! Files of the state directory that outlast damage: each has a copy beside it (`NAME.copy`), and the one that
//! can be used replaces the other.
//!
//! A file of records begins with a line of its own, `#friendlet 1 DIGEST`, the number of the format and the
//! first half of the SHA-256 of the rest, which distinguishes a whole file from a damaged one. A file without
//! that line is one of friendlet 0.1, or damaged.

use std::fmt::{self, Write as _};
use std::fs;
use std::path::{Path, PathBuf};

use super::UNKNOWN_LINES_BYTES;
use super::file::{self, AtomicFile, FileError, is_absent, set_aside, with_suffix};
use crate::{info, warning};

/// Suffix of the copy of a file.
const COPY: &str = ".copy";
/// Beginning of the first line of a file of records.
const HEADER: &str = "#friendlet ";
/// Number of the format that this program writes.
const FORMAT: &str = "1";
/// Half of a SHA-256.
const DIGEST_BYTES: usize = 16;
/// Length of the first line.
pub(super) const HEADER_BYTES: usize = HEADER.len() + FORMAT.len() + 1 + 2 * DIGEST_BYTES + 1;

/// First line of a file of records.
pub(super) type Header = heapless::String<HEADER_BYTES>;

/// File of the state directory with its copy.
#[derive(Clone, Debug)]
pub struct StateFile {
    path: PathBuf,
    copy: PathBuf,
    mode: u32,
    limit: usize,
}

/// Outcome of reading a [`StateFile`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Loaded {
    /// Neither file nor copy exists, and nothing but directories is in their place.
    Missing,
    /// Content of the file or, where that is damaged, of its copy.
    Whole(Vec<u8>),
    /// Neither can be used.
    Lost,
}

/// Contents of a file and its copy, or their damage.
pub type Versions = [Result<Vec<u8>, FileError>; 2];

/// Damage that was found, for people.
pub type Notices = Vec<String>;

impl StateFile {
    /// File at `path` of at most `limit` bytes, written with `mode`.
    pub fn new(path: &Path, mode: u32, limit: usize) -> Self {
        Self { path: path.to_owned(), copy: with_suffix(path, COPY), mode, limit }
    }

    /// Path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns true if neither file nor copy exists ([`is_absent`]).
    pub fn is_absent(&self) -> bool {
        is_absent(&self.path) && is_absent(&self.copy)
    }

    /// Reads the file and its copy.
    ///
    /// # Errors
    /// An error that says nothing of them ([`FileError::is_passing`]).
    pub fn versions(&self) -> Result<Versions, FileError> {
        let read = |path| match file::read_regular(path, self.limit) {
            Err(error) if error.is_passing() => Err(error),
            version => Ok(version),
        };
        Ok([read(&self.path)?, read(&self.copy)?])
    }

    /// Reads the file or, where `check` refuses it, its copy. Returns the content that `check` returns, and the damage of
    /// a file whose copy is used.
    ///
    /// # Errors
    /// Damage of the file, if the copy cannot be used either.
    pub fn read(
        &self,
        check: &dyn Fn(Vec<u8>) -> Result<Vec<u8>, String>,
    ) -> Result<(Vec<u8>, Option<String>), String> {
        let versions = self.versions().map_err(|error| error.to_string())?;
        self.choose(versions, check)
    }

    fn choose(
        &self,
        versions: Versions,
        check: &dyn Fn(Vec<u8>) -> Result<Vec<u8>, String>,
    ) -> Result<(Vec<u8>, Option<String>), String> {
        let mut damage = None;
        for version in versions {
            let parsed = version.map_err(|error| error.to_string()).and_then(|bytes| {
                check(bytes).map_err(|reason| format!("{}: {reason}", self.path.display()))
            });
            match parsed {
                Ok(content) => return Ok((content, damage)),
                Err(reason) => damage = damage.or(Some(reason)),
            }
        }
        Err(damage.unwrap_or_default())
    }

    /// Calls [`read`](Self::read). File and copy have the content that `check` returns from now on.
    ///
    /// # Errors
    /// See [`versions`](Self::versions).
    pub fn load(
        &self,
        check: &dyn Fn(Vec<u8>) -> Result<Vec<u8>, String>,
        notices: &mut Notices,
    ) -> Result<Loaded, FileError> {
        if self.is_absent() {
            return Ok(Loaded::Missing);
        }
        Ok(match self.choose(self.versions()?, check) {
            Ok((content, damage)) => {
                let is_copy = damage.is_some();
                notices.extend(damage.map(|damage| format!("{damage}; its copy is used")));
                self.repair(&content, is_copy, notices);
                Loaded::Whole(content)
            }
            Err(damage) => {
                notices.push(format!("{damage}; it has no copy that can be used"));
                Loaded::Lost
            }
        })
    }

    /// Calls [`replace`](Self::replace). A failure does not matter: the content is known.
    pub fn repair(&self, bytes: &[u8], is_damaged: bool, notices: &mut Notices) {
        match self.replace(bytes, is_damaged) {
            Ok(()) => {}
            Err(error) if is_damaged || self.is_older_copy(bytes) => {
                notices.push(format!("cannot be repaired: {error}"));
            }
            // Of a read-only file system, at each start.
            Err(error) => info!("no copy is kept: {}", error),
        }
    }

    /// Writes the file and then the copy, unless they have this content. A damaged file is set aside, and
    /// anything that is not a file. A link stays, without a copy: its owner decides where the content is stored.
    ///
    /// # Errors
    /// Error of the system.
    pub fn replace(&self, bytes: &[u8], is_damaged: bool) -> Result<(), FileError> {
        self.create(bytes, is_damaged)?;
        if !is_link(&self.path) {
            self.replace_at(&self.copy, bytes, false)
        } else if self.is_older_copy(bytes) {
            AtomicFile::new(&self.copy, self.mode)?.remove()
        } else {
            Ok(())
        }
    }

    /// Returns true if the file has this content, and the copy another one, which would be used without the file.
    fn is_older_copy(&self, bytes: &[u8]) -> bool {
        self.versions().is_ok_and(|versions| match versions {
            [Ok(file), Ok(copy)] => file == bytes && copy != bytes,
            _ => false,
        })
    }

    /// Writes the file alone.
    ///
    /// # Errors
    /// Error of the system.
    pub fn create(&self, bytes: &[u8], is_damaged: bool) -> Result<(), FileError> {
        if is_link(&self.path) { Ok(()) } else { self.replace_at(&self.path, bytes, is_damaged) }
    }

    fn replace_at(&self, path: &Path, bytes: &[u8], is_kept: bool) -> Result<(), FileError> {
        let old = match file::read_regular(path, self.limit) {
            Ok(old) if old == bytes => return Ok(()),
            Err(error) if error.is_passing() => return Err(error),
            old => old,
        };
        if is_kept || old.is_err() {
            // Where this fails, the write fails too.
            set_aside(path);
        }
        file::write_atomic(path, bytes, self.mode)
    }

    /// Content of a file that has no copy: of a start that ended between the two, or of a person.
    pub fn alone(&self) -> Option<Vec<u8>> {
        is_absent(&self.copy).then(|| file::read_regular(&self.path, self.limit).ok()).flatten()
    }

    /// Removes file and copy where they have this content. Returns false if one stays.
    pub fn withdraw(&self, bytes: &[u8]) -> bool {
        [&self.path, &self.copy].into_iter().all(|path| {
            let is_there = file::read_regular(path, self.limit).is_ok_and(|found| found == bytes);
            !is_there || AtomicFile::new(path, self.mode).is_ok_and(|file| file.remove().is_ok())
        })
    }

    /// The file and its copy, as a thread writes them.
    pub(super) fn target(&self) -> Result<Target, FileError> {
        let atomic = |path| AtomicFile::new(path, self.mode);
        Ok(Target { file: atomic(&self.path)?, copy: atomic(&self.copy)? })
    }
}

/// File of records with its copy, for writes that allocate nothing unless they fail, or the file is a link.
pub(super) struct Target {
    file: AtomicFile,
    copy: AtomicFile,
}

impl Target {
    /// Writes the file and then the copy. A copy that cannot be written is removed, because an older one would have an
    /// older password log in; if it stays, the old file comes back. Where the file is a link, its target is written, and
    /// has no copy.
    ///
    /// # Errors
    /// Error of the system, such as that of a link that leads nowhere. The old file remains, unless it is [`Old::Gone`].
    pub(super) fn write(&self, records: &[u8]) -> Result<(), FileError> {
        let header = header(records);
        let parts = [header.as_bytes(), records];
        let path = self.file.path();
        let linked = match is_link(path).then(|| fs::canonicalize(path)).transpose() {
            Ok(target) => target.map(|target| AtomicFile::replacing(&target, 0o600)).transpose()?,
            Err(error) => return Err(FileError::io(path, error)),
        };
        let file = linked.as_ref().unwrap_or(&self.file);
        let old = file.begin(&parts)?;
        let is_copied = linked.is_none() && self.copy.write(&parts).is_ok();
        if !is_copied {
            self.copy.remove().inspect_err(|_| file.undo(old))?;
        }
        file.finish();
        Ok(())
    }
}

/// Returns true for a symbolic link.
pub fn is_link(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink())
}

/// First line of a file with these records.
pub(super) fn header(records: &[u8]) -> Header {
    let mut line = Header::new();
    // The line has room for all of it.
    let _ = writeln!(line, "{HEADER}{FORMAT} {}", Digest::of(records));
    line
}

/// Returns the records of a file: all lines after the first one, or all of a file of friendlet 0.1, which has
/// no such line. `is_record` says whether a line is one that friendlet 0.1 wrote.
///
/// # Errors
/// Reason why the file is damaged.
pub(super) fn records<'b>(
    bytes: &'b [u8],
    is_record: &dyn Fn(&[u8]) -> bool,
) -> Result<&'b [u8], &'static str> {
    if bytes.is_empty() {
        return Err("empty");
    }
    let Some(rest) = bytes.strip_prefix(HEADER.as_bytes()) else {
        let lines = bytes.strip_suffix(b"\n").ok_or("its last line has no end")?;
        let is_whole = lines.split(|byte| *byte == b'\n').all(is_record);
        return if is_whole { Ok(bytes) } else { Err("a line of it is damaged") };
    };
    let end = rest.iter().position(|byte| *byte == b'\n').ok_or("its first line has no end")?;
    let (line, records) = (rest.get(..end).unwrap_or_default(), rest.get(end + 1..).unwrap_or_default());
    // Any format: what this program does not know of a later one are lines that it keeps.
    let digest = line.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
    if digest == Digest::of(records).text().as_bytes() { Ok(records) } else { Err("its digest differs") }
}

/// First line and records.
pub fn with_header(records: &[u8]) -> Vec<u8> {
    [header(records).as_bytes(), records].concat()
}

/// Checks a file of records for [`StateFile::load`]. A file of friendlet 0.1 gets its first line.
pub fn check(bytes: &[u8], is_record: &dyn Fn(&[u8]) -> bool) -> Result<Vec<u8>, String> {
    Ok(with_header(records(bytes, is_record)?))
}

/// Lines that this program does not know, because a later version wrote them. They are written again, so that
/// this version can be left again.
#[derive(Clone, Debug, Default)]
pub(super) struct UnknownLines(heapless::String<UNKNOWN_LINES_BYTES>);

impl UnknownLines {
    /// Adds a line, if there is room for it and it is text.
    pub(super) fn push(&mut self, line: &[u8]) -> bool {
        let line = core::str::from_utf8(line).ok().filter(|line| {
            // With its line feed.
            self.0.len() + line.len() < self.0.capacity()
        });
        line.is_some_and(|line| writeln!(self.0, "{line}").is_ok())
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Calls `take` with each line of a file of records. One that it refuses is kept in `unknown`, or left out.
pub(super) fn visit_lines(
    text: &[u8],
    name: &str,
    mut unknown: Option<&mut UnknownLines>,
    take: &mut dyn FnMut(&[u8]) -> bool,
) {
    for line in lines(text) {
        if !take(line) && !unknown.as_mut().is_some_and(|unknown| unknown.push(line)) {
            warning!("{}: a line is left out", name);
        }
    }
}

/// Lines of a file of records, without empty ones and without a first line of any form.
fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty() && !line.starts_with(HEADER.as_bytes()))
}

/// Digest of a text, for those who compare two of them.
pub struct Digest(ring::digest::Digest);

impl Digest {
    /// Digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(ring::digest::digest(&ring::digest::SHA256, bytes))
    }

    /// Its hexadecimal digits.
    pub fn text(&self) -> heapless::String<{ 2 * DIGEST_BYTES }> {
        let mut text = heapless::String::new();
        // The text has room for all of it.
        let _ = write!(text, "{self}");
        text
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().iter().take(DIGEST_BYTES).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::tests::TestDirectory;

    const LIMIT: usize = 64;

    fn file(directory: &TestDirectory) -> StateFile {
        crate::log::set_level(crate::log::Level::Off);
        StateFile::new(&directory.0.join("f"), 0o600, LIMIT)
    }

    /// Accepts what begins with a letter.
    fn load(file: &StateFile) -> (Loaded, Notices) {
        let mut notices = Notices::new();
        let check = |bytes: Vec<u8>| match bytes.first() {
            Some(first) if first.is_ascii_alphabetic() => Ok(bytes),
            _ => Err("damaged".to_owned()),
        };
        (file.load(&check, &mut notices).unwrap(), notices)
    }

    fn content(file: &StateFile) -> [String; 2] {
        file.versions().unwrap().map(|version| String::from_utf8(version.unwrap()).unwrap())
    }

    #[test]
    fn missing_file_is_not_damaged() {
        let directory = TestDirectory::new("state-missing");
        assert_eq!(load(&file(&directory)), (Loaded::Missing, vec![]));
        assert!(fs::read_dir(&directory.0).unwrap().next().is_none());
    }

    #[test]
    fn whole_file_gets_its_copy() {
        let directory = TestDirectory::new("state-whole");
        let file = file(&directory);
        for text in ["first", "second"] {
            fs::write(&file.path, text).unwrap();
            assert_eq!(load(&file), (Loaded::Whole(text.into()), vec![]));
            assert_eq!(content(&file), [text, text]);
        }
        // A copy is repaired without a word: nothing was lost.
        fs::write(&file.copy, "?").unwrap();
        assert_eq!(load(&file).1, Vec::<String>::new());
        assert_eq!(content(&file), ["second", "second"]);
    }

    #[test]
    fn copy_replaces_a_file_that_cannot_be_used_and_that_is_set_aside() {
        let directory = TestDirectory::new("state-copy");
        let file = file(&directory);
        let damages: [&dyn Fn(); 7] = [
            &|| fs::write(&file.path, "").unwrap(),
            &|| fs::write(&file.path, "\0\0").unwrap(),
            &|| fs::write(&file.path, [0xff; 8]).unwrap(),
            &|| fs::write(&file.path, "x".repeat(LIMIT + 1)).unwrap(),
            &|| fs::remove_file(&file.path).unwrap(),
            &|| {
                fs::remove_file(&file.path).unwrap();
                fs::create_dir(&file.path).unwrap();
            },
            &|| {
                fs::remove_file(&file.path).unwrap();
                let mode = rustix::fs::Mode::RWXU;
                rustix::fs::mknodat(rustix::fs::CWD, &file.path, rustix::fs::FileType::Fifo, mode, 0)
                    .unwrap();
            },
        ];
        for damage in damages {
            file.replace(b"good", false).unwrap();
            damage();
            let (loaded, notices) = load(&file);
            assert_eq!(loaded, Loaded::Whole("good".into()));
            assert!(notices.len() == 1 && notices[0].ends_with("; its copy is used"), "{notices:?}");
            assert_eq!(content(&file), ["good", "good"]);
            assert_eq!(load(&file).1, Vec::<String>::new());
        }
        assert!(file::BROKEN.iter().all(|suffix| with_suffix(&file.path, suffix).exists()));
    }

    #[test]
    fn damaged_file_with_a_damaged_copy_is_lost_and_stays_until_it_is_replaced() {
        let directory = TestDirectory::new("state-lost");
        let file = file(&directory);
        fs::write(&file.path, "1").unwrap();
        fs::create_dir(&file.copy).unwrap();
        let (loaded, notices) = load(&file);
        assert_eq!(loaded, Loaded::Lost);
        let expected = format!("{}: damaged; it has no copy that can be used", file.path.display());
        assert_eq!(notices, [expected]);
        assert_eq!(fs::read(&file.path).unwrap(), b"1");
        file.replace(b"new", true).unwrap();
        assert_eq!(content(&file), ["new", "new"]);
        assert_eq!(fs::read(with_suffix(&file.path, ".broken")).unwrap(), b"1");
    }

    #[test]
    fn link_stays_and_has_no_copy() {
        let directory = TestDirectory::new("state-link");
        let file = file(&directory);
        let medium = directory.0.join("medium");
        std::os::unix::fs::symlink(&medium, &file.path).unwrap();
        assert_eq!(load(&file).0, Loaded::Lost);
        file.replace(b"new", true).unwrap();
        fs::write(&medium, "owner's").unwrap();
        assert_eq!(load(&file), (Loaded::Whole("owner's".into()), vec![]));
        assert!(is_link(&file.path) && !file.copy.exists());
        // An older copy would be used without the medium.
        fs::write(&file.copy, "older").unwrap();
        assert_eq!(load(&file), (Loaded::Whole("owner's".into()), vec![]));
        assert!(!file.copy.exists());
    }

    /// Makes each write of a file fail, for root too: neither it nor its places aside can be replaced.
    fn block(path: &Path) {
        for suffix in ["", ".broken", ".broken.1"] {
            fs::create_dir_all(with_suffix(path, suffix).join("x")).unwrap();
        }
    }

    #[test]
    fn write_through_a_link_keeps_it_and_leaves_no_older_copy() {
        let directory = TestDirectory::new("state-through");
        let file = file(&directory);
        let target = file.target().unwrap();
        target.write(b"old").unwrap();
        let medium = directory.0.join("medium");
        fs::create_dir(&medium).unwrap();
        fs::rename(&file.path, medium.join("f")).unwrap();
        std::os::unix::fs::symlink("medium/f", &file.path).unwrap();
        target.write(b"new").unwrap();
        assert!(is_link(&file.path) && !file.copy.exists());
        assert_eq!(fs::read(medium.join("f")).unwrap(), with_header(b"new"));
        assert_eq!(fs::read_dir(&medium).unwrap().count(), 1);
        // Without its medium, also where the directory of it is there.
        fs::remove_file(medium.join("f")).unwrap();
        let error = target.write(b"newer").unwrap_err();
        assert!(error.is_missing() && error.path == file.path, "{error}");
        assert!(is_link(&file.path) && fs::read_dir(&medium).unwrap().next().is_none());
    }

    #[test]
    fn copy_that_can_be_neither_written_nor_removed_fails_the_write() {
        let directory = TestDirectory::new("state-stuck");
        let file = file(&directory);
        let target = file.target().unwrap();
        block(&file.copy);
        assert!(target.write(b"first").is_err());
        assert!(!file.path.exists() && fs::read_dir(&directory.0).unwrap().count() == 3);
        fs::write(&file.path, with_header(b"old")).unwrap();
        let error = target.write(b"new").unwrap_err();
        assert_eq!((error.errno(), &error.path), (Some(rustix::io::Errno::ISDIR.raw_os_error()), &file.copy));
        assert_eq!(fs::read(&file.path).unwrap(), with_header(b"old"));
        assert_eq!(fs::read_dir(&directory.0).unwrap().count(), 4);
    }

    #[test]
    fn file_that_cannot_be_looked_at_is_lost_and_not_missing() {
        let directory = TestDirectory::new("state-unseen");
        crate::log::set_level(crate::log::Level::Off);
        let path = |name: &str| directory.0.join(name);
        fs::write(path("file"), "").unwrap();
        std::os::unix::fs::symlink("nowhere", path("link")).unwrap();
        std::os::unix::fs::symlink("loop", path("loop")).unwrap();
        for parent in ["file", "link", "loop"] {
            let file = StateFile::new(&path(parent).join("f"), 0o600, LIMIT);
            let (loaded, notices) = load(&file);
            assert_eq!(loaded, Loaded::Lost, "{parent}");
            assert!(notices[0].ends_with("; it has no copy that can be used"), "{notices:?}");
        }
        assert_eq!(load(&StateFile::new(&path("a/b/f"), 0o600, LIMIT)).0, Loaded::Missing);
    }

    fn is_record(line: &[u8]) -> bool {
        line.ends_with(b" on")
    }

    #[test]
    fn records_are_distinguished_from_a_file_that_is_cut_at_any_byte() {
        let whole = with_header(b"web on\nlog on\n");
        assert_eq!(records(&whole, &is_record), Ok(&b"web on\nlog on\n"[..]));
        for end in 0..whole.len() {
            assert!(records(&whole[..end], &is_record).is_err(), "{end}");
        }
        for byte in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[byte] ^= 0x01;
            // The number of the format may be any.
            let is_format = byte == HEADER.len();
            assert_eq!(records(&flipped, &is_record).is_ok(), is_format, "{byte}");
        }
        assert_eq!(whole.len() - b"web on\nlog on\n".len(), HEADER_BYTES);
        assert!(with_header(b"").len() == HEADER_BYTES && records(&with_header(b""), &is_record).is_ok());
    }

    #[test]
    fn file_of_the_first_version_is_whole_if_each_line_is() {
        assert_eq!(records(b"web on\nlog on\n", &is_record), Ok(&b"web on\nlog on\n"[..]));
        for damaged in [&b""[..], b"web on", b"web on\nlog o\n", b"\0\0\0\0", b"\n"] {
            assert!(records(damaged, &is_record).is_err(), "{damaged:?}");
        }
    }

    #[test]
    fn unknown_lines_stay_up_to_their_limit() {
        let mut lines = UnknownLines::default();
        assert!(lines.push(b"a b c") && !lines.push(b"\xff"));
        assert!(lines.push(&[b'x'; UNKNOWN_LINES_BYTES - 7]));
        assert!(!lines.push(b""));
        assert!(lines.as_str().starts_with("a b c\nxxx") && lines.as_str().len() == UNKNOWN_LINES_BYTES);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_records_or_damage(bytes: Vec<u8>) {
            let _ = records(&bytes, &is_record);
            let _ = lines(&bytes).count();
        }
    }
}
