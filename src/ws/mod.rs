//! WebSocket (RFC 6455) over fixed buffers; [`Socket`] and [`SendBuffer`] are of a server.
//!
//! [`Assembler`] parses frames of either side in a [`ReceiveBuffer`], unmasks them in place and joins fragments
//! there. [`SendBuffer`] accepts a whole frame or nothing. [`Socket`] adds the closing handshake and
//! pings. Frame headers, opcodes and close codes are tungstenite's. Extensions are not offered and
//! their bits are refused: a small board has no memory for a compression window on each side of each
//! connection.

#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

mod assembler;
mod buffer;
mod send;
mod socket;

use core::time::Duration;

pub use assembler::{Assembler, Event, Limits, Violation};
pub use buffer::ReceiveBuffer;
pub use send::{SendBuffer, SendBufferFull, TextFrame};
pub use socket::{Incoming, Socket};
pub use tungstenite::protocol::frame::coding::CloseCode;

crate::limits::limits! {
    /// Payload of a WebSocket control frame (RFC 6455, 5.5).
    CONTROL_BYTES: usize = 125, exceeded "close 1002",
        tests ["control_frame_of_the_largest_size", "ping_over_125_bytes_is_refused"];
    /// WebSocket frame header (RFC 6455, 5.2).
    FRAME_HEADER_BYTES: usize = 14, fixed "RFC 6455 has no longer header";
    /// Silence of a client before a WebSocket ping: below the 60 s at which proxies cut idle sockets.
    PING_INTERVAL: Duration = Duration::from_secs(25), exceeded "a ping is sent",
        tests ["two_unanswered_pings_close", "unanswered_pings_end_a_socket_and_answered_ones_keep_it"];
    /// Consecutive pings without any answer.
    UNANSWERED_PINGS: u8 = 2, exceeded "the connection is closed",
        tests ["two_unanswered_pings_close", "peer_that_answers_no_ping_is_closed"];
    /// Time for the answer to a closing frame.
    CLOSE_TIMEOUT: Duration = Duration::from_secs(3), exceeded "the connection is closed",
        tests ["unanswered_close_expires", "socket_without_a_session_is_closed"];
}
