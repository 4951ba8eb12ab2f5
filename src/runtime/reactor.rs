//! Readiness of descriptors and the timers, over epoll(7).

use core::cell::{Cell, OnceCell, RefCell};
use core::task::Waker;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;

use super::event_fd::EventFd;
use super::slab::Slab;

/// Most events fetched in one system call. The others wait in the kernel for the next one.
const EVENTS: usize = 64;
/// Key of the [`EventFd`] among the events.
const EVENT_FD: u64 = u64::MAX;

/// Memory of one registered descriptor or timer.
pub const ENTRY_BYTES: usize = size_of::<Entry>();

/// Cached readiness of one descriptor.
#[derive(Debug, Default)]
pub(super) struct Entry {
    /// Number of descriptors that had this index before. It is part of the key that the kernel keeps, and
    /// goes up with each [`deregister`](Reactor::deregister) alone: a late event of an earlier descriptor
    /// then matches no entry.
    generation: u32,
    pub(super) readable: bool,
    pub(super) writable: bool,
    /// The peer has hung up: after a short read there may still be an end to read.
    pub(super) ended: bool,
    pub(super) waker: Option<Waker>,
}

/// Deadline, and the task that it wakes.
#[derive(Debug, Default)]
pub(super) struct TimerEntry {
    pub(super) deadline: Option<Instant>,
    pub(super) waker: Option<Waker>,
}

thread_local! {
    static REACTOR: OnceCell<Rc<Reactor>> = const { OnceCell::new() };
}

pub(super) struct Reactor {
    epoll: OwnedFd,
    event_fd: Arc<EventFd>,
    events: RefCell<Vec<epoll::Event>>,
    entries: RefCell<Slab<Entry>>,
    pub(super) timers: RefCell<Slab<TimerEntry>>,
    /// First of the deadlines that have not fired.
    next_deadline: Cell<Option<Instant>>,
    now: Cell<Instant>,
}

impl Reactor {
    fn new() -> Result<Self, Errno> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let event_fd = EventFd::new()?;
        epoll::add(
            &epoll,
            event_fd.descriptor(),
            epoll::EventData::new_u64(EVENT_FD),
            epoll::EventFlags::IN,
        )?;
        Ok(Self {
            epoll,
            event_fd: Arc::new(event_fd),
            events: RefCell::new(Vec::with_capacity(EVENTS)),
            entries: RefCell::new(Slab::new()),
            timers: RefCell::new(Slab::new()),
            next_deadline: Cell::new(None),
            now: Cell::new(Instant::now()),
        })
    }

    /// Returns the reactor of this thread, which is created on first use.
    ///
    /// # Errors
    /// The system has no descriptors left.
    pub(super) fn of_this_thread() -> io::Result<Rc<Self>> {
        REACTOR.with(|cell| {
            if let Some(reactor) = cell.get() {
                return Ok(Rc::clone(reactor));
            }
            let reactor = Rc::new(Self::new()?);
            Ok(Rc::clone(cell.get_or_init(|| reactor)))
        })
    }

    pub(super) fn event_fd(&self) -> &Arc<EventFd> {
        &self.event_fd
    }

    /// Makes room for this many descriptors, so that registering one allocates nothing.
    pub(super) fn reserve(&self, descriptors: usize) {
        self.entries.borrow_mut().reserve(descriptors);
    }

    /// Time at which the loop last woke.
    pub(super) fn now(&self) -> Instant {
        self.now.get()
    }

    /// Registers a descriptor once, edge-triggered: the kernel reports each change once, and the entry
    /// keeps it until a read or write finds it used up. So a task that waits for something else, or for
    /// nothing, costs no system call.
    ///
    /// # Errors
    /// Errors of epoll_ctl(2).
    pub(super) fn register(&self, descriptor: impl AsFd) -> Result<usize, Errno> {
        use epoll::EventFlags;
        let mut entries = self.entries.borrow_mut();
        let (index, entry) = entries.insert();
        *entry = Entry { generation: entry.generation, writable: true, ..Entry::default() };
        let key = epoll::EventData::new_u64(u64::from(entry.generation) << 32 | index as u64);
        let wanted = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        // After a refusal the kernel does not know the key, so the next descriptor may use it.
        epoll::add(&self.epoll, descriptor, key, wanted).inspect_err(|_| entries.remove(index))?;
        Ok(index)
    }

    /// Frees the entry of a descriptor that is about to be closed, which removes it from the kernel's list:
    /// at once, unless another process holds it, as a child does until it executes its own program.
    pub(super) fn deregister(&self, index: usize) {
        let mut entries = self.entries.borrow_mut();
        if let Some(entry) = entries.get_mut(index) {
            entry.generation = entry.generation.wrapping_add(1);
            entry.waker = None;
        }
        entries.remove(index);
    }

    /// Reads or changes the entry of a descriptor.
    pub(super) fn with<R>(&self, index: usize, change: impl FnOnce(&mut Entry) -> R) -> Option<R> {
        self.entries.borrow_mut().get_mut(index).map(change)
    }

    /// Sets or clears a deadline.
    pub(super) fn set_timer(&self, index: usize, deadline: Option<Instant>) {
        let mut timers = self.timers.borrow_mut();
        let Some(timer) = timers.get_mut(index) else { return };
        let before = core::mem::replace(&mut timer.deadline, deadline);
        let next = self.next_deadline.get();
        if deadline.is_some() && (next.is_none() || deadline < next) {
            self.next_deadline.set(deadline);
        } else if before.is_some() && before == next {
            // The loop is not to wake for a deadline that was put off.
            self.next_deadline.set(timers.iter().filter_map(|timer| timer.deadline).min());
        }
    }

    /// Waits for events, at most until the next deadline, and not at all when `is_ready` returns that a
    /// task is woken already; then wakes the affected tasks.
    ///
    /// # Errors
    /// Errors of epoll_wait(2), except `EINTR`.
    pub(super) fn wait(&self, is_ready: impl Fn() -> bool) -> Result<(), Errno> {
        let mut events = self.events.borrow_mut();
        events.clear();
        self.event_fd.prepare_sleep();
        let timeout = if is_ready() {
            Some(Timespec::default())
        } else {
            self.next_deadline.get().map(|next| timespec(next.saturating_duration_since(self.now.get())))
        };
        let waited = epoll::wait(&self.epoll, spare_capacity(&mut *events), timeout.as_ref());
        self.event_fd.finish_sleep();
        self.now.set(Instant::now());
        match waited {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
        for event in events.iter() {
            let key = event.data.u64();
            if key == EVENT_FD {
                self.event_fd.drain();
                continue;
            }
            self.set_ready((key & u64::from(u32::MAX)) as usize, (key >> 32) as u32, event.flags);
        }
        drop(events);
        self.fire_timers();
        Ok(())
    }

    fn set_ready(&self, index: usize, generation: u32, flags: epoll::EventFlags) {
        use epoll::EventFlags;
        let mut entries = self.entries.borrow_mut();
        let Some(entry) = entries.get_mut(index).filter(|entry| entry.generation == generation) else {
            return;
        };
        let ended = flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
        entry.ended |= ended;
        entry.readable |= ended || flags.contains(EventFlags::IN);
        entry.writable |= flags.intersects(EventFlags::OUT | EventFlags::HUP | EventFlags::ERR);
        if let Some(waker) = &entry.waker {
            waker.wake_by_ref();
        }
    }

    fn fire_timers(&self) {
        let now = self.now.get();
        if self.next_deadline.get().is_none_or(|next| now < next) {
            return;
        }
        let timers = self.timers.borrow();
        let mut next: Option<Instant> = None;
        for timer in timers.iter() {
            match timer.deadline {
                // Woken once; the task finds the timer due whenever it polls it.
                Some(deadline) if deadline <= now => {
                    if let Some(waker) = &timer.waker {
                        waker.wake_by_ref();
                    }
                }
                Some(deadline) => next = Some(next.map_or(deadline, |next| next.min(deadline))),
                None => {}
            }
        }
        self.next_deadline.set(next);
    }
}

impl core::fmt::Debug for Reactor {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Reactor").field("epoll", &self.epoll).finish_non_exhaustive()
    }
}

/// A time to wait, in whole milliseconds, rounded up: waking early would mean waking twice.
fn timespec(time: Duration) -> Timespec {
    let (mut seconds, mut ms) = (time.as_secs(), time.subsec_nanos().div_ceil(1_000_000));
    if ms == 1000 {
        (seconds, ms) = (seconds.saturating_add(1), 0);
    }
    // epoll_wait(2) accepts an int of milliseconds.
    let seconds = seconds.min(i32::MAX as u64 / 1000 - 1);
    Timespec { tv_sec: seconds as _, tv_nsec: (ms * 1_000_000) as _ }
}

/// Time at which the loop of this thread last woke: everything until its next wait happens at this time.
/// On a thread without a loop, the time of the call.
pub fn now() -> Instant {
    REACTOR.with(|cell| cell.get().map_or_else(Instant::now, |reactor| reactor.now()))
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::{AtomicUsize, Ordering};
    use std::io::Write as _;
    use std::os::unix::net::UnixStream;
    use std::task::Wake;

    use super::*;

    #[test]
    fn times_are_rounded_up_to_milliseconds() {
        assert_eq!(timespec(Duration::ZERO), Timespec { tv_sec: 0, tv_nsec: 0 });
        assert_eq!(timespec(Duration::from_nanos(1)), Timespec { tv_sec: 0, tv_nsec: 1_000_000 });
        assert_eq!(timespec(Duration::from_millis(1250)), Timespec { tv_sec: 1, tv_nsec: 250_000_000 });
        assert_eq!(timespec(Duration::from_micros(1_999_001)), Timespec { tv_sec: 2, tv_nsec: 0 });
        assert_eq!(timespec(Duration::MAX).tv_sec, i64::from(i32::MAX) / 1000 - 1);
    }

    /// Number of wake-ups.
    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Registers `descriptor`, with a waker that counts.
    fn watched(reactor: &Reactor, descriptor: &UnixStream) -> (usize, Arc<Woken>) {
        let (index, woken) = (reactor.register(descriptor).unwrap(), Arc::new(Woken::default()));
        let waker = Waker::from(Arc::clone(&woken));
        reactor.with(index, |entry| entry.waker = Some(waker)).unwrap();
        (index, woken)
    }

    #[test]
    fn late_event_of_an_earlier_descriptor_wakes_no_task() {
        let reactor = Reactor::new().unwrap();
        let (mut near, far) = UnixStream::pair().unwrap();
        let (index, woken) = watched(&reactor, &far);
        reactor.wait(|| true).unwrap();
        assert_eq!(woken.0.load(Ordering::SeqCst), 1, "there is room to write");
        reactor.deregister(index);
        // It is still open, so the kernel goes on reporting events of it.
        let (_other_near, other) = UnixStream::pair().unwrap();
        let (other_index, other_woken) = watched(&reactor, &other);
        assert_eq!(other_index, index);
        reactor.wait(|| true).unwrap();
        assert_eq!(other_woken.0.load(Ordering::SeqCst), 1, "there is room to write");
        near.write_all(b"late").unwrap();
        drop(near);
        reactor.wait(|| true).unwrap();
        assert_eq!(reactor.events.borrow().len(), 1, "the late event");
        assert_eq!(other_woken.0.load(Ordering::SeqCst), 1);
        let is_changed = |entry: &mut Entry| entry.readable || entry.ended;
        assert_eq!(reactor.with(other_index, is_changed), Some(false));
        assert_eq!(woken.0.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn descriptor_that_the_kernel_refuses_uses_no_entry() {
        let reactor = Reactor::new().unwrap();
        let (near, far) = UnixStream::pair().unwrap();
        assert_eq!(reactor.register(&far), Ok(0));
        assert_eq!(reactor.register(&far), Err(Errno::EXIST), "registered already");
        let (index, woken) = watched(&reactor, &near);
        assert_eq!(index, 1);
        reactor.wait(|| true).unwrap();
        assert_eq!(woken.0.load(Ordering::SeqCst), 1);
    }
}
