//! HTTP/1.1: request head, form, responses and the WebSocket upgrade.
//!
//! A connection has one request and one response; then it closes or becomes a WebSocket.
//! [`parse_head`] parses a head in the receive buffer, [`Pairs`] decodes a query or a form in place,
//! [`check_upgrade`] validates a WebSocket handshake by RFC 6455, and the `write_..` functions write
//! whole responses to a send buffer. An invalid request results in a [`Rejection`]: a status and one
//! line with the reason and the remedy. [`check_origin`] refuses pages of other origins, and [`decode_chunks`] decodes
//! a chunked body in place. [`Front`] knows the proxies before the server.

#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

mod chunked;
mod console;
mod form;
mod front;
mod head;
mod origin;
mod page;
mod response;
mod site;
mod upgrade;

pub use chunked::{Chunks, decode_chunks};
pub use console::{ConsoleFile, ConsoleUse, write_console};
pub use form::{FormError, Pairs, check_content_type, decode_path, is_type};
pub use front::{ClientFrom, Front, Network, proxy_header};
pub use head::{Head, Method, Rejection, UpgradeFields, is_head, parse_head};
pub use origin::{check_origin, find_origin, host_of_url, split_url, without_default_port};
pub use page::write_health;
pub use response::{
    CALL_HEAD_BYTES, CONTINUE, Cookie, MediaType, READ_METHODS, Recipient, ResponseTooLarge, phrase,
    write_call, write_call_head, write_options, write_rejection, write_stream_head,
};
pub use site::{Site, SiteFile, SiteUse, write_site_head};
pub use upgrade::{SUBPROTOCOL, Upgrade, accept_key, check_upgrade, write_switching};

use core::time::Duration;

use self::console::has_tag;
use crate::limits::SEND_BYTES;

crate::limits::limits! {
    /// Bytes of a send buffer kept for control frames and the closing frame.
    SEND_RESERVE_BYTES: usize = 512, exceeded "nothing more is read from the connection until there is room",
        tests [
            "largest_answer_leaves_room_for_the_closing_frame",
            "peer_that_does_not_read_is_read_until_the_buffer_is_full"
        ];
    /// Files of the console together, compressed.
    CONSOLE_BYTES: usize = 40 * 1024, exceeded "the build stops", tests ["console_stays_light"];
    /// Size line of a chunk of a body, with its extensions.
    CHUNK_LINE_BYTES: usize = 128, exceeded "answered 400", tests ["size_line_up_to_its_limit"];
    /// `trusted_proxies`.
    TRUSTED_PROXIES: usize = 8, exceeded "configuration error", tests ["each_limit_is_met_and_not_passed"];
    /// Header of the PROXY protocol, with all that a proxy adds to the addresses.
    PROXY_HEADER_BYTES: usize = 536, exceeded "the connection is closed",
        tests ["header_of_the_proxy_protocol_up_to_its_limit"];
    /// Directories in one another, with `[web] root`.
    WEB_DEPTH: usize = 8, exceeded "the directory is left out", tests ["directories_up_to_their_depth"];
    /// Files and directories of it that are left out, each in the log and in `friendlet check`.
    WEB_LEFT_OUT: usize = 8, exceeded "the rest is counted", tests ["files_left_out_up_to_their_limit"];
    /// Time in which the own pages are read at the start.
    WEB_TIME: Duration = Duration::from_secs(5), fixed "the server starts without them, and has a notice";
    /// Trailer section of a chunked body.
    TRAILER_BYTES: usize = 512, exceeded "answered 431", tests ["trailer_section_up_to_its_limit"];
}

const _: () = assert!(
    SEND_BYTES >= SEND_RESERVE_BYTES + 1024,
    "send_bytes: must hold a reply of 512 bytes beside the reserve"
);
