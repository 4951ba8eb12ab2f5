//! Random events, and the invariants after each.

use proptest::prelude::*;

use super::*;
use crate::service::{Notice, ProcessEvent, SERVICE_READY_TIMEOUT, STOP_TIMEOUT, ServiceKind};

const SERVICES: usize = 5;
/// Longest extension that a service asks for in a script.
const EXTENSION: Duration = Duration::from_secs(10);
/// Longest time without a report of the keeper until every start has an end: those of one service that stops,
/// is prepared and cleans up, and of each the wait for its readiness.
const LONGEST: Duration = Duration::from_secs(2 * (10 + 30 + 10 + 6) + SERVICES as u64 * (30 + 10));
const _: () = assert!(
    STOP_TIMEOUT.as_secs() == 10 && SPAWN_TIMEOUT.as_secs() == 30 && SERVICE_READY_TIMEOUT.as_secs() == 30
);

#[derive(Clone, Debug)]
enum Input {
    Verb(usize, usize),
    Signal(usize, Scope),
    /// The keeper answers a pending spawn; `true`: with a process.
    Answer(usize, bool),
    /// The leader exits; `true`: with success, `true`: without leaving others.
    Exit(usize, bool, bool),
    Gone(usize),
    /// The stop command ends.
    CommandEnded(usize, bool),
    Suspended(usize),
    Resumed(usize),
    Notice(usize, Notice),
    Tick(u16),
    Persisted(bool),
    TimeOfDay(Option<u64>),
    Shutdown,
}

fn input() -> impl Strategy<Value = Input> {
    let service = 0..SERVICES;
    prop_oneof![
        6 => (service.clone(), 0..Verb::ALL.len()).prop_map(|(service, verb)| Input::Verb(service, verb)),
        1 => (service.clone(), 0..2_usize).prop_map(|(service, of)| Input::Signal(service, Scope::ALL[of])),
        6 => (service.clone(), any::<bool>()).prop_map(|(service, ok)| Input::Answer(service, ok)),
        4 => (service.clone(), any::<bool>(), any::<bool>()).prop_map(|(s, ok, gone)| Input::Exit(s, ok, gone)),
        3 => service.clone().prop_map(Input::Gone),
        3 => (service.clone(), any::<bool>()).prop_map(|(service, ok)| Input::CommandEnded(service, ok)),
        1 => service.clone().prop_map(Input::Suspended),
        1 => service.clone().prop_map(Input::Resumed),
        3 => service.clone().prop_map(|service| Input::Notice(service, Notice::READY)),
        2 => (service, any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(service, is_stopping, is_alive, extends)| {
            let extend = extends.then_some(EXTENSION);
            Input::Notice(service, Notice { is_stopping, is_alive, extend, ..Notice::default() })
        }),
        3 => (0..20_000_u16).prop_map(Input::Tick),
        1 => any::<bool>().prop_map(Input::Persisted),
        1 => proptest::option::of(0..200_000_u64).prop_map(Input::TimeOfDay),
        1 => Just(Input::Shutdown),
    ]
}

/// Processes of one service.
#[derive(Clone, Copy, Debug)]
struct Processes {
    program: Program,
    /// The spawn is not answered.
    is_pending: bool,
    /// `KILL` came before the answer.
    is_aborted: bool,
    leader: u32,
    has_others: bool,
    /// The stop command runs.
    has_command: bool,
    /// Time of the stop command, or of the stop signal without one.
    asked: Option<Duration>,
    stopped: Option<Duration>,
    killed: Option<Duration>,
}

impl Processes {
    const NONE: Self = Self {
        program: Program::Main,
        is_pending: false,
        is_aborted: false,
        leader: 0,
        has_others: false,
        has_command: false,
        asked: None,
        stopped: None,
        killed: None,
    };

    fn exist(&self) -> bool {
        self.leader != 0 || self.has_others || self.has_command
    }

    /// The supervisor may go on without their end.
    fn are_given_up(&self, now: Duration) -> bool {
        self.killed.is_some_and(|killed| now >= killed + KILL_TIMEOUT)
    }
}

/// Keeper of the processes, which reports late or never.
struct System {
    supervisor: Supervisor,
    services: [Processes; SERVICES],
    /// Services with an accepted start that is not settled.
    starts: [bool; SERVICES],
    /// Services that have left the wait for others.
    decided: [bool; SERVICES],
    /// Newest reported state of each service.
    reported: [State; SERVICES],
    born: u32,
    now: Duration,
}

impl System {
    fn apply(&mut self, input: Input) {
        let now = self.now;
        match input {
            Input::Verb(service, verb) => {
                let verb = Verb::ALL[verb];
                let accepted = self.supervisor.handle_command(id(service), verb, now).is_ok();
                self.starts[service] |= accepted && matches!(verb, Verb::Start | Verb::Restart);
            }
            Input::Signal(service, scope) => {
                let _ = self.supervisor.handle_signal(id(service), Signal::Hup, scope, now);
            }
            Input::Answer(service, ok) if self.services[service].is_pending => {
                let processes = &mut self.services[service];
                processes.is_pending = false;
                self.born += 1;
                processes.leader = if ok { self.born } else { 0 };
                let result = if ok { Ok(self.born) } else { Err(MISSING) };
                self.supervisor.handle_spawned(id(service), result, now);
            }
            Input::Exit(service, ok, is_gone) if self.services[service].leader != 0 => {
                // The stop command is in the group of the service.
                let is_gone = is_gone && !self.services[service].has_command;
                self.services[service].leader = 0;
                self.services[service].has_others = !is_gone;
                let exit = if ok { Exit::Code(0) } else { Exit::signal(9) };
                self.supervisor.handle_exit(id(service), exit, is_gone, now);
            }
            Input::Gone(service)
                if self.services[service].leader == 0
                    && self.services[service].has_others
                    && !self.services[service].has_command =>
            {
                self.services[service].has_others = false;
                self.supervisor.handle_gone(id(service), now);
            }
            Input::CommandEnded(service, ok) if self.services[service].has_command => {
                self.services[service].has_command = false;
                let result = if ok { Ok(Exit::Code(0)) } else { Err(MISSING) };
                self.supervisor.handle_event(id(service), ProcessEvent::StopCommand(result), now);
            }
            Input::Suspended(service) => self.supervisor.handle_suspended(id(service), now),
            Input::Resumed(service) => self.supervisor.handle_resumed(id(service), now),
            Input::Notice(service, notice) => self.supervisor.handle_notice(id(service), notice, now),
            Input::Tick(millis) => {
                self.now += Duration::from_millis(u64::from(millis));
                self.supervisor.handle_timeout(self.now);
            }
            Input::TimeOfDay(unix_s) => self.supervisor.set_time_of_day(unix_s),
            Input::Persisted(written) => {
                self.supervisor.handle_persisted(if written { Ok(()) } else { Err(5) })
            }
            Input::Shutdown => self.supervisor.shutdown(now),
            Input::Answer(..) | Input::Exit(..) | Input::Gone(_) | Input::CommandEnded(..) => {}
        }
        self.run_actions();
        self.check();
    }

    fn run_actions(&mut self) {
        let now = self.now;
        while let Some(action) = self.supervisor.poll_action() {
            match action {
                Action::Spawn { service, program: Program::Stop } => {
                    let processes = &mut self.services[service.index()];
                    assert!(processes.leader != 0 && !processes.has_command, "{processes:?}");
                    assert_eq!((processes.program, processes.asked), (Program::Main, None));
                    processes.has_command = true;
                    processes.asked = Some(now);
                }
                Action::Spawn { service, program } => {
                    let processes = &self.services[service.index()];
                    assert!(!processes.is_pending, "a second spawn before the answer");
                    assert!(!processes.exist() || processes.are_given_up(now), "two processes");
                    let has_pre_start = self.supervisor.has(service, Program::PreStart);
                    if program == Program::Main && has_pre_start {
                        assert_eq!(processes.program, Program::PreStart);
                    } else if program != Program::Finish {
                        self.may_start(service);
                    }
                    let new = Processes { is_pending: true, program, ..Processes::NONE };
                    self.services[service.index()] = new;
                }
                Action::Signal { service, signal: Signal::Term, scope } => {
                    assert_eq!(scope, Scope::Group);
                    let processes = &mut self.services[service.index()];
                    assert_eq!(processes.stopped, None, "one stop signal for each stop");
                    processes.stopped = Some(now);
                    let is_slow = processes.asked.is_some_and(|asked| now >= asked + STOP_TIMEOUT / 2);
                    assert!(!processes.has_command || is_slow, "it has ended, or has had its time");
                    processes.asked.get_or_insert(now);
                }
                Action::Signal { service, signal: Signal::Kill, scope } => {
                    assert_eq!(scope, Scope::Group);
                    let processes = &mut self.services[service.index()];
                    processes.is_aborted |= processes.is_pending;
                    let is_late = processes.asked.is_some_and(|asked| now >= asked + STOP_TIMEOUT);
                    let is_silent =
                        self.supervisor.entries[service.index()].fault == Some(EndReason::Watchdog);
                    let may_kill = is_late || processes.is_aborted || is_silent;
                    assert!(may_kill || processes.program == Program::Finish, "killed before the deadline");
                    processes.killed.get_or_insert(now);
                }
                Action::Signal { .. } => {}
                Action::EndBoard { service, .. } => assert_eq!(self.supervisor.name(service), "d"),
                Action::Persist => self.supervisor.handle_persisted(Ok(())),
            }
        }
    }

    /// Asserts that a service may start: those before it are ready, late or not wanted.
    fn may_start(&self, service: ServiceId) {
        let spec = self.supervisor.table.get(service).unwrap();
        for (names, is_required) in [(&spec.after, false), (&spec.requires, true)] {
            for other in names.iter().map(|name| self.supervisor.table.find(name).unwrap()) {
                let status = self.supervisor.status(other, self.now);
                let is_late = self.supervisor.entries[other.index()].readiness == Readiness::Late;
                // A watchdog may expire after the start, at the same time.
                let is_over = status.is_ready || status.state == Stopping && status.is_wanted;
                let may_start = is_over || !is_required && (is_late || !status.is_wanted);
                assert!(may_start, "{} before {}: {status:?}", spec.name, self.supervisor.name(other));
            }
        }
    }

    fn check(&mut self) {
        while let Some((service, _)) = self.supervisor.poll_settled() {
            assert!(self.starts[service.index()], "settled without a start");
            self.starts[service.index()] = false;
        }
        while let Some(change) = self.supervisor.poll_change() {
            self.reported[change.service.index()] = change.state;
        }
        for (index, processes) in self.services.iter().enumerate() {
            let status = self.supervisor.status(id(index), self.now);
            assert_eq!(self.supervisor.is_settled(id(index)), !self.starts[index]);
            // That a start was requested is not reported.
            assert!(self.reported[index] == status.state || status.state == Starting);
            let waits = processes.exist() || processes.is_pending;
            match status.state {
                Started | Paused => assert_eq!(status.pid, processes.leader),
                Stopping => assert!(waits, "{processes:?}"),
                Stopped | Failed | Finished => {
                    assert!(!waits || processes.are_given_up(self.now), "{processes:?}")
                }
                Starting => {
                    let is_over = !processes.exist() || processes.are_given_up(self.now);
                    let is_prepared = processes.program == Program::PreStart;
                    assert!(processes.is_pending || is_prepared || is_over, "{processes:?}");
                }
            }
            self.decided[index] |= self.supervisor.entries[index].phase != Phase::Blocked;
            assert!(status.state != Finished || status.is_ready && status.pid == 0);
            assert!(self.supervisor.history(id(index)).count() <= crate::service::SERVICE_HISTORY);
        }
    }

    /// Lets the time pass to the next deadline; false without one.
    fn pass(&mut self) -> bool {
        let Some(due) = self.supervisor.poll_timeout() else { return false };
        self.now = self.now.max(due);
        self.supervisor.handle_timeout(self.now);
        self.run_actions();
        self.check();
        true
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn every_sequence_keeps_the_invariants(
        inputs in proptest::collection::vec(input(), 0..160),
        seed in any::<u64>(),
        run_all in any::<bool>(),
    ) {
        crate::log::set_level(crate::log::Level::Off);
        let mut table = ServiceTable::new();
        for (name, kind, restart, after, requires) in [
            ("a", ServiceKind::Oneshot, RestartPolicy::Never, &[][..], &[][..]),
            ("b", ServiceKind::Simple, RestartPolicy::OnFailure, &["a"], &[]),
            ("c", ServiceKind::Notify, RestartPolicy::Always, &["a", "b"], &[]),
            ("d", ServiceKind::Simple, RestartPolicy::Never, &["b"], &["c"]),
            ("e", ServiceKind::Notify, RestartPolicy::Always, &[], &["a", "d"]),
        ] {
            let list = |names: &[&str]| names.iter().map(|name| (*name).try_into().unwrap()).collect();
            let (after, requires) = (list(after), list(requires));
            let watchdog = (kind == ServiceKind::Notify).then_some(at(5));
            let mut spec = Spec::new(name, &["program"]).unwrap();
            let [pre_start, stop_command, finish] = ["be", "cd", "ace"].map(|names| names.contains(name));
            for (is_set, program) in [
                (pre_start, &mut spec.pre_start),
                (stop_command, &mut spec.stop_command),
                (finish, &mut spec.finish),
            ] {
                if is_set {
                    program.push("program").unwrap();
                }
            }
            spec.on_failure = (name == "d").then_some(BoardEnd::Reboot);
            if name == "a" {
                spec.schedule.every = Some(at(40));
                spec.schedule.at.push(60).unwrap();
            }
            table.push(Spec { kind, restart, after, requires, watchdog, ..spec }).unwrap();
        }
        let mut supervisor = Supervisor::new(table);
        supervisor.set_seed(seed);
        let mut system = System {
            supervisor,
            services: [Processes::NONE; SERVICES],
            starts: [false; SERVICES],
            decided: [false; SERVICES],
            reported: [Stopped; SERVICES],
            born: 0,
            now: Duration::ZERO,
        };
        for input in inputs {
            system.apply(input);
        }
        // Every start settles, and a shutdown ends in time, without a word of the keeper.
        let start = system.now;
        while system.starts != [false; SERVICES] {
            prop_assert!(system.pass());
        }
        prop_assert!(system.now <= start + LONGEST);
        // Every enabled service is started or failed in time, too.
        for service in 0..SERVICES {
            system.supervisor.set_enabled(id(service), true);
        }
        system.decided = [false; SERVICES];
        system.supervisor.start_enabled(system.now);
        system.run_actions();
        system.check();
        let start = system.now;
        while system.decided != [true; SERVICES] {
            prop_assert!(system.pass());
        }
        prop_assert!(system.now <= start + LONGEST);
        if run_all {
            for service in 0..SERVICES {
                system.apply(Input::Verb(service, 0));
                system.apply(Input::Answer(service, true));
            }
        }
        system.supervisor.shutdown(system.now);
        system.run_actions();
        let start = system.now;
        while !system.supervisor.is_down() {
            prop_assert!(system.pass());
        }
        prop_assert!(system.now <= start + system.supervisor.shutdown_time());
    }
}
