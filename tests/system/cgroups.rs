//! Control groups of the services: limits, containment, and use of the processor and of memory.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use friendlet::service::KILL_TIMEOUT;
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};

use super::services::{start, status, until_state};
use crate::support::device::{service, shell};
use crate::support::directory::Directory;
use crate::support::wait::{SOON, until};
use crate::support::{Device, Server, process};

const OK: &str = r#"{ "Status": "ok"}"#;
/// Time for signals, exits and reaping of hundreds of processes on a busy machine.
const ALLOWANCE: Duration = Duration::from_secs(2);
/// With control groups, and without.
pub(crate) const WAYS: [&str; 2] = ["", "[board]\ncgroups = false\n"];

/// A server with one service `web`; the pid of a daemon that has left its group and its session, has lost its
/// parent, and has an empty environment.
fn with_stranger() -> (Server, u32) {
    let directory = Directory::new();
    let file = directory.file("daemon");
    let daemon = directory.write("daemon.sh", format!("echo $$ > {file}\nexec sleep 1000\n"));
    let script = format!("(setsid env -i PATH=\"$PATH\" sh {daemon} &); exec sleep 1000");
    let server = Server::start(&Device::plain().with(&shell("web", &script, "")));
    start(&server, "web");
    until("the daemon runs", || fs::read_to_string(&file).is_ok_and(|text| text.ends_with('\n')));
    let pid = fs::read_to_string(&file).unwrap().trim().parse().unwrap();
    (server, pid)
}

#[test]
fn daemon_without_any_mark_ends_with_its_service() {
    let (server, daemon) = with_stranger();
    assert_eq!(server.call("services/web/stop"), OK);
    until_state(&server, "web", "stopped");
    assert!(!process::is_alive(daemon));
}

/// Path of the control group of a service `web`.
fn group(server: &Server) -> String {
    let pid = server.keeper();
    let mounts = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
    let entries = mounts.iter().flat_map(|mount| fs::read_dir(mount).into_iter().flatten().flatten());
    let is_own = |name: &str| name.starts_with(&format!("friendlet.{pid}."));
    let own = entries.filter(|entry| entry.file_name().to_str().is_some_and(is_own));
    let groups = own.map(|entry| format!("{}/service-web", entry.path().display()));
    groups.into_iter().find(|group| Path::new(group).exists()).expect("the service has a control group")
}

/// A program that flushes at TERM, and the file that it then writes.
fn flusher(directory: &Directory) -> [String; 3] {
    let [flushed, pid] = ["flushed", "pid"].map(|name| directory.file(name));
    let text = format!(
        "trap 'sleep 1; echo x >> {flushed}; exit 0' TERM; echo $$ > {pid}; while :; do sleep 0.05; done\n"
    );
    [directory.write("flusher", text), flushed, pid]
}

#[test]
fn daemon_in_a_nested_group_or_in_another_one_has_the_time_to_flush() {
    for place in [
        "$(ls -d /sys/fs/cgroup/*/friendlet.$PPID.*/service-web /sys/fs/cgroup/friendlet.$PPID.*/service-web 2>/dev/null)/a",
        "OTHER",
    ] {
        let directory = Directory::new();
        let [program, flushed, pid] = flusher(&directory);
        let other = match Path::new("/sys/fs/cgroup/unified").exists() {
            true => "/sys/fs/cgroup/unified/cgroup.procs",
            false => "/sys/fs/cgroup/cgroup.procs",
        };
        let enter = match place {
            "OTHER" => format!("echo 0 > {other}"),
            place => format!("a={place}; mkdir $a && echo 0 > $a/cgroup.procs"),
        };
        // The shell writes 0 for itself.
        let script = format!("sh -c '{enter}; exec setsid sh {program}' & exec sleep 1000");
        let script = script.replace("$PPID", "KEEPER");
        let script = format!("k=$PPID; {}", script.replace("KEEPER", "'$k'"));
        let server = Server::start(&Device::plain().with(&shell("web", &script, "stop_timeout_s = 20")));
        start(&server, "web");
        until("the daemon runs", || fs::read_to_string(&pid).is_ok_and(|text| text.ends_with('\n')));
        let group = group(&server);
        assert_eq!(server.call("services/web/stop"), OK);
        until_state(&server, "web", "stopped");
        assert_eq!(fs::read_to_string(&flushed).unwrap(), "x\n", "{place}");
        server.stop();
        assert!(!Path::new(&group).exists(), "{place}");
    }
}

#[test]
fn service_that_froze_its_group_starts_again() {
    let server = Server::start(&Device::plain().with(&shell("web", "exec sleep 1000", "stop_timeout_s = 1")));
    start(&server, "web");
    fs::write(format!("{}/cgroup.freeze", group(&server)), "1").unwrap();
    assert_eq!(server.call("services/web/stop"), OK);
    until_state(&server, "web", "stopped");
    start(&server, "web");
}

#[test]
fn processes_that_a_killed_keeper_has_left_are_killed_by_the_next_one_alone() {
    let (mut server, daemon) = with_stranger();
    let services = server.services();
    kill_process(Pid::from_raw(server.keeper().cast_signed()).unwrap(), Signal::KILL).unwrap();
    server.wait(SOON);
    // One with another local socket does not follow it.
    Server::start(&Device::plain()).stop();
    assert!(process::is_alive(daemon) && services.iter().all(|pid| process::is_alive(*pid)));
    let _next = Server::start_in(server.take_directory(), &Device::plain());
    until("nothing is left", || !process::is_alive(daemon));
    assert!(services.iter().all(|pid| !process::is_alive(*pid)));
}

#[test]
fn nothing_of_a_service_is_left_when_it_starts_after_a_killed_keeper() {
    assert_nothing_is_left(false);
}

/// The lock of its groups is the server's, too: they were those of a keeper that lives.
#[test]
fn nothing_of_a_service_is_left_when_it_starts_while_the_server_of_a_killed_keeper_ends() {
    assert_nothing_is_left(true);
}

#[track_caller]
fn assert_nothing_is_left(is_server_ending: bool) {
    let files = Directory::new();
    let [flushed, pids] = ["flushed", "pids"].map(|name| files.file(name));
    // What it writes to standard error after the end of the keeper would end it.
    let daemon = format!(
        "exec 2> /dev/null; trap 'sleep 0.5; echo x >> {flushed}; exit 0' TERM; echo $$ >> {pids}; while :; do sleep 0.05; done"
    );
    let daemon = files.write("daemon", daemon);
    let [trap, signals, end] = ["trap", "signals", "end"].map(|name| files.file(name));
    let slow_daemon = format!(
        "exec 2> /dev/null; trap 'echo TERM >> {signals}' TERM; : > {trap}
         while ! test -e {end}; do sleep 0.05; done; echo flushed >> {signals}"
    );
    let slow_daemon = files.write("slow_daemon", slow_daemon);
    let device = Device::plain().with(
        &[
            shell("web", &format!("setsid sh {daemon} & exec sleep 1000"), "autostart = true"),
            // Its leader has ended, and its daemon has its time.
            shell(
                "gone",
                &format!("setsid sh {slow_daemon} & while ! test -e {trap}; do sleep 0.05; done; exit 0"),
                "autostart = true\nstop_timeout_s = 100",
            ),
            shell(
                "slow",
                "exec 2> /dev/null; trap '' TERM; while :; do sleep 0.2; done",
                "autostart = true\nstop_timeout_s = 5",
            ),
        ]
        .concat(),
    );
    let mut server = Server::start(&device);
    let all = || -> Vec<u32> {
        fs::read_to_string(&pids).unwrap_or_default().lines().map(|line| line.parse().unwrap()).collect()
    };
    until("the daemon runs", || all().len() == 1);
    let old = all();
    let signals = || fs::read_to_string(&signals).unwrap_or_default();
    until("the other daemon is signalled", || signals() == "TERM\n");
    let base = Path::new(&group(&server)).parent().map(Path::to_owned).unwrap();
    let lock = is_server_ending.then(|| fs::File::open(base).unwrap());
    lock.iter().for_each(|lock| flock(lock, FlockOperation::LockShared).unwrap());
    for pid in [server.keeper(), server.pid()] {
        kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), Signal::KILL).unwrap();
    }
    server.wait(SOON);
    let server = Server::start_in(server.take_directory(), &device);
    until_state(&server, "web", "started");
    assert!(old.iter().all(|pid| !process::is_alive(*pid)), "{}", server.log());
    // It had its time, and the other services do not delay it.
    assert_eq!(fs::read_to_string(&flushed).unwrap(), "x\n");
    assert_ne!(status(&server, "slow").state, "started");
    assert_eq!(signals(), "TERM\nTERM\n");
    assert_eq!(status(&server, "gone").state, "stopping");
    fs::write(&end, "").unwrap();
    until("all of it has ended", || signals() == "TERM\nTERM\nflushed\n");
}

#[test]
fn groups_of_a_living_server_are_left_alone() {
    let (server, daemon) = with_stranger();
    let other = Server::start(&Device::plain().with(&shell("web", "exec sleep 1000", "")));
    start(&other, "web");
    other.stop();
    assert!(process::is_alive(daemon) && status(&server, "web").state == "started");
}

/// A kernel without such a controller: the log reports it, and the service runs without the limit.
#[test]
fn limits_are_in_force_or_logged() {
    let hungry = shell("hungry", "a=x; while :; do a=$a$a; done", "memory_max = 8388608");
    let many = shell("many", "sleep 1000 & sleep 1000 & sleep 1000 & wait", "pids_max = 3");
    let slow = shell("slow", "exec sleep 1000", "cpu_weight = 10");
    let server = Server::start(&Device::plain().with(&[hungry, many, slow].concat()));
    let is_logged = |service: &str, key: &str| {
        server
            .log()
            .contains(&format!("{service}: {key} is not in force: no control groups with the controller "))
    };
    // The kernel of a board has all of them; its log is not text.
    if !is_logged("hungry", "memory_max") {
        server.call("services/hungry/start");
        assert_eq!(until_state(&server, "hungry", "failed").last_exit, "signal 9 (out of memory)");
    }
    let answer = server.call("services/many/start");
    match is_logged("many", "pids_max") {
        true => assert_eq!(answer, OK),
        false => assert!(answer.contains("fork"), "{answer}"),
    }
    start(&server, "slow");
}

#[test]
fn processor_time_and_memory_are_shown() {
    for way in WAYS {
        let script = "a=$(head -c 4000000 /dev/zero | tr '\\0' x); i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; \
                      echo done; exec sleep 1000";
        let table = shell("busy", script, "ready = \"line:done\"");
        let server = Server::start(&Device::plain().with(&(table + way)));
        start(&server, "busy");
        let number = |name: &str| -> f64 {
            let answer = server.call("services/busy/show");
            let (_, rest) = answer.split_once(&format!("\"{name}\": ")).unwrap_or_else(|| panic!("{answer}"));
            rest.split([',', '}']).next().unwrap().parse().unwrap()
        };
        until("it has worked", || number("Cpu") > 0.0);
        assert!((10_000.0..100_000_000.0).contains(&number("Memory")), "{way}: {}", number("Memory"));
        assert_eq!(server.call("services/busy/stop"), OK);
        until_state(&server, "busy", "stopped");
        assert!(!server.call("services/busy/show").contains("\"Cpu\""));
    }
}

#[test]
fn four_hundred_processes_that_ignore_term_are_ended_in_time() {
    for way in WAYS {
        let directory = Directory::new();
        let file = directory.file("pids");
        let one = directory
            .write("one.sh", format!("trap '' TERM\necho $$ >> {file}\nwhile :; do sleep 5; done\n"));
        let script = format!(
            "trap '' TERM; i=0; while [ $i -lt 200 ]; do sh {one} & (setsid sh {one} &); i=$((i+1)); done; wait"
        );
        let table = shell("many", &script, "stop_timeout_s = 1");
        let server = Server::start(&Device::plain().with(&(table + way)));
        start(&server, "many");
        let pids = || fs::read_to_string(&file).unwrap_or_default();
        until("all run", || pids().lines().count() >= 400);
        let asked = Instant::now();
        assert_eq!(server.call("services/many/stop"), OK);
        until_state(&server, "many", "stopped");
        assert!(asked.elapsed() < Duration::from_secs(20), "{way}: {:?}", asked.elapsed());
        let pids: Vec<u32> = pids().lines().map(|pid| pid.parse().unwrap()).collect();
        let alive = process::alive(&pids);
        assert!(alive.is_empty(), "{way}: {alive:?}");
    }
}

/// Three hundred processes ignore TERM, and start two more each, again when those are killed. The stop comes while
/// they grow.
#[test]
fn fork_bomb_is_ended_in_time() {
    for way in WAYS {
        let directory = Directory::new();
        let bomb = directory.file("bomb.sh");
        // Every second one is in a session of its own.
        let script = format!(
            "trap '' TERM\n\
             again() {{ while :; do $2 sh {bomb} $1; done; }}\n\
             [ $1 -gt 75 ] || {{ again $(($1 * 2)) & again $(($1 * 2 + 1)) setsid & }}\n\
             while :; do sleep 5; done\n"
        );
        directory.write("bomb.sh", script);
        let table = service("bomb", &["/bin/sh", &bomb, "1"], "stop_timeout_s = 1");
        let server = Server::start(&Device::plain().with(&(table + way)));
        start(&server, "bomb");
        until("most run", || process::with(&bomb).len() >= 200);
        let asked = Instant::now();
        assert_eq!(server.call("services/bomb/stop"), OK);
        until_state(&server, "bomb", "stopped");
        let (elapsed, left) = (asked.elapsed(), process::with(&bomb));
        println!("{way}: {elapsed:?}");
        assert!(left.is_empty(), "{way}: {left:?} after {elapsed:?}");
        assert!(elapsed < Duration::from_secs(1) + KILL_TIMEOUT + ALLOWANCE, "{way}: {elapsed:?}");
    }
}
