//! The ring of this process.

use core::fmt::Write as _;
use core::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::SystemTime;

use super::Ring;
use crate::limits::LOG_RING_BYTES;
use crate::log::LOG_HEAD_BYTES;

static RING: Mutex<Ring<LOG_RING_BYTES>> = Mutex::new(Ring::new());
static IS_KEPT: AtomicBool = AtomicBool::new(false);

/// From now on records are kept. Without it (a client, process 1) nothing is.
pub fn keep() {
    IS_KEPT.store(true, Ordering::Relaxed);
}

/// Whether records are kept.
pub fn is_kept() -> bool {
    IS_KEPT.load(Ordering::Relaxed)
}

/// What a reader gets.
#[derive(Debug)]
pub struct Part<'a> {
    /// Where it begins.
    pub from: u64,
    /// Whole records, in two pieces.
    pub pieces: [&'a [u8]; 2],
}

impl Part<'_> {
    /// Bytes of them.
    pub fn len(&self) -> usize {
        self.pieces.iter().map(|piece| piece.len()).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where what follows begins.
    pub fn next(&self) -> u64 {
        self.from + self.len() as u64
    }
}

/// Shows the records from `since` on, of at most `limit` bytes, to `read`.
pub fn since<R>(since: u64, limit: usize, read: impl FnOnce(&Part<'_>) -> R) -> Option<R> {
    let ring = ring()?;
    let (from, pieces) = ring.since(since, limit);
    Some(read(&Part { from, pieces }))
}

/// Where the newest records of at most `limit` bytes begin.
pub fn newest(limit: usize) -> u64 {
    ring().map_or(0, |ring| ring.newest(limit))
}

/// Whether there is anything from `position` on that a file does not have.
pub fn unwritten(position: u64) -> bool {
    ring().is_some_and(|ring| ring.end() != position)
}

/// Says that the files have everything before `position`.
pub fn written(position: u64) {
    if let Some(mut ring) = ring() {
        ring.set_taken(position);
    }
}

/// How many records were lost since the last such call: their place was needed before a file had them.
pub fn take_lost() -> u32 {
    ring().map_or(0, |mut ring| ring.take_lost())
}

/// Adds a record.
pub(super) fn push(record: &[u8]) {
    if is_kept()
        && let Some(mut ring) = ring()
    {
        ring.push(record);
    }
}

/// Counts a record that is not whole.
#[cfg(feature = "defmt")]
pub(super) fn count_lost() {
    if let Some(mut ring) = ring() {
        ring.count_lost();
    }
}

/// A thread that panics may hold the ring already.
fn ring() -> Option<MutexGuard<'static, Ring<LOG_RING_BYTES>>> {
    if std::thread::panicking() { RING.try_lock().ok() } else { RING.lock().ok() }
}

/// One moment on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Stamp {
    /// Unix time in milliseconds, which a board without a clock may have wrong.
    pub wall_ms: u64,
    /// Milliseconds since the log's clock started: that of the records.
    pub mono_ms: u64,
}

/// Now.
pub fn stamp() -> Stamp {
    let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Stamp { wall_ms: u64::try_from(wall.as_millis()).unwrap_or(u64::MAX), mono_ms: super::text::elapsed_ms() }
}

/// What stands at the beginning of each file, and of what `ctl log --raw` writes. Before frames it stands
/// between zeros, and a reader of frames passes over it; before lines it is one. The slide says how far
/// from its own addresses the program was loaded: not at all, for it has fixed ones.
pub fn head(form: &str, build: &str, board: &str, stamp: Stamp) -> heapless::String<LOG_HEAD_BYTES> {
    let mut head = heapless::String::new();
    let (open, close) = if form == "text" { ("", "\n") } else { ("\0", "\n\0") };
    let Stamp { wall_ms, mono_ms } = stamp;
    // What does not fit is none of ours: a build id and the name of a board are short.
    let _ = write!(
        head,
        "{open}friendlet-log 1 form={form} build={build} board={board} wall_ms={wall_ms} mono_ms={mono_ms} slide=0{close}"
    );
    head
}
