//! Assignment of accepted connections to the tasks of the slots, and wake-ups of those tasks.

use core::cell::RefCell;
use core::future::poll_fn;
use core::task::Poll;
use std::net::TcpStream;
use std::rc::Rc;

use crate::connection::SlotId;
use crate::runtime::{AsyncFd, Notify};

/// One mailbox a slot.
#[derive(Debug)]
pub struct ConnectionTable {
    mailboxes: Box<[Mailbox]>,
    slot_freed: Notify,
}

/// Mailbox of the task of one slot.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    assigned: RefCell<Option<(AsyncFd<TcpStream>, SlotId)>>,
    notify: Notify,
}

impl ConnectionTable {
    /// Creates mailboxes for `slots` slots.
    pub fn new(slots: usize) -> Rc<Self> {
        let mailboxes = (0..slots).map(|_| Mailbox::default()).collect();
        Rc::new(Self { mailboxes, slot_freed: Notify::default() })
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
    pub(super) fn assign(&self, stream: AsyncFd<TcpStream>, id: SlotId) {
        if let Some(mailbox) = self.get(usize::from(id.index)) {
            mailbox.assigned.replace(Some((stream, id)));
            mailbox.notify.notify();
        }
    }

    /// Event of a freed slot.
    pub(super) fn slot_freed(&self) -> &Notify {
        &self.slot_freed
    }
}

impl Mailbox {
    /// Waits for the next connection.
    pub(super) async fn next_connection(&self) -> (AsyncFd<TcpStream>, SlotId) {
        poll_fn(|context| {
            // A wake-up for the connection before finds nothing assigned.
            self.notify.listen(context);
            self.assigned.take().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}
