//! The network manager alone, driven as a board's first process drives it: `board_network FILE`
//! does what `[network]` of the configuration file FILE says. What it allocates while it runs ends it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use std::{env, fs};

use friendlet::log::{Level, set_level};
use friendlet::sys::{Clock, NetworkManager};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

struct Counting;

static TOTAL: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes on to the system's allocator with the arguments it came with; counting
// touches nothing but an atomic.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        TOTAL.fetch_add(1, Relaxed);
        // SAFETY: the caller's promise is the one that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() {
    let file = env::args().nth(1).expect("board_network FILE");
    let text = fs::read_to_string(&file).expect("the configuration file");
    let config =
        friendlet::config::parse(&text, &file, "friendlet").unwrap_or_else(|errors| panic!("{errors}"));
    set_level(Level::Debug);
    let clock = Clock::new();
    let mut manager = NetworkManager::new(config.network.as_ref());
    println!("{}", rustix::system::uname().nodename().to_string_lossy());
    loop {
        let left = manager.poll_timeout().map(|at| at.saturating_sub(clock.now()));
        wait(&manager, left);
        let before = TOTAL.load(Relaxed);
        manager.handle_ready(clock.now());
        assert_eq!(TOTAL.load(Relaxed), before, "allocations");
    }
}

fn wait(manager: &NetworkManager, left: Option<Duration>) {
    let timeout = left.map(|left| Timespec::try_from(left).expect("a timeout that poll knows"));
    let fd = manager.fd();
    let mut fds: Vec<PollFd<'_>> = fd.iter().map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
    let _ = poll(&mut fds, timeout.as_ref());
}
