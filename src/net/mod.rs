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

use core::time::Duration;

pub use bell::Bell;
pub use endpoint::{Endpoint, Read, Write};
pub use listener::{BindError, Listener, run, task_bytes, tasks};
pub use ports::Ports;

crate::limits::limits! {
    /// Kernel buffer of one connection, each way (the kernel doubles it for its own needs).
    SOCKET_BUFFER_BYTES: usize = 32 * 1024, exceeded "the client's writes wait",
        tests ["accepted_connection_keeps_a_bounded_number_of_bytes_that_nobody_reads"];
    /// Bytes read and dropped from a connection that is being closed.
    LINGER_BYTES: usize = 256 * 1024, exceeded "the connection is closed",
        tests ["closed_connection_is_read_on_to_its_limits_and_no_further"];
    /// Time that a closed connection is read on, so that a reset does not lose the last answer.
    LINGER_TIMEOUT: Duration = Duration::from_secs(1), exceeded "the connection is closed",
        tests ["closed_connection_is_read_on_to_its_limits_and_no_further"];
    /// Reads and writes of one connection, or accepted connections, before other tasks run.
    TURNS: usize = 16, exceeded "the task yields",
        tests ["connection_takes_its_turns_and_lets_others_have_theirs"];
}
