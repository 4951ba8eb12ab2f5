//! Users, tokens and sessions, with the checks of their passwords.

use core::time::Duration;

use heapless::Vec;

use super::Platform;
use crate::call::{Call, Caller, Failure, Identity};
use crate::limits::{PASSWORD_CHECKS, PASSWORD_ROUNDS, SESSIONS, USERS};
use crate::log::{RateLimit, Subject, SubjectLimit, Suppressed};
use crate::session::{
    ClientAddr, KeyHash, Lockout, Pairing, PasswordHash, Rights, SALT_BYTES, SessionKey, SessionTable,
    TokenId, TokenRefusal, Tokens, UserId, Users,
};

/// Users, tokens, sessions and paired keys, with the checks of their passwords.
#[derive(Debug)]
pub(crate) struct Accounts {
    pub(crate) users: Users,
    pub(crate) tokens: Tokens,
    pub(crate) sessions: SessionTable,
    pub(crate) lockout: Lockout,
    pub(crate) pairing: Pairing,
    /// Ended sessions with a pending notification of their sockets.
    ended: Vec<SessionKey, SESSIONS>,
    /// Password checks in progress: the ids of their calls, and the clients.
    checks: Vec<(u64, ClientAddr), PASSWORD_CHECKS>,
    /// Lines about refused logins and calls.
    refusals: RateLimit,
    /// Limits of the records about the sessions of each user, and of other users.
    limits: [SubjectLimit; USERS + 1],
}

impl Accounts {
    pub(crate) fn new(users: Users, tokens: Tokens, sessions: SessionTable, mut lockout: Lockout) -> Self {
        // The user of a session of an earlier server has logged in from its address.
        for (_, session) in sessions.iter() {
            if let Some(source) = session.source {
                lockout.handle_success(users.name(session.user), source, session.opened);
            }
        }
        Self {
            users,
            tokens,
            sessions,
            lockout,
            pairing: Pairing::default(),
            ended: Vec::new(),
            checks: Vec::new(),
            refusals: RateLimit::default(),
            limits: [const { SubjectLimit::new() }; USERS + 1],
        }
    }

    /// Returns the identity of a call: that of its socket, of the session that it contains, or without both
    /// the one that its connection lends.
    pub(super) fn authorise<'a>(
        &mut self,
        call: &Call<'a>,
        caller: &Caller,
        now: Duration,
        platform: &dyn Platform,
    ) -> Result<Identity, Failure<'a>> {
        if let Some(identity) = caller.bound {
            let is_alive = match identity {
                Identity::Session(key, _) => self.sessions.touch(key, now),
                Identity::Token(id, _) => self.refusal(id, platform).is_none(),
                Identity::Local(_) => true,
                Identity::Paired(id, _) => self.pairing.get(id).is_some(),
            };
            // A session that has just ended grants nothing, though its socket is still to be notified.
            if is_alive {
                return Ok(identity);
            }
        }
        let given = call.session.unwrap_or_default();
        let failure =
            if given.is_empty() { Failure::MissingSession } else { Failure::UnknownSession { given } };
        self.identify(given, caller.lent, now, platform).ok_or(failure)
    }

    /// Returns the owner of a session id, or `lent` for an empty one. A look-up counts as activity in the
    /// session.
    pub(crate) fn identify(
        &mut self,
        session: &str,
        lent: Option<Identity>,
        now: Duration,
        platform: &dyn Platform,
    ) -> Option<Identity> {
        if session.is_empty() {
            return lent;
        }
        match self.sessions.find(session, now) {
            Some((key, user)) => Some(Identity::Session(key, user)),
            None => {
                let id = self.tokens.find(session).filter(|id| self.refusal(*id, platform).is_none())?;
                Some(Identity::Token(id, self.tokens.get(id)?.user))
            }
        }
    }

    /// Returns the identity of a client with this key.
    pub(crate) fn of_key(&self, key: &KeyHash) -> Option<Identity> {
        let (id, paired) = self.pairing.find(key)?;
        Some(Identity::Paired(id, self.users.find(&paired.user)?))
    }

    /// Returns the reason for refusing a token now.
    pub(crate) fn refusal(&self, token: TokenId, platform: &dyn Platform) -> Option<TokenRefusal> {
        self.tokens.refusal(token, || platform.time_of_day())
    }

    /// Rights of a caller.
    pub(crate) fn rights(&self, identity: Identity) -> Rights<'_> {
        let rights = self.users.rights(identity.user());
        match identity {
            Identity::Token(id, _) => self.tokens.get(id).map_or(Rights::NONE, |token| rights.with(token)),
            Identity::Session(..) | Identity::Local(_) | Identity::Paired(..) => rights,
        }
    }

    /// Returns true for an administrator.
    pub(crate) fn is_admin(&self, identity: Identity) -> bool {
        self.rights(identity).is_admin()
    }

    /// The user, unless an administrator: one who has a share of what all use.
    pub(crate) fn sharing_user(&self, identity: Identity) -> Option<UserId> {
        (!self.is_admin(identity)).then(|| identity.user())
    }

    /// Name of the identity's user, for the log.
    pub(super) fn name(&self, identity: Identity) -> &str {
        self.users.name(identity.user())
    }

    /// Name of a user as the subject of a record about a session.
    pub(super) fn subject(&self, user: UserId) -> Subject<'_> {
        let [limits @ .., other] = &self.limits;
        limits.get(user.index()).unwrap_or(other).subject(self.users.name(user))
    }

    /// Returns the number of refusals that were not logged since the last one, if this one is to be logged: a client
    /// that guesses must not fill the log.
    pub(super) fn log_refusal(&mut self, now: Duration) -> Option<Suppressed> {
        self.refusals.try_acquire(now)
    }

    /// Marks a session as ended.
    pub(super) fn note_ended(&mut self, key: SessionKey) {
        // Every session fits once, and a second note of the same one changes nothing.
        let noted = self.ended.contains(&key) || self.ended.push(key).is_ok();
        debug_assert!(noted, "more sessions ended than there are");
    }

    /// Ends all sessions of a user but one.
    pub(crate) fn end_sessions(&mut self, user: UserId, but: Option<SessionKey>) {
        for key in self.sessions.close_user(user, but) {
            self.note_ended(key);
        }
    }

    /// Takes the next ended session with a pending notification of its sockets.
    pub(crate) fn next_ended(&mut self) -> Option<SessionKey> {
        self.ended.pop()
    }

    /// Returns true if one more password of this client may be checked. A client has at most as many places of the queue
    /// as are free: alone the half of it, and several share it, so that there is a place for the next one. The last place
    /// is for a known user, one who has logged in from there before.
    pub(super) fn may_check(&self, is_known: bool, source: ClientAddr) -> bool {
        let used = self.checks.len();
        let of_source = self.checks.iter().filter(|(_, other)| *other == source).count();
        of_source + used + 1 < PASSWORD_CHECKS || is_known && used < PASSWORD_CHECKS
    }

    /// Counts the start of a check.
    pub(super) fn begin_check(&mut self, call_id: u64, source: ClientAddr) {
        let counted = self.checks.push((call_id, source)).is_ok();
        debug_assert!(counted, "a check began without `may_check`");
    }

    /// Counts the end of a check, whether its call is still pending or not.
    pub(crate) fn end_check(&mut self, call_id: u64) {
        self.checks.retain(|(other, _)| *other != call_id);
    }

    /// PBKDF2 rounds of a check. The configuration file of another board may contain hashes with a different
    /// number.
    pub(super) fn rounds(&self) -> u32 {
        let passwords = self.users.iter().filter_map(|(id, _)| self.users.password(id));
        passwords.map(PasswordHash::rounds).max().unwrap_or(PASSWORD_ROUNDS as u32)
    }

    /// Returns true if the user still has the password with this salt. Without a check, `salt` is `None`.
    pub(super) fn is_current(&self, user: UserId, salt: Option<[u8; SALT_BYTES]>) -> bool {
        salt.is_none_or(|salt| self.users.password(user).is_some_and(|hash| *hash.salt() == salt))
    }
}
