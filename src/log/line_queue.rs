//! Queue of the lines on their way to standard error.

/// Queue of `N` bytes. A line that does not fit is lost and counted; the oldest lines stay.
#[derive(Debug)]
pub(super) struct LineQueue<const N: usize> {
    bytes: [u8; N],
    /// Index of the first byte.
    start: usize,
    len: usize,
    /// Lines lost since the last [`take`](Self::take) that returned their number.
    lost: u32,
    /// Bytes that were queued before the first of them was lost.
    before_loss: usize,
}

impl<const N: usize> LineQueue<N> {
    /// Empty queue. `N` is not 0.
    pub(super) const fn new() -> Self {
        const { assert!(N > 0) };
        Self { bytes: [0; N], start: 0, len: 0, lost: 0, before_loss: 0 }
    }

    /// Appends a line with its line feed, or counts it as lost.
    pub(super) fn push(&mut self, line: &[u8]) {
        if line.len() > N - self.len {
            if self.lost == 0 {
                self.before_loss = self.len;
            }
            self.lost = self.lost.saturating_add(1);
            return;
        }
        let at = (self.start + self.len) % N;
        let (to_the_end, from_the_front) = line.split_at(line.len().min(N - at));
        self.bytes[at..at + to_the_end.len()].copy_from_slice(to_the_end);
        self.bytes[..from_the_front.len()].copy_from_slice(from_the_front);
        self.len += line.len();
    }

    /// Counts lines that were taken and then lost.
    pub(super) fn count_lost(&mut self, lines: u32) {
        if lines > 0 {
            self.lost = self.lost.saturating_add(lines);
            self.before_loss = 0;
        }
    }

    /// Takes the oldest whole lines that fit `room`. Returns their length in bytes, and the number of lines
    /// that were lost before them. Without a line it returns zeros: a loss is reported with the next line.
    pub(super) fn take(&mut self, room: &mut [u8]) -> (usize, u32) {
        if self.len == 0 {
            return (0, 0);
        }
        let lost = if self.before_loss == 0 { core::mem::take(&mut self.lost) } else { 0 };
        let limit = if self.lost > 0 { self.before_loss } else { self.len }.min(room.len());
        let first = limit.min(N - self.start);
        room[..first].copy_from_slice(&self.bytes[self.start..self.start + first]);
        room[first..limit].copy_from_slice(&self.bytes[..limit - first]);
        // A line without a line feed is part of a longer text.
        let len = room[..limit].iter().rposition(|byte| *byte == b'\n').map_or(limit, |last| last + 1);
        self.start = (self.start + len) % N;
        self.len -= len;
        self.before_loss = self.before_loss.saturating_sub(len);
        (len, lost)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::STDERR_QUEUE_BYTES;
    use super::*;

    fn take<const N: usize>(queue: &mut LineQueue<N>, room: usize) -> (String, u32) {
        let mut bytes = vec![0; room];
        let (len, lost) = queue.take(&mut bytes);
        (String::from_utf8(bytes[..len].to_vec()).unwrap(), lost)
    }

    #[test]
    fn queue_accepts_lines_up_to_its_limit() {
        let mut queue = LineQueue::<STDERR_QUEUE_BYTES>::new();
        let line = "x".repeat(63) + "\n";
        for _ in 0..STDERR_QUEUE_BYTES / line.len() {
            queue.push(line.as_bytes());
        }
        assert_eq!(queue.len, STDERR_QUEUE_BYTES);
        queue.push(b"\n");
        queue.push(b"\n");
        let (text, lost) = take(&mut queue, STDERR_QUEUE_BYTES);
        assert_eq!((text.len(), lost), (STDERR_QUEUE_BYTES, 0));
        // Reported with the next line.
        assert_eq!(take(&mut queue, 9), (String::new(), 0));
        queue.push(b"next\n");
        assert_eq!(take(&mut queue, 9), ("next\n".to_owned(), 2));
        assert_eq!(take(&mut queue, 9), (String::new(), 0));
    }

    #[test]
    fn loss_is_between_the_lines_before_it_and_after_it() {
        let mut queue = LineQueue::<8>::new();
        for line in ["aaa\n", "bbb\n", "ccc\n"] {
            queue.push(line.as_bytes());
        }
        assert_eq!(take(&mut queue, 5), ("aaa\n".to_owned(), 0));
        queue.push(b"ddd\n");
        assert_eq!(take(&mut queue, 99), ("bbb\n".to_owned(), 0));
        assert_eq!(take(&mut queue, 99), ("ddd\n".to_owned(), 1));
        assert_eq!(queue.len, 0);
    }

    #[test]
    fn lines_that_were_taken_and_lost_are_counted() {
        let mut queue = LineQueue::<8>::new();
        queue.push(b"a\n");
        queue.push(b"b\n");
        assert_eq!(take(&mut queue, 2), ("a\n".to_owned(), 0));
        queue.count_lost(0);
        queue.count_lost(1);
        assert_eq!(take(&mut queue, 2), ("b\n".to_owned(), 1));
        queue.count_lost(2);
        assert_eq!(take(&mut queue, 2), (String::new(), 0));
        queue.push(b"c\n");
        assert_eq!(take(&mut queue, 2), ("c\n".to_owned(), 2));
    }

    #[test]
    fn text_without_a_line_feed_is_taken() {
        let mut queue = LineQueue::<8>::new();
        queue.push(b"abc");
        assert_eq!(take(&mut queue, 2), ("ab".to_owned(), 0));
        assert_eq!(take(&mut queue, 2), ("c".to_owned(), 0));
    }

    proptest! {
        #[test]
        fn every_line_is_taken_in_order_or_counted(
            steps in prop::collection::vec((0..12_usize, any::<bool>()), 1..80), room in 12..40_usize
        ) {
            let mut queue = LineQueue::<32>::new();
            let (mut taken, mut lost) = (String::new(), 0);
            for (number, (len, takes)) in steps.iter().enumerate() {
                let line = char::from(b'a' + (number % 26) as u8).to_string().repeat(*len) + "\n";
                queue.push(line.as_bytes());
                if *takes {
                    let (text, before) = take(&mut queue, room);
                    prop_assert!(text.ends_with('\n'));
                    lost += before as usize;
                    taken += &text;
                }
            }
            while queue.len > 0 {
                let (text, before) = take(&mut queue, room);
                lost += before as usize;
                taken += &text;
            }
            queue.push(b"\n");
            let (text, before) = take(&mut queue, room);
            prop_assert_eq!(text, "\n");
            prop_assert_eq!(taken.matches('\n').count() + lost + before as usize, steps.len());
        }
    }
}
