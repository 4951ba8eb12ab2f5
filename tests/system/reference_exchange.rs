//! The reference exchange: both forms, both directions, and what followed them.

use crate::support::device::{ADMIN, GUEST, shell};
use crate::support::http::session_of;
use crate::support::wait::until;
use crate::support::ws::{frame, request};
use crate::support::{Device, Server, process};

const OK: &str = r#"{ "Status": "ok"}"#;

/// The only child of the server.
fn child(server: &Server) -> u32 {
    let children = server.services();
    assert_eq!(children.len(), 1, "{children:?}");
    children[0]
}

#[test]
fn reference_message_starts_a_process() {
    // The built-in hello: the configuration file names no service of this name.
    let server = Server::start(&Device::new());
    let mut socket = server.socket();
    let login = r#"{ "username":"fadmin", "password":"secret" }"#;
    let session = session_of(&socket.call(&frame("login", login))).unwrap();

    let start = format!(
        r#"<!--"MSG"--"760"--"system.library/services/start"-->{{ "serviceName":"hello", "sessionid":"{session}" }}<--!>"#
    );
    assert_eq!(socket.call(&start), OK);
    let hello = child(&server);
    assert!(process::is_alive(hello));
    assert!(process::command_line(hello).ends_with(" hello"), "{}", process::command_line(hello));

    let list = frame("services/list", &format!(r#"{{ "sessionid":"{session}" }}"#));
    assert!(
        socket
            .call(&list)
            .contains(r#"{ "Service": "hello" , "Status": "1" ,  "Hosts" : "", "state":"started" }"#)
    );

    let stop = format!(r#"{{ "serviceName":"hello", "sessionid":"{session}" }}"#);
    assert_eq!(socket.call(&frame("services/stop", &stop)), OK);
    until("hello is gone", || !process::is_alive(hello));
    until("the list reports it", || {
        socket
            .call(&list)
            .contains(r#"{ "Service": "hello" , "Status": "0" ,  "Hosts" : "", "state":"stopped", "reason":"signal 15" }"#)
    });
}

#[test]
fn con_shows_the_change_on_a_second_socket() {
    let server = Server::start(&Device::new());
    let mut first = server.socket();
    let mut second = server.socket();
    second.send(&format!(r#"<!--"CON"--"0"--"{ADMIN}"-->"#));
    // CON has no answer; what is answered after it comes after the binding.
    second.expect_nothing();

    assert_eq!(first.service("start", "hello"), OK);
    let reported = second.push(r#""state":"started""#);
    assert_eq!(
        reported,
        format!(
            r#"{{"type":"msg","data":{{"type":"service-change","data":{{"service":"hello","state":"started","pid":{}}}}}}}"#,
            child(&server)
        )
    );
    assert_eq!(first.service("stop", "hello"), OK);
    second.push(r#"{"service":"hello","state":"stopped","pid":0,"reason":"signal 15""#);
}

#[test]
fn unbound_socket_gets_no_push() {
    let server = Server::start(&Device::plain());
    let mut bound = server.bound(ADMIN);
    let mut unbound = server.socket();
    assert_eq!(unbound.service("start", "hello"), OK);
    bound.push(r#""state":"started""#);
    assert_eq!(unbound.text_after_probe(), None);
}

#[test]
fn stop_ends_the_grandchildren() {
    let script = "sleep 1000 & exec sleep 1000";
    let server = Server::start(&Device::new().with(&shell("family", script, "")));
    let mut socket = server.bound(ADMIN);
    assert_eq!(socket.service("start", "family"), OK);
    let parent = child(&server);
    until("both run", || process::group(parent).len() == 2);
    assert_eq!(socket.service("stop", "family"), OK);
    socket.push(r#"{"service":"family","state":"stopped","pid":0,"reason":"signal 15""#);
    until("the group is empty", || process::group(parent).is_empty());
}

#[test]
fn envelope_starts_a_process() {
    let server = Server::start(&Device::new());
    let mut socket = server.bound(ADMIN);
    let answer = socket.call(&request("r1", "services/hello/start", "{}", ADMIN));
    assert_eq!(
        answer,
        r#"{"type":"msg","data":{ "type":"response","requestid":"r1","data":{ "Status": "ok"}}}"#
    );
    let pid = child(&server);
    socket.push(&format!(r#"{{"service":"hello","state":"started","pid":{pid}}}"#));

    let status = socket.call(&request("r2", "services/hello/status", "{}", ADMIN));
    assert!(
        status.contains(&format!(r#""data":{{ "Status": "ok", "State": "started", "Pid": {pid}, "Since": "#))
            && status.contains(r#", "Restarts": 0, "LastExit": "", "Reason": "", "Enabled": "#),
        "{status}"
    );
    // Both address forms.
    let stop = request("r3", "services/stop", r#"{"serviceName":"hello"}"#, ADMIN);
    assert!(socket.call(&stop).contains(r#"{ "Status": "ok"}"#));
    socket.push(r#""state":"stopped""#);
}

#[test]
fn event_is_executed_and_not_answered_by_the_program() {
    let server = Server::start(&Device::plain());
    let mut socket = server.bound(ADMIN);
    socket.send(&format!(
        r#"{{"type":"msg","data":{{"type":"event","path":"system.library/services/hello/start","data":{{}},"sessionid":"{ADMIN}"}}}}"#
    ));
    socket.push(r#""state":"started""#);
    socket.expect_nothing();
}

#[test]
fn the_bound_session_authorises_a_request() {
    let server = Server::start(&Device::plain());
    let mut socket = server.bound(ADMIN);
    let call = r#"{"type":"msg","data":{"type":"request","requestid":"r","path":"system.library/services/hello/start","data":{}}}"#;
    assert!(socket.call(call).contains(r#"{ "Status": "ok"}"#));
    let mut guest = server.bound(GUEST);
    assert!(guest.call(call).contains(r#"\"code\":\"4\""#));
}

#[test]
fn many_messages_in_one_write_are_answered_in_order() {
    let server = Server::start(&Device::plain());
    let mut socket = server.bound(ADMIN);
    let mut bytes = Vec::new();
    for number in 0..100 {
        let call = request(&format!("r{number}"), "services/list", "{}", ADMIN);
        bytes.extend(crate::support::ws::Frame::new(crate::support::ws::TEXT, call).bytes());
    }
    socket.send_raw(&bytes);
    for number in 0..100 {
        assert!(socket.reply().contains(&format!(r#""requestid":"r{number}""#)));
    }
}
