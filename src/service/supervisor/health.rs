//! Health checks: attempts that are due, their results, and the health of the board.

use core::fmt;
use core::time::Duration;

use heapless::Vec;

use super::super::record::{Readiness, Record};
use super::super::transition::{Event, Phase};
use super::super::{
    Attempt, Check, CheckError, CheckId, CheckLevel, CheckState, CheckStatus, EndReason, ServiceId, State,
};
use super::Supervisor;
use crate::limits::CHECKS;
use crate::{debug, error, info, warning};

/// Reason why a board is not healthy.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Problem<'a> {
    /// The check with this name is failing.
    Check(&'a str),
    /// The enabled service with this name is not ready.
    Service(&'a str),
}

impl fmt::Display for Problem<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Check(name) => write!(f, "check {name} is failing"),
            Self::Service(name) => write!(f, "service {name} is not ready"),
        }
    }
}

impl Supervisor {
    /// Returns the first problem of the board that this level reports.
    pub fn problem(&self, level: CheckLevel) -> Option<Problem<'_>> {
        let is_failing = |(_, check, status): &(CheckId, &Check, CheckStatus)| {
            check.level <= level && status.state == CheckState::Failing
        };
        if let Some((_, check, _)) = self.checks().find(is_failing) {
            return Some(Problem::Check(&check.name));
        }
        let is_unready = |entry: &Record| entry.enabled && entry.readiness != Readiness::Ready;
        let mut services = self.table.iter().filter(|_| level == CheckLevel::Ready);
        let unready = services.find(|(service, _)| is_unready(&self.entries[service.index()]));
        unready.map(|(_, spec)| Problem::Service(&spec.name))
    }

    /// Returns the first required service that is not up and ready, or has a check that is failing.
    pub fn missing(&self) -> Option<&str> {
        let is_missing = |service: ServiceId| {
            let entry = &self.entries[service.index()];
            let is_up = matches!(entry.phase.state(), State::Started | State::Finished);
            !is_up || entry.readiness != Readiness::Ready || self.is_unhealthy(service)
        };
        let mut required = self.table.iter().filter(|(_, spec)| spec.is_required);
        required.find(|(service, _)| is_missing(*service)).map(|(_, spec)| spec.name.as_str())
    }

    fn is_unhealthy(&self, service: ServiceId) -> bool {
        self.checks()
            .any(|(_, check, status)| check.service == Some(service) && status.state == CheckState::Failing)
    }

    /// Every check with its status.
    pub fn checks(&self) -> impl Iterator<Item = (CheckId, &Check, CheckStatus)> {
        self.table.checks().zip(&self.checks).map(|((id, check), record)| (id, check, record.status()))
    }

    /// Mask of the checks whose state has changed since the last call.
    pub fn take_changed_checks(&mut self) -> u64 {
        core::mem::take(&mut self.changed_checks)
    }

    /// Checks with an attempt that is due, the longest due first. [`begin_check`](Self::begin_check) begins it;
    /// one that cannot begin stays due.
    pub fn due_checks(&self, now: Duration) -> Vec<CheckId, CHECKS> {
        let mut due: Vec<(Duration, CheckId), CHECKS> = self
            .table
            .checks()
            .zip(&self.checks)
            .filter_map(|((id, _), record)| Some((record.due().filter(|due| *due <= now)?, id)))
            .collect();
        due.sort_unstable();
        due.into_iter().map(|(_, id)| id).collect()
    }

    /// Begins an attempt of a check.
    pub fn begin_check(&mut self, check: CheckId, now: Duration) -> Attempt {
        Attempt { check, number: self.checks[check.index()].begin(now) }
    }

    /// Returns true if the result of an attempt still counts: the attempt is not too late, and the service runs.
    pub fn is_under_way(&self, attempt: Attempt) -> bool {
        self.checks[attempt.check.index()].is_under_way(attempt.number)
    }

    /// Handles the result of an attempt. A result that does not count any more is dropped.
    pub fn handle_checked(&mut self, attempt: Attempt, result: Result<(), CheckError>, now: Duration) {
        if !self.is_under_way(attempt) {
            return;
        }
        let Some(check) = self.table.check(attempt.check) else { return };
        let record = &mut self.checks[attempt.check.index()];
        let before = record.status().state;
        record.finish(check, result, now);
        let CheckStatus { state, failures, .. } = record.status();
        self.changed_checks |= u64::from(state != before) << attempt.check.index();
        match result {
            Ok(()) if state != before => info!("check {}: healthy", check.name),
            Ok(()) => {}
            Err(error) if state != before => {
                warning!("check {}: failing, {} failures in a row: {}", check.name, failures, error);
            }
            Err(error) => debug!("check {}: failure {}: {}", check.name, failures, error),
        }
        if result.is_err()
            && failures >= check.limit
            && let Some(service) = check.service
        {
            self.stop_unhealthy(service, attempt.check, now);
        }
    }

    /// Stops a service whose check is failing. Without room for the actions, the next failure does it.
    fn stop_unhealthy(&mut self, service: ServiceId, check: CheckId, now: Duration) {
        let has_room = self.has_room();
        let entry = &mut self.entries[service.index()];
        if entry.phase != Phase::Started || !has_room {
            return;
        }
        entry.fault = Some(EndReason::Unhealthy(check));
        let name = self.table.check(check).map_or("?", |check| &check.name);
        error!("{}: stopped, check {} is failing", self.subject(service), name);
        self.apply_internal(service, Event::Unhealthy, now);
        self.progress(now);
    }

    /// Begins the checks that have no service.
    pub(super) fn start_checks(&mut self, now: Duration) {
        for ((_, check), record) in self.table.checks().zip(&mut self.checks) {
            if check.service.is_none() {
                record.start(check, now);
            }
        }
    }

    /// Begins or ends the checks of a service that enters a phase.
    pub(super) fn follow_checks(&mut self, service: ServiceId, phase: Phase, now: Duration) {
        for ((id, check), record) in self.table.checks().zip(&mut self.checks) {
            if check.service == Some(service) {
                let before = record.status().state;
                match phase {
                    Phase::Started => record.start(check, now),
                    Phase::Stopped | Phase::Finished => record.reset(),
                    _ => record.suspend(),
                }
                self.changed_checks |= u64::from(record.status().state != before) << id.index();
            }
        }
    }

    /// Ends all checks, for the shutdown.
    pub(super) fn end_checks(&mut self) {
        self.checks.iter_mut().for_each(|record| record.reset());
    }

    /// Ends attempts that have taken too long.
    pub(super) fn expire_checks(&mut self, now: Duration) {
        for index in 0..self.checks.len() {
            let Some(id) = CheckId::from_index(index) else { return };
            let Some(check) = self.table.check(id) else { return };
            if let Some(number) = self.checks[index].late_attempt(check, now) {
                self.handle_checked(Attempt { check: id, number }, Err(CheckError::TimedOut), now);
            }
        }
    }

    /// Times at which an attempt is due, or too late.
    pub(super) fn check_timeouts(&self) -> impl Iterator<Item = Duration> {
        self.table.checks().zip(&self.checks).filter_map(|((_, check), record)| record.poll_timeout(check))
    }
}
