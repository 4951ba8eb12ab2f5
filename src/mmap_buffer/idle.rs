//! Idle detection for buffers, to decide when to release their pages.

/// Activity of a buffer, or of several that are used together. Every use sets
/// [`Active`](Self::Active); [`should_release`](Self::should_release) is called from time to time.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum IdleTracker {
    /// No page was touched since the last release.
    #[default]
    Released,
    /// A page was used since the last call.
    Active,
    /// No page was used since the last call.
    Idle,
}

impl IdleTracker {
    /// Returns true if the pages are to be released now: they are empty, and were not used since the last
    /// call. A buffer in regular use keeps them.
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
    fn pages_are_released_at_the_second_idle_call() {
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
    fn buffer_in_use_keeps_its_pages() {
        let mut state = IdleTracker::Active;
        for _ in 0..5 {
            assert!(!state.should_release(true));
            state = IdleTracker::Active;
        }
    }
}
