//! Memory in whole pages, which go back to the system while there is nothing in them.
//!
//! A connection has its buffers from the start and for good, so that it can never lack them; but what
//! counts on a small board is the pages behind them. [`Pages`] takes its address space when it is made
//! and a page only when something is written there, and gives all of them back on request. Nothing of
//! this is an allocation: the address space stays, so taking pages again cannot fail for want of it. When to
//! ask is what [`Use`] tells.
//!
//! This module has `unsafe` in it: mmap(2), madvise(2) and munmap(2) have no other form.
//! `tests/it/layers.rs` says which files may.

#![allow(unsafe_code, reason = "mapping memory is what this module is for")]

mod rest;

use core::fmt;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};

pub use rest::Use;

/// A fixed number of bytes, all zero at first, in pages of their own.
pub struct Pages {
    start: NonNull<u8>,
    len: usize,
}

impl Pages {
    /// Room for `len` bytes.
    ///
    /// # Panics
    /// When the system has no address space left, as an allocation would: at start, then, and never
    /// later.
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
        // A huge page would hold 2 MiB for one byte. A kernel that knows none refuses, and is right.
        // SAFETY: the range was mapped just now, and the advice changes no byte.
        let _ = unsafe { madvise(start.as_ptr().cast(), len, Advice::LinuxNoHugepage) };
        Self { start, len }
    }

    /// Gives every page back to the system. All bytes are of any value after this: what was in them is
    /// forgotten, and that they read as zero is not promised.
    pub fn give_back(&mut self) {
        if self.len > 0 {
            // SAFETY: the range is a private mapping of ours that nobody else looks at, for `self` is
            // borrowed mutably; the kernel keeps it mapped, and fills pages with zeros when they are
            // next touched. A refusal leaves the bytes as they are.
            let _ = unsafe { madvise(self.start.as_ptr().cast(), self.len, Advice::LinuxDontNeed) };
        }
    }
}

impl Default for Pages {
    /// No bytes at all.
    fn default() -> Self {
        Self { start: NonNull::dangling(), len: 0 }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        if self.len > 0 {
            // SAFETY: the range is a mapping of ours, and nobody can look at it after this.
            let _ = unsafe { munmap(self.start.as_ptr().cast(), self.len) };
        }
    }
}

impl Deref for Pages {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `len` bytes from `start` are mapped, readable and initialised (the kernel's zeros at
        // first) as long as `self` is there; for `len` 0, `start` is dangling and aligned, as a slice
        // wants it.
        unsafe { core::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl DerefMut for Pages {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`; the mapping is writable, and borrowed mutably with `self`.
        unsafe { core::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pages").field(&self.len).finish()
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
        let mut pages = Pages::new(5000);
        assert_eq!(pages.len(), 5000);
        assert!(pages.iter().all(|byte| *byte == 0));
        pages[4999] = 7;
        pages[0] = 1;
        assert_eq!((pages[0], pages[4999]), (1, 7));
        assert!(pages.get(5000).is_none());
    }

    #[test]
    fn no_bytes_are_no_mapping() {
        let mut pages = Pages::new(0);
        pages.give_back();
        assert!(pages.is_empty() && Pages::default().is_empty());
        assert_eq!(pages.get_mut(0), None);
    }

    #[test]
    fn pages_are_taken_when_touched_and_given_back() {
        // Other tests take memory meanwhile; all of this one's is far more.
        let mut regions: Vec<Pages> = (0..64).map(|_| Pages::new(LEN)).collect();
        let before = resident();
        regions.iter_mut().for_each(|pages| pages.fill(1));
        let full = resident();
        regions.iter_mut().for_each(Pages::give_back);
        let after = resident();
        assert!(full > before + 48 * LEN, "{before} {full}");
        assert!(after < full - 48 * LEN, "{full} {after}");
        // They are there again when they are wanted.
        regions[0][LEN - 1] = 9;
        assert_eq!(regions[0][LEN - 1], 9);
    }
}
