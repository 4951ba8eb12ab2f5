//! Events of services, as the keeper passes them on.

use core::time::Duration;

use super::super::table::bit;
use super::super::transition::Phase;
use super::super::{EVENT_PERIOD, Event, EventReport, ServiceId};
use super::Supervisor;
use crate::internal_error;

impl Supervisor {
    /// Handles an event of a service.
    pub(super) fn handle_reported(&mut self, service: ServiceId, report: EventReport, now: Duration) {
        let entry = &self.entries[service.index()];
        if entry.pid == 0 || !matches!(entry.phase, Phase::Started | Phase::Paused) {
            return;
        }
        let EventReport { text, age, life, changes } = report;
        let until = life.map(|life| now.saturating_add(life));
        let event = Event { service, text, at: now.saturating_sub(age), until, changes, is_sent: true };
        // One that is only forgotten later than before is not pushed.
        let is_known = self.events.of(service).any(|known| known.text == text);
        match self.events.store(event) {
            Ok(()) if is_known => {}
            Ok(()) => self.changed_events |= bit(service),
            // The keeper has the same limits.
            Err(_) => internal_error!("{}: no room for an event", self.name(service)),
        }
    }

    /// Events of a service, until its run has ended.
    pub fn events(&self, service: ServiceId) -> impl Iterator<Item = &Event> {
        self.events.of(service)
    }

    /// Forgets the events of a run that has ended.
    pub(super) fn end_events(&mut self, service: ServiceId, phase: Phase) {
        let is_over = !matches!(
            phase,
            Phase::Started | Phase::Paused | Phase::StopCommand | Phase::Stopping | Phase::Killing
        );
        if is_over && self.events.of(service).next().is_some() {
            self.events.retain(|other| other != service);
            self.changed_events |= bit(service);
        }
    }

    /// Forgets the events whose time is over.
    pub(super) fn expire_events(&mut self, now: Duration) {
        self.changed_events |= self.events.expire(now);
    }

    /// Time of the next deadline of an event, or of the changes that are held back.
    pub(super) fn event_timeout(&self) -> Option<Duration> {
        let held = (self.changed_events != 0).then_some(self.events_due);
        held.into_iter().chain(self.events.poll_timeout()).min()
    }

    /// Returns the mask of the services whose events have changed, at most once in `EVENT_PERIOD`.
    pub fn take_changed_events(&mut self, now: Duration) -> u64 {
        if self.changed_events == 0 || now < self.events_due {
            return 0;
        }
        self.events_due = now + EVENT_PERIOD;
        core::mem::take(&mut self.changed_events)
    }
}
