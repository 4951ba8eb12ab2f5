//! Log files: written from the ring of the log, rotated, and limited in size and number.
//!
//! The newest file is `FILE`, the one before it `FILE.1`, and so on. Each start of the server rotates
//! them. A file starts with a line about the program and the time ([`log::header`]). Each upkeep of
//! the server, and a panic, writes a bounded number of bytes. After a failed write there is a pause;
//! meanwhile records stay in the ring until it is full.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::panic::PanicHookInfo;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use super::{LOG_RETRY_PAUSE, LOG_WRITES, file};
use crate::limits::BOARD;
use crate::log::{self, FORM, LOG_WRITE_BYTES, Reason};
use crate::{error, warning};

/// Writer of this process.
static WRITER: Mutex<Option<LogWriter>> = Mutex::new(None);

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

/// Starts to write the log to files, with the records that are in the ring.
pub fn open(target: &LogTarget<'_>) {
    let mut writer = LogWriter::new(target);
    // Opened now, so that the number of open files does not change later.
    if let Err(error) = writer.start_file() {
        writer.retry_later(&error, Duration::ZERO);
    }
    if let Ok(mut slot) = WRITER.lock() {
        *slot = Some(writer);
    }
}

/// Writes new records, at most `LOG_WRITES` times `LOG_WRITE_BYTES`. `now` is the time since start.
pub fn flush(now: Duration) {
    if let Ok(mut writer) = WRITER.lock()
        && let Some(writer) = writer.as_mut()
    {
        writer.flush(now);
    }
}

/// Time since start of the next [`flush`]; `None` while everything is written.
pub fn poll_timeout() -> Option<Duration> {
    let writer = WRITER.lock().ok()?;
    writer.as_ref().filter(|writer| log::is_dirty(writer.position)).map(|writer| writer.retry_at)
}

/// Logs every panic with its location, and writes the log before the process ends.
pub fn log_panics() {
    let default_hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        log_panic(panic);
        // The panicking code may hold the lock.
        if let Ok(mut writer) = WRITER.try_lock()
            && let Some(writer) = writer.as_mut()
        {
            writer.flush(Duration::MAX);
        }
        default_hook(panic);
    }));
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    let payload = panic.payload();
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
    match panic.location() {
        Some(location) => error!("panic at {}:{}: {}", location.file(), location.line(), text),
        None => error!("panic: {}", text),
    }
}

/// Writer of the log files.
struct LogWriter {
    /// Paths, the newest first.
    paths: Vec<PathBuf>,
    build: heapless::String<{ log::BUILD_ID_BYTES }>,
    limit: usize,
    open: Option<File>,
    /// Length of the whole records in the open file.
    written: usize,
    /// Position in the ring of the first record that is not written.
    position: u64,
    /// True if the older files are rotated for a file that is not started.
    is_rotated: bool,
    /// Time of the next try after a failure.
    retry_at: Duration,
    /// Failures since the last success.
    failures: u32,
}

impl LogWriter {
    fn new(target: &LogTarget<'_>) -> Self {
        let path = |number| match number {
            0 => target.file.to_owned(),
            _ => PathBuf::from(format!("{}.{number}", target.file.display())),
        };
        let mut build = heapless::String::new();
        if build.push_str(target.build).is_err() {
            crate::internal_error!("build ID of {} bytes", target.build.len());
        }
        Self {
            paths: (0..target.count).map(path).collect(),
            build,
            limit: target.bytes,
            open: None,
            written: 0,
            position: 0,
            is_rotated: false,
            retry_at: Duration::ZERO,
            failures: 0,
        }
    }

    fn flush(&mut self, now: Duration) {
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
            && let Some(path) = self.paths.first()
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
        let wrote = log::since(self.position, LOG_WRITE_BYTES.min(room), |part| {
            let result = part.pieces.iter().try_for_each(|piece| open.write_all(piece));
            result.map(|()| (part.next(), part.len()))
        });
        match wrote {
            None | Some(Ok((_, 0))) => Ok(false),
            Some(Ok((next, len))) => {
                self.written += len;
                self.position = next;
                log::mark_persisted(next);
                Ok(true)
            }
            Some(Err(error)) => {
                // Removes the partial record. If this fails, readers skip it.
                let _ = open.set_len(self.written as u64);
                Err(error)
            }
        }
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
        let Some(newest) = self.paths.first() else { return Ok(()) };
        if let Some(directory) = newest.parent() {
            file::create_dir(directory).map_err(|error| match error.reason {
                file::FileReason::Io(error) => error,
                _ => io::ErrorKind::InvalidInput.into(),
            })?;
        }
        // A retry after a failed start does not rotate again.
        if !self.is_rotated {
            self.is_rotated = true;
            for pair in self.paths.windows(2).rev() {
                if let [newer, older] = pair {
                    // Fails while there are fewer files than the limit.
                    let _ = fs::rename(newer, older);
                }
            }
        }
        let mut open = OpenOptions::new().append(true).create(true).mode(0o600).open(newest)?;
        open.set_len(0)?;
        let head = log::header(FORM, &self.build, BOARD, log::sample_clock());
        open.write_all(head.as_bytes())?;
        self.is_rotated = false;
        self.written = head.len();
        self.open = Some(open);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
