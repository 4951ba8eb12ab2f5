//! Processor time: unlike time by the clock the same on a busy machine.

use std::fs;
use std::time::Duration;

/// Processor time that a process has used; zero once it has ended.
pub(crate) fn used_by(pid: u32) -> Duration {
    of(&format!("/proc/{pid}/stat"), UTIME)
}

/// Processor time of the programs that this process has run to their ends, and of what those ran.
pub(crate) fn used_by_children() -> Duration {
    of("/proc/self/stat", CUTIME)
}

/// Fields of proc_pid_stat(5), each followed by the time in the kernel, counted from the state.
const UTIME: usize = 11;
const CUTIME: usize = 13;
/// Their unit.
const TICK: Duration = Duration::from_millis(10);

fn of(path: &str, field: usize) -> Duration {
    let stat = fs::read_to_string(path).unwrap_or_default();
    // The name before the state may hold anything, and ends with the last parenthesis.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
    let ticks = fields.skip(field).take(2).filter_map(|field| field.parse::<u32>().ok()).sum();
    TICK * ticks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run;

    #[test]
    fn time_that_is_used_is_counted() {
        let before = used_by_children();
        let script = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done";
        run::captured(run::at_root("sh").args(["-c", script])).unwrap();
        assert!(used_by_children() > before);
        assert!(used_by(std::process::id()) < Duration::from_secs(3600));
        assert_eq!(used_by(u32::MAX), Duration::ZERO);
    }
}
