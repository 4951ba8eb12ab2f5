//! States of a service and the table of transitions.

use core::fmt;
use core::time::Duration;

use crate::log::Reason;

/// Public state of a service.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum State {
    /// No process, and none desired.
    Stopped,
    /// No process yet: a start or a delayed restart is pending.
    Starting,
    /// The process runs.
    Started,
    /// The stop signal was sent; the process still runs.
    Stopping,
    /// The process is suspended.
    Paused,
    /// No process: it failed or could not be started, and is not restarted.
    Failed,
}

impl State {
    /// Name in `status`, in change notifications and in the log.
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

    /// Name in Friend Core's lists, which distinguish three states: no process, a process, and a
    /// suspended process.
    pub fn api_word(self) -> &'static str {
        match self {
            Self::Stopped | Self::Starting | Self::Failed => "stopped",
            Self::Started | Self::Stopping => "started",
            Self::Paused => "paused",
        }
    }

    /// Number in the lists of the 2016 protocol: 0 stopped, 1 started, 2 paused.
    pub fn api_number(self) -> u8 {
        match self {
            Self::Stopped | Self::Starting | Self::Failed => 0,
            Self::Started | Self::Stopping => 1,
            Self::Paused => 2,
        }
    }
}

/// Exit status of a process.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Exit {
    /// Exit code.
    Code(i32),
    /// Number of the signal that terminated the process.
    Signal(i32),
}

impl Exit {
    /// Returns true for exit code 0.
    pub fn is_success(self) -> bool {
        self == Self::Code(0)
    }
}

/// Exit status of a service's latest process, or the reason why it could not be started.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum LastExit {
    /// No process has exited yet.
    #[default]
    None,
    /// Exit code.
    Code(i32),
    /// Number of the signal that terminated the process.
    Signal(i32),
    /// Error number of the system: the process could not be started.
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
            Self::Spawn(errno) => write!(f, "cannot start: {}", Reason::from(*errno)),
        }
    }
}

/// Status of a service.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Status {
    /// Public state.
    pub state: State,
    /// Process id of the leader of the process group; 0 without a process.
    pub pid: u32,
    /// Time spent in this state.
    pub since: Duration,
    /// Number of restarts since the last start from stopped or failed.
    pub restarts: u32,
    /// Exit status of the latest process.
    pub last_exit: LastExit,
    /// True if the service starts with the server.
    pub enabled: bool,
}

/// Internal state of a service: [`State`] with `Starting` split in two.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(super) enum Phase {
    Stopped,
    Failed,
    /// Waits for the back-off before a restart.
    Waiting,
    /// A spawn was requested and its outcome is not known yet.
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

    /// Returns true if there is a process.
    pub(super) fn is_alive(self) -> bool {
        matches!(self, Self::Started | Self::Stopping | Self::Paused)
    }
}

/// Event that drives the state machine of a service.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(super) enum Event {
    /// Verb `start`.
    Start,
    /// Verb `stop`.
    Stop,
    /// Verb `restart`.
    Restart,
    /// Verb `pause`.
    Pause,
    /// The requested process was started.
    Spawned,
    /// The process exited successfully, or the start was cancelled; no restart is due.
    Exited,
    /// The process failed or could not be started; no restart is due.
    Failed,
    /// The process exited or could not be started; a restart is due.
    RestartDue,
    /// The deadline of the current phase expired.
    Deadline,
}

/// Transition that an event causes in a phase.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Step {
    /// No transition.
    Nothing,
    /// No transition; report that no process runs.
    Refuse,
    /// No transition; log an event that cannot happen in this phase.
    Unexpected,
    /// Spawn, with restart counter and back-off reset.
    Start,
    /// Spawn as a restart.
    Respawn,
    /// Set the flag `wanted`.
    SetWanted,
    /// Clear the flag `wanted`.
    ClearWanted,
    /// Enter `Started`; stop the process if it is no longer wanted.
    MarkRunning,
    /// Send the stop signal.
    Stop,
    /// Send the stop signal; start again after the exit.
    StopThenStart,
    /// Send `KILL`: the stop timed out.
    Kill,
    /// Send `STOP`.
    Suspend,
    /// Send `CONT`.
    Resume,
    /// Enter `Stopped`.
    MarkStopped,
    /// Enter `Failed`.
    MarkFailed,
    /// Enter `Waiting` with the back-off delay.
    ScheduleRestart,
}

/// Transition table: a row for each phase, a column for each event.
#[rustfmt::skip]
const STEPS: [[Step; 9]; 7] = {
    use Step::*;
    //                 Start      Stop         Restart        Pause    Spawned      Exited       Failed       RestartDue       Deadline
    [
        /* Stopped  */ [Start,     Nothing,     Start,         Refuse,  Unexpected,  Unexpected,  Unexpected,  Unexpected,      Nothing],
        /* Failed   */ [Start,     MarkStopped, Start,         Refuse,  Unexpected,  Unexpected,  Unexpected,  Unexpected,      Nothing],
        /* Waiting  */ [Respawn,   MarkStopped, Respawn,       Refuse,  Unexpected,  Unexpected,  Unexpected,  Unexpected,      Respawn],
        /* Spawning */ [SetWanted, ClearWanted, SetWanted,     Refuse,  MarkRunning, MarkStopped, MarkFailed,  ScheduleRestart, Nothing],
        /* Started  */ [Nothing,   Stop,        StopThenStart, Suspend, Unexpected,  MarkStopped, MarkFailed,  ScheduleRestart, Nothing],
        /* Stopping */ [SetWanted, ClearWanted, SetWanted,     Refuse,  Unexpected,  MarkStopped, MarkStopped, Respawn,         Kill],
        /* Paused   */ [Resume,    Stop,        StopThenStart, Refuse,  Unexpected,  MarkStopped, MarkFailed,  ScheduleRestart, Nothing],
    ]
};

/// Returns the transition that `event` causes in `phase`.
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
    fn last_exit_as_text() {
        assert_eq!(LastExit::None.to_string(), "");
        assert_eq!(LastExit::from(Exit::Code(1)).to_string(), "exit 1");
        assert_eq!(LastExit::from(Exit::Signal(9)).to_string(), "signal 9");
        assert_eq!(LastExit::Spawn(2).to_string(), "cannot start: No such file or directory (errno 2)");
    }

    #[test]
    fn rows_and_columns_match_their_names() {
        assert_eq!(step(Phase::Stopped, Event::Start), Step::Start);
        assert_eq!(step(Phase::Failed, Event::Stop), Step::MarkStopped);
        assert_eq!(step(Phase::Waiting, Event::Deadline), Step::Respawn);
        assert_eq!(step(Phase::Spawning, Event::Spawned), Step::MarkRunning);
        assert_eq!(step(Phase::Started, Event::Pause), Step::Suspend);
        assert_eq!(step(Phase::Stopping, Event::Deadline), Step::Kill);
        assert_eq!(step(Phase::Paused, Event::Start), Step::Resume);
    }
}
