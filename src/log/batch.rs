//! Lines of one write to standard error, or to the file of the audit trail.

use super::line_queue::LineQueue;
use super::{LOG_LINE_BYTES, STDERR_WRITE_BYTES};

/// Batch of at most [`STDERR_WRITE_BYTES`]: lines, after a notice of those lost before them.
#[derive(Debug)]
pub struct Batch {
    /// The notice, at the end of the first [`LOG_LINE_BYTES`], and the lines.
    bytes: [u8; STDERR_WRITE_BYTES],
    start: usize,
    end: usize,
    /// Number in the notice.
    lost: u32,
}

const _: () = assert!(STDERR_WRITE_BYTES >= 2 * LOG_LINE_BYTES, "a batch holds a notice and a line");

impl Default for Batch {
    fn default() -> Self {
        Self { bytes: [0; STDERR_WRITE_BYTES], start: 0, end: 0, lost: 0 }
    }
}

impl Batch {
    /// Bytes that are not written yet.
    pub fn pending(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Removes `count` written bytes.
    pub fn handle_written(&mut self, count: usize) {
        self.start = self.end.min(self.start + count);
    }

    /// Fills an empty batch with the next lines. `put_notice` writes a line about lost ones to a buffer and returns
    /// its length. Returns false without lines.
    pub(super) fn fill<const N: usize>(
        &mut self,
        queue: &mut LineQueue<N>,
        put_notice: impl FnOnce(u32, &mut [u8; LOG_LINE_BYTES]) -> usize,
    ) -> bool {
        let (len, lost) = queue.take(&mut self.bytes[LOG_LINE_BYTES..]);
        (self.start, self.end, self.lost) = (LOG_LINE_BYTES, LOG_LINE_BYTES + len, lost);
        if lost > 0 {
            let mut notice = [0; LOG_LINE_BYTES];
            let len = put_notice(lost, &mut notice);
            self.start -= len;
            self.bytes[self.start..LOG_LINE_BYTES].copy_from_slice(&notice[..len]);
        }
        len > 0
    }

    /// Counts the lines that are not written as lost, and empties the batch.
    pub(super) fn discard<const N: usize>(&mut self, queue: &mut LineQueue<N>) {
        let before = if self.start < LOG_LINE_BYTES { self.lost } else { 0 };
        let lines = &self.bytes[self.start.max(LOG_LINE_BYTES)..self.end.max(LOG_LINE_BYTES)];
        let lines = lines.iter().filter(|byte| **byte == b'\n').count();
        // A batch has fewer lines than bytes.
        queue.count_lost(before.saturating_add(lines as u32));
        self.start = self.end;
    }
}

#[cfg(test)]
mod tests {
    use super::super::line::lost_notice;
    use super::*;

    fn fill<const N: usize>(batch: &mut Batch, queue: &mut LineQueue<N>) -> bool {
        batch.fill(queue, |lost, notice| {
            let mut line = lost_notice(lost);
            let bytes = line.finish();
            notice[..bytes.len()].copy_from_slice(bytes);
            bytes.len()
        })
    }

    fn text(batch: &Batch) -> String {
        String::from_utf8(batch.pending().to_vec()).unwrap()
    }

    #[test]
    fn batch_is_as_long_as_its_limit_with_its_notice() {
        const LINES: usize = STDERR_WRITE_BYTES;
        let mut queue = LineQueue::<LINES>::new();
        let mut batch = Batch::default();
        queue.push(&[b'x'; LINES + 1]);
        for _ in 0..LINES / 2 {
            queue.push(b"x\n");
        }
        assert!(fill(&mut batch, &mut queue));
        let first = batch.pending().len();
        assert!(first <= STDERR_WRITE_BYTES && first > STDERR_WRITE_BYTES - LOG_LINE_BYTES, "{first}");
        assert!(text(&batch).contains(" warn  log: 1 lines were lost: "), "{}", text(&batch));
        batch.handle_written(first);
        assert!(batch.pending().is_empty() && fill(&mut batch, &mut queue));
        assert_eq!(text(&batch), "x\n".repeat(LOG_LINE_BYTES / 2));
        batch.handle_written(LOG_LINE_BYTES);
        assert!(!fill(&mut batch, &mut queue));
    }

    #[test]
    fn lines_of_a_failed_write_are_counted_with_those_before_them() {
        let mut queue = LineQueue::<8>::new();
        let mut batch = Batch::default();
        // Nothing to discard.
        batch.discard(&mut queue);
        queue.count_lost(3);
        queue.push(b"a\nb\n");
        assert!(fill(&mut batch, &mut queue));
        batch.handle_written(5);
        batch.discard(&mut queue);
        queue.push(b"c\nd\n");
        assert!(fill(&mut batch, &mut queue));
        assert!(
            text(&batch).contains("log: 5 lines") && text(&batch).ends_with("\nc\nd\n"),
            "{}",
            text(&batch)
        );
        // The notice and one line are written.
        batch.handle_written(batch.pending().len() - 2);
        batch.discard(&mut queue);
        assert!(batch.pending().is_empty());
        queue.push(b"e\n");
        assert!(fill(&mut batch, &mut queue) && text(&batch).contains("log: 1 lines"), "{}", text(&batch));
    }
}
