//! How connections end: with their last answer, in order, and in time.

use core::time::Duration;

use super::fixture::{FOUNDING, Fixture};
use crate::connection::{ANSWER_TIMEOUT, Finish, SEND_TIMEOUT};
use crate::ws::CLOSE_TIMEOUT;

fn post(path: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// A named command of `clock` that runs, over HTTP.
fn tell(fixture: &mut Fixture) -> crate::connection::SlotId {
    let id = fixture.connect();
    let body = format!("cmd=tell&sessionid={FOUNDING}");
    fixture.put(id, post("/system.library/services/clock/command", &body).as_bytes());
    id
}

#[test]
fn call_over_http_that_is_given_up_is_answered() {
    let mut fixture = Fixture::new(4);
    let id = tell(&mut fixture);
    fixture.pass(ANSWER_TIMEOUT);
    assert_eq!(fixture.server.state(id).finish, Some(Finish::Graceful));
    let response = String::from_utf8(fixture.get(id)).unwrap();
    assert!(response.contains(r#"Function command returned: 110", "code":"18""#), "{response}");
}

#[test]
fn login_whose_check_never_ends_is_given_up() {
    let mut fixture = Fixture::new(4);
    let id = fixture.connect();
    fixture.put(id, post("/system.library/login", "username=anna&password=x&deviceid=d").as_bytes());
    assert_eq!(fixture.system.checks.len(), 1);
    fixture.pass(ANSWER_TIMEOUT);
    let response = String::from_utf8(fixture.get(id)).unwrap();
    assert!(response.contains(r#"Function login returned: 110", "code":"18""#), "{response}");
    // The verdict comes too late, and finds nobody.
    fixture.check_password(true);
    assert!(fixture.get(id).is_empty());
}

#[test]
fn response_is_not_cut_while_the_peer_reads() {
    let mut fixture = Fixture::new(4);
    let id = tell(&mut fixture);
    fixture.end_command("0", &[b'x'; 30_000]);
    let mut response = Vec::new();
    while fixture.server.state(id).sends {
        assert_eq!(fixture.server.state(id).finish, Some(Finish::Graceful), "after {}", response.len());
        let mut write = |bytes: &[u8]| {
            let count = bytes.len().min(8192);
            response.extend_from_slice(&bytes[..count]);
            Ok(count)
        };
        fixture.server.send(id, &mut write, fixture.now, &mut fixture.system).unwrap();
        fixture.pass(CLOSE_TIMEOUT - Duration::from_secs(1));
    }
    assert!(response.ends_with(b"\"}"));
    // Who reads no more is given up, in the middle of it or from its start.
    let id = tell(&mut fixture);
    fixture.end_command("0", &[b'x'; 30_000]);
    fixture.server.send(id, &mut |_| Ok(100), fixture.now, &mut fixture.system).unwrap();
    fixture.pass(SEND_TIMEOUT);
    assert_eq!(fixture.server.state(id).finish, Some(Finish::Abort));
    let id = tell(&mut fixture);
    fixture.end_command("0", &[b'x'; 30_000]);
    fixture.pass(CLOSE_TIMEOUT);
    assert_eq!(fixture.server.state(id).finish, Some(Finish::Abort));
}

#[test]
fn nothing_follows_a_closing_frame() {
    let mut fixture = Fixture::new(4);
    let id = fixture.bound(FOUNDING);
    fixture.say(
        id,
        r#"{"type":"msg","data":{"type":"request","requestid":"r","path":"system.library/services/clock/command","data":{"cmd":"tell"}}}"#,
    );
    // Two chunks, of which one finds room.
    fixture.end_command("0", &[0xFF; 30_000]);
    fixture.server.shutdown(fixture.now, &mut fixture.system);
    let heard = fixture.hear(id);
    assert_eq!(heard.len(), 2);
    assert!(heard[0].contains(r#""part":"0""#) && heard[1] == "close 1001");
}
