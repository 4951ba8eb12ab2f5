//! Files: the device file, keys, and what is kept across restarts.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// What went wrong with which file.
#[derive(Debug)]
pub struct FileError {
    /// The file.
    pub path: PathBuf,
    /// What was wrong with it.
    pub reason: FileReason,
}

/// What can be wrong with a file.
#[derive(Debug)]
pub enum FileReason {
    /// The system refused.
    Io(io::Error),
    /// Not UTF-8 from this byte on.
    NotUtf8(usize),
    /// Larger than this many bytes.
    TooLarge(usize),
}

impl FileError {
    /// Whether there is no such file.
    pub fn is_missing(&self) -> bool {
        self.io_kind() == Some(io::ErrorKind::NotFound)
    }

    /// Whether the right to use the file is missing.
    pub fn is_permission(&self) -> bool {
        self.io_kind() == Some(io::ErrorKind::PermissionDenied)
    }

    fn io_kind(&self) -> Option<io::ErrorKind> {
        match &self.reason {
            FileReason::Io(error) => Some(error.kind()),
            _ => None,
        }
    }

    fn io(path: &Path, error: io::Error) -> Self {
        Self { path: path.to_owned(), reason: FileReason::Io(error) }
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.path.display())?;
        match &self.reason {
            FileReason::Io(error) => write!(f, "{error}"),
            FileReason::NotUtf8(offset) => write!(f, "no UTF-8 from byte {offset} on"),
            FileReason::TooLarge(limit) => write!(f, "larger than {limit} bytes"),
        }
    }
}

impl std::error::Error for FileError {}

/// The text of a file of at most `limit` bytes.
pub fn read_text(path: &Path, limit: usize) -> Result<String, FileError> {
    let bytes = read(path, limit)?;
    String::from_utf8(bytes).map_err(|error| FileError {
        path: path.to_owned(),
        reason: FileReason::NotUtf8(error.utf8_error().valid_up_to()),
    })
}

/// The bytes of a file of at most `limit` bytes.
pub fn read(path: &Path, limit: usize) -> Result<Vec<u8>, FileError> {
    let file = File::open(path).map_err(|error| FileError::io(path, error))?;
    let mut bytes = Vec::new();
    // One byte more tells a file that is too large from one that just fits.
    file.take(limit as u64 + 1).read_to_end(&mut bytes).map_err(|error| FileError::io(path, error))?;
    if bytes.len() > limit {
        return Err(FileError { path: path.to_owned(), reason: FileReason::TooLarge(limit) });
    }
    Ok(bytes)
}

/// The first `limit` bytes of a file, or all when there are fewer.
pub fn read_start(path: &Path, limit: usize) -> Result<Vec<u8>, FileError> {
    let file = File::open(path).map_err(|error| FileError::io(path, error))?;
    let mut bytes = Vec::new();
    file.take(limit as u64).read_to_end(&mut bytes).map_err(|error| FileError::io(path, error))?;
    Ok(bytes)
}

/// Replaces a file as a whole: after a power cut there is the old one or the new one. `mode` is the
/// new one's, whatever the umask.
pub fn write_atomic(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
    let Some(name) = path.file_name() else {
        return Err(FileError::io(path, io::ErrorKind::InvalidInput.into()));
    };
    let mut new_name = std::ffi::OsString::from(".");
    new_name.push(name);
    new_name.push(".new");
    let new = path.with_file_name(new_name);
    write_new(&new, bytes, mode).and_then(|()| fs::rename(&new, path)).map_err(|error| {
        // What is left of it is of no use, and cannot be helped if it stays.
        let _ = fs::remove_file(&new);
        FileError::io(path, error)
    })?;
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // Without this the rename itself may be lost.
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| FileError::io(folder, error))
}

fn write_new(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // Nobody else may read it from the start, and a link laid in its place is not followed.
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode & 0o600).open(path)?;
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Makes a folder that only its owner may use, and those above it; one that is there already is left
/// as it is.
pub fn create_dir(path: &Path) -> Result<(), FileError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| FileError::io(path, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of this test's own, removed afterwards.
    struct Folder(PathBuf);

    impl Folder {
        fn new(test: &str) -> Self {
            let path = std::env::temp_dir().join(format!("friendlet-file-{test}-{}", std::process::id()));
            create_dir(&path).unwrap();
            Self(path)
        }

        fn names(&self) -> Vec<String> {
            let names = fs::read_dir(&self.0).unwrap();
            names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn file_is_replaced_as_a_whole() {
        let folder = Folder::new("replace");
        let path = folder.0.join("key.pem");
        write_atomic(&path, b"old and long", 0o644).unwrap();
        assert_eq!((read_text(&path, 100).unwrap().as_str(), mode(&path)), ("old and long", 0o644));
        write_atomic(&path, b"new", 0o600).unwrap();
        assert_eq!((read_text(&path, 100).unwrap().as_str(), mode(&path)), ("new", 0o600));
        assert_eq!(folder.names(), ["key.pem"]);
    }

    #[test]
    fn what_a_crash_left_behind_is_no_hindrance() {
        let folder = Folder::new("left");
        fs::write(folder.0.join(".key.pem.new"), "half").unwrap();
        write_atomic(&folder.0.join("key.pem"), b"whole", 0o600).unwrap();
        assert_eq!(folder.names(), ["key.pem"]);
    }

    #[test]
    fn link_in_place_of_the_new_file_is_not_followed() {
        let folder = Folder::new("link");
        let other = folder.0.join("other");
        fs::write(&other, "untouched").unwrap();
        std::os::unix::fs::symlink(&other, folder.0.join(".key.pem.new")).unwrap();
        write_atomic(&folder.0.join("key.pem"), b"secret", 0o600).unwrap();
        assert_eq!(read_text(&other, 100).unwrap(), "untouched");
    }

    #[test]
    fn failed_write_says_where_and_leaves_nothing() {
        let folder = Folder::new("fail");
        let path = folder.0.join("taken");
        create_dir(&path.join("inside")).unwrap();
        let error = write_atomic(&path, b"x", 0o600).unwrap_err();
        assert_eq!(error.path, path);
        assert_eq!(folder.names(), ["taken"]);
        assert!(write_atomic(&folder.0.join("none/file"), b"x", 0o600).unwrap_err().is_missing());
        assert!(write_atomic(Path::new("/"), b"x", 0o600).is_err());
    }

    #[test]
    fn file_may_be_as_large_as_the_limit() {
        let folder = Folder::new("limit");
        let path = folder.0.join("file");
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
        let folder = Folder::new("utf8");
        let path = folder.0.join("file");
        fs::write(&path, b"abc\xff").unwrap();
        assert!(matches!(read_text(&path, 9).unwrap_err().reason, FileReason::NotUtf8(3)));
        assert_eq!(read(&path, 9).unwrap(), b"abc\xff");
    }

    #[test]
    fn missing_file_is_told() {
        let error = read_text(Path::new("/nonexistent/friendlet.toml"), 9).unwrap_err();
        assert!(error.is_missing() && !error.is_permission());
    }

    #[test]
    fn folder_is_its_owners_alone() {
        let folder = Folder::new("folder");
        let path = folder.0.join("a/b");
        create_dir(&path).unwrap();
        assert_eq!((mode(&path), mode(&folder.0.join("a"))), (0o700, 0o700));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o750)).unwrap();
        create_dir(&path).unwrap();
        assert_eq!(mode(&path), 0o750);
        fs::write(path.join("file"), "").unwrap();
        assert!(create_dir(&path.join("file")).is_err());
    }
}
