//! Conditions of the machine: a start waits for them, and a service stops without those that it needs.

use core::time::Duration;

use super::super::ServiceId;
use super::super::record::Readiness;
use super::super::table::bit;
use super::super::transition::{Event, Phase};
use super::{ACTIONS, ACTIONS_OF_ONE, Supervisor};
use crate::info;

impl Supervisor {
    /// Reports whether a condition is met, by its index in
    /// [`ServiceTable::conditions`](super::ServiceTable::conditions). Before the first report it is not.
    pub fn handle_condition(&mut self, condition: usize, is_met: bool, now: Duration) {
        let bit = 1_u8.checked_shl(condition as u32).unwrap_or(0);
        self.met = if is_met { self.met | bit } else { self.met & !bit };
        self.progress(now);
    }

    /// Services and conditions that a start waits for.
    pub fn awaited(&self, service: ServiceId) -> impl Iterator<Item = &str> {
        let entry = &self.entries[service.index()];
        let is_blocked = entry.phase == Phase::Blocked;
        let (after, unmet) = if is_blocked { (entry.after, self.unmet_mask(service)) } else { (0, 0) };
        let is_awaited =
            move |other: &ServiceId| after & bit(*other) != 0 && self.entries[other.index()].is_awaited();
        let services = self.table.iter().filter(move |(other, _)| is_awaited(other));
        let conditions = self.table.conditions().iter().enumerate();
        let conditions = conditions.filter(move |(index, _)| unmet & (1 << index) != 0);
        services.map(|(_, spec)| spec.name.as_str()).chain(conditions.map(|(_, text)| text))
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

    /// Stops a service if a condition is not met that it needs. It starts again when all are.
    pub(super) fn stop_without_needs(&mut self, service: ServiceId, now: Duration) {
        let entry = &self.entries[service.index()];
        let unmet = entry.needs & !self.met;
        let has_room = ACTIONS - self.actions.len() >= ACTIONS_OF_ONE;
        if unmet == 0 || !has_room || !matches!(entry.phase, Phase::Started | Phase::Paused) {
            return;
        }
        let condition = self.condition(unmet.trailing_zeros() as usize);
        info!("{}: stopping, it needs {}", self.name(service), condition);
        self.apply_internal(service, Event::Restart, now);
    }
}
