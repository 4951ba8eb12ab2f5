//! When memory goes back to the system.

/// What is known of the pages behind a buffer, or behind several that are used together. Who uses them says
/// so ([`Fresh`](Self::Fresh)), and somebody looks from time to time.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Use {
    /// None of them has been touched since they last went back.
    #[default]
    Never,
    /// They are in use.
    Fresh,
    /// They have not been used since the last look.
    Stale,
}

impl Use {
    /// Looks, and tells whether the pages go back now: nothing is in them, and they have not been used since
    /// the look before. A buffer in daily use is left alone.
    pub fn may_rest(&mut self, is_empty: bool) -> bool {
        match (*self, is_empty) {
            (Self::Stale, true) => {
                *self = Self::Never;
                true
            }
            (Self::Fresh, true) => {
                *self = Self::Stale;
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
        let mut state = Use::Never;
        assert!(!state.may_rest(true));
        state = Use::Fresh;
        assert!(!state.may_rest(false));
        assert!(!state.may_rest(true));
        assert!(!state.may_rest(false));
        assert!(state.may_rest(true));
        assert!(!state.may_rest(true));
    }

    #[test]
    fn one_in_use_keeps_them() {
        let mut state = Use::Fresh;
        for _ in 0..5 {
            assert!(!state.may_rest(true));
            state = Use::Fresh;
        }
    }
}
