//! Sans-IO server core, joined with the system and the sockets.

use core::net::IpAddr;
use std::cell::RefCell;
use std::fmt::Write as _;
use std::rc::Rc;
use std::time::Duration;

use super::HELD_UP;
use super::announce::Announcer;
use super::checks::Checks;
use super::expiry::ExpiryWatch;
use super::probes::Probes;
use super::reload::Reloads;
use super::renewal::Renewal;
use super::syslog::{self, Lines, Syslog};
use super::system::System;
use crate::api::Counters;
use crate::call::{CommandOutput, Completion, PasswordVerdict, StoredPage};
use crate::connection::{End, Peer, Server, SlotId, Stage, State};
use crate::keeper::{KeeperEvent, Processes, RunEnd, RunOwner, Unfinished};
use crate::log::{self, LOG_WINDOW, RateLimit, Reason, StepWatch, Suppressed};
use crate::net::{ConnectionTable, Endpoint};
use crate::runtime::{self, Notify, Timer, UPKEEP_DELAY};
use crate::service::{CheckError, Exit, LastExit, ServiceId};
use crate::session::KeyHash;
use crate::sys::conditions::ConditionWatch;
use crate::sys::log_reader::{LogRead, LogReader};
use crate::sys::output_files::OutputFiles;
use crate::sys::password::{PasswordResult, PasswordWorker};
use crate::sys::state_writer::{StateResult, StateWriter};
use crate::sys::{Clock, SdNotify, log_threads};
use crate::syslog::Settings;
use crate::{debug, error, info, warning};

/// Server, and everything that one of its steps may change. A task borrows it for one step and never across
/// an await.
pub(super) struct Core {
    pub(super) server: Server,
    pub(super) system: System,
    pub(super) reloads: Reloads,
    pub(super) clock: Clock,
    output_files: Option<OutputFiles>,
    pub(super) syslog: Syslog,
    connections: Rc<ConnectionTable>,
    sd_notify: Rc<SdNotify>,
    upkeep: Upkeep,
    probes: Probes,
    checks: Checks,
    counter_log: CounterLog,
    wall_clock: StepWatch,
    /// Dates of the certificates.
    pub(super) expiry: ExpiryWatch,
    /// Dates of the tokens.
    pub(super) token_expiry: ExpiryWatch,
    pub(super) renewal: Renewal,
    /// `None`: the server is not announced.
    pub(super) announcer: Option<Box<Announcer>>,
    log_limit: RateLimit,
    /// Notified when nothing is left to wait for after [`shutdown`](Self::shutdown).
    down: Rc<Notify>,
    /// Notified when [`leave`](Self::leave) is due.
    leaving: Rc<Notify>,
}

/// Time of the next [`Core::upkeep`].
struct Upkeep {
    timer: Rc<Timer>,
    due: Option<Duration>,
    /// There was a step since the last upkeep, so the next one is due within `UPKEEP_DELAY`.
    is_soon: bool,
}

impl Upkeep {
    /// Sets the time of the next upkeep at the end of one.
    fn schedule(&mut self, due: Option<Duration>, clock: &Clock) {
        self.is_soon = false;
        self.due = due;
        self.timer.set(due.map(|due| clock.instant(due)));
    }

    /// Sets it after the first step since the last one.
    #[cold]
    fn schedule_soon(&mut self, now: Duration, clock: &Clock) {
        let soon = now + UPKEEP_DELAY;
        if self.due.is_none_or(|due| soon < due) {
            self.schedule(Some(soon), clock);
        }
        self.is_soon = true;
    }
}

/// Counters that were logged last.
#[derive(Default)]
struct CounterLog {
    logged: Counters,
    next: Duration,
}

impl CounterLog {
    /// Logs the counters after a refusal, at most once in `LOG_WINDOW`. Returns the time of the next call.
    fn update(&mut self, counters: &Counters, now: Duration) -> Option<Duration> {
        if counters.refusals() == self.logged.refusals() {
            return None;
        }
        if now < self.next {
            return Some(self.next);
        }
        debug!("so far {}", counters);
        self.logged = *counters;
        self.next = now + LOG_WINDOW;
        None
    }
}

impl Core {
    #[expect(
        clippy::too_many_arguments,
        reason = "its parts, each of which another part of the server uses, too"
    )]
    pub(super) fn new(
        server: Server,
        system: System,
        clock: Clock,
        output_files: Option<OutputFiles>,
        syslog: Syslog,
        connections: Rc<ConnectionTable>,
        sd_notify: Rc<SdNotify>,
        timer: Rc<Timer>,
        reloads: Reloads,
        expiry: ExpiryWatch,
        token_expiry: ExpiryWatch,
        renewal: Renewal,
    ) -> Self {
        Self {
            server,
            system,
            reloads,
            clock,
            output_files,
            syslog,
            connections,
            sd_notify,
            upkeep: Upkeep { timer, due: None, is_soon: false },
            probes: Probes::new(),
            checks: Checks::new(),
            counter_log: CounterLog::default(),
            wall_clock: StepWatch::new(log::sample_clock()),
            expiry,
            token_expiry,
            renewal,
            announcer: None,
            log_limit: RateLimit::default(),
            down: Rc::default(),
            leaving: Rc::default(),
        }
    }

    /// Starts the enabled services.
    pub(super) fn start(&mut self) {
        let now = self.now();
        if let Some(certificate) = &self.renewal.certificate {
            self.server.set_certificate(certificate.names(), certificate.facts());
        }
        self.look_at_dates(now);
        self.server.start(now, &mut self.system);
        self.finish_step(now);
    }

    /// Reports to the keeper that this server serves.
    pub(super) fn report_serving(&self) {
        self.system.processes().report_serving();
    }

    /// Closes the connections and stops the services. Returns the event of the end of that.
    pub(super) fn shutdown(&mut self) -> Rc<Notify> {
        let now = self.now();
        self.system.processes().report_ending();
        self.announcer.iter().for_each(|announcer| announcer.withdraw());
        self.server.shutdown(now, &mut self.system);
        self.system.processes().kill_commands();
        self.finish_step(now);
        Rc::clone(&self.down)
    }

    /// Notified when the keeper lets the server go.
    pub(super) fn leaving(&self) -> Rc<Notify> {
        Rc::clone(&self.leaving)
    }

    /// Asks the keeper for an upgrade.
    pub(super) fn request_upgrade(&mut self) {
        // The new program gets the earlier configuration.
        self.server.give_trial_up();
        let now = self.now();
        self.finish_step(now);
        self.system.processes().request_upgrade();
    }

    /// Closes every connection, and leaves the services to another server.
    pub(super) fn leave(&mut self) -> Rc<Notify> {
        let now = self.now();
        self.complete_upgrade(Ok(()));
        if self.system.reloader().is_reloading() {
            // The next server begins it anew.
            self.report_reload();
        }
        self.server.leave(now);
        self.finish_step(now);
        Rc::clone(&self.down)
    }

    /// Reports to the keeper that a reload was asked for: it is not lost with this server.
    pub(super) fn report_reload(&self) {
        self.system.processes().report_unfinished(Unfinished::Reload);
    }

    /// Returns true while a write to the disk is under way.
    pub(super) fn is_writing(&self) -> bool {
        self.server.is_writing()
    }

    /// Answers the call that waits for an upgrade, if there is one.
    fn complete_upgrade(&mut self, result: Result<(), &str>) {
        let now = self.now();
        if let Some(call_id) = self.system.take_upgrade_call() {
            let completion = Completion::Upgraded(result);
            self.server.handle_completion(call_id, completion, now, &mut self.system);
        }
    }

    /// Longest time of a [`shutdown`](Self::shutdown).
    pub(super) fn shutdown_time(&self) -> Duration {
        self.server.shutdown_time()
    }

    /// Kills the remaining services.
    pub(super) fn kill_rest(&mut self) {
        self.server.kill_services(&mut self.system);
    }

    /// Hands the output of every service to the files. Returns false if some has no room yet.
    fn copy_output(&mut self) -> bool {
        let mut services = self.server.services().table().iter();
        services.all(|(service, _)| copy_output(&mut self.output_files, self.system.processes(), service))
    }

    /// Takes the files of the output of a later table.
    pub(super) fn renew_output_files(&mut self, replaced: u64) {
        let table = self.server.services().table();
        match &mut self.output_files {
            Some(files) => files.renew(table, replaced),
            None => match OutputFiles::start(table) {
                Ok(files) => self.output_files = files,
                Err(error) => error!("cannot start the thread of the output files: {}", Reason::from(&error)),
            },
        }
    }

    /// Takes the log server of the configuration in force.
    pub(super) fn start_syslog(&mut self, tls: syslog::Tls) {
        self.syslog.renew(self.reloads.config.syslog.as_ref(), tls, self.server.services(), u64::MAX);
    }

    /// Takes the log server of a later configuration, and its table of services.
    pub(super) fn renew_syslog(&mut self, settings: Option<&Settings>, tls: syslog::Tls, replaced: u64) {
        self.syslog.renew(settings, tls, self.server.services(), replaced);
    }

    /// Waits until the output of the services is in its files, and sent to the log server, up to a limit each.
    pub(super) fn flush_output(&mut self) {
        self.copy_output();
        let (processes, services, now) = (self.system.processes(), self.server.services(), self.clock.now());
        self.syslog.flush(&Lines { processes, services, now }, &self.clock);
        if let Some(files) = &self.output_files {
            files.flush();
        }
    }

    pub(super) fn log_counters(&self) {
        info!("served {}", self.server.counters());
    }

    /// Compares the dates of the certificates and the tokens with the time of day.
    pub(super) fn look_at_dates(&mut self, now: Duration) {
        let time_of_day = self.clock.time_of_day();
        self.expiry.handle_timeout(now, time_of_day);
        self.token_expiry.handle_timeout(now, time_of_day);
        let certificate = self.renewal.notice().or_else(|| self.expiry.notice());
        self.server.set_expiry_notices(certificate, self.token_expiry.notice());
    }

    /// Handles every deadline that has passed, and sets the timer to the next one.
    fn run_upkeep(&mut self) {
        let now = self.now();
        let late = self.upkeep.due.map_or(Duration::ZERO, |due| now.saturating_sub(due));
        if late >= HELD_UP {
            warning!("the server was held up for {} ms", late.as_millis() as u64);
            self.server.extend_watchdogs(late);
        }
        // First the results, so that none that is there counts as late.
        self.checks.run(&mut self.server, &mut self.system, now);
        self.server.handle_timeout(now, &mut self.system);
        self.server.report_slot(&mut |result| self.sd_notify.report_slot(result));
        for service in self.probes.run(self.server.unready(), now) {
            self.server.handle_ready(service, now, &mut self.system);
        }
        self.system.reloader().retry_return();
        let is_set = self.wall_clock.log_step();
        let looks = [self.expiry.poll_timeout(), self.token_expiry.poll_timeout()];
        if is_set || looks.into_iter().flatten().any(|due| due <= now) {
            self.look_at_dates(now);
        }
        self.look_at_names(now);
        self.finish_step(now);
        let is_releasing = self.server.release_idle();
        let is_copied = self.copy_output();
        let (processes, services) = (self.system.processes(), self.server.services());
        self.syslog.note_own(&Lines { processes, services, now }, &self.clock);
        if let Some([text, notice]) = self.syslog.take_report() {
            self.server.set_syslog(text, notice);
        }
        // A server that does not get here sends no heartbeat, and is restarted.
        self.sd_notify.handle_timeout(now);
        let counters = self.counter_log.update(self.server.counters(), now);
        log_threads::write_files();
        let soon = now + UPKEEP_DELAY;
        let due = [
            // What could not be done is due already, such as a check that waits for a free run.
            self.server.poll_timeout().map(|due| if due <= now { soon } else { due }),
            self.sd_notify.poll_timeout(),
            counters,
            self.expiry.poll_timeout(),
            self.token_expiry.poll_timeout(),
            self.renewal.poll_timeout(),
            self.probes.poll_timeout(self.server.unready()).map(|due| due.max(soon)),
            (is_releasing
                || self.checks.is_pending(&self.server)
                || !is_copied
                || self.has_reload_to_retry())
            .then_some(soon),
        ];
        self.upkeep.schedule(due.into_iter().flatten().min(), &self.clock);
    }

    /// Ends every step of the server: wakes the tasks of the connections that have to act, and schedules the
    /// upkeep. A deadline is always later than `UPKEEP_DELAY` when it is set, so none is missed.
    pub(super) fn finish_step(&mut self, now: Duration) {
        self.continue_reload(now);
        while let Some(slot) = self.server.next_wake() {
            self.connections.wake(slot);
        }
        if !self.upkeep.is_soon {
            self.upkeep.schedule_soon(now, &self.clock);
        }
        if self.server.is_down() {
            self.down.notify();
        }
    }
}

impl Endpoint for Core {
    fn now(&self) -> Duration {
        self.clock.at(runtime::now())
    }

    fn claim(&mut self, peer: Peer, now: Duration) -> Option<SlotId> {
        let claimed = self.server.claim(peer, now);
        self.finish_step(now);
        claimed
    }

    fn release(&mut self, id: SlotId, now: Duration) {
        self.server.release(id);
        self.finish_step(now);
    }

    fn state(&self, id: SlotId) -> State {
        self.server.state(id)
    }

    fn receive_space(&mut self, id: SlotId) -> &mut [u8] {
        self.server.receive_space(id)
    }

    fn received(&mut self, id: SlotId, count: usize, now: Duration) -> State {
        let state = self.server.received(id, count, now, &mut self.system);
        self.finish_step(now);
        state
    }

    fn pending(&self, id: SlotId) -> &[u8] {
        self.server.pending(id)
    }

    fn sent(&mut self, id: SlotId, count: usize, now: Duration) -> State {
        let state = self.server.sent(id, count, now, &mut self.system);
        self.finish_step(now);
        state
    }

    fn asks_for_keys(&self) -> bool {
        self.server.is_pairing()
    }

    fn awaits_proxy(&self, id: SlotId) -> bool {
        self.server.awaits_proxy(id)
    }

    fn handle_client(&mut self, id: SlotId, client: IpAddr) {
        self.server.handle_client(id, client);
    }

    fn handle_client_key(&mut self, id: SlotId, key: &KeyHash) {
        self.server.handle_client_key(id, key);
    }

    fn handle_stage(&mut self, id: SlotId, stage: Stage, now: Duration) {
        self.server.handle_stage(id, stage, now);
    }

    fn handle_end(&mut self, id: SlotId, end: End, now: Duration) -> State {
        self.server.handle_end(id, end, now, &mut self.system);
        self.finish_step(now);
        self.server.state(id)
    }

    fn refill(&mut self, id: SlotId) -> bool {
        self.server.refill(id)
    }

    fn handle_plain(&mut self, id: SlotId, now: Duration) -> State {
        self.server.handle_plain(id, now);
        self.finish_step(now);
        self.server.state(id)
    }

    fn log_limit(&mut self, now: Duration) -> Option<Suppressed> {
        // The upkeep has the line written to the log files.
        self.finish_step(now);
        self.log_limit.try_acquire(now)
    }
}

/// Hands the output of one service to the files. Returns false if some has no room yet.
fn copy_output(files: &mut Option<OutputFiles>, processes: &Processes, service: ServiceId) -> bool {
    files.as_mut().is_none_or(|files| {
        files.copy(service, |since, room| processes.copy_output(service, Some(since), room))
    })
}

/// Runs the upkeep at each of its deadlines.
pub(super) async fn upkeep(core: Rc<RefCell<Core>>, timer: Rc<Timer>) {
    loop {
        std::future::poll_fn(|context| timer.poll(context)).await;
        core.borrow_mut().run_upkeep();
    }
}

/// Passes the results of the password thread to the server.
pub(super) async fn passwords(core: Rc<RefCell<Core>>, worker: Rc<PasswordWorker>) {
    while let Some(PasswordResult { ticket, ok, made }) = worker.result().await {
        let verdict = match made {
            Some(hash) => PasswordVerdict::Made(hash),
            None if ok => PasswordVerdict::Right,
            None => PasswordVerdict::Wrong,
        };
        let core = &mut *core.borrow_mut();
        let now = core.now();
        core.server.handle_completion(ticket, Completion::Password(verdict), now, &mut core.system);
        core.finish_step(now);
    }
}

/// Passes the outcomes of named commands and of checks to the server.
pub(super) async fn commands(core: Rc<RefCell<Core>>, processes: Rc<Processes>, done: Rc<Notify>) {
    loop {
        done.notified().await;
        while let Some(done) = processes.poll_command_done() {
            let call = match done.owner() {
                RunOwner::Call(call) => call,
                RunOwner::Check(attempt) => {
                    let result = match done.end() {
                        _ if done.timed_out() => Err(CheckError::TimedOut),
                        RunEnd::Exited(Exit::Code(0)) => Ok(()),
                        RunEnd::Exited(exit) => Err(CheckError::Exit(exit)),
                        RunEnd::Failed(error) => Err(CheckError::Spawn(error)),
                    };
                    let core = &mut *core.borrow_mut();
                    let now = core.now();
                    core.server.handle_checked(attempt, result, now, &mut core.system);
                    core.finish_step(now);
                    continue;
                }
            };
            let mut exit = heapless::String::<64>::new();
            let output = done.output();
            let completion = match done.end() {
                RunEnd::Failed(error) if !done.timed_out() => Completion::NotStarted(error),
                end => {
                    let written = match end {
                        RunEnd::Exited(end) if !done.timed_out() => write!(exit, "{}", LastExit::from(end)),
                        RunEnd::Exited(_) | RunEnd::Failed(_) => exit.write_str("timed out"),
                    };
                    debug_assert!(written.is_ok(), "the longest exit fits");
                    Completion::Command(CommandOutput { exit: &exit, output: &output, is_cut: done.is_cut() })
                }
            };
            let core = &mut *core.borrow_mut();
            let now = core.now();
            core.server.handle_completion(call, completion, now, &mut core.system);
            core.finish_step(now);
        }
    }
}

/// Passes the results of writes to the disk to the server.
pub(super) async fn writes(core: Rc<RefCell<Core>>, writer: Rc<StateWriter>) {
    while let Some(StateResult { ticket, outcome }) = writer.result().await {
        if let Err(errno) = outcome {
            error!("cannot write the state: {}", Reason::from(errno));
        }
        let core = &mut *core.borrow_mut();
        let now = core.now();
        core.server.handle_completion(ticket, Completion::Written(outcome), now, &mut core.system);
        core.finish_step(now);
    }
}

/// Passes the files of the log that were read to the server.
pub(super) async fn stored_logs(core: Rc<RefCell<Core>>, reader: Rc<LogReader>) {
    while let Some(LogRead { call_id, form, from, outcome }) = reader.result().await {
        let page = outcome.as_ref().map(|(inode, records)| StoredPage { form, inode: *inode, from, records });
        let core = &mut *core.borrow_mut();
        let now = core.now();
        let completion = Completion::StoredLog(page.map_err(|errno| *errno));
        core.server.handle_completion(call_id, completion, now, &mut core.system);
        core.finish_step(now);
    }
}

/// Passes the changes of the conditions of services to the server.
pub(super) async fn conditions(core: Rc<RefCell<Core>>, watch: Rc<ConditionWatch>) {
    while let Some((condition, is_met)) = watch.change().await {
        let core = &mut *core.borrow_mut();
        let now = core.now();
        core.server.handle_condition(condition, is_met, now, &mut core.system);
        core.finish_step(now);
    }
}

/// Passes the events of processes to the server. `gone` is notified when the keeper has ended: nothing could stop the
/// services then.
pub(super) async fn events(core: Rc<RefCell<Core>>, processes: Rc<Processes>, gone: Rc<Notify>) {
    while let Some(event) = processes.next_event().await {
        let core = &mut *core.borrow_mut();
        let now = core.now();
        match event {
            KeeperEvent::Process(service, event) => {
                core.server.handle_event(service, event, now, &mut core.system);
            }
            KeeperEvent::Leave => core.leaving.notify(),
            KeeperEvent::UpgradeRefused(reason) => core.complete_upgrade(Err(&reason)),
        }
        core.finish_step(now);
    }
    error!("the keeper has ended; ending the server");
    gone.notify();
}

/// Hands the output of services to the server.
pub(super) async fn outputs(core: Rc<RefCell<Core>>, processes: Rc<Processes>) {
    loop {
        processes.output_received().notified().await;
        while let Some(service) = processes.poll_line() {
            let core = &mut *core.borrow_mut();
            let now = core.now();
            core.server.handle_ready(service, now, &mut core.system);
            core.finish_step(now);
        }
        while let Some(service) = processes.poll_output() {
            let core = &mut *core.borrow_mut();
            let now = core.now();
            if !copy_output(&mut core.output_files, &processes, service) {
                // The upkeep copies the rest.
                core.finish_step(now);
            }
            let lines = Lines { processes: &processes, services: core.server.services(), now };
            core.syslog.note(service.index(), &lines, &core.clock);
            if core.server.is_followed(service) {
                core.server.handle_output(service, now, &mut core.system);
                core.finish_step(now);
            }
        }
    }
}
