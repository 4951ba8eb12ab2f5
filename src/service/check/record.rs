//! State machine of one check.

use core::time::Duration;

use super::{Check, CheckError, CheckState, CheckStatus};

/// Progress of a check.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    /// Nothing to check.
    Off,
    /// The next attempt is due at this time.
    Waiting(Duration),
    /// An attempt is under way since this time.
    UnderWay(Duration),
}

/// Runtime record of one check.
#[derive(Clone, Copy, Debug)]
pub(in crate::service) struct CheckRecord {
    phase: Phase,
    status: CheckStatus,
    /// Number of the latest attempt.
    number: u32,
}

impl CheckRecord {
    /// Record of a check that is off.
    pub(in crate::service) const NEW: Self = Self {
        phase: Phase::Off,
        status: CheckStatus { state: CheckState::Unchecked, failures: 0, error: None },
        number: 0,
    };

    pub(in crate::service) fn status(&self) -> CheckStatus {
        self.status
    }

    /// Begins to check a service, or a server, that has just started. A failing check stays failing until its
    /// first success.
    pub(in crate::service) fn start(&mut self, check: &Check, now: Duration) {
        self.phase = Phase::Waiting(now.saturating_add(check.grace));
        self.status.failures = 0;
    }

    /// Stops checking a service without a process. An attempt under way is abandoned.
    pub(in crate::service) fn suspend(&mut self) {
        self.phase = Phase::Off;
        if self.status.state == CheckState::Healthy {
            self.status.state = CheckState::Unchecked;
        }
    }

    /// Stops checking, and forgets the failures: no process is desired.
    pub(in crate::service) fn reset(&mut self) {
        *self = Self { number: self.number, ..Self::NEW };
    }

    /// Time of the next attempt, unless one is under way.
    pub(in crate::service) fn due(&self) -> Option<Duration> {
        match self.phase {
            Phase::Waiting(due) => Some(due),
            Phase::Off | Phase::UnderWay(_) => None,
        }
    }

    /// Begins an attempt, and returns its number.
    pub(in crate::service) fn begin(&mut self, now: Duration) -> u32 {
        self.phase = Phase::UnderWay(now);
        self.number = self.number.wrapping_add(1);
        self.number
    }

    /// Returns true if the attempt with this number is under way.
    pub(in crate::service) fn is_under_way(&self, number: u32) -> bool {
        self.number == number && matches!(self.phase, Phase::UnderWay(_))
    }

    /// Ends the attempt under way. The next one begins a period after this one, or at once if that has passed.
    pub(in crate::service) fn finish(
        &mut self,
        check: &Check,
        result: Result<(), CheckError>,
        now: Duration,
    ) {
        let Phase::UnderWay(begun) = self.phase else { return };
        self.phase = Phase::Waiting(begun.saturating_add(check.period).max(now));
        let status = &mut self.status;
        status.error = result.err();
        match result {
            Ok(()) => (status.state, status.failures) = (CheckState::Healthy, 0),
            Err(_) => {
                status.failures = status.failures.saturating_add(1);
                if status.failures >= check.limit {
                    status.state = CheckState::Failing;
                }
            }
        }
    }

    /// Number of the attempt under way, if it has taken too long.
    pub(in crate::service) fn late_attempt(&self, check: &Check, now: Duration) -> Option<u32> {
        let is_late = |begun: Duration| begun.saturating_add(check.timeout) <= now;
        matches!(self.phase, Phase::UnderWay(begun) if is_late(begun)).then_some(self.number)
    }

    /// Time at which an attempt is due, or too late.
    pub(in crate::service) fn poll_timeout(&self, check: &Check) -> Option<Duration> {
        match self.phase {
            Phase::Off => None,
            Phase::Waiting(due) => Some(due),
            Phase::UnderWay(begun) => Some(begun.saturating_add(check.timeout)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::CheckKind;
    use super::*;
    use crate::service::Endpoint;

    const REFUSED: Result<(), CheckError> = Err(CheckError::Connect(111));

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Check each 10 s, with 3 s for an attempt, 2 failures and 5 s of grace.
    fn check() -> Check {
        let kind = CheckKind::Connect(Endpoint::tcp("127.0.0.1:80").unwrap());
        Check { period: at(10), timeout: at(3), limit: 2, grace: at(5), ..Check::new("web", kind) }
    }

    /// Record after these attempts from second 5 on, one each period.
    fn after(results: &[Result<(), CheckError>]) -> CheckRecord {
        let mut record = CheckRecord::NEW;
        record.start(&check(), at(0));
        for result in results {
            let due = record.due().unwrap();
            record.begin(due);
            record.finish(&check(), *result, due);
        }
        record
    }

    fn state(record: &CheckRecord) -> (CheckState, u32, bool) {
        let CheckStatus { state, failures, error } = record.status();
        (state, failures, error.is_some())
    }

    #[test]
    fn attempts_begin_after_the_grace_and_each_period() {
        let mut record = CheckRecord::NEW;
        assert_eq!((record.due(), record.poll_timeout(&check())), (None, None));
        record.start(&check(), at(100));
        assert_eq!(record.due(), Some(at(105)));
        record.begin(at(105));
        assert_eq!((record.due(), record.poll_timeout(&check())), (None, Some(at(108))), "one at a time");
        record.finish(&check(), Ok(()), at(107));
        assert_eq!(record.due(), Some(at(115)), "from begin to begin");
    }

    #[test]
    fn limit_of_failures_in_a_row_is_failing_and_one_success_is_healthy() {
        use CheckState::*;
        for (results, expected) in [
            (&[][..], (Unchecked, 0, false)),
            (&[Ok(())], (Healthy, 0, false)),
            (&[REFUSED], (Unchecked, 1, true)),
            (&[Ok(()), REFUSED], (Healthy, 1, true)),
            (&[REFUSED, REFUSED], (Failing, 2, true)),
            (&[REFUSED, Ok(()), REFUSED], (Healthy, 1, true)),
            (&[REFUSED, REFUSED, REFUSED], (Failing, 3, true)),
            (&[REFUSED, REFUSED, Ok(())], (Healthy, 0, false)),
            (&[REFUSED, REFUSED, Ok(()), REFUSED], (Healthy, 1, true)),
        ] {
            assert_eq!(state(&after(results)), expected, "{results:?}");
        }
    }

    #[test]
    fn attempt_is_late_at_its_timeout_and_not_before() {
        let mut record = after(&[]);
        record.begin(at(5));
        assert_eq!(record.late_attempt(&check(), at(8) - Duration::from_millis(1)), None);
        assert_eq!(record.late_attempt(&check(), at(8)), Some(1));
        record.finish(&check(), Err(CheckError::TimedOut), at(8));
        assert_eq!(record.late_attempt(&check(), at(100)), None);
        assert_eq!(record.due(), Some(at(15)));
    }

    #[test]
    fn result_of_an_abandoned_attempt_is_dropped() {
        let mut record = after(&[Ok(())]);
        let first = record.begin(at(15));
        record.suspend();
        assert!(!record.is_under_way(first));
        record.finish(&check(), REFUSED, at(16));
        assert_eq!(state(&record), (CheckState::Unchecked, 0, false));
        record.start(&check(), at(20));
        let second = record.begin(at(25));
        assert!(!record.is_under_way(first) && record.is_under_way(second));
    }

    #[test]
    fn failing_check_stays_failing_over_a_restart_until_a_success_or_a_stop() {
        let mut record = after(&[REFUSED, REFUSED]);
        record.suspend();
        record.start(&check(), at(30));
        assert_eq!(state(&record), (CheckState::Failing, 0, true), "the failures are counted anew");
        record.begin(at(35));
        record.finish(&check(), REFUSED, at(35));
        assert_eq!(state(&record), (CheckState::Failing, 1, true));
        record.begin(at(45));
        record.finish(&check(), Ok(()), at(45));
        assert_eq!(state(&record), (CheckState::Healthy, 0, false));
        let mut record = after(&[REFUSED, REFUSED]);
        record.reset();
        assert_eq!((state(&record), record.due()), ((CheckState::Unchecked, 0, false), None));
        // Its number is another one than those before, whose results may still come.
        assert_eq!(record.begin(at(0)), 3);
    }

    #[test]
    fn clock_that_jumps_causes_one_attempt() {
        let mut record = after(&[Ok(())]);
        assert_eq!(record.due(), Some(at(15)));
        // The loop was suspended for an hour, and so was the attempt.
        record.begin(at(3600));
        assert_eq!(record.late_attempt(&check(), at(7200)), Some(2));
        record.finish(&check(), Err(CheckError::TimedOut), at(7200));
        assert_eq!((record.due(), record.status().failures), (Some(at(7200)), 1), "due once");
        record.begin(at(7200));
        // The monotonic clock never does this.
        record.finish(&check(), Ok(()), at(1));
        assert_eq!(record.due(), Some(at(7210)));
        record.start(&check(), Duration::MAX);
        record.begin(Duration::MAX);
        record.finish(&check(), REFUSED, Duration::MAX);
        assert_eq!(record.due(), Some(Duration::MAX));
    }
}
