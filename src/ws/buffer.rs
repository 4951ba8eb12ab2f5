//! Fixed receive buffer of one connection.

use crate::mmap_buffer::{IdleTracker, MappedBuffer};

/// Receive buffer that never grows.
///
/// [`consume`](Self::consume) drops bytes from the front. The rest moves to the front only when space
/// at the end runs short, so a series of small messages needs no copying.
#[derive(Debug, Default)]
pub struct ReceiveBuffer {
    storage: MappedBuffer,
    start: usize,
    end: usize,
    tracker: IdleTracker,
}

impl ReceiveBuffer {
    /// Buffer of `capacity` bytes, mapped as it is filled.
    pub fn new(capacity: usize) -> Self {
        Self { storage: MappedBuffer::new(capacity), ..Self::default() }
    }

    /// Releases the pages of an empty buffer that was not used since the last call.
    pub fn release_idle(&mut self) {
        if self.tracker.should_release(self.start == self.end) {
            self.storage.release_pages();
        }
    }

    /// Bytes received and not consumed.
    pub fn filled(&self) -> &[u8] {
        self.storage.get(self.start..self.end).unwrap_or_else(|| {
            wrong_range();
            &[]
        })
    }

    /// Bytes received and not consumed, to decode in place.
    pub fn filled_mut(&mut self) -> &mut [u8] {
        self.storage.get_mut(self.start..self.end).unwrap_or_else(|| {
            wrong_range();
            &mut []
        })
    }

    /// Space for more bytes. Empty when the whole buffer is filled.
    pub fn space(&mut self) -> &mut [u8] {
        if self.start > 0 && self.end + self.storage.len() / 4 >= self.storage.len() {
            self.storage.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        self.storage.get_mut(self.end..).unwrap_or_else(|| {
            wrong_range();
            &mut []
        })
    }

    /// Returns true if [`space`](Self::space) would be empty.
    pub fn is_full(&self) -> bool {
        self.end - self.start == self.storage.len()
    }

    /// Adds the `count` bytes written to the front of [`space`](Self::space).
    pub fn commit(&mut self, count: usize) {
        self.tracker = IdleTracker::Active;
        self.end = (self.end + count).min(self.storage.len());
    }

    /// Drops `count` bytes from the front.
    pub fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
        if self.start == self.end {
            self.clear();
        }
    }

    /// Removes the bytes `range` (relative to [`filled`](Self::filled)) from the middle.
    pub fn cut(&mut self, range: core::ops::Range<usize>) {
        let (from, to) = (self.start + range.start, (self.start + range.end).min(self.end));
        if from < to {
            self.storage.copy_within(to..self.end, from);
            self.end -= to - from;
        }
    }

    /// Drops all bytes.
    pub fn clear(&mut self) {
        self.start = 0;
        self.end = 0;
    }
}

/// Reports a filled range outside of the storage, which cannot happen: `start <= end <= capacity`.
#[cold]
fn wrong_range() {
    crate::internal_error!("a receive buffer has a wrong range");
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
    fn filled_up_to_the_capacity() {
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
    fn middle_is_removed() {
        let mut buffer = ReceiveBuffer::new(8);
        put(&mut buffer, b"01234567");
        buffer.consume(1);
        buffer.cut(2..4);
        assert_eq!(buffer.filled(), b"12567");
    }
}
