//! The identities of one connection.

use core::time::Duration;

use super::{ADMINISTRATOR_TIMEOUT, Admission, SESSION_TIMEOUT};
use crate::call::Identity;
use crate::session::SessionKey;

/// The identities of one connection.
#[derive(Debug, Default)]
pub(super) struct Auth {
    /// Identity that the socket is bound to: it receives every push.
    pub(super) bound: Option<Identity>,
    /// Identity of the session received last while one was due.
    identity: Option<Identity>,
    /// Deadline for a valid session; `None` after one, and without a socket.
    deadline: Option<Duration>,
}

impl Auth {
    /// Deadline for a valid session.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.deadline
    }

    /// No valid session was received yet.
    pub(super) fn is_due(&self) -> bool {
        self.deadline.is_some()
    }

    /// Accepts the identity of a valid session.
    pub(super) fn authenticate(&mut self, identity: Identity) {
        self.deadline = None;
        self.identity = Some(identity);
    }

    /// Asks for a session (again): the connection has the time of its admission for it.
    pub(super) fn deauthenticate(&mut self, admission: Admission, now: Duration) {
        self.identity = None;
        self.deadline = Some(now + auth_timeout(admission));
    }

    /// Gives a connection more time whose password was right: its session is still to come.
    pub(super) fn extend(&mut self, admission: Admission, now: Duration) {
        self.deadline = self.deadline.map(|_| now + auth_timeout(admission));
    }

    /// Gives up waiting for a session.
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

/// Time for a socket to present a valid session.
fn auth_timeout(admission: Admission) -> Duration {
    match admission {
        Admission::Open => SESSION_TIMEOUT,
        Admission::Administrators | Admission::Overflow => ADMINISTRATOR_TIMEOUT,
    }
}
