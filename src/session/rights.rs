//! Rights of a caller.

use super::{Grants, UserId, UserLevel, Users};

/// Rights of a caller: those of its user.
#[derive(Clone, Copy, Debug)]
pub struct Rights<'a> {
    level: UserLevel,
    /// Services of a user who is not an administrator.
    granted: Option<&'a Grants>,
}

impl Rights<'_> {
    /// Returns true for an administrator.
    pub fn is_admin(&self) -> bool {
        self.level == UserLevel::Admin
    }

    /// Returns true if the caller may change something: a viewer only sees.
    pub fn may_change(&self) -> bool {
        self.level != UserLevel::Viewer
    }

    /// Returns true if the caller may see this service, and control it unless it changes nothing: an administrator any,
    /// others the granted ones.
    pub fn may_see(&self, service: &str) -> bool {
        self.is_admin() || self.granted.is_some_and(|granted| granted.permits(service))
    }
}

impl Users {
    /// Rights of a user.
    pub fn rights(&self, id: UserId) -> Rights<'_> {
        let user = self.get(id);
        let level =
            if id.is_local() { UserLevel::Admin } else { user.map_or(UserLevel::Viewer, |user| user.level) };
        Rights { level, granted: user.map(|user| &user.services) }
    }
}
