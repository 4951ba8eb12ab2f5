//! Sockets, TLS and timers: the only place that awaits the network.
//!
//! [`run`] makes the tasks of a listener: one that accepts, one for each slot, one that ticks. They
//! are made once and live as long as the server; a connection is handed to the task of its slot.
//! What a connection says and means is not known here: an [`Endpoint`] takes its bytes and gives
//! bytes back.

mod bell;
mod driver;
mod endpoint;
mod linger;
mod listener;
mod ports;
pub mod tls;

pub use bell::Bell;
pub use endpoint::{Endpoint, Read, Write};
pub use listener::{BindError, Listener, run, task_bytes, tasks};
pub use ports::Ports;
