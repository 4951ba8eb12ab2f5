//! Conditions of the machine: a start waits for them, and a service stops without those that it needs.

use core::time::Duration;

use super::super::record::{Readiness, Run};
use super::super::table::bit;
use super::super::transition::{Event, Phase};
use super::super::{CONDITION_PERIOD, ServiceId, ServiceKind};
use super::Supervisor;
use crate::info;

/// Time after the end of a service in which the loss of what it needs is reported.
const DECISION_DELAY: Duration = CONDITION_PERIOD.saturating_add(Duration::from_millis(500));

impl Supervisor {
    /// Reports whether a condition is met, by its index in
    /// [`ServiceTable::conditions`](super::ServiceTable::conditions). Before the first report it is not.
    pub fn handle_condition(&mut self, condition: usize, is_met: bool, now: Duration) {
        let bit = 1_u8.checked_shl(condition as u32).unwrap_or(0);
        self.met = if is_met { self.met | bit } else { self.met & !bit };
        self.progress(now);
    }

    /// Mask of the conditions that are met.
    pub fn met(&self) -> u8 {
        self.met
    }

    /// Services and conditions that a start waits for.
    pub fn awaited(&self, service: ServiceId) -> impl Iterator<Item = &str> {
        let entry = &self.entries[service.index()];
        let is_blocked = entry.phase == Phase::Blocked;
        let (after, unmet) = if is_blocked { (entry.after, self.unmet_mask(service)) } else { (0, 0) };
        let is_awaited = move |other: &ServiceId| {
            let (record, is_required) = (&self.entries[other.index()], entry.required & bit(*other) != 0);
            after & bit(*other) != 0 && (record.is_awaited() || is_required && record.phase == Phase::Blocked)
        };
        let services = self.table.iter().filter(move |(other, _)| is_awaited(other));
        let conditions = self.table.conditions().iter().enumerate();
        let conditions = conditions.filter(move |(index, _)| unmet & (1 << index) != 0);
        services.map(|(_, spec)| spec.name.as_str()).chain(conditions.map(|(_, text)| text))
    }

    /// Returns true if a condition is not met that a service needs while it runs.
    pub(super) fn lacks_needs(&self, service: ServiceId) -> bool {
        self.entries[service.index()].needs & !self.met != 0
    }

    /// Mask of the blocked services that wait for conditions, or for services that do.
    fn waiting_for_conditions(&self) -> u64 {
        // The order has the dependencies of a service before it.
        self.order.iter().fold(0, |waiting, service| {
            let entry = &self.entries[service.index()];
            let waits = entry.phase == Phase::Blocked
                && (entry.after & waiting != 0 || self.unmet_mask(*service) != 0);
            if waits { waiting | bit(*service) } else { waiting }
        })
    }

    /// Answers the start of a service that waits for one that waits for a condition.
    pub(super) fn await_others(&mut self, service: ServiceId) {
        if self.entries[service.index()].after & self.waiting_for_conditions() != 0 {
            self.settle_waiting(service);
        }
    }

    /// Delays the decision about a service that has ended: it may have lost what it needs, which is reported
    /// within a period. Returns false if there is nothing to wait for.
    pub(super) fn delay_decision(&mut self, service: ServiceId, run: Run, now: Duration) -> bool {
        let is_finished =
            run.is_success && self.spec(service).is_some_and(|spec| spec.kind == ServiceKind::Oneshot);
        let entry = &self.entries[service.index()];
        if entry.needs == 0 || is_finished || self.is_shutting_down {
            return false;
        }
        self.enter_until(service, Phase::Waiting, Some(entry.last_exit), now, DECISION_DELAY);
        self.entries[service.index()].undecided = Some(run);
        true
    }

    /// Ends the delay of a decision: the service waits if it has lost what it needs, else its policy decides.
    /// Returns false if no decision was delayed.
    pub(super) fn end_delay(&mut self, service: ServiceId, now: Duration) -> bool {
        let Some(run) = self.entries[service.index()].undecided.take() else { return false };
        if self.lacks_needs(service) {
            self.spawn(service, None, now);
        } else {
            self.decide(service, run.is_success, run.length, now);
        }
        true
    }

    /// First condition that is not met and that a start of the service waits for.
    pub(super) fn unmet(&self, service: ServiceId) -> Option<usize> {
        let unmet = self.unmet_mask(service);
        (unmet != 0).then_some(unmet.trailing_zeros() as usize)
    }

    fn unmet_mask(&self, service: ServiceId) -> u8 {
        let entry = &self.entries[service.index()];
        (entry.wait | entry.needs) & !self.met
    }

    /// Condition for a line of the log.
    pub(super) fn condition(&self, index: usize) -> &str {
        self.table.conditions().iter().nth(index).unwrap_or("?")
    }

    /// Limits the time for which others wait for a service that waits for conditions alone. A condition may
    /// never be met, so a caller does not wait for it.
    pub(super) fn await_conditions(&mut self, service: ServiceId, now: Duration) {
        self.await_ready(service, now);
        self.settle_waiting(service);
    }

    /// Starts a service that has waited. The time to become ready begins with the start.
    pub(super) fn leave_conditions(&mut self, service: ServiceId, now: Duration) {
        let entry = &mut self.entries[service.index()];
        if entry.wait | entry.needs != 0 {
            entry.readiness = Readiness::None;
        }
        self.request_start(service, None, now);
    }

    /// Stops a service if a condition is not met that it needs, or a required service waits for one. It starts
    /// again when all are met.
    pub(super) fn stop_without_needs(&mut self, service: ServiceId, now: Duration) {
        let entry = &self.entries[service.index()];
        let unmet = entry.needs & !self.met;
        if unmet != 0 && entry.undecided.is_some() {
            self.end_delay(service, now);
            return;
        }
        if !self.has_room() || !matches!(entry.phase, Phase::Started | Phase::Paused) {
            return;
        }
        // Asked after each event, for each service that runs.
        let waiting = if entry.required == 0 { 0 } else { entry.required & self.waiting_for_conditions() };
        if unmet != 0 {
            let condition = self.condition(unmet.trailing_zeros() as usize);
            info!("{}: stopping, it needs {}", self.subject(service), condition);
        } else if let Some(other) =
            ServiceId::from_index(waiting.trailing_zeros() as usize).filter(|_| waiting != 0)
        {
            info!("{}: stopping, it requires {}, which waits", self.subject(service), self.name(other));
        } else {
            return;
        }
        self.apply_internal(service, Event::Restart, now);
    }
}
