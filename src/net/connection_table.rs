//! Assignment of accepted connections to the tasks of the slots, and wake-ups of those tasks.

use core::cell::RefCell;
use core::future::poll_fn;
use core::task::Poll;
use std::rc::Rc;

use super::socket::Socket;
use crate::connection::SlotId;
use crate::runtime::{AsyncFd, Notify};

/// One mailbox a slot.
#[derive(Debug)]
pub struct ConnectionTable {
    mailboxes: Box<[Mailbox]>,
    /// Events of a freed slot, for the acceptor of the local socket and that of the TCP port.
    slot_freed: [Notify; 2],
}

/// Connection that has a slot.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) stream: AsyncFd<Socket>,
    pub(super) id: SlotId,
    /// It is one of the local socket, which has no TLS.
    pub(super) is_local: bool,
}

/// Mailbox of the task of one slot.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    assigned: RefCell<Option<Accepted>>,
    notify: Notify,
}

impl ConnectionTable {
    /// Creates mailboxes for `slots` slots.
    pub fn new(slots: usize) -> Rc<Self> {
        let mailboxes = (0..slots).map(|_| Mailbox::default()).collect();
        Rc::new(Self { mailboxes, slot_freed: Default::default() })
    }

    /// Number of slots.
    pub fn slots(&self) -> usize {
        self.mailboxes.len()
    }

    /// Wakes the task of the slot with this index: its connection has to send or to close.
    pub fn wake(&self, index: u16) {
        if let Some(mailbox) = self.get(usize::from(index)) {
            mailbox.notify.notify();
        }
    }

    pub(super) fn get(&self, index: usize) -> Option<&Mailbox> {
        let mailbox = self.mailboxes.get(index);
        debug_assert!(mailbox.is_some(), "slot {index} of {}", self.mailboxes.len());
        mailbox
    }

    /// Assigns a connection to the task of its slot.
    pub(super) fn assign(&self, accepted: Accepted) {
        if let Some(mailbox) = self.get(usize::from(accepted.id.index)) {
            mailbox.assigned.replace(Some(accepted));
            mailbox.notify.notify();
        }
    }

    /// Event of a freed slot, for the acceptor of the local socket or that of the TCP port.
    pub(super) fn slot_freed(&self, is_local: bool) -> &Notify {
        let [local, network] = &self.slot_freed;
        if is_local { local } else { network }
    }

    /// Wakes the acceptors that wait for a slot.
    pub(super) fn note_freed(&self) {
        self.slot_freed.iter().for_each(Notify::notify);
    }
}

impl Mailbox {
    /// Waits for the next connection.
    pub(super) async fn next_connection(&self) -> Accepted {
        poll_fn(|context| {
            // A wake-up for the connection before finds nothing assigned.
            self.notify.listen(context);
            self.assigned.take().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}
