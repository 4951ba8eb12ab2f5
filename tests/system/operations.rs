//! Calls whose client loses its connection before the answer.

use std::time::{Duration, Instant};

use super::services::OK;
use crate::support::device::{ADMIN, shell};
use crate::support::wait::until;
use crate::support::ws::request;
use crate::support::{Device, Server};

#[test]
fn result_of_a_command_outlives_the_connection_of_its_call() {
    let commands = "[service.commands]\nwork = [\"/bin/sh\", \"-c\", \"sleep 1; echo worked\"]";
    let server = Server::start(&Device::plain().with(&shell("worker", "exec sleep 1000", commands)));
    let operation = r#"{"serviceName":"worker","cmd":"work","operation":"one"}"#;
    let call = request("1", "services/command", operation, ADMIN);
    let mut lost = server.bound(ADMIN);
    lost.send(&call);
    let mut socket = server.bound(ADMIN);
    let running = r#""Operation": "one", "Function": "command", "Service": "worker", "State": "running""#;
    until("the command runs", || {
        socket.call(&request("2", "operations/list", "{}", ADMIN)).contains(running)
    });
    drop(lost);
    let begin = Instant::now();
    let waited = socket.call(&request("3", "operations/wait", r#"{"operation":"one"}"#, ADMIN));
    assert!(waited.contains(r#""Exit": "exit 0", "Output": "worked\n""#), "{waited}");
    assert!(begin.elapsed() < Duration::from_secs(5));
    // The same call again has the same answer, at once: the command does not run once more.
    let begin = Instant::now();
    let again = socket.call(&call);
    assert!(
        again.contains(r#""Output": "worked\n""#) && begin.elapsed() < Duration::from_millis(900),
        "{again}"
    );
}

#[test]
fn same_id_with_other_parameters_is_refused() {
    let commands = "commands = { one = [\"/bin/echo\", \"1\"], two = [\"/bin/echo\", \"2\"] }";
    let server = Server::start(&Device::plain().with(&shell("worker", "exec sleep 1000", commands)));
    let call = |path: &str, parameters: &str| {
        server.post(&format!("/system.library/{path}"), &format!("sessionid={ADMIN}&{parameters}")).body
    };
    let one = call("services/worker/command", "cmd=one&operation=A");
    assert!(one.contains(r#""Output": "1\n""#), "{one}");
    let other = call("services/worker/command", "cmd=two&operation=A");
    assert!(other.contains("Function command returned: 17"), "{other}");
    assert_eq!(call("services/command", "operation=A&cmd=one&serviceName=worker"), one);
    let dry = call("board/reload", "operation=R&dryrun=true");
    assert!(dry.contains("DryRun"), "{dry}");
    let reload = call("board/reload", "operation=R");
    assert!(reload.contains("Function reload returned: 17"), "{reload}");
}

#[test]
fn restart_of_a_lost_connection_is_not_repeated() {
    let server = Server::start(&Device::plain().with(&shell("calm", "exec sleep 1000", "autostart = true")));
    let data = r#"{"serviceName":"calm","operation":"two"}"#;
    let call = request("1", "services/restart", data, ADMIN);
    let mut lost = server.bound(ADMIN);
    lost.send(&call);
    let mut socket = server.socket();
    until("the restart is known", || {
        socket.call(&request("3", "operations/list", "{}", ADMIN)).contains(r#""Function": "restart""#)
    });
    drop(lost);
    let waited = socket.call(&request("2", "operations/wait", r#"{"operation":"two"}"#, ADMIN));
    assert!(waited.contains(OK), "{waited}");
    let pid = super::services::status(&server, "calm").pid;
    assert!(socket.call(&call).contains(OK));
    assert_eq!(super::services::status(&server, "calm").pid, pid);
}
