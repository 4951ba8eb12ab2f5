//! Sockets and TLS.
//!
//! [`run`] makes the tasks of the listeners: one each that accepts, and one for each slot. They live as long
//! as the server; a connection is assigned to the task of its slot. This module does not interpret bytes: an
//! [`Endpoint`] processes received bytes and holds those to be sent. [`tls`] opens and seals TLS records.

#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

mod connection_table;
mod driver;
mod endpoint;
mod linger;
mod listener;
mod listeners;
mod local;
mod peer_uid;
mod socket;
mod tasks;
pub mod tls;

use core::time::Duration;

pub use connection_table::ConnectionTable;
pub use endpoint::Endpoint;
pub use listener::{BindError, Listener, TlsConfig};
pub use listeners::Listeners;
pub use tasks::{run, task_bytes, tasks};

crate::limits::limits! {
    /// Kernel buffer of one connection, each way (the kernel doubles it for its own needs).
    SOCKET_BUFFER_BYTES: usize = 32 * 1024, exceeded "the client's writes wait",
        tests ["unread_bytes_of_an_accepted_connection_are_bounded"];
    /// Connections in the accept queue of the kernel, which may lower it (`net.core.somaxconn`).
    ACCEPT_BACKLOG: usize = 1024, fixed "the kernel drops a request to connect, and the client repeats it";
    /// Bytes read and dropped from a connection that is being closed; more than the kernel of a client that
    /// does not read keeps to be sent.
    LINGER_BYTES: usize = 8 * 1024 * 1024, exceeded "the connection is closed",
        tests ["closed_connection_is_drained_up_to_its_limits"];
    /// Time for which a closed connection is drained, so that a reset does not lose the last answer.
    LINGER_TIMEOUT: Duration = Duration::from_secs(1), exceeded "the connection is closed",
        tests ["closed_connection_is_drained_up_to_its_limits"];
    /// Reads and writes of one connection, or accepted connections, before other tasks run.
    STEP_BUDGET: usize = 16, exceeded "the task yields",
        tests ["connection_has_its_budget_of_steps_and_then_yields"];
}
