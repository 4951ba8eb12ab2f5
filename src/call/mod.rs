//! Values that pass between a transport and the api: a call, its caller, its outcome.
//!
//! A transport decodes bytes to a [`Call`] and encodes the [`Outcome`]. These types do not depend on the form
//! of the message. A [`PendingCall`] is the outcome of a call that waits for a password check or a command, and
//! a [`Completion`] is the result of that.

mod configuration;
mod failure;
mod operations;
mod outcome;
mod parameters;
mod pending;
mod returned;
mod sessions;
mod slot;
mod stored_log;

use core::time::Duration;

pub use self::configuration::{Change, ConfigurationPage, ConfigurationWork, Unconfirmed, UserName};
pub use self::failure::Failure;
pub use self::operations::{
    LIMITS, OPERATION_EXIT_BYTES, OPERATION_ID_BYTES, OPERATION_TEXT_BYTES, OPERATIONS, Operation,
    OperationEnd, OperationKey, OperationList, OperationState, Operations, USER_OPERATIONS, digest,
    is_visible,
};
pub use self::outcome::{
    BoardStatus, Count, LogPage, Login, Outcome, ServiceDetails, ServiceEntry, ServiceList, ServiceLog,
    ServiceStatus,
};
pub use self::parameters::{ParameterError, Parameters};
pub use self::pending::{
    Audited, CommandOutput, Completion, PasswordVerdict, PendingCall, PendingLogin, PendingPassword,
    Reloaded, Work,
};
pub use self::returned::Returned;
pub use self::sessions::SessionList;
pub use self::slot::{Missing, SlotState};
pub use self::stored_log::{LogSource, StoredPage};
use crate::session::{ClientAddr, KeyHash, PairedId, SessionKey, TokenId, UserId};

/// A call of a function, the same from all transports and forms.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Call<'m> {
    /// Path as sent, never empty: `system.library/services/start`.
    pub path: &'m str,
    /// Parameters, nested ones included.
    pub parameters: &'m Parameters<'m>,
    /// Session id that the call itself contains.
    pub session: Option<&'m str>,
}

impl<'m> Call<'m> {
    /// The value of a parameter; an empty one counts as absent.
    pub fn parameter(&self, key: &str) -> Option<&'m str> {
        self.parameters.get(key).filter(|value| !value.is_empty())
    }
}

/// User of a call, and the proof of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Identity {
    /// A user who logged in.
    Session(SessionKey, UserId),
    /// A program with a token of the configuration file.
    Token(TokenId, UserId),
    /// An administrator at the local socket.
    Local(UserId),
    /// A client with the key of a paired certificate.
    Paired(PairedId, UserId),
}

impl Identity {
    /// The user.
    pub fn user(self) -> UserId {
        match self {
            Self::Session(_, user) | Self::Token(_, user) | Self::Local(user) | Self::Paired(_, user) => user,
        }
    }

    /// The session; the others have none.
    pub fn session(self) -> Option<SessionKey> {
        match self {
            Self::Session(key, _) => Some(key),
            Self::Token(..) | Self::Local(_) | Self::Paired(..) => None,
        }
    }
}

/// Client of a call, and the rights of its connection.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    /// Address of the client.
    pub source: ClientAddr,
    /// Identity that the connection lends to calls without a session of their own.
    pub bound: Option<Identity>,
    /// Identity of calls without any session: that of an administrator at the local socket, or of a paired certificate.
    pub lent: Option<Identity>,
    /// Public key of the certificate of the client.
    pub key: Option<KeyHash>,
    /// Time at which the connection was opened.
    pub opened: Duration,
    /// The connection came over an address that an unconfirmed change has opened.
    pub is_beside: bool,
    /// Only administrators are served: the server is at capacity.
    pub admins_only: bool,
    /// The call may change something: it is not a `GET`.
    pub may_change: bool,
    /// The client receives the outcome.
    pub is_answered: bool,
}
