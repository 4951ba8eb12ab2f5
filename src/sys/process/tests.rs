//! Tests with real processes. Reaping affects every child of the test process, so each test that has
//! children calls [`lock_children`].

use std::fs;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::*;
use crate::limits::SERVICES;
use crate::runtime::{Tasks, block_on};
use crate::service::{
    Action, CommandError, LastExit, RestartPolicy, ServiceTable, State, Status, Supervisor, Verb,
};

/// Lock of every test that has children: no other test reaps them, or is left without its own.
pub(in crate::sys) fn lock_children() -> MutexGuard<'static, ()> {
    static CHILDREN: Mutex<()> = Mutex::new(());
    CHILDREN.lock().unwrap_or_else(PoisonError::into_inner)
}

const TIMEOUT: Duration = Duration::from_secs(30);

/// Processes and supervisor without the rest of the server.
struct Fixture {
    processes: Rc<Processes>,
    supervisor: Supervisor,
    tasks: Tasks,
    start: Instant,
    orphans: Vec<(u32, Exit)>,
    _lock: MutexGuard<'static, ()>,
}

impl Fixture {
    fn new(services: Vec<Spec>) -> Self {
        let lock = lock_children();
        let mut processes = Processes::new(services.len(), Rc::default());
        processes.command_timeout = Duration::from_millis(300);
        let mut table = ServiceTable::new();
        for spec in services {
            table.push(spec).unwrap();
        }
        let mut fixture = Self {
            tasks: Tasks::new(processes.task_count()),
            processes: Rc::new(processes),
            supervisor: Supervisor::new(table),
            start: Instant::now(),
            orphans: Vec::new(),
            _lock: lock,
        };
        fixture.processes.spawn_tasks(&mut fixture.tasks).unwrap();
        fixture
    }

    fn run_actions(&mut self) {
        while let Some(action) = self.supervisor.poll_action() {
            let now = self.start.elapsed();
            match action {
                Action::Spawn { service } => {
                    let spec = self.supervisor.table().get(service).unwrap();
                    let result = self.processes.spawn(spec, service);
                    self.supervisor.handle_spawned(service, result, now);
                }
                Action::Signal { pid, signal, .. } => {
                    let _ = self.processes.signal_group(pid, signal);
                }
                Action::Persist => self.supervisor.handle_persisted(true),
            }
        }
    }

    /// Runs the tasks, then handles exits and deadlines.
    fn step(&mut self) {
        let timer = Timer::new().unwrap();
        let step = async {
            for _ in 0..20 {
                yield_now().await;
            }
            timer.after(Duration::from_millis(1)).await;
        };
        block_on(&mut self.tasks, step).unwrap();
        while let Some((pid, exit)) = self.processes.reap() {
            let now = self.start.elapsed();
            if !self.supervisor.handle_exit(pid, exit, now) && !self.processes.handle_exit(pid, exit) {
                self.orphans.push((pid, exit));
            }
            self.run_actions();
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
        self.supervisor.handle_command(id(0), verb, self.start.elapsed())?;
        self.run_actions();
        self.supervisor.take_result(id(0))
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

    fn outcome(&mut self) -> (u64, Exit, bool, bool, Vec<u8>) {
        let mut outcome = None;
        self.until("a command is done", |fixture| {
            outcome = fixture.processes.poll_command_done().map(|done| {
                (done.ticket(), done.exit(), done.timed_out(), done.is_cut(), done.output().to_vec())
            });
            outcome.is_some()
        });
        outcome.unwrap()
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        // For tests that fail.
        self.processes.groups().for_each(kill_leader);
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

fn arguments(argv: &[&str]) -> Arguments {
    service(argv).argv
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
    assert_eq!(rustix::process::getpgid(to_pid(pid)).unwrap(), to_pid(pid).unwrap());
    fixture.command(Verb::Stop).unwrap();
    fixture.until("it exits", |fixture| fixture.status().state == State::Stopped);
    assert!(!exists(pid));
    assert_eq!(fixture.status().last_exit, LastExit::Signal(15));
}

#[test]
fn group_of_a_stopped_service_is_gone_though_it_ignores_the_signal() {
    // SIGTERM ends the leader, but not its child.
    let text = "trap '' TERM; sleep 1000 & echo $!; trap - TERM; exec sleep 1000";
    let mut fixture = Fixture::new(vec![script(text)]);
    fixture.command(Verb::Start).unwrap();
    fixture.until("it writes the pid of its child", |fixture| fixture.output().ends_with('\n'));
    let child: u32 = fixture.output().trim().parse().unwrap();
    assert!(exists(child));
    fixture.command(Verb::Stop).unwrap();
    fixture.until("it exits", |fixture| fixture.status().state == State::Stopped);
    assert!(!exists(child), "gone when the exit is reported");
    // Orphans of an earlier test may be among them.
    assert!(fixture.orphans.contains(&(child, Exit::Signal(9))), "{:?}", fixture.orphans);
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
    assert_eq!(fixture.status().last_exit, LastExit::Signal(9));
}

#[test]
fn rest_of_the_group_is_killed_before_a_restart() {
    let mut spec = script("sleep 1000 & echo $!; exit 1");
    spec.restart = RestartPolicy::OnFailure;
    let mut fixture = Fixture::new(vec![spec]);
    fixture.command(Verb::Start).unwrap();
    fixture.until("it fails", |fixture| fixture.status().state == State::Starting);
    let child: u32 = fixture.output().trim().parse().unwrap();
    assert!(!exists(child));
    fixture.until("it is restarted", |fixture| fixture.status().restarts > 0);
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
    assert_eq!(fixture.status().last_exit, LastExit::Signal(15));
}

#[test]
fn failed_start_reports_its_errno() {
    let file = std::env::temp_dir().join(format!("friendlet-plain-{}", std::process::id()));
    fs::write(&file, "not a program").unwrap();
    let no_directory = Spec { cwd: "/no/such/directory".try_into().unwrap(), ..service(&["true"]) };
    let no_user = Spec { user: "no-such-user".try_into().unwrap(), ..service(&["true"]) };
    for (spec, errno) in [
        (service(&["/no/such/program"]), 2),
        (service(&["no-such-program"]), 2),
        (service(&[file.to_str().unwrap()]), 13),
        (service(&["/"]), 13),
        (no_directory, 2),
        (no_user, 22),
    ] {
        let mut fixture = Fixture::new(vec![spec]);
        let pipes = pipes();
        assert_eq!(fixture.command(Verb::Start), Err(CommandError::Spawn { errno }));
        assert_eq!(fixture.status().state, State::Failed);
        assert_eq!(fixture.status().last_exit, LastExit::Spawn(errno));
        fixture.until("no pipe is left open", |_| self::pipes() <= pipes);
    }
    fs::remove_file(file).unwrap();
}

#[test]
fn second_process_of_a_service_is_rejected() {
    let mut fixture = Fixture::new(vec![service(&["sleep", "1000"])]);
    fixture.command(Verb::Start).unwrap();
    let busy = fixture.processes.spawn(&service(&["true"]), id(0));
    assert_eq!(busy, Err(Errno::BUSY.raw_os_error()));
    fixture.command(Verb::Stop).unwrap();
    fixture.until("it exits", |fixture| fixture.status().state == State::Stopped);
}

#[test]
fn other_processes_are_not_signalled() {
    let fixture = Fixture::new(vec![service(&["true"])]);
    for pid in [0, 1, std::process::id(), u32::MAX] {
        assert_eq!(fixture.processes.signal_group(pid, Signal::Cont), Err(3), "{pid}");
    }
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
fn no_signal_is_blocked_and_sigpipe_is_not_ignored() {
    let fixture = Fixture::run(vec![service(&["grep", "-E", "Sig(Blk|Ign)", "/proc/self/status"])]);
    let mask = |name| {
        let output = fixture.output();
        let line = output.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
        u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap()
    };
    assert_eq!(mask("SigBlk"), 0);
    assert_eq!(mask("SigIgn") & 1 << 12, 0, "PIPE");
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
        assert_eq!(fixture.command(Verb::Start), Err(CommandError::Spawn { errno: 1 }));
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
    let mut pids = Vec::new();
    let before = pipes();
    for _ in 0..200 {
        fixture.command(Verb::Start).unwrap();
        pids.push(fixture.status().pid);
        fixture.until("it exits", |fixture| fixture.status().state == State::Stopped);
    }
    fixture.until("the pipes are closed", |_| pipes() <= before);
    assert!(pids.iter().all(|pid| !exists(*pid)));
    assert!(fixture.output().ends_with(&format!("{}\n", pids.last().unwrap())));
}

#[test]
fn pipe_of_a_detached_process_is_closed_by_the_next_start() {
    // The leader waits until its child leads a session of its own.
    let text = "setsid sleep 1000 & until [ $(cut -d ' ' -f 6 /proc/$!/stat) = $! ]; do :; done; echo $!";
    let mut fixture = Fixture::new(vec![script(text)]);
    let before = pipes();
    for _ in 0..3 {
        fixture.command(Verb::Start).unwrap();
        fixture.until("it exits", |fixture| fixture.status().state == State::Stopped);
        fixture.until("one pipe is open at most", |_| pipes() <= before + 1);
    }
    // They are orphans now, and reaped when they exit.
    let detached: Vec<i32> = fixture.output().lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(detached.len(), 3);
    for pid in detached {
        let pid = Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        fixture.until("it is reaped", |fixture| fixture.orphans.contains(&(from_pid(pid), Exit::Signal(9))));
    }
    fixture.until("the pipe is closed", |_| pipes() <= before);
}

#[test]
fn service_with_endless_output_does_not_block_others() {
    let mut fixture = Fixture::new(vec![service(&["yes"])]);
    fixture.command(Verb::Start).unwrap();
    fixture.processes.run_command(&script("true"), &arguments(&["echo", "hi"]), 1).unwrap();
    assert_eq!(fixture.outcome().4, b"hi\n");
    fixture.command(Verb::Stop).unwrap();
    fixture.until("it exits", |fixture| fixture.status().state == State::Stopped);
}

#[test]
fn command_reports_its_output_and_exit() {
    let mut fixture = Fixture::new(vec![]);
    let mut spec = service(&["true"]);
    spec.env.push("A=1").unwrap();
    let argv = arguments(&["sh", "-c", "echo out $A; echo err >&2; exit 3"]);
    fixture.processes.run_command(&spec, &argv, 77).unwrap();
    assert!(fixture.processes.poll_command_done().is_none());
    assert_eq!(fixture.outcome(), (77, Exit::Code(3), false, false, b"out 1\nerr\n".to_vec()));
    assert!(fixture.processes.poll_command_done().is_none());
    let missing = fixture.processes.run_command(&spec, &arguments(&["/no/such"]), 1);
    assert_eq!(missing, Err(RunError::Spawn(2)));
}

#[test]
fn command_output_is_cut_at_its_limit() {
    let mut fixture = Fixture::new(vec![]);
    for (bytes, is_cut) in [(COMMAND_OUTPUT_BYTES, false), (COMMAND_OUTPUT_BYTES + 1, true)] {
        let text = format!("head -c {bytes} /dev/zero");
        fixture.processes.run_command(&service(&["true"]), &arguments(&["sh", "-c", &text]), 1).unwrap();
        let (_, exit, _, cut, output) = fixture.outcome();
        assert_eq!((exit, cut, output.len()), (Exit::Code(0), is_cut, COMMAND_OUTPUT_BYTES));
    }
}

#[test]
fn commands_over_their_limit_are_rejected() {
    let mut fixture = Fixture::new(vec![]);
    let (spec, argv) = (service(&["true"]), arguments(&["echo"]));
    let tickets = 0..SERVICE_COMMAND_RUNS as u64;
    for ticket in tickets.clone() {
        fixture.processes.run_command(&spec, &argv, ticket).unwrap();
    }
    assert_eq!(fixture.processes.run_command(&spec, &argv, 9), Err(RunError::Full));
    let mut seen: Vec<u64> = tickets.clone().map(|_| fixture.outcome().0).collect();
    seen.sort_unstable();
    assert!(seen.into_iter().eq(tickets));
    fixture.processes.run_command(&spec, &argv, 9).unwrap();
    assert_eq!(fixture.outcome().0, 9);
}

#[test]
fn command_is_killed_with_its_group_after_the_timeout() {
    let mut fixture = Fixture::new(vec![]);
    let argv = arguments(&["sh", "-c", "sleep 1000 & echo $!; wait"]);
    fixture.processes.run_command(&service(&["true"]), &argv, 5).unwrap();
    let (ticket, exit, timed_out, _, output) = fixture.outcome();
    assert_eq!((ticket, exit, timed_out), (5, Exit::Signal(9), true));
    let child: u32 = String::from_utf8(output).unwrap().trim().parse().unwrap();
    assert!(!exists(child));
}

#[test]
fn command_deadline_is_that_of_the_limit() {
    let mut fixture = Fixture::new(vec![]);
    // Without tasks, nothing enforces the deadline.
    let processes = Processes::new(0, Rc::default());
    let before = Instant::now();
    processes.run_command(&service(&["true"]), &arguments(&["sleep", "1000"]), 5).unwrap();
    let deadline = processes.runs[0].deadline.get().unwrap();
    assert!(deadline >= before + COMMAND_TIMEOUT && deadline <= Instant::now() + COMMAND_TIMEOUT);
    let pid = processes.runs[0].pid.get();
    processes.kill_commands();
    fixture.until("it is reaped", |fixture| fixture.orphans.contains(&(pid, Exit::Signal(9))));
}

#[test]
fn commands_are_killed_at_shutdown() {
    let mut fixture = Fixture::new(vec![]);
    fixture.processes.run_command(&service(&["true"]), &arguments(&["sleep", "1000"]), 5).unwrap();
    fixture.processes.kill_commands();
    let (_, exit, timed_out, ..) = fixture.outcome();
    assert_eq!((exit, timed_out), (Exit::Signal(9), false));
}

#[test]
fn shutdown_leaves_no_process() {
    let services = (0..SERVICES.min(8)).map(|index| {
        let name = format!("s{index}");
        let mut spec = Spec::new(&name, &["sleep", "1000"]).unwrap();
        spec.autostart = true;
        spec
    });
    let mut fixture = Fixture::new(services.collect());
    fixture.supervisor.start_enabled(Duration::ZERO);
    fixture.run_actions();
    assert_eq!(fixture.status().state, State::Started);
    fixture.supervisor.shutdown(fixture.start.elapsed());
    fixture.run_actions();
    fixture.until("all exit", |fixture| fixture.supervisor.is_down());
    assert_eq!(wait(WaitOptions::NOHANG).unwrap_err(), Errno::CHILD);
}

#[test]
fn reaping_without_children_returns_nothing() {
    let fixture = Fixture::new(vec![]);
    assert!(fixture.processes.reap().is_none());
    assert!(!fixture.processes.handle_exit(1, Exit::Code(0)));
}
