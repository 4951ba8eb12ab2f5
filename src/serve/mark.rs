//! Mark of an unconfirmed change on the disk: however the server ends meanwhile, a later one notifies administrators.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::ReloadFiles;
use super::later::Later;
use crate::config::{self, NOTICE_BYTES};
use crate::limits::CONFIG_BYTES;
use crate::sys::file::{self, AtomicFile};
use crate::sys::state_file::Digest;
use crate::warning;

/// Notice of a change that was not confirmed.
pub(super) type ChangeNotice = heapless::String<NOTICE_BYTES>;

/// File of the state directory.
const FILE: &str = "unconfirmed";
/// Bytes of its line at most: number of the change, digest of its text, name of the administrator.
const LINE_BYTES: usize = 256;
/// Held by the thread that replaces or removes it: a new change keeps its mark when that of an earlier one is removed.
static CHANGES: Mutex<()> = Mutex::new(());

/// Writes the mark of a change with this text, before the change is in force.
pub(super) fn write(state_dir: &Path, change: u64, text: &str, by: &str) {
    let _changes = CHANGES.lock().unwrap_or_else(PoisonError::into_inner);
    let line = format!("{change} {} {by}\n", Digest::of(text.as_bytes()));
    if let Err(error) = file::write_atomic(&path(state_dir), line.as_bytes(), 0o600) {
        warning!(
            "configuration: should the server end before change {} is confirmed, the next one cannot report that: {}",
            change,
            error
        );
    }
}

/// Removes the mark of this change: the server itself has reported its end, or it is confirmed.
pub(super) fn remove(state_dir: &Path, change: u64) {
    let _changes = CHANGES.lock().unwrap_or_else(PoisonError::into_inner);
    let is_of = |line: String| line.split(' ').next() == Some(&change.to_string());
    if file::read_regular_text(&path(state_dir), LINE_BYTES).is_ok_and(is_of) {
        clear(state_dir);
    }
}

/// Change that an earlier server has left.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Left {
    /// Its number, where it has a mark that is whole.
    pub(super) change: Option<u64>,
    /// The configuration file has its text.
    pub(super) is_confirmed: bool,
    /// Notice of its end, unless it is confirmed.
    pub(super) notice: Option<ChangeNotice>,
    /// The mark is of no more use.
    is_spent: bool,
}

impl Left {
    /// Address of a confirmed change: who confirmed it comes to that one.
    pub(super) fn address(&self, files: &ReloadFiles, state_dir: &Path) -> Option<SocketAddr> {
        let later = self.is_confirmed.then(|| Later::read(files, state_dir).ok()).flatten()?;
        Some(later.config.listen.address)
    }

    /// Removes a mark that is of no more use, once this server has the state directory for itself.
    pub(super) fn clear(&self, state_dir: &Path) {
        if self.is_spent {
            clear(state_dir);
        }
    }
}

/// Reads the mark that an earlier server has left. `is_unconfirmed`: the keeper knows of a change, whether it could be marked
/// or not. Changes no file.
pub(super) fn read(state_dir: &Path, config: &Path, is_unconfirmed: bool) -> Left {
    let path = path(state_dir);
    let line = match file::read_regular_text(&path, LINE_BYTES) {
        Err(error) if error.is_missing() && file::is_absent(&path) => {
            return Left { notice: is_unconfirmed.then(|| notice(None, IS_BACK)), ..Left::default() };
        }
        // One that is damaged says as much.
        line => line.unwrap_or_default(),
    };
    let words = line.trim_end().split_once(' ').and_then(|(change, rest)| {
        let (digest, by) = rest.split_once(' ')?;
        Some((change.parse().ok()?, digest, by))
    });
    let Some((change, digest, by)) = words else {
        return Left { notice: Some(notice(None, IS_BACK)), is_spent: true, ..Left::default() };
    };
    let is_written = |text: String| Digest::of(text.as_bytes()).text() == digest;
    let is_confirmed = file::read_content(config, CONFIG_BYTES).is_ok_and(is_written);
    let is_spent = is_confirmed && !is_unconfirmed;
    let notice = (!is_confirmed).then(|| notice(Some((change, by)), IS_BACK));
    Left { change: Some(change), is_confirmed, notice, is_spent }
}

/// End of a change that was not confirmed, unless the file was read again.
pub(super) const IS_BACK: &str = "the earlier one is back";

/// Notice of a change that was not confirmed: its number and its administrator, where they are known, and how it ended.
pub(super) fn notice(change: Option<(u64, &str)>, end: &str) -> ChangeNotice {
    let rest = format_args!("was not confirmed: {end}");
    match change {
        Some((change, by)) => {
            config::one_line(format_args!("change {change} of the configuration by {by} {rest}"))
        }
        None => config::one_line(format_args!("a change of the configuration {rest}")),
    }
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;
    use crate::sys::tests::TestDirectory;

    const NAMED: &str = "change 7 of the configuration by ana was not confirmed: the earlier one is back";
    const UNNAMED: &str = "a change of the configuration was not confirmed: the earlier one is back";

    /// Content of the mark: whether the change is confirmed, and the notice.
    fn read(directory: &TestDirectory, is_unconfirmed: bool) -> (bool, Option<String>) {
        let left = super::read(&directory.0, &directory.0.join("f.toml"), is_unconfirmed);
        left.clear(&directory.0);
        (left.is_confirmed, left.notice.map(|notice| notice.to_string()))
    }

    #[test]
    fn mark_has_the_notice_of_its_change_until_it_is_removed_or_confirmed() {
        crate::log::set_level(crate::log::Level::Off);
        let directory = TestDirectory::new("mark");
        let named = || Some(NAMED.to_owned());
        fs::write(directory.0.join("f.toml"), "old").unwrap();
        write(&directory.0, 7, "new", "ana");
        remove(&directory.0, 6);
        for is_unconfirmed in [true, false, false] {
            assert_eq!(read(&directory, is_unconfirmed), (false, named()));
        }
        remove(&directory.0, 7);
        assert_eq!(read(&directory, false), (false, None));
        assert_eq!(read(&directory, true), (false, Some(UNNAMED.to_owned())), "it could not be marked");
        write(&directory.0, 7, "new", "ana");
        fs::write(directory.0.join("f.toml"), "new").unwrap();
        for _ in 0..2 {
            assert_eq!(read(&directory, true), (true, None), "its services are not in force yet");
        }
        assert_eq!(read(&directory, false), (true, None));
        assert_eq!(read(&directory, false), (false, None));
    }

    #[test]
    fn damaged_mark_is_one_whose_change_is_not_known() {
        crate::log::set_level(crate::log::Level::Off);
        let directory = TestDirectory::new("damaged-mark");
        let file = path(&directory.0);
        let damages: [fn(&Path); 7] = [
            |file| fs::write(file, "").unwrap(),
            |file| fs::write(file, [0; 40]).unwrap(),
            |file| fs::write(file, [0xa5; 40]).unwrap(),
            |file| fs::write(file, vec![b'x'; LINE_BYTES + 1]).unwrap(),
            |file| fs::create_dir(file).unwrap(),
            |file| mknodat(CWD, file, FileType::Fifo, Mode::RUSR, 0).unwrap(),
            |file| symlink("/nowhere/medium", file).unwrap(),
        ];
        for (number, damage) in damages.iter().enumerate() {
            damage(&file);
            assert_eq!(read(&directory, false), (false, Some(UNNAMED.to_owned())), "{number}");
            assert_eq!(read(&directory, false), (false, None), "{number}");
        }
        write(&directory.0, 7, "new", "ana");
        assert_eq!(read(&directory, false).1.as_deref(), Some(NAMED));
    }
}
