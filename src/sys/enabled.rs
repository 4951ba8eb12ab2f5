//! Services enabled or disabled by install and uninstall, stored in the state directory.
//!
//! The file has one line, `name enabled` or `name disabled`, for each service that differs from the
//! configuration file. Lines of services that are not configured stay, because the next start may
//! use another configuration file. The file is replaced atomically.

use std::fmt::{self, Write};
use std::path::{Path, PathBuf};

use heapless::Vec;

use super::file::{self, FileError, RenderError};
use crate::limits::{SERVICE_NAME_BYTES, SERVICES};
use crate::warning;

/// Name of the file.
pub(super) const FILE: &str = "enabled";
/// Largest file written: the services of the configuration file, and as many others.
pub(super) const TEXT_BYTES: usize = 2 * SERVICES * (SERVICE_NAME_BYTES + " disabled\n".len());
/// Twice that, so that the file of a board with larger limits is still read.
const MAX_BYTES: usize = 2 * TEXT_BYTES;

/// File `enabled` of a state directory.
#[derive(Clone, Debug)]
pub struct EnabledFile {
    directory: PathBuf,
    /// Lines of services that are not configured.
    others: Vec<(heapless::String<SERVICE_NAME_BYTES>, bool), SERVICES>,
}

impl EnabledFile {
    /// File of this directory, which need not exist.
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), others: Vec::new() }
    }

    /// Calls `set` with the name and state of each stored service; it returns false if the service is
    /// not configured. At most `limits::SERVICES` of those are kept. Invalid lines are logged and
    /// skipped. A missing file is empty.
    ///
    /// # Errors
    /// Error of reading, or a file of more than `MAX_BYTES`.
    pub fn load(&mut self, mut set: impl FnMut(&str, bool) -> bool) -> Result<(), FileError> {
        let bytes = match file::read(&self.directory.join(FILE), MAX_BYTES) {
            Ok(bytes) => bytes,
            Err(error) if error.is_missing() => return Ok(()),
            Err(error) => return Err(error),
        };
        for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            match parse(line) {
                Some((name, enabled)) if set(name, enabled) => {}
                Some((name, enabled)) => {
                    // Dropped on purpose if the name is longer than any service's, or the list full.
                    let _ = name.try_into().map(|name| self.others.push((name, enabled)));
                }
                None if line.is_empty() => {}
                None => warning!("{}: invalid line {}", FILE, number + 1),
            }
        }
        Ok(())
    }

    /// Adds the content of the file to `text`.
    ///
    /// # Errors
    /// `text` has no room for it.
    pub fn render<'a>(
        &self,
        mut services: impl Iterator<Item = (&'a str, bool)>,
        text: &mut impl Write,
    ) -> Result<(), RenderError> {
        let mut add = |name: &str, enabled: bool| -> fmt::Result {
            text.write_str(name)?;
            text.write_str(if enabled { " enabled\n" } else { " disabled\n" })
        };
        services.try_for_each(|(name, enabled)| add(name, enabled))?;
        self.others.iter().try_for_each(|(name, enabled)| add(name, *enabled))?;
        Ok(())
    }
}

fn parse(line: &[u8]) -> Option<(&str, bool)> {
    let (name, word) = core::str::from_utf8(line).ok()?.split_once(' ')?;
    let enabled = match word {
        "enabled" => true,
        "disabled" => false,
        _ => return None,
    };
    (!name.is_empty()).then_some((name, enabled))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::file::FileReason;
    use super::*;

    /// Temporary name of a new file.
    const NEW_FILE: &str = ".enabled.new";

    fn directory(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("friendlet-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        path
    }

    /// Writes the file as the server does.
    fn store<'a>(
        file: &EnabledFile,
        services: impl Iterator<Item = (&'a str, bool)>,
    ) -> Result<(), FileError> {
        let mut text = String::new();
        file.render(services, &mut text).unwrap();
        file::write_atomic(&file.directory.join(FILE), text.as_bytes(), 0o600)
    }

    fn loaded(file: &EnabledFile) -> Result<std::vec::Vec<(String, bool)>, FileError> {
        let mut services = std::vec::Vec::new();
        file.clone().load(|name, enabled| {
            services.push((name.to_owned(), enabled));
            true
        })?;
        Ok(services)
    }

    #[test]
    fn stored_is_loaded() {
        let directory = directory("enabled");
        let file = EnabledFile::new(&directory);
        assert_eq!(loaded(&file).unwrap(), []);
        for services in [&[("web", true), ("log", false)][..], &[("web", false)], &[]] {
            store(&file, services.iter().copied()).unwrap();
            let expected: std::vec::Vec<_> =
                services.iter().map(|(name, on)| ((*name).to_owned(), *on)).collect();
            assert_eq!(loaded(&file).unwrap(), expected);
        }
        let mode = fs::metadata(directory.join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(!directory.join(NEW_FILE).exists());
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn lines_of_unconfigured_services_stay() {
        let directory = directory("enabled-others");
        let mut file = EnabledFile::new(&directory);
        store(&file, [("web", true), ("log", false)].into_iter()).unwrap();
        file.load(|name, _| name == "hello").unwrap();
        store(&file, [("hello", true)].into_iter()).unwrap();
        let expected = [("hello", true), ("web", true), ("log", false)];
        let expected = expected.map(|(name, enabled)| (name.to_owned(), enabled));
        assert_eq!(loaded(&file).unwrap(), expected);
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn lines_of_unconfigured_services_are_limited() {
        let directory = directory("enabled-many");
        let mut file = EnabledFile::new(&directory);
        let names: std::vec::Vec<String> = (0..=SERVICES).map(|n| format!("s{n}")).collect();
        store(&file, names.iter().map(|name| (name.as_str(), true))).unwrap();
        file.load(|_, _| false).unwrap();
        store(&file, [("hello", true)].into_iter()).unwrap();
        assert_eq!(loaded(&file).unwrap().len(), 1 + SERVICES);
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn longest_content_has_the_length_of_its_limit() {
        let directory = directory("enabled-longest");
        let mut file = EnabledFile::new(&directory);
        let names: std::vec::Vec<String> =
            (0..SERVICES).map(|n| format!("{n:0>width$}", width = SERVICE_NAME_BYTES)).collect();
        let disabled = || names.iter().map(|name| (name.as_str(), false));
        store(&file, disabled()).unwrap();
        file.load(|_, _| false).unwrap();
        let mut text = heapless::String::<TEXT_BYTES>::new();
        file.render(disabled(), &mut text).unwrap();
        assert_eq!(text.len(), TEXT_BYTES);
        store(&file, disabled()).unwrap();
        assert_eq!(fs::read_to_string(directory.join(FILE)).unwrap(), text.as_str());
        text.clear();
        let one_more = disabled().chain([("x", true)]);
        assert_eq!(file.render(one_more, &mut text), Err(RenderError::TooLong));
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn invalid_lines_are_skipped() {
        let directory = directory("enabled-bad");
        let text = b"web enabled\n\nlog\n enabled\nlog on\n\xff disabled\nlog disabled";
        fs::write(directory.join(FILE), text).unwrap();
        let services = loaded(&EnabledFile::new(&directory)).unwrap();
        assert_eq!(services, [("web".to_owned(), true), ("log".to_owned(), false)]);
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn file_over_its_limit_is_rejected() {
        let directory = directory("enabled-long");
        let file = EnabledFile::new(&directory);
        fs::write(directory.join(FILE), vec![b'\n'; MAX_BYTES]).unwrap();
        assert_eq!(loaded(&file).unwrap(), []);
        fs::write(directory.join(FILE), vec![b'\n'; MAX_BYTES + 1]).unwrap();
        assert!(matches!(loaded(&file).unwrap_err().reason, FileReason::TooLarge(MAX_BYTES)));
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn failed_write_leaves_the_old_file() {
        let directory = directory("enabled-fail");
        let file = EnabledFile::new(&directory);
        store(&file, [("web", true)].into_iter()).unwrap();
        // A directory has the temporary name.
        fs::create_dir(directory.join(NEW_FILE)).unwrap();
        assert!(store(&file, [("web", false)].into_iter()).is_err());
        assert_eq!(loaded(&file).unwrap(), [("web".to_owned(), true)]);
        fs::remove_dir_all(directory).unwrap();
        assert!(store(&file, [("web", false)].into_iter()).is_err());
    }
}
