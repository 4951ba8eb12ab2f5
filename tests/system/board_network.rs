//! The network and NTP managers alone, driven as a board's first process drives them: `board_network FILE` does what
//! `[network]` of the configuration file FILE says, and prints what an NTP server has the clock do. What they allocate
//! while they run ends it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use std::{env, fs};

use friendlet::log::{Level, set_level};
use friendlet::sys::{Clock, NetworkManager, NtpManager};
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
    let mut ntp = NtpManager::new();
    println!("{}", rustix::system::uname().nodename().to_string_lossy());
    loop {
        let due = manager.poll_timeout().into_iter().chain(ntp.poll_timeout()).min();
        wait(&manager, &ntp, due.map(|at| at.saturating_sub(clock.now())));
        let before = TOTAL.load(Relaxed);
        let now = clock.now();
        manager.handle_ready(now);
        let reading = ntp.handle_ready(manager.ntp_servers(), now);
        assert_eq!(TOTAL.load(Relaxed), before, "allocations");
        if let Some(reading) = reading {
            println!("{} {:?}", reading.server, reading.correction);
        }
    }
}

fn wait(manager: &NetworkManager, ntp: &NtpManager, left: Option<Duration>) {
    let timeout = left.map(|left| Timespec::try_from(left).expect("a timeout that poll knows"));
    let fds = [manager.fd(), ntp.fd()];
    let mut fds: Vec<PollFd<'_>> = fds.iter().flatten().map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
    let _ = poll(&mut fds, timeout.as_ref());
}
