//! Writing of state files on a thread of its own: a disk that hangs delays the result of a write, not the
//! server.
//!
//! Each file is written twice before a write is acknowledged, so that a file that becomes damaged has a copy
//! with all of it ([`state_file`]). It is another thread than those of the log, because a log on another mount may
//! hang without an effect on the state, and the state without an effect on the log.

use std::fmt;
use std::io;
use std::path::Path;

use rustix::io::Errno;

use super::file::RenderError;
use super::{STATE_TEXT_BYTES, STATE_WRITES, enabled, paired, passwords, state_file, thread};
use crate::runtime::{Receiver, Sender, queue};

/// Stack size of the thread: the calls of a write, with a path on the stack.
pub const STATE_STACK_BYTES: usize = 32 * 1024;
/// Bytes of the queue, with its texts.
pub const STATE_QUEUE_BYTES: usize =
    STATE_WRITES * (size_of::<StateText>() + size_of::<Job>() + size_of::<StateResult>());

/// Content of a state file.
pub type StateText = heapless::String<STATE_TEXT_BYTES>;

/// File of records in the state directory.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Records {
    /// Services enabled or disabled by calls: [`EnabledFile`](super::EnabledFile).
    Enabled,
    /// Passwords changed by calls: [`PasswordsFile`](super::PasswordsFile).
    Passwords,
    /// Paired keys: [`PairedFile`](super::PairedFile).
    Paired,
}

impl Records {
    fn name(self) -> &'static str {
        match self {
            Self::Enabled => enabled::FILE,
            Self::Passwords => passwords::FILE,
            Self::Paired => paired::FILE,
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
    file: Records,
    text: Box<StateText>,
}

/// Thread that replaces state files atomically and synced, in order, with a queue of [`STATE_WRITES`]. It
/// exits when this is dropped.
#[derive(Debug)]
pub struct StateWriter {
    jobs: Sender<Job, STATE_WRITES>,
    /// Buffers of no job.
    spare: Receiver<Box<StateText>, STATE_WRITES>,
    give_back: Sender<Box<StateText>, STATE_WRITES>,
    results: Receiver<StateResult, STATE_WRITES>,
}

impl StateWriter {
    /// Starts the thread for the files of a directory, which need not exist.
    ///
    /// # Errors
    /// Error of the system: no thread can be started.
    pub fn start(directory: &Path) -> io::Result<Self> {
        // Made now, so that a write allocates nothing.
        let target =
            |file: Records| state_file::StateFile::new(&directory.join(file.name()), 0o600, 0).target();
        let error = |_| io::Error::from(io::ErrorKind::InvalidInput);
        let enabled = target(Records::Enabled).map_err(error)?;
        let passwords = target(Records::Passwords).map_err(error)?;
        let paired = target(Records::Paired).map_err(error)?;
        let (writer, waiting, done) = Self::new();
        let give_back = writer.give_back.clone();
        let run = move || {
            while let Some(Job { ticket, file, text }) = waiting.recv_blocking() {
                let target = match file {
                    Records::Enabled => &enabled,
                    Records::Passwords => &passwords,
                    Records::Paired => &paired,
                };
                let written = target.write(text.as_bytes());
                let outcome = written.map_err(|error| error.errno().unwrap_or(Errno::IO.raw_os_error()));
                // There is room for every buffer.
                let _ = give_back.try_send(text);
                if done.send_blocking(StateResult { ticket, outcome }).is_err() {
                    return;
                }
            }
        };
        thread::start("state", STATE_STACK_BYTES, Box::new(run))?;
        Ok(writer)
    }

    /// Queue without its thread, with the thread's ends of it.
    fn new() -> (Self, Receiver<Job, STATE_WRITES>, Sender<StateResult, STATE_WRITES>) {
        let (jobs, waiting) = queue();
        let (done, results) = queue();
        let (give_back, spare) = queue();
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
        file: Records,
        render: impl FnOnce(&mut StateText) -> Result<(), RenderError>,
    ) -> Result<(), SubmitError> {
        let mut text = self.spare.try_recv().ok_or(SubmitError::QueueFull)?;
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
        self.results.recv().await
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::fs;

    use super::*;
    use crate::sys::tests::TestDirectory;

    /// Records of the file, and of its copy.
    #[track_caller]
    fn content(directory: &TestDirectory, file: Records) -> String {
        let [text, copy] = ["", ".copy"]
            .map(|suffix| fs::read_to_string(directory.0.join(file.name().to_owned() + suffix)).unwrap());
        assert_eq!(text, copy);
        let records = state_file::records(text.as_bytes(), &|_| false).unwrap();
        String::from_utf8(records.to_vec()).unwrap()
    }

    fn result(writer: &StateWriter) -> StateResult {
        smol::future::block_on(writer.result()).unwrap()
    }

    fn submit(writer: &StateWriter, ticket: u64, file: Records, text: &str) -> Result<(), SubmitError> {
        writer.submit(ticket, file, |room| Ok(room.write_str(text)?))
    }

    #[test]
    fn files_are_written_in_order() {
        let directory = TestDirectory::new("order");
        let writer = StateWriter::start(&directory.0).unwrap();
        for (ticket, file, text) in [
            (1, Records::Enabled, "one"),
            (2, Records::Passwords, "two"),
            (3, Records::Enabled, "three"),
            (4, Records::Enabled, ""),
            (5, Records::Enabled, "five"),
        ] {
            submit(&writer, ticket, file, text).unwrap();
            assert_eq!(result(&writer), StateResult { ticket, outcome: Ok(()) });
            assert_eq!(content(&directory, file), text);
        }
        assert_eq!(content(&directory, Records::Passwords), "two");
        assert_eq!(fs::read_dir(&directory.0).unwrap().count(), 4);
    }

    #[test]
    fn failed_write_has_its_error_and_leaves_the_old_file() {
        let directory = TestDirectory::new("fail");
        let writer = StateWriter::start(&directory.0).unwrap();
        submit(&writer, 1, Records::Enabled, "old").unwrap();
        assert_eq!(result(&writer).outcome, Ok(()));
        // A directory has the name.
        let name = directory.0.join("enabled");
        fs::rename(&name, directory.0.join("old")).unwrap();
        fs::create_dir(&name).unwrap();
        submit(&writer, 2, Records::Enabled, "new").unwrap();
        let outcome = Err(Errno::ISDIR.raw_os_error());
        assert_eq!(result(&writer), StateResult { ticket: 2, outcome });
        fs::remove_dir(&name).unwrap();
        fs::rename(directory.0.join("old"), &name).unwrap();
        assert_eq!(content(&directory, Records::Enabled), "old");
        fs::remove_dir_all(&directory.0).unwrap();
        submit(&writer, 3, Records::Enabled, "new").unwrap();
        let outcome = Err(Errno::NOENT.raw_os_error());
        assert_eq!(result(&writer), StateResult { ticket: 3, outcome });
    }

    #[test]
    fn directory_with_the_temporary_name_is_set_aside() {
        let directory = TestDirectory::new("temporary");
        let writer = StateWriter::start(&directory.0).unwrap();
        for name in [".enabled.new", ".enabled.copy.new"] {
            fs::create_dir_all(directory.0.join(name).join("x")).unwrap();
        }
        submit(&writer, 1, Records::Enabled, "new").unwrap();
        assert_eq!(result(&writer).outcome, Ok(()));
        assert_eq!(content(&directory, Records::Enabled), "new");
        assert!(directory.0.join(".enabled.new.broken/x").exists());
    }

    #[test]
    fn copy_that_cannot_be_written_is_removed() {
        let directory = TestDirectory::new("no-copy");
        let writer = StateWriter::start(&directory.0).unwrap();
        submit(&writer, 1, Records::Passwords, "old").unwrap();
        assert_eq!(result(&writer).outcome, Ok(()));
        for name in ["", ".broken", ".broken.1"] {
            fs::create_dir_all(directory.0.join(format!(".passwords.copy.new{name}/x"))).unwrap();
        }
        submit(&writer, 2, Records::Passwords, "new").unwrap();
        assert_eq!(result(&writer).outcome, Ok(()));
        let file = fs::read(directory.0.join("passwords")).unwrap();
        assert_eq!(file, state_file::with_header(b"new"));
        assert!(!directory.0.join("passwords.copy").exists());
    }

    #[test]
    fn queue_rejects_writes_over_its_limit() {
        // Without its thread, as on a disk that hangs, nothing leaves the queue.
        let (writer, waiting, _done) = StateWriter::new();
        for ticket in 0..STATE_WRITES as u64 {
            submit(&writer, ticket, Records::Enabled, "x").unwrap();
        }
        assert_eq!(submit(&writer, 99, Records::Enabled, "x"), Err(SubmitError::QueueFull));
        drop(waiting);
        assert_eq!(submit(&writer, 100, Records::Enabled, "x"), Err(SubmitError::QueueFull));
    }

    #[test]
    fn text_over_its_limit_is_rejected_and_its_buffer_used_again() {
        let directory = TestDirectory::new("long");
        let writer = StateWriter::start(&directory.0).unwrap();
        let longest = "x".repeat(STATE_TEXT_BYTES);
        for ticket in 0..2 * STATE_WRITES as u64 {
            let error = submit(&writer, ticket, Records::Enabled, &(longest.clone() + "x"));
            assert_eq!(error, Err(SubmitError::Render(RenderError::TooLong)));
        }
        submit(&writer, 1, Records::Enabled, &longest).unwrap();
        assert_eq!(result(&writer).outcome, Ok(()));
        assert_eq!(content(&directory, Records::Enabled), longest);
    }
}
