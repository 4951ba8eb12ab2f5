//! Legacy of a server to the server after it: the keeper has the processes, and stores what the server knew.

use core::time::Duration;

use super::{Exit, State};

/// Knowledge of a server about a service, a byte.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Memo {
    /// State of the service.
    pub state: State,
    /// A process, or the success of a one-shot, is desired.
    pub is_wanted: bool,
    /// The process is ready.
    pub is_ready: bool,
    /// The restart policy decides after its end, and no command.
    pub is_by_policy: bool,
    /// The server ended it for a fault: a watchdog, a check, or the time for a run.
    pub has_fault: bool,
}

/// Bits of a memo beside the number of its state. A byte without the last one is none.
const WANTED: u8 = 1 << 3;
const READY: u8 = 1 << 4;
const BY_POLICY: u8 = 1 << 5;
const FAULT: u8 = 1 << 6;
const KNOWN: u8 = 1 << 7;

impl Memo {
    /// Memo of a process whose server ended before it stored one.
    pub const UNKNOWN: Self = Self {
        state: State::Started,
        is_wanted: true,
        is_ready: false,
        is_by_policy: true,
        has_fault: false,
    };

    /// Encodes the memo; never 0.
    pub fn encode(self) -> u8 {
        let flag = |is_set, bit| if is_set { bit } else { 0 };
        let decision = flag(self.is_by_policy, BY_POLICY) | flag(self.has_fault, FAULT);
        self.state as u8 | flag(self.is_wanted, WANTED) | flag(self.is_ready, READY) | decision | KNOWN
    }

    /// Decodes a memo; `None` for a byte that is none.
    pub fn decode(byte: u8) -> Option<Self> {
        let state = State::ALL.into_iter().find(|state| *state as u8 == byte & (WANTED - 1))?;
        let has = |flag| byte & flag != 0;
        let memo = Self {
            state,
            is_wanted: has(WANTED),
            is_ready: has(READY),
            is_by_policy: has(BY_POLICY),
            has_fault: has(FAULT),
        };
        (memo.encode() == byte).then_some(memo)
    }
}

/// Service as an earlier server left it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Inherited {
    /// Knowledge of that server.
    pub memo: Memo,
    /// Fate of the process.
    pub process: InheritedProcess,
}

/// Process of a service that outlives its server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum InheritedProcess {
    /// No process. The exit of the last one, which the earlier server may not have read.
    None(Option<Exit>),
    /// The program of the service.
    Running {
        /// Leader of the process group.
        pid: u32,
        /// Time of its start, since the start of the first server.
        started: Duration,
    },
    /// `finish` of the service, whose own program has ended with this exit.
    Finishing {
        /// Leader of the process group.
        pid: u32,
        /// Exit of the service.
        exit: Exit,
    },
    /// Processes of an earlier keeper, whose server knew of them what is lost. Their end is reported.
    Left,
    /// The program has ended, and processes of its group are left, which may have something to save.
    Ending {
        /// Exit of the program.
        exit: Exit,
        /// They have the stop signal.
        is_signalled: bool,
    },
    /// A start that the keeper has ended. Its failure is reported.
    Aborted {
        /// Exit of the service, if it was the start of `finish`.
        exit: Option<Exit>,
    },
    /// Processes that the keeper has killed, because they were starting or ending. Their end is reported.
    Killed {
        /// Leader of the process group; 0 if it has ended.
        pid: u32,
        /// Exit of the leader, if it has been reported already.
        exit: Option<Exit>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memos_survive_their_encoding() {
        for state in State::ALL {
            for flags in 0..16 {
                let [is_wanted, is_ready, is_by_policy, has_fault] =
                    [1, 2, 4, 8].map(|flag| flags & flag != 0);
                let memo = Memo { state, is_wanted, is_ready, is_by_policy, has_fault };
                assert_eq!(Memo::decode(memo.encode()), Some(memo));
            }
        }
        for byte in [0, 1, KNOWN | 7, WANTED] {
            assert_eq!(Memo::decode(byte), None, "{byte:b}");
        }
    }
}
