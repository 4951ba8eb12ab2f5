//! Slots: who gets one, and for how long.

use core::time::Duration;

use super::world::{ANNA, FOUNDING, World, upgrade};
use crate::limits::{
    ADMINISTRATOR_TIMEOUT, CLOSE_TIMEOUT, HEAD_TIMEOUT, PING_INTERVAL, SESSION_TIMEOUT, UNANSWERED_PINGS,
    YIELD_AGE,
};
use crate::slot::{End, Finish};

#[test]
fn full_house_says_503_and_lets_an_administrator_in() {
    let mut world = World::new(3);
    let _tenants = (world.socket(), world.socket());
    let id = world.connect();
    let response = world.http(id, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(response.starts_with("HTTP/1.1 503 "), "{response}");
    assert!(response.contains("retry-after: "), "{response}");
    world.server.release(id);
    let id = world.connect();
    let response = world.http(id, &upgrade(&format!("/fcws?sessionid={ANNA}")));
    assert!(response.starts_with("HTTP/1.1 503 "), "{response}");
    world.server.release(id);
    let id = world.connect();
    let response = world.http(id, &upgrade(&format!("/fcws?sessionid={FOUNDING}")));
    assert!(response.starts_with("HTTP/1.1 101 "), "{response}");

    // Now there is the door: an administrator's call passes, nobody's socket does.
    let id = world.connect();
    let response = world.http(id, &upgrade(&format!("/fcws?sessionid={FOUNDING}")));
    assert!(response.starts_with("HTTP/1.1 503 "), "{response}");
    world.server.release(id);
    let id = world.connect();
    let call = format!("GET /system.library/validate?sessionid={FOUNDING} HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(world.http(id, &call).starts_with("HTTP/1.1 200 "));
    assert_eq!(world.try_connect(), None);
    assert_eq!(world.server.counters().turned_away, 3);
}

#[test]
fn socket_in_the_administrators_slot_has_to_be_one_s() {
    let mut world = World::new(3);
    let _tenants = (world.socket(), world.socket());
    let id = world.socket();
    assert_eq!(world.say(id, &format!(r#"<!--"CON"--"0"--"{ANNA}"-->"#)), ["close 1013"]);
    world.server.release(id);
    let id = world.socket();
    let start = format!(
        r#"<!--"MSG"--"9"--"system.library/services/start"-->{{"serviceName":"hello","sessionid":"{ANNA}"}}<--!>"#
    );
    assert_eq!(world.say(id, &start), ["close 1013"]);
    assert_eq!(world.system.next_pid, 0);
    world.server.release(id);
    let id = world.socket();
    world.pass(ADMINISTRATOR_TIMEOUT);
    assert_eq!(world.hear(id), ["close 1013"]);
    world.server.release(id);
    let id = world.bound(FOUNDING);
    world.pass(ADMINISTRATOR_TIMEOUT);
    assert!(world.hear(id).is_empty());
}

#[test]
fn nameless_socket_in_the_administrators_slot_gives_way() {
    let mut world = World::new(2);
    let _tenant = world.socket();
    let id = world.socket();
    world.now += YIELD_AGE;
    world.server.make_room(world.now);
    assert_eq!(world.hear(id), ["close 1013"]);
    assert_eq!(world.server.state(id).finish, Some(Finish::Graceful));
    world.server.release(id);
    let id = world.bound(FOUNDING);
    world.now += YIELD_AGE;
    world.server.make_room(world.now);
    assert_eq!(world.server.state(id).finish, None);
}

#[test]
fn login_in_a_full_house_is_for_administrators() {
    for (name, status) in [("admin", "200"), ("anna", "503")] {
        let mut world = World::new(2);
        world.socket();
        let id = world.connect();
        let body = format!("username={name}&password=x&deviceid=d");
        let head = format!(
            "POST /system.library/login HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        world.put(id, (head + &body).as_bytes());
        world.check_password(true);
        let response = String::from_utf8(world.get(id)).unwrap();
        assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{response}");
    }
}

#[test]
fn silent_newcomer_to_a_full_house_gives_way() {
    let mut world = World::new(2);
    let tenant = world.socket();
    let (silent, door) = (world.connect(), world.connect());
    world.server.make_room(world.now);
    assert_eq!(world.server.state(silent).finish, None);
    world.now += YIELD_AGE;
    world.server.make_room(world.now);
    assert_eq!(world.server.state(silent).finish, Some(Finish::Abort));
    assert_eq!(world.server.state(door).finish, None);
    assert_eq!(world.server.state(tenant).finish, None);
}

#[test]
fn connection_without_a_byte_is_closed_in_silence() {
    let mut world = World::new(4);
    let id = world.connect();
    world.hang_up(id);
    assert_eq!(world.server.state(id).finish, Some(Finish::Abort));
    assert_eq!(world.server.counters().silent, 1);
    world.server.release(id);
    let id = world.connect();
    world.pass(HEAD_TIMEOUT);
    assert_eq!(world.server.state(id).finish, Some(Finish::Abort));
    assert_eq!(world.server.counters().silent, 2);
}

#[test]
fn half_a_request_is_answered_at_its_end_or_its_deadline() {
    let mut world = World::new(4);
    let id = world.connect();
    world.put(id, b"GET / HTTP/1.1\r\n");
    world.hang_up(id);
    assert!(String::from_utf8(world.get(id)).unwrap().starts_with("HTTP/1.1 400 "));
    let id = world.connect();
    world.put(id, b"GET / HTTP/1.1\r\n");
    world.pass(HEAD_TIMEOUT - Duration::from_millis(1));
    assert_eq!(world.server.state(id).finish, None);
    world.pass(Duration::from_millis(1));
    assert!(String::from_utf8(world.get(id)).unwrap().starts_with("HTTP/1.1 408 "));
    assert_eq!(world.server.counters().half_requests, 2);
}

#[test]
fn socket_without_a_session_is_closed() {
    let mut world = World::new(4);
    let (nameless, bound) = (world.socket(), world.bound(FOUNDING));
    let caller = world.socket();
    world.say(
        caller,
        &format!(r#"<!--"MSG"--"9"--"system.library/validate"-->{{"sessionid":"{FOUNDING}"}}<--!>"#),
    );
    world.pass(PING_INTERVAL);
    world.pass(SESSION_TIMEOUT - PING_INTERVAL);
    assert_eq!(world.hear(nameless), ["ping", "close 1008"]);
    assert_eq!(world.hear(bound), ["ping"]);
    assert_eq!(world.hear(caller), ["ping"]);
    assert_eq!(world.server.counters().nameless, 1);
    // The peer does not answer the close frame.
    world.pass(CLOSE_TIMEOUT);
    assert_eq!(world.server.state(nameless).finish, Some(Finish::Graceful));
    world.pass(CLOSE_TIMEOUT);
    assert_eq!(world.server.state(nameless).finish, Some(Finish::Abort));
}

#[test]
fn unknown_session_does_not_bind() {
    let mut world = World::new(4);
    let id = world.socket();
    assert!(world.say(id, r#"{"type":"con","data":{"sessionId":"nobody"}}"#).is_empty());
    world.pass(PING_INTERVAL);
    world.pass(SESSION_TIMEOUT - PING_INTERVAL);
    assert_eq!(world.hear(id), ["ping", "close 1008"]);
}

#[test]
fn peer_that_answers_no_ping_is_gone() {
    let mut world = World::new(4);
    let id = world.bound(FOUNDING);
    for _ in 0..UNANSWERED_PINGS {
        world.pass(PING_INTERVAL);
        assert_eq!(world.hear(id), ["ping"]);
    }
    world.pass(PING_INTERVAL);
    assert_eq!(world.server.state(id).finish, Some(Finish::Abort));
    assert_eq!(world.server.counters().unresponsive, 1);
}

#[test]
fn late_results_find_nobody_in_the_next_tenant_s_slot() {
    let mut world = World::new(4);
    let id = world.socket();
    world.say(id, r#"<!--"MSG"--"1"--"system.library/login"-->{"username":"admin","password":"x"}<--!>"#);
    world.server.release(id);
    let next = world.socket();
    assert_eq!(next.index, id.index);
    assert_ne!(next.generation, id.generation);
    world.check_password(true);
    assert!(world.hear(next).is_empty());
    assert_eq!(world.server.state(id).finish, Some(Finish::Abort));
}

#[test]
fn broken_tls_is_counted_and_frees_the_slot() {
    let mut world = World::new(4);
    let id = world.connect();
    world.server.handle_end(id, End::Tls, world.now, &mut world.system);
    assert_eq!(world.server.state(id).finish, Some(Finish::Graceful));
    assert_eq!(world.server.counters().bad_tls, 1);
}

#[test]
fn plain_text_where_tls_is_spoken_is_told_so() {
    let mut world = World::new(4);
    let id = world.connect();
    world.server.handle_plain(id, world.now);
    let response = String::from_utf8(world.get(id)).unwrap();
    assert!(response.starts_with("HTTP/1.1 400 ") && response.contains("https"), "{response}");
}

#[test]
fn shutdown_says_goodbye_and_takes_nobody() {
    let mut world = World::new(4);
    let (id, silent) = (world.bound(FOUNDING), world.connect());
    world.server.shutdown(world.now, &mut world.system);
    assert_eq!(world.hear(id), ["close 1001"]);
    assert_eq!(world.server.state(silent).finish, Some(Finish::Abort));
    assert_eq!(world.try_connect(), None);
    world.server.release(id);
    assert!(!world.server.is_down());
    world.server.release(silent);
    assert!(world.server.is_down());
}
