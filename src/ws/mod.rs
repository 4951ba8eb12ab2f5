//! RFC 6455 over fixed buffers, server side.
//!
//! [`Assembler`] reads frames out of a [`ReceiveBuffer`], unmasks them where they lie and joins
//! fragments there; [`SendBuffer`] takes whole frames or none of a frame; [`Socket`] adds the closing handshake
//! and the pings. Frame headers, opcodes and close codes are tungstenite's. Extensions are not
//! offered and their bits are refused: a compression window for each side of each connection is
//! what a small board cannot spare.

#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

mod assembler;
mod buffer;
mod send;
mod socket;

pub use assembler::{Assembler, Event, Limits, Violation};
pub use buffer::ReceiveBuffer;
pub use send::{Full, SendBuffer};
pub use socket::{Incoming, Socket};
pub use tungstenite::protocol::frame::coding::CloseCode;
