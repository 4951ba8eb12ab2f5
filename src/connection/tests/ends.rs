//! Ends of connections: after the last answer, in order, and in time.

use core::time::Duration;

use super::fixture::{ADMIN, Fixture};
use crate::connection::{ANSWER_TIMEOUT, Finish, SEND_TIMEOUT};
use crate::ws::CLOSE_TIMEOUT;

fn post(path: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// Starts a named command of `clock` over HTTP.
fn start_command(fixture: &mut Fixture) -> crate::connection::SlotId {
    let id = fixture.connect();
    let body = format!("cmd=show&sessionid={ADMIN}");
    fixture.put(id, post("/system.library/services/clock/command", &body).as_bytes());
    id
}

#[test]
fn call_over_http_that_times_out_is_answered() {
    let mut fixture = Fixture::new(4);
    let id = start_command(&mut fixture);
    fixture.pass(ANSWER_TIMEOUT);
    assert_eq!(fixture.server.state(id).finish, Some(Finish::Graceful));
    let response = String::from_utf8(fixture.get(id)).unwrap();
    assert!(response.contains(r#"Function command returned: 110", "code":"18""#), "{response}");
}

#[test]
fn login_without_a_verdict_times_out() {
    let mut fixture = Fixture::new(4);
    let id = fixture.connect();
    fixture.put(id, post("/system.library/login", "username=anna&password=x&deviceid=d").as_bytes());
    assert_eq!(fixture.system.checks.len(), 1);
    fixture.pass(ANSWER_TIMEOUT);
    let response = String::from_utf8(fixture.get(id)).unwrap();
    assert!(response.contains(r#"Function login returned: 110", "code":"18""#), "{response}");
    // The verdict comes too late and changes nothing.
    fixture.check_password(true);
    assert!(fixture.get(id).is_empty());
}

#[test]
fn response_is_not_cut_while_the_peer_reads() {
    let mut fixture = Fixture::new(4);
    let id = start_command(&mut fixture);
    fixture.end_command("0", &[b'x'; 30_000]);
    let mut response = Vec::new();
    while fixture.server.state(id).sends {
        assert_eq!(fixture.server.state(id).finish, Some(Finish::Graceful), "after {}", response.len());
        let pending = fixture.server.pending(id);
        let count = pending.len().min(8192);
        response.extend_from_slice(&pending[..count]);
        fixture.server.sent(id, count, fixture.now, &mut fixture.system);
        fixture.pass(CLOSE_TIMEOUT - Duration::from_secs(1));
    }
    assert!(response.ends_with(b"\"}"));
    // A peer that stops reading is closed, in the middle of the response or at its start.
    let id = start_command(&mut fixture);
    fixture.end_command("0", &[b'x'; 30_000]);
    fixture.server.sent(id, 100, fixture.now, &mut fixture.system);
    fixture.pass(SEND_TIMEOUT);
    assert_eq!(fixture.server.state(id).finish, Some(Finish::Abort));
    let id = start_command(&mut fixture);
    fixture.end_command("0", &[b'x'; 30_000]);
    fixture.pass(CLOSE_TIMEOUT);
    assert_eq!(fixture.server.state(id).finish, Some(Finish::Abort));
}

#[test]
fn nothing_follows_a_closing_frame() {
    let mut fixture = Fixture::new(4);
    let id = fixture.bound(ADMIN);
    fixture.say(
        id,
        r#"{"type":"msg","data":{"type":"request","requestid":"r","path":"system.library/services/clock/command","data":{"cmd":"show"}}}"#,
    );
    // Two chunks, and room for one.
    fixture.end_command("0", &[0xFF; 30_000]);
    fixture.server.shutdown(fixture.now, &mut fixture.system);
    let received = fixture.receive(id);
    assert_eq!(received.len(), 2);
    assert!(received[0].contains(r#""part":"0""#) && received[1] == "close 1001");
}
