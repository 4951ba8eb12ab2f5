//! Counters of the server since its start.

use core::fmt;

/// Counters of events that are not logged one by one. They wrap after 2^32 events.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counters {
    /// Connections that got a slot.
    pub accepted: u32,
    /// Connections that were rejected while the server was at capacity.
    pub rejected_at_capacity: u32,
    /// Connections that ended without a byte.
    pub silent: u32,
    /// Connections that ended, or were ended, in the middle of a request.
    pub half_requests: u32,
    /// Connections with a TLS error.
    pub bad_tls: u32,
    /// Connections that sent plain text to a TLS listener.
    pub plain_on_tls: u32,
    /// Malformed requests, answered with a status of 4xx or 5xx.
    pub bad_requests: u32,
    /// Messages refused: malformed, or over a limit.
    pub bad_messages: u32,
    /// Sockets closed for a breach of RFC 6455 or a message over the limit.
    pub bad_sockets: u32,
    /// Sockets closed because they sent no valid session in time.
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

    /// Sum of all refusals and failures.
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
            "{} connections ({} silent, {} half a request, {} bad TLS, {} plain on TLS, {} rejected at capacity), \
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
