//! Event loop: one epoll instance, a fixed table of tasks, timers.
//!
//! The server runs in tasks of [`Tasks`], which [`block_on()`] polls on one thread. A task waits for a
//! descriptor ([`AsyncFd`]), a time ([`Timer`]) or a [`Notify`] from another task. Each of them stores the
//! waker of the task, and waking sets one bit. A message therefore costs three system calls (wait, read,
//! write) and no allocation. A waker may be used from another thread, and a [`queue()`] connects one with a task.
//!
//! Each thread has its own reactor, created on first use. An [`AsyncFd`] and a [`Timer`] belong to the
//! reactor of the thread that created them.

mod async_fd;
mod event_fd;
mod notify;
mod queue;
mod reactor;
mod slab;
mod tasks;
mod timer;

pub use async_fd::AsyncFd;
pub use notify::Notify;
pub use queue::{NotSent, Receiver, Sender, queue};
pub use reactor::{ENTRY_BYTES, now};
pub use tasks::{Full, TASK_BYTES, Tasks, block_on};
pub use timer::Timer;

use core::time::Duration;

crate::limits::limits! {
    /// Pause between activity and the upkeep that follows it: deadlines are checked, the log is written,
    /// idle memory is released.
    UPKEEP_DELAY: Duration = Duration::from_millis(250), fixed "a pause: an assertion holds every deadline longer";
}
