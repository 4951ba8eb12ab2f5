//! Threads for work that may wait: for a disk, a mount or the processor.

use std::io;
use std::thread::{Builder, Thread};

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
