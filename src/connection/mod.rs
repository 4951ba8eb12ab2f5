//! Connections: one TCP connection is one sans-IO machine in one of a fixed number of slots.
//!
//! [`Server`] is the whole server without a socket and a clock: bytes of connections go in with the
//! time, bytes come out, and what only the system can do is asked of an [`api::Platform`](crate::api::Platform).
//! `machine` holds one connection, `http` its first request, `websocket` its messages after an upgrade.

mod auth;
mod closing;
mod http;
mod machine;
mod pool;
mod push;
mod server;
#[cfg(test)]
mod tests;
mod websocket;

pub use machine::{CONNECTION_BYTES, Finish, State};
pub use pool::{Admission, SlotId};
pub use server::{End, Server, ServerConfig};
