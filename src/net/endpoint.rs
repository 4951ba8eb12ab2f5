//! The interface between the sockets and the connections' state machines.

use core::time::Duration;
use std::net::SocketAddr;

use crate::connection::{End, SlotId, State};

/// The machines behind the sockets. A task borrows them mutably for one poll, moves bytes between them and
/// its socket, and never holds the borrow across an await.
pub trait Endpoint {
    /// Time since start. It stays the same until the loop sleeps again.
    fn now(&self) -> Duration;

    /// A slot for a new connection; `None` when the overflow slots are taken too.
    fn claim(&mut self, peer: SocketAddr, now: Duration) -> Option<SlotId>;

    /// Evicts an unauthenticated connection in favour of a new one, if there is one to evict.
    fn evict_idle(&mut self, now: Duration);

    /// Frees a slot after its socket was closed.
    fn release(&mut self, id: SlotId, now: Duration);

    /// Wishes of a connection. One that is gone wants to be aborted.
    fn state(&self, id: SlotId) -> State;

    /// Free space of a connection's receive buffer; not empty while its [`State`] receives.
    fn receive_space(&mut self, id: SlotId) -> &mut [u8];

    /// Processes the first `count` bytes of [`receive_space`](Self::receive_space).
    fn received(&mut self, id: SlotId, count: usize, now: Duration) -> State;

    /// Bytes that a connection has to send; not empty while its [`State`] sends.
    fn pending(&self, id: SlotId) -> &[u8];

    /// Drops the first `count` bytes of [`pending`](Self::pending), which were sent.
    fn sent(&mut self, id: SlotId, count: usize, now: Duration) -> State;

    /// Handles the end of a connection's incoming side.
    fn handle_end(&mut self, id: SlotId, end: End, now: Duration) -> State;

    /// Handles a first byte that is not TLS on a port that speaks TLS: the answer has to be plain text.
    fn handle_plain(&mut self, id: SlotId, now: Duration) -> State;

    /// Permission to log a fault that clients can cause at will, with the number of suppressed lines since
    /// the last one; `None` when the line is to be suppressed.
    fn log_limit(&mut self, now: Duration) -> Option<u64>;
}
