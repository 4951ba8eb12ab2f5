//! Use of the processor and of memory by the processes of a service.
//!
//! Read from the control group of the service; without one from `/proc`, for a bounded number of processes, and
//! of those that a process has started only what its first thread has. Nothing here allocates.

use core::fmt::Write as _;
use core::time::Duration;

use heapless::{String, Vec};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::read;
use rustix::param::{clock_ticks_per_second, page_size};

use super::cgroups::{Cgroups, service_group};
use super::{USAGE_PROCESSES, procfs};
use crate::service::{Memory, Usage};

/// Bytes of a file that are read.
const FILE_BYTES: usize = 1024;

/// Use of a service with this name and leader.
pub(super) fn of(cgroups: Option<&Cgroups>, name: &str, leader: u32) -> Usage {
    let group = service_group(name);
    let cpu = cgroups.and_then(|cgroups| cgroups.cpu_us(&group)).map(Duration::from_micros);
    let memory = cgroups.and_then(|cgroups| cgroups.memory(&group));
    match (cpu, memory) {
        (Some(cpu), Some(memory)) => Usage { cpu, memory },
        (cpu, memory) => {
            let processes = processes(leader);
            let sum = Usage {
                cpu: processes.iter().map(|usage| usage.cpu).sum(),
                memory: processes.iter().map(|usage| usage.memory).sum(),
            };
            Usage { cpu: cpu.unwrap_or(sum.cpu), memory: memory.unwrap_or(sum.memory) }
        }
    }
}

/// Memory of this process and of the machine; zeros without a proc file system.
pub fn memory() -> Memory {
    let mut bytes = [0; FILE_BYTES];
    let server = file(&mut bytes, format_args!("/proc/self/statm")).and_then(memory_in).unwrap_or_default();
    let machine = file(&mut bytes, format_args!("/proc/meminfo")).unwrap_or_default();
    let of = |name| kibibytes(machine, name).unwrap_or_default().saturating_mul(1024);
    Memory { server, available: of("MemAvailable:"), total: of("MemTotal:") }
}

/// Number behind a name in `/proc/meminfo`.
fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// Use of a process and of its descendants.
fn processes(leader: u32) -> Vec<Usage, USAGE_PROCESSES> {
    let mut pids: Vec<u32, USAGE_PROCESSES> = Vec::new();
    let _ = pids.push(leader);
    let mut usages = Vec::new();
    let mut next = 0;
    let mut bytes = [0; FILE_BYTES];
    while let Some(pid) = pids.get(next).copied() {
        next += 1;
        let mut usage = Usage::default();
        if let Some(stat) = file(&mut bytes, format_args!("/proc/{pid}/stat")) {
            usage.cpu = cpu_in(stat).unwrap_or_default();
        }
        if let Some(statm) = file(&mut bytes, format_args!("/proc/{pid}/statm")) {
            usage.memory = memory_in(statm).unwrap_or_default();
        }
        let _ = usages.push(usage);
        if let Some(children) = file(&mut bytes, format_args!("/proc/{pid}/task/{pid}/children")) {
            let room = pids.capacity() - pids.len();
            pids.extend(children.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).take(room));
        }
    }
    usages
}

fn file<'b>(bytes: &'b mut [u8], path: core::fmt::Arguments<'_>) -> Option<&'b str> {
    let mut name = String::<48>::new();
    name.write_fmt(path).ok()?;
    let file = open(&*name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let count = read(&file, &mut *bytes).ok()?;
    let read = bytes.get(..count)?;
    // A list that is cut ends in the middle of a pid.
    let whole = if count == FILE_BYTES { read.iter().rposition(|byte| *byte == b' ')? } else { count };
    core::str::from_utf8(read.get(..whole)?).ok()
}

/// Processor time in `/proc/PID/stat`: of a process, and of its children that it has waited for.
fn cpu_in(stat: &str) -> Option<Duration> {
    // In proc(5), the state is field 3, and the times are 14 to 17.
    let times = procfs::stat_fields(stat)?.skip(11).take(4);
    let ticks: u64 = times.filter_map(|field| field.parse::<u64>().ok()).sum();
    Some(Duration::from_millis(ticks.saturating_mul(1000) / clock_ticks_per_second().max(1)))
}

/// Memory in `/proc/PID/statm` that no file has: resident pages without shared ones.
fn memory_in(statm: &str) -> Option<u64> {
    let mut pages = statm.split(' ').skip(1).map_while(|field| field.parse::<u64>().ok());
    let (resident, shared) = (pages.next()?, pages.next()?);
    Some(resident.saturating_sub(shared).saturating_mul(page_size() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::tests::lock_children;

    #[test]
    fn times_and_pages_are_read() {
        let ticks = clock_ticks_per_second();
        let stat = format!("7 (a) b) S 1 7 7 0 -1 4194560 1 2 3 4 {ticks} {ticks} 0 {ticks} 20 0 1 0 9 9 9");
        assert_eq!(cpu_in(&stat), Some(Duration::from_secs(3)));
        assert_eq!(memory_in("900 30 10 1 0 5 0\n"), Some(20 * page_size() as u64));
        assert_eq!((cpu_in("7 (a"), memory_in("900")), (None, None));
    }

    #[test]
    fn memory_of_the_machine_is_read() {
        assert_eq!(
            kibibytes("MemTotal:  65536 kB\nMemFree: 1 kB\nMemAvailable:\t40960 kB\n", "MemAvailable:"),
            Some(40960)
        );
        assert_eq!((kibibytes("MemTotal: x kB", "MemTotal:"), kibibytes("", "MemTotal:")), (None, None));
        let Memory { server, available, total } = memory();
        assert!(
            0 < server && server < total && 0 < available && available <= total,
            "{server} {available} {total}"
        );
    }

    #[test]
    fn own_use_is_counted_with_that_of_children() {
        let _lock = lock_children();
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let usages = processes(std::process::id());
        assert!(usages.len() <= USAGE_PROCESSES && usages[0].memory > 0, "{usages:?}");
        child.kill().unwrap();
        child.wait().unwrap();
        let usage = of(None, "web", std::process::id());
        assert!(usage.memory >= usages[0].memory / 2, "{usage:?}");
        assert_eq!(of(None, "web", u32::MAX), Usage::default());
    }
}
