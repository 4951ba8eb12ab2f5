//! What the network asks of those who use it.

use core::time::Duration;
use std::io;
use std::net::SocketAddr;

use crate::connection::{End, SlotId, State};

/// Puts bytes into a connection's free space, and says how many.
pub type Read<'a> = dyn FnMut(&mut [u8]) -> io::Result<usize> + 'a;
/// Takes bytes that a connection has to send, and says how many.
pub type Write<'a> = dyn FnMut(&[u8]) -> io::Result<usize> + 'a;

/// The other side of the network: takes and gives the bytes of every connection. Its methods are
/// called from the tasks of one thread and never across an await, so cells suffice inside.
pub trait Endpoint {
    /// Time since start.
    fn now(&self) -> Duration;

    /// A slot for a new connection; `None` when even those that turn connections away are taken.
    fn claim(&self, peer: SocketAddr) -> Option<SlotId>;

    /// Ends a connection that may have to give way to a newcomer, if there is one.
    fn evict_idle(&self);

    /// Frees a slot. Its socket is closed.
    fn release(&self, id: SlotId);

    /// What the connection wants. One that is no longer there wants to be aborted.
    fn state(&self, id: SlotId) -> State;

    /// Lets `read` fill the connection's free space and takes in what came. Gives what `read` gave, and
    /// what the connection wants now.
    fn receive(&self, id: SlotId, read: &mut Read<'_>) -> io::Result<(usize, State)>;

    /// Lets `write` take from the connection's waiting bytes. Gives what `write` gave, and what the
    /// connection wants now.
    fn send(&self, id: SlotId, write: &mut Write<'_>) -> io::Result<(usize, State)>;

    /// The incoming side has ended.
    fn handle_end(&self, id: SlotId, end: End);

    /// The first byte on a port that speaks TLS was not TLS: the answer must be plain text.
    fn handle_plain(&self, id: SlotId);

    /// A [`TICK`](crate::runtime::TICK) has passed: whatever is due is done now.
    fn handle_tick(&self);
}
