//! Runtime record of one service.

use core::time::Duration;

use super::exit::History;
use super::restart::BackOff;
use super::schedule::Timetable;
use super::transition::Phase;
use super::{CommandError, EndReason, Exit, LastExit, Memo, Program, ServiceId, StatusText};

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

/// Readiness of a service.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Readiness {
    /// Not ready, and nothing to wait for.
    None,
    /// Not ready yet: the begin of the wait, and its deadline.
    Pending {
        since: Duration,
        until: Duration,
    },
    /// Not ready by the deadline.
    Late,
    Ready,
}

/// Exit of the leader of a process group that still has processes, or is just ending.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct LeaderExit {
    pub(super) at: Duration,
    pub(super) exit: Exit,
    /// The stop signal was sent before.
    pub(super) was_stopped: bool,
}

/// Run of a service that has ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Run {
    pub(super) length: Duration,
    pub(super) is_success: bool,
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
    /// Program of the pending spawn, or of the process.
    pub(super) program: Program,
    /// Exit of the leader, until the last process has ended.
    pub(super) leader_exit: Option<LeaderExit>,
    /// The run that has ended, until the service goes on.
    pub(super) run: Option<Run>,
    /// The same, while the decision of its policy is delayed.
    pub(super) undecided: Option<Run>,
    /// A program of this start has run, and `finish` has not.
    pub(super) needs_finish: bool,
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
    pub(super) readiness: Readiness,
    /// Time at which a simple service that runs until then is ready.
    pub(super) ready_at: Option<Duration>,
    /// Deadline of the next report of a service with a watchdog.
    pub(super) watchdog: Option<Duration>,
    /// Reason for which the supervisor ended the run, which then counts as a failed one.
    pub(super) fault: Option<EndReason>,
    /// Progress of the schedule.
    pub(super) timetable: Timetable,
    /// Line in which the service describes its state.
    pub(super) text: StatusText,
    /// Required service whose failure is the reason of the current stop.
    pub(super) failed_with: Option<ServiceId>,
    /// Mask of the services that this one depends on, required ones included.
    pub(super) after: u64,
    /// Mask of the services that this one requires.
    pub(super) required: u64,
    /// Mask of the conditions before a start.
    pub(super) wait: u8,
    /// Mask of the conditions while it runs.
    pub(super) needs: u8,
    /// Memo that was stored last.
    pub(super) memo: Option<Memo>,
}

impl Record {
    /// Record of a stopped service.
    pub(super) const NEW: Self = Self {
        phase: Phase::Stopped,
        since: Duration::ZERO,
        deadline: None,
        pid: 0,
        started: Duration::ZERO,
        program: Program::Main,
        leader_exit: None,
        run: None,
        undecided: None,
        needs_finish: false,
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
        readiness: Readiness::None,
        ready_at: None,
        watchdog: None,
        fault: None,
        timetable: Timetable::NEW,
        text: StatusText::EMPTY,
        failed_with: None,
        after: 0,
        required: 0,
        wait: 0,
        needs: 0,
        memo: None,
    };

    /// Resets the counters of restarts that a start by hand begins anew.
    pub(super) fn reset_back_off(&mut self) {
        self.back_off = BackOff::new();
        self.short_runs = 0;
    }

    /// Returns true if a spawn was requested and has no answer. The next one waits for it.
    pub(super) fn has_pending_spawn(&self) -> bool {
        let spawns =
            matches!(self.phase, Phase::Spawning | Phase::Aborting | Phase::Lost | Phase::CleaningUp);
        spawns && self.pid == 0 && self.leader_exit.is_none()
    }

    /// Returns true if a process, or the success of a one-shot, is desired.
    pub(super) fn is_wanted(&self) -> bool {
        match self.phase {
            Phase::Stopped | Phase::Failed => false,
            Phase::Aborting
            | Phase::Lost
            | Phase::StopCommand
            | Phase::Stopping
            | Phase::Killing
            | Phase::CleaningUp => self.next != Next::Stay,
            Phase::Blocked
            | Phase::Waiting
            | Phase::Spawning
            | Phase::Preparing
            | Phase::Started
            | Phase::Paused
            | Phase::Finished => true,
        }
    }

    /// Time of the next deadline.
    pub(super) fn poll_timeout(&self) -> Option<Duration> {
        let settles = match self.settle {
            Settle::Until(end) => Some(end),
            Settle::Idle | Settle::Starting => None,
        };
        let late = match self.readiness {
            Readiness::Pending { until, .. } => Some(until),
            Readiness::None | Readiness::Late | Readiness::Ready => None,
        };
        let times = [self.deadline, settles, late, self.ready_at, self.watchdog, self.timetable.wake];
        times.into_iter().flatten().min()
    }
}
