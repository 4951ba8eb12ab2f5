//! Where the acceptor hands connections to the tasks of the slots, and where those are woken.

use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::task::Poll;
use std::net::TcpStream;
use std::rc::Rc;
use std::time::Duration;

use super::Bell;
use crate::connection::SlotId;
use crate::log::RateLimit;
use crate::mmap_buffer::IdleTracker;
use crate::runtime::Source;

/// One port a slot.
#[derive(Debug)]
pub struct Ports {
    ports: Box<[Port]>,
    released: Bell,
    complaints: RefCell<RateLimit>,
}

/// One slot's place there.
#[derive(Debug, Default)]
pub(super) struct Port {
    handed: RefCell<Option<(Source<TcpStream>, SlotId)>>,
    pub(super) bell: Bell,
    /// Its connection reads on only until a deadline, so each tick has to wake it.
    pub(super) lingers: Cell<bool>,
    /// What is known of the pages behind its buffers of TLS. The tick looks.
    pub(super) memory: Cell<IdleTracker>,
    /// These are to go back if nothing is in them.
    pub(super) should_release: Cell<bool>,
}

impl Ports {
    /// Ports for `count` slots.
    pub fn new(count: usize) -> Rc<Self> {
        Rc::new(Self {
            ports: (0..count).map(|_| Port::default()).collect(),
            released: Bell::default(),
            complaints: RefCell::default(),
        })
    }

    /// Wakes the task of the slot with this index: it has something to send, or is over.
    pub fn wake(&self, index: u16) {
        if let Some(port) = self.get(usize::from(index)) {
            port.bell.ring();
        }
    }

    /// How many there are.
    #[expect(clippy::len_without_is_empty, reason = "nobody asks")]
    pub fn len(&self) -> usize {
        self.ports.len()
    }

    pub(super) fn get(&self, index: usize) -> Option<&Port> {
        self.ports.get(index)
    }

    /// Hands a connection to the task of its slot.
    pub(super) fn hand(&self, stream: Source<TcpStream>, id: SlotId) {
        if let Some(port) = self.get(usize::from(id.index)) {
            port.handed.replace(Some((stream, id)));
            port.bell.ring();
        }
    }

    /// Rings when a slot may be free.
    pub(super) fn released(&self) -> &Bell {
        &self.released
    }

    /// Wakes those that read on until a deadline, and those whose buffers of TLS were not used since the
    /// tick before.
    pub(super) fn handle_tick(&self) {
        for port in &self.ports {
            let mut memory = port.memory.get();
            // Whether they are empty is for the task to see.
            let should_release = memory.should_release(true);
            port.memory.set(memory);
            if should_release {
                port.should_release.set(true);
            }
            if port.lingers.get() || should_release {
                port.bell.ring();
            }
        }
    }

    /// Whether something that clients can bring about at will may be logged, and how often it was
    /// held back.
    pub(super) fn complaint(&self, now: Duration) -> Option<u64> {
        self.complaints.borrow_mut().try_acquire(now)
    }
}

impl Port {
    /// The next connection.
    pub(super) async fn handed(&self) -> (Source<TcpStream>, SlotId) {
        poll_fn(|context| match self.handed.take() {
            Some(handed) => Poll::Ready(handed),
            // Woken for what a tenant that is gone left behind, it finds nothing and waits on.
            None if self.bell.poll(context).is_ready() => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
            None => Poll::Pending,
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use core::task::{Context, Waker};

    use super::*;

    #[test]
    fn a_port_is_rung_once_when_its_memory_was_not_used_for_two_ticks() {
        let ports = Ports::new(2);
        let (used, other) = (ports.get(0).unwrap(), ports.get(1).unwrap());
        let context = Context::from_waker(Waker::noop());
        let tick = || {
            ports.handle_tick();
            [used, other].map(|port| (port.bell.poll(&context).is_ready(), port.should_release.take()))
        };
        used.memory.set(IdleTracker::Active);
        assert_eq!(tick(), [(false, false); 2]);
        // Used in between: it begins anew.
        used.memory.set(IdleTracker::Active);
        assert_eq!(tick(), [(false, false); 2]);
        assert_eq!(tick(), [(true, true), (false, false)]);
        assert_eq!(tick(), [(false, false); 2]);
    }
}
