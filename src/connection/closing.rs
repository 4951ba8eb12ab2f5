//! Close of one connection.

use core::time::Duration;

use super::{Finish, SEND_TIMEOUT};
use crate::ws::CLOSE_TIMEOUT;

/// Close of one connection, by the peer and by the server.
#[derive(Debug, Default)]
pub(super) struct Closing {
    /// The peer has sent its last byte.
    pub(super) is_half_closed: bool,
    finish: Option<Finish>,
    /// Deadline of a graceful close.
    deadline: Option<Duration>,
}

impl Closing {
    /// Way in which the connection is to be closed; `None` while it is open.
    pub(super) fn finish(&self) -> Option<Finish> {
        self.finish
    }

    /// Returns true if the connection is neither closed nor to be closed.
    pub(super) fn is_open(&self) -> bool {
        self.finish.is_none()
    }

    /// Deadline after which a graceful close becomes an abort.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.deadline
    }

    /// Closes the connection. The first call counts.
    pub(super) fn begin(&mut self, finish: Finish, now: Duration) {
        if self.finish.is_none() {
            self.finish = Some(finish);
            self.deadline = Some(now + CLOSE_TIMEOUT);
        }
    }

    /// Closes the connection at once, for a new connection.
    pub(super) fn evict(&mut self) {
        self.finish = Some(Finish::Evict);
        self.deadline = None;
    }

    /// Closes the connection without the unsent bytes.
    pub(super) fn abort(&mut self) {
        self.finish = Some(Finish::Abort);
        self.deadline = None;
    }

    /// Extends the deadline, because the peer has read some of the last bytes: a long answer over a slow line
    /// arrives whole.
    pub(super) fn note_progress(&mut self, now: Duration) {
        if self.finish == Some(Finish::Graceful) {
            self.deadline = Some(now + SEND_TIMEOUT);
        }
    }
}
