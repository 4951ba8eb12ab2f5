//! Making a process as a service's specification says.

use std::fs;
use std::io::{self, PipeReader};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use rustix::io::Errno;

use super::super::accounts;
use crate::error;
use crate::runtime::AsyncFd;
use crate::service::{Arguments, Spec};

/// Where programs are looked for, unless the service's own environment says otherwise.
pub(in super::super) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Starts a program of this service: in its own process group, with nothing to read, with an
/// environment of `PATH`, of the user's names where it has one of its own, and of the service's
/// variables, and with no signal blocked (the standard library sees to that, as to `SIGPIPE`).
/// Gives the process and the pipe of all that it writes.
pub(super) fn launch(spec: &Spec, argv: &Arguments) -> Result<(u32, AsyncFd<PipeReader>), i32> {
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

fn start(mut command: Command) -> io::Result<(u32, AsyncFd<PipeReader>)> {
    let (reader, writer) = io::pipe()?;
    rustix::io::ioctl_fionbio(&reader, true)?;
    let reader = AsyncFd::new(reader)?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    // The child is reaped with all others, so the handle is let go.
    let child = command.spawn()?;
    if is_spared() {
        // It may be gone already; else it is as likely to be chosen as any other process.
        let _ = fs::write(format!("/proc/{}/oom_score_adj", child.id()), "0");
    }
    Ok((child.id(), reader))
}

/// Whether the kernel was told to spare this process when memory runs out, as by `friendlet init` or by
/// systemd: what a service takes must not be spared with it.
fn is_spared() -> bool {
    fs::read("/proc/self/oom_score_adj").is_ok_and(|score| score.starts_with(b"-"))
}

fn set_user(command: &mut Command, spec: &Spec) -> Result<(), i32> {
    let account = accounts::lookup(&spec.user).map_err(|error| errno(&error))?.ok_or_else(|| {
        error!("{}: no user '{}'", spec.name, spec.user);
        Errno::INVAL.raw_os_error()
    })?;
    let own = rustix::process::geteuid();
    if own.is_root() {
        // This drops the supplementary groups, too.
        command.uid(account.uid).gid(account.gid);
    } else if own.as_raw() != account.uid {
        error!("{}: only root can run it as '{}'", spec.name, spec.user);
        return Err(Errno::PERM.raw_os_error());
    }
    command.env("HOME", account.home.as_str());
    command.env("USER", account.name.as_str()).env("LOGNAME", account.name.as_str());
    Ok(())
}

/// The system's number; what the standard library refuses by itself is invalid.
fn errno(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(Errno::INVAL.raw_os_error())
}
