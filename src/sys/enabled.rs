//! Services enabled or disabled by install and uninstall, stored in the state directory.
//!
//! The file has one line, `name enabled` or `name disabled`, for each service that differs from the
//! configuration file. Lines of services that are not configured stay, because the next start may
//! use another configuration file. So do lines that this version does not know. [`state_file`] has the first
//! line and the copy.

use std::fmt::{self, Write};
use std::path::Path;

use heapless::Vec;

use super::UNKNOWN_LINES_BYTES;
use super::file::{FileError, RenderError};
use super::state_file::{self, HEADER_BYTES, Loaded, Notices, StateFile, UnknownLines};
use crate::limits::{SERVICE_NAME_BYTES, SERVICES};

/// Name of the file.
pub const FILE: &str = "enabled";
/// Largest content written: the services of the configuration file, as many others, and unknown lines.
pub(super) const TEXT_BYTES: usize =
    2 * SERVICES * (SERVICE_NAME_BYTES + " disabled\n".len()) + UNKNOWN_LINES_BYTES;
/// Twice that, so that the file of a board with larger limits is still read.
pub(super) const MAX_BYTES: usize = HEADER_BYTES + 2 * TEXT_BYTES;

/// File `enabled` of a state directory.
#[derive(Clone, Debug)]
pub struct EnabledFile {
    file: StateFile,
    /// Lines of services that are not configured.
    others: Vec<(heapless::String<SERVICE_NAME_BYTES>, bool), SERVICES>,
    unknown: UnknownLines,
}

impl EnabledFile {
    /// File of this directory, which need not exist.
    pub fn new(directory: &Path) -> Self {
        let file = StateFile::new(&directory.join(FILE), 0o600, MAX_BYTES);
        Self { file, others: Vec::new(), unknown: UnknownLines::default() }
    }

    /// Calls `set` with the name and state of each stored service; it returns false if the service is
    /// not configured. At most `limits::SERVICES` of those are kept. Of a damaged file without a copy, the lines
    /// that can be read have their effect.
    ///
    /// # Errors
    /// An error that says nothing of the file.
    pub fn load(
        &mut self,
        mut set: impl FnMut(&str, bool) -> bool,
        notices: &mut Notices,
    ) -> Result<(), FileError> {
        let is_record = |line: &[u8]| line.is_empty() || parse(line).is_some();
        let parsed = self.file.load(&|bytes| state_file::check(&bytes, &is_record), notices)?;
        let (text, is_whole) = match parsed {
            Loaded::Missing => return Ok(()),
            Loaded::Whole(text) => (text, true),
            Loaded::Lost => {
                let text = self.file.versions()?.into_iter().find_map(Result::ok).unwrap_or_default();
                notices.push(format!(
                    "{FILE}: services without a line in it start as the configuration file says"
                ));
                (text, false)
            }
        };
        let mut good = std::vec::Vec::new();
        let unknown = is_whole.then_some(&mut self.unknown);
        state_file::visit_lines(&text, FILE, unknown, &mut |line| {
            let Some((name, enabled)) = parse(line) else { return false };
            good.extend_from_slice(line);
            good.push(b'\n');
            if !set(name, enabled) {
                // Dropped on purpose if the name is longer than any service's, or the list full.
                let _ = name.try_into().map(|name| self.others.push((name, enabled)));
            }
            true
        });
        if !is_whole {
            self.file.repair(&state_file::with_header(&good), true, notices);
        }
        Ok(())
    }

    /// Keeps the settings of services that a later configuration file does not have.
    pub fn carry<'a>(&mut self, removed: impl Iterator<Item = (&'a str, bool)>) {
        for (name, enabled) in removed {
            self.others.retain(|(other, _)| other != name);
            // Dropped on purpose if the list is full.
            let _ = name.try_into().map(|name| self.others.push((name, enabled)));
        }
    }

    /// Takes the setting of a service that an earlier configuration file did not have.
    pub fn take(&mut self, name: &str) -> Option<bool> {
        let index = self.others.iter().position(|(other, _)| other == name)?;
        Some(self.others.swap_remove(index).1)
    }

    /// Writes the file at the start, without lines that say what the configuration file says by now: a later change
    /// of that file counts.
    pub fn rewrite<'a>(&self, services: impl Iterator<Item = (&'a str, bool)>, notices: &mut Notices) {
        let mut text = String::new();
        // Writing to it never fails.
        let _ = self.render(services, &mut text);
        self.file.repair(&state_file::with_header(text.as_bytes()), false, notices);
    }

    /// Adds the content of the file to `text`.
    ///
    /// # Errors
    /// `text` has no room for it.
    pub fn render<'a>(
        &self,
        mut services: impl Iterator<Item = (&'a str, bool)>,
        text: &mut dyn Write,
    ) -> Result<(), RenderError> {
        let mut add = |name: &str, enabled: bool| -> fmt::Result {
            text.write_str(name)?;
            text.write_str(if enabled { " enabled\n" } else { " disabled\n" })
        };
        services.try_for_each(|(name, enabled)| add(name, enabled))?;
        self.others.iter().try_for_each(|(name, enabled)| add(name, *enabled))?;
        Ok(text.write_str(self.unknown.as_str())?)
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

    use super::*;
    use crate::sys::tests::TestDirectory;

    /// Writes the file as the server does.
    fn store<'a>(file: &EnabledFile, services: impl Iterator<Item = (&'a str, bool)>) {
        let mut text = String::new();
        file.render(services, &mut text).unwrap();
        file.file.replace(&state_file::with_header(text.as_bytes()), false).unwrap();
    }

    fn loaded_with(file: &EnabledFile) -> (std::vec::Vec<(String, bool)>, Notices) {
        crate::log::set_level(crate::log::Level::Off);
        let (mut services, mut notices) = (std::vec::Vec::new(), Notices::new());
        let set = |name: &str, enabled| {
            services.push((name.to_owned(), enabled));
            true
        };
        file.clone().load(set, &mut notices).unwrap();
        (services, notices)
    }

    /// Services of a whole file.
    #[track_caller]
    fn loaded(file: &EnabledFile) -> std::vec::Vec<(String, bool)> {
        let (services, notices) = loaded_with(file);
        assert_eq!(notices, std::vec::Vec::<String>::new());
        services
    }

    fn owned(services: &[(&str, bool)]) -> std::vec::Vec<(String, bool)> {
        services.iter().map(|(name, enabled)| ((*name).to_owned(), *enabled)).collect()
    }

    #[test]
    fn stored_is_loaded() {
        let directory = TestDirectory::new("enabled");
        let file = EnabledFile::new(&directory.0);
        assert_eq!(loaded(&file), []);
        for services in [&[("web", true), ("log", false)][..], &[("web", false)], &[]] {
            store(&file, services.iter().copied());
            assert_eq!(loaded(&file), owned(services));
        }
        let mode = fs::metadata(directory.0.join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn lines_of_unconfigured_services_and_of_later_versions_stay() {
        let directory = TestDirectory::new("enabled-others");
        let mut file = EnabledFile::new(&directory.0);
        let text = state_file::with_header(b"web enabled\nlog disabled\nweb masked until noon\n");
        fs::write(directory.0.join(FILE), text).unwrap();
        file.load(|name, _| name == "hello", &mut Notices::new()).unwrap();
        store(&file, [("hello", true)].into_iter());
        assert_eq!(loaded(&file), owned(&[("hello", true), ("web", true), ("log", false)]));
        let text = fs::read_to_string(directory.0.join(FILE)).unwrap();
        assert!(text.ends_with("\nweb masked until noon\n"), "{text}");
    }

    #[test]
    fn lines_that_the_configuration_file_says_by_now_are_left_out() {
        let directory = TestDirectory::new("enabled-stale");
        let mut file = EnabledFile::new(&directory.0);
        store(&file, [("web", true), ("log", false), ("other", true)].into_iter());
        file.load(|name, _| name != "other", &mut Notices::new()).unwrap();
        file.rewrite([("log", false)].into_iter(), &mut Notices::new());
        assert_eq!(loaded(&file), owned(&[("log", false), ("other", true)]));
    }

    #[test]
    fn lines_of_unconfigured_services_are_limited() {
        let directory = TestDirectory::new("enabled-many");
        let mut file = EnabledFile::new(&directory.0);
        let names: std::vec::Vec<String> = (0..=SERVICES).map(|n| format!("s{n}")).collect();
        store(&file, names.iter().map(|name| (name.as_str(), true)));
        file.load(|_, _| false, &mut Notices::new()).unwrap();
        store(&file, [("hello", true)].into_iter());
        assert_eq!(loaded(&file).len(), 1 + SERVICES);
    }

    #[test]
    fn longest_content_has_the_length_of_its_limit() {
        let directory = TestDirectory::new("enabled-longest");
        let mut file = EnabledFile::new(&directory.0);
        let names: std::vec::Vec<String> =
            (0..SERVICES).map(|n| format!("{n:0>width$}", width = SERVICE_NAME_BYTES)).collect();
        let disabled = || names.iter().map(|name| (name.as_str(), false));
        store(&file, disabled());
        file.load(|_, _| false, &mut Notices::new()).unwrap();
        assert!(file.unknown.push(&[b'x'; UNKNOWN_LINES_BYTES - 1]));
        let mut text = heapless::String::<TEXT_BYTES>::new();
        file.render(disabled(), &mut text).unwrap();
        assert_eq!(text.len(), TEXT_BYTES);
        text.clear();
        let one_more = disabled().chain([("x", true)]);
        assert_eq!(file.render(one_more, &mut text), Err(RenderError::TooLong));
    }

    #[test]
    fn file_of_the_first_version_is_taken_over() {
        let directory = TestDirectory::new("enabled-first");
        let file = EnabledFile::new(&directory.0);
        fs::write(directory.0.join(FILE), "web enabled\nlog disabled\n").unwrap();
        assert_eq!(loaded(&file), owned(&[("web", true), ("log", false)]));
        // From then on a cut is seen.
        let text = fs::read(directory.0.join(FILE)).unwrap();
        assert_eq!(text, state_file::with_header(b"web enabled\nlog disabled\n"));
        fs::write(directory.0.join(FILE), &text[..text.len() - "log disabled\n".len()]).unwrap();
        assert_eq!(loaded_with(&file).0, owned(&[("web", true), ("log", false)]));
    }

    #[test]
    fn readable_lines_of_a_damaged_file_have_their_effect() {
        let directory = TestDirectory::new("enabled-bad");
        let file = EnabledFile::new(&directory.0);
        let text = b"web enabled\n\nlog\n enabled\nlog on\n\xff disabled\nlog disabled";
        fs::write(directory.0.join(FILE), text).unwrap();
        let (services, notices) = loaded_with(&file);
        assert_eq!(services, owned(&[("web", true), ("log", false)]));
        assert!(notices.len() == 2 && notices[1].starts_with("enabled: services without"), "{notices:?}");
        assert_eq!(loaded(&file), owned(&[("web", true), ("log", false)]));
        assert_eq!(fs::read(directory.0.join("enabled.broken")).unwrap(), text);
    }

    #[test]
    fn file_over_its_limit_is_damaged() {
        let directory = TestDirectory::new("enabled-long");
        let file = EnabledFile::new(&directory.0);
        let lines = (MAX_BYTES - HEADER_BYTES) / "web enabled\n".len();
        fs::write(directory.0.join(FILE), "web enabled\n".repeat(lines)).unwrap();
        assert_eq!(loaded(&file).len(), lines);
        fs::remove_file(directory.0.join("enabled.copy")).unwrap();
        fs::write(directory.0.join(FILE), vec![b'\n'; MAX_BYTES + 1]).unwrap();
        let (services, notices) = loaded_with(&file);
        assert_eq!(services, []);
        assert!(notices[0].contains(&format!("larger than {MAX_BYTES} bytes")), "{notices:?}");
    }
}
