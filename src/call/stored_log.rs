//! Files of the log, as calls read them.

/// Files of the log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LogSource {
    /// Records of this run and of earlier ones.
    Files,
    /// The audit trail.
    Audit,
    /// Format strings of the log of frames, in the image.
    Texts,
}

impl LogSource {
    /// Every source.
    pub const ALL: [Self; 3] = [Self::Files, Self::Audit, Self::Texts];

    /// Name in a call.
    pub fn name(self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::Audit => "audit",
            Self::Texts => "texts",
        }
    }
}

/// Part of a file of the log.
#[derive(Clone, Copy, Debug)]
pub struct StoredPage<'a> {
    /// Form of the records.
    pub form: &'a str,
    /// Number of the inode of the file; 0 without the file.
    pub inode: u64,
    /// Position of the first record in the file.
    pub from: u64,
    /// Whole records.
    pub records: &'a [u8],
}
