//! Content of a slot: small files, one after the other.
//!
//! | bytes | content |
//! |---|---|
//! | 1 | length of the name |
//! | 2 | mode |
//! | 8, 4 | time of change: seconds since 1970, nanoseconds |
//! | 4 | length of the file |
//! | | name, relative to the data, and the file |

use core::fmt;

use super::{BACKUP_FILES, CONTENT_BYTES};

/// Files of the backup, relative to the data.
const FILES: [&str; 8] = [
    "friendlet.toml",
    "friendlet.toml.good",
    "state/admin.toml",
    "state/enabled",
    "state/first-password",
    "state/paired",
    "state/passwords",
    "state/temporary.pem",
];
/// Directories whose files are in the backup.
const DIRECTORIES: [&str; 2] = ["friendlet.d/", "state/tls/"];
/// Ends of names that are not: copies, what was set aside, and what an editor leaves.
const OTHERS: [&str; 4] = [".copy", ".broken", ".broken.1", "~"];

/// Returns true if the backup contains files of this name, relative to the data.
pub fn is_kept(name: &str) -> bool {
    let is_inside = |directory: &str| {
        name.strip_prefix(directory).is_some_and(|name| {
            let is_other = OTHERS.iter().any(|end| name.ends_with(end));
            !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\0']) && !is_other
        })
    };
    FILES.contains(&name) || DIRECTORIES.iter().any(|directory| is_inside(directory))
}

/// Calls `visit` with each file that the backup contains always, and each directory of others.
pub fn visit_kept(visit: &mut dyn FnMut(&'static str)) {
    FILES.into_iter().chain(DIRECTORIES).for_each(visit);
}

/// Time of change of a file.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Time {
    /// Seconds since 1970.
    pub seconds: i64,
    /// Nanoseconds of the second.
    pub nanoseconds: u32,
}

/// File of the backup.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct File<'b> {
    /// Name, relative to the data.
    pub name: &'b str,
    /// Mode.
    pub mode: u16,
    /// Time of change.
    pub modified: Time,
    /// Content.
    pub content: &'b [u8],
}

/// Reason why an archive has no room for a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Full;

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "more than {BACKUP_FILES} files or {CONTENT_BYTES} bytes")
    }
}

/// Archive that is made.
#[derive(Debug, Default)]
pub struct Archive {
    bytes: Vec<u8>,
    files: usize,
}

impl Archive {
    /// Adds a file.
    ///
    /// # Errors
    /// The archive is full.
    pub fn push(&mut self, file: &File<'_>) -> Result<(), Full> {
        let name_length = u8::try_from(file.name.len()).map_err(|_| Full)?;
        let length = u32::try_from(file.content.len()).map_err(|_| Full)?;
        let parts: [&[u8]; 7] = [
            &[name_length],
            &file.mode.to_le_bytes(),
            &file.modified.seconds.to_le_bytes(),
            &file.modified.nanoseconds.to_le_bytes(),
            &length.to_le_bytes(),
            file.name.as_bytes(),
            file.content,
        ];
        let added: usize = parts.iter().map(|part| part.len()).sum();
        if self.files == BACKUP_FILES || self.bytes.len() + added > CONTENT_BYTES {
            return Err(Full);
        }
        self.files += 1;
        parts.into_iter().for_each(|part| self.bytes.extend_from_slice(part));
        Ok(())
    }

    /// Number of the files.
    pub fn files(&self) -> usize {
        self.files
    }

    /// Content of a slot.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Parses the content of a slot. `None`: it is damaged, or has files that no backup contains.
pub fn files(content: &[u8]) -> Option<Vec<File<'_>>> {
    let mut files = Vec::new();
    let mut rest = content;
    while !rest.is_empty() {
        let file = next(&mut rest).filter(|file| is_kept(file.name) && files.len() < BACKUP_FILES)?;
        files.push(file);
    }
    Some(files)
}

fn next<'b>(rest: &mut &'b [u8]) -> Option<File<'b>> {
    let name_length = usize::from(u8::from_le_bytes(take(rest)?));
    let mode = u16::from_le_bytes(take(rest)?);
    let modified =
        Time { seconds: i64::from_le_bytes(take(rest)?), nanoseconds: u32::from_le_bytes(take(rest)?) };
    let length = usize::try_from(u32::from_le_bytes(take(rest)?)).ok()?;
    let (name, after) = rest.split_at_checked(name_length)?;
    let (content, after) = after.split_at_checked(length)?;
    *rest = after;
    Some(File { name: core::str::from_utf8(name).ok()?, mode, modified, content })
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (number, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*number)
}
