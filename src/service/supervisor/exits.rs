//! Reports about processes: spawn results, exits and suspensions, and the restart policy.

use core::time::Duration;

use super::super::record::{LeaderExit, Next};
use super::super::transition::{Event, Phase};
use super::super::{
    CommandError, EndReason, Exit, GOOD_RUN, LastExit, PastRun, ProcessEvent, ServiceId, ServiceKind,
    SpawnError,
};
use super::Supervisor;
use crate::log::DebugArg;
use crate::{error, info, warning};

impl Supervisor {
    /// Handles an event of a service's processes.
    pub fn handle_event(&mut self, service: ServiceId, event: ProcessEvent, now: Duration) {
        match event {
            ProcessEvent::Spawned(result) => self.handle_spawned(service, result, now),
            ProcessEvent::Exited { exit, is_gone } => self.handle_exit(service, exit, is_gone, now),
            ProcessEvent::Gone => self.handle_gone(service, now),
            ProcessEvent::Suspended => self.handle_suspended(service, now),
            ProcessEvent::Resumed => self.handle_resumed(service, now),
            ProcessEvent::Notified(notice) => self.handle_notice(service, notice, now),
        }
    }

    /// Handles the outcome of [`Action::Spawn`](super::Action::Spawn): the leader of a new process group, or
    /// the reason of the failure. It may come at any time. The supervisor requests no second process before
    /// it.
    pub fn handle_spawned(&mut self, service: ServiceId, result: Result<u32, SpawnError>, now: Duration) {
        let entry = &mut self.entries[service.index()];
        let event = match (entry.phase, result) {
            (Phase::Spawning, Ok(pid)) => {
                entry.pid = pid;
                entry.started = now;
                entry.started_once = true;
                info!("{}: started, pid {}", self.name(service), pid);
                Event::Spawned
            }
            (Phase::Spawning, Err(error)) => {
                self.record_failed_start(service, error, now);
                Event::SpawnFailed
            }
            (Phase::Aborting | Phase::Lost, Ok(pid)) if entry.pid == 0 && entry.leader_exit.is_none() => {
                entry.pid = pid;
                Event::Spawned
            }
            (Phase::Aborting | Phase::Lost, Err(_)) if entry.pid == 0 && entry.leader_exit.is_none() => {
                Event::SpawnFailed
            }
            _ => {
                warning!("{}: unexpected spawn result: {}", self.name(service), DebugArg(result));
                return;
            }
        };
        self.apply_internal(service, event, now);
        self.progress(now);
    }

    /// Handles the exit of the leader of a process group, which was reaped. `is_gone` is true if no other
    /// process of the service is left.
    ///
    /// A process group may outlive its `KILL`. The supervisor goes on without its end, and the caller reports
    /// nothing about it after the next [`Action::Spawn`](super::Action::Spawn).
    pub fn handle_exit(&mut self, service: ServiceId, exit: Exit, is_gone: bool, now: Duration) {
        let entry = &mut self.entries[service.index()];
        if entry.pid == 0 {
            warning!("{}: unexpected exit: {}", self.name(service), LastExit::from(exit));
            return;
        }
        let phase = entry.phase;
        entry.pid = 0;
        entry.leader_exit = Some(LeaderExit { at: now, exit, was_stopped: phase.is_ending() });
        if phase.is_alive() {
            let last_exit = exit.into();
            entry.last_exit = last_exit;
            let is_success = self.spec(service).is_some_and(|spec| spec.is_success(exit));
            self.settle_run(service, if is_success { Ok(()) } else { Err(CommandError::Exited(last_exit)) });
            info!("{}: exited, {}", self.name(service), last_exit);
        }
        if !is_gone && !phase.is_ending() {
            info!("{}: stopping the processes that its first one left", self.name(service));
        }
        let event = if is_gone { Event::Gone } else { Event::LeaderExited };
        self.apply_internal(service, event, now);
        self.progress(now);
    }

    /// Handles the end of the last process of a service, some time after the exit of its leader.
    pub fn handle_gone(&mut self, service: ServiceId, now: Duration) {
        // Without an exit it belongs to a process group that the supervisor has given up.
        if self.entries[service.index()].leader_exit.is_some() {
            self.apply_internal(service, Event::Gone, now);
            self.progress(now);
        }
    }

    /// Handles the suspension of the leader by a signal from outside.
    pub fn handle_suspended(&mut self, service: ServiceId, now: Duration) {
        self.apply_internal(service, Event::Suspended, now);
    }

    /// Handles the continuation of the leader by a signal from outside.
    pub fn handle_resumed(&mut self, service: ServiceId, now: Duration) {
        self.apply_internal(service, Event::Resumed, now);
    }

    /// Kills a pending spawn after `SPAWN_TIMEOUT`.
    pub(super) fn time_out(&mut self, service: ServiceId, now: Duration) {
        self.record_failed_start(service, SpawnError::TIMEOUT, now);
        self.abort(service, Some(LastExit::Spawn(SpawnError::TIMEOUT)), now);
    }

    /// Stops waiting for a killed spawn. It is never followed by a second one before its answer.
    pub(super) fn lose(&mut self, service: ServiceId, now: Duration) {
        warning!("{}: cannot be killed, waiting for it", self.name(service));
        self.settle_spawn(service, CommandError::Busy);
        let entry = &mut self.entries[service.index()];
        if entry.next == Next::Start {
            entry.next = Next::Policy;
        }
        self.enter(service, Phase::Lost, None, now);
    }

    /// Goes on without the end of killed processes.
    pub(super) fn give_up(&mut self, service: ServiceId, now: Duration) {
        warning!("{}: processes are left after KILL, going on without their end", self.name(service));
        let entry = &mut self.entries[service.index()];
        if entry.leader_exit.is_none() {
            let exit = Exit::signal(9);
            entry.last_exit = exit.into();
            entry.leader_exit = Some(LeaderExit { at: now, exit, was_stopped: true });
        }
        entry.pid = 0;
        self.finish(service, now);
    }

    /// Goes on after the end of the last process, or after a failed start.
    pub(super) fn finish(&mut self, service: ServiceId, now: Duration) {
        let entry = &mut self.entries[service.index()];
        let (phase, next, is_silent) = (entry.phase, entry.next, entry.is_silent);
        let ended = entry.leader_exit.take().filter(|_| phase.is_alive());
        let ran = ended.map_or(Duration::ZERO, |ended| ended.at.saturating_sub(entry.started));
        if let Some(ended) = ended {
            let reason = match (ended.was_stopped, phase) {
                (true, _) if is_silent => EndReason::Watchdog,
                (false, _) => EndReason::Exited,
                (true, Phase::Killing) => EndReason::Killed,
                (true, _) => EndReason::Stopped,
            };
            entry.history.push(PastRun { ended: ended.at, ran, exit: entry.last_exit, reason });
        }
        // The end of a spawn that a command cancelled is none of the service.
        let is_cancelled = next != Next::Policy && !phase.is_alive();
        let reason = (!is_cancelled).then_some(entry.last_exit);
        match next {
            Next::Policy => {
                let spec = self.spec(service);
                let is_success = spec.zip(ended).is_some_and(|(spec, ended)| spec.is_success(ended.exit));
                self.decide(service, is_success && !is_silent, ran, now);
            }
            Next::Start if !self.is_shutting_down => {
                entry.restarts = entry.restarts.saturating_add(1);
                entry.reset_back_off();
                self.spawn(service, reason, now);
            }
            Next::Start | Next::Stay => self.enter_stopped(service, reason, now),
        }
    }

    /// Applies the restart policy after an end that no command asked for, or after a failed start.
    pub(super) fn decide(&mut self, service: ServiceId, is_success: bool, ran: Duration, now: Duration) {
        let Some(spec) = self.spec(service) else { return };
        let (policy, limit) = (spec.restart, spec.start_limit);
        let success = if spec.kind == ServiceKind::Oneshot { Phase::Finished } else { Phase::Stopped };
        let entry = &mut self.entries[service.index()];
        let reason = Some(entry.last_exit);
        entry.short_runs = if ran < GOOD_RUN { entry.short_runs.saturating_add(1) } else { 0 };
        let short_runs = entry.short_runs;
        let is_finished = is_success && success == Phase::Finished;
        let restarts = policy.applies(is_success) && !is_finished && !self.is_shutting_down;
        if restarts && limit != 0 && short_runs >= limit {
            error!("{}: failed, {} short runs in a row", self.name(service), short_runs);
            self.enter(service, Phase::Failed, reason, now);
        } else if restarts {
            let delay = self.jitter.apply(entry.back_off.after(ran));
            self.enter_until(service, Phase::Waiting, reason, now, delay);
            self.await_ready(service, now);
        } else {
            let phase = if is_success { success } else { Phase::Failed };
            self.enter(service, phase, reason, now);
        }
    }

    /// Records and reports a failed start.
    fn record_failed_start(&mut self, service: ServiceId, error: SpawnError, now: Duration) {
        if let Some(spec) = self.spec(service) {
            error!("{}: {}", spec.name, error.text(spec));
        }
        let entry = &mut self.entries[service.index()];
        entry.last_exit = LastExit::Spawn(error);
        let exit = entry.last_exit;
        let reason = EndReason::SpawnFailed;
        entry.history.push(PastRun { ended: now, ran: Duration::ZERO, exit, reason });
        self.settle_spawn(service, CommandError::Spawn(error));
    }
}
