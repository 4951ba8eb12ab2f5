//! Limits of connections, met and exceeded by one.

use core::time::Duration;

use super::super::machine::ANSWER_ROOM;
use super::fixture::{ADMIN, Fixture, frame, whole};
use crate::connection::{
    ANSWER_TIMEOUT, Finish, OVERFLOW_SLOTS, PUSH_BACKLOG_BYTES, RECEIVE_BYTES, SEND_TIMEOUT, SESSION_TIMEOUT,
    SlotId,
};
use crate::friendcore::CHUNK_PIECE_BYTES;
use crate::http::SEND_RESERVE_BYTES;
use crate::limits::{
    CHUNK_SETS, DEVICE_ID_BYTES, MESSAGE_BYTES, PARAMETERS, PASSWORD_BYTES, REPLY_BYTES, REQUEST_ID_BYTES,
    SEND_BYTES, SLOTS, USER_NAME_BYTES,
};
use crate::service::START_SETTLE;
use crate::session::{LOCKOUT_ATTEMPTS, LOCKOUT_FIRST};
use crate::ws::{CONTROL_BYTES, PING_INTERVAL};

const MOMENT: Duration = Duration::from_millis(1);
/// Content of a command's answer around its output.
const AROUND_OUTPUT: usize = r#"{ "Status": "ok", "Exit": "0", "Output": ""}"#.len();

fn request(id: &str, path: &str, data: &str) -> String {
    format!(
        r#"{{"type":"msg","data":{{"type":"request","requestid":"{id}","path":"system.library/{path}","data":{data},"sessionid":"{ADMIN}"}}}}"#
    )
}

fn call(path: &str, data: &str) -> String {
    format!(r#"<!--"MSG"--"9"--"system.library/{path}"-->{{{data}"sessionid":"{ADMIN}"}}<--!>"#)
}

/// Runs the command `show` with an output of `bytes` letters; returns the messages of the server.
fn run_command(fixture: &mut Fixture, id: SlotId, message: &str, bytes: usize) -> Vec<String> {
    assert!(fixture.say(id, message).is_empty());
    fixture.end_command("0", &vec![b'z'; bytes]);
    fixture.receive(id)
}

#[test]
fn connections_up_to_the_slots_and_the_overflow_slots_are_accepted() {
    for slots in [SLOTS, SLOTS + 1] {
        let mut fixture = Fixture::new(slots);
        for _ in 0..SLOTS + OVERFLOW_SLOTS {
            assert!(fixture.try_connect().is_some());
        }
        assert_eq!(fixture.try_connect(), None);
    }
}

#[test]
fn reply_up_to_its_limit_is_whole_and_cut_beyond() {
    let mut fixture = Fixture::new(4);
    let id = fixture.bound(ADMIN);
    // An id of control characters has the longest encoding.
    let longest_id = r"\u0001".repeat(REQUEST_ID_BYTES);
    let message = request(&longest_id, "services/clock/command", r#"{"cmd":"show"}"#);
    let around = whole(&run_command(&mut fixture, id, &message, 0)).len();
    let room = REPLY_BYTES - around;
    for (bytes, kept) in [(room, room), (room + 1, room.div_ceil(2))] {
        let reply = whole(&run_command(&mut fixture, id, &message, bytes));
        assert!(reply.contains(&longest_id) && reply.len() <= REPLY_BYTES, "{}", reply.len());
        assert_eq!(reply.matches('z').count(), kept);
    }
}

#[test]
fn message_up_to_its_limit_is_sent_whole() {
    let mut fixture = Fixture::new(4);
    let id = fixture.bound(ADMIN);
    let message = request("r", "services/clock/command", r#"{"cmd":"show"}"#);
    let around = whole(&run_command(&mut fixture, id, &message, 0)).len();
    let room = REPLY_BYTES - around;
    let most = (CHUNK_PIECE_BYTES - around).min(room);
    let one = run_command(&mut fixture, id, &message, most);
    assert_eq!((one.len(), one[0].len()), (1, around + most));
    let more = run_command(&mut fixture, id, &message, most + 1);
    if most < room {
        assert!(more.len() > 1 && more.iter().all(|piece| piece.contains(r#""type":"chunk""#)));
        assert_eq!(whole(&more).len(), around + most + 1);
    } else {
        // On this board the limit of the reply is lower.
        assert_eq!((more.len(), more[0].matches('z').count()), (1, most.div_ceil(2)));
    }
}

#[test]
fn long_reply_that_finds_no_free_set_is_an_error() {
    if REPLY_BYTES <= CHUNK_PIECE_BYTES + 6 * REQUEST_ID_BYTES + 512 {
        // Such a board has no reply that is too long for one message.
        return;
    }
    let mut fixture = Fixture::new(4);
    let message = request("r", "services/clock/command", r#"{"cmd":"show"}"#);
    let (id, other) = (fixture.bound(ADMIN), fixture.bound(ADMIN));
    for set in 0..CHUNK_SETS {
        let part = format!(
            r#"{{"type":"con","data":{{"type":"chunk","data":{{"id":"{set}","part":0,"total":2,"data":"AAAA"}}}}}}"#
        );
        assert!(fixture.say(other, &part).is_empty());
    }
    let refused = run_command(&mut fixture, id, &message, CHUNK_PIECE_BYTES);
    assert!(refused.len() == 1 && refused[0].contains(r#"\"code\":\"17\""#), "{}", refused.len());
    fixture.server.release(other);
    assert!(run_command(&mut fixture, id, &message, CHUNK_PIECE_BYTES).len() > 1);
}

#[test]
fn form_has_its_parameters_and_no_more() {
    let mut fixture = Fixture::new(4);
    for (count, status) in [(PARAMETERS, "200"), (PARAMETERS + 1, "400")] {
        let id = fixture.connect();
        let more: String = (2..count).map(|number| format!("&p{number}=")).collect();
        let body = format!("serviceName=hello&sessionid={ADMIN}{more}");
        let head = format!("Host: h\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let response = fixture.http(id, &format!("POST /system.library/services/status HTTP/1.1\r\n{head}"));
        assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{response}");
        fixture.server.release(id);
    }
}

#[test]
fn peer_that_does_not_read_is_read_until_the_buffer_is_full() {
    let mut fixture = Fixture::new(4);
    let id = fixture.socket();
    let message = frame(&call("services/hello/status", ""));
    fixture.put(id, &message);
    let reply = fixture.get(id).len();
    let mut calls = 0;
    while fixture.server.state(id).receives {
        fixture.put(id, &message);
        calls += 1;
        assert!(calls * reply <= SEND_BYTES);
    }
    // No call starts without room for its answer.
    assert_eq!(calls, (SEND_BYTES - ANSWER_ROOM) / reply + 1);
    // The rest of the same read waits, and is answered when there is room.
    fixture.put(id, &message.repeat(3));
    assert_eq!(fixture.receive(id).len(), calls + 3);
    assert!(fixture.server.state(id).receives);
}

#[test]
fn largest_answer_leaves_room_for_the_closing_frame() {
    let mut fixture = Fixture::new(4);
    let id = fixture.socket();
    let message = frame(&call("services/hello/status", ""));
    fixture.put(id, &message);
    let reply = fixture.get(id).len();
    for _ in 0..(SEND_BYTES - ANSWER_ROOM) / reply {
        fixture.put(id, &message);
    }
    fixture.put(id, &frame(&call("services/clock/command", r#""cmd":"show","#)));
    let largest = CHUNK_PIECE_BYTES.min(REPLY_BYTES) - AROUND_OUTPUT;
    fixture.end_command("0", &vec![b'z'; largest]);
    fixture.server.shutdown(fixture.now, &mut fixture.system);
    let waiting = fixture.get(id);
    assert_eq!(waiting.iter().filter(|byte| **byte == b'z').count(), largest);
    // The closing frame, 1001 with its reason, is in the reserve.
    let close = b"\x88\x11\x03\xe9the server ends";
    assert!(waiting.ends_with(close), "{} bytes without a closing frame", waiting.len());
    assert!(waiting.len() - close.len() <= SEND_BYTES - SEND_RESERVE_BYTES, "{}", waiting.len());
}

#[test]
fn pushes_wait_beyond_their_backlog_and_not_before() {
    let pong = |text: String| format!(r#"{{"type":"con","data":{{"type":"ping","data":"{text}"}}}}"#);
    for (backlog, expected) in
        [(PUSH_BACKLOG_BYTES, &["started", "stopping"][..]), (PUSH_BACKLOG_BYTES + 1, &["stopping"])]
    {
        let mut fixture = Fixture::new(4);
        let (reader, caller) = (fixture.bound(ADMIN), fixture.socket());
        fixture.put(reader, &frame(&pong(String::new())));
        let least = fixture.get(reader).len();
        // In frames of 100 bytes, and a last one of what is left.
        let (count, last) = ((backlog - 100) / 100, 100 + backlog % 100);
        for length in core::iter::repeat_n(100, count).chain([last]) {
            assert!(length <= 2 + CONTROL_BYTES, "the header stays short");
            fixture.put(reader, &frame(&pong("x".repeat(length - least))));
        }
        fixture.say(caller, &call("services/start", r#""serviceName":"hello","#));
        fixture.say(caller, &call("services/stop", r#""serviceName":"hello","#));
        let received = fixture.receive(reader);
        let received: Vec<_> = received.iter().filter(|text| text.contains("service-change")).collect();
        assert_eq!(received.len(), expected.len(), "{received:?}");
        assert!(received.iter().zip(expected).all(|(text, state)| text.contains(state)), "{received:?}");
    }
}

#[test]
fn message_of_the_limit_is_accepted_in_fragments_and_one_more_byte_closes() {
    let cx = request("r", "services/hello/start", r#"{"note":""}"#).len();
    for (length, expected) in [(MESSAGE_BYTES, "pong"), (MESSAGE_BYTES + 1, "close 1009")] {
        let mut fixture = Fixture::new(4);
        let id = fixture.socket();
        let note = format!(r#"{{"note":"{}"}}"#, "x".repeat(length - cx));
        let message = request("r", "services/hello/start", &note);
        assert_eq!(message.len(), length);
        let mut bytes = Vec::new();
        for (number, piece) in message.as_bytes().chunks(50).enumerate() {
            bytes.extend([if number == 0 { 0x01 } else { 0x00 }, 0x80 | piece.len() as u8, 0, 0, 0, 0]);
            bytes.extend(piece);
        }
        // The longest ping, before the last, empty fragment.
        bytes.extend([0x89, 0x80 | CONTROL_BYTES as u8, 0, 0, 0, 0]);
        bytes.extend([b'p'; CONTROL_BYTES]);
        bytes.extend([0x80, 0x80, 0, 0, 0, 0]);
        assert!(length + CONTROL_BYTES < RECEIVE_BYTES);
        // The message exceeds the buffer, so it is received in several pieces.
        for piece in bytes.chunks(RECEIVE_BYTES / 3) {
            if fixture.server.state(id).receives {
                fixture.put(id, piece);
            }
        }
        let all = fixture.receive(id);
        assert_eq!(all[0], expected);
        assert_eq!(all.get(1).is_some_and(|reply| reply.contains(r#""requestid":"r""#)), expected == "pong");
        assert_eq!(fixture.system.next_pid, u32::from(expected == "pong"));
    }
}

/// Returns the answer to a login over HTTP; empty while the password is checked.
fn login(fixture: &mut Fixture, name: &str, password: &str, device: &str) -> (SlotId, String) {
    let id = fixture.connect();
    let body = format!("username={name}&password={password}&deviceid={device}");
    let head = format!("Host: h\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let response = fixture.http(id, &format!("POST /system.library/login HTTP/1.1\r\n{head}"));
    (id, response)
}

#[test]
fn parts_of_a_login_up_to_their_limits_are_accepted() {
    let mut fixture = Fixture::new(4);
    let (name, password, device) =
        ("n".repeat(USER_NAME_BYTES), "p".repeat(PASSWORD_BYTES), "d".repeat(DEVICE_ID_BYTES));
    let (id, nothing_yet) = login(&mut fixture, "admin", &password, &device);
    assert_eq!(nothing_yet, "");
    fixture.check_password(true);
    assert!(String::from_utf8(fixture.get(id)).unwrap().contains(r#""username":"admin""#));
    // No user has this name, and the check lasts as long as that of a wrong password.
    assert_eq!(login(&mut fixture, &name, "x", "d").1, "");
    assert_eq!(fixture.system.checks.len(), 1);
    fixture.check_password(false);
    let wrong = r#"Account blocked until: 0", "code":"6""#;
    for (name, password, device, answer) in [
        (&*format!("{name}n"), "x", "d", wrong),
        ("admin", &*format!("{password}p"), "d", wrong),
        ("admin", "x", &*format!("{device}d"), "Function login returned: 22"),
        ("admin", "x", "%E2%80%AE", "Function login returned: 22"),
    ] {
        let (id, refused) = login(&mut fixture, name, password, device);
        assert!(refused.contains(answer), "{refused}");
        fixture.server.release(id);
    }
    assert!(fixture.system.checks.is_empty(), "what is too long is not checked");
}

#[test]
fn block_ends_after_its_time() {
    let mut fixture = Fixture::new(4);
    for attempt in 1..=LOCKOUT_ATTEMPTS {
        let (id, _) = login(&mut fixture, "admin", "x", "d");
        fixture.check_password(false);
        let refused = String::from_utf8(fixture.get(id)).unwrap();
        assert_eq!(refused.contains("until: 0\""), attempt < LOCKOUT_ATTEMPTS, "{refused}");
        fixture.server.release(id);
    }
    fixture.now += LOCKOUT_FIRST - MOMENT;
    let (id, blocked) = login(&mut fixture, "admin", "x", "d");
    assert!(blocked.contains("Account blocked until: 1000001"), "{blocked}");
    fixture.server.release(id);
    fixture.now += MOMENT;
    assert_eq!(login(&mut fixture, "admin", "x", "d").1, "");
}

#[test]
fn socket_without_a_session_is_closed_after_its_time() {
    let mut fixture = Fixture::new(2);
    let id = fixture.socket();
    fixture.pass(PING_INTERVAL);
    fixture.pass(SESSION_TIMEOUT - PING_INTERVAL - MOMENT);
    assert_eq!(fixture.receive(id), ["ping"]);
    fixture.pass(MOMENT);
    assert_eq!(fixture.receive(id), ["close 1008"]);
}

#[test]
fn peer_that_does_not_read_is_closed_after_the_send_timeout() {
    let mut fixture = Fixture::new(4);
    let (reader, caller) = (fixture.bound(ADMIN), fixture.socket());
    fixture.say(caller, &call("services/start", r#""serviceName":"hello","#));
    // The push came before the start settled.
    fixture.pass(SEND_TIMEOUT - START_SETTLE - MOMENT);
    assert_eq!(fixture.server.state(reader).finish, None);
    fixture.pass(MOMENT);
    assert_eq!(fixture.server.state(reader).finish, Some(Finish::Graceful));
    assert_eq!(fixture.receive(reader).last().unwrap(), "close 1013");
}

#[test]
fn call_times_out_after_the_answer_timeout() {
    let mut fixture = Fixture::new(4);
    let id = fixture.bound(ADMIN);
    let message = request("r", "services/clock/command", r#"{"cmd":"show"}"#);
    assert!(fixture.say(id, &message).is_empty());
    fixture.pass(PING_INTERVAL);
    fixture.pass(ANSWER_TIMEOUT - PING_INTERVAL - MOMENT);
    assert_eq!(fixture.receive(id), ["ping"]);
    fixture.pass(MOMENT);
    assert!(fixture.receive(id)[0].contains("Function command returned: 110"));
}
