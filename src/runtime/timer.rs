//! Deadlines of tasks.

use core::future::poll_fn;
use core::task::{Context, Poll};
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::notify::register;
use super::reactor::Reactor;

/// Deadline of one task. Only [`Timer::new`] allocates.
#[derive(Debug)]
pub struct Timer {
    reactor: Rc<Reactor>,
    entry: usize,
}

impl Timer {
    /// Creates a timer without a deadline.
    ///
    /// # Errors
    /// This thread has no reactor, and the system has no descriptors left.
    pub fn new() -> io::Result<Self> {
        let reactor = Reactor::of_this_thread()?;
        let (entry, _) = reactor.timers.borrow_mut().insert();
        Ok(Self { reactor, entry })
    }

    /// Sets the deadline, or none. The task is woken at the first wake-up of the loop that is not before it.
    pub fn set(&self, deadline: Option<Instant>) {
        self.reactor.set_timer(self.entry, deadline);
    }

    /// Returns true if the deadline has passed, and removes it.
    pub fn take_expired(&self) -> bool {
        let mut timers = self.reactor.timers.borrow_mut();
        let Some(timer) = timers.get_mut(self.entry) else { return false };
        let is_expired = timer.deadline.is_some_and(|deadline| deadline <= self.reactor.now());
        if is_expired {
            timer.deadline = None;
        }
        is_expired
    }

    /// Registers this task for the deadline, in place of the one before.
    pub fn listen(&self, context: &Context<'_>) {
        if let Some(timer) = self.reactor.timers.borrow_mut().get_mut(self.entry) {
            register(&mut timer.waker, context);
        }
    }

    /// Ready, once, when the deadline has passed; else this task is woken when it has.
    pub fn poll(&self, context: &Context<'_>) -> Poll<()> {
        if self.take_expired() {
            return Poll::Ready(());
        }
        self.listen(context);
        Poll::Pending
    }

    /// Waits for `time`, counted from the last wake-up of the loop.
    pub async fn after(&self, time: Duration) {
        self.set(self.reactor.now().checked_add(time));
        poll_fn(|context| self.poll(context)).await;
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.set(None);
        let mut timers = self.reactor.timers.borrow_mut();
        if let Some(timer) = timers.get_mut(self.entry) {
            timer.waker = None;
        }
        timers.remove(self.entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::{Tasks, block_on};

    #[test]
    fn timers_fire_in_order_and_not_early() {
        let start = Instant::now();
        let (short, long) = (Timer::new().unwrap(), Timer::new().unwrap());
        let fired = std::cell::RefCell::new(Vec::new());
        let wait = async |timer: &Timer, ms: u64| {
            timer.after(Duration::from_millis(ms)).await;
            fired.borrow_mut().push(ms);
        };
        // On a busy machine the loop may run again only once both of two close deadlines have passed.
        let both = smol::future::zip(wait(&long, 1000), wait(&short, 20));
        block_on(&mut Tasks::new(0), both).unwrap();
        assert_eq!(*fired.borrow(), [20, 1000]);
        // The loop counts from its last wake-up, which was before the start.
        assert!(start.elapsed() >= Duration::from_millis(990), "{:?}", start.elapsed());
    }

    #[test]
    fn timer_without_a_deadline_does_not_fire() {
        let timer = Timer::new().unwrap();
        let other = Timer::new().unwrap();
        timer.set(Some(Instant::now()));
        timer.set(None);
        let silent = async {
            poll_fn(|context| timer.poll(context)).await;
            "fired"
        };
        let end = async {
            other.after(Duration::from_millis(30)).await;
            "silent"
        };
        assert_eq!(block_on(&mut Tasks::new(0), smol::future::or(silent, end)).unwrap(), "silent");
    }
}
