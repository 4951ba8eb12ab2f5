//! When a service that exited is started again.

use core::time::Duration;

use super::Exit;
use crate::service::{GOOD_RUN, RESTART_DELAY_MAX, RESTART_DELAY_MIN};

/// What to do when a service exits by itself. After a stop nothing is started again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RestartPolicy {
    /// Leave it.
    Never,
    /// Start it again when it exited with another code than 0, or by a signal.
    OnFailure,
    /// Start it again.
    Always,
}

impl RestartPolicy {
    /// The policy of this name in the device file.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "never" => Self::Never,
            "on-failure" => Self::OnFailure,
            "always" => Self::Always,
            _ => return None,
        })
    }

    /// Name in the device file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::OnFailure => "on-failure",
            Self::Always => "always",
        }
    }

    /// Whether a service that ended so is to be started again.
    pub fn applies(self, exit: Exit) -> bool {
        match self {
            Self::Never => false,
            Self::OnFailure => !exit.is_success(),
            Self::Always => true,
        }
    }
}

/// The growing pause before a restart: `RESTART_DELAY_MIN`, doubled by every short run up to
/// `RESTART_DELAY_MAX`.
#[derive(Clone, Copy, Debug)]
pub struct BackOff {
    next: Duration,
}

impl BackOff {
    /// The shortest pause is next.
    #[expect(clippy::new_without_default, reason = "it is made where its owner is, and nowhere by default")]
    pub const fn new() -> Self {
        Self { next: RESTART_DELAY_MIN }
    }

    /// The pause after a run of this length.
    pub fn after(&mut self, run: Duration) -> Duration {
        if run >= GOOD_RUN {
            *self = Self::new();
        }
        let delay = self.next;
        self.next = (delay * 2).min(RESTART_DELAY_MAX);
        delay
    }
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
        let answers = |policy: RestartPolicy| exits.map(|exit| policy.applies(exit));
        assert_eq!(answers(RestartPolicy::Never), [false, false, false]);
        assert_eq!(answers(RestartPolicy::OnFailure), [false, true, true]);
        assert_eq!(answers(RestartPolicy::Always), [true, true, true]);
    }

    #[test]
    fn pause_doubles_up_to_its_limit() {
        let mut back_off = BackOff::new();
        let pauses = [(); 9].map(|()| back_off.after(Duration::ZERO).as_millis());
        assert_eq!(pauses, [500, 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000]);
        assert_eq!((RESTART_DELAY_MIN.as_millis(), RESTART_DELAY_MAX.as_millis()), (500, 60000));
    }

    #[test]
    fn good_run_makes_it_short_again() {
        let mut back_off = BackOff::new();
        back_off.after(Duration::ZERO);
        back_off.after(GOOD_RUN - Duration::from_millis(1));
        assert_eq!(back_off.after(GOOD_RUN), RESTART_DELAY_MIN);
        assert_eq!(back_off.after(Duration::ZERO), RESTART_DELAY_MIN * 2);
    }
}
