//! Writing of state files on a thread of its own: a disk that hangs delays the result of a write, not the
//! server.
//!
//! It is another thread than those of the log, because a log on another mount may hang without an effect on
//! the state, and the state without an effect on the log.

use std::fmt;
use std::path::Path;
use std::{io, thread};

use rustix::io::Errno;
use smol::channel::{Receiver, Sender, bounded};

use super::file::{AtomicFile, FileReason, RenderError};
use super::{STATE_TEXT_BYTES, STATE_WRITES, enabled, passwords};

/// Stack size of the thread: the calls of a write, with a path on the stack.
pub const STATE_STACK_BYTES: usize = 32 * 1024;
/// Bytes of the queue, with its texts.
pub const STATE_QUEUE_BYTES: usize =
    STATE_WRITES * (size_of::<StateText>() + size_of::<Job>() + size_of::<StateResult>());

/// Content of a state file.
pub type StateText = heapless::String<STATE_TEXT_BYTES>;

/// File of the state directory.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StateFile {
    /// Services enabled or disabled by calls: [`EnabledFile`](super::EnabledFile).
    Enabled,
    /// Passwords changed by calls: [`PasswordsFile`](super::PasswordsFile).
    Passwords,
}

impl StateFile {
    fn name(self) -> &'static str {
        match self {
            Self::Enabled => enabled::FILE,
            Self::Passwords => passwords::FILE,
        }
    }
}

/// Reason why a write is not queued.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SubmitError {
    /// [`STATE_WRITES`] writes wait.
    QueueFull,
    /// There is nothing to write.
    Render(RenderError),
}

impl fmt::Display for SubmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::QueueFull => write!(f, "{STATE_WRITES} writes wait for the disk"),
            Self::Render(RenderError::TooLong) => write!(f, "longer than {STATE_TEXT_BYTES} bytes"),
            Self::Render(RenderError::NotRead) => f.write_str("the old file could not be read"),
        }
    }
}

/// Result of a write.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct StateResult {
    /// Number of the write.
    pub ticket: u64,
    /// Error number of the system if it failed; the old file remains.
    pub outcome: Result<(), i32>,
}

/// Write in the queue.
struct Job {
    ticket: u64,
    file: StateFile,
    text: Box<StateText>,
}

/// Thread that replaces state files atomically and synced, in order, with a queue of [`STATE_WRITES`]. It
/// exits when this is dropped.
#[derive(Debug)]
pub struct StateWriter {
    jobs: Sender<Job>,
    /// Buffers of no job.
    spare: Receiver<Box<StateText>>,
    give_back: Sender<Box<StateText>>,
    results: Receiver<StateResult>,
}

impl StateWriter {
    /// Starts the thread for the files of a directory, which need not exist.
    ///
    /// # Errors
    /// Error of the system: no thread can be started.
    #[expect(clippy::disallowed_methods, reason = "a write must not block the server's thread")]
    pub fn start(directory: &Path) -> io::Result<Self> {
        // Made now, so that a write allocates nothing.
        let target = |file: StateFile| AtomicFile::new(&directory.join(file.name()), 0o600);
        let error = |_| io::Error::from(io::ErrorKind::InvalidInput);
        let enabled = target(StateFile::Enabled).map_err(error)?;
        let passwords = target(StateFile::Passwords).map_err(error)?;
        let (writer, waiting, done) = Self::new();
        let give_back = writer.give_back.clone();
        let run = move || {
            while let Ok(Job { ticket, file, text }) = waiting.recv_blocking() {
                let target = match file {
                    StateFile::Enabled => &enabled,
                    StateFile::Passwords => &passwords,
                };
                let outcome = target.write(text.as_bytes()).map_err(|error| match error.reason {
                    FileReason::Io(error) => error.raw_os_error().unwrap_or(Errno::IO.raw_os_error()),
                    _ => Errno::IO.raw_os_error(),
                });
                // There is room for every buffer.
                let _ = give_back.try_send(text);
                if done.send_blocking(StateResult { ticket, outcome }).is_err() {
                    return;
                }
            }
        };
        thread::Builder::new().name("state".to_owned()).stack_size(STATE_STACK_BYTES).spawn(run)?;
        Ok(writer)
    }

    /// Queue without its thread, with the thread's ends of it.
    fn new() -> (Self, Receiver<Job>, Sender<StateResult>) {
        let (jobs, waiting) = bounded(STATE_WRITES);
        let (done, results) = bounded(STATE_WRITES);
        let (give_back, spare) = bounded(STATE_WRITES);
        for _ in 0..STATE_WRITES {
            // There is room for every buffer.
            let _ = give_back.try_send(Box::default());
        }
        (Self { jobs, spare, give_back, results }, waiting, done)
    }

    /// Queues a write of the text that `render` makes.
    ///
    /// # Errors
    /// The queue is full, or `render` fails.
    pub fn submit(
        &self,
        ticket: u64,
        file: StateFile,
        render: impl FnOnce(&mut StateText) -> Result<(), RenderError>,
    ) -> Result<(), SubmitError> {
        let mut text = self.spare.try_recv().map_err(|_| SubmitError::QueueFull)?;
        text.clear();
        if let Err(error) = render(&mut text) {
            // There is room for every buffer.
            let _ = self.give_back.try_send(text);
            return Err(SubmitError::Render(error));
        }
        self.jobs.try_send(Job { ticket, file, text }).map_err(|_| SubmitError::QueueFull)
    }

    /// Waits for the next result. `None` means that the thread has exited.
    pub async fn result(&self) -> Option<StateResult> {
        self.results.recv().await.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::fs;

    use super::*;
    use crate::sys::tests::TestDirectory;

    fn content(directory: &TestDirectory, file: StateFile) -> String {
        fs::read_to_string(directory.0.join(file.name())).unwrap()
    }

    fn result(writer: &StateWriter) -> StateResult {
        smol::future::block_on(writer.result()).unwrap()
    }

    fn submit(writer: &StateWriter, ticket: u64, file: StateFile, text: &str) -> Result<(), SubmitError> {
        writer.submit(ticket, file, |room| Ok(room.write_str(text)?))
    }

    #[test]
    fn files_are_written_in_order() {
        let directory = TestDirectory::new("order");
        let writer = StateWriter::start(&directory.0).unwrap();
        for (ticket, file, text) in [
            (1, StateFile::Enabled, "one"),
            (2, StateFile::Passwords, "two"),
            (3, StateFile::Enabled, "three"),
            (4, StateFile::Enabled, ""),
            (5, StateFile::Enabled, "five"),
        ] {
            submit(&writer, ticket, file, text).unwrap();
            assert_eq!(result(&writer), StateResult { ticket, outcome: Ok(()) });
            assert_eq!(content(&directory, file), text);
        }
        assert_eq!(content(&directory, StateFile::Passwords), "two");
        assert_eq!(fs::read_dir(&directory.0).unwrap().count(), 2);
    }

    #[test]
    fn failed_write_has_its_error_and_leaves_the_old_file() {
        let directory = TestDirectory::new("fail");
        let writer = StateWriter::start(&directory.0).unwrap();
        submit(&writer, 1, StateFile::Enabled, "old").unwrap();
        assert_eq!(result(&writer).outcome, Ok(()));
        // A directory has the temporary name.
        fs::create_dir(directory.0.join(".enabled.new")).unwrap();
        submit(&writer, 2, StateFile::Enabled, "new").unwrap();
        let StateResult { ticket, outcome } = result(&writer);
        assert!(ticket == 2 && outcome.is_err(), "{outcome:?}");
        assert_eq!(content(&directory, StateFile::Enabled), "old");
        fs::remove_dir_all(&directory.0).unwrap();
        submit(&writer, 3, StateFile::Enabled, "new").unwrap();
        let outcome = Err(Errno::NOENT.raw_os_error());
        assert_eq!(result(&writer), StateResult { ticket: 3, outcome });
    }

    #[test]
    fn queue_rejects_writes_over_its_limit() {
        // Without its thread, as on a disk that hangs, nothing leaves the queue.
        let (writer, waiting, _done) = StateWriter::new();
        for ticket in 0..STATE_WRITES as u64 {
            submit(&writer, ticket, StateFile::Enabled, "x").unwrap();
        }
        assert_eq!(submit(&writer, 99, StateFile::Enabled, "x"), Err(SubmitError::QueueFull));
        drop(waiting);
        assert_eq!(submit(&writer, 100, StateFile::Enabled, "x"), Err(SubmitError::QueueFull));
    }

    #[test]
    fn text_over_its_limit_is_rejected_and_its_buffer_used_again() {
        let directory = TestDirectory::new("long");
        let writer = StateWriter::start(&directory.0).unwrap();
        let longest = "x".repeat(STATE_TEXT_BYTES);
        for ticket in 0..2 * STATE_WRITES as u64 {
            let error = submit(&writer, ticket, StateFile::Enabled, &(longest.clone() + "x"));
            assert_eq!(error, Err(SubmitError::Render(RenderError::TooLong)));
        }
        submit(&writer, 1, StateFile::Enabled, &longest).unwrap();
        assert_eq!(result(&writer).outcome, Ok(()));
        assert_eq!(content(&directory, StateFile::Enabled), longest);
    }
}
