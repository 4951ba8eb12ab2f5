//! Services that an earlier server left, and what a later one has to know of them.

use core::time::Duration;

use super::super::record::{LeaderExit, Next, Readiness, Run};
use super::super::table::bit;
use super::super::transition::{Event, Phase};
use super::super::{
    EndReason, Exit, Inherited, InheritedProcess, KILL_TIMEOUT, Memo, ProcessEvent, Program, ServiceId, State,
};
use super::Supervisor;
use crate::info;

impl Supervisor {
    /// Takes services over before [`start_enabled`](Self::start_enabled), which starts those that were wanted and
    /// have no process.
    pub fn inherit(&mut self, services: &[(ServiceId, Inherited)], now: Duration) {
        // The processes first: an exit may start a service that requires another one.
        for (service, Inherited { memo, process }) in services.iter().copied() {
            self.inherited |= bit(service);
            match process {
                InheritedProcess::Running { pid, started } => {
                    self.inherit_running(service, memo, pid, started, now);
                }
                InheritedProcess::Aborted { exit } => {
                    let is_success = exit.and_then(|exit| Some(self.spec(service)?.is_success(exit)));
                    let entry = &mut self.entries[service.index()];
                    entry.started = now;
                    entry.needs_finish = exit.is_some();
                    entry.run = is_success.map(|is_success| Run {
                        length: Duration::ZERO,
                        is_success: is_success && !memo.has_fault,
                    });
                    entry.last_exit = exit.map_or(entry.last_exit, Into::into);
                    entry.next = sequel(memo);
                    self.enter_until(service, Phase::Aborting, None, now, KILL_TIMEOUT);
                }
                InheritedProcess::Killed { pid, exit } => {
                    let entry = &mut self.entries[service.index()];
                    entry.pid = if exit.is_none() { pid } else { 0 };
                    entry.started = now;
                    entry.leader_exit = exit.map(|exit| LeaderExit { at: now, exit, was_stopped: true });
                    entry.next = sequel(memo);
                    entry.fault = fault_of(memo);
                    self.enter_until(service, Phase::Killing, None, now, KILL_TIMEOUT);
                }
                InheritedProcess::Ending { exit, is_signalled } => {
                    let entry = &mut self.entries[service.index()];
                    (entry.started, entry.since) = (now, now);
                    entry.started_once = true;
                    entry.needs_finish = true;
                    // If the policy decides, it ended on its own, unless the server ended it for a fault.
                    let was_stopped = is_signalled && (memo.has_fault || !memo.is_by_policy);
                    entry.leader_exit = Some(LeaderExit { at: now, exit, was_stopped });
                    entry.last_exit = exit.into();
                    entry.next = sequel(memo);
                    entry.fault = fault_of(memo);
                    // Their time begins again.
                    if is_signalled {
                        let stop_timeout = self.stop_timeout(service);
                        self.enter_until(service, Phase::Stopping, None, now, stop_timeout);
                    } else {
                        self.signal_stop(service, now);
                    }
                }
                InheritedProcess::Finishing { pid, exit } => {
                    let is_success = self.spec(service).is_some_and(|spec| spec.is_success(exit));
                    let time = self.stop_timeout(service);
                    let entry = &mut self.entries[service.index()];
                    (entry.pid, entry.program, entry.started) = (pid, Program::Finish, now);
                    entry.last_exit = exit.into();
                    let is_success = is_success && !memo.has_fault;
                    entry.run = Some(Run { length: Duration::ZERO, is_success });
                    entry.next = sequel(memo);
                    self.enter_until(service, Phase::CleaningUp, None, now, time);
                }
                InheritedProcess::Left => {
                    info!("{}: stopping what an earlier server has left", self.subject(service));
                    let entry = &mut self.entries[service.index()];
                    (entry.started, entry.since) = (now, now);
                    // Its end is not that of a run of this server: the history has none of it.
                    entry.program = Program::Finish;
                    entry.leader_exit = Some(LeaderExit { at: now, exit: Exit::Code(0), was_stopped: true });
                    entry.next = if entry.enabled { Next::Start } else { Next::Stay };
                    self.signal_stop(service, now);
                }
                InheritedProcess::None(exit) => {
                    if let Some(exit) = exit {
                        self.entries[service.index()].last_exit = exit.into();
                    }
                    match memo.state {
                        State::Failed => self.enter(service, Phase::Failed, None, now),
                        State::Finished => self.enter(service, Phase::Finished, None, now),
                        _ => {}
                    }
                }
            }
        }
        for (service, Inherited { memo, process }) in services.iter().copied() {
            match (process, memo.state) {
                (InheritedProcess::None(Some(exit)), State::Started | State::Paused | State::Stopping) => {
                    let entry = &mut self.entries[service.index()];
                    entry.phase = Phase::Started;
                    if memo.state == State::Stopping {
                        entry.phase = Phase::Stopping;
                        entry.next = sequel(memo);
                        entry.fault = fault_of(memo);
                    }
                    entry.started = now;
                    // Any number: it has ended.
                    entry.pid = u32::MAX;
                    self.handle_event(service, ProcessEvent::Exited { exit, is_gone: true }, now);
                }
                (InheritedProcess::None(_), State::Starting | State::Started | State::Paused)
                    if memo.is_wanted =>
                {
                    self.resumed |= bit(service);
                }
                _ => {}
            }
        }
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
        match (memo.state, memo.is_wanted) {
            (State::Stopping, true) if memo.is_by_policy => {
                self.entries[service.index()].fault = fault_of(memo);
                self.stop(service, None, now);
            }
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
            let entry = &mut self.entries[index];
            let memo = Memo {
                state: entry.phase.state(),
                is_wanted: entry.is_wanted(),
                is_ready: entry.readiness == Readiness::Ready,
                is_by_policy: entry.next == Next::Policy,
                has_fault: entry.fault.is_some(),
            };
            if entry.memo != Some(memo) {
                entry.memo = Some(memo);
                return Some((service, memo));
            }
        }
        None
    }
}

/// Sequel of the end of a process that an earlier server had. A start begins again.
fn sequel(memo: Memo) -> Next {
    match (memo.is_wanted, memo.is_by_policy) {
        (false, _) => Next::Stay,
        (true, true) if memo.state != State::Starting => Next::Policy,
        (true, _) => Next::Start,
    }
}

/// Fault for which an earlier server ended a process. Which one it was is lost.
fn fault_of(memo: Memo) -> Option<EndReason> {
    memo.has_fault.then_some(EndReason::Stopped)
}
