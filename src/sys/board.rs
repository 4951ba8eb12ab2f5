//! Program that restarts or powers off the machine, where friendlet is not its init.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{Access, access};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

use super::PATH;
use super::program::{Command, Surroundings, try_wait, wait};
use crate::service::{Arguments, Exit};

/// Variable that `friendlet init` sets to `1` for the server and its keeper.
pub const INIT_VARIABLE: &str = "FRIENDLET_INIT";
/// Variable with the state of the running slot: `testing`, `confirmed` or `good`.
pub const SLOT_STATE_VARIABLE: &str = "FRIENDLET_SLOT_STATE";
/// Variable that is `memory` if the data partition is not mounted, so that changes are lost when the board restarts.
pub const DATA_VARIABLE: &str = "FRIENDLET_DATA";

/// Returns true if the process was started by `friendlet init`, which shuts the board down on request.
pub fn has_init() -> bool {
    std::env::var_os(INIT_VARIABLE).is_some_and(|value| value == "1")
}

/// Variable that `friendlet init` sets to `1` if it can reset the board to the state of its image.
pub const RESET_VARIABLE: &str = "FRIENDLET_FACTORY_RESET";

/// Returns true if the process was started by a `friendlet init` that can do a factory reset.
pub fn can_reset() -> bool {
    has_init() && std::env::var_os(RESET_VARIABLE).is_some_and(|value| value == "1")
}

/// Interval of the checks for an exit.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Checks that a program exists and is executable, without starting it.
///
/// # Errors
/// Error number of the system: 38 (`ENOSYS`) without a program, 2 (`ENOENT`) if it does not exist, 13
/// (`EACCES`) if it cannot be executed.
pub fn check(argv: &Arguments) -> Result<(), i32> {
    let program = argv.first().ok_or(Errno::NOSYS.raw_os_error())?;
    access(program, Access::EXEC_OK).map_err(Errno::raw_os_error)
}

/// Runs a program until it exits, and kills it after `timeout`. It has no input, and inherits the
/// output of the server.
///
/// # Errors
/// Error of the start, or `TimedOut`.
pub fn run(argv: &Arguments, timeout: Duration) -> io::Result<Exit> {
    let mut command = Command::new(argv.first().ok_or(io::ErrorKind::InvalidInput)?);
    let child = command.arguments(argv.iter()).variable("PATH", PATH).start(Surroundings::Own)?;
    let deadline = Instant::now() + timeout;
    loop {
        if let Some(exit) = try_wait(child)? {
            return Ok(exit);
        }
        if Instant::now() >= deadline {
            return Err(kill(child));
        }
        thread::sleep(POLL_INTERVAL);
    }
}

fn kill(child: Pid) -> io::Error {
    // Both fail if it has just exited, which is too late.
    let _ = kill_process(child, Signal::KILL);
    let _ = wait(child);
    io::ErrorKind::TimedOut.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::tests::lock_children;

    fn argv(words: &[&str]) -> Arguments {
        let mut argv = Arguments::new();
        words.iter().for_each(|word| argv.push(word).unwrap());
        argv
    }

    #[test]
    fn missing_program_is_reported() {
        assert_eq!(check(&argv(&["/bin/sh"])), Ok(()));
        assert_eq!(check(&argv(&[])), Err(38));
        assert_eq!(check(&argv(&["/nonexistent/reboot"])), Err(2));
        assert_eq!(check(&argv(&["/proc/version"])), Err(13));
    }

    #[test]
    fn exit_is_reported() {
        let _lock = lock_children();
        let run = |words: &[&str]| run(&argv(words), Duration::from_secs(60));
        assert_eq!(run(&["/bin/sh", "-c", "exit 3"]).unwrap(), Exit::Code(3));
        assert_eq!(run(&["/bin/sh", "-c", "kill -9 $$"]).unwrap(), Exit::signal(9));
        assert_eq!(run(&["/nonexistent/reboot"]).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(run(&[]).is_err());
    }

    #[test]
    fn program_is_killed_after_the_timeout() {
        let _lock = lock_children();
        let sleeper = argv(&["/bin/sleep", "0.3"]);
        assert_eq!(run(&sleeper, crate::sys::BOARD_COMMAND_TIMEOUT).unwrap(), Exit::Code(0));
        let error = run(&argv(&["/bin/sleep", "1000"]), Duration::from_millis(100)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
