//! Server-sent events.

use core::time::Duration;

use super::fixture::{ADMIN, ANNA, Fixture};
use crate::api::Board;
use crate::connection::{Finish, PUSH_BACKLOG_BYTES, SEND_TIMEOUT, SlotId, USER_SHARE, USER_SLOTS_MIN};
use crate::service::{CheckError, CheckId, EventReport, Exit, ProcessEvent, StatusText};
use crate::ws::PING_INTERVAL;

fn request(method: &str, target: &str, session: &str) -> String {
    format!("{method} /api/v1/{target} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {session}\r\n\r\n")
}

/// Connects a stream; returns its first events.
#[track_caller]
fn stream(fixture: &mut Fixture, session: &str) -> (SlotId, Vec<String>) {
    let id = fixture.connect();
    let response = fixture.http(id, &request("GET", "events", session));
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"), "{head}");
    assert!(!head.contains("content-length"), "{head}");
    (id, events(body))
}

fn events(body: &str) -> Vec<String> {
    assert!(body.is_empty() || body.ends_with("\n\n"), "{body}");
    body.split_terminator("\n\n").map(str::to_owned).collect()
}

fn read(fixture: &mut Fixture, id: SlotId) -> Vec<String> {
    events(&String::from_utf8(fixture.get(id)).unwrap())
}

fn change(service: &str, state: &str, pid: u32, rest: &str) -> String {
    let data = format!(r#"{{"service":"{service}","state":"{state}","pid":{pid}{rest}}}"#);
    format!("event: service-change\ndata: {data}")
}

#[test]
fn stream_begins_with_every_state_and_has_the_pushes_of_its_user() {
    let mut fixture = Fixture::new(8);
    let (admin, all) = stream(&mut fixture, ADMIN);
    assert!(all.len() > 1 && all.contains(&change("hello", "stopped", 0, "")), "{all:?}");
    let (anna, first) = stream(&mut fixture, ANNA);
    assert_eq!(first, [change("hello", "stopped", 0, "")]);
    let caller = fixture.connect();
    fixture.http(caller, &request("POST", "services/hello/start", ADMIN));
    fixture.exit(1234, Exit::signal(11));
    let seen =
        [change("hello", "started", 1234, ""), change("hello", "failed", 0, r#","reason":"signal 11""#)];
    assert_eq!(read(&mut fixture, anna), seen);
    assert_eq!(read(&mut fixture, admin), seen);
    // One that connects again has missed nothing.
    assert!(stream(&mut fixture, ANNA).1.contains(&seen[1]));
    let caller = fixture.connect();
    fixture.http(caller, &request("POST", "services/hello/start", ADMIN));
    let report =
        EventReport { text: StatusText::new("door=open"), age: Duration::ZERO, life: None, changes: 1 };
    let hello = fixture.hello();
    fixture.server.handle_event(hello, ProcessEvent::Event(report), fixture.now, &mut fixture.system);
    fixture.settle();
    let open = "event: service-events\ndata: {\"service\":\"hello\",\"events\":[{\"key\":\"door\",\"value\":\"open\"}]}";
    assert_eq!(read(&mut fixture, anna).last().map(String::as_str), Some(open));
    assert_eq!(stream(&mut fixture, ANNA).1.last().map(String::as_str), Some(open));
}

#[test]
fn stream_has_changes_of_checks_and_the_problem_of_the_board() {
    let board = Board { config_error: Some("it lacks".try_into().unwrap()), ..Board::default() };
    let check = "[[check]]\nname = 'port'\ntcp = '127.0.0.1:1'\n";
    let mut fixture = Fixture::with_tables(4, board, check);
    let (id, first) = stream(&mut fixture, ADMIN);
    assert_eq!(first[0], "event: server-notice\ndata: \"it lacks\"");
    let unknown = "event: check-change\ndata: {\"check\":\"port\",\"state\":";
    assert!(first.last().unwrap().starts_with(unknown), "{first:?}");
    for _ in 0..crate::service::CHECK_FAILURES {
        let attempt = fixture.server.begin_check(CheckId::from_index(0).unwrap(), fixture.now);
        fixture.server.handle_checked(attempt, Err(CheckError::TimedOut), fixture.now, &mut fixture.system);
    }
    let failing =
        "event: check-change\ndata: {\"check\":\"port\",\"state\":\"failing\",\"error\":\"timed out\"}";
    assert_eq!(read(&mut fixture, id), [failing]);
}

#[test]
fn silent_stream_has_comments_and_what_its_client_sends_is_ignored() {
    let mut fixture = Fixture::new(4);
    let (id, _) = stream(&mut fixture, ANNA);
    for _ in 0..8 {
        fixture.put(id, b"GET / HTTP/1.1\r\n\r\n");
        fixture.pass(PING_INTERVAL);
        assert_eq!(fixture.get(id), b":\n\n");
    }
    assert_eq!(fixture.server.state(id).finish, None);
}

#[test]
fn end_of_the_session_or_of_the_server_ends_the_stream() {
    let mut fixture = Fixture::new(4);
    let session = fixture.login("anna", "d");
    let (id, _) = stream(&mut fixture, &session);
    let caller = fixture.connect();
    fixture.http(caller, &request("POST", "user/logout", &session));
    assert_eq!(read(&mut fixture, id), ["event: server-notice\ndata: \"session killed\""]);
    assert_eq!(fixture.server.state(id).finish, Some(Finish::Graceful));

    let (id, _) = stream(&mut fixture, ANNA);
    fixture.server.shutdown(fixture.now, &mut fixture.system);
    assert!(fixture.get(id).is_empty());
    assert_eq!(fixture.server.state(id).finish, Some(Finish::Graceful));
}

#[test]
fn stream_keeps_its_session_in_use() {
    let mut fixture = Fixture::new(4);
    let session = fixture.login("anna", "d");
    let (id, _) = stream(&mut fixture, &session);
    for _ in 0..8 {
        fixture.pass(Duration::from_secs(3600));
        fixture.get(id);
    }
    let caller = fixture.connect();
    assert!(fixture.http(caller, &request("GET", "validate", &session)).starts_with("HTTP/1.1 200 "));
}

#[test]
fn request_without_a_right_to_it_gets_no_stream() {
    let mut fixture = Fixture::new(4);
    for (method, target, session, status) in [
        ("GET", "events", "unknown", 401),
        ("POST", "events", ADMIN, 405),
        ("GET", "events?follow=hello", ADMIN, 400),
        ("GET", "events/hello", ADMIN, 404),
        ("HEAD", "events", ADMIN, 200),
    ] {
        let id = fixture.connect();
        let response = fixture.http(id, &request(method, target, session));
        assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{target}: {response}");
        assert_eq!(fixture.server.state(id).finish, Some(Finish::Graceful), "{target}");
        fixture.server.release(id);
    }
}

#[test]
fn stream_takes_a_slot_of_the_share_of_its_user() {
    let slots = 2 * USER_SHARE * USER_SLOTS_MIN;
    let mut fixture = Fixture::new(slots);
    for _ in 0..slots / USER_SHARE {
        stream(&mut fixture, ANNA);
    }
    let id = fixture.connect();
    assert!(fixture.http(id, &request("GET", "events", ANNA)).starts_with("HTTP/1.1 503 "));
    fixture.server.release(id);
    stream(&mut fixture, ADMIN);
}

#[test]
fn stream_that_is_not_read_gets_the_newest_state_and_then_ends() {
    let mut fixture = Fixture::new(4);
    let (id, _) = stream(&mut fixture, ANNA);
    for _ in 0..30 {
        for verb in ["start", "stop"] {
            let caller = fixture.connect();
            fixture.http(caller, &request("POST", &format!("services/hello/{verb}"), ADMIN));
            fixture.server.release(caller);
        }
        fixture.exit(1233 + fixture.system.next_pid, Exit::Code(0));
    }
    let unread = fixture.server.pending(id).len();
    assert!(unread <= 2 * PUSH_BACKLOG_BYTES, "{unread}");
    let last = change("hello", "stopped", 0, r#","reason":"exit 0""#);
    assert_eq!(read(&mut fixture, id).last().unwrap(), &last);
    let caller = fixture.connect();
    fixture.http(caller, &request("POST", "services/hello/start", ADMIN));
    fixture.pass(SEND_TIMEOUT);
    assert_eq!(fixture.server.state(id).finish, Some(Finish::Graceful));
}
