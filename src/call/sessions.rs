//! List of sessions.

use core::time::Duration;

use crate::session::{PairedId, PairedKey, Pairing, Session, SessionKey, SessionTable, UserId, Users};

/// Sessions of one user, or of all.
#[derive(Clone, Copy, Debug)]
pub struct SessionList<'a> {
    /// The sessions of all users.
    pub sessions: &'a SessionTable,
    /// The paired keys of all users.
    pub pairing: &'a Pairing,
    /// All users.
    pub users: &'a Users,
    /// User of the sessions; `None`: of all.
    pub user: Option<UserId>,
    /// Session of the caller.
    pub own: Option<SessionKey>,
    /// Key of the caller.
    pub own_key: Option<PairedId>,
    /// Time since the start of the server.
    pub now: Duration,
}

impl<'a> SessionList<'a> {
    /// The sessions, each with whether it is that of the caller.
    pub fn entries(self) -> impl Iterator<Item = (&'a Session, bool)> {
        let is_listed = move |session: &Session| self.user.is_none_or(|user| session.user == user);
        let sessions = self.sessions.iter().filter(move |(_, session)| is_listed(session));
        sessions.map(move |(key, session)| (session, Some(key) == self.own))
    }

    /// User of the open window for a certificate, and the begin of the only key that it accepts; both may be empty.
    pub fn window(self) -> (&'a str, &'a str) {
        let window = self.pairing.window(self.now).map(|(user, _)| user);
        let window = window.filter(|window| self.user.is_none_or(|user| user == *window));
        window.map_or(("", ""), |user| (self.users.name(user), self.pairing.only(self.now)))
    }

    /// The paired keys, each with whether it is that of the caller.
    pub fn keys(self) -> impl Iterator<Item = (&'a PairedKey, bool)> {
        let user = self.user.map(|user| self.users.name(user));
        let keys = self.pairing.iter().filter(move |(_, key)| user.is_none_or(|user| key.user == user));
        keys.map(move |(id, key)| (key, Some(id) == self.own_key))
    }
}
