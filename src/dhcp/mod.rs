//! Sans-IO DHCP client (RFC 2131, RFC 2132).
//!
//! [`Client`] accepts the messages of servers and the time. It returns the messages to send and the
//! address to use. It requests one IPv4 address with its subnet, a router, nameservers and a lease,
//! and ignores all other options. It does not probe for address conflicts (RFC 5227), because a
//! probe needs a raw socket.

mod client;
mod packet;

pub use client::{AddressChange, Client, Destination, DropReason, Lease, LeaseEnd};
pub use packet::{ClientMessage, HARDWARE_BYTES, MessageType, ParseError, ServerMessage};

/// UDP port of servers.
pub const SERVER_PORT: u16 = 67;
/// UDP port of clients.
pub const CLIENT_PORT: u16 = 68;
