//! A DHCP client (RFC 2131, RFC 2132) without a socket and a clock.
//!
//! [`Client`] takes what a server sent and the time, and gives the messages to send and the address
//! to use. It asks for one IPv4 address, its net, a router, nameservers and a lease; what else a
//! server tells is left alone. It never asks the network whether somebody else has the address
//! (RFC 5227), because that takes a raw socket.

mod client;
mod packet;

use core::time::Duration;

pub use client::{Action, Client, Destination, Ignored, Lease, Lost};
pub use packet::{HARDWARE_BYTES, Kind, ParseError, Reply, Request};

crate::limits::limits! {
    /// Host name; the kernel accepts 64 bytes.
    HOST_NAME_BYTES: usize = 63, exceeded "configuration error", tests ["each_limit_is_met_and_not_passed"];
    /// Name servers of a host; resolvers ask no more (resolv.conf(5), MAXNS).
    NAMESERVERS: usize = 3, exceeded "configuration error; the rest of a lease's are not used",
        tests ["each_limit_is_met_and_not_passed", "nameservers_meet_their_limit_and_the_rest_is_left"];
    /// DHCP message, sent or received: what an Ethernet frame of 1500 bytes holds behind the headers of IP
    /// and UDP.
    DHCP_BYTES: usize = 1472, exceeded "the message is ignored",
        tests ["messages_up_to_the_limit_are_read", "longest_message_has_room"];
    /// DHCPREQUESTs for one offered address (RFC 2131, 3.1.5).
    DHCP_TRIES: u8 = 4, exceeded "discovery starts again", tests ["offer_that_is_not_kept_is_given_up"];
    /// First pause before an unanswered DHCP message is sent again (RFC 2131, 4.1); it doubles, plus or
    /// minus a second.
    DHCP_RETRY_MIN: Duration = Duration::from_secs(4), exceeded "the message is sent again",
        tests ["unanswered_message_is_sent_again_and_less_and_less"];
    /// Longest such pause.
    DHCP_RETRY_MAX: Duration = Duration::from_secs(64), exceeded "the pause grows no more",
        tests ["unanswered_message_is_sent_again_and_less_and_less"];
    /// Shortest pause between two attempts to renew a lease (RFC 2131, 4.4.5).
    DHCP_RENEW_MIN: Duration = Duration::from_secs(60), exceeded "the next attempt",
        tests ["tries_to_renew_keep_their_distance", "lease_is_rebound_and_ends"];
    /// Shortest lease that is accepted.
    DHCP_LEASE_MIN: Duration = Duration::from_secs(10), exceeded "a shorter one is ignored",
        tests ["answers_that_are_none_are_left_alone"];
}

/// UDP port of servers.
pub const SERVER_PORT: u16 = 67;
/// UDP port of clients.
pub const CLIENT_PORT: u16 = 68;
