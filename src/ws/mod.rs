//! WebSocket (RFC 6455) over fixed buffers, server side.
//!
//! [`Assembler`] parses frames in a [`ReceiveBuffer`], unmasks them in place and joins fragments
//! there. [`SendBuffer`] accepts a whole frame or nothing. [`Socket`] adds the closing handshake and
//! pings. Frame headers, opcodes and close codes are tungstenite's. Extensions are not offered and
//! their bits are refused: a small board has no memory for a compression window on each side of each
//! connection.

#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

mod assembler;
mod buffer;
mod send;
mod socket;

pub use assembler::{Assembler, Event, Limits, Violation};
pub use buffer::ReceiveBuffer;
pub use send::{SendBuffer, SendBufferFull};
pub use socket::{Incoming, Socket};
pub use tungstenite::protocol::frame::coding::CloseCode;
