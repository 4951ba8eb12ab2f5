//! Output of services, audit trail and log for a log server (syslog, RFC 5424) or systemd's journal.
//!
//! The lines wait in the buffers that the server has in any case. [`Sender`] has a position in each of them, composes
//! the next [`Message`], and counts what was overwritten before it was sent. It is sans-IO: lines and the time go in,
//! messages and the time of the next attempt come out.

mod message;
mod sender;
mod settings;

use core::time::Duration;

pub use message::{Form, Header, Message, Severity};
pub use sender::{AUDIT, LOG, Moment, SOURCES, Sender, Sources};
pub use settings::{Facility, HostName, Settings, Target};

crate::limits::limits! {
    /// Message with its header, so that a datagram passes every network in one piece (RFC 5426, 3.2).
    SYSLOG_MESSAGE_BYTES: usize = 1180, fixed "the longest header and part of a line fit";
    /// Part of a line in one message.
    SYSLOG_LINE_BYTES: usize = 900, exceeded "the rest of the line is another message",
        tests ["line_over_its_limit_is_sent_in_parts"];
    /// Host name in a message, and name in the certificate of a log server.
    SYSLOG_NAME_BYTES: usize = 64, exceeded "configuration error",
        tests ["each_limit_is_met_and_not_passed"];
    /// Messages of one step of the event loop.
    SYSLOG_BURST: usize = 16, fixed "the rest follows after `syslog_pause`";
    /// Pause after a step with as many messages.
    SYSLOG_PAUSE: Duration = Duration::from_millis(20), fixed "the next step";
    /// Pause after the first failure, which doubles with each further one.
    SYSLOG_RETRY: Duration = Duration::from_secs(1), exceeded "the next attempt",
        tests ["pause_doubles_with_each_failure_up_to_its_limit"];
    /// Longest such pause, from which on administrators have a notice.
    SYSLOG_RETRY_MAX: Duration = Duration::from_secs(60), exceeded "the next attempt",
        tests ["pause_doubles_with_each_failure_up_to_its_limit"];
    /// Time of a log server to accept a connection and its handshake, and to read more.
    SYSLOG_TIMEOUT: Duration = Duration::from_secs(20), exceeded "the connection has failed",
        tests ["log_server_that_reads_nothing_is_given_up"];
    /// Time after which a message without a failure counts as delivered; twice as long at most.
    SYSLOG_REPEAT: Duration = Duration::from_secs(1), exceeded "it is not sent again",
        tests ["what_was_sent_shortly_before_a_failure_is_sent_again"];
    /// Times of the output of one service that waits.
    SYSLOG_TIMES: usize = 16, exceeded "one close to the next is dropped: the lines in between have the later one",
        tests ["times_of_output_are_thinned_out_at_their_limit"];
}
