//! Start of a program: what the forked child of the keeper does before exec.
//!
//! Everything that may wait for a disk happens in the child: the look-up of the user, the working directory,
//! the program. Its error comes back on a pipe that exec closes.

use std::fs;
use std::io::{self, PipeReader, PipeWriter, Read as _};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rustix::fs::{Access, Mode};
use rustix::io::Errno;
use rustix::process::{Gid, Pid, Uid};

use crate::service::{Arguments, SERVICE_NICE, SpawnError, SpawnStage, Spec};
use crate::sys::fork::{self, Forked};
use crate::sys::{PATH, lookup, supplementary_groups};

/// Environment variable with the name of the service. By it, the keeper recognises a process that has left
/// the process group of its service.
pub(super) const MARKER: &str = "FRIENDLET_SERVICE";

/// A child that has not executed its program yet.
#[derive(Debug)]
pub(super) struct Launch {
    pub(super) pid: Pid,
    /// Pipe of the error; at its end, the program runs.
    pub(super) error: PipeReader,
    /// Pipe of the program's output.
    pub(super) output: PipeReader,
}

/// Forks a child that executes a program of a service.
///
/// # Errors
/// Error of fork(2) or pipe(2). Later errors come on the pipe.
pub(super) fn launch(spec: &Spec, argv: &Arguments) -> io::Result<Launch> {
    let (error, error_writer) = io::pipe()?;
    let (output, output_writer) = io::pipe()?;
    rustix::io::ioctl_fionbio(&error, true)?;
    rustix::io::ioctl_fionbio(&output, true)?;
    match fork::fork()? {
        Forked::Parent(pid) => {
            // Both sides do it, so that neither has to wait for the other. Fails after the exec.
            let _ = rustix::process::setpgid(Some(pid), Some(pid));
            Ok(Launch { pid, error, output })
        }
        Forked::Child => run(spec, argv, &output_writer, &error_writer),
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

/// Size of a reported error: stage and error number.
const ERROR_BYTES: usize = 5;

fn encode(error: SpawnError) -> [u8; ERROR_BYTES] {
    let [a, b, c, d] = error.errno.to_ne_bytes();
    [error.stage as u8, a, b, c, d]
}

fn decode([stage, a, b, c, d]: [u8; ERROR_BYTES]) -> Option<SpawnError> {
    let stage = SpawnStage::ALL.into_iter().find(|known| *known as u8 == stage)?;
    Some(SpawnError { stage, errno: i32::from_ne_bytes([a, b, c, d]) })
}

/// The child.
fn run(spec: &Spec, argv: &Arguments, output: &PipeWriter, error: &PipeWriter) -> ! {
    let input = fs::File::open("/dev/null");
    let Ok(error) =
        input.and_then(|input| fork::keep_descriptors(input.into(), output.as_fd(), error.as_fd()))
    else {
        fork::exit_now(127);
    };
    let Err(failure) = execute(spec, argv);
    // The parent sees the end of the pipe if this fails, and then the exit.
    let _ = rustix::io::write(&error, &encode(failure));
    fork::exit_now(127)
}

/// Puts the process in order and executes the program; returns only with an error.
fn execute(spec: &Spec, argv: &Arguments) -> Result<core::convert::Infallible, SpawnError> {
    let mut arguments = argv.iter();
    let program = arguments.next().ok_or(at(SpawnStage::Program)(Errno::INVAL))?;
    // Fails if the parent was quicker and the exec is over; it is not yet.
    let _ = rustix::process::setpgid(None, None);
    fork::reset_signals();
    rustix::process::umask(Mode::from_raw_mode(0o022));
    limit_priority();
    let mut command = Command::new(program);
    command.args(arguments).env_clear().env("PATH", PATH).env(MARKER, spec.name.as_str());
    if !spec.user.is_empty() {
        set_user(&mut command, spec)?;
    }
    for variable in spec.env.iter() {
        if let Some((name, value)) = variable.split_once('=') {
            command.env(name, value);
        }
    }
    let directory = if spec.cwd.is_empty() { "/" } else { &spec.cwd };
    rustix::process::chdir(directory).map_err(at(SpawnStage::Directory))?;
    let error = command.exec();
    let errno = Errno::from_io_error(&error).unwrap_or(Errno::INVAL);
    // A script whose interpreter is missing has the error of a missing program.
    let exists = || rustix::fs::access(program, Access::EXISTS).is_ok();
    let stage = match errno {
        Errno::NOENT if program.contains('/') && exists() => SpawnStage::Interpreter,
        _ => SpawnStage::Program,
    };
    Err(at(stage)(errno))
}

fn at(stage: SpawnStage) -> impl Fn(Errno) -> SpawnError {
    move |errno| SpawnError { stage, errno: errno.raw_os_error() }
}

/// Lets the server have the processor before its services, and the out-of-memory killer have the services
/// before the server.
fn limit_priority() {
    if rustix::process::getpriority_process(None).is_ok_and(|nice| nice < SERVICE_NICE) {
        // Lowering the priority is always allowed.
        let _ = rustix::process::setpriority_process(None, SERVICE_NICE);
    }
    // `friendlet init` and systemd may protect the keeper.
    if fs::read("/proc/self/oom_score_adj").is_ok_and(|score| score.starts_with(b"-")) {
        // Raising it is always allowed.
        let _ = fs::write("/proc/self/oom_score_adj", "0");
    }
}

/// Takes the identity of the service's user, with all of its groups.
fn set_user(command: &mut Command, spec: &Spec) -> Result<(), SpawnError> {
    let errno = |error: io::Error| Errno::from_io_error(&error).unwrap_or(Errno::INVAL);
    let account = lookup(&spec.user).map_err(|error| at(SpawnStage::User)(errno(error)))?.ok_or(at(
        SpawnStage::User,
    )(
        Errno::NOENT,
    ))?;
    let own = rustix::process::geteuid();
    if own.is_root() {
        let groups = supplementary_groups(&account.name, account.gid)
            .map_err(|error| at(SpawnStage::Groups)(errno(error)))?;
        let groups: heapless::Vec<Gid, { crate::sys::GROUPS }> =
            groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
        rustix::thread::set_thread_groups(&groups).map_err(at(SpawnStage::Groups))?;
        rustix::thread::set_thread_gid(Gid::from_raw(account.gid)).map_err(at(SpawnStage::User))?;
        rustix::thread::set_thread_uid(Uid::from_raw(account.uid)).map_err(at(SpawnStage::User))?;
    } else if own.as_raw() != account.uid {
        return Err(at(SpawnStage::User)(Errno::PERM));
    }
    command.env("HOME", account.home.as_str());
    command.env("USER", account.name.as_str()).env("LOGNAME", account.name.as_str());
    Ok(())
}
