//! Processes of one service, or of one run of a named command or health check.

use std::io::{self, PipeReader, PipeWriter, Read as _};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, kill_process, kill_process_group};

use super::group::Group;
use super::launch::{Job, Launch, Outcome, launch, read_error};
use super::procfs::group_of_any;
use super::{READY_PIPE_BYTES, raw};
use crate::service::{
    Ended, Exit, Inherited, InheritedProcess, LastExit, Memo, Notice, Program, ReadyCheck, Scope, Signal,
    SpawnError, SpawnStage,
};
use crate::sys::Clock;

/// Bytes that are read at once of the pipe of a service that is not ready.
const READY_BYTES: usize = 64;

/// No report.
const NOTHING: Notice = Notice { is_ready: false, ..Notice::READY };

/// Processes of one slot.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) state: State,
    /// Last signal to the whole slot that asks for its end. A process that is found later gets it, too.
    pub(super) last_signal: Option<Signal>,
    /// Reports of the service about itself that the server does not know yet.
    pub(super) notice: Notice,
    /// Process of the group that gets the signals to the leader (`MAINPID`).
    pub(super) main: Option<Pid>,
    /// End of the last leader, whatever program it ran but `finish`.
    pub(super) ended: Option<Ended>,
    /// Output of the running program, for its stop command.
    pub(super) output: Option<PipeWriter>,
    /// Stop command, a process of the group.
    pub(super) stop_command: Option<StopCommand>,
    /// Pipe on which the service reports that it is ready.
    pub(super) ready: Option<PipeReader>,
    /// Bytes that came on it without a newline.
    pub(super) ready_bytes: usize,
    /// Program that was started last.
    pub(super) program: Program,
    /// Time at which the leader was started; `None` without one.
    pub(super) started: Option<Instant>,
    /// Output of the running program, for a later server.
    pub(super) kept: Option<PipeReader>,
    /// Reports of the running program so far: that it is ready or stops, and its text.
    pub(super) said: Notice,
    /// Knowledge of a server about the service ([`Memo`]); 0: none.
    pub(super) memo: u32,
}

/// Stop command of the running program. A server that takes over goes on with it.
#[derive(Debug)]
pub(super) enum StopCommand {
    /// It runs.
    Running {
        launch: Launch,
        /// The server that runs has asked for it.
        is_asked: bool,
    },
    /// It has ended, and the server that had asked for it before.
    Ended(Result<Exit, SpawnError>),
}

/// State of a slot.
#[derive(Debug)]
pub(super) enum State {
    /// No process.
    Free,
    /// A child has not executed its program yet.
    Launching {
        launch: Launch,
        /// Pipe of the program's output.
        output: PipeReader,
        /// The child was killed before it executed its program.
        is_killed: bool,
        failure: Option<SpawnError>,
    },
    /// The leader runs.
    Running { pid: Pid },
    /// The leader is reaped, others are left: in its group, unless that was seen empty, and outside of it.
    Ended { group: Option<Group> },
}

/// Progress of a launch.
#[derive(Debug)]
pub(super) enum Progress {
    /// Nothing to report.
    None,
    /// The program runs.
    Started(Pid, PipeReader),
}

impl Slot {
    pub(super) const FREE: Self = Self {
        state: State::Free,
        last_signal: None,
        notice: NOTHING,
        main: None,
        ended: None,
        output: None,
        stop_command: None,
        ready: None,
        ready_bytes: 0,
        program: Program::Main,
        started: None,
        kept: None,
        said: NOTHING,
        memo: 0,
    };

    /// Number of the process group, as long as no other one can have it.
    pub(super) fn pid(&self) -> Option<Pid> {
        match &self.state {
            State::Free => None,
            State::Launching { launch, .. } => Some(launch.pid),
            State::Running { pid } => Some(*pid),
            State::Ended { group } => group.map(Group::pid),
        }
    }

    /// Returns true if no process is left.
    pub(super) fn is_free(&self) -> bool {
        matches!(self.state, State::Free)
    }

    /// Returns true if the leader is reaped, and others are left.
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.state, State::Ended { .. })
    }

    /// Forgets the number of a group that is empty: the kernel gives it to other processes.
    pub(super) fn forget_empty_group(&mut self) {
        if let State::Ended { group } = &mut self.state {
            group.take_if(|group| group.is_empty());
        }
    }

    /// Returns true if the running program has reported something that the server does not know yet.
    pub(super) fn has_notice(&self) -> bool {
        matches!(self.state, State::Running { .. }) && self.notice != Notice::default()
    }

    /// Returns true if the leader is a child that is not reaped.
    pub(super) fn has_leader(&self) -> bool {
        matches!(self.state, State::Launching { .. } | State::Running { .. })
    }

    /// Pipe that has to be watched: that of a child that has not executed its program, then that of a service
    /// that is not ready.
    pub(super) fn pipe(&self) -> Option<&PipeReader> {
        match &self.state {
            State::Launching { launch, failure: None, .. } => Some(&launch.error),
            State::Running { .. } => self.ready.as_ref(),
            _ => None,
        }
    }

    /// Reads whether the running service reports that it is ready. It does so with a line, and with nothing else. Returns
    /// true if the line is too long: the pipe is closed.
    pub(super) fn read_ready(&mut self) -> bool {
        let (State::Running { .. }, Some(mut pipe)) = (&self.state, self.ready.as_ref()) else {
            return false;
        };
        let mut bytes = [0; READY_BYTES];
        match pipe.read(&mut bytes) {
            Ok(count @ 1..) if !bytes.iter().take(count).any(|byte| *byte == b'\n') => {
                self.ready_bytes += count;
                if self.ready_bytes > READY_PIPE_BYTES {
                    self.ready = None;
                    return true;
                }
            }
            Ok(count) => {
                self.notice.is_ready |= count > 0;
                self.said.is_ready |= count > 0;
                self.ready = None;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => self.ready = None,
        }
        false
    }

    /// Starts a program of the service whose number is that of the slot, or one of its named commands
    /// or health checks.
    ///
    /// # Errors
    /// [`Errno::BUSY`] while the server goes on without processes that cannot be killed, `ESRCH` for a stop
    /// command without a process, and those of [`launch`].
    pub(super) fn start(&mut self, program: Program, mut job: Job<'_>) -> io::Result<()> {
        if program == Program::Stop {
            return self.start_stop_command(job);
        }
        if self.has_leader() {
            return Err(Errno::BUSY.into());
        }
        let ended = self.ended.filter(|_| program == Program::Finish);
        job.variable = ended.map(|ended| ("FRIENDLET_EXIT", LastExit::from(exit_of(ended)).to_string()));
        let (output, writer) = io::pipe()?;
        rustix::io::ioctl_fionbio(&output, true)?;
        let mut ready = None;
        if let (Program::Main, ReadyCheck::Descriptor(number)) = (program, &job.spec.ready) {
            let (reader, writer) = io::pipe()?;
            rustix::io::ioctl_fionbio(&reader, true)?;
            ready = Some(reader);
            job.ready = Some((writer, *number));
        }
        let launch = launch(&job, &writer)?;
        let started = Some(Instant::now());
        *self = Self { ended: self.ended, memo: self.memo, program, started, ..Self::FREE };
        self.ready = ready;
        let needs_output = program == Program::Main && !job.spec.stop_command.is_empty();
        self.output = Some(writer).filter(|_| needs_output);
        self.state = State::Launching { launch, output, is_killed: false, failure: None };
        Ok(())
    }

    /// Starts the stop command of the running program, in its process group and with its output, or goes on with that of
    /// an earlier server.
    fn start_stop_command(&mut self, mut job: Job<'_>) -> io::Result<()> {
        match &mut self.stop_command {
            Some(StopCommand::Running { is_asked, .. }) => {
                *is_asked = true;
                return Ok(());
            }
            Some(StopCommand::Ended(_)) => return Ok(()),
            None => {}
        }
        let (State::Running { pid }, Some(output)) = (&self.state, &self.output) else {
            return Err(Errno::SRCH.into());
        };
        job.group = Some(*pid);
        job.variable = Some(("MAINPID", raw(self.main.unwrap_or(*pid)).to_string()));
        self.stop_command = Some(StopCommand::Running { launch: launch(&job, output)?, is_asked: true });
        Ok(())
    }

    /// Handles the exit of a child. Returns false if it is not the stop command.
    pub(super) fn end_stop_command(&mut self, pid: Pid, exit: Exit) -> bool {
        let Some(StopCommand::Running { launch, .. }) = &self.stop_command else { return false };
        if launch.pid != pid {
            return false;
        }
        let result = match read_error(&launch.error) {
            Outcome::Failed(error) => Err(error),
            Outcome::Pending | Outcome::Ended => Ok(exit),
        };
        self.stop_command = Some(StopCommand::Ended(result));
        true
    }

    /// End of the stop command. It is returned once.
    pub(super) fn take_stop_end(&mut self) -> Option<Result<Exit, SpawnError>> {
        match self.stop_command.take() {
            Some(StopCommand::Ended(result)) => Some(result),
            other => {
                self.stop_command = other;
                None
            }
        }
    }

    /// Returns true if the server that runs waits for the end of the stop command.
    pub(super) fn is_stop_asked(&self) -> bool {
        matches!(self.stop_command, Some(StopCommand::Running { is_asked: true, .. }))
    }

    /// Notes that the server that had asked for the stop command has ended.
    pub(super) fn disown_stop_command(&mut self) {
        if let Some(StopCommand::Running { is_asked, .. }) = &mut self.stop_command {
            *is_asked = false;
        }
    }

    /// Notes that no process is left. Until then the output has a reader, whatever becomes of the server: a process that
    /// writes while it ends is not killed by SIGPIPE.
    pub(super) fn set_free(&mut self) {
        self.state = State::Free;
        self.kept = None;
    }

    /// Handles the exit of the leader; the failure of one that has not executed its program.
    pub(super) fn end_leader(&mut self, pid: Pid, exit: Exit) -> Option<SpawnError> {
        self.output = None;
        self.ready = None;
        let failure =
            match core::mem::replace(&mut self.state, State::Ended { group: Some(Group::reaped(pid)) }) {
                State::Launching { failure, .. } => {
                    self.set_free();
                    Some(failure.unwrap_or(SpawnError::new(SpawnStage::Program, Errno::INVAL.raw_os_error())))
                }
                _ => None,
            };
        self.note_end(failure.map_or(Ok(exit), Err));
        failure
    }

    /// Notes the end of the latest program. `finish` does not hide that of its service.
    fn note_end(&mut self, result: Result<Exit, SpawnError>) {
        if self.program != Program::Finish {
            let ran = self.started.map_or(Duration::ZERO, |started| started.elapsed());
            self.ended = Some(Ended { program: self.program, result, ran });
        }
    }

    /// Notes that a program was not started at all.
    pub(super) fn note_failure(&mut self, program: Program, error: SpawnError) {
        // A stop command runs beside the latest program, and so does what cannot be killed.
        if program != Program::Stop && self.is_free() {
            (self.program, self.started) = (program, None);
            self.note_end(Err(error));
        }
    }

    /// Reads the pipe of a child that has not executed its program.
    pub(super) fn read_launch(&mut self) -> Progress {
        let State::Launching { launch, is_killed, failure: failure @ None, .. } = &mut self.state else {
            return Progress::None;
        };
        match read_error(&launch.error) {
            Outcome::Pending => Progress::None,
            Outcome::Failed(error) => {
                *failure = Some(error);
                Progress::None
            }
            // Killed before or after the exec; the difference is not known, and does not matter.
            Outcome::Ended if *is_killed => {
                *failure = Some(SpawnError::new(SpawnStage::Timeout, Errno::CANCELED.raw_os_error()));
                Progress::None
            }
            Outcome::Ended => {
                let pid = launch.pid;
                let State::Launching { output, .. } = core::mem::replace(&mut self.state, State::Free) else {
                    unreachable!("matched above");
                };
                self.state = State::Running { pid };
                // Without it, the service goes on without a reader if the server ends.
                self.kept = output.try_clone().ok();
                Progress::Started(pid, output)
            }
        }
    }

    /// Signals the leader or its group. Processes outside of the group are the caller's.
    pub(super) fn signal(&mut self, signal: Signal, scope: Scope) {
        let Some(number) = rustix::process::Signal::from_named_raw(signal.number()) else { return };
        if scope == Scope::Group && signal.can_end() {
            self.last_signal = Some(signal);
        }
        self.forget_empty_group();
        // An error says that nothing is left to signal: an exit that is reaped next.
        let _ = match (&mut self.state, scope) {
            (State::Free, _) | (State::Ended { .. }, Scope::Leader) => Ok(()),
            (State::Launching { launch, is_killed, .. }, _) if signal == Signal::Kill => {
                *is_killed = true;
                // It may have executed its program, which may have children. Before that, it has no group of its own.
                let _ = kill_process_group(launch.pid, number);
                kill_process(launch.pid, number)
            }
            // The program is not there yet to handle it.
            (State::Launching { .. }, _) => Ok(()),
            (State::Running { pid }, Scope::Leader) => {
                // Its number may be that of another process by now.
                let main = self.main.filter(|main| group_of_any(*main) == Some(*pid));
                kill_process(main.unwrap_or(*pid), number)
            }
            (State::Running { pid }, Scope::Group) => kill_process_group(*pid, number),
            (State::Ended { group }, Scope::Group) => {
                group.map_or(Ok(()), |group| kill_process_group(group.pid(), number))
            }
        };
    }

    /// Slot with processes that an earlier keeper has left, and their process group. Its leader is not a child of this one.
    pub(super) fn left(group: Option<Pid>) -> Self {
        Self { state: State::Ended { group: group.map(Group::left) }, ..Self::FREE }
    }

    /// Returns true for processes that an earlier keeper has left.
    pub(super) fn is_left(&self) -> bool {
        self.has_ended() && self.ended.is_none()
    }

    /// Returns true if the program of the service has ended, and what is left of its group has its time to end.
    fn is_ending(&self) -> bool {
        self.program == Program::Main && self.last_signal != Some(Signal::Kill)
    }

    /// Ends what a later server could not go on with: any program but that of the service, with what is left of its
    /// group, and its `finish`.
    pub(super) fn end_unfinished(&mut self) {
        let goes_on = match &self.state {
            State::Running { .. } => matches!(self.program, Program::Main | Program::Finish),
            State::Ended { .. } => self.ended.is_none() || self.is_ending(),
            State::Free | State::Launching { .. } => false,
        };
        if !goes_on {
            self.signal(Signal::Kill, Scope::Group);
        }
    }

    /// Returns the part for a later server, with the output of a running program; `None` of a service that no server
    /// has started.
    pub(super) fn hand_over(&mut self, clock: Clock) -> Option<(Inherited, Option<PipeReader>)> {
        let mut output = None;
        let process = match &self.state {
            State::Running { pid } => match (self.program, self.ended) {
                (Program::Main, _) | (Program::Finish, Some(_)) => {
                    output = self.kept.take().filter(|_| self.program == Program::Main);
                    let started = self.started.map_or(Duration::ZERO, |started| clock.at(started));
                    InheritedProcess::Running { pid: raw(*pid), started }
                }
                _ => InheritedProcess::Killed { pid: raw(*pid) },
            },
            State::Launching { .. } => InheritedProcess::Aborted,
            State::Ended { .. } if self.ended.is_none() => InheritedProcess::Left,
            State::Ended { .. } if self.is_ending() => {
                output = self.kept.take();
                InheritedProcess::Ending { is_signalled: self.last_signal.is_some() }
            }
            State::Ended { .. } => InheritedProcess::Killed { pid: 0 },
            State::Free => InheritedProcess::None,
        };
        let memo = Memo::decode(self.memo);
        let memo = match process {
            InheritedProcess::None => memo?,
            _ => memo.unwrap_or(Memo::UNKNOWN),
        };
        let is_ready = (memo.is_ready || self.said.is_ready) && !self.said.is_stopping;
        let memo = Memo { is_ready, ..memo };
        Some((Inherited { memo, process, program: self.program, ended: self.ended }, output))
    }

    /// Returns true if no process of the group is left, not even a zombie.
    pub(super) fn is_group_gone(&mut self) -> bool {
        self.forget_empty_group();
        self.pid().is_none()
    }
}

/// Exit of a program; of one that was not executed, that of the child that should have done it.
pub(super) fn exit_of(ended: Ended) -> Exit {
    ended.result.unwrap_or(Exit::Code(127))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::sys::tests::lock_children;

    fn waiting() -> (Slot, PipeWriter) {
        let (reader, writer) = io::pipe().unwrap();
        rustix::io::ioctl_fionbio(&reader, true).unwrap();
        (Slot { state: State::Running { pid: Pid::INIT }, ready: Some(reader), ..Slot::FREE }, writer)
    }

    #[test]
    fn line_of_readiness_up_to_its_limit() {
        // A child of another test would have the pipe, too.
        let _children = lock_children();
        let read = |slot: &mut Slot| (0..2 * READY_PIPE_BYTES / READY_BYTES).any(|_| slot.read_ready());
        let (mut slot, mut writer) = waiting();
        writer.write_all(&[b'x'; READY_PIPE_BYTES]).unwrap();
        assert!(!read(&mut slot) && slot.ready.is_some());
        writer.write_all(b"\n").unwrap();
        assert!(!read(&mut slot) && slot.said.is_ready);
        let (mut slot, mut writer) = waiting();
        writer.write_all(&[b'x'; READY_PIPE_BYTES + 1]).unwrap();
        assert!(read(&mut slot) && slot.ready.is_none() && !slot.said.is_ready);
        assert!(writer.write_all(b"\n").is_err(), "nothing reads it any more");
    }

    /// The next run began beside the children of a start that was killed with its server.
    #[test]
    fn start_that_is_killed_leaves_no_child_of_its_program() {
        use std::io::BufRead as _;
        use std::os::unix::process::CommandExt as _;
        use std::process::{Command, Stdio};

        use super::super::procfs;
        let _children = lock_children();
        let mut program = Command::new("sh");
        program.args(["-c", "sleep 1000 & echo $!; wait"]).process_group(0).stdout(Stdio::piped());
        let mut leader = program.spawn().unwrap();
        let mut line = String::new();
        io::BufReader::new(leader.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let child = Pid::from_raw(line.trim().parse().unwrap()).unwrap();
        let ((output, _writer), (error, _)) = (io::pipe().unwrap(), io::pipe().unwrap());
        let launch = Launch { pid: Pid::from_child(&leader), error };
        let state = State::Launching { launch, output, is_killed: false, failure: None };
        Slot { state, ..Slot::FREE }.signal(Signal::Kill, Scope::Group);
        leader.wait().unwrap();
        let until = Instant::now() + Duration::from_secs(20);
        while procfs::start(child).is_some() && !procfs::is_zombie(child) {
            assert!(Instant::now() < until, "it runs on");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn part_for_a_later_server_by_state_and_program() {
        use InheritedProcess::{Ending, Killed, Left, Running};
        let ended = |program| Some(Ended { program, result: Ok(Exit::Code(3)), ran: Duration::ZERO });
        let [main, pre_start] = [Program::Main, Program::PreStart].map(ended);
        let running = || State::Running { pid: Pid::INIT };
        let rest = || State::Ended { group: None };
        let runs = Running { pid: 1, started: Duration::ZERO };
        let [term, kill] = [Some(Signal::Term), Some(Signal::Kill)];
        for (state, program, ended, last_signal, process) in [
            (running(), Program::Main, main, None, runs),
            (running(), Program::Finish, main, None, runs),
            (running(), Program::Finish, pre_start, None, runs),
            (running(), Program::PreStart, main, None, Killed { pid: 1 }),
            (rest(), Program::Main, main, None, Ending { is_signalled: false }),
            (rest(), Program::Main, main, term, Ending { is_signalled: true }),
            (rest(), Program::Main, main, kill, Killed { pid: 0 }),
            (rest(), Program::PreStart, pre_start, term, Killed { pid: 0 }),
            (rest(), Program::Finish, main, None, Killed { pid: 0 }),
            (rest(), Program::Main, None, None, Left),
            (State::Free, Program::Finish, main, None, InheritedProcess::None),
        ] {
            let memo = Memo::UNKNOWN.encode();
            let mut slot = Slot { state, program, ended, last_signal, memo, ..Slot::FREE };
            let (inherited, _) = slot.hand_over(Clock::new()).unwrap();
            assert_eq!(inherited, Inherited { memo: Memo::UNKNOWN, process, program, ended });
        }
    }

    #[test]
    fn program_that_is_not_started_at_all_has_ended() {
        let error = SpawnError::new(SpawnStage::Resources, 11);
        let mut slot = Slot { program: Program::PreStart, ..Slot::FREE };
        slot.note_failure(Program::Stop, error);
        assert_eq!((slot.program, slot.ended), (Program::PreStart, None));
        slot.note_failure(Program::Main, error);
        let ended = Some(Ended { program: Program::Main, result: Err(error), ran: Duration::ZERO });
        assert_eq!((slot.program, slot.ended), (Program::Main, ended));
        // It does not hide the end of its service.
        slot.note_failure(Program::Finish, error);
        assert_eq!((slot.program, slot.ended), (Program::Finish, ended));
        let (running, _writer) = waiting();
        let mut slot = Slot { program: Program::Main, ..running };
        slot.note_failure(Program::PreStart, error);
        assert_eq!((slot.program, slot.ended), (Program::Main, None));
    }
}
