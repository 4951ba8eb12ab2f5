//! Reload: the services of a later configuration file take the place of those in force.
//!
//! A service that is removed or changed stops first, in the old table and in its order. Once none of them has a process,
//! the later table takes the place of the old one, and what was wanted runs again. The others notice nothing.

use core::time::Duration;

use super::super::record::Record;
use super::super::table::bit;
use super::super::transition::{Event, Phase};
use super::super::{Action, CheckId, Name, ServiceId, ServiceTable};
use super::{Supervisor, order_of};
use crate::limits::SERVICES;
use crate::{info, internal_error, warning};

/// Services that differ in a later table.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Difference {
    /// Those that only the later one has.
    pub added: Vec<Name>,
    /// Those that differ, or whose checks do.
    pub changed: Vec<Name>,
    /// Those that only the earlier one has.
    pub removed: Vec<Name>,
}

/// A reload that waits for the end of services.
#[derive(Debug)]
pub(super) struct Reload {
    later: ServiceTable,
    /// Mask of the services that stop for it.
    leaving: u64,
    /// Mask of those of them that the later table has, too.
    changed: u64,
    /// Mask of those that were wanted before. A later server that returns to the earlier table starts them again.
    wanted: u64,
}

impl Supervisor {
    /// Returns what a later table changes. It has the ids of [`ServiceTable::succeed`].
    pub fn difference(&self, later: &ServiceTable) -> Difference {
        let names = |table: &ServiceTable, is_one: &dyn Fn(ServiceId) -> bool| {
            let services = table.iter().filter(|(service, _)| is_one(*service));
            services.map(|(_, spec)| spec.name.clone()).collect()
        };
        let is_of_both = |service| self.table.has_same_name(later, service);
        Difference {
            added: names(later, &|service| !is_of_both(service)),
            changed: names(later, &|service| is_of_both(service) && !self.table.has_same(later, service)),
            removed: names(&self.table, &|service| !is_of_both(service)),
        }
    }

    /// Begins a reload with the later table, which has the ids of [`ServiceTable::succeed`]: stops the services that
    /// are removed or changed. [`reload_is_due`](Self::reload_is_due) returns true once they have ended.
    pub fn begin_reload(&mut self, later: ServiceTable, now: Duration) {
        debug_assert!(self.may_reload(), "`may_reload` comes first");
        let (mut leaving, mut changed, mut wanted) = (0, 0, 0);
        let services = self.table.iter().map(|(service, _)| service);
        for service in services.filter(|service| !self.table.has_same(&later, *service)) {
            leaving |= bit(service);
            changed |= if self.table.has_same_name(&later, service) { bit(service) } else { 0 };
            wanted |= if self.entries[service.index()].is_wanted() { bit(service) } else { 0 };
        }
        self.reload = Some(Box::new(Reload { later, leaving, changed, wanted }));
        self.progress(now);
    }

    /// During a reload: stops every service that is removed or changed and that no such service waits for. One that
    /// is wanted and only changed restarts, as far as others can see: those that require it run on.
    pub(super) fn continue_reload(&mut self, now: Duration) {
        let Some(&Reload { leaving, changed, .. }) = self.reload.as_deref() else { return };
        let busy = self.busy() & leaving;
        for service in self.order.clone().into_iter().rev().filter(|service| leaving & bit(*service) != 0) {
            let entry = &self.entries[service.index()];
            let is_needed = |(index, entry): (usize, &Record)| {
                busy & (1 << index) != 0 && entry.after & bit(service) != 0
            };
            let is_due = match entry.phase {
                Phase::Started | Phase::Paused => !self.entries.iter().enumerate().any(is_needed),
                Phase::Waiting | Phase::Preparing => true,
                // A changed one that starts is restarted once it runs.
                Phase::Spawning | Phase::Blocked => changed & bit(service) == 0,
                _ => false,
            };
            if !is_due || !self.has_room() {
                continue;
            }
            info!("{}: stopping, the configuration file has changed it", self.subject(service));
            let event = if changed & bit(service) != 0 { Event::Restart } else { Event::Stop };
            self.apply_internal(service, event, now);
        }
    }

    /// Returns false while a reload is under way, or a shutdown.
    pub fn may_reload(&self) -> bool {
        self.reload.is_none() && !self.is_shutting_down
    }

    /// Returns true once no service has a process that stops for the reload, and there is room for [`Action::Persist`].
    pub fn reload_is_due(&self) -> bool {
        let has_ended = self.reload.as_ref().is_some_and(|reload| self.busy() & reload.leaving == 0);
        has_ended && !self.is_shutting_down && !self.actions.is_full()
    }

    /// Returns true for a service that stops for a reload: it does not start before.
    pub(super) fn is_leaving(&self, service: ServiceId) -> bool {
        self.reload.as_ref().is_some_and(|reload| reload.leaving & bit(service) != 0)
    }

    /// Returns true for a service that stops for a reload, and was wanted before.
    pub(super) fn was_wanted(&self, service: ServiceId) -> bool {
        self.reload.as_ref().is_some_and(|reload| reload.wanted & bit(service) != 0)
    }

    /// Has a service that a command stops during a reload stay stopped, and what requires it, also with a later server.
    pub(super) fn leave_stopped(&mut self, service: ServiceId) {
        let Some(reload) = &mut self.reload else { return };
        let mut stopped = bit(service);
        // What a service requires comes before it.
        for other in &self.order {
            let requires = self.entries[other.index()].required & stopped != 0;
            stopped |= if requires { bit(*other) } else { 0 };
        }
        reload.wanted &= !stopped;
        self.noted |= stopped;
    }

    /// Ends a reload that is due: the later table is in force, and what ran before runs again. Conditions are not met
    /// until they are reported. `unix_s` is the time of day of [`set_time_of_day`](Self::set_time_of_day), `stored` the
    /// setting of a service by an earlier install or uninstall. Returns the mask of the services whose place another one
    /// has now, or none.
    pub fn finish_reload(
        &mut self,
        now: Duration,
        unix_s: Option<u64>,
        stored: &mut dyn FnMut(&str) -> Option<bool>,
    ) -> u64 {
        let mut replaced = 0;
        let Some(reload) = self.reload.take() else { return replaced };
        let Reload { later, mut leaving, changed, .. } = *reload;
        let before = core::mem::replace(&mut self.table, later);
        let (mut starting, mut is_overridden) = (0, false);
        for index in 0..SERVICES {
            let Some(service) = ServiceId::from_index(index) else { continue };
            let entry = &mut self.entries[index];
            let (old, new) = (before.get(service), self.table.get(service));
            if old.is_none() && new.is_some() {
                leaving |= bit(service);
            }
            if leaving & bit(service) == 0 {
                continue;
            }
            let enabled = old.is_some_and(|spec| entry.enabled != spec.autostart);
            let mut fresh = Record { since: now, ..Record::NEW };
            fresh.enabled = new.is_some_and(|spec| spec.autostart);
            if changed & bit(service) != 0 {
                if enabled {
                    fresh.enabled = entry.enabled;
                    is_overridden = true;
                }
                if fresh.enabled && !entry.enabled || entry.is_wanted() {
                    starting |= bit(service);
                }
                fresh.history = entry.history.clone();
                fresh.last_exit = entry.last_exit;
                fresh.started_once = entry.started_once;
            } else {
                replaced |= bit(service);
                is_overridden |= enabled;
                if let Some(enabled) = new.and_then(|spec| stored(&spec.name)) {
                    fresh.enabled = enabled;
                    is_overridden = true;
                }
                starting |= if fresh.enabled { bit(service) } else { 0 };
            }
            *entry = fresh;
            self.noted |= bit(service);
        }
        self.set_conditions(&before);
        self.order = order_of(&self.table, &mut self.entries);
        self.replace_checks(&before, now);
        // The lines of services that are gone stay in the file, and others may be what the file says by now.
        if is_overridden && self.actions.push_back(Action::Persist).is_err() {
            internal_error!("a reload ended without room for its actions");
        }
        self.set_time_of_day(unix_s);
        self.begin_schedules(now);
        for service in self.order.clone() {
            if starting & bit(service) != 0 {
                self.start_required(service, now);
                if let Err(error) = self.apply(service, Event::Start, now) {
                    warning!("{}: cannot start: {}", self.subject(service), error);
                }
            }
        }
        self.progress(now);
        replaced
    }

    /// Takes over which conditions are met: those of the table before are known.
    fn set_conditions(&mut self, before: &ServiceTable) {
        let is_met = |text: &str| {
            let index = before.conditions().iter().position(|known| known == text);
            index.is_some_and(|index| self.met & (1 << index) != 0)
        };
        let conditions = self.table.conditions().iter().enumerate();
        self.met = conditions.map(|(index, text)| u8::from(is_met(text)) << index).sum();
    }

    /// Begins the checks that are new, and ends those that are gone.
    fn replace_checks(&mut self, before: &ServiceTable, now: Duration) {
        for (index, record) in self.checks.iter_mut().enumerate() {
            let Some(id) = CheckId::from_index(index) else { continue };
            let new = self.table.check(id);
            if new == before.check(id) {
                continue;
            }
            record.reset();
            self.changed_checks |= 1 << index;
            let runs = |service: ServiceId| self.entries[service.index()].phase == Phase::Started;
            if let Some(check) = new.filter(|check| check.service.is_none_or(runs)) {
                record.start(check, now);
            }
        }
    }
}
