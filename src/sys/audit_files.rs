//! Files of the audit trail: lines of text, appended, synced and rotated by the thread of the log files.
//!
//! After a failed write there is a pause; meanwhile the lines wait in their queue until it is full.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use super::LOG_RETRY_PAUSE;
use super::log_files::LogTarget;
use super::rotated_files::RotatedFiles;
use crate::log::{Batch, Reason, audit};
use crate::runtime::UPKEEP_DELAY;
use crate::warning;

/// Bytes of the writer's buffers.
pub const AUDIT_WRITER_BYTES: usize = size_of::<AuditWriter>() + size_of::<Batch>();

/// Writer of the files.
#[derive(Debug)]
pub(super) struct AuditWriter {
    files: RotatedFiles,
    limit: usize,
    open: Option<File>,
    /// Length of the whole lines in the open file.
    written: usize,
    /// Lines of the next write.
    batch: Box<Batch>,
    /// Time of the next try after a failure.
    retry_at: Duration,
    has_failed: bool,
}

impl AuditWriter {
    pub(super) fn new(target: &LogTarget<'_>) -> Self {
        Self {
            files: RotatedFiles::new(target.file, target.count),
            limit: target.bytes,
            open: None,
            written: 0,
            batch: Box::default(),
            retry_at: Duration::ZERO,
            has_failed: false,
        }
    }

    /// Opens the newest file. `now` is the time since start.
    pub(super) fn open(&mut self, now: Duration) {
        audit::set_failing(false);
        if let Err(error) = self.open_newest() {
            self.retry_later(&error, now);
        }
    }

    /// Time of the next [`flush`](Self::flush) after one at `now`; `None` while everything is written.
    pub(super) fn poll_timeout(&self, now: Duration) -> Option<Duration> {
        let is_due = audit::is_dirty() || !self.batch.pending().is_empty();
        is_due.then(|| self.retry_at.max(now.saturating_add(UPKEEP_DELAY)))
    }

    /// Writes all lines, without a pause after an earlier failure.
    pub(super) fn flush_all(&mut self, now: Duration) {
        self.retry_at = Duration::ZERO;
        self.flush(now);
    }

    /// Writes all lines. `now` is the time since start.
    pub(super) fn flush(&mut self, now: Duration) {
        if now < self.retry_at {
            return;
        }
        while !self.batch.pending().is_empty() || audit::fill(&mut self.batch) {
            if let Err(error) = self.write_batch() {
                return self.retry_later(&error, now);
            }
            self.has_failed = false;
            audit::set_failing(false);
        }
    }

    fn retry_later(&mut self, error: &io::Error, now: Duration) {
        if !core::mem::replace(&mut self.has_failed, true)
            && let Some(path) = self.files.newest()
        {
            warning!("cannot write {}: {}; the audit trail waits", path.display(), Reason::from(error));
        }
        audit::set_failing(true);
        self.retry_at = now.saturating_add(LOG_RETRY_PAUSE);
    }

    fn open_newest(&mut self) -> io::Result<()> {
        let mut open = self.files.append()?;
        self.written = usize::try_from(open.metadata()?.len()).unwrap_or(usize::MAX);
        let mut last = [b'\n'];
        if self.written > 0 {
            self.files.open(0)?.read_exact_at(&mut last, self.written as u64 - 1)?;
        }
        if last != [b'\n'] {
            // A power cut has left a part of a line.
            open.write_all(b"\n")?;
            self.written += 1;
        }
        self.open = Some(open);
        Ok(())
    }

    fn write_batch(&mut self) -> io::Result<()> {
        if self.open.is_none() {
            self.open_newest()?;
        }
        let pending = self.batch.pending();
        if self.written > 0 && self.written.saturating_add(pending.len()) > self.limit {
            self.open = None;
            self.open = Some(self.files.start(usize::MAX)?);
            self.files.handle_started();
            self.written = 0;
        }
        let Some(open) = &mut self.open else { return Ok(()) };
        if let Err(error) = open.write_all(pending) {
            // Removes the partial line.
            let _ = open.set_len(self.written as u64);
            return Err(error);
        }
        // Who pulls the plug after a change must not remove its line. Not every file system has an answer.
        let _ = open.sync_data();
        self.written += pending.len();
        self.batch.handle_written(pending.len());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::log::audit::AuditLine;
    use crate::log::test_process::alone;
    use crate::log::{LOG_FILE_BYTES_MIN, STDERR_WRITE_BYTES};
    use crate::sys::tests::{TestDirectory, lock_children};

    fn line(number: usize) {
        let mut line = AuditLine::new().unwrap();
        line.put("number", &number);
        line.put("rest", &"x".repeat(100));
        line.finish();
    }

    fn numbers(text: &str) -> Vec<usize> {
        let number = |line: &str| line.split_once("number=")?.1.split(' ').next()?.parse().ok();
        text.lines().filter_map(number).collect()
    }

    /// No other test may add lines.
    fn run_alone(test: &str, run: impl FnOnce(&TestDirectory, AuditWriter)) {
        let _lock = lock_children();
        alone(&format!("sys::audit_files::tests::{test}"), || {
            let directory = TestDirectory::new(test);
            audit::enable();
            let file = directory.0.join("logs/audit");
            let target = LogTarget { file: &file, bytes: LOG_FILE_BYTES_MIN, count: 3, build: "" };
            run(&directory, AuditWriter::new(&target));
        });
    }

    #[test]
    fn lines_are_appended_and_files_rotated() {
        run_alone("lines_are_appended_and_files_rotated", |directory, mut writer| {
            let text = |name: &str| fs::read_to_string(directory.0.join("logs").join(name)).unwrap();
            fs::create_dir(directory.0.join("logs")).unwrap();
            fs::write(directory.0.join("logs/audit"), "2026 number=0 rest\n2026 num").unwrap();
            for number in 1..200 {
                line(number);
                if number % 7 == 0 {
                    writer.flush(Duration::ZERO);
                }
            }
            writer.flush(Duration::ZERO);
            assert_eq!(writer.poll_timeout(Duration::ZERO), None);
            let texts = ["audit.2", "audit.1", "audit"].map(text);
            assert!(texts.iter().all(|text| text.len() <= LOG_FILE_BYTES_MIN && text.ends_with('\n')));
            let found: Vec<usize> = texts.iter().flat_map(|text| numbers(text)).collect();
            assert!(found.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{found:?}");
            assert_eq!(found.last(), Some(&199));
            assert!(found[0] > 0 && !directory.0.join("logs/audit.3").exists());
            const { assert!(STDERR_WRITE_BYTES < LOG_FILE_BYTES_MIN, "a batch fits a file") };
        });
    }

    #[test]
    fn part_of_a_line_is_ended_before_the_next_one() {
        run_alone("part_of_a_line_is_ended_before_the_next_one", |directory, mut writer| {
            fs::create_dir(directory.0.join("logs")).unwrap();
            let file = directory.0.join("logs/audit");
            fs::write(&file, "2026 number=0 rest\n2026 num").unwrap();
            line(1);
            writer.flush(Duration::ZERO);
            let text = fs::read_to_string(&file).unwrap();
            assert!(
                text.starts_with("2026 number=0 rest\n2026 num\n20") && numbers(&text) == [0, 1],
                "{text}"
            );
        });
    }

    #[test]
    fn lines_wait_while_the_file_cannot_be_written() {
        run_alone("lines_wait_while_the_file_cannot_be_written", |directory, mut writer| {
            // A file has the name of the directory.
            fs::write(directory.0.join("logs"), "").unwrap();
            line(1);
            writer.flush(Duration::ZERO);
            assert_eq!(writer.poll_timeout(Duration::ZERO), Some(LOG_RETRY_PAUSE));
            assert!(audit::is_failing());
            line(2);
            fs::remove_file(directory.0.join("logs")).unwrap();
            writer.flush(LOG_RETRY_PAUSE - Duration::from_millis(1));
            assert!(!directory.0.join("logs").exists());
            writer.flush(LOG_RETRY_PAUSE);
            assert!(!audit::is_failing());
            assert_eq!(numbers(&fs::read_to_string(directory.0.join("logs/audit")).unwrap()), [1, 2]);
        });
    }
}
