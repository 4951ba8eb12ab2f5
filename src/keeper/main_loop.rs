//! Loop of the keeper: signals, requests of the server, children, reports.

use core::ffi::c_int;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use heapless::Vec;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::UCred;
use rustix::process::{Pid, Signal as RawSignal, WaitOptions, WaitStatus, kill_process, wait};

use super::cgroups::{Cgroups, group_name};
use super::crashes::{self, Crashes};
use super::launch::Job;
use super::message::{Force, Report, Request, Unfinished};
use super::notices::{Message, NoticeSocket};
use super::process_table::ProcessTable;
use super::relay::{RETRY, Relay};
use super::server_socket::{Received, ServerSocket};
use super::slot::{Progress, Slot};
use super::strays::Strays;
use super::trial::Upgrade;
use super::{Configuration, READY_PIPE_BYTES, SLOTS, SOFTWARE, ServerEnd, raw};
use crate::limits::{SERVICES, SESSIONS};
use crate::log::Reason;
use crate::log::console::{error, warning};
use crate::service::{
    Events, Exit, Notice, ProcessEvent, Program, Scope, ServiceId, ServiceTable, Signal, SpawnError,
    SpawnStage,
};
use crate::session::SessionMemo;
use crate::sys::Clock;
use crate::sys::fork::SignalFd;
use crate::sys::program::exit_of;

/// Time of the server from the signal for its end to its begin.
const END_BEGIN_TIME: Duration = Duration::from_secs(5);
/// Pause between two looks at a group whose leader has exited: its last process may have another parent.
pub(super) const GROUP_POLL: Duration = Duration::from_millis(50);
/// Pause between two looks at a server that ends.
const END_POLL: Duration = Duration::from_millis(250);
/// Requests handled before children and signals are looked at.
const REQUESTS_AT_ONCE: usize = 16;
/// Descriptors that the loop waits for.
const POLLED: usize = SLOTS + 6;

/// Control groups of keepers that were killed.
#[derive(Debug, PartialEq)]
pub(super) enum LeftGroups {
    /// There are none.
    None,
    /// There may be some. Their services have their time to end first.
    Waiting,
    /// Their processes are killed, and are waited for until this time.
    Killed(Instant),
}

pub(super) struct MainLoop {
    pub(super) services: ServiceTable,
    /// Clock of this keeper, and of the programs before it.
    pub(super) clock: Clock,
    pub(super) slots: Vec<Slot, SLOTS>,
    pub(super) server_socket: ServerSocket,
    pub(super) relay: Option<Relay>,
    /// Reports of services about themselves; `None` if no service has any.
    pub(super) notices: Option<NoticeSocket>,
    /// Report of a process that may be one of a service: its environment is being read.
    pub(super) held_notice: Option<(UCred, Message)>,
    /// Events of services.
    pub(super) events: Events,
    /// Events of each service that were refused.
    pub(super) refused_events: [u32; SERVICES],
    pub(super) signals: SignalFd,
    /// `None`: processes are known by their process group and `/proc`.
    pub(super) cgroups: Option<Cgroups>,
    /// Processes of each slot that the kernel has killed because memory ran out.
    pub(super) oom_kills: [u32; SLOTS],
    pub(super) strays: Strays,
    /// Control groups of keepers that were killed.
    pub(super) left_groups: LeftGroups,
    /// Earliest time of the next look at groups whose leader has exited.
    pub(super) next_look: Option<Instant>,
    pub(super) server: Option<Pid>,
    /// End of the server, as far as it is known.
    pub(super) end: ServerEnd,
    /// Time of the first signal that asked the server to end.
    pub(super) ending_since: Option<Instant>,
    /// Latest time of the end of a server that is asked to.
    pub(super) end_by: Option<Instant>,
    /// Time since which the server is dead, but for threads that cannot end.
    pub(super) dying_since: Option<Instant>,
    /// The server was killed, and another one takes over.
    has_crashed: bool,
    pub(super) crashes: Crashes,
    pub(super) table: ProcessTable,
    /// Table of the server's sessions.
    pub(super) sessions: Box<[SessionMemo]>,
    /// Earliest start of the next server.
    pub(super) next_server: Option<Instant>,
    /// Text of a later configuration file.
    pub(super) configuration: Option<(String, Force)>,
    /// The server has begun a reload, and not ended it.
    pub(super) is_reloading: bool,
    /// The services are those of an unconfirmed change, or stop for it.
    pub(super) is_unconfirmed: bool,
    pub(super) upgrade: Upgrade,
    /// The server ends, with its services.
    pub(super) is_server_ending: bool,
    /// A SIGHUP came that no server has handled yet.
    pub(super) has_hup: bool,
}

impl MainLoop {
    pub(super) fn new(
        services: ServiceTable,
        clock: Clock,
        messages: OwnedFd,
        cgroups: Option<Cgroups>,
        relay: Option<Relay>,
        signals: SignalFd,
    ) -> Self {
        Self {
            notices: NoticeSocket::new(),
            held_notice: None,
            events: Events::default(),
            refused_events: [0; SERVICES],
            services,
            clock,
            slots: core::iter::repeat_with(|| Slot::FREE).take(SLOTS).collect(),
            server_socket: ServerSocket::new(messages),
            relay,
            signals,
            cgroups,
            oom_kills: [0; SLOTS],
            strays: Strays::default(),
            left_groups: LeftGroups::None,
            next_look: None,
            server: None,
            end: ServerEnd::default(),
            ending_since: None,
            end_by: None,
            dying_since: None,
            has_crashed: false,
            crashes: Crashes::new(),
            table: ProcessTable::NONE,
            sessions: (0..SESSIONS).map(|_| SessionMemo::new()).collect(),
            next_server: None,
            configuration: None,
            is_reloading: false,
            is_unconfirmed: false,
            upgrade: Upgrade::None,
            is_server_ending: false,
            has_hup: false,
        }
    }

    /// Keeps the processes until this server ends, then kills those that are left. `None`: it was killed or goes for an
    /// upgrade, and the services run on for another one.
    pub(super) fn serve(&mut self, server: Pid, configuration: &mut dyn Configuration) -> Option<ServerEnd> {
        self.server = Some(server);
        self.events.send_again();
        // Memos have none of it.
        self.slots.iter_mut().for_each(|slot| slot.notice = slot.said);
        (self.has_crashed, self.is_server_ending, self.end) = (false, false, ServerEnd::default());
        (self.end_by, self.dying_since) = (None, None);
        self.crashes.start(Instant::now());
        self.run(configuration);
        (!self.has_crashed && !self.is_leaving()).then(|| {
            if !self.crashes.has_served() {
                self.stop_children();
            }
            self.end_children();
            core::mem::take(&mut self.end)
        })
    }

    /// Returns true once the server has reported that the running slot is good.
    pub(super) fn is_slot_good(&self) -> bool {
        self.relay.as_ref().is_some_and(|relay| relay.is_slot_good)
    }

    /// Logs the limits of services that have no effect.
    pub(super) fn check_cgroups(&self) {
        Cgroups::check(self.cgroups.as_ref(), &self.services);
    }

    fn run(&mut self, configuration: &mut dyn Configuration) {
        while self.server.is_some() {
            self.wait(self.pause());
            self.step();
            self.reload(configuration);
            self.continue_upgrade(configuration);
            self.watch_end();
        }
        // What it has requested before its end.
        while self.receive_requests() {
            self.reload(configuration);
        }
        self.reap();
    }

    pub(super) fn step(&mut self) {
        while let Some(signal) = self.signals.next() {
            self.pass_on(signal);
        }
        if let Some(relay) = &mut self.relay {
            relay.run();
        }
        self.receive_requests();
        self.read_launches();
        for (index, slot) in self.slots.iter_mut().enumerate() {
            if slot.read_ready() {
                let name = ServiceId::from_index(index).and_then(|service| self.services.get(service));
                let name = name.map_or("?", |spec| &spec.name);
                warning!("{}: no line in {} bytes of ready: it is closed", name, READY_PIPE_BYTES);
            }
        }
        self.attribute_children();
        self.receive_notices();
        self.reap();
        self.check_groups();
        self.table.update(&self.slots, &self.services);
        self.send_reports();
    }

    /// Time until something is due that no descriptor announces.
    pub(super) fn pause(&self) -> Option<Duration> {
        let has_ended = self.left_groups != LeftGroups::None || self.slots.iter().any(Slot::has_ended);
        let look =
            self.next_look.map_or(Duration::ZERO, |next| next.saturating_duration_since(Instant::now()));
        let ended = has_ended.then(|| look.max(GROUP_POLL));
        let held = self.relay.as_ref().is_some_and(Relay::is_held);
        // One that waits for the end of a trial is continued by the server's message.
        let upgrade =
            self.upgrade.pause().map(|pause| if self.is_unconfirmed { pause.max(RETRY) } else { pause });
        let end = self.server.filter(|_| self.is_to_end()).map(|_| END_POLL);
        // Without a reader, no pipe announces that it can be attributed.
        let notice = self.held_notice.as_ref().filter(|_| self.strays.pipe().is_none()).map(|_| RETRY);
        [ended, notice, held.then_some(RETRY), upgrade, end, self.strays.pause()].into_iter().flatten().min()
    }

    pub(super) fn wait(&self, pause: Option<Duration>) {
        let has_reports = self.slots.iter().any(Slot::has_notice) || self.events.is_unsent();
        let is_pending = self.server_socket.is_pending() || has_reports;
        let output = if is_pending { PollFlags::OUT } else { PollFlags::empty() };
        let messages = self.server.and_then(|_| self.server_socket.watched());
        let messages = messages.map(|fd| (fd, PollFlags::IN | output));
        let relay = self.relay.as_ref().filter(|relay| !relay.is_held()).map(Relay::as_fd);
        let pipes = self.slots.iter().filter_map(Slot::pipe).map(AsFd::as_fd);
        let notices = self.notices.as_ref().filter(|_| self.held_notice.is_none()).map(NoticeSocket::as_fd);
        let single = [relay, notices, self.upgrade.pipe(), self.strays.pipe()].into_iter().flatten();
        let inputs = [self.signals.as_fd()].into_iter().chain(single).chain(pipes);
        let all = messages.into_iter().chain(inputs.map(|fd| (fd, PollFlags::IN)));
        let mut polled: Vec<PollFd<'_>, POLLED> =
            all.map(|(fd, flags)| PollFd::from_borrowed_fd(fd, flags)).collect();
        let limit =
            pause.map(|pause| Timespec { tv_sec: pause.as_secs() as _, tv_nsec: pause.subsec_nanos() as _ });
        match poll(&mut polled, limit.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => {
                error!("keeper: cannot wait for events: {}", Reason::from(error));
                // Without this, the loop would take the whole processor.
                std::thread::sleep(RETRY);
            }
        }
    }

    /// Passes a signal on to the server, which ends in order.
    fn pass_on(&mut self, signal: c_int) {
        let passed = match signal {
            libc::SIGTERM | libc::SIGQUIT => RawSignal::TERM,
            libc::SIGINT => RawSignal::INT,
            libc::SIGHUP => RawSignal::HUP,
            libc::SIGUSR2 => return self.request_upgrade_by_signal(),
            // SIGCHLD: `reap` follows.
            _ => return,
        };
        if passed == RawSignal::HUP {
            if self.is_leaving() {
                // The next server begins it.
                self.is_reloading = true;
                return;
            }
            // Until the server reports its reload: it may be killed before.
            self.has_hup = true;
        } else {
            self.ending_since.get_or_insert_with(Instant::now);
            self.cancel_upgrade();
        }
        // A server that takes over gets it once it handles it.
        if let Some(server) = self.server.filter(|_| self.crashes.handles_signals()) {
            // Fails if it has just exited.
            let _ = kill_process(server, passed);
        }
    }

    /// Handles requests up to a limit. Returns false if none is left.
    fn receive_requests(&mut self) -> bool {
        for _ in 0..REQUESTS_AT_ONCE {
            match self.server_socket.receive() {
                Some(Received::Request(Request::Spawn { slot, service, program })) => {
                    self.spawn(slot, service, program);
                }
                Some(Received::Request(Request::Signal { slot, signal, scope })) => {
                    self.signal(slot, signal, scope);
                }
                Some(Received::Request(Request::Memo { slot, memo })) => {
                    if let Some(slot) = self.slots.get_mut(usize::from(slot)) {
                        slot.memo = memo;
                    }
                }
                Some(Received::Request(Request::Serving)) => self.handle_serving(),
                Some(Received::Request(Request::Unfinished(work))) => self.note_unfinished(work),
                Some(Received::Request(Request::Upgrade)) => self.request_upgrade(),
                Some(Received::Request(Request::Ending)) => {
                    self.is_server_ending = true;
                    self.cancel_upgrade();
                }
                Some(Received::Request(Request::EndBoard(end))) => self.end.board_end = Some(end),
                Some(Received::Request(Request::Forbidden(call))) => crashes::log_forbidden(call),
                Some(Received::Session(index, memo)) => {
                    if let Some(stored) = self.sessions.get_mut(index) {
                        *stored = memo;
                    }
                }
                Some(Received::Configuration(text, force)) => {
                    self.configuration = Some((text, force));
                    self.is_unconfirmed = force == Force::Trial;
                    // A reload that was asked for in a trial is still to come.
                    self.is_reloading &= matches!(force, Force::Trial | Force::Return);
                    return true;
                }
                Some(Received::Request(Request::Configure(_))) | None => return false,
                Some(Received::Refusal(text)) => self.end.refusal = Some(text),
            }
        }
        true
    }

    fn note_unfinished(&mut self, work: Unfinished) {
        match work {
            Unfinished::None => self.is_reloading = false,
            Unfinished::Reload => (self.is_reloading, self.has_hup) = (true, false),
            Unfinished::Trial => self.is_unconfirmed = true,
        }
    }

    fn spawn(&mut self, slot: u8, service: u8, program: Program) {
        let Err(errno) = self.try_spawn(slot, service, program) else {
            // Of an earlier server's stop command, which has ended meanwhile.
            return self.report_stop_end(slot.into(), program == Program::Stop);
        };
        let error = SpawnError::new(SpawnStage::Resources, errno.raw_os_error());
        if let Some(place) = self.slots.get_mut(usize::from(slot)) {
            place.note_failure(program, error);
        }
        let event = match program {
            Program::Stop => ProcessEvent::StopCommand(Err(error)),
            _ => ProcessEvent::Spawned(Err(error)),
        };
        self.report(slot, event);
    }

    fn try_spawn(&mut self, slot: u8, service: u8, program: Program) -> Result<(), Errno> {
        let id = ServiceId::from_index(usize::from(service)).ok_or(Errno::INVAL)?;
        let spec = self.services.get(id).ok_or(Errno::INVAL)?;
        let argv = self.services.program(id, program).ok_or(Errno::INVAL)?;
        let notify = self.notices.as_ref().filter(|_| program == Program::Main).map(NoticeSocket::name);
        let group = group_name(slot.into(), &self.services);
        let cgroup = self.cgroups.as_ref().filter(|cgroups| match cgroups.make(&group) {
            Ok(()) => true,
            Err(errno) => {
                warning!("{}: starting without a control group: {}", spec.name, Reason::from(errno));
                false
            }
        });
        let cgroup = cgroup.map(|cgroups| (cgroups, &*group));
        let place = self.slots.get_mut(usize::from(slot)).ok_or(Errno::INVAL)?;
        let job = Job { spec, argv, notify, ready: None, group: None, cgroup, variable: None };
        place.start(program, job).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::INVAL))
    }

    pub(super) fn signal(&mut self, slot: u8, signal: Signal, scope: Scope) {
        let Some(place) = self.slots.get(usize::from(slot)) else { return };
        let is_whole = scope == Scope::Group && !place.is_free();
        let is_first = place.last_signal.is_none();
        if is_whole && signal == Signal::Kill {
            self.kill_cgroup(slot);
        }
        // Before the signal: of a process whose parent has ended, only the environment names the service. Processes
        // that leave a control group after the first signal are looked for when the group is empty.
        if is_whole && signal != Signal::Cont && (is_first || self.cgroups.is_none()) {
            self.look(slot);
        }
        if let Some(place) = self.slots.get_mut(usize::from(slot)) {
            place.signal(signal, scope);
        }
        if is_whole {
            self.strays.signal(slot, signal);
        }
    }

    /// Kills a whole control group: no process of it can outrun that.
    pub(super) fn kill_cgroup(&self, slot: u8) {
        if let Some(cgroups) = &self.cgroups {
            cgroups.kill(&group_name(slot.into(), &self.services));
        }
    }

    /// Reads what the children report that have not executed their programs.
    fn read_launches(&mut self) {
        for index in 0..self.slots.len() {
            self.read_launch(index);
        }
    }

    fn read_launch(&mut self, index: usize) {
        if let Some(slot) = self.slots.get_mut(index)
            && let Progress::Started(pid, output) = slot.read_launch()
        {
            let event = ProcessEvent::Spawned(Ok(raw(pid)));
            self.server_socket.push(Report { slot: index as u8, event }, Some(output));
        }
    }

    pub(super) fn reap(&mut self) {
        let options = WaitOptions::NOHANG | WaitOptions::UNTRACED | WaitOptions::CONTINUED;
        loop {
            match wait(options) {
                Ok(Some((pid, status))) => self.handle_status(pid, status),
                Err(Errno::INTR) => {}
                Ok(None) | Err(_) => return,
            }
        }
    }

    fn handle_status(&mut self, pid: Pid, status: WaitStatus) {
        if self.server == Some(pid) {
            if let Some(exit) = exit_of(status) {
                self.handle_server_exit(exit);
            }
            return;
        }
        let leads = |slot: &Slot| slot.has_leader() && slot.pid() == Some(pid);
        let Some(index) = self.slots.iter().position(leads) else {
            return self.handle_stop_command(pid, status);
        };
        let slot = index as u8;
        if status.stopped() {
            return self.report(slot, ProcessEvent::Suspended);
        }
        if status.continued() {
            return self.report(slot, ProcessEvent::Resumed);
        }
        let Some(exit) = exit_of(status).map(|exit| self.with_oom(index, exit)) else { return };
        // What it wrote before its exit comes first.
        self.read_launch(index);
        let Some(place) = self.slots.get_mut(index) else { return };
        if let Some(error) = place.end_leader(pid, exit) {
            return self.report(slot, ProcessEvent::Spawned(Err(error)));
        }
        let is_gone = self.is_gone(slot);
        if is_gone && let Some(place) = self.slots.get_mut(index) {
            place.set_free();
        }
        self.report(slot, ProcessEvent::Exited { exit, is_gone });
    }

    /// Notes whether the kernel has killed a process of the slot because memory ran out.
    fn with_oom(&mut self, index: usize, exit: Exit) -> Exit {
        let Some(cgroups) = &self.cgroups else { return exit };
        let kills = cgroups.oom_kills(&group_name(index, &self.services));
        let is_new =
            self.oom_kills.get_mut(index).is_some_and(|known| core::mem::replace(known, kills) < kills);
        match exit {
            Exit::Signal { signal: libc::SIGKILL, core, .. } => {
                Exit::Signal { signal: libc::SIGKILL, core, oom: is_new }
            }
            other => other,
        }
    }

    /// Handles the exit of a child that leads no slot: a stop command, a program that is tried, or an orphan.
    fn handle_stop_command(&mut self, pid: Pid, status: WaitStatus) {
        let Some(exit) = exit_of(status) else { return };
        self.strays.forget(pid);
        if self.end_trial(pid, exit) {
            return;
        }
        let mut slots = self.slots.iter_mut().enumerate();
        let ended = slots.find_map(|(index, slot)| {
            let is_asked = slot.is_stop_asked();
            slot.end_stop_command(pid, exit).then_some((index, is_asked))
        });
        if let Some((index, is_asked)) = ended {
            self.report_stop_end(index, is_asked);
        }
    }

    /// Reports the end of a stop command, if it has ended and the server `is_asking` for it.
    fn report_stop_end(&mut self, index: usize, is_asking: bool) {
        let slot = self.slots.get_mut(index).filter(|_| is_asking);
        if let Some(result) = slot.and_then(Slot::take_stop_end) {
            self.report(index as u8, ProcessEvent::StopCommand(result));
        }
    }

    fn handle_server_exit(&mut self, exit: Exit) {
        self.server = None;
        self.slots.iter_mut().for_each(Slot::disown_stop_command);
        self.end.code = match exit {
            Exit::Code(code) => code as u8,
            Exit::Signal { signal, .. } => {
                let now = Instant::now();
                let pause = self.crashes.end(now).filter(|_| !self.is_ending(now));
                self.has_crashed = pause.is_some();
                self.next_server = pause.and_then(|pause| now.checked_add(pause));
                crashes::log_kill(signal, self.has_crashed);
                SOFTWARE
            }
        };
    }

    /// Returns true if the server is ending, or has had the time to begin. In place of one that was killed before that,
    /// another one ends the services in their order.
    fn is_ending(&self, now: Instant) -> bool {
        let is_late = |since| now.saturating_duration_since(since) > END_BEGIN_TIME;
        self.is_server_ending || self.ending_since.is_some_and(is_late)
    }

    /// Notes that the server serves. A signal that came before it asks for its end only now: it could not be handled.
    fn handle_serving(&mut self) {
        self.crashes.serve();
        if let Some(server) = self.server.filter(|_| self.ending_since.is_some()) {
            // Fails if it has just exited.
            let _ = kill_process(server, RawSignal::TERM);
        }
        if let Some(server) = self.server.filter(|_| self.has_hup) {
            let _ = kill_process(server, RawSignal::HUP);
        }
    }

    pub(super) fn report(&mut self, slot: u8, event: ProcessEvent) {
        self.server_socket.push(Report { slot, event }, None);
    }

    fn send_reports(&mut self) {
        if !self.server_socket.send_reports() {
            return;
        }
        // After the report of the start that they follow.
        for (index, slot) in self.slots.iter_mut().enumerate().filter(|(_, slot)| slot.has_notice()) {
            let report = Report { slot: index as u8, event: ProcessEvent::Notified(slot.notice) };
            if !self.server_socket.try_send(report) {
                return;
            }
            slot.notice = Notice::default();
        }
        self.send_events();
    }
}

#[cfg(test)]
mod tests {
    use rustix::net::{RecvFlags, recv};

    use super::super::HANDLED;
    use super::super::message::{REPORT_BYTES, Report};
    use super::*;
    use crate::limits::SERVICES;

    #[test]
    fn requests_for_what_does_not_exist_are_refused() {
        let services = ServiceTable::new();
        let (keeper, server) = ServerSocket::pair().unwrap();
        let signals = SignalFd::new(&HANDLED[..1]).unwrap();
        let mut keeper = MainLoop::new(services, Clock::new(), keeper, None, None, signals);
        keeper.spawn(0, 0, Program::Main);
        keeper.spawn(255, 3, Program::Command(9));
        keeper.spawn(SERVICES as u8, 0, Program::Check(0));
        keeper.signal(200, Signal::Kill, Scope::Group);
        keeper.send_reports();
        let mut bytes = [0; REPORT_BYTES];
        let mut errors = std::vec::Vec::new();
        while recv(&server, &mut bytes, RecvFlags::empty()).is_ok() {
            let event = Report::decode(bytes).unwrap().event;
            errors.push(matches!(event, ProcessEvent::Spawned(Err(_))));
        }
        assert_eq!(errors, [true, true, true]);
    }
}
