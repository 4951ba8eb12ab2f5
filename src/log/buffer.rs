//! Ring buffer of this process.

use core::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};

use super::Ring;
use crate::limits::LOG_RING_BYTES;

static RING: Mutex<Ring<LOG_RING_BYTES>> = Mutex::new(Ring::new());
static IS_ENABLED: AtomicBool = AtomicBool::new(false);

/// Enables the buffer: records are stored from now on. A client and process 1 leave it disabled.
pub fn enable() {
    IS_ENABLED.store(true, Ordering::Relaxed);
}

/// Returns true if records are stored.
pub fn is_enabled() -> bool {
    IS_ENABLED.load(Ordering::Relaxed)
}

/// Consecutive records, as returned to a reader.
#[derive(Debug)]
pub struct Chunk<'a> {
    /// Position of the first record.
    pub from: u64,
    /// Whole records, in two pieces.
    pub pieces: [&'a [u8]; 2],
}

impl Chunk<'_> {
    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.pieces.iter().map(|piece| piece.len()).sum()
    }

    /// Returns true without records.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Position of the next record.
    pub fn next(&self) -> u64 {
        self.from + self.len() as u64
    }
}

/// Calls `read` with the records from `since` on, at most `limit` bytes. `None` if a thread panicked
/// while it held the buffer.
pub fn since<R>(since: u64, limit: usize, read: impl FnOnce(&Chunk<'_>) -> R) -> Option<R> {
    let ring = ring()?;
    let (from, pieces) = ring.since(since, limit);
    Some(read(&Chunk { from, pieces }))
}

/// Copies lines of this build whose log is text, as [`Ring::copy`]. There are none while a thread that panicked held the
/// buffer.
pub fn copy(since: u64, room: &mut [u8]) -> (u64, u64, usize) {
    ring().map_or((since, 0, 0), |ring| ring.copy(since, room))
}

/// Position of the newest records of at most `limit` bytes.
pub fn tail(limit: usize) -> u64 {
    ring().map_or(0, |ring| ring.tail(limit))
}

/// Returns true if records from `position` on are not in a file yet.
pub fn is_dirty(position: u64) -> bool {
    ring().is_some_and(|ring| ring.end() != position)
}

/// Returns true if a record is not in a file yet, while files are written.
pub fn has_unwritten() -> bool {
    ring().is_some_and(|ring| ring.end() != ring.persisted())
}

/// Marks `records`, which began at position `from`, as written to a file. Those that were overwritten during
/// the write were not lost.
pub fn mark_written(from: u64, records: &[u8]) {
    if let Some(mut ring) = ring() {
        ring.mark_written(from, records);
    }
}

/// Marks every record before `position` as written to a file.
pub fn mark_persisted(position: u64) {
    if let Some(mut ring) = ring() {
        ring.mark_persisted(position);
    }
}

/// Returns the number of records overwritten before they were in a file, since the last call.
pub fn take_lost() -> u32 {
    ring().map_or(0, |mut ring| ring.take_lost())
}

/// Adds a record.
pub(super) fn push(record: &[u8]) {
    if is_enabled()
        && let Some(mut ring) = ring()
    {
        ring.push(record);
    }
}

/// Counts an incomplete record as lost.
#[cfg(feature = "defmt")]
pub(super) fn count_lost() {
    if let Some(mut ring) = ring() {
        ring.count_lost();
    }
}

/// Locks the ring. A panicking thread may hold the lock already, so it only tries.
fn ring() -> Option<MutexGuard<'static, Ring<LOG_RING_BYTES>>> {
    if std::thread::panicking() { RING.try_lock().ok() } else { RING.lock().ok() }
}
