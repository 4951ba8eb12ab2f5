//! The two buffers of a connection: records on their way in, and on their way out.

use core::ops::Range;

use super::record::HEADER_BYTES;
use crate::mmap_buffer::MappedBuffer;
use crate::net::tls::{TLS_RECORD_BYTES, TLS_SEND_BYTES};

/// What TLS with one peer at a time is carried out in. Made at start, one of each a slot; without a
/// connection, and while one rests, no memory is behind them.
#[derive(Debug, Default)]
pub struct Buffers {
    pub(super) incoming: Incoming,
    pub(super) outgoing: Outgoing,
}

impl Buffers {
    /// Buffers of `TLS_RECORD_BYTES` and `TLS_SEND_BYTES`. Those of `default()` are for nobody: they hold
    /// no byte.
    pub fn new() -> Self {
        Self { incoming: Incoming::new(), outgoing: Outgoing::new() }
    }

    /// Forgets what is in them.
    pub(super) fn clear(&mut self) {
        self.incoming.clear();
        self.outgoing.clear();
        self.rest();
    }

    /// Gives the memory back if nothing is in it. For one who calls again this is nothing to do.
    pub(super) fn rest(&mut self) {
        let (incoming, outgoing) = (&mut self.incoming, &mut self.outgoing);
        if incoming.touched && incoming.is_empty() && outgoing.is_empty() {
            incoming.pages.release_pages();
            incoming.clear();
            incoming.touched = false;
        }
        if outgoing.touched && incoming.is_empty() && outgoing.is_empty() {
            outgoing.pages.release_pages();
            outgoing.touched = false;
        }
    }
}

/// Bytes from the socket. In front of those that are still sealed may lie what was opened last.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    pages: MappedBuffer,
    opened: Range<usize>,
    sealed: Range<usize>,
    touched: bool,
}

impl Incoming {
    fn new() -> Self {
        Self { pages: MappedBuffer::new(TLS_RECORD_BYTES), ..Self::default() }
    }

    fn is_empty(&self) -> bool {
        self.opened.is_empty() && self.sealed.is_empty()
    }

    pub(super) fn clear(&mut self) {
        (self.opened, self.sealed) = (0..0, 0..0);
    }

    /// Room for more. What is sealed moves to the front for it once the opened is read: part of a
    /// record then, never a whole one.
    pub(super) fn space(&mut self) -> &mut [u8] {
        if self.opened.is_empty() && self.sealed.start > 0 {
            self.pages.copy_within(self.sealed.clone(), 0);
            self.sealed = 0..self.sealed.len();
        }
        &mut self.pages[self.sealed.end..]
    }

    /// Takes note of `count` bytes written to [`Self::space`].
    pub(super) fn add(&mut self, count: usize) {
        self.sealed.end = (self.sealed.end + count).min(self.pages.len());
        self.touched |= count > 0;
    }

    /// What was opened and not read yet.
    pub(super) fn opened(&self) -> &[u8] {
        &self.pages[self.opened.clone()]
    }

    pub(super) fn consume(&mut self, count: usize) {
        self.opened.start = (self.opened.start + count).min(self.opened.end);
    }

    /// What is not opened yet.
    pub(super) fn sealed(&mut self) -> &mut [u8] {
        &mut self.pages[self.sealed.clone()]
    }

    /// Drops the first of what is not opened yet.
    pub(super) fn skip(&mut self, count: usize) {
        self.sealed.start = (self.sealed.start + count).min(self.sealed.end);
    }

    /// Says that the first record, of `record` bytes, has `content` bytes of the peer's data in it, and
    /// goes on to what follows.
    pub(super) fn open(&mut self, record: usize, content: usize) {
        let start = self.sealed.start + HEADER_BYTES;
        self.opened = start..start + content;
        self.skip(record);
    }
}

/// Records for the socket.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    pages: MappedBuffer,
    pending: Range<usize>,
    touched: bool,
}

impl Outgoing {
    fn new() -> Self {
        Self { pages: MappedBuffer::new(TLS_SEND_BYTES), ..Self::default() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    fn clear(&mut self) {
        self.pending = 0..0;
    }

    /// Room behind what waits. It is all there again when everything is sent, and nothing is moved
    /// for more before.
    pub(super) fn space(&mut self) -> &mut [u8] {
        &mut self.pages[self.pending.end..]
    }

    pub(super) fn add(&mut self, count: usize) {
        self.pending.end = (self.pending.end + count).min(self.pages.len());
        self.touched |= count > 0;
    }

    pub(super) fn pending(&self) -> &[u8] {
        &self.pages[self.pending.clone()]
    }

    pub(super) fn sent(&mut self, count: usize) {
        self.pending.start = (self.pending.start + count).min(self.pending.end);
        if self.pending.is_empty() {
            self.clear();
        }
    }
}
