//! The loop itself.

use core::future::Future;
use core::pin::pin;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll, Waker};
use std::io;
use std::sync::Arc;
use std::task::Wake;

use super::Tasks;
use super::doorbell::Doorbell;
use super::reactor::Reactor;

/// Wakes the future that the loop runs for.
struct Main {
    woken: AtomicBool,
    doorbell: Arc<Doorbell>,
}

impl Wake for Main {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::SeqCst);
        self.doorbell.ring();
    }
}

/// Runs `tasks` and `main` until `main` is done, and gives what it came to.
///
/// # Errors
/// This thread has no reactor and none can be made, or the system refuses to wait.
pub fn block_on<F: Future>(tasks: &mut Tasks, main: F) -> io::Result<F::Output> {
    let reactor = Reactor::of_this_thread()?;
    let wake = Arc::new(Main { woken: AtomicBool::new(true), doorbell: Arc::clone(reactor.doorbell()) });
    let waker = Waker::from(Arc::clone(&wake));
    let mut main = pin!(main);
    loop {
        if wake.woken.load(Ordering::SeqCst)
            && wake.woken.swap(false, Ordering::SeqCst)
            && let Poll::Ready(output) = main.as_mut().poll(&mut Context::from_waker(&waker))
        {
            return Ok(output);
        }
        tasks.poll();
        reactor.turn(|| wake.woken.load(Ordering::SeqCst) || tasks.is_ready())?;
    }
}
