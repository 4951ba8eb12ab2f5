//! Files of a log: the newest `FILE`, the one before it `FILE.1`, and so on.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::io::Errno;

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

    /// Opens the newest file to append to it, and makes its directory if it is missing. A service may own that
    /// directory, so what it may have put there gets no bytes of the server: a link, a FIFO, or a second name
    /// of another file.
    ///
    /// # Errors
    /// Error of the file system; `ELOOP`, `ENXIO` or `EPERM` for such a file.
    pub(super) fn append(&self) -> io::Result<File> {
        let newest = self.newest().ok_or(io::ErrorKind::InvalidInput)?;
        if let Some(directory) = newest.parent() {
            file::create_dir(directory).map_err(|error| match error.reason {
                file::FileReason::Io(error) => error,
                _ => io::ErrorKind::InvalidInput.into(),
            })?;
        }
        check_directories(newest)?;
        // A FIFO without a reader would block the thread of all files.
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32;
        let open =
            OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(flags).open(newest)?;
        let found = open.metadata()?;
        if found.is_file() && found.nlink() == 1 { Ok(open) } else { Err(Errno::PERM.into()) }
    }

    /// Returns true if this open file still has the name of the newest one.
    pub(super) fn is_newest(&self, open: &File) -> bool {
        let named = self.newest().map(fs::symlink_metadata);
        let (Some(Ok(named)), Ok(open)) = (named, open.metadata()) else { return false };
        (named.dev(), named.ino()) == (open.dev(), open.ino())
    }

    /// Opens a file to read it: 0 is the newest.
    ///
    /// # Errors
    /// Error of the file system; `ENOENT` without such a file, `EPERM` for what is none.
    pub(super) fn open(&self, number: usize) -> io::Result<File> {
        let path = self.paths.get(number).ok_or(io::ErrorKind::NotFound)?;
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32;
        let open = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
        if open.metadata()?.is_file() { Ok(open) } else { Err(Errno::PERM.into()) }
    }

    /// Rotates the `count` newest files, or all, and opens an empty newest one. A further attempt, before
    /// [`handle_started`](Self::handle_started), does not rotate again.
    ///
    /// # Errors
    /// Error of the file system.
    pub(super) fn start(&mut self, count: usize) -> io::Result<File> {
        if !self.is_rotated {
            self.is_rotated = true;
            for pair in self.paths.get(..count).unwrap_or(&self.paths).windows(2).rev() {
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

/// Checks that only root and the user of the server can replace a directory on the way to a file. The last
/// one may be of another user, but not a link of theirs.
fn check_directories(file: &Path) -> io::Result<()> {
    let own = rustix::process::geteuid().as_raw();
    for (depth, directory) in file.ancestors().skip(1).enumerate() {
        let found = fs::symlink_metadata(directory)?;
        let is_trusted = found.uid() == 0 || found.uid() == own;
        if !is_trusted && (depth > 0 || found.is_symlink()) {
            return Err(Errno::PERM.into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::{chown, lchown, symlink};

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;
    use crate::sys::tests::TestDirectory;

    #[test]
    fn what_a_service_puts_in_the_place_of_its_file_gets_nothing() {
        let directory = TestDirectory::new("rotated");
        let (path, secret) = (directory.0.join("out"), directory.0.join("secret"));
        let files = RotatedFiles::new(&path, 2);
        fs::write(&secret, "secret").unwrap();
        symlink(&secret, &path).unwrap();
        assert_eq!(files.append().unwrap_err().raw_os_error(), Some(Errno::LOOP.raw_os_error()));
        fs::remove_file(&path).unwrap();
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        assert_eq!(files.append().unwrap_err().raw_os_error(), Some(Errno::NXIO.raw_os_error()));
        fs::remove_file(&path).unwrap();
        fs::hard_link(&secret, &path).unwrap();
        assert_eq!(files.append().unwrap_err().raw_os_error(), Some(Errno::PERM.raw_os_error()));
        fs::remove_file(&path).unwrap();
        files.append().unwrap().write_all(b"output").unwrap();
        assert_eq!(fs::read_to_string(&secret).unwrap(), "secret");
        assert_eq!(fs::read_to_string(&path).unwrap(), "output");
    }

    #[test]
    fn directory_of_another_user_is_only_the_last_one() {
        let directory = TestDirectory::new("rotated-owner");
        let (own, link) = (directory.0.join("own"), directory.0.join("link"));
        fs::create_dir_all(own.join("below")).unwrap();
        symlink(own.join("below"), &link).unwrap();
        chown(&own, Some(12345), None).unwrap();
        lchown(&link, Some(12345), None).unwrap();
        assert!(RotatedFiles::new(&own.join("out"), 1).append().is_ok());
        for refused in [own.join("below/out"), link.join("out")] {
            let error = RotatedFiles::new(&refused, 1).append().unwrap_err();
            assert_eq!(error.raw_os_error(), Some(Errno::PERM.raw_os_error()), "{}", refused.display());
        }
    }

    #[test]
    fn file_that_was_moved_away_is_no_longer_the_newest() {
        let directory = TestDirectory::new("rotated-moved");
        let path = directory.0.join("out");
        let files = RotatedFiles::new(&path, 1);
        let open = files.append().unwrap();
        assert!(files.is_newest(&open));
        fs::rename(&path, directory.0.join("moved")).unwrap();
        assert!(!files.is_newest(&open));
        let _other = files.append().unwrap();
        assert!(!files.is_newest(&open));
    }
}
