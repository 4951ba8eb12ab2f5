//! Mark of an unconfirmed change on the disk: however the server ends meanwhile, a later one tells administrators.

use std::path::{Path, PathBuf};

use crate::config::{self, ConfigError};
use crate::limits::CONFIG_BYTES;
use crate::sys::file::{self, AtomicFile};
use crate::sys::state_file::Digest;
use crate::warning;

/// File of the state directory.
const FILE: &str = "unconfirmed";
/// Bytes of its line at most: number of the change, digest of its text, name of the administrator.
const LINE_BYTES: usize = 256;

/// Writes the mark of a change with this text, before the change is in force.
pub(super) fn write(state_dir: &Path, change: u64, text: &str, by: &str) {
    let line = format!("{change} {} {by}\n", Digest::of(text.as_bytes()));
    if let Err(error) = file::write_atomic(&path(state_dir), line.as_bytes(), 0o600) {
        warning!(
            "configuration: should the server end before change {} is confirmed, the next one cannot tell: {}",
            change,
            error
        );
    }
}

/// Removes the mark of this change: the server itself has told of its end, or it is confirmed.
pub(super) fn remove(state_dir: &Path, change: u64) {
    let is_of = |line: String| line.split(' ').next() == Some(&change.to_string());
    if file::read_regular_text(&path(state_dir), LINE_BYTES).is_ok_and(is_of) {
        clear(state_dir);
    }
}

/// Removes the mark that an earlier server has left. Returns the notice about its change, unless the configuration file
/// has the text of that, which is then confirmed. `is_unconfirmed`: the keeper knows of one, whether it could be marked or
/// not.
pub(super) fn take(state_dir: &Path, config: &Path, is_unconfirmed: bool) -> Option<ConfigError> {
    let line = match file::read_regular_text(&path(state_dir), LINE_BYTES) {
        Err(error) if error.is_missing() => return is_unconfirmed.then(|| notice(None)),
        // One that is damaged tells as much.
        line => line.unwrap_or_default(),
    };
    clear(state_dir);
    let mut words = line.trim_end().splitn(3, ' ').skip(1);
    let (digest, by) = (words.next().unwrap_or_default(), words.next());
    let is_written = |text: String| Digest::of(text.as_bytes()).text() == digest;
    let is_confirmed = file::read_content(config, CONFIG_BYTES).is_ok_and(is_written);
    (!is_confirmed).then(|| notice(by))
}

/// Notice of a change that ended with an earlier server.
fn notice(by: Option<&str>) -> ConfigError {
    config::one_line(format_args!(
        "a change of the configuration{}{} was not confirmed before the server ended: the earlier one is back",
        if by.is_some() { " by " } else { "" },
        by.unwrap_or_default()
    ))
}

fn clear(state_dir: &Path) {
    let removed = AtomicFile::new(&path(state_dir), 0o600).and_then(|file| file.remove());
    if let Err(error) = removed {
        warning!("configuration: {}", error);
    }
}

fn path(state_dir: &Path) -> PathBuf {
    state_dir.join(FILE)
}
