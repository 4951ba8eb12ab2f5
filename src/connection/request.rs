//! State of the one request of a connection.

use core::num::NonZeroU16;

/// State of the one request of a connection.
#[derive(Debug, Default)]
pub(super) struct Request {
    /// Its method is `HEAD`.
    pub(super) head_only: bool,
    /// It is for a resource of `/api/v1`.
    pub(super) is_rest: bool,
    /// It is for the stream of events.
    pub(super) is_stream: bool,
    /// Methods that the resource has; empty: those of every path.
    pub(super) methods: &'static str,
    /// Position of its `Origin` among those that are allowed.
    pub(super) origin: Option<u8>,
    /// Number of the own page that is sent, plus 1.
    pub(super) page: Option<NonZeroU16>,
    /// Length of the data of a chunked body that is decoded, then of the own page that was sent.
    pub(super) decoded: usize,
}
