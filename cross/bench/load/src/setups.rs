//! Connections one after the other: TCP, TLS, the upgrade, the close.

use std::time::{Duration, Instant};

use crate::link::Link;
use crate::{Error, Options};

pub(crate) fn run(options: &Options) -> Result<(), Error> {
    for _ in 0..options.warm_up {
        Link::open(&options.target)?.close()?;
    }
    let cpu_ns = || options.process.map_or(Ok(0), |process| process.cpu_ns());
    let (cpu, begin) = (cpu_ns()?, Instant::now());
    let deadline = begin + Duration::from_secs(options.seconds);
    let mut setups = 0_u64;
    while setups < options.messages as u64 && Instant::now() < deadline {
        Link::open(&options.target)?.close()?;
        setups += 1;
    }
    let wall = begin.elapsed();
    // What the server does after the last close belongs to it.
    if let Some(process) = options.process {
        process.wait_idle()?;
    }
    let cpu = cpu_ns()?.saturating_sub(cpu);
    println!("setups {setups}\nwall_ns {}\ncpu_ns {cpu}", wall.as_nanos());
    Ok(())
}
