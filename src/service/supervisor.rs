//! The supervisor: what is wanted of each service, and what to do about it.

use core::time::Duration;

use heapless::{Deque, Vec};

use super::restart::BackOff;
use super::state::{Event, Phase, Step, step};
use super::table::bit;
use super::{
    Action, Change, CommandError, Exit, LastExit, NamedCommand, ServiceId, ServiceTable, Signal, Spec,
    Status, Verb,
};
use crate::limits::SERVICES;
use crate::log::Debugged;
use crate::service::{KILL_TIMEOUT, SHUTDOWN_TIMEOUT};
use crate::{error, info, warning};

/// What one call can ask for at most, over all services: two signals each, and a process each.
const ACTIONS: usize = 4 * SERVICES;
/// What one command can ask for at most.
const ACTIONS_OF_ONE: usize = 2;
/// Changes kept until they are taken.
const CHANGES: usize = 4 * SERVICES;

/// How far the end of everything is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Ending {
    No,
    /// Services are being stopped, until then.
    Stopping(Duration),
    /// What was left was killed; it is waited for until then.
    Killed(Duration),
    /// What is left now cannot be ended.
    GivenUp,
}

#[derive(Clone, Debug)]
struct Entry {
    phase: Phase,
    /// When the phase began.
    since: Duration,
    /// When the phase is to end by itself.
    deadline: Option<Duration>,
    /// The process; 0 when there is none.
    pid: u32,
    /// When the process began.
    started: Duration,
    /// Whether a process is wanted: so after the present one has ended, too.
    wanted: bool,
    /// Whether the process asked for is somebody's command, who is told when there is none.
    commanded: bool,
    /// Why the latest command failed after it was taken.
    failure: Option<CommandError>,
    restarts: u32,
    back_off: BackOff,
    last_exit: LastExit,
    enabled: bool,
    /// One bit for each service that this one waits for.
    after: u64,
}

impl Entry {
    const NEW: Self = Self {
        phase: Phase::Stopped,
        since: Duration::ZERO,
        deadline: None,
        pid: 0,
        started: Duration::ZERO,
        wanted: false,
        commanded: false,
        failure: None,
        restarts: 0,
        back_off: BackOff::new(),
        last_exit: LastExit::None,
        enabled: false,
        after: 0,
    };
}

/// Supervises the services of a table. See the [module](super) for how it is used.
#[derive(Debug)]
pub struct Supervisor {
    table: ServiceTable,
    /// One for each place of the table, so that every [`ServiceId`] has one.
    entries: [Entry; SERVICES],
    order: Vec<ServiceId, SERVICES>,
    actions: Deque<Action, ACTIONS>,
    changes: Deque<Change, CHANGES>,
    /// The service whose being enabled is being written down, and what it was before.
    persisting: Option<(ServiceId, bool)>,
    ending: Ending,
}

impl Supervisor {
    /// Supervises these services, all of them stopped and enabled as their `autostart` says.
    ///
    /// A table without a start order is taken as it stands, and the log told: whoever reads the
    /// device file has asked [`ServiceTable::start_order`] before.
    pub fn new(table: ServiceTable) -> Self {
        let mut entries = [Entry::NEW; SERVICES];
        let order = match table.start_order() {
            Ok(order) => {
                for (id, _) in table.iter() {
                    entries[id.index()].after = table.after_mask(id).unwrap_or(0);
                }
                order
            }
            Err(reason) => {
                error!("services are started as they stand in the table: {}", Debugged(reason));
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
            ending: Ending::No,
        }
    }

    /// The services.
    pub fn table(&self) -> &ServiceTable {
        &self.table
    }

    /// The services in the order in which they are started.
    pub fn order(&self) -> &[ServiceId] {
        &self.order
    }

    /// Says at start whether a service is started with the server, as written down earlier.
    pub fn set_enabled(&mut self, service: ServiceId, enabled: bool) {
        self.entries[service.index()].enabled = enabled;
    }

    /// The services whose being enabled is not what their `autostart` says: what
    /// [`Action::Persist`] is to write down.
    pub fn overrides(&self) -> impl Iterator<Item = (&str, bool)> {
        self.table.iter().filter_map(|(id, spec)| {
            let enabled = self.entries[id.index()].enabled;
            (enabled != spec.autostart).then_some((spec.name.as_str(), enabled))
        })
    }

    /// Starts every service that is enabled, in the start order.
    pub fn start_enabled(&mut self, now: Duration) {
        for service in self.order.clone() {
            if self.entries[service.index()].enabled && self.ending == Ending::No {
                // Nobody waits for the answer; a failure is in the status.
                let _ = self.apply(service, Event::Start, now);
                self.entries[service.index()].commanded = false;
            }
        }
    }

    /// Takes a command. What it leads to is known when its actions have been carried out:
    /// [`Supervisor::take_result`].
    ///
    /// # Errors
    /// See [`CommandError`]; nothing has changed then.
    pub fn handle_command(
        &mut self,
        service: ServiceId,
        verb: Verb,
        now: Duration,
    ) -> Result<(), CommandError> {
        self.take_command(service, verb == Verb::Stop)?;
        match verb {
            Verb::Start => self.apply(service, Event::Start, now),
            Verb::Stop => self.apply(service, Event::Stop, now),
            Verb::Restart => self.apply(service, Event::Restart, now),
            Verb::Pause => self.apply(service, Event::Pause, now),
            Verb::Install => self.enable(service, true),
            Verb::Uninstall => self.enable(service, false),
        }
    }

    /// Sends a signal to the service's process group, as a named command asks. `STOP` is a pause
    /// and `CONT` its end.
    ///
    /// # Errors
    /// [`CommandError::NotRunning`] without a process, and those of every command.
    pub fn handle_signal(
        &mut self,
        service: ServiceId,
        signal: Signal,
        now: Duration,
    ) -> Result<(), CommandError> {
        self.take_command(service, false)?;
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

    /// The next thing to do at once.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// The answer to [`Action::Spawn`]: the leader of a process group of its own, or the system's
    /// reason why there is none.
    pub fn handle_spawned(&mut self, service: ServiceId, result: Result<u32, i32>, now: Duration) {
        let entry = &mut self.entries[service.index()];
        if entry.phase != Phase::Spawning {
            warning!("{}: a process nobody asked for: {}", self.name(service), Debugged(result));
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
                error!("{}: cannot be started: errno {}", self.name(service), errno);
                let policy = self.spec(service).map(|spec| spec.restart);
                let retries = policy.is_some_and(|policy| policy.applies(Exit::Code(1)));
                match wanted {
                    false => Event::Finished,
                    true if !commanded && retries && passes(errno) => Event::Again,
                    true => Event::Broken,
                }
            }
        };
        let _ = self.apply(service, event, now);
        self.advance(now);
    }

    /// The answer to [`Action::Persist`]: whether it is written down.
    pub fn handle_persisted(&mut self, written: bool) {
        if let Some((service, before)) = self.persisting.take()
            && !written
        {
            let entry = &mut self.entries[service.index()];
            entry.enabled = before;
            entry.failure = Some(CommandError::Persist);
        }
    }

    /// A process has ended and been reaped, and what else was in its group has been killed.
    /// `false` when it was none of the services'.
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
            _ => self.ending == Ending::No && policy.is_some_and(|policy| policy.applies(exit)),
        };
        info!("{}: ended, {}", self.name(service), last_exit);
        let event = match again {
            true => Event::Again,
            false if exit.is_success() => Event::Finished,
            false => Event::Broken,
        };
        let _ = self.apply(service, event, now);
        self.advance(now);
        true
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Duration) {
        for index in 0..self.table.len() {
            let Some(service) = ServiceId::from_index(index) else { continue };
            let entry = &mut self.entries[index];
            // What finds no room among the actions stays due.
            if entry.deadline.is_some_and(|deadline| deadline <= now) && !self.actions.is_full() {
                entry.deadline = None;
                let _ = self.apply(service, Event::Deadline, now);
            }
        }
        match self.ending {
            // One signal for each service.
            Ending::Stopping(end) if end <= now && ACTIONS - self.actions.len() >= SERVICES => {
                for index in 0..self.table.len() {
                    if let Some(service) = ServiceId::from_index(index)
                        && self.entries[index].phase.is_alive()
                    {
                        warning!("{}: killed, the server is ending", self.name(service));
                        self.signal(service, Signal::Kill);
                    }
                }
                self.ending = Ending::Killed(now + KILL_TIMEOUT);
            }
            Ending::Killed(end) if end <= now => self.ending = Ending::GivenUp,
            _ => {}
        }
        self.advance(now);
    }

    /// When [`Supervisor::handle_timeout`] is to be called, since the server's start.
    pub fn poll_timeout(&self) -> Option<Duration> {
        let ending = match self.ending {
            Ending::Stopping(end) | Ending::Killed(end) if !self.is_down() => Some(end),
            _ => None,
        };
        self.entries.iter().filter_map(|entry| entry.deadline).chain(ending).min()
    }

    /// Whether the latest command of a service worked, asked once its actions have been carried
    /// out. A failure is told once.
    ///
    /// # Errors
    /// [`CommandError::Spawn`] and [`CommandError::Persist`].
    pub fn take_result(&mut self, service: ServiceId) -> Result<(), CommandError> {
        self.entries[service.index()].failure.take().map_or(Ok(()), Err)
    }

    /// The next change of state. They come in order and at once as long as they are taken after
    /// every call; of those not taken in time the newest of each service remain.
    pub fn poll_change(&mut self) -> Option<Change> {
        self.changes.pop_front()
    }

    /// What can be said about a service.
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

    /// The service's command of this name.
    pub fn named_command(&self, service: ServiceId, name: &str) -> Option<&NamedCommand> {
        self.spec(service)?.command(name)
    }

    /// Stops all services, each after those that wait for it, within `SHUTDOWN_TIMEOUT`; then
    /// kills what is left. From now on nothing is started.
    pub fn shutdown(&mut self, now: Duration) {
        if self.ending != Ending::No {
            return;
        }
        self.ending = Ending::Stopping(now + SHUTDOWN_TIMEOUT);
        for index in 0..self.table.len() {
            let Some(service) = ServiceId::from_index(index) else { continue };
            self.entries[index].wanted = false;
            if self.entries[index].phase == Phase::Waiting {
                let _ = self.apply(service, Event::Stop, now);
            }
        }
        self.advance(now);
    }

    /// Whether a shutdown is over: no service has a process, or those left cannot be ended.
    pub fn is_down(&self) -> bool {
        match self.ending {
            Ending::No => false,
            Ending::GivenUp => true,
            Ending::Stopping(_) | Ending::Killed(_) => self.busy() == 0,
        }
    }

    fn take_command(&mut self, service: ServiceId, is_stop: bool) -> Result<(), CommandError> {
        if self.spec(service).is_none() {
            return Err(CommandError::Unknown);
        }
        if self.ending != Ending::No && !is_stop {
            return Err(CommandError::ShuttingDown);
        }
        if ACTIONS - self.actions.len() < ACTIONS_OF_ONE {
            return Err(CommandError::Busy);
        }
        self.entries[service.index()].failure = None;
        Ok(())
    }

    /// Looks up the step and takes it.
    fn apply(&mut self, service: ServiceId, event: Event, now: Duration) -> Result<(), CommandError> {
        let phase = self.entries[service.index()].phase;
        let entry = &mut self.entries[service.index()];
        match step(phase, event) {
            Step::Nothing => {}
            Step::Refuse => return Err(CommandError::NotRunning),
            Step::Stray => warning!("{}: {} in {}", self.name(service), Debugged(event), Debugged(phase)),
            Step::Begin => {
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
            Step::Want => {
                entry.wanted = true;
                entry.commanded = true;
            }
            Step::Unwant => entry.wanted = false,
            Step::Run => {
                self.enter(service, Phase::Started, now);
                if !self.entries[service.index()].wanted {
                    self.end(service, now);
                }
            }
            Step::End => {
                entry.wanted = false;
                self.end(service, now);
            }
            Step::Renew => {
                self.end(service, now);
                self.entries[service.index()].wanted = true;
            }
            Step::Kill => {
                warning!("{}: killed, it did not end in time", self.name(service));
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
            Step::Settle => {
                entry.wanted = false;
                self.enter(service, Phase::Stopped, now);
            }
            Step::Fail => {
                entry.wanted = false;
                self.enter(service, Phase::Failed, now);
            }
            Step::Wait => {
                let delay = entry.back_off.after(now.saturating_sub(entry.started));
                self.enter(service, Phase::Waiting, now);
                self.entries[service.index()].deadline = Some(now + delay);
            }
        }
        Ok(())
    }

    /// Asks for a process. Where there is no room to ask, the service waits for the next timeout.
    fn spawn(&mut self, service: ServiceId, event: Event, now: Duration) {
        let entry = &mut self.entries[service.index()];
        entry.wanted = true;
        entry.commanded = matches!(event, Event::Start | Event::Restart);
        entry.deadline = None;
        match self.actions.push_back(Action::Spawn { service }) {
            // Nobody is told of this phase: it is over before the caller looks.
            Ok(()) => entry.phase = Phase::Spawning,
            Err(_) => {
                self.enter(service, Phase::Waiting, now);
                self.entries[service.index()].deadline = Some(now);
            }
        }
    }

    /// Asks the process to end.
    fn end(&mut self, service: ServiceId, now: Duration) {
        let Some((stop_signal, stop_timeout)) =
            self.spec(service).map(|spec| (spec.stop_signal, spec.stop_timeout))
        else {
            return;
        };
        let paused = self.entries[service.index()].phase == Phase::Paused;
        self.signal(service, stop_signal);
        if paused {
            // What stands still takes no other signal.
            self.signal(service, Signal::Cont);
        }
        self.enter(service, Phase::Stopping, now);
        self.entries[service.index()].deadline = Some(now + stop_timeout);
    }

    fn signal(&mut self, service: ServiceId, signal: Signal) {
        let pid = self.entries[service.index()].pid;
        if self.actions.push_back(Action::Signal { service, pid, signal }).is_err() {
            error!("{}: signal {} is lost, too many actions wait", self.name(service), signal.name());
        }
    }

    fn enter(&mut self, service: ServiceId, phase: Phase, now: Duration) {
        let entry = &mut self.entries[service.index()];
        entry.phase = phase;
        entry.since = now;
        entry.deadline = None;
        let change = Change { service, state: phase.state(), pid: entry.pid };
        if self.changes.is_full() {
            self.keep_newest_changes();
        }
        // At most one of each service is left, so there is room.
        let _ = self.changes.push_back(change);
    }

    fn keep_newest_changes(&mut self) {
        let mut seen = 0;
        let mut kept: Deque<Change, CHANGES> = Deque::new();
        while let Some(change) = self.changes.pop_back() {
            if seen & bit(change.service) == 0 {
                seen |= bit(change.service);
                let _ = kept.push_front(change);
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

    /// While the server ends: ends every service that nothing alive waits for.
    fn advance(&mut self, now: Duration) {
        if !matches!(self.ending, Ending::Stopping(_)) {
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
                let _ = self.apply(service, Event::Stop, now);
            }
        }
    }

    /// One bit for each service that has a process or is about to.
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

    fn name(&self, service: ServiceId) -> &str {
        self.spec(service).map_or("?", |spec| &spec.name)
    }
}

/// Whether a start that failed so may work later without anybody doing anything: the system is
/// short of something (`EAGAIN`, `ENOMEM`, `ENFILE`, `EMFILE`) or the program is just being written
/// (`ETXTBSY`).
fn passes(errno: i32) -> bool {
    [11, 12, 23, 24, 26].contains(&errno)
}

#[cfg(test)]
mod tests;
