//! Queue of a fixed capacity between threads: a task of the loop awaits what a worker sends, or the reverse.

use core::future::poll_fn;
use core::task::{Context, Poll, Waker};
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use heapless::Deque;

use super::notify::register;

/// Queue of up to `N` items. It allocates now, and nothing later.
pub fn queue<T, const N: usize>() -> (Sender<T, N>, Receiver<T, N>) {
    let state = State { items: Deque::new(), senders: 1, has_receiver: true, waker: None, blocked: 0 };
    let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
    (Sender(Arc::clone(&shared)), Receiver(shared))
}

/// End of a queue that sends.
pub struct Sender<T, const N: usize>(Arc<Shared<T, N>>);

/// End of a queue that receives.
pub struct Receiver<T, const N: usize>(Arc<Shared<T, N>>);

/// The queue is full, or it has no receiver any more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NotSent;

struct Shared<T, const N: usize> {
    state: Mutex<State<T, N>>,
    changed: Condvar,
}

struct State<T, const N: usize> {
    items: Deque<T, N>,
    senders: usize,
    has_receiver: bool,
    /// Task that receives.
    waker: Option<Waker>,
    /// Threads that wait for a change.
    blocked: usize,
}

impl<T, const N: usize> Sender<T, N> {
    /// Sends an item.
    ///
    /// # Errors
    /// The queue is full, or its receiver is dropped.
    pub fn try_send(&self, item: T) -> Result<(), NotSent> {
        self.put(self.0.lock(), item)
    }

    /// Waits for room, and sends an item.
    ///
    /// # Errors
    /// Its receiver is dropped.
    pub fn send_blocking(&self, item: T) -> Result<(), NotSent> {
        let mut state = self.0.lock();
        while state.items.is_full() && state.has_receiver {
            state = self.0.wait(state);
        }
        self.put(state, item)
    }

    fn put(&self, mut state: MutexGuard<'_, State<T, N>>, item: T) -> Result<(), NotSent> {
        if !state.has_receiver || state.items.push_back(item).is_err() {
            return Err(NotSent);
        }
        self.0.notify(&state);
        Ok(())
    }
}

impl<T, const N: usize> Receiver<T, N> {
    /// The next item, if there is one.
    pub fn try_recv(&self) -> Option<T> {
        self.take(&mut self.0.lock())
    }

    /// Waits for the next item. `None`: every sender is dropped.
    pub fn recv_blocking(&self) -> Option<T> {
        let mut state = self.0.lock();
        loop {
            match self.take(&mut state) {
                None if state.senders > 0 => state = self.0.wait(state),
                item => return item,
            }
        }
    }

    /// Waits for the next item, in the one task that receives. `None`: every sender is dropped.
    pub async fn recv(&self) -> Option<T> {
        poll_fn(|context| self.poll_recv(context)).await
    }

    fn poll_recv(&self, context: &Context<'_>) -> Poll<Option<T>> {
        let mut state = self.0.lock();
        match self.take(&mut state) {
            None if state.senders > 0 => {
                register(&mut state.waker, context);
                Poll::Pending
            }
            item => Poll::Ready(item),
        }
    }

    fn take(&self, state: &mut State<T, N>) -> Option<T> {
        let item = state.items.pop_front()?;
        if state.blocked > 0 {
            self.0.changed.notify_all();
        }
        Some(item)
    }

    /// Number of items.
    pub fn count(&self) -> usize {
        self.0.lock().items.len()
    }
}

impl<T, const N: usize> Shared<T, N> {
    fn lock(&self) -> MutexGuard<'_, State<T, N>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'s>(&self, mut state: MutexGuard<'s, State<T, N>>) -> MutexGuard<'s, State<T, N>> {
        state.blocked += 1;
        let mut state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        state.blocked -= 1;
        state
    }

    /// Wakes the receiver, and threads that wait.
    fn notify(&self, state: &State<T, N>) {
        if let Some(waker) = &state.waker {
            waker.wake_by_ref();
        }
        if state.blocked > 0 {
            self.changed.notify_all();
        }
    }
}

impl<T, const N: usize> Clone for Sender<T, N> {
    fn clone(&self) -> Self {
        self.0.lock().senders += 1;
        Self(Arc::clone(&self.0))
    }
}

impl<T, const N: usize> Drop for Sender<T, N> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.senders -= 1;
        self.0.notify(&state);
    }
}

impl<T, const N: usize> Drop for Receiver<T, N> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.has_receiver = false;
        self.0.notify(&state);
    }
}

impl<T, const N: usize> fmt::Debug for Sender<T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sender")
    }
}

impl<T, const N: usize> fmt::Debug for Receiver<T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Receiver")
    }
}

#[cfg(test)]
mod tests {
    use std::thread::{JoinHandle, spawn, yield_now};
    use std::time::{Duration, Instant};

    use smol::future::block_on;

    use super::*;

    /// Runs work on a thread that waits for a change of the queue, and returns when it waits.
    #[expect(clippy::disallowed_methods, reason = "a thread of a test")]
    fn blocked<R: Send + 'static, const N: usize>(
        queue: &Arc<Shared<u8, N>>,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> JoinHandle<R> {
        let thread = spawn(work);
        let start = Instant::now();
        while queue.lock().blocked == 0 {
            assert!(start.elapsed() < Duration::from_secs(10), "the thread does not wait");
            yield_now();
        }
        thread
    }

    #[test]
    fn items_come_in_their_order_up_to_the_capacity() {
        let (sender, receiver) = queue::<_, 2>();
        assert_eq!([1, 2, 3].map(|item| sender.try_send(item)), [Ok(()), Ok(()), Err(NotSent)]);
        assert_eq!(receiver.count(), 2);
        assert_eq!([(); 3].map(|()| receiver.try_recv()), [Some(1), Some(2), None]);
    }

    #[test]
    fn thread_waits_for_an_item_and_for_room() {
        let (sender, receiver) = queue::<u8, 1>();
        let queue = Arc::clone(&sender.0);
        let received = blocked(&queue, move || (receiver.recv_blocking(), receiver));
        sender.try_send(1).unwrap();
        let (item, receiver) = received.join().unwrap();
        assert_eq!(item, Some(1));
        sender.try_send(2).unwrap();
        let sent = blocked(&queue, move || sender.send_blocking(3));
        assert_eq!([receiver.try_recv(), receiver.recv_blocking()], [Some(2), Some(3)]);
        assert_eq!(sent.join().unwrap(), Ok(()));
        assert_eq!(receiver.recv_blocking(), None, "the sender is dropped");
    }

    #[test]
    fn task_is_woken_by_an_item_and_by_the_end_of_the_last_sender() {
        let (sender, receiver) = queue::<u8, 1>();
        let other = sender.clone();
        let queue = Arc::clone(&sender.0);
        sender.try_send(1).unwrap();
        let sent = blocked(&queue, move || sender.send_blocking(2));
        assert_eq!(block_on(receiver.recv()), Some(1));
        assert_eq!(block_on(receiver.recv()), Some(2));
        assert_eq!(sent.join().unwrap(), Ok(()));
        other.try_send(3).unwrap();
        drop(other);
        assert_eq!([block_on(receiver.recv()), block_on(receiver.recv())], [Some(3), None]);
    }

    #[test]
    fn nothing_is_sent_without_a_receiver() {
        let (sender, receiver) = queue::<u8, 1>();
        let queue = Arc::clone(&sender.0);
        sender.try_send(1).unwrap();
        let sent = blocked(&queue, move || (sender.send_blocking(2), sender));
        drop(receiver);
        let (outcome, sender) = sent.join().unwrap();
        assert_eq!([outcome, sender.try_send(3)], [Err(NotSent); 2]);
    }
}
