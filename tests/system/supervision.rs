//! Supervision of services that misbehave: what was lost, left behind or not reported, as a test each.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use friendlet::service::START_OUTPUT_BYTES;
use rustix::process::{Pid, Signal, kill_process};

use super::cgroups::WAYS;
use super::services::{OK, start, status, until_state};
use crate::support::device::{ADMIN, shell};
use crate::support::directory::Directory;
use crate::support::record::seconds_of;
use crate::support::wait::{SOON, until};
use crate::support::{Device, Server, process};

/// Script of a program that needs a second to flush after SIGTERM.
fn flusher(file: &str) -> String {
    let flush = format!("sleep 1; echo flushed > {file}; exit 0");
    format!("trap '{flush}' TERM; while :; do sleep 0.05; done")
}

/// Starts the flusher in a session of its own, as a daemon of the service.
fn detached(directory: &Directory, how: &str) -> (String, [String; 3]) {
    let [file, terms, pid] = ["flushed", "terms", "pid"].map(|name| directory.file(name));
    let script = format!(
        "echo $$ > {pid}; trap 'echo x >> {terms}; [ -n \"$ends\" ] || {{ ends=1; sleep 1; echo flushed > {file}; exit 0; }}' TERM\n\
         while :; do sleep 0.05; done\n"
    );
    let program = directory.write("daemon", script);
    (format!("{how} sh {program} & wait"), [file, terms, pid])
}

/// A wrapper without `exec` around the flusher.
fn wrapped(directory: &Directory) -> (String, String) {
    let file = directory.file("flushed");
    let program = directory.write("flusher", flusher(&file));
    (format!("sh {program}; true"), file)
}

pub(super) fn send(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), signal).unwrap();
}

pub(super) fn pid_in(file: &str) -> u32 {
    until("the pid is written", || fs::read_to_string(file).is_ok_and(|text| text.ends_with('\n')));
    fs::read_to_string(file).unwrap().trim().parse().unwrap()
}

#[test]
fn program_under_a_wrapper_has_the_whole_time_to_flush() {
    let directory = Directory::new();
    let (script, flushed) = wrapped(&directory);
    let server = Server::start(&Device::plain().with(&shell("base", &script, "stop_timeout_s = 20")));
    let pid = start(&server, "base").pid;
    until("the program runs", || process::group(pid).len() >= 3);
    assert_eq!(server.call("services/base/stop"), OK);
    until_state(&server, "base", "stopped");
    assert_eq!(fs::read_to_string(flushed).unwrap(), "flushed\n");
    assert!(process::group(pid).is_empty());
}

#[test]
fn program_under_a_wrapper_has_the_whole_time_to_flush_when_the_server_ends() {
    let directory = Directory::new();
    let (script, flushed) = wrapped(&directory);
    let server = Server::start(&Device::plain().with(&shell("base", &script, "stop_timeout_s = 20")));
    let pid = start(&server, "base").pid;
    until("the program runs", || process::group(pid).len() >= 3);
    server.stop();
    assert_eq!(fs::read_to_string(flushed).unwrap(), "flushed\n");
}

#[test]
fn workers_of_a_leader_that_fails_have_the_whole_time_to_flush() {
    let directory = Directory::new();
    let flushed = directory.file("flushed");
    let program = directory.write("flusher", flusher(&flushed));
    let script = format!("sh {program} & sleep 0.5; exit 1");
    let restarted = "stop_timeout_s = 20\nrestart = \"on-failure\"";
    let server = Server::start(&Device::plain().with(&shell("base", &script, restarted)));
    start(&server, "base");
    until("restarted", || status(&server, "base").restarts > 0);
    assert_eq!(fs::read_to_string(flushed).unwrap(), "flushed\n");
}

/// A service whose leader starts a daemon in a session of its own; the process between them ends at once.
struct Forker {
    server: Server,
    leader: u32,
    daemon: u32,
}

impl Forker {
    /// The daemon runs `before`, then its pid is in a file, then it runs `after`.
    fn start([before, after]: [&str; 2], rest: &str, way: &str) -> Self {
        let directory = Directory::new();
        let file = directory.file("daemon");
        let daemon = directory.write("daemon.sh", format!("{before}\necho $$ > {file}\n{after}\n"));
        let script = format!("(setsid sh {daemon} &); exec sleep 1000");
        let server = Server::start(&Device::plain().with(&(shell("forker", &script, rest) + way)));
        let leader = start(&server, "forker").pid;
        Self { server, leader, daemon: pid_in(&file) }
    }
}

#[test]
fn daemon_that_leaves_group_and_session_ends_with_its_service() {
    for way in WAYS {
        let Forker { server, leader, daemon } = Forker::start(["", "exec sleep 1000"], "", way);
        assert!(!process::group(leader).contains(&daemon));
        assert_eq!(server.call("services/forker/stop"), OK);
        until_state(&server, "forker", "stopped");
        assert!(!process::is_alive(daemon) && server.services().is_empty());
    }
}

/// Some programs take a second TERM for a demand to end at once, without a flush.
#[test]
fn daemon_in_a_session_of_its_own_has_the_whole_time_to_flush_and_one_signal() {
    let hows = ["setsid", "setsid env -i PATH=\"$PATH\""];
    for (how, way) in hows.into_iter().flat_map(|how| WAYS.map(|way| (how, way))) {
        let directory = Directory::new();
        let (script, files) = detached(&directory, how);
        let [flushed, terms, pid] = &files;
        let table = shell("base", &script, "stop_timeout_s = 20");
        let mut server = Server::start(&Device::plain().with(&(table + way)));
        for end in ["stop", "server"] {
            start(&server, "base");
            pid_in(pid);
            if end == "stop" {
                assert_eq!(server.call("services/base/stop"), OK);
                until_state(&server, "base", "stopped");
            } else {
                server.signal(Signal::TERM);
                assert_eq!(server.wait(SOON).code(), Some(0), "{}", server.log());
            }
            assert_eq!(fs::read_to_string(flushed).unwrap(), "flushed\n", "{how} {end}");
            assert_eq!(fs::read_to_string(terms).unwrap(), "x\n", "{how} {end}");
            files.iter().for_each(|file| fs::remove_file(file).unwrap());
        }
    }
}

#[test]
fn daemon_without_the_marker_of_its_service_is_named() {
    let directory = Directory::new();
    let file = directory.file("daemon");
    let daemon = directory.write("daemon.sh", format!("echo $$ > {file}\nexec sleep 1000\n"));
    let script = format!("(setsid env -i PATH=\"$PATH\" sh {daemon} &); exec sleep 1000");
    let server = Server::start(&Device::plain().with(&(shell("forker", &script, "") + WAYS[1])));
    start(&server, "forker");
    let pid = pid_in(&file);
    assert_eq!(server.call("services/forker/stop"), OK);
    until_state(&server, "forker", "stopped");
    until("it is named", || server.log().contains(&format!("process {pid} (sleep) belongs to no service")));
    server.stop();
    assert!(!process::is_alive(pid));
}

#[test]
fn daemons_without_a_service_are_logged_once() {
    let directory = Directory::new();
    let file = directory.file("daemons");
    let daemon = directory.write("daemon.sh", format!("echo $$ >> {file}\nexec sleep 1000\n"));
    let script = format!(
        "for number in $(seq 20); do (setsid env -i PATH=\"$PATH\" sh {daemon} &); done; exec sleep 1000"
    );
    let slow = shell("slow", "trap '' TERM; sleep 1000 & wait; wait", "stop_timeout_s = 2");
    let server = Server::start(&Device::plain().with(&(shell("forker", &script, "") + &slow + WAYS[1])));
    start(&server, "forker");
    start(&server, "slow");
    until("all run", || fs::read_to_string(&file).unwrap_or_default().lines().count() == 20);
    for name in ["forker", "slow"] {
        assert_eq!(server.call(&format!("services/{name}/stop")), OK);
        until_state(&server, name, "stopped");
    }
    let log = server.log();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("belongs to no service")).collect();
    assert!((1..=16).contains(&lines.len()), "{}", lines.len());
    // Times of the keeper are on the clock of the server.
    let times: Vec<f64> = log.lines().filter_map(seconds_of).collect();
    let slack = 0.5;
    assert!(times.len() >= lines.len() && times.windows(2).all(|pair| pair[0] <= pair[1] + slack), "{log}");
}

#[test]
fn pause_reaches_a_daemon_in_a_session_of_its_own() {
    let directory = Directory::new();
    let file = directory.file("daemon");
    let script = format!("setsid sh -c 'echo $$ > {file}; exec sleep 1000' & wait");
    let server = Server::start(&Device::plain().with(&(shell("base", &script, "") + WAYS[1])));
    let pids = [start(&server, "base").pid, pid_in(&file)];
    let is_suspended = |pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        stat.rsplit_once(") ").unwrap().1.starts_with('T')
    };
    assert_eq!(server.call("services/base/pause"), OK);
    until("all are suspended", || pids.iter().all(is_suspended));
    assert_eq!(server.call("services/base/start"), OK);
    until("all run", || !pids.iter().any(is_suspended));
}

#[test]
fn daemon_of_a_leader_that_ends_is_not_left_at_each_start() {
    let directory = Directory::new();
    let [file, ready] = ["daemons", "ready"].map(|name| directory.file(name));
    let text = format!("echo $$ >> {file}\n: > {ready}\nexec sleep 1000\n");
    let daemon = directory.write("daemon.sh", text);
    // On a busy machine a daemon may begin later than that.
    let script =
        format!("rm -f {ready}; setsid sh {daemon} & sleep 0.4; until test -e {ready}; do sleep 0.02; done");
    for way in WAYS {
        let _ = fs::remove_file(&file);
        let table = shell("forker", &script, "restart = \"always\"");
        let server = Server::start(&Device::plain().with(&(table + way)));
        start(&server, "forker");
        until("restarted twice", || status(&server, "forker").restarts >= 2);
        let pids = fs::read_to_string(&file).unwrap();
        let alive = pids.lines().filter(|pid| process::is_alive(pid.parse().unwrap())).count();
        assert!(pids.lines().count() >= 2 && alive <= 1, "{alive} of {pids}");
    }
}

#[test]
fn daemon_that_ignores_its_end_is_killed_with_the_service() {
    let stubborn = ["trap '' TERM", "while :; do sleep 0.1; done"];
    for way in WAYS {
        let Forker { server, daemon, .. } = Forker::start(stubborn, "stop_timeout_s = 1", way);
        let asked = Instant::now();
        assert_eq!(server.call("services/forker/stop"), OK);
        until_state(&server, "forker", "stopped");
        assert!(asked.elapsed() >= Duration::from_secs(1) && !process::is_alive(daemon));
    }
}

#[test]
fn nothing_is_left_when_the_server_is_killed_at_its_end() {
    let stubborn = ["trap '' TERM", "while :; do sleep 0.1; done"];
    let Forker { mut server, leader, daemon } = Forker::start(stubborn, "stop_timeout_s = 60", WAYS[1]);
    // A server that is killed while it ends has no other one after it. One that is killed within 50 ms has.
    send(server.keeper(), Signal::TERM);
    let asked = Instant::now();
    until("it ends", || {
        server.log().contains("serve: stopping: ") && asked.elapsed() > Duration::from_millis(100)
    });
    send(server.pid(), Signal::KILL);
    assert_eq!(server.wait(SOON).code(), Some(70), "{}", server.log());
    assert!(!process::is_alive(leader) && !process::is_alive(daemon));
    until("it is logged", || server.log().contains("server: killed by signal 9; ending its services"));
}

#[test]
fn answer_of_a_start_that_fails_has_its_last_lines() {
    let script = "echo first; i=0; while [ $i -lt 200 ]; do echo line $i; i=$((i+1)); done; printf 'no\\033 port' >&2; exit 7";
    let server = Server::start(&Device::plain().with(&shell("brief", script, "")));
    let answer = server.call("services/brief/start");
    assert!(answer.contains(r#""response": "Function start returned: 7", "code":"18""#), "{answer}");
    assert!(answer.contains(r#""reason": "brief: exited at once, exit 7""#), "{answer}");
    assert!(answer.contains("\"line 199\",\"no\u{FFFD} port\"]"), "{answer}");
    let (_, output) = answer.split_once(r#""output": ["#).unwrap();
    // Quotes and commas take the place of the newlines.
    let room = START_OUTPUT_BYTES..2 * START_OUTPUT_BYTES;
    assert!(room.contains(&(output.len() + 100)) && !answer.contains("first"), "{answer}");
}

#[test]
fn reason_of_a_start_that_fails_is_in_words() {
    let directory = Directory::new();
    let script = directory.write("script", "#!/bin/sh\r\ntrue\r\n");
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let service =
        |name: &str, program: &str, rest: &str| crate::support::device::service(name, &[program], rest);
    let tables = [
        service("missing", "/usr/sbin/no-such-program", ""),
        service("windows", &script, ""),
        service("nowhere", "/bin/true", "cwd = \"/no/such/directory\""),
        service("stranger", "/bin/true", "user = \"no-such-user\""),
    ];
    let server = Server::start(&Device::plain().with(&tables.concat()));
    let enoent = "No such file or directory (errno 2)";
    for (name, reason) in [
        ("missing", format!("cannot start /usr/sbin/no-such-program: {enoent}")),
        ("windows", format!("cannot start {script}: its interpreter is missing: {enoent}")),
        ("nowhere", format!("cannot enter directory /no/such/directory: {enoent}")),
        ("stranger", "user 'no-such-user' does not exist".to_owned()),
    ] {
        let answer = server.call(&format!("services/{name}/start"));
        assert!(answer.contains(&format!(r#""reason": "{name}: {reason}""#)), "{answer}");
        assert_eq!(status(&server, name).state, "failed");
        until("it is logged", || server.log().contains(&format!("{name}: {reason}")));
    }
}

#[test]
fn program_that_is_away_during_an_update_comes_back() {
    let directory = Directory::new();
    let program = directory.file("program");
    let table = crate::support::device::service("web", &[&program], "restart = \"always\"\nautostart = true");
    let server = Server::start(&Device::plain().with(&table));
    until("it is tried", || server.log().contains("web: cannot start"));
    assert!(server.call("services/web/start").contains("cannot start"), "who asks gets the error");
    fs::write(&program, "#!/bin/sh\nexec sleep 1000\n").unwrap();
    // Not executable yet: another error, and the policy still decides.
    std::thread::sleep(Duration::from_millis(600));
    fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    until_state(&server, "web", "started");
}

#[test]
fn restart_by_hand_during_a_back_off_keeps_the_policy() {
    let directory = Directory::new();
    let count = directory.file("count");
    let script = format!("echo x >> {count}; exit 1");
    let server = Server::start(&Device::plain().with(&shell("failing", &script, "restart = \"on-failure\"")));
    server.call("services/failing/start");
    until_state(&server, "failing", "starting");
    assert!(server.call("services/failing/restart").contains("exit 1"));
    let runs = || fs::read_to_string(&count).unwrap().len() / 2;
    let before = runs();
    until("it is restarted", || runs() > before);
}

#[test]
fn service_that_is_stopped_from_outside_is_shown_and_resumed() {
    let server = Server::start(&Device::plain().with(&shell("calm", "exec sleep 1000", "")));
    let pid = start(&server, "calm").pid;
    send(pid, Signal::STOP);
    until_state(&server, "calm", "paused");
    assert_eq!(server.call("services/calm/start"), OK);
    until("it continues", || process::state(pid) == Some('S'));
    assert_eq!(status(&server, "calm").state, "started");
    send(pid, Signal::STOP);
    until_state(&server, "calm", "paused");
    let asked = Instant::now();
    assert_eq!(server.call("services/calm/stop"), OK);
    until_state(&server, "calm", "stopped");
    assert!(asked.elapsed() < Duration::from_secs(5), "a suspended process ends by the signal");
    assert_eq!(status(&server, "calm").last_exit, "signal 15");
}

#[test]
fn signals_that_would_end_the_server_and_leave_its_services_do_not() {
    let mut server = Server::start(&Device::plain());
    let pid = start(&server, "hello").pid;
    for signal in [Signal::USR1, Signal::ALARM, Signal::VTALARM] {
        server.signal(signal);
        send(server.pid(), signal);
    }
    // 32 to 34 are signals that C libraries have for themselves.
    for signal in ["TRAP", "SYS", "ILL", "ABRT", "FPE", "BUS", "SEGV", "32", "33", "34", "RTMAX"] {
        // Twice: a handler may return to the default action.
        let kill = format!("kill -{signal} {0}; kill -{signal} {0}", server.keeper());
        assert!(Command::new("bash").args(["-c", &kill]).status().unwrap().success());
    }
    send(server.pid(), Signal::QUIT);
    assert_eq!(server.call("services/hello/start"), OK);
    // A service started by then has none of that.
    let later = start(&server, "allowed").pid;
    let status = fs::read_to_string(format!("/proc/{later}/status")).unwrap();
    assert!(status.contains("SigIgn:\t0000000000000000\n"), "{status}");
    // It ends the server in order.
    server.signal(Signal::QUIT);
    assert_eq!(server.wait(SOON).code(), Some(0), "{}", server.log());
    assert!(!process::is_alive(pid));
}

/// Processes that end while the keeper looks at them have no group, or one of -1.
#[test]
fn processes_that_end_while_they_are_looked_for_cost_nothing() {
    let directory = Directory::new();
    // It ends on its own, should it be left over.
    let churn = "trap '' TERM\nfor a in 1 2 3 4 5 6 7 8 9 0; do for b in 1 2 3 4 5 6 7 8 9 0; do \
                 for c in 1 2 3 4 5 6 7 8 9 0; do /bin/true & wait; done; done; done\n";
    let churn = directory.write("churn", churn.repeat(20));
    for way in WAYS {
        let script = format!("for i in 1 2 3 4; do setsid sh {churn} & done; sleep 0.2");
        let table = shell("churn", &script, "restart = \"always\"\nstop_timeout_s = 2");
        let mut server = Server::start(&Device::plain().with(&(table + way)));
        server.call("services/churn/start");
        until("restarted twice", || {
            server.call("services/churn/start");
            status(&server, "churn").restarts >= 2
        });
        server.signal(Signal::TERM);
        assert_eq!(server.wait(SOON).code(), Some(0), "{}", server.log());
    }
}

#[test]
fn reload_reaches_the_leader_alone() {
    let directory = Directory::new();
    let file = directory.file("hangups");
    let helper =
        directory.write("helper", format!("trap 'echo helper >> {file}' HUP; while :; do sleep 0.05; done"));
    let script = format!("trap 'echo leader >> {file}' HUP; sh {helper} & while :; do sleep 0.05; done");
    let commands = "[service.commands]\nreload = \"HUP\"\n";
    let server = Server::start(&Device::plain().with(&(shell("web", &script, "") + commands)));
    let pid = start(&server, "web").pid;
    until("the helper runs", || process::group(pid).len() >= 3);
    std::thread::sleep(Duration::from_millis(300));
    let answer =
        server.post("/system.library/services/web/command", &format!("sessionid={ADMIN}&cmd=reload"));
    assert_eq!(answer.body, OK);
    until("the leader has it", || fs::exists(&file).unwrap());
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(fs::read_to_string(&file).unwrap(), "leader\n");
}

#[test]
fn server_ends_with_its_keeper() {
    let server = Server::start(&Device::plain());
    let _socket = server.bound(ADMIN);
    send(server.keeper(), Signal::KILL);
    until("it ends", || !process::is_alive(server.pid()));
}

/// Program that gives its child a number, as the kernel does after all others have been used, and a group of its own.
const NUMBERED: &str = "import ctypes, os, signal, struct, sys, time
libc = ctypes.CDLL(None)
number = (ctypes.c_int * 1)(int(sys.argv[1]))
arguments = struct.pack('11Q', 0, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, ctypes.addressof(number), 1, 0)
if libc.syscall(435, arguments, len(arguments)) == 0:
    os.setpgid(0, 0)
    print('runs', flush=True)
time.sleep(1000)
";

#[test]
fn stranger_with_the_number_of_a_dead_leader_gets_none_of_its_signals() {
    let directory = Directory::new();
    let stubborn = directory.write("stubborn", "trap '' TERM\nwhile :; do sleep 0.1; done\n");
    let numbered = directory.write("numbered.py", NUMBERED);
    for way in WAYS {
        let script = format!("setsid sh {stubborn} & sleep 0.5; exit 0");
        let server =
            Server::start(&Device::plain().with(&(shell("web", &script, "stop_timeout_s = 3") + way)));
        let pid = start(&server, "web").pid;
        until("its leader has ended, and its daemon has not", || {
            !process::is_alive(pid) && status(&server, "web").state == "stopping"
        });
        let mut other = Command::new("python3")
            .arg(&numbered)
            .arg(pid.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(other.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "runs\n", "{way}");
        until_state(&server, "web", "stopped");
        server.stop();
        assert!(process::is_alive(pid), "{way}");
        send(pid, Signal::KILL);
        other.kill().unwrap();
        other.wait().unwrap();
    }
}
