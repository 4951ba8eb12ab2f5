//! Output of processes, read without blocking into bounded buffers.

use std::cell::{Cell, RefCell};
use std::io::{self, PipeReader, Read as _};
use std::rc::Rc;
use std::task::{Context, Poll};

use super::line_search::LineSearch;
use crate::limits::SERVICE_OUTPUT_BYTES;
use crate::runtime::{AsyncFd, Notify};

/// Bytes of one read.
const READ_BYTES: usize = 4096;
/// Reads of a pipe that is closed then; together its capacity.
const DRAIN_READS: usize = 16;
/// Reads before other tasks run, which may copy the output of a service before more of it comes.
const READS: usize = if SERVICE_OUTPUT_BYTES > READ_BYTES { SERVICE_OUTPUT_BYTES / READ_BYTES } else { 1 };

/// Bounded buffer of output.
pub(super) trait OutputBuffer {
    fn write(&mut self, bytes: &[u8]);

    /// Handles the exit of the process.
    fn end(&mut self) {}
}

/// Buffer of the newest bytes.
#[derive(Debug)]
pub(super) struct TailBuffer {
    bytes: Box<[u8]>,
    /// Offset of the next byte.
    next: usize,
    len: usize,
    /// Bytes written since the start of the server.
    written: u64,
    /// Those of them before the latest run.
    earlier: u64,
    /// Lines that have ended.
    lines: u64,
}

impl TailBuffer {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            bytes: vec![0; capacity].into_boxed_slice(),
            next: 0,
            len: 0,
            written: 0,
            earlier: 0,
            lines: 0,
        }
    }

    /// Content in two slices, oldest bytes first.
    pub(super) fn as_slices(&self) -> (&[u8], &[u8]) {
        let (front, back) = self.bytes.split_at(self.next);
        match self.len.checked_sub(self.next) {
            Some(wrapped) => (&back[back.len() - wrapped..], front),
            None => (&front[self.next - self.len..], &[]),
        }
    }
}

impl TailBuffer {
    /// Begins a run.
    pub(super) fn begin(&mut self) {
        self.earlier = self.written;
    }

    /// Position of the first byte of the latest run.
    pub(super) fn start(&self) -> u64 {
        self.earlier
    }

    /// Copies bytes to `room`, from position `since` on, or the newest. Returns the position of the
    /// first byte, counted since the start of the server, and the number of bytes.
    pub(super) fn copy(&self, since: Option<u64>, room: &mut [u8]) -> (u64, usize) {
        let oldest = self.written - self.len as u64;
        let newest = self.written - self.len.min(room.len()) as u64;
        // A position of an earlier run of the server counts as the oldest.
        let from =
            since.map_or(newest, |since| if since > self.written { oldest } else { since.max(oldest) });
        let (first, second) = self.as_slices();
        let kept = first.iter().chain(second).skip((from - oldest) as usize);
        let copied = room.iter_mut().zip(kept).map(|(place, byte)| *place = *byte).count();
        (from, copied)
    }

    /// Copies bytes to `room` from position `since` on; if that is not in the buffer any more, from the first line on that is
    /// whole. Returns the position of the first byte, the number of lines before it if that is another position, and the
    /// number of bytes.
    pub(super) fn copy_lines(&self, since: u64, room: &mut [u8]) -> (u64, u64, usize) {
        let oldest = self.written - self.len as u64;
        let (mut from, mut before) = (since, 0);
        if !(oldest..=self.written).contains(&since) {
            let (first, second) = self.as_slices();
            let mut bytes = first.iter().chain(second);
            before = self.lines - bytes.clone().filter(|byte| **byte == b'\n').count() as u64;
            from = oldest;
            if let Some(end) = bytes.position(|byte| *byte == b'\n') {
                (from, before) = (oldest + end as u64 + 1, before + 1);
            }
        }
        let (from, count) = self.copy(Some(from), room);
        (from, before, count)
    }
}

impl OutputBuffer for TailBuffer {
    /// Terminates a last line without a newline.
    fn end(&mut self) {
        let (first, second) = self.as_slices();
        if second.last().or(first.last()).is_some_and(|last| *last != b'\n') {
            self.write(b"\n");
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        let capacity = self.bytes.len();
        debug_assert!(capacity > 0, "a service without a buffer has no process");
        if capacity == 0 {
            return;
        }
        self.written += bytes.len() as u64;
        self.lines += bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        // Earlier bytes would be overwritten at once.
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

/// Buffer of the first bytes.
#[derive(Debug)]
pub(super) struct HeadBuffer {
    bytes: Vec<u8>,
    capacity: usize,
    /// True if there were more bytes than the capacity.
    cut: bool,
}

impl HeadBuffer {
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

impl OutputBuffer for HeadBuffer {
    fn write(&mut self, bytes: &[u8]) {
        let room = self.capacity - self.bytes.len();
        self.cut |= bytes.len() > room;
        self.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

/// Pipe of the current process, with a buffer that outlives it.
#[derive(Debug)]
pub(super) struct Output<B> {
    pipe: RefCell<Option<AsyncFd<PipeReader>>>,
    pub(super) buffer: RefCell<B>,
    replaced: Notify,
    /// Notified of bytes in the buffer.
    received: Rc<Notify>,
    has_received: Cell<bool>,
    /// Line with which the process is ready.
    search: RefCell<Option<LineSearch>>,
    has_found: Cell<bool>,
}

impl<B: OutputBuffer> Output<B> {
    pub(super) fn new(buffer: B, received: Rc<Notify>) -> Self {
        let (pipe, buffer, replaced) = (RefCell::new(None), RefCell::new(buffer), Notify::default());
        Self {
            pipe,
            buffer,
            replaced,
            received,
            has_received: Cell::new(false),
            search: RefCell::new(None),
            has_found: Cell::new(false),
        }
    }

    /// Wakes the task that polls this.
    pub(super) fn wake(&self) {
        self.replaced.notify();
    }

    /// Returns whether bytes came since the last call.
    pub(super) fn take_received(&self) -> bool {
        self.has_received.take()
    }

    /// Searches the output of each process for a text. A search for the same one goes on.
    pub(super) fn search(&self, text: Option<&str>) {
        let mut search = self.search.borrow_mut();
        if search.as_ref().map(LineSearch::text) != text {
            *search = text.map(LineSearch::new);
        }
    }

    /// Takes another buffer, for another service, and searches no text.
    pub(super) fn renew(&self, buffer: B) {
        self.buffer.replace(buffer);
        self.search.replace(None);
        self.has_received.set(false);
        self.has_found.set(false);
    }

    /// Returns whether the text was found since the last call.
    pub(super) fn take_found(&self) -> bool {
        self.has_found.take()
    }

    fn note_received(&self) {
        if !self.has_received.replace(true) {
            self.received.notify();
        }
    }

    /// Drains and closes the old pipe, which a process outside the old group may hold open, and reads
    /// from the new one.
    pub(super) fn replace(&self, pipe: Option<AsyncFd<PipeReader>>) {
        self.drain();
        if self.pipe.replace(pipe).is_some() {
            self.buffer.borrow_mut().end();
            self.note_received();
        }
        self.has_found.set(false);
        if let Some(search) = &mut *self.search.borrow_mut() {
            search.reset();
        }
        self.replaced.notify();
    }

    /// Adds a line that is not of a process.
    pub(super) fn note(&self, line: &str) {
        self.buffer.borrow_mut().write(line.as_bytes());
        self.note_received();
    }

    /// Reads up to the capacity of a pipe, and closes it at its end.
    pub(super) fn drain(&self) {
        for _ in 0..DRAIN_READS {
            match self.read() {
                Ok(0) => return,
                Ok(_) => {}
                Err(_) => return,
            }
        }
    }

    /// Reads until the pipe is empty. It is ready when the pipe may have more, so that other tasks run
    /// in between.
    pub(super) fn poll(&self, context: &mut Context<'_>) -> Poll<()> {
        self.replaced.listen(context);
        for _ in 0..READS {
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

    /// Reads once. Returns 0 without an open pipe.
    fn read(&self) -> io::Result<usize> {
        let mut open = self.pipe.borrow_mut();
        let Some(pipe) = &*open else { return Ok(0) };
        let mut bytes = [0; READ_BYTES];
        match pipe.get_ref().read(&mut bytes) {
            Ok(count) if count > 0 => {
                self.buffer.borrow_mut().write(&bytes[..count]);
                let mut search = self.search.borrow_mut();
                if search.as_mut().is_some_and(|search| search.read(&bytes[..count])) {
                    self.has_found.set(true);
                    self.received.notify();
                }
                self.note_received();
                Ok(count)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(error),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Ok(_) | Err(_) => {
                *open = None;
                self.buffer.borrow_mut().end();
                self.note_received();
                Ok(0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn content(tail: &TailBuffer) -> Vec<u8> {
        let (first, second) = tail.as_slices();
        [first, second].concat()
    }

    #[test]
    fn tail_has_the_newest_bytes() {
        let mut tail = TailBuffer::new(4);
        assert_eq!(content(&tail), b"");
        for (bytes, expected) in
            [("ab", "ab"), ("cd", "abcd"), ("e", "bcde"), ("", "bcde"), ("0123456", "3456")]
        {
            tail.write(bytes.as_bytes());
            assert_eq!(content(&tail), expected.as_bytes());
        }
    }

    #[test]
    fn tail_is_copied_from_a_position_or_its_newest_bytes() {
        let mut tail = TailBuffer::new(8);
        tail.write(b"abcdefghij");
        let copied = |since, room: usize| {
            let mut page = vec![0; room];
            let (from, length) = tail.copy(since, &mut page);
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
    fn lines_are_copied_from_the_first_whole_one_with_the_number_of_those_before_it() {
        let mut tail = TailBuffer::new(8);
        tail.write(b"1\n2\n3");
        let copied = |tail: &TailBuffer, since| {
            let mut room = [0; 5];
            let (from, before, count) = tail.copy_lines(since, &mut room);
            (from, before, String::from_utf8(room[..count].to_vec()).unwrap())
        };
        assert_eq!(copied(&tail, 0), (0, 0, "1\n2\n3".to_owned()));
        tail.write(b"33\n44\n5\n");
        // The third line is overwritten in part.
        assert_eq!(copied(&tail, 0), (8, 3, "44\n5\n".to_owned()));
        assert_eq!(copied(&tail, 11), (11, 0, "5\n".to_owned()));
        tail.write(b"a line without an end");
        assert_eq!(copied(&tail, 11), (26, 5, "t an ".to_owned()));
    }

    #[test]
    fn last_line_is_terminated_at_the_exit() {
        let mut tail = TailBuffer::new(8);
        tail.end();
        assert_eq!(content(&tail), b"");
        for text in ["a\n", "b"] {
            tail.write(text.as_bytes());
            tail.end();
        }
        assert_eq!(content(&tail), b"a\nb\n");
    }

    #[test]
    fn head_has_the_first_bytes_and_reports_a_cut() {
        let mut head = HeadBuffer::new(4);
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
        fn tail_is_the_end_of_all_bytes(
            capacity in 1..9_usize,
            writes in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..20), 0..10),
        ) {
            let mut tail = TailBuffer::new(capacity);
            let mut all = Vec::new();
            for bytes in writes {
                tail.write(&bytes);
                all.extend_from_slice(&bytes);
                prop_assert_eq!(content(&tail), &all[all.len().saturating_sub(capacity)..]);
            }
        }
    }
}
