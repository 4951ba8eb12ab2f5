//! Tasks of the server, and the loop that polls them.

use core::future::Future;
use core::pin::{Pin, pin};
use core::sync::atomic::{AtomicUsize, Ordering};
use core::task::{Context, Poll, Waker};
use std::io;
use std::sync::Arc;
use std::task::Wake;

use super::event_fd::EventFd;
use super::reactor::Reactor;

const BITS: usize = usize::BITS as usize;

/// Memory of one task without its future.
pub const TASK_BYTES: usize = size_of::<Task>() + size_of::<TaskWaker>() + 2 * size_of::<usize>();

/// Error of a full table of tasks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Full;

impl From<Full> for io::Error {
    fn from(_: Full) -> Self {
        Self::other("the table of tasks is too small")
    }
}

/// Fixed table of tasks. Waking one sets a bit and allocates nothing.
///
/// [`block_on`] polls them in turn, once for any number of wake-ups since the last poll.
pub struct Tasks {
    tasks: Vec<Task>,
    capacity: usize,
    woken: Arc<Woken>,
}

struct Task {
    /// `None`: the task has ended.
    future: Option<Pin<Box<dyn Future<Output = ()>>>>,
    waker: Waker,
}

/// Bit set of the woken tasks. The bit after the last task is the main future.
#[derive(Debug)]
struct Woken {
    words: Box<[AtomicUsize]>,
    event_fd: Option<Arc<EventFd>>,
}

struct TaskWaker {
    woken: Arc<Woken>,
    index: usize,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let Some(word) = self.woken.words.get(self.index / BITS) {
            word.fetch_or(1 << (self.index % BITS), Ordering::SeqCst);
        }
        if let Some(event_fd) = &self.woken.event_fd {
            event_fd.wake();
        }
    }
}

impl Tasks {
    /// Creates a table for `capacity` tasks, with room for a descriptor of each.
    pub fn new(capacity: usize) -> Self {
        let words = (0..(capacity + 1).div_ceil(BITS)).map(|_| AtomicUsize::new(0)).collect();
        // Without a reactor nothing can be waited for: `block_on` returns that error.
        let reactor = Reactor::of_this_thread().ok();
        if let Some(reactor) = &reactor {
            reactor.reserve(capacity);
        }
        let event_fd = reactor.map(|reactor| Arc::clone(reactor.event_fd()));
        Self { tasks: Vec::with_capacity(capacity), capacity, woken: Arc::new(Woken { words, event_fd }) }
    }

    /// Adds a task, which [`block_on`] polls for the first time.
    ///
    /// # Errors
    /// The table is full.
    pub fn spawn(&mut self, future: impl Future<Output = ()> + 'static) -> Result<(), Full> {
        let index = self.tasks.len();
        if index == self.capacity {
            return Err(Full);
        }
        let waker = self.waker(index);
        waker.wake_by_ref();
        self.tasks.push(Task { future: Some(Box::pin(future)), waker });
        Ok(())
    }

    fn waker(&self, index: usize) -> Waker {
        Waker::from(Arc::new(TaskWaker { woken: Arc::clone(&self.woken), index }))
    }

    fn is_woken(&self) -> bool {
        self.woken.words.iter().any(|word| word.load(Ordering::SeqCst) != 0)
    }

    /// Polls each woken task once. Returns whether the main future is woken too.
    fn poll(&mut self) -> bool {
        let mut main_is_woken = false;
        for (number, word) in self.woken.words.iter().enumerate() {
            // Most words are empty, and a load costs less than a swap.
            if word.load(Ordering::SeqCst) == 0 {
                continue;
            }
            let mut bits = word.swap(0, Ordering::SeqCst);
            while bits != 0 {
                let index = number * BITS + bits.trailing_zeros() as usize;
                bits &= bits - 1;
                main_is_woken |= index == self.capacity;
                let Some(task) = self.tasks.get_mut(index) else { continue };
                let Some(future) = &mut task.future else { continue };
                if future.as_mut().poll(&mut Context::from_waker(&task.waker)).is_ready() {
                    task.future = None;
                }
            }
        }
        main_is_woken
    }
}

/// Runs `tasks` and `main` until `main` is done, and returns its output.
///
/// # Errors
/// This thread has no reactor and none can be made, or the system refuses to wait.
pub fn block_on<F: Future>(tasks: &mut Tasks, main: F) -> io::Result<F::Output> {
    let reactor = Reactor::of_this_thread()?;
    let waker = tasks.waker(tasks.capacity);
    waker.wake_by_ref();
    let mut main = pin!(main);
    loop {
        if tasks.poll()
            && let Poll::Ready(output) = main.as_mut().poll(&mut Context::from_waker(&waker))
        {
            return Ok(output);
        }
        reactor.wait(|| tasks.is_woken())?;
    }
}

impl core::fmt::Debug for Tasks {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Tasks").field("tasks", &self.tasks.len()).field("woken", &self.woken).finish()
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

    #[test]
    fn table_holds_its_capacity_and_no_more() {
        let mut tasks = Tasks::new(2);
        assert_eq!(tasks.spawn(async {}), Ok(()));
        assert_eq!(tasks.spawn(async {}), Ok(()));
        assert_eq!(tasks.spawn(async {}), Err(Full));
        assert_eq!(Tasks::new(0).spawn(async {}), Err(Full));
    }

    #[test]
    fn each_woken_task_is_polled_once() {
        let polls: Rc<[Cell<u32>; 70]> = Rc::new(core::array::from_fn(|_| Cell::new(0)));
        let mut tasks = Tasks::new(polls.len());
        for index in 0..polls.len() {
            let polls = Rc::clone(&polls);
            let task = poll_fn(move |context| {
                polls[index].set(polls[index].get() + 1);
                // The last task wakes itself.
                if index == 69 {
                    context.waker().wake_by_ref();
                }
                Poll::Pending
            });
            tasks.spawn(task).unwrap();
        }
        tasks.poll();
        tasks.poll();
        assert!(polls[..69].iter().all(|polls| polls.get() == 1));
        assert_eq!(polls[69].get(), 2);
        assert!(tasks.is_woken());
    }

    #[test]
    fn another_thread_wakes_a_sleeping_loop() {
        let mut tasks = Tasks::new(1);
        let (sender, receiver) = std::sync::mpsc::channel();
        let woken = Rc::new(Cell::new(0));
        let count = Rc::clone(&woken);
        let task = poll_fn(move |context| {
            // The second one finds no receiver any more.
            sender.send(context.waker().clone()).ok();
            count.set(count.get() + 1);
            Poll::<()>::Pending
        });
        tasks.spawn(task).unwrap();
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
