//! Fixed connection slots, and the server they make together.
//!
//! [`Server`] is the whole server without a socket and a clock: bytes of connections go in with the
//! time, bytes come out, and what only the system can do is asked of a [`Platform`]. A connection's
//! machine is in `connection`, with its HTTP half in `request` and its WebSocket half in `messages`.
//! What a call means is decided at the `desk`, with `login`, `password`, `services` and `board`; `answer` is what
//! passes between the two.

mod answer;
mod board;
mod connection;
mod counters;
mod desk;
mod errno;
mod login;
mod messages;
mod password;
mod platform;
mod pool;
mod request;
mod server;
mod services;
#[cfg(test)]
mod tests;

pub use board::{Board, BoardEnd};
pub use connection::{CONNECTION_BYTES, Finish, State};
pub use counters::Counters;
pub use desk::Setup;
pub use platform::{CommandEnd, PasswordVerdict, Platform, Refused};
pub use pool::{Admission, SlotId};
pub use server::{End, Server};
