//! Values that pass between a transport and the api: a call, its caller, its outcome.

mod parameters;

pub use self::parameters::{ParameterError, Parameters};
use heapless::String;

use crate::limits::{DEVICE_ID_BYTES, USER_NAME_BYTES};
use crate::session::{ClientAddr, SALT_BYTES, SessionKey, UserId};

/// Name of the call that changes a password, in Friend Core's words.
pub(crate) const UPDATE_PASSWORD: &str = "updatepassword";

/// Who a session belongs to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Identity {
    /// Somebody who logged in.
    Session(SessionKey, UserId),
    /// A program with a token of the device file.
    Token(UserId),
}

impl Identity {
    pub(crate) fn user(self) -> UserId {
        match self {
            Self::Session(_, user) | Self::Token(user) => user,
        }
    }
}

/// Where a call comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    pub(crate) source: ClientAddr,
    /// Who the socket is bound to.
    pub(crate) bound: Option<Identity>,
    /// Whether only an administrator is served.
    pub(crate) admins_only: bool,
    /// Whether the call came in a way that a login may: its password in no URL, its answer waited for.
    /// What ends the board has to come so, too.
    pub(crate) may_change: bool,
}

/// What becomes of a call.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The api's [`content`](super::api::Api::content) is the answer, over HTTP with this status.
    Content { status: u16 },
    /// There is none.
    Silence,
    /// There is no such library.
    UnknownLibrary,
    /// The answer comes later, under this call_id.
    Pending { call_id: u64, job: PendingCall },
    /// Only administrators are served now.
    AtCapacity,
}

/// What an answer waits for.
#[derive(Debug)]
pub(crate) enum PendingCall {
    Login(PendingLogin),
    Change(PendingPasswordChange),
    Command,
}

impl PendingCall {
    /// The function that waits for it.
    pub(crate) fn function(&self) -> &'static str {
        match self {
            Self::Login(_) => "login",
            Self::Change(_) => UPDATE_PASSWORD,
            Self::Command => "command",
        }
    }
}

/// A login whose password is being checked.
#[derive(Debug)]
pub(crate) struct PendingLogin {
    pub(crate) user: Option<UserId>,
    /// Of the password that it is checked against.
    pub(crate) salt: [u8; SALT_BYTES],
    pub(crate) name: String<USER_NAME_BYTES>,
    pub(crate) device: Option<String<DEVICE_ID_BYTES>>,
    pub(crate) source: ClientAddr,
    pub(crate) admins_only: bool,
}

/// A password that is being changed.
#[derive(Debug)]
pub(crate) struct PendingPasswordChange {
    /// Whose it is.
    pub(crate) user: UserId,
    /// Who asked for it.
    pub(crate) by: UserId,
    /// In which session; None: with a token.
    pub(crate) asker: Option<SessionKey>,
    /// Of the old password, where it has to be right: it is the user's own.
    pub(crate) salt: Option<[u8; SALT_BYTES]>,
    pub(crate) source: ClientAddr,
}
