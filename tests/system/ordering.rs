//! Order of starts and readiness, with real programs.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::services::{OK, status, until_state};
use super::supervision::send;
use crate::support::device::{service, shell};
use crate::support::directory::Directory;
use crate::support::record::seconds_of;
use crate::support::wait::until;
use crate::support::{Device, Server, process};

/// Service of type notify that takes these steps (`tests/system/notifier.rs`).
pub(super) fn notifier(name: &str, steps: &[&str], rest: &str) -> String {
    let program = notifier_path();
    let command = [&[&*program], steps].concat();
    service(name, &command, &format!("type = \"notify\"\n{rest}"))
}

/// Path of that program.
pub(super) fn notifier_path() -> String {
    let program = Path::new(env!("CARGO_BIN_EXE_friendlet")).with_file_name("examples").join("notifier");
    assert!(program.exists(), "{} is missing: run `cargo build --examples` first", program.display());
    program.to_str().unwrap().to_owned()
}

/// Waits until the log has these lines, and asserts their order.
#[track_caller]
pub(super) fn assert_order(server: &Server, lines: &[&str]) {
    // The log is read by a thread of its own.
    assert_order_in(|| server.log(), lines);
}

/// The same of the log that `read` returns.
#[track_caller]
pub(super) fn assert_order_in(read: impl Fn() -> String, lines: &[&str]) {
    until("the log has all lines", || {
        let log = read();
        lines.iter().all(|line| log.contains(line))
    });
    let log = read();
    assert!(lines.iter().map(|line| log.find(line)).is_sorted(), "{lines:?}:\n{log}");
}

#[test]
fn service_is_ready_when_it_writes_a_line_to_its_descriptor() {
    for number in [3, 9] {
        let script = format!("printf almost >&{number}; sleep 0.6; echo >&{number}; exec sleep 1000");
        let keys = format!("autostart = true\nready = \"fd:{number}\"");
        let panel = shell("panel", "exec sleep 1000", "autostart = true\nafter = [\"broker\"]");
        let server = Server::start(&Device::plain().with(&(shell("broker", &script, &keys) + &panel)));
        until_state(&server, "panel", "started");
        assert_order(&server, &["broker: started", "broker: ready", "panel: started"]);
        let log = server.log();
        let at = |text: &str| -> f64 {
            let line = log.lines().find(|line| line.contains(text)).unwrap();
            seconds_of(line).unwrap()
        };
        assert!(at("broker: ready") - at("broker: started") >= 0.5, "{log}");
        // The standard ones and its own. The loader of a program has its libraries open for a moment.
        for (name, count) in [("broker", 4), ("panel", 3)] {
            until("it has no other descriptor", || process::descriptors(status(&server, name).pid) == count);
        }
    }
}

#[test]
fn service_that_closes_its_descriptor_without_a_line_is_not_ready() {
    let script = "printf no >&4; exec 4>&-; exec sleep 1000";
    let keys = "autostart = true\nready = \"fd:4\"\nready_timeout_s = 1";
    let server = Server::start(&Device::plain().with(&shell("web", script, keys)));
    until("it is late", || server.log().contains("web: not ready after 1 s"));
    assert_eq!(status(&server, "web").state, "started");
    assert!(!server.log().contains("web: ready"));
}

#[test]
fn services_start_when_those_before_them_are_ready() {
    let tables = [
        shell("panel", "exec sleep 1000", "autostart = true\nafter = [\"broker\", \"mount\"]"),
        notifier(
            "broker",
            &["sleep:500", "READY=1", "sleep:1000000"],
            "autostart = true\nafter = [\"mount\"]",
        ),
        shell("mount", "sleep 0.5", "type = \"oneshot\"\nautostart = true"),
        shell("clock", "exec sleep 1000", "autostart = true"),
    ];
    let server = Server::start(&Device::plain().with(&tables.concat()));
    until_state(&server, "panel", "started");
    assert_order(
        &server,
        &["clock: started", "mount: exited", "broker: started", "broker: ready", "panel: started"],
    );
    assert_eq!(status(&server, "mount").state, "finished");
    assert_eq!(server.call("services/mount/start"), OK);
    assert_eq!(status(&server, "mount").state, "finished", "it is up");
}

#[test]
fn late_service_is_not_waited_for_any_longer() {
    let tables = [
        notifier("slow", &["sleep:1000000"], "autostart = true\nready_timeout_s = 1"),
        shell("panel", "exec sleep 1000", "autostart = true\nafter = [\"slow\"]"),
        shell("picky", "exec sleep 1000", "autostart = true\nrequires = [\"slow\"]"),
    ];
    let started = Instant::now();
    let server = Server::start(&Device::plain().with(&tables.concat()));
    until_state(&server, "panel", "started");
    assert!(started.elapsed() >= Duration::from_secs(1));
    assert_order(&server, &["slow: not ready after 1 s", "panel: starting, although slow is not ready"]);
    let status = until_state(&server, "picky", "failed");
    assert_eq!(status.last_exit, "a required service is not ready");
    assert!(server.call("services/picky/status").contains("\"requires slow, which is not ready\""));
}

#[test]
fn start_pulls_in_what_a_service_requires_and_stops_with_it() {
    let tables =
        [shell("base", "exec sleep 1000", ""), shell("web", "exec sleep 1000", "requires = [\"base\"]")];
    let server = Server::start(&Device::plain().with(&tables.concat()));
    assert_eq!(server.call("services/web/start"), OK);
    assert_order(&server, &["base: starting, web requires it", "base: started", "web: started"]);
    assert_eq!(server.call("services/base/stop"), OK);
    until_state(&server, "web", "stopped");
    until_state(&server, "base", "stopped");
}

#[test]
fn required_service_that_fails_is_named() {
    let tables = [
        shell("base", "exit 3", "type = \"oneshot\""),
        shell("web", "exec sleep 1000", "requires = [\"base\"]"),
    ];
    let server = Server::start(&Device::plain().with(&tables.concat()));
    let answer = server.call("services/web/start");
    assert!(
        answer.starts_with("fail") && answer.contains("web: requires base, which does not run"),
        "{answer}"
    );
    assert_eq!(status(&server, "web").state, "failed");
}

#[test]
fn line_of_the_output_makes_a_service_ready() {
    let script = "echo starting; sleep 0.6; printf 'listening '; sleep 0.1; echo 'on 80'; exec sleep 1000";
    let tables = [
        shell("base", script, "autostart = true\nready = \"line:listening on\""),
        shell("web", "exec sleep 1000", "autostart = true\nafter = [\"base\"]"),
    ];
    let server = Server::start(&Device::plain().with(&tables.concat()));
    until_state(&server, "base", "started");
    assert!(server.call("services/base/status").contains("\"Ready\": false"));
    until_state(&server, "web", "started");
    assert!(server.call("services/base/status").contains("\"Ready\": true"));
    assert_order(&server, &["base: ready", "web: started"]);
}

#[test]
fn accepted_connection_makes_a_service_ready() {
    // Another server, on a port that is free.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let directory = Directory::new();
    let other = Device { address: format!("127.0.0.1:{port}"), ..Device::plain() };
    let file = directory.write("other.toml", other.text(&directory.file("state")));
    let script = format!("sleep 0.6; exec {} serve --config {file}", env!("CARGO_BIN_EXE_friendlet"));
    let tables = [
        shell("base", &script, &format!("autostart = true\nready = \"tcp:127.0.0.1:{port}\"")),
        shell("web", "exec sleep 1000", "autostart = true\nafter = [\"base\"]"),
    ];
    let server = Server::start(&Device::plain().with(&tables.concat()));
    until_state(&server, "web", "started");
    assert_order(&server, &["base: started", "base: ready", "web: started"]);
}

#[test]
fn silent_service_is_killed_and_restarted() {
    let steps = ["READY=1", "sleep:700", "WATCHDOG=1", "STATUS=working", "sleep:1000000"];
    let table = notifier("dog", &steps, "autostart = true\nwatchdog_s = 1\nrestart = \"on-failure\"");
    let server = Server::start(&Device::plain().with(&table));
    until("its text is shown", || {
        server.call("services/dog/status").contains("\"Ready\": true, \"Text\": \"working\"")
    });
    until("restarted", || status(&server, "dog").restarts >= 1);
    assert_eq!(status(&server, "dog").last_exit, "signal 9");
    assert_order(&server, &["dog: ready", "dog: killed, the watchdog expired", "dog: exited, signal 9"]);
}

#[test]
fn healthy_service_is_not_killed_after_a_server_that_was_held_up() {
    let steps = [&["READY=1"][..], &["WATCHDOG=1", "sleep:300"].repeat(30)].concat();
    let table = notifier("dog", &steps, "autostart = true\nwatchdog_s = 1\nrestart = \"on-failure\"");
    let server = Server::start(&Device::plain().with(&table));
    until("it is ready", || server.call("services/dog/status").contains("\"Ready\": true"));
    let pid = status(&server, "dog").pid;
    send(server.pid(), Signal::STOP);
    // The time in which it would expire, twice.
    std::thread::sleep(Duration::from_millis(2500));
    send(server.pid(), Signal::CONT);
    until("the next deadlines are handled", || server.log().contains("the server was held up for "));
    let now = status(&server, "dog");
    assert_eq!((now.pid, now.restarts, now.state.as_str()), (pid, 0, "started"), "{}", server.log());
}

#[test]
fn more_time_is_granted_to_a_service() {
    let steps = ["EXTEND_TIMEOUT_USEC=60000000", "sleep:1500", "READY=1\nMAINPID=$$", "sleep:1000000"];
    let tables = [
        notifier("slow", &steps, "autostart = true\nready_timeout_s = 1"),
        shell("web", "exec sleep 1000", "autostart = true\nafter = [\"slow\"]"),
    ];
    let server = Server::start(&Device::plain().with(&tables.concat()));
    until_state(&server, "web", "started");
    assert_order(&server, &["slow: ready", "web: started"]);
    assert!(!server.log().contains("not ready after"));
}

#[test]
fn report_counts_for_the_service_of_its_sender() {
    let tables = [
        notifier("one", &["sleep:1000000"], "autostart = true"),
        notifier("two", &["MAINPID=1\nREADY=1", "sleep:1000000"], "autostart = true"),
    ];
    let server = Server::start(&Device::plain().with(&tables.concat()));
    until("two is ready", || server.call("services/two/status").contains("\"Ready\": true"));
    assert!(server.call("services/one/status").contains("\"Ready\": false"));
}
