//! Pairing of client certificates, and what a paired one may do.

use core::time::Duration;

use super::fixture::{ADMIN, ANNA, Fixture, upgrade};
use crate::connection::{Finish, Settings, SlotId};
use crate::session::{LOCKOUT_TIME, PAIRED_KEYS, PAIRING_RETRY, PAIRING_TIME};

const OK: &str = r#"{ "Status": "ok"}"#;
const KILLED: &str = r#"{"type":"msg","data":{"type":"server-notice","data":"session killed"}}"#;

/// Server whose clients can show certificates.
fn fixture(slots: usize) -> Fixture {
    let mut fixture = Fixture::new(slots);
    fixture.server.api.pairing.has_tls = true;
    fixture
}

/// Answer with the user of the window, or of the key.
fn ok_of(user: &str) -> String {
    format!(r#"{{ "Status": "ok", "User": "{user}"}}"#)
}

/// Connection with a client certificate that has this key.
fn connect(fixture: &mut Fixture, key: u8) -> SlotId {
    let id = fixture.connect();
    fixture.server.handle_client_key(id, &[key; 32]);
    id
}

/// Makes a call by POST on a connection of its own, and returns the body of its answer.
fn post(fixture: &mut Fixture, id: SlotId, path: &str, form: &str) -> String {
    let length = form.len();
    let head = format!("POST /system.library/{path} HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n");
    let response = fixture.http(id, &(head + form));
    fixture.server.release(id);
    response.split_once("\r\n\r\n").unwrap().1.to_owned()
}

/// A call by an administrator.
fn admin(fixture: &mut Fixture, path: &str, form: &str) -> String {
    let id = fixture.connect();
    post(fixture, id, path, &format!("sessionid={ADMIN}&{form}"))
}

/// The call of a client with this key.
fn pair(fixture: &mut Fixture, key: u8) -> String {
    let id = connect(fixture, key);
    post(fixture, id, "user/pair", "deviceid=panel")
}

/// A call of a client with this key and without a session.
fn call(fixture: &mut Fixture, key: u8, path: &str) -> String {
    let id = connect(fixture, key);
    post(fixture, id, path, "")
}

/// Answer with the user and the key of the window.
fn only_of(user: &str, key: u8) -> String {
    let digits = format!("{key:02X}").repeat(8);
    format!(r#"{{ "Status": "ok", "User": "{user}", "Key": "{digits}"}}"#)
}

/// Opens the window for this key alone.
fn open_for(fixture: &mut Fixture, user: &str, key: u8) -> String {
    let digits = format!("{key:02X}").repeat(8);
    admin(fixture, "board/pair", &format!("username={user}&key={digits}"))
}

/// It polled from as many addresses as it had, and was paired before the panel.
#[test]
fn client_that_asks_before_the_window_is_open_does_not_win_it() {
    let mut fixture = fixture(4);
    let faster = "could be faster than yours";
    assert!(pair(&mut fixture, 1).contains(NOT_OPEN));
    assert!(admin(&mut fixture, "board/pair", "username=anna").contains(faster));
    assert!(!fixture.server.is_pairing());
    assert_eq!(open_for(&mut fixture, "anna", 2), only_of("anna", 2));
    assert!(pair(&mut fixture, 1).contains(NOT_OPEN), "not the one that was named");
    assert_eq!(pair(&mut fixture, 2), ok_of("anna"));
    // Without a certificate, too: it would show one to the open window.
    fixture.pass(PAIRING_TIME);
    let id = fixture.connect();
    assert!(post(&mut fixture, id, "user/pair", "").contains(NOT_OPEN));
    fixture.pass(PAIRING_TIME - Duration::from_nanos(1));
    assert!(admin(&mut fixture, "board/pair", "username=anna").contains(faster));
    fixture.pass(Duration::from_nanos(1));
    assert_eq!(admin(&mut fixture, "board/pair", "username=anna"), ok_of("anna"));
    assert_eq!(pair(&mut fixture, 3), ok_of("anna"));
    for key in ["0".repeat(15), "0".repeat(65), "g".repeat(16)] {
        let answer = admin(&mut fixture, "board/pair", &format!("username=anna&key={key}"));
        assert!(answer.contains("of 16 hexadecimal digits or more"), "{answer}");
    }
}

/// It opened the window for all of them.
#[test]
fn empty_key_opens_no_window_and_that_of_an_open_one_is_shown() {
    let mut fixture = fixture(4);
    let answer = admin(&mut fixture, "board/pair", "username=anna&key=");
    assert!(answer.contains("of 16 hexadecimal digits or more"), "{answer}");
    assert!(!fixture.server.is_pairing());
    assert_eq!(open_for(&mut fixture, "anna", 0xA1), only_of("anna", 0xA1));
    let shown = r#"{ "Status": "ok", "Pairing": "anna", "PairingKey": "A1A1A1A1A1A1A1A1", "Sessions""#;
    assert!(admin(&mut fixture, "sessions/list", "").starts_with(shown));
    assert_eq!(admin(&mut fixture, "board/pair", "username=&key="), r#"{ "Status": "ok", "Closed": "anna"}"#);
    assert_eq!(admin(&mut fixture, "board/pair", "username=anna"), ok_of("anna"));
    assert!(!admin(&mut fixture, "sessions/list", "").contains("PairingKey"));
}

/// It was refused as one that guesses, by the attempts of others or of its own.
#[test]
fn named_key_is_paired_whatever_was_guessed() {
    let mut fixture = fixture(4);
    while pair(&mut fixture, 1).contains(NOT_OPEN) {}
    assert_eq!(open_for(&mut fixture, "anna", 2), only_of("anna", 2));
    assert!(pair(&mut fixture, 1).contains("blocked until"));
    assert_eq!(pair(&mut fixture, 2), ok_of("anna"));
}

/// It was paired, and the message said that it would not be.
#[test]
fn connection_of_before_the_window_is_not_paired_in_it() {
    let mut fixture = fixture(4);
    paired(&mut fixture, "admin", 9);
    let id = connect(&mut fixture, 1);
    fixture.pass(Duration::from_nanos(1));
    assert_eq!(admin(&mut fixture, "board/pair", "username=anna"), ok_of("anna"));
    assert!(post(&mut fixture, id, "user/pair", "").contains("connected before the window"));
    assert_eq!(pair(&mut fixture, 1), ok_of("anna"), "it connects again");
}

/// Its attempt kept others from being paired for two minutes.
#[test]
fn client_that_is_paired_already_is_answered_with_its_user_and_is_not_early() {
    let mut fixture = fixture(4);
    paired(&mut fixture, "anna", 1);
    for _ in 0..9 {
        assert_eq!(pair(&mut fixture, 1), ok_of("anna"));
    }
    assert_eq!(admin(&mut fixture, "board/pair", "username=admin"), ok_of("admin"));
    assert_eq!(pair(&mut fixture, 2), ok_of("admin"));
    assert_eq!(open_for(&mut fixture, "admin", 3), only_of("admin", 3));
    assert_eq!(pair(&mut fixture, 1), ok_of("anna"), "in the window of another key, too");
    assert_eq!(keys(&fixture), [(1, "anna".to_owned()), (2, "admin".to_owned())]);
}

/// The answer was that of a log-out.
#[test]
fn paired_client_cannot_log_out() {
    let mut fixture = fixture(4);
    paired(&mut fixture, "anna", 1);
    let answer = call(&mut fixture, 1, "user/logout");
    assert!(answer.contains("a paired certificate has no session"), "{answer}");
    // It may end a session that it names.
    let session = fixture.login("anna", "d");
    let id = connect(&mut fixture, 1);
    assert!(!post(&mut fixture, id, "user/logout", &format!("sessionid={session}")).contains("returned"));
}

/// Pairs a key.
#[track_caller]
fn paired(fixture: &mut Fixture, user: &str, key: u8) {
    assert_eq!(admin(fixture, "board/pair", &format!("username={user}")), ok_of(user));
    assert_eq!(pair(fixture, key), ok_of(user));
}

fn keys(fixture: &Fixture) -> Vec<(u8, String)> {
    let pairing = &fixture.server.api.accounts.pairing;
    pairing.iter().map(|(_, paired)| (paired.key[0], paired.user.to_string())).collect()
}

const NO_SESSION: &str = r#""code":"3""#;
const NOT_OPEN: &str = "the window for pairing is not open";

#[test]
fn one_key_is_paired_in_the_window_and_acts_as_its_user() {
    let mut fixture = fixture(4);
    assert!(call(&mut fixture, 1, "services/list").contains(NO_SESSION));
    assert!(!fixture.server.is_pairing(), "clients are asked for nothing");
    assert_eq!(admin(&mut fixture, "board/pair", "username=anna"), ok_of("anna"));
    assert!(fixture.server.is_pairing());
    assert!(call(&mut fixture, 1, "services/list").contains(NO_SESSION), "shown, but not paired");
    assert_eq!(pair(&mut fixture, 1), ok_of("anna"), "it learns as whom");
    let stored: Vec<_> = fixture.system.paired.iter().map(|key| (key.key[0], key.device.as_str())).collect();
    assert_eq!(stored, [(1, "panel")], "on the disk before the answer");
    assert!(pair(&mut fixture, 2).contains(NOT_OPEN), "one for each window");
    assert!(call(&mut fixture, 2, "services/list").contains(NO_SESSION));
    // It has the rights of its user, and not more.
    assert!(call(&mut fixture, 1, "services/hello/start").contains("\"ok\""));
    assert!(call(&mut fixture, 1, "services/clock/start").contains(r#""code":"4""#));
    assert!(call(&mut fixture, 1, "board/status").contains(r#""code":"4""#));
    // A session counts before the certificate.
    let id = connect(&mut fixture, 1);
    assert!(post(&mut fixture, id, "board/status", &format!("sessionid={ADMIN}")).contains("\"Board\""));
    let id = connect(&mut fixture, 1);
    assert!(post(&mut fixture, id, "services/list", "sessionid=wrong").contains(r#""code":"11""#));
}

#[test]
fn socket_of_a_paired_client_receives_pushes_until_the_key_is_ended() {
    let mut fixture = fixture(6);
    paired(&mut fixture, "anna", 1);
    paired(&mut fixture, "anna", 2);
    let mut socket = |key| {
        let id = connect(&mut fixture, key);
        assert!(fixture.http(id, &upgrade("/fcws")).starts_with("HTTP/1.1 101 "));
        fixture.say(id, r#"{"type":"con","data":{"sessionId":""}}"#);
        // It needs no session: no deadline ends it.
        fixture.pass(crate::ws::PING_INTERVAL);
        fixture.pass(crate::connection::SESSION_TIMEOUT - crate::ws::PING_INTERVAL);
        fixture.receive(id);
        id
    };
    let [first, second] = [1, 2].map(&mut socket);
    let start = |session: &str| {
        format!(r#"<!--"MSG"--"1"--"system.library/services/hello/start"-->{{"sessionid":"{session}"}}<--!>"#)
    };
    let messages = fixture.say(first, &start(""));
    assert!(messages.iter().any(|message| message.contains("service-change")), "{messages:?}");
    fixture.receive(second);
    let list = call(&mut fixture, 2, "sessions/list");
    let entry = |digits: &str, own| {
        format!(
            r#"{{"Session": "{digits}", "User": "anna", "Device": "panel", "Paired": true, "Own": {own}}}"#
        )
    };
    let [of_first, of_second] = [entry("0101010101010101", false), entry("0202020202020202", true)];
    assert_eq!(list, format!(r#"{{ "Status": "ok", "Sessions": [{of_first},{of_second}]}}"#));
    // Another user ends none of them, and an administrator any.
    paired(&mut fixture, "admin", 3);
    assert!(call(&mut fixture, 1, "sessions/end?session=0303030303030303").contains("returned: 2"));
    assert_eq!(admin(&mut fixture, "sessions/end", "session=0101010101010101"), OK);
    assert_eq!(fixture.receive(first), [KILLED]);
    assert!(fixture.receive(second).is_empty());
    assert!(fixture.say(first, &start(""))[0].contains("could not find sessionid"));
    assert!(call(&mut fixture, 1, "services/list").contains(NO_SESSION));
    // And its own user, too.
    assert_eq!(call(&mut fixture, 2, "sessions/end?session=0202020202020202"), OK);
    assert_eq!(keys(&fixture), [(3, "admin".to_owned())]);
    assert_eq!(fixture.system.paired.len(), 1);
}

#[test]
fn paired_client_reads_metrics_and_a_stream_until_its_key_is_ended() {
    let mut fixture = fixture(6);
    paired(&mut fixture, "anna", 1);
    let mut get = |key, path| {
        let id = connect(&mut fixture, key);
        let request = format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n");
        (id, fixture.http(id, &request))
    };
    let (_, metrics) = get(1, "/metrics");
    assert!(metrics.contains("friendlet_service_up{service=\"hello\"} 0\n"), "{metrics}");
    assert!(
        !metrics.contains("clock") && !metrics.contains("friendlet_server_"),
        "those of its user: {metrics}"
    );
    let (id, stream) = get(1, "/api/v1/events");
    assert!(stream.starts_with("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"), "{stream}");
    assert!(stream.contains("\"hello\"") && !stream.contains("clock"), "{stream}");
    for path in ["/metrics", "/api/v1/events"] {
        assert!(get(2, path).1.starts_with("HTTP/1.1 401 "), "{path}: shown, but not paired");
    }
    assert_eq!(admin(&mut fixture, "sessions/end", "session=0101010101010101"), OK);
    assert_eq!(fixture.get(id), b"event: server-notice\ndata: \"session killed\"\n\n");
    assert_eq!(fixture.server.state(id).finish, Some(Finish::Graceful));
}

#[test]
fn window_that_nobody_uses_closes_after_its_time() {
    let mut fixture = fixture(4);
    assert_eq!(admin(&mut fixture, "board/pair", "username=anna"), ok_of("anna"));
    fixture.now += PAIRING_TIME - Duration::from_nanos(1);
    let due = fixture.server.poll_timeout().unwrap();
    assert!(due <= fixture.now + Duration::from_nanos(1), "{due:?}");
    fixture.pass(Duration::ZERO);
    assert!(fixture.server.is_pairing());
    fixture.pass(Duration::from_nanos(1));
    assert!(!fixture.server.is_pairing());
    assert!(pair(&mut fixture, 1).contains(NOT_OPEN));
}

#[test]
fn only_administrators_open_the_window_and_only_for_users_who_exist() {
    let mut fixture = fixture(4);
    for (session, form, code) in [(ANNA, "username=anna", 4), (ADMIN, "username=eve", 13), (ADMIN, "", 14)] {
        let id = fixture.connect();
        let answer = post(&mut fixture, id, "board/pair", &format!("sessionid={session}&{form}"));
        assert!(answer.contains(&format!(r#""code":"{code}""#)), "{answer}");
    }
    // Without a certificate, none is paired. Nor does a GET.
    assert_eq!(open_for(&mut fixture, "anna", 1), only_of("anna", 1));
    let id = fixture.connect();
    assert!(post(&mut fixture, id, "user/pair", "").contains("has shown no certificate"));
    let id = connect(&mut fixture, 1);
    let answer = fixture.http(id, "GET /system.library/user/pair HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(answer.contains(r#""code":"5""#), "{answer}");
}

#[test]
fn pairing_of_one_key_more_is_refused() {
    let mut fixture = fixture(4);
    for key in 0..PAIRED_KEYS as u8 {
        paired(&mut fixture, "anna", key);
    }
    let answer = admin(&mut fixture, "board/pair", "username=anna");
    assert!(answer.contains("end one with `sessions/end`"), "to try again would never help: {answer}");
    // One of them needs no further room.
    assert_eq!(open_for(&mut fixture, "admin", 5), only_of("admin", 5));
    assert_eq!(pair(&mut fixture, 5), ok_of("admin"));
    assert_eq!(admin(&mut fixture, "sessions/end", "session=0303030303030303"), OK);
    paired(&mut fixture, "admin", 99);
    assert_eq!(keys(&fixture).len(), PAIRED_KEYS);
}

#[test]
fn attempts_count_as_guesses_so_that_no_client_waits_for_the_window() {
    let mut fixture = fixture(4);
    fixture.login("admin", "d");
    let mut refused = 0;
    while pair(&mut fixture, 1).contains(NOT_OPEN) {
        refused += 1;
    }
    assert_eq!(refused, 3, "as many as of one name");
    assert_eq!(admin(&mut fixture, "board/pair", "username="), OK);
    assert_eq!(open_for(&mut fixture, "anna", 2), only_of("anna", 2));
    assert!(pair(&mut fixture, 1).contains("blocked until"));
    assert!(fixture.server.is_pairing(), "the window is still open for others");
    // From another address, and after the block.
    fixture.pass(PAIRING_TIME);
    assert_eq!(admin(&mut fixture, "board/pair", "username=anna"), ok_of("anna"));
    assert_eq!(pair(&mut fixture, 1), ok_of("anna"));
    // Who has logged in from there is not locked out.
    fixture.login("admin", "d");
}

#[test]
fn window_is_still_open_after_a_pairing_that_could_not_be_stored() {
    let mut fixture = fixture(4);
    paired(&mut fixture, "anna", 1);
    for is_queued in [true, false] {
        (fixture.system.is_full, fixture.system.refuses_writes) = (is_queued, !is_queued);
        let errno = if is_queued { 28 } else { 5 };
        assert_eq!(open_for(&mut fixture, "anna", 2), only_of("anna", 2));
        assert!(pair(&mut fixture, 2).contains(&format!("Function pair returned: {errno}")));
        assert!(!fixture.server.api.is_writing());
        fixture.system.writes.clear();
        assert_eq!(keys(&fixture), [(1, "anna".to_owned())]);
        (fixture.system.is_full, fixture.system.refuses_writes) = (false, false);
        assert_eq!(pair(&mut fixture, 2), ok_of("anna"), "without another window");
        assert!(pair(&mut fixture, 3).contains(NOT_OPEN));
        assert_eq!(admin(&mut fixture, "sessions/end", "session=0202020202020202"), OK);
    }
}

#[test]
fn end_of_a_key_on_a_full_disk_is_in_force_and_stored_later() {
    for is_queued in [true, false] {
        let mut fixture = fixture(6);
        paired(&mut fixture, "anna", 1);
        paired(&mut fixture, "anna", 2);
        let socket = connect(&mut fixture, 1);
        fixture.http(socket, &upgrade("/fcws"));
        fixture.say(socket, r#"{"type":"con","data":{"sessionId":""}}"#);
        let warned = fixture.bound(ADMIN);
        (fixture.system.is_full, fixture.system.refuses_writes) = (is_queued, !is_queued);
        let answer = admin(&mut fixture, "sessions/end", "session=0101010101010101");
        let errno = if is_queued { 28 } else { 5 };
        assert!(answer.contains(&format!("Function end returned: {errno}")), "{answer}");
        assert!(answer.contains("in force, but not stored"), "{answer}");
        assert_eq!(fixture.receive(socket), [KILLED]);
        assert!(call(&mut fixture, 1, "services/list").contains(NO_SESSION));
        let fails = "a certificate that was ended is accepted again if the server is restarted";
        assert!(admin(&mut fixture, "board/status", "").contains(fails));
        fixture.pass(Duration::ZERO);
        assert!(fixture.receive(warned).iter().any(|message| message.contains(fails)));
        // It is tried again, at intervals.
        fixture.system.writes.clear();
        for _ in 0..3 {
            fixture.pass(PAIRING_RETRY - Duration::from_nanos(1));
            assert!(fixture.system.writes.is_empty() && !fixture.server.api.is_writing());
            fixture.pass(Duration::from_nanos(1));
            fixture.settle();
        }
        assert!(!fixture.receive(warned).iter().any(|message| message.contains(fails)), "once");
        (fixture.system.is_full, fixture.system.refuses_writes) = (false, false);
        fixture.pass(PAIRING_RETRY);
        fixture.settle();
        assert_eq!(fixture.system.paired.len(), 1);
        assert!(!admin(&mut fixture, "board/status", "").contains(fails));
        fixture.pass(PAIRING_RETRY);
        assert!(fixture.system.writes.is_empty(), "not once more");
        assert_eq!(keys(&fixture), [(2, "anna".to_owned())]);
    }
}

#[test]
fn key_is_ended_while_another_write_is_under_way() {
    let mut fixture = fixture(6);
    paired(&mut fixture, "anna", 1);
    for is_full in [false, true] {
        assert_eq!(admin(&mut fixture, "board/pair", "username=anna"), ok_of("anna"));
        let request = b"POST /system.library/user/pair HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n";
        let id = connect(&mut fixture, 2);
        fixture.deliver(id, request);
        assert!(fixture.server.api.is_writing(), "a reload and an upgrade wait");
        assert_eq!(fixture.system.paired.len(), 2);
        // No success before it is on the disk.
        let again = connect(&mut fixture, 2);
        fixture.deliver(again, request);
        assert!(String::from_utf8(fixture.get(again)).unwrap().contains("fail<!--separate-->"));
        fixture.server.release(again);
        let (other, ended) = (fixture.connect(), if is_full { "02" } else { "01" }.repeat(8));
        let form = format!("sessionid={ADMIN}&session={ended}");
        let length = form.len();
        let request = format!(
            "POST /system.library/sessions/end HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n{form}"
        );
        fixture.deliver(other, request.as_bytes());
        let answer = String::from_utf8(fixture.get(other)).unwrap();
        assert!(answer.contains("in force, but not stored"), "{answer}");
        assert_eq!(keys(&fixture).len(), 1);
        fixture.system.is_full = is_full;
        fixture.settle();
        fixture.system.is_full = false;
        fixture.get(id);
        assert_eq!(fixture.server.poll_timeout().filter(|due| *due <= fixture.now), Some(fixture.now));
        fixture.pass(Duration::ZERO);
        fixture.settle();
        assert_eq!(fixture.system.paired.len(), keys(&fixture).len());
        fixture.server.release(id);
        fixture.server.release(other);
        let _ = admin(&mut fixture, "sessions/end", "session=0202020202020202");
        assert!(keys(&fixture).iter().all(|(key, _)| *key == 1));
        if !is_full {
            paired(&mut fixture, "anna", 1);
        }
    }
}

#[test]
fn keys_with_one_id_end_together_and_by_their_whole_hashes_alone() {
    let mut fixture = fixture(4);
    let mut other = [1; 32];
    other[31] = 2;
    let pair_both = |fixture: &mut Fixture| {
        paired(fixture, "anna", 1);
        assert_eq!(admin(fixture, "board/pair", "username=anna"), ok_of("anna"));
        let id = fixture.connect();
        fixture.server.handle_client_key(id, &other);
        assert_eq!(post(fixture, id, "user/pair", "deviceid=panel"), ok_of("anna"));
        assert_eq!(keys(fixture).len(), 2);
    };
    pair_both(&mut fixture);
    let first = "01".repeat(32);
    assert!(admin(&mut fixture, "sessions/end", "session=01010101").contains("returned: 2"), "too short");
    assert_eq!(admin(&mut fixture, "sessions/end", "session=0101010101010101"), OK);
    assert_eq!(keys(&fixture), []);
    pair_both(&mut fixture);
    // As `sha256sum` prints it.
    assert_eq!(admin(&mut fixture, "sessions/end", &format!("session={first}")), OK);
    assert_eq!(keys(&fixture).len(), 1);
    assert!(call(&mut fixture, 1, "services/list").contains(NO_SESSION));
    assert_eq!(fixture.system.paired[0].key, other);
}

#[test]
fn wrong_window_is_closed_and_one_that_another_replaces_is_named() {
    let mut fixture = fixture(4);
    assert_eq!(admin(&mut fixture, "board/pair", "username="), OK, "none was open");
    assert_eq!(admin(&mut fixture, "board/pair", "username=admin"), ok_of("admin"));
    assert!(
        admin(&mut fixture, "sessions/list", "")
            .starts_with(r#"{ "Status": "ok", "Pairing": "admin", "Sess"#)
    );
    let id = fixture.connect();
    let list = post(&mut fixture, id, "sessions/list", &format!("sessionid={ANNA}"));
    assert!(!list.contains("Pairing"), "that of another user: {list}");
    let replaced = r#"{ "Status": "ok", "User": "anna", "Closed": "admin"}"#;
    assert_eq!(admin(&mut fixture, "board/pair", "username=anna"), replaced);
    assert_eq!(admin(&mut fixture, "board/pair", "username="), r#"{ "Status": "ok", "Closed": "anna"}"#);
    assert!(!fixture.server.is_pairing());
    assert!(pair(&mut fixture, 1).contains(NOT_OPEN));
    assert!(!admin(&mut fixture, "sessions/list", "").contains("Pairing"));
    // One that is refused closes none.
    assert_eq!(open_for(&mut fixture, "admin", 1), only_of("admin", 1));
    assert!(admin(&mut fixture, "board/pair", "username=eve").contains(r#""code":"13""#));
    assert!(fixture.server.is_pairing());
}

#[test]
fn window_that_no_client_could_use_without_tls_is_refused() {
    let mut fixture = Fixture::new(4);
    let answer = admin(&mut fixture, "board/pair", "username=anna");
    assert!(answer.contains("[listen] tls is off"), "{answer}");
    assert!(!fixture.server.is_pairing());
}

#[test]
fn key_of_a_user_who_is_gone_proves_nobody() {
    let mut fixture = fixture(4);
    paired(&mut fixture, "anna", 1);
    let id = connect(&mut fixture, 1);
    fixture.http(id, &upgrade("/fcws"));
    fixture.say(id, r#"{"type":"con","data":{"sessionId":""}}"#);
    let accounts = &fixture.server.api.accounts;
    let before = accounts.users.clone();
    let mut without = crate::session::Users::new();
    without.push(before.get(before.find("admin").unwrap()).unwrap().clone()).unwrap();
    let settings = |users| Settings {
        users,
        tokens: crate::session::Tokens::new(),
        front: crate::http::Front::default(),
        session: (Duration::from_secs(60), Duration::MAX),
        lockout: (3, LOCKOUT_TIME),
        update: crate::config::Update::default(),
        kept: None,
    };
    fixture.server.set(settings(without), fixture.now, &mut fixture.system);
    let messages = fixture.receive(id);
    assert!(messages.iter().any(|message| message.contains("user removed")), "{messages:?}");
    assert!(messages.contains(&"close 1008".to_owned()), "{messages:?}");
    assert!(call(&mut fixture, 1, "services/list").contains(NO_SESSION));
    // The key stays, for the user may come back: a board may have fallen back to another file.
    fixture.server.set(settings(before), fixture.now, &mut fixture.system);
    assert!(call(&mut fixture, 1, "services/list").contains("hello"));
}

#[test]
fn key_that_is_paired_again_is_of_the_later_user() {
    let mut fixture = fixture(4);
    paired(&mut fixture, "admin", 1);
    let id = connect(&mut fixture, 1);
    fixture.http(id, &upgrade("/fcws"));
    fixture.say(id, r#"{"type":"con","data":{"sessionId":""}}"#);
    paired(&mut fixture, "anna", 1);
    assert_eq!(fixture.receive(id), [KILLED], "the rights of the earlier user end at once");
    assert_eq!(keys(&fixture), [(1, "anna".to_owned())]);
    assert!(call(&mut fixture, 1, "board/status").contains(r#""code":"4""#));
}

#[test]
fn paired_clients_have_the_slots_of_their_user() {
    let mut fixture = fixture(2);
    paired(&mut fixture, "anna", 1);
    paired(&mut fixture, "admin", 2);
    let mut socket = |key| {
        let id = connect(&mut fixture, key);
        let response = fixture.http(id, &upgrade("/fcws"));
        response.split(' ').nth(1).unwrap().to_owned()
    };
    assert_eq!([1, 1].map(&mut socket), ["101", "503"], "the last one is kept for an administrator");
    // Of whom a call is served, and a user's is not.
    assert!(call(&mut fixture, 2, "board/status").contains("\"Board\""));
    let id = connect(&mut fixture, 1);
    let request = "POST /system.library/services/list HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n";
    assert!(fixture.http(id, request).starts_with("HTTP/1.1 503 "));
}

#[test]
fn certificate_of_an_earlier_connection_is_not_that_of_the_next() {
    let mut fixture = fixture(4);
    paired(&mut fixture, "admin", 1);
    assert!(call(&mut fixture, 1, "board/status").contains("\"Board\""));
    for _ in 0..8 {
        let id = fixture.connect();
        assert!(post(&mut fixture, id, "board/status", "").contains(NO_SESSION));
    }
}

#[test]
fn strange_device_is_refused_and_leaves_the_window_open() {
    let mut fixture = fixture(4);
    assert_eq!(admin(&mut fixture, "board/pair", "username=anna"), ok_of("anna"));
    for device in ["a%0Ab", &"d".repeat(crate::limits::DEVICE_ID_BYTES + 1)] {
        let id = connect(&mut fixture, 1);
        let answer = post(&mut fixture, id, "user/pair", &format!("deviceid={device}"));
        assert!(answer.contains("Function pair returned: 22"), "{answer}");
    }
    assert_eq!(pair(&mut fixture, 1), ok_of("anna"));
}
