//! Sans-IO DHCP client (RFC 2131, RFC 2132).
//!
//! [`Client`] accepts the messages of servers and the time. It returns the messages to send and the
//! address to use. It requests one IPv4 address with its subnet, a router, nameservers, NTP servers and a
//! lease, and ignores all other options. It does not probe for address conflicts (RFC 5227), because a
//! probe needs a raw socket.

mod client;
mod packet;

use core::time::Duration;

pub use client::{AddressChange, Client, Destination, DropReason, Lease, LeaseEnd};
pub use packet::{ClientMessage, HARDWARE_BYTES, MessageType, ParseError, ServerMessage};

crate::limits::limits! {
    /// Host name; the kernel accepts 64 bytes.
    HOST_NAME_BYTES: usize = 63, exceeded "configuration error", tests ["each_limit_is_met_and_not_passed"];
    /// Name servers of a host; resolvers ask no more (resolv.conf(5), MAXNS).
    NAMESERVERS: usize = 3, exceeded "configuration error; the rest of a lease's are not used",
        tests ["each_limit_is_met_and_not_passed", "nameservers_beyond_the_limit_are_ignored"];
    /// DHCP message, sent or received: the payload of an Ethernet frame of 1500 bytes after the headers of IP
    /// and UDP.
    DHCP_BYTES: usize = 1472, exceeded "the message is ignored",
        tests ["messages_up_to_the_limit_are_parsed", "longest_message_has_room"];
    /// DHCPREQUESTs for one offered address (RFC 2131, 3.1.5).
    DHCP_TRIES: u8 = 4, exceeded "discovery starts again", tests ["offer_without_an_ack_is_given_up"];
    /// First pause before an unanswered DHCP message is sent again (RFC 2131, 4.1); it doubles, plus or
    /// minus a second.
    DHCP_RETRY_MIN: Duration = Duration::from_secs(4), exceeded "the message is sent again",
        tests ["message_without_reply_is_repeated_after_growing_pauses"];
    /// Longest such pause.
    DHCP_RETRY_MAX: Duration = Duration::from_secs(64), exceeded "the pause grows no more",
        tests ["message_without_reply_is_repeated_after_growing_pauses"];
    /// Shortest pause between two attempts to renew a lease (RFC 2131, 4.4.5).
    DHCP_RENEW_MIN: Duration = Duration::from_secs(60), exceeded "the next attempt",
        tests ["renewals_keep_the_shortest_pause", "lease_is_rebound_and_expires"];
    /// Shortest lease that is accepted.
    DHCP_LEASE_MIN: Duration = Duration::from_secs(10), exceeded "a shorter one is ignored",
        tests ["unusable_replies_are_dropped"];
}

/// UDP port of servers.
pub const SERVER_PORT: u16 = 67;
/// UDP port of clients.
pub const CLIENT_PORT: u16 = 68;
