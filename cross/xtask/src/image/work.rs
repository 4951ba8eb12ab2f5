//! The working directory of an image, and the files that go into it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::board::Board;
use crate::run;

/// Time of everything in an image without `SOURCE_DATE_EPOCH`, [`TIME_FILE`] and git: 2026-01-01.
const TIME: u64 = 1_767_225_600;
/// File with the time of the sources, where they are those of a release.
pub(crate) const TIME_FILE: &str = ".source-date-epoch";

/// The working directory of an image, and the values that make it the same each time.
pub(super) struct Work {
    pub(super) directory: PathBuf,
    /// Seconds since 1970 of everything in the image.
    pub(super) time: u64,
    /// Names the disk and its file systems; another for each board.
    pub(super) number: u32,
}

impl Work {
    pub(super) fn new(board: &Board) -> Result<Self, String> {
        let directory = board.directory();
        run::create_directory(&directory)?;
        // FNV-1a of the name.
        let number = board
            .name
            .bytes()
            .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        Ok(Self { directory, time: time()?, number })
    }

    /// A program that takes the time from us, and what it needs from no configuration file.
    pub(super) fn tool(&self, program: &str) -> Command {
        let mut command = run::at_root(program);
        command
            .env("SOURCE_DATE_EPOCH", self.time.to_string())
            .env("E2FSPROGS_FAKE_TIME", self.time.to_string())
            .env("MTOOLSRC", "/dev/null")
            .env("TZ", "UTC")
            .env("LC_ALL", "C");
        command
    }
}

/// The time of everything in the image: `SOURCE_DATE_EPOCH`, that of the release, or that of the last commit.
pub(crate) fn time() -> Result<u64, String> {
    let file = fs::read_to_string(run::root().join(TIME_FILE)).ok();
    if let Some(text) = std::env::var("SOURCE_DATE_EPOCH").ok().or(file) {
        let time = text.trim().parse();
        return time.map_err(|_| format!("SOURCE_DATE_EPOCH: '{}' is not a number of seconds", text.trim()));
    }
    let mut git = run::at_root("git");
    let output = git.args(["log", "-1", "--format=%ct"]).output().ok();
    let text = output.and_then(|output| String::from_utf8(output.stdout).ok()).unwrap_or_default();
    Ok(text.trim().parse().unwrap_or(TIME))
}

/// Every file under `directory` and its path from there, in the order of the paths.
pub(super) fn tree(directory: &Path) -> Result<Vec<(PathBuf, String)>, String> {
    let mut found = Vec::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(next) = directories.pop() {
        let failed = |error| format!("{}: {error}", next.display());
        for entry in fs::read_dir(&next).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.is_dir() {
                directories.push(path);
            } else {
                let name = path.strip_prefix(directory).unwrap_or(&path).to_string_lossy().into_owned();
                found.push((path, name));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// An empty directory.
pub(crate) fn clean(directory: &Path) -> Result<(), String> {
    if directory.exists() {
        fs::remove_dir_all(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    }
    run::create_directory(directory)
}
