//! The files of the log: filled from its ring, of a bounded size, so many and no more.
//!
//! The newest is `FILE`, the one before it `FILE.1`, and so on; a start of the server begins a new one.
//! Each begins with a line about the program and the time ([`log::head`]). They are written in the server's
//! upkeep, a bounded number of bytes each time, and by a panic. A file that cannot be written is tried
//! again after a pause; meanwhile records stay in the ring, as many as it holds.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::panic::PanicHookInfo;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use super::file;
use crate::limits::{BOARD, LOG_RETRY_PAUSE, LOG_WRITE_BYTES, LOG_WRITES};
use crate::log::{self, FORM};
use crate::{error, warning};

/// The files of this process.
static FILES: Mutex<Option<LogFiles>> = Mutex::new(None);

/// Where the log goes from now on, and by which program it is written.
#[derive(Clone, Debug)]
pub struct Place<'a> {
    /// The newest file.
    pub file: &'a Path,
    /// Most bytes of each file.
    pub bytes: usize,
    /// Most files.
    pub count: usize,
    /// Build id of the program in hexadecimal; empty: it has none.
    pub build: &'a str,
}

/// Keeps the log in files, and makes panics part of it. What is in the ring already goes there, too.
pub fn open(place: &Place<'_>) {
    let mut files = LogFiles::new(place);
    // At once: from here on the server holds no more files than now.
    if let Err(error) = files.begin() {
        files.put_off(&error, Duration::ZERO);
    }
    if let Ok(mut slot) = FILES.lock() {
        *slot = Some(files);
    }
}

/// Writes down what is new, at most `LOG_WRITES` times `LOG_WRITE_BYTES`. `now` is the time since start.
pub fn flush(now: Duration) {
    if let Ok(mut files) = FILES.lock()
        && let Some(files) = files.as_mut()
    {
        files.flush(now);
    }
}

/// The time since start at which to call [`flush`] again: none, unless something is not written yet.
pub fn poll_timeout() -> Option<Duration> {
    let files = FILES.lock().ok()?;
    files.as_ref().filter(|files| log::unwritten(files.position)).map(|files| files.retry_at)
}

/// Makes every panic a record, with its place, which is in the file before the process ends.
pub fn log_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        tell(panic);
        // Whoever panics may hold the files.
        if let Ok(mut files) = FILES.try_lock()
            && let Some(files) = files.as_mut()
        {
            files.flush(Duration::MAX);
        }
        before(panic);
    }));
}

fn tell(panic: &PanicHookInfo<'_>) {
    let payload = panic.payload();
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text");
    match panic.location() {
        Some(place) => error!("panic at {}:{}: {}", place.file(), place.line(), text),
        None => error!("panic: {}", text),
    }
}

struct LogFiles {
    /// The newest first.
    paths: Vec<PathBuf>,
    build: heapless::String<{ crate::limits::BUILD_ID_BYTES }>,
    limit: usize,
    open: Option<File>,
    /// Bytes of the open file that are whole records.
    written: usize,
    /// Place in the ring from which on nothing is written yet.
    position: u64,
    /// Whether the older files made room for one that is not begun yet.
    is_turned: bool,
    /// When a file that could not be written is tried again.
    retry_at: Duration,
    /// How often that was so, since it was last told.
    failures: u32,
}

impl LogFiles {
    fn new(place: &Place<'_>) -> Self {
        let path = |number| match number {
            0 => place.file.to_owned(),
            _ => PathBuf::from(format!("{}.{number}", place.file.display())),
        };
        let mut build = heapless::String::new();
        let _ = build.push_str(place.build);
        Self {
            paths: (0..place.count).map(path).collect(),
            build,
            limit: place.bytes,
            open: None,
            written: 0,
            position: 0,
            is_turned: false,
            retry_at: Duration::ZERO,
            failures: 0,
        }
    }

    fn flush(&mut self, now: Duration) {
        if now < self.retry_at || !log::unwritten(self.position) {
            return;
        }
        for _ in 0..LOG_WRITES {
            match self.write_some() {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => return self.put_off(&error, now),
            }
        }
        if self.failures > 0 {
            warning!("the log is written again, after {} failures", self.failures);
            self.failures = 0;
        }
        let lost = log::take_lost();
        if lost > 0 {
            warning!("{} records were lost before they could be written", lost);
        }
    }

    /// Tries again later.
    fn put_off(&mut self, error: &io::Error, now: Duration) {
        // Told once: it goes to the ring, and would be the next thing to fail.
        if self.failures == 0 {
            let path = self.paths.first().map(PathBuf::as_path).unwrap_or(Path::new(""));
            warning!("{}: {}; the log waits in memory", path.display(), error);
        }
        self.failures = self.failures.saturating_add(1);
        self.retry_at = now.saturating_add(LOG_RETRY_PAUSE);
    }

    /// Writes one piece of the ring; whether there was one.
    fn write_some(&mut self) -> io::Result<bool> {
        let room = self.limit.saturating_sub(self.written);
        if self.open.is_none() || self.next_record_is_over(room) {
            self.open = None;
            self.begin()?;
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
                log::written(next);
                Ok(true)
            }
            Some(Err(error)) => {
                // What is there of it is no record. Where even that fails, a reader passes over it.
                let _ = open.set_len(self.written as u64);
                Err(error)
            }
        }
    }

    /// Whether there is a record that needs more than `room`. Every one fits a new file.
    fn next_record_is_over(&self, room: usize) -> bool {
        room < LOG_WRITE_BYTES
            && log::unwritten(self.position)
            && log::since(self.position, room, |part| part.is_empty()).unwrap_or_default()
    }

    /// Makes room for a new file and begins it.
    fn begin(&mut self) -> io::Result<()> {
        let Some(newest) = self.paths.first() else { return Ok(()) };
        if let Some(folder) = newest.parent() {
            file::create_dir(folder).map_err(|error| match error.reason {
                file::FileReason::Io(error) => error,
                _ => io::ErrorKind::InvalidInput.into(),
            })?;
        }
        // Where a file could not be begun, the older ones do not move once more.
        if !self.is_turned {
            self.is_turned = true;
            for pair in self.paths.windows(2).rev() {
                if let [newer, older] = pair {
                    // The first ones are not there yet.
                    let _ = fs::rename(newer, older);
                }
            }
        }
        let mut open = OpenOptions::new().append(true).create(true).mode(0o600).open(newest)?;
        open.set_len(0)?;
        let head = log::head(FORM, &self.build, BOARD, log::stamp());
        open.write_all(head.as_bytes())?;
        self.is_turned = false;
        self.written = head.len();
        self.open = Some(open);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
