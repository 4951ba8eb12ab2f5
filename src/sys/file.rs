//! Files: configuration, keys, and state.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown,
};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, CWD, FsWord, OFlags, RenameFlags, access, renameat_with, statfs};
use rustix::io::Errno;

use crate::config::position;
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
    /// Invalid UTF-8, first at this line and column, both from 1.
    NotUtf8 {
        /// Line.
        line: usize,
        /// Column in characters.
        column: usize,
        /// True for a text that begins as UTF-16.
        is_utf16: bool,
    },
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

    /// Returns true for an error of this moment, such as one of too few descriptors: it says nothing of the file.
    pub fn is_passing(&self) -> bool {
        const PASSING: [Errno; 5] = [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::AGAIN, Errno::INTR];
        PASSING.iter().any(|errno| self.errno() == Some(errno.raw_os_error()))
    }

    /// Error number of the system.
    pub fn errno(&self) -> Option<i32> {
        match &self.reason {
            FileReason::Io(error) => error.raw_os_error(),
            _ => None,
        }
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
            Self::NotUtf8 { is_utf16: true, .. } => f.write_str("UTF-16, not UTF-8"),
            Self::NotUtf8 { line, column, .. } => {
                write!(f, "not UTF-8 from line {line}, column {column} on; perhaps Latin-1")
            }
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
    String::from_utf8(bytes).map_err(|error| {
        let right = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        let right = str::from_utf8(right).unwrap_or_default();
        let (line, column) = position(right);
        let is_utf16 = matches!(error.as_bytes(), [0xff, 0xfe, ..] | [0xfe, 0xff, ..]);
        FileError { path: path.to_owned(), reason: FileReason::NotUtf8 { line, column, is_utf16 } }
    })
}

/// Reads a file of at most `limit` bytes, or what a shell has put in its place. A pipe with a name is an error: it would
/// have its reader wait for a writer.
pub fn read(path: &Path, limit: usize) -> Result<Vec<u8>, FileError> {
    let is_pipe = fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo());
    if is_pipe && statfs(path).is_ok_and(|system| system.f_type != PIPES) {
        return Err(FileError { path: path.to_owned(), reason: FileReason::NotRegular });
    }
    let file = File::open(path).map_err(|error| FileError::io(path, error))?;
    read_up_to(file, path, limit)
}

/// File system of the pipes without a name (`PIPEFS_MAGIC` of Linux).
const PIPES: FsWord = 0x5049_5045;

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
/// absent: its medium may come back. Nor is what cannot be looked at: it is damaged.
pub fn is_absent(path: &Path) -> bool {
    is_missing(path) && nearest(path).is_none_or(Path::is_dir)
}

fn is_missing(path: &Path) -> bool {
    fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// The path, or the nearest one above it at which something is.
fn nearest(path: &Path) -> Option<&Path> {
    path.ancestors().find(|path| !is_missing(path))
}

/// Suffixes of what is set aside: a later file replaces an earlier one, and a directory has the other name.
pub const BROKEN: [&str; 2] = [".broken", ".broken.1"];

/// Renames whatever is at `path`. Returns false if it stays.
pub fn set_aside(path: &Path) -> bool {
    !is_missing(path) && BROKEN.iter().any(|suffix| fs::rename(path, with_suffix(path, suffix)).is_ok())
}

/// Place of the old file while a new one has its name.
#[derive(Clone, Copy, Debug)]
pub enum Old {
    /// The temporary name.
    Kept,
    /// There was none.
    None,
    /// It is gone: it was not a file, or the file system cannot exchange two names.
    Gone,
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
    /// Error of the system; the old file remains, unless its file system cannot exchange names and the last flush failed.
    pub fn write(&self, parts: &[&[u8]]) -> Result<(), FileError> {
        self.begin(parts)?;
        self.finish();
        Ok(())
    }

    /// Does the same, and keeps the old file until [`finish`](Self::finish) or [`undo`](Self::undo).
    ///
    /// # Errors
    /// Error of the system; the old file remains, unless its file system cannot exchange names and the last flush failed.
    pub fn begin(&self, parts: &[&[u8]]) -> Result<Old, FileError> {
        let renamed = write_new(&self.new, parts, self.mode, self.owner).and_then(|()| self.rename());
        let old = renamed.map_err(|error| {
            // If this fails too, the next write removes the temporary file.
            let _ = fs::remove_file(&self.new);
            FileError::io(&self.path, error)
        })?;
        // A power cut may undo a rename that is not synced.
        self.sync().inspect_err(|_| self.undo(old))?;
        Ok(old)
    }

    /// Gives the new file its name, and its temporary name to the old one.
    fn rename(&self) -> io::Result<Old> {
        let old = fs::symlink_metadata(&self.path);
        let is_file = old.as_ref().is_ok_and(fs::Metadata::is_file);
        if is_file && renameat_with(CWD, &self.new, CWD, &self.path, RenameFlags::EXCHANGE).is_ok() {
            return Ok(Old::Kept);
        }
        fs::rename(&self.new, &self.path)?;
        let was_missing = old.is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        Ok(if was_missing { Old::None } else { Old::Gone })
    }

    /// Ends a write: the old file is gone.
    pub fn finish(&self) {
        // If this fails, the next write removes it.
        let _ = fs::remove_file(&self.new);
    }

    /// Takes a write back.
    pub fn undo(&self, old: Old) {
        // A failure has no remedy: the caller reports the one before it.
        let _ = match old {
            Old::Kept => fs::rename(&self.new, &self.path),
            Old::None => fs::remove_file(&self.path),
            Old::Gone => Ok(()),
        };
        let _ = self.sync();
    }

    /// Path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the file, or sets aside what cannot be removed. A power cut does not bring it back.
    ///
    /// # Errors
    /// Error of the system; the file remains.
    pub fn remove(&self) -> Result<(), FileError> {
        clear(&self.path).map_err(|error| FileError::io(&self.path, error))?;
        self.sync()
    }

    fn sync(&self) -> Result<(), FileError> {
        let synced = File::open(&self.directory).and_then(|directory| directory.sync_all());
        synced.map_err(|error| FileError::io(&self.directory, error))
    }
}

/// Removes what is at `path`, or sets it aside, such as a directory.
fn clear(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound && !set_aside(path) => Err(error),
        _ => Ok(()),
    }
}

fn write_new(path: &Path, parts: &[&[u8]], mode: u32, owner: Option<(u32, u32)>) -> io::Result<()> {
    clear(path)?;
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

/// Creates a directory with mode 0700, whatever the umask, and its parents. An existing directory keeps its mode.
pub fn create_dir(path: &Path) -> Result<(), FileError> {
    let failed = |error| FileError::io(path, error);
    let missing: Vec<_> = path.ancestors().take_while(|path| is_missing(path)).collect();
    for directory in missing.into_iter().rev().filter(|path| !path.as_os_str().is_empty()) {
        match DirBuilder::new().mode(0o700).create(directory) {
            // Another process was quicker.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => {
                let mode = fs::Permissions::from_mode(0o700);
                made.and_then(|()| fs::set_permissions(directory, mode)).map_err(failed)?;
            }
        }
    }
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        // Something else is there: that it exists would not help the reader.
        Ok(_) => Err(failed(Errno::NOTDIR.into())),
        Err(error) => Err(failed(error)),
    }
}

/// Checks that this user can create files in a directory or, where that is missing, create it.
///
/// # Errors
/// Error of the directory, or of the nearest one above it that exists.
pub fn check_dir(path: &Path) -> Result<(), FileError> {
    let nearest = nearest(path).unwrap_or(path);
    let is_dir = fs::metadata(nearest).map_err(|error| FileError::io(path, error))?.is_dir();
    let usable =
        if is_dir { access(nearest, Access::WRITE_OK | Access::EXEC_OK) } else { Err(Errno::NOTDIR) };
    usable.map_err(|errno| FileError::io(path, errno.into()))
}

#[cfg(test)]
mod tests;
