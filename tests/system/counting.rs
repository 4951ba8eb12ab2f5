//! The real program over an allocator that counts.
//!
//! It runs as friendlet does, with the same arguments. For each line on standard input it answers
//! with one on standard output: `allocations LIVE_BYTES LIVE_BLOCKS TOTAL_BLOCKS MOST_BYTES`, as of now,
//! the last since the line before. Bytes are those of the allocator's blocks and not of what was asked for.

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{BufRead as _, Write as _};
use std::process::ExitCode;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering::Relaxed};

use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};

struct Counting;

/// Counts of the keeper and the server together.
struct Counts {
    bytes: AtomicUsize,
    blocks: AtomicUsize,
    total: AtomicUsize,
    most: AtomicUsize,
}

/// Counts before `main`, which nothing reads.
static EARLY: Counts = Counts {
    bytes: AtomicUsize::new(0),
    blocks: AtomicUsize::new(0),
    total: AtomicUsize::new(0),
    most: AtomicUsize::new(0),
};
/// Counts in force, in memory that the keeper and the server share.
static COUNTS: AtomicPtr<Counts> = AtomicPtr::new((&raw const EARLY).cast_mut());

fn counts() -> &'static Counts {
    // SAFETY: it points to `EARLY`, or to a mapping of zeros that is never unmapped.
    unsafe { &*COUNTS.load(Relaxed) }
}

/// Maps the counts that a fork shares.
fn share() {
    let (access, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
    // SAFETY: the kernel chooses a free address.
    let shared = unsafe { mmap_anonymous(std::ptr::null_mut(), size_of::<Counts>(), access, flags) };
    let shared: *mut Counts = shared.expect("a page").cast();
    COUNTS.store(shared, Relaxed);
    counts().bytes.store(EARLY.bytes.load(Relaxed), Relaxed);
    counts().blocks.store(EARLY.blocks.load(Relaxed), Relaxed);
}

/// Size of a block in glibc's allocator. That of musl's is not larger.
fn block(layout: Layout) -> usize {
    (layout.size() + size_of::<usize>()).next_multiple_of(16).max(32)
}

// SAFETY: every call goes on to the system's allocator with the arguments it came with; counting
// touches nothing but four atomics.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let counts = counts();
        let before = counts.bytes.fetch_add(block(layout), Relaxed);
        counts.most.fetch_max(before + block(layout), Relaxed);
        counts.blocks.fetch_add(1, Relaxed);
        counts.total.fetch_add(1, Relaxed);
        // SAFETY: the caller's promise is the one that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        counts().bytes.fetch_sub(block(layout), Relaxed);
        counts().blocks.fetch_sub(1, Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[expect(clippy::disallowed_methods, reason = "the counts are asked for while the server runs")]
fn main() -> ExitCode {
    // The program's own arguments come first; a service that it starts is this program too.
    if std::env::args().nth(1).is_some_and(|argument| argument == "serve") {
        share();
        std::thread::spawn(answer);
    }
    friendlet::cli::run(std::env::args_os())
}

fn answer() {
    let mut line = String::new();
    let mut input = std::io::stdin().lock();
    while input.read_line(&mut line).is_ok_and(|count| count > 0) {
        line.clear();
        let counts = counts();
        let (bytes, blocks) = (counts.bytes.load(Relaxed), counts.blocks.load(Relaxed));
        let total = counts.total.load(Relaxed);
        let most = counts.most.swap(bytes, Relaxed);
        let mut output = std::io::stdout().lock();
        let _ = writeln!(output, "allocations {bytes} {blocks} {total} {most}").and_then(|()| output.flush());
    }
}
