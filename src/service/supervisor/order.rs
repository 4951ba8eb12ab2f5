//! Order of the services: a start waits for the readiness of others, and a service stops with those that it
//! requires.

use core::time::Duration;

use super::super::exit::lack;
use super::super::record::{Next, Readiness, Record};
use super::super::table::bit;
use super::super::transition::{Event, Phase};
use super::super::{CommandError, LastExit, ServiceId};
use super::Supervisor;
use crate::{error, info, warning};

/// Answer to the question if a service may start.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Gate {
    Open,
    /// A service before it is not ready yet.
    Closed,
    /// This condition is not met.
    Unmet(usize),
    /// All services before it are ready or late; this one is late.
    Late(ServiceId),
    /// A required service is down, or not ready in time.
    Failed(ServiceId),
}

impl Record {
    /// Returns true if a start is under way that will be ready, late or failed.
    pub(super) fn is_awaited(&self) -> bool {
        match self.readiness {
            Readiness::Pending { .. } => true,
            Readiness::Ready | Readiness::Late => false,
            Readiness::None => self.phase == Phase::Blocked || self.will_start_again(),
        }
    }

    /// Returns true if the processes are ending, and a command wants new ones.
    fn will_start_again(&self) -> bool {
        self.next == Next::Start
            && (self.phase.is_ending() || matches!(self.phase, Phase::Aborting | Phase::CleaningUp))
    }

    /// Returns true if the service has failed, or will have because a service that it requires has.
    fn has_failed(&self) -> bool {
        matches!(self.phase, Phase::Failed | Phase::Lost) || self.failed_with.is_some()
    }

    /// Returns true if the service has no process, or no process that is to stay, and none is to come.
    fn is_down(&self) -> bool {
        match self.phase {
            Phase::Stopped | Phase::Failed | Phase::Lost => true,
            Phase::Aborting | Phase::StopCommand | Phase::Stopping | Phase::Killing | Phase::CleaningUp => {
                self.next == Next::Stay
            }
            Phase::Blocked
            | Phase::Waiting
            | Phase::Spawning
            | Phase::Preparing
            | Phase::Started
            | Phase::Paused
            | Phase::Finished => false,
        }
    }
}

impl Supervisor {
    /// Returns if a service may start now.
    pub(super) fn gate(&self, service: ServiceId) -> Gate {
        let Record { after, required, .. } = self.entries[service.index()];
        // A condition may be away for long. What requires a service waits for it together with that one.
        let is_blocked = |entry: &Record| entry.phase == Phase::Blocked;
        let failed =
            |entry: &Record| entry.is_down() || entry.readiness == Readiness::Late && !is_blocked(entry);
        if let Some(other) = self.first(required, failed) {
            Gate::Failed(other)
        } else if self.first(after, Record::is_awaited).is_some()
            || self.first(required, is_blocked).is_some()
        {
            Gate::Closed
        } else if let Some(condition) = self.unmet(service) {
            Gate::Unmet(condition)
        } else {
            let late = self.first(after, |entry| entry.readiness == Readiness::Late);
            late.map_or(Gate::Open, Gate::Late)
        }
    }

    /// First service of a mask for which the condition is true.
    fn first(&self, mask: u64, is_true: impl Fn(&Record) -> bool) -> Option<ServiceId> {
        let mut services = self.entries.iter().enumerate().filter(|(index, _)| mask & (1 << index) != 0);
        services.find(|(_, entry)| is_true(entry)).and_then(|(index, _)| ServiceId::from_index(index))
    }

    /// Starts what a service requires, directly or not, and is down or waits for its restart.
    pub(super) fn start_required(&mut self, service: ServiceId, now: Duration) {
        let mut needed = bit(service);
        // The order has the dependencies of a service before it.
        for other in self.order.iter().rev().filter(|_| self.entries[service.index()].required != 0) {
            if needed & bit(*other) != 0 {
                needed |= self.entries[other.index()].required;
            }
        }
        for other in self.order.clone() {
            let entry = &self.entries[other.index()];
            let is_needed = other != service && needed & bit(other) != 0;
            if is_needed && (entry.is_down() || entry.phase == Phase::Waiting) {
                info!("{}: starting, {} requires it", self.subject(other), self.name(service));
                if let Err(error) = self.apply(other, Event::Start, now) {
                    warning!("{}: cannot start: {}", self.subject(other), error);
                }
            }
        }
    }

    /// Goes on after any change: stops the services whose required ones are down, starts those that have
    /// waited long enough, and continues a shutdown.
    pub(super) fn progress(&mut self, now: Duration) {
        self.continue_shutdown(now);
        if self.is_shutting_down {
            return;
        }
        self.continue_reload(now);
        // One pass is enough: what a service depends on comes before it.
        for service in self.order.clone() {
            if self.entries[service.index()].phase == Phase::Blocked && !self.is_leaving(service) {
                self.leave_blocked(service, now);
            } else {
                self.stop_with_required(service, now);
                self.stop_without_needs(service, now);
            }
        }
    }

    fn leave_blocked(&mut self, service: ServiceId, now: Duration) {
        match self.gate(service) {
            Gate::Closed => self.await_others(service),
            Gate::Unmet(_) => self.await_conditions(service, now),
            Gate::Open => self.leave_conditions(service, now),
            Gate::Late(other) => {
                warning!("{}: starting, although {} is not ready", self.subject(service), self.name(other));
                self.leave_conditions(service, now);
            }
            Gate::Failed(other) => self.fail_with(service, other, now),
        }
    }

    /// Ends a start because of a required service: it stops with one that was stopped, and fails with one that has
    /// failed. If that one may still become ready, the policy decides.
    fn fail_with(&mut self, service: ServiceId, other: ServiceId, now: Duration) {
        let required = &self.entries[other.index()];
        let (is_down, has_failed) = (required.is_down(), required.has_failed());
        error!(
            "{}: cannot start, it requires {}, which {}",
            self.subject(service),
            self.name(other),
            lack(is_down)
        );
        let reason = self.required(service, other, is_down);
        self.entries[service.index()].last_exit = reason;
        self.settle_spawn(service, CommandError::Exited(reason));
        match (is_down, has_failed) {
            (true, true) => self.enter(service, Phase::Failed, Some(reason), now),
            (true, false) => self.enter(service, Phase::Stopped, Some(reason), now),
            (false, _) => self.decide(service, false, Duration::ZERO, now),
        }
    }

    fn stop_with_required(&mut self, service: ServiceId, now: Duration) {
        let entry = &self.entries[service.index()];
        if entry.is_down() || !self.has_room() {
            return;
        }
        let Some(other) = self.first(entry.required, Record::is_down) else { return };
        info!("{}: stopping, it requires {}, which does not run", self.subject(service), self.name(other));
        let has_failed = self.entries[other.index()].has_failed();
        self.entries[service.index()].failed_with = has_failed.then_some(other);
        self.apply_internal(service, Event::Stop, now);
    }

    /// Enters `Stopped`, or `Failed` if the stop was caused by the failure of a required service.
    pub(super) fn enter_stopped(&mut self, service: ServiceId, reason: Option<LastExit>, now: Duration) {
        match self.entries[service.index()].failed_with.take() {
            None => self.enter(service, Phase::Stopped, reason, now),
            Some(other) => {
                let reason = self.required(service, other, true);
                self.entries[service.index()].last_exit = reason;
                self.enter(service, Phase::Failed, Some(reason), now);
            }
        }
    }

    /// Reason that names a required service.
    pub(super) fn required(&self, service: ServiceId, other: ServiceId, is_down: bool) -> LastExit {
        let name = self.name(other);
        let requires = self.spec(service).map_or(&[][..], |spec| &spec.requires);
        let index = requires.iter().position(|required| required == name).unwrap_or(0);
        LastExit::Required { index: index as u8, is_down }
    }
}
