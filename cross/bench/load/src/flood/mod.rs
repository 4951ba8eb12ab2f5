//! A flood, and an administrator who logs in beside it: how often, and in what time.
//!
//! Both are on one processor, the server on another. The flood is one thread with a lower priority: it is to
//! cost the server more than itself, and the administrator is a client of another machine.

mod administrator;
mod attack;
mod kind;
mod socket;

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setpriority_process, setrlimit};

use crate::process::Process;
use crate::{Error, Options};
use administrator::Administrator;
use kind::Kind;

/// Address of the flood, and of the administrator where he has the same one.
const SAME: Ipv4Addr = Ipv4Addr::LOCALHOST;
/// Another address of the administrator.
const OTHER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 9);
/// Longest time of the flood before and after the administrator.
const TIMEOUT: Duration = Duration::from_secs(120);
/// Time between two logins.
const PAUSE: Duration = Duration::from_millis(20);
/// Descriptors of the largest flood.
const DESCRIPTORS: u64 = 4096;
/// Nice value of the flood.
const NICE: i32 = 5;

/// Progress of the flood, and its end.
#[derive(Debug, Default)]
struct Progress {
    is_over: AtomicBool,
    /// Sockets that were connected, or are about to be.
    dials: AtomicU64,
    /// Those that got as far as the kind of the flood goes.
    arrived: AtomicU64,
}

impl Progress {
    fn note(count: &AtomicU64) {
        count.fetch_add(1, Ordering::Relaxed);
    }

    fn dials(&self) -> u64 {
        self.dials.load(Ordering::Relaxed)
    }

    fn arrived(&self) -> u64 {
        self.arrived.load(Ordering::Relaxed)
    }
}

/// Ends the flood, also after an error.
struct End<'a>(&'a Progress);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::Relaxed);
    }
}

/// Names of the kinds are in [`Kind::find`]; a row without a flood is `none`.
pub(crate) fn run(options: &Options) -> Result<(), Error> {
    let kind = Kind::find(&options.flood)?;
    let process = options.process.ok_or("--pid is missing")?;
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.map_or(DESCRIPTORS, |maximum| maximum.min(DESCRIPTORS));
    setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), ..limit })?;

    let mut administrator = Administrator::new(options)?;
    let progress = &Progress::default();
    thread::scope(|scope| {
        let flood = scope.spawn(move || {
            // It applies to this thread. Without it the flood takes more of the administrator's processor.
            let _ = setpriority_process(None, NICE);
            attack::run(kind, options, progress)
        });
        let end = End(progress);
        until(|| progress.dials() >= kind.clients as u64 || flood.is_finished())?;
        let (begin, cpu) = (Instant::now(), process.cpu_ns()?);
        for _ in 0..options.messages {
            administrator.come(OTHER, SAME)?;
            thread::sleep(PAUSE);
        }
        // A row without a flood would be one of the administrator alone.
        let least = kind.least.max(2 * kind.clients as u64);
        until(|| progress.arrived() >= least || flood.is_finished())?;
        administrator.look();
        let (wall, cpu) = (begin.elapsed(), process.cpu_ns()?.saturating_sub(cpu));
        drop(end);
        flood.join().map_err(|_| "the flood panicked")??;
        administrator.report();
        println!("dials {}\narrived {}", progress.dials(), progress.arrived());
        println!("wall_ns {}\ncpu_ns {cpu}\npeak_bytes {}", wall.as_nanos(), peak_bytes(process)?);
        Ok(())
    })
}

fn until(is_reached: impl Fn() -> bool) -> Result<(), Error> {
    let begin = Instant::now();
    while !is_reached() {
        if begin.elapsed() > TIMEOUT {
            return Err(format!("the flood is not as large as it is to be after {TIMEOUT:?}").into());
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Largest resident memory of a process so far.
fn peak_bytes(process: Process) -> Result<u64, Error> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.0))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    Ok(kilobytes.ok_or("no VmHWM in its status")? * 1024)
}
