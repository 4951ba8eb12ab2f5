//! The program that ends the machine, where friendlet is not its init.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{Access, access};
use rustix::io::Errno;

use super::process::PATH;
use crate::service::{Arguments, Exit};

/// Step at which the program is looked after.
const STEP: Duration = Duration::from_millis(20);

/// Whether this program can be started, as far as can be told without starting it.
///
/// # Errors
/// The system's number: 38 (`ENOSYS`) when there is none, 2 (`ENOENT`) when it is not there, 13
/// (`EACCES`) when it cannot be executed.
pub fn check(argv: &Arguments) -> Result<(), i32> {
    let program = argv.first().ok_or(Errno::NOSYS.raw_os_error())?;
    access(program, Access::EXEC_OK).map_err(Errno::raw_os_error)
}

/// Runs a program to its end, and no longer than `patience`: then it is killed. It has no input, and
/// writes where the server does.
///
/// # Errors
/// Those of starting it, and `TimedOut`.
pub fn run(argv: &Arguments, patience: Duration) -> io::Result<Exit> {
    let mut arguments = argv.iter();
    let mut command = Command::new(arguments.next().ok_or(io::ErrorKind::InvalidInput)?);
    command.args(arguments).env_clear().env("PATH", PATH).current_dir("/").stdin(Stdio::null());
    let mut child = command.spawn()?;
    let deadline = Instant::now() + patience;
    loop {
        if let Some(status) = child.try_wait()? {
            let signal = status.signal().map(Exit::Signal);
            return Ok(status.code().map(Exit::Code).or(signal).unwrap_or(Exit::Code(0)));
        }
        if Instant::now() >= deadline {
            return Err(give_up(&mut child));
        }
        thread::sleep(STEP);
    }
}

fn give_up(child: &mut Child) -> io::Error {
    // It may have ended just now; either way it took too long.
    let _ = child.kill();
    let _ = child.wait();
    io::ErrorKind::TimedOut.into()
}

#[cfg(test)]
mod tests {
    use std::sync::{MutexGuard, PoisonError};

    use super::super::process::tests::CHILDREN;
    use super::*;

    /// Others reap every child of this process.
    fn turn() -> MutexGuard<'static, ()> {
        CHILDREN.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn argv(words: &[&str]) -> Arguments {
        let mut argv = Arguments::new();
        words.iter().for_each(|word| argv.push(word).unwrap());
        argv
    }

    #[test]
    fn program_has_to_be_there() {
        assert_eq!(check(&argv(&["/bin/sh"])), Ok(()));
        assert_eq!(check(&argv(&[])), Err(38));
        assert_eq!(check(&argv(&["/nonexistent/reboot"])), Err(2));
        assert_eq!(check(&argv(&["/proc/version"])), Err(13));
    }

    #[test]
    fn end_is_told() {
        let _turn = turn();
        let run = |words: &[&str]| run(&argv(words), Duration::from_secs(60));
        assert_eq!(run(&["/bin/sh", "-c", "exit 3"]).unwrap(), Exit::Code(3));
        assert_eq!(run(&["/bin/sh", "-c", "kill -9 $$"]).unwrap(), Exit::Signal(9));
        assert_eq!(run(&["/nonexistent/reboot"]).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(run(&[]).is_err());
    }

    #[test]
    fn program_has_its_time_and_no_more() {
        let _turn = turn();
        let sleeper = argv(&["/bin/sleep", "0.3"]);
        assert_eq!(run(&sleeper, crate::sys::BOARD_COMMAND_TIMEOUT).unwrap(), Exit::Code(0));
        let error = run(&argv(&["/bin/sleep", "1000"]), Duration::from_millis(100)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
