//! Files of a log: the newest `FILE`, the one before it `FILE.1`, and so on.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::file;

/// Paths of the files, the newest first.
#[derive(Debug)]
pub(super) struct RotatedFiles {
    paths: Vec<PathBuf>,
    /// True if the older files are rotated for a file that is not started.
    is_rotated: bool,
}

impl RotatedFiles {
    pub(super) fn new(newest: &Path, count: usize) -> Self {
        let path = |number| match number {
            0 => newest.to_owned(),
            _ => PathBuf::from(format!("{}.{number}", newest.display())),
        };
        Self { paths: (0..count).map(path).collect(), is_rotated: false }
    }

    pub(super) fn newest(&self) -> Option<&Path> {
        self.paths.first().map(PathBuf::as_path)
    }

    /// Opens the newest file to append to it, and its directory if it is missing.
    ///
    /// # Errors
    /// Error of the file system.
    pub(super) fn append(&self) -> io::Result<File> {
        let newest = self.newest().ok_or(io::ErrorKind::InvalidInput)?;
        if let Some(directory) = newest.parent() {
            file::create_dir(directory).map_err(|error| match error.reason {
                file::FileReason::Io(error) => error,
                _ => io::ErrorKind::InvalidInput.into(),
            })?;
        }
        OpenOptions::new().append(true).create(true).mode(0o600).open(newest)
    }

    /// Rotates the files and opens an empty newest one. A further attempt, before
    /// [`handle_started`](Self::handle_started), does not rotate again.
    ///
    /// # Errors
    /// Error of the file system.
    pub(super) fn start(&mut self) -> io::Result<File> {
        if !self.is_rotated {
            self.is_rotated = true;
            for pair in self.paths.windows(2).rev() {
                if let [newer, older] = pair {
                    // Fails while there are fewer files than the limit.
                    let _ = fs::rename(newer, older);
                }
            }
        }
        let open = self.append()?;
        open.set_len(0)?;
        Ok(open)
    }

    /// Marks the newest file as in use.
    pub(super) fn handle_started(&mut self) {
        self.is_rotated = false;
    }
}
