//! Record buffers of a connection, one for each direction.

use core::ops::Range;

use super::record::HEADER_BYTES;
use super::{TLS_RECORD_BYTES, TLS_SEND_BYTES};
use crate::mmap_buffer::MappedBuffer;

/// Record buffers of one TLS connection, reused by the next. Each slot has them from the start. Without a
/// connection, and while it is idle, they use no memory.
#[derive(Debug, Default)]
pub struct Buffers {
    pub(super) incoming: Incoming,
    pub(super) outgoing: Outgoing,
}

impl Buffers {
    /// Buffers of `TLS_RECORD_BYTES` and `TLS_SEND_BYTES`. The buffers of `default()` have no capacity.
    pub fn new() -> Self {
        Self { incoming: Incoming::new(), outgoing: Outgoing::new() }
    }

    /// Drops the content.
    pub(super) fn clear(&mut self) {
        self.incoming.clear();
        self.outgoing.clear();
        self.release_idle();
    }

    /// Releases the memory of empty buffers, once.
    pub(super) fn release_idle(&mut self) {
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

/// Bytes from the socket: the plaintext that was opened last, and behind it the bytes that are still sealed.
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

    /// Room for more. The sealed bytes move to the front for it once the plaintext is read: they are part of
    /// a record then, never a whole one.
    pub(super) fn space(&mut self) -> &mut [u8] {
        if self.opened.is_empty() && self.sealed.start > 0 {
            self.pages.copy_within(self.sealed.clone(), 0);
            self.sealed = 0..self.sealed.len();
        }
        self.pages.slice_from_mut(self.sealed.end)
    }

    /// Appends the first `count` bytes of [`Self::space`].
    pub(super) fn add(&mut self, count: usize) {
        self.sealed.end = (self.sealed.end + count).min(self.pages.len());
        self.touched |= count > 0;
    }

    /// Plaintext that is not consumed.
    pub(super) fn opened(&self) -> &[u8] {
        self.pages.slice(self.opened.clone())
    }

    pub(super) fn consume(&mut self, count: usize) {
        self.opened.start = (self.opened.start + count).min(self.opened.end);
    }

    /// Bytes that are not opened yet.
    pub(super) fn sealed(&mut self) -> &mut [u8] {
        self.pages.slice_mut(self.sealed.clone())
    }

    /// Drops the first bytes that are not opened yet.
    pub(super) fn skip(&mut self, count: usize) {
        self.sealed.start = (self.sealed.start + count).min(self.sealed.end);
    }

    /// Marks the `content` bytes of plaintext in the first record, of `record` bytes, as opened, and the bytes
    /// behind that record as the next to be opened.
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

    /// Room behind the pending bytes. All of it is free again when everything is sent; nothing is moved
    /// before.
    pub(super) fn space(&mut self) -> &mut [u8] {
        self.pages.slice_from_mut(self.pending.end)
    }

    pub(super) fn add(&mut self, count: usize) {
        self.pending.end = (self.pending.end + count).min(self.pages.len());
        self.touched |= count > 0;
    }

    pub(super) fn pending(&self) -> &[u8] {
        self.pages.slice(self.pending.clone())
    }

    pub(super) fn sent(&mut self, count: usize) {
        self.pending.start = (self.pending.start + count).min(self.pending.end);
        if self.pending.is_empty() {
            self.clear();
        }
    }
}
