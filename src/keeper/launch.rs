//! Start of a program: what the forked child of the keeper does before exec.
//!
//! Everything that may wait for a disk happens in the child: the look-up of the user, the working directory,
//! the program. Its error comes back on a pipe that exec closes.

mod directories;
mod env_file;
mod identity;
mod mounts;
mod priority;

use std::fs;
use std::io::{self, PipeReader, PipeWriter, Read as _};
use std::os::fd::AsFd;

use rustix::fs::{Access, Mode};
use rustix::io::Errno;
use rustix::process::Pid;

use self::identity::Identity;
use super::cgroups::Cgroups;
use super::procfs::MARKER;
use crate::service::{Arguments, SpawnError, SpawnStage, Spec};
use crate::sys::PATH;
use crate::sys::fork::{self, Forked};
use crate::sys::program::Command;

/// A child that has not executed its program yet.
#[derive(Debug)]
pub(super) struct Launch {
    pub(super) pid: Pid,
    /// Pipe of the error; at its end, the program runs.
    pub(super) error: PipeReader,
}

/// Program to start.
pub(super) struct Job<'j> {
    pub(super) spec: &'j Spec,
    pub(super) argv: &'j Arguments,
    /// Socket for its reports.
    pub(super) notify: Option<&'j str>,
    /// Pipe and number of the descriptor on which it reports that it is ready.
    pub(super) ready: Option<(PipeWriter, u8)>,
    /// Process group that it joins; `None`: one of its own.
    pub(super) group: Option<Pid>,
    /// Control group that it enters.
    pub(super) cgroup: Option<(&'j Cgroups, &'j str)>,
    /// Variable of this program.
    pub(super) variable: Option<(&'static str, String)>,
}

/// Forks a child that executes a program of a service, with this pipe for its output.
///
/// # Errors
/// Error of fork(2) or pipe(2). Later errors come on the pipe.
pub(super) fn launch(job: &Job<'_>, output: &PipeWriter) -> io::Result<Launch> {
    let (error, error_writer) = io::pipe()?;
    rustix::io::ioctl_fionbio(&error, true)?;
    match fork::fork()? {
        Forked::Parent(pid) => {
            // Both sides do it, so that neither has to wait for the other. Fails after the exec.
            let _ = rustix::process::setpgid(Some(pid), job.group.or(Some(pid)));
            Ok(Launch { pid, error })
        }
        Forked::Child => {
            let entered = job.cgroup.map_or(Ok(()), |(cgroups, group)| enter(cgroups, group, job.spec));
            run(job, entered, output, &error_writer)
        }
    }
}

/// Returns the error that the child has reported; `None` while it has reported nothing, and after exec.
pub(super) fn read_error(mut pipe: &PipeReader) -> Outcome {
    let mut bytes = [0; ERROR_BYTES];
    match pipe.read(&mut bytes) {
        Ok(0) => Outcome::Ended,
        Ok(_) => decode(bytes).map_or(Outcome::Ended, Outcome::Failed),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Outcome::Pending,
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Outcome::Pending,
        Err(_) => Outcome::Ended,
    }
}

/// State of a child's pipe.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Outcome {
    /// The child has not executed its program yet.
    Pending,
    /// The pipe is closed: the program runs, or the child was killed before.
    Ended,
    /// The program could not be started.
    Failed(SpawnError),
}

/// Size of a reported error: stage, entry and error number.
const ERROR_BYTES: usize = 6;

fn encode(error: SpawnError) -> [u8; ERROR_BYTES] {
    let [a, b, c, d] = error.errno.to_ne_bytes();
    [error.stage as u8, error.item, a, b, c, d]
}

fn decode([stage, item, a, b, c, d]: [u8; ERROR_BYTES]) -> Option<SpawnError> {
    let stage = SpawnStage::from_number(stage)?;
    Some(SpawnError { stage, item, errno: i32::from_ne_bytes([a, b, c, d]) })
}

/// Enters the control group of the service. First, so that all that follows is accounted for.
fn enter(cgroups: &Cgroups, group: &str, spec: &Spec) -> Result<(), SpawnError> {
    cgroups.enter(group, &spec.attributes.controls).map_err(|(index, errno)| {
        let error = at(SpawnStage::Cgroup)(errno);
        index.map_or(error, |index| error.with_item(index))
    })
}

/// The child.
fn run(job: &Job<'_>, entered: Result<(), SpawnError>, output: &PipeWriter, error: &PipeWriter) -> ! {
    let input = fs::File::open("/dev/null");
    let Ok(error) = input.and_then(|input| {
        let ready = job.ready.as_ref().map(|(pipe, number)| (pipe.as_fd(), *number));
        fork::keep_descriptors(input.into(), output.as_fd(), ready, error.as_fd())
    }) else {
        fork::exit_now(127);
    };
    let Err(failure) = entered.and_then(|()| execute(job));
    // The parent sees the end of the pipe if this fails, and then the exit.
    let _ = rustix::io::write(&error, &encode(failure));
    fork::exit_now(127)
}

/// Puts the process in order and executes the program; returns only with an error.
fn execute(job: &Job<'_>) -> Result<core::convert::Infallible, SpawnError> {
    let Job { spec, argv, notify, group, variable, .. } = job;
    let program = argv.first().ok_or(at(SpawnStage::Program)(Errno::INVAL))?;
    // Fails if that group has just ended.
    rustix::process::setpgid(None, *group).map_err(at(SpawnStage::Resources))?;
    fork::reset_signals();
    priority::set(&spec.attributes)?;
    let identity = Identity::look_up(spec)?;
    let mut command = Command::new(program);
    command.arguments(argv.iter()).variable("PATH", PATH);
    if let Some(notify) = notify {
        command.variable("NOTIFY_SOCKET", notify);
        if let Some(watchdog) = spec.watchdog {
            command.variable("WATCHDOG_USEC", (watchdog.as_micros() as u64).to_string());
            command.variable("WATCHDOG_PID", std::process::id().to_string());
        }
    }
    if let Some(account) = &identity.account {
        command.variable("HOME", identity::home(account));
        command.variable("USER", account.name.as_str()).variable("LOGNAME", account.name.as_str());
    }
    let own = directories::create(&spec.attributes, identity.account.as_ref())?;
    // Before the mounts: it may be in the common `/tmp`.
    let env_file = &spec.attributes.env_file;
    let variables = if env_file.is_empty() { Vec::new() } else { env_file::read(env_file)? };
    mounts::make(&spec.attributes, &own)?;
    command.variables(own.into_iter()).variables(variables.into_iter());
    command.variables(spec.env.iter().filter_map(|variable| variable.split_once('=')));
    command.variables(variable.iter().map(|(name, value)| (name, value)));
    // The last one: by it, the keeper knows the processes of the service.
    command.variable(MARKER, spec.name.as_str());
    rustix::process::umask(Mode::from_raw_mode(spec.attributes.umask.into()));
    // As root, which may raise them, and after the files that would need descriptors.
    priority::set_limits(&spec.attributes)?;
    identity.own_pipes(job.ready.as_ref().map(|(_, number)| *number));
    identity.take(&spec.attributes)?;
    let directory = if spec.cwd.is_empty() { "/" } else { &spec.cwd };
    rustix::process::chdir(directory).map_err(at(SpawnStage::Directory))?;
    let error = command.execute();
    let errno = Errno::from_io_error(&error).unwrap_or(Errno::INVAL);
    // A script whose interpreter is missing has the error of a missing program.
    let exists = || rustix::fs::access(program, Access::EXISTS).is_ok();
    let stage = match errno {
        Errno::NOENT if program.contains('/') && exists() => SpawnStage::Interpreter,
        _ => SpawnStage::Program,
    };
    Err(at(stage)(errno))
}

/// Error of an input or output at a stage.
fn io_at(stage: SpawnStage) -> impl Fn(io::Error) -> SpawnError {
    move |error| at(stage)(Errno::from_io_error(&error).unwrap_or(Errno::INVAL))
}

/// Error of a system call at a stage.
fn at(stage: SpawnStage) -> impl Fn(Errno) -> SpawnError {
    move |errno| SpawnError::new(stage, errno.raw_os_error())
}
