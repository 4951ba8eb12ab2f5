//! Files of the log and of the audit trail, and format strings, read for a call on a thread of its own: a disk that
//! hangs delays the answer alone.

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::sync::Arc;

use rustix::io::Errno;

use super::log_files::LogTarget;
use super::rotated_files::RotatedFiles;
use super::thread;
use crate::log::{FORM, LOG_WRITE_BYTES, RECORD_END, Reason};
use crate::runtime::{Receiver, Sender, queue};
use crate::warning;

/// Stack size of the thread.
pub const LOG_READER_STACK_BYTES: usize = 32 * 1024;
/// Bytes of one result.
pub const LOG_READER_BYTES: usize = size_of::<LogRead>() + LOG_WRITE_BYTES;

/// Directory of the format strings in the image of a board.
const TEXTS: &str = "/usr/share/friendlet/log-texts-";

/// Files of one kind.
#[derive(Debug)]
struct Source {
    files: RotatedFiles,
    form: &'static str,
    record_end: u8,
}

/// Reader of files, one at a time.
#[derive(Debug)]
pub struct LogReader {
    /// Log, audit trail, format strings.
    sources: [Option<Arc<Source>>; 3],
    done: Sender<LogRead, 1>,
    results: Receiver<LogRead, 1>,
    is_reading: Cell<bool>,
}

/// Result of a thread.
#[derive(Debug)]
pub struct LogRead {
    /// Call that waits for it.
    pub call_id: u64,
    /// Form of the records.
    pub form: &'static str,
    /// Position of the first record in the file.
    pub from: u64,
    /// Inode and whole records; 0 and none without the file. Or the error number of the system.
    pub outcome: Result<(u64, Vec<u8>), i32>,
}

impl LogReader {
    /// Reader of these files.
    pub fn new(log: Option<&LogTarget<'_>>, audit: Option<&LogTarget<'_>>) -> Self {
        let source = |target: &LogTarget<'_>, form, record_end| {
            Arc::new(Source { files: RotatedFiles::new(target.file, target.count), form, record_end })
        };
        let (done, results) = queue();
        let texts = log.filter(|log| !log.build.is_empty()).map(|log| {
            let path = TEXTS.to_owned() + log.build;
            let target = LogTarget { file: Path::new(&path), bytes: 0, count: 1, build: "" };
            source(&target, "text", b'\n')
        });
        Self {
            sources: [
                log.map(|log| source(log, FORM, RECORD_END)),
                audit.map(|audit| source(audit, "text", b'\n')),
                texts,
            ],
            done,
            results,
            is_reading: Cell::new(false),
        }
    }

    /// Starts a thread that reads a file of the log (`source` 0), of the audit trail (1) or of the format strings (2)
    /// from `since` on. Returns false until the result of an earlier one is taken, or if the system has no room for a
    /// thread.
    pub fn request(&self, call_id: u64, source: usize, number: usize, since: u64) -> bool {
        if self.is_reading.get() {
            return false;
        }
        let source = self.sources.get(source).cloned().flatten();
        let done = self.done.clone();
        let work = Box::new(move || {
            // There is room for the one that reads.
            let _ = done.try_send(read(source.as_deref(), call_id, number, since));
        });
        let started = thread::start("log reader", LOG_READER_STACK_BYTES, work);
        let is_started =
            started.inspect_err(|error| warning!("cannot start a thread: {}", Reason::from(error))).is_ok();
        self.is_reading.set(is_started);
        is_started
    }

    /// Waits for the next result.
    pub async fn result(&self) -> Option<LogRead> {
        let read = self.results.recv().await?;
        self.is_reading.set(false);
        Some(read)
    }
}

fn read(source: Option<&Source>, call_id: u64, number: usize, since: u64) -> LogRead {
    let outcome =
        source.ok_or(io::ErrorKind::NotFound.into()).and_then(|source| match source.files.open(number) {
            Ok(file) => records(&file, since, source.record_end),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok((0, Vec::new())),
            Err(error) => Err(error),
        });
    let form = source.map_or(FORM, |source| source.form);
    let errno = |error: io::Error| error.raw_os_error().unwrap_or(Errno::NOENT.raw_os_error());
    LogRead { call_id, form, from: since, outcome: outcome.map_err(errno) }
}

/// Inode of a file, and its whole records from `since` on.
fn records(file: &File, since: u64, record_end: u8) -> io::Result<(u64, Vec<u8>)> {
    let mut records = vec![0; LOG_WRITE_BYTES];
    let mut len = 0;
    while let Some(room) = records.get_mut(len..).filter(|room| !room.is_empty()) {
        match file.read_at(room, since.saturating_add(len as u64))? {
            0 => break,
            count => len += count,
        }
    }
    let is_full = len == records.len();
    records.truncate(len);
    match records.iter().rposition(|byte| *byte == record_end) {
        Some(last) => records.truncate(last + 1),
        // No record is as long as a page: these bytes are none.
        None if is_full => {}
        None => records.clear(),
    }
    Ok((file.metadata()?.ino(), records))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::sys::tests::TestDirectory;

    fn reader(file: &Path) -> LogReader {
        let target = LogTarget { file, bytes: 1, count: 2, build: "" };
        LogReader::new(None, Some(&target))
    }

    fn ask(reader: &LogReader, number: usize, since: u64) -> (u64, Vec<u8>) {
        assert!(reader.request(7, 1, number, since));
        let LogRead { call_id, form, from, outcome } = smol::future::block_on(reader.result()).unwrap();
        assert_eq!((call_id, form, from), (7, "text", since));
        outcome.unwrap()
    }

    #[test]
    fn pages_have_whole_records() {
        let directory = TestDirectory::new("reader");
        let file = directory.0.join("audit");
        let text: String = (0..500).map(|number| format!("line {number} of many\n")).collect();
        fs::write(&file, text.clone() + "a part").unwrap();
        fs::write(directory.0.join("audit.1"), "older\n").unwrap();
        let reader = reader(&file);
        let mut read = Vec::new();
        loop {
            let (inode, records) = ask(&reader, 0, read.len() as u64);
            assert_eq!(inode, fs::metadata(&file).unwrap().ino());
            assert!(records.len() <= LOG_WRITE_BYTES);
            if records.is_empty() {
                break;
            }
            assert_eq!(records.last(), Some(&b'\n'));
            read.extend(records);
        }
        assert_eq!(String::from_utf8(read).unwrap(), text);
        assert_eq!(ask(&reader, 1, 0).1, b"older\n");
        // Neither a file that is not there, nor what is behind the end.
        for (number, since) in [(2, 0), (usize::MAX, 0), (0, u64::MAX / 4)] {
            assert_eq!(ask(&reader, number, since).1, b"", "{number} {since}");
        }
        // Bytes without a record do not stop a reader.
        fs::write(&file, [0; 3 * LOG_WRITE_BYTES]).unwrap();
        assert_eq!(ask(&reader, 0, 0).1.len(), LOG_WRITE_BYTES);
    }

    #[test]
    fn one_file_is_read_at_a_time_and_a_source_without_files_is_an_error() {
        let directory = TestDirectory::new("reader-busy");
        let reader = reader(&directory.0.join("audit"));
        assert!(reader.request(1, 0, 0, 0));
        assert!(!reader.request(2, 1, 0, 0));
        let read = smol::future::block_on(reader.result()).unwrap();
        assert_eq!((read.call_id, read.outcome), (1, Err(Errno::NOENT.raw_os_error())));
        assert_eq!(ask(&reader, 0, 0), (0, Vec::new()));
    }
}
