//! Children of process 1: the server, and orphans of other processes.

use std::ffi::OsStr;
use std::fmt;
use std::io;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, kill_process_group, wait};

use super::is_first_process;
use crate::log::Reason;
use crate::service::Exit;
use crate::sys::program::{Command, Surroundings, exit_of};

/// Out-of-memory score of the server, proc_pid_oom_score_adj(5). The server resets it to 0 in its
/// own children.
const OOM_SCORE_ADJ: &str = "-900";
/// Program of this process, even if its file has been replaced.
const PROGRAM: &str = "/proc/self/exe";

/// Process of the server.
#[derive(Debug, Eq, PartialEq)]
pub struct ServerProcess {
    pid: Pid,
}

/// Failure to start the server.
#[derive(Debug)]
pub struct ServerError(io::Error);

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PROGRAM}: {}", Reason::from(&self.0))
    }
}

impl ServerProcess {
    /// Starts this program again with exactly these arguments and this environment.
    ///
    /// # Errors
    /// Error of fork(2) or execve(2).
    pub fn start<'a>(
        arguments: &[&str],
        environment: impl Iterator<Item = (&'a str, &'a OsStr)>,
    ) -> Result<Self, ServerError> {
        let mut command = Command::new(PROGRAM);
        command.argument("friendlet").arguments(arguments.iter()).variables(environment);
        // `reap` reaps it with all others.
        let pid = command.start(Surroundings::Own).map_err(ServerError)?;
        // On failure the server runs with the score of any other process.
        let _ = std::fs::write(format!("/proc/{pid}/oom_score_adj"), OOM_SCORE_ADJ);
        Ok(Self { pid })
    }

    /// Returns true if `pid` is that of the server.
    pub fn has_pid(&self, pid: Pid) -> bool {
        self.pid == pid
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        // Fails if the server has just exited.
        let _ = kill_process(self.pid, Signal::TERM);
    }

    /// Sends SIGKILL.
    pub fn kill(&self) {
        // Fails if the server has just exited.
        let _ = kill_process(self.pid, Signal::KILL);
    }
}

/// Result of [`reap`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reaped {
    /// Exit of a child.
    Child(Pid, Exit),
    /// Children run, but none has exited.
    NoneExited,
    /// The process has no children.
    NoChildren,
}

/// Reaps the next child that has exited.
pub fn reap() -> Reaped {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) => {
                if let Some(exit) = exit_of(status) {
                    return Reaped::Child(pid, exit);
                }
            }
            Err(Errno::INTR) => {}
            Ok(None) => return Reaped::NoneExited,
            Err(_) => return Reaped::NoChildren,
        }
    }
}

/// Sends SIGTERM, or SIGKILL with `force`, to every process but this one. Outside process 1 it does
/// nothing, because that would end the user's session.
pub fn kill_all_others(force: bool) {
    if !is_first_process() {
        return;
    }
    let signal = if force { Signal::KILL } else { Signal::TERM };
    // Group 1 means all processes, kill(2). Fails if there are none.
    let _ = kill_process_group(Pid::INIT, signal);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_killed_outside_process_1() {
        // Otherwise this test would not survive.
        kill_all_others(true);
        kill_all_others(false);
    }
}
