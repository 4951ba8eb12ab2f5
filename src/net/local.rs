//! File of the local socket: mode, stale files, removal.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, fchmod};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with,
};

/// Connections in the accept queue of the kernel, as many as std allows a TCP listener.
const BACKLOG: i32 = 128;

/// File of a listening socket, removed when this value is dropped.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// Device and inode: another server may have replaced the file.
    id: Option<(u64, u64)>,
}

fn id(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.id.is_some() && id(&self.path) == self.id {
            // A file that stays is replaced by the next server.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Listens at `path`, for root and the user of this process alone. A socket file without a server is
/// replaced.
///
/// # Errors
/// `AddrInUse`: a server listens there. `AlreadyExists`: it is another kind of file. Other errors of the system.
pub(super) fn open(path: &Path) -> io::Result<(OwnedFd, SocketFile)> {
    let address = SocketAddrUnix::new(path)?;
    if is_stale(path, &address)? {
        fs::remove_file(path)?;
    }
    let socket = unix_socket()?;
    // Linux gives the file the mode of the socket, so that at no moment other users may connect.
    fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    bind(&socket, &address)?;
    let file = SocketFile { path: path.to_owned(), id: id(path) };
    listen(&socket, BACKLOG)?;
    Ok((socket, file))
}

/// Checks that the path may be that of a socket, and that no other kind of file is there.
///
/// # Errors
/// Those of [`open`] that need neither a connection nor a file.
pub(super) fn check(path: &Path) -> io::Result<()> {
    SocketAddrUnix::new(path)?;
    is_socket(path).map(drop)
}

/// Returns whether there is a socket.
///
/// # Errors
/// `AlreadyExists`: it is another kind of file.
fn is_socket(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(file) if !file.file_type().is_socket() => Err(Errno::EXIST.into()),
        file => Ok(file.is_ok()),
    }
}

/// Returns true for a socket that refuses connections: its server has ended without removing it.
fn is_stale(path: &Path, address: &SocketAddrUnix) -> io::Result<bool> {
    Ok(is_socket(path)? && connect(unix_socket()?, address) == Err(Errno::CONNREFUSED))
}

fn unix_socket() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?)
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    fn path(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("friendlet-{name}-{}", std::process::id()))
    }

    #[test]
    fn file_is_for_its_user_alone_and_goes_with_the_listener() {
        let path = path("local-mode");
        let (_socket, file) = open(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        UnixStream::connect(&path).unwrap();
        drop(file);
        assert!(!path.exists());
    }

    #[test]
    fn stale_socket_is_replaced_and_a_living_one_is_not() {
        let path = path("local-stale");
        let stale = UnixListener::bind(&path).unwrap();
        // A child of another test may still hold a copy of it.
        rustix::net::shutdown(&stale, rustix::net::Shutdown::Both).unwrap();
        drop(stale);
        assert!(path.exists(), "std leaves the file");
        let (socket, file) = open(&path).unwrap();
        assert_eq!(open(&path).unwrap_err().kind(), ErrorKind::AddrInUse);
        UnixStream::connect(&path).unwrap();
        drop((socket, file));
    }

    #[test]
    fn file_of_another_server_is_left_alone() {
        let path = path("local-replaced");
        let first = open(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let second = open(&path).unwrap();
        drop(first);
        UnixStream::connect(&path).unwrap();
        drop(second);
        assert!(!path.exists());
    }

    #[test]
    fn other_files_are_left_alone() {
        let path = path("local-other");
        fs::write(&path, "text").unwrap();
        assert_eq!(open(&path).unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(check(&path).unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"text");
        fs::remove_file(path).unwrap();
    }
}
