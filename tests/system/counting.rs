//! The real program over an allocator that counts.
//!
//! It runs as friendlet does, with the same arguments. For each line on standard input it answers
//! with one on standard output: `allocations LIVE_BYTES LIVE_BLOCKS TOTAL_BLOCKS MOST_BYTES`, as of now,
//! the last since the line before. Bytes are those of the allocator's blocks and not of what was asked for.

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{BufRead as _, Write as _};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

struct Counting;

static BYTES: AtomicUsize = AtomicUsize::new(0);
static BLOCKS: AtomicUsize = AtomicUsize::new(0);
static TOTAL: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

/// Returns the size of a block in glibc's allocator, which is no less than in musl's.
fn block(layout: Layout) -> usize {
    (layout.size() + size_of::<usize>()).next_multiple_of(16).max(32)
}

// SAFETY: every call goes on to the system's allocator with the arguments it came with; counting
// touches nothing but four atomics.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let before = BYTES.fetch_add(block(layout), Relaxed);
        MOST.fetch_max(before + block(layout), Relaxed);
        BLOCKS.fetch_add(1, Relaxed);
        TOTAL.fetch_add(1, Relaxed);
        // SAFETY: the caller's promise is the one that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        BYTES.fetch_sub(block(layout), Relaxed);
        BLOCKS.fetch_sub(1, Relaxed);
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
        std::thread::spawn(answer);
    }
    friendlet::cli::run(std::env::args_os())
}

fn answer() {
    let mut line = String::new();
    let mut input = std::io::stdin().lock();
    while input.read_line(&mut line).is_ok_and(|count| count > 0) {
        line.clear();
        let (bytes, blocks, total) = (BYTES.load(Relaxed), BLOCKS.load(Relaxed), TOTAL.load(Relaxed));
        let most = MOST.swap(bytes, Relaxed);
        let mut output = std::io::stdout().lock();
        let _ = writeln!(output, "allocations {bytes} {blocks} {total} {most}").and_then(|()| output.flush());
    }
}
