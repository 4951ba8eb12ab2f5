//! Sans-IO SNTP client (RFC 4330; RFC 5905, section 14).
//!
//! [`Client`] accepts the servers of the network, their replies and the time. It returns the requests to send, one
//! at a time, and what the clock of the board needs after a reply: a step, or an adjustment of a fraction of a
//! second. It measures with the monotonic clock alone, because the clock that it corrects may be decades off.
//!
//! A reply counts if it repeats the random number of the request that was sent last, comes from a synchronised
//! server, and is not before the build of this program.

mod client;
mod packet;

use core::time::Duration;

pub use client::{Client, Correction, Failure, Reading};
pub use packet::{MESSAGE_BYTES, Rejection, Reply, request};

crate::limits::limits! {
    /// NTP servers of a board.
    NTP_SERVERS: usize = 4, exceeded "configuration error; the rest of a lease's are not used",
        tests ["each_limit_is_met_and_not_passed", "ntp_servers_beyond_the_limit_are_ignored"];
    /// Time for the reply of an NTP server.
    NTP_TIMEOUT: Duration = Duration::from_secs(3), exceeded "the next server is asked",
        tests ["silent_servers_are_asked_in_turn_with_growing_pauses"];
    /// First pause after all NTP servers have failed; it doubles.
    NTP_RETRY_MIN: Duration = Duration::from_secs(16), exceeded "the first server is asked again",
        tests ["silent_servers_are_asked_in_turn_with_growing_pauses"];
    /// Longest such pause; also the pause after a server that asks for fewer requests.
    NTP_RETRY_MAX: Duration = Duration::from_secs(1024), exceeded "the pause grows no more",
        tests ["silent_servers_are_asked_in_turn_with_growing_pauses", "kiss_codes_end_or_slow_the_requests"];
    /// Pause after a reply that set the clock; it doubles with each reply that did not.
    NTP_POLL_MIN: Duration = Duration::from_secs(1024), exceeded "the server is asked again",
        tests ["pause_between_replies_doubles_while_the_clock_is_right"];
    /// Longest such pause.
    NTP_POLL_MAX: Duration = Duration::from_secs(16_384), exceeded "the pause grows no more",
        tests ["pause_between_replies_doubles_while_the_clock_is_right"];
    /// Error of the clock from which on it is set; a smaller one is adjusted, for which the kernel has half a second.
    NTP_STEP: Duration = Duration::from_millis(400), exceeded "the clock is set",
        tests ["error_of_the_clock_decides_between_step_and_adjustment"];
    /// Distance of a server from its own source of time (RFC 5905, MAXDISP).
    NTP_DISTANCE_MAX: Duration = Duration::from_secs(16), exceeded "the reply is rejected",
        tests ["replies_that_are_rejected"];
}

/// UDP port of servers.
pub const SERVER_PORT: u16 = 123;
