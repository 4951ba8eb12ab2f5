//! Start of a process by the specification of a service.

use std::fs;
use std::io::{self, PipeReader};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use rustix::io::Errno;
use rustix::process::Pid;

use super::super::accounts;
use crate::error;
use crate::runtime::Source;
use crate::service::{Arguments, Spec};

/// Default `PATH` of services.
pub(in super::super) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Starts a program of a service and returns its pid and the pipe of its output.
///
/// The process leads its own process group, and has an empty input. Its environment consists of
/// `PATH`, the variables of its user if it has one, and those of the service. The standard library
/// unblocks all signals and resets SIGPIPE.
pub(super) fn launch(spec: &Spec, argv: &Arguments) -> Result<(Pid, Source<PipeReader>), i32> {
    let mut arguments = argv.iter();
    let mut command = Command::new(arguments.next().ok_or(Errno::INVAL.raw_os_error())?);
    command.args(arguments).process_group(0).env_clear().env("PATH", PATH);
    command.current_dir(if spec.cwd.is_empty() { "/" } else { &spec.cwd });
    if !spec.user.is_empty() {
        set_user(&mut command, spec)?;
    }
    for variable in spec.env.iter() {
        if let Some((name, value)) = variable.split_once('=') {
            command.env(name, value);
        }
    }
    start(command).map_err(|error| errno(&error))
}

fn start(mut command: Command) -> io::Result<(Pid, Source<PipeReader>)> {
    let (reader, writer) = io::pipe()?;
    rustix::io::ioctl_fionbio(&reader, true)?;
    let reader = Source::new(reader)?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    // `Processes::reap` reaps it with all others, so the handle is dropped.
    let child = command.spawn()?;
    if is_oom_protected() {
        // Fails if the child has exited already.
        let _ = fs::write(format!("/proc/{}/oom_score_adj", child.id()), "0");
    }
    Ok((Pid::from_child(&child), reader))
}

/// Returns true if `friendlet init` or systemd protects this process from the out-of-memory killer.
/// Services must not inherit that.
fn is_oom_protected() -> bool {
    fs::read("/proc/self/oom_score_adj").is_ok_and(|score| score.starts_with(b"-"))
}

fn set_user(command: &mut Command, spec: &Spec) -> Result<(), i32> {
    let account = accounts::lookup(&spec.user).map_err(|error| errno(&error))?.ok_or_else(|| {
        error!("{}: unknown user '{}'", spec.name, spec.user);
        Errno::INVAL.raw_os_error()
    })?;
    let own = rustix::process::geteuid();
    if own.is_root() {
        // This also drops the supplementary groups.
        command.uid(account.uid).gid(account.gid);
    } else if own.as_raw() != account.uid {
        error!("{}: cannot run as '{}' without root", spec.name, spec.user);
        return Err(Errno::PERM.raw_os_error());
    }
    command.env("HOME", account.home.as_str());
    command.env("USER", account.name.as_str()).env("LOGNAME", account.name.as_str());
    Ok(())
}

/// Error number of the system, or `EINVAL` for an error of the standard library.
fn errno(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(Errno::INVAL.raw_os_error())
}
