//! The fixed buffer that one connection receives into.

use crate::mmap_buffer::{IdleTracker, MappedBuffer};

/// Bytes received and not yet used, in storage that never grows.
///
/// What was used is dropped from the front by [`consume`](Self::consume); the rest moves to the
/// front only when room at the end runs short, so a run of small messages costs no copying.
#[derive(Debug, Default)]
pub struct ReceiveBuffer {
    storage: MappedBuffer,
    start: usize,
    end: usize,
    use_: IdleTracker,
}

impl ReceiveBuffer {
    /// A buffer of `capacity` bytes, whose memory is taken as it is filled.
    pub fn new(capacity: usize) -> Self {
        Self { storage: MappedBuffer::new(capacity), ..Self::default() }
    }

    /// Releases the memory of an empty buffer that was not used since the last call. Returns whether the next
    /// call has something to release.
    pub fn release_idle(&mut self) -> bool {
        let is_empty = self.start == self.end;
        if self.use_.should_release(is_empty) {
            self.storage.release_pages();
        }
        is_empty && self.use_ != IdleTracker::Released
    }

    /// What was received and not consumed.
    pub fn filled(&self) -> &[u8] {
        self.storage.slice(self.start..self.end)
    }

    /// The same, to decode in place.
    pub fn filled_mut(&mut self) -> &mut [u8] {
        self.storage.slice_mut(self.start..self.end)
    }

    /// Room for more. Empty when all of the storage holds bytes not yet consumed.
    pub fn space(&mut self) -> &mut [u8] {
        if self.start > 0 && self.end + self.storage.len() / 4 >= self.storage.len() {
            self.storage.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        self.storage.slice_from_mut(self.end)
    }

    /// Whether [`space`](Self::space) would be empty.
    pub fn is_full(&self) -> bool {
        self.end - self.start == self.storage.len()
    }

    /// Takes note of `count` bytes written to the front of [`space`](Self::space).
    pub fn commit(&mut self, count: usize) {
        self.use_ = IdleTracker::Active;
        self.end = (self.end + count).min(self.storage.len());
    }

    /// Drops `count` bytes from the front.
    pub fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
        if self.start == self.end {
            self.clear();
        }
    }

    /// Drops the bytes `range` (relative to [`filled`](Self::filled)) out of the middle.
    pub fn cut(&mut self, range: core::ops::Range<usize>) {
        let (from, to) = (self.start + range.start, (self.start + range.end).min(self.end));
        if from < to {
            self.storage.copy_within(to..self.end, from);
            self.end -= to - from;
        }
    }

    /// Drops everything.
    pub fn clear(&mut self) {
        self.start = 0;
        self.end = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(buffer: &mut ReceiveBuffer, bytes: &[u8]) -> usize {
        let space = buffer.space();
        let count = bytes.len().min(space.len());
        space[..count].copy_from_slice(&bytes[..count]);
        buffer.commit(count);
        count
    }

    #[test]
    fn filled_to_the_limit_and_no_further() {
        let mut buffer = ReceiveBuffer::new(8);
        assert_eq!(put(&mut buffer, b"01234567"), 8);
        assert!(buffer.is_full());
        assert_eq!(put(&mut buffer, b"8"), 0);
        buffer.consume(3);
        assert!(!buffer.is_full());
        assert_eq!(put(&mut buffer, b"89ab"), 3);
        assert_eq!(buffer.filled(), b"3456789a");
    }

    #[test]
    fn middle_is_cut() {
        let mut buffer = ReceiveBuffer::new(8);
        put(&mut buffer, b"01234567");
        buffer.consume(1);
        buffer.cut(2..4);
        assert_eq!(buffer.filled(), b"12567");
    }
}
