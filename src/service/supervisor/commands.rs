//! Commands: verbs, signals of named commands, and the `enabled` setting.

use core::time::Duration;

use super::super::transition::{Event, Phase};
use super::super::{Action, CommandError, Program, Scope, ServiceId, Signal, Verb};
use super::Supervisor;
use crate::warning;

impl Supervisor {
    /// Begins the schedules and the checks of the board, and starts every enabled service, each when those
    /// before it are ready.
    pub fn start_enabled(&mut self, now: Duration) {
        self.begin_schedules(now);
        self.start_checks(now);
        for service in self.order.clone() {
            if self.starts_with_server(service) && !self.is_shutting_down {
                self.start_required(service, now);
                if let Err(error) = self.apply(service, Event::Start, now) {
                    warning!("{}: cannot start: {}", self.subject(service), error);
                }
            }
        }
        self.progress(now);
        // Of one without a memo, a later server would not know that it was not started.
        for service in self.order.clone() {
            self.note(service);
        }
    }

    /// Handles a command. [`Supervisor::take_result`] reports its outcome once its actions have been
    /// carried out, or, for a start or restart, once it is [settled](Self::poll_settled).
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
        self.entries[service.index()].failed_with = None;
        let is_start = matches!(verb, Verb::Start | Verb::Restart);
        if is_start {
            self.start_required(service, now);
        }
        match verb {
            Verb::Start => self.apply(service, Event::Start, now)?,
            Verb::Stop => {
                self.apply(service, Event::Stop, now)?;
                self.leave_stopped(service);
            }
            Verb::Restart => self.apply(service, Event::Restart, now)?,
            Verb::Pause => self.apply(service, Event::Pause, now)?,
            Verb::Install => self.enable(service, true)?,
            Verb::Uninstall => self.enable(service, false)?,
        }
        if is_start {
            self.await_start(service, now);
        }
        self.progress(now);
        Ok(())
    }

    /// Sends the signal of a named command to a service. `STOP` pauses the service and `CONT` resumes it.
    ///
    /// # Errors
    /// [`CommandError::NotRunning`] without a process, and the errors of every command.
    pub fn handle_signal(
        &mut self,
        service: ServiceId,
        signal: Signal,
        scope: Scope,
        now: Duration,
    ) -> Result<(), CommandError> {
        self.accept_command(service, false)?;
        let entry = &self.entries[service.index()];
        let phase = entry.phase;
        if !phase.is_alive() || entry.pid == 0 || entry.program != Program::Main {
            return Err(CommandError::NotRunning);
        }
        self.signal(service, signal, scope);
        match (signal, phase) {
            (Signal::Stop, Phase::Started) => self.enter(service, Phase::Paused, None, now),
            (Signal::Cont, Phase::Paused) => self.enter(service, Phase::Started, None, now),
            _ => {}
        }
        Ok(())
    }

    /// Returns true while the `enabled` setting of a service is being written.
    pub fn is_persisting(&self, service: ServiceId) -> bool {
        self.persisting.is_some_and(|(written, _)| written == service)
    }

    /// Handles the outcome of [`Action::Persist`]; a failure has the error number of the system.
    pub fn handle_persisted(&mut self, written: Result<(), i32>) {
        if let Some((service, before)) = self.persisting.take()
            && let Err(errno) = written
        {
            let entry = &mut self.entries[service.index()];
            entry.enabled = before;
            entry.failure = Some(CommandError::Persist(errno));
        }
    }

    /// Returns the outcome of the latest command of a service. A failure is returned once.
    ///
    /// # Errors
    /// [`CommandError::Spawn`], [`CommandError::Exited`] and [`CommandError::Persist`].
    pub fn take_result(&mut self, service: ServiceId) -> Result<(), CommandError> {
        self.entries[service.index()].failure.take().map_or(Ok(()), Err)
    }

    fn accept_command(&mut self, service: ServiceId, is_stop: bool) -> Result<(), CommandError> {
        if self.spec(service).is_none() {
            return Err(CommandError::Unknown);
        }
        if self.is_shutting_down && !is_stop {
            return Err(CommandError::ShuttingDown);
        }
        if !self.has_room() || self.is_leaving(service) && !is_stop {
            return Err(CommandError::Busy);
        }
        self.entries[service.index()].failure = None;
        Ok(())
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
}
