//! Backup of a board: configuration, users and identity, a second time outside the file system, as bytes of the disk.
//!
//! A slot is one sector with the header and then the content, an archive of small files. Two slots have the same
//! content, so that damage of one, or a power cut during its write, leaves the other. [`init`](crate::init) reads and
//! writes them.
//!
//! | bytes of the header | content |
//! |---|---|
//! | 0..8 | `FLBACK1` and a line feed; anything else: no image has reserved this place, and nothing is written |
//! | 8..16 | generation, the higher of two counts; little-endian as all numbers |
//! | 16..20 | length of the content |
//! | 20..52 | SHA-256 of bytes 8 to 20 and of the content |
//! | 52..60 | `ERASEALL` while a factory reset is under way |
//! | 60..512 | zero |

mod archive;
#[cfg(test)]
mod tests;

use ring::digest::{Context, SHA256};

pub use archive::{Archive, File, Full, Time, files, is_kept, visit_kept};

crate::limits::limits! {
    /// Slot of the backup with its header.
    BACKUP_BYTES: usize = 256 * 1024, exceeded "logged as a warning; the earlier backup remains",
        tests ["archive_up_to_its_limit_is_whole"];
    /// Files of the backup.
    BACKUP_FILES: usize = 64, exceeded "logged as a warning; the earlier backup remains",
        tests ["archive_has_at_most_the_limit_of_files"];
}

/// First sectors of the two slots: the end of the gap before the first partition.
pub const SLOTS: [u64; 2] = [7168, 7680];
/// Length of a header: a sector, which a disk writes atomically.
pub const HEADER_BYTES: usize = 512;
/// Longest content.
pub const CONTENT_BYTES: usize = BACKUP_BYTES - HEADER_BYTES;

const MAGIC: &[u8] = b"FLBACK1\n";
const ERASE: &[u8] = b"ERASEALL";
const DIGEST_BYTES: usize = 32;

/// Header of a slot.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Header {
    /// Generation: the higher of two counts.
    pub generation: u64,
    /// Length of the content.
    pub length: u32,
    digest: [u8; DIGEST_BYTES],
    /// A factory reset is under way: the next start erases everything.
    pub is_erasing: bool,
}

impl Header {
    /// Header of this content.
    pub fn new(generation: u64, content: &[u8]) -> Self {
        // The content has a limit.
        let length = u32::try_from(content.len()).unwrap_or_default();
        Self { generation, length, digest: digest(generation, length, content), is_erasing: false }
    }

    /// The same, with the mark of a factory reset.
    pub fn erasing(self) -> Self {
        Self { is_erasing: true, ..self }
    }

    /// Parses a sector. `None`: no image has reserved this place.
    pub fn parse(sector: &[u8; HEADER_BYTES]) -> Option<Self> {
        let rest = sector.strip_prefix(MAGIC)?;
        let (generation, rest) = rest.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let (digest, rest) = rest.split_first_chunk()?;
        Some(Self {
            generation: u64::from_le_bytes(*generation),
            length: u32::from_le_bytes(*length),
            digest: *digest,
            is_erasing: rest.starts_with(ERASE),
        })
    }

    /// The sector.
    pub fn sector(&self) -> [u8; HEADER_BYTES] {
        let mut sector = [0; HEADER_BYTES];
        let erase = if self.is_erasing { ERASE } else { &[] };
        let parts: [&[u8]; 5] =
            [MAGIC, &self.generation.to_le_bytes(), &self.length.to_le_bytes(), &self.digest, erase];
        let bytes = parts.into_iter().flatten();
        sector.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        sector
    }

    /// Length of the content, if a slot has room for it.
    pub fn content_length(&self) -> Option<usize> {
        usize::try_from(self.length).ok().filter(|length| *length <= CONTENT_BYTES)
    }

    /// Returns true if this is the header of the content. That of a slot without content is of none.
    pub fn is_of(&self, content: &[u8]) -> bool {
        usize::try_from(self.length).is_ok_and(|length| length == content.len())
            && self.digest == digest(self.generation, self.length, content)
    }
}

fn digest(generation: u64, length: u32, content: &[u8]) -> [u8; DIGEST_BYTES] {
    let mut context = Context::new(&SHA256);
    context.update(&generation.to_le_bytes());
    context.update(&length.to_le_bytes());
    context.update(content);
    let mut array = [0; DIGEST_BYTES];
    // Of the same length.
    array.iter_mut().zip(context.finish().as_ref()).for_each(|(to, from)| *to = *from);
    array
}
