//! Calls and their answers, in all forms.

use base64::prelude::{BASE64_STANDARD as BASE64, Engine as _};

use super::fixture::{ADMIN, ANNA, Fixture, frame, upgrade, whole};
use crate::api::calls::NAME;
use crate::api::{CALLS, Effect, USER_WRITES};
use crate::connection::ANSWER_TIMEOUT;
use crate::friendcore::CHUNK_PIECE_BYTES;
use crate::limits::{COMMAND_OUTPUT_BYTES, REPLY_BYTES, REQUEST_ID_BYTES};
use crate::service::{Exit, Signal};
use crate::ws::PING_INTERVAL;

const START: &str = r#"<!--"MSG"--"760"--"system.library/services/start"-->{ "serviceName":"hello", "sessionid":"8ed922535bc7cb2de39dc9bdafef502e2e20b986" }<--!>"#;

fn request(path: &str, data: &str) -> String {
    format!(
        r#"{{"type":"msg","data":{{"type":"request","requestid":"r1","path":"system.library/{path}","data":{data},"sessionid":"{ADMIN}"}}}}"#
    )
}

fn response(content: &str) -> Vec<String> {
    vec![format!(r#"{{"type":"msg","data":{{ "type":"response","requestid":"r1","data":{content}}}}}"#)]
}

#[test]
fn reference_exchange() {
    let mut fixture = Fixture::new(4);
    let id = fixture.socket();
    assert_eq!(fixture.say(id, START), [r#"{ "Status": "ok"}"#]);
    assert_eq!(fixture.system.next_pid, 1);
    // A second start has the same answer and changes nothing.
    assert_eq!(fixture.say(id, START), [r#"{ "Status": "ok"}"#]);
    assert_eq!(fixture.system.next_pid, 1);
    let status = START.replace("start\"", "status\"");
    assert_eq!(
        fixture.say(id, &status),
        [
            r#"{ "Status": "ok", "State": "started", "Pid": 1234, "Since": 0, "Restarts": 0, "LastExit": "", "Reason": "", "Enabled": false, "Restart": "never", "StartedOnce": true, "Ends": 0}"#
        ]
    );
    let stop = START.replace("start\"", "stop\"");
    assert_eq!(fixture.say(id, &stop), [r#"{ "Status": "ok"}"#]);
    assert_eq!(fixture.system.signals, [(1234, Signal::Term), (1234, Signal::Cont)]);
    fixture.exit(1234, Exit::signal(15));
    assert!(fixture.say(id, &status)[0].contains(r#""State": "stopped""#));
    assert_eq!(fixture.say(id, &stop), [r#"{ "Status": "ok"}"#]);
}

#[test]
fn calls_that_wait_for_one_write_are_all_answered() {
    let mut fixture = Fixture::new(4);
    let sockets = [fixture.socket(), fixture.socket()];
    let install = frame(&request("services/hello/install", "{}"));
    let uninstall = frame(&request("services/hello/uninstall", "{}"));
    for (call, is_full, answer) in [
        (&install, true, "fail<!--separate-->"),
        (&install, false, "{ \"Status\": \"ok\"}"),
        (&uninstall, false, "{ \"Status\": \"ok\"}"),
    ] {
        fixture.system.is_full = is_full;
        sockets.into_iter().for_each(|id| fixture.deliver(id, call));
        assert_eq!(fixture.system.writes.len(), 1);
        fixture.settle();
        for id in sockets {
            let received = fixture.receive(id);
            assert!(received.len() == 1 && received[0].contains(answer), "{received:?}");
        }
    }
}

#[test]
fn writes_of_a_user_are_bounded() {
    let mut fixture = Fixture::new(4);
    let id = fixture.socket();
    let call = |verb: &str| frame(&request(&format!("services/hello/{verb}"), "{}"));
    let mut written = |verb: &str| {
        fixture.deliver(id, &call(verb));
        let is_written = !fixture.system.writes.is_empty();
        fixture.settle();
        (is_written, fixture.receive(id).concat())
    };
    for write in 0..USER_WRITES {
        let (is_written, answer) = written(if write % 2 == 0 { "install" } else { "uninstall" });
        assert!(is_written && answer.contains(r#"{ "Status": "ok"}"#), "{write}: {answer}");
    }
    for verb in ["install", "uninstall"] {
        let (is_written, answer) = written(verb);
        let refused = answer.contains(&format!("Function {verb} returned: 122"));
        assert!(!is_written && refused, "{answer}");
    }
}

#[test]
fn envelope_is_answered_bound_or_with_its_own_session() {
    let mut fixture = Fixture::new(4);
    let id = fixture.socket();
    assert_eq!(fixture.say(id, &request("services/hello/start", "{}")), response(r#"{ "Status": "ok"}"#));
    let unnamed = request("validate", "{}").replace(ADMIN, "");
    let missing = fixture.say(id, &unnamed);
    assert!(missing[0].contains("sessionid or authid parameter is missing"), "{missing:?}");
    fixture.say(id, &format!(r#"{{"type":"con","data":{{"sessionId":"{ADMIN}"}}}}"#));
    let valid = fixture.say(id, &unnamed);
    assert!(valid[0].contains(r#"ok<!--separate-->{\"response\":\"true\"}"#), "{valid:?}");
}

#[test]
fn event_is_executed_and_not_answered() {
    let mut fixture = Fixture::new(4);
    let id = fixture.socket();
    let event = request("services/hello/start", "{}").replace("\"request\"", "\"event\"");
    assert!(fixture.say(id, &event).is_empty());
    assert_eq!(fixture.system.next_pid, 1);
}

#[test]
fn replies_come_in_order_whatever_the_pieces() {
    let mut fixture = Fixture::new(4);
    let id = fixture.socket();
    let mut bytes = frame(START);
    bytes.extend(frame(&START.replace("start\"", "status\"")));
    bytes.extend(frame(&START.replace("start\"", "stop\"")));
    for byte in &bytes {
        fixture.put(id, &[*byte]);
    }
    let received = fixture.receive(id);
    assert_eq!(received.len(), 3);
    assert!(received[1].contains(r#""State": "started""#));
}

#[test]
fn failed_start_is_reported_in_every_form() {
    let mut fixture = Fixture::new(4);
    fixture.system.refuses = Some(2);
    let id = fixture.socket();
    let reason = "hello: cannot start /bin/friendlet: No such file or directory (errno 2)";
    let failed = format!(r#"{{ "ErrorMessage": "Function start returned: 2", "reason": "{reason}" }}"#);
    assert_eq!(fixture.say(id, START), [failed]);
    let failed = fixture.say(id, &request("services/hello/start", "{}"));
    let code = format!(r#"Function start returned: 2\", \"code\":\"18\", \"reason\": \"{reason}\""#);
    assert!(failed[0].contains(&code), "{failed:?}");
}

#[test]
fn missing_right_is_reported() {
    let mut fixture = Fixture::new(4);
    let id = fixture.socket();
    let text = START.replace(ADMIN, ANNA);
    assert_eq!(fixture.say(id, &text), [r#"{ "Status": "ok"}"#]);
    assert_eq!(
        fixture.say(id, &text.replace("\"hello\"", "\"clock\"")),
        [
            r#"fail<!--separate-->{ "response": "Cannot execute function. Admin rights required", "code":"4" }"#
        ]
    );
    let list = fixture.say(id, &text.replace("/start", "/list"));
    assert!(list[0].contains("hello") && !list[0].contains("clock"), "{list:?}");
    assert_eq!(fixture.system.next_pid, 1);
}

#[test]
fn login_waits_for_its_check_and_delays_later_messages() {
    let mut fixture = Fixture::new(4);
    let id = fixture.socket();
    let login =
        r#"<!--"MSG"--"44"--"system.library/login"-->{ "username":"admin", "password":"secret" }<--!>"#;
    assert!(fixture.say(id, login).is_empty());
    assert!(fixture.say(id, START).is_empty());
    fixture.check_password(true);
    let received = fixture.receive(id);
    assert!(received[0].starts_with(r#"{ "ErrorMessage": "0", "sessionid": ""#), "{received:?}");
    assert_eq!(received[1], r#"{ "Status": "ok"}"#);
}

#[test]
fn wrong_passwords_block_the_user_for_that_address() {
    let mut fixture = Fixture::new(4);
    let id = fixture.socket();
    let login = r#"{"type":"msg","data":{"type":"request","requestid":"r1","path":"system.library/login","data":{"username":"admin","password":"x","deviceid":"d"}}}"#;
    for round in 0..3 {
        assert!(fixture.say(id, login).is_empty());
        fixture.check_password(false);
        let received = fixture.receive(id);
        let until = if round < 2 { "until: 0" } else { "until: 1000010" };
        assert!(received[0].contains(until), "{received:?}");
    }
    let blocked = fixture.say(id, login);
    assert!(blocked[0].contains("until: 1000010"), "{blocked:?}");
    assert!(fixture.system.checks.is_empty());
}

#[test]
fn full_queue_of_passwords_is_reported() {
    let mut fixture = Fixture::new(4);
    fixture.system.is_full = true;
    let id = fixture.connect();
    let body = "username=admin&password=x&deviceid=d";
    let response = fixture.http(
        id,
        &format!(
            "POST /system.library/login HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ),
    );
    assert!(response.contains(r#""code":"17""#), "{response}");
}

#[test]
fn call_without_completion_times_out() {
    let mut fixture = Fixture::new(4);
    let id = fixture.bound(ADMIN);
    assert!(fixture.say(id, &request("services/clock/command", r#"{"cmd":"show"}"#)).is_empty());
    let seconds = ANSWER_TIMEOUT.as_secs() + 1;
    for _ in 0..seconds {
        fixture.pass(core::time::Duration::from_secs(1));
    }
    let received = fixture.receive(id);
    assert!(received.iter().any(|text| text.contains("Function command returned: 110")), "{received:?}");
    assert!(PING_INTERVAL < ANSWER_TIMEOUT);
}

#[test]
fn named_commands() {
    let mut fixture = Fixture::new(4);
    let id = fixture.bound(ADMIN);
    assert!(fixture.say(id, &request("services/clock/command", r#"{"cmd":"show"}"#)).is_empty());
    fixture.end_command("0", b"noon\n");
    assert_eq!(fixture.receive(id), response(r#"{ "Status": "ok", "Exit": "0", "Output": "noon\n"}"#));
    let not_running = fixture.say(id, &request("services/clock/command", r#"{"cmd":"wind"}"#));
    assert!(not_running[0].contains("Function command returned: 3"), "{not_running:?}");
    fixture.say(id, &request("services/clock/start", "{}"));
    assert_eq!(
        fixture.say(id, &request("services/clock/command", r#"{"cmd":"wind"}"#)),
        response(r#"{ "Status": "ok"}"#)
    );
    assert_eq!(fixture.system.signals, [(1234, Signal::Usr1)]);
    let unknown = fixture.say(id, &request("services/clock/command", r#"{"cmd":"rm"}"#));
    assert!(unknown[0].contains(r#"\"code\":\"1\""#), "{unknown:?}");
    fixture.system.is_full = true;
    let full = fixture.say(id, &request("services/clock/command", r#"{"cmd":"show"}"#));
    assert!(full[0].contains(r#"\"code\":\"17\""#), "{full:?}");
}

#[test]
fn long_reply_is_sent_in_chunks() {
    let mut fixture = Fixture::new(4);
    let id = fixture.bound(ADMIN);
    fixture.say(id, &request("services/clock/command", r#"{"cmd":"show"}"#));
    // Each of these bytes becomes three in JSON, and base64 adds a third.
    let room = REPLY_BYTES - 6 * REQUEST_ID_BYTES - 512;
    fixture.end_command("0", &vec![0xFF; (room / 3).min(30_000)]);
    let chunks = fixture.receive(id);
    if REPLY_BYTES <= CHUNK_PIECE_BYTES {
        // Such a board has no reply that is too long for one message.
        assert_eq!(chunks.len(), 1);
        assert!(chunks[0].contains("\u{fffd}"), "{}", chunks[0]);
        return;
    }
    assert_eq!(chunks.len(), 2);
    let mut base64 = String::new();
    for (part, chunk) in chunks.iter().enumerate() {
        assert!(chunk.contains(&format!(r#""total":"2","part":"{part}","data":""#)), "{}", &chunk[..99]);
        let piece = chunk.rsplit_once(r#""data":""#).unwrap().1.trim_end_matches(['"', '}']);
        assert!(piece.len() <= CHUNK_PIECE_BYTES);
        base64 += piece;
    }
    let text = BASE64.decode(&base64).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert!(text.starts_with(r#"{"type":"msg","data":{ "type":"response","requestid":"r1""#));
    // The set is free again, and the connection stays open.
    assert_eq!(fixture.say(id, r#"{"type":"con","data":{"type":"ping","data":7}}"#).len(), 1);
}

#[test]
fn output_longer_than_an_answer_is_cut() {
    let mut fixture = Fixture::new(4);
    let id = fixture.bound(ADMIN);
    fixture.say(id, &request("services/clock/command", r#"{"cmd":"show"}"#));
    // A replacement character each: more than a reply holds.
    fixture.end_command("0", &[1; COMMAND_OUTPUT_BYTES]);
    let reply = whole(&fixture.receive(id));
    let around = response(r#"{ "Status": "ok", "Exit": "0", "Output": "", "Cut": true}"#)[0].len();
    let room = REPLY_BYTES - around;
    let halves = (0..16).map(|halvings| COMMAND_OUTPUT_BYTES >> halvings);
    let kept = halves.into_iter().find(|bytes| 3 * bytes <= room).unwrap();
    assert_eq!(reply.matches('\u{FFFD}').count(), kept);
    assert!(reply.ends_with(r#"", "Cut": true}}}"#), "the answer reports the cut");
}

#[test]
fn chunked_request_is_answered() {
    let mut fixture = Fixture::new(4);
    let id = fixture.bound(ADMIN);
    let text = request("services/hello/install", r#"{"note":"a long one"}"#);
    let base64 = BASE64.encode(text.as_bytes());
    let (first, second) = base64.split_at(64);
    let part = |part: usize, data: &str| {
        format!(
            r#"{{"type":"con","data":{{"type":"chunk","data":{{"id":"c","part":{part},"total":2,"data":"{data}"}}}}}}"#
        )
    };
    assert!(fixture.say(id, &part(0, first)).is_empty());
    assert_eq!(fixture.say(id, &part(1, second)), response(r#"{ "Status": "ok"}"#));
}

#[test]
fn http_forms() {
    let mut fixture = Fixture::new(4);
    let id = fixture.connect();
    let body = format!("serviceName=hello&sessionid={ADMIN}");
    let response = fixture.http(
        id,
        &format!(
            "POST /system.library/services/start HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ),
    );
    assert_eq!(
        response,
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: 17\r\n\
         cache-control: no-store\r\nx-content-type-options: nosniff\r\n\r\n{ \"Status\": \"ok\"}"
    );
    let id = fixture.connect();
    let bad = fixture
        .http(id, "GET /system.library/services/hello/status?sessionid=deadbeef HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(bad.starts_with("HTTP/1.1 403 "), "{bad}");
    assert!(bad.ends_with(
        r#"fail<!--separate-->{"response":"User session not found","code":"11","sessionid":"deadbeef"}"#
    ));
}

#[test]
fn binary_message_closes_its_connection() {
    let mut fixture = Fixture::new(4);
    let (bad, good) = (fixture.socket(), fixture.socket());
    fixture.put(bad, &[0x82, 0x81, 0, 0, 0, 0, 1]);
    assert_eq!(fixture.receive(bad), ["close 1003"]);
    assert!(fixture.server.state(bad).finish.is_some());
    assert_eq!(fixture.say(good, START), [r#"{ "Status": "ok"}"#]);
    assert_eq!(fixture.server.counters().bad_sockets, 1);
}

#[test]
fn refused_messages_are_answered_and_counted() {
    let mut fixture = Fixture::new(4);
    let id = fixture.socket();
    let refused = r#" { "ErrorMessage":"Request do not contain required data" }"#;
    assert_eq!(fixture.say(id, "hello fixture, not a frame"), [refused]);
    assert_eq!(
        fixture.say(id, r#"{"type":"msg",,"requestid":"r1""#),
        [r#"{"type":"msg","data":{"type":"error","data":{"requestid":"r1"}}}"#]
    );
    assert!(fixture.say(id, "short").is_empty());
    assert_eq!(fixture.server.counters().bad_messages, 2);
}

#[test]
fn foreign_origin_is_refused() {
    let mut fixture = Fixture::new(4);
    let id = fixture.connect();
    let request = upgrade("/").replace("Host: h\r\n", "Host: h\r\nOrigin: http://evil.example\r\n");
    let response = fixture.http(id, &request);
    assert!(response.starts_with("HTTP/1.1 403 "), "{response}");
}

#[test]
fn replies_to_one_read_leave_in_one_write() {
    let mut fixture = Fixture::new(4);
    let id = fixture.socket();
    let calls = [START, r#"{"type":"con","data":{"type":"ping","data":7}}"#, "hello fixture, not a frame"];
    fixture.put(id, &calls.map(frame).concat());
    let mut lengths = Vec::new();
    while fixture.server.state(id).sends {
        let count = fixture.server.pending(id).len();
        lengths.push(count);
        fixture.server.sent(id, count, fixture.now, &mut fixture.system);
    }
    assert_eq!(lengths.len(), 1);
    let replies = [
        r#"{ "Status": "ok"}"#,
        r#"{"type":"con","data":{"type":"pong","data":"7"}}"#,
        r#" { "ErrorMessage":"Request do not contain required data" }"#,
    ];
    assert_eq!(lengths[0], replies.map(|reply| 2 + reply.len()).iter().sum::<usize>());
}

#[test]
fn changes_over_http_need_a_post() {
    let mut fixture = Fixture::new(4);
    for row in CALLS {
        let path = row.path.join("/").replace(NAME, "hello");
        if row.effect == Effect::Reads {
            continue;
        }
        let with = if let Effect::ChangesWith(name) = row.effect { name } else { "cmd" };
        let id = fixture.connect();
        let get =
            format!("GET /system.library/{path}?sessionid={ADMIN}&{with}=x HTTP/1.1\r\nHost: h\r\n\r\n");
        let refused = fixture.http(id, &get);
        assert!(refused.contains(r#"using POST method", "code":"5""#), "{path}: {refused}");
        fixture.server.release(id);
    }
    assert_eq!(fixture.system.next_pid, 0, "nothing started");
}
