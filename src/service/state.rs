//! Public state and status of a service.

use core::time::Duration;

use super::{LastExit, NextRun};

/// Public state of a service.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum State {
    /// No process, and none desired.
    Stopped,
    /// No process yet: a start or a delayed restart is pending.
    Starting,
    /// The process runs.
    Started,
    /// A signal that ends them was sent; processes of the service are left.
    Stopping,
    /// The process is suspended.
    Paused,
    /// No process: a one-shot has ended well, and counts as up.
    Finished,
    /// No process: it failed or could not be started, and is not restarted.
    Failed,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 7] = [
        Self::Stopped,
        Self::Starting,
        Self::Started,
        Self::Stopping,
        Self::Paused,
        Self::Finished,
        Self::Failed,
    ];

    /// Name in `status`, in change notifications and in the log.
    pub fn word(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Starting => "starting",
            Self::Started => "started",
            Self::Stopping => "stopping",
            Self::Paused => "paused",
            Self::Finished => "finished",
            Self::Failed => "failed",
        }
    }

    /// Name in Friend Core's lists, which distinguish three states: no process, a process, and a
    /// suspended process.
    pub fn api_word(self) -> &'static str {
        match self {
            Self::Stopped | Self::Starting | Self::Finished | Self::Failed => "stopped",
            Self::Started | Self::Stopping => "started",
            Self::Paused => "paused",
        }
    }

    /// Number in the lists of the 2016 protocol: 0 stopped, 1 started, 2 paused.
    pub fn api_number(self) -> u8 {
        match self {
            Self::Stopped | Self::Starting | Self::Finished | Self::Failed => 0,
            Self::Started | Self::Stopping => 1,
            Self::Paused => 2,
        }
    }
}

/// Status of a service.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Status {
    /// Public state.
    pub state: State,
    /// Process id of the leader of the process group; 0 without a leader.
    pub pid: u32,
    /// Time spent in this state.
    pub since: Duration,
    /// Number of restarts since the last start from stopped or failed.
    pub restarts: u32,
    /// Exit status of the latest process.
    pub last_exit: LastExit,
    /// A process of the service has run since the start of the server. A stopped service without one has
    /// never run; one with a successful `last_exit` has finished.
    pub started_once: bool,
    /// True if the service starts with the server.
    pub enabled: bool,
    /// The service does its work: see [`ReadyCheck`](super::ReadyCheck).
    pub is_ready: bool,
    /// It was not ready in time, and is not yet.
    pub is_late: bool,
    /// A process, or the success of a one-shot, is desired.
    pub is_wanted: bool,
    /// Next start by the schedule.
    pub next_run: NextRun,
}

impl Status {
    /// Returns true if there is a process that is not about to end, or a one-shot has ended well.
    pub fn is_up(&self) -> bool {
        matches!(self.state, State::Started | State::Paused | State::Finished)
    }
}

impl Status {
    /// Exit or failed start that explains the state: the last one, unless a process runs.
    pub fn reason(&self) -> Option<LastExit> {
        let explains = self.state != State::Started && self.pid == 0 && self.last_exit != LastExit::None;
        explains.then_some(self.last_exit)
    }
}

/// Memory of the server, and of the machine that it runs on, in bytes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Memory {
    /// Pages of the server that no file has.
    pub server: u64,
    /// Memory that programs can still have.
    pub available: u64,
    /// All of the machine.
    pub total: u64,
}

/// Use of the processor and of memory by the processes of a service.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Usage {
    /// Processor time: with a control group of all runs since the start of the server, else of the processes
    /// that run.
    pub cpu: Duration,
    /// Bytes of memory.
    pub memory: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_numbers() {
        use State::*;
        let states = [Stopped, Starting, Started, Stopping, Paused, Finished, Failed];
        let words = states.map(State::word);
        assert_eq!(words, ["stopped", "starting", "started", "stopping", "paused", "finished", "failed"]);
        let words = states.map(State::api_word);
        assert_eq!(words, ["stopped", "stopped", "started", "started", "paused", "stopped", "stopped"]);
        assert_eq!(states.map(State::api_number), [0, 0, 1, 1, 2, 0, 0]);
    }

    #[test]
    fn last_exit_explains_a_state_without_a_process() {
        let status = |state, pid, last_exit| Status {
            state,
            pid,
            since: Duration::ZERO,
            restarts: 0,
            last_exit,
            started_once: true,
            enabled: false,
            is_ready: false,
            is_late: false,
            is_wanted: false,
            next_run: NextRun::None,
        };
        let exit = LastExit::Code(1);
        for state in [State::Stopped, State::Starting, State::Stopping, State::Failed] {
            assert_eq!(status(state, 0, exit).reason(), Some(exit), "{state:?}");
        }
        assert_eq!(status(State::Stopped, 0, LastExit::None).reason(), None);
        for state in [State::Started, State::Stopping, State::Paused] {
            assert_eq!(status(state, 7, exit).reason(), None, "{state:?}");
        }
    }
}
