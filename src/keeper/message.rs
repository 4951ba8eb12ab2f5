//! Messages between server and keeper: one datagram each, of a fixed size.
//!
//! | message | bytes |
//! |---|---|
//! | [`Request`] | kind, slot, and three bytes of the kind |
//! | [`Report`] | kind, slot, two bytes of the kind, pid, number; with [`Report::Started`] comes the pipe of the output |

use crate::service::{Exit, Scope, Signal, SpawnError, SpawnStage};

/// Size of a request.
pub(super) const REQUEST_BYTES: usize = 5;
/// Size of a report.
pub(super) const REPORT_BYTES: usize = 12;

/// Request of the server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Request {
    /// Start a program in a free slot: that of a service, or one of its named commands.
    Spawn { slot: u8, service: u8, command: Option<u8> },
    /// Signal the processes of a slot.
    Signal { slot: u8, signal: Signal, scope: Scope },
}

/// Report of the keeper.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Report {
    /// The program runs.
    Started { slot: u8, pid: u32 },
    /// The program could not be started. The slot is free again.
    StartFailed { slot: u8, error: SpawnError },
    /// The leader has exited. If nothing else of the slot is left, the slot is free again.
    Exited { slot: u8, exit: Exit, is_gone: bool },
    /// The last process of a slot has ended after its leader. The slot is free again.
    Gone { slot: u8 },
    /// A signal from outside has stopped the leader.
    Suspended { slot: u8 },
    /// A signal from outside has continued the leader.
    Resumed { slot: u8 },
}

/// Index of the program of a service among its commands.
const MAIN: u8 = u8::MAX;

impl Request {
    pub(super) fn encode(self) -> [u8; REQUEST_BYTES] {
        match self {
            Self::Spawn { slot, service, command } => [0, slot, service, command.unwrap_or(MAIN), 0],
            Self::Signal { slot, signal, scope } => [1, slot, signal as u8, scope as u8, 0],
        }
    }

    pub(super) fn decode(bytes: [u8; REQUEST_BYTES]) -> Option<Self> {
        Some(match bytes {
            [0, slot, service, command, _] => {
                Self::Spawn { slot, service, command: Some(command).filter(|command| *command != MAIN) }
            }
            [1, slot, signal, scope, _] => Self::Signal {
                slot,
                signal: Signal::ALL.into_iter().find(|known| *known as u8 == signal)?,
                scope: Scope::ALL.into_iter().find(|known| *known as u8 == scope)?,
            },
            _ => return None,
        })
    }
}

impl Report {
    pub(super) fn encode(self) -> [u8; REPORT_BYTES] {
        let (kind, slot, flags, stage, pid, number) = match self {
            Self::Started { slot, pid } => (0, slot, 0, 0, pid, 0),
            Self::StartFailed { slot, error } => (1, slot, error.item, error.stage as u8, 0, error.errno),
            Self::Exited { slot, exit: Exit::Code(code), is_gone } => {
                (2, slot, u8::from(is_gone), 0, 0, code)
            }
            Self::Exited { slot, exit: Exit::Signal { signal, core, oom }, is_gone } => {
                let flags = u8::from(is_gone) | 2 | u8::from(core) << 2 | u8::from(oom) << 3;
                (2, slot, flags, 0, 0, signal)
            }
            Self::Gone { slot } => (3, slot, 0, 0, 0, 0),
            Self::Suspended { slot } => (4, slot, 0, 0, 0, 0),
            Self::Resumed { slot } => (5, slot, 0, 0, 0, 0),
        };
        let [p0, p1, p2, p3] = pid.to_ne_bytes();
        let [n0, n1, n2, n3] = number.to_ne_bytes();
        [kind, slot, flags, stage, p0, p1, p2, p3, n0, n1, n2, n3]
    }

    pub(super) fn decode(bytes: [u8; REPORT_BYTES]) -> Option<Self> {
        let [kind, slot, flags, stage, p0, p1, p2, p3, n0, n1, n2, n3] = bytes;
        let pid = u32::from_ne_bytes([p0, p1, p2, p3]);
        let number = i32::from_ne_bytes([n0, n1, n2, n3]);
        Some(match kind {
            0 => Self::Started { slot, pid },
            1 => {
                let stage = SpawnStage::from_number(stage)?;
                Self::StartFailed { slot, error: SpawnError { stage, item: flags, errno: number } }
            }
            2 => {
                let exit = if flags & 2 == 0 {
                    Exit::Code(number)
                } else {
                    Exit::Signal { signal: number, core: flags & 4 != 0, oom: flags & 8 != 0 }
                };
                Self::Exited { slot, exit, is_gone: flags & 1 != 0 }
            }
            3 => Self::Gone { slot },
            4 => Self::Suspended { slot },
            5 => Self::Resumed { slot },
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_survive_their_encoding() {
        for request in [
            Request::Spawn { slot: 3, service: 3, command: None },
            Request::Spawn { slot: 65, service: 0, command: Some(7) },
            Request::Signal { slot: 1, signal: Signal::Kill, scope: Scope::Group },
            Request::Signal { slot: 1, signal: Signal::Hup, scope: Scope::Leader },
        ] {
            assert_eq!(Request::decode(request.encode()), Some(request));
        }
        for bytes in [[2, 0, 0, 0, 0], [1, 0, 200, 0, 0], [1, 0, 9, 9, 0]] {
            assert_eq!(Request::decode(bytes), None);
        }
    }

    #[test]
    fn reports_survive_their_encoding() {
        for report in [
            Report::Started { slot: 2, pid: 4_000_000 },
            Report::StartFailed { slot: 2, error: SpawnError::new(SpawnStage::Groups, 2).with_item(3) },
            Report::Exited { slot: 2, exit: Exit::Code(255), is_gone: false },
            Report::Exited {
                slot: 2,
                exit: Exit::Signal { signal: 11, core: true, oom: false },
                is_gone: true,
            },
            Report::Exited {
                slot: 2,
                exit: Exit::Signal { signal: 9, core: false, oom: true },
                is_gone: false,
            },
            Report::Gone { slot: 9 },
            Report::Suspended { slot: 9 },
            Report::Resumed { slot: 9 },
        ] {
            assert_eq!(Report::decode(report.encode()), Some(report));
        }
        assert_eq!(Report::decode([9; REPORT_BYTES]), None);
    }
}
