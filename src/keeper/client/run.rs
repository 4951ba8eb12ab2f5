//! Runs of named commands, and of the programs of health checks.

use std::cell::{Cell, Ref};
use std::fmt;
use std::rc::Rc;
use std::time::Instant;

use super::super::output::{HeadBuffer, Output};
#[cfg(doc)]
use super::Processes;
use crate::limits::COMMAND_OUTPUT_BYTES;
use crate::service::{Attempt, Exit, SpawnError};
use crate::session::UserId;

/// Reason for not running a named command.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RunError {
    /// `limits::SERVICE_COMMAND_RUNS` commands run, or have outcomes that are not polled; or the user has no share left.
    Full,
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("too many commands at once"),
        }
    }
}

impl std::error::Error for RunError {}

/// State of a [`RunSlot`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum RunState {
    Free,
    Running,
    Done(RunEnd),
    /// Borrowed by a [`CommandDone`].
    Polled,
}

/// End of a named command.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RunEnd {
    /// Its program exited.
    Exited(Exit),
    /// Its program could not be started.
    Failed(SpawnError),
}

/// Receiver of the outcome of a run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RunOwner {
    /// The call with the ticket of [`Processes::run_command`].
    Call(u64),
    /// The attempt of [`Processes::run_check`].
    Check(Attempt),
}

/// Process and output of one run of a named command.
#[derive(Debug)]
pub(super) struct RunSlot {
    pub(super) output: Output<HeadBuffer>,
    pub(super) state: Cell<RunState>,
    /// The keeper has processes of this slot.
    pub(super) is_kept: Cell<bool>,
    pub(super) owner: Cell<RunOwner>,
    /// User who has a share of the runs; an administrator has none.
    pub(super) user: Cell<Option<UserId>>,
    pub(super) deadline: Cell<Option<Instant>>,
    pub(super) timed_out: Cell<bool>,
}

impl RunSlot {
    pub(super) fn new() -> Self {
        Self {
            output: Output::new(HeadBuffer::new(COMMAND_OUTPUT_BYTES), Rc::default()),
            state: Cell::new(RunState::Free),
            is_kept: Cell::new(false),
            owner: Cell::new(RunOwner::Call(0)),
            user: Cell::new(None),
            deadline: Cell::new(None),
            timed_out: Cell::new(false),
        }
    }

    /// Returns true if a new run may use the slot.
    pub(super) fn is_free(&self) -> bool {
        self.state.get() == RunState::Free && !self.is_kept.get()
    }

    /// Outcome of an ended run, once.
    pub(super) fn poll_done(&self) -> Option<CommandDone<'_>> {
        let RunState::Done(end) = self.state.get() else { return None };
        self.state.set(RunState::Polled);
        Some(CommandDone { run: self, end })
    }
}

/// Outcome of a named command. Its slot is free again when this is dropped.
#[derive(Debug)]
pub struct CommandDone<'a> {
    run: &'a RunSlot,
    end: RunEnd,
}

impl CommandDone<'_> {
    /// Receiver of the outcome.
    pub fn owner(&self) -> RunOwner {
        self.run.owner.get()
    }

    /// End of the program.
    pub fn end(&self) -> RunEnd {
        self.end
    }

    /// Returns true if it was killed after `COMMAND_TIMEOUT`, or the timeout of its check.
    pub fn timed_out(&self) -> bool {
        self.run.timed_out.get()
    }

    /// Returns true if output beyond `limits::COMMAND_OUTPUT_BYTES` was dropped.
    pub fn is_cut(&self) -> bool {
        self.run.output.buffer.borrow().is_cut()
    }

    /// Standard output and error, which may be any bytes.
    pub fn output(&self) -> Ref<'_, [u8]> {
        Ref::map(self.run.output.buffer.borrow(), HeadBuffer::bytes)
    }
}

impl Drop for CommandDone<'_> {
    fn drop(&mut self) {
        self.run.state.set(RunState::Free);
    }
}
