//! Processes that are started and ended: the least that a supervisor can take for that.

use std::process::Command;
use std::thread;

use crate::{Error, Options};

/// Starts the program named by `--message`, by posix_spawn(3), and ends it, with a pause after each.
pub(crate) fn run(options: &Options) -> Result<(), Error> {
    let mut words = options.message.split_whitespace();
    let program = words.next().ok_or("--message PROGRAM is missing")?;
    let arguments: Vec<&str> = words.collect();
    for _ in 0..options.messages {
        let mut child = Command::new(program).args(&arguments).env_clear().spawn()?;
        thread::sleep(options.pause);
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        child.wait()?;
        thread::sleep(options.pause);
    }
    Ok(())
}
