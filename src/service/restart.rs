//! Restart policy and back-off.

use core::time::Duration;

use super::{Exit, GOOD_RUN, RESTART_DELAY_MAX, RESTART_DELAY_MIN};

/// Reaction to an exit that no stop requested. A stopped service is never restarted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RestartPolicy {
    /// Do not restart.
    Never,
    /// Restart after an exit code other than 0, or after a signal.
    OnFailure,
    /// Restart after every exit.
    Always,
}

impl RestartPolicy {
    /// Returns the policy with this name in the configuration file.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "never" => Self::Never,
            "on-failure" => Self::OnFailure,
            "always" => Self::Always,
            _ => return None,
        })
    }

    /// Name in the configuration file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::OnFailure => "on-failure",
            Self::Always => "always",
        }
    }

    /// Returns true if the policy restarts a service that exited with `exit`.
    pub fn applies(self, exit: Exit) -> bool {
        match self {
            Self::Never => false,
            Self::OnFailure => !exit.is_success(),
            Self::Always => true,
        }
    }
}

/// Exponential back-off before a restart: `RESTART_DELAY_MIN`, doubled by every short run up to
/// `RESTART_DELAY_MAX`.
#[derive(Clone, Copy, Debug)]
pub struct BackOff {
    next: Duration,
}

impl BackOff {
    /// Back-off that starts at the shortest delay.
    #[expect(clippy::new_without_default, reason = "construction is always explicit")]
    pub const fn new() -> Self {
        Self { next: RESTART_DELAY_MIN }
    }

    /// Returns the delay before the next restart, after a run of length `run`.
    pub fn after(&mut self, run: Duration) -> Duration {
        if run >= GOOD_RUN {
            *self = Self::new();
        }
        let delay = self.next;
        self.next = (delay * 2).min(RESTART_DELAY_MAX);
        delay
    }
}

/// Returns true for errors that a later attempt may not meet: a shortage of resources (`EAGAIN`,
/// `ENOMEM`, `ENFILE`, `EMFILE`), or a program that is still being written (`ETXTBSY`).
pub(super) fn is_transient(errno: i32) -> bool {
    [11, 12, 23, 24, 26].contains(&errno)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_by_name() {
        for policy in [RestartPolicy::Never, RestartPolicy::OnFailure, RestartPolicy::Always] {
            assert_eq!(RestartPolicy::from_name(policy.name()), Some(policy));
        }
        assert_eq!(RestartPolicy::from_name("no"), None);
    }

    #[test]
    fn policy_by_exit() {
        let exits = [Exit::Code(0), Exit::Code(1), Exit::Signal(15)];
        let restarts = |policy: RestartPolicy| exits.map(|exit| policy.applies(exit));
        assert_eq!(restarts(RestartPolicy::Never), [false, false, false]);
        assert_eq!(restarts(RestartPolicy::OnFailure), [false, true, true]);
        assert_eq!(restarts(RestartPolicy::Always), [true, true, true]);
    }

    #[test]
    fn delay_doubles_up_to_its_limit() {
        let mut back_off = BackOff::new();
        let delays = [(); 9].map(|()| back_off.after(Duration::ZERO).as_millis());
        assert_eq!(delays, [500, 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000]);
        assert_eq!((RESTART_DELAY_MIN.as_millis(), RESTART_DELAY_MAX.as_millis()), (500, 60000));
    }

    #[test]
    fn good_run_resets_the_delay() {
        let mut back_off = BackOff::new();
        back_off.after(Duration::ZERO);
        back_off.after(GOOD_RUN - Duration::from_millis(1));
        assert_eq!(back_off.after(GOOD_RUN), RESTART_DELAY_MIN);
        assert_eq!(back_off.after(Duration::ZERO), RESTART_DELAY_MIN * 2);
    }
}
