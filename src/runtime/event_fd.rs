//! The descriptor that wakes a sleeping loop.

use core::sync::atomic::{AtomicBool, Ordering};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;

/// Wakes the loop out of epoll_wait(2), from any thread. While the loop is awake, as it is whenever its
/// own tasks wake each other, [`wake`](Self::wake) costs no system call.
#[derive(Debug)]
pub(super) struct EventFd {
    descriptor: OwnedFd,
    is_sleeping: AtomicBool,
}

impl EventFd {
    pub(super) fn new() -> Result<Self, Errno> {
        let descriptor = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { descriptor, is_sleeping: AtomicBool::new(false) })
    }

    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }

    /// Wakes the loop if it sleeps.
    pub(super) fn wake(&self) {
        // SeqCst, with `prepare_sleep`: either the loop sees the bit set before this call, or this call
        // sees that the loop sleeps.
        if self.is_sleeping.swap(false, Ordering::SeqCst) {
            let written = rustix::io::write(&self.descriptor, &1_u64.to_ne_bytes());
            // A full counter is readable already, which is all that counts.
            debug_assert!(matches!(written, Ok(_) | Err(Errno::AGAIN)), "eventfd: {written:?}");
        }
    }

    /// Announces that the loop is about to sleep. The loop looks for woken tasks once more after this.
    pub(super) fn prepare_sleep(&self) {
        self.is_sleeping.store(true, Ordering::SeqCst);
    }

    /// Announces that the loop is awake.
    pub(super) fn finish_sleep(&self) {
        self.is_sleeping.store(false, Ordering::SeqCst);
    }

    /// Resets the counter, so that the next [`wake`](Self::wake) is an event again.
    pub(super) fn drain(&self) {
        let read = rustix::io::read(&self.descriptor, &mut [0; 8]);
        debug_assert!(matches!(read, Ok(8) | Err(Errno::AGAIN)), "eventfd: {read:?}");
    }
}
