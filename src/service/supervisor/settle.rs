//! Settlement of commanded starts.

use core::time::Duration;

use super::super::record::Settle;
use super::super::transition::Phase;
use super::super::{CommandError, START_SETTLE, ServiceId};
use super::Supervisor;

impl Supervisor {
    /// Returns true if no commanded start of the service is pending: its process has run for
    /// `START_SETTLE`, it exited before, it could not be started, or the service was stopped.
    pub fn is_settled(&self, service: ServiceId) -> bool {
        self.entries[service.index()].settle == Settle::Idle
    }

    /// Returns the next settled start with its result, for all starts of the service since the last
    /// one. A start of a running service settles at once.
    ///
    /// The result is [`CommandError::Spawn`] for a failed start, [`CommandError::Exited`] for an early exit
    /// without success, [`CommandError::NotRunning`] if the service was stopped before its process
    /// started, [`CommandError::ShuttingDown`] if the server did that, and [`CommandError::Busy`] if an
    /// earlier start of a process cannot be ended.
    pub fn poll_settled(&mut self) -> Option<(ServiceId, Result<(), CommandError>)> {
        // Asked after each message.
        if !self.has_settled {
            return None;
        }
        let mut settled = self.entries.iter_mut().enumerate();
        let next = settled.find_map(|(index, entry)| {
            let result = entry.settled.take()?;
            Some((ServiceId::from_index(index)?, result))
        });
        self.has_settled = next.is_some();
        next
    }

    /// Begins a settlement, after the command was accepted.
    pub(super) fn await_start(&mut self, service: ServiceId, now: Duration) {
        let entry = &mut self.entries[service.index()];
        entry.settled = None;
        entry.settle = Settle::Starting;
        if entry.phase == Phase::Finished {
            self.settle(service, Ok(()));
        } else if !entry.phase.is_ending() && entry.phase.is_alive() {
            entry.settle = Settle::Until(entry.started + START_SETTLE);
            self.settle_expired(service, now);
        }
    }

    /// Waits for the run of a process that has just started, if its start is pending.
    pub(super) fn await_run(&mut self, service: ServiceId, now: Duration) {
        let entry = &mut self.entries[service.index()];
        if entry.settle == Settle::Starting {
            entry.settle = Settle::Until(now + START_SETTLE);
        }
    }

    /// Settles a start whose process has run long enough.
    pub(super) fn settle_expired(&mut self, service: ServiceId, now: Duration) {
        if let Settle::Until(end) = self.entries[service.index()].settle
            && end <= now
        {
            self.settle(service, Ok(()));
        }
    }

    /// Settles a pending start of the current process.
    pub(super) fn settle_run(&mut self, service: ServiceId, result: Result<(), CommandError>) {
        if matches!(self.entries[service.index()].settle, Settle::Until(_)) {
            self.settle(service, result);
        }
    }

    /// Settles a pending start of a process that has not started.
    pub(super) fn settle_spawn(&mut self, service: ServiceId, error: CommandError) {
        if self.entries[service.index()].settle == Settle::Starting {
            self.settle(service, Err(error));
        }
    }

    /// Settles a pending start of a service that waits for conditions.
    pub(super) fn settle_waiting(&mut self, service: ServiceId) {
        if self.entries[service.index()].settle == Settle::Starting {
            self.settle(service, Ok(()));
        }
    }

    /// Settles a pending start because of a stop. This is not a failure of the stop, so `take_result` does
    /// not report it.
    pub(super) fn cancel_start(&mut self, service: ServiceId) {
        let error = match self.is_shutting_down {
            true => CommandError::ShuttingDown,
            false => CommandError::NotRunning,
        };
        self.has_settled = true;
        let entry = &mut self.entries[service.index()];
        match core::mem::replace(&mut entry.settle, Settle::Idle) {
            Settle::Idle => {}
            Settle::Starting => entry.settled = Some(Err(error)),
            Settle::Until(_) => entry.settled = Some(Ok(())),
        }
    }

    fn settle(&mut self, service: ServiceId, result: Result<(), CommandError>) {
        self.has_settled = true;
        let entry = &mut self.entries[service.index()];
        entry.settle = Settle::Idle;
        entry.settled = Some(result);
        entry.failure = result.err();
    }
}
