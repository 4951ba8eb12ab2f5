//! What passes between connections and the desk: who asks, and what becomes of it.

use heapless::String;

use crate::limits::{DEVICE_ID_BYTES, USER_NAME_BYTES};
use crate::session::{SALT_BYTES, SessionKey, Source, UserId};

/// Who a session belongs to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Identity {
    /// Somebody who logged in.
    Session(SessionKey, UserId),
    /// A program with a token of the device file.
    Token(UserId),
}

impl Identity {
    pub(super) fn user(self) -> UserId {
        match self {
            Self::Session(_, user) | Self::Token(user) => user,
        }
    }
}

/// Where a call comes from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller {
    pub(super) source: Source,
    /// Who the socket is bound to.
    pub(super) bound: Option<Identity>,
    /// Whether only an administrator is served.
    pub(super) admins_only: bool,
    /// Whether the call came in a way that a login may: its password in no URL, its answer waited for.
    /// What ends the board has to come so, too.
    pub(super) may_log_in: bool,
}

/// What becomes of a call.
#[derive(Debug)]
pub(super) enum Answer {
    /// The desk's [`content`](super::desk::Desk::content) is the answer, over HTTP with this status.
    Content { status: u16 },
    /// There is none.
    Silence,
    /// There is no such library.
    UnknownLibrary,
    /// The answer comes later, under this ticket.
    Pending { ticket: u64, job: Job },
    /// Only administrators are served now.
    HouseFull,
}

/// What an answer waits for.
#[derive(Debug)]
pub(super) enum Job {
    Login(LoginJob),
    Change(ChangeJob),
    Command,
}

impl Job {
    /// The function that waits for it.
    pub(super) fn function(&self) -> &'static str {
        match self {
            Self::Login(_) => "login",
            Self::Change(_) => super::password::FUNCTION,
            Self::Command => "command",
        }
    }
}

/// A login whose password is being checked.
#[derive(Debug)]
pub(super) struct LoginJob {
    pub(super) user: Option<UserId>,
    /// Of the password that it is checked against.
    pub(super) salt: [u8; SALT_BYTES],
    pub(super) name: String<USER_NAME_BYTES>,
    pub(super) device: Option<String<DEVICE_ID_BYTES>>,
    pub(super) source: Source,
    pub(super) admins_only: bool,
}

/// A password that is being changed.
#[derive(Debug)]
pub(super) struct ChangeJob {
    /// Whose it is.
    pub(super) user: UserId,
    /// Who asked for it.
    pub(super) by: UserId,
    /// In which session; None: with a token.
    pub(super) asker: Option<SessionKey>,
    /// Of the old password, where it has to be right: it is the user's own.
    pub(super) salt: Option<[u8; SALT_BYTES]>,
    pub(super) source: Source,
}
