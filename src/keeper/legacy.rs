//! Legacy of a keeper to the program that takes its place by exec: its processes, what its server knew, and the
//! configuration, as text. The descriptors stay open.
//!
//! | line | content |
//! |---|---|
//! | first | [`TITLE`], with the version of this format |
//! | `clock` | start of the clock, in nanoseconds of the monotonic clock |
//! | `reloading` | a reload is under way |
//! | `cgroups` | descriptor, controllers in force, path |
//! | `table` | descriptor of the file with the processes |
//! | `notices` | descriptor and name of the socket for reports of services |
//! | `service` | name, the numbers of its slot, and its text and events, which an earlier program does not read |
//! | `session` | index and entry of the table of sessions |
//! | `configuration` | the last line: the rest is the configuration, which another layer reads |

use core::fmt::Write as _;
use std::io::{PipeReader, PipeWriter};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, RawFd};
use std::time::{Duration, Instant};

use base16ct::lower;
use rustix::process::Pid;

use super::cgroups::Cgroups;
use super::group::Group;
use super::launch::Launch;
use super::main_loop::MainLoop;
use super::message::{exit_of, of_exit};
use super::notices::NoticeSocket;
use super::process_table::ProcessTable;
use super::raw;
use super::slot::{self, Slot, State, StopCommand};
use crate::log::console::warning;
use crate::service::{
    Ended, Event, Exit, Notice, Program, STATUS_TEXT_BYTES, ServiceId, Signal, SpawnError, SpawnStage,
    StatusText,
};
use crate::session::{SESSION_MEMO_BYTES, SessionMemo};
use crate::sys::{Clock, fork};

/// First line, and the answer of a program that can take a legacy over.
pub(super) const TITLE: &str = "friendlet keeper 1";
/// Number of a descriptor or process that is missing.
const NONE: i32 = -1;
/// Numbers after the name of a service. A program reads those that it knows: an earlier one wrote fewer, a later one
/// more.
const NUMBERS: usize = 19;
/// Beginning of the word with the text of a service.
const TEXT: &str = "text:";
/// Numbers of the first version.
const FIRST_NUMBERS: usize = 14;

/// Legacy of an earlier program.
#[derive(Debug, Default)]
pub struct Legacy {
    pub(super) clock_ns: u64,
    is_reloading: bool,
    cgroups: Option<(RawFd, u8, String)>,
    table: Option<RawFd>,
    notices: Option<(RawFd, String)>,
    /// Services with the numbers of their slots, and what they say of themselves.
    services: Vec<(String, [i64; NUMBERS], Option<StatusText>)>,
    /// Events, with the names of their services.
    events: Vec<(String, Event)>,
    sessions: Vec<(usize, SessionMemo)>,
    /// The configuration.
    pub configuration: String,
    /// This program is only tried: it reads the configuration, and calls [`accept`](Self::accept) or ends with an error.
    pub is_trial: bool,
}

impl Legacy {
    /// Reads a legacy.
    ///
    /// # Errors
    /// The line that this program cannot read.
    pub(super) fn decode(text: &str) -> Result<Self, String> {
        let mut legacy = Self::default();
        let mut rest = text.strip_prefix(TITLE).and_then(|rest| rest.strip_prefix('\n'));
        rest = rest.filter(|rest| !rest.is_empty());
        while let Some(text) = rest {
            let (line, after) = text.split_once('\n').ok_or("it ends in the middle of a line")?;
            if line == "configuration" {
                after.clone_into(&mut legacy.configuration);
                return Ok(legacy);
            }
            legacy.decode_line(line).ok_or_else(|| format!("unknown line '{line}'"))?;
            rest = Some(after);
        }
        Err(format!("it does not begin with '{TITLE}'"))
    }

    fn decode_line(&mut self, line: &str) -> Option<()> {
        let (key, value) = line.split_once(' ').unwrap_or((line, ""));
        match key {
            "clock" => self.clock_ns = value.parse().ok()?,
            "reloading" => self.is_reloading = true,
            "cgroups" => {
                let (fd, value) = value.split_once(' ')?;
                let (controllers, path) = value.split_once(' ')?;
                self.cgroups = Some((fd.parse().ok()?, controllers.parse().ok()?, path.to_owned()));
            }
            "table" => self.table = Some(value.parse().ok()?),
            "notices" => {
                let (fd, name) = value.split_once(' ')?;
                self.notices = Some((fd.parse().ok()?, name.to_owned()));
            }
            "service" => {
                let mut words = value.split(' ');
                let name = words.next()?;
                let mut numbers = [0; NUMBERS];
                for (index, number) in numbers.iter_mut().enumerate() {
                    match words.next() {
                        Some(word) => *number = word.parse().ok()?,
                        None if index < FIRST_NUMBERS => return None,
                        None => break,
                    }
                }
                let (events, texts): (Vec<_>, Vec<_>) = words.partition(|word| !word.starts_with(TEXT));
                let events = events.into_iter().filter_map(event_of);
                self.events.extend(events.map(|event| (name.to_owned(), event)));
                let text = texts.first().and_then(|word| text_of(word.strip_prefix(TEXT)?));
                self.services.push((name.to_owned(), numbers, text));
            }
            "session" => {
                let (index, memo) = value.split_once(' ')?;
                let mut bytes = [0; SESSION_MEMO_BYTES];
                let memo = lower::decode(memo, &mut bytes).ok()?;
                self.sessions.push((index.parse().ok()?, SessionMemo::from_slice(memo).ok()?));
            }
            _ => return None,
        }
        Some(())
    }

    /// Control groups, which exist.
    pub fn take_cgroups(&mut self) -> Option<Cgroups> {
        let (fd, controllers, base) = self.cgroups.take()?;
        Some(Cgroups::continued(fork::adopt(fd)?, base, controllers))
    }

    /// Puts a keeper in the place of the earlier one.
    pub(super) fn restore(self, keeper: &mut MainLoop) {
        keeper.crashes.succeed();
        keeper.is_reloading = self.is_reloading;
        keeper.table = self.table.and_then(fork::adopt).map_or(ProcessTable::NONE, ProcessTable::continued);
        if let Some((fd, name)) = self.notices
            && let Some(socket) = fork::adopt(fd)
        {
            keeper.notices = NoticeSocket::continued(socket, name);
        }
        for (name, numbers, text) in self.services {
            let Some((mut slot, oom_kills)) = slot_of(&numbers, keeper.clock) else { continue };
            slot.said.text = text;
            match keeper.services.find(&name).map(|service| service.index()) {
                Some(index) => {
                    if let Some(place) = keeper.slots.get_mut(index) {
                        (*place, keeper.oom_kills[index]) = (slot, oom_kills);
                    }
                }
                // The configuration is the one that it was.
                None => warning!("{}: not in the configuration file any more; its processes run on", name),
            }
        }
        for (name, event) in self.events {
            if let Some(service) = keeper.services.find(&name) {
                // The limits may be lower by now.
                let _ = keeper.events.store(Event { service, ..event });
            }
        }
        for (index, memo) in self.sessions {
            if let Some(place) = keeper.sessions.get_mut(index) {
                *place = memo;
            }
        }
    }
}

/// Writes the legacy of a keeper, and calls `keep` with each descriptor of it.
pub(super) fn encode(keeper: &MainLoop, configuration: &str, keep: &mut dyn FnMut(BorrowedFd<'_>)) -> String {
    let clock = keeper.clock;
    let mut text = format!("{TITLE}\nclock {}\n", clock.start_ns());
    if keeper.is_reloading || keeper.has_hup {
        text += "reloading\n";
    }
    let mut number = |fd: Option<BorrowedFd<'_>>| {
        fd.iter().for_each(|fd| keep(*fd));
        fd.map_or(NONE, |fd| fd.as_raw_fd())
    };
    if let Some((directory, controllers, base)) = keeper.cgroups.as_ref().map(Cgroups::parts) {
        let _ = writeln!(text, "cgroups {} {controllers} {base}", number(Some(directory)));
    }
    if let Some(file) = keeper.table.file() {
        let _ = writeln!(text, "table {}", number(Some(file)));
    }
    if let Some(notices) = &keeper.notices {
        let _ = writeln!(text, "notices {} {}", number(Some(notices.as_fd())), notices.name());
    }
    for (service, spec) in keeper.services.iter() {
        let Some(slot) = keeper.slots.get(service.index()) else { continue };
        let _ = write!(text, "service {}", spec.name);
        let oom_kills = keeper.oom_kills.get(service.index()).copied().unwrap_or_default();
        for number in numbers_of(slot, oom_kills, clock, &mut number) {
            let _ = write!(text, " {number}");
        }
        if let Some(said) = &slot.said.text {
            let _ = write!(text, " {TEXT}{}", lower::encode_string(said.as_str().as_bytes()));
        }
        keeper.events.of(service).for_each(|event| put_event(&mut text, event));
        text.push('\n');
    }
    for (index, memo) in keeper.sessions.iter().enumerate().filter(|(_, memo)| !memo.is_empty()) {
        let _ = writeln!(text, "session {index} {}", lower::encode_string(memo));
    }
    text + "configuration\n" + configuration
}

/// Writes an event as a word: time, time of its end (0: none), changes and text.
fn put_event(text: &mut String, event: &Event) {
    let until = event.until.map_or(0, |until| until.as_millis() as u64);
    let (at, said) = (event.at.as_millis() as u64, lower::encode_string(event.text.as_str().as_bytes()));
    let _ = write!(text, " {at}:{until}:{}:{said}", event.changes);
}

/// Event of such a word, as yet of no service.
fn event_of(word: &str) -> Option<Event> {
    let mut parts = word.split(':');
    let mut number = || parts.next()?.parse::<u64>().ok();
    let (at, until, changes) = (number()?, number()?, number()?);
    Some(Event {
        service: ServiceId::from_index(0)?,
        text: text_of(parts.next()?)?,
        at: Duration::from_millis(at),
        until: (until > 0).then_some(Duration::from_millis(until)),
        changes: u32::try_from(changes).ok()?,
        is_sent: false,
    })
}

/// Text in hexadecimal digits.
fn text_of(word: &str) -> Option<StatusText> {
    let mut bytes = [0; STATUS_TEXT_BYTES];
    let text = lower::decode(word, &mut bytes).ok()?;
    Some(StatusText::new(str::from_utf8(text).ok()?))
}

/// Numbers of a slot. A child that has not executed its program yet is one of another program: it is killed.
fn numbers_of(
    slot: &Slot,
    oom_kills: u32,
    clock: Clock,
    number: &mut dyn FnMut(Option<BorrowedFd<'_>>) -> RawFd,
) -> [i64; NUMBERS] {
    let (state, program) = match &slot.state {
        State::Free => (0, slot.program),
        State::Launching { .. } => (1, Program::Stop),
        State::Running { .. } => (1, slot.program),
        State::Ended { .. } => (2, slot.program),
    };
    let (flags, exit) = slot.ended.map_or((NONE, 0), |ended| {
        let (flags, number) = of_exit(slot::exit_of(ended));
        (i32::from(flags), number)
    });
    let ended = slot.ended.map_or([0; 3], |Ended { program, result, ran }| {
        let failure = result.err().map_or(0, |error| {
            i64::from(u32::from_be_bytes([0, 1, error.stage as u8, error.item])) << 32
                | i64::from(error.errno as u32)
        });
        [program.number().into(), failure, i64::try_from(ran.as_nanos()).unwrap_or(i64::MAX)]
    });
    let started = slot.started.map(|started| clock.at(started).as_nanos() as u64);
    // Its number, or below 0 the code with which it ended.
    let stop_command = match &slot.stop_command {
        None => 0,
        Some(StopCommand::Running { launch, .. }) => raw(launch.pid).into(),
        Some(StopCommand::Ended(Ok(Exit::Code(code)))) => -1 - i64::from(*code),
        Some(StopCommand::Ended(_)) => -2,
    };
    let pid = |pid: Option<Pid>| pid.map_or(0, |pid| i64::from(raw(pid)));
    [
        state,
        pid(slot.pid()),
        program.number().into(),
        flags.into(),
        exit.into(),
        started.and_then(|ns| i64::try_from(ns).ok()).unwrap_or(i64::from(NONE)),
        slot.memo.into(),
        i64::from(slot.said.is_ready) + 2 * i64::from(slot.said.is_stopping),
        pid(slot.main),
        number(slot.output.as_ref().map(|pipe| pipe.as_fd())).into(),
        number(slot.kept.as_ref().map(|pipe| pipe.as_fd())).into(),
        number(slot.ready.as_ref().map(|pipe| pipe.as_fd())).into(),
        oom_kills.into(),
        slot.last_signal.map_or(0, Signal::number).into(),
        ended[0],
        ended[1],
        ended[2],
        slot.program.number().into(),
        stop_command,
    ]
}

/// Slot with these numbers, and its count of killed processes; `None` if they are none of a slot.
fn slot_of(numbers: &[i64; NUMBERS], clock: Clock) -> Option<(Slot, u32)> {
    let [
        state,
        pid,
        program,
        flags,
        exit,
        started,
        memo,
        said,
        main,
        output,
        kept,
        ready,
        oom_kills,
        signal,
        ended_program,
        failure,
        ran,
        launched,
        stop_command,
    ] = *numbers;
    let pid_of = |pid: i64| i32::try_from(pid).ok().filter(|pid| *pid > 1).and_then(Pid::from_raw);
    let adopted = |fd: i64| RawFd::try_from(fd).ok().and_then(fork::adopt);
    let state = match (state, pid_of(pid)) {
        (0, _) => State::Free,
        (1, Some(pid)) => State::Running { pid },
        // One without a known exit is an earlier keeper's.
        (2, pid) if flags < 0 => State::Ended { group: pid.map(Group::left) },
        (2, pid) => State::Ended { group: pid.map(Group::reaped) },
        _ => return None,
    };
    let started: Option<Instant> =
        u64::try_from(started).ok().map(|ns| clock.instant(Duration::from_nanos(ns)));
    let program = Program::from_number(program as u8);
    let (program, state) = match state {
        State::Running { pid } if program == Program::Stop => aborted(pid, launched),
        state => (program, state),
    };
    let ended = u8::try_from(flags).ok().map(|flags| Ended {
        program: match Program::from_number(ended_program as u8) {
            known @ (Program::Main | Program::PreStart) => known,
            // Of an earlier version.
            _ if program == Program::Finish => Program::Main,
            _ => program,
        },
        result: failure_of(failure).map_or_else(|| Ok(exit_of(flags, exit as i32)), Err),
        ran: Duration::from_nanos(ran.try_into().unwrap_or_default()),
    });
    let slot = Slot {
        state,
        program,
        ended,
        started,
        memo: memo as u32,
        said: Notice { is_ready: said == 1, is_stopping: said == 2, ..Notice::default() },
        main: pid_of(main),
        last_signal: Signal::ALL.into_iter().find(|known| i64::from(known.number()) == signal),
        output: adopted(output).map(PipeWriter::from),
        kept: adopted(kept).map(PipeReader::from),
        ready: adopted(ready).map(PipeReader::from),
        stop_command: match (pid_of(stop_command), stop_command) {
            // Its program was executed: nothing comes from the pipe.
            (Some(pid), _) => std::io::pipe()
                .ok()
                .map(|(error, _)| StopCommand::Running { launch: Launch { pid, error }, is_asked: false }),
            (None, ..0) => Some(StopCommand::Ended(Ok(Exit::Code((-1 - stop_command) as i32)))),
            _ => None,
        },
        ..Slot::FREE
    };
    Some((slot, oom_kills as u32))
}

/// Child that has not executed its program. Its end is that of a start that was killed.
fn aborted(pid: Pid, program: i64) -> (Program, State) {
    // No other process has the other ends.
    let (Ok((error, _)), Ok((output, _))) = (std::io::pipe(), std::io::pipe()) else {
        return (Program::Stop, State::Running { pid });
    };
    let program = match Program::from_number(program as u8) {
        known @ (Program::PreStart | Program::Finish) => known,
        _ => Program::Main,
    };
    (program, State::Launching { launch: Launch { pid, error }, output, is_killed: true, failure: None })
}

/// Reason with this number; 0 is none.
fn failure_of(number: i64) -> Option<SpawnError> {
    let [_, 1, stage, item, errno @ ..] = number.to_be_bytes() else { return None };
    let stage = SpawnStage::from_number(stage)?;
    Some(SpawnError { stage, item, errno: i32::from_be_bytes(errno) })
}

#[cfg(test)]
mod tests {
    use super::super::HANDLED;
    use super::super::server_socket::ServerSocket;
    use super::*;
    use crate::service::{InheritedProcess, ServiceTable, Spec};
    use crate::sys::fork::SignalFd;

    fn keeper(names: &[&str]) -> MainLoop {
        let mut services = ServiceTable::new();
        for name in names {
            services.push(Spec::new(name, &["/bin/true"]).unwrap()).unwrap();
        }
        let (socket, _) = ServerSocket::pair().unwrap();
        MainLoop::new(services, Clock::new(), socket, None, None, SignalFd::new(&HANDLED[..1]).unwrap())
    }

    #[test]
    fn legacy_survives_its_encoding() {
        let mut first = keeper(&["a", "b", "c"]);
        // Both keepers are of this process, which may close its descriptor once.
        first.notices = None;
        let pid = Pid::from_raw(4_000_000);
        let (reader, _writer) = std::io::pipe().unwrap();
        let number = reader.as_fd().as_raw_fd();
        first.slots[0] = Slot {
            state: State::Running { pid: pid.unwrap() },
            started: Some(Instant::now()),
            kept: Some(reader),
            main: Pid::from_raw(4_000_001),
            last_signal: Some(Signal::Hup),
            memo: 0xAB_CD07,
            said: Notice { text: Some(StatusText::new("busy")), ..Notice::READY },
            stop_command: Some(StopCommand::Running {
                launch: Launch { pid: Pid::from_raw(4_000_002).unwrap(), error: std::io::pipe().unwrap().0 },
                is_asked: true,
            }),
            ..Slot::FREE
        };
        let exit = Exit::Signal { signal: 9, core: false, oom: true };
        let end = |program, result| Some(Ended { program, result, ran: Duration::from_millis(1500) });
        let ended = end(Program::PreStart, Ok(exit));
        let stopped = |code| Some(StopCommand::Ended(Ok(Exit::Code(code))));
        first.slots[1] = Slot { ended, program: Program::Finish, stop_command: stopped(255), ..Slot::FREE };
        let failed = end(Program::Main, Err(SpawnError::new(SpawnStage::EnvFile, 2).with_item(254)));
        first.slots[2] = Slot { ended: failed, ..Slot::FREE };
        first.oom_kills[1] = 3;
        let says = |text: &str, life| (ServiceId::from_index(2).unwrap(), StatusText::new(text), life);
        for (service, text, life) in [says("door=a b", None), says("lamp=on", Some(Duration::from_secs(60)))]
        {
            first.events.say(service, text, life, Duration::from_millis(1500)).unwrap();
        }
        first.is_reloading = true;
        first.sessions[5] = SessionMemo::from_slice(&[1, 2, 255]).unwrap();
        let mut kept = Vec::new();
        let text = encode(&first, "given\n\n[log]\n", &mut |fd| kept.push(fd.as_raw_fd()));
        assert_eq!(kept, [number]);
        let legacy = Legacy::decode(&text).unwrap();
        assert_eq!(legacy.configuration, "given\n\n[log]\n");
        // Its descriptor is the first one's: the other has a copy.
        let copy = rustix::io::dup(first.slots[0].kept.as_ref().unwrap()).unwrap();
        let copied = std::os::fd::IntoRawFd::into_raw_fd(copy);
        let text = text.replacen(&format!(" -1 {number} -1 "), &format!(" -1 {copied} -1 "), 1);
        // Services have other places there, or are gone.
        let mut second = keeper(&["b", "a", "c"]);
        Legacy::decode(&text).unwrap().restore(&mut second);
        let events = |keeper: &MainLoop| -> Vec<Event> {
            keeper.events.of(ServiceId::from_index(2).unwrap()).copied().collect()
        };
        assert_eq!((events(&second), events(&second).len()), (events(&first), 2));
        let [b, a] = [&second.slots[0], &second.slots[1]];
        assert_eq!((a.pid(), a.main, a.memo), (pid, Pid::from_raw(4_000_001), 0xAB_CD07));
        assert_eq!(a.said, first.slots[0].said);
        assert!(a.kept.is_some() && a.started.is_some() && matches!(a.state, State::Running { .. }));
        assert_eq!((b.ended, b.program, second.oom_kills[0]), (ended, Program::Finish, 3));
        assert_eq!(second.slots[2].ended, failed);
        assert_eq!(second.slots[0].take_stop_end(), Some(Ok(Exit::Code(255))));
        assert_eq!(second.slots[0].take_stop_end(), None);
        assert!(second.slots[1].end_stop_command(Pid::from_raw(4_000_002).unwrap(), Exit::Code(3)));
        assert!(!second.slots[1].is_stop_asked(), "by the server of the earlier keeper");
        assert_eq!(second.slots[1].take_stop_end(), Some(Ok(Exit::Code(3))));
        assert!(second.slots[2].stop_command.is_none());
        assert_eq!(second.slots[1].last_signal, Some(Signal::Hup));
        assert!(second.is_reloading);
        assert_eq!(second.sessions[5], first.sessions[5]);
    }

    #[test]
    fn line_of_a_service_of_an_earlier_or_a_later_version_is_read() {
        for (numbers, program, result, ran) in [
            // Program `finish` after a service that exited with 3; `pre_start` that exited with 4.
            ("0 0 255 0 3 5 231 0 0 -1 -1 -1 0 0", Program::Main, Ok(Exit::Code(3)), 0),
            ("0 0 253 0 4 5 231 0 0 -1 -1 -1 0 0", Program::PreStart, Ok(Exit::Code(4)), 0),
            ("0 0 255 0 4 5 231 0 0 -1 -1 -1 0 0 253 0 7 1 2 3", Program::PreStart, Ok(Exit::Code(4)), 7),
        ] {
            let mut keeper = keeper(&["a"]);
            let text = format!("{TITLE}\nservice a {numbers}\nconfiguration\n");
            Legacy::decode(&text).unwrap().restore(&mut keeper);
            let slot = &keeper.slots[0];
            let ran = Duration::from_nanos(ran);
            assert_eq!((slot.ended, slot.memo), (Some(Ended { program, result, ran }), 231), "{numbers}");
        }
    }

    #[test]
    fn child_that_has_not_executed_its_program_is_that_of_a_killed_start() {
        let (pid, exit) = (Pid::from_raw(4_000_000).unwrap(), Exit::signal(9));
        for (launched, program) in [
            ("255", Program::Finish),
            ("253", Program::PreStart),
            ("252", Program::Main),
            ("", Program::Main),
        ] {
            let mut keeper = keeper(&["a"]);
            let later = if launched.is_empty() { String::new() } else { format!(" 0 0 0 {launched}") };
            let numbers = format!("1 4000000 254 -1 0 5 231 0 0 -1 -1 -1 0 0{later}");
            let text = format!("{TITLE}\nservice a {numbers}\nconfiguration\n");
            Legacy::decode(&text).unwrap().restore(&mut keeper);
            let slot = &mut keeper.slots[0];
            let (inherited, _) = slot.hand_over(keeper.clock).unwrap();
            assert_eq!((inherited.process, inherited.program), (InheritedProcess::Aborted, program));
            slot.read_launch();
            let failure = slot.end_leader(pid, exit).unwrap();
            assert_eq!((failure.stage, slot.is_free()), (SpawnStage::Timeout, true));
            let is_known = program != Program::Finish;
            assert_eq!(slot.ended.map(|ended| ended.result), is_known.then_some(Err(failure)), "{launched}");
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for (text, words) in [
            ("", "does not begin"),
            ("friendlet keeper 2\nconfiguration\n", "does not begin"),
            ("friendlet keeper 1", "does not begin"),
            ("friendlet keeper 1\n", "does not begin"),
            ("friendlet keeper 1\nclock 1", "middle of a line"),
            ("friendlet keeper 1\nclock x\nconfiguration\n", "unknown line 'clock x'"),
            ("friendlet keeper 1\nservice a 1 2\nconfiguration\n", "unknown line 'service a 1 2'"),
            ("friendlet keeper 1\nwings 2\nconfiguration\n", "unknown line 'wings 2'"),
        ] {
            let error = Legacy::decode(text).unwrap_err();
            assert!(error.contains(words), "{text:?}: {error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_numbers_are_those_of_a_slot_or_of_none(numbers: [i64; NUMBERS]) {
            let mut numbers = numbers;
            // Descriptors are another program's.
            numbers[9..12].fill(i64::from(NONE));
            let _ = slot_of(&numbers, Clock::new());
        }

        #[test]
        fn any_text_is_read(text in "(friendlet keeper 1\n)?([a-z]{0,8} [0-9a-f -]{0,20}\n){0,4}") {
            let _ = Legacy::decode(&text);
        }
    }
}
