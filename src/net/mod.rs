//! Sockets and TLS.
//!
//! [`run`] makes the tasks of a listener: one that accepts and one for each slot. They live as long as the
//! server; a connection is assigned to the task of its slot. The meaning of its bytes is not known here: an
//! [`Endpoint`] takes what was received and holds what is to be sent.

#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

mod connection_table;
mod driver;
mod endpoint;
mod linger;
mod listener;
pub mod tls;

pub use connection_table::ConnectionTable;
pub use endpoint::Endpoint;
pub use listener::{BindError, Listener, run, task_bytes, tasks};
