//! Stopping: one service, and all of them with the server.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::services::{start, status, until_state};
use crate::support::device::{ADMIN, shell};
use crate::support::directory::Directory;
use crate::support::wait::{SOON, until};
use crate::support::{Device, Server, process};

const OK: &str = r#"{ "Status": "ok"}"#;
/// Ignores TERM, and so does its child.
const STUBBORN: &str = "trap '' TERM; sleep 1000 & while :; do sleep 0.1; done";

#[test]
fn a_stubborn_service_is_killed_with_its_group() {
    let server = Server::start(&Device::plain().with(&shell("stubborn", STUBBORN, "stop_timeout_s = 1")));
    let pid = start(&server, "stubborn").pid;
    until("it ignores", || process::group(pid).len() >= 2);
    let asked = Instant::now();
    assert_eq!(server.call("services/stubborn/stop"), OK);
    assert_eq!(status(&server, "stubborn").state, "stopping");
    let last = until_state(&server, "stubborn", "stopped");
    assert!(asked.elapsed() >= Duration::from_millis(900), "{:?}", asked.elapsed());
    assert_eq!(last.last_exit, "signal 9");
    until("nobody is left", || process::group(pid).is_empty());
}

#[test]
fn a_grandchild_that_ignores_term_is_killed_too() {
    // The service itself ends at once; what it leaves behind does not.
    let script = "(trap '' TERM; exec sleep 1000) & exec sleep 1000";
    let server = Server::start(&Device::plain().with(&shell("leaving", script, "stop_timeout_s = 1")));
    let pid = start(&server, "leaving").pid;
    until("both run", || process::group(pid).len() == 2);
    assert_eq!(server.call("services/leaving/stop"), OK);
    until_state(&server, "leaving", "stopped");
    until("nobody is left", || process::group(pid).is_empty());
}

#[test]
fn stop_signal_is_that_of_the_file() {
    let script = "trap 'exit 7' INT; while :; do sleep 0.1; done";
    let server = Server::start(&Device::plain().with(&shell("polite", script, "stop_signal = \"INT\"")));
    start(&server, "polite");
    // The trap is set once the loop runs.
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(server.call("services/polite/stop"), OK);
    assert_eq!(until_state(&server, "polite", "stopped").last_exit, "exit 7");
}

#[test]
fn services_start_and_stop_in_order() {
    let directory = Directory::new();
    let reported = directory.file("reported");
    let teller = |name: &str, after: &str| {
        let script = format!(
            "echo +{name} >> {reported}; trap 'echo -{name} >> {reported}; exit 0' TERM; while :; do sleep 0.05; done"
        );
        shell(name, &script, &format!("autostart = true\nafter = [{after}]"))
    };
    // Named in the wrong order on purpose.
    let tables = teller("third", "\"second\"") + &teller("second", "\"first\"") + &teller("first", "");
    let server = Server::start(&Device::plain().with(&tables));
    until("all have started", || {
        fs::read_to_string(&reported).is_ok_and(|reported| reported.matches('+').count() == 3)
    });
    std::thread::sleep(Duration::from_millis(300));
    server.stop();
    let reported = fs::read_to_string(&reported).unwrap();
    let stops: Vec<&str> = reported.lines().filter(|line| line.starts_with('-')).collect();
    assert_eq!(stops, ["-third", "-second", "-first"], "{reported}");
}

#[test]
fn term_and_int_shut_the_server_down() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut server = Server::start(&Device::new());
        let mut socket = server.bound(ADMIN);
        assert_eq!(socket.service("start", "hello"), OK);
        let services = server.services();
        assert_eq!(services.len(), 1);
        server.signal(signal);
        socket.expect_close(1001, SOON);
        assert_eq!(server.wait(SOON).code(), Some(0), "{}", server.log());
        assert!(!process::is_alive(services[0]));
    }
}

/// `pkill friendlet` reaches the keeper, which passes it on, and the server.
#[test]
fn signals_to_keeper_and_server_leave_the_time_to_flush() {
    for signal in [Signal::TERM, Signal::INT] {
        let directory = Directory::new();
        let file = directory.file("flushed");
        let script =
            format!("trap 'sleep 1; echo flushed > {file}; exit 0' TERM; while :; do sleep 0.05; done");
        let mut server = Server::start(&Device::plain().with(&shell("base", &script, "stop_timeout_s = 20")));
        start(&server, "base");
        for _ in 0..3 {
            server.signal(signal);
            kill_process(Pid::from_raw(server.pid().cast_signed()).unwrap(), signal).unwrap();
        }
        assert_eq!(server.wait(SOON).code(), Some(0));
        assert_eq!(fs::read_to_string(file).unwrap(), "flushed\n");
    }
}

#[test]
fn second_ctrl_c_ends_the_wait_for_services() {
    let device = Device::plain().with(&shell("stubborn", STUBBORN, "stop_timeout_s = 60"));
    let mut server = Server::start(&device);
    let pid = start(&server, "stubborn").pid;
    until("it ignores", || process::group(pid).len() >= 2);
    let mut socket = server.bound(ADMIN);
    server.signal(Signal::INT);
    socket.expect_close(1001, SOON);
    std::thread::sleep(Duration::from_millis(1100));
    server.signal(Signal::TERM);
    server.signal(Signal::INT);
    assert_eq!(server.wait(SOON).code(), Some(0));
    until("nobody is left", || process::group(pid).is_empty());
}

#[test]
fn stubborn_service_does_not_block_the_shutdown() {
    let device = Device::plain().with(&shell("stubborn", STUBBORN, "stop_timeout_s = 2"));
    let mut server = Server::start(&device);
    let pid = start(&server, "stubborn").pid;
    until("it ignores", || process::group(pid).len() >= 2);
    server.signal(Signal::TERM);
    assert_eq!(server.wait(SOON).code(), Some(0));
    until("nobody is left", || process::group(pid).is_empty());
}

#[test]
fn hup_is_ignored() {
    let mut server = Server::start(&Device::plain());
    let mut socket = server.bound(ADMIN);
    for _ in 0..3 {
        server.signal(Signal::HUP);
    }
    assert_eq!(socket.service("start", "hello"), OK);
    assert!(server.is_running());
}
