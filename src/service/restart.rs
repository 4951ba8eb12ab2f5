//! Restart policy and back-off.

use core::time::Duration;

use super::{GOOD_RUN, RESTART_DELAY_MAX, RESTART_DELAY_MIN, RESTART_JITTER_PERCENT};

/// Reaction to an exit that no stop requested. A stopped service is never restarted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RestartPolicy {
    /// Do not restart.
    Never,
    /// Restart after an exit without success, after a signal, and after a failed start.
    OnFailure,
    /// Restart after every exit and after a failed start.
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

    /// Returns true if the policy restarts a service after an end with or without success.
    pub fn applies(self, is_success: bool) -> bool {
        match self {
            Self::Never => false,
            Self::OnFailure => !is_success,
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

/// Generator of the jitter of delays: SplitMix64. Services that failed together do not start together.
#[derive(Clone, Debug)]
pub(super) struct Jitter {
    /// `None`: delays are exact.
    state: Option<u64>,
}

impl Jitter {
    /// Generator without jitter.
    pub(super) const NONE: Self = Self { state: None };

    pub(super) fn new(seed: u64) -> Self {
        Self { state: Some(seed) }
    }

    /// Returns a delay that differs by at most `RESTART_JITTER_PERCENT`.
    pub(super) fn apply(&mut self, delay: Duration) -> Duration {
        if self.state.is_none() {
            return delay;
        }
        let most = delay * RESTART_JITTER_PERCENT / 100;
        delay - most + self.up_to(most * 2)
    }

    /// Returns a random time up to `most`; zero without a seed.
    pub(super) fn up_to(&mut self, most: Duration) -> Duration {
        let Some(state) = &mut self.state else { return Duration::ZERO };
        *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = *state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        // In thousandths, so that the product fits.
        most * u32::try_from(mixed % 1001).unwrap_or(0) / 1000
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
    fn policy_by_success() {
        let restarts = |policy: RestartPolicy| [true, false].map(|is_success| policy.applies(is_success));
        assert_eq!(restarts(RestartPolicy::Never), [false, false]);
        assert_eq!(restarts(RestartPolicy::OnFailure), [false, true]);
        assert_eq!(restarts(RestartPolicy::Always), [true, true]);
    }

    #[test]
    fn jitter_stays_within_its_limit_and_repeats_with_its_seed() {
        for delay in [RESTART_DELAY_MIN, RESTART_DELAY_MAX] {
            let most = delay * RESTART_JITTER_PERCENT / 100;
            let mut jitter = Jitter::new(7);
            let delays = [(); 1000].map(|()| jitter.apply(delay));
            assert!(delays.iter().all(|jittered| (delay - most..=delay + most).contains(jittered)));
            assert!(delays.iter().any(|jittered| *jittered < delay - most * 9 / 10));
            assert!(delays.iter().any(|jittered| *jittered > delay + most * 9 / 10));
            let mut again = Jitter::new(7);
            assert_eq!(delays, [(); 1000].map(|()| again.apply(delay)));
        }
        let mut none = Jitter::NONE;
        assert_eq!(none.apply(RESTART_DELAY_MIN), RESTART_DELAY_MIN);
    }

    #[test]
    fn numbers_are_those_of_splitmix64() {
        // The first ones of the seed 1234567, by 1001: 6457827717110365317, 3203168211198807973, ..
        let mut jitter = Jitter::new(1_234_567);
        let numbers = [(); 5].map(|()| jitter.up_to(Duration::from_millis(1000)).as_millis());
        assert_eq!(numbers, [722, 121, 3, 738, 727]);
    }

    #[test]
    fn delay_doubles_up_to_its_limit() {
        let mut back_off = BackOff::new();
        let delays = [(); 9].map(|()| back_off.after(Duration::ZERO).as_millis());
        assert_eq!(delays, [500, 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000]);
        assert_eq!((RESTART_DELAY_MIN.as_millis(), RESTART_DELAY_MAX.as_millis()), (500, 60000));
    }

    #[test]
    fn delays_with_jitter_differ_by_at_most_a_tenth() {
        let ranges = [
            450..=550,
            900..=1100,
            1800..=2200,
            3600..=4400,
            7200..=8800,
            14_400..=17_600,
            28_800..=35_200,
            54_000..=66_000,
            54_000..=66_000,
        ];
        for seed in 0..1000 {
            let (mut back_off, mut jitter) = (BackOff::new(), Jitter::new(seed));
            for range in &ranges {
                let delay = jitter.apply(back_off.after(Duration::ZERO)).as_millis();
                assert!(range.contains(&delay), "seed {seed}: {delay} ms of {range:?}");
            }
        }
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
