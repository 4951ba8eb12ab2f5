//! Runtime record of one service.

use core::time::Duration;

use super::restart::BackOff;
use super::state::Phase;
use super::{CommandError, LastExit};

/// Runtime record of one service.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) phase: Phase,
    /// Start of the phase.
    pub(super) since: Duration,
    /// Deadline of the phase.
    pub(super) deadline: Option<Duration>,
    /// Process id; 0 without a process.
    pub(super) pid: u32,
    /// Start of the process.
    pub(super) started: Duration,
    /// A process is desired, also after the current one has exited.
    pub(super) wanted: bool,
    /// The pending spawn belongs to a command, which gets a failure as its result.
    pub(super) commanded: bool,
    /// Failure of the latest command after it was accepted.
    pub(super) failure: Option<CommandError>,
    pub(super) restarts: u32,
    pub(super) back_off: BackOff,
    pub(super) last_exit: LastExit,
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
        wanted: false,
        commanded: false,
        failure: None,
        restarts: 0,
        back_off: BackOff::new(),
        last_exit: LastExit::None,
        enabled: false,
        after: 0,
    };
}
