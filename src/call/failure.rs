//! Reasons for refusing a call.

use crate::service::{LastExit, Program, Spec};

/// Reason for refusing a call, or for its failure.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Failure<'a> {
    /// No session in the call.
    MissingSession,
    /// An id that no session has.
    UnknownSession {
        /// The id as received.
        given: &'a str,
    },
    /// The user lacks the right.
    NotAllowed,
    /// No service named.
    NoServiceName,
    /// No service of that name.
    UnknownService,
    /// No library of that name: the path does not begin with `system.library`.
    UnknownLibrary,
    /// No function of that name.
    UnknownFunction,
    /// A call that changes something was a `GET`, or an event that is not answered.
    NotPost,
    /// A wrong password of the caller's own, or too many of them.
    Blocked {
        /// End of the block in seconds of Unix time; 0 when there is none.
        until_s: u64,
    },
    /// A login with a wrong user or password, or during a block.
    LoginRefused {
        /// The login names a device, as clients since 2021 do.
        has_device: bool,
        /// End of the block in seconds of Unix time; 0 when there is none.
        until_s: u64,
    },
    /// A login without a user name or a password.
    MissingCredentials {
        /// The login names a device, as clients since 2021 do.
        has_device: bool,
    },
    /// The session to resume does not exist.
    CannotResume,
    /// No user of that name.
    UnknownUser,
    /// A parameter is missing.
    MissingParameters {
        /// Names of the missing parameters, separated by commas.
        names: &'a str,
    },
    /// A fixed table is full.
    TableFull,
    /// The function was tried and failed.
    Failed {
        /// Name of the function: `start`.
        function: &'a str,
        /// Its result, usually an error number of the system.
        result: i32,
    },
    /// A program could not be started, or exited at once.
    NotStarted {
        /// Name of the function: `start`.
        function: &'a str,
        /// Service of the program.
        spec: &'a Spec,
        /// Program that was started.
        program: Program,
        /// Error of the start, or the exit.
        end: LastExit,
        /// Last lines of its output.
        output: &'a [u8],
    },
    /// A change is refused: everything stays as it is.
    Unchanged {
        /// Name of the function: `reload`.
        function: &'a str,
        /// Errors of the configuration file, what the new program says, ..
        reason: &'a str,
    },
    /// A change is in force, but a restart of the server takes it back: it is not on the disk.
    NotStored {
        /// Name of the function: `end`.
        function: &'a str,
        /// Error number of the system.
        result: i32,
    },
    /// An internal error; the log has the details.
    Internal,
}
