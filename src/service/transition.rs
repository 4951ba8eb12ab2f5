//! Phases of a service and the table of transitions.

use super::State;

/// Internal state of a service: finer than [`State`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(super) enum Phase {
    Stopped,
    Failed,
    /// A one-shot has ended well.
    Finished,
    /// Waits for the readiness of other services.
    Blocked,
    /// Waits for the back-off before a restart.
    Waiting,
    /// A spawn was requested and is not answered yet.
    Spawning,
    /// The pending spawn was killed and is not answered yet, or was answered too late.
    Aborting,
    /// The pending spawn was killed, and neither an answer nor an exit came in time. The next spawn
    /// waits for one of them.
    Lost,
    Started,
    /// The stop signal was sent.
    Stopping,
    /// `KILL` was sent.
    Killing,
    Paused,
}

impl Phase {
    pub(super) fn state(self) -> State {
        match self {
            Self::Stopped => State::Stopped,
            Self::Failed => State::Failed,
            Self::Finished => State::Finished,
            Self::Blocked | Self::Waiting | Self::Spawning => State::Starting,
            Self::Started => State::Started,
            Self::Aborting | Self::Lost | Self::Stopping | Self::Killing => State::Stopping,
            Self::Paused => State::Paused,
        }
    }

    /// Returns true if there is a process that was started in time.
    pub(super) fn is_alive(self) -> bool {
        matches!(self, Self::Started | Self::Stopping | Self::Killing | Self::Paused)
    }

    /// Returns true if there is, or may be, a process to wait for.
    pub(super) fn is_busy(self) -> bool {
        self.is_alive() || matches!(self, Self::Spawning | Self::Aborting)
    }

    /// Returns true if a stop of the process is under way.
    pub(super) fn is_ending(self) -> bool {
        matches!(self, Self::Stopping | Self::Killing)
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
    /// The requested process could not be started.
    SpawnFailed,
    /// The leader exited, and other processes of the service are left.
    LeaderExited,
    /// The last process of the service has ended.
    Gone,
    /// A signal from outside suspended the leader.
    Suspended,
    /// A signal from outside continued the leader.
    Resumed,
    /// The deadline of the current phase expired.
    Deadline,
    /// The watchdog of the service expired.
    Silent,
}

/// Transition that an event causes in a phase.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Step {
    /// No transition.
    Nothing,
    /// No transition; report that no process runs.
    Refuse,
    /// No transition; report that an earlier action is still pending.
    RefuseBusy,
    /// No transition; log an event that cannot happen in this phase.
    Unexpected,
    /// Spawn, with restart counter and back-off reset.
    Start,
    /// Spawn as a restart.
    Respawn,
    /// Start again after the end of the current process.
    StartAfter,
    /// Do not start again after the end of the current process.
    StayAfter,
    /// Kill the pending spawn: it is not wanted any more.
    Abort,
    /// Kill the pending spawn: it had its time.
    TimeOut,
    /// Enter `Lost`.
    MarkLost,
    /// Send `KILL`: the watchdog expired; the policy decides after it.
    KillSilent,
    /// Kill a process that was started after its spawn was killed.
    KillLate,
    /// Enter `Started` with a new process.
    MarkRunning,
    /// Send the stop signal.
    Stop,
    /// Send the stop signal; start again after the end.
    StopThenStart,
    /// Send the stop signal to the processes that the leader left; the policy decides after them.
    StopRest,
    /// Send `KILL`: the stop timed out.
    Kill,
    /// Go on without the end of the processes: they cannot be killed.
    GiveUp,
    /// Everything has ended: start, wait or stay as is wanted.
    Finish,
    /// Send `STOP`.
    Suspend,
    /// Send `CONT`.
    Resume,
    /// Enter `Paused`.
    MarkPaused,
    /// Enter `Started` after a pause.
    MarkResumed,
    /// Enter `Stopped`.
    MarkStopped,
}

/// Transition table: a row for each phase, a column for each event.
#[rustfmt::skip]
const STEPS: [[Step; 12]; 12] = {
    use Step::*;
    use Step::Unexpected as No;
    //                 Start       Stop         Restart        Pause    Spawned      SpawnFailed  LeaderExited  Gone     Suspended   Resumed      Deadline     Silent
    [
        /* Stopped  */ [Start,      Nothing,     Start,         Refuse,  No,          No,          No,           No,      Nothing,    Nothing,     Nothing,     Nothing],
        /* Failed   */ [Start,      MarkStopped, Start,         Refuse,  No,          No,          No,           No,      Nothing,    Nothing,     Nothing,     Nothing],
        /* Finished */ [Nothing,    MarkStopped, Start,         Refuse,  No,          No,          No,           No,      Nothing,    Nothing,     Nothing,    Nothing],
        /* Blocked  */ [Nothing,    MarkStopped, Nothing,       Refuse,  No,          No,          No,           No,      Nothing,    Nothing,     Nothing,    Nothing],
        /* Waiting  */ [Respawn,    MarkStopped, Respawn,       Refuse,  No,          No,          No,           No,      Nothing,    Nothing,     Respawn,     Nothing],
        /* Spawning */ [Nothing,    Abort,       Nothing,       Refuse,  MarkRunning, Finish,      No,           No,      Nothing,    Nothing,     TimeOut,     Nothing],
        /* Aborting */ [StartAfter, StayAfter,   StartAfter,    Refuse,  KillLate,    Finish,      Nothing,      Finish,  Nothing,    Nothing,     MarkLost,    Nothing],
        /* Lost     */ [RefuseBusy, StayAfter,   RefuseBusy,    Refuse,  KillLate,    Finish,      Nothing,      Finish,  Nothing,    Nothing,     Nothing,     Nothing],
        /* Started  */ [Nothing,    Stop,        StopThenStart, Suspend, No,          No,          StopRest,     Finish,  MarkPaused, Nothing,     Nothing,     KillSilent],
        /* Stopping */ [StartAfter, StayAfter,   StartAfter,    Refuse,  No,          No,          Nothing,      Finish,  Nothing,    Nothing,     Kill,        Nothing],
        /* Killing  */ [StartAfter, StayAfter,   StartAfter,    Refuse,  No,          No,          Nothing,      Finish,  Nothing,    Nothing,     GiveUp,      Nothing],
        /* Paused   */ [Resume,     Stop,        StopThenStart, Refuse,  No,          No,          StopRest,     Finish,  Nothing,    MarkResumed, Nothing,     Nothing],
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
    fn rows_and_columns_match_their_names() {
        assert_eq!(step(Phase::Stopped, Event::Start), Step::Start);
        assert_eq!(step(Phase::Failed, Event::Stop), Step::MarkStopped);
        assert_eq!(step(Phase::Finished, Event::Restart), Step::Start);
        assert_eq!(step(Phase::Blocked, Event::Stop), Step::MarkStopped);
        assert_eq!(step(Phase::Waiting, Event::Deadline), Step::Respawn);
        assert_eq!(step(Phase::Spawning, Event::Spawned), Step::MarkRunning);
        assert_eq!(step(Phase::Aborting, Event::Spawned), Step::KillLate);
        assert_eq!(step(Phase::Lost, Event::Restart), Step::RefuseBusy);
        assert_eq!(step(Phase::Started, Event::Pause), Step::Suspend);
        assert_eq!(step(Phase::Started, Event::LeaderExited), Step::StopRest);
        assert_eq!(step(Phase::Started, Event::Silent), Step::KillSilent);
        assert_eq!(step(Phase::Stopping, Event::Deadline), Step::Kill);
        assert_eq!(step(Phase::Killing, Event::Deadline), Step::GiveUp);
        assert_eq!(step(Phase::Paused, Event::Start), Step::Resume);
        assert_eq!(step(Phase::Paused, Event::Resumed), Step::MarkResumed);
    }
}
