//! Ends of services that a killed server, or one that leaves for an upgrade, hands on to the next one.

use std::fs;

use rustix::process::Signal;

use super::services::{OK, Status, start, status, until_state};
use super::supervision::{pid_in, send};
use crate::support::device::{ADMIN, service, shell};
use crate::support::directory::Directory;
use crate::support::wait::until;
use crate::support::ws::request;
use crate::support::{Device, Server, process};

/// Puts another server in the place of this one.
fn replace(server: &mut Server, is_upgrade: bool) {
    if is_upgrade { server.upgrade() } else { server.crash() }
}

/// Key whose value is a shell script.
fn program(key: &str, script: &str) -> String {
    format!("{key} = [\"/bin/sh\", \"-c\", {script:?}]\n")
}

fn lines(file: &str) -> usize {
    fs::read_to_string(file).map_or(0, |text| text.lines().count())
}

fn until_end(server: &Server, name: &str, state: &str) -> Status {
    let status = until_state(server, name, state);
    assert_eq!(status.pid, 0, "{name}");
    status
}

/// Waits until a service is stopping without the process of its program.
fn until_finish(server: &Server, name: &str, file: &str) {
    until("finish runs", || status(server, name).state == "stopping" && lines(file) > 0);
}

#[test]
fn failed_start_whose_finish_runs_is_not_forgotten() {
    for is_upgrade in [false, true] {
        let directory = Directory::new();
        let [pre, main] = ["pre", "main"].map(|name| directory.file(name));
        let finish = |file: &str| program("finish", &format!("echo x >> {file}; sleep 1"));
        let pre_start = program("pre_start", "exit 3");
        let mut server = Server::start(
            &Device::plain().with(
                &[
                    shell("pre", "exec sleep 1000", &(finish(&pre) + &pre_start + "success_codes = [0, 3]")),
                    service(
                        "main",
                        &["/nowhere/at/all"],
                        &(finish(&main) + &program("pre_start", "exit 0") + "success_codes = [0, 127]"),
                    ),
                ]
                .concat(),
            ),
        );
        for name in ["pre", "main"] {
            assert!(server.call(&format!("services/{name}/start")).starts_with("fail"));
        }
        until_finish(&server, "pre", &pre);
        until_finish(&server, "main", &main);
        replace(&mut server, is_upgrade);
        let missing = "cannot start: No such file or directory (errno 2)";
        for (name, reason) in [("pre", "pre_start: exit 3"), ("main", missing)] {
            let end = until_end(&server, name, "failed");
            assert_eq!(end.last_exit, reason, "upgrade: {is_upgrade}");
        }
        assert_eq!([lines(&pre), lines(&main)], [1, 1], "finish runs once");
    }
}

#[test]
fn policy_decides_after_a_failed_start_whose_finish_runs() {
    for is_upgrade in [false, true] {
        let directory = Directory::new();
        let [starts, ends] = ["starts", "ends"].map(|name| directory.file(name));
        let keys = program("pre_start", &format!("echo x >> {starts}; exit 3"))
            + &program("finish", &format!("echo x >> {ends}; sleep 1"))
            + "restart = \"on-failure\"\nsuccess_codes = [0, 3]";
        let mut server = Server::start(&Device::plain().with(&shell("web", "exec sleep 1000", &keys)));
        assert!(server.call("services/web/start").starts_with("fail"));
        until_finish(&server, "web", &ends);
        replace(&mut server, is_upgrade);
        until("it starts again", || lines(&starts) == 2);
        assert_eq!(server.call("services/web/stop"), OK);
    }
}

#[test]
fn finish_follows_a_pre_start_that_was_being_stopped() {
    for is_upgrade in [false, true] {
        let directory = Directory::new();
        let [prepared, ends] = ["prepared", "ends"].map(|name| directory.file(name));
        let keys = program(
            "pre_start",
            &format!("trap '' TERM; echo $$ > {prepared}; while :; do sleep 0.05; done"),
        ) + &program("finish", &format!("echo x >> {ends}"))
            + "stop_timeout_s = 100";
        let mut server = Server::start(&Device::plain().with(&shell("web", "exec sleep 1000", &keys)));
        let mut socket = server.bound(ADMIN);
        socket.send(&request("s", "services/web/start", "{}", ADMIN));
        let pid = pid_in(&prepared);
        // A start that the server does not know yet is killed, and has no end.
        until("the server knows it", || server.log().contains("web: pre_start, pid"));
        assert_eq!(server.call("services/web/stop"), OK);
        until_state(&server, "web", "stopping");
        replace(&mut server, is_upgrade);
        until_end(&server, "web", "stopped");
        assert!(!process::is_alive(pid));
        assert_eq!(lines(&ends), 1, "upgrade: {is_upgrade}");
    }
}

#[test]
fn finish_follows_a_service_that_ended_between_two_servers() {
    let directory = Directory::new();
    let ends = directory.file("ends");
    let keys = program("finish", &format!("echo $FRIENDLET_EXIT >> {ends}"));
    let mut server = Server::start(&Device::plain().with(&shell("web", "exec sleep 1000", &keys)));
    let pid = start(&server, "web").pid;
    // A server that is stopped reads no report.
    send(server.pid(), Signal::STOP);
    send(pid, Signal::KILL);
    until("it has ended", || !process::is_alive(pid));
    server.crash();
    assert_eq!(until_end(&server, "web", "failed").last_exit, "signal 9");
    until("finish has run", || lines(&ends) > 0);
    assert_eq!(fs::read_to_string(&ends).unwrap(), "signal 9\n");
}

/// The command itself was killed, and its children ran on beside that of the next server.
#[test]
fn stop_command_runs_on_when_its_server_is_replaced() {
    let script = "trap '' TERM; echo up; while :; do sleep 0.05; done";
    for (is_upgrade, seconds, timeout) in [(false, "1.5", 20), (true, "1.5", 20), (false, "0.2", 2)] {
        let directory = Directory::new();
        let file = directory.file("lines");
        let ends = if timeout > 2 { "kill -KILL $MAINPID" } else { "true" };
        let stop = format!("echo begin >> {file}; sh -c 'sleep {seconds}; echo end >> {file}; {ends}'");
        let keys = format!("autostart = true\nready = \"line:up\"\nstop_timeout_s = {timeout}\n");
        let device = Device::plain().with(&shell("db", script, &(keys + &program("stop_command", &stop))));
        let mut server = Server::start(&device);
        until_state(&server, "db", "started");
        assert_eq!(server.call("services/db/stop"), OK);
        until("it has begun", || lines(&file) == 1);
        replace(&mut server, is_upgrade);
        until_end(&server, "db", "stopped");
        assert_eq!(fs::read_to_string(&file).unwrap(), "begin\nend\n", "upgrade: {is_upgrade}, {seconds} s");
    }
}

#[test]
fn service_that_stops_with_a_failed_one_fails_with_it() {
    for is_upgrade in [false, true] {
        let directory = Directory::new();
        let stopping = directory.file("stopping");
        let slow = format!("trap 'echo x > {stopping}; sleep 1; exit 0' TERM; while :; do sleep 0.05; done");
        let mut server = Server::start(
            &Device::plain().with(
                &[
                    shell("base", "exec sleep 1000", ""),
                    shell("web", &slow, "requires = [\"base\"]\nrestart = \"always\""),
                ]
                .concat(),
            ),
        );
        start(&server, "web");
        let base = status(&server, "base").pid;
        send(base, Signal::KILL);
        until("it stops", || lines(&stopping) == 1);
        replace(&mut server, is_upgrade);
        // And after another one.
        for _ in 0..2 {
            until_end(&server, "web", "failed");
            let shown = server.call("services/web/status");
            assert!(shown.contains(r#""Reason": "requires base, which does not run""#), "{shown}");
            server.crash();
        }
    }
}

#[test]
fn run_that_is_too_long_has_its_reason_and_history_after_a_replacement() {
    for is_upgrade in [false, true] {
        let directory = Directory::new();
        let stopping = directory.file("stopping");
        let slow = format!("trap 'echo x > {stopping}; sleep 1; exit 0' TERM; while :; do sleep 0.05; done");
        let mut server = Server::start(&Device::plain().with(&shell("job", &slow, "max_runtime_s = 1")));
        start(&server, "job");
        until("it stops", || lines(&stopping) == 1);
        replace(&mut server, is_upgrade);
        let end = until_end(&server, "job", "failed");
        assert_eq!(end.last_exit, "ran longer than 1 s", "upgrade: {is_upgrade}");
        let shown = server.call("services/job/show");
        assert!(shown.contains(r#""Exit": "ran longer than 1 s", "Reason": "max runtime""#), "{shown}");
    }
}

#[test]
fn long_run_whose_finish_runs_counts_as_none_that_was_short() {
    let directory = Directory::new();
    let [starts, ends] = ["starts", "ends"].map(|name| directory.file(name));
    let keys = program("finish", &format!("echo x >> {ends}; sleep 1"))
        + "restart = \"always\"\nstart_limit = 1\nautostart = true";
    let script = format!("echo x >> {starts}; sleep 10.5");
    let mut server = Server::start(&Device::plain().with(&shell("web", &script, &keys)));
    until("it has run", || lines(&ends) == 1);
    server.crash();
    until("it starts again", || lines(&starts) == 2);
    assert_eq!(until_state(&server, "web", "started").restarts, 1);
}
