//! Output of the supervisor: actions to carry out and changes of state.

use core::time::Duration;

#[cfg(doc)]
use super::Supervisor;
use super::{
    BoardEnd, Exit, LastExit, Notice, Program, Scope, ServiceId, Signal, SpawnError, State, StatusText,
};

/// Action that the caller carries out, in order.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Action {
    /// Start a process, and report the outcome to [`Supervisor::handle_spawned`] at any time;
    /// [`Program::Stop`] runs beside the process of the service, and its end is an event of its own.
    Spawn {
        /// Service to start.
        service: ServiceId,
        /// Its program.
        program: Program,
    },
    /// Send a signal to the processes of a service. A pending spawn is killed by `KILL`. Without a process
    /// the signal is dropped.
    Signal {
        /// Service that the processes belong to.
        service: ServiceId,
        /// Signal to send.
        signal: Signal,
        /// Receivers.
        scope: Scope,
    },
    /// Shut the board down: this service has failed for good, or ended well.
    EndBoard {
        /// Its service.
        service: ServiceId,
        /// Method.
        end: BoardEnd,
    },
    /// Write [`Supervisor::overrides`] to durable storage, and report the outcome to
    /// [`Supervisor::handle_persisted`].
    Persist,
}

/// Event of a service's processes, for [`Supervisor::handle_event`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ProcessEvent {
    /// The program runs, with the pid of its process, or could not be started.
    Spawned(Result<u32, SpawnError>),
    /// The leader has exited.
    Exited {
        /// Its exit.
        exit: Exit,
        /// No other process of the service is left.
        is_gone: bool,
    },
    /// The last process has ended after the leader.
    Gone,
    /// A signal from outside has stopped the leader.
    Suspended,
    /// A signal from outside has continued the leader.
    Resumed,
    /// The service has reported something about itself.
    Notified(Notice),
    /// The service has said something about the things it is for.
    Event(EventReport),
    /// `stop_command` has ended, or could not be started.
    StopCommand(Result<Exit, SpawnError>),
}

/// Event of a service, on its way from the keeper.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct EventReport {
    /// `KEY=VALUE`; without a value, the key is removed.
    pub text: StatusText,
    /// Time since the change to this value.
    pub age: Duration,
    /// Time until it is forgotten.
    pub life: Option<Duration>,
    /// Values that the key has had.
    pub changes: u32,
}

/// Transition of a service to another state.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct StateChange {
    /// Service that changed.
    pub service: ServiceId,
    /// New state.
    pub state: State,
    /// Process id of the leader; 0 without a leader.
    pub pid: u32,
    /// Exit or failed start that caused the transition, if one did.
    pub reason: Option<LastExit>,
}
