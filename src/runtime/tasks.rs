//! A fixed table of tasks that never end.

use core::future::Future;
use core::pin::Pin;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::task::{Context, Waker};
use std::sync::Arc;
use std::task::Wake;

use super::doorbell::Doorbell;
use super::reactor::Reactor;

const BITS: usize = usize::BITS as usize;

/// Memory of one task beside its future.
pub const TASK_BYTES: usize = size_of::<Task>() + size_of::<Bit>() + 2 * size_of::<usize>();

/// Tasks, each with a place of its own. Waking one sets a bit and takes no memory.
///
/// They are polled by [`block_on`](fn@super::block_on), in turn, one poll for every time they were woken
/// at least once.
pub struct Tasks {
    tasks: Vec<Task>,
    ready: Arc<Ready>,
}

struct Task {
    /// `None`: it has ended.
    future: Option<Pin<Box<dyn Future<Output = ()>>>>,
    waker: Waker,
}

/// Which tasks were woken, a bit each.
#[derive(Debug)]
struct Ready {
    words: Box<[AtomicUsize]>,
    doorbell: Option<Arc<Doorbell>>,
}

/// Wakes one task.
struct Bit {
    ready: Arc<Ready>,
    index: usize,
}

impl Wake for Bit {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let Some(word) = self.ready.words.get(self.index / BITS) {
            word.fetch_or(1 << (self.index % BITS), Ordering::SeqCst);
        }
        if let Some(doorbell) = &self.ready.doorbell {
            doorbell.ring();
        }
    }
}

impl Tasks {
    /// Room for so many tasks, and for a descriptor of each.
    pub fn new(capacity: usize) -> Self {
        let words = (0..capacity.div_ceil(BITS)).map(|_| AtomicUsize::new(0)).collect();
        // Without a reactor nothing can be waited for, which is what `block_on` will say.
        let reactor = Reactor::of_this_thread().ok();
        if let Some(reactor) = &reactor {
            reactor.reserve(capacity);
        }
        let doorbell = reactor.map(|reactor| Arc::clone(reactor.doorbell()));
        Self { tasks: Vec::with_capacity(capacity), ready: Arc::new(Ready { words, doorbell }) }
    }

    /// Adds a task, to be polled for the first time by `block_on`. `false`: the table is full.
    pub fn spawn(&mut self, future: impl Future<Output = ()> + 'static) -> bool {
        let index = self.tasks.len();
        if index == self.tasks.capacity() || index >= self.ready.words.len() * BITS {
            return false;
        }
        let waker = Waker::from(Arc::new(Bit { ready: Arc::clone(&self.ready), index }));
        waker.wake_by_ref();
        self.tasks.push(Task { future: Some(Box::pin(future)), waker });
        true
    }

    pub(super) fn is_ready(&self) -> bool {
        self.ready.words.iter().any(|word| word.load(Ordering::SeqCst) != 0)
    }

    /// Polls each task that has been woken, once.
    pub(super) fn poll(&mut self) {
        for (number, word) in self.ready.words.iter().enumerate() {
            // A load first: most words are empty, and a swap is dear.
            if word.load(Ordering::SeqCst) == 0 {
                continue;
            }
            let mut bits = word.swap(0, Ordering::SeqCst);
            while bits != 0 {
                let index = number * BITS + bits.trailing_zeros() as usize;
                bits &= bits - 1;
                let Some(task) = self.tasks.get_mut(index) else { continue };
                let Some(future) = &mut task.future else { continue };
                if future.as_mut().poll(&mut Context::from_waker(&task.waker)).is_ready() {
                    task.future = None;
                }
            }
        }
    }
}

impl core::fmt::Debug for Tasks {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Tasks").field("tasks", &self.tasks.len()).field("ready", &self.ready).finish()
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "another thread is what wakes")]
mod tests {
    use core::cell::Cell;
    use core::future::poll_fn;
    use core::task::Poll;
    use std::rc::Rc;

    use super::*;
    use crate::runtime::block_on;

    #[test]
    fn table_takes_its_tasks_and_no_more() {
        let mut tasks = Tasks::new(2);
        assert!(tasks.spawn(async {}));
        assert!(tasks.spawn(async {}));
        assert!(!tasks.spawn(async {}));
        assert!(!Tasks::new(0).spawn(async {}));
    }

    #[test]
    fn each_woken_task_is_polled_once_a_turn() {
        let polls: Rc<[Cell<u32>; 70]> = Rc::new(core::array::from_fn(|_| Cell::new(0)));
        let mut tasks = Tasks::new(polls.len());
        for index in 0..polls.len() {
            let polls = Rc::clone(&polls);
            tasks.spawn(poll_fn(move |context| {
                polls[index].set(polls[index].get() + 1);
                // The last one is never content.
                if index == 69 {
                    context.waker().wake_by_ref();
                }
                Poll::Pending
            }));
        }
        tasks.poll();
        tasks.poll();
        assert!(polls[..69].iter().all(|polls| polls.get() == 1));
        assert_eq!(polls[69].get(), 2);
        assert!(tasks.is_ready());
    }

    #[test]
    fn another_thread_wakes_a_sleeping_loop() {
        let mut tasks = Tasks::new(1);
        let (sender, receiver) = std::sync::mpsc::channel();
        let woken = Rc::new(Cell::new(0));
        let count = Rc::clone(&woken);
        tasks.spawn(poll_fn(move |context| {
            let _ = sender.send(context.waker().clone());
            count.set(count.get() + 1);
            Poll::<()>::Pending
        }));
        let waking = std::thread::spawn(move || {
            let waker: Waker = receiver.recv().unwrap();
            std::thread::sleep(std::time::Duration::from_millis(30));
            waker.wake();
        });
        // The main future is done when the task has been polled for the second time.
        let seen = Rc::clone(&woken);
        let timer = crate::runtime::Timer::new().unwrap();
        let main = async {
            while seen.get() < 2 {
                timer.after(std::time::Duration::from_millis(5)).await;
            }
        };
        block_on(&mut tasks, main).unwrap();
        waking.join().unwrap();
    }
}
