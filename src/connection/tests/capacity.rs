//! Slots: admission, deadlines and eviction.

use core::time::Duration;

use super::fixture::{ADMIN, ANNA, Fixture, frame, upgrade};
use crate::connection::{End, Finish, HEAD_TIMEOUT, SESSION_TIMEOUT, SlotId, USER_SHARE, USER_SLOTS_MIN};
use crate::ws::{CLOSE_TIMEOUT, PING_INTERVAL, UNANSWERED_PINGS};

#[test]
fn server_at_capacity_answers_503_and_accepts_an_administrator() {
    let mut fixture = Fixture::new(3);
    let _connected = (fixture.bound(ANNA), fixture.bound(ANNA));
    let list =
        |session| format!("GET /system.library/validate?sessionid={session} HTTP/1.1\r\nHost: h\r\n\r\n");
    for request in [list(ANNA), upgrade(&format!("/fcws?sessionid={ANNA}"))] {
        let id = fixture.connect();
        let response = fixture.http(id, &request);
        assert!(response.starts_with("HTTP/1.1 503 "), "{response}");
        assert!(response.contains("retry-after: "), "{response}");
        fixture.server.release(id);
    }
    // What needs no identity is answered.
    for target in ["/", "/healthz"] {
        let id = fixture.connect();
        let response = fixture.http(id, &format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n"));
        assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
        fixture.server.release(id);
    }
    let id = fixture.connect();
    let response = fixture.http(id, &upgrade(&format!("/fcws?sessionid={ADMIN}")));
    assert!(response.starts_with("HTTP/1.1 101 "), "{response}");

    // Beyond the slots, an administrator's call passes, and no socket.
    for target in [format!("/fcws?sessionid={ADMIN}"), "/fcws".to_owned()] {
        let id = fixture.connect();
        let response = fixture.http(id, &upgrade(&target));
        assert!(response.starts_with("HTTP/1.1 503 "), "{response}");
        fixture.server.release(id);
    }
    let id = fixture.connect();
    assert!(fixture.http(id, &list(ADMIN)).starts_with("HTTP/1.1 200 "));
    assert_eq!(fixture.server.counters().rejected_at_capacity, 4);
}

#[test]
fn socket_in_the_administrators_slot_must_be_an_administrators() {
    let mut fixture = Fixture::new(3);
    let _connected = (fixture.bound(ANNA), fixture.bound(ANNA));
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
    let id = fixture.bound(ADMIN);
    assert!(fixture.receive(id).is_empty());
    assert_eq!(fixture.server.state(id).finish, None);
}

#[test]
fn user_has_a_share_of_the_slots() {
    for slots in [2 * USER_SHARE * USER_SLOTS_MIN, 6] {
        let share = (slots / USER_SHARE).max(USER_SLOTS_MIN);
        let mut fixture = Fixture::new(slots);
        let bound: Vec<_> = (0..share).map(|_| fixture.bound(ANNA)).collect();
        assert!(bound.iter().all(|id| fixture.server.state(*id).finish.is_none()));
        let id = fixture.socket();
        let bind = format!(r#"<!--"CON"--"0"--"{ANNA}"-->"#);
        assert_eq!(fixture.say(id, &bind), ["close 1013"]);
        fixture.server.release(id);
        let call = format!("/system.library/validate?sessionid={ANNA}");
        for request in
            [upgrade(&format!("/fcws?sessionid={ANNA}")), format!("GET {call} HTTP/1.1\r\nHost: h\r\n\r\n")]
        {
            let id = fixture.connect();
            assert!(fixture.http(id, &request).starts_with("HTTP/1.1 503 "));
            fixture.server.release(id);
        }
        // Its own connections go on, and one of them may bind anew.
        assert!(fixture.say(bound[0], &bind).is_empty());
        let call = format!(r#"<!--"MSG"--"9"--"system.library/validate"-->{{"sessionid":"{ANNA}"}}<--!>"#);
        assert_eq!(fixture.say(bound[0], &call).len(), 1);
        assert_eq!(fixture.server.state(bound[0]).finish, None);
        // Others have theirs.
        let id = fixture.connect();
        let call = format!("GET /system.library/validate?sessionid={ADMIN} HTTP/1.1\r\nHost: h\r\n\r\n");
        assert!(fixture.http(id, &call).starts_with("HTTP/1.1 200 "));
        fixture.server.release(id);
        let id = fixture.bound(ADMIN);
        assert_eq!(fixture.server.state(id).finish, None);
    }
}

#[test]
fn session_behind_a_pending_login_is_admitted_by_the_room_after_it() {
    let mut fixture = Fixture::new(3);
    let id = fixture.socket();
    let login = r#"<!--"MSG"--"1"--"system.library/login"-->{"username":"admin","password":"x"}<--!>"#;
    let bind = format!(r#"<!--"CON"--"0"--"{ANNA}"-->"#);
    fixture.put(id, &[frame(login), frame(&bind)].concat());
    let _connected = (fixture.bound(ADMIN), fixture.bound(ADMIN));
    fixture.check_password(false);
    assert_eq!(fixture.receive(id).last().unwrap(), "close 1013");
}

#[test]
fn administrator_has_no_share_and_takes_none_of_a_user() {
    let mut fixture = Fixture::new(2 * USER_SHARE * USER_SLOTS_MIN);
    for _ in 0..2 * USER_SLOTS_MIN {
        fixture.bound(ADMIN);
    }
    for session in [ADMIN, ANNA] {
        let id = fixture.connect();
        let call = format!("GET /system.library/validate?sessionid={session} HTTP/1.1\r\nHost: h\r\n\r\n");
        assert!(fixture.http(id, &call).starts_with("HTTP/1.1 200 "), "{session}");
        fixture.server.release(id);
    }
}

/// Fills every slot with connections of this network.
fn fill(fixture: &mut Fixture, host: u8) -> Vec<SlotId> {
    let all = (0..fixture.server.slots()).map_while(|_| fixture.connect_from(host));
    all.collect()
}

#[test]
fn new_connection_evicts_the_oldest_of_the_fullest_source() {
    let mut fixture = Fixture::new(4);
    let other = fixture.connect_from(9).unwrap();
    fixture.now += Duration::from_millis(1);
    let flood = fill(&mut fixture, 1);
    assert_eq!(fixture.connect_from(9), None);
    assert_eq!(fixture.server.state(flood[0]).finish, Some(Finish::Evict));
    // One eviction for one new connection, which asks until the slot is free.
    assert_eq!(fixture.connect_from(9), None);
    let evicted =
        |fixture: &Fixture| flood.iter().filter(|id| fixture.server.state(**id).finish.is_some()).count();
    assert_eq!(evicted(&fixture), 1);
    fixture.server.release(flood[0]);
    assert_eq!(fixture.connect_from(9).map(|id| id.index), Some(flood[0].index));
    assert_eq!(fixture.server.state(other).finish, None);
    assert_eq!(fixture.server.counters().unauthenticated, 1);
}

#[test]
fn bytes_without_progress_make_no_connection_newer() {
    let mut fixture = Fixture::new(2);
    let flood = fill(&mut fixture, 1);
    // The last one begins first, and sends its other bytes last.
    for id in flood.iter().rev() {
        fixture.put(*id, b"GET / ");
        fixture.now += Duration::from_millis(1);
    }
    for id in &flood {
        fixture.put(*id, b"HTTP/1.1\r\n");
        fixture.now += Duration::from_millis(1);
    }
    assert_eq!(fixture.connect_from(1), None);
    assert_eq!(fixture.server.state(*flood.last().unwrap()).finish, Some(Finish::Evict));
}

#[test]
fn proven_connections_are_never_evicted() {
    let mut fixture = Fixture::new(2);
    let (anna, admin) = (fixture.bound(ANNA), fixture.bound(ADMIN));
    let flood = fill(&mut fixture, 1);
    for (number, id) in flood.iter().enumerate() {
        assert_eq!(fixture.connect_from(1), None);
        assert_eq!(fixture.server.state(*id).finish, Some(Finish::Evict), "{number}");
        fixture.server.release(*id);
        fixture.now += Duration::from_millis(1);
        assert!(fixture.connect_from(1).is_some());
    }
    assert_eq!([anna, admin].map(|id| fixture.server.state(id).finish), [None; 2]);
}

#[test]
fn proven_connection_that_ends_is_evicted_once_its_last_bytes_are_sent() {
    let mut fixture = Fixture::new(2);
    let id = fixture.bound(ADMIN);
    for _ in 1..fixture.server.slots() {
        fixture.connect_locally(0);
    }
    fixture.put(id, &super::simulation::frame(0x88, &1000_u16.to_be_bytes(), 0));
    assert_eq!(fixture.connect_from(9), None);
    assert_eq!(fixture.server.state(id).finish, Some(Finish::Graceful));
    assert_eq!(fixture.receive(id), ["close 1000"]);
    assert_eq!(fixture.connect_from(9), None);
    assert_eq!(fixture.server.state(id).finish, Some(Finish::Evict));
}

#[test]
fn evicted_socket_gets_a_closing_frame_and_frees_its_slot_at_once() {
    let mut fixture = Fixture::new(2);
    let socket = fixture.socket();
    fixture.now += Duration::from_millis(1);
    while let Some(id) = fixture.try_connect() {
        let response = fixture.http(id, &upgrade("/fcws"));
        assert!(response.starts_with("HTTP/1.1 101 "), "{response}");
    }
    assert_eq!(fixture.server.state(socket).finish, Some(Finish::Evict));
    assert_eq!(fixture.receive(socket), ["close 1013"]);
    fixture.server.release(socket);
    assert!(fixture.try_connect().is_some());
}

#[test]
fn login_at_capacity_is_for_administrators() {
    for (name, status) in [("admin", "200"), ("anna", "503")] {
        let mut fixture = Fixture::new(2);
        fixture.bound(ANNA);
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
    assert_eq!(fixture.server.counters().unauthenticated, 1, "once");
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
