//! The two clocks: time since the server's start, and the time of day.

use std::time::{Duration, Instant, SystemTime};

/// The server's clock. Everything that waits counts from its start; the time of day, which may be
/// wrong or jump on a board without a battery, decides nothing.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that starts now.
    #[expect(clippy::new_without_default, reason = "a clock is not a value like any other of its kind")]
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }

    /// Time since the start.
    pub fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// The time of a moment, as time since the start.
    pub fn at(&self, moment: Instant) -> Duration {
        moment.saturating_duration_since(self.start)
    }

    /// The moment that lies this long after the start; for timers.
    pub fn instant(&self, since_start: Duration) -> Instant {
        self.start + since_start
    }

    /// Seconds since 1970 by the time of day; 0 where it lies before.
    pub fn unix_s(&self) -> u64 {
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }
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
    fn time_of_day_is_after_this_was_written() {
        assert!(Clock::new().unix_s() > 1_700_000_000);
    }
}
