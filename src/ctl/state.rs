//! Files of the user's state directory: lines `KEY VALUE`, kept between runs.
//!
//! Only the user may read the directory (0700) and its files (0600). A file is replaced by a rename, so
//! that a killed command leaves the old one. A damaged line is an error: what it was about is not known.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::failure::{FAILED, Failure, IO};
use crate::log::{Reason, is_harmful};

/// Fingerprints of public keys by `HOST:PORT`; of certificates, in lines of earlier versions.
pub(super) const KNOWN_SERVERS: &str = "known_servers";
/// Session ids by address.
pub(super) const SESSIONS: &str = "ctl_sessions";

/// Directory of the user, created by the first write.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct StateDir(PathBuf);

impl StateDir {
    #[cfg(test)]
    pub(super) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// `$XDG_STATE_HOME/friendlet`, else `~/.local/state/friendlet` (XDG Base Directory, 0.8).
    pub(super) fn of_user() -> Result<Self, Failure> {
        Self::find("XDG_STATE_HOME", ".local/state")
    }

    /// `$XDG_CONFIG_HOME/friendlet`, else `~/.config/friendlet`: what the user writes.
    pub(super) fn of_configuration() -> Result<Self, Failure> {
        Self::find("XDG_CONFIG_HOME", ".config")
    }

    fn find(variable: &str, below_home: &str) -> Result<Self, Failure> {
        let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        absolute(variable)
            .or_else(|| absolute("HOME").map(|home| home.join(below_home)))
            .map(|directory| Self(directory.join("friendlet")))
            .ok_or_else(|| {
                let text = format!(
                    "cannot find the directory of this user: neither {variable} nor HOME is an absolute path; set one"
                );
                Failure::new(FAILED, text)
            })
    }

    pub(super) fn path_of(&self, file: &str) -> PathBuf {
        self.0.join(file)
    }

    /// The value of a key; `None` without the key or the file.
    pub(super) fn get(&self, file: &str, key: &str) -> Result<Option<String>, Failure> {
        Ok(self.lines(file)?.into_iter().find(|(name, _)| name == key).map(|(_, value)| value))
    }

    /// Every key with its value; none without the file.
    pub(super) fn lines(&self, file: &str) -> Result<Vec<(String, String)>, Failure> {
        let path = self.path_of(file);
        read(&path).map_err(|error| failure("read", &path, &error))
    }

    /// Sets the value of a key, or removes the key.
    pub(super) fn set(&self, file: &str, key: &str, value: Option<&str>) -> Result<(), Failure> {
        let path = self.path_of(file);
        let mut lines = self.lines(file)?;
        lines.retain(|(name, _)| name != key);
        if let Some(value) = value {
            lines.push((key.to_owned(), value.to_owned()));
        }
        let mut text = String::new();
        for (key, value) in &lines {
            text += &format!("{key} {value}\n");
        }
        self.replace(&path, &text).map_err(|error| failure("write", &path, &error))
    }

    /// Writes a file for an editor.
    pub(super) fn write_draft(&self, path: &Path, text: &str) -> Result<(), Failure> {
        self.replace(path, text).map_err(|error| failure("write", path, &error))
    }

    fn replace(&self, path: &Path, text: &str) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.0)?;
        let draft = path.with_extension(format!("new-{}", std::process::id()));
        let written = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&draft)
            .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
            .and_then(|()| fs::rename(&draft, path));
        if written.is_err() {
            // There may be no draft to remove; the first error is reported.
            let _ = fs::remove_file(&draft);
        }
        written
    }
}

fn read(path: &Path) -> io::Result<Vec<(String, String)>> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut pairs = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        let (key, value) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        if line.is_empty() {
            continue;
        }
        if (value.is_empty() && !key.starts_with('#')) || key.contains(is_harmful) {
            let text =
                format!("line {} is damaged: it is not a name with a value; correct or remove it", index + 1);
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        pairs.push((key.to_owned(), value.trim().to_owned()));
    }
    Ok(pairs)
}

fn failure(verb: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::new(IO, format!("cannot {verb} {}: {}", path.display(), Reason::from(error)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::tests::TestDirectory;
    use super::*;

    #[test]
    fn value_is_kept_replaced_and_removed() {
        let directory = TestDirectory::new();
        let state = StateDir::new(directory.path().join("a/b"));
        assert_eq!(state.get(SESSIONS, "wss://a:1"), Ok(None));
        state.set(SESSIONS, "wss://a:1", Some("one")).unwrap();
        state.set(SESSIONS, "wss://b:1", Some("two")).unwrap();
        state.set(SESSIONS, "wss://a:1", Some("three")).unwrap();
        assert_eq!(state.get(SESSIONS, "wss://a:1"), Ok(Some("three".to_owned())));
        assert_eq!(state.get(SESSIONS, "wss://b:1"), Ok(Some("two".to_owned())));
        state.set(SESSIONS, "wss://a:1", None).unwrap();
        assert_eq!(state.get(SESSIONS, "wss://a:1"), Ok(None));
        assert_eq!(fs::read_to_string(state.path_of(SESSIONS)).unwrap(), "wss://b:1 two\n");
        assert_eq!(fs::read_dir(directory.path().join("a/b")).unwrap().count(), 1);
    }

    #[test]
    fn only_the_user_may_read() {
        let directory = TestDirectory::new();
        let state = StateDir::new(directory.path().join("state"));
        state.set(SESSIONS, "k", Some("v")).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&state.path_of(SESSIONS)), 0o600);
        assert_eq!(mode(&directory.path().join("state")), 0o700);
    }

    #[test]
    fn damaged_line_is_named_and_stays() {
        let directory = TestDirectory::new();
        let state = StateDir::new(directory.path().to_owned());
        let path = state.path_of(SESSIONS);
        for damaged in ["nonsense", "\0\0\0", "a:1\0 v", "wss://b:1", "a\u{202E}b v"] {
            let text = format!("wss://a:1 one\n{damaged}\n");
            fs::write(&path, &text).unwrap();
            for failure in [
                state.get(SESSIONS, "wss://a:1").unwrap_err(),
                state.set(SESSIONS, "wss://a:1", Some("two")).unwrap_err(),
            ] {
                let part = format!("{}: line 2 is damaged", path.display());
                assert!(failure.code == IO && failure.text.contains(&part), "{damaged}: {}", failure.text);
            }
            assert_eq!(fs::read_to_string(&path).unwrap(), text, "nothing is lost");
        }
        fs::write(&path, "# a comment\n#\n\n  wss://a:1\t one \r\n").unwrap();
        assert_eq!(state.get(SESSIONS, "wss://a:1"), Ok(Some("one".to_owned())));
        state.set(SESSIONS, "wss://b:1", Some("two")).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "# a comment\n# \nwss://a:1 one\nwss://b:1 two\n");
    }

    #[test]
    fn failure_names_the_file() {
        let directory = TestDirectory::new();
        fs::write(directory.path().join("file"), "").unwrap();
        let state = StateDir::new(directory.path().join("file"));
        let failure = state.set(SESSIONS, "k", Some("v")).unwrap_err();
        assert_eq!(failure.code, IO);
        assert!(failure.text.contains("file/ctl_sessions"), "{}", failure.text);
    }
}
