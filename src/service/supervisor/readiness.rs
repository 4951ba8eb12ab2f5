//! Readiness of services: the third fact beside the process and the desire for one.

use core::time::Duration;

use super::super::record::{Next, Readiness};
use super::super::transition::{Event, Phase};
use super::super::{
    EndReason, Notice, ReadyCheck, SERVICE_READY_TIMEOUT_MAX, START_SETTLE, STOP_TIMEOUT_MAX, ServiceId,
    Spec, StatusText,
};
use super::Supervisor;
use crate::{info, warning};

impl Supervisor {
    /// Handles reports of a service about itself.
    pub fn handle_notice(&mut self, service: ServiceId, notice: Notice, now: Duration) {
        let watchdog = self.spec(service).and_then(|spec| spec.watchdog);
        let entry = &mut self.entries[service.index()];
        if let (Phase::Stopping, Some(extend)) = (entry.phase, notice.extend) {
            let most = entry.since + STOP_TIMEOUT_MAX;
            entry.deadline = entry.deadline.max(Some(now.saturating_add(extend).min(most)));
        }
        if entry.pid == 0 || !matches!(entry.phase, Phase::Started | Phase::Paused) {
            return;
        }
        if let Some(text) = notice.text {
            entry.text = text;
        }
        if let (Readiness::Pending { since, until }, Some(extend)) = (entry.readiness, notice.extend) {
            let most = since + SERVICE_READY_TIMEOUT_MAX;
            entry.readiness =
                Readiness::Pending { since, until: until.max(now.saturating_add(extend).min(most)) };
        }
        if notice.is_ready {
            self.handle_ready(service, now);
        }
        let entry = &mut self.entries[service.index()];
        if notice.is_alive && entry.watchdog.is_some() {
            entry.watchdog = watchdog.map(|watchdog| now + watchdog);
        }
        if notice.is_stopping {
            entry.watchdog = None;
            self.lose_readiness(service, now);
        }
        self.progress(now);
    }

    /// Handles the sign that the current process is ready.
    pub fn handle_ready(&mut self, service: ServiceId, now: Duration) {
        let watchdog = self.spec(service).and_then(|spec| spec.watchdog);
        let entry = &mut self.entries[service.index()];
        let is_up = entry.pid != 0 && matches!(entry.phase, Phase::Started | Phase::Paused);
        if !is_up || entry.readiness == Readiness::Ready {
            return;
        }
        entry.readiness = Readiness::Ready;
        self.note(service);
        let entry = &mut self.entries[service.index()];
        entry.ready_at = None;
        if entry.phase == Phase::Started {
            entry.watchdog = watchdog.map(|watchdog| now + watchdog);
        }
        info!("{}: ready", self.subject(service));
        self.progress(now);
    }

    /// Services with a process that is not ready, and a sign of readiness that the caller looks for.
    pub fn unready(&self) -> impl Iterator<Item = (ServiceId, &ReadyCheck)> {
        self.table.iter().filter_map(|(service, spec)| {
            let entry = &self.entries[service.index()];
            let is_unready = entry.phase == Phase::Started && entry.readiness != Readiness::Ready;
            (is_unready && spec.ready != ReadyCheck::OfKind).then_some((service, &spec.ready))
        })
    }

    /// Line in which a service describes its state; empty without one.
    pub fn status_text(&self, service: ServiceId) -> &str {
        self.entries[service.index()].text.as_str()
    }

    /// Begins the wait for the readiness of a service, unless one is under way.
    pub(super) fn await_ready(&mut self, service: ServiceId, now: Duration) {
        let timeout = self.spec(service).map_or(Duration::ZERO, |spec| spec.ready_timeout);
        let entry = &mut self.entries[service.index()];
        if matches!(entry.readiness, Readiness::None | Readiness::Ready) {
            entry.readiness = Readiness::Pending { since: now, until: now + timeout };
        }
    }

    /// Sets the time at which a simple service that has just started is ready.
    pub(super) fn await_settled(&mut self, service: ServiceId, now: Duration) {
        let is_simple = self.spec(service).is_some_and(Spec::is_ready_after_run);
        let entry = &mut self.entries[service.index()];
        entry.ready_at = is_simple.then_some(now + START_SETTLE);
        entry.text = StatusText::EMPTY;
    }

    /// Marks a service as not ready. The wait for its readiness begins anew if its policy will decide.
    pub(super) fn lose_readiness(&mut self, service: ServiceId, now: Duration) {
        self.note(service);
        let entry = &mut self.entries[service.index()];
        entry.ready_at = None;
        if entry.next != Next::Policy {
            entry.readiness = Readiness::None;
        } else if entry.readiness == Readiness::Ready {
            self.await_ready(service, now);
        }
    }

    /// Lets all watchdogs expire later: for that time no report could be read.
    pub fn extend_watchdogs(&mut self, late: Duration) {
        for watchdog in self.entries.iter_mut().filter_map(|entry| entry.watchdog.as_mut()) {
            *watchdog += late;
        }
    }

    /// Handles the expired deadlines of readiness and watchdog.
    pub(super) fn expire_readiness(&mut self, service: ServiceId, now: Duration) {
        let entry = &mut self.entries[service.index()];
        if entry.ready_at.is_some_and(|at| at <= now) {
            self.handle_ready(service, now);
        }
        let entry = &mut self.entries[service.index()];
        if let Readiness::Pending { since, until } = entry.readiness
            && until <= now
        {
            entry.readiness = Readiness::Late;
            let seconds = until.saturating_sub(since).as_secs();
            warning!("{}: not ready after {} s", self.subject(service), seconds);
        }
        let entry = &mut self.entries[service.index()];
        if entry.watchdog.is_some_and(|watchdog| watchdog <= now) && !self.actions.is_full() {
            entry.watchdog = None;
            entry.fault = Some(EndReason::Watchdog);
            self.apply_internal(service, Event::Unhealthy, now);
        }
    }
}
