//! Changes of state, queued for the caller.

use core::time::Duration;

use heapless::Deque;

use super::super::record::Readiness;
use super::super::table::bit;
use super::super::transition::Phase;
use super::super::{LastExit, ServiceId, State, StateChange};
use super::{CHANGES, Supervisor};
use crate::internal_error;

impl Supervisor {
    /// Returns the next change of state, in order. If the caller does not drain the queue, only the
    /// newest change of each service remains.
    pub fn poll_change(&mut self) -> Option<StateChange> {
        self.changes.pop_front()
    }

    /// Enters a phase without a deadline of its own. `reason` is the exit or the failed start that caused it.
    pub(super) fn enter(
        &mut self,
        service: ServiceId,
        phase: Phase,
        reason: Option<LastExit>,
        now: Duration,
    ) {
        self.note(service);
        let spec = self.spec(service);
        let (watchdog, max_runtime) = spec.map_or((None, None), |spec| (spec.watchdog, spec.max_runtime));
        let has_process = matches!(phase, Phase::Started | Phase::Paused);
        let entry = &mut self.entries[service.index()];
        let before = entry.phase.state();
        entry.phase = phase;
        entry.undecided = None;
        entry.deadline = max_runtime.filter(|_| has_process).map(|time| entry.started + time);
        entry.watchdog = watchdog
            .filter(|_| phase == Phase::Started && entry.readiness == Readiness::Ready)
            .map(|time| now + time);
        entry.ready_at = entry.ready_at.filter(|_| has_process);
        self.follow_checks(service, phase, now);
        self.end_events(service, phase);
        let entry = &mut self.entries[service.index()];
        match phase {
            Phase::Stopped | Phase::Failed => entry.readiness = Readiness::None,
            Phase::Finished => entry.readiness = Readiness::Ready,
            _ => {}
        }
        if phase.state() != before || reason.is_some() {
            entry.since = now;
            // The outcome of a start is the change, and not that it was requested.
            if phase.state() == State::Starting && reason.is_none() {
                return;
            }
            let change = StateChange { service, state: phase.state(), pid: entry.pid, reason };
            self.push_change(change);
        }
    }

    /// Enters a phase that has a deadline after `time`.
    pub(super) fn enter_until(
        &mut self,
        service: ServiceId,
        phase: Phase,
        reason: Option<LastExit>,
        now: Duration,
        time: Duration,
    ) {
        self.enter(service, phase, reason, now);
        self.entries[service.index()].deadline = Some(now + time);
    }

    fn push_change(&mut self, change: StateChange) {
        if self.changes.is_full() {
            self.keep_newest_changes();
        }
        // At most one change of each service is left, so there is room.
        if self.changes.push_back(change).is_err() {
            internal_error!("{}: no room for a change of state", self.name(change.service));
        }
    }

    /// Drops every change that a newer one of the same service follows.
    fn keep_newest_changes(&mut self) {
        let mut seen = 0;
        let mut kept: Deque<StateChange, CHANGES> = Deque::new();
        while let Some(change) = self.changes.pop_back() {
            if seen & bit(change.service) == 0 {
                seen |= bit(change.service);
                let is_kept = kept.push_front(change).is_ok();
                debug_assert!(is_kept, "a queue of the same capacity is full");
            }
        }
        self.changes = kept;
    }
}
