//! Mark of an unconfirmed change on the disk: however the server ends meanwhile, a later one notifies administrators.

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
            "configuration: should the server end before change {} is confirmed, the next one cannot report that: {}",
            change,
            error
        );
    }
}

/// Removes the mark of this change: the server itself has reported its end, or it is confirmed.
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
        // One that is damaged says as much.
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;
    use crate::sys::tests::TestDirectory;

    const NAMED: &str = "a change of the configuration by ana was not confirmed before the server ended: the earlier one is back";

    fn taken(directory: &TestDirectory, is_unconfirmed: bool) -> Option<String> {
        take(&directory.0, &directory.0.join("f.toml"), is_unconfirmed).map(|notice| notice.to_string())
    }

    #[test]
    fn mark_is_taken_once_unless_its_change_was_reported_or_confirmed() {
        crate::log::set_level(crate::log::Level::Off);
        let directory = TestDirectory::new("mark");
        fs::write(directory.0.join("f.toml"), "old").unwrap();
        write(&directory.0, 7, "new", "ana");
        remove(&directory.0, 6);
        assert_eq!(taken(&directory, true).as_deref(), Some(NAMED));
        assert_eq!(taken(&directory, false), None);
        write(&directory.0, 7, "new", "ana");
        remove(&directory.0, 7);
        assert_eq!(taken(&directory, false), None, "its end was reported");
        write(&directory.0, 7, "new", "ana");
        fs::write(directory.0.join("f.toml"), "new").unwrap();
        assert_eq!(taken(&directory, true), None, "its file was written");
        // It could not be marked.
        assert_eq!(taken(&directory, true), Some(NAMED.replace(" by ana", "")));
    }

    #[test]
    fn damaged_mark_is_one_whose_administrator_is_not_known() {
        crate::log::set_level(crate::log::Level::Off);
        let directory = TestDirectory::new("damaged-mark");
        let file = path(&directory.0);
        let damages: [fn(&Path); 6] = [
            |file| fs::write(file, "").unwrap(),
            |file| fs::write(file, [0; 40]).unwrap(),
            |file| fs::write(file, [0xa5; 40]).unwrap(),
            |file| fs::write(file, vec![b'x'; LINE_BYTES + 1]).unwrap(),
            |file| fs::create_dir(file).unwrap(),
            |file| mknodat(CWD, file, FileType::Fifo, Mode::RUSR, 0).unwrap(),
        ];
        for (number, damage) in damages.iter().enumerate() {
            damage(&file);
            assert_eq!(taken(&directory, false), Some(NAMED.replace(" by ana", "")), "{number}");
            assert_eq!(taken(&directory, false), None, "{number}");
        }
        symlink("/nonexistent/medium", &file).unwrap();
        assert_eq!(taken(&directory, false), None);
        write(&directory.0, 1, "new", "ana");
        assert_eq!(taken(&directory, false).as_deref(), Some(NAMED));
    }
}
