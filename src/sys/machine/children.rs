//! The server as a child, everybody else's orphans, and the end of all of them.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, kill_process_group, wait};

use super::is_first_process;
use crate::service::Exit;

/// How unlikely the kernel is to choose the server when memory runs out; what it starts is set back
/// to 0 by the server.
const OOM_SCORE_ADJ: &str = "-900";
/// The program that runs, whatever became of its file.
const PROGRAM: &str = "/proc/self/exe";

/// The server's process.
#[derive(Debug, Eq, PartialEq)]
pub struct Server {
    pid: Pid,
}

/// The server cannot be started.
#[derive(Debug)]
pub struct ServerError(io::Error);

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PROGRAM}: {}", self.0)
    }
}

impl Server {
    /// Runs this program again with these arguments and this environment, and nothing else of either.
    ///
    /// # Errors
    /// Those of making a process.
    pub fn start<'a>(
        arguments: &[&str],
        environment: impl Iterator<Item = (&'a str, &'a OsStr)>,
    ) -> Result<Self, ServerError> {
        let mut command = Command::new(PROGRAM);
        command.arg0("friendlet").args(arguments).env_clear().envs(environment);
        command.stdin(Stdio::null()).current_dir("/").process_group(0);
        // It is reaped with all others, so the handle is let go.
        let child = command.spawn().map_err(ServerError)?;
        let id = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let pid = id.ok_or_else(|| ServerError(Errno::SRCH.into()))?;
        // Without it the server is as likely to be chosen as anybody; that is no reason not to run.
        let _ = std::fs::write(format!("/proc/{}/oom_score_adj", child.id()), OOM_SCORE_ADJ);
        Ok(Self { pid })
    }

    /// Whether this is its process.
    pub fn is(&self, pid: Pid) -> bool {
        self.pid == pid
    }

    /// Asks it to end.
    pub fn terminate(&self) {
        // It may have ended just now.
        let _ = kill_process(self.pid, Signal::TERM);
    }

    /// Ends it.
    pub fn kill(&self) {
        let _ = kill_process(self.pid, Signal::KILL);
    }
}

/// What reaping found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reaped {
    /// This child has ended so.
    Child(Pid, Exit),
    /// Some run, and none has ended.
    NoMore,
    /// There are none at all.
    NobodyLeft,
}

/// The next child that has ended.
pub fn reap() -> Reaped {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) => {
                let code = status.exit_status().map(Exit::Code);
                if let Some(exit) = code.or_else(|| status.terminating_signal().map(Exit::Signal)) {
                    return Reaped::Child(pid, exit);
                }
            }
            Err(Errno::INTR) => {}
            Ok(None) => return Reaped::NoMore,
            Err(_) => return Reaped::NobodyLeft,
        }
    }
}

/// Sends `TERM`, or `KILL` when `at_once`, to every process but this one. It does nothing unless
/// this is the first process: anybody else would end the machine's owner's session.
pub fn kill_all_others(at_once: bool) {
    if !is_first_process() {
        return;
    }
    let signal = if at_once { Signal::KILL } else { Signal::TERM };
    // The group of process 1 means everybody, kill(2). There may be nobody.
    let _ = kill_process_group(Pid::INIT, signal);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_killed_by_another_process_than_the_first() {
        // That this test goes on is what it shows.
        kill_all_others(true);
        kill_all_others(false);
    }
}
