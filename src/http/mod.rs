//! HTTP/1.1: request head, form, responses and the WebSocket upgrade.
//!
//! A connection has one request and one response; then it closes or becomes a WebSocket.
//! [`parse_head`] parses a head in the receive buffer, [`Pairs`] decodes a query or a form in place,
//! [`check_upgrade`] validates a WebSocket handshake by RFC 6455, and the `write_..` functions write
//! whole responses to a send buffer. An invalid request results in a [`Rejection`]: a status and one
//! line with the reason and the remedy.

#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

mod form;
mod head;
mod page;
mod response;
mod upgrade;

pub use form::{FormError, Pairs, check_content_type, decode_path};
pub use head::{Head, Method, Rejection, UpgradeFields, parse_head};
pub use page::{write_health, write_page, write_plain_on_tls};
pub use response::{
    CALL_HEAD_BYTES, ResponseTooLarge, write_call, write_call_head, write_preflight, write_rejection,
    write_text,
};
pub use upgrade::{SUBPROTOCOL, Upgrade, accept_key, check_upgrade, write_switching};

use crate::limits::SEND_BYTES;

crate::limits::limits! {
    /// Bytes of a send buffer kept for control frames and the closing frame.
    SEND_RESERVE_BYTES: usize = 512, exceeded "nothing more is read from the connection until there is room",
        tests [
            "largest_answer_leaves_room_for_the_closing_frame",
            "peer_that_does_not_read_is_read_until_the_buffer_is_full"
        ];
}

const _: () = assert!(
    SEND_BYTES >= SEND_RESERVE_BYTES + 1024,
    "send_bytes: must hold a reply of 512 bytes beside the reserve"
);
