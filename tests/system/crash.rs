//! Death of the server: another one takes the services over, which run on.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::services::{OK, start, status, until_state};
use super::supervision::{pid_in, send};
use crate::support::device::{ADMIN, service, shell};
use crate::support::directory::Directory;
use crate::support::http::session_of;
use crate::support::server::{friendlet, run_command};
use crate::support::wait::{SOON, until};
use crate::support::ws::request;
use crate::support::{Device, Server, process};

const RUNS_ON: &str = "exec sleep 1000";

fn device(tables: &[String]) -> Device {
    Device::plain().with(&tables.concat())
}

pub(super) fn is_ready(server: &Server, name: &str) -> bool {
    server.call(&format!("services/{name}/show")).contains("\"Ready\": true")
}

/// Lines that a service has written, as the server knows them.
fn lines(server: &Server, name: &str) -> Vec<u64> {
    let text = server.call(&format!("services/{name}/log"));
    text.split(|c: char| !c.is_ascii_digit())
        .filter(|number| number.len() == 6)
        .map(|n| n.parse().unwrap())
        .collect()
}

#[test]
fn services_run_on_and_are_known_to_the_next_server() {
    let directory = Directory::new();
    let flag = directory.file("flag");
    let mut server = Server::start(&device(&[
        shell("auto", RUNS_ON, "autostart = true"),
        shell("stopped", RUNS_ON, "autostart = true"),
        shell("by-hand", RUNS_ON, ""),
        shell("paused", RUNS_ON, ""),
        shell("failed", "exit 3", "autostart = true"),
        shell("done", "exit 0", "type = \"oneshot\"\nautostart = true"),
        shell("line", &format!("echo up; {RUNS_ON}"), "ready = \"line:up\"\nautostart = true"),
        shell("descriptor", &format!("echo >&3; {RUNS_ON}"), "ready = \"fd:3\"\nautostart = true"),
        shell("after", &format!("echo x >> {flag}; {RUNS_ON}"), "requires = [\"line\"]\nautostart = true"),
        shell(
            "needs",
            RUNS_ON,
            &format!("needs = [\"path:{}\"]\nautostart = true", directory.path().display()),
        ),
    ]));
    ["by-hand", "paused"].iter().for_each(|name| drop(start(&server, name)));
    assert_eq!(server.call("services/paused/pause"), OK);
    assert_eq!(server.call("services/stopped/stop"), OK);
    let names = ["auto", "by-hand", "paused", "line", "descriptor", "after", "needs"];
    let states = |server: &Server| names.map(|name| (status(server, name).state, status(server, name).pid));
    let others = |server: &Server| ["stopped", "failed", "done"].map(|name| status(server, name).state);
    until_state(&server, "stopped", "stopped");
    until_state(&server, "failed", "failed");
    until_state(&server, "done", "finished");
    until_state(&server, "after", "started");
    until_state(&server, "needs", "started");
    let before = (states(&server), others(&server));
    for _ in 0..3 {
        let pid = server.pid();
        server.crash();
        assert_ne!(server.pid(), pid);
        assert_eq!((states(&server), others(&server)), before, "{}", server.log());
        let restarts = names.map(|name| status(&server, name).restarts);
        assert_eq!(restarts, [0; 7]);
    }
    for name in ["line", "descriptor"] {
        assert!(is_ready(&server, name), "{name}");
    }
    assert_eq!(std::fs::read_to_string(&flag).unwrap(), "x\n", "nothing was started twice");
    for name in names {
        let pid = status(&server, name).pid;
        assert_eq!(server.call(&format!("services/{name}/stop")), OK, "{name}");
        until_state(&server, name, "stopped");
        assert!(!process::is_alive(pid), "{name}");
    }
    server.stop();
}

#[test]
fn sessions_live_on_and_ended_ones_do_not() {
    let mut server = Server::start(&device(&[]));
    let sessions = ["phone", "tablet"].map(|device| {
        let form = format!("username=guest&password=guest&deviceid={device}");
        session_of(&server.post("/system.library/login", &form).body).unwrap()
    });
    let is_known = |server: &Server, session: &str| {
        server.post("/system.library/services/list", &format!("sessionid={session}")).status == 200
    };
    server.post("/system.library/user/logout", &format!("sessionid={}", sessions[1]));
    assert!(is_known(&server, &sessions[0]) && !is_known(&server, &sessions[1]));
    for _ in 0..2 {
        server.crash();
        assert!(is_known(&server, &sessions[0]) && !is_known(&server, &sessions[1]));
    }
    let mut socket = server.bound(&sessions[0]);
    assert!(socket.call(&request("l", "services/allowed/start", "{}", &sessions[0])).contains(OK));
}

/// After a crash or an upgrade, guesses for other names kept the user out.
#[test]
fn user_with_a_session_has_logged_in_from_its_address_for_the_next_server_too() {
    let mut server = Server::start(&device(&[]));
    let login = |server: &Server, user: &str, password: &str| {
        let form = format!("username={user}&password={password}&deviceid=phone");
        session_of(&server.post("/system.library/login", &form).body)
    };
    let session = login(&server, "guest", "guest").unwrap();
    server.crash();
    let guesses = (0..10).filter_map(|number| login(&server, &format!("nobody{number}"), "wrong"));
    assert_eq!(guesses.count(), 0);
    assert_eq!(login(&server, "fadmin", "secret"), None, "the address has no guesses left");
    assert_eq!(login(&server, "guest", "guest"), Some(session));
}

#[test]
fn output_between_two_servers_is_read_by_the_second() {
    let count = "i=100000; while :; do i=$((i+1)); echo $i; sleep 0.01; done";
    let mut server = Server::start(&device(&[shell("counter", count, "autostart = true")]));
    until("it writes", || !lines(&server, "counter").is_empty());
    let last = *lines(&server, "counter").last().unwrap();
    server.crash();
    until("it goes on", || lines(&server, "counter").len() > 50);
    let lines = lines(&server, "counter");
    assert!(lines.windows(2).all(|pair| pair[1] == pair[0] + 1), "{lines:?}");
    // What the first server has read is lost, and no more.
    assert!(lines[0] <= last + 30, "{last} and then {lines:?}");
    assert_eq!(status(&server, "counter").restarts, 0);
}

#[test]
fn exits_between_two_servers_are_known_and_their_policy_decides() {
    let mut server = Server::start(&device(&[
        shell("again", RUNS_ON, "restart = \"always\""),
        shell("once", "trap 'exit 7' USR1; echo up; while :; do sleep 0.01; done", "ready = \"line:up\""),
    ]));
    let (again, once) = (start(&server, "again").pid, start(&server, "once").pid);
    until("it handles the signal", || is_ready(&server, "once"));
    // A server that is stopped reads no report.
    send(server.pid(), Signal::STOP);
    send(again, Signal::KILL);
    send(once, Signal::USR1);
    until("both have ended", || !process::is_alive(again) && !process::is_alive(once));
    server.crash();
    until_state(&server, "again", "started");
    assert_ne!(status(&server, "again").pid, again);
    until_state(&server, "once", "failed");
    assert_eq!(status(&server, "once").last_exit, "exit 7");
    assert_eq!(status(&server, "again").last_exit, "signal 9");
}

#[test]
fn service_that_failed_is_not_started_again_by_the_next_server() {
    let worker = "(trap 'sleep 1; exit 0' TERM; while :; do sleep 0.05; done)";
    for is_upgrade in [false, true] {
        let mut server = Server::start(&device(&[shell("nr", &format!("{worker} & sleep 0.3; exit 3"), "")]));
        start(&server, "nr");
        until_state(&server, "nr", "stopping");
        if is_upgrade {
            server.upgrade();
        } else {
            server.crash();
        }
        let end = until_state(&server, "nr", "failed");
        assert_eq!((end.restarts, end.last_exit.as_str()), (0, "exit 3"), "upgrade: {is_upgrade}");
    }
}

#[test]
fn stop_that_is_under_way_is_finished_by_the_next_server() {
    let directory = Directory::new();
    let file = directory.file("flushed");
    let flush = format!("trap 'sleep 1; echo x >> {file}; exit 0' TERM; while :; do sleep 0.05; done");
    let mut server = Server::start(&device(&[shell("slow", &flush, "")]));
    let pid = start(&server, "slow").pid;
    assert_eq!(server.call("services/slow/stop"), OK);
    server.crash();
    until_state(&server, "slow", "stopped");
    assert!(!process::is_alive(pid));
    assert_eq!(std::fs::read_to_string(file).unwrap(), "x\n");
}

#[test]
fn program_of_a_start_that_was_under_way_ends_and_the_start_begins_again() {
    let directory = Directory::new();
    let file = directory.file("prepared");
    let prepare = format!("pre_start = [\"/bin/sh\", \"-c\", \"echo $$ >> {file}; exec sleep 2\"]");
    let mut server = Server::start(&device(&[shell("web", RUNS_ON, &prepare)]));
    let mut socket = server.bound(ADMIN);
    let call = request("s", "services/web/start", "{}", ADMIN);
    socket.send(&call);
    let first = pid_in(&file);
    server.crash();
    until("the first one has ended", || !process::is_alive(first));
    until_state(&server, "web", "started");
    assert_eq!(std::fs::read_to_string(&file).unwrap().lines().count(), 2);
}

#[test]
fn finish_runs_on_and_the_exit_before_it_decides() {
    let directory = Directory::new();
    let [runs, ends] = ["runs", "ends"].map(|name| directory.file(name));
    let finish = format!("finish = [\"/bin/sh\", \"-c\", \"sleep 1; echo x >> {ends}\"]");
    let mut server = Server::start(&device(&[
        shell("once", &format!("echo x >> {runs}"), &format!("type = \"oneshot\"\n{finish}")),
        shell("fails", "exit 7", &finish),
    ]));
    ["once", "fails"].iter().for_each(|name| drop(server.call(&format!("services/{name}/start"))));
    until("both have ended", || {
        ["once", "fails"].iter().all(|name| status(&server, name).state == "stopping")
    });
    server.crash();
    until_state(&server, "once", "finished");
    until_state(&server, "fails", "failed");
    assert_eq!(status(&server, "fails").last_exit, "exit 7");
    assert_eq!(std::fs::read_to_string(runs).unwrap(), "x\n");
    assert_eq!(std::fs::read_to_string(ends).unwrap(), "x\nx\n");
}

/// Between two servers, the state directory and the port are free, and the services run.
#[test]
fn second_keeper_does_not_start_while_the_first_one_has_no_server() {
    let mut server = Server::start(&device(&[shell("web", RUNS_ON, "autostart = true")]));
    let pid = until_state(&server, "web", "started").pid;
    let (keeper, own, config) = (server.keeper(), server.pid(), server.config_file());
    server.replace(|| {
        send(keeper, Signal::STOP);
        send(own, Signal::KILL);
        let run = run_command(friendlet().args(["serve", "--config", &config]), "");
        assert_eq!(run.code, Some(69), "{run:?}");
        assert!(run.stderr.contains(&format!("in use by process {keeper}")), "{run:?}");
        send(keeper, Signal::CONT);
    });
    assert_eq!(status(&server, "web").pid, pid);
    server.stop();
}

#[test]
fn commands_and_checks_end_with_their_server() {
    let directory = Directory::new();
    let file = directory.file("pid");
    let command =
        format!("[service.commands]\nrun = [\"/bin/sh\", \"-c\", \"echo $$ > {file}; exec sleep 1000\"]");
    let mut server = Server::start(&device(&[service("tool", &["/bin/sleep", "1000"], &command)]));
    let mut socket = server.bound(ADMIN);
    let call = request("c", "services/tool/command", r#"{"cmd":"run"}"#, ADMIN);
    socket.send(&call);
    let pid = pid_in(&file);
    server.crash();
    until("the command has ended", || !process::is_alive(pid));
    socket = server.bound(ADMIN);
    socket.send(&call);
    until("another one runs", || {
        std::fs::read_to_string(&file)
            .is_ok_and(|text| text.trim().parse().is_ok_and(|other: u32| other != pid))
    });
}

#[test]
fn term_that_comes_between_two_servers_ends_in_order() {
    let directory = Directory::new();
    let file = directory.file("flushed");
    let flush = format!("trap 'echo x >> {file}; exit 0' TERM; echo up; while :; do sleep 0.05; done");
    let table = shell("web", &flush, "autostart = true\nready = \"line:up\"");
    let mut server = Server::start(&device(std::slice::from_ref(&table)));
    until("it handles the signal", || is_ready(&server, "web"));
    // The second short run in a row: the third server waits for a moment.
    server.crash();
    send(server.pid(), Signal::KILL);
    until("it is dead", || server.log().matches("starting another one").count() == 2);
    server.signal(Signal::TERM);
    let status = server.wait(SOON);
    assert_eq!(status.code(), Some(0), "{}", server.log());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "x\n");
    // And at the same moment, before the next one handles signals.
    for pause in [0, 1, 3, 10, 20] {
        std::fs::remove_file(&file).unwrap();
        let mut server = Server::start(&device(std::slice::from_ref(&table)));
        until("it handles the signal", || is_ready(&server, "web"));
        send(server.pid(), Signal::KILL);
        std::thread::sleep(Duration::from_millis(pause));
        server.signal(Signal::TERM);
        assert_eq!(server.wait(SOON).code(), Some(0), "{pause}: {}", server.log());
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "x\n", "{pause}");
    }
}

#[test]
fn services_of_a_killed_keeper_are_stopped_in_order_before_they_start_again() {
    let directory = Directory::new();
    let [flushed, ports] = ["flushed", "ports"].map(|name| directory.file(name));
    // Two at a time would be seen in the second file. The pipe of the output has gone with the keeper.
    let script = format!(
        "trap '' PIPE; trap 'sleep 0.5; echo x >> {flushed}; rm {ports}; exit 0' TERM; test -e {ports} && echo twice >> {flushed}; \
         : > {ports}; while :; do sleep 0.05; done"
    );
    let device = device(&[
        shell("auto", &script, "autostart = true"),
        shell("by-hand", RUNS_ON, ""),
        "[board]\ncgroups = false\n".to_owned(),
    ]);
    let mut server = Server::start(&device);
    until("it runs", || std::fs::exists(&ports).unwrap());
    let left = [status(&server, "auto").pid, start(&server, "by-hand").pid];
    // Of this socket, whatever others are in its directory.
    assert!(std::fs::exists(server.local_socket() + ".processes").unwrap());
    for pid in [server.keeper(), server.pid()] {
        send(pid, Signal::KILL);
    }
    server.wait(SOON);
    assert!(left.iter().all(|pid| process::is_alive(*pid)));
    let server = Server::start_in(server.take_directory(), &device);
    // Nothing waits for them but their own services.
    assert_eq!(server.call("services/allowed/start"), OK);
    until_state(&server, "auto", "started");
    assert_ne!(status(&server, "auto").pid, left[0]);
    until_state(&server, "by-hand", "stopped");
    assert!(left.iter().all(|pid| !process::is_alive(*pid)), "{}", server.log());
    assert_eq!(std::fs::read_to_string(&flushed).unwrap(), "x\n");
    assert!(server.log().contains("auto: process"), "{}", server.log());
}

#[test]
fn keeper_serves_again_within_a_second() {
    let mut server = Server::start(&device(&[shell("web", RUNS_ON, "autostart = true")]));
    until_state(&server, "web", "started");
    let pid = status(&server, "web").pid;
    let start = Instant::now();
    for _ in 0..10 {
        server.crash();
        assert_eq!(server.get("/healthz").status, 200);
    }
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    assert_eq!(status(&server, "web").pid, pid);
}

#[test]
fn start_waits_for_the_server_of_a_keeper_that_was_killed() {
    // Free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let device = Device { address: free.to_string(), ..Device::plain() };
    let mut server = Server::start(&device);
    // It ends later than the next one starts.
    let pid = server.pid();
    send(pid, Signal::STOP);
    send(server.keeper(), Signal::KILL);
    server.wait(SOON);
    let goes_on = format!("sleep 0.3; kill -CONT {pid}");
    let mut delayed = std::process::Command::new("sh").args(["-c", &goes_on]).spawn().unwrap();
    let server = Server::start_in(server.take_directory(), &device);
    assert_eq!(server.address(), free);
    assert!(delayed.wait().unwrap().success());
    server.stop();
}
