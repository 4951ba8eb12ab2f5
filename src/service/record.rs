//! Runtime record of one service.

use core::time::Duration;

use super::exit::History;
use super::restart::BackOff;
use super::transition::Phase;
use super::{CommandError, Exit, LastExit};

/// Sequel of the end of the current process, or of the pending spawn.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Next {
    /// The restart policy decides.
    Policy,
    /// A command wants the service stopped.
    Stay,
    /// A command wants it started again.
    Start,
}

/// Progress of a commanded start.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Settle {
    /// No start is pending.
    Idle,
    /// The process is not started yet.
    Starting,
    /// The process runs; the time until which it has to.
    Until(Duration),
}

/// Exit of the leader of a process group that still has processes, or is just ending.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct LeaderExit {
    pub(super) at: Duration,
    pub(super) exit: Exit,
    /// The stop signal was sent before.
    pub(super) was_stopped: bool,
}

/// Runtime record of one service.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) phase: Phase,
    /// Start of the public state.
    pub(super) since: Duration,
    /// Deadline of the phase.
    pub(super) deadline: Option<Duration>,
    /// Process id of the leader; 0 without one.
    pub(super) pid: u32,
    /// Start of the latest process.
    pub(super) started: Duration,
    /// Exit of the leader, until the last process has ended.
    pub(super) leader_exit: Option<LeaderExit>,
    pub(super) next: Next,
    pub(super) settle: Settle,
    /// Result of the latest commanded start, until it is polled.
    pub(super) settled: Option<Result<(), CommandError>>,
    /// Failure of the latest command after it was accepted.
    pub(super) failure: Option<CommandError>,
    pub(super) restarts: u32,
    pub(super) back_off: BackOff,
    /// Short runs in a row, failed starts included.
    pub(super) short_runs: u32,
    pub(super) last_exit: LastExit,
    pub(super) history: History,
    pub(super) started_once: bool,
    pub(super) enabled: bool,
    /// Mask of the services that this one depends on.
    pub(super) after: u64,
}

impl Record {
    /// Record of a stopped service.
    pub(super) const NEW: Self = Self {
        phase: Phase::Stopped,
        since: Duration::ZERO,
        deadline: None,
        pid: 0,
        started: Duration::ZERO,
        leader_exit: None,
        next: Next::Policy,
        settle: Settle::Idle,
        settled: None,
        failure: None,
        restarts: 0,
        back_off: BackOff::new(),
        short_runs: 0,
        last_exit: LastExit::None,
        history: History::NEW,
        started_once: false,
        enabled: false,
        after: 0,
    };

    /// Resets the counters of restarts that a start by hand begins anew.
    pub(super) fn reset_back_off(&mut self) {
        self.back_off = BackOff::new();
        self.short_runs = 0;
    }

    /// Time of the next deadline.
    pub(super) fn poll_timeout(&self) -> Option<Duration> {
        let settles = match self.settle {
            Settle::Until(end) => Some(end),
            Settle::Idle | Settle::Starting => None,
        };
        self.deadline.into_iter().chain(settles).min()
    }
}
