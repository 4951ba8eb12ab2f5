//! Audit trail: who did what, from where, and what came of it, in lines of text in every build.
//!
//! The lines wait in a queue for the thread of the log files, which writes them to files of their own. A line that
//! finds the queue full is lost and counted. Those for a log server are in a ring, which its sender reads.

use core::fmt::{self, Write as _};
use core::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::batch::Batch;
use super::line::Line;
use super::line_queue::LineQueue;
use super::{AUDIT_QUEUE_BYTES, AUDIT_RING_BYTES, Ring};

// All zeros, so that the program does not contain the queue.
static QUEUE: Mutex<LineQueue<AUDIT_QUEUE_BYTES>> = Mutex::new(LineQueue::new());
static RING: Mutex<Ring<AUDIT_RING_BYTES>> = Mutex::new(Ring::new());
static IS_ENABLED: AtomicBool = AtomicBool::new(false);
static IS_FORWARDED: AtomicBool = AtomicBool::new(false);
static IS_DIRTY: AtomicBool = AtomicBool::new(false);
static IS_FAILING: AtomicBool = AtomicBool::new(false);

/// Line in composition.
pub struct AuditLine(Line);

impl AuditLine {
    /// Line of this moment; `None` without an audit trail.
    pub fn new() -> Option<Self> {
        let is_wanted = IS_ENABLED.load(Ordering::Relaxed) || IS_FORWARDED.load(Ordering::Relaxed);
        is_wanted.then(|| Self(Line::of_audit()))
    }

    /// Adds `name=value`. Whatever could end the value, or look like another one, is replaced in it.
    pub fn put(&mut self, name: &str, value: &dyn fmt::Display) {
        // Writing to a line never fails; a `Display` that does leaves it short.
        let _ = write!(self.0, " {name}=");
        let _ = write!(WordWriter(&mut self.0), "{value}");
    }

    /// Puts the line in the queue, and in the ring for a log server.
    pub fn finish(mut self) {
        if IS_FORWARDED.load(Ordering::Relaxed) {
            lock_ring().push(self.0.finish_record());
        }
        if IS_ENABLED.load(Ordering::Relaxed) {
            lock().push(self.0.finish());
            IS_DIRTY.store(true, Ordering::Relaxed);
        }
    }
}

/// Writer of one word.
struct WordWriter<'l>(&'l mut dyn fmt::Write);

impl fmt::Write for WordWriter<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let word = |c| match c {
            ' ' => '_',
            '=' => '?',
            c if c.is_ascii_graphic() => c,
            _ => '?',
        };
        text.chars().try_for_each(|c| self.0.write_char(word(c)))
    }
}

/// Text of a client as one word of a record, as in the trail: it cannot look like the rest of the record.
#[derive(Clone, Copy, Debug)]
pub struct Word<'t>(pub &'t str);

impl fmt::Display for Word<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        WordWriter(f).write_str(self.0)
    }
}

/// Notes whether the newest lines could be written.
pub fn set_failing(is_failing: bool) {
    IS_FAILING.store(is_failing, Ordering::Relaxed);
}

/// Returns true while lines cannot be written.
pub fn is_failing() -> bool {
    IS_FAILING.load(Ordering::Relaxed)
}

/// Enables the trail: lines are queued from now on.
pub fn enable() {
    IS_ENABLED.store(true, Ordering::Relaxed);
}

/// Keeps lines for a log server from now on, or no more.
pub fn forward(is_forwarded: bool) {
    IS_FORWARDED.store(is_forwarded, Ordering::Relaxed);
}

/// Copies lines for a log server, each without the time of day, as [`Ring::copy`].
pub fn copy(since: u64, room: &mut [u8]) -> (u64, u64, usize) {
    lock_ring().copy(since, room)
}

/// Returns true if a line is not written yet.
pub fn is_dirty() -> bool {
    IS_DIRTY.load(Ordering::Relaxed)
}

/// Fills an empty batch with the next lines. Returns false without lines.
pub fn fill(batch: &mut Batch) -> bool {
    IS_DIRTY.store(false, Ordering::Relaxed);
    batch.fill(&mut lock(), |lost, notice| {
        let mut line = AuditLine(Line::of_audit());
        line.put("lost", &lost);
        let bytes = line.0.finish();
        notice[..bytes.len()].copy_from_slice(bytes);
        bytes.len()
    })
}

fn lock_ring() -> MutexGuard<'static, Ring<AUDIT_RING_BYTES>> {
    RING.lock().unwrap_or_else(PoisonError::into_inner)
}

fn lock() -> MutexGuard<'static, LineQueue<AUDIT_QUEUE_BYTES>> {
    QUEUE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::test_process::alone;

    #[test]
    fn newest_lines_wait_for_a_log_server_and_the_others_are_numbered() {
        alone("log::audit::tests::newest_lines_wait_for_a_log_server_and_the_others_are_numbered", || {
            forward(true);
            let mut line = AuditLine::new().unwrap();
            line.put("user", &"anna");
            line.finish();
            assert!(!is_dirty(), "the trail is without a file");
            let mut room = [0; 200];
            let (from, _, count) = copy(0, &mut room);
            let text = str::from_utf8(&room[..count]).unwrap();
            assert!(from == 0 && text.starts_with('[') && text.ends_with("] user=anna\n"), "{text}");
            (0..AUDIT_RING_BYTES).for_each(|_| AuditLine::new().unwrap().finish());
            let (from, before, count) = copy(0, &mut room);
            assert!(count > 0 && from > 0 && before > 1 && before <= AUDIT_RING_BYTES as u64);
            forward(false);
            assert!(AuditLine::new().is_none());
        });
    }

    #[test]
    fn line_has_words_alone_and_lost_ones_are_counted() {
        // No other test may add lines.
        alone("log::audit::tests::line_has_words_alone_and_lost_ones_are_counted", || {
            assert!(AuditLine::new().is_none());
            enable();
            let mut line = AuditLine::new().unwrap();
            line.put("user", &"anna outcome=ok\n\u{1b}[0mä");
            line.put("outcome", &"refused");
            line.finish();
            assert!(is_dirty());
            let mut batch = Batch::default();
            assert!(fill(&mut batch) && !is_dirty());
            let text = String::from_utf8(batch.pending().to_vec()).unwrap();
            let (time, words) = text.split_once("] ").unwrap();
            assert!(time.starts_with("20") && time.contains("Z [ "), "{text}");
            assert_eq!(words, "user=anna_outcome?ok??[0m? outcome=refused\n");
            batch.handle_written(text.len());

            let count = 2 * AUDIT_QUEUE_BYTES / text.len();
            (0..count).for_each(|_| {
                let mut line = AuditLine::new().unwrap();
                line.put("user", &"x".repeat(20));
                line.finish();
            });
            let (mut lines, mut lost) = (0, 0);
            let mut next = |batch: &mut Batch| {
                while fill(batch) {
                    let text = String::from_utf8(batch.pending().to_vec()).unwrap();
                    lines += text.matches("user=").count();
                    let notice = text.lines().find_map(|line| line.split_once("lost="));
                    lost += notice.map_or(0, |(_, lost)| lost.trim_end().parse::<usize>().unwrap());
                    batch.handle_written(text.len());
                }
                lines + lost
            };
            next(&mut batch);
            // A loss is reported with the next line.
            AuditLine::new().unwrap().finish();
            assert_eq!(next(&mut batch), count);
        });
    }
}
