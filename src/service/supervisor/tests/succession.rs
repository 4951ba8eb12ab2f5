//! A server that ends in any phase of a service, and what ends before the next one: the service has the end that it would
//! have had with one server.

use super::life::program;
use super::*;
use crate::service::{
    Check, CheckError, CheckId, CheckKind, Ended, Endpoint, Inherited, InheritedProcess, Memo, Notice,
    ProcessEvent,
};

/// The service, which requires the other one.
const SERVICE: usize = 1;
const BASE: usize = 0;
/// Failure of a program that the keeper has killed.
const KILLED: SpawnError = SpawnError::new(SpawnStage::Timeout, 125);
/// Exit code that counts as success.
const SUCCESS: i32 = 3;

/// Process of the service, as the keeper has it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Process {
    None,
    Launching,
    Running,
    /// Its leader has ended, and others are left.
    Rest,
}

/// End of something, with or without a server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Event {
    Nothing,
    /// The leader with this code, and all others.
    Exits(i32),
    /// The leader with this code, and no other.
    Leaves(i32),
    /// The start of the program.
    Fails,
    /// The rest of its group.
    Goes,
}

const EVENTS: [Event; 7] = [
    Event::Nothing,
    Event::Exits(0),
    Event::Exits(SUCCESS),
    Event::Exits(7),
    Event::Leaves(7),
    Event::Fails,
    Event::Goes,
];

/// Server and keeper with one service.
struct World {
    supervisor: Supervisor,
    memos: [Option<Memo>; 2],
    program: Program,
    process: Process,
    ended: Option<Ended>,
    last_signal: Option<Signal>,
    started: Duration,
    now: Duration,
    /// Programs that were started.
    programs: List<Program>,
}

impl World {
    fn new(change: &dyn Fn(&mut Spec)) -> Self {
        let mut spec = Spec::new("web", &["program"]).unwrap();
        spec.success_codes.push(SUCCESS as u8).unwrap();
        spec.requires.push("base".try_into().unwrap()).unwrap();
        spec.max_runtime = Some(at(60));
        spec.ready_timeout = at(30);
        change(&mut spec);
        let mut table = ServiceTable::new();
        table.push(Spec::new("base", &["program"]).unwrap()).unwrap();
        table.push(spec).unwrap();
        let kind = CheckKind::Connect(Endpoint::tcp("127.0.0.1:80").unwrap());
        let check = Check { service: Some(id(SERVICE)), limit: 1, grace: at(0), ..Check::new("up", kind) };
        table.push_check(check).unwrap();
        Self {
            supervisor: Supervisor::new(table),
            memos: [None; 2],
            program: Program::Main,
            process: Process::None,
            ended: None,
            last_signal: None,
            started: at(0),
            now: at(0),
            programs: List::new(),
        }
    }

    /// Carries the actions out, and stores what the next server has to know.
    fn step(&mut self) {
        while let Some(action) = self.supervisor.poll_action() {
            match action {
                Action::Spawn { service, .. } if service == id(BASE) => {
                    self.supervisor.handle_spawned(service, Ok(99), self.now);
                }
                Action::Spawn { program, .. } => {
                    self.programs.push(program);
                    if program != Program::Stop {
                        assert!(matches!(self.process, Process::None), "{:?}", self.programs);
                        (self.program, self.process) = (program, Process::Launching);
                        (self.started, self.last_signal) = (self.now, None);
                    }
                }
                Action::Signal { service, signal, .. } if service == id(SERVICE) && signal.can_end() => {
                    self.last_signal = Some(signal).filter(|_| self.process != Process::None);
                }
                _ => {}
            }
        }
        while let Some((service, memo)) = self.supervisor.poll_memo() {
            assert_eq!(Memo::decode(memo.encode()), Some(memo));
            self.memos[service.index()] = Some(memo);
        }
    }

    fn command(&mut self, verb: Verb) {
        self.supervisor.handle_command(id(SERVICE), verb, self.now).unwrap();
        self.step();
    }

    fn report(&mut self, event: ProcessEvent) {
        self.supervisor.handle_event(id(SERVICE), event, self.now);
        self.step();
    }

    /// Lets the program run that is being started.
    fn launch(&mut self) {
        assert_eq!(self.process, Process::Launching);
        self.process = Process::Running;
        self.report(ProcessEvent::Spawned(Ok(5)));
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        self.supervisor.handle_timeout(self.now);
        self.step();
    }

    /// Returns false for an event that is none of this process.
    fn can(&self, event: Event) -> bool {
        match self.process {
            Process::None => event == Event::Nothing,
            Process::Launching if self.last_signal == Some(Signal::Kill) => event == Event::Nothing,
            Process::Launching => matches!(event, Event::Nothing | Event::Fails),
            Process::Running => !matches!(event, Event::Fails | Event::Goes),
            Process::Rest => matches!(event, Event::Nothing | Event::Goes),
        }
    }

    /// Returns the report of an event.
    fn end(&mut self, event: Event) -> Option<ProcessEvent> {
        let (report, result) = match event {
            Event::Nothing => return None,
            Event::Exits(code) => (self.exited(code, true), Ok(Exit::Code(code))),
            Event::Leaves(code) => (self.exited(code, false), Ok(Exit::Code(code))),
            Event::Fails => (ProcessEvent::Spawned(Err(MISSING)), Err(MISSING)),
            Event::Goes => {
                self.process = Process::None;
                return Some(ProcessEvent::Gone);
            }
        };
        if self.program != Program::Finish {
            self.ended = Some(Ended { program: self.program, result, ran: self.now - self.started });
        }
        self.process = if matches!(event, Event::Leaves(_)) { Process::Rest } else { Process::None };
        Some(report)
    }

    fn exited(&self, code: i32, is_gone: bool) -> ProcessEvent {
        ProcessEvent::Exited { exit: Exit::Code(code), is_gone }
    }

    fn happens(&mut self, event: Event) {
        if let Some(report) = self.end(event) {
            self.report(report);
        }
    }

    /// Puts another server in the place of this one, between which something may end.
    fn succeed(&mut self, event: Event) {
        self.end(event);
        self.now += at(1);
        let is_rest_of_main = self.program == Program::Main && self.last_signal != Some(Signal::Kill);
        let process = match (self.process, self.program) {
            (Process::None, _) => InheritedProcess::None,
            (Process::Launching, _) => InheritedProcess::Aborted,
            (Process::Running, Program::PreStart) => InheritedProcess::Killed { pid: 5 },
            (Process::Running, _) => InheritedProcess::Running { pid: 5, started: self.started },
            (Process::Rest, _) if is_rest_of_main => {
                InheritedProcess::Ending { is_signalled: self.last_signal.is_some() }
            }
            (Process::Rest, _) => InheritedProcess::Killed { pid: 0 },
        };
        let base = self.supervisor.status(id(BASE), self.now);
        let base_process = match base.pid {
            0 => InheritedProcess::None,
            pid => InheritedProcess::Running { pid, started: at(0) },
        };
        let all = [(BASE, Program::Main, base_process, None), (SERVICE, self.program, process, self.ended)];
        let all = all.map(|(index, program, process, ended)| {
            (id(index), Inherited { memo: self.memos[index].unwrap(), process, program, ended })
        });
        self.supervisor = Supervisor::new(self.supervisor.table.clone());
        self.supervisor.inherit(&all, self.now);
        self.supervisor.start_enabled(self.now);
        self.step();
        let exit = Exit::signal(9);
        let (report, result) = match process {
            InheritedProcess::Aborted => (ProcessEvent::Spawned(Err(KILLED)), Err(KILLED)),
            InheritedProcess::Killed { pid: 0 } => (ProcessEvent::Gone, Ok(exit)),
            InheritedProcess::Killed { .. } => (ProcessEvent::Exited { exit, is_gone: true }, Ok(exit)),
            _ => return,
        };
        self.process = Process::None;
        if report != ProcessEvent::Gone && self.program != Program::Finish {
            self.ended = Some(Ended { program: self.program, result, ran: self.now - self.started });
        }
        self.report(report);
    }

    /// Goes on until nothing more happens: programs start, those beside the service end well, and those that are to end do.
    fn settle(&mut self) {
        for _ in 0..20 {
            match (self.process, self.program) {
                (Process::Launching, _) if self.last_signal == Some(Signal::Kill) => {
                    self.process = Process::None;
                    self.report(ProcessEvent::Spawned(Err(KILLED)));
                }
                (Process::Launching, _) => self.launch(),
                (Process::Rest, _) => self.happens(Event::Goes),
                (Process::Running, Program::Main) if self.last_signal.is_none() => {
                    if self.programs.last() != Some(&Program::Stop) {
                        return;
                    }
                    self.happens(Event::Exits(0));
                }
                (Process::Running, _) => self.happens(Event::Exits(0)),
                (Process::None, _) => return,
            }
        }
        panic!("it never settles: {:?}", self.programs);
    }

    fn is_waiting(&self) -> bool {
        matches!(self.supervisor.entries[SERVICE].phase, Phase::Waiting | Phase::Blocked)
    }

    fn ends(&self) -> usize {
        self.supervisor.history(id(SERVICE)).count()
    }

    /// Outcome, with the ends after these ones.
    fn outcome(&self, known: usize) -> Outcome {
        let status = self.supervisor.status(id(SERVICE), self.now);
        let spec = self.supervisor.spec(id(SERVICE)).unwrap();
        let reason = status.reason().map(|reason| reason.text(spec).to_string());
        let ends = self.supervisor.history(id(SERVICE)).skip(known);
        let ends = ends.map(|run| (run.reason, run.ran, run.exit.text(spec).to_string())).collect();
        let finished = self.programs.iter().filter(|program| **program == Program::Finish).count();
        Outcome { state: status.state, reason, ends, finished }
    }
}

/// End of a service as its user sees it.
#[derive(Debug, Eq, PartialEq)]
struct Outcome {
    state: State,
    reason: Option<String>,
    /// Ends that the next server has seen: the history begins again with it.
    ends: List<(EndReason, Duration, String)>,
    /// Runs of `finish`.
    finished: usize,
}

/// Way to a phase.
type Way = fn(&mut World);

fn prepare(world: &mut World) {
    world.command(Verb::Start);
}

fn run_pre_start(world: &mut World) {
    prepare(world);
    world.launch();
}

fn launch(world: &mut World) {
    run_pre_start(world);
    world.happens(Event::Exits(0));
}

fn run(world: &mut World) {
    launch(world);
    world.launch();
}

fn stop_of_base(world: &mut World) {
    let exit = ProcessEvent::Exited { exit: Exit::Code(1), is_gone: true };
    world.supervisor.handle_event(id(BASE), exit, world.now);
    world.step();
}

/// Every phase, with the ways to it.
const PHASES: &[(&str, Way)] = &[
    ("pre_start is being started", prepare),
    ("pre_start runs", run_pre_start),
    ("the program is being started", launch),
    ("the program runs and is not ready", run),
    ("the program runs and is ready", |world| {
        run(world);
        world.wait(at(1));
    }),
    ("paused", |world| {
        run(world);
        world.command(Verb::Pause);
    }),
    ("pre_start is being stopped", |world| {
        run_pre_start(world);
        world.command(Verb::Stop);
    }),
    ("pre_start is being stopped for a restart", |world| {
        run_pre_start(world);
        world.command(Verb::Restart);
    }),
    ("pre_start is being stopped, it had its time", |world| {
        run_pre_start(world);
        world.wait(at(30));
    }),
    ("pre_start is being stopped, base failed", |world| {
        run_pre_start(world);
        stop_of_base(world);
    }),
    ("pre_start has failed and left processes", |world| {
        run_pre_start(world);
        world.happens(Event::Leaves(7));
    }),
    ("pre_start has left processes", |world| {
        run_pre_start(world);
        world.happens(Event::Leaves(0));
    }),
    ("the start is being cancelled", |world| {
        launch(world);
        world.command(Verb::Stop);
    }),
    ("the start had its time", |world| {
        launch(world);
        world.wait(at(30));
    }),
    ("stop_command runs", |world| {
        run(world);
        world.command(Verb::Stop);
    }),
    ("stop_command runs for a restart", |world| {
        run(world);
        world.command(Verb::Restart);
    }),
    ("the program is being stopped", |world| {
        run(world);
        world.command(Verb::Stop);
        world.report(ProcessEvent::StopCommand(Ok(Exit::Code(0))));
    }),
    ("the program is being stopped, it ran too long", |world| {
        run(world);
        world.wait(at(60));
    }),
    ("the program is being stopped, it is unhealthy", |world| {
        run(world);
        world.wait(at(1));
        let attempt = world.supervisor.begin_check(CheckId::from_index(0).unwrap(), world.now);
        world.supervisor.handle_checked(attempt, Err(CheckError::Connect(111)), world.now);
        world.step();
    }),
    ("the program is being killed, its watchdog expired", |world| {
        run(world);
        world.report(ProcessEvent::Notified(Notice::READY));
        world.wait(at(50));
    }),
    ("the program is being stopped, base failed", |world| {
        run(world);
        stop_of_base(world);
    }),
    ("the program has left processes", |world| {
        run(world);
        world.happens(Event::Leaves(0));
    }),
    ("the program has failed and left processes", |world| {
        run(world);
        world.happens(Event::Leaves(7));
    }),
    ("what the program has left is being killed", |world| {
        run(world);
        world.happens(Event::Leaves(7));
        world.wait(at(10));
        assert_eq!(world.last_signal, Some(Signal::Kill));
    }),
    ("finish is being started", |world| {
        run(world);
        world.happens(Event::Exits(7));
    }),
    ("finish runs after a success", |world| {
        run(world);
        world.happens(Event::Exits(SUCCESS));
        world.launch();
    }),
    ("finish runs after a failure", |world| {
        run(world);
        world.happens(Event::Exits(7));
        world.launch();
    }),
    ("finish runs after a failed pre_start", |world| {
        run_pre_start(world);
        world.happens(Event::Exits(SUCCESS));
        world.launch();
    }),
    ("finish runs after a program that cannot be started", |world| {
        launch(world);
        world.happens(Event::Fails);
        world.launch();
    }),
    ("finish runs after a run that was too long", |world| {
        run(world);
        world.wait(at(60));
        world.happens(Event::Exits(0));
        world.launch();
    }),
    ("finish runs, base failed", |world| {
        run(world);
        stop_of_base(world);
        world.happens(Event::Exits(0));
        world.launch();
    }),
    ("finish runs after a stop", |world| {
        run(world);
        world.command(Verb::Stop);
        world.happens(Event::Exits(7));
        world.launch();
    }),
    ("finish runs for a restart", |world| {
        run(world);
        world.command(Verb::Restart);
        world.happens(Event::Exits(7));
        world.launch();
    }),
    ("waiting for others", |world| {
        stop_of_base(world);
        world.command(Verb::Start);
        assert_eq!(world.supervisor.entries[SERVICE].phase, Phase::Blocked);
    }),
    ("failed", |world| {
        run(world);
        world.happens(Event::Exits(7));
        world.settle();
    }),
    ("failed, base failed", |world| {
        run(world);
        stop_of_base(world);
        world.settle();
    }),
    ("pre_start had failed", |world| {
        run_pre_start(world);
        world.happens(Event::Exits(SUCCESS));
        world.settle();
    }),
    ("ended well", |world| {
        run(world);
        world.happens(Event::Exits(0));
        world.settle();
    }),
    ("stopped", |world| {
        run(world);
        world.command(Verb::Stop);
        world.happens(Event::Exits(7));
        world.settle();
    }),
];

/// Phases with a process that the next server does not have.
const BEGIN_AGAIN: [&str; 4] = [
    "pre_start is being started",
    "pre_start runs",
    "the program is being started",
    "finish is being started",
];

/// Change of a specification.
type Change = fn(&mut Spec);

/// Specifications that differ in what follows an end.
const SPECS: &[(&str, Change)] = &[
    ("never", |spec| spec.restart = RestartPolicy::Never),
    ("on-failure", |spec| spec.restart = RestartPolicy::OnFailure),
    ("always", |spec| spec.restart = RestartPolicy::Always),
    ("one-shot", |spec| (spec.kind, spec.restart) = (ServiceKind::Oneshot, RestartPolicy::Never)),
    ("one short run", |spec| (spec.restart, spec.start_limit) = (RestartPolicy::Always, 1)),
];

#[test]
fn end_of_a_service_does_not_depend_on_an_end_of_the_server() {
    let mut differences = List::new();
    let mut count = 0;
    for (phase, way) in PHASES {
        for (name, change) in SPECS {
            for event in EVENTS {
                let change = |spec: &mut Spec| {
                    spec.pre_start = program("/bin/prepare");
                    spec.stop_command = program("/bin/ask");
                    spec.finish = program("/bin/clean");
                    if phase.contains("watchdog") {
                        (spec.kind, spec.watchdog) = (ServiceKind::Notify, Some(at(50)));
                    }
                    change(spec);
                };
                let mut worlds = [(); 3].map(|()| World::new(&change));
                for world in &mut worlds {
                    world.supervisor.handle_command(id(BASE), Verb::Start, world.now).unwrap();
                    world.step();
                    world.wait(at(1));
                    way(world);
                    world.now += at(1);
                }
                let [one, two, three] = &mut worlds;
                if !one.can(event) || phase.contains("watchdog") && *name == "one-shot" {
                    continue;
                }
                let (known, is_waiting) = (one.ends(), one.is_waiting());
                one.happens(event);
                one.now += at(1);
                one.settle();
                two.succeed(event);
                two.settle();
                // Another one dies as soon as it has taken the service over.
                three.succeed(event);
                three.succeed(Event::Nothing);
                three.settle();
                // Its pause ends with the server.
                for world in [&mut *one, two, three].into_iter().filter(|_| is_waiting) {
                    world.wait(at(1));
                    world.settle();
                }
                count += 1;
                let (mut expected, outcome) = (one.outcome(known), two.outcome(0));
                if BEGIN_AGAIN.contains(phase) && event == Event::Nothing {
                    // It was ended, and so `finish` ran; that was started twice.
                    expected.finished += 1;
                }
                let third = three.outcome(0);
                let is_same = (third.state, &third.reason) == (expected.state, &expected.reason);
                let is_started = (third.state, expected.state) == (Started, Starting);
                if outcome != expected || !is_same && !is_started {
                    differences.push(format!(
                        "{phase}, {name}, {event:?}:\n  {outcome:?}\n  {third:?}\n  {expected:?} expected"
                    ));
                }
            }
        }
    }
    assert!(differences.is_empty(), "{} of {count}:\n{}", differences.len(), differences.join("\n"));
}
