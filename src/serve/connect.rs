//! Connections to the sockets of services, which never block.
//!
//! The kernel looks a path up on the thread that calls connect(2), also for a socket that does not block. Its mount may
//! hang, so a thread does that.

use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

use rustix::io::Errno;
use rustix::net::sockopt::socket_error;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, getpeername, socket_with,
};

use super::CONNECT_THREADS;
use crate::service::Endpoint;
use crate::sys::thread;

/// Stack of a thread that connects.
pub(crate) const CONNECT_STACK_BYTES: usize = 64 * 1024;
/// Result of a thread that has none.
const RUNNING: i32 = -1;

/// Threads that connect.
static THREADS: AtomicUsize = AtomicUsize::new(0);

/// Connection that is being made.
#[derive(Debug)]
pub(super) enum Connecting {
    /// By the kernel.
    Socket(OwnedFd),
    /// To this path, by a thread: its error number, or 0.
    Thread(SocketAddrUnix, Arc<AtomicI32>),
}

/// Begins a connection.
pub(super) fn begin(endpoint: &Endpoint) -> Result<Connecting, Errno> {
    let address = match endpoint {
        Endpoint::Tcp(address) => address,
        Endpoint::Unix(path) => return in_thread(path.as_str()),
    };
    connect_to(address, SocketType::STREAM).map(Connecting::Socket)
}

/// Socket that is connected to an address, or will be.
pub(super) fn connect_to(address: &SocketAddr, kind: SocketType) -> Result<OwnedFd, Errno> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket(family, kind)?;
    match connect(&socket, address) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(error) => Err(error),
    }
}

/// Socket that is connected to a path, whose mount may hang.
pub(super) fn connect_to_path(path: &SocketAddrUnix, kind: SocketType) -> Result<OwnedFd, Errno> {
    let socket = socket(AddressFamily::UNIX, kind)?;
    connect(&socket, path)?;
    Ok(socket)
}

/// Returns whether a connection is accepted or has failed; `None`: neither.
pub(super) fn result_of(socket: impl AsFd) -> Option<Result<(), Errno>> {
    match socket_error(&socket) {
        Ok(Ok(())) => getpeername(&socket).is_ok().then_some(Ok(())),
        Ok(Err(error)) | Err(error) => Some(Err(error)),
    }
}

impl Connecting {
    /// Returns whether the connection is accepted or has failed; `None`: neither.
    pub(super) fn poll(&self) -> Option<Result<(), Errno>> {
        match self {
            Self::Socket(socket) => result_of(socket),
            Self::Thread(_, result) => match result.load(Ordering::Acquire) {
                RUNNING => None,
                0 => Some(Ok(())),
                error => Some(Err(Errno::from_raw_os_error(error))),
            },
        }
    }

    /// Socket of a connection over TCP.
    pub(super) fn socket(&self) -> Option<&OwnedFd> {
        match self {
            Self::Socket(socket) => Some(socket),
            Self::Thread(..) => None,
        }
    }

    /// Returns true while a thread hangs: it cannot be ended.
    pub(super) fn hangs(&self) -> bool {
        matches!(self, Self::Thread(..)) && self.poll().is_none()
    }

    /// Returns true if a thread hangs at this endpoint: another one would, too.
    pub(super) fn hangs_at(&self, endpoint: &Endpoint) -> bool {
        let Self::Thread(path, _) = self else { return false };
        self.hangs()
            && matches!(endpoint, Endpoint::Unix(other) if SocketAddrUnix::new(other.as_str()).as_ref() == Ok(path))
    }
}

fn socket(family: AddressFamily, kind: SocketType) -> Result<OwnedFd, Errno> {
    socket_with(family, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)
}

/// One of the threads, until it ends.
struct Place;

impl Place {
    fn take() -> Option<Self> {
        let add = |count: usize| count.checked_add(1).filter(|count| *count <= CONNECT_THREADS);
        let added = THREADS.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        added.ok().map(|_| Self)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        THREADS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Connects to a path.
fn in_thread(path: &str) -> Result<Connecting, Errno> {
    let place = Place::take().ok_or(Errno::AGAIN)?;
    let address = SocketAddrUnix::new(path)?;
    let result = Arc::new(AtomicI32::new(RUNNING));
    let (of_thread, to) = (Arc::clone(&result), address.clone());
    let work = Box::new(move || {
        // A full backlog is an error, too: the next attempt is a new one.
        let made = connect_to_path(&to, SocketType::STREAM);
        of_thread.store(made.err().map_or(0, Errno::raw_os_error), Ordering::Release);
        drop(place);
    });
    match thread::start("connect", CONNECT_STACK_BYTES, work) {
        Ok(_) => Ok(Connecting::Thread(address, result)),
        Err(error) => Err(Errno::from_io_error(&error).unwrap_or(Errno::AGAIN)),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::sys::tests::lock_children;

    /// Result of a connection on this machine.
    fn outcome(endpoint: &Endpoint) -> Result<(), Errno> {
        let connecting = begin(endpoint)?;
        loop {
            if let Some(result) = connecting.poll() {
                return result;
            }
            std::thread::yield_now();
        }
    }

    #[test]
    fn tcp_connection_is_accepted_or_refused_at_once() {
        let _lock = lock_children();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = Endpoint::Tcp(listener.local_addr().unwrap());
        assert_eq!(outcome(&endpoint), Ok(()));
        drop(listener);
        assert_eq!(outcome(&endpoint), Err(Errno::CONNREFUSED));
    }

    #[test]
    fn unix_connection_is_accepted_or_refused() {
        let _lock = lock_children();
        let path = std::env::temp_dir().join(format!("friendlet-connect-{}", std::process::id()));
        let endpoint = Endpoint::unix(path.to_str().unwrap()).unwrap();
        assert_eq!(outcome(&endpoint), Err(Errno::NOENT));
        let listener = UnixListener::bind(&path).unwrap();
        assert_eq!(outcome(&endpoint), Ok(()));
        drop(listener);
        assert_eq!(outcome(&endpoint), Err(Errno::CONNREFUSED));
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn threads_that_hang_are_no_more_than_the_limit() {
        let _lock = lock_children();
        let places: Vec<Place> = std::iter::from_fn(Place::take).collect();
        assert_eq!(places.len(), CONNECT_THREADS);
        let endpoint = Endpoint::unix("/nonexistent/socket").unwrap();
        assert_eq!(begin(&endpoint).map(|_| ()), Err(Errno::AGAIN));
        drop(places);
        assert_eq!(outcome(&endpoint), Err(Errno::NOENT));
    }
}
