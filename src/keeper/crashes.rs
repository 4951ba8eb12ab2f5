//! Pauses between servers that are killed, and their end.

use std::time::{Duration, Instant};

use super::{SERVER_FAILURES, SERVER_GOOD_RUN, SERVER_PAUSE_MAX, SERVER_PAUSE_MIN};
use crate::log::console::error;

/// Logs that a server was killed by a signal, and what follows.
pub(super) fn log_kill(signal: i32, has_successor: bool) {
    let sequel =
        if has_successor { "starting another one, its services run on" } else { "ending its services" };
    error!("server: killed by signal {}; {}", signal, sequel);
}

/// Logs a system call that the sandbox of the server forbids.
pub(super) fn log_forbidden(call: u32) {
    error!("server: made system call {}, which its sandbox forbids: it is killed", call);
}

/// Servers that were killed, one after the other.
#[derive(Debug)]
pub(super) struct Crashes {
    started: Instant,
    is_serving: bool,
    /// It follows one that was killed.
    is_successor: bool,
    /// Those in a row that ended before they served.
    failures: u32,
    /// Those in a row that ended within [`SERVER_GOOD_RUN`].
    short_runs: u32,
}

impl Crashes {
    pub(super) fn new() -> Self {
        Self { started: Instant::now(), is_serving: false, is_successor: false, failures: 0, short_runs: 0 }
    }

    /// Records the start of a server.
    pub(super) fn start(&mut self, now: Instant) {
        (self.started, self.is_serving) = (now, false);
    }

    /// Returns false for a server that has taken services over and would be ended by a signal, without them.
    pub(super) fn handles_signals(&self) -> bool {
        self.is_serving || !self.is_successor
    }

    /// Returns true once the server has served.
    pub(super) fn has_served(&self) -> bool {
        self.is_serving
    }

    /// Records that the first server takes services over.
    pub(super) fn succeed(&mut self) {
        self.is_successor = true;
    }

    /// Records that the server serves.
    pub(super) fn serve(&mut self) {
        self.is_serving = true;
    }

    /// Records the end of a server that was killed. Returns the pause before the next one; `None`: too many have
    /// ended before they served.
    pub(super) fn end(&mut self, now: Instant) -> Option<Duration> {
        self.is_successor = true;
        self.failures = if self.is_serving { 0 } else { self.failures + 1 };
        let is_short = now.saturating_duration_since(self.started) < SERVER_GOOD_RUN;
        let doublings = self.short_runs;
        self.short_runs = if is_short { doublings.saturating_add(1) } else { 0 };
        let pause = match doublings {
            0 => Duration::ZERO,
            _ => SERVER_PAUSE_MIN.saturating_mul(1 << (doublings - 1).min(16)).min(SERVER_PAUSE_MAX),
        };
        (self.failures < SERVER_FAILURES).then_some(if is_short { pause } else { Duration::ZERO })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_that_are_killed_have_pauses_between_them() {
        let mut crashes = Crashes::new();
        let mut now = Instant::now();
        let mut end = |lived: Duration| {
            crashes.start(now);
            crashes.is_serving = true;
            now += lived;
            crashes.end(now).unwrap()
        };
        let pauses: Vec<u128> = (0..8).map(|_| end(Duration::ZERO).as_millis()).collect();
        assert_eq!(pauses, [0, 50, 100, 200, 400, 800, 1000, 1000]);
        assert_eq!((end(SERVER_GOOD_RUN), end(Duration::ZERO)), (Duration::ZERO, Duration::ZERO));
    }

    #[test]
    fn servers_that_never_serve_are_given_up() {
        let mut crashes = Crashes::new();
        let ends = |crashes: &mut Crashes| crashes.end(Instant::now()).is_none();
        for _ in 1..SERVER_FAILURES {
            assert!(!ends(&mut crashes));
        }
        crashes.is_serving = true;
        assert!(!ends(&mut crashes));
        crashes.is_serving = false;
        assert_eq!((0..SERVER_FAILURES).map(|_| ends(&mut crashes)).filter(|ends| *ends).count(), 1);
    }
}
