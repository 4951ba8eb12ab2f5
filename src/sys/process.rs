//! Child processes: start, signals, output and reaping.
//!
//! Every process of a service leads a process group of its own. Signals go to the group. When its
//! leader exits, the rest of the group is killed at once. An exit is reported only when the group is
//! gone, or after `KILL_TIMEOUT`, so that the next process finds the ports and files of the
//! last one free. A process that has left the group by setsid(2) is not tracked, but reaped when it
//! exits.
//!
//! [`Processes`] is shared within one thread, and none of its calls blocks. Tasks that are spawned
//! once read the pipes ([`Processes::spawn_tasks`]).

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
use self::output::{HeadBuffer, Output, TailBuffer};
use crate::limits::{COMMAND_OUTPUT_BYTES, SERVICE_COMMAND_RUNS, SERVICE_OUTPUT_BYTES};
use crate::log::Reason;
use crate::runtime::{Notify, Tasks, Timer};
use crate::service::{Arguments, COMMAND_TIMEOUT, Exit, KILL_TIMEOUT, ServiceId, Signal, Spec};
use crate::warning;

/// Reason for not running a named command.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RunError {
    /// `limits::SERVICE_COMMAND_RUNS` commands run, or have outcomes that are not polled.
    Full,
    /// Error number of the system for the start of the program.
    Spawn(i32),
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("too many commands at once"),
            Self::Spawn(errno) => write!(f, "cannot start its program: {}", Reason::from(*errno)),
        }
    }
}

impl std::error::Error for RunError {}

/// Process group of a child.
#[derive(Clone, Copy, Debug)]
enum Group {
    None,
    /// Group with a leader that is not reaped, so that its number is not reused.
    Alive(Pid),
    /// Group whose leader is reaped, and whose other processes are killed.
    Killed {
        pid: Pid,
        exit: Exit,
        since: Instant,
    },
}

impl Group {
    fn pid(self) -> Option<Pid> {
        match self {
            Self::None => None,
            Self::Alive(pid) | Self::Killed { pid, .. } => Some(pid),
        }
    }
}

/// Process and output of one service.
#[derive(Debug)]
struct ServiceSlot {
    group: Cell<Group>,
    output: Output<TailBuffer>,
}

/// State of a [`RunSlot`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum RunState {
    Free,
    Running,
    Done(Exit),
    /// Borrowed by a [`CommandDone`].
    Polled,
}

/// Process and output of one run of a named command.
#[derive(Debug)]
struct RunSlot {
    group: Cell<Group>,
    output: Output<HeadBuffer>,
    state: Cell<RunState>,
    pid: Cell<u32>,
    ticket: Cell<u64>,
    deadline: Cell<Option<Instant>>,
    timed_out: Cell<bool>,
}

/// Outcome of a named command. Its slot is free again when this is dropped.
#[derive(Debug)]
pub struct CommandDone<'a> {
    run: &'a RunSlot,
    exit: Exit,
}

impl CommandDone<'_> {
    /// Ticket of [`Processes::run_command`].
    pub fn ticket(&self) -> u64 {
        self.run.ticket.get()
    }

    /// Exit of the program.
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// Returns true if it was killed after `COMMAND_TIMEOUT`.
    pub fn timed_out(&self) -> bool {
        self.run.timed_out.get()
    }

    /// Returns true if output beyond `limits::COMMAND_OUTPUT_BYTES` was dropped.
    pub fn is_cut(&self) -> bool {
        self.run.output.buffer.borrow().is_cut()
    }

    /// Standard output and error, which may be any bytes.
    pub fn output(&self) -> Ref<'_, [u8]> {
        Ref::map(self.run.output.buffer.borrow(), HeadBuffer::bytes)
    }
}

impl Drop for CommandDone<'_> {
    fn drop(&mut self) {
        self.run.state.set(RunState::Free);
    }
}

/// Children of this process.
pub struct Processes {
    services: Box<[ServiceSlot]>,
    runs: Box<[RunSlot]>,
    /// `COMMAND_TIMEOUT`.
    command_timeout: Duration,
    command_done: Rc<Notify>,
    output_received: Rc<Notify>,
}

impl Processes {
    /// Allocates the slots of all services and named commands. `command_done` is notified when
    /// [`Processes::poll_command_done`] has an outcome.
    ///
    /// This process becomes the subreaper of its descendants (`PR_SET_CHILD_SUBREAPER`), so that
    /// [`Processes::reap`] also reaps orphans.
    pub fn new(services: usize, command_done: Rc<Notify>) -> Self {
        if let Err(error) = set_child_subreaper(Some(rustix::process::getpid())) {
            warning!("cannot become the subreaper of orphans: {}", Reason::from(error));
        }
        let output_received = Rc::new(Notify::default());
        let service = || ServiceSlot {
            group: Cell::new(Group::None),
            output: Output::new(TailBuffer::new(SERVICE_OUTPUT_BYTES), Rc::clone(&output_received)),
        };
        let run = || RunSlot {
            group: Cell::new(Group::None),
            output: Output::new(HeadBuffer::new(COMMAND_OUTPUT_BYTES), Rc::default()),
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
            output_received,
        }
    }

    /// Notified when [`Processes::poll_output`] has a service.
    pub fn output_received(&self) -> &Rc<Notify> {
        &self.output_received
    }

    /// Returns a service that wrote output since it was last returned.
    pub fn poll_output(&self) -> Option<ServiceId> {
        let index = self.services.iter().position(|slot| slot.output.take_received())?;
        ServiceId::from_index(index)
    }

    /// Memory of one service: its output, and the task that reads it.
    pub fn service_bytes() -> usize {
        fn future_bytes<F: Future>(_: impl Fn(Rc<Processes>, usize) -> F) -> usize {
            size_of::<F>()
        }
        size_of::<ServiceSlot>() + SERVICE_OUTPUT_BYTES + future_bytes(Self::read_service)
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

    /// Returns true while a killed process group is not gone. Then [`reap`](Self::reap) must be called again
    /// without a signal: its last process may have another parent.
    pub fn is_reaping(&self) -> bool {
        self.groups().any(|group| matches!(group.get(), Group::Killed { .. }))
    }

    /// Starts the process of a service. Its output is appended to that of earlier processes.
    ///
    /// # Errors
    /// Error number of the system: `ENOENT` (2) for a missing program or directory, `EACCES` (13) for a
    /// file that is not executable, `EINVAL` for an unknown user, `EPERM` for another user without
    /// root, `EBUSY` while the last process group is not gone.
    pub fn spawn(&self, spec: &Spec, service: ServiceId) -> Result<u32, i32> {
        let slot = self.services.get(service.index()).ok_or(Errno::INVAL.raw_os_error())?;
        if slot.group.get().pid().is_some() {
            return Err(Errno::BUSY.raw_os_error());
        }
        let (pid, pipe) = launch(spec, &spec.argv)?;
        slot.group.set(Group::Alive(pid));
        slot.output.replace(Some(pipe));
        Ok(from_pid(pid))
    }

    /// Sends a signal to the process group whose leader is, or was, `pid`.
    ///
    /// # Errors
    /// Error number of the system; `ESRCH` (3) if `pid` leads no group of a slot.
    pub fn signal_group(&self, pid: u32, signal: Signal) -> Result<(), i32> {
        let group = self.groups().map(Cell::get).find(|group| group.pid() == to_pid(pid) && pid != 0);
        match group {
            Some(Group::Alive(pid)) => send(pid, signal).map_err(Errno::raw_os_error),
            // It was killed already.
            Some(Group::Killed { .. }) => Ok(()),
            Some(Group::None) | None => Err(Errno::SRCH.raw_os_error()),
        }
    }

    /// Starts the program of a named command with the user, directory and environment of its service,
    /// in a process group of its own. `ticket` is returned with the outcome.
    ///
    /// # Errors
    /// See [`RunError`].
    pub fn run_command(&self, spec: &Spec, argv: &Arguments, ticket: u64) -> Result<(), RunError> {
        let run = self.runs.iter().find(|run| run.state.get() == RunState::Free).ok_or(RunError::Full)?;
        let (pid, pipe) = launch(spec, argv).map_err(RunError::Spawn)?;
        run.output.replace(None);
        run.output.buffer.borrow_mut().clear();
        run.group.set(Group::Alive(pid));
        run.state.set(RunState::Running);
        run.pid.set(from_pid(pid));
        run.ticket.set(ticket);
        run.timed_out.set(false);
        run.deadline.set(Some(Instant::now() + self.command_timeout));
        run.output.replace(Some(pipe));
        Ok(())
    }

    /// Outcome of a named command that has exited.
    pub fn poll_command_done(&self) -> Option<CommandDone<'_>> {
        self.runs.iter().find_map(|run| match run.state.get() {
            RunState::Done(exit) => {
                run.state.set(RunState::Polled);
                Some(CommandDone { run, exit })
            }
            _ => None,
        })
    }

    /// Kills all named commands, for the shutdown of the server.
    pub fn kill_commands(&self) {
        for run in &self.runs {
            kill_leader(&run.group);
        }
    }

    /// Reaps children, and returns the next exit with its pid; to be called until it returns `None`,
    /// after every SIGCHLD and at every tick. The exit of a group's leader is returned when the group
    /// is gone, that of an orphan at once.
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
                    // Fails if nothing is left. The kernel does not reuse a number this soon.
                    let _ = send(pid, Signal::Kill);
                    group.set(Group::Killed { pid, exit, since: Instant::now() });
                }
                Err(Errno::INTR) => {}
                // No child has exited, or there is none.
                Ok(None) | Err(_) => break,
            }
        }
        let (pid, exit) = self.groups().find_map(|group| match group.get() {
            Group::Killed { pid, exit, since } if is_gone(pid) || since.elapsed() >= KILL_TIMEOUT => {
                if let Some(slot) = self.services.iter().find(|slot| core::ptr::eq(&slot.group, group)) {
                    // The output is complete when the exit is reported.
                    slot.output.drain();
                }
                group.set(Group::None);
                Some((pid, exit))
            }
            _ => None,
        })?;
        Some((from_pid(pid), exit))
    }

    /// Handles the exit of a process. Returns false if it is not that of a named command.
    pub fn handle_exit(&self, pid: u32, exit: Exit) -> bool {
        let run = self.runs.iter().find(|run| run.pid.get() == pid && run.state.get() == RunState::Running);
        let Some(run) = run else { return false };
        run.deadline.set(None);
        // The end of the output is still in the pipe.
        run.output.replace(None);
        run.state.set(RunState::Done(exit));
        self.command_done.notify();
        true
    }

    /// Copies output of a service to `room`, from position `since` on, or the newest. Returns the
    /// position of the first byte, counted since the start of the server, and the number of bytes.
    pub fn copy_output(&self, service: ServiceId, since: Option<u64>, room: &mut [u8]) -> (u64, usize) {
        let slot = self.services.get(service.index());
        debug_assert!(slot.is_some(), "a service outside the table");
        slot.map_or((0, 0), |slot| slot.output.buffer.borrow().copy(since, room))
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
        // Fails if it has just exited.
        let _ = send(pid, Signal::Kill);
    }
}

fn send(pid: Pid, signal: Signal) -> Result<(), Errno> {
    let signal = rustix::process::Signal::from_named_raw(signal.number()).ok_or(Errno::INVAL)?;
    kill_process_group(pid, signal)
}

/// Returns true if a process group has no process left, not even a zombie.
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
