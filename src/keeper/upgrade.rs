//! Upgrade: the keeper tries the program that is at its path by now, lets its server go, and executes that program in its
//! own place. Its processes stay its children.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, PipeWriter, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::time::Instant;

use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::process::{Pid, Signal as RawSignal, kill_process, setpgid};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};

use super::legacy::{Legacy, TITLE, encode};
use super::main_loop::MainLoop;
use super::slot::Slot;
use super::trial::{Trial, Upgrade};
use super::{Configuration, LEGACY_BYTES, SERVER_LEAVE_TIME, UPGRADE_TRIAL_TIME};
use crate::limits::BOARD;
use crate::log::Reason;
use crate::log::console::{error, info};
use crate::service::{Exit, LastExit};
use crate::sys::board::SLOT_STATE_VARIABLE;
use crate::sys::fork::{self, Forked};
use crate::sys::memory_file;
use crate::sys::program::Command;

/// Reason of an upgrade that is refused because everything ends.
const ENDS: &str = "the server ends";
/// Name of the file in memory.
const NAME: &str = "legacy";
/// Variable with the descriptor of a legacy.
const VARIABLE: &str = "FRIENDLET_LEGACY";
/// The same for a program that is only tried.
const TRIAL_VARIABLE: &str = "FRIENDLET_LEGACY_TRIAL";

/// Variable with the board of the program that leaves it.
const BOARD_VARIABLE: &str = "FRIENDLET_LEGACY_BOARD";

impl Legacy {
    /// Returns the legacy of an earlier program to this one; `None` for a program that was started anew.
    ///
    /// # Errors
    /// The legacy cannot be read.
    pub fn of_this_process() -> Result<Option<Self>, String> {
        let found =
            [(VARIABLE, false), (TRIAL_VARIABLE, true)].into_iter().find_map(|(variable, is_trial)| {
                let number = std::env::var_os(variable)?.to_str()?.parse().ok()?;
                // A later program of this process may have inherited the variable.
                Some((fork::adopt(number)?, is_trial))
            });
        let Some((file, is_trial)) = found else { return Ok(None) };
        let text = memory_file::read(file, LEGACY_BYTES)
            .map_err(|error| format!("cannot read the state of the keeper: {error}"))?;
        let mut legacy =
            Self::decode(&text).map_err(|error| format!("cannot use the state of the keeper: {error}"))?;
        legacy.is_trial = is_trial;
        let board = std::env::var(BOARD_VARIABLE).unwrap_or_default();
        if is_trial && !board.is_empty() && board != BOARD {
            return Err(format!(
                "it is built for the board {BOARD}, and the one that runs for {board}; to change that, stop the server and start \
                 it with this program"
            ));
        }
        Ok(Some(legacy))
    }

    /// Answers in a trial that this program can take over.
    pub fn accept() {
        // An error is that of the keeper, which has gone.
        let _ = writeln!(io::stdout(), "{TITLE}");
    }
}

impl MainLoop {
    /// Asks for an upgrade. One that is under way goes on.
    pub(super) fn request_upgrade(&mut self) {
        if self.ending_since.is_some() || self.is_server_ending {
            self.server_socket.send_refusal(ENDS);
        } else if matches!(self.upgrade, Upgrade::None) {
            self.upgrade = Upgrade::Requested;
        }
    }

    /// The same for a signal. The server first returns to the configuration that was in force before a trial.
    pub(super) fn request_upgrade_by_signal(&mut self) {
        if let Some(server) = self.server.filter(|_| self.is_unconfirmed && self.crashes.handles_signals()) {
            // Fails if it has just exited.
            let _ = kill_process(server, RawSignal::USR2);
        }
        self.request_upgrade();
    }

    /// Ends an upgrade that is under way: everything ends.
    pub(super) fn cancel_upgrade(&mut self) {
        match &self.upgrade {
            Upgrade::None => return,
            // Its end is the last of it.
            Upgrade::Trying(trial) => trial.kill(),
            Upgrade::Requested | Upgrade::Leaving { is_sent: false, .. } => self.upgrade = Upgrade::None,
            // The server goes already: another one ends everything in order.
            Upgrade::Leaving { .. } => return,
        }
        self.server_socket.send_refusal(ENDS);
    }

    /// Begins the upgrade that was asked for, and ends one whose time is over.
    pub(super) fn continue_upgrade(&mut self, configuration: &dyn Configuration) {
        match &mut self.upgrade {
            // The next program gets the earlier configuration, once its services are in force.
            Upgrade::Requested if self.is_unconfirmed => {}
            Upgrade::Leaving { until, is_sent: false } if self.is_unconfirmed => {
                // Its time begins when it is asked to end.
                *until = Some(Instant::now() + SERVER_LEAVE_TIME);
            }
            Upgrade::Requested => match self.start_trial(&configuration.text()) {
                Ok(trial) => self.upgrade = Upgrade::Trying(trial),
                Err(error) => self.refuse_upgrade(&format!("cannot try the new program: {error}")),
            },
            Upgrade::Trying(trial) => {
                trial.read();
                if trial.deadline.take_if(|deadline| Instant::now() >= *deadline).is_some() {
                    // Its end refuses the upgrade.
                    trial.kill();
                }
            }
            Upgrade::Leaving { until, is_sent } => {
                *is_sent = *is_sent || self.server_socket.send_leave();
                if until.take_if(|until| Instant::now() >= *until).is_some() {
                    error!("upgrade: the server does not end; it is killed");
                    if let Some(server) = self.server {
                        let _ = kill_process(server, RawSignal::KILL);
                    }
                }
            }
            Upgrade::None => {}
        }
    }

    fn start_trial(&self, configuration: &str) -> io::Result<Trial> {
        let legacy = memory_file::create(NAME, &encode(self, configuration, &mut |_| ()))?;
        let (output, writer) = io::pipe()?;
        rustix::io::ioctl_fionbio(&output, true)?;
        match fork::fork()? {
            Forked::Child => {
                fork::reset_signals();
                // What it starts ends with it.
                let _ = setpgid(None, None);
                let error = take_outputs(&writer).map_or_else(
                    |errno| errno.into(),
                    |()| {
                        fork::set_kept(&[legacy.as_raw_fd()], true);
                        execute(&variables(TRIAL_VARIABLE, &legacy, false))
                    },
                );
                let _ = writeln!(io::stdout(), "{}", Reason::from(&error));
                fork::exit_now(1);
            }
            Forked::Parent(pid) => {
                let deadline = Some(Instant::now() + UPGRADE_TRIAL_TIME);
                Ok(Trial { pid, output: Some(output), text: Vec::new(), deadline })
            }
        }
    }

    /// Handles the exit of a child. Returns false if it is not the program that is tried.
    pub(super) fn end_trial(&mut self, pid: Pid, exit: Exit) -> bool {
        let Upgrade::Trying(trial) = &mut self.upgrade else { return false };
        if trial.pid != pid {
            return false;
        }
        trial.read();
        trial.kill_rest();
        if self.ending_since.is_some() || self.is_server_ending {
            self.upgrade = Upgrade::None;
            return true;
        }
        let text = String::from_utf8_lossy(&trial.text);
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let first = lines.next().unwrap_or_default();
        if exit == Exit::Code(0) && first == TITLE {
            self.leave();
            return true;
        }
        let reason = match (first, exit) {
            _ if trial.deadline.is_none() => {
                format!("it has not ended after {} s", UPGRADE_TRIAL_TIME.as_secs())
            }
            ("" | TITLE, exit) => format!("it says nothing: {}", LastExit::from(exit)),
            (line, _) => line.to_owned(),
        };
        self.refuse_upgrade(&format!("{}: {reason}", path().display()));
        true
    }

    fn refuse_upgrade(&mut self, reason: &str) {
        self.upgrade = Upgrade::None;
        error!("upgrade: nothing changes: {}", reason);
        self.server_socket.send_refusal(reason);
    }

    /// Lets the server go: it closes its connections, and ends.
    fn leave(&mut self) {
        info!("upgrade: the new program can take over");
        self.upgrade = Upgrade::Leaving { until: Some(Instant::now() + SERVER_LEAVE_TIME), is_sent: false };
    }

    /// Returns true while the server goes for an upgrade, or has gone.
    pub(super) fn is_leaving(&self) -> bool {
        matches!(self.upgrade, Upgrade::Leaving { .. })
    }

    /// Returns true if the server has gone for an upgrade. The next program knows of no change: where the server has died
    /// before its own was in force, or gone, another server of this program settles that first.
    pub(super) fn has_left(&mut self) -> bool {
        if let (Upgrade::Leaving { until, is_sent }, true) = (&mut self.upgrade, self.is_unconfirmed) {
            (*until, *is_sent) = (Some(Instant::now() + SERVER_LEAVE_TIME), false);
            return false;
        }
        self.is_leaving()
    }

    /// Executes the new program in place of this one, after the server has gone. It returns if that fails, or if a
    /// signal has asked for the end of everything: the server is started again then.
    pub(super) fn execute(&mut self, configuration: &str) {
        self.upgrade = Upgrade::None;
        if self.ending_since.is_some() {
            return;
        }
        self.slots.iter_mut().for_each(Slot::end_unfinished);
        let mut kept = Vec::new();
        let text = encode(self, configuration, &mut |fd| kept.push(fd.as_raw_fd()));
        let error = match memory_file::create(NAME, &text) {
            Ok(legacy) => {
                kept.push(legacy.as_raw_fd());
                fork::set_kept(&kept, true);
                let variables = variables(VARIABLE, &legacy, self.is_slot_good());
                let error = execute(&variables);
                fork::set_kept(&kept, false);
                error
            }
            Err(error) => error,
        };
        error!(
            "upgrade: cannot execute {}: {}; the old program goes on",
            path().display(),
            Reason::from(&error)
        );
    }
}

/// Makes a pipe the output of this process, and gives it an empty input.
fn take_outputs(writer: &PipeWriter) -> Result<(), Errno> {
    dup2_stdin(open("/dev/null", OFlags::RDONLY, Mode::empty())?)?;
    dup2_stdout(writer)?;
    dup2_stderr(writer)
}

/// Executes the new program in place of this one, with its arguments. Returns the error.
fn execute(variables: &[(OsString, OsString)]) -> io::Error {
    let variables = variables.iter().map(|(name, value)| (name, value));
    Command::new(path()).arguments(std::env::args_os()).variables(variables).execute()
}

/// Environment of this program, with the descriptor of a legacy, and the state of a slot that is good by now.
fn variables(variable: &'static str, legacy: &File, is_slot_good: bool) -> Vec<(OsString, OsString)> {
    let others = [VARIABLE, TRIAL_VARIABLE, BOARD_VARIABLE];
    let own = std::env::vars_os().filter(|(name, _)| others.iter().all(|other| name != other));
    let legacy = (variable.into(), legacy.as_raw_fd().to_string().into());
    let mut all: Vec<_> = own.chain([legacy, (BOARD_VARIABLE.into(), BOARD.into())]).collect();
    let state = all.iter_mut().find(|(name, _)| is_slot_good && name == SLOT_STATE_VARIABLE);
    if let Some((_, state)) = state {
        *state = "good".into();
    }
    all
}

/// Path of the program, as it was called: a later one has taken its place, or that of a link to it.
fn path() -> PathBuf {
    let name = std::env::args_os().next().unwrap_or_default();
    if name.as_bytes().contains(&b'/') {
        return name.into();
    }
    let directories = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&directories).map(|path| path.join(&name)).find(|path| path.is_file());
    found.or_else(|| std::env::current_exe().ok()).unwrap_or_else(|| name.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legacy_is_that_of_this_process_alone() {
        assert!(Legacy::of_this_process().unwrap().is_none());
    }
}
