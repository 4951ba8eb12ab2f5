//! What a service can be told.

use core::fmt;

use super::{Arguments, Name, Signal};

/// A verb of the services API that changes something.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verb {
    /// Run it; go on after a pause.
    Start,
    /// End it with all of its process group.
    Stop,
    /// End it where it runs, then run it.
    Restart,
    /// Let it stand still (`SIGSTOP`).
    Pause,
    /// Start it with the server from now on.
    Install,
    /// Do not start it with the server from now on.
    Uninstall,
}

impl Verb {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Start, Self::Stop, Self::Restart, Self::Pause, Self::Install, Self::Uninstall];

    /// The verb of this name.
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

/// Why a command was not carried out. Nothing has changed then, but that a start which failed
/// leaves the service failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CommandError {
    /// No such service.
    Unknown,
    /// It has no running process that could be paused or signalled.
    NotRunning,
    /// Its program cannot be started.
    Spawn {
        /// The system's reason.
        errno: i32,
    },
    /// What to start with the server could not be written down.
    Persist,
    /// The server is ending.
    ShuttingDown,
    /// Actions asked for earlier have not been carried out yet; try again.
    Busy,
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("no such service"),
            Self::NotRunning => f.write_str("not running"),
            Self::Spawn { errno } => write!(f, "cannot start: errno {errno}"),
            Self::Persist => f.write_str("cannot be written down"),
            Self::ShuttingDown => f.write_str("the server is ending"),
            Self::Busy => f.write_str("busy"),
        }
    }
}

impl core::error::Error for CommandError {}

/// A command of a service's own, offered under a name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NamedCommand {
    /// Name in the call.
    pub name: Name,
    /// What it does.
    pub what: What,
}

/// What a [`NamedCommand`] does.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "all room is set aside at start, a box would save none")]
pub enum What {
    /// Sends a signal to the service's process group.
    Signal(Signal),
    /// Runs a program; its output is the answer.
    Argv(Arguments),
}

#[cfg(test)]
mod tests {
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
    fn errors_stay_small_and_speak() {
        assert!(size_of::<CommandError>() <= 8);
        assert_eq!(CommandError::Spawn { errno: 2 }.to_string(), "cannot start: errno 2");
    }
}
