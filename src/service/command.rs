//! Commands that a service accepts.

use core::fmt;

use super::{Arguments, LastExit, Name, Scope, Signal, SpawnError};

/// Verb of the services API that changes a service.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verb {
    /// Start the process, or resume it after a pause.
    Start,
    /// Terminate the process group.
    Stop,
    /// Terminate the process group if it runs, then start it.
    Restart,
    /// Suspend the process group (`SIGSTOP`).
    Pause,
    /// Enable: start the service with the server from now on.
    Install,
    /// Disable: no longer start the service with the server.
    Uninstall,
}

impl Verb {
    /// Every verb.
    pub const ALL: [Self; 6] =
        [Self::Start, Self::Stop, Self::Restart, Self::Pause, Self::Install, Self::Uninstall];

    /// Returns the verb with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verb| verb.name() == name)
    }

    /// Name in a call's path.
    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Pause => "pause",
            Self::Install => "install",
            Self::Uninstall => "uninstall",
        }
    }
}

/// Reason why a command failed. The service is unchanged, except after [`Spawn`](Self::Spawn) and
/// [`Exited`](Self::Exited), when its restart policy decides.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CommandError {
    /// The service does not exist.
    Unknown,
    /// The service has no running process to pause or signal, or was stopped before it started.
    NotRunning,
    /// The program cannot be started.
    Spawn(SpawnError),
    /// The process failed within `START_SETTLE` of its start.
    Exited(LastExit),
    /// The new `enabled` setting could not be written, with the error number of the system.
    Persist(i32),
    /// The server is shutting down.
    ShuttingDown,
    /// Earlier actions are still pending; try again.
    Busy,
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("no such service"),
            Self::NotRunning => f.write_str("not running"),
            Self::Spawn(error) => error.fmt(f),
            Self::Exited(exit) => write!(f, "ended right after its start: {exit}"),
            Self::Persist(_) => f.write_str("cannot write the setting"),
            Self::ShuttingDown => f.write_str("the server is ending"),
            Self::Busy => f.write_str("busy"),
        }
    }
}

impl core::error::Error for CommandError {}

/// Command that the configuration file defines for one service.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NamedCommand {
    /// Name in the call.
    pub name: Name,
    /// Action it runs.
    pub action: CommandAction,
}

/// Action of a [`NamedCommand`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum CommandAction {
    /// Sends a signal to the service.
    Signal {
        /// Signal to send.
        signal: Signal,
        /// Receivers.
        scope: Scope,
    },
    /// Runs a program and returns its output.
    Argv(Arguments),
}

#[cfg(test)]
mod tests {
    use super::super::SpawnStage;
    use super::*;

    #[test]
    fn verbs_by_name() {
        for verb in Verb::ALL {
            assert_eq!(Verb::from_name(verb.name()), Some(verb));
        }
        for name in ["", "Start", "list", "status"] {
            assert_eq!(Verb::from_name(name), None, "{name}");
        }
    }

    #[test]
    fn errors_are_small_and_name_the_reason() {
        assert!(size_of::<CommandError>() <= 12);
        let error = SpawnError::new(SpawnStage::Program, 2);
        assert_eq!(
            CommandError::Spawn(error).to_string(),
            "cannot start: No such file or directory (errno 2)"
        );
        let exit = CommandError::Exited(LastExit::Code(1));
        assert_eq!(exit.to_string(), "ended right after its start: exit 1");
    }
}
