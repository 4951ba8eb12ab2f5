//! Authentication of one connection.

use core::time::Duration;

use super::SESSION_TIMEOUT;
use crate::api::Accounts;
use crate::call::Identity;
use crate::session::SessionKey;

/// Identities of one connection, and the deadline for its authentication.
#[derive(Debug, Default)]
pub(super) struct Auth {
    /// Identity that the socket is bound to: it receives every push.
    pub(super) bound: Option<Identity>,
    /// Identity of the last valid session; `None` while one is required.
    identity: Option<Identity>,
    /// That is an administrator's.
    is_admin: bool,
    /// Deadline for a valid session; `None` after one, and without a socket.
    deadline: Option<Duration>,
}

impl Auth {
    /// Identity of the socket, or else of the last valid session.
    pub(super) fn identity(&self) -> Option<Identity> {
        self.bound.or(self.identity)
    }

    /// Deadline for a valid session.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.deadline
    }

    /// Returns true until a valid session is received.
    pub(super) fn is_due(&self) -> bool {
        self.deadline.is_some()
    }

    /// Returns true if the last valid session was an administrator's.
    pub(super) fn is_admin(&self) -> bool {
        self.is_admin
    }

    /// Accepts the identity of a valid session.
    pub(super) fn authenticate(&mut self, identity: Identity, accounts: &Accounts) {
        self.deadline = None;
        self.identity = Some(identity);
        self.is_admin = accounts.is_admin(identity);
    }

    /// Removes the identity. A socket has to present a valid session in time.
    pub(super) fn deauthenticate(&mut self, is_socket: bool, now: Duration) {
        (self.identity, self.is_admin) = (None, false);
        self.deadline = is_socket.then(|| now + SESSION_TIMEOUT);
    }

    /// Extends the deadline of a connection after a right password: its session follows.
    pub(super) fn extend(&mut self, now: Duration) {
        self.deadline = self.deadline.map(|_| now + SESSION_TIMEOUT);
    }

    /// Removes the deadline for a session.
    pub(super) fn stop_waiting(&mut self) {
        self.deadline = None;
    }

    /// Returns true if the socket is bound to this session.
    pub(super) fn is_bound_to(&self, session: SessionKey) -> bool {
        self.bound.and_then(Identity::session) == Some(session)
    }

    /// Returns true if this session authenticated the connection.
    pub(super) fn is_of(&self, session: SessionKey) -> bool {
        self.identity.and_then(Identity::session) == Some(session)
    }
}
