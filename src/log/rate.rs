//! A limit on lines of one kind, so that a flood of clients is no flood of lines.

use core::time::Duration;

use crate::log::{LOG_BURST, LOG_WINDOW};

/// Lets [`LOG_BURST`] lines pass in each [`LOG_WINDOW`] and counts the rest.
#[derive(Debug, Default)]
pub struct RateLimit {
    window_start: Duration,
    passed: u32,
    held_back: u64,
}

impl RateLimit {
    /// Whether a line may be written at `now` (time since start). `Some(n)`: it may, and `n` lines
    /// were held back since the last one that passed.
    pub fn pass(&mut self, now: Duration) -> Option<u64> {
        if now.saturating_sub(self.window_start) >= LOG_WINDOW {
            self.window_start = now;
            self.passed = 0;
        }
        if self.passed >= LOG_BURST {
            self.held_back += 1;
            return None;
        }
        self.passed += 1;
        Some(core::mem::take(&mut self.held_back))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn burst_passes_and_the_rest_is_counted() {
        let mut limit = RateLimit::default();
        for _ in 0..LOG_BURST {
            assert_eq!(limit.pass(Duration::from_secs(1)), Some(0));
        }
        for _ in 0..1000 {
            assert_eq!(limit.pass(Duration::from_secs(2)), None);
        }
        assert_eq!(limit.pass(LOG_WINDOW - Duration::from_millis(1)), None);
        assert_eq!(limit.pass(LOG_WINDOW), Some(1001));
    }
}
