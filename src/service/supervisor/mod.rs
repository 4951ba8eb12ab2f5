//! Supervisor: drives each service from its actual to its desired state.

mod changes;
mod commands;
mod conditions;
mod events;
mod exits;
mod health;
mod inherit;
mod order;
mod programs;
mod readiness;
mod reload;
mod scheduled;
mod settle;
mod shutdown;

use core::time::Duration;

use heapless::{Deque, Vec};

pub use self::health::Problem;
use self::order::Gate;
pub use self::reload::Difference;
use self::reload::Reload;
use super::check::CheckRecord;
use super::record::{Next, Readiness, Record};
use super::restart::Jitter;
use super::transition::{Event, Phase, Step, step};
use super::{
    Action, CommandError, EndReason, Events, KILL_TIMEOUT, LastExit, NamedCommand, PastRun, Program, Scope,
    ServiceId, ServiceTable, Signal, Spec, StateChange, Status,
};
use crate::limits::{CHECKS, SERVICES};
use crate::log::{Subject, SubjectLimit};
use crate::{debug, error, info, internal_error, warning};

/// Most actions that one call can request for all services: two signals and one spawn each.
const ACTIONS: usize = 4 * SERVICES;
/// Most actions that one command can request.
const ACTIONS_OF_ONE: usize = 2;
/// Changes queued until the caller polls them.
const CHANGES: usize = 4 * SERVICES;

/// Supervisor of the services of a table. The [module documentation](super) shows its use.
#[derive(Debug)]
pub struct Supervisor {
    table: ServiceTable,
    /// One record for each possible [`ServiceId`].
    entries: [Record; SERVICES],
    /// One record for each possible [`CheckId`](super::CheckId).
    checks: [CheckRecord; CHECKS],
    /// Mask of the checks whose state has changed since the last [`Supervisor::take_changed_checks`].
    changed_checks: u64,
    events: Events,
    /// Mask of the services whose events have changed since the last [`Supervisor::take_changed_events`], and the earliest
    /// time of the next one.
    changed_events: u64,
    events_due: Duration,
    order: Vec<ServiceId, SERVICES>,
    actions: Deque<Action, ACTIONS>,
    changes: Deque<StateChange, CHANGES>,
    /// Limit of the records about each service.
    limits: [SubjectLimit; SERVICES],
    jitter: Jitter,
    /// Mask of the conditions that are met.
    met: u8,
    /// Time of day, if it is plausible.
    unix_s: Option<u64>,
    /// Service with a pending `enabled` write, and its previous value.
    persisting: Option<(ServiceId, bool)>,
    is_shutting_down: bool,
    /// Reload that waits for the end of services.
    reload: Option<Box<Reload>>,
    /// Masks of the services of an earlier server, and of those of them that are to be started again.
    inherited: u64,
    resumed: u64,
    /// Mask of the services that may have changed since [`Supervisor::poll_memo`].
    noted: u64,
    /// A start has settled since the last [`Supervisor::poll_settled`] that found none.
    has_settled: bool,
}

impl Supervisor {
    /// Creates a supervisor with every service stopped, and enabled by its `autostart`.
    ///
    /// A table without a start order is used in table order, with an error in the log. The
    /// configuration checks [`ServiceTable::start_order`] first.
    pub fn new(table: ServiceTable) -> Self {
        let mut entries = [Record::NEW; SERVICES];
        let order = order_of(&table, &mut entries);
        for (id, spec) in table.iter() {
            entries[id.index()].enabled = spec.autostart;
        }
        Self {
            table,
            entries,
            checks: [CheckRecord::NEW; CHECKS],
            changed_checks: 0,
            events: Events::default(),
            changed_events: 0,
            events_due: Duration::ZERO,
            order,
            actions: Deque::new(),
            changes: Deque::new(),
            limits: [const { SubjectLimit::new() }; SERVICES],
            jitter: Jitter::NONE,
            met: 0,
            unix_s: None,
            persisting: None,
            is_shutting_down: false,
            reload: None,
            inherited: 0,
            resumed: 0,
            noted: 0,
            has_settled: false,
        }
    }

    /// Seeds the jitter of the restart delays. Without a seed they are exact.
    pub fn set_seed(&mut self, seed: u64) {
        self.jitter = Jitter::new(seed);
    }

    /// Table of the services.
    pub fn table(&self) -> &ServiceTable {
        &self.table
    }

    /// Services in start order.
    pub fn order(&self) -> &[ServiceId] {
        &self.order
    }

    /// Restores a persisted `enabled` setting at start-up.
    pub fn set_enabled(&mut self, service: ServiceId, enabled: bool) {
        self.entries[service.index()].enabled = enabled;
    }

    /// Services whose `enabled` setting differs from their `autostart`: the content of
    /// [`Action::Persist`].
    pub fn overrides(&self) -> impl Iterator<Item = (&str, bool)> {
        self.table.iter().filter_map(|(id, spec)| {
            let enabled = self.entries[id.index()].enabled;
            (enabled != spec.autostart).then_some((spec.name.as_str(), enabled))
        })
    }

    /// Returns the next action.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Handles expired deadlines.
    pub fn handle_timeout(&mut self, now: Duration) {
        for index in 0..SERVICES {
            let Some(service) = ServiceId::from_index(index) else { continue };
            // A deadline without room for its actions stays due.
            let has_room = self.has_room();
            let entry = &mut self.entries[index];
            if entry.deadline.is_some_and(|deadline| deadline <= now) && has_room {
                entry.deadline = None;
                if !self.end_delay(service, now) {
                    self.apply_internal(service, Event::Deadline, now);
                }
            }
            self.settle_expired(service, now);
            self.expire_readiness(service, now);
            self.expire_schedule(service, now);
        }
        self.expire_checks(now);
        self.expire_events(now);
        self.progress(now);
    }

    /// Time of the next call of [`Supervisor::handle_timeout`], since the start of the server.
    pub fn poll_timeout(&self) -> Option<Duration> {
        let others = self.check_timeouts().chain(self.event_timeout());
        self.entries.iter().filter_map(Record::poll_timeout).chain(others).min()
    }

    /// Status of a service.
    pub fn status(&self, service: ServiceId, now: Duration) -> Status {
        let entry = &self.entries[service.index()];
        Status {
            state: entry.phase.state(),
            pid: entry.pid,
            since: now.saturating_sub(entry.since),
            restarts: entry.restarts,
            last_exit: entry.last_exit,
            started_once: entry.started_once,
            enabled: entry.enabled,
            is_ready: entry.readiness == Readiness::Ready,
            is_late: entry.readiness == Readiness::Late,
            is_wanted: entry.is_wanted(),
            next_run: self.next_run(service, now),
        }
    }

    /// The newest ends of a service, the oldest first.
    pub fn history(&self, service: ServiceId) -> impl DoubleEndedIterator<Item = PastRun> {
        self.entries[service.index()].history.iter()
    }

    /// Number of ends in the history of a service.
    pub fn ends(&self, service: ServiceId) -> u32 {
        self.entries[service.index()].history.len()
    }

    /// Returns the named command of a service.
    pub fn named_command(&self, service: ServiceId, name: &str) -> Option<(usize, &NamedCommand)> {
        self.spec(service)?.commands.iter().enumerate().find(|(_, command)| command.name == name)
    }

    /// Applies an event of the supervisor itself, which no transition refuses.
    fn apply_internal(&mut self, service: ServiceId, event: Event, now: Duration) {
        if self.apply(service, event, now).is_err() {
            internal_error!("{}: event {} refused", self.name(service), event as u8);
        }
    }

    /// Looks up the transition and performs it.
    fn apply(&mut self, service: ServiceId, event: Event, now: Duration) -> Result<(), CommandError> {
        self.note(service);
        let entry = &mut self.entries[service.index()];
        let phase = entry.phase;
        match step(phase, event) {
            Step::Nothing => {}
            Step::Refuse => return Err(CommandError::NotRunning),
            Step::RefuseBusy => return Err(CommandError::Busy),
            Step::Unexpected => {
                warning!(
                    "{}: unexpected event {} while {}",
                    self.subject(service),
                    event as u8,
                    phase.state().word()
                )
            }
            Step::Start => {
                entry.restarts = 0;
                entry.reset_back_off();
                entry.readiness = Readiness::None;
                self.spawn(service, None, now);
            }
            Step::Respawn => {
                entry.restarts = entry.restarts.saturating_add(1);
                if event != Event::Deadline {
                    entry.reset_back_off();
                    entry.readiness = Readiness::None;
                }
                self.spawn(service, None, now);
            }
            Step::StartAfter => entry.next = Next::Start,
            Step::StayAfter => {
                entry.next = Next::Stay;
                self.cancel_start(service);
            }
            Step::Abort => {
                entry.next = Next::Stay;
                self.cancel_start(service);
                self.abort(service, None, now);
            }
            Step::TimeOut => self.time_out(service, now),
            Step::MarkLost => self.lose(service, now),
            Step::KillLate => self.signal(service, Signal::Kill, Scope::Group),
            Step::MarkRunning => self.mark_running(service, now),
            Step::Stop => {
                entry.next = Next::Stay;
                self.cancel_start(service);
                self.stop(service, None, now);
            }
            Step::StopThenStart => {
                entry.next = Next::Start;
                self.stop(service, None, now);
            }
            Step::StopRest => {
                let reason = Some(entry.last_exit).filter(|_| entry.program == Program::Main);
                self.stop(service, reason, now);
            }
            Step::Kill => {
                warning!("{}: killed, the stop timed out", self.subject(service));
                self.signal(service, Signal::Kill, Scope::Group);
                self.enter_until(service, Phase::Killing, None, now, KILL_TIMEOUT);
            }
            Step::EndUnhealthy if entry.fault != Some(EndReason::Watchdog) => self.stop(service, None, now),
            Step::EndUnhealthy => {
                error!("{}: killed, the watchdog expired", self.subject(service));
                self.signal(service, Signal::Kill, Scope::Group);
                self.enter_until(service, Phase::Killing, None, now, KILL_TIMEOUT);
                self.lose_readiness(service, now);
            }
            Step::StopOverdue => self.stop_overdue(service, now),
            Step::SignalStop => self.signal_stop(service, now),
            Step::KillFinish => self.kill_finish(service, now),
            Step::GiveUp => self.give_up(service, now),
            Step::Finish => self.finish(service, now),
            Step::EndBoard => self.end_board(service),
            Step::Suspend => {
                self.signal(service, Signal::Stop, Scope::Group);
                self.enter(service, Phase::Paused, None, now);
            }
            Step::Resume => {
                self.signal(service, Signal::Cont, Scope::Group);
                self.enter(service, Phase::Started, None, now);
            }
            Step::MarkPaused => {
                warning!("{}: suspended from outside", self.subject(service));
                self.enter(service, Phase::Paused, None, now);
            }
            Step::MarkResumed => self.enter(service, Phase::Started, None, now),
            Step::MarkStopped => {
                self.cancel_start(service);
                self.enter_stopped(service, None, now);
            }
        }
        Ok(())
    }

    /// Starts a service, or lets it wait for others. A required one that is down fails it in
    /// [`Supervisor::progress`].
    fn spawn(&mut self, service: ServiceId, reason: Option<LastExit>, now: Duration) {
        let entry = &mut self.entries[service.index()];
        entry.next = Next::Policy;
        entry.leader_exit = None;
        entry.run = None;
        entry.needs_finish = false;
        entry.fault = None;
        entry.failed_with = None;
        // In the later table it starts.
        if self.is_leaving(service) {
            return self.enter(service, Phase::Blocked, reason, now);
        }
        match self.gate(service) {
            Gate::Open => self.request_start(service, reason, now),
            Gate::Closed | Gate::Late(_) | Gate::Failed(_) => {
                debug!("{}: waits for other services", self.subject(service));
                self.enter(service, Phase::Blocked, reason, now);
            }
            Gate::Unmet(condition) => {
                info!("{}: waits for {}", self.subject(service), self.condition(condition));
                self.enter(service, Phase::Blocked, reason, now);
            }
        }
    }

    /// Returns true if there is room for the actions of a command.
    fn has_room(&self) -> bool {
        ACTIONS - self.actions.len() >= ACTIONS_OF_ONE
    }

    fn signal(&mut self, service: ServiceId, signal: Signal, scope: Scope) {
        if self.actions.push_back(Action::Signal { service, signal, scope }).is_err() {
            error!(
                "{}: cannot send signal {}: too many pending actions",
                self.subject(service),
                signal.name()
            );
        }
    }

    fn spec(&self, service: ServiceId) -> Option<&Spec> {
        self.table.get(service)
    }

    /// Name of a service as the subject of a record, within the rate limit of the service.
    pub(crate) fn subject(&self, service: ServiceId) -> Subject<'_> {
        self.limits[service.index()].subject(self.name(service))
    }

    fn name(&self, service: ServiceId) -> &str {
        self.spec(service).map_or("?", |spec| &spec.name)
    }
}

/// Start order of a table, and what each service waits for in its record.
fn order_of(table: &ServiceTable, entries: &mut [Record; SERVICES]) -> Vec<ServiceId, SERVICES> {
    for (id, spec) in table.iter() {
        let entry = &mut entries[id.index()];
        entry.wait = table.condition_mask(&spec.wait);
        entry.needs = table.condition_mask(&spec.needs);
    }
    match table.start_order() {
        Ok(order) => {
            for (id, _) in table.iter() {
                entries[id.index()].after = table.after_mask(id).unwrap_or(0);
                entries[id.index()].required = table.required_mask(id);
            }
            order
        }
        Err(_) => {
            error!("cannot order the services, starting them in table order");
            table.iter().map(|(id, _)| id).collect()
        }
    }
}

#[cfg(test)]
mod tests;
