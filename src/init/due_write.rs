//! Writes of small files while the board runs, on a thread: a write waits for the disk, and the main loop feeds the
//! watchdog.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{SAVE_INTERVAL, SAVE_RETRY};
use crate::log::Reason;
use crate::log::console::warning;
use crate::sys::thread::{self, Work};

/// Stack of the thread.
const STACK_BYTES: usize = 48 * 1024;

/// Writes of one file: when the next one is due, and whether one is under way.
#[derive(Debug)]
pub(super) struct DueWrite {
    at: Duration,
    is_writing: Arc<AtomicBool>,
}

impl DueWrite {
    /// First write at this time since start.
    pub(super) fn new(at: Duration) -> Self {
        Self { at, is_writing: Arc::default() }
    }

    /// Time since start of the next write.
    pub(super) fn at(&self) -> Duration {
        self.at
    }

    /// Has the next write at this time since start.
    pub(super) fn set(&mut self, at: Duration) {
        self.at = at;
    }

    /// Returns true while the thread writes.
    pub(super) fn is_writing(&self) -> bool {
        self.is_writing.load(Ordering::Acquire)
    }

    /// Returns true if a write is due, and schedules the next one.
    pub(super) fn is_due(&mut self, now: Duration) -> bool {
        if now < self.at {
            return false;
        }
        let is_writing = self.is_writing();
        self.at = now + if is_writing { SAVE_RETRY } else { SAVE_INTERVAL };
        !is_writing
    }

    /// Starts the thread.
    pub(super) fn start(&self, write: Work) {
        self.is_writing.store(true, Ordering::Release);
        let is_writing = Arc::clone(&self.is_writing);
        let work = move || {
            write();
            is_writing.store(false, Ordering::Release);
        };
        if let Err(error) = thread::start("write", STACK_BYTES, Box::new(work)) {
            self.is_writing.store(false, Ordering::Release);
            warning!("cannot start a thread that writes a file: {}", Reason::from(&error));
        }
    }

    /// Waits until the thread has written.
    #[cfg(test)]
    pub(super) fn wait(&self) {
        while self.is_writing() {
            std::thread::yield_now();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn file_is_written_once_an_interval() {
        let second = Duration::from_secs(1);
        let mut write = DueWrite::new(second);
        assert!(!write.is_due(Duration::ZERO));
        assert!(write.is_due(second) && !write.is_due(second));
        assert_eq!(write.at(), second + SAVE_INTERVAL);
        assert!(!write.is_due(SAVE_INTERVAL));
        assert!(write.is_due(second + SAVE_INTERVAL));
    }

    #[test]
    fn write_under_way_delays_the_next_one() {
        let mut write = DueWrite::new(Duration::ZERO);
        let (end, ended) = channel::<()>();
        write.start(Box::new(move || {
            // Ends when the other side does.
            let _ = ended.recv();
        }));
        let now = Duration::from_secs(5);
        assert!(write.is_writing() && !write.is_due(now));
        assert_eq!(write.at(), now + SAVE_RETRY);
        drop(end);
        write.wait();
        assert!(write.is_due(now + SAVE_RETRY));
    }
}
