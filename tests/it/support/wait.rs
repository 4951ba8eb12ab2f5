//! Waiting for something with a deadline.

use std::thread;
use std::time::{Duration, Instant};

/// Timeout of a test for something that is immediate: generous, for the machine may be busy, and an
/// emulated board is slower still.
pub(crate) const SOON: Duration = Duration::from_secs(90);

/// Calls `look` until it finds something; panics with `what` after `timeout`.
#[track_caller]
pub(crate) fn within<T>(timeout: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < timeout, "{what}: not within {timeout:?}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Waits until `is_so`.
#[track_caller]
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    within(SOON, what, || is_so().then_some(()));
}
