//! Files: configuration, keys, and state.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown,
};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, OFlags, access};
use rustix::io::Errno;

use crate::log::Reason;

/// Failed operation on a file.
#[derive(Debug)]
pub struct FileError {
    /// Path of the file.
    pub path: PathBuf,
    /// Reason of the failure.
    pub reason: FileReason,
}

/// Reason of a [`FileError`].
#[derive(Debug)]
pub enum FileReason {
    /// Error of the system.
    Io(io::Error),
    /// Invalid UTF-8 at this offset.
    NotUtf8(usize),
    /// Content over this limit in bytes.
    TooLarge(usize),
    /// A directory, a pipe or a device.
    NotRegular,
    /// White space alone.
    Empty,
}

impl FileError {
    /// Returns true if the file does not exist.
    pub fn is_missing(&self) -> bool {
        self.io_kind() == Some(io::ErrorKind::NotFound)
    }

    /// Returns true if the permission is missing.
    pub fn is_permission(&self) -> bool {
        self.io_kind() == Some(io::ErrorKind::PermissionDenied)
    }

    fn io_kind(&self) -> Option<io::ErrorKind> {
        match &self.reason {
            FileReason::Io(error) => Some(error.kind()),
            _ => None,
        }
    }

    /// Error of the system.
    pub fn io(path: &Path, error: io::Error) -> Self {
        Self { path: path.to_owned(), reason: FileReason::Io(error) }
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.reason)
    }
}

impl fmt::Display for FileReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "{}", Reason::from(error)),
            Self::NotUtf8(offset) => write!(f, "not UTF-8 from byte {offset} on"),
            Self::TooLarge(limit) => write!(f, "larger than {limit} bytes"),
            Self::NotRegular => f.write_str("not a regular file"),
            Self::Empty => f.write_str("the file is empty"),
        }
    }
}

impl std::error::Error for FileError {}

/// Reason why the content of a state file cannot be made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RenderError {
    /// Content over [`STATE_TEXT_BYTES`](super::STATE_TEXT_BYTES).
    TooLong,
}

impl From<fmt::Error> for RenderError {
    fn from(_: fmt::Error) -> Self {
        Self::TooLong
    }
}

/// Path with a suffix to its name.
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = std::ffi::OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// Reads a UTF-8 file of at most `limit` bytes.
pub fn read_text(path: &Path, limit: usize) -> Result<String, FileError> {
    text(path, read(path, limit)?)
}

/// Reads a regular UTF-8 file of at most `limit` bytes.
pub fn read_regular_text(path: &Path, limit: usize) -> Result<String, FileError> {
    text(path, read_regular(path, limit)?)
}

/// Reads the same, but not an empty one. A power cut leaves that of a file that was written in place: as a configuration
/// file that sets nothing it would become the last good one.
pub fn read_content(path: &Path, limit: usize) -> Result<String, FileError> {
    let text = read_regular_text(path, limit)?;
    if text.trim().is_empty() {
        return Err(FileError { path: path.to_owned(), reason: FileReason::Empty });
    }
    Ok(text)
}

/// The text of a file with these bytes, which must be UTF-8.
fn text(path: &Path, bytes: Vec<u8>) -> Result<String, FileError> {
    String::from_utf8(bytes).map_err(|error| FileError {
        path: path.to_owned(),
        reason: FileReason::NotUtf8(error.utf8_error().valid_up_to()),
    })
}

/// Reads a file of at most `limit` bytes.
pub fn read(path: &Path, limit: usize) -> Result<Vec<u8>, FileError> {
    let file = File::open(path).map_err(|error| FileError::io(path, error))?;
    read_up_to(file, path, limit)
}

/// Reads a regular file of at most `limit` bytes. Anything else is an error: a pipe would have its reader wait.
pub fn read_regular(path: &Path, limit: usize) -> Result<Vec<u8>, FileError> {
    // The flag has no effect on a regular file.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let file = file.map_err(|error| FileError::io(path, error))?;
    if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
        return Err(FileError { path: path.to_owned(), reason: FileReason::NotRegular });
    }
    read_up_to(file, path, limit)
}

fn read_up_to(file: File, path: &Path, limit: usize) -> Result<Vec<u8>, FileError> {
    let mut bytes = Vec::new();
    // One byte more than the limit shows that the file exceeds it.
    file.take(limit as u64 + 1).read_to_end(&mut bytes).map_err(|error| FileError::io(path, error))?;
    if bytes.len() > limit {
        return Err(FileError { path: path.to_owned(), reason: FileReason::TooLarge(limit) });
    }
    Ok(bytes)
}

/// Reads at most the first `limit` bytes of a file.
pub fn read_start(path: &Path, limit: usize) -> Result<Vec<u8>, FileError> {
    let file = File::open(path).map_err(|error| FileError::io(path, error))?;
    let mut bytes = Vec::new();
    file.take(limit as u64).read_to_end(&mut bytes).map_err(|error| FileError::io(path, error))?;
    Ok(bytes)
}

/// Calls `visit` with each line of a text file, but those of more than `limit` bytes and those that are not UTF-8.
pub fn visit_lines(path: &Path, limit: usize, visit: &mut dyn FnMut(&str)) -> Result<(), FileError> {
    let failed = |error| FileError::io(path, error);
    let mut reader = BufReader::new(File::open(path).map_err(failed)?);
    let mut line = Vec::new();
    let mut is_cut = false;
    loop {
        line.clear();
        // One byte more for the end of the line.
        if reader.by_ref().take(limit as u64 + 1).read_until(b'\n', &mut line).map_err(failed)? == 0 {
            return Ok(());
        }
        let whole = line.strip_suffix(b"\n");
        let was_cut = core::mem::replace(&mut is_cut, whole.is_none());
        let text = whole.or_else(|| (line.len() <= limit).then_some(&line));
        if !was_cut && let Some(Ok(text)) = text.map(core::str::from_utf8) {
            visit(text);
        }
    }
}

/// Replaces a file atomically: a power cut leaves the old file or the new one. The new file has
/// exactly `mode`, whatever the umask.
pub fn write_atomic(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
    AtomicFile::new(path, mode)?.write(&[bytes])
}

/// Returns true if nothing is at `path`, and nothing but directories is on the way to it. A link that leads nowhere is not
/// absent: its medium may come back.
pub fn is_absent(path: &Path) -> bool {
    let is_missing =
        |path: &Path| fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
    is_missing(path) && path.ancestors().find(|path| !is_missing(path)).is_none_or(Path::is_dir)
}

/// File that is replaced atomically. A write of it allocates nothing unless it fails.
#[derive(Clone, Debug)]
pub struct AtomicFile {
    path: PathBuf,
    /// Temporary name of the new file.
    new: PathBuf,
    directory: PathBuf,
    mode: u32,
    /// User and group, unless they are those of this process.
    owner: Option<(u32, u32)>,
}

impl AtomicFile {
    /// File at `path`, written with exactly `mode`, whatever the umask.
    ///
    /// # Errors
    /// The path has no name.
    pub fn new(path: &Path, mode: u32) -> Result<Self, FileError> {
        let Some(name) = path.file_name() else {
            return Err(FileError::io(path, io::ErrorKind::InvalidInput.into()));
        };
        let mut new_name = std::ffi::OsString::from(".");
        new_name.push(name);
        new_name.push(".new");
        let directory = match path.parent() {
            Some(directory) if !directory.as_os_str().is_empty() => directory,
            _ => Path::new("."),
        };
        Ok(Self {
            path: path.to_owned(),
            new: path.with_file_name(new_name),
            directory: directory.to_owned(),
            mode,
            owner: None,
        })
    }

    /// File at `path`, written with the mode and the owner that it has; with `mode` where it is missing.
    ///
    /// # Errors
    /// The path has no name, or leads to something else than a file.
    pub fn replacing(path: &Path, mode: u32) -> Result<Self, FileError> {
        let mut file = Self::new(path, mode)?;
        match fs::metadata(path) {
            Ok(metadata) if !metadata.is_file() => {
                return Err(FileError { path: path.to_owned(), reason: FileReason::NotRegular });
            }
            Ok(metadata) => {
                file.mode = metadata.mode() & 0o7777;
                file.owner = Some((metadata.uid(), metadata.gid()));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(FileError::io(path, error)),
        }
        Ok(file)
    }

    /// Does all of [`write`](Self::write) but the last step, and so leaves the file as it is.
    ///
    /// # Errors
    /// Error of the system.
    pub fn try_write(&self, parts: &[&[u8]]) -> Result<(), FileError> {
        let written = write_new(&self.new, parts, self.mode, self.owner);
        // If this fails, the next write removes it.
        let _ = fs::remove_file(&self.new);
        written.map_err(|error| FileError::io(&self.path, error))
    }

    /// Replaces the content of the file by these parts: a power cut leaves the old one or the new one.
    ///
    /// # Errors
    /// Error of the system; the old file remains, unless only the sync of the directory failed.
    pub fn write(&self, parts: &[&[u8]]) -> Result<(), FileError> {
        let written = write_new(&self.new, parts, self.mode, self.owner)
            .and_then(|()| fs::rename(&self.new, &self.path));
        written.map_err(|error| {
            // If this fails too, the next write removes the temporary file.
            let _ = fs::remove_file(&self.new);
            FileError::io(&self.path, error)
        })?;
        // A power cut may undo a rename that is not synced.
        let synced = File::open(&self.directory).and_then(|directory| directory.sync_all());
        synced.map_err(|error| FileError::io(&self.directory, error))
    }
}

impl AtomicFile {
    /// Removes the file, if it is there.
    pub fn remove(&self) {
        // A failure has no remedy.
        let _ = fs::remove_file(&self.path);
    }
}

fn write_new(path: &Path, parts: &[&[u8]], mode: u32, owner: Option<(u32, u32)>) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // Private from the start, and never through a link of another user.
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode & 0o600).open(path)?;
    if let Some((user, group)) = owner {
        fchown(&file, Some(user), Some(group))?;
    }
    // After the owner: a change of that takes bits of the mode away.
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    parts.iter().try_for_each(|part| file.write_all(part))?;
    file.sync_all()
}

/// Creates a directory with mode 0700, and its parents. An existing directory keeps its mode.
pub fn create_dir(path: &Path) -> Result<(), FileError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| match error.kind() {
        // Something else is there: that it exists would not help the reader.
        io::ErrorKind::AlreadyExists => FileError::io(path, Errno::NOTDIR.into()),
        _ => FileError::io(path, error),
    })
}

/// Checks that this user can create files in a directory or, where that is missing, create it.
///
/// # Errors
/// Error of the directory, or of the nearest one above it that exists.
pub fn check_dir(path: &Path) -> Result<(), FileError> {
    let is_missing =
        |path: &Path| fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
    let nearest = path.ancestors().find(|path| !is_missing(path)).unwrap_or(path);
    let is_dir = fs::metadata(nearest).map_err(|error| FileError::io(path, error))?.is_dir();
    let usable =
        if is_dir { access(nearest, Access::WRITE_OK | Access::EXEC_OK) } else { Err(Errno::NOTDIR) };
    usable.map_err(|errno| FileError::io(path, errno.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::tests::TestDirectory;

    /// Directory of one test, removed when dropped.
    fn names(directory: &TestDirectory) -> Vec<String> {
        let names = fs::read_dir(&directory.0).unwrap();
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn file_is_replaced_atomically() {
        let directory = TestDirectory::new("replace");
        let path = directory.0.join("key.pem");
        write_atomic(&path, b"old and long", 0o644).unwrap();
        assert_eq!((read_text(&path, 100).unwrap().as_str(), mode(&path)), ("old and long", 0o644));
        write_atomic(&path, b"new", 0o600).unwrap();
        assert_eq!((read_text(&path, 100).unwrap().as_str(), mode(&path)), ("new", 0o600));
        assert_eq!(names(&directory), ["key.pem"]);
    }

    #[test]
    fn directory_can_be_created_below_one_that_exists() {
        let directory = TestDirectory::new("check-dir");
        let file = directory.0.join("file");
        fs::write(&file, "").unwrap();
        std::os::unix::fs::symlink("nowhere", directory.0.join("link")).unwrap();
        for (path, errno) in [
            (directory.0.clone(), None),
            (directory.0.join("a/b"), None),
            (file.clone(), Some(Errno::NOTDIR)),
            (file.join("a"), Some(Errno::NOTDIR)),
            (directory.0.join("link"), Some(Errno::NOENT)),
            (directory.0.join("link/a"), Some(Errno::NOENT)),
        ] {
            let found = check_dir(&path).err().map(|error| (error.path.clone(), error.to_string()));
            let text = |errno: Errno| format!("{}: {}", path.display(), Reason::from(errno));
            assert_eq!(found, errno.map(|errno| (path.clone(), text(errno))), "{}", path.display());
        }
        assert!(!directory.0.join("a").exists());
    }

    #[test]
    fn lines_over_their_limit_are_left_out() {
        let directory = TestDirectory::new("lines");
        let path = directory.0.join("table");
        let lines = |text: &[u8]| {
            fs::write(&path, text).unwrap();
            let mut found = Vec::new();
            visit_lines(&path, 4, &mut |line| found.push(line.to_owned())).unwrap();
            found
        };
        assert_eq!(lines(b"a\n\n1234\n12345\nb\n1234567890123\n\xff\nlast"), ["a", "", "1234", "b", "last"]);
        assert_eq!(lines(b"1234\nlast5"), ["1234"]);
        assert!(lines(b"").is_empty());
        assert!(visit_lines(&directory.0, 4, &mut |_| ()).is_err());
    }

    #[test]
    fn temporary_file_of_a_crash_is_replaced() {
        let directory = TestDirectory::new("left");
        fs::write(directory.0.join(".key.pem.new"), "half").unwrap();
        write_atomic(&directory.0.join("key.pem"), b"whole", 0o600).unwrap();
        assert_eq!(names(&directory), ["key.pem"]);
    }

    #[test]
    fn link_with_the_temporary_name_is_not_followed() {
        let directory = TestDirectory::new("link");
        let other = directory.0.join("other");
        fs::write(&other, "untouched").unwrap();
        std::os::unix::fs::symlink(&other, directory.0.join(".key.pem.new")).unwrap();
        write_atomic(&directory.0.join("key.pem"), b"secret", 0o600).unwrap();
        assert_eq!(read_text(&other, 100).unwrap(), "untouched");
    }

    #[test]
    fn failed_write_reports_the_path_and_leaves_no_file() {
        let directory = TestDirectory::new("fail");
        let path = directory.0.join("occupied");
        create_dir(&path.join("inside")).unwrap();
        let error = write_atomic(&path, b"x", 0o600).unwrap_err();
        assert_eq!(error.path, path);
        assert_eq!(names(&directory), ["occupied"]);
        assert!(write_atomic(&directory.0.join("none/file"), b"x", 0o600).unwrap_err().is_missing());
        assert!(write_atomic(Path::new("/"), b"x", 0o600).is_err());
    }

    #[test]
    fn file_over_its_limit_is_rejected() {
        let directory = TestDirectory::new("limit");
        let path = directory.0.join("file");
        fs::write(&path, "12345").unwrap();
        assert_eq!(read_text(&path, 5).unwrap(), "12345");
        assert_eq!(read_start(&path, 4).unwrap(), b"1234");
        assert_eq!(read_start(&path, 6).unwrap(), b"12345");
        let error = read_text(&path, 4).unwrap_err();
        assert!(matches!(error.reason, FileReason::TooLarge(4)));
        assert_eq!(error.to_string(), format!("{}: larger than 4 bytes", path.display()));
    }

    #[test]
    fn text_is_utf8() {
        let directory = TestDirectory::new("utf8");
        let path = directory.0.join("file");
        fs::write(&path, b"abc\xff").unwrap();
        assert!(matches!(read_text(&path, 9).unwrap_err().reason, FileReason::NotUtf8(3)));
        assert_eq!(read(&path, 9).unwrap(), b"abc\xff");
    }

    #[test]
    fn missing_file_is_reported() {
        let error = read_text(Path::new("/nonexistent/friendlet.toml"), 9).unwrap_err();
        assert!(error.is_missing() && !error.is_permission());
        let expected = "/nonexistent/friendlet.toml: No such file or directory (errno 2)";
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn directory_is_private_to_its_owner() {
        let directory = TestDirectory::new("directory");
        let path = directory.0.join("a/b");
        create_dir(&path).unwrap();
        assert_eq!((mode(&path), mode(&directory.0.join("a"))), (0o700, 0o700));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o750)).unwrap();
        create_dir(&path).unwrap();
        assert_eq!(mode(&path), 0o750);
        fs::write(path.join("file"), "").unwrap();
        let error = create_dir(&path.join("file")).unwrap_err().to_string();
        assert!(error.ends_with("Not a directory (errno 20)"), "{error}");
    }
}
