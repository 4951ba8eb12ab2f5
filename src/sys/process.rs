//! Child processes: made, signalled, read from and reaped.
//!
//! Every process of a service leads a process group of its own, and the group is what is meant: it
//! gets the signals, and when its leader has ended, whatever is left of it is killed at once. An
//! exit is told only when the group is gone (or would not go for `limits::KILL_TIMEOUT`), so that
//! the next process finds the ports and files of the last one free. What has left the group on
//! purpose (setsid(2)) is not followed; it is reaped when it ends.
//!
//! [`Processes`] is shared within one thread; none of its calls waits. Pipes are read by tasks that
//! are made once, at start ([`Processes::spawn_tasks`]).

mod launch;
mod output;

use std::cell::{Cell, Ref};
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{
    Pid, WaitOptions, WaitStatus, kill_process_group, set_child_subreaper, test_kill_process_group, wait,
};
use smol::future::yield_now;

pub(super) use self::launch::PATH;
use self::launch::launch;
use self::output::{Head, Output, Ring};
use crate::limits::{
    COMMAND_OUTPUT_BYTES, COMMAND_TIMEOUT, KILL_TIMEOUT, SERVICE_COMMAND_RUNS, SERVICE_OUTPUT_BYTES,
};
use crate::runtime::{Notify, Tasks, Timer};
use crate::service::{Arguments, Exit, ServiceId, Signal, Spec};
use crate::warning;

/// Why a named command does not run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RunError {
    /// `limits::SERVICE_COMMAND_RUNS` run already, or wait to be taken.
    Full,
    /// Its program cannot be started: the system's reason.
    Spawn(i32),
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("too many commands at once"),
            Self::Spawn(errno) => write!(f, "cannot start: errno {errno}"),
        }
    }
}

impl std::error::Error for RunError {}

/// A process group of ours.
#[derive(Clone, Copy, Debug)]
enum Group {
    None,
    /// Its leader runs, or has not been reaped: the number is ours.
    Alive(Pid),
    /// Its leader has been reaped and the rest killed.
    Vanishing {
        pid: Pid,
        exit: Exit,
        since: Instant,
    },
}

impl Group {
    fn pid(self) -> Option<Pid> {
        match self {
            Self::None => None,
            Self::Alive(pid) | Self::Vanishing { pid, .. } => Some(pid),
        }
    }
}

/// What belongs to one service.
#[derive(Debug)]
struct Service {
    group: Cell<Group>,
    output: Output<Ring>,
}

/// How far a named command is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum RunState {
    Free,
    Running,
    Done(Exit),
    /// The outcome is in the caller's hands.
    Taken,
}

/// Room for one run of a named command.
#[derive(Debug)]
struct Run {
    group: Cell<Group>,
    output: Output<Head>,
    state: Cell<RunState>,
    pid: Cell<u32>,
    ticket: Cell<u64>,
    deadline: Cell<Option<Instant>>,
    timed_out: Cell<bool>,
}

/// The outcome of a named command. Its room is free again when this is dropped.
#[derive(Debug)]
pub struct CommandDone<'a> {
    run: &'a Run,
    exit: Exit,
}

impl CommandDone<'_> {
    /// What [`Processes::run_command`] was given.
    pub fn ticket(&self) -> u64 {
        self.run.ticket.get()
    }

    /// How it ended.
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// Whether it was killed because it took longer than `limits::COMMAND_TIMEOUT`.
    pub fn timed_out(&self) -> bool {
        self.run.timed_out.get()
    }

    /// Whether it wrote more than `limits::COMMAND_OUTPUT_BYTES`, which was dropped.
    pub fn is_cut(&self) -> bool {
        self.run.output.sink.borrow().is_cut()
    }

    /// What it wrote, to either stream; any bytes.
    pub fn output(&self) -> Ref<'_, [u8]> {
        Ref::map(self.run.output.sink.borrow(), Head::bytes)
    }
}

impl Drop for CommandDone<'_> {
    fn drop(&mut self) {
        self.run.state.set(RunState::Free);
    }
}

/// The children of this process.
pub struct Processes {
    services: Box<[Service]>,
    runs: Box<[Run]>,
    /// `limits::COMMAND_TIMEOUT`.
    command_timeout: Duration,
    command_done: Rc<Notify>,
}

impl Processes {
    /// Room for the processes of so many services and for the named commands; all memory for
    /// output is taken now. `command_done` is notified when [`Processes::poll_command_done`] has something.
    ///
    /// From now on what children leave behind becomes a child of this process
    /// (`PR_SET_CHILD_SUBREAPER`), so that [`Processes::reap`] gets it.
    pub fn new(services: usize, command_done: Rc<Notify>) -> Self {
        if let Err(error) = set_child_subreaper(Some(rustix::process::getpid())) {
            warning!("what children leave behind is not reaped here: errno {}", error.raw_os_error());
        }
        let service = || Service {
            group: Cell::new(Group::None),
            output: Output::new(Ring::new(SERVICE_OUTPUT_BYTES)),
        };
        let run = || Run {
            group: Cell::new(Group::None),
            output: Output::new(Head::new(COMMAND_OUTPUT_BYTES)),
            state: Cell::new(RunState::Free),
            pid: Cell::new(0),
            ticket: Cell::new(0),
            deadline: Cell::new(None),
            timed_out: Cell::new(false),
        };
        Self {
            services: (0..services).map(|_| service()).collect(),
            runs: (0..SERVICE_COMMAND_RUNS).map(|_| run()).collect(),
            command_timeout: COMMAND_TIMEOUT,
            command_done,
        }
    }

    /// Bytes kept for one service: its newest output and the task that reads it.
    pub fn service_bytes() -> usize {
        fn future_bytes<F: Future>(_: impl Fn(Rc<Processes>, usize) -> F) -> usize {
            size_of::<F>()
        }
        size_of::<Service>() + SERVICE_OUTPUT_BYTES + future_bytes(Self::read_service)
    }

    /// Bytes kept for one run of a named command: its output and the task that watches it.
    pub fn run_bytes() -> usize {
        fn future_bytes<F: Future>(_: impl Fn(Rc<Processes>, usize, Timer) -> F) -> usize {
            size_of::<F>()
        }
        size_of::<Run>() + COMMAND_OUTPUT_BYTES + future_bytes(Self::watch_run)
    }

    /// Makes the tasks that read output and bound named commands: one for each service and one for
    /// each command that can run. They never end.
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

    /// Number of tasks that [`spawn_tasks`](Self::spawn_tasks) makes.
    pub fn task_count(&self) -> usize {
        self.services.len() + self.runs.len()
    }

    /// Whether a killed process group is not gone yet, so that [`reap`](Self::reap) has to be called again
    /// without a signal: its last process may have another parent.
    pub fn is_reaping(&self) -> bool {
        self.groups().any(|group| matches!(group.get(), Group::Vanishing { .. }))
    }

    /// Starts the service's process; its output continues the service's ring.
    ///
    /// # Errors
    /// The system's reason: `ENOENT` (2) for a missing program or directory, `EACCES` (13) for what
    /// cannot be executed, `EINVAL` for an unknown user, `EPERM` for another user when this is not
    /// root, `EBUSY` while the last process group is not gone.
    pub fn spawn(&self, spec: &Spec, service: ServiceId) -> Result<u32, i32> {
        let slot = self.services.get(service.index()).ok_or(Errno::INVAL.raw_os_error())?;
        if slot.group.get().pid().is_some() {
            return Err(Errno::BUSY.raw_os_error());
        }
        let (pid, pipe) = launch(spec, &spec.argv)?;
        slot.group.set(to_pid(pid).map_or(Group::None, Group::Alive));
        slot.output.replace(Some(pipe));
        Ok(pid)
    }

    /// Sends a signal to the process group that this process leads, or led until just now.
    ///
    /// # Errors
    /// The system's reason; `ESRCH` (3) when it leads none of ours.
    pub fn signal_group(&self, pid: u32, signal: Signal) -> Result<(), i32> {
        let group = self.groups().map(Cell::get).find(|group| group.pid() == to_pid(pid) && pid != 0);
        match group {
            Some(Group::Alive(pid)) => send(pid, signal).map_err(Errno::raw_os_error),
            // It has been killed already.
            Some(Group::Vanishing { .. }) => Ok(()),
            Some(Group::None) | None => Err(Errno::SRCH.raw_os_error()),
        }
    }

    /// Runs a program of a service's named command, with the service's user, directory and
    /// environment, in a process group of its own. `ticket` comes back with the outcome.
    ///
    /// # Errors
    /// See [`RunError`].
    pub fn run_command(&self, spec: &Spec, argv: &Arguments, ticket: u64) -> Result<(), RunError> {
        let run = self.runs.iter().find(|run| run.state.get() == RunState::Free).ok_or(RunError::Full)?;
        let (pid, pipe) = launch(spec, argv).map_err(RunError::Spawn)?;
        run.output.replace(None);
        run.output.sink.borrow_mut().clear();
        run.group.set(to_pid(pid).map_or(Group::None, Group::Alive));
        run.state.set(RunState::Running);
        run.pid.set(pid);
        run.ticket.set(ticket);
        run.timed_out.set(false);
        run.deadline.set(Some(Instant::now() + self.command_timeout));
        run.output.replace(Some(pipe));
        Ok(())
    }

    /// The outcome of a named command that has ended.
    pub fn poll_command_done(&self) -> Option<CommandDone<'_>> {
        self.runs.iter().find_map(|run| match run.state.get() {
            RunState::Done(exit) => {
                run.state.set(RunState::Taken);
                Some(CommandDone { run, exit })
            }
            _ => None,
        })
    }

    /// Kills the named commands that run: the server is ending.
    pub fn kill_commands(&self) {
        for run in &self.runs {
            kill_leader(&run.group);
        }
    }

    /// The next child that has ended and been reaped, with how it did: to be asked until there is
    /// none, after every `CHLD` and again while [`is_reaping`](Self::is_reaping). A leader of ours is told when its group is gone;
    /// others, such as what a service has left behind, at once.
    pub fn reap(&self) -> Option<(u32, Exit)> {
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => {
                    let Some(exit) = to_exit(status) else { continue };
                    let leads =
                        |group: &&Cell<Group>| matches!(group.get(), Group::Alive(leader) if leader == pid);
                    let Some(group) = self.groups().find(leads) else {
                        return Some((from_pid(pid), exit));
                    };
                    // Nobody else can have got the number in between.
                    let _ = send(pid, Signal::Kill);
                    group.set(Group::Vanishing { pid, exit, since: Instant::now() });
                }
                Err(Errno::INTR) => {}
                // None has ended, or there is none.
                Ok(None) | Err(_) => break,
            }
        }
        let (pid, exit) = self.groups().find_map(|group| match group.get() {
            Group::Vanishing { pid, exit, since } if is_gone(pid) || since.elapsed() >= KILL_TIMEOUT => {
                if let Some(slot) = self.services.iter().find(|slot| core::ptr::eq(&slot.group, group)) {
                    // Who hears of the end finds the last words, too.
                    slot.output.drain();
                }
                group.set(Group::None);
                Some((pid, exit))
            }
            _ => None,
        })?;
        Some((from_pid(pid), exit))
    }

    /// A process has been reaped. `false` when it was no named command's.
    pub fn handle_exit(&self, pid: u32, exit: Exit) -> bool {
        let run = self.runs.iter().find(|run| run.pid.get() == pid && run.state.get() == RunState::Running);
        let Some(run) = run else { return false };
        run.deadline.set(None);
        // What was written last is still in the pipe.
        run.output.replace(None);
        run.state.set(RunState::Done(exit));
        self.command_done.notify();
        true
    }

    /// Shows what a service wrote last, at most `limits::SERVICE_OUTPUT_BYTES`, oldest first, in
    /// the two pieces in which it is kept.
    pub fn with_output<R>(&self, service: ServiceId, show: impl FnOnce(&[u8], &[u8]) -> R) -> R {
        match self.services.get(service.index()) {
            Some(slot) => {
                let ring = slot.output.sink.borrow();
                let (first, second) = ring.pieces();
                show(first, second)
            }
            None => show(&[], &[]),
        }
    }

    async fn read_service(self: Rc<Self>, index: usize) {
        let Some(slot) = self.services.get(index) else { return };
        loop {
            poll_fn(|context| slot.output.poll(context)).await;
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
                    kill_leader(&run.group);
                }
                run.output.poll(context)
            })
            .await;
            yield_now().await;
        }
    }

    fn groups(&self) -> impl Iterator<Item = &Cell<Group>> {
        self.services.iter().map(|slot| &slot.group).chain(self.runs.iter().map(|run| &run.group))
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

fn kill_leader(group: &Cell<Group>) {
    if let Group::Alive(pid) = group.get() {
        // It may have ended just now.
        let _ = send(pid, Signal::Kill);
    }
}

fn send(pid: Pid, signal: Signal) -> Result<(), Errno> {
    let signal = rustix::process::Signal::from_named_raw(signal.number()).ok_or(Errno::INVAL)?;
    kill_process_group(pid, signal)
}

/// Whether nothing is left of a process group, not even what waits to be reaped.
fn is_gone(pid: Pid) -> bool {
    test_kill_process_group(pid) == Err(Errno::SRCH)
}

fn to_exit(status: WaitStatus) -> Option<Exit> {
    status.exit_status().map(Exit::Code).or_else(|| status.terminating_signal().map(Exit::Signal))
}

fn to_pid(pid: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(pid).ok()?)
}

fn from_pid(pid: Pid) -> u32 {
    pid.as_raw_nonzero().get().unsigned_abs()
}

#[cfg(test)]
pub(super) mod tests;
