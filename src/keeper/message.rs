//! Messages between server and keeper: one datagram each, of a fixed size.
//!
//! | message | bytes |
//! |---|---|
//! | [`Request`] | kind, slot, and three bytes of the kind |
//! | session | an entry of the table of sessions, for a later server |
//! | [`Report`] | kind, slot, two bytes of the kind, pid, number, and what a service reports: extension, length and bytes of its status; with the start comes the pipe of the output |

use core::time::Duration;

use heapless::{String, Vec};

use crate::service::{
    BoardEnd, EventReport, Exit, Notice, ProcessEvent, Program, STATUS_TEXT_BYTES, Scope, Signal, SpawnError,
    SpawnStage, StatusText,
};

use crate::session::{SESSION_MEMO_BYTES, SessionMemo};
use crate::sys::sandbox;

/// Size of a request.
pub(super) const REQUEST_BYTES: usize = 5;
/// Size of a message with an entry of the table of sessions.
pub(super) const SESSION_MESSAGE_BYTES: usize = 3 + SESSION_MEMO_BYTES;
/// Size of a report.
pub(super) const REPORT_BYTES: usize = HEAD_BYTES + 9 + STATUS_TEXT_BYTES;
/// Size of a report without that of a service about itself.
const HEAD_BYTES: usize = 12;

/// Request of the server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Request {
    /// Start a program of a service: in a free slot, but `stop_command` beside the process of its service.
    Spawn { slot: u8, service: u8, program: Program },
    /// Signal the processes of a slot.
    Signal { slot: u8, signal: Signal, scope: Scope },
    /// Store what a later server has to know of a service.
    Memo { slot: u8, memo: u32 },
    /// Note that the server accepts connections and handles signals.
    Serving,
    /// Note what is under way until `Configure`.
    Unfinished(Unfinished),
    /// Put a later configuration file in force, whose text is in the file that comes with it.
    Configure(Force),
    /// Execute the program that is at the path of this one by now.
    Upgrade,
    /// Note that the server ends, with its services: no other program takes over.
    Ending,
    /// End the board once the server has ended.
    EndBoard(BoardEnd),
    /// Log that the server has made a system call with this number, which its sandbox forbids: it is killed.
    Forbidden(u32),
}

/// Duration of a later configuration file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Force {
    /// For good, but for what needs a restart.
    Reload,
    /// As long as this server runs: the next one returns to the earlier file.
    Trial,
    /// For good after a trial, with the address that was tried.
    Confirmed,
    /// For good again, after a trial: its services are exchanged, and nothing else was.
    Return,
}

/// Work on the configuration that a later server continues if this one is killed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unfinished {
    /// None: a reload has failed.
    None,
    /// A reload of the file, which begins anew.
    Reload,
    /// A change: it ends, unless it is confirmed and in the file.
    Trial,
}

impl Unfinished {
    const ALL: [Self; 3] = [Self::None, Self::Reload, Self::Trial];

    fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|known| *known as u8 == number)
    }
}

impl Force {
    const ALL: [Self; 4] = [Self::Reload, Self::Trial, Self::Confirmed, Self::Return];

    fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|known| *known as u8 == number)
    }
}

/// Message of the keeper to the server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum FromKeeper {
    /// A report.
    Report(Report),
    /// The server leaves its services to another one.
    Leave,
    /// No other program takes over, for this reason.
    UpgradeRefused(UpgradeReason),
}

/// Reason of an upgrade that is refused, cut to the size of a message.
pub type UpgradeReason = String<{ REPORT_BYTES - 2 }>;

/// First byte of the message of a refused upgrade.
const REFUSED: u8 = 254;
/// First byte of the message that lets a server go.
const LEAVE: u8 = 253;

impl FromKeeper {
    /// Message of a refused upgrade: length and bytes of the reason.
    pub(super) fn refusal(reason: &str) -> [u8; REPORT_BYTES] {
        let mut bytes = [0; REPORT_BYTES];
        let mut length = reason.len().min(REPORT_BYTES - 2);
        while !reason.is_char_boundary(length) {
            length -= 1;
        }
        for (to, from) in
            bytes.iter_mut().zip([REFUSED, length as u8].iter().chain(reason.as_bytes().iter().take(length)))
        {
            *to = *from;
        }
        bytes
    }

    /// Message that lets a server go.
    pub(super) fn leave() -> [u8; REPORT_BYTES] {
        [LEAVE; REPORT_BYTES]
    }

    /// Reads a message.
    pub(super) fn decode(bytes: [u8; REPORT_BYTES]) -> Option<Self> {
        match bytes {
            [REFUSED, length, ref text @ ..] => {
                let reason = str::from_utf8(text.get(..usize::from(length))?).ok()?;
                Some(Self::UpgradeRefused(UpgradeReason::try_from(reason).ok()?))
            }
            [LEAVE, ..] => Some(Self::Leave),
            report => Report::decode(report).map(Self::Report),
        }
    }
}

/// Report of the keeper: what has become of the processes of a slot.
///
/// The slot is free again after a start that failed, an exit that leaves nothing, and `Gone`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Report {
    pub(super) slot: u8,
    pub(super) event: ProcessEvent,
}

impl Request {
    pub(super) fn encode(self) -> [u8; REQUEST_BYTES] {
        match self {
            Self::Spawn { slot, service, program } => [0, slot, service, program.number(), 0],
            Self::Signal { slot, signal, scope } => [1, slot, signal as u8, scope as u8, 0],
            Self::Memo { slot, memo } => {
                let [a, b, c, _] = memo.to_le_bytes();
                [2, slot, a, b, c]
            }
            Self::Serving => [3, 0, 0, 0, 0],
            Self::Configure(force) => [4, force as u8, 0, 0, 0],
            Self::Unfinished(work) => [5, work as u8, 0, 0, 0],
            Self::Upgrade => [6, 0, 0, 0, 0],
            Self::Ending => [7, 0, 0, 0, 0],
            Self::EndBoard(end) => [8, end as u8, 0, 0, 0],
            Self::Forbidden(call) => sandbox::report(call),
        }
    }

    pub(super) fn decode(bytes: [u8; REQUEST_BYTES]) -> Option<Self> {
        Some(match bytes {
            [0, slot, service, program, _] => {
                Self::Spawn { slot, service, program: Program::from_number(program) }
            }
            [1, slot, signal, scope, _] => Self::Signal {
                slot,
                signal: Signal::ALL.into_iter().find(|known| *known as u8 == signal)?,
                scope: Scope::ALL.into_iter().find(|known| *known as u8 == scope)?,
            },
            [2, slot, a, b, c] => Self::Memo { slot, memo: u32::from_le_bytes([a, b, c, 0]) },
            [3, ..] => Self::Serving,
            [4, force, ..] => Self::Configure(Force::from_number(force)?),
            [5, work, ..] => Self::Unfinished(Unfinished::from_number(work)?),
            [6, ..] => Self::Upgrade,
            [7, ..] => Self::Ending,
            [8, end, ..] => Self::EndBoard(BoardEnd::ALL.into_iter().find(|known| *known as u8 == end)?),
            [sandbox::FORBIDDEN, call @ ..] => Self::Forbidden(u32::from_ne_bytes(call)),
            _ => return None,
        })
    }
}

impl Report {
    pub(super) fn encode(self) -> [u8; REPORT_BYTES] {
        let Self { slot, event } = self;
        let (kind, flags, stage, pid, number) = match event {
            ProcessEvent::Spawned(Ok(pid)) => (0, 0, 0, pid, 0),
            ProcessEvent::Spawned(Err(error)) => (1, error.item, error.stage as u8, 0, error.errno),
            ProcessEvent::Exited { exit, is_gone } => {
                let (flags, number) = of_exit(exit);
                (2, flags | u8::from(is_gone), 0, 0, number)
            }
            ProcessEvent::Gone => (3, 0, 0, 0, 0),
            ProcessEvent::Suspended => (4, 0, 0, 0, 0),
            ProcessEvent::Resumed => (5, 0, 0, 0, 0),
            ProcessEvent::Notified(notice) => (6, flags_of(notice), 0, 0, 0),
            ProcessEvent::Event(event) => {
                let age = i32::try_from(event.age.as_secs()).unwrap_or(i32::MAX);
                (9, flags_of(carrier(event)), 0, event.changes, age)
            }
            ProcessEvent::StopCommand(Ok(exit)) => {
                let (flags, number) = of_exit(exit);
                (7, flags, 0, 0, number)
            }
            ProcessEvent::StopCommand(Err(error)) => (8, error.item, error.stage as u8, 0, error.errno),
        };
        let [p0, p1, p2, p3] = pid.to_ne_bytes();
        let [n0, n1, n2, n3] = number.to_ne_bytes();
        let mut bytes = [0; REPORT_BYTES];
        let head = [kind, slot, flags, stage, p0, p1, p2, p3, n0, n1, n2, n3];
        let notice = match event {
            ProcessEvent::Notified(notice) => notice,
            ProcessEvent::Event(event) => carrier(event),
            _ => Notice::default(),
        };
        let extend = notice.extend.unwrap_or_default().as_micros();
        let extend = u64::try_from(extend).unwrap_or(u64::MAX);
        let text = notice.text.unwrap_or(StatusText::EMPTY);
        let text = text.as_str().as_bytes();
        let all = head.into_iter().chain(extend.to_ne_bytes()).chain([text.len() as u8]);
        for (to, from) in bytes.iter_mut().zip(all.chain(text.iter().copied())) {
            *to = from;
        }
        bytes
    }

    pub(super) fn decode(bytes: [u8; REPORT_BYTES]) -> Option<Self> {
        let (head, rest) = bytes.split_first_chunk::<HEAD_BYTES>()?;
        let [kind, slot, flags, stage, p0, p1, p2, p3, n0, n1, n2, n3] = *head;
        let pid = u32::from_ne_bytes([p0, p1, p2, p3]);
        let number = i32::from_ne_bytes([n0, n1, n2, n3]);
        let error =
            || Some(SpawnError { stage: SpawnStage::from_number(stage)?, item: flags, errno: number });
        let event = match kind {
            0 => ProcessEvent::Spawned(Ok(pid)),
            1 => ProcessEvent::Spawned(Err(error()?)),
            2 => ProcessEvent::Exited { exit: exit_of(flags, number), is_gone: flags & 1 != 0 },
            3 => ProcessEvent::Gone,
            4 => ProcessEvent::Suspended,
            5 => ProcessEvent::Resumed,
            6 => ProcessEvent::Notified(notice_of(flags, rest)?),
            7 => ProcessEvent::StopCommand(Ok(exit_of(flags, number))),
            8 => ProcessEvent::StopCommand(Err(error()?)),
            9 => {
                let Notice { extend, text, .. } = notice_of(flags, rest)?;
                let age = Duration::from_secs(number.unsigned_abs().into());
                ProcessEvent::Event(EventReport { text: text?, age, life: extend, changes: pid })
            }
            _ => return None,
        };
        Some(Self { slot, event })
    }
}

/// First byte of a message with an entry of the table of sessions: `index`, two bytes, and the [`SessionMemo`].
const SESSION: u8 = 254;

/// Message with an entry of the table of sessions.
pub(super) fn of_session(index: usize, memo: &SessionMemo) -> Vec<u8, SESSION_MESSAGE_BYTES> {
    let [low, high] = (index as u16).to_le_bytes();
    [SESSION, low, high].iter().chain(memo).copied().collect()
}

/// Index and content of the entry in such a message.
pub(super) fn session_of(message: &[u8]) -> Option<(usize, SessionMemo)> {
    let (head, memo) = message.split_first_chunk()?;
    let [SESSION, low, high] = *head else { return None };
    Some((u16::from_le_bytes([low, high]).into(), SessionMemo::from_slice(memo).ok()?))
}

/// Flags and number of an exit. The first flag is not one of them.
pub(super) fn of_exit(exit: Exit) -> (u8, i32) {
    match exit {
        Exit::Code(code) => (0, code),
        Exit::Signal { signal, core, oom } => (2 | u8::from(core) << 2 | u8::from(oom) << 3, signal),
    }
}

/// Exit with these flags and this number.
pub(super) fn exit_of(flags: u8, number: i32) -> Exit {
    if flags & 2 == 0 {
        return Exit::Code(number);
    }
    Exit::Signal { signal: number, core: flags & 4 != 0, oom: flags & 8 != 0 }
}

/// Notice in whose places an event is encoded: its life as the extension, and its text.
fn carrier(event: EventReport) -> Notice {
    Notice { extend: event.life, text: Some(event.text), ..Notice::default() }
}

fn flags_of(notice: Notice) -> u8 {
    let flags = [
        notice.is_ready,
        notice.is_stopping,
        notice.is_alive,
        notice.extend.is_some(),
        notice.text.is_some(),
    ];
    flags.into_iter().enumerate().fold(0, |flags, (bit, is_set)| flags | u8::from(is_set) << bit)
}

/// Reports of a service, from their flags, the extension in microseconds, and length and bytes of its status.
fn notice_of(flags: u8, rest: &[u8]) -> Option<Notice> {
    let (extend, rest) = rest.split_first_chunk()?;
    let (length, text) = rest.split_first()?;
    let text = str::from_utf8(text.get(..usize::from(*length))?).ok()?;
    Some(Notice {
        is_ready: flags & 1 != 0,
        is_stopping: flags & 2 != 0,
        is_alive: flags & 4 != 0,
        extend: (flags & 8 != 0).then_some(Duration::from_micros(u64::from_ne_bytes(*extend))),
        text: (flags & 16 != 0).then_some(StatusText::new(text)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_survive_their_encoding() {
        for length in [0, 1, SESSION_MEMO_BYTES] {
            let memo: SessionMemo = (0..length).map(|byte| byte as u8).collect();
            let message = of_session(513, &memo);
            assert_eq!(session_of(&message), Some((513, memo)));
        }
        for message in [&[][..], &[SESSION, 1], &[255, 1, 2], &[SESSION; SESSION_MESSAGE_BYTES + 1]] {
            assert_eq!(session_of(message), None);
        }
    }

    #[test]
    fn requests_survive_their_encoding() {
        for request in [
            Request::Spawn { slot: 3, service: 3, program: Program::Main },
            Request::Spawn { slot: 65, service: 0, program: Program::Command(7) },
            Request::Spawn { slot: 65, service: 0, program: Program::Check(7) },
            Request::Signal { slot: 1, signal: Signal::Kill, scope: Scope::Group },
            Request::Signal { slot: 1, signal: Signal::Hup, scope: Scope::Leader },
            Request::Memo { slot: 1, memo: 0xAB_CDEF },
            Request::Serving,
            Request::Configure(Force::Trial),
            Request::Unfinished(Unfinished::None),
            Request::Unfinished(Unfinished::Trial),
            Request::Upgrade,
            Request::Ending,
            Request::EndBoard(BoardEnd::PowerOff),
            Request::Forbidden(59),
        ] {
            assert_eq!(Request::decode(request.encode()), Some(request));
        }
        for bytes in [[10, 0, 0, 0, 0], [8, 2, 0, 0, 0], [1, 0, 200, 0, 0], [1, 0, 9, 9, 0]] {
            assert_eq!(Request::decode(bytes), None);
        }
    }

    #[test]
    fn reports_survive_their_encoding() {
        for event in [
            ProcessEvent::Spawned(Ok(4_000_000)),
            ProcessEvent::Spawned(Err(SpawnError::new(SpawnStage::Groups, 2).with_item(3))),
            ProcessEvent::Exited { exit: Exit::Code(255), is_gone: false },
            ProcessEvent::Exited { exit: Exit::Signal { signal: 11, core: true, oom: false }, is_gone: true },
            ProcessEvent::Exited { exit: Exit::Signal { signal: 9, core: false, oom: true }, is_gone: false },
            ProcessEvent::Gone,
            ProcessEvent::StopCommand(Ok(Exit::Code(3))),
            ProcessEvent::StopCommand(Ok(Exit::Signal { signal: 9, core: false, oom: true })),
            ProcessEvent::StopCommand(Err(SpawnError::new(SpawnStage::Program, 2))),
            ProcessEvent::Suspended,
            ProcessEvent::Resumed,
            ProcessEvent::Notified(Notice::READY),
            ProcessEvent::Event(EventReport {
                text: StatusText::new("door=open"),
                age: Duration::from_secs(8),
                life: Some(Duration::from_micros(7)),
                changes: u32::MAX,
            }),
            ProcessEvent::Event(EventReport {
                text: StatusText::new("door="),
                age: Duration::ZERO,
                life: None,
                changes: 1,
            }),
            ProcessEvent::Notified(Notice {
                is_alive: true,
                is_stopping: true,
                extend: Some(Duration::from_micros(7)),
                text: Some(StatusText::new("loading")),
                ..Notice::default()
            }),
        ] {
            let report = Report { slot: 9, event };
            assert_eq!(Report::decode(report.encode()), Some(report));
        }
        assert_eq!(Report::decode([10; REPORT_BYTES]), None);
    }

    #[test]
    fn reason_of_a_refused_upgrade_is_cut_to_a_message() {
        let longest = "x".repeat(REPORT_BYTES - 2);
        for (reason, expected) in [
            (std::string::String::new(), ""),
            ("no program".to_owned(), "no program"),
            (longest.clone(), &*longest),
            (longest.clone() + "y", &*longest),
            (longest[1..].to_owned() + "\u{e4}", &longest[1..]),
        ] {
            let Some(FromKeeper::UpgradeRefused(read)) = FromKeeper::decode(FromKeeper::refusal(&reason))
            else {
                panic!("{reason}")
            };
            assert_eq!(read, expected);
        }
        let report = Report { slot: 9, event: ProcessEvent::Gone };
        assert_eq!(FromKeeper::decode(report.encode()), Some(FromKeeper::Report(report)));
        assert_eq!(FromKeeper::decode(FromKeeper::leave()), Some(FromKeeper::Leave));
        assert_eq!(FromKeeper::decode([255; REPORT_BYTES]), None);
    }
}
