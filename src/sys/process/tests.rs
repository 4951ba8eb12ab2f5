//! With real processes. Reaping takes every child of this test process, so that these tests take
//! turns, and no other test of the library may wait for a child of its own without [`CHILDREN`].

use std::fs;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::*;
use crate::limits::SERVICES;
use crate::runtime::{Tasks, block_on};
use crate::service::{
    Action, CommandError, LastExit, RestartPolicy, ServiceTable, State, Status, Supervisor, Verb,
};

/// Held by every test that makes children.
pub(in crate::sys) static CHILDREN: Mutex<()> = Mutex::new(());

const PATIENCE: Duration = Duration::from_secs(30);

/// A server that is nothing but its services.
struct World {
    processes: Rc<Processes>,
    supervisor: Supervisor,
    executor: LocalExecutor<'static>,
    start: Instant,
    strangers: Vec<(u32, Exit)>,
    done: Rc<Cell<u32>>,
    _turn: MutexGuard<'static, ()>,
}

impl World {
    fn new(services: Vec<Spec>) -> Self {
        let turn = CHILDREN.lock().unwrap_or_else(PoisonError::into_inner);
        let done = Rc::new(Cell::new(0));
        let told = Rc::clone(&done);
        let mut processes = Processes::new(services.len(), move || told.set(told.get() + 1));
        processes.command_timeout = Duration::from_millis(300);
        let mut table = ServiceTable::new();
        for spec in services {
            table.push(spec).unwrap();
        }
        let world = Self {
            processes: Rc::new(processes),
            supervisor: Supervisor::new(table),
            executor: LocalExecutor::new(),
            start: Instant::now(),
            strangers: Vec::new(),
            done,
            _turn: turn,
        };
        world.processes.spawn_tasks(&world.executor).unwrap();
        world
    }

    fn pump(&mut self) {
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

    /// One turn: what the tasks can do, exits, deadlines.
    fn turn(&mut self) {
        let timer = Timer::new().unwrap();
        let turn = self.executor.run(async {
            for _ in 0..20 {
                yield_now().await;
            }
            timer.after(Duration::from_millis(1)).await;
        });
        block_on(&mut Tasks::new(0), turn).unwrap();
        while let Some((pid, exit)) = self.processes.reap() {
            let now = self.start.elapsed();
            if !self.supervisor.handle_exit(pid, exit, now) && !self.processes.handle_exit(pid, exit) {
                self.strangers.push((pid, exit));
            }
            self.pump();
        }
        self.supervisor.handle_timeout(self.start.elapsed());
        self.pump();
    }

    fn until(&mut self, what: &str, mut is_so: impl FnMut(&mut Self) -> bool) {
        let start = Instant::now();
        while !is_so(self) {
            assert!(start.elapsed() < PATIENCE, "{what}: {:?}", self.status());
            self.turn();
        }
    }

    fn command(&mut self, verb: Verb) -> Result<(), CommandError> {
        self.supervisor.handle_command(id(0), verb, self.start.elapsed())?;
        self.pump();
        self.supervisor.take_result(id(0))
    }

    fn status(&self) -> Status {
        self.supervisor.status(id(0), self.start.elapsed())
    }

    fn output(&self) -> String {
        let bytes = self.processes.with_output(id(0), |first, second| [first, second].concat());
        String::from_utf8(bytes).unwrap()
    }

    /// Starts the only service and waits for its end.
    fn run(services: Vec<Spec>) -> Self {
        let mut world = Self::new(services);
        world.command(Verb::Start).unwrap();
        world.until("it ends", |world| world.status().pid == 0);
        world
    }

    fn outcome(&mut self) -> (u64, Exit, bool, bool, Vec<u8>) {
        self.until("a command is done", |world| world.done.get() > 0);
        self.done.set(self.done.get() - 1);
        let done = self.processes.poll_command_done().unwrap();
        (done.ticket(), done.exit(), done.timed_out(), done.is_cut(), done.output().to_vec())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // A test that failed leaves nothing running either.
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

/// The pipes that this process has open. Other tests may make some for a moment.
fn pipes() -> usize {
    let is_pipe = |entry: &fs::DirEntry| {
        fs::read_link(entry.path()).is_ok_and(|target| target.to_string_lossy().starts_with("pipe:"))
    };
    fs::read_dir("/proc/self/fd").unwrap().flatten().filter(is_pipe).count()
}

#[test]
fn starts_and_stops() {
    let mut world = World::new(vec![service(&["sleep", "1000"])]);
    world.command(Verb::Start).unwrap();
    let pid = world.status().pid;
    assert!(exists(pid));
    assert_eq!(rustix::process::getpgid(to_pid(pid)).unwrap(), to_pid(pid).unwrap());
    world.command(Verb::Stop).unwrap();
    world.until("it ends", |world| world.status().state == State::Stopped);
    assert!(!exists(pid));
    assert_eq!(world.status().last_exit, LastExit::Signal(15));
}

#[test]
fn group_of_a_stopped_service_is_gone_though_it_ignores_the_signal() {
    // The leader ends on TERM, its child does not.
    let text = "trap '' TERM; sleep 1000 & echo $!; trap - TERM; exec sleep 1000";
    let mut world = World::new(vec![script(text)]);
    world.command(Verb::Start).unwrap();
    world.until("it tells its child", |world| world.output().ends_with('\n'));
    let child: u32 = world.output().trim().parse().unwrap();
    assert!(exists(child));
    world.command(Verb::Stop).unwrap();
    world.until("it ends", |world| world.status().state == State::Stopped);
    assert!(!exists(child), "gone when it is said to be");
    // Those of a test before this one may be among them.
    assert!(world.strangers.contains(&(child, Exit::Signal(9))), "{:?}", world.strangers);
}

#[test]
fn what_does_not_end_is_killed() {
    let mut spec = script("trap '' TERM; echo ready; while :; do sleep 1000; done");
    spec.stop_timeout = Duration::from_millis(50);
    let mut world = World::new(vec![spec]);
    world.command(Verb::Start).unwrap();
    world.until("it runs", |world| world.output() == "ready\n");
    world.command(Verb::Stop).unwrap();
    world.until("it ends", |world| world.status().state == State::Stopped);
    assert_eq!(world.status().last_exit, LastExit::Signal(9));
}

#[test]
fn what_is_left_is_killed_before_a_restart() {
    let mut spec = script("sleep 1000 & echo $!; exit 1");
    spec.restart = RestartPolicy::OnFailure;
    let mut world = World::new(vec![spec]);
    world.command(Verb::Start).unwrap();
    world.until("it fails", |world| world.status().state == State::Starting);
    let child: u32 = world.output().trim().parse().unwrap();
    assert!(!exists(child));
    world.until("it is restarted", |world| world.status().restarts > 0);
}

#[test]
fn paused_stands_still_and_can_be_stopped() {
    let mut world = World::new(vec![service(&["sleep", "1000"])]);
    world.command(Verb::Start).unwrap();
    let pid = world.status().pid;
    let stat = move || fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    world.command(Verb::Pause).unwrap();
    world.until("it stands still", |_| stat().contains(") T "));
    assert_eq!(world.status().state, State::Paused);
    world.command(Verb::Start).unwrap();
    world.until("it goes on", |_| stat().contains(") S "));
    world.command(Verb::Pause).unwrap();
    world.command(Verb::Stop).unwrap();
    world.until("it ends", |world| world.status().state == State::Stopped);
    assert_eq!(world.status().last_exit, LastExit::Signal(15));
}

#[test]
fn reasons_why_nothing_starts() {
    let file = std::env::temp_dir().join(format!("friendlet-plain-{}", std::process::id()));
    fs::write(&file, "no program").unwrap();
    let nowhere = Spec { cwd: "/no/such/directory".try_into().unwrap(), ..service(&["true"]) };
    let nobody = Spec { user: "no-such-user".try_into().unwrap(), ..service(&["true"]) };
    for (spec, errno) in [
        (service(&["/no/such/program"]), 2),
        (service(&["no-such-program"]), 2),
        (service(&[file.to_str().unwrap()]), 13),
        (service(&["/"]), 13),
        (nowhere, 2),
        (nobody, 22),
    ] {
        let mut world = World::new(vec![spec]);
        let pipes = pipes();
        assert_eq!(world.command(Verb::Start), Err(CommandError::Spawn { errno }));
        assert_eq!(world.status().state, State::Failed);
        assert_eq!(world.status().last_exit, LastExit::Spawn(errno));
        world.until("no pipe is left open", |_| self::pipes() <= pipes);
    }
    fs::remove_file(file).unwrap();
}

#[test]
fn second_process_of_a_service_is_refused() {
    let mut world = World::new(vec![service(&["sleep", "1000"])]);
    world.command(Verb::Start).unwrap();
    let busy = world.processes.spawn(&service(&["true"]), id(0));
    assert_eq!(busy, Err(Errno::BUSY.raw_os_error()));
    world.command(Verb::Stop).unwrap();
    world.until("it ends", |world| world.status().state == State::Stopped);
}

#[test]
fn signals_reach_only_groups_of_ours() {
    let world = World::new(vec![service(&["true"])]);
    for pid in [0, 1, std::process::id(), u32::MAX] {
        assert_eq!(world.processes.signal_group(pid, Signal::Cont), Err(3), "{pid}");
    }
}

#[test]
fn environment_is_its_own() {
    let mut spec = script("echo \"$PATH|$FOO|$CARGO_MANIFEST_DIR|$HOME|$PWD\"; echo bad >&2; cat");
    spec.env.push("FOO=a=b").unwrap();
    spec.cwd = "/usr".try_into().unwrap();
    let world = World::run(vec![spec]);
    let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    assert_eq!(world.output(), format!("{path}|a=b|||/usr\nbad\n"));
    assert_eq!(world.status().last_exit, LastExit::Code(0));
}

#[test]
fn no_signal_is_blocked_and_a_broken_pipe_ends() {
    let world = World::run(vec![service(&["grep", "-E", "Sig(Blk|Ign)", "/proc/self/status"])]);
    let mask = |name| {
        let output = world.output();
        let line = output.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
        u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap()
    };
    assert_eq!(mask("SigBlk"), 0);
    assert_eq!(mask("SigIgn") & 1 << 12, 0, "PIPE");
}

#[test]
fn user_is_switched_by_root_alone() {
    let mut spec = script("echo $(id -u) $(id -g) $(id -G) $HOME $USER");
    spec.user = "4242:4343".try_into().unwrap();
    if rustix::process::geteuid().is_root() {
        let world = World::run(vec![spec]);
        assert_eq!(world.output(), "4242 4343 4343 / 4242\n");
    } else {
        let mut world = World::new(vec![spec]);
        assert_eq!(world.command(Verb::Start), Err(CommandError::Spawn { errno: 1 }));
    }
}

#[test]
fn own_user_needs_no_root() {
    let mut spec = script("id -u");
    let own = rustix::process::geteuid().as_raw().to_string();
    spec.user = own.as_str().try_into().unwrap();
    assert_eq!(World::run(vec![spec]).output(), format!("{own}\n"));
}

#[test]
fn newest_output_is_kept() {
    let text = "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done";
    let output = World::run(vec![script(text)]).output();
    assert_eq!(output.len(), SERVICE_OUTPUT_BYTES);
    assert!(output.ends_with("line 19998\nline 19999\n"));
}

#[test]
fn output_up_to_its_limit_is_whole() {
    let text = format!("echo first; head -c {} /dev/zero", SERVICE_OUTPUT_BYTES - "first\n".len());
    let output = World::run(vec![script(&text)]).output();
    assert_eq!(output.len(), SERVICE_OUTPUT_BYTES);
    assert!(output.starts_with("first\n"));
}

#[test]
fn two_hundred_runs_leave_nothing() {
    let mut world = World::new(vec![script("echo $$")]);
    let mut pids = Vec::new();
    let before = pipes();
    for _ in 0..200 {
        world.command(Verb::Start).unwrap();
        pids.push(world.status().pid);
        world.until("it ends", |world| world.status().state == State::Stopped);
    }
    world.until("the pipes are closed", |_| pipes() <= before);
    assert!(pids.iter().all(|pid| !exists(*pid)));
    assert!(world.output().ends_with(&format!("{}\n", pids.last().unwrap())));
}

#[test]
fn pipe_held_open_by_what_escaped_is_closed_by_the_next_start() {
    // The leader waits until its child leads a session of its own.
    let text = "setsid sleep 1000 & until [ $(cut -d ' ' -f 6 /proc/$!/stat) = $! ]; do :; done; echo $!";
    let mut world = World::new(vec![script(text)]);
    let before = pipes();
    for _ in 0..3 {
        world.command(Verb::Start).unwrap();
        world.until("it ends", |world| world.status().state == State::Stopped);
        world.until("one pipe is open at most", |_| pipes() <= before + 1);
    }
    // They became children of ours, and are reaped when they end.
    let escaped: Vec<i32> = world.output().lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(escaped.len(), 3);
    for pid in escaped {
        let pid = Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        world.until("it is reaped", |world| world.strangers.contains(&(from_pid(pid), Exit::Signal(9))));
    }
    world.until("the pipe is closed", |_| pipes() <= before);
}

#[test]
fn chatty_service_does_not_stall_the_others() {
    let mut world = World::new(vec![service(&["yes"])]);
    world.command(Verb::Start).unwrap();
    world.processes.run_command(&script("true"), &arguments(&["echo", "hi"]), 1).unwrap();
    assert_eq!(world.outcome().4, b"hi\n");
    world.command(Verb::Stop).unwrap();
    world.until("it ends", |world| world.status().state == State::Stopped);
}

#[test]
fn command_tells_its_output_and_exit() {
    let mut world = World::new(vec![]);
    let mut spec = service(&["true"]);
    spec.env.push("A=1").unwrap();
    let argv = arguments(&["sh", "-c", "echo out $A; echo err >&2; exit 3"]);
    world.processes.run_command(&spec, &argv, 77).unwrap();
    assert!(world.processes.poll_command_done().is_none());
    assert_eq!(world.outcome(), (77, Exit::Code(3), false, false, b"out 1\nerr\n".to_vec()));
    assert!(world.processes.poll_command_done().is_none());
    let missing = world.processes.run_command(&spec, &arguments(&["/no/such"]), 1);
    assert_eq!(missing, Err(RunError::Spawn(2)));
}

#[test]
fn command_output_meets_its_limit_and_is_cut_there() {
    let mut world = World::new(vec![]);
    for (bytes, is_cut) in [(COMMAND_OUTPUT_BYTES, false), (COMMAND_OUTPUT_BYTES + 1, true)] {
        let text = format!("head -c {bytes} /dev/zero");
        world.processes.run_command(&service(&["true"]), &arguments(&["sh", "-c", &text]), 1).unwrap();
        let (_, exit, _, cut, output) = world.outcome();
        assert_eq!((exit, cut, output.len()), (Exit::Code(0), is_cut, COMMAND_OUTPUT_BYTES));
    }
}

#[test]
fn commands_meet_their_number() {
    let mut world = World::new(vec![]);
    let (spec, argv) = (service(&["true"]), arguments(&["echo"]));
    let tickets = 0..SERVICE_COMMAND_RUNS as u64;
    for ticket in tickets.clone() {
        world.processes.run_command(&spec, &argv, ticket).unwrap();
    }
    assert_eq!(world.processes.run_command(&spec, &argv, 9), Err(RunError::Full));
    let mut seen: Vec<u64> = tickets.clone().map(|_| world.outcome().0).collect();
    seen.sort_unstable();
    assert!(seen.into_iter().eq(tickets));
    world.processes.run_command(&spec, &argv, 9).unwrap();
    assert_eq!(world.outcome().0, 9);
}

#[test]
fn command_that_takes_too_long_is_killed_with_its_group() {
    let mut world = World::new(vec![]);
    let argv = arguments(&["sh", "-c", "sleep 1000 & echo $!; wait"]);
    world.processes.run_command(&service(&["true"]), &argv, 5).unwrap();
    let (ticket, exit, timed_out, _, output) = world.outcome();
    assert_eq!((ticket, exit, timed_out), (5, Exit::Signal(9), true));
    let child: u32 = String::from_utf8(output).unwrap().trim().parse().unwrap();
    assert!(!exists(child));
}

#[test]
fn command_has_its_time() {
    let mut world = World::new(vec![]);
    // Without tasks: nobody looks at the deadline, which is that of the server.
    let processes = Processes::new(0, || ());
    let before = Instant::now();
    processes.run_command(&service(&["true"]), &arguments(&["sleep", "1000"]), 5).unwrap();
    let deadline = processes.runs[0].deadline.get().unwrap();
    assert!(deadline >= before + COMMAND_TIMEOUT && deadline <= Instant::now() + COMMAND_TIMEOUT);
    let pid = processes.runs[0].pid.get();
    processes.kill_commands();
    world.until("it is reaped", |world| world.strangers.contains(&(pid, Exit::Signal(9))));
}

#[test]
fn commands_end_with_the_server() {
    let mut world = World::new(vec![]);
    world.processes.run_command(&service(&["true"]), &arguments(&["sleep", "1000"]), 5).unwrap();
    world.processes.kill_commands();
    let (_, exit, timed_out, ..) = world.outcome();
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
    let mut world = World::new(services.collect());
    world.supervisor.start_enabled(Duration::ZERO);
    world.pump();
    assert_eq!(world.status().state, State::Started);
    world.supervisor.shutdown(world.start.elapsed());
    world.pump();
    world.until("all end", |world| world.supervisor.is_down());
    assert_eq!(wait(WaitOptions::NOHANG).unwrap_err(), Errno::CHILD);
}

#[test]
fn reaping_without_children_is_nothing() {
    let world = World::new(vec![]);
    assert!(world.processes.reap().is_none());
    assert!(!world.processes.handle_exit(1, Exit::Code(0)));
}
