//! What processes write, read without ever waiting, kept within bounds.

use std::cell::RefCell;
use std::io::{self, PipeReader, Read as _};
use std::task::{Context, Poll};

use crate::runtime::{AsyncFd, Notify};

/// Bytes taken from a pipe at once.
const PIECE_BYTES: usize = 4096;
/// Pieces taken before the others get their turn; as much as a pipe of Linux holds.
const PIECES: usize = 16;

/// Where bytes end up.
pub(super) trait Sink {
    fn write(&mut self, bytes: &[u8]);
}

/// Keeps the newest bytes.
#[derive(Debug)]
pub(super) struct Ring {
    bytes: Box<[u8]>,
    /// Where the next byte goes.
    next: usize,
    len: usize,
}

impl Ring {
    pub(super) fn new(capacity: usize) -> Self {
        Self { bytes: vec![0; capacity].into_boxed_slice(), next: 0, len: 0 }
    }

    /// The bytes, oldest first, in the two pieces in which they lie.
    pub(super) fn pieces(&self) -> (&[u8], &[u8]) {
        let (front, back) = self.bytes.split_at(self.next);
        match self.len.checked_sub(self.next) {
            Some(wrapped) => (&back[back.len() - wrapped..], front),
            None => (&front[self.next - self.len..], &[]),
        }
    }
}

impl Sink for Ring {
    fn write(&mut self, bytes: &[u8]) {
        let capacity = self.bytes.len();
        // Only the last of them can stay.
        let mut bytes = &bytes[bytes.len().saturating_sub(capacity)..];
        while !bytes.is_empty() {
            let count = bytes.len().min(capacity - self.next);
            let (piece, rest) = bytes.split_at(count);
            self.bytes[self.next..self.next + count].copy_from_slice(piece);
            self.next = (self.next + count) % capacity;
            self.len = capacity.min(self.len + count);
            bytes = rest;
        }
    }
}

/// Keeps the first bytes, and whether there were more.
#[derive(Debug)]
pub(super) struct Head {
    bytes: Vec<u8>,
    capacity: usize,
    cut: bool,
}

impl Head {
    pub(super) fn new(capacity: usize) -> Self {
        Self { bytes: Vec::with_capacity(capacity), capacity, cut: false }
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.cut = false;
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn is_cut(&self) -> bool {
        self.cut
    }
}

impl Sink for Head {
    fn write(&mut self, bytes: &[u8]) {
        let room = self.capacity - self.bytes.len();
        self.cut |= bytes.len() > room;
        self.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

/// The pipe of the present process, and what came out of it and of those before.
#[derive(Debug)]
pub(super) struct Output<S> {
    pipe: RefCell<Option<AsyncFd<PipeReader>>>,
    pub(super) sink: RefCell<S>,
    replaced: Notify,
}

impl<S: Sink> Output<S> {
    pub(super) fn new(sink: S) -> Self {
        Self { pipe: RefCell::new(None), sink: RefCell::new(sink), replaced: Notify::default() }
    }

    /// Reads from this pipe from now on. One that something outside the old process group still
    /// holds open is emptied and closed.
    pub(super) fn replace(&self, pipe: Option<AsyncFd<PipeReader>>) {
        self.drain();
        *self.pipe.borrow_mut() = pipe;
        self.replaced.notify();
    }

    /// Takes what is there, up to a pipe's fill; closes at the end.
    pub(super) fn drain(&self) {
        for _ in 0..PIECES {
            match self.read() {
                Ok(0) => return,
                Ok(_) => {}
                Err(_) => return,
            }
        }
    }

    /// Takes what is there; ready when there may be more at once, so that others get their turn.
    pub(super) fn poll(&self, context: &mut Context<'_>) -> Poll<()> {
        self.replaced.listen(context);
        for _ in 0..PIECES {
            match self.read() {
                Ok(0) => return Poll::Pending,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let pipe = self.pipe.borrow();
                    let Some(pipe) = &*pipe else { return Poll::Pending };
                    pipe.note_empty();
                    pipe.listen(context);
                    return Poll::Pending;
                }
                Err(_) => {}
            }
        }
        Poll::Ready(())
    }

    /// One piece; 0 when no pipe is open (any more).
    fn read(&self) -> io::Result<usize> {
        let mut open = self.pipe.borrow_mut();
        let Some(pipe) = &*open else { return Ok(0) };
        let mut piece = [0; PIECE_BYTES];
        match pipe.get_ref().read(&mut piece) {
            Ok(count) if count > 0 => {
                self.sink.borrow_mut().write(&piece[..count]);
                Ok(count)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(error),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Ok(_) | Err(_) => {
                *open = None;
                Ok(0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn content(ring: &Ring) -> Vec<u8> {
        let (first, second) = ring.pieces();
        [first, second].concat()
    }

    #[test]
    fn ring_keeps_the_newest() {
        let mut ring = Ring::new(4);
        assert_eq!(content(&ring), b"");
        for (bytes, expected) in
            [("ab", "ab"), ("cd", "abcd"), ("e", "bcde"), ("", "bcde"), ("0123456", "3456")]
        {
            ring.write(bytes.as_bytes());
            assert_eq!(content(&ring), expected.as_bytes());
        }
    }

    #[test]
    fn head_keeps_the_first_and_tells_of_more() {
        let mut head = Head::new(4);
        head.write(b"ab");
        head.write(b"cd");
        assert_eq!((head.bytes(), head.is_cut()), (&b"abcd"[..], false));
        head.write(b"");
        assert!(!head.is_cut());
        head.write(b"e");
        assert_eq!((head.bytes(), head.is_cut()), (&b"abcd"[..], true));
        head.clear();
        assert_eq!((head.bytes(), head.is_cut()), (&b""[..], false));
    }

    proptest! {
        #[test]
        fn ring_is_the_tail_of_all(
            capacity in 1..9_usize,
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..20), 0..10),
        ) {
            let mut ring = Ring::new(capacity);
            let mut all = Vec::new();
            for piece in pieces {
                ring.write(&piece);
                all.extend_from_slice(&piece);
                prop_assert_eq!(content(&ring), &all[all.len().saturating_sub(capacity)..]);
            }
        }
    }
}
