//! Buffers whose pages return to the system while they are empty.
//!
//! The buffers of a connection exist from the start, so that a connection always has them. A small board
//! cannot spare the pages behind idle ones: [`MappedBuffer`] reserves its address space when it is made, uses a
//! page once something is written there, and releases all pages on request. The address space stays reserved, so
//! using pages again does not allocate. [`IdleTracker`] decides when to release.
//!
//! This module uses `unsafe`, because mmap(2), madvise(2) and munmap(2) have no safe form.
//! `tests/it/layers.rs` lists the files that may.

#![allow(unsafe_code, reason = "mapping memory is what this module is for")]

mod idle;

use core::fmt;
use core::ops::{Deref, DerefMut, Range};
use core::ptr::NonNull;

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};

pub use idle::IdleTracker;

/// Fixed number of bytes, all zero at first, in pages of its own.
pub struct MappedBuffer {
    start: NonNull<u8>,
    len: usize,
}

impl MappedBuffer {
    /// Creates a buffer of `len` bytes.
    ///
    /// # Panics
    /// If the system has no address space left, like an allocation. Buffers are created only at the start.
    pub fn new(len: usize) -> Self {
        if len == 0 {
            return Self::default();
        }
        let (access, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
        // SAFETY: the kernel chooses a place where nothing is.
        let mapped = unsafe { mmap_anonymous(core::ptr::null_mut(), len, access, flags) };
        let Some(start) = mapped.ok().and_then(|start| NonNull::new(start.cast::<u8>())) else {
            panic!("no memory for a buffer of {len} bytes");
        };
        // A huge page would hold 2 MiB for one byte. A kernel without huge pages refuses, which is as good.
        // SAFETY: the range was mapped just now, and the advice changes no byte.
        let _ = unsafe { madvise(start.as_ptr().cast(), len, Advice::LinuxNoHugepage) };
        Self { start, len }
    }

    /// Bytes of `range`. A range outside the buffer is an internal error, which is logged; the result is
    /// empty then.
    pub fn slice(&self, range: Range<usize>) -> &[u8] {
        self.get(range.clone()).unwrap_or_else(|| {
            outside(&range);
            &[]
        })
    }

    /// The same, to write to.
    pub fn slice_mut(&mut self, range: Range<usize>) -> &mut [u8] {
        if range.start > range.end || range.end > self.len {
            outside(&range);
            return &mut [];
        }
        &mut self[range]
    }

    /// Bytes from `start` on, to write to.
    pub fn slice_from_mut(&mut self, start: usize) -> &mut [u8] {
        let end = self.len;
        self.slice_mut(start..end)
    }

    /// Releases every page to the system. Contents are unspecified afterwards.
    pub fn release_pages(&mut self) {
        if self.len > 0 {
            // SAFETY: the range is a private mapping of ours without other readers, for `self` is
            // borrowed mutably; the kernel keeps it mapped, and fills pages with zeros when they are
            // next touched.
            let released = unsafe { madvise(self.start.as_ptr().cast(), self.len, Advice::LinuxDontNeed) };
            debug_assert!(released.is_ok(), "{released:?}");
        }
    }
}

#[cold]
fn outside(range: &Range<usize>) {
    crate::error!("internal error: bytes {} to {} are outside of a buffer", range.start, range.end);
    debug_assert!(false, "{range:?} is outside of a buffer");
}

impl Default for MappedBuffer {
    /// No bytes at all.
    fn default() -> Self {
        Self { start: NonNull::dangling(), len: 0 }
    }
}

impl Drop for MappedBuffer {
    fn drop(&mut self) {
        if self.len > 0 {
            // SAFETY: the range is a mapping of ours, and nothing refers to it after this.
            let unmapped = unsafe { munmap(self.start.as_ptr().cast(), self.len) };
            debug_assert!(unmapped.is_ok(), "{unmapped:?}");
        }
    }
}

impl Deref for MappedBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `len` bytes from `start` are mapped, readable and initialised (the kernel's zeros at
        // first) as long as `self` is there; for `len` 0, `start` is dangling and aligned, as a slice
        // wants it.
        unsafe { core::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl DerefMut for MappedBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`; the mapping is writable, and borrowed mutably with `self`.
        unsafe { core::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl fmt::Debug for MappedBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MappedBuffer").field(&self.len).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEN: usize = 1 << 20;

    /// Bytes of this process in pages of its own that are in memory.
    fn resident() -> usize {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        1024 * line.trim().trim_end_matches(" kB").parse::<usize>().unwrap()
    }

    #[test]
    fn new_pages_are_zero_and_hold_what_is_written() {
        let mut pages = MappedBuffer::new(5000);
        assert_eq!(pages.len(), 5000);
        assert!(pages.iter().all(|byte| *byte == 0));
        pages[4999] = 7;
        pages[0] = 1;
        assert_eq!((pages[0], pages[4999]), (1, 7));
        assert!(pages.get(5000).is_none());
    }

    #[test]
    fn empty_buffer_has_no_mapping() {
        let mut pages = MappedBuffer::new(0);
        pages.release_pages();
        assert!(pages.is_empty() && MappedBuffer::default().is_empty());
        assert_eq!(pages.get_mut(0), None);
    }

    #[test]
    fn pages_are_used_when_touched_and_released() {
        // Other tests take memory meanwhile; all of this one's is far more.
        let mut regions: Vec<MappedBuffer> = (0..64).map(|_| MappedBuffer::new(LEN)).collect();
        let before = resident();
        regions.iter_mut().for_each(|pages| pages.fill(1));
        let full = resident();
        regions.iter_mut().for_each(MappedBuffer::release_pages);
        let after = resident();
        assert!(full > before + 48 * LEN, "{before} {full}");
        assert!(after < full - 48 * LEN, "{full} {after}");
        // The next use brings them back.
        regions[0][LEN - 1] = 9;
        assert_eq!(regions[0][LEN - 1], 9);
    }
}
