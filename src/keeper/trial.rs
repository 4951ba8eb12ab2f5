//! Progress of an upgrade, and the new program while it is tried.

use std::io::{PipeReader, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::UPGRADE_OUTPUT_BYTES;
use super::group::Group;
use super::relay::RETRY;

/// Progress of an upgrade.
#[derive(Debug)]
pub(super) enum Upgrade {
    /// None is under way.
    None,
    /// A client or a signal asks for one.
    Requested,
    /// The new program is tried.
    Trying(Trial),
    /// The server goes, until this time. `None`: it is killed.
    Leaving { until: Option<Instant>, is_sent: bool },
}

/// New program that is tried.
#[derive(Debug)]
pub(super) struct Trial {
    pub(super) pid: Pid,
    /// `None`: it has closed its output.
    pub(super) output: Option<PipeReader>,
    /// Beginning of the output.
    pub(super) text: Vec<u8>,
    /// `None`: it is killed.
    pub(super) deadline: Option<Instant>,
}

impl Upgrade {
    /// Time until something is due.
    pub(super) fn pause(&self) -> Option<Duration> {
        let due = match self {
            Self::None => None,
            Self::Requested => return Some(Duration::ZERO),
            Self::Trying(trial) => trial.deadline,
            Self::Leaving { is_sent: false, .. } => return Some(RETRY),
            Self::Leaving { until, .. } => *until,
        };
        due.map(|due| due.saturating_duration_since(Instant::now()))
    }

    /// Process of the program that is tried.
    pub(super) fn pid(&self) -> Option<Pid> {
        match self {
            Self::Trying(trial) => Some(trial.pid),
            _ => None,
        }
    }

    /// Output of the program that is tried.
    pub(super) fn pipe(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Trying(trial) => trial.output.as_ref().map(|output| output.as_fd()),
            _ => None,
        }
    }
}

impl Trial {
    /// Kills it, with what it has started.
    pub(super) fn kill(&self) {
        let _ = kill_process(self.pid, Signal::KILL);
        let _ = kill_process_group(self.pid, Signal::KILL);
    }

    /// Kills what it has started, after its end.
    pub(super) fn kill_rest(&self) {
        if !Group::reaped(self.pid).is_empty() {
            let _ = kill_process_group(self.pid, Signal::KILL);
        }
    }

    /// Reads its output, and keeps the beginning. Closes it at its end: it would be ready all the time.
    pub(super) fn read(&mut self) {
        let mut bytes = [0; 256];
        while let Some(output) = &mut self.output {
            match output.read(&mut bytes) {
                Ok(0) => self.output = None,
                Ok(count) => {
                    let room = UPGRADE_OUTPUT_BYTES.saturating_sub(self.text.len());
                    self.text.extend(bytes.iter().take(count.min(room)));
                }
                Err(_) => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write as _};

    use super::*;

    #[test]
    fn output_of_a_trial_is_cut_at_its_limit() {
        let (output, mut writer) = io::pipe().unwrap();
        rustix::io::ioctl_fionbio(&output, true).unwrap();
        let mut trial = Trial { pid: Pid::INIT, output: Some(output), text: Vec::new(), deadline: None };
        writer.write_all(&[b'a'; UPGRADE_OUTPUT_BYTES - 1]).unwrap();
        trial.read();
        assert_eq!(trial.text.len(), UPGRADE_OUTPUT_BYTES - 1);
        writer.write_all(b"bc").unwrap();
        trial.read();
        assert!(trial.text.len() == UPGRADE_OUTPUT_BYTES && trial.text.ends_with(b"ab"));
        // The rest is read nevertheless: its writer must not wait.
        writer.write_all(&[b'd'; 60_000]).unwrap();
        trial.read();
        writer.write_all(&[b'd'; 60_000]).unwrap();
        assert_eq!(trial.text.len(), UPGRADE_OUTPUT_BYTES);
    }
}
