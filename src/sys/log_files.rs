//! Log files: written from the ring of the log, rotated, and limited in size and number.
//!
//! The newest file is `FILE`, the one before it `FILE.1`, and so on. Each start of the server rotates
//! them. A file starts with a line about the program and the time ([`log::header`]). The log thread writes
//! them: a bounded number of bytes after each upkeep of the server, and the rest at its end. After a failed
//! write there is a pause; meanwhile records stay in the ring until it is full.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use super::rotated_files::RotatedFiles;
use super::{LOG_RETRY_PAUSE, LOG_WRITES};
use crate::limits::{BOARD, LOG_RING_BYTES};
use crate::log::{self, FORM, LOG_WRITE_BYTES, Reason};
use crate::runtime::UPKEEP_DELAY;
use crate::warning;

/// Path, limits and origin of the log files.
#[derive(Clone, Debug)]
pub struct LogTarget<'a> {
    /// Newest file.
    pub file: &'a Path,
    /// Limit of each file in bytes.
    pub bytes: usize,
    /// Limit of files.
    pub count: usize,
    /// Build ID of the program in hexadecimal; may be empty.
    pub build: &'a str,
}

/// Bytes of the writer's buffers.
pub const LOG_WRITER_BYTES: usize = size_of::<LogWriter>() + LOG_WRITE_BYTES;

/// Writer of the log files.
#[derive(Debug)]
pub(super) struct LogWriter {
    files: RotatedFiles,
    build: heapless::String<{ log::BUILD_ID_BYTES }>,
    limit: usize,
    open: Option<File>,
    /// Length of the whole records in the open file.
    written: usize,
    /// Position in the ring of the first record that is not written.
    position: u64,
    /// Time of the next try after a failure.
    retry_at: Duration,
    /// Failures since the last success.
    failures: u32,
    /// Records of one write, copied so that a write that blocks does not hold the ring.
    chunk: Box<heapless::Vec<u8, LOG_WRITE_BYTES>>,
}

impl LogWriter {
    pub(super) fn new(target: &LogTarget<'_>) -> Self {
        let mut build = heapless::String::new();
        if build.push_str(target.build).is_err() {
            crate::internal_error!("build ID of {} bytes", target.build.len());
        }
        Self {
            files: RotatedFiles::new(target.file, target.count),
            build,
            limit: target.bytes,
            open: None,
            written: 0,
            position: 0,
            retry_at: Duration::ZERO,
            failures: 0,
            chunk: Box::default(),
        }
    }

    /// Starts the first file. `now` is the time since start.
    pub(super) fn open(&mut self, now: Duration) {
        if let Err(error) = self.start_file() {
            self.retry_later(&error, now);
        }
    }

    /// Time of the next [`flush`](Self::flush) after one at `now`; `None` while everything is written.
    pub(super) fn poll_timeout(&self, now: Duration) -> Option<Duration> {
        log::is_dirty(self.position).then(|| self.retry_at.max(now.saturating_add(UPKEEP_DELAY)))
    }

    /// Writes all records, without a pause after an earlier failure.
    pub(super) fn flush_all(&mut self, now: Duration) {
        self.retry_at = Duration::ZERO;
        for _ in 0..LOG_RING_BYTES.div_ceil(LOG_WRITE_BYTES) {
            self.flush(now);
        }
    }

    /// Writes new records, at most `LOG_WRITES` times `LOG_WRITE_BYTES`. `now` is the time since start.
    pub(super) fn flush(&mut self, now: Duration) {
        if now < self.retry_at || !log::is_dirty(self.position) {
            return;
        }
        for _ in 0..LOG_WRITES {
            match self.write_chunk() {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => return self.retry_later(&error, now),
            }
        }
        if self.failures > 0 {
            warning!("log written again after {} failures", self.failures);
            self.failures = 0;
        }
        let lost = log::take_lost();
        if lost > 0 {
            warning!("{} records were lost before they could be written", lost);
        }
    }

    /// Schedules another try.
    fn retry_later(&mut self, error: &io::Error, now: Duration) {
        // Logged once, because each such record would be written next.
        if self.failures == 0
            && let Some(path) = self.files.newest()
        {
            warning!("cannot write {}: {}; the log stays in memory", path.display(), Reason::from(error));
        }
        self.failures = self.failures.saturating_add(1);
        self.retry_at = now.saturating_add(LOG_RETRY_PAUSE);
    }

    /// Writes one chunk of the ring. Returns false if there is none.
    fn write_chunk(&mut self) -> io::Result<bool> {
        let room = self.limit.saturating_sub(self.written);
        if self.open.is_none() || self.next_record_exceeds(room) {
            self.open = None;
            self.start_file()?;
        }
        let room = self.limit.saturating_sub(self.written);
        let Some(open) = self.open.as_mut() else { return Ok(false) };
        let chunk = &mut *self.chunk;
        chunk.clear();
        let copied = log::since(self.position, LOG_WRITE_BYTES.min(room), |part| {
            // At most LOG_WRITE_BYTES.
            part.pieces.iter().try_for_each(|piece| chunk.extend_from_slice(piece)).map(|()| part.from)
        });
        let Some(Ok(from)) = copied.filter(|_| !chunk.is_empty()) else { return Ok(false) };
        if let Err(error) = open.write_all(chunk) {
            // Removes the partial record. If this fails, readers skip it.
            let _ = open.set_len(self.written as u64);
            return Err(error);
        }
        log::mark_written(from, chunk);
        self.written += chunk.len();
        self.position = from + chunk.len() as u64;
        Ok(true)
    }

    /// Returns true if the next record is longer than `room`. Every record fits a new file.
    fn next_record_exceeds(&self, room: usize) -> bool {
        room < LOG_WRITE_BYTES
            && log::is_dirty(self.position)
            // `None` if the ring cannot be read: then no record follows.
            && log::since(self.position, room, |part| part.is_empty()).unwrap_or(false)
    }

    /// Rotates the files and starts a new one.
    fn start_file(&mut self) -> io::Result<()> {
        let mut open = self.files.start()?;
        let head = log::header(FORM, &self.build, BOARD, log::sample_clock());
        open.write_all(head.as_bytes())?;
        self.files.handle_started();
        self.written = head.len();
        self.open = Some(open);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
