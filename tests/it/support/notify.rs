//! The other side of sd_notify(3).

use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use super::directory::Directory;

/// Socket for the notifications of a server.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: UnixDatagram,
    path: String,
}

impl Listener {
    pub(crate) fn new(directory: &Directory) -> Self {
        let path = directory.file("notify");
        Self { socket: UnixDatagram::bind(&path).unwrap(), path }
    }

    /// Value for `NOTIFY_SOCKET`.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// The next message within `timeout`.
    pub(crate) fn next(&self, timeout: Duration) -> Option<String> {
        let mut buffer = [0; 256];
        self.socket.set_read_timeout(Some(timeout.max(Duration::from_millis(1)))).unwrap();
        let count = self.socket.recv(&mut buffer).ok()?;
        Some(String::from_utf8(buffer[..count].to_vec()).unwrap())
    }

    /// Waits for this message, others before it left aside.
    #[track_caller]
    pub(crate) fn expect(&self, message: &str, timeout: Duration) {
        let start = Instant::now();
        let mut others = Vec::new();
        while let Some(next) = self.next(timeout.saturating_sub(start.elapsed())) {
            if next == message {
                return;
            }
            others.push(next);
        }
        panic!("no {message} within {timeout:?}, but {others:?}");
    }
}
