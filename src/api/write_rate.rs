//! Bound on the writes of each user: flash wears out.

use core::time::Duration;

use super::{USER_WRITE_PAUSE, USER_WRITES};
use crate::limits::USERS;
use crate::session::UserId;

/// Writes of each user, by the time at which a user would have used all of them up in even steps.
#[derive(Debug)]
pub(super) struct WriteRate([Duration; USERS]);

impl WriteRate {
    pub(super) fn new() -> Self {
        Self([Duration::ZERO; USERS])
    }

    /// Returns true if the user may write. An administrator at the local socket always may.
    pub(super) fn permits(&self, user: UserId, now: Duration) -> bool {
        let used = self.0.get(user.index());
        used.is_none_or(|used| used.saturating_sub(now) <= USER_WRITE_PAUSE * (USER_WRITES - 1))
    }

    /// Counts a write.
    pub(super) fn count(&mut self, user: UserId, now: Duration) {
        if let Some(used) = self.0.get_mut(user.index()) {
            *used = now.max(*used) + USER_WRITE_PAUSE;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{Grants, User, UserLevel, Users};

    #[test]
    fn user_writes_up_to_the_limit_and_then_at_intervals() {
        let mut users = Users::new();
        let [anna, ben] = ["anna", "ben"].map(|name| {
            let (full_name, level) = (heapless::String::new(), UserLevel::User);
            let name = name.try_into().unwrap();
            users.push(User { name, full_name, level, password: None, services: Grants::default() }).unwrap()
        });
        let mut rate = WriteRate::new();
        let mut now = Duration::from_secs(1000);
        for _ in 0..USER_WRITES {
            assert!(rate.permits(anna, now));
            rate.count(anna, now);
        }
        assert!(!rate.permits(anna, now) && rate.permits(ben, now) && rate.permits(UserId::LOCAL_ROOT, now));
        rate.count(UserId::LOCAL_ROOT, now);
        for _ in 0..3 {
            now += USER_WRITE_PAUSE - Duration::from_nanos(1);
            assert!(!rate.permits(anna, now));
            now += Duration::from_nanos(1);
            assert!(rate.permits(anna, now));
            rate.count(anna, now);
        }
        now += USER_WRITE_PAUSE * USER_WRITES;
        for _ in 0..USER_WRITES {
            assert!(rate.permits(anna, now));
            rate.count(anna, now);
        }
        assert!(!rate.permits(anna, now));
    }
}
