//! Connections: each one, of the TCP port or the local socket, is a sans-IO state machine in one of a fixed
//! number of slots.
//!
//! [`Server`] is the sans-IO core of the server: bytes of connections and the time go in, bytes come out.
//! System calls go through an [`api::Platform`](crate::api::Platform).
//!
//! | module | contents |
//! |---|---|
//! | `server` | all slots, the api, wake-ups, pushes |
//! | `pool` | admission of proven connections, eviction of unproven ones |
//! | `machine` | one connection: buffers, deadlines, flow control |
//! | `http`, `request`, `response` | its request: a call, a page, or the upgrade; its response |
//! | `page` | own pages |
//! | `websocket`, `stream` | its messages after an upgrade; its events without one |
//! | `reload` | a later configuration file in place of the one in force |
//! | `auth`, `closing`, `push` | its identity; its end; pushes that are pending |

mod admission;
mod auth;
mod closing;
mod events;
mod http;
mod machine;
mod metrics;
mod page;
mod pending_pushes;
mod pool;
mod push;
mod reload;
mod request;
mod response;
mod server;
mod stream;
#[cfg(test)]
mod tests;
mod websocket;

use core::time::Duration;

pub use http::is_reserved;
pub use machine::{CONNECTION_BYTES, Finish, State};
pub use pool::{Peer, SlotId, Stage};
pub use reload::Settings;
pub use server::{End, Server, ServerConfig};

use crate::api::LOG_ANSWER_BYTES;
use crate::friendcore::{CHUNK_ENVELOPE_BYTES, CHUNK_PIECE_BYTES};
use crate::http::{CHUNK_LINE_BYTES, SEND_RESERVE_BYTES, TRAILER_BYTES};
use crate::limits::{BODY_BYTES, HEAD_BYTES, MESSAGE_BYTES, REPLY_BYTES, SEND_BYTES, SERVICE_NAME_BYTES};
use crate::service::{COMMAND_TIMEOUT, SPAWN_TIMEOUT};
use crate::ws::FRAME_HEADER_BYTES;

crate::limits::limits! {
    /// Receive buffer of one connection: a message, its frame headers and control frames between its
    /// fragments.
    RECEIVE_BYTES: usize = MESSAGE_BYTES + 1024, exceeded "nothing more is read until there is room",
        tests [
            "message_of_the_limit_is_accepted_in_fragments_and_one_more_byte_closes",
            "filled_up_to_the_capacity"
        ];
    /// Slots beyond `slots`, for connections without an identity while all others have one.
    OVERFLOW_SLOTS: usize = 4, exceeded "a new connection evicts the oldest of the fullest source",
        tests [
            "connections_up_to_the_slots_and_the_overflow_slots_are_accepted",
            "new_connection_evicts_the_oldest_of_the_fullest_source"
        ];
    /// Piece of an own page that is sent at once.
    SITE_PIECE_BYTES: usize = 16 * 1024, exceeded "the rest follows", tests ["page_is_sent_in_pieces"];
    /// Part of `slots` for the connections of one user who is not an administrator: `slots / 2`.
    USER_SHARE: usize = 2, exceeded "answered 503, a socket closed 1013",
        tests ["user_has_a_share_of_the_slots"];
    /// Connections of such a user where that is less.
    USER_SLOTS_MIN: usize = 4, exceeded "answered 503, a socket closed 1013",
        tests ["user_has_a_share_of_the_slots"];
    /// Unsent bytes of a connection before pushes wait, to be sent as the newest state.
    PUSH_BACKLOG_BYTES: usize = 1024, exceeded "pushes wait",
        tests [
            "pushes_wait_beyond_their_backlog_and_not_before",
            "peer_that_does_not_read_gets_the_newest_state_only"
        ];
    /// Lines of a service in the push of its end.
    PUSH_OUTPUT_LINES: usize = 3, exceeded "earlier lines are left out",
        tests ["push_of_an_end_has_its_reason_and_the_newest_lines"];
    /// Bytes of these lines.
    PUSH_OUTPUT_BYTES: usize = 256, exceeded "earlier output is left out",
        tests ["push_of_an_end_has_its_reason_and_the_newest_lines"];
    /// TLS handshake, request head and upgrade together.
    HEAD_TIMEOUT: Duration = Duration::from_secs(10), exceeded "answered 408",
        tests [
            "half_a_request_is_answered_at_its_end_or_its_deadline",
            "half_a_request_ends_after_the_head_timeout"
        ];
    /// Time of a socket without a valid session.
    SESSION_TIMEOUT: Duration = Duration::from_secs(30), exceeded "the socket is closed",
        tests ["socket_without_a_session_is_closed_after_its_time", "a_socket_without_a_session_is_closed"];
    /// Time that a client may leave sent data unread.
    SEND_TIMEOUT: Duration = Duration::from_secs(20), exceeded "the connection is closed",
        tests [
            "peer_that_does_not_read_is_closed_after_the_send_timeout",
            "peer_that_does_not_read_is_closed_and_uses_no_memory"
        ];
    /// Time of a call that waits for a password check, a start or a command, which have limits of their own.
    ANSWER_TIMEOUT: Duration = Duration::from_secs(35), exceeded "the call fails",
        tests ["call_times_out_after_the_answer_timeout", "call_without_completion_times_out"];
}

const _: () = {
    assert!(
        HEAD_BYTES + BODY_BYTES + CHUNK_LINE_BYTES + TRAILER_BYTES <= RECEIVE_BYTES,
        "head_bytes + body_bytes: must fit message_bytes + 1024, with the framing of a chunked body"
    );
    assert!(
        REPLY_BYTES + FRAME_HEADER_BYTES + SEND_RESERVE_BYTES <= SEND_BYTES
            || CHUNK_PIECE_BYTES + CHUNK_ENVELOPE_BYTES + FRAME_HEADER_BYTES + SEND_RESERVE_BYTES
                <= SEND_BYTES,
        "send_bytes: must hold a whole reply, or one chunk of it"
    );
    // A byte of output becomes at most three: an escape, a replacement character, or a separator of lines.
    assert!(
        3 * LOG_ANSWER_BYTES + SERVICE_NAME_BYTES + 256 + SEND_RESERVE_BYTES <= SEND_BYTES,
        "send_bytes: must hold a push of output"
    );
    assert!(
        ANSWER_TIMEOUT.as_secs() > COMMAND_TIMEOUT.as_secs()
            && ANSWER_TIMEOUT.as_secs() > SPAWN_TIMEOUT.as_secs(),
        "a call waits longer than the command or the start it waits for"
    );
};
