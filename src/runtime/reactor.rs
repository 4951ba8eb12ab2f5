//! Who waits for which descriptor and until when.

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

use super::doorbell::Doorbell;

/// Events taken at once. What is more waits in the kernel for the next turn.
const EVENTS: usize = 64;
/// Names the doorbell among the events.
const DOORBELL: u64 = u64::MAX;
/// Descriptors and timers for which there is room from the start.
const ENTRIES: usize = 64;

/// Memory of one descriptor or timer that is waited for.
pub const ENTRY_BYTES: usize = size_of::<Entry>();

/// What is known of one descriptor.
#[derive(Debug, Default)]
pub(super) struct Entry {
    /// How many have had this place and are gone. It is part of the name by which the kernel knows a
    /// descriptor, and counts up when one is [forgotten](Reactor::forget), and only then: whoever comes
    /// next has a name of his own, and what the kernel still says of an earlier one finds nobody.
    generation: u32,
    pub(super) readable: bool,
    pub(super) writable: bool,
    /// The other side has hung up: a short read is no sign that nothing more comes.
    pub(super) ended: bool,
    pub(super) waker: Option<Waker>,
}

/// A time that is waited for.
#[derive(Debug, Default)]
pub(super) struct Alarm {
    pub(super) deadline: Option<Instant>,
    pub(super) waker: Option<Waker>,
}

/// A table whose places are used again.
#[derive(Debug)]
pub(super) struct Places<T> {
    places: Vec<T>,
    free: Vec<u32>,
}

impl<T: Default> Places<T> {
    fn new() -> Self {
        Self { places: Vec::with_capacity(ENTRIES), free: Vec::with_capacity(ENTRIES) }
    }

    fn reserve(&mut self, count: usize) {
        self.places.reserve(count.saturating_sub(self.places.len()));
        self.free.reserve(count.saturating_sub(self.free.len()));
    }

    /// A free place, as its last tenant left it.
    pub(super) fn take(&mut self) -> (usize, &mut T) {
        let index = self.free.pop().map_or(self.places.len(), |index| index as usize);
        if index == self.places.len() {
            self.places.push(T::default());
        }
        (index, &mut self.places[index])
    }

    pub(super) fn give_back(&mut self, index: usize) {
        self.free.push(index as u32);
    }

    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        self.places.get_mut(index)
    }
}

thread_local! {
    static REACTOR: OnceCell<Rc<Reactor>> = const { OnceCell::new() };
}

pub(super) struct Reactor {
    epoll: OwnedFd,
    doorbell: Arc<Doorbell>,
    events: RefCell<Vec<epoll::Event>>,
    entries: RefCell<Places<Entry>>,
    pub(super) alarms: RefCell<Places<Alarm>>,
    /// The first of the alarms; none may be later than this says, some may have been put off.
    next_alarm: Cell<Option<Instant>>,
    now: Cell<Instant>,
}

impl Reactor {
    fn new() -> Result<Self, Errno> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let doorbell = Doorbell::new()?;
        epoll::add(
            &epoll,
            doorbell.descriptor(),
            epoll::EventData::new_u64(DOORBELL),
            epoll::EventFlags::IN,
        )?;
        Ok(Self {
            epoll,
            doorbell: Arc::new(doorbell),
            events: RefCell::new(Vec::with_capacity(EVENTS)),
            entries: RefCell::new(Places::new()),
            alarms: RefCell::new(Places::new()),
            next_alarm: Cell::new(None),
            now: Cell::new(Instant::now()),
        })
    }

    /// That of this thread.
    ///
    /// # Errors
    /// The system has no descriptors left for it.
    pub(super) fn of_this_thread() -> io::Result<Rc<Self>> {
        REACTOR.with(|cell| {
            if let Some(reactor) = cell.get() {
                return Ok(Rc::clone(reactor));
            }
            let reactor = Rc::new(Self::new()?);
            Ok(Rc::clone(cell.get_or_init(|| reactor)))
        })
    }

    pub(super) fn doorbell(&self) -> &Arc<Doorbell> {
        &self.doorbell
    }

    /// Makes room for so many descriptors, so that none of them takes memory when it comes.
    pub(super) fn reserve(&self, descriptors: usize) {
        self.entries.borrow_mut().reserve(descriptors);
    }

    /// When the loop last woke.
    pub(super) fn now(&self) -> Instant {
        self.now.get()
    }

    /// Listens to a descriptor for good, edge by edge: the kernel tells once of each change, and what it
    /// told is kept in the entry until somebody finds it used up. So nothing has to be said to the
    /// kernel when a task waits for something else, or for nothing.
    ///
    /// # Errors
    /// Those of epoll_ctl(2).
    pub(super) fn register(&self, descriptor: impl AsFd) -> Result<usize, Errno> {
        use epoll::EventFlags;
        let mut entries = self.entries.borrow_mut();
        let (index, entry) = entries.take();
        *entry = Entry { generation: entry.generation, writable: true, ..Entry::default() };
        let name = epoll::EventData::new_u64(u64::from(entry.generation) << 32 | index as u64);
        let wanted = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        // The kernel that refuses has not learnt the name, which is the next one's then.
        epoll::add(&self.epoll, descriptor, name, wanted).inspect_err(|_| entries.give_back(index))?;
        Ok(index)
    }

    /// Forgets a descriptor that is about to be closed, which takes it out of the kernel's list: at once,
    /// unless another process still has it, as a child has until it begins its own program.
    pub(super) fn forget(&self, index: usize) {
        let mut entries = self.entries.borrow_mut();
        if let Some(entry) = entries.get_mut(index) {
            entry.generation = entry.generation.wrapping_add(1);
            entry.waker = None;
        }
        entries.give_back(index);
    }

    /// Looks at what is known of a descriptor, or changes it.
    pub(super) fn with<R>(&self, index: usize, look: impl FnOnce(&mut Entry) -> R) -> Option<R> {
        self.entries.borrow_mut().get_mut(index).map(look)
    }

    /// An alarm is due then: the loop may not sleep past it.
    pub(super) fn note_alarm(&self, deadline: Instant) {
        if self.next_alarm.get().is_none_or(|next| deadline < next) {
            self.next_alarm.set(Some(deadline));
        }
    }

    /// Waits until something happens, at most until the next alarm, and not at all when `is_ready` says
    /// that something has; then wakes everybody whom it concerns.
    ///
    /// # Errors
    /// Those of epoll_wait(2), but for a signal that came in between.
    pub(super) fn turn(&self, is_ready: impl Fn() -> bool) -> Result<(), Errno> {
        let mut events = self.events.borrow_mut();
        events.clear();
        self.doorbell.lie_down();
        let timeout = if is_ready() {
            Some(Timespec::default())
        } else {
            self.next_alarm.get().map(|next| timespec(next.saturating_duration_since(self.now.get())))
        };
        let waited = epoll::wait(&self.epoll, spare_capacity(&mut *events), timeout.as_ref());
        self.doorbell.get_up();
        self.now.set(Instant::now());
        match waited {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
        for event in events.iter() {
            let name = event.data.u64();
            if name == DOORBELL {
                self.doorbell.answer();
                continue;
            }
            self.tell((name & u64::from(u32::MAX)) as usize, (name >> 32) as u32, event.flags);
        }
        drop(events);
        self.ring_alarms();
        Ok(())
    }

    fn tell(&self, index: usize, generation: u32, flags: epoll::EventFlags) {
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

    fn ring_alarms(&self) {
        let now = self.now.get();
        if self.next_alarm.get().is_none_or(|next| now < next) {
            return;
        }
        let alarms = self.alarms.borrow();
        let mut next: Option<Instant> = None;
        for alarm in &alarms.places {
            match alarm.deadline {
                // Told once; the task finds it due whenever it looks.
                Some(deadline) if deadline <= now => {
                    if let Some(waker) = &alarm.waker {
                        waker.wake_by_ref();
                    }
                }
                Some(deadline) => next = Some(next.map_or(deadline, |next| next.min(deadline))),
                None => {}
            }
        }
        self.next_alarm.set(next);
    }
}

impl core::fmt::Debug for Reactor {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Reactor").field("epoll", &self.epoll).finish_non_exhaustive()
    }
}

/// The time to wait, in whole milliseconds, rounded up: waking early would mean waking twice.
fn timespec(time: Duration) -> Timespec {
    let (mut seconds, mut ms) = (time.as_secs(), time.subsec_nanos().div_ceil(1_000_000));
    if ms == 1000 {
        (seconds, ms) = (seconds.saturating_add(1), 0);
    }
    // What epoll_wait(2) takes is an int of milliseconds.
    let seconds = seconds.min(i32::MAX as u64 / 1000 - 1);
    Timespec { tv_sec: seconds as _, tv_nsec: (ms * 1_000_000) as _ }
}

/// When the loop of this thread last woke: the time of everything that happens in one turn. Where there
/// is no loop, the time of the call.
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

    #[test]
    fn places_are_used_again() {
        let mut places = Places::<Alarm>::new();
        assert_eq!((places.take().0, places.take().0), (0, 1));
        places.give_back(0);
        assert_eq!((places.take().0, places.take().0), (0, 2));
    }

    /// Counts how often it is woken.
    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Registers `descriptor`, and counts what is told of it.
    fn watched(reactor: &Reactor, descriptor: &UnixStream) -> (usize, Arc<Woken>) {
        let (index, woken) = (reactor.register(descriptor).unwrap(), Arc::new(Woken::default()));
        let waker = Waker::from(Arc::clone(&woken));
        reactor.with(index, |entry| entry.waker = Some(waker)).unwrap();
        (index, woken)
    }

    #[test]
    fn what_the_kernel_says_of_an_earlier_tenant_reaches_nobody() {
        let reactor = Reactor::new().unwrap();
        let (mut near, far) = UnixStream::pair().unwrap();
        let (index, woken) = watched(&reactor, &far);
        reactor.turn(|| true).unwrap();
        assert_eq!(woken.0.load(Ordering::SeqCst), 1, "there is room to write");
        reactor.forget(index);
        // Somebody else has it open yet, so the kernel goes on speaking of it.
        let (_other_near, other) = UnixStream::pair().unwrap();
        let (other_index, other_woken) = watched(&reactor, &other);
        assert_eq!(other_index, index);
        reactor.turn(|| true).unwrap();
        assert_eq!(other_woken.0.load(Ordering::SeqCst), 1, "there is room to write");
        near.write_all(b"late").unwrap();
        drop(near);
        reactor.turn(|| true).unwrap();
        assert_eq!(reactor.events.borrow().len(), 1, "the kernel has said something");
        assert_eq!(other_woken.0.load(Ordering::SeqCst), 1);
        let is_misled = |entry: &mut Entry| entry.readable || entry.ended;
        assert_eq!(reactor.with(other_index, is_misled), Some(false));
        assert_eq!(woken.0.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_descriptor_that_the_kernel_refuses_takes_no_place() {
        let reactor = Reactor::new().unwrap();
        let (near, far) = UnixStream::pair().unwrap();
        assert_eq!(reactor.register(&far), Ok(0));
        assert_eq!(reactor.register(&far), Err(Errno::EXIST), "it is watched already");
        let (index, woken) = watched(&reactor, &near);
        assert_eq!(index, 1);
        reactor.turn(|| true).unwrap();
        assert_eq!(woken.0.load(Ordering::SeqCst), 1);
    }
}
