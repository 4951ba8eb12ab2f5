//! What processes write, read without ever waiting, kept within bounds.

use std::cell::RefCell;
use std::io::{self, PipeReader, Read as _};
use std::task::{Context, Poll, Waker};

use crate::runtime::Source;

/// Bytes taken from a pipe at once.
const PIECE_BYTES: usize = 4096;
/// Pieces taken before the others get their turn; as much as a pipe of Linux holds.
const PIECES: usize = 16;

/// Destination of the bytes.
pub(super) trait Sink {
    fn write(&mut self, bytes: &[u8]);

    /// The process has written its last byte.
    fn end(&mut self) {}
}

/// The newest bytes.
#[derive(Debug)]
pub(super) struct Ring {
    bytes: Box<[u8]>,
    /// Index of the next byte.
    next: usize,
    len: usize,
    /// Bytes written since the start of the server.
    written: u64,
}

impl Ring {
    pub(super) fn new(capacity: usize) -> Self {
        Self { bytes: vec![0; capacity].into_boxed_slice(), next: 0, len: 0, written: 0 }
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

impl Ring {
    /// Copies bytes to `room`: those from position `since` on, or the newest. Returns the position of the
    /// first, counted since the start of the server, and how many there are.
    pub(super) fn copy(&self, since: Option<u64>, room: &mut [u8]) -> (u64, usize) {
        let oldest = self.written - self.len as u64;
        let newest = self.written - self.len.min(room.len()) as u64;
        // A position of an earlier run of the server counts as the oldest.
        let from =
            since.map_or(newest, |since| if since > self.written { oldest } else { since.max(oldest) });
        let (first, second) = self.pieces();
        let kept = first.iter().chain(second).skip((from - oldest) as usize);
        let copied = room.iter_mut().zip(kept).map(|(place, byte)| *place = *byte).count();
        (from, copied)
    }
}

impl Sink for Ring {
    /// Ends a last line that the process did not end itself.
    fn end(&mut self) {
        let (first, second) = self.pieces();
        if second.last().or(first.last()).is_some_and(|last| *last != b'\n') {
            self.write(b"\n");
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        let capacity = self.bytes.len();
        self.written += bytes.len() as u64;
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
    pipe: RefCell<Option<Source<PipeReader>>>,
    pub(super) sink: RefCell<S>,
    waker: RefCell<Option<Waker>>,
}

impl<S: Sink> Output<S> {
    pub(super) fn new(sink: S) -> Self {
        Self { pipe: RefCell::new(None), sink: RefCell::new(sink), waker: RefCell::new(None) }
    }

    /// Reads from this pipe from now on. One that something outside the old process group still
    /// holds open is emptied and closed.
    pub(super) fn replace(&self, pipe: Option<Source<PipeReader>>) {
        self.drain();
        if self.pipe.replace(pipe).is_some() {
            self.sink.borrow_mut().end();
        }
        self.wake();
    }

    /// Lets the task look again.
    pub(super) fn wake(&self) {
        let waker = self.waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
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
        match &mut *self.waker.borrow_mut() {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
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
                self.sink.borrow_mut().end();
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
    fn ring_is_read_from_a_position_or_its_newest() {
        let mut ring = Ring::new(8);
        ring.write(b"abcdefghij");
        let copied = |since, room: usize| {
            let mut page = vec![0; room];
            let (from, length) = ring.copy(since, &mut page);
            (from, String::from_utf8(page[..length].to_vec()).unwrap())
        };
        assert_eq!(copied(None, 3), (7, "hij".to_owned()));
        assert_eq!(copied(None, 100), (2, "cdefghij".to_owned()));
        assert_eq!(copied(Some(0), 3), (2, "cde".to_owned()));
        assert_eq!(copied(Some(5), 3), (5, "fgh".to_owned()));
        assert_eq!(copied(Some(10), 3), (10, String::new()));
        assert_eq!(copied(Some(11), 3), (2, "cde".to_owned()));
    }

    #[test]
    fn last_line_ends_with_the_process() {
        let mut ring = Ring::new(8);
        ring.end();
        assert_eq!(content(&ring), b"");
        for text in ["a\n", "b"] {
            ring.write(text.as_bytes());
            ring.end();
        }
        assert_eq!(content(&ring), b"a\nb\n");
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
