//! Sockets, TLS and timers: the only place that awaits the network.
//!
//! [`run`] makes the tasks of a listener: one that accepts, one for each slot, one that ticks. They
//! are made once and live as long as the server; a connection is handed to the task of its slot.
//! What a connection says and means is not known here: an [`Endpoint`] takes its bytes and gives
//! bytes back.

mod bell;
mod driver;
mod endpoint;
mod listener;
mod ports;
pub mod tls;

/// What the reactor, its thread and the executor take, measured on x86-64: 61 KB for the reactor,
/// the rest for queues and timers that grow to the number of tasks.
pub const REACTOR_BYTES: usize = 128 * 1024;

pub use bell::Bell;
pub use endpoint::Endpoint;
pub use listener::{BindError, Listener, run, task_bytes};
pub use ports::Ports;
