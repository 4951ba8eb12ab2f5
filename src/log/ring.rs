//! Ring buffer of the newest records.

/// Terminator of a record: a defmt frame contains no zero, a line no line feed.
pub const RECORD_END: u8 = if cfg!(feature = "defmt") { 0 } else { b'\n' };

/// Ring buffer of `N` bytes with whole records.
///
/// A position is the number of bytes pushed before it, since the start. A new record overwrites the
/// oldest ones; those not [persisted](Self::mark_persisted) are counted as lost.
#[derive(Debug)]
pub struct Ring<const N: usize> {
    bytes: [u8; N],
    start: u64,
    end: u64,
    persisted: u64,
    lost: u32,
    /// Number of the records before the oldest one.
    before: u64,
}

impl<const N: usize> Ring<N> {
    /// Empty ring. `N` is not 0.
    pub const fn new() -> Self {
        const { assert!(N > 0) };
        Self { bytes: [0; N], start: 0, end: 0, persisted: 0, lost: 0, before: 0 }
    }

    /// Position of the oldest record.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// Position of the next record.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Appends a record with its [`RECORD_END`]. A record larger than the ring is lost.
    pub fn push(&mut self, record: &[u8]) {
        if record.len() > N || record.is_empty() {
            self.lost = self.lost.saturating_add(1);
            return;
        }
        while self.len() + record.len() > N {
            self.drop_oldest();
        }
        let at = self.index(self.end);
        let (to_the_end, from_the_front) = record.split_at(record.len().min(N - at));
        self.bytes[at..at + to_the_end.len()].copy_from_slice(to_the_end);
        self.bytes[..from_the_front.len()].copy_from_slice(from_the_front);
        self.end += record.len() as u64;
    }

    /// Position of the first record that is not persisted.
    pub fn persisted(&self) -> u64 {
        self.persisted
    }

    /// Marks copied `records`, which began at `from`, as persisted. Those that were overwritten meanwhile are
    /// not lost.
    pub fn mark_written(&mut self, from: u64, records: &[u8]) {
        let overwritten = (self.start.saturating_sub(from) as usize).min(records.len());
        let count = records[..overwritten].iter().filter(|byte| **byte == RECORD_END).count();
        // Fewer than the bytes of one write.
        self.lost = self.lost.saturating_sub(count as u32);
        self.persisted = from + records.len() as u64;
    }

    /// Marks every record before `position` as persisted.
    pub fn mark_persisted(&mut self, position: u64) {
        self.persisted = position;
    }

    /// Counts a record that was lost before it was pushed.
    pub fn count_lost(&mut self) {
        self.lost = self.lost.saturating_add(1);
    }

    /// Returns the number of records lost since the last call.
    pub fn take_lost(&mut self) -> u32 {
        core::mem::take(&mut self.lost)
    }

    /// Returns whole records from `since` on, at most `limit` bytes: their position, and their bytes in
    /// two pieces. A position outside the ring counts as that of the oldest record: the reader fell
    /// behind, or its position is from an earlier run.
    pub fn since(&self, since: u64, limit: usize) -> (u64, [&[u8]; 2]) {
        let from = if (self.start..=self.end).contains(&since) { since } else { self.start };
        let mut pieces = self.pieces(from);
        if pieces[0].len() + pieces[1].len() > limit {
            let len = pieces[1].len().min(limit.saturating_sub(pieces[0].len()));
            pieces[1] = whole(&pieces[1][..len]);
            if pieces[1].is_empty() {
                pieces[0] = whole(&pieces[0][..pieces[0].len().min(limit)]);
            }
        }
        (from, pieces)
    }

    /// Copies whole records from `since` on to `room`, as lines. Returns the position of the first one, the number of
    /// records before it if that is another position, and the number of bytes.
    pub fn copy(&self, since: u64, room: &mut [u8]) -> (u64, u64, usize) {
        let (from, [first, second]) = self.since(since, room.len());
        let bytes = first.iter().chain(second);
        let line = |byte: &u8| if *byte == RECORD_END { b'\n' } else { *byte };
        let count = room.iter_mut().zip(bytes).map(|(place, byte)| *place = line(byte)).count();
        (from, self.before, count)
    }

    /// Position of the newest whole records of at most `limit` bytes.
    pub fn tail(&self, limit: usize) -> u64 {
        let mut at = self.start;
        while self.end - at > limit as u64 {
            at += self.record_len(at);
        }
        at
    }

    fn len(&self) -> usize {
        // Never more than N.
        (self.end - self.start) as usize
    }

    fn index(&self, position: u64) -> usize {
        (position % N as u64) as usize
    }

    fn pieces(&self, from: u64) -> [&[u8]; 2] {
        let len = (self.end - from) as usize;
        let at = self.index(from);
        let first = len.min(N - at);
        [&self.bytes[at..at + first], &self.bytes[..len - first]]
    }

    /// Length of the record at `position`, which is less than the end.
    fn record_len(&self, position: u64) -> u64 {
        let [first, second] = self.pieces(position);
        let bytes = first.iter().chain(second);
        let len = bytes.take_while(|byte| **byte != RECORD_END).count() + 1;
        (len as u64).min(self.end - position)
    }

    fn drop_oldest(&mut self) {
        if self.start >= self.persisted {
            self.lost = self.lost.saturating_add(1);
        }
        self.start += self.record_len(self.start);
        self.before += 1;
    }
}

impl<const N: usize> Default for Ring<N> {
    fn default() -> Self {
        Self::new()
    }
}

/// Prefix of `bytes` with whole records.
fn whole(bytes: &[u8]) -> &[u8] {
    let len = bytes.iter().rposition(|byte| *byte == RECORD_END).map_or(0, |last| last + 1);
    &bytes[..len]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(text: &str) -> Vec<u8> {
        let mut record = text.as_bytes().to_vec();
        record.push(RECORD_END);
        record
    }

    fn all<const N: usize>(ring: &Ring<N>, since: u64, limit: usize) -> (u64, Vec<u8>) {
        let (from, pieces) = ring.since(since, limit);
        (from, pieces.concat())
    }

    #[test]
    fn record_up_to_the_size_of_the_ring() {
        let mut ring = Ring::<8>::new();
        ring.push(&record("1234567"));
        assert_eq!(all(&ring, 0, 8), (0, record("1234567")));
        assert_eq!(ring.take_lost(), 0);
        ring.push(&record("12345678"));
        assert_eq!(ring.take_lost(), 1);
        assert_eq!(all(&ring, 0, 8), (0, record("1234567")));
    }

    #[test]
    fn oldest_record_is_overwritten_and_counted_unless_persisted() {
        let mut ring = Ring::<10>::new();
        for text in ["aaa", "bbb"] {
            ring.push(&record(text));
        }
        ring.mark_persisted(4);
        // Wraps around.
        ring.push(&record("ccc"));
        assert_eq!(ring.take_lost(), 0);
        assert_eq!(all(&ring, 4, 99), (4, [record("bbb"), record("ccc")].concat()));
        ring.push(&record("d"));
        assert_eq!((ring.start(), ring.end()), (4, 14));
        ring.push(&record("e"));
        assert_eq!(ring.take_lost(), 1);
        // A slow reader continues with the oldest record.
        assert_eq!(all(&ring, 0, 99), (8, [record("ccc"), record("d"), record("e")].concat()));
    }

    #[test]
    fn record_that_is_overwritten_while_it_is_written_is_not_lost() {
        let mut ring = Ring::<12>::new();
        for text in ["aaa", "bbb", "ccc"] {
            ring.push(&record(text));
        }
        let (from, copied) = all(&ring, 0, 8);
        assert_eq!((from, &copied), (0, &[record("aaa"), record("bbb")].concat()));
        ring.push(&record("ddd"));
        ring.push(&record("eeeeeee"));
        assert_eq!((ring.start(), ring.lost), (12, 3));
        ring.mark_written(from, &copied);
        // The third record was in no file.
        assert_eq!((ring.persisted(), ring.take_lost()), (8, 1));
    }

    #[test]
    fn reader_gets_whole_records_up_to_its_limit() {
        let mut ring = Ring::<16>::new();
        for text in ["aaa", "bbb", "ccc"] {
            ring.push(&record(text));
        }
        assert_eq!(all(&ring, 0, 4), (0, record("aaa")));
        assert_eq!(all(&ring, 0, 11), (0, [record("aaa"), record("bbb")].concat()));
        assert_eq!(all(&ring, 0, 3), (0, vec![]));
        assert_eq!(all(&ring, 12, 99), (12, vec![]));
        // Position of an earlier run.
        assert_eq!(all(&ring, 1000, 4), (0, record("aaa")));
        assert_eq!((ring.tail(12), ring.tail(11), ring.tail(4), ring.tail(3)), (0, 4, 8, 12));
    }

    #[test]
    fn records_are_copied_as_lines_with_the_number_of_those_before_them() {
        let mut ring = Ring::<12>::new();
        for text in ["aaa", "bbb", "ccc"] {
            ring.push(&record(text));
        }
        let copied = |ring: &Ring<12>, since| {
            let mut room = [0; 8];
            let (from, before, count) = ring.copy(since, &mut room);
            (from, before, String::from_utf8(room[..count].to_vec()).unwrap())
        };
        assert_eq!(copied(&ring, 4), (4, 0, "bbb\nccc\n".to_owned()));
        ring.push(&record("ddddd"));
        assert_eq!(copied(&ring, 4), (8, 2, "ccc\n".to_owned()));
        assert_eq!(copied(&ring, 12).2, "ddddd\n");
    }

    proptest! {
        #[test]
        fn records_are_read_as_written(
            lens in prop::collection::vec(0..20_usize, 1..60), limit in 1..64_usize
        ) {
            let mut ring = Ring::<32>::new();
            let mut written = Vec::new();
            let (mut at, mut read, mut missed) = (0, Vec::new(), false);
            for (number, len) in lens.iter().enumerate() {
                let record = record(&char::from(b'a' + (number % 26) as u8).to_string().repeat(*len));
                ring.push(&record);
                written.extend_from_slice(&record);
                prop_assert_eq!(ring.end(), written.len() as u64);
                prop_assert!(ring.end() - ring.start() <= 32);
                if number % 2 == 0 {
                    let (from, bytes) = all(&ring, at, limit);
                    missed |= from != at;
                    prop_assert!(bytes.len() <= limit);
                    prop_assert!(bytes.is_empty() || bytes.last() == Some(&RECORD_END));
                    let from = from as usize;
                    prop_assert_eq!(&bytes[..], &written[from..from + bytes.len()]);
                    at = (from + bytes.len()) as u64;
                    ring.mark_persisted(at);
                    read.extend(bytes);
                }
            }
            prop_assert!(missed || written.starts_with(&read));
        }
    }
}
