//! Threads for work that may wait: for a disk, a mount or the processor.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, Thread};
use std::time::Duration;

/// Work of a thread. Boxed, so that the program contains the code that starts a thread once.
pub type Work = Box<dyn FnOnce() + Send>;

/// Starts a thread with this name and stack, which ends with its work.
///
/// # Errors
/// Error of the system: no memory or no threads left.
#[expect(clippy::disallowed_methods, reason = "the one place that starts a thread")]
pub fn start(name: &str, stack: usize, work: Work) -> io::Result<Thread> {
    let handle = Builder::new().name(name.to_owned()).stack_size(stack).spawn(work)?;
    Ok(handle.thread().clone())
}

/// Runs work that may hang on a thread, and waits for its result. `None`: there is none in time, or the system has no thread
/// for it.
pub fn within<T: Send + 'static>(
    name: &str,
    stack: usize,
    time: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let shared = Arc::new((Mutex::new(None), Condvar::new()));
    let theirs = Arc::clone(&shared);
    let run = move || {
        let result = work();
        *lock(&theirs.0) = Some(result);
        theirs.1.notify_one();
    };
    start(name, stack, Box::new(run)).ok()?;
    let (result, is_there) = &*shared;
    let waited = is_there.wait_timeout_while(lock(result), time, |result| result.is_none());
    waited.unwrap_or_else(PoisonError::into_inner).0.take()
}

/// Locks a value that no panic leaves half changed.
pub(super) fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}
