//! Legacy of a server to the server after it: the keeper has the processes, and stores what the server knew.

use core::time::Duration;

use super::{CheckId, EndReason, Exit, Program, SpawnError, State};
use crate::limits::{CHECKS, SERVICES};

/// Knowledge of a server about a service, a number of 24 bits.
///
/// The first eight have the form of the first version, which reads no others: a program and an earlier or later one read
/// each other's memos. A bit that a program does not know counts as 0.
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
    /// A program of the service was started, and the server does not know its end.
    pub is_busy: bool,
    /// Fault for which the server ended the latest run. [`EndReason::Stopped`]: which one it was is not known.
    pub fault: Option<EndReason>,
    /// Required service that is the reason of its end.
    pub required: Option<Requirement>,
}

/// Service that another one requires, and that is the reason of its end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Requirement {
    /// Place in `requires`.
    pub index: u8,
    /// It does not run, or else is not ready in time.
    pub is_down: bool,
}

/// Bits of a memo beside the number of its state. A number without the last one is none.
const WANTED: u32 = 1 << 3;
const READY: u32 = 1 << 4;
const BY_POLICY: u32 = 1 << 5;
const FAULT: u32 = 1 << 6;
const KNOWN: u32 = 1 << 7;
const BUSY: u32 = 1 << 8;
/// First bits of the kind of the fault (1: watchdog, 2: longest run, 3: health check), of the number of the check, and of
/// the place in `requires` plus one. A kind without a fault: the required service is not ready, rather than down.
const KIND: u32 = 9;
const CHECK: u32 = 11;
const REQUIRED: u32 = 17;

const _: () = assert!(CHECKS <= 1 << (REQUIRED - CHECK) && SERVICES < 1 << (24 - REQUIRED), "they have room");

impl Memo {
    /// Memo of a process whose server ended before it stored one.
    pub const UNKNOWN: Self = Self {
        state: State::Started,
        is_wanted: true,
        is_ready: false,
        is_by_policy: true,
        is_busy: true,
        fault: None,
        required: None,
    };

    /// Encodes the memo; never 0.
    pub fn encode(self) -> u32 {
        let flag = |is_set, bit| if is_set { bit } else { 0 };
        let (kind, check) = match self.fault {
            Some(EndReason::Watchdog) => (1, 0),
            Some(EndReason::MaxRuntime) => (2, 0),
            Some(EndReason::Unhealthy(check)) => (3, check.index() as u32),
            Some(_) => (0, 0),
            None => (u32::from(self.required.is_some_and(|required| !required.is_down)), 0),
        };
        let required = self.required.map_or(0, |required| u32::from(required.index) + 1);
        self.state as u32
            | flag(self.is_wanted, WANTED)
            | flag(self.is_ready, READY)
            | flag(self.is_by_policy, BY_POLICY)
            | flag(self.fault.is_some(), FAULT)
            | KNOWN
            | flag(self.is_busy, BUSY)
            | kind << KIND
            | check << CHECK
            | required << REQUIRED
    }

    /// Decodes a memo; `None` for a number that is none.
    pub fn decode(number: u32) -> Option<Self> {
        let state = State::ALL.into_iter().find(|state| *state as u32 == number & (WANTED - 1))?;
        let has = |flag| number & flag != 0;
        let kind = number >> KIND & 3;
        let fault = match kind {
            1 => EndReason::Watchdog,
            2 => EndReason::MaxRuntime,
            3 => CheckId::from_index((number >> CHECK & 63) as usize)
                .map_or(EndReason::Stopped, EndReason::Unhealthy),
            _ => EndReason::Stopped,
        };
        let memo = Self {
            state,
            is_wanted: has(WANTED),
            is_ready: has(READY),
            is_by_policy: has(BY_POLICY),
            is_busy: has(BUSY),
            fault: has(FAULT).then_some(fault),
            required: (number >> REQUIRED & 127)
                .checked_sub(1)
                .map(|place| Requirement { index: place as u8, is_down: has(FAULT) || kind == 0 }),
        };
        has(KNOWN).then_some(memo)
    }
}

/// Service as an earlier server left it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Inherited {
    /// Knowledge of that server.
    pub memo: Memo,
    /// Fate of the process.
    pub process: InheritedProcess,
    /// Program that was started last.
    pub program: Program,
    /// End of the last program but `finish`, which the earlier server may not know.
    pub ended: Option<Ended>,
}

/// End of `pre_start`, or of the program of the service.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ended {
    /// The program.
    pub program: Program,
    /// Its exit, or the reason why it could not be started.
    pub result: Result<Exit, SpawnError>,
    /// Length of its run.
    pub ran: Duration,
}

/// Process of a service that outlives its server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum InheritedProcess {
    /// No process.
    None,
    /// The program of the service, or its `finish`.
    Running {
        /// Leader of the process group.
        pid: u32,
        /// Time of its start, since the start of the first server.
        started: Duration,
    },
    /// Processes of an earlier keeper, whose server knew of them what is lost. Their end is reported.
    Left,
    /// The program has ended, and processes of its group are left, which may have something to save.
    Ending {
        /// They have the stop signal.
        is_signalled: bool,
    },
    /// A start that the keeper has ended. Its failure is reported.
    Aborted,
    /// Processes that the keeper has killed, because they were starting or ending. Their end is reported.
    Killed {
        /// Leader of the process group; 0 if it has ended.
        pid: u32,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memos_survive_their_encoding() {
        let check = |index| EndReason::Unhealthy(CheckId::from_index(index).unwrap());
        let faults = [
            None,
            Some(EndReason::Stopped),
            Some(EndReason::Watchdog),
            Some(EndReason::MaxRuntime),
            Some(check(0)),
            Some(check(CHECKS - 1)),
        ];
        for state in State::ALL {
            for flags in 0..16 {
                let [is_wanted, is_ready, is_by_policy, is_busy] = [1, 2, 4, 8].map(|flag| flags & flag != 0);
                for fault in faults {
                    let required_of = |(index, is_down)| Requirement { index, is_down };
                    let last = SERVICES as u8 - 1;
                    // One that is late is the reason before a run, which has no fault.
                    let is_late = fault.is_some();
                    for required in
                        [None, Some((0, true)), Some((last, true)), Some((0, is_late)), Some((last, is_late))]
                    {
                        let required = required.map(required_of);
                        let memo =
                            Memo { state, is_wanted, is_ready, is_by_policy, is_busy, fault, required };
                        let number = memo.encode();
                        assert_eq!(Memo::decode(number), Some(memo));
                        assert!(number < 1 << 24, "{number:x}");
                        assert_eq!(number as u8, first_form(memo), "{memo:?}");
                    }
                }
            }
        }
        for number in [0, 1, KNOWN | 7, WANTED, BUSY] {
            assert_eq!(Memo::decode(number), None, "{number:b}");
        }
    }

    /// Byte of the first version.
    fn first_form(memo: Memo) -> u8 {
        let flags = [memo.is_wanted, memo.is_ready, memo.is_by_policy, memo.fault.is_some(), true];
        let flags = flags.into_iter().enumerate();
        flags.fold(memo.state as u8, |byte, (bit, is_set)| byte | u8::from(is_set) << (bit + 3))
    }

    #[test]
    fn memo_of_an_earlier_or_a_later_version_is_read() {
        let known = Memo { state: State::Stopping, fault: Some(EndReason::MaxRuntime), ..Memo::UNKNOWN };
        let earlier = Memo { fault: Some(EndReason::Stopped), is_busy: false, ..known };
        assert_eq!(Memo::decode(u32::from(known.encode() as u8)), Some(earlier));
        assert_eq!(Memo::decode(known.encode() | 0xFF << 24), Some(known));
    }
}
