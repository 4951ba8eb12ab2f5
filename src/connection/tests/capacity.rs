//! Slots: admission, deadlines and eviction.

use core::time::Duration;

use super::fixture::{ADMIN, ANNA, Fixture, upgrade};
use crate::connection::{ADMINISTRATOR_TIMEOUT, EVICT_AFTER, End, Finish, HEAD_TIMEOUT, SESSION_TIMEOUT};
use crate::ws::{CLOSE_TIMEOUT, PING_INTERVAL, UNANSWERED_PINGS};

#[test]
fn server_at_capacity_answers_503_and_accepts_an_administrator() {
    let mut fixture = Fixture::new(3);
    let _connected = (fixture.socket(), fixture.socket());
    let id = fixture.connect();
    let response = fixture.http(id, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(response.starts_with("HTTP/1.1 503 "), "{response}");
    assert!(response.contains("retry-after: "), "{response}");
    fixture.server.release(id);
    let id = fixture.connect();
    let response = fixture.http(id, &upgrade(&format!("/fcws?sessionid={ANNA}")));
    assert!(response.starts_with("HTTP/1.1 503 "), "{response}");
    fixture.server.release(id);
    let id = fixture.connect();
    let response = fixture.http(id, &upgrade(&format!("/fcws?sessionid={ADMIN}")));
    assert!(response.starts_with("HTTP/1.1 101 "), "{response}");

    // In the overflow slot, an administrator's call passes, and no socket.
    let id = fixture.connect();
    let response = fixture.http(id, &upgrade(&format!("/fcws?sessionid={ADMIN}")));
    assert!(response.starts_with("HTTP/1.1 503 "), "{response}");
    fixture.server.release(id);
    let id = fixture.connect();
    let call = format!("GET /system.library/validate?sessionid={ADMIN} HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(fixture.http(id, &call).starts_with("HTTP/1.1 200 "));
    assert_eq!(fixture.try_connect(), None);
    assert_eq!(fixture.server.counters().rejected_at_capacity, 3);
}

#[test]
fn socket_in_the_administrators_slot_must_be_an_administrators() {
    let mut fixture = Fixture::new(3);
    let _connected = (fixture.socket(), fixture.socket());
    let id = fixture.socket();
    assert_eq!(fixture.say(id, &format!(r#"<!--"CON"--"0"--"{ANNA}"-->"#)), ["close 1013"]);
    fixture.server.release(id);
    let id = fixture.socket();
    let start = format!(
        r#"<!--"MSG"--"9"--"system.library/services/start"-->{{"serviceName":"hello","sessionid":"{ANNA}"}}<--!>"#
    );
    assert_eq!(fixture.say(id, &start), ["close 1013"]);
    assert_eq!(fixture.system.next_pid, 0);
    fixture.server.release(id);
    let id = fixture.socket();
    fixture.pass(ADMINISTRATOR_TIMEOUT);
    assert_eq!(fixture.receive(id), ["close 1013"]);
    fixture.server.release(id);
    let id = fixture.bound(ADMIN);
    fixture.pass(ADMINISTRATOR_TIMEOUT);
    assert!(fixture.receive(id).is_empty());
}

#[test]
fn unauthenticated_socket_in_the_administrators_slot_is_evicted() {
    let mut fixture = Fixture::new(2);
    let _connected = fixture.socket();
    let id = fixture.socket();
    fixture.now += EVICT_AFTER;
    fixture.server.evict_idle(fixture.now);
    assert_eq!(fixture.receive(id), ["close 1013"]);
    assert_eq!(fixture.server.state(id).finish, Some(Finish::Graceful));
    fixture.server.release(id);
    let id = fixture.bound(ADMIN);
    fixture.now += EVICT_AFTER;
    fixture.server.evict_idle(fixture.now);
    assert_eq!(fixture.server.state(id).finish, None);
}

#[test]
fn login_at_capacity_is_for_administrators() {
    for (name, status) in [("admin", "200"), ("anna", "503")] {
        let mut fixture = Fixture::new(2);
        fixture.socket();
        let id = fixture.connect();
        let body = format!("username={name}&password=x&deviceid=d");
        let head = format!(
            "POST /system.library/login HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        fixture.put(id, (head + &body).as_bytes());
        fixture.check_password(true);
        let response = String::from_utf8(fixture.get(id)).unwrap();
        assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{response}");
    }
}

#[test]
fn silent_connection_at_capacity_is_evicted() {
    let mut fixture = Fixture::new(2);
    let connected = fixture.socket();
    let (silent, door) = (fixture.connect(), fixture.connect());
    fixture.server.evict_idle(fixture.now);
    assert_eq!(fixture.server.state(silent).finish, None);
    fixture.now += EVICT_AFTER;
    fixture.server.evict_idle(fixture.now);
    assert_eq!(fixture.server.state(silent).finish, Some(Finish::Abort));
    assert_eq!(fixture.server.state(door).finish, None);
    assert_eq!(fixture.server.state(connected).finish, None);
}

#[test]
fn connection_without_a_byte_is_closed_without_an_answer() {
    let mut fixture = Fixture::new(4);
    let id = fixture.connect();
    fixture.hang_up(id);
    assert_eq!(fixture.server.state(id).finish, Some(Finish::Abort));
    assert_eq!(fixture.server.counters().silent, 1);
    fixture.server.release(id);
    let id = fixture.connect();
    fixture.pass(HEAD_TIMEOUT);
    assert_eq!(fixture.server.state(id).finish, Some(Finish::Abort));
    assert_eq!(fixture.server.counters().silent, 2);
}

#[test]
fn half_a_request_is_answered_at_its_end_or_its_deadline() {
    let mut fixture = Fixture::new(4);
    let id = fixture.connect();
    fixture.put(id, b"GET / HTTP/1.1\r\n");
    fixture.hang_up(id);
    assert!(String::from_utf8(fixture.get(id)).unwrap().starts_with("HTTP/1.1 400 "));
    let id = fixture.connect();
    fixture.put(id, b"GET / HTTP/1.1\r\n");
    fixture.pass(HEAD_TIMEOUT - Duration::from_millis(1));
    assert_eq!(fixture.server.state(id).finish, None);
    fixture.pass(Duration::from_millis(1));
    assert!(String::from_utf8(fixture.get(id)).unwrap().starts_with("HTTP/1.1 408 "));
    assert_eq!(fixture.server.counters().half_requests, 2);
}

#[test]
fn socket_without_a_session_is_closed() {
    let mut fixture = Fixture::new(4);
    let (unauthenticated, bound) = (fixture.socket(), fixture.bound(ADMIN));
    let caller = fixture.socket();
    fixture.say(
        caller,
        &format!(r#"<!--"MSG"--"9"--"system.library/validate"-->{{"sessionid":"{ADMIN}"}}<--!>"#),
    );
    fixture.pass(PING_INTERVAL);
    fixture.pass(SESSION_TIMEOUT - PING_INTERVAL);
    assert_eq!(fixture.receive(unauthenticated), ["ping", "close 1008"]);
    assert_eq!(fixture.receive(bound), ["ping"]);
    assert_eq!(fixture.receive(caller), ["ping"]);
    assert_eq!(fixture.server.counters().unauthenticated, 1);
    // The peer does not answer the close frame.
    fixture.pass(CLOSE_TIMEOUT);
    assert_eq!(fixture.server.state(unauthenticated).finish, Some(Finish::Graceful));
    fixture.pass(CLOSE_TIMEOUT);
    assert_eq!(fixture.server.state(unauthenticated).finish, Some(Finish::Abort));
}

#[test]
fn unknown_session_does_not_bind() {
    let mut fixture = Fixture::new(4);
    let id = fixture.socket();
    assert!(fixture.say(id, r#"{"type":"con","data":{"sessionId":"nobody"}}"#).is_empty());
    fixture.pass(PING_INTERVAL);
    fixture.pass(SESSION_TIMEOUT - PING_INTERVAL);
    assert_eq!(fixture.receive(id), ["ping", "close 1008"]);
}

#[test]
fn peer_that_answers_no_ping_is_closed() {
    let mut fixture = Fixture::new(4);
    let id = fixture.bound(ADMIN);
    for _ in 0..UNANSWERED_PINGS {
        fixture.pass(PING_INTERVAL);
        assert_eq!(fixture.receive(id), ["ping"]);
    }
    fixture.pass(PING_INTERVAL);
    assert_eq!(fixture.server.state(id).finish, Some(Finish::Abort));
    assert_eq!(fixture.server.counters().unresponsive, 1);
}

#[test]
fn late_results_do_not_reach_the_next_connection_of_the_slot() {
    let mut fixture = Fixture::new(4);
    let id = fixture.socket();
    fixture.say(id, r#"<!--"MSG"--"1"--"system.library/login"-->{"username":"admin","password":"x"}<--!>"#);
    fixture.server.release(id);
    let next = fixture.socket();
    assert_eq!(next.index, id.index);
    assert_ne!(next.generation, id.generation);
    fixture.check_password(true);
    assert!(fixture.receive(next).is_empty());
    assert_eq!(fixture.server.state(id).finish, Some(Finish::Abort));
}

#[test]
fn broken_tls_is_counted_and_frees_the_slot() {
    let mut fixture = Fixture::new(4);
    let id = fixture.connect();
    fixture.server.handle_end(id, End::Tls, fixture.now, &mut fixture.system);
    assert_eq!(fixture.server.state(id).finish, Some(Finish::Graceful));
    assert_eq!(fixture.server.counters().bad_tls, 1);
}

#[test]
fn plain_text_to_a_tls_listener_is_answered_with_a_hint() {
    let mut fixture = Fixture::new(4);
    let id = fixture.connect();
    fixture.server.handle_plain(id, fixture.now);
    let response = String::from_utf8(fixture.get(id)).unwrap();
    assert!(response.starts_with("HTTP/1.1 400 ") && response.contains("https"), "{response}");
}

#[test]
fn shutdown_closes_connections_and_accepts_none() {
    let mut fixture = Fixture::new(4);
    let (id, silent) = (fixture.bound(ADMIN), fixture.connect());
    fixture.server.shutdown(fixture.now, &mut fixture.system);
    assert_eq!(fixture.receive(id), ["close 1001"]);
    assert_eq!(fixture.server.state(silent).finish, Some(Finish::Abort));
    assert_eq!(fixture.try_connect(), None);
    fixture.server.release(id);
    assert!(!fixture.server.is_down());
    fixture.server.release(silent);
    assert!(fixture.server.is_down());
}
