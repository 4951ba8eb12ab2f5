//! Progress of an upgrade, and the new program while it is tried.

use std::io::{PipeReader, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::UPGRADE_OUTPUT_BYTES;

/// Pause before the server, whose socket has no room, is asked again.
const RETRY: Duration = Duration::from_millis(50);

/// Progress of an upgrade.
#[derive(Debug)]
pub(super) enum Upgrade {
    /// None is under way.
    None,
    /// A client or a signal asks for one.
    Requested,
    /// The new program is tried.
    Trying(Trial),
    /// The server goes, until this time.
    Leaving { until: Instant, is_sent: bool },
}

/// New program that is tried.
#[derive(Debug)]
pub(super) struct Trial {
    pub(super) pid: Pid,
    pub(super) output: PipeReader,
    /// Beginning of the output.
    pub(super) text: Vec<u8>,
    pub(super) deadline: Instant,
}

impl Upgrade {
    /// Time until something is due.
    pub(super) fn pause(&self) -> Option<Duration> {
        let due = match self {
            Self::None => return None,
            Self::Requested => return Some(Duration::ZERO),
            Self::Trying(trial) => trial.deadline,
            Self::Leaving { is_sent: false, .. } => return Some(RETRY),
            Self::Leaving { until, .. } => *until,
        };
        Some(due.saturating_duration_since(Instant::now()))
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
            Self::Trying(trial) => Some(trial.output.as_fd()),
            _ => None,
        }
    }
}

impl Trial {
    /// Kills it, with what it has started.
    pub(super) fn kill(&self) {
        let _ = kill_process(self.pid, Signal::KILL);
        self.kill_rest();
    }

    /// Kills what it has started.
    pub(super) fn kill_rest(&self) {
        let _ = kill_process_group(self.pid, Signal::KILL);
    }

    /// Reads its output, and keeps the beginning.
    pub(super) fn read(&mut self) {
        let mut bytes = [0; 256];
        while let Ok(count @ 1..) = self.output.read(&mut bytes) {
            let room = UPGRADE_OUTPUT_BYTES.saturating_sub(self.text.len());
            self.text.extend(bytes.iter().take(count.min(room)));
        }
    }
}

/// A time that does not come.
pub(super) fn far() -> Instant {
    Instant::now() + Duration::from_secs(3600)
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write as _};

    use super::*;

    #[test]
    fn output_of_a_trial_is_cut_at_its_limit() {
        let (output, mut writer) = io::pipe().unwrap();
        rustix::io::ioctl_fionbio(&output, true).unwrap();
        let mut trial = Trial { pid: Pid::INIT, output, text: Vec::new(), deadline: far() };
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
