//! Interface between the sockets and the state machines of the connections.

use core::net::IpAddr;
use core::time::Duration;

use crate::connection::{End, Peer, SlotId, Stage, State};
use crate::log::Suppressed;

/// State machines of all connections. A task borrows them mutably for one poll, and never across an await.
pub trait Endpoint {
    /// Time since start. It stays the same until the loop sleeps again.
    fn now(&self) -> Duration;

    /// Claims a slot for a new connection. Returns `None` if none is free; then one that was evicted is free soon.
    fn claim(&mut self, peer: Peer, now: Duration) -> Option<SlotId>;

    /// Frees a slot after its socket was closed.
    fn release(&mut self, id: SlotId, now: Duration);

    /// State of a connection. One that is gone is to be aborted.
    fn state(&self, id: SlotId) -> State;

    /// Free space of a connection's receive buffer; not empty while its [`State`] receives.
    fn receive_space(&mut self, id: SlotId) -> &mut [u8];

    /// Processes the first `count` bytes of [`receive_space`](Self::receive_space).
    fn received(&mut self, id: SlotId, count: usize, now: Duration) -> State;

    /// Bytes that a connection has to send; not empty while its [`State`] sends.
    fn pending(&self, id: SlotId) -> &[u8];

    /// Drops the first `count` bytes of [`pending`](Self::pending), which were sent.
    fn sent(&mut self, id: SlotId, count: usize, now: Duration) -> State;

    /// Adds more bytes to those that a connection has to send, once all were sent. Returns false if nothing follows.
    fn refill(&mut self, _id: SlotId) -> bool {
        false
    }

    /// Returns true if a header of the PROXY protocol comes before the first byte of a connection.
    fn awaits_proxy(&self, _id: SlotId) -> bool {
        false
    }

    /// Notes the client that a proxy names.
    fn handle_client(&mut self, _id: SlotId, _client: IpAddr) {}

    /// Returns true if clients are asked for a certificate.
    fn asks_for_keys(&self) -> bool {
        false
    }

    /// Notes the public key of a client's certificate, as its SHA-256. The client has the private key.
    fn handle_client_key(&mut self, _id: SlotId, _key: &[u8; 32]) {}

    /// Notes the progress of a connection towards its request.
    fn handle_stage(&mut self, id: SlotId, stage: Stage, now: Duration);

    /// Handles the end of a connection's incoming side.
    fn handle_end(&mut self, id: SlotId, end: End, now: Duration) -> State;

    /// Handles a first byte that is not TLS on a TLS listener. The answer is plain text.
    fn handle_plain(&mut self, id: SlotId, now: Duration) -> State;

    /// Limits the rate of log lines that clients can cause at will. Returns the number of lines suppressed
    /// since the last one, or `None` if this line is to be suppressed.
    fn log_limit(&mut self, now: Duration) -> Option<Suppressed>;
}
