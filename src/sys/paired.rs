//! Keys of paired certificates, stored in the state directory.
//!
//! The file has one line for each ([`PairedKey`]), also for those of users that the configuration file does not have.
//! Lines that this version does not know stay. [`state_file`] has the first line and the copy.

use std::fmt::Write;
use std::path::Path;

use super::UNKNOWN_LINES_BYTES;
use super::file::{FileError, RenderError};
use super::state_file::{self, HEADER_BYTES, Loaded, Notices, StateFile, UnknownLines};
use crate::limits::{DEVICE_ID_BYTES, USER_NAME_BYTES};
use crate::session::{HASH_BYTES, PAIRED_KEYS, PairedKey, Pairing};

/// Name of the file.
pub const FILE: &str = "paired";
/// Length of the longest line.
const RECORD_BYTES: usize = 2 * HASH_BYTES + USER_NAME_BYTES + DEVICE_ID_BYTES + "  \n".len();
/// Largest content written.
pub(super) const TEXT_BYTES: usize = PAIRED_KEYS * RECORD_BYTES + UNKNOWN_LINES_BYTES;
/// Twice that, so that the file of a board with larger limits is still read.
const MAX_BYTES: usize = HEADER_BYTES + 2 * TEXT_BYTES;

/// File `paired` of a state directory.
#[derive(Clone, Debug)]
pub struct PairedFile {
    file: StateFile,
    unknown: UnknownLines,
}

impl PairedFile {
    /// File of this directory, which need not exist.
    pub fn new(directory: &Path) -> Self {
        let file = StateFile::new(&directory.join(FILE), 0o600, MAX_BYTES);
        Self { file, unknown: UnknownLines::default() }
    }

    /// Loads the keys. Without a file or a copy that can be used, none is paired.
    ///
    /// # Errors
    /// An error that says nothing of the file.
    pub fn load(&mut self, notices: &mut Notices) -> Result<Pairing, FileError> {
        let mut pairing = Pairing::default();
        let text = match self.file.load(&|bytes| state_file::check(&bytes, &|_| false), notices)? {
            Loaded::Missing => return Ok(pairing),
            Loaded::Whole(text) => text,
            Loaded::Lost => {
                notices.push(format!("{FILE}: no client certificate is paired any more: pair them again"));
                self.file.repair(&state_file::with_header(b""), true, notices);
                return Ok(pairing);
            }
        };
        state_file::visit_lines(&text, FILE, Some(&mut self.unknown), &mut |line| {
            PairedKey::parse(line).is_some_and(|key| pairing.accept(key).is_some())
        });
        Ok(pairing)
    }

    /// Adds the content of the file to `text`.
    ///
    /// # Errors
    /// `text` has no room for it.
    pub fn render(&self, pairing: &Pairing, text: &mut dyn Write) -> Result<(), RenderError> {
        pairing.iter().try_for_each(|(_, key)| writeln!(text, "{key}"))?;
        Ok(text.write_str(self.unknown.as_str())?)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::sys::tests::TestDirectory;

    fn key(number: u8) -> PairedKey {
        PairedKey::new([number; HASH_BYTES], "anna", "kitchen panel").unwrap()
    }

    fn load(directory: &TestDirectory) -> (PairedFile, Vec<PairedKey>, Notices) {
        crate::log::set_level(crate::log::Level::Off);
        let (mut file, mut notices) = (PairedFile::new(&directory.0), Notices::new());
        let pairing = file.load(&mut notices).unwrap();
        (file, pairing.iter().map(|(_, key)| key.clone()).collect(), notices)
    }

    fn store(file: &PairedFile, keys: &[PairedKey]) {
        let mut pairing = Pairing::default();
        keys.iter().for_each(|key| assert!(pairing.accept(key.clone()).is_some()));
        let mut text = heapless::String::<TEXT_BYTES>::new();
        file.render(&pairing, &mut text).unwrap();
        file.file.replace(&state_file::with_header(text.as_bytes()), false).unwrap();
    }

    #[test]
    fn stored_keys_are_loaded() {
        let directory = TestDirectory::new("paired");
        let (file, keys, notices) = load(&directory);
        assert_eq!((keys, notices), (vec![], Notices::new()));
        for keys in [&[key(1), key(2)][..], &[key(2)], &[]] {
            store(&file, keys);
            assert_eq!(load(&directory).1, keys);
        }
        let mode = fs::metadata(directory.0.join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn lines_of_a_later_version_stay() {
        let directory = TestDirectory::new("paired-later");
        let text = format!("{}\nsha3:00 anna x\n", key(1));
        fs::write(directory.0.join(FILE), state_file::with_header(text.as_bytes())).unwrap();
        let (file, keys, _) = load(&directory);
        assert_eq!(keys, [key(1)]);
        store(&file, &[key(1), key(2)]);
        let text = fs::read_to_string(directory.0.join(FILE)).unwrap();
        assert!(text.ends_with("\nsha3:00 anna x\n"), "{text}");
        assert_eq!(load(&directory).1, [key(1), key(2)]);
    }

    #[test]
    fn each_cut_of_the_file_leaves_its_copy_and_without_it_nobody_paired() {
        let directory = TestDirectory::new("paired-cut");
        store(&load(&directory).0, &[key(1), key(2)]);
        let text = fs::read(directory.0.join(FILE)).unwrap();
        for end in 0..text.len() {
            fs::write(directory.0.join(FILE), &text[..end]).unwrap();
            let (_, keys, notices) = load(&directory);
            assert_eq!((keys, notices.len()), (vec![key(1), key(2)], 1), "{end}: {notices:?}");
        }
        for end in 0..text.len() {
            for name in [FILE, "paired.copy"] {
                fs::write(directory.0.join(name), &text[..end]).unwrap();
            }
            let (_, keys, notices) = load(&directory);
            assert_eq!(keys, []);
            assert!(notices.iter().any(|notice| notice.contains("pair them again")), "{notices:?}");
            assert_eq!(load(&directory).2, Notices::new(), "{end}: reported once");
        }
    }

    #[test]
    fn longest_content_has_the_length_of_its_limit() {
        let directory = TestDirectory::new("paired-long");
        let (mut file, ..) = load(&directory);
        assert!(file.unknown.push(&[b'x'; UNKNOWN_LINES_BYTES - 1]));
        let mut pairing = Pairing::default();
        for number in 0..PAIRED_KEYS as u8 {
            let (user, device) = ("u".repeat(USER_NAME_BYTES), "d".repeat(DEVICE_ID_BYTES));
            pairing.accept(PairedKey::new([number; HASH_BYTES], &user, &device).unwrap()).unwrap();
        }
        let mut text = heapless::String::<TEXT_BYTES>::new();
        file.render(&pairing, &mut text).unwrap();
        assert_eq!(text.len(), TEXT_BYTES);
        assert_eq!(file.render(&pairing, &mut heapless::String::<64>::new()), Err(RenderError::TooLong));
    }
}
