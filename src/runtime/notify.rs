//! Notification from one task to another.

use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::task::{Context, Poll, Waker};

/// Flag that one task waits for. It stays set until a task waits, so no notification is lost. Several count
/// as one. It allocates nothing.
#[derive(Debug, Default)]
pub struct Notify {
    is_notified: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Notify {
    /// Sets the flag and wakes the task.
    pub fn notify(&self) {
        self.is_notified.set(true);
        if let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }

    /// Registers this task and clears the flag, for a task that checks all of its events at every poll.
    /// Returns the flag before that.
    pub fn listen(&self, context: &Context<'_>) -> bool {
        register(&mut self.waker.borrow_mut(), context);
        self.is_notified.take()
    }

    /// Ready, once, when the flag is set; else this task is woken when it is.
    pub fn poll_notified(&self, context: &Context<'_>) -> Poll<()> {
        if self.listen(context) { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Waits until the flag is set, and clears it.
    pub async fn notified(&self) {
        poll_fn(|context| self.poll_notified(context)).await;
    }
}

/// Stores the waker of this task in place of the previous one.
pub(super) fn register(place: &mut Option<Waker>, context: &Context<'_>) {
    match place {
        Some(waker) => waker.clone_from(context.waker()),
        none => *none = Some(context.waker().clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notification_before_waiting_is_seen_once() {
        let notify = Notify::default();
        let context = Context::from_waker(Waker::noop());
        notify.notify();
        notify.notify();
        assert_eq!(notify.poll_notified(&context), Poll::Ready(()));
        assert_eq!(notify.poll_notified(&context), Poll::Pending);
    }
}
