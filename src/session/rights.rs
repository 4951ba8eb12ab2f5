//! Rights of a caller.

use super::{Grants, Token, UserId, UserLevel, Users};

/// Rights of a caller: those of its user, less what its token leaves out.
#[derive(Clone, Copy, Debug)]
pub struct Rights<'a> {
    level: UserLevel,
    /// Services of a user who is not an administrator.
    granted: Option<&'a Grants>,
    token: Option<&'a Token>,
}

impl<'a> Rights<'a> {
    /// No rights.
    pub const NONE: Self = Self { level: UserLevel::Viewer, granted: None, token: None };

    /// The same with a token.
    pub fn with(self, token: &'a Token) -> Self {
        Self { token: Some(token), ..self }
    }

    /// Returns true for an administrator; with a token for some services alone, it is none.
    pub fn is_admin(&self) -> bool {
        self.level == UserLevel::Admin && self.token.is_none_or(|token| token.services.is_all())
    }

    /// Returns true if the caller may change something: a viewer only sees, and so does a token that only reads.
    pub fn may_change(&self) -> bool {
        self.level != UserLevel::Viewer && self.token.is_none_or(|token| !token.reads_only)
    }

    /// Returns true if the caller may change its own account: a viewer may, a token with less than all rights may not.
    pub fn may_change_account(&self) -> bool {
        self.token.is_none_or(|token| !token.is_limited())
    }

    /// Returns true if the caller may see this service, and control it unless it changes nothing: an administrator any,
    /// others the granted ones.
    pub fn may_see(&self, service: &str) -> bool {
        (self.level == UserLevel::Admin || self.granted.is_some_and(|granted| granted.permits(service)))
            && self.token.is_none_or(|token| token.services.permits(service))
    }
}

impl Users {
    /// Rights of a user.
    pub fn rights(&self, id: UserId) -> Rights<'_> {
        let user = self.get(id);
        let level =
            if id.is_local() { UserLevel::Admin } else { user.map_or(UserLevel::Viewer, |user| user.level) };
        Rights { level, granted: user.map(|user| &user.services), token: None }
    }
}

#[cfg(test)]
mod tests {
    use super::super::User;
    use super::*;

    fn grants(names: &[&str]) -> Grants {
        let mut grants = Grants::default();
        names.iter().for_each(|name| grants.push(name).unwrap());
        grants
    }

    fn user(users: &mut Users, level: UserLevel, services: Grants) -> UserId {
        let (name, full_name) = (level.name().try_into().unwrap(), heapless::String::new());
        users.push(User { name, full_name, level, password: None, services }).unwrap()
    }

    #[test]
    fn token_has_no_right_that_its_user_lacks() {
        let mut users = Users::new();
        let admin = user(&mut users, UserLevel::Admin, grants(&[]));
        let ben = user(&mut users, UserLevel::User, grants(&["web", "clock"]));
        let eve = user(&mut users, UserLevel::Viewer, grants(&["web"]));
        let token = |reads_only, services| Token { reads_only, services, ..Token::new(admin, [0; 32]) };
        // Administrator, may change, may change the account, sees web, sees clock.
        let rights = |user, token: &Token| {
            let rights = users.rights(user).with(token);
            let sees = ["web", "clock"].map(|name| rights.may_see(name));
            [rights.is_admin(), rights.may_change(), rights.may_change_account(), sees[0], sees[1]]
                .map(u8::from)
        };
        let [all, reads] = [false, true].map(|reads_only| token(reads_only, Grants::all()));
        let [web, other, nothing] = [&["web"][..], &["x"], &[]].map(|names| token(false, grants(names)));
        assert_eq!(rights(admin, &all), [1, 1, 1, 1, 1]);
        assert_eq!(rights(admin, &reads), [1, 0, 0, 1, 1]);
        assert_eq!(rights(admin, &web), [0, 1, 0, 1, 0]);
        assert_eq!(rights(admin, &nothing), [0, 1, 0, 0, 0]);
        assert_eq!(rights(ben, &all), [0, 1, 1, 1, 1]);
        assert_eq!(rights(ben, &reads), [0, 0, 0, 1, 1]);
        assert_eq!(rights(ben, &web), [0, 1, 0, 1, 0]);
        assert_eq!(rights(ben, &other), [0, 1, 0, 0, 0]);
        assert_eq!(rights(eve, &all), [0, 0, 1, 1, 0]);
        assert_eq!(rights(eve, &token(true, grants(&["clock"]))), [0, 0, 0, 0, 0]);
        assert!(!Rights::NONE.is_admin() && !Rights::NONE.may_change() && !Rights::NONE.may_see("web"));
    }
}
