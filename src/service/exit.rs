//! Ends of processes: exit status, last exit, and the history of a service.

use core::fmt;
use core::time::Duration;

use heapless::Deque;

use super::{CheckId, SERVICE_HISTORY, SpawnError};

/// Exit status of a process.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Exit {
    /// Exit code.
    Code(i32),
    /// Termination by a signal.
    Signal {
        /// Number of the signal.
        signal: i32,
        /// The process left a core dump.
        core: bool,
        /// The kernel killed the process because memory ran out.
        oom: bool,
    },
}

impl Exit {
    /// Termination by this signal, without a core dump.
    pub const fn signal(signal: i32) -> Self {
        Self::Signal { signal, core: false, oom: false }
    }
}

/// Exit status of a service's latest process, or the reason why it could not be started.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum LastExit {
    /// No process has exited yet.
    #[default]
    None,
    /// Exit code.
    Code(i32),
    /// Termination by a signal, as in [`Exit::Signal`].
    Signal {
        /// Number of the signal.
        signal: i32,
        /// The process left a core dump.
        core: bool,
        /// The kernel killed the process because memory ran out.
        oom: bool,
    },
    /// The process could not be started.
    Spawn(SpawnError),
    /// A required service is not up.
    Required {
        /// Its index in `requires`.
        index: u8,
        /// It does not run; else it runs and is not ready in time.
        is_down: bool,
    },
    /// The process ran longer than `max_runtime_s`, these seconds, and was stopped.
    Overran(u32),
    /// `pre_start` failed, and with it the start.
    PreStart(PreStartFailure),
}

/// Failure of `pre_start`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PreStartFailure {
    /// It ended without success.
    Exit(Exit),
    /// It could not be started.
    Spawn(SpawnError),
    /// It ran longer than `ready_timeout_s`, these seconds, and was stopped.
    Overran(u32),
}

impl LastExit {
    /// Termination by this signal, without a core dump.
    pub const fn signal(signal: i32) -> Self {
        Self::Signal { signal, core: false, oom: false }
    }
}

impl From<Exit> for LastExit {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Code(code) => Self::Code(code),
            Exit::Signal { signal, core, oom } => Self::Signal { signal, core, oom },
        }
    }
}

impl From<PreStartFailure> for LastExit {
    fn from(failure: PreStartFailure) -> Self {
        match failure {
            PreStartFailure::Exit(exit) => exit.into(),
            PreStartFailure::Spawn(error) => Self::Spawn(error),
            PreStartFailure::Overran(seconds) => Self::Overran(seconds),
        }
    }
}

/// State of a required service that is not up, in words.
pub(super) fn lack(is_down: bool) -> &'static str {
    if is_down { "does not run" } else { "is not ready" }
}

impl fmt::Display for LastExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::None => Ok(()),
            Self::Code(code) => write!(f, "exit {code}"),
            Self::Signal { signal, core, oom } => {
                write!(f, "signal {signal}")?;
                f.write_str(if core { " (core dumped)" } else { "" })?;
                f.write_str(if oom { " (out of memory)" } else { "" })
            }
            Self::Spawn(error) => error.fmt(f),
            Self::Required { is_down, .. } => write!(f, "a required service {}", lack(is_down)),
            Self::PreStart(failure) => write!(f, "pre_start: {}", Self::from(failure)),
            Self::Overran(seconds) => write!(f, "ran longer than {seconds} s"),
        }
    }
}

/// Reason why a run ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum EndReason {
    /// The process exited on its own.
    Exited,
    /// A command or the shutdown stopped it.
    Stopped,
    /// It was to stop, did not in time, and was killed.
    Killed,
    /// Its watchdog expired, and it was killed.
    Watchdog,
    /// It ran longer than `max_runtime_s`, and was stopped.
    MaxRuntime,
    /// This check was failing, and it was stopped.
    Unhealthy(CheckId),
    /// It could not be started.
    SpawnFailed,
}

impl EndReason {
    /// Name for people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Exited => "exited",
            Self::Stopped => "stopped",
            Self::Killed => "killed",
            Self::Watchdog => "watchdog",
            Self::MaxRuntime => "max runtime",
            Self::Unhealthy(_) => "unhealthy",
            Self::SpawnFailed => "spawn failed",
        }
    }
}

/// Run of a service that has ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PastRun {
    /// Time of the end, since the start of the server.
    pub ended: Duration,
    /// Length of the run; zero for a failed start.
    pub ran: Duration,
    /// Exit status of the process.
    pub exit: LastExit,
    /// Reason of the end.
    pub reason: EndReason,
}

/// The newest `SERVICE_HISTORY` ends of a service.
#[derive(Clone, Debug)]
pub(super) struct History {
    runs: Deque<PastRun, SERVICE_HISTORY>,
}

impl History {
    pub(super) const NEW: Self = Self { runs: Deque::new() };

    /// Adds an end; the oldest is dropped if there are too many.
    pub(super) fn push(&mut self, run: PastRun) {
        if self.runs.is_full() {
            self.runs.pop_front();
        }
        let is_stored = self.runs.push_back(run).is_ok();
        debug_assert!(is_stored, "there is room after the oldest is dropped");
    }

    /// Number of ends.
    pub(super) fn len(&self) -> u32 {
        self.runs.len() as u32
    }

    /// Ends, the oldest first.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = PastRun> {
        self.runs.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::super::SpawnStage;
    use super::*;

    #[test]
    fn last_exit_as_text() {
        assert_eq!(LastExit::None.to_string(), "");
        assert_eq!(LastExit::from(Exit::Code(1)).to_string(), "exit 1");
        assert_eq!(LastExit::from(Exit::signal(9)).to_string(), "signal 9");
        let dumped = Exit::Signal { signal: 11, core: true, oom: false };
        assert_eq!(LastExit::from(dumped).to_string(), "signal 11 (core dumped)");
        let killed = Exit::Signal { signal: 9, core: false, oom: true };
        assert_eq!(LastExit::from(killed).to_string(), "signal 9 (out of memory)");
        let error = SpawnError::new(SpawnStage::Program, 2);
        assert_eq!(LastExit::Spawn(error).to_string(), "cannot start: No such file or directory (errno 2)");
        let required = |is_down| LastExit::Required { index: 0, is_down }.to_string();
        assert_eq!(required(true), "a required service does not run");
        assert_eq!(required(false), "a required service is not ready");
        let failures = [
            PreStartFailure::Exit(Exit::Code(1)),
            PreStartFailure::Spawn(error),
            PreStartFailure::Overran(5),
        ];
        let texts = failures.map(|failure| LastExit::PreStart(failure).to_string());
        assert_eq!(texts[0], "pre_start: exit 1");
        assert_eq!(texts[1], "pre_start: cannot start: No such file or directory (errno 2)");
        assert_eq!(texts[2], "pre_start: ran longer than 5 s");
    }

    #[test]
    fn reasons_of_an_end_are_words() {
        use EndReason::*;
        let check = CheckId::from_index(0).unwrap();
        let reasons = [Exited, Stopped, Killed, Watchdog, MaxRuntime, Unhealthy(check), SpawnFailed];
        let words = reasons.map(EndReason::word);
        assert_eq!(words[..4], ["exited", "stopped", "killed", "watchdog"]);
        assert_eq!(words[4..], ["max runtime", "unhealthy", "spawn failed"]);
    }

    #[test]
    fn history_up_to_its_limit_drops_the_oldest() {
        let mut history = History::NEW;
        for second in 0..SERVICE_HISTORY as u64 + 1 {
            let ended = Duration::from_secs(second);
            history.push(PastRun {
                ended,
                ran: Duration::ZERO,
                exit: LastExit::Code(0),
                reason: EndReason::Exited,
            });
        }
        let ends: Vec<u64> = history.iter().map(|run| run.ended.as_secs()).collect();
        assert_eq!(ends, [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!((ends.len(), history.len()), (SERVICE_HISTORY, 8));
    }
}
