//! A DHCP client (RFC 2131, RFC 2132) without a socket and a clock.
//!
//! [`Client`] takes what a server sent and the time, and gives the messages to send and the address
//! to use. It asks for one IPv4 address, its net, a router, nameservers and a lease; what else a
//! server tells is left alone. It never asks the network whether somebody else has the address
//! (RFC 5227), because that takes a raw socket.

mod client;
mod packet;

pub use client::{Action, Client, Destination, Ignored, Lease, Lost};
pub use packet::{HARDWARE_BYTES, Kind, ParseError, Reply, Request};

/// UDP port of servers.
pub const SERVER_PORT: u16 = 67;
/// UDP port of clients.
pub const CLIENT_PORT: u16 = 68;
