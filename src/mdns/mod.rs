//! Sans-IO multicast DNS (RFC 6762) and DNS-based service discovery (RFC 6763).
//!
//! [`Responder`] accepts the addresses of the host, messages of the network and the time. It returns the messages to send:
//! probes, announcements, answers, and the withdrawal at the end. [`browse`] is the other side: one question, and the servers
//! of a response.
//!
//! | module | contents |
//! |---|---|
//! | `packet`, `writer` | messages: parser and writer |
//! | `names` | names and records of a server |
//! | `interface` | an interface with its addresses |
//! | `responder` | the machine of a server |
//! | `browse` | question of a client, and the servers in a response |
//!
//! Omissions and their reasons: `docs/decisions/0040-found-on-the-network.md`.

#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

pub mod browse;
mod interface;
mod names;
mod packet;
mod responder;
mod writer;

use core::net::{Ipv4Addr, Ipv6Addr};
use core::time::Duration;

pub use interface::{Address, Interface};
pub use names::{LABEL_BYTES, Service};
pub use responder::{Responder, Transmit};

crate::limits::limits! {
    /// Message of multicast DNS that is sent: the largest one with the longest names and all addresses has room.
    MDNS_BYTES: usize = 1024, fixed "names and addresses are bounded";
    /// Message of multicast DNS that is read, the payload of a packet of Ethernet.
    MDNS_RECEIVED_BYTES: usize = 1472, exceeded "ignored",
        tests ["datagram_over_the_limit_is_ignored"];
    /// Interfaces on which the server is announced.
    MDNS_INTERFACES: usize = 8, exceeded "the server is not announced on the others",
        tests ["interfaces_and_addresses_up_to_their_limits"];
    /// Addresses of one interface and IP version that are announced.
    MDNS_ADDRESSES: usize = 4, exceeded "the others are not announced",
        tests ["interfaces_and_addresses_up_to_their_limits"];
    /// Pointers of one compressed name.
    MDNS_POINTERS: usize = 16, exceeded "the message is ignored",
        tests ["pointers_of_a_name_up_to_their_limit"];
    /// Time between two responses by multicast on an interface (RFC 6762, 6); a quarter of it for the probe of another host.
    MDNS_PAUSE: Duration = Duration::from_secs(1), exceeded "the answer waits",
        tests ["flood_of_questions_has_an_answer_a_second"];
    /// Replies to single clients within that time.
    MDNS_UNICASTS: u8 = 16, exceeded "a question from another port than 5353 has no answer",
        tests ["flood_of_questions_of_other_ports_has_so_many_answers"];
    /// Datagrams that the server reads in [`MDNS_READ_TIME`].
    MDNS_READS: u8 = 32, exceeded "the rest waits in the socket, and the kernel drops what has no room there",
        tests ["datagrams_beyond_the_limit_wait"];
    /// Time in which it reads so many.
    MDNS_READ_TIME: Duration = Duration::from_millis(100), exceeded "the next datagrams are read",
        tests ["datagrams_beyond_the_limit_wait"];
}

/// UDP port.
pub const PORT: u16 = 5353;
/// Group of IPv4 (RFC 6762, 3).
pub const GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
/// Group of IPv6.
pub const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);
