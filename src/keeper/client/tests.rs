//! Tests with real processes: the keeper's loop and the server's side of it, in one thread.

mod attributes;
mod checks;

use std::fs;
use std::path::Path;
use std::sync::MutexGuard;

use rustix::process::Pid;

use super::super::HANDLED;
use super::super::main_loop::MainLoop;
use super::super::server_socket::ServerSocket;
use super::*;
use crate::runtime::block_on;
use crate::service::{
    Action, Arguments, CommandAction, CommandError, Exit, LastExit, NamedCommand, ServiceTable, SpawnError,
    SpawnStage, Spec, State, Status, Supervisor, Verb,
};
use crate::sys::Clock;
use crate::sys::fork::SignalFd;
use crate::sys::tests::lock_children;

const TIMEOUT: Duration = Duration::from_secs(30);

/// Keeper, processes and supervisor without the rest of the server.
struct Fixture {
    keeper: MainLoop,
    processes: Rc<Processes>,
    supervisor: Supervisor,
    tasks: Tasks,
    start: Instant,
    settled: Option<Result<(), CommandError>>,
    _lock: MutexGuard<'static, ()>,
}

impl Fixture {
    fn new(services: Vec<Spec>) -> Self {
        let mut table = ServiceTable::new();
        for spec in services {
            table.push(spec).unwrap();
        }
        Self::of(table)
    }

    fn of(table: ServiceTable) -> Self {
        // A machine may be slow, and only some tests are about this time.
        Self::with_command_timeout(table, TIMEOUT)
    }

    fn with_command_timeout(table: ServiceTable, timeout: Duration) -> Self {
        let lock = lock_children();
        let (keeper, server) = ServerSocket::pair().unwrap();
        let mut processes = Processes::new(&table, server, None, Rc::default()).unwrap();
        processes.command_timeout = timeout;
        let signals = SignalFd::new(&HANDLED[..1]).unwrap();
        let mut fixture = Self {
            keeper: MainLoop::new(table.clone(), Clock::new(), keeper, None, None, signals),
            tasks: Tasks::new(processes.task_count()),
            processes: Rc::new(processes),
            supervisor: Supervisor::new(table),
            start: Instant::now(),
            settled: None,
            _lock: lock,
        };
        fixture.processes.spawn_tasks(&mut fixture.tasks).unwrap();
        fixture
    }

    fn run_actions(&mut self) {
        while let Some(action) = self.supervisor.poll_action() {
            match action {
                Action::Spawn { service, program } => self.processes.spawn(service, program),
                Action::Signal { service, signal, scope } => self.processes.signal(service, signal, scope),
                Action::EndBoard { .. } => panic!("no service restarts the board"),
                Action::Persist => self.supervisor.handle_persisted(Ok(())),
            }
        }
        while let Some((_, result)) = self.supervisor.poll_settled() {
            self.settled = Some(result);
        }
    }

    /// Runs the keeper and the tasks, then handles events and deadlines.
    fn step(&mut self) {
        self.keeper.step();
        let timer = Timer::new().unwrap();
        let processes = Rc::clone(&self.processes);
        let step = async {
            let pause = async {
                for _ in 0..20 {
                    yield_now().await;
                }
                timer.after(Duration::from_millis(1)).await;
                None
            };
            smol::future::or(processes.next_event(), pause).await
        };
        if let Some(KeeperEvent::Process(service, event)) = block_on(&mut self.tasks, step).unwrap() {
            self.supervisor.handle_event(service, event, self.start.elapsed());
        }
        self.supervisor.handle_timeout(self.start.elapsed());
        self.run_actions();
    }

    fn until(&mut self, condition: &str, mut is_true: impl FnMut(&mut Self) -> bool) {
        let start = Instant::now();
        while !is_true(self) {
            assert!(start.elapsed() < TIMEOUT, "{condition}: {:?}", self.status());
            self.step();
        }
    }

    fn command(&mut self, verb: Verb) -> Result<(), CommandError> {
        self.settled = None;
        self.supervisor.handle_command(id(0), verb, self.start.elapsed())?;
        self.run_actions();
        if self.supervisor.is_settled(id(0)) {
            return self.supervisor.take_result(id(0));
        }
        self.until("the command settles", |fixture| fixture.settled.is_some());
        self.settled.take().unwrap()
    }

    fn status(&self) -> Status {
        self.supervisor.status(id(0), self.start.elapsed())
    }

    fn output(&self) -> String {
        let mut bytes = vec![0; SERVICE_OUTPUT_BYTES];
        let (_, length) = self.processes.copy_output(id(0), None, &mut bytes);
        bytes.truncate(length);
        String::from_utf8(bytes).unwrap()
    }

    /// Starts the only service and waits for its exit.
    fn run(services: Vec<Spec>) -> Self {
        let mut fixture = Self::new(services);
        fixture.command(Verb::Start).unwrap();
        fixture.until("it exits", |fixture| fixture.status().pid == 0);
        fixture
    }

    /// Runs the first command of the only service.
    fn run_command(&self, ticket: u64) -> Result<(), RunError> {
        self.processes.run_command(id(0), 0, ticket, None)
    }

    fn outcome(&mut self) -> (u64, RunEnd, bool, bool, Vec<u8>) {
        let (owner, end, timed_out, is_cut, output) = self.end_of_run();
        let RunOwner::Call(ticket) = owner else { panic!("{owner:?}") };
        (ticket, end, timed_out, is_cut, output)
    }

    fn end_of_run(&mut self) -> (RunOwner, RunEnd, bool, bool, Vec<u8>) {
        let mut outcome = None;
        self.until("a command is done", |fixture| {
            outcome = fixture.processes.poll_command_done().map(|done| {
                (done.owner(), done.end(), done.timed_out(), done.is_cut(), done.output().to_vec())
            });
            outcome.is_some()
        });
        outcome.unwrap()
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        // For tests that fail.
        self.keeper.end_children();
    }
}

fn id(index: usize) -> ServiceId {
    ServiceId::from_index(index).unwrap()
}

fn service(argv: &[&str]) -> Spec {
    Spec::new("test", argv).unwrap()
}

fn script(text: &str) -> Spec {
    service(&["sh", "-c", text])
}

/// A service with one command.
fn with_command(argv: &[&str]) -> Spec {
    let mut spec = service(&["true"]);
    let action = CommandAction::Argv(arguments(argv));
    spec.commands.push(NamedCommand { name: "c".try_into().unwrap(), action }).unwrap();
    spec
}

fn arguments(argv: &[&str]) -> Arguments {
    service(argv).argv
}

fn killed() -> LastExit {
    LastExit::Signal { signal: 9, core: false, oom: false }
}

fn terminated() -> LastExit {
    LastExit::Signal { signal: 15, core: false, oom: false }
}

fn exists(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

/// Open pipes of this process. Other tests may open some for a moment.
fn pipes() -> usize {
    let is_pipe = |entry: &fs::DirEntry| {
        fs::read_link(entry.path()).is_ok_and(|target| target.to_string_lossy().starts_with("pipe:"))
    };
    fs::read_dir("/proc/self/fd").unwrap().flatten().filter(is_pipe).count()
}

#[test]
fn starts_and_stops() {
    let mut fixture = Fixture::new(vec![service(&["sleep", "1000"])]);
    fixture.command(Verb::Start).unwrap();
    let pid = fixture.status().pid;
    assert!(exists(pid));
    let leader = Pid::from_raw(pid.cast_signed()).unwrap();
    assert_eq!(rustix::process::getpgid(Some(leader)).unwrap(), leader);
    fixture.command(Verb::Stop).unwrap();
    fixture.until("it exits", |fixture| fixture.status().state == State::Stopped);
    assert!(!exists(pid));
    assert_eq!(fixture.status().last_exit, terminated());
}

#[test]
fn process_that_ignores_the_signal_is_killed() {
    let mut spec = script("trap '' TERM; echo ready; while :; do sleep 1000; done");
    spec.stop_timeout = Duration::from_millis(50);
    let mut fixture = Fixture::new(vec![spec]);
    fixture.command(Verb::Start).unwrap();
    fixture.until("it runs", |fixture| fixture.output() == "ready\n");
    fixture.command(Verb::Stop).unwrap();
    fixture.until("it exits", |fixture| fixture.status().state == State::Stopped);
    assert_eq!(fixture.status().last_exit, killed());
}

#[test]
fn paused_service_can_be_continued_and_stopped() {
    let mut fixture = Fixture::new(vec![service(&["sleep", "1000"])]);
    fixture.command(Verb::Start).unwrap();
    let pid = fixture.status().pid;
    let stat = move || fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    fixture.command(Verb::Pause).unwrap();
    fixture.until("it is paused", |_| stat().contains(") T "));
    assert_eq!(fixture.status().state, State::Paused);
    fixture.command(Verb::Start).unwrap();
    fixture.until("it continues", |_| stat().contains(") S "));
    fixture.command(Verb::Pause).unwrap();
    fixture.command(Verb::Stop).unwrap();
    fixture.until("it exits", |fixture| fixture.status().state == State::Stopped);
    assert_eq!(fixture.status().last_exit, terminated());
}

#[test]
fn environment_is_not_inherited() {
    let mut spec = script("echo \"$PATH|$FOO|$CARGO_MANIFEST_DIR|$HOME|$PWD\"; echo bad >&2; cat");
    spec.env.push("FOO=a=b").unwrap();
    spec.cwd = "/usr".try_into().unwrap();
    let fixture = Fixture::run(vec![spec]);
    let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    assert_eq!(fixture.output(), format!("{path}|a=b|||/usr\nbad\n"));
    assert_eq!(fixture.status().last_exit, LastExit::Code(0));
}

#[test]
fn only_root_can_switch_the_user() {
    let mut spec = script("echo $(id -u) $(id -g) $(id -G) $HOME $USER");
    spec.user = "4242:4343".try_into().unwrap();
    if rustix::process::geteuid().is_root() {
        let fixture = Fixture::run(vec![spec]);
        assert_eq!(fixture.output(), "4242 4343 4343 / 4242\n");
    } else {
        let mut fixture = Fixture::new(vec![spec]);
        assert_eq!(
            fixture.command(Verb::Start),
            Err(CommandError::Spawn(SpawnError::new(SpawnStage::User, 1)))
        );
    }
}

#[test]
fn own_user_does_not_need_root() {
    let mut spec = script("id -u");
    let own = rustix::process::geteuid().as_raw().to_string();
    spec.user = own.as_str().try_into().unwrap();
    assert_eq!(Fixture::run(vec![spec]).output(), format!("{own}\n"));
}

#[test]
fn newest_output_is_kept() {
    let text = "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done";
    let output = Fixture::run(vec![script(text)]).output();
    assert_eq!(output.len(), SERVICE_OUTPUT_BYTES);
    assert!(output.ends_with("line 19998\nline 19999\n"));
}

#[test]
fn output_up_to_its_limit_is_whole() {
    // The newline is added at the exit.
    let zeros = SERVICE_OUTPUT_BYTES - "first\n".len() - "\n".len();
    let text = format!("echo first; head -c {zeros} /dev/zero");
    let output = Fixture::run(vec![script(&text)]).output();
    assert_eq!(output.len(), SERVICE_OUTPUT_BYTES);
    assert!(output.starts_with("first\n"));
}

#[test]
fn two_hundred_runs_leave_no_process_and_no_pipe() {
    let mut fixture = Fixture::new(vec![script("echo $$")]);
    let before = pipes();
    for _ in 0..200 {
        fixture.command(Verb::Start).unwrap();
        fixture.until("it exits", |fixture| fixture.status().state == State::Stopped);
    }
    fixture.until("the pipes are closed", |_| pipes() <= before);
    let output = fixture.output();
    let pids: Vec<u32> = output.lines().map(|pid| pid.parse().unwrap()).collect();
    assert_eq!(pids.len(), 200);
    assert!(pids.iter().all(|pid| !exists(*pid)));
}

#[test]
fn service_with_endless_output_does_not_block_others() {
    let mut spec = with_command(&["echo", "hi"]);
    spec.argv = arguments(&["yes"]);
    let mut fixture = Fixture::new(vec![spec]);
    fixture.command(Verb::Start).unwrap();
    fixture.run_command(1).unwrap();
    let (_, end, timed_out, _, output) = fixture.outcome();
    assert_eq!(output, b"hi\n", "{end:?}, timed out: {timed_out}");
    fixture.command(Verb::Stop).unwrap();
    fixture.until("it exits", |fixture| fixture.status().state == State::Stopped);
}

#[test]
fn command_reports_its_output_and_exit() {
    let mut spec = with_command(&["sh", "-c", "echo out $A; echo err >&2; exit 3"]);
    spec.env.push("A=1").unwrap();
    let mut fixture = Fixture::new(vec![spec]);
    fixture.run_command(77).unwrap();
    assert!(fixture.processes.poll_command_done().is_none());
    let end = RunEnd::Exited(Exit::Code(3));
    assert_eq!(fixture.outcome(), (77, end, false, false, b"out 1\nerr\n".to_vec()));
    assert!(fixture.processes.poll_command_done().is_none());
}

#[test]
fn command_without_its_program_reports_the_error() {
    let mut fixture = Fixture::new(vec![with_command(&["/no/such"])]);
    fixture.run_command(1).unwrap();
    let end = RunEnd::Failed(SpawnError::new(SpawnStage::Program, 2));
    assert_eq!(fixture.outcome(), (1, end, false, false, vec![]));
}

#[test]
fn command_output_is_cut_at_its_limit() {
    for (bytes, is_cut) in [(COMMAND_OUTPUT_BYTES, false), (COMMAND_OUTPUT_BYTES + 1, true)] {
        let text = format!("head -c {bytes} /dev/zero");
        let mut fixture = Fixture::new(vec![with_command(&["sh", "-c", &text])]);
        fixture.run_command(1).unwrap();
        let (_, end, _, cut, output) = fixture.outcome();
        let length = COMMAND_OUTPUT_BYTES;
        assert_eq!((end, cut, output.len()), (RunEnd::Exited(Exit::Code(0)), is_cut, length));
    }
}

#[test]
fn commands_over_their_limit_are_rejected() {
    let mut fixture = Fixture::new(vec![with_command(&["echo"])]);
    let tickets = 0..SERVICE_COMMAND_RUNS as u64;
    for ticket in tickets.clone() {
        fixture.run_command(ticket).unwrap();
    }
    assert_eq!(fixture.run_command(9), Err(RunError::Full));
    let mut seen: Vec<u64> = tickets.clone().map(|_| fixture.outcome().0).collect();
    seen.sort_unstable();
    assert!(seen.into_iter().eq(tickets));
    fixture.run_command(9).unwrap();
    assert_eq!(fixture.outcome().0, 9);
}

#[test]
fn user_has_a_share_of_the_runs_and_an_administrator_the_last() {
    let fixture = Fixture::new(vec![with_command(&["sleep", "1000"])]);
    let run = |ticket, user| fixture.processes.run_command(id(0), 0, ticket, user);
    let [user, other] = [CHECKS, UserId::LOCAL_OWNER].map(Some);
    let mut runs = 0..;
    let mut count = |user| runs.by_ref().take_while(|ticket| run(*ticket, user).is_ok()).count();
    assert_eq!(count(user), SHARED_RUNS.div_ceil(2));
    assert!(count(other) > 0, "a user leaves runs for the next one");
    while count(user) + count(other) > 0 {}
    assert!(!fixture.processes.has_room_for_check());
    assert_eq!(count(None), SERVICE_COMMAND_RUNS - SHARED_RUNS);
    fixture.processes.kill_commands();
}

#[test]
fn command_is_killed_with_its_group_after_the_timeout() {
    let mut table = ServiceTable::new();
    table.push(with_command(&["sh", "-c", "sleep 1000 & echo $!; wait"])).unwrap();
    let mut fixture = Fixture::with_command_timeout(table, Duration::from_secs(2));
    fixture.run_command(5).unwrap();
    let (ticket, end, timed_out, _, output) = fixture.outcome();
    assert_eq!((ticket, end, timed_out), (5, RunEnd::Exited(Exit::signal(9)), true));
    let child: u32 = String::from_utf8(output).unwrap().trim().parse().unwrap();
    fixture.until("its child is killed", |_| {
        let stat = fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        stat.is_empty() || stat.contains(") Z ")
    });
}

#[test]
fn commands_are_killed_at_shutdown() {
    let mut fixture = Fixture::new(vec![with_command(&["sleep", "1000"])]);
    fixture.run_command(5).unwrap();
    let deadline = fixture.processes.runs[0].deadline.get().unwrap();
    assert!(deadline <= Instant::now() + TIMEOUT);
    fixture.processes.kill_commands();
    let (_, end, timed_out, ..) = fixture.outcome();
    assert!(!timed_out && matches!(end, RunEnd::Exited(_) | RunEnd::Failed(_)), "{end:?}");
}

#[test]
fn failed_start_reports_its_stage_and_errno() {
    let file = std::env::temp_dir().join(format!("friendlet-plain-{}", std::process::id()));
    let script = file.with_extension("sh");
    fs::write(&file, "not a program").unwrap();
    // An editor of another system has left a carriage return in the first line.
    fs::write(&script, "#!/bin/sh\r\ntrue\r\n").unwrap();
    rustix::fs::chmod(&script, rustix::fs::Mode::from_raw_mode(0o755)).unwrap();
    let no_directory = Spec { cwd: "/no/such/directory".try_into().unwrap(), ..service(&["true"]) };
    let no_user = Spec { user: "no-such-user".try_into().unwrap(), ..service(&["true"]) };
    for (spec, stage, errno) in [
        (service(&["/no/such/program"]), SpawnStage::Program, 2),
        (service(&["no-such-program"]), SpawnStage::Program, 2),
        (service(&[file.to_str().unwrap()]), SpawnStage::Program, 13),
        (service(&["/"]), SpawnStage::Program, 13),
        (service(&[script.to_str().unwrap()]), SpawnStage::Interpreter, 2),
        (no_directory, SpawnStage::Directory, 2),
        (no_user, SpawnStage::User, 2),
    ] {
        let mut fixture = Fixture::new(vec![spec]);
        let pipes = pipes();
        let error = SpawnError::new(stage, errno);
        assert_eq!(fixture.command(Verb::Start), Err(CommandError::Spawn(error)));
        assert_eq!(fixture.status().state, State::Failed);
        assert_eq!(fixture.status().last_exit, LastExit::Spawn(error));
        fixture.until("no pipe is left open", |_| self::pipes() <= pipes);
    }
    fs::remove_file(file).unwrap();
    fs::remove_file(script).unwrap();
}

#[test]
fn ignored_and_blocked_signals_of_the_parent_do_not_reach_a_service() {
    let _lock = lock_children();
    drop(_lock);
    crate::sys::fork::ignore_signals(&[libc::SIGUSR2]);
    let fixture = Fixture::run(vec![service(&["grep", "-E", "Sig(Blk|Ign)", "/proc/self/status"])]);
    let mask = |name| {
        let output = fixture.output();
        let line = output.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
        u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap()
    };
    // Two signals of the C library have no disposition that a program could set.
    let own = 0b11 << 31;
    assert_eq!((mask("SigBlk"), mask("SigIgn") & !own), (0, 0));
}

#[test]
fn service_has_three_descriptors_and_one_of_a_parent_does_not_reach_it() {
    let foreign = File::open("/dev/null").unwrap();
    rustix::io::fcntl_setfd(&foreign, rustix::io::FdFlags::empty()).unwrap();
    let fixture = Fixture::run(vec![script("ls /proc/$$/fd; :")]);
    assert_eq!(fixture.output(), "0\n1\n2\n");
    drop(foreign);
}

#[test]
fn requests_wait_for_the_keeper_up_to_the_limit() {
    let mut fixture = Fixture::new(vec![service(&["true"])]);
    // The keeper does not read: its socket is full after some hundred of these.
    let mut sent = 0;
    while fixture.processes.requests.borrow().is_empty() {
        fixture.processes.signal(id(0), Signal::Cont, Scope::Group);
        sent += 1;
    }
    assert!(sent > 10, "{sent}");
    while !fixture.processes.requests.borrow().is_full() {
        fixture.processes.signal(id(0), Signal::Cont, Scope::Group);
    }
    assert_eq!(fixture.processes.requests.borrow().len(), REQUESTS);
    fixture.until("the keeper has read them", |fixture| fixture.processes.requests.borrow().is_empty());
    fixture.command(Verb::Start).unwrap();
}
