//! When memory goes back to the system.

/// What is known of the pages behind a buffer, or behind several that are used together. Who uses them says
/// so ([`Fresh`](Self::Active)), and somebody looks from time to time.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum IdleTracker {
    /// None of them has been touched since they last went back.
    #[default]
    Released,
    /// They are in use.
    Active,
    /// They have not been used since the last look.
    Idle,
}

impl IdleTracker {
    /// Looks, and tells whether the pages go back now: nothing is in them, and they have not been used since
    /// the look before. A buffer in daily use is left alone.
    pub fn should_release(&mut self, is_empty: bool) -> bool {
        match (*self, is_empty) {
            (Self::Idle, true) => {
                *self = Self::Released;
                true
            }
            (Self::Active, true) => {
                *self = Self::Idle;
                false
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_go_back_at_the_second_idle_look() {
        let mut state = IdleTracker::Released;
        assert!(!state.should_release(true));
        state = IdleTracker::Active;
        assert!(!state.should_release(false));
        assert!(!state.should_release(true));
        assert!(!state.should_release(false));
        assert!(state.should_release(true));
        assert!(!state.should_release(true));
    }

    #[test]
    fn one_in_use_keeps_them() {
        let mut state = IdleTracker::Active;
        for _ in 0..5 {
            assert!(!state.should_release(true));
            state = IdleTracker::Active;
        }
    }
}
