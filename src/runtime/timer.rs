//! A time that a task waits for.

use core::future::poll_fn;
use core::task::{Context, Poll};
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::reactor::Reactor;

/// An alarm clock of one task; made once and set as often as wanted, without taking memory.
#[derive(Debug)]
pub struct Timer {
    reactor: Rc<Reactor>,
    alarm: usize,
}

impl Timer {
    /// One that is not set.
    ///
    /// # Errors
    /// This thread has no reactor, and the system has no descriptors left for one.
    pub fn new() -> io::Result<Self> {
        let reactor = Reactor::of_this_thread()?;
        let (alarm, _) = reactor.alarms.borrow_mut().take();
        Ok(Self { reactor, alarm })
    }

    /// Sets when it goes off, or that it does not. It is no more exact than the loop's turns are short.
    pub fn set(&self, deadline: Option<Instant>) {
        if let Some(alarm) = self.reactor.alarms.borrow_mut().get_mut(self.alarm) {
            alarm.deadline = deadline;
        }
        if let Some(deadline) = deadline {
            self.reactor.note_alarm(deadline);
        }
    }

    /// Ready once when it has gone off; it is not set then.
    pub fn poll(&self, context: &Context<'_>) -> Poll<()> {
        let mut alarms = self.reactor.alarms.borrow_mut();
        let Some(alarm) = alarms.get_mut(self.alarm) else { return Poll::Pending };
        if alarm.deadline.is_some_and(|deadline| deadline <= self.reactor.now()) {
            alarm.deadline = None;
            return Poll::Ready(());
        }
        match &mut alarm.waker {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        Poll::Pending
    }

    /// Waits for so long, counted from the present turn of the loop.
    pub async fn after(&self, time: Duration) {
        self.set(self.reactor.now().checked_add(time));
        poll_fn(|context| self.poll(context)).await;
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        let mut alarms = self.reactor.alarms.borrow_mut();
        if let Some(alarm) = alarms.get_mut(self.alarm) {
            *alarm = Default::default();
        }
        alarms.give_back(self.alarm);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::{Tasks, block_on};

    #[test]
    fn goes_off_in_order_and_not_early() {
        let start = Instant::now();
        let (short, long) = (Timer::new().unwrap(), Timer::new().unwrap());
        let told = std::cell::RefCell::new(Vec::new());
        let wait = async |timer: &Timer, ms: u64| {
            timer.after(Duration::from_millis(ms)).await;
            told.borrow_mut().push(ms);
        };
        let both = smol::future::zip(wait(&long, 60), wait(&short, 20));
        block_on(&mut Tasks::new(0), both).unwrap();
        assert_eq!(*told.borrow(), [20, 60]);
        // The loop's time is that of its last turn, which was before the start.
        assert!(start.elapsed() >= Duration::from_millis(50), "{:?}", start.elapsed());
    }

    #[test]
    fn one_that_is_put_off_or_switched_off_is_silent() {
        let timer = Timer::new().unwrap();
        let other = Timer::new().unwrap();
        timer.set(Some(Instant::now()));
        timer.set(None);
        let silent = async {
            poll_fn(|context| timer.poll(context)).await;
            "rang"
        };
        let end = async {
            other.after(Duration::from_millis(30)).await;
            "silent"
        };
        assert_eq!(block_on(&mut Tasks::new(0), smol::future::or(silent, end)).unwrap(), "silent");
    }
}
