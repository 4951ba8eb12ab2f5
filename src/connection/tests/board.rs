//! Calls of the board: status, notice of a problem, and shutdown.

use core::time::Duration;

use super::fixture::{ADMIN, ANNA, Fixture};
use crate::api::{Board, CERTIFICATE_TEXT_BYTES};
use crate::call::SlotState;
use crate::config::{COMPLAINT_BYTES, ConfigOrigin, FAILURE_NOTICE, GOOD_TIME, NOTICE_BYTES};
use crate::connection::SlotId;
use crate::limits::{BOARD, SESSIONS};
use crate::service::BoardEnd;
use crate::service::{Exit, REBOOT_UPTIME};

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
        ..Board::default()
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

/// Returns the content of the answer to a call over HTTP.
fn content(fixture: &mut Fixture, request: &str) -> String {
    let id = fixture.connect();
    let response = fixture.http(id, request);
    fixture.server.release(id);
    response.split_once("\r\n\r\n").unwrap().1.to_owned()
}

/// End of a status with so many connections, in a server with 4 slots and no session.
fn use_of(connections: usize) -> String {
    format!(
        r#", "Connections": {connections}, "Slots": 4, "Sessions": 0, "SessionSlots": {SESSIONS}, "Memory": 1048576, "MemoryAvailable": 2097152, "MemoryTotal": 4194304}}"#
    )
}

#[test]
fn status_is_sent_to_administrators_in_every_form() {
    let mut fixture = troubled();
    fixture.now = Duration::from_secs(12);
    let status = format!(
        r#"{{ "Status": "ok", "Board": "{}", "Version": "{}", "Build": "0a1b", "Slot": "A", "DeviceFile": "last good", "Complaint": "last good copy in force: f:1:2: unknown key '\"'", "Notice": "no data partition", "Certificate": "", "CertificateNames": "", "CertificateSum": "", "CertificateKey": "", "CertificateEnd": "", "Token": "", "Sandbox": "", "Uptime": 12{}"#,
        BOARD,
        env!("CARGO_PKG_VERSION"),
        use_of(1)
    );
    let id = fixture.socket();
    assert_eq!(fixture.say(id, &frame("status", ADMIN)), std::slice::from_ref(&status));
    let response =
        format!(r#"{{"type":"msg","data":{{ "type":"response","requestid":"r","data":{status}}}}}"#);
    assert_eq!(fixture.say(id, &envelope("status", ADMIN)), [response]);
    // The one of the request is open, too.
    assert_eq!(content(&mut fixture, &post("status", ADMIN)), status.replace(&use_of(1), &use_of(2)));
    assert_eq!(fixture.say(id, &frame("status", ADMIN)), [status]);
    assert_eq!(fixture.say(id, &frame("status", ANNA)), [NO_RIGHT]);
    assert!(content(&mut fixture, &post("status", ANNA)).contains(r#""code":"4""#));
}

#[test]
fn board_without_a_problem_has_an_empty_status() {
    let mut fixture = Fixture::new(4);
    let id = fixture.socket();
    let status = fixture.say(id, &frame("status", ADMIN)).remove(0);
    let end = r#""Slot": "", "DeviceFile": "given", "Complaint": "", "Notice": "", "Certificate": "", "CertificateNames": "", "CertificateSum": "", "CertificateKey": "", "CertificateEnd": "", "Token": "", "Sandbox": "", "Uptime": 1"#;
    assert!(status.ends_with(&format!("{end}{}", use_of(1))), "{status}");
    let unknown = fixture.say(id, &frame("frobnicate", ADMIN));
    assert_eq!(unknown, [r#"ok<!--separate-->{ "ErrorMessage": "nFunction not found" }"#]);
}

#[test]
fn longest_complaint_and_notice_fit_every_answer() {
    let board = Board {
        config_error: Some(crate::config::one_line("\"".repeat(COMPLAINT_BYTES))),
        notice: Some(crate::config::one_line("\\".repeat(NOTICE_BYTES))),
        slot_notice: Some(crate::config::one_line("\\".repeat(NOTICE_BYTES))),
        certificate: Some(crate::config::one_line("\"".repeat(NOTICE_BYTES))),
        is_audit_failing: true,
        ..Board::default()
    };
    let mut fixture = Fixture::with_board(4, board);
    fixture.server.set_certificate(&"\"".repeat(CERTIFICATE_TEXT_BYTES + 1), &std::sync::Arc::default());
    let id = fixture.bound(ADMIN);
    let received = fixture.receive(id);
    assert!(received.is_empty(), "it was received with the binding");
    let status = fixture.say(id, &envelope("status", ADMIN)).remove(0);
    assert!(status.contains(r#"\"", "Notice": "\\"#), "{status}");
    let names = format!(
        r#""CertificateNames": "{}", "CertificateSum": "", "#,
        r#"\""#.repeat(CERTIFICATE_TEXT_BYTES)
    );
    assert!(status.contains(&names), "{status}");
    let warned = fixture.socket();
    let con = format!(r#"<!--"CON"--"0"--"{ADMIN}"-->"#);
    assert!(fixture.say(warned, &con)[0].contains(r#"\"; the audit trail"#));
}

#[test]
fn board_call_of_an_administrator_is_answered_in_every_form() {
    let mut fixture = Fixture::new(4);
    fixture.system.ends_board = true;
    let id = fixture.socket();
    assert_eq!(fixture.say(id, &frame("reboot", ADMIN)), [OK]);
    let response = format!(r#"{{"type":"msg","data":{{ "type":"response","requestid":"r","data":{OK}}}}}"#);
    assert_eq!(fixture.say(id, &envelope("poweroff", ADMIN)), [response]);
    assert_eq!(content(&mut fixture, &post("reboot", ADMIN)), OK);
    assert_eq!(fixture.system.ends, [BoardEnd::Reboot, BoardEnd::PowerOff, BoardEnd::Reboot]);
}

#[test]
fn board_call_of_a_user_or_by_get_is_refused() {
    let mut fixture = Fixture::new(4);
    fixture.system.ends_board = true;
    let id = fixture.socket();
    for call in ["reboot", "poweroff"] {
        assert_eq!(fixture.say(id, &frame(call, ANNA)), [NO_RIGHT]);
        assert!(fixture.say(id, &envelope(call, ANNA))[0].contains(r#"\"code\":\"4\""#));
        assert!(content(&mut fixture, &post(call, ANNA)).contains(r#""code":"4""#));
        assert!(fixture.say(id, &frame(call, "nobody"))[0].contains("user not found"));
        let get = format!("GET /system.library/board/{call}?sessionid={ADMIN} HTTP/1.1\r\nHost: h\r\n\r\n");
        assert!(content(&mut fixture, &get).contains(r#""code":"5""#));
        // An event has no answer that could report a failure.
        let event = envelope(call, ADMIN).replace("\"request\"", "\"event\"");
        assert!(fixture.say(id, &event).is_empty());
    }
    assert!(fixture.system.ends.is_empty());
}

#[test]
fn board_call_without_a_way_is_an_error() {
    let mut fixture = Fixture::new(4);
    let id = fixture.socket();
    assert_eq!(
        fixture.say(id, &frame("reboot", ADMIN)),
        [r#"{ "ErrorMessage": "Function reboot returned: 38" }"#]
    );
    assert_eq!(
        content(&mut fixture, &post("poweroff", ADMIN)),
        r#"fail<!--separate-->{ "response": "Function poweroff returned: 38", "code":"18" }"#
    );
}

#[test]
fn factory_reset_needs_the_name_of_the_board() {
    let mut fixture = Fixture::new(4);
    fixture.system.ends_board = true;
    let id = fixture.socket();
    let confirmed = |name: &str, session: &str| {
        frame("factory-reset", session).replace("}<", &format!(r#","confirm":"{name}"}}<"#))
    };
    let missing = r#"{ "ErrorMessage": "Missing parameters: confirm" }"#;
    assert_eq!(fixture.say(id, &frame("factory-reset", ADMIN)), [missing]);
    for name in ["another", &BOARD.to_uppercase()] {
        let wrong = r#"{ "ErrorMessage": "Function factory-reset returned: 22" }"#;
        assert_eq!(fixture.say(id, &confirmed(name, ADMIN)), [wrong], "{name}");
    }
    assert_eq!(fixture.say(id, &confirmed(BOARD, ANNA)), [NO_RIGHT]);
    let get = format!(
        "GET /system.library/board/factory-reset?sessionid={ADMIN}&confirm={BOARD} HTTP/1.1\r\nHost: h\r\n\r\n"
    );
    assert!(content(&mut fixture, &get).contains(r#""code":"5""#));
    assert_eq!(fixture.system.resets, 0);
    assert_eq!(fixture.say(id, &confirmed(BOARD, ADMIN)), [OK]);
    assert_eq!(fixture.system.resets, 1);
    fixture.system.ends_board = false;
    let refused = r#"{ "ErrorMessage": "Function factory-reset returned: 38" }"#;
    assert_eq!(fixture.say(id, &confirmed(BOARD, ADMIN)), [refused]);
}

#[test]
fn answer_is_sent_before_the_closing_frame() {
    let mut fixture = Fixture::new(4);
    fixture.system.ends_board = true;
    let (id, other) = (fixture.socket(), fixture.bound(ANNA));
    fixture.put(id, &super::fixture::frame(&frame("reboot", ADMIN)));
    let http = fixture.connect();
    fixture.put(http, post("reboot", ADMIN).as_bytes());
    fixture.server.shutdown(fixture.now, &mut fixture.system);
    assert_eq!(fixture.receive(id), [OK, "close 1001"]);
    assert_eq!(fixture.receive(other), ["close 1001"]);
    assert!(String::from_utf8(fixture.get(http)).unwrap().ends_with(OK));
}

#[test]
fn bound_socket_of_an_administrator_gets_the_notice_once() {
    let mut fixture = troubled();
    let con = |session: &str| format!(r#"{{"type":"con","data":{{"sessionId":"{session}"}}}}"#);
    let bound = |session: &str| format!(r#"{{"type":"con","data":{{"type":"pong","data":"{session}"}}}}"#);
    let id = fixture.socket();
    // Not before an administrator is bound.
    assert_eq!(fixture.say(id, &con(ANNA)), [bound(ANNA)]);
    assert_eq!(fixture.say(id, &con(ADMIN)), [bound(ADMIN), NOTICE.to_owned()]);
    assert_eq!(fixture.say(id, &con(ADMIN)), [bound(ADMIN)]);
    let other = fixture.socket();
    assert_eq!(fixture.say(other, &format!(r#"<!--"CON"--"0"--"{ADMIN}"-->"#)), [NOTICE]);
    // The next connection of the slot gets its own notice.
    fixture.server.release(other);
    let other = fixture.socket();
    assert_eq!(fixture.say(other, &con(ADMIN)).len(), 2);
}

#[test]
fn notice_waits_until_the_peer_has_read() {
    let mut fixture = troubled();
    let id = fixture.socket();
    let ping = r#"{"type":"con","data":{"type":"ping","data":1795374850306}}"#;
    for _ in 0..40 {
        fixture.put(id, &super::fixture::frame(ping));
    }
    fixture.put(id, &super::fixture::frame(&format!(r#"<!--"CON"--"0"--"{ADMIN}"-->"#)));
    let received = fixture.receive(id);
    assert_eq!((received.len(), received.last().map(String::as_str)), (41, Some(NOTICE)));
}

#[test]
fn notice_of_a_certificate_or_a_token_comes_once_for_each_text() {
    for title in ["Certificate", "Token"] {
        let mut fixture = Fixture::new(4);
        let (id, other) = (fixture.bound(ADMIN), fixture.bound(ANNA));
        let set = |fixture: &mut Fixture, text: Option<&str>| {
            let text = text.map(crate::config::one_line);
            let (certificate, token) = if title == "Token" { (None, text) } else { (text, None) };
            fixture.server.set_expiry_notices(certificate, token);
            assert!(fixture.receive(other).is_empty(), "not an administrator");
            fixture.receive(id)
        };
        let notice = |text| format!(r#"{{"type":"msg","data":{{"type":"server-notice","data":"{text}"}}}}"#);
        for (text, expected) in [
            (None, None),
            (Some("c.pem: 30 days"), Some("c.pem: 30 days")),
            (Some("c.pem: 30 days"), None),
            (Some("c.pem: 7 days"), Some("c.pem: 7 days")),
            (None, None),
            (Some("c.pem: 7 days"), Some("c.pem: 7 days")),
        ] {
            let expected: Vec<_> = expected.into_iter().map(notice).collect();
            assert_eq!(set(&mut fixture, text), expected, "{text:?}");
            let status = fixture.say(id, &frame("status", ADMIN)).remove(0);
            let member = format!(r#""{title}": "{}""#, text.unwrap_or_default());
            assert!(status.contains(&member), "{status}");
        }
    }
}

#[test]
fn failed_service_restarts_the_board() {
    let mut fixture = Fixture::with_service("on_failure = 'reboot'");
    fixture.system.ends_board = true;
    let id = fixture.bound(ADMIN);
    let start = frame("x", ADMIN).replace("board/x", "services/clock/start");
    assert!(fixture.say(id, &start).contains(&OK.to_owned()));
    fixture.exit(1234, Exit::Code(1));
    fixture.pass(REBOOT_UPTIME - Duration::from_secs(60));
    assert!(fixture.system.ends.is_empty());
    fixture.pass(Duration::from_secs(60));
    fixture.pass(Duration::from_secs(1));
    assert_eq!(fixture.system.ends, [BoardEnd::Reboot]);
}

/// Fixture in slot B, which is in test, with a required service, and the time of its first look.
fn tested(keys: &str) -> Fixture {
    let board = Board { slot: "B", slot_state: SlotState::Testing, ..Board::default() };
    let tables = format!(
        "[update]\nsettle_s = 30\n{keys}\n[[service]]\nname = 'web'\ncommand = ['/web']\nrequired = true\n"
    );
    let mut fixture = Fixture::with_tables(4, board, &tables);
    fixture.pass(Duration::ZERO);
    fixture
}

/// Starts the required service, and looks at the slot.
fn start_web(fixture: &mut Fixture) {
    let started = content(fixture, &post("web", ADMIN).replacen("board/web", "services/web/start", 1));
    assert_eq!(started, OK);
    fixture.pass(Duration::ZERO);
}

/// Result of the test of the slot, once.
fn result(fixture: &mut Fixture) -> Option<Result<(), String>> {
    let mut reported = None;
    fixture.server.report_slot(&mut |result| {
        reported = Some(result.map_err(ToString::to_string));
        true
    });
    reported
}

/// Newest message to a socket; a ping is older.
fn last(fixture: &mut Fixture, id: SlotId) -> String {
    fixture.receive(id).pop().unwrap_or_default()
}

fn state_of_the_slot(fixture: &mut Fixture) -> String {
    let status = content(fixture, &post("status", ADMIN));
    let from = status.find(r#""Slot": "#).unwrap();
    status[from..status.find(r#", "DeviceFile""#).unwrap()].to_owned()
}

#[test]
fn tested_slot_is_good_once_its_required_service_is_up() {
    let mut fixture = tested("");
    let missing = r#""Slot": "B", "SlotState": "testing", "SlotMissing": "service web is not up""#;
    assert_eq!(state_of_the_slot(&mut fixture), missing);
    let refused = content(&mut fixture, &post("markgood", ADMIN));
    assert!(refused.contains(r#"markgood returned: 22", "code":"18", "reason": "service web is not up" }"#));
    start_web(&mut fixture);
    fixture.pass(Duration::from_secs(20));
    assert!(state_of_the_slot(&mut fixture).ends_with(r#""everything has been up for 20 of 30 s""#));
    assert_eq!(result(&mut fixture), None);
    fixture.pass(Duration::from_secs(10));
    assert_eq!(result(&mut fixture), Some(Ok(())));
    assert_eq!(result(&mut fixture), None, "once");
    assert_eq!(state_of_the_slot(&mut fixture), r#""Slot": "B", "SlotState": "good""#);
    assert_eq!(content(&mut fixture, &post("markgood", ADMIN)), OK, "it is");
}

#[test]
fn tested_slot_that_fails_is_announced_to_administrators() {
    let mut fixture = tested("");
    let (admin, guest) = (fixture.bound(ADMIN), fixture.bound(ANNA));
    fixture.pass(GOOD_TIME + Duration::from_secs(30) - FAILURE_NOTICE);
    let notice = |end: &str| {
        format!(
            r#"{{"type":"msg","data":{{"type":"server-notice","data":"slot B is not good: service web is not up; the board restarts{end}"}}}}"#
        )
    };
    assert_eq!(last(&mut fixture, admin), notice(" in 60 s"));
    assert!(!last(&mut fixture, guest).contains("slot B"));
    assert_eq!(result(&mut fixture), None);
    fixture.pass(FAILURE_NOTICE);
    assert_eq!(last(&mut fixture, admin), notice(" in 0 s"));
    assert_eq!(result(&mut fixture), Some(Err("service web is not up".to_owned())));
    assert!(
        state_of_the_slot(&mut fixture)
            .contains(r#""failed", "SlotMissing": "it was not marked good in time"#)
    );
}

#[test]
fn configuration_that_is_not_in_force_is_the_reason_of_a_failure() {
    let mut fixture = tested("");
    fixture.server.set_config_error("built-in default in force: f:1:1: unknown key 'x'".try_into().unwrap());
    start_web(&mut fixture);
    fixture.pass(GOOD_TIME + Duration::from_secs(30));
    let reason = "built-in default in force: f:1:1: unknown key 'x'";
    assert_eq!(result(&mut fixture), Some(Err(reason.to_owned())));
}

#[test]
fn administrator_confirms_a_slot_where_the_file_wants_it() {
    let mut fixture = tested("confirm = 'administrator'");
    start_web(&mut fixture);
    assert!(content(&mut fixture, &post("markgood", ADMIN)).contains("has been up for 0 of 30 s"));
    fixture.pass(Duration::from_secs(30));
    assert_eq!(result(&mut fixture), None);
    assert!(state_of_the_slot(&mut fixture).ends_with(r#""no administrator has called board/markgood""#));
    assert!(content(&mut fixture, &post("markgood", ANNA)).contains(r#""code":"4""#));
    assert_eq!(content(&mut fixture, &post("markgood", ADMIN)), OK);
    assert_eq!(result(&mut fixture), Some(Ok(())));
}
