//! Programs around the life of a service: `pre_start`, `stop_command` and `finish`.

use core::time::Duration;

use super::super::record::{LeaderExit, Next};
use super::super::transition::{Event, Phase};
use super::super::{
    Action, EndReason, Exit, KILL_TIMEOUT, LastExit, PreStartFailure, Program, SPAWN_TIMEOUT, Scope,
    ServiceId, Signal, SpawnError,
};
use super::Supervisor;
use crate::{error, info, warning};

impl Supervisor {
    /// Requests the first program of a start.
    pub(super) fn request_start(&mut self, service: ServiceId, reason: Option<LastExit>, now: Duration) {
        let program = if self.has(service, Program::PreStart) { Program::PreStart } else { Program::Main };
        self.request_spawn(service, program, reason, now);
    }

    /// Requests a process. If the action queue is full, the service waits for the next timeout.
    fn request_spawn(
        &mut self,
        service: ServiceId,
        program: Program,
        reason: Option<LastExit>,
        now: Duration,
    ) {
        self.entries[service.index()].program = program;
        match self.request(service, program) {
            true => self.enter_until(service, Phase::Spawning, reason, now, SPAWN_TIMEOUT),
            false => self.enter_until(service, Phase::Waiting, reason, now, Duration::ZERO),
        }
        self.await_ready(service, now);
    }

    /// Queues the start of a program; false without room for it.
    fn request(&mut self, service: ServiceId, program: Program) -> bool {
        self.actions.push_back(Action::Spawn { service, program }).is_ok()
    }

    pub(super) fn has(&self, service: ServiceId, program: Program) -> bool {
        self.spec(service).is_some_and(|spec| spec.program(program).is_some())
    }

    /// Enters the phase of the program that has just started.
    pub(super) fn mark_running(&mut self, service: ServiceId, now: Duration) {
        if self.entries[service.index()].program == Program::PreStart {
            let time = self.time_of_program(service).unwrap_or_default();
            self.enter_until(service, Phase::Preparing, None, now, time);
        } else {
            self.enter(service, Phase::Started, None, now);
            self.await_run(service, now);
            self.await_settled(service, now);
        }
    }

    /// Longest time of the current program; `None`: any.
    fn time_of_program(&self, service: ServiceId) -> Option<Duration> {
        let spec = self.spec(service)?;
        match self.entries[service.index()].program {
            Program::PreStart => Some(spec.ready_timeout),
            _ => spec.max_runtime,
        }
    }

    /// Stops a program that ran longer than its time.
    pub(super) fn stop_overdue(&mut self, service: ServiceId, now: Duration) {
        let seconds = self.time_of_program(service).unwrap_or_default().as_secs();
        let entry = &mut self.entries[service.index()];
        entry.fault = Some(EndReason::MaxRuntime);
        let program = entry.program.key();
        error!("{}: stopping {}, it ran longer than {} s", self.subject(service), program, seconds);
        self.stop(service, None, now);
    }

    /// Records the exit of the service, or the reason for which the supervisor ended it.
    pub(super) fn record_exit(&mut self, service: ServiceId, exit: Exit) -> LastExit {
        let end = self.overrun(service).map_or(exit.into(), LastExit::Overran);
        self.entries[service.index()].last_exit = end;
        end
    }

    /// Seconds after which the current program was stopped, if it ran longer than its time.
    pub(super) fn overrun(&self, service: ServiceId) -> Option<u32> {
        let is_overdue = self.entries[service.index()].fault == Some(EndReason::MaxRuntime);
        // The configuration bounds it.
        let time = self.time_of_program(service).filter(|_| is_overdue)?;
        Some(u32::try_from(time.as_secs()).unwrap_or(u32::MAX))
    }

    /// Goes on after the end of `pre_start`; true if the service is started.
    pub(super) fn end_pre_start(&mut self, service: ServiceId, ended: LeaderExit, now: Duration) -> bool {
        let overrun = self.overrun(service);
        if self.entries[service.index()].next != Next::Policy {
            return false;
        }
        if ended.exit == Exit::Code(0) && overrun.is_none() {
            if self.lacks_needs(service) {
                info!("{}: lost what it needs before its start", self.subject(service));
                self.entries[service.index()].next = Next::Start;
                return false;
            }
            self.request_spawn(service, Program::Main, None, now);
            return true;
        }
        let failure = overrun.map_or(PreStartFailure::Exit(ended.exit), PreStartFailure::Overran);
        self.record_failed_start(service, LastExit::PreStart(failure), now);
        false
    }

    /// End of a start whose current program could not be started.
    pub(super) fn failed_spawn(&self, service: ServiceId, error: SpawnError) -> LastExit {
        match self.entries[service.index()].program {
            Program::PreStart => LastExit::PreStart(PreStartFailure::Spawn(error)),
            _ => LastExit::Spawn(error),
        }
    }

    /// Stops all processes of a service: by its stop command, or by its stop signal. The command follows
    /// `CONT`, because a suspended process could not obey it.
    pub(super) fn stop(&mut self, service: ServiceId, reason: Option<LastExit>, now: Duration) {
        let stop_timeout = self.stop_timeout(service);
        let entry = &self.entries[service.index()];
        let runs = entry.program == Program::Main && entry.pid != 0;
        let (mut phase, mut time) = (Phase::Stopping, stop_timeout);
        if runs && self.has(service, Program::Stop) {
            self.signal(service, Signal::Cont, Scope::Group);
            if self.request(service, Program::Stop) {
                // The stop signal has the other half: a command that hangs costs no data.
                (phase, time) = (Phase::StopCommand, stop_timeout / 2);
            }
        }
        if phase == Phase::Stopping {
            self.send_stop_signal(service);
        }
        self.enter_until(service, phase, reason, now, time);
        self.lose_readiness(service, now);
    }

    /// Sends the stop signal to all processes of a service. A suspended process handles no other signal
    /// than `CONT`, and a process may be suspended without a report.
    fn send_stop_signal(&mut self, service: ServiceId) {
        let signal = self.spec(service).map_or(Signal::Term, |spec| spec.stop_signal);
        self.signal(service, signal, Scope::Group);
        if signal != Signal::Kill {
            self.signal(service, Signal::Cont, Scope::Group);
        }
    }

    pub(super) fn stop_timeout(&self, service: ServiceId) -> Duration {
        self.spec(service).map_or(Duration::ZERO, |spec| spec.stop_timeout)
    }

    /// Handles the end of `stop_command`, or the reason why it could not be started.
    pub(super) fn handle_stop_command(
        &mut self,
        service: ServiceId,
        result: Result<Exit, SpawnError>,
        now: Duration,
    ) {
        match result {
            Ok(Exit::Code(0)) => info!("{}: stop_command exited", self.subject(service)),
            Ok(exit) => warning!("{}: stop_command: {}", self.subject(service), LastExit::from(exit)),
            Err(error) => self.warn_not_started(service, Program::Stop, error),
        }
        self.apply_internal(service, Event::CommandEnded, now);
    }

    /// Sends the stop signal after the stop command. The time for both does not begin anew.
    pub(super) fn signal_stop(&mut self, service: ServiceId, now: Duration) {
        let (since, stop_timeout) = (self.entries[service.index()].since, self.stop_timeout(service));
        if now >= since + stop_timeout / 2 {
            warning!("{}: stop_command takes too long, sending the stop signal", self.subject(service));
        }
        // Both together have the time from the begin of the stop.
        let deadline = since + stop_timeout;
        self.send_stop_signal(service);
        self.enter(service, Phase::Stopping, None, now);
        self.entries[service.index()].deadline = Some(deadline);
    }

    /// Requests `finish` after the end of the service, if it has to run; true if it was requested.
    pub(super) fn clean_up(&mut self, service: ServiceId, now: Duration) -> bool {
        let is_needed = core::mem::take(&mut self.entries[service.index()].needs_finish);
        if !is_needed || !self.has(service, Program::Finish) || !self.request(service, Program::Finish) {
            return false;
        }
        self.entries[service.index()].program = Program::Finish;
        let stop_timeout = self.stop_timeout(service);
        self.enter_until(service, Phase::CleaningUp, None, now, stop_timeout);
        self.lose_readiness(service, now);
        true
    }

    /// Kills `finish`, which had its time, or has left processes behind.
    pub(super) fn kill_finish(&mut self, service: ServiceId, now: Duration) {
        warning!("{}: killing finish and its processes", self.subject(service));
        if self.entries[service.index()].has_pending_spawn() {
            return self.abort(service, None, now);
        }
        self.signal(service, Signal::Kill, Scope::Group);
        self.enter_until(service, Phase::Killing, None, now, KILL_TIMEOUT);
    }

    /// Kills a pending spawn.
    pub(super) fn abort(&mut self, service: ServiceId, reason: Option<LastExit>, now: Duration) {
        self.signal(service, Signal::Kill, Scope::Group);
        self.enter_until(service, Phase::Aborting, reason, now, KILL_TIMEOUT);
        self.lose_readiness(service, now);
    }

    /// Logs that a program was not started whose failure changes nothing.
    pub(super) fn warn_not_started(&self, service: ServiceId, program: Program, error: SpawnError) {
        if let Some(spec) = self.spec(service) {
            warning!("{}: {}: {}", self.subject(service), program.key(), error.text_of(program, spec));
        }
    }
}
