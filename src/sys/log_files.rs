//! Log files: written from the ring of the log, rotated, and limited in size and number.
//!
//! The newest file is `FILE`, the one before it `FILE.1`, and so on. A start of the server goes on in the
//! newest one; a full one makes the files rotate. A file, each run in it, and what follows a step of the clock start
//! with a header about the program and the time ([`log::header`]). The log thread writes them: a bounded number of bytes after each upkeep of the
//! server, and the rest at its end. After a failed write there is a pause; meanwhile records stay in the ring until
//! it is full.
//!
//! A server that crashes again and again must not wipe the first cause. A run is young up to [`LOG_YOUNG_RUN`]. A
//! file that a young run begins after another run is marked in its header; once the `LOOP_FILES` newest ones
//! are, young runs rotate only these. A run that grows older begins a file without the mark.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::time::Duration;

use super::rotated_files::RotatedFiles;
use super::{LOG_RETRY_PAUSE, LOG_WRITES};
use crate::limits::{BOARD, LOG_RING_BYTES};
use crate::log::{self, FORM, LOG_HEAD_BYTES, LOG_WRITE_BYTES, LOG_YOUNG_RUN, Reason, StepWatch};
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

/// Files that young runs rotate, unless there are fewer: the oldest one is always kept from them.
const LOOP_FILES: usize = 2;
/// Mark of a file that a young run has begun.
const YOUNG: &str = " young=1";

/// Bytes of the writer's buffers.
pub const LOG_WRITER_BYTES: usize = size_of::<LogWriter>() + LOG_WRITE_BYTES;

/// Writer of the log files.
#[derive(Debug)]
pub(super) struct LogWriter {
    files: RotatedFiles,
    build: heapless::String<{ log::BUILD_ID_BYTES }>,
    limit: usize,
    count: usize,
    open: Option<File>,
    /// Time of the start.
    started: Duration,
    /// There were files before this run.
    is_restart: bool,
    /// Clock since the last header.
    clock: StepWatch,
    /// Newest files that are marked, up to [`LOOP_FILES`].
    marked: usize,
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
            count: target.count,
            open: None,
            started: Duration::ZERO,
            is_restart: false,
            clock: StepWatch::new(log::sample_clock()),
            marked: 0,
            written: 0,
            position: 0,
            retry_at: Duration::ZERO,
            failures: 0,
            chunk: Box::default(),
        }
    }

    /// Opens the newest file and goes on in it. `now` is the time since start.
    pub(super) fn open(&mut self, now: Duration) {
        self.started = now;
        self.is_restart = self.files.open(0).is_ok();
        self.marked = (0..LOOP_FILES).take_while(|number| self.is_marked(*number)).count();
        if let Err(error) = self.continue_file(now) {
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
            match self.write_chunk(now) {
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
    fn write_chunk(&mut self, now: Duration) -> io::Result<bool> {
        if self.open.is_none() {
            self.continue_file(now)?;
        }
        let room = self.limit.saturating_sub(self.written);
        if self.next_record_exceeds(room) || (self.marked > 0 && !self.is_young(now)) {
            self.start_file(now)?;
        } else if self.clock.take_step(log::sample_clock()).is_some() {
            // The records in the ring are of the last moments.
            self.open = None;
            self.continue_file(now)?;
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

    /// Goes on in the newest file, or starts one if there is none with room.
    fn continue_file(&mut self, now: Duration) -> io::Result<()> {
        let open = self.files.append()?;
        self.written = usize::try_from(open.metadata()?.len()).unwrap_or(usize::MAX);
        if self.written == 0 {
            return self.add_header(open, "", "");
        }
        // One more for the separator.
        if self.written.saturating_add(LOG_HEAD_BYTES + 1) > self.limit {
            return self.start_file(now);
        }
        // The last record may be cut: this ends its line. A header of frames begins with such an end.
        self.add_header(open, if FORM == "text" { "\n" } else { "" }, "")
    }

    /// Rotates the files and starts a new one.
    fn start_file(&mut self, now: Duration) -> io::Result<()> {
        let is_marked = self.is_restart && self.is_young(now);
        let kept_from_young = LOOP_FILES.min(self.count.saturating_sub(1));
        let is_loop = is_marked && kept_from_young > 0 && self.marked >= kept_from_young;
        self.open = None;
        let open = self.files.start(if is_loop { kept_from_young } else { usize::MAX })?;
        self.written = 0;
        self.add_header(open, "", if is_marked { YOUNG } else { "" })?;
        self.marked = if is_marked { LOOP_FILES.min(self.marked + 1) } else { 0 };
        Ok(())
    }

    /// Writes the header of a run to the open file.
    fn add_header(&mut self, mut open: File, separator: &str, note: &str) -> io::Result<()> {
        let mut header = heapless::String::<{ LOG_HEAD_BYTES + 1 }>::new();
        // There is room for both.
        let _ = header.push_str(separator);
        let sample = log::sample_clock();
        let _ = header.push_str(&log::header(FORM, &self.build, BOARD, sample, note));
        self.clock = StepWatch::new(sample);
        open.write_all(header.as_bytes())?;
        self.files.handle_started();
        self.written += header.len();
        self.open = Some(open);
        Ok(())
    }

    fn is_young(&self, now: Duration) -> bool {
        now.saturating_sub(self.started) < LOG_YOUNG_RUN
    }

    /// Returns true if a young run began this file.
    fn is_marked(&self, number: usize) -> bool {
        let mut header = [0; LOG_HEAD_BYTES];
        let read = self.files.open(number).and_then(|mut file| file.read(&mut header));
        let read = header.get(..read.unwrap_or(0)).unwrap_or_default();
        let line = read.split(|byte| *byte == b'\n').next().unwrap_or_default();
        line.ends_with(YOUNG.as_bytes())
    }
}

#[cfg(test)]
mod tests;
