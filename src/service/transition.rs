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
    /// `pre_start` runs.
    Preparing,
    /// The pending spawn was killed and is not answered yet, or was answered too late.
    Aborting,
    /// The pending spawn was killed, and neither an answer nor an exit came in time. The next spawn
    /// waits for one of them.
    Lost,
    Started,
    /// `stop_command` runs beside the service.
    StopCommand,
    /// The stop signal was sent.
    Stopping,
    /// `KILL` was sent.
    Killing,
    Paused,
    /// The service has ended, and `finish` was requested or runs.
    CleaningUp,
}

impl Phase {
    pub(super) fn state(self) -> State {
        match self {
            Self::Stopped => State::Stopped,
            Self::Failed => State::Failed,
            Self::Finished => State::Finished,
            Self::Blocked | Self::Waiting | Self::Spawning | Self::Preparing => State::Starting,
            Self::Started => State::Started,
            Self::Aborting
            | Self::Lost
            | Self::StopCommand
            | Self::Stopping
            | Self::Killing
            | Self::CleaningUp => State::Stopping,
            Self::Paused => State::Paused,
        }
    }

    /// Returns true if the service has a process that was started in time, or its processes are ending.
    pub(super) fn is_alive(self) -> bool {
        matches!(self, Self::Started | Self::Paused) || self.is_ending()
    }

    /// Returns true if there is, or may be, a process to wait for.
    pub(super) fn is_busy(self) -> bool {
        self.is_alive()
            || matches!(self, Self::Spawning | Self::Preparing | Self::Aborting | Self::CleaningUp)
    }

    /// Returns true if a stop of the process is under way.
    pub(super) fn is_ending(self) -> bool {
        matches!(self, Self::StopCommand | Self::Stopping | Self::Killing)
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
    /// The watchdog of the service expired, or a health check is failing.
    Unhealthy,
    /// `stop_command` has ended.
    CommandEnded,
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
    /// Send `KILL` if the watchdog expired, stop if a check is failing; the policy decides after it.
    EndUnhealthy,
    /// Stop: the time for the run expired; the policy decides after it.
    StopOverdue,
    /// Kill a process that was started after its spawn was killed.
    KillLate,
    /// Enter `Started` with a new process, or `Preparing` with that of `pre_start`.
    MarkRunning,
    /// Run the stop command, or send the stop signal.
    Stop,
    /// The same; start again after the end.
    StopThenStart,
    /// Send the stop signal: the stop command has ended.
    SignalStop,
    /// Send the stop signal to the processes that the leader left; the policy decides after them.
    StopRest,
    /// Send `KILL`: the stop timed out.
    Kill,
    /// Go on without the end of the processes: they cannot be killed.
    GiveUp,
    /// Kill `finish`.
    KillFinish,
    /// Everything has ended: run the next program, start, wait or stay as is wanted.
    Finish,
    /// Request the end of the board.
    EndBoard,
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
const STEPS: [[Step; 13]; 15] = {
    use Step::*;
    use Step::Unexpected as No;
    //                     Start       Stop         Restart        Pause    Spawned      SpawnFailed  LeaderExited  Gone    Suspended   Resumed      Deadline     Unhealthy     CommandEnded
    [
        /* Stopped     */ [Start,      Nothing,     Start,         Refuse,  No,          No,          No,           No,     Nothing,    Nothing,     EndBoard,    Nothing,      Nothing],
        /* Failed      */ [Start,      MarkStopped, Start,         Refuse,  No,          No,          No,           No,     Nothing,    Nothing,     EndBoard,    Nothing,      Nothing],
        /* Finished    */ [Nothing,    MarkStopped, Start,         Refuse,  No,          No,          No,           No,     Nothing,    Nothing,     EndBoard,    Nothing,      Nothing],
        /* Blocked     */ [Nothing,    MarkStopped, Nothing,       Refuse,  No,          No,          No,           No,     Nothing,    Nothing,     Nothing,     Nothing,      Nothing],
        /* Waiting     */ [Respawn,    MarkStopped, Respawn,       Refuse,  No,          No,          No,           No,     Nothing,    Nothing,     Respawn,     Nothing,      Nothing],
        /* Spawning    */ [Nothing,    Abort,       Nothing,       Refuse,  MarkRunning, Finish,      No,           No,     Nothing,    Nothing,     TimeOut,     Nothing,      Nothing],
        /* Preparing   */ [Nothing,    Stop,        StopThenStart, Refuse,  No,          No,          StopRest,     Finish, Nothing,    Nothing,     StopOverdue, Nothing,      Nothing],
        /* Aborting    */ [StartAfter, StayAfter,   StartAfter,    Refuse,  KillLate,    Finish,      Nothing,      Finish, Nothing,    Nothing,     MarkLost,    Nothing,      Nothing],
        /* Lost        */ [RefuseBusy, StayAfter,   RefuseBusy,    Refuse,  KillLate,    Finish,      Nothing,      Finish, Nothing,    Nothing,     Nothing,     Nothing,      Nothing],
        /* Started     */ [Nothing,    Stop,        StopThenStart, Suspend, No,          No,          StopRest,     Finish, MarkPaused, Nothing,     StopOverdue, EndUnhealthy, Nothing],
        /* StopCommand */ [StartAfter, StayAfter,   StartAfter,    Refuse,  No,          No,          Nothing,      Finish, Nothing,    Nothing,     SignalStop,  Nothing,      SignalStop],
        /* Stopping    */ [StartAfter, StayAfter,   StartAfter,    Refuse,  No,          No,          Nothing,      Finish, Nothing,    Nothing,     Kill,        Nothing,      Nothing],
        /* Killing     */ [StartAfter, StayAfter,   StartAfter,    Refuse,  No,          No,          Nothing,      Finish, Nothing,    Nothing,     GiveUp,      Nothing,      Nothing],
        /* Paused      */ [Resume,     Stop,        StopThenStart, Refuse,  No,          No,          StopRest,     Finish, Nothing,    MarkResumed, StopOverdue, Nothing,      Nothing],
        /* CleaningUp  */ [StartAfter, StayAfter,   StartAfter,    Refuse,  Nothing,     Finish,      KillFinish,   Finish, Nothing,    Nothing,     KillFinish,  Nothing,      Nothing],
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
        assert_eq!(step(Phase::Failed, Event::Deadline), Step::EndBoard);
        assert_eq!(step(Phase::Finished, Event::Restart), Step::Start);
        assert_eq!(step(Phase::Blocked, Event::Stop), Step::MarkStopped);
        assert_eq!(step(Phase::Waiting, Event::Deadline), Step::Respawn);
        assert_eq!(step(Phase::Spawning, Event::Spawned), Step::MarkRunning);
        assert_eq!(step(Phase::Aborting, Event::Spawned), Step::KillLate);
        assert_eq!(step(Phase::Lost, Event::Restart), Step::RefuseBusy);
        assert_eq!(step(Phase::Started, Event::Pause), Step::Suspend);
        assert_eq!(step(Phase::Started, Event::LeaderExited), Step::StopRest);
        assert_eq!(step(Phase::Started, Event::Unhealthy), Step::EndUnhealthy);
        assert_eq!(step(Phase::Started, Event::Deadline), Step::StopOverdue);
        assert_eq!(step(Phase::Preparing, Event::Gone), Step::Finish);
        assert_eq!(step(Phase::StopCommand, Event::CommandEnded), Step::SignalStop);
        assert_eq!(step(Phase::Stopping, Event::Deadline), Step::Kill);
        assert_eq!(step(Phase::CleaningUp, Event::Deadline), Step::KillFinish);
        assert_eq!(step(Phase::Killing, Event::Deadline), Step::GiveUp);
        assert_eq!(step(Phase::Paused, Event::Start), Step::Resume);
        assert_eq!(step(Phase::Paused, Event::Resumed), Step::MarkResumed);
    }
}
