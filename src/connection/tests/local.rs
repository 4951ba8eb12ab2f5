//! The local socket: its administrators, other users, and its place among the slots.

use super::fixture::{ADMIN, ANNA, Fixture, OWNER, upgrade};
use crate::connection::SESSION_TIMEOUT;
use crate::ws::PING_INTERVAL;

const LIST: &str = "POST /system.library/board/status HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n";

fn envelope(path: &str, session: &str) -> String {
    format!(
        r#"{{"type":"msg","data":{{"type":"request","requestid":"1","path":"system.library/{path}","data":{{}},"sessionid":"{session}"}}}}"#
    )
}

/// A WebSocket of this user.
fn socket(fixture: &mut Fixture, uid: u32) -> crate::connection::SlotId {
    let id = fixture.connect_locally(uid);
    let response = fixture.http(id, &upgrade("/fcws"));
    assert!(response.starts_with("HTTP/1.1 101 "), "{response}");
    id
}

#[test]
fn root_and_the_owner_are_administrators_without_a_session() {
    for uid in [0, OWNER] {
        let mut fixture = Fixture::new(4);
        let id = fixture.connect_locally(uid);
        let response = fixture.http(id, LIST);
        assert!(response.starts_with("HTTP/1.1 200 ") && response.contains("\"Board\""), "{response}");
        let id = socket(&mut fixture, uid);
        let replies = fixture.say(id, r#"<!--"MSG"--"9"--"system.library/board/status"-->{}<--!>"#);
        assert!(replies[0].contains("\"Board\""), "{replies:?}");
        assert!(fixture.say(id, &envelope("services/clock/start", ""))[0].contains("\"ok\""));
        // It has authenticated itself by its user: no deadline ends it.
        fixture.pass(PING_INTERVAL);
        fixture.pass(SESSION_TIMEOUT - PING_INTERVAL);
        assert_eq!(fixture.receive(id), ["ping"]);
    }
}

#[test]
fn other_users_are_refused_whatever_they_request() {
    let mut fixture = Fixture::new(4);
    let session = format!("/fcws?sessionid={ADMIN}");
    for request in [LIST, "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n", &upgrade("/fcws"), &upgrade(&session)] {
        let id = fixture.connect_locally(OWNER + 1);
        let response = fixture.http(id, request);
        assert!(response.starts_with("HTTP/1.1 403 "), "{response}");
        assert!(response.ends_with("\r\n\r\nonly root and the user of the server may use this socket\n"));
        fixture.server.release(id);
    }
    // The slot has no memory of its user.
    let id = fixture.bound(ADMIN);
    assert!(fixture.say(id, &envelope("services/list", ""))[0].contains("clock"));
}

#[test]
fn session_of_a_call_or_a_socket_counts_before_the_user() {
    let mut fixture = Fixture::new(4);
    let id = socket(&mut fixture, 0);
    let refused = |replies: &[String]| assert!(replies[0].contains(r#"\"code\":\"4\""#), "{replies:?}");
    refused(&fixture.say(id, &envelope("services/clock/start", ANNA)));
    assert!(fixture.say(id, &envelope("services/clock/start", "nobody"))[0].contains(r#"\"code\":\"11\""#));
    fixture.say(id, &format!(r#"{{"type":"con","data":{{"sessionId":"{ANNA}"}}}}"#));
    refused(&fixture.say(id, &envelope("services/clock/start", "")));
}

#[test]
fn bound_without_a_session_it_receives_pushes() {
    let mut fixture = Fixture::new(4);
    let id = socket(&mut fixture, 0);
    let bind = r#"{"type":"con","data":{"sessionId":""}}"#;
    assert_eq!(fixture.say(id, bind), [r#"{"type":"con","data":{"type":"pong","data":""}}"#]);
    let messages = fixture.say(id, &envelope("services/clock/start", ""));
    assert!(messages.iter().any(|message| message.contains("service-change")), "{messages:?}");
    // On the TCP port, an empty session is that of no user.
    let other = fixture.socket();
    assert!(fixture.say(other, bind).is_empty());
    assert!(fixture.say(other, &envelope("board/status", ""))[0].contains(r#"\"code\":\"3\""#));
}

#[test]
fn every_slot_is_open_to_a_local_administrator() {
    let mut fixture = Fixture::new(2);
    let _user = fixture.bound(ANNA);
    let local: Vec<_> =
        (1..fixture.server.slots()).map(|number| socket(&mut fixture, [0, OWNER][number % 2])).collect();
    for id in &local {
        assert!(fixture.say(*id, &envelope("board/status", ""))[0].contains("\"Board\""));
    }
    assert_eq!(fixture.try_connect(), None);
    assert!(local.iter().all(|id| fixture.server.state(*id).finish.is_none()));
}

#[test]
fn local_administrator_has_no_password_and_sets_those_of_users() {
    let mut fixture = Fixture::new(4);
    let post = |body: &str| {
        let length = body.len();
        format!(
            "POST /system.library/user/updatepassword HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n{body}"
        )
    };
    let id = fixture.connect_locally(0);
    let response = fixture.http(id, &post("password=new-password&oldpassword=x"));
    assert!(response.contains("Missing parameters: username"), "{response}");
    let id = fixture.connect_locally(0);
    fixture.put(id, post("password=new-password&username=admin").as_bytes());
    assert_eq!(fixture.system.changes.len(), 1);
    assert_eq!(fixture.system.changes[0].0, None, "the old one is not needed");
}
