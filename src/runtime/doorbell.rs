//! How a sleeping loop is woken from outside.

use core::sync::atomic::{AtomicBool, Ordering};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;

/// Wakes the loop out of epoll_wait(2). While the loop is awake, which it is whenever its own tasks
/// wake each other, ringing costs no system call.
#[derive(Debug)]
pub(super) struct Doorbell {
    descriptor: OwnedFd,
    sleeping: AtomicBool,
}

impl Doorbell {
    pub(super) fn new() -> Result<Self, Errno> {
        let descriptor = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { descriptor, sleeping: AtomicBool::new(false) })
    }

    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }

    /// Something has been made ready: the loop is not to sleep on.
    pub(super) fn ring(&self) {
        // SeqCst, with `lie_down`: either the loop sees what was made ready before this, or this sees
        // that it sleeps.
        if self.sleeping.swap(false, Ordering::SeqCst) {
            // It can only fail when the counter is full, and then it has been rung.
            let _ = rustix::io::write(&self.descriptor, &1_u64.to_ne_bytes());
        }
    }

    /// The loop is about to sleep, and looks once more at what is ready after this.
    pub(super) fn lie_down(&self) {
        self.sleeping.store(true, Ordering::SeqCst);
    }

    /// The loop is awake.
    pub(super) fn get_up(&self) {
        self.sleeping.store(false, Ordering::SeqCst);
    }

    /// It was the bell that woke it: the next ringing is to be heard, too.
    pub(super) fn answer(&self) {
        let _ = rustix::io::read(&self.descriptor, &mut [0; 8]);
    }
}
