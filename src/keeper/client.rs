//! The server's side of the keeper: requests, reports, and the output of the processes.
//!
//! [`Processes`] is shared within one thread, and none of its calls blocks. Tasks that are spawned once read
//! the pipes ([`Processes::spawn_tasks`]).

mod run;

use std::cell::RefCell;
use std::fmt;
use std::fs::File;
use std::future::poll_fn;
use std::io::{self, IoSlice, IoSliceMut, PipeReader};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use heapless::Deque;
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, send, sendmsg,
};
use smol::future::yield_now;

pub use self::run::{CommandDone, RunEnd, RunError, RunOwner};
use self::run::{RunSlot, RunState};
use super::message::{self, Force, FromKeeper, REPORT_BYTES, Report, Request, Unfinished, UpgradeReason};
use super::output::{Output, TailBuffer};
use super::{Cgroups, REFUSAL_BYTES, REQUESTS, SHARED_RUNS, SLOTS, usage};
use crate::limits::{COMMAND_OUTPUT_BYTES, SERVICE_COMMAND_RUNS, SERVICE_OUTPUT_BYTES, SERVICES};
use crate::runtime::{AsyncFd, Notify, Tasks, Timer};
use crate::service::{
    Attempt, BoardEnd, COMMAND_TIMEOUT, Memo, ProcessEvent, Program, ReadyCheck, Scope, ServiceId,
    ServiceTable, Signal, Usage,
};
use crate::session::{SessionMemo, UserId};
use crate::{internal_error, warning};

/// User whose runs are those of health checks; as a local administrator he has no share of his own.
const CHECKS: UserId = UserId::LOCAL_ROOT;

/// Line in the output of a process that an earlier server has started.
const INHERITED: &str = "(friendlet: another server reads the output from here on)\n";

/// Event that the keeper reports.
#[derive(Debug)]
pub enum KeeperEvent {
    /// One of the processes of a service.
    Process(ServiceId, ProcessEvent),
    /// Another program takes over: the server leaves it the services.
    Leave,
    /// No other program takes over, for this reason.
    UpgradeRefused(UpgradeReason),
}

/// Processes of the services and of named commands, which the keeper starts and reaps.
pub struct Processes {
    keeper: AsyncFd<OwnedFd>,
    /// Requests that the keeper's socket had no room for.
    requests: RefCell<Deque<Request, REQUESTS>>,
    services: Box<[Output<TailBuffer>]>,
    cgroups: Option<Cgroups>,
    runs: Box<[RunSlot]>,
    /// `COMMAND_TIMEOUT`.
    command_timeout: Duration,
    command_done: Rc<Notify>,
    output_received: Rc<Notify>,
}

impl Processes {
    /// Allocates the slots of all services and named commands, and the output of those services that there are.
    /// `command_done` is notified when [`Processes::poll_command_done`] has an outcome.
    ///
    /// # Errors
    /// See [`AsyncFd::new`].
    pub fn new(
        services: &ServiceTable,
        keeper: OwnedFd,
        cgroups: Option<Cgroups>,
        command_done: Rc<Notify>,
    ) -> io::Result<Self> {
        let output_received = Rc::new(Notify::default());
        let service = || Output::new(TailBuffer::new(0), Rc::clone(&output_received));
        let processes = Self {
            keeper: AsyncFd::new(keeper)?,
            requests: RefCell::new(Deque::new()),
            services: (0..SERVICES).map(|_| service()).collect(),
            cgroups,
            runs: (0..SERVICE_COMMAND_RUNS).map(|_| RunSlot::new()).collect(),
            command_timeout: COMMAND_TIMEOUT,
            command_done,
            output_received,
        };
        processes.renew(services, u64::MAX);
        Ok(processes)
    }

    /// Empties the output of the services of a mask, which are new in the table or gone from it, and searches that of
    /// all for the lines of those that are ready with one.
    pub fn renew(&self, services: &ServiceTable, mask: u64) {
        for (index, output) in self.services.iter().enumerate() {
            let spec = ServiceId::from_index(index).and_then(|service| services.get(service));
            if mask & (1 << index) != 0 {
                output.renew(TailBuffer::new(if spec.is_some() { SERVICE_OUTPUT_BYTES } else { 0 }));
            }
            output.search(spec.and_then(|spec| match &spec.ready {
                ReadyCheck::Line(line) => Some(line.as_str()),
                _ => None,
            }));
        }
    }

    /// Reports to the keeper what a later server has to continue.
    pub fn report_unfinished(&self, work: Unfinished) {
        self.request(Request::Unfinished(work));
    }

    /// Hands the text of a later configuration file to the keeper. The requests after it are about its services.
    ///
    /// # Errors
    /// [`Errno::AGAIN`]: the socket has no room.
    pub fn configure(&self, text: &File, force: Force) -> Result<(), Errno> {
        self.send_requests();
        if !self.requests.borrow().is_empty() {
            return Err(Errno::AGAIN);
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let files = [text.as_fd()];
        let is_pushed = ancillary.push(SendAncillaryMessage::ScmRights(&files));
        debug_assert!(is_pushed, "the space of one descriptor");
        let bytes = Request::Configure(force).encode();
        sendmsg(self.keeper.get_ref(), &[IoSlice::new(&bytes)], &mut ancillary, SendFlags::NOSIGNAL).map(drop)
    }

    /// Notified when [`Processes::poll_output`] has a service.
    pub fn output_received(&self) -> &Rc<Notify> {
        &self.output_received
    }

    /// Returns a service that wrote output since it was last returned.
    pub fn poll_output(&self) -> Option<ServiceId> {
        let index = self.services.iter().position(Output::take_received)?;
        ServiceId::from_index(index)
    }

    /// Returns a service whose line was found since it was last returned.
    pub fn poll_line(&self) -> Option<ServiceId> {
        let index = self.services.iter().position(Output::take_found)?;
        ServiceId::from_index(index)
    }

    /// Memory of one service: its output, and the task that reads it.
    pub fn service_bytes() -> usize {
        fn future_bytes<F: Future>(_: impl Fn(Rc<Processes>, usize) -> F) -> usize {
            size_of::<F>()
        }
        size_of::<Output<TailBuffer>>() + SERVICE_OUTPUT_BYTES + future_bytes(Self::read_service)
    }

    /// Memory of one run of a named command: its output, and the task that watches it.
    pub fn run_bytes() -> usize {
        fn future_bytes<F: Future>(_: impl Fn(Rc<Processes>, usize, Timer) -> F) -> usize {
            size_of::<F>()
        }
        size_of::<RunSlot>() + COMMAND_OUTPUT_BYTES + future_bytes(Self::watch_run)
    }

    /// Spawns the tasks that read output and enforce timeouts, one for each slot. They never end.
    ///
    /// # Errors
    /// See [`Timer::new`]; or `tasks` is full.
    pub fn spawn_tasks(self: &Rc<Self>, tasks: &mut Tasks) -> io::Result<()> {
        for index in 0..self.services.len() {
            tasks.spawn(Rc::clone(self).read_service(index))?;
        }
        for index in 0..self.runs.len() {
            tasks.spawn(Rc::clone(self).watch_run(index, Timer::new()?))?;
        }
        Ok(())
    }

    /// Number of tasks that [`spawn_tasks`](Self::spawn_tasks) spawns.
    pub fn task_count(&self) -> usize {
        self.services.len() + self.runs.len()
    }

    /// Requests the start of a program of a service. Its output is appended to that of earlier processes.
    pub fn spawn(&self, service: ServiceId, program: Program) {
        let index = service.index() as u8;
        if let (Some(output), Program::PreStart | Program::Main) =
            (self.services.get(service.index()), program)
        {
            output.drain();
            output.buffer.borrow_mut().begin();
        }
        self.request(Request::Spawn { slot: index, service: index, program });
    }

    /// Has the keeper store what a later server has to know of a service.
    pub fn store_memo(&self, service: ServiceId, memo: Memo) {
        self.request(Request::Memo { slot: service.index() as u8, memo: memo.encode() });
    }

    /// Has the keeper store an entry of the table of sessions.
    ///
    /// # Errors
    /// [`Errno::AGAIN`]: the socket has no room.
    pub fn store_session(&self, index: usize, memo: &SessionMemo) -> Result<(), Errno> {
        let message = message::of_session(index, memo);
        match send(self.keeper.get_ref(), &message, SendFlags::NOSIGNAL) {
            Err(Errno::AGAIN) => Err(Errno::AGAIN),
            // Any other error says that the keeper is gone.
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Reports to the keeper that this server accepts connections and handles signals.
    pub fn report_serving(&self) {
        self.request(Request::Serving);
    }

    /// Reads the output of processes that an earlier server has started. A line marks what that one had read.
    pub fn inherit(&self, outputs: impl Iterator<Item = (ServiceId, PipeReader)>) {
        for (service, pipe) in outputs {
            if let (Some(output), Some(pipe)) = (self.services.get(service.index()), watched(pipe)) {
                output.replace(Some(pipe));
                output.note(INHERITED);
            }
        }
    }

    /// Requests a signal to the processes of a service.
    pub fn signal(&self, service: ServiceId, signal: Signal, scope: Scope) {
        self.request(Request::Signal { slot: service.index() as u8, signal, scope });
    }

    /// Requests the start of a named command, by its index in the specification, with the user, directory
    /// and environment of its service. `ticket` is returned with the outcome. `user` is that of the call, unless an
    /// administrator: such a user has at most as many of [`SHARED_RUNS`] as are free.
    ///
    /// # Errors
    /// See [`RunError`].
    pub fn run_command(
        &self,
        service: ServiceId,
        command: usize,
        ticket: u64,
        user: Option<UserId>,
    ) -> Result<(), RunError> {
        if user.is_some_and(|user| !self.has_room_for(user)) {
            return Err(RunError::Full);
        }
        let program = Program::Command(command as u8);
        self.start_run(service, program, RunOwner::Call(ticket), user, self.command_timeout)
    }

    /// Returns true while fewer of [`SHARED_RUNS`] are in use, those of this user counted twice, than there are.
    fn has_room_for(&self, user: UserId) -> bool {
        let used = self.runs.iter().filter(|run| !run.is_free());
        used.map(|run| 1 + usize::from(run.user.get() == Some(user))).sum::<usize>() < SHARED_RUNS
    }

    /// Requests the start of the program of a health check, with the user, directory and environment of its
    /// service. It is killed after `timeout`. Without room it is not started, and the attempt times out.
    pub fn run_check(&self, service: ServiceId, attempt: Attempt, timeout: Duration) {
        let program = Program::Check(attempt.check.index() as u8);
        let started = self.start_run(service, program, RunOwner::Check(attempt), Some(CHECKS), timeout);
        debug_assert!(started.is_ok(), "has_room_for_check comes first");
    }

    /// Kills the programs of abandoned attempts, so that a check has one attempt at a time.
    pub fn kill_checks(&self, is_abandoned: impl Fn(Attempt) -> bool) {
        for (index, run) in self.runs.iter().enumerate() {
            if let (RunState::Running, RunOwner::Check(attempt)) = (run.state.get(), run.owner.get())
                && is_abandoned(attempt)
                && !run.timed_out.replace(true)
            {
                self.kill_run(index);
            }
        }
    }

    /// Returns true if the program of a check can be started. Checks share the runs as one user does.
    pub fn has_room_for_check(&self) -> bool {
        self.has_room_for(CHECKS)
    }

    fn start_run(
        &self,
        service: ServiceId,
        program: Program,
        owner: RunOwner,
        user: Option<UserId>,
        timeout: Duration,
    ) -> Result<(), RunError> {
        let free = self.runs.iter().enumerate().find(|(_, run)| run.is_free());
        let (index, run) = free.ok_or(RunError::Full)?;
        run.output.replace(None);
        run.output.buffer.borrow_mut().clear();
        run.state.set(RunState::Running);
        run.is_kept.set(true);
        run.owner.set(owner);
        run.user.set(user);
        run.timed_out.set(false);
        run.deadline.set(Some(Instant::now() + timeout));
        // The task of the run sets its timer.
        run.output.wake();
        let slot = (SERVICES + index) as u8;
        self.request(Request::Spawn { slot, service: service.index() as u8, program });
        Ok(())
    }

    /// Outcome of a named command that has ended.
    pub fn poll_command_done(&self) -> Option<CommandDone<'_>> {
        self.runs.iter().find_map(RunSlot::poll_done)
    }

    /// Kills all named commands, for the shutdown of the server.
    pub fn kill_commands(&self) {
        for index in 0..self.runs.len() {
            if self.runs.get(index).is_some_and(|run| run.is_kept.get()) {
                self.kill_run(index);
            }
        }
    }

    /// Reports that the server ends, with its services.
    pub fn report_ending(&self) {
        self.request(Request::Ending);
    }

    /// Requests that the program at the path of this one takes over. [`KeeperEvent::Leave`] or
    /// [`KeeperEvent::UpgradeRefused`] follows.
    pub fn request_upgrade(&self) {
        self.request(Request::Upgrade);
    }

    /// Waits for the next event. `None`: the keeper is gone.
    pub async fn next_event(&self) -> Option<KeeperEvent> {
        loop {
            self.send_requests();
            match self.receive() {
                Ok(Some((FromKeeper::Report(report), pipe))) => {
                    if let Some((service, event)) = self.handle_report(report, pipe) {
                        return Some(KeeperEvent::Process(service, event));
                    }
                }
                Ok(Some((FromKeeper::Leave, _))) => return Some(KeeperEvent::Leave),
                Ok(Some((FromKeeper::UpgradeRefused(reason), _))) => {
                    return Some(KeeperEvent::UpgradeRefused(reason));
                }
                Ok(None) => return None,
                Err(Errno::AGAIN) => {
                    self.keeper.note_empty();
                    poll_fn(|context| self.poll_keeper(context)).await;
                }
                Err(Errno::INTR) => {}
                Err(_) => return None,
            }
        }
    }

    /// Ready when there is something to read, or room for a request that waits.
    fn poll_keeper(&self, context: &mut std::task::Context<'_>) -> std::task::Poll<()> {
        if !self.requests.borrow().is_empty() && self.keeper.is_writable() {
            return std::task::Poll::Ready(());
        }
        self.keeper.poll_readable(context)
    }

    /// Copies output of a service to `room`, from position `since` on, or the newest. Returns the
    /// position of the first byte, counted since the start of the server, and the number of bytes.
    pub fn copy_output(&self, service: ServiceId, since: Option<u64>, room: &mut [u8]) -> (u64, usize) {
        let output = self.services.get(service.index());
        debug_assert!(output.is_some(), "a service outside the table");
        output.map_or((0, 0), |output| output.buffer.borrow().copy(since, room))
    }

    /// Copies lines of a service to `room`, from position `since` on, or the oldest ones that are whole. Returns the position
    /// of the first byte, the number of lines before it if that is another position, and the number of bytes.
    pub fn copy_lines(&self, service: ServiceId, since: u64, room: &mut [u8]) -> (u64, u64, usize) {
        let output = self.services.get(service.index());
        output.map_or((since, 0, 0), |output| output.buffer.borrow().copy_lines(since, room))
    }

    /// Position of the first byte of the latest run of a service.
    pub fn output_start(&self, service: ServiceId) -> u64 {
        self.services.get(service.index()).map_or(0, |output| output.buffer.borrow().start())
    }

    /// Use of the processor and of memory by a service with this name and leader.
    pub fn usage(&self, name: &str, leader: u32) -> Usage {
        usage::of(self.cgroups.as_ref(), name, leader)
    }

    fn request(&self, request: Request) {
        self.send_requests();
        let mut requests = self.requests.borrow_mut();
        if !requests.is_empty() || self.send(request) == Err(Errno::AGAIN) {
            self.keeper.note_full();
            if requests.push_back(request).is_err() {
                internal_error!("more requests to the keeper than services can have");
            }
        }
    }

    fn send_requests(&self) {
        let mut requests = self.requests.borrow_mut();
        while let Some(request) = requests.front() {
            if self.send(*request) == Err(Errno::AGAIN) {
                self.keeper.note_full();
                return;
            }
            requests.pop_front();
        }
    }

    fn send(&self, request: Request) -> Result<(), Errno> {
        // Any other error says that the keeper is gone, which `next_event` finds, too.
        send(self.keeper.get_ref(), &request.encode(), SendFlags::NOSIGNAL).map(drop)
    }

    /// Reads a report, with the pipe that came with it. `None`: the keeper is gone.
    fn receive(&self) -> Result<Option<(FromKeeper, Option<PipeReader>)>, Errno> {
        let mut bytes = [0; REPORT_BYTES];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let message = recvmsg(
            self.keeper.get_ref(),
            &mut [IoSliceMut::new(&mut bytes)],
            &mut ancillary,
            RecvFlags::CMSG_CLOEXEC,
        )?;
        let pipe = ancillary.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut pipes) => pipes.next(),
            _ => None,
        });
        if message.bytes == 0 {
            return Ok(None);
        }
        let report = FromKeeper::decode(bytes);
        if report.is_none() {
            internal_error!("a report of the keeper cannot be read");
        }
        Ok(Some((report.ok_or(Errno::INTR)?, pipe.map(PipeReader::from))))
    }

    fn handle_report(&self, report: Report, pipe: Option<PipeReader>) -> Option<(ServiceId, ProcessEvent)> {
        let Report { slot, event } = report;
        let pipe = pipe.and_then(watched);
        let slot = usize::from(slot);
        let Some(output) = self.services.get(slot) else {
            debug_assert!((SERVICES..SLOTS).contains(&slot), "slot {slot}");
            self.handle_run(slot.checked_sub(SERVICES)?, event, pipe);
            return None;
        };
        match event {
            ProcessEvent::Spawned(_) => output.replace(pipe),
            // The output is complete when the exit is reported.
            ProcessEvent::Exited { .. } | ProcessEvent::Gone => output.drain(),
            ProcessEvent::Suspended
            | ProcessEvent::Resumed
            | ProcessEvent::Notified(_)
            | ProcessEvent::Event(_)
            | ProcessEvent::StopCommand(_) => {}
        }
        Some((ServiceId::from_index(slot)?, event))
    }

    fn handle_run(&self, index: usize, event: ProcessEvent, pipe: Option<AsyncFd<PipeReader>>) {
        let Some(run) = self.runs.get(index) else { return };
        // The end of a program that an earlier server has started.
        if run.is_free() {
            return;
        }
        match event {
            ProcessEvent::Spawned(Ok(_)) => {
                run.output.replace(pipe);
                if run.timed_out.get() {
                    self.kill_run(index);
                }
            }
            ProcessEvent::Spawned(Err(error)) => {
                run.is_kept.set(false);
                self.end_run(run, RunEnd::Failed(error));
            }
            ProcessEvent::Exited { exit, is_gone } => {
                run.is_kept.set(!is_gone);
                if !is_gone {
                    self.kill_run(index);
                }
                // The end of the output is still in the pipe.
                run.output.replace(None);
                self.end_run(run, RunEnd::Exited(exit));
            }
            ProcessEvent::Gone => run.is_kept.set(false),
            ProcessEvent::Suspended
            | ProcessEvent::Resumed
            | ProcessEvent::Notified(_)
            | ProcessEvent::Event(_)
            | ProcessEvent::StopCommand(_) => {}
        }
    }

    fn end_run(&self, run: &RunSlot, end: RunEnd) {
        run.deadline.set(None);
        run.state.set(RunState::Done(end));
        self.command_done.notify();
    }

    fn kill_run(&self, index: usize) {
        self.request(Request::Signal {
            slot: (SERVICES + index) as u8,
            signal: Signal::Kill,
            scope: Scope::Group,
        });
    }

    async fn read_service(self: Rc<Self>, index: usize) {
        let Some(output) = self.services.get(index) else { return };
        loop {
            poll_fn(|context| output.poll(context)).await;
            yield_now().await;
        }
    }

    async fn watch_run(self: Rc<Self>, index: usize, timer: Timer) {
        let Some(run) = self.runs.get(index) else { return };
        let mut deadline = None;
        loop {
            poll_fn(|context| {
                if deadline != run.deadline.get() {
                    deadline = run.deadline.get();
                    timer.set(deadline);
                }
                if timer.poll(context).is_ready() {
                    run.timed_out.set(true);
                    self.kill_run(index);
                }
                run.output.poll(context)
            })
            .await;
            yield_now().await;
        }
    }
}

impl fmt::Debug for Processes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Processes")
            .field("services", &self.services)
            .field("runs", &self.runs)
            .finish_non_exhaustive()
    }
}

/// Registers a pipe of output with the event loop.
fn watched(pipe: PipeReader) -> Option<AsyncFd<PipeReader>> {
    let pipe = AsyncFd::new(pipe);
    pipe.inspect_err(|error| warning!("cannot read the output of a process: {}", error)).ok()
}

/// Sends the error with which a server refuses its configuration file, as its last message.
pub(super) fn send_refusal(keeper: &OwnedFd, text: &str) {
    let mut message = heapless::Vec::<u8, REFUSAL_BYTES>::new();
    let bytes = core::iter::once(u8::MAX).chain(text.bytes());
    message.extend(bytes.take(REFUSAL_BYTES));
    // Without it the keeper does not try another file.
    let _ = send(keeper, &message, SendFlags::NOSIGNAL);
}

/// Requests the end of the board, as the server's last message.
pub(super) fn send_board_end(keeper: &OwnedFd, end: BoardEnd) {
    // Without it the board goes on, as after an end by a signal.
    let _ = send(keeper, &Request::EndBoard(end).encode(), SendFlags::NOSIGNAL);
}

#[cfg(test)]
mod tests;
