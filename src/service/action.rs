//! What the supervisor has to say to its caller.

#[cfg(doc)]
use super::Supervisor;
use super::{ServiceId, Signal, State};

/// What the caller is to do at once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Action {
    /// Make a process, and answer with [`Supervisor::handle_spawned`].
    Spawn {
        /// Whose.
        service: ServiceId,
    },
    /// Send a signal to a process group.
    Signal {
        /// Whose.
        service: ServiceId,
        /// The leader of the group.
        pid: u32,
        /// Which.
        signal: Signal,
    },
    /// Write down durably what is enabled ([`Supervisor::overrides`]), and answer with
    /// [`Supervisor::handle_persisted`].
    Persist,
}

/// A service is in another state.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Change {
    /// Which.
    pub service: ServiceId,
    /// Its state from now on.
    pub state: State,
    /// Its process; 0 when there is none.
    pub pid: u32,
}
