//! Supervisor: drives each service from its actual to its desired state.

use core::time::Duration;

use heapless::{Deque, Vec};

use super::record::Record;
use super::restart::{BackOff, is_transient};
use super::state::{Event, Phase, Step, step};
use super::table::bit;
use super::{
    Action, CommandError, Exit, KILL_TIMEOUT, LastExit, NamedCommand, SHUTDOWN_TIMEOUT, ServiceId,
    ServiceTable, Signal, Spec, StateChange, Status, Verb,
};
use crate::limits::SERVICES;
use crate::log::{DebugArg, Reason};
use crate::{error, info, internal_error, warning};

/// Most actions that one call can request for all services: two signals and one spawn each.
const ACTIONS: usize = 4 * SERVICES;
/// Most actions that one command can request.
const ACTIONS_OF_ONE: usize = 2;
/// Changes queued until the caller polls them.
const CHANGES: usize = 4 * SERVICES;

/// Progress of the shutdown.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Shutdown {
    None,
    /// Services are being stopped; deadline.
    Stopping(Duration),
    /// The remaining services were killed; deadline for their exits.
    Killing(Duration),
    /// The remaining processes cannot be killed.
    GaveUp,
}

/// Supervisor of the services of a table. The [module documentation](super) shows its use.
#[derive(Debug)]
pub struct Supervisor {
    table: ServiceTable,
    /// One record for each possible [`ServiceId`].
    entries: [Record; SERVICES],
    order: Vec<ServiceId, SERVICES>,
    actions: Deque<Action, ACTIONS>,
    changes: Deque<StateChange, CHANGES>,
    /// Service with a pending `enabled` write, and its previous value.
    persisting: Option<(ServiceId, bool)>,
    shutdown: Shutdown,
}

impl Supervisor {
    /// Creates a supervisor with every service stopped, and enabled by its `autostart`.
    ///
    /// A table without a start order is used in table order, with an error in the log. The
    /// configuration checks [`ServiceTable::start_order`] first.
    pub fn new(table: ServiceTable) -> Self {
        let mut entries = [Record::NEW; SERVICES];
        let order = match table.start_order() {
            Ok(order) => {
                for (id, _) in table.iter() {
                    entries[id.index()].after = table.after_mask(id).unwrap_or(0);
                }
                order
            }
            Err(reason) => {
                error!("cannot order the services, starting them in table order: {}", DebugArg(reason));
                table.iter().map(|(id, _)| id).collect()
            }
        };
        for (id, spec) in table.iter() {
            entries[id.index()].enabled = spec.autostart;
        }
        Self {
            table,
            entries,
            order,
            actions: Deque::new(),
            changes: Deque::new(),
            persisting: None,
            shutdown: Shutdown::None,
        }
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

    /// Starts every enabled service, in start order.
    pub fn start_enabled(&mut self, now: Duration) {
        for service in self.order.clone() {
            if self.entries[service.index()].enabled && self.shutdown == Shutdown::None {
                self.apply_internal(service, Event::Start, now);
                self.entries[service.index()].commanded = false;
            }
        }
    }

    /// Handles a command. [`Supervisor::take_result`] reports its outcome once its actions have been
    /// carried out.
    ///
    /// # Errors
    /// See [`CommandError`]; the service is unchanged.
    pub fn handle_command(
        &mut self,
        service: ServiceId,
        verb: Verb,
        now: Duration,
    ) -> Result<(), CommandError> {
        self.accept_command(service, verb == Verb::Stop)?;
        match verb {
            Verb::Start => self.apply(service, Event::Start, now),
            Verb::Stop => self.apply(service, Event::Stop, now),
            Verb::Restart => self.apply(service, Event::Restart, now),
            Verb::Pause => self.apply(service, Event::Pause, now),
            Verb::Install => self.enable(service, true),
            Verb::Uninstall => self.enable(service, false),
        }
    }

    /// Sends the signal of a named command to the process group of a service. `STOP` pauses the
    /// service and `CONT` resumes it.
    ///
    /// # Errors
    /// [`CommandError::NotRunning`] without a process, and the errors of every command.
    pub fn handle_signal(
        &mut self,
        service: ServiceId,
        signal: Signal,
        now: Duration,
    ) -> Result<(), CommandError> {
        self.accept_command(service, false)?;
        let entry = &self.entries[service.index()];
        match (signal, entry.phase) {
            (_, phase) if !phase.is_alive() => Err(CommandError::NotRunning),
            (Signal::Stop, Phase::Started) => self.apply(service, Event::Pause, now),
            (Signal::Cont, Phase::Paused) => self.apply(service, Event::Start, now),
            _ => {
                self.signal(service, signal);
                Ok(())
            }
        }
    }

    /// Returns the next action.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Handles the outcome of [`Action::Spawn`]: the leader of a new process group, or the error
    /// number of the system.
    pub fn handle_spawned(&mut self, service: ServiceId, result: Result<u32, i32>, now: Duration) {
        let entry = &mut self.entries[service.index()];
        if entry.phase != Phase::Spawning {
            warning!("{}: unexpected spawn result: {}", self.name(service), DebugArg(result));
            return;
        }
        let commanded = core::mem::take(&mut entry.commanded);
        let event = match result {
            Ok(pid) => {
                entry.pid = pid;
                entry.started = now;
                info!("{}: started, pid {}", self.name(service), pid);
                Event::Spawned
            }
            Err(errno) => {
                entry.last_exit = LastExit::Spawn(errno);
                entry.started = now;
                let wanted = entry.wanted;
                if commanded {
                    entry.failure = Some(CommandError::Spawn { errno });
                }
                error!(
                    "{}: cannot start {}: {}",
                    self.name(service),
                    self.program(service),
                    Reason::from(errno)
                );
                let policy = self.spec(service).map(|spec| spec.restart);
                let retries = policy.is_some_and(|policy| policy.applies(Exit::Code(1)));
                match wanted {
                    false => Event::Exited,
                    true if !commanded && retries && is_transient(errno) => Event::RestartDue,
                    true => Event::Failed,
                }
            }
        };
        self.apply_internal(service, event, now);
        let is_late = matches!(self.shutdown, Shutdown::Killing(_) | Shutdown::GaveUp);
        if is_late && self.entries[service.index()].phase.is_alive() {
            warning!("{}: killed, it started after the deadline of the shutdown", self.name(service));
            self.signal(service, Signal::Kill);
        }
        self.continue_shutdown(now);
    }

    /// Handles the outcome of [`Action::Persist`]; `written` is false on failure.
    pub fn handle_persisted(&mut self, written: bool) {
        if let Some((service, before)) = self.persisting.take()
            && !written
        {
            let entry = &mut self.entries[service.index()];
            entry.enabled = before;
            entry.failure = Some(CommandError::Persist);
        }
    }

    /// Handles the exit of a reaped process whose group has been killed. Returns false if no service
    /// has this process.
    pub fn handle_exit(&mut self, pid: u32, exit: Exit, now: Duration) -> bool {
        let Some(service) = self.service_of(pid) else {
            return false;
        };
        let entry = &mut self.entries[service.index()];
        entry.pid = 0;
        entry.last_exit = exit.into();
        let (phase, wanted, last_exit) = (entry.phase, entry.wanted, entry.last_exit);
        let policy = self.spec(service).map(|spec| spec.restart);
        let again = match phase {
            Phase::Stopping => wanted,
            _ => self.shutdown == Shutdown::None && policy.is_some_and(|policy| policy.applies(exit)),
        };
        info!("{}: exited, {}", self.name(service), last_exit);
        let event = match again {
            true => Event::RestartDue,
            false if exit.is_success() => Event::Exited,
            false => Event::Failed,
        };
        self.apply_internal(service, event, now);
        self.continue_shutdown(now);
        true
    }

    /// Handles expired deadlines.
    pub fn handle_timeout(&mut self, now: Duration) {
        for index in 0..self.table.len() {
            let Some(service) = ServiceId::from_index(index) else { continue };
            let entry = &mut self.entries[index];
            // A deadline without room for its action stays due.
            if entry.deadline.is_some_and(|deadline| deadline <= now) && !self.actions.is_full() {
                entry.deadline = None;
                self.apply_internal(service, Event::Deadline, now);
            }
        }
        match self.shutdown {
            // One signal for each service.
            Shutdown::Stopping(end) if end <= now && ACTIONS - self.actions.len() >= SERVICES => {
                for index in 0..self.table.len() {
                    if let Some(service) = ServiceId::from_index(index)
                        && self.entries[index].phase.is_alive()
                    {
                        warning!("{}: killed at shutdown", self.name(service));
                        self.signal(service, Signal::Kill);
                    }
                }
                self.shutdown = Shutdown::Killing(now + KILL_TIMEOUT);
            }
            Shutdown::Killing(end) if end <= now => self.shutdown = Shutdown::GaveUp,
            _ => {}
        }
        self.continue_shutdown(now);
    }

    /// Time of the next call of [`Supervisor::handle_timeout`], since the start of the server.
    pub fn poll_timeout(&self) -> Option<Duration> {
        let shutdown = match self.shutdown {
            Shutdown::Stopping(end) | Shutdown::Killing(end) if !self.is_down() => Some(end),
            _ => None,
        };
        self.entries.iter().filter_map(|entry| entry.deadline).chain(shutdown).min()
    }

    /// Returns the outcome of the latest command of a service, once its actions have been carried
    /// out. A failure is returned once.
    ///
    /// # Errors
    /// [`CommandError::Spawn`] and [`CommandError::Persist`].
    pub fn take_result(&mut self, service: ServiceId) -> Result<(), CommandError> {
        self.entries[service.index()].failure.take().map_or(Ok(()), Err)
    }

    /// Returns the next change of state, in order. If the caller does not drain the queue, only the
    /// newest change of each service remains.
    pub fn poll_change(&mut self) -> Option<StateChange> {
        self.changes.pop_front()
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
            enabled: entry.enabled,
        }
    }

    /// Returns the named command of a service.
    pub fn named_command(&self, service: ServiceId, name: &str) -> Option<&NamedCommand> {
        self.spec(service)?.command(name)
    }

    /// Stops all services within `SHUTDOWN_TIMEOUT`, each after its dependents, then kills the
    /// remaining ones. No service starts from now on.
    pub fn shutdown(&mut self, now: Duration) {
        if self.shutdown != Shutdown::None {
            return;
        }
        self.shutdown = Shutdown::Stopping(now + SHUTDOWN_TIMEOUT);
        for index in 0..self.table.len() {
            let Some(service) = ServiceId::from_index(index) else { continue };
            self.entries[index].wanted = false;
            if self.entries[index].phase == Phase::Waiting {
                self.apply_internal(service, Event::Stop, now);
            }
        }
        self.continue_shutdown(now);
    }

    /// Returns true after a shutdown: no service has a process, or the remaining ones cannot be killed.
    pub fn is_down(&self) -> bool {
        match self.shutdown {
            Shutdown::None => false,
            Shutdown::GaveUp => true,
            Shutdown::Stopping(_) | Shutdown::Killing(_) => self.busy() == 0,
        }
    }

    fn accept_command(&mut self, service: ServiceId, is_stop: bool) -> Result<(), CommandError> {
        if self.spec(service).is_none() {
            return Err(CommandError::Unknown);
        }
        if self.shutdown != Shutdown::None && !is_stop {
            return Err(CommandError::ShuttingDown);
        }
        if ACTIONS - self.actions.len() < ACTIONS_OF_ONE {
            return Err(CommandError::Busy);
        }
        self.entries[service.index()].failure = None;
        Ok(())
    }

    /// Applies an event of the supervisor itself. No verb `pause` is among them, so no transition
    /// refuses it.
    fn apply_internal(&mut self, service: ServiceId, event: Event, now: Duration) {
        if self.apply(service, event, now).is_err() {
            internal_error!("{}: {} refused", self.name(service), DebugArg(event));
        }
    }

    /// Looks up the transition and performs it.
    fn apply(&mut self, service: ServiceId, event: Event, now: Duration) -> Result<(), CommandError> {
        let phase = self.entries[service.index()].phase;
        let entry = &mut self.entries[service.index()];
        match step(phase, event) {
            Step::Nothing => {}
            Step::Refuse => return Err(CommandError::NotRunning),
            Step::Unexpected => {
                warning!("{}: unexpected {} in {}", self.name(service), DebugArg(event), DebugArg(phase))
            }
            Step::Start => {
                entry.restarts = 0;
                entry.back_off = BackOff::new();
                self.spawn(service, event, now);
            }
            Step::Respawn => {
                entry.restarts = entry.restarts.saturating_add(1);
                if event != Event::Deadline {
                    entry.back_off = BackOff::new();
                }
                self.spawn(service, event, now);
            }
            Step::SetWanted => {
                entry.wanted = true;
                entry.commanded = true;
            }
            Step::ClearWanted => entry.wanted = false,
            Step::MarkRunning => {
                self.enter(service, Phase::Started, now);
                if !self.entries[service.index()].wanted {
                    self.end(service, now);
                }
            }
            Step::Stop => {
                entry.wanted = false;
                self.end(service, now);
            }
            Step::StopThenStart => {
                self.end(service, now);
                self.entries[service.index()].wanted = true;
            }
            Step::Kill => {
                warning!("{}: killed, the stop timed out", self.name(service));
                self.signal(service, Signal::Kill);
            }
            Step::Suspend => {
                self.signal(service, Signal::Stop);
                self.enter(service, Phase::Paused, now);
            }
            Step::Resume => {
                self.signal(service, Signal::Cont);
                self.enter(service, Phase::Started, now);
            }
            Step::MarkStopped => {
                entry.wanted = false;
                self.enter(service, Phase::Stopped, now);
            }
            Step::MarkFailed => {
                entry.wanted = false;
                self.enter(service, Phase::Failed, now);
            }
            Step::ScheduleRestart => {
                let delay = entry.back_off.after(now.saturating_sub(entry.started));
                self.enter(service, Phase::Waiting, now);
                self.entries[service.index()].deadline = Some(now + delay);
            }
        }
        Ok(())
    }

    /// Requests a process. If the action queue is full, the service waits for the next timeout.
    fn spawn(&mut self, service: ServiceId, event: Event, now: Duration) {
        let entry = &mut self.entries[service.index()];
        entry.wanted = true;
        entry.commanded = matches!(event, Event::Start | Event::Restart);
        entry.deadline = None;
        match self.actions.push_back(Action::Spawn { service }) {
            // No change is queued: the phase is over before the caller polls.
            Ok(()) => entry.phase = Phase::Spawning,
            Err(_) => {
                self.enter(service, Phase::Waiting, now);
                self.entries[service.index()].deadline = Some(now);
            }
        }
    }

    /// Sends the stop signal.
    fn end(&mut self, service: ServiceId, now: Duration) {
        let Some((stop_signal, stop_timeout)) =
            self.spec(service).map(|spec| (spec.stop_signal, spec.stop_timeout))
        else {
            return;
        };
        let paused = self.entries[service.index()].phase == Phase::Paused;
        self.signal(service, stop_signal);
        if paused {
            // A suspended process handles no other signal.
            self.signal(service, Signal::Cont);
        }
        self.enter(service, Phase::Stopping, now);
        self.entries[service.index()].deadline = Some(now + stop_timeout);
    }

    fn signal(&mut self, service: ServiceId, signal: Signal) {
        let pid = self.entries[service.index()].pid;
        if self.actions.push_back(Action::Signal { service, pid, signal }).is_err() {
            error!("{}: cannot send signal {}: too many pending actions", self.name(service), signal.name());
        }
    }

    fn enter(&mut self, service: ServiceId, phase: Phase, now: Duration) {
        let entry = &mut self.entries[service.index()];
        entry.phase = phase;
        entry.since = now;
        entry.deadline = None;
        let change = StateChange { service, state: phase.state(), pid: entry.pid };
        if self.changes.is_full() {
            self.keep_newest_changes();
        }
        // At most one change of each service is left, so there is room.
        if self.changes.push_back(change).is_err() {
            internal_error!("{}: no room for a change of state", self.name(service));
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

    fn enable(&mut self, service: ServiceId, enabled: bool) -> Result<(), CommandError> {
        let before = self.entries[service.index()].enabled;
        if before == enabled {
            return Ok(());
        }
        if self.persisting.is_some() {
            return Err(CommandError::Busy);
        }
        self.actions.push_back(Action::Persist).map_err(|_| CommandError::Busy)?;
        self.entries[service.index()].enabled = enabled;
        self.persisting = Some((service, before));
        Ok(())
    }

    /// During shutdown: stops every service without a live dependent.
    fn continue_shutdown(&mut self, now: Duration) {
        if !matches!(self.shutdown, Shutdown::Stopping(_)) {
            return;
        }
        let busy = self.busy();
        for service in self.order.clone().into_iter().rev() {
            let needed = self
                .entries
                .iter()
                .enumerate()
                .any(|(index, entry)| busy & (1 << index) != 0 && entry.after & bit(service) != 0);
            let phase = self.entries[service.index()].phase;
            let runs = matches!(phase, Phase::Started | Phase::Paused);
            if runs && !needed && ACTIONS - self.actions.len() >= ACTIONS_OF_ONE {
                self.apply_internal(service, Event::Stop, now);
            }
        }
    }

    /// Mask of the services that have a process or a pending spawn.
    fn busy(&self) -> u64 {
        self.entries.iter().enumerate().fold(0, |busy, (index, entry)| {
            let is_busy = entry.phase.is_alive() || entry.phase == Phase::Spawning;
            busy | u64::from(is_busy) << index
        })
    }

    fn service_of(&self, pid: u32) -> Option<ServiceId> {
        let index = self.entries.iter().position(|entry| entry.pid == pid && pid != 0)?;
        ServiceId::from_index(index)
    }

    fn spec(&self, service: ServiceId) -> Option<&Spec> {
        self.table.get(service)
    }

    /// Program of a service, for the log.
    fn program(&self, service: ServiceId) -> &str {
        self.spec(service).and_then(|spec| spec.argv.first()).unwrap_or("?")
    }

    fn name(&self, service: ServiceId) -> &str {
        self.spec(service).map_or("?", |spec| &spec.name)
    }
}

#[cfg(test)]
mod tests;
