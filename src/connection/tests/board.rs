//! The board: how it stands, what is wrong with it, and its end.

use core::time::Duration;

use super::fixture::{ANNA, FOUNDING, Fixture};
use crate::api::{Board, BoardEnd};
use crate::config::{COMPLAINT_BYTES, ConfigOrigin, NOTICE_BYTES};

const OK: &str = r#"{ "Status": "ok"}"#;
const NO_RIGHT: &str =
    r#"fail<!--separate-->{ "response": "Cannot execute function. Admin rights required", "code":"4" }"#;
const NOTICE: &str = r#"{"type":"msg","data":{"type":"server-notice","data":"last good copy in force: f:1:2: unknown key '\"'; no data partition"}}"#;

fn troubled() -> Fixture {
    let board = Board {
        build: "0a1b".try_into().unwrap(),
        slot: "A",
        config_origin: ConfigOrigin::LastGood,
        config_error: Some("last good copy in force: f:1:2: unknown key '\"'".try_into().unwrap()),
        notice: Some("no data partition".try_into().unwrap()),
    };
    Fixture::with_board(4, board)
}

fn frame(call: &str, session: &str) -> String {
    format!(r#"<!--"MSG"--"1"--"system.library/board/{call}"-->{{"sessionid":"{session}"}}<--!>"#)
}

fn envelope(call: &str, session: &str) -> String {
    format!(
        r#"{{"type":"msg","data":{{"type":"request","requestid":"r","path":"system.library/board/{call}","data":{{}},"sessionid":"{session}"}}}}"#
    )
}

fn post(call: &str, session: &str) -> String {
    let body = format!("sessionid={session}");
    format!(
        "POST /system.library/board/{call} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The content of a call over HTTP.
fn content(fixture: &mut Fixture, request: &str) -> String {
    let id = fixture.connect();
    let response = fixture.http(id, request);
    fixture.server.release(id);
    response.split_once("\r\n\r\n").unwrap().1.to_owned()
}

#[test]
fn status_is_told_to_administrators_in_every_form() {
    let mut fixture = troubled();
    fixture.now = Duration::from_secs(12);
    let status = format!(
        r#"{{ "Status": "ok", "Board": "{}", "Version": "{}", "Build": "0a1b", "Slot": "A", "DeviceFile": "last good", "Complaint": "last good copy in force: f:1:2: unknown key '\"'", "Notice": "no data partition", "Uptime": 12}}"#,
        crate::limits::BOARD,
        env!("CARGO_PKG_VERSION")
    );
    let id = fixture.socket();
    assert_eq!(fixture.say(id, &frame("status", FOUNDING)), std::slice::from_ref(&status));
    let response =
        format!(r#"{{"type":"msg","data":{{ "type":"response","requestid":"r","data":{status}}}}}"#);
    assert_eq!(fixture.say(id, &envelope("status", FOUNDING)), [response]);
    assert_eq!(content(&mut fixture, &post("status", FOUNDING)), status);
    assert_eq!(fixture.say(id, &frame("status", ANNA)), [NO_RIGHT]);
    assert!(content(&mut fixture, &post("status", ANNA)).contains(r#""code":"4""#));
}

#[test]
fn board_without_trouble_says_so() {
    let mut fixture = Fixture::new(4);
    let id = fixture.socket();
    let status = fixture.say(id, &frame("status", FOUNDING)).remove(0);
    let end = r#""Slot": "", "DeviceFile": "given", "Complaint": "", "Notice": "", "Uptime": 1}"#;
    assert!(status.ends_with(end), "{status}");
    let unknown = fixture.say(id, &frame("frobnicate", FOUNDING));
    assert_eq!(unknown, [r#"ok<!--separate-->{ "ErrorMessage": "nFunction not found" }"#]);
}

#[test]
fn longest_complaint_and_notice_fit_every_answer() {
    let board = Board {
        config_error: Some(crate::config::one_line("\"".repeat(COMPLAINT_BYTES))),
        notice: Some(crate::config::one_line("\\".repeat(NOTICE_BYTES))),
        ..Board::default()
    };
    let mut fixture = Fixture::with_board(4, board);
    let id = fixture.bound(FOUNDING);
    let heard = fixture.hear(id);
    assert!(heard.is_empty(), "it was heard with the binding");
    let status = fixture.say(id, &envelope("status", FOUNDING)).remove(0);
    assert!(status.contains(r#"\"", "Notice": "\\"#), "{status}");
    let warned = fixture.socket();
    let con = format!(r#"<!--"CON"--"0"--"{FOUNDING}"-->"#);
    assert!(fixture.say(warned, &con)[0].ends_with(r#"\\"}}"#));
}

#[test]
fn administrator_ends_the_board_in_every_form_and_is_answered() {
    let mut fixture = Fixture::new(4);
    fixture.system.ends_board = true;
    let id = fixture.socket();
    assert_eq!(fixture.say(id, &frame("reboot", FOUNDING)), [OK]);
    let response = format!(r#"{{"type":"msg","data":{{ "type":"response","requestid":"r","data":{OK}}}}}"#);
    assert_eq!(fixture.say(id, &envelope("poweroff", FOUNDING)), [response]);
    assert_eq!(content(&mut fixture, &post("reboot", FOUNDING)), OK);
    assert_eq!(fixture.system.ends, [BoardEnd::Reboot, BoardEnd::PowerOff, BoardEnd::Reboot]);
}

#[test]
fn nobody_else_ends_it_and_no_link_does() {
    let mut fixture = Fixture::new(4);
    fixture.system.ends_board = true;
    let id = fixture.socket();
    for call in ["reboot", "poweroff"] {
        assert_eq!(fixture.say(id, &frame(call, ANNA)), [NO_RIGHT]);
        assert!(fixture.say(id, &envelope(call, ANNA))[0].contains(r#"\"code\":\"4\""#));
        assert!(content(&mut fixture, &post(call, ANNA)).contains(r#""code":"4""#));
        assert!(fixture.say(id, &frame(call, "nobody"))[0].contains("user not found"));
        let get =
            format!("GET /system.library/board/{call}?sessionid={FOUNDING} HTTP/1.1\r\nHost: h\r\n\r\n");
        assert!(content(&mut fixture, &get).contains(r#""code":"5""#));
        // Nobody would hear whether it ends.
        let event = envelope(call, FOUNDING).replace("\"request\"", "\"event\"");
        assert!(fixture.say(id, &event).is_empty());
    }
    assert!(fixture.system.ends.is_empty());
}

#[test]
fn board_that_cannot_be_ended_is_told_to_be_so() {
    let mut fixture = Fixture::new(4);
    let id = fixture.socket();
    assert_eq!(
        fixture.say(id, &frame("reboot", FOUNDING)),
        [r#"{ "ErrorMessage": "Function reboot returned: 38" }"#]
    );
    assert_eq!(
        content(&mut fixture, &post("poweroff", FOUNDING)),
        r#"fail<!--separate-->{ "response": "Function poweroff returned: 38", "code":"18" }"#
    );
}

#[test]
fn answer_goes_out_before_the_goodbye() {
    let mut fixture = Fixture::new(4);
    fixture.system.ends_board = true;
    let (id, other) = (fixture.socket(), fixture.bound(ANNA));
    fixture.put(id, &super::fixture::frame(&frame("reboot", FOUNDING)));
    let http = fixture.connect();
    fixture.put(http, post("reboot", FOUNDING).as_bytes());
    fixture.server.shutdown(fixture.now, &mut fixture.system);
    assert_eq!(fixture.hear(id), [OK, "close 1001"]);
    assert_eq!(fixture.hear(other), ["close 1001"]);
    assert!(String::from_utf8(fixture.get(http)).unwrap().ends_with(OK));
}

#[test]
fn bound_socket_of_an_administrator_is_warned_once() {
    let mut fixture = troubled();
    let con = |session: &str| format!(r#"{{"type":"con","data":{{"sessionId":"{session}"}}}}"#);
    let bound = |session: &str| format!(r#"{{"type":"con","data":{{"type":"pong","data":"{session}"}}}}"#);
    let id = fixture.socket();
    // Not before somebody who may know is bound.
    assert_eq!(fixture.say(id, &con(ANNA)), [bound(ANNA)]);
    assert_eq!(fixture.say(id, &con(FOUNDING)), [bound(FOUNDING), NOTICE.to_owned()]);
    assert_eq!(fixture.say(id, &con(FOUNDING)), [bound(FOUNDING)]);
    let other = fixture.socket();
    assert_eq!(fixture.say(other, &format!(r#"<!--"CON"--"0"--"{FOUNDING}"-->"#)), [NOTICE]);
    // The slot's next tenant is warned anew.
    fixture.server.release(other);
    let other = fixture.socket();
    assert_eq!(fixture.say(other, &con(FOUNDING)).len(), 2);
}

#[test]
fn warning_waits_until_the_peer_has_caught_up() {
    let mut fixture = troubled();
    let id = fixture.socket();
    let ping = r#"{"type":"con","data":{"type":"ping","data":1795374850306}}"#;
    for _ in 0..40 {
        fixture.put(id, &super::fixture::frame(ping));
    }
    fixture.put(id, &super::fixture::frame(&format!(r#"<!--"CON"--"0"--"{FOUNDING}"-->"#)));
    let heard = fixture.hear(id);
    assert_eq!((heard.len(), heard.last().map(String::as_str)), (41, Some(NOTICE)));
}
