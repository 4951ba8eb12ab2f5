//! A fixed number of connections, one of them kept for an administrator.

use std::time::Duration;

use crate::support::device::{FOUNDING, GUEST};
use crate::support::http::{Response, exchange, form_request};
use crate::support::stream::Stream;
use crate::support::wait::{until, within};
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

#[test]
fn a_full_house_answers_503_and_lets_the_administrator_in() {
    for device in [Device::plain(), Device::new()] {
        let server = Server::start(&device.slots(4));
        let users = fill(&server, 4);
        // The last slot is the administrator's, by call and by socket.
        assert_eq!(post(&server, "services/hello/start", FOUNDING).body, OK);
        let mut administrator = server.bound(FOUNDING);
        // Now there is none left at all.
        let refused =
            Response::parse(&exchange(server.connect(), b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n"));
        assert_eq!(refused.status, 503, "{refused:?}");
        let seconds = refused.header("retry-after").and_then(|value| value.parse::<u32>().ok());
        assert!(seconds.is_some_and(|seconds| seconds > 0), "{refused:?}");
        // Those inside are served on.
        assert_eq!(administrator.service("stop", "hello"), OK);

        drop(users);
        let answered = within(Duration::from_secs(20), "slots are free again", || {
            Some(post(&server, "services/allowed/start", GUEST)).filter(|answer| answer.status == 200)
        });
        assert_eq!(answered.body, OK);
    }
}

#[test]
fn a_user_does_not_keep_the_administrators_slot() {
    let server = Server::start(&Device::plain().slots(3));
    let _users = fill(&server, 3);
    let refused = Socket::try_open(server.connect(), "").map(|mut socket| {
        // He may be let in to show who he is, but not to stay.
        socket.send(&format!(r#"{{"type":"con","data":{{"sessionId":"{GUEST}"}}}}"#));
        while let Some(event) = socket.receive(Duration::from_secs(10)) {
            if matches!(event, crate::support::ws::Event::Close(_) | crate::support::ws::Event::End) {
                return true;
            }
        }
        false
    });
    assert!(refused.unwrap_or(true), "a user sits in the administrator's slot");
    within(Duration::from_secs(20), "the administrator gets in", || {
        Some(post(&server, "services/hello/start", FOUNDING)).filter(|answer| answer.body == OK)
    });
}

#[test]
fn the_nameless_in_the_administrators_slot_give_way() {
    let server = Server::start(&Device::plain().slots(3));
    let _users = fill(&server, 3);
    for _ in 0..5 {
        // Connects, says nothing, stays.
        let silent = Stream::plain(server.address());
        let answer = within(Duration::from_secs(9), "the administrator gets in", || {
            Some(post(&server, "services/hello/start", FOUNDING)).filter(|answer| answer.status == 200)
        });
        assert_eq!(answer.body, OK);
        drop(silent);
    }
}

#[test]
fn every_slot_is_of_use_and_free_again() {
    let slots = friendlet::limits::SLOTS;
    let server = Server::start(&Device::plain());
    let idle = process::descriptors(server.pid());
    for _ in 0..3 {
        let mut sockets: Vec<Socket> = (0..slots).map(|_| server.bound(FOUNDING)).collect();
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
