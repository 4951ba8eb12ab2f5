//! Log threads of the server: one writes to standard error, one to the files of the log and of the audit trail.
//!
//! Either descriptor may block for any time: a pipe that its reader does not empty, a terminal with flow
//! control, a mount that hangs. The event loop adds lines to the queue of standard error ([`log::attach`])
//! and records to the ring of the log, and waits for neither. A thread for each, because a mount that hangs
//! must not stop standard error, nor a full pipe the files.
//!
//! The server starts them, not the program before it: a process that forks has no other thread. They sleep
//! without a system call while there is nothing to write, and allocate nothing after their start.

use std::panic::PanicHookInfo;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Thread;
use std::time::{Duration, Instant};
use std::{io, thread};

use rustix::io::Errno;

use super::LOG_FLUSH_TIMEOUT;
use super::audit_files::AuditWriter;
use super::log_files::{LogTarget, LogWriter};
use crate::log::{self, Batch};
use crate::runtime::UPKEEP_DELAY;

/// Stack size of the thread of standard error.
pub const STDERR_STACK_BYTES: usize = 32 * 1024;
/// Stack size of the thread of the log files, which also logs its own failures.
pub const LOG_FILES_STACK_BYTES: usize = 48 * 1024;
/// Bytes of the buffer of the thread of standard error.
pub const STDERR_BUFFER_BYTES: usize = size_of::<Batch>();

/// Name of the thread of standard error.
const STDERR_NAME: &str = "stderr";

static CONTROL: Mutex<Control> = Mutex::new(Control {
    requested: 0,
    stderr: Worker { thread: None, finished: 0 },
    files: Worker { thread: None, finished: 0 },
    writers: None,
    is_due: false,
});
/// Notified when `finished` of a worker changes.
static FINISHED: Condvar = Condvar::new();

/// Requests to the threads.
struct Control {
    /// Number of flushes requested.
    requested: u32,
    stderr: Worker,
    files: Worker,
    /// Writers of a server that starts.
    writers: Option<Writers>,
    /// New records are to be written to the files.
    is_due: bool,
}

/// Writers of the files.
struct Writers {
    log: Option<LogWriter>,
    audit: Option<AuditWriter>,
}

impl Writers {
    /// Runs `on_log` and `on_audit` on the writers that there are, and returns the earlier of their next times.
    fn each(
        &mut self,
        now: Duration,
        on_log: impl FnOnce(&mut LogWriter, Duration),
        on_audit: impl FnOnce(&mut AuditWriter, Duration),
    ) -> Option<Duration> {
        // First the audit: a failure of it is a record.
        let audit = self.audit.as_mut().and_then(|audit| {
            on_audit(audit, now);
            audit.poll_timeout(now)
        });
        let log = self.log.as_mut().and_then(|log| {
            on_log(log, now);
            log.poll_timeout(now)
        });
        log.into_iter().chain(audit).min()
    }
}

/// A thread, once it is started.
struct Worker {
    thread: Option<Thread>,
    /// Number of the newest flush that is finished.
    finished: u32,
}

impl Worker {
    fn wake(&self) {
        if let Some(thread) = &self.thread {
            thread.unpark();
        }
    }

    fn has_finished(&self, request: u32) -> bool {
        self.thread.is_none() || self.finished == request
    }
}

/// Starts the threads, unless they run: that of the files only if there are any.
///
/// # Errors
/// Error of the system: a thread cannot be started.
pub fn start(log: Option<&LogTarget<'_>>, audit: Option<&LogTarget<'_>>) -> io::Result<()> {
    let mut control = lock();
    if control.stderr.thread.is_none() {
        let batch = Box::default();
        let thread = super::thread::start(STDERR_NAME, STDERR_STACK_BYTES, Box::new(|| run_stderr(batch)))?;
        log::attach(thread.clone());
        control.stderr.thread = Some(thread);
    }
    if audit.is_some() {
        log::audit::enable();
    }
    let has_files = log.is_some() || audit.is_some();
    control.writers = None;
    if has_files {
        control.writers = Some(Writers { log: log.map(LogWriter::new), audit: audit.map(AuditWriter::new) });
    }
    if has_files && control.files.thread.is_none() {
        control.files.thread =
            Some(super::thread::start("log files", LOG_FILES_STACK_BYTES, Box::new(run_files))?);
    }
    control.files.wake();
    Ok(())
}

/// Requests a write of new records and lines to the files, if there are any.
pub fn write_files() {
    if log::has_unwritten() || log::audit::is_dirty() {
        let mut control = lock();
        control.is_due = true;
        control.files.wake();
    }
}

/// Waits until every line and record is written, at most [`LOG_FLUSH_TIMEOUT`]. Returns false after it.
pub fn flush() -> bool {
    let mut control = lock();
    control.requested = control.requested.wrapping_add(1);
    let request = control.requested;
    control.stderr.wake();
    control.files.wake();
    let is_pending =
        |control: &mut Control| !control.stderr.has_finished(request) || !control.files.has_finished(request);
    let waited = FINISHED.wait_timeout_while(control, LOG_FLUSH_TIMEOUT, is_pending);
    !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
}

/// Logs every panic with its location, and flushes the log before the process ends.
pub fn log_panics() {
    let default_hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        log_panic(panic);
        // The default hook writes to standard error, which may block, and then the process would not end.
        if !log::is_attached() || thread::current().name() == Some(STDERR_NAME) {
            default_hook(panic);
        }
        flush();
    }));
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    let payload = panic.payload();
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
    match panic.location() {
        Some(location) => {
            log::console::error!("panic at {}:{}: {}", location.file(), location.line(), text);
        }
        None => log::console::error!("panic: {}", text),
    }
}

fn lock() -> MutexGuard<'static, Control> {
    CONTROL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Marks a flush as finished.
fn finish(request: u32, worker: impl Fn(&mut Control) -> &mut Worker) {
    let mut control = lock();
    let worker = worker(&mut control);
    if worker.finished != request {
        worker.finished = request;
        FINISHED.notify_all();
    }
}

/// Writes lines to standard error.
fn run_stderr(mut batch: Box<Batch>) {
    loop {
        let request = lock().requested;
        while !batch.pending().is_empty() || log::fill(&mut batch) {
            match rustix::io::write(rustix::stdio::stderr(), batch.pending()) {
                Ok(count) if count > 0 => batch.handle_written(count),
                Err(Errno::INTR) => {}
                // Another process has made the descriptor non-blocking.
                Err(Errno::AGAIN) => thread::sleep(UPKEEP_DELAY),
                Ok(_) | Err(_) => log::discard(&mut batch),
            }
        }
        finish(request, |control| &mut control.stderr);
        thread::park();
    }
}

/// Writes records to the log files.
fn run_files() {
    let start = Instant::now();
    let mut writers: Option<Writers> = None;
    // Time of the next write; a flush that is not finished.
    let (mut due, mut finished) = (None, 0);
    loop {
        let mut control = lock();
        let new = control.writers.take();
        let is_due = core::mem::take(&mut control.is_due);
        let request = control.requested;
        drop(control);
        let now = start.elapsed();
        if let Some(mut new) = new {
            // At once, so that the number of open files does not change later.
            new.each(now, LogWriter::open, AuditWriter::open);
            due = Some(now);
            writers = Some(new);
        }
        if let Some(writers) = &mut writers {
            if request != finished {
                due = writers.each(now, LogWriter::flush_all, AuditWriter::flush_all);
            } else if is_due || due.is_some_and(|due| due <= now) {
                due = writers.each(now, LogWriter::flush, AuditWriter::flush);
            }
        }
        finished = request;
        finish(request, |control| &mut control.files);
        match due {
            Some(due) => thread::park_timeout(due.saturating_sub(start.elapsed())),
            None => thread::park(),
        }
    }
}
