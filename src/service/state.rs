//! The states of a service and what leads from one to the next.

use core::fmt;
use core::time::Duration;

/// State of a service as everybody sees it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum State {
    /// No process, and none wanted.
    Stopped,
    /// No process yet; it is about to be started, or waits for its restart.
    Starting,
    /// A process runs.
    Started,
    /// The process was told to end and has not yet.
    Stopping,
    /// The process stands still.
    Paused,
    /// No process: it ended badly or could not be started, and is not restarted.
    Failed,
}

impl State {
    /// The word of `status`, of changes and of the log.
    pub fn word(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Starting => "starting",
            Self::Started => "started",
            Self::Stopping => "stopping",
            Self::Paused => "paused",
            Self::Failed => "failed",
        }
    }

    /// The word of Friend Core's lists, which know three: whether there is a process, and whether
    /// it stands still.
    pub fn api_word(self) -> &'static str {
        match self {
            Self::Stopped | Self::Starting | Self::Failed => "stopped",
            Self::Started | Self::Stopping => "started",
            Self::Paused => "paused",
        }
    }

    /// The same as the number of 2016's lists: 0 stopped, 1 started, 2 paused.
    pub fn api_number(self) -> u8 {
        match self {
            Self::Stopped | Self::Starting | Self::Failed => 0,
            Self::Started | Self::Stopping => 1,
            Self::Paused => 2,
        }
    }
}

/// How a process ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Exit {
    /// It exited with this code.
    Code(i32),
    /// It was ended by this signal.
    Signal(i32),
}

impl Exit {
    /// Whether it ended well: with code 0.
    pub fn is_success(self) -> bool {
        self == Self::Code(0)
    }
}

/// How a service's latest process ended, or why there was none.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum LastExit {
    /// None has ended yet.
    #[default]
    None,
    /// It exited with this code.
    Code(i32),
    /// It was ended by this signal.
    Signal(i32),
    /// It could not be started: the system's reason.
    Spawn(i32),
}

impl From<Exit> for LastExit {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Code(code) => Self::Code(code),
            Exit::Signal(signal) => Self::Signal(signal),
        }
    }
}

impl fmt::Display for LastExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => Ok(()),
            Self::Code(code) => write!(f, "exit {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
            Self::Spawn(errno) => write!(f, "cannot start: errno {errno}"),
        }
    }
}

/// What can be said about a service.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Status {
    /// Its state.
    pub state: State,
    /// Its process, the leader of its process group; 0 when there is none.
    pub pid: u32,
    /// Time in this state.
    pub since: Duration,
    /// How often it was started again since it was last started from stopped or failed.
    pub restarts: u32,
    /// How its latest process ended.
    pub last_exit: LastExit,
    /// Whether it is started with the server.
    pub enabled: bool,
}

/// The supervisor's own, finer state: [`State::Starting`] is two.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(super) enum Phase {
    Stopped,
    Failed,
    /// Waits for its restart.
    Waiting,
    /// The caller was asked for a process and has not answered yet.
    Spawning,
    Started,
    Stopping,
    Paused,
}

impl Phase {
    pub(super) fn state(self) -> State {
        match self {
            Self::Stopped => State::Stopped,
            Self::Failed => State::Failed,
            Self::Waiting | Self::Spawning => State::Starting,
            Self::Started => State::Started,
            Self::Stopping => State::Stopping,
            Self::Paused => State::Paused,
        }
    }

    /// Whether there is a process.
    pub(super) fn is_alive(self) -> bool {
        matches!(self, Self::Started | Self::Stopping | Self::Paused)
    }
}

/// What happens to a service.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(super) enum Event {
    /// The verbs.
    Start,
    Stop,
    Restart,
    Pause,
    /// The process asked for is there.
    Spawned,
    /// The process ended, or could not be started, and is not to be started again: it was done.
    Finished,
    /// The same, but it was not done.
    Broken,
    /// The process ended, or could not be started, and is to be started again.
    Again,
    /// The deadline of the present phase has come.
    Deadline,
}

/// What the supervisor does about it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Step {
    /// Nothing, and that is well.
    Nothing,
    /// Nothing, and the caller is told that no process runs.
    Refuse,
    /// Nothing: it cannot be; the log is told.
    Stray,
    /// Ask for a process and begin to count anew.
    Begin,
    /// Ask for a process again.
    Respawn,
    /// Remember that it is wanted.
    Want,
    /// Remember that it is not wanted.
    Unwant,
    /// The process is there; where it is no longer wanted, end it.
    Run,
    /// Ask the process to end.
    End,
    /// Ask the process to end, and remember that it is wanted again.
    Renew,
    /// Kill what was asked to end.
    Kill,
    /// Let it stand still.
    Suspend,
    /// Let it go on.
    Resume,
    /// It is stopped.
    Settle,
    /// It has failed.
    Fail,
    /// Wait before the restart.
    Wait,
}

/// The one table of what happens when: a row for each phase, a column for each event.
#[rustfmt::skip]
const STEPS: [[Step; 9]; 7] = {
    use Step::*;
    //                Start    Stop     Restart  Pause    Spawned  Finished Broken   Again    Deadline
    [
        /* Stopped  */ [Begin,   Nothing, Begin,   Refuse,  Stray,   Stray,   Stray,   Stray,   Nothing],
        /* Failed   */ [Begin,   Settle,  Begin,   Refuse,  Stray,   Stray,   Stray,   Stray,   Nothing],
        /* Waiting  */ [Respawn, Settle,  Respawn, Refuse,  Stray,   Stray,   Stray,   Stray,   Respawn],
        /* Spawning */ [Want,    Unwant,  Want,    Refuse,  Run,     Settle,  Fail,    Wait,    Nothing],
        /* Started  */ [Nothing, End,     Renew,   Suspend, Stray,   Settle,  Fail,    Wait,    Nothing],
        /* Stopping */ [Want,    Unwant,  Want,    Refuse,  Stray,   Settle,  Settle,  Respawn, Kill],
        /* Paused   */ [Resume,  End,     Renew,   Refuse,  Stray,   Settle,  Fail,    Wait,    Nothing],
    ]
};

pub(super) fn step(phase: Phase, event: Event) -> Step {
    STEPS[phase as usize][event as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_numbers() {
        use State::*;
        let states = [Stopped, Starting, Started, Stopping, Paused, Failed];
        let words = states.map(State::word);
        assert_eq!(words, ["stopped", "starting", "started", "stopping", "paused", "failed"]);
        let words = states.map(State::api_word);
        assert_eq!(words, ["stopped", "stopped", "started", "started", "paused", "stopped"]);
        assert_eq!(states.map(State::api_number), [0, 0, 1, 1, 2, 0]);
    }

    #[test]
    fn last_exit_speaks() {
        assert_eq!(LastExit::None.to_string(), "");
        assert_eq!(LastExit::from(Exit::Code(1)).to_string(), "exit 1");
        assert_eq!(LastExit::from(Exit::Signal(9)).to_string(), "signal 9");
        assert_eq!(LastExit::Spawn(2).to_string(), "cannot start: errno 2");
    }

    #[test]
    fn rows_and_columns_are_where_their_names_say() {
        assert_eq!(step(Phase::Stopped, Event::Start), Step::Begin);
        assert_eq!(step(Phase::Failed, Event::Stop), Step::Settle);
        assert_eq!(step(Phase::Waiting, Event::Deadline), Step::Respawn);
        assert_eq!(step(Phase::Spawning, Event::Spawned), Step::Run);
        assert_eq!(step(Phase::Started, Event::Pause), Step::Suspend);
        assert_eq!(step(Phase::Stopping, Event::Deadline), Step::Kill);
        assert_eq!(step(Phase::Paused, Event::Start), Step::Resume);
    }
}
