//! A fixed number of connections, one of them kept for an administrator.

use std::time::Duration;

use crate::support::device::{ADMIN, GUEST};
use crate::support::http::{Response, exchange, form_request};
use crate::support::stream::Stream;
use crate::support::wait::{SOON, until, within};
use crate::support::ws::Socket;
use crate::support::{Device, Server, process};

const OK: &str = r#"{ "Status": "ok"}"#;

/// As many bound sockets of the user as there are slots for users.
fn fill(server: &Server, slots: usize) -> Vec<Socket> {
    (1..slots).map(|_| server.bound(GUEST)).collect()
}

fn post(server: &Server, path: &str, session: &str) -> Response {
    let request = form_request(&format!("/system.library/{path}"), &format!("sessionid={session}"));
    Response::parse(&exchange(server.connect(), request.as_bytes()))
}

/// Waits until the administrator has a socket: the connection before it may be closing still.
fn administrator(server: &Server) -> Socket {
    within(Duration::from_secs(10), "the administrator gets in", || server.administrator().ok())
}

#[track_caller]
fn is_rejected(answer: &Response) {
    assert_eq!(answer.status, 503, "{answer:?}");
    let seconds = answer.header("retry-after").and_then(|value| value.parse::<u32>().ok());
    assert!(seconds.is_some_and(|seconds| seconds > 0), "{answer:?}");
}

#[test]
fn server_at_capacity_answers_503_and_serves_the_administrator() {
    for device in [Device::plain(), Device::new()] {
        let server = Server::start(&device.slots(4));
        let users = fill(&server, 4);
        // The last slot is the administrator's, by call and by socket.
        is_rejected(&post(&server, "services/allowed/start", GUEST));
        assert_eq!(post(&server, "services/hello/start", ADMIN).body, OK);
        let mut inside = administrator(&server);
        // Now that one is taken too; a call of the administrator is still answered in an overflow slot.
        for target in ["/", "/healthz"] {
            assert_eq!(server.get(target).status, 200);
        }
        is_rejected(&post(&server, "services/allowed/start", GUEST));
        assert!(server.administrator().is_err());
        assert_eq!(post(&server, "services/hello/start", ADMIN).body, OK);
        assert_eq!(inside.service("stop", "hello"), OK);

        drop(users);
        let answered = within(Duration::from_secs(20), "slots are free again", || {
            Some(post(&server, "services/allowed/start", GUEST)).filter(|answer| answer.status == 200)
        });
        assert_eq!(answered.body, OK);
    }
}

#[test]
fn a_user_does_not_get_the_administrators_slot() {
    let server = Server::start(&Device::plain().slots(3));
    let _users = fill(&server, 3);
    // A session of a user in the address is rejected; one that binds later is closed.
    let refused = Socket::try_open(server.connect(), &format!("/fcws?sessionid={GUEST}"));
    assert!(refused.is_err_and(|answer| answer.starts_with("HTTP/1.1 503 ")));
    let mut socket = within(SOON, "the slot is free", || Socket::try_open(server.connect(), "/fcws").ok());
    socket.send(&format!(r#"{{"type":"con","data":{{"sessionId":"{GUEST}"}}}}"#));
    socket.expect_close(1013, SOON);
    let mut socket = within(SOON, "the slot is free", || Socket::try_open(server.connect(), "/fcws").ok());
    socket.send(&format!(r#"<!--"CON"--"0"--"{GUEST}"-->"#));
    socket.expect_close(1013, SOON);
    // An administrator may bind after the upgrade, as clients that know nothing of addresses do.
    let mut socket = within(SOON, "the slot is free", || Socket::try_open(server.connect(), "/fcws").ok());
    socket.bind(ADMIN);
    assert_eq!(socket.service("start", "hello"), OK);
}

#[test]
fn clients_without_an_identity_keep_nobody_out() {
    let server = Server::start(&Device::plain().slots(3));
    let _users = fill(&server, 3);
    // They connect, say nothing, and stay: more than there are slots.
    let _silent: Vec<_> = (0..16).map(|_| Stream::plain(server.address())).collect();
    for _ in 0..5 {
        assert_eq!(post(&server, "services/hello/start", ADMIN).body, OK);
        assert_eq!(server.get("/healthz").status, 200);
    }
}

#[test]
fn every_slot_is_used_and_freed() {
    let slots = friendlet::limits::SLOTS;
    let server = Server::start(&Device::plain());
    let idle = process::descriptors(server.pid());
    for _ in 0..3 {
        let mut sockets: Vec<Socket> = (0..slots).map(|_| administrator(&server)).collect();
        assert_eq!(sockets[0].service("start", "hello"), OK);
        for socket in &mut sockets {
            socket.push(r#""state":"started""#);
        }
        assert_eq!(sockets[slots - 1].service("stop", "hello"), OK);
        for socket in &mut sockets {
            socket.push(r#""state":"stopped""#);
        }
        drop(sockets);
        until("all descriptors are closed", || process::descriptors(server.pid()) <= idle);
    }
}
