//! Calls whose outcome follows later.

use heapless::String;

use super::configuration::{ConfigurationPage, Unconfirmed};
use super::stored_log::StoredPage;
use crate::limits::{DEVICE_ID_BYTES, USER_NAME_BYTES};
use crate::service::{CommandError, Difference, Program, ServiceId, SpawnError, Verb};
use crate::session::{ClientAddr, KEY_ID_BYTES, PasswordHash, SALT_BYTES, SessionKey, UserId};

/// A call whose outcome follows. The transport keeps it and passes it to
/// [`api::complete`](crate::api::complete) with the [`Completion`] of the same id.
#[derive(Debug)]
pub struct PendingCall {
    /// Id that the platform returns with the completion.
    pub id: u64,
    /// Data that the outcome needs.
    pub work: Work,
    /// Origin of a change, for the audit trail.
    pub audited: Option<Audited>,
}

/// Origin of a change, for the audit trail.
#[derive(Clone, Copy, Debug)]
pub struct Audited {
    /// Path in the table of calls.
    pub path: &'static [&'static str],
    /// User of the call.
    pub user: UserId,
    /// Address of the client.
    pub source: ClientAddr,
}

/// Long work, with the data of its outcome.
#[derive(Debug)]
pub enum Work {
    /// A password check of a login.
    Login(PendingLogin),
    /// A password check and the hash of a new password.
    Password(PendingPassword),
    /// A named command.
    Command {
        /// Service of the command.
        service: ServiceId,
        /// Its program.
        program: Program,
    },
    /// The start of a service, which settles when its process has run for a short time, or a setting of a
    /// service that is written to the disk.
    Verb {
        /// The verb.
        verb: Verb,
        /// The service.
        service: ServiceId,
    },
    /// A new password that is written to the disk.
    StoredPassword {
        /// User whose password it is.
        user: UserId,
    },
    /// Paired keys that are written to the disk.
    Pairing {
        /// Public id of the key that is new, or ended.
        key: String<KEY_ID_BYTES>,
        /// User of a new one.
        user: Option<UserId>,
    },
    /// The configuration file is read again.
    Reload,
    /// The configuration file is shown, or another one is read for a trial.
    Configuration,
    /// The changed configuration file is written.
    Confirm,
    /// Another program is tried.
    Upgrade,
    /// A file of the log is read.
    StoredLog,
}

impl PendingCall {
    /// A call that is not in the audit trail.
    pub fn new(id: u64, work: Work) -> Self {
        Self { id, work, audited: None }
    }

    /// Returns true for a call that waits for the start of this service.
    pub fn waits_for(&self, service: ServiceId) -> bool {
        let starts = |verb| matches!(verb, Verb::Start | Verb::Restart);
        matches!(self.work, Work::Verb { service: waited, verb } if waited == service && starts(verb))
    }

    /// Service of the call; those about the board have none.
    pub fn service(&self) -> Option<ServiceId> {
        match self.work {
            Work::Command { service, .. } | Work::Verb { service, .. } => Some(service),
            _ => None,
        }
    }

    /// The same call once more, for another connection that waits for its end. Calls about credentials have none, and
    /// those that show or change the configuration, whose answers are not kept.
    pub fn copy(&self) -> Option<Self> {
        let work = match self.work {
            Work::Command { service, program } => Work::Command { service, program },
            Work::Verb { verb, service } => Work::Verb { verb, service },
            Work::Reload => Work::Reload,
            Work::Confirm => Work::Confirm,
            Work::Upgrade => Work::Upgrade,
            Work::Login(_)
            | Work::Password(_)
            | Work::StoredPassword { .. }
            | Work::Pairing { .. }
            | Work::Configuration
            | Work::StoredLog => return None,
        };
        Some(Self::new(self.id, work))
    }

    /// Name of the function, as answers report it.
    pub fn function(&self) -> &'static str {
        match self.work {
            Work::Login(_) => "login",
            Work::Password(_) => "updatepassword",
            Work::Command { .. } => "command",
            Work::Verb { verb, .. } => verb.name(),
            Work::StoredPassword { .. } => "updatepassword",
            Work::Pairing { user: Some(_), .. } => "pair",
            Work::Pairing { user: None, .. } => "end",
            Work::Reload => "reload",
            Work::Configuration => "configuration",
            Work::Confirm => "confirm",
            Work::Upgrade => "upgrade",
            Work::StoredLog => "log",
        }
    }
}

/// A login during its password check.
#[derive(Debug)]
pub struct PendingLogin {
    /// The user; `None` where no user has the name.
    pub user: Option<UserId>,
    /// Salt of the password that is checked.
    pub salt: [u8; SALT_BYTES],
    /// Name as sent.
    pub name: String<USER_NAME_BYTES>,
    /// Device as sent.
    pub device: Option<String<DEVICE_ID_BYTES>>,
    /// Address of the client.
    pub source: ClientAddr,
    /// Only administrators are served.
    pub admins_only: bool,
}

/// A change of a password during its check.
#[derive(Debug)]
pub struct PendingPassword {
    /// User whose password changes.
    pub user: UserId,
    /// User who changes it.
    pub by: UserId,
    /// Session of the change; `None` with a token.
    pub session: Option<SessionKey>,
    /// Salt of the old password; only for a change of the user's own password.
    pub salt: Option<[u8; SALT_BYTES]>,
    /// Address of the client.
    pub source: ClientAddr,
}

/// Result of a password check, or of making a password.
#[derive(Clone, Debug, PartialEq)]
pub enum PasswordVerdict {
    /// A wrong password.
    Wrong,
    /// The right password.
    Right,
    /// The old password, if checked, is right; this is the new one.
    Made(PasswordHash),
}

/// End of a named command.
#[derive(Clone, Copy, Debug)]
pub struct CommandOutput<'a> {
    /// `exit 0`, `signal 9` or `timed out`.
    pub exit: &'a str,
    /// First bytes of the output, up to the limit.
    pub output: &'a [u8],
    /// There was more output.
    pub is_cut: bool,
}

/// Effect of a reload.
#[derive(Clone, Copy, Debug)]
pub struct Reloaded<'a> {
    /// Services that differ.
    pub difference: &'a Difference,
    /// Keys that have an effect only after a restart of the server.
    pub needs_restart: &'a [&'static str],
    /// Nothing has changed: it was a trial.
    pub is_trial: bool,
    /// It is in force until it is confirmed.
    pub unconfirmed: Option<Unconfirmed>,
}

/// End of the work of a [`PendingCall`].
#[derive(Clone, Debug)]
pub enum Completion<'a> {
    /// A password was checked or made.
    Password(PasswordVerdict),
    /// A named command ended.
    Command(CommandOutput<'a>),
    /// The program of a named command could not be started.
    NotStarted(SpawnError),
    /// The start of a service has settled.
    Settled(Result<(), CommandError>),
    /// A write to the disk has ended; or failed with this error number of the system, and the old content is in force.
    Written(Result<(), i32>),
    /// The configuration file was read, and is in force unless it was a trial; or its errors.
    Reloaded(Result<Reloaded<'a>, &'a str>),
    /// Text of the configuration file.
    Shown(ConfigurationPage<'a>),
    /// The changed configuration file is written; or the error of that.
    Confirmed(Result<(), &'a str>),
    /// Another program takes over; or what speaks against it.
    Upgraded(Result<(), &'a str>),
    /// A file of the log was read; or the error number of the system.
    StoredLog(Result<StoredPage<'a>, i32>),
    /// The work did not end within [`ANSWER_TIMEOUT`](crate::connection::ANSWER_TIMEOUT).
    TimedOut,
}
