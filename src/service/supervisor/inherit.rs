//! Services that an earlier server left, and what a later one has to know of them.
//!
//! The keeper knows the processes and how the last one ended ([`Inherited`]), the server has stored what it had decided
//! ([`Memo`]). Both together give the phase in which a later server goes on:
//!
//! | process | program | goes on as |
//! |---|---|---|
//! | runs | that of the service | started or paused; a stop that was under way begins again |
//! | runs | `finish` | cleaning up |
//! | a start that the keeper has killed | any | aborting: the start, or `finish`, begins again |
//! | killed by the keeper | `pre_start`, or what is left of any | killing |
//! | what the program left behind | that of the service | stopping |
//! | none, and its end is not known to the server | any | the phase before the end, which is handled now |
//! | none | | the state of the memo; a service that was starting starts |

use core::time::Duration;

use super::super::record::{LeaderExit, Next, Readiness, Run};
use super::super::table::bit;
use super::super::transition::{Event, Phase};
use super::super::{
    EndReason, Ended, Exit, Inherited, InheritedProcess, KILL_TIMEOUT, LastExit, Memo, PreStartFailure,
    ProcessEvent, Program, Requirement, ServiceId, SpawnError, State,
};
use super::Supervisor;
use crate::info;

/// Any number of a process that has ended.
const ENDED_PID: u32 = u32::MAX;

impl Supervisor {
    /// Takes services over before [`start_enabled`](Self::start_enabled), which starts those that were wanted and
    /// have no process.
    pub fn inherit(&mut self, services: &[(ServiceId, Inherited)], now: Duration) {
        // The processes first: an end may start a service that requires another one.
        for (service, inherited) in services {
            self.inherited |= bit(*service);
            self.inherit_process(*service, inherited, now);
        }
        for (service, inherited) in services {
            if inherited.process == InheritedProcess::None {
                self.inherit_end(*service, inherited, now);
            }
        }
    }

    fn inherit_process(&mut self, service: ServiceId, inherited: &Inherited, now: Duration) {
        let Inherited { memo, process, program, .. } = *inherited;
        match process {
            InheritedProcess::Running { pid, started } if program == Program::Main => {
                return self.inherit_running(service, memo, pid, started, now);
            }
            InheritedProcess::Left => return self.stop_left(service, now),
            _ => {}
        }
        self.inherit_record(service, inherited, now);
        let stop_timeout = self.stop_timeout(service);
        let has_pre_start = self.has(service, Program::PreStart);
        let timeout = self.failed_spawn(service, SpawnError::TIMEOUT);
        let entry = &mut self.entries[service.index()];
        match process {
            InheritedProcess::Running { pid, .. } => {
                entry.pid = pid;
                self.enter_until(service, Phase::CleaningUp, None, now, stop_timeout);
            }
            InheritedProcess::Aborted => {
                entry.needs_finish = match program {
                    Program::Finish => true,
                    Program::Main => has_pre_start,
                    _ => false,
                };
                if program != Program::Finish && entry.next == Next::Policy {
                    // No other start is killed without a command.
                    entry.last_exit = timeout;
                }
                self.enter_until(service, Phase::Aborting, None, now, KILL_TIMEOUT);
            }
            InheritedProcess::Killed { pid } => {
                entry.pid = pid;
                entry.needs_finish = program != Program::Finish;
                self.enter_until(service, Phase::Killing, None, now, KILL_TIMEOUT);
            }
            InheritedProcess::Ending { is_signalled } => {
                entry.needs_finish = true;
                entry.since = now;
                // Their time begins again.
                if is_signalled {
                    self.enter_until(service, Phase::Stopping, None, now, stop_timeout);
                } else {
                    self.signal_stop(service, now);
                }
            }
            InheritedProcess::None | InheritedProcess::Left => {
                let phase = match memo.state {
                    State::Failed => Phase::Failed,
                    State::Finished => Phase::Finished,
                    _ => return,
                };
                self.enter(service, phase, None, now);
                self.schedule_board_end(service, now);
            }
        }
    }

    /// Takes over what is known of the latest run, and what the earlier server had decided about its end.
    fn inherit_record(&mut self, service: ServiceId, inherited: &Inherited, now: Duration) {
        let Inherited { memo, process, program, ended } = *inherited;
        self.inherit_decision(service, memo);
        let entry = &mut self.entries[service.index()];
        entry.next = sequel(inherited);
        entry.started = now;
        let mut exit = Exit::Code(0);
        if let Some(Ended { program: ended, result, ran }) = ended {
            entry.program = ended;
            entry.started = now.saturating_sub(ran);
            let overrun = self.overrun(service);
            let is_success = |exit| self.spec(service).is_some_and(|spec| spec.is_success(exit));
            let run = result.ok().filter(|_| (ended, program) == (Program::Main, Program::Finish));
            let run =
                run.map(|exit| Run { length: ran, is_success: is_success(exit) && memo.fault.is_none() });
            let last_exit = match (ended, result, overrun) {
                (Program::Main, Ok(_), Some(seconds)) => LastExit::Overran(seconds),
                (Program::Main, Ok(exit), None) => exit.into(),
                (_, Ok(_), Some(seconds)) => LastExit::PreStart(PreStartFailure::Overran(seconds)),
                (_, Ok(exit), None) if memo.is_by_policy && exit != Exit::Code(0) => {
                    LastExit::PreStart(PreStartFailure::Exit(exit))
                }
                (_, Err(error), _) if memo.is_by_policy => {
                    // No other start is killed without a command.
                    let is_killed = memo.state == State::Stopping && program == ended;
                    self.failed_spawn(service, if is_killed { SpawnError::TIMEOUT } else { error })
                }
                // The start had not failed.
                _ => LastExit::None,
            };
            let entry = &mut self.entries[service.index()];
            entry.started_once = ended == Program::Main && result.is_ok();
            (entry.run, entry.last_exit) = (run, last_exit);
            exit = result.unwrap_or(exit);
        }
        let has_failed = matches!(memo.state, State::Failed | State::Stopped);
        let entry = &mut self.entries[service.index()];
        entry.program = program;
        if let Some(Requirement { index, is_down }) = memo.required.filter(|_| has_failed) {
            entry.last_exit = LastExit::Required { index, is_down };
        }
        let has_rest =
            matches!(process, InheritedProcess::Ending { .. } | InheritedProcess::Killed { pid: 0 });
        entry.leader_exit =
            has_rest.then_some(LeaderExit { at: now, exit, was_stopped: was_ended_by_server(memo) });
    }

    /// Takes over why the earlier server ended the run.
    fn inherit_decision(&mut self, service: ServiceId, memo: Memo) {
        let is_own = |fault| match fault {
            EndReason::Unhealthy(check) => {
                self.table.check(check).is_some_and(|check| check.service == Some(service))
            }
            _ => true,
        };
        let fault = memo.fault.map(|fault| if is_own(fault) { fault } else { EndReason::Stopped });
        let requires = self.spec(service).map_or(&[][..], |spec| &spec.requires);
        let required = memo.required.filter(|_| memo.state == State::Stopping);
        let required = required.and_then(|required| requires.get(usize::from(required.index)));
        let failed_with = required.and_then(|name| self.table.find(name));
        let entry = &mut self.entries[service.index()];
        (entry.fault, entry.failed_with) = (fault, failed_with);
    }

    /// Handles the end that the earlier server did not know, or has a service started that was starting.
    fn inherit_end(&mut self, service: ServiceId, inherited: &Inherited, now: Duration) {
        let Inherited { memo, program, ended, .. } = *inherited;
        let is_pending = match memo.state {
            State::Started | State::Paused | State::Stopping => true,
            State::Starting => memo.is_busy,
            State::Stopped | State::Finished | State::Failed => false,
        };
        let Some(ended) = ended.filter(|_| is_pending) else {
            // One that has stopped for a reload is wanted, too.
            let may_run = !matches!(memo.state, State::Finished | State::Failed);
            if memo.is_wanted && may_run {
                self.resumed |= bit(service);
            }
            return;
        };
        let has_pre_start = self.has(service, Program::PreStart);
        let entry = &mut self.entries[service.index()];
        // It had what it needs, or it would have been stopped.
        self.met |= entry.needs;
        let is_stopping = memo.state == State::Stopping;
        match (program, ended.result) {
            (Program::Finish, _) => {
                entry.phase = Phase::CleaningUp;
                self.apply_internal(service, Event::Gone, now);
                self.progress(now);
            }
            (_, Ok(exit)) => {
                entry.needs_finish = true;
                entry.pid = ENDED_PID;
                // Of `pre_start`, too: what follows is the same, and it begins now.
                entry.phase = if was_ended_by_server(memo) { Phase::Stopping } else { Phase::Started };
                self.handle_event(service, ProcessEvent::Exited { exit, is_gone: true }, now);
            }
            (_, Err(error)) => {
                entry.needs_finish = program == Program::Main && has_pre_start;
                entry.phase = if is_stopping { Phase::Aborting } else { Phase::Spawning };
                self.handle_event(service, ProcessEvent::Spawned(Err(error)), now);
            }
        }
    }

    /// Stops the processes of an earlier keeper, of which nothing else is known.
    fn stop_left(&mut self, service: ServiceId, now: Duration) {
        info!("{}: stopping what an earlier server has left", self.subject(service));
        let entry = &mut self.entries[service.index()];
        (entry.started, entry.since) = (now, now);
        // Its end is not that of a run of this server: the history has none of it.
        entry.program = Program::Finish;
        entry.leader_exit = Some(LeaderExit { at: now, exit: Exit::Code(0), was_stopped: true });
        entry.next = if entry.enabled { Next::Start } else { Next::Stay };
        self.signal_stop(service, now);
    }

    fn inherit_running(
        &mut self,
        service: ServiceId,
        memo: Memo,
        pid: u32,
        started: Duration,
        now: Duration,
    ) {
        let entry = &mut self.entries[service.index()];
        // They were, or it would have been stopped.
        self.met |= entry.needs;
        entry.pid = pid;
        entry.program = Program::Main;
        entry.started = started;
        entry.started_once = true;
        entry.needs_finish = true;
        entry.readiness = if memo.is_ready { Readiness::Ready } else { Readiness::None };
        let phase = if memo.state == State::Paused { Phase::Paused } else { Phase::Started };
        self.enter(service, phase, None, now);
        self.entries[service.index()].since = started;
        if !memo.is_ready {
            self.await_ready(service, now);
            self.await_settled(service, now);
        }
        info!("{}: runs, pid {}", self.subject(service), pid);
        // The time of a stop that was under way begins again.
        if memo.state == State::Stopping {
            self.inherit_decision(service, memo);
        }
        match (memo.state, memo.is_wanted) {
            (State::Stopping, true) if memo.is_by_policy => self.stop(service, None, now),
            (State::Stopping, true) => self.apply_internal(service, Event::Restart, now),
            (_, false) => self.apply_internal(service, Event::Stop, now),
            (_, true) => {}
        }
    }

    /// Returns true if a service is started with this server.
    pub(super) fn starts_with_server(&self, service: ServiceId) -> bool {
        if self.inherited & bit(service) != 0 {
            return self.resumed & bit(service) != 0;
        }
        self.entries[service.index()].enabled
    }

    /// Notes that something of a service may have changed that a later server has to know.
    pub(super) fn note(&mut self, service: ServiceId) {
        self.noted |= bit(service);
    }

    /// Returns the next service of which a later server has to know something else than before.
    pub fn poll_memo(&mut self) -> Option<(ServiceId, Memo)> {
        while self.noted != 0 {
            let index = self.noted.trailing_zeros() as usize;
            self.noted &= self.noted - 1;
            let Some(service) = ServiceId::from_index(index) else { continue };
            let required = self.failed_requirement(service);
            let was_wanted = self.was_wanted(service);
            let entry = &mut self.entries[index];
            let memo = Memo {
                state: entry.phase.state(),
                is_wanted: entry.is_wanted() || was_wanted,
                is_ready: entry.readiness == Readiness::Ready,
                is_by_policy: entry.next == Next::Policy,
                is_busy: entry.phase.is_busy(),
                fault: entry.fault,
                required,
            };
            if entry.memo != Some(memo) {
                entry.memo = Some(memo);
                return Some((service, memo));
            }
        }
        None
    }

    /// The required service that ends this one, or for which it does not run.
    fn failed_requirement(&self, service: ServiceId) -> Option<Requirement> {
        let entry = &self.entries[service.index()];
        let reason = match (entry.failed_with, entry.phase) {
            (Some(other), _) => self.required(service, other, true),
            (None, Phase::Failed | Phase::Stopped) => entry.last_exit,
            _ => return None,
        };
        match reason {
            LastExit::Required { index, is_down } => Some(Requirement { index, is_down }),
            _ => None,
        }
    }
}

/// Returns true if the earlier server ended the run, by a command or for a fault. Otherwise what ended its processes is an
/// end of its leader on its own.
fn was_ended_by_server(memo: Memo) -> bool {
    memo.state == State::Stopping && (memo.fault.is_some() || !memo.is_by_policy)
}

/// Sequel of the end of a process that an earlier server had. A start that was killed begins again.
fn sequel(inherited: &Inherited) -> Next {
    let Inherited { memo, process, program, .. } = *inherited;
    let is_killed = match process {
        InheritedProcess::Aborted => program != Program::Finish,
        InheritedProcess::Killed { pid } => pid != 0 && program != Program::Finish,
        _ => false,
    };
    let begins_again = is_killed && memo.state == State::Starting;
    match (memo.is_wanted, memo.is_by_policy) {
        (false, _) if process != InheritedProcess::None => Next::Stay,
        (_, true) if !begins_again => Next::Policy,
        (true, _) => Next::Start,
        (false, _) => Next::Stay,
    }
}
