//! Rate limit for records of one kind, so that a flood of clients does not flood the log.

use core::time::Duration;

use super::{LOG_BURST, LOG_WINDOW};

/// Rate limit of [`LOG_BURST`] records in each [`LOG_WINDOW`]; counts the suppressed ones.
#[derive(Debug, Default)]
pub struct RateLimit {
    window_start: Duration,
    acquired: u32,
    suppressed: u64,
}

impl RateLimit {
    /// Acquires a record at `now` (time since start). Returns the number of records suppressed since
    /// the last acquired one, or `None` if this one is to be suppressed.
    pub fn try_acquire(&mut self, now: Duration) -> Option<u64> {
        if now.saturating_sub(self.window_start) >= LOG_WINDOW {
            self.window_start = now;
            self.acquired = 0;
        }
        if self.acquired >= LOG_BURST {
            self.suppressed += 1;
            return None;
        }
        self.acquired += 1;
        Some(core::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn burst_is_acquired_and_the_rest_is_counted() {
        let mut limit = RateLimit::default();
        for _ in 0..LOG_BURST {
            assert_eq!(limit.try_acquire(Duration::from_secs(1)), Some(0));
        }
        for _ in 0..1000 {
            assert_eq!(limit.try_acquire(Duration::from_secs(2)), None);
        }
        assert_eq!(limit.try_acquire(LOG_WINDOW - Duration::from_millis(1)), None);
        assert_eq!(limit.try_acquire(LOG_WINDOW), Some(1001));
    }
}
