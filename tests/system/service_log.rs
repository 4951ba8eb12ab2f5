//! Output of services: the call `services/NAME/log` and the push `service-log`.

use crate::support::device::{ADMIN, shell};
use crate::support::wait::until;
use crate::support::ws::request;
use crate::support::{Device, Server};

#[test]
fn output_is_read_and_followed() {
    // A line, part of one without an end, then lines on request.
    let script = "echo one; printf two; trap 'echo three' USR1; while :; do sleep 0.05; done";
    let commands = "[service.commands]\nmore = \"USR1\"\n";
    let server = Server::start(&Device::new().with(&shell("talker", script, commands)));
    assert_eq!(server.call("services/talker/start"), r#"{ "Status": "ok"}"#);
    let log = || server.call("services/talker/log");
    until("the first line", || log().contains(r#""Lines": ["one"]"#));
    let mut socket = server.socket();
    socket.bind(ADMIN);
    let answer = socket.call(&request("r", "services/talker/log", r#"{"follow":true}"#, ADMIN));
    assert!(answer.contains(r#""From": 0, "Next": 4, "Lost": 0, "Lines": ["one"]"#), "{answer}");
    socket.call(&request("c", "services/talker/command", r#"{"cmd":"more"}"#, ADMIN));
    let push = socket.push("service-log");
    // The signal goes to the group: the shell reports the end of its `sleep` first.
    assert!(
        push.contains(r#""service":"talker","from":4,"#) && push.contains(r#""lost":0,"lines":["two"#),
        "{push}"
    );
    if !push.contains("three") {
        socket.push(r#"three"]}}}"#);
    }
}

#[test]
fn last_words_of_a_process_are_there_when_it_has_ended() {
    let server = Server::start(&Device::new().with(&shell("brief", "printf 'no end'; exit 3", "")));
    server.call("services/brief/start");
    until("its output", || server.call("services/brief/log").contains(r#""Lines": ["no end"]"#));
}
