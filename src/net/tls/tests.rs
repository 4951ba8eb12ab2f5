//! The session against rustls's client, and against one that knows its keys and keeps to nothing.

mod by_hand;
mod client;
mod client_key;
mod handshake;
mod hostile;
mod keys;
mod kinds;
mod peer;
mod records;
mod session;
mod unusual;
