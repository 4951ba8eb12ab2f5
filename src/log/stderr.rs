//! Standard error: written directly, or by a thread of the server through a queue.
//!
//! A descriptor may block: a pipe that its reader does not empty, a terminal with flow control, a file on a
//! mount that hangs. After [`attach`] no other thread writes to standard error. A failed write is counted
//! and has no other effect.

use core::fmt::{self, Write as _};
use std::io::Write as _;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::batch::Batch;
use super::line::{Line, lost_notice};
use super::line_queue::LineQueue;
use super::{LOG_LINE_BYTES, STDERR_QUEUE_BYTES};

// All zeros, so that the program does not contain the queue.
static STDERR: Mutex<Stderr> =
    Mutex::new(Stderr { queue: LineQueue::new(), thread: None, never_waits: false, lost: 0 });

struct Stderr {
    queue: LineQueue<STDERR_QUEUE_BYTES>,
    /// Thread that writes the lines.
    thread: Option<Thread>,
    /// A line without a thread does not wait for its reader.
    never_waits: bool,
    /// Lines that were dropped because they would have waited.
    lost: u32,
}

/// Drops each line from now on that would have to wait, in a process that may not wait: the keeper.
pub fn never_wait() {
    lock().never_waits = true;
}

/// Returns true if a line can be written without waiting. A pipe with room has it for a page.
fn has_room() -> bool {
    let stderr = std::io::stderr();
    let mut polled = [PollFd::new(&stderr, PollFlags::OUT)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    // A closed descriptor is reported, too, and its write fails at once.
    poll(&mut polled, Some(&now)).is_ok_and(|ready| ready > 0)
}

/// Queues each line from now on, and unparks `thread` for it. The thread writes them until the process
/// ends.
pub fn attach(thread: Thread) {
    lock().thread = Some(thread);
}

/// Returns true after [`attach`].
pub fn is_attached() -> bool {
    try_lock().is_none_or(|stderr| stderr.thread.is_some())
}

/// Fills an empty batch with the next lines. Returns false without lines.
pub fn fill(batch: &mut Batch) -> bool {
    batch.fill(&mut lock().queue, |lost, notice| {
        let mut line = lost_notice(lost);
        let bytes = bytes_of(&mut line);
        notice[..bytes.len()].copy_from_slice(bytes);
        bytes.len()
    })
}

/// Counts the rest of a batch as lost, and empties it.
pub fn discard(batch: &mut Batch) {
    batch.discard(&mut lock().queue);
}

/// Writes a text with its line feeds, directly or through the queue. It is not in the log.
pub fn print(text: fmt::Arguments<'_>) {
    if !is_attached() {
        // A failure has no place to be reported.
        let _ = std::io::stderr().write_fmt(text);
        return;
    }
    let mut pieces = Pieces(heapless::String::new());
    // Writing to the pieces never fails; a `Display` that does leaves the text short.
    let _ = pieces.write_fmt(text);
    write(pieces.0.as_bytes());
}

/// Text that goes into the queue line by line.
struct Pieces(heapless::String<LOG_LINE_BYTES>);

impl fmt::Write for Pieces {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            if self.0.push(c).is_err() {
                write(self.0.as_bytes());
                self.0.clear();
                self.0.push(c).map_err(|_| fmt::Error)?;
            }
            if c == '\n' {
                write(self.0.as_bytes());
                self.0.clear();
            }
        }
        Ok(())
    }
}

/// Writes a line.
pub(super) fn write_line(line: &mut Line) {
    write(bytes_of(line));
}

/// Bytes of a line for standard error: the journal has the time of day of each line itself, and reads its level.
fn bytes_of(line: &mut Line) -> &[u8] {
    if is_journal() { line.finish_for_journal() } else { line.finish() }
}

/// Returns true if standard error is the journal of systemd. `JOURNAL_STREAM` (systemd.exec(5)) has device and
/// inode of the journal's socket; standard error may be another file by now.
fn is_journal() -> bool {
    static IS_JOURNAL: OnceLock<bool> = OnceLock::new();
    // A build for a device has lines without a time of day.
    cfg!(not(feature = "defmt"))
        && *IS_JOURNAL.get_or_init(|| {
            let Some(stream) = std::env::var_os("JOURNAL_STREAM") else { return false };
            rustix::fs::fstat(rustix::stdio::stderr())
                .is_ok_and(|found| stream.to_str() == Some(&format!("{}:{}", found.st_dev, found.st_ino)))
        })
}

/// Writes a line, directly or through the queue.
fn write(line: &[u8]) {
    let Some(mut stderr) = try_lock().filter(|_| !line.is_empty()) else { return };
    match stderr.thread.clone() {
        Some(thread) => {
            stderr.queue.push(line);
            drop(stderr);
            // A system call only while the thread is parked.
            thread.unpark();
        }
        None if stderr.never_waits && !has_room() => stderr.lost = stderr.lost.saturating_add(1),
        None => {
            let lost = core::mem::take(&mut stderr.lost);
            drop(stderr);
            // A failure has no place to be reported.
            if lost > 0 {
                let _ = std::io::stderr().write_all(bytes_of(&mut lost_notice(lost)));
            }
            let _ = std::io::stderr().write_all(line);
        }
    }
}

fn lock() -> MutexGuard<'static, Stderr> {
    STDERR.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Locks the queue. A panicking thread may hold the lock already, so it only tries.
fn try_lock() -> Option<MutexGuard<'static, Stderr>> {
    if std::thread::panicking() { STDERR.try_lock().ok() } else { Some(lock()) }
}
