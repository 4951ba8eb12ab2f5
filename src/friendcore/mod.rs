//! Friend Core's messages: bytes to calls, outcomes to bytes.
//!
//! Friend Core's protocol has two forms on one socket, which the first byte distinguishes: the frame of 2016,
//! `<!--"MSG"--"81"--"system.library/services/start"-->{ .. }<--!>`, and since 2017 a JSON envelope,
//! `{"type":"msg","data":{ .. }}`. [`decode`] reads a whole message of either form and returns one
//! [`Message`]. It decodes escapes in the message itself, so that no second buffer is needed.
//! [`reply`] and [`content`] encode answers. [`chunk`] joins messages that arrive in chunks, and splits
//! replies that are too long for one message.
//!
//! | module | contents |
//! |---|---|
//! | `frame` | decoder of the form of 2016 |
//! | `envelope` | decoder of the JSON form |
//! | [`chunk`] | chunked messages, received and sent |
//! | [`content`] | content of replies, by form |
//! | [`failure`] | content of replies that report an error |
//! | [`reply`] | envelopes around content; pushes and notices |
//! | [`error`] | errors of messages |

#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

pub mod chunk;
pub mod content;
mod envelope;
pub mod error;
pub mod failure;
mod frame;
mod lines;
pub mod reply;
#[cfg(test)]
mod tests;

use core::time::Duration;

pub use self::chunk::{Assembler, Progress, SetId};
pub use self::error::{ChunkError, Refusal, RefusalKind};
use crate::call::{Call, Parameters};
use crate::json;
use crate::limits::{CHUNK_BYTES, CHUNK_ID_BYTES, CHUNK_SETS, REPLY_BYTES};

crate::limits::limits! {
    /// Program and arguments of a command line in `services/NAME/show`.
    SHOWN_PROGRAM_BYTES: usize = 512, exceeded "the arguments from there on are left out, and `Cut` is true",
        tests ["longest_details_fit_in_every_form"];
    /// JSON text sent in one message; Friend Core cuts longer ones into chunks of this size.
    CHUNK_PIECE_BYTES: usize = 63487, exceeded "sent in chunks",
        tests ["message_up_to_its_limit_is_sent_whole", "reply_is_sent_in_parts"];
    /// Bytes of a chunk's envelope around its piece.
    CHUNK_ENVELOPE_BYTES: usize = 128 + 6 * CHUNK_ID_BYTES, exceeded "the chunk is not written",
        tests ["reply_is_sent_in_parts", "envelope_of_a_part_is_within_its_room"];
    /// Chunked messages of users who are not administrators: all but one. Such a user has at most as many as are free.
    SHARED_CHUNK_SETS: usize = if CHUNK_SETS > 1 { CHUNK_SETS - 1 } else { 1 }, exceeded "rejected",
        tests ["user_has_a_share_of_the_sets_and_an_administrator_the_last"];
    /// Time from the first chunk of a message to the last.
    CHUNK_AGE: Duration = Duration::from_secs(60), exceeded "the chunks are dropped",
        tests ["age_limit", "expired_sets_are_free_at_once"];
}

const _: () = assert!(
    REPLY_BYTES / 3 * 4 + 4 <= CHUNK_BYTES || REPLY_BYTES <= CHUNK_PIECE_BYTES,
    "chunk_bytes: must hold a whole reply in base64"
);

/// Shortest message that Friend Core parses; shorter ones are ignored without an answer.
const FRAME_BYTES_MIN: usize = 16;

/// Form of a call and of its answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Form {
    /// The frame of 2016. Its answers are the bare content, in the wording of 2016.
    Frame,
    /// The JSON envelope.
    Envelope,
    /// A form or query over HTTP: the content of the later Friend Core, bare.
    Http,
}

/// A call with the form that it came in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Request<'m> {
    /// Form of the call and of its answer.
    pub form: Form,
    /// Id that the answer contains; only requests of the envelope form have one.
    pub request_id: Option<&'m str>,
    /// The call.
    pub call: Call<'m>,
}

/// One message of a client.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Message<'m> {
    /// Binds the socket to a session: `CON`, or `con` with a `sessionId`. An empty id is one that no
    /// session has.
    Bind {
        /// Form of the message; only the envelope form is answered.
        form: Form,
        /// Session id as sent.
        session: &'m str,
    },
    /// `con` ping, answered with a pong that contains `echo`.
    Ping {
        /// Value of the ping as text: `1795374850306`, `null`, or the content of a string.
        echo: &'m str,
    },
    /// `con` pong, which changes nothing.
    Pong,
    /// One part of a chunked message.
    Chunk(Part<'m>),
    /// A call that is answered.
    Call(Request<'m>),
    /// A call that is executed and never answered.
    Event(Request<'m>),
    /// `{"id":0,"req":{"cmd":"ping"}}` of the 2016 desktop's socket class.
    LegacyPing {
        /// Id as JSON: `0`, or `"a"` with its quotes.
        id: &'m str,
    },
    /// Ignored without an answer: shorter than a frame can be, or the `session` message of old desktops.
    Nothing,
}

/// One part of a chunked message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Part<'m> {
    /// Id that the parts of one message share; 1 to `limits::CHUNK_ID_BYTES` bytes.
    pub id: &'m str,
    /// Number of this part, from zero.
    pub part: u32,
    /// Number of parts.
    pub total: u32,
    /// Part of the base64 text.
    pub data: &'m str,
}

/// Memory for the parameters that [`decode`] finds, on the caller's stack.
#[derive(Debug, Default)]
pub struct Scratch<'m> {
    table: json::Table,
    parameters: Parameters<'m>,
}

/// Parses one whole message, decoding its escapes in place.
///
/// A message whose first byte, JSON white space apart, is `{` is an envelope; any other is a frame.
///
/// # Errors
/// [`Refusal`] of a message that is answered with an error; [`reply::refused`] writes that answer. The bytes
/// of the message are unspecified afterwards in either case.
pub fn decode<'a, 'm: 'a>(
    message: &'m mut [u8],
    scratch: &'a mut Scratch<'m>,
) -> Result<Message<'a>, Refusal<'a>> {
    let first = message.iter().find(|byte| !json::is_space(**byte));
    if first == Some(&b'{') {
        envelope::decode(message, scratch)
    } else if message.len() < FRAME_BYTES_MIN {
        Ok(Message::Nothing)
    } else {
        frame::decode(message, scratch).map_err(|kind| Refusal { form: Form::Frame, request_id: None, kind })
    }
}
