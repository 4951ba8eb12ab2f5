//! Waking one task.

use core::cell::{Cell, RefCell};
use core::task::{Context, Poll, Waker};

/// Wakes the one task that listens to it. Rung while nobody listens, it is heard at once by the
/// next who does. Allocates nothing.
#[derive(Debug, Default)]
pub struct Bell {
    rung: Cell<bool>,
    listener: RefCell<Option<Waker>>,
}

impl Bell {
    /// Wakes the listener.
    pub fn ring(&self) {
        self.rung.set(true);
        if let Some(waker) = self.listener.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }

    /// Listens; ready when the bell has been rung since it was last heard.
    pub fn poll(&self, context: &Context<'_>) -> Poll<()> {
        let mut listener = self.listener.borrow_mut();
        match listener.as_mut() {
            Some(waker) => waker.clone_from(context.waker()),
            None => *listener = Some(context.waker().clone()),
        }
        if self.rung.take() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Waits until the bell is rung.
    pub async fn heard(&self) {
        core::future::poll_fn(|context| self.poll(context)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ring_before_listening_is_heard_once() {
        let bell = Bell::default();
        let context = Context::from_waker(Waker::noop());
        bell.ring();
        bell.ring();
        assert_eq!(bell.poll(&context), Poll::Ready(()));
        assert_eq!(bell.poll(&context), Poll::Pending);
    }
}
