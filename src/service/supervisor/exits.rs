//! Reports about processes: spawn results, exits and suspensions, and the restart policy.

use core::time::Duration;

use super::super::record::{LeaderExit, Next, Run};
use super::super::transition::{Event, Phase};
use super::super::{
    Action, BoardEnd, CommandError, EndReason, Exit, GOOD_RUN, LastExit, PastRun, ProcessEvent, Program,
    REBOOT_UPTIME, ServiceId, ServiceKind, SpawnError, SpawnStage,
};
use super::Supervisor;
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
            ProcessEvent::Event(report) => self.handle_reported(service, report, now),
            ProcessEvent::StopCommand(result) => self.handle_stop_command(service, result, now),
        }
    }

    /// Handles the outcome of [`Action::Spawn`](super::Action::Spawn): the leader of a new process group, or
    /// the reason of the failure. It may come at any time. The supervisor requests no second process before
    /// it.
    pub fn handle_spawned(&mut self, service: ServiceId, result: Result<u32, SpawnError>, now: Duration) {
        let entry = &mut self.entries[service.index()];
        if !entry.has_pending_spawn() {
            let (is_started, number) =
                (result.is_ok(), result.unwrap_or_else(|error| error.errno.unsigned_abs()));
            warning!(
                "{}: unexpected result of a start: started {}, {}",
                self.subject(service),
                is_started,
                number
            );
            return;
        }
        let (phase, program) = (entry.phase, entry.program);
        let event = match result {
            Ok(pid) => {
                entry.pid = pid;
                entry.needs_finish |= program != Program::Finish;
                if (phase, program) == (Phase::Spawning, Program::Main) {
                    entry.started = now;
                    entry.started_once = true;
                    info!("{}: started, pid {}", self.subject(service), pid);
                } else {
                    info!("{}: {}, pid {}", self.subject(service), program.key(), pid);
                }
                Event::Spawned
            }
            Err(error) => {
                match phase {
                    Phase::Spawning => {
                        self.record_failed_start(service, self.failed_spawn(service, error), now);
                    }
                    // It was killed, perhaps after it had begun.
                    Phase::Aborting => {
                        entry.needs_finish |=
                            program == Program::PreStart && error.stage == SpawnStage::Timeout;
                    }
                    Phase::CleaningUp => self.warn_not_started(service, program, error),
                    _ => {}
                }
                Event::SpawnFailed
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
            warning!("{}: unexpected exit: {}", self.subject(service), LastExit::from(exit));
            return;
        }
        let (phase, program) = (entry.phase, entry.program);
        entry.pid = 0;
        entry.leader_exit = Some(LeaderExit { at: now, exit, was_stopped: phase.is_ending() });
        if program != Program::Main {
            info!("{}: {} exited, {}", self.subject(service), program.key(), LastExit::from(exit));
        } else if phase.is_alive() {
            let last_exit = self.record_exit(service, exit);
            let is_success = self.spec(service).is_some_and(|spec| spec.is_success(exit));
            self.settle_run(service, if is_success { Ok(()) } else { Err(CommandError::Exited(last_exit)) });
            info!("{}: exited, {}", self.subject(service), LastExit::from(exit));
        }
        if !is_gone && !phase.is_ending() {
            info!("{}: stopping the processes that its first one left", self.subject(service));
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
        let end = self.failed_spawn(service, SpawnError::TIMEOUT);
        self.record_failed_start(service, end, now);
        self.abort(service, Some(end), now);
    }

    /// Stops waiting for a killed spawn. It is never followed by a second one before its answer.
    pub(super) fn lose(&mut self, service: ServiceId, now: Duration) {
        warning!("{}: cannot be killed, waiting for it", self.subject(service));
        self.settle_spawn(service, CommandError::Busy);
        let entry = &mut self.entries[service.index()];
        if entry.next == Next::Start {
            entry.next = Next::Policy;
        }
        self.enter(service, Phase::Lost, None, now);
    }

    /// Goes on without the end of killed processes.
    pub(super) fn give_up(&mut self, service: ServiceId, now: Duration) {
        warning!("{}: processes are left after KILL, going on without their end", self.subject(service));
        let entry = &mut self.entries[service.index()];
        entry.pid = 0;
        if entry.leader_exit.is_none() {
            let exit = Exit::signal(9);
            entry.leader_exit = Some(LeaderExit { at: now, exit, was_stopped: true });
            if entry.program == Program::Main {
                self.record_exit(service, exit);
            }
        }
        self.finish(service, now);
    }

    /// Goes on after the end of the last process, or after a failed start: with the next program, or with the
    /// sequel.
    pub(super) fn finish(&mut self, service: ServiceId, now: Duration) {
        let entry = &mut self.entries[service.index()];
        // A process that was started too late does not count.
        let in_time = !matches!(entry.phase, Phase::Aborting | Phase::Lost);
        let program = entry.program;
        match (program, entry.leader_exit.take().filter(|_| in_time)) {
            (Program::Main, Some(ended)) => self.record_run(service, ended),
            (Program::PreStart, Some(ended)) if self.end_pre_start(service, ended, now) => return,
            _ => {}
        }
        if !self.clean_up(service, now) {
            self.go_on(service, now);
        }
    }

    /// Records a run in the history, and its result for the policy.
    fn record_run(&mut self, service: ServiceId, ended: LeaderExit) {
        let is_success = self.spec(service).is_some_and(|spec| spec.is_success(ended.exit));
        let entry = &mut self.entries[service.index()];
        let reason = match (ended.was_stopped, entry.fault) {
            (false, _) => EndReason::Exited,
            (true, Some(fault)) => fault,
            (true, None) if entry.phase == Phase::Killing => EndReason::Killed,
            (true, None) => EndReason::Stopped,
        };
        let ran = ended.at.saturating_sub(entry.started);
        entry.history.push(PastRun { ended: ended.at, ran, exit: entry.last_exit, reason });
        entry.run = Some(Run { length: ran, is_success: is_success && entry.fault.is_none() });
    }

    /// Starts again, stays or lets the policy decide, after the last program of a run.
    fn go_on(&mut self, service: ServiceId, now: Duration) {
        let entry = &mut self.entries[service.index()];
        let run = entry.run.take();
        // The end of a start that a command cancelled is none of the service.
        let is_cancelled = entry.next != Next::Policy && run.is_none();
        let reason = (!is_cancelled).then_some(entry.last_exit);
        match entry.next {
            Next::Policy => {
                let run = run.unwrap_or(Run { length: Duration::ZERO, is_success: false });
                if !self.delay_decision(service, run, now) {
                    self.decide(service, run.is_success, run.length, now);
                }
            }
            Next::Start if !self.is_shutting_down => {
                // A start that was killed with its server, or by a command, begins again: nothing has run.
                entry.restarts = entry.restarts.saturating_add(u32::from(!is_cancelled));
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
            error!("{}: failed, {} short runs in a row", self.subject(service), short_runs);
            self.fail(service, reason, now);
        } else if restarts {
            let delay = self.jitter.apply(entry.back_off.after(ran));
            self.enter_until(service, Phase::Waiting, reason, now, delay);
            self.await_ready(service, now);
        } else if is_success {
            self.enter(service, success, reason, now);
            self.schedule_board_end(service, now);
        } else {
            self.fail(service, reason, now);
        }
    }

    /// Enters `Failed`, with the time at which the board ends because of it.
    fn fail(&mut self, service: ServiceId, reason: Option<LastExit>, now: Duration) {
        self.enter(service, Phase::Failed, reason, now);
        self.schedule_board_end(service, now);
    }

    /// End of the board that the phase of a service causes.
    fn end_of_board(&self, service: ServiceId) -> Option<BoardEnd> {
        let spec = self.spec(service).filter(|_| !self.is_shutting_down)?;
        match self.entries[service.index()].phase {
            Phase::Failed => spec.on_failure,
            _ => spec.on_success,
        }
    }

    /// Sets the time at which the board ends because of a service. A failure, and any restart, leaves time to
    /// log in: the service may cause it again and again.
    pub(super) fn schedule_board_end(&mut self, service: ServiceId, now: Duration) {
        let Some(end) = self.end_of_board(service) else { return };
        let is_success = self.entries[service.index()].phase != Phase::Failed;
        let due = if end == BoardEnd::PowerOff && is_success { now } else { now.max(REBOOT_UPTIME) };
        let seconds = (due - now).as_secs();
        warning!("{}: its end causes {} of the board in {} s", self.subject(service), end.name(), seconds);
        self.entries[service.index()].deadline = Some(due);
    }

    /// Requests the end of the board.
    pub(super) fn end_board(&mut self, service: ServiceId) {
        let Some(end) = self.end_of_board(service) else { return };
        if self.actions.push_back(Action::EndBoard { service, end }).is_err() {
            error!("{}: cannot {} the board: too many pending actions", self.subject(service), end.name());
        }
    }

    /// Records and reports a failed start.
    pub(super) fn record_failed_start(&mut self, service: ServiceId, end: LastExit, now: Duration) {
        if let Some(spec) = self.spec(service) {
            error!("{}: {}", self.subject(service), end.text(spec));
        }
        let entry = &mut self.entries[service.index()];
        entry.last_exit = end;
        let reason = EndReason::SpawnFailed;
        entry.history.push(PastRun { ended: now, ran: Duration::ZERO, exit: end, reason });
        self.settle_spawn(
            service,
            match end {
                LastExit::Spawn(error) => CommandError::Spawn(error),
                end => CommandError::Exited(end),
            },
        );
    }
}
