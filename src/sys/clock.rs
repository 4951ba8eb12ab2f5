//! Clocks: time since start, and time of day.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::wall_clock;

/// Time of the build, in seconds since 1970. A clock that shows an earlier time is wrong.
pub const BUILT_UNIX_S: u64 = match u64::from_str_radix(env!("FRIENDLET_BUILT_UNIX_S"), 10) {
    Ok(seconds) => seconds,
    Err(_) => panic!("FRIENDLET_BUILT_UNIX_S: not a number of seconds"),
};

/// Monotonic clock of the process. All deadlines are times since its start. The time of day decides
/// nothing but the starts by the times of day of a schedule, because it may be wrong or jump on a board
/// without a battery.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// Starts a clock.
    #[expect(clippy::new_without_default, reason = "no two clocks are equal")]
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }

    /// Goes on with the clock of an earlier program: `start_ns` is its [`start_ns`](Self::start_ns).
    pub fn continued(start_ns: u64) -> Self {
        let elapsed = Duration::from_nanos(monotonic_ns().saturating_sub(start_ns));
        let now = Instant::now();
        Self { start: now.checked_sub(elapsed).unwrap_or(now) }
    }

    /// Start, in nanoseconds of the monotonic clock of the system.
    pub fn start_ns(&self) -> u64 {
        monotonic_ns().saturating_sub(u64::try_from(self.now().as_nanos()).unwrap_or(u64::MAX))
    }

    /// Time since start.
    pub fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Converts an instant to time since start.
    pub fn at(&self, moment: Instant) -> Duration {
        moment.saturating_duration_since(self.start)
    }

    /// Converts time since start to an instant, for timers.
    pub fn instant(&self, since_start: Duration) -> Instant {
        self.start + since_start
    }

    /// Time of day in seconds since 1970; 0 for earlier times.
    pub fn unix_s(&self) -> u64 {
        wall_clock::now().as_secs()
    }

    /// The same; `None` for a time before the build, which is certainly wrong.
    pub fn time_of_day(&self) -> Option<u64> {
        Some(self.unix_s()).filter(|unix_s| *unix_s >= BUILT_UNIX_S)
    }
}

fn monotonic_ns() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    // Neither is negative.
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_forward_from_zero() {
        let clock = Clock::new();
        let first = clock.now();
        assert!(first < Duration::from_secs(60));
        assert!(clock.now() >= first);
        assert!(clock.instant(first) <= Instant::now());
    }

    #[test]
    fn clock_goes_on_in_a_later_program() {
        let clock = Clock { start: Instant::now().checked_sub(Duration::from_secs(5)).unwrap() };
        let (before, later, after) = (clock.now(), Clock::continued(clock.start_ns()).now(), clock.now());
        let slack = Duration::from_millis(1);
        assert!(before <= later + slack && later <= after + slack, "{before:?} {later:?} {after:?}");
        // Of another boot.
        assert!(Clock::continued(u64::MAX).now() < Duration::from_secs(60));
    }

    #[test]
    fn time_of_day_is_plausible() {
        const { assert!(BUILT_UNIX_S > 1_700_000_000) };
        assert!(Clock::new().unix_s() > 1_700_000_000);
        assert!(Clock::new().time_of_day().is_some(), "this machine has a clock");
    }
}
