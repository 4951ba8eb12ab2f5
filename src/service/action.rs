//! Output of the supervisor: actions to carry out and changes of state.

#[cfg(doc)]
use super::Supervisor;
use super::{ServiceId, Signal, State};

/// Action that the caller carries out at once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Action {
    /// Start a process, and report the outcome to [`Supervisor::handle_spawned`].
    Spawn {
        /// Service to start.
        service: ServiceId,
    },
    /// Send a signal to a process group.
    Signal {
        /// Service that the group belongs to.
        service: ServiceId,
        /// Leader of the group.
        pid: u32,
        /// Signal to send.
        signal: Signal,
    },
    /// Write [`Supervisor::overrides`] to durable storage, and report the outcome to
    /// [`Supervisor::handle_persisted`].
    Persist,
}

/// Transition of a service to another state.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct StateChange {
    /// Service that changed.
    pub service: ServiceId,
    /// New state.
    pub state: State,
    /// Process id; 0 without a process.
    pub pid: u32,
}
