//! What happened since start, in numbers.

use core::fmt;

/// Counts of what is not worth a line each. They wrap after 2^32 events.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counters {
    /// Connections in_use into a slot.
    pub accepted: u32,
    /// Connections that came while the house was full and were told so.
    pub rejected_at_capacity: u32,
    /// Connections that ended without a byte.
    pub silent: u32,
    /// Connections that ended, or were ended, in the middle of a request.
    pub half_requests: u32,
    /// Connections that spoke broken TLS.
    pub bad_tls: u32,
    /// Connections that spoke something else where TLS is spoken.
    pub plain_on_tls: u32,
    /// Requests refused with a status of 4xx or 5xx for their form.
    pub bad_requests: u32,
    /// Messages refused: no frame, no envelope, or too much of one.
    pub bad_messages: u32,
    /// Sockets closed for a breach of RFC 6455 or a message over the limit.
    pub bad_sockets: u32,
    /// Sockets closed because no session was shown in time.
    pub unauthenticated: u32,
    /// Sockets closed because the peer did not read, or did not answer pings.
    pub unresponsive: u32,
    /// Calls answered.
    pub calls: u32,
    /// Logins refused.
    pub refused_logins: u32,
}

impl Counters {
    /// Adds one.
    pub fn add(counter: &mut u32) {
        *counter = counter.wrapping_add(1);
    }

    /// Everything that was refused or went wrong, together.
    pub fn refusals(&self) -> u32 {
        [
            self.rejected_at_capacity,
            self.silent,
            self.half_requests,
            self.bad_tls,
            self.plain_on_tls,
            self.bad_requests,
            self.bad_messages,
            self.bad_sockets,
            self.unauthenticated,
            self.unresponsive,
            self.refused_logins,
        ]
        .into_iter()
        .fold(0, u32::wrapping_add)
    }
}

impl fmt::Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} connections ({} silent, {} half a request, {} bad TLS, {} plain on TLS, {} turned away), \
             {} calls, {} logins refused; refused {} requests, {} messages, {} sockets; \
             closed {} unauthenticated, {} unresponsive",
            self.accepted,
            self.silent,
            self.half_requests,
            self.bad_tls,
            self.plain_on_tls,
            self.rejected_at_capacity,
            self.calls,
            self.refused_logins,
            self.bad_requests,
            self.bad_messages,
            self.bad_sockets,
            self.unauthenticated,
            self.unresponsive,
        )
    }
}
