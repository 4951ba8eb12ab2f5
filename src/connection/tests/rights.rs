//! Rights of sessions, and their end.

use core::net::IpAddr;
use core::time::Duration;

use super::fixture::{ADMIN, ANNA, Fixture, upgrade};
use crate::api::calls::NAME;
use crate::api::{Board, CALLS, Effect, Handler};
use crate::connection::{Peer, SESSION_TIMEOUT, SlotId};
use crate::friendcore::SHARED_CHUNK_SETS;
use crate::limits::{CHUNK_SETS, PASSWORD_CHECKS, SESSIONS};

const KILLED: &str = r#"{"type":"msg","data":{"type":"server-notice","data":"session killed"}}"#;

/// Returns a call without a session, which uses that of the socket.
const VALIDATE: &str =
    r#"{"type":"msg","data":{"type":"request","requestid":"r1","path":"system.library/validate","data":{}}}"#;

const LOGIN: &str =
    r#"<!--"MSG"--"44"--"system.library/login"-->{ "username":"admin", "password":"x" }<--!>"#;

fn start(session: &str) -> String {
    format!(
        r#"<!--"MSG"--"1"--"system.library/services/start"-->{{"serviceName":"hello","sessionid":"{session}"}}<--!>"#
    )
}

#[test]
fn socket_of_a_displaced_session_is_notified_and_unbound() {
    let mut fixture = Fixture::new(4);
    let first = fixture.login("anna", "first");
    let id = fixture.bound(&first);
    assert!(fixture.say(id, VALIDATE)[0].contains(r#"\"response\":\"true\""#));
    fixture.now += Duration::from_secs(1);
    for device in 0..SESSIONS {
        fixture.login("anna", &device.to_string());
        // The others have sockets, too.
        let (sessions, now) = (&mut fixture.server.api.accounts.sessions, fixture.now);
        let keys: Vec<_> = sessions.iter().map(|(key, _)| key).collect();
        sessions.set_bound(keys.into_iter(), now);
    }
    assert_eq!(fixture.receive(id), [KILLED]);
    let refused = fixture.say(id, VALIDATE);
    assert!(refused[0].contains("sessionid or authid parameter is missing"), "{refused:?}");
    let other = fixture.socket();
    fixture.say(other, &start(ADMIN));
    assert!(fixture.receive(id).is_empty());
}

#[test]
fn expired_session_has_no_rights_before_it_is_ended() {
    let mut fixture = Fixture::new(4);
    let session = fixture.login("admin", "d");
    let id = fixture.bound(&session);
    // The next tick will end it.
    fixture.now += Duration::from_secs(10_800);
    let refused = fixture.say(id, VALIDATE);
    assert!(refused[0].contains("sessionid or authid parameter is missing"), "{refused:?}");
}

#[test]
fn administrators_slot_is_not_kept_by_the_session_of_a_user() {
    let envelope = |kind: &str, path: &str| {
        format!(
            r#"{{"type":"msg","data":{{"type":"{kind}","requestid":"r","path":"{path}","sessionid":"{ANNA}"}}}}"#
        )
    };
    for text in [
        envelope("event", "system.library/validate"),
        envelope("request", "other.library/validate"),
        envelope("request", "system.library/login"),
        envelope("request", "system.library/a/b/c/d/e/f"),
    ] {
        let mut fixture = Fixture::new(3);
        let _connected = (fixture.bound(ANNA), fixture.bound(ANNA));
        let id = fixture.socket();
        let mut received = fixture.say(id, &text);
        fixture.now += Duration::from_secs(1);
        // It has no identity: the first eviction is its.
        while let Some(other) = fixture.try_connect() {
            fixture.http(other, &upgrade("/fcws"));
        }
        received.extend(fixture.receive(id));
        assert_eq!(received.last().map(String::as_str), Some("close 1013"), "{text}");
    }
}

/// A socket that logged in one second before its deadline.
fn log_in_a_second_before(is_right: bool) -> (Fixture, SlotId) {
    let mut fixture = Fixture::new(4);
    let id = fixture.socket();
    fixture.pass(SESSION_TIMEOUT - Duration::from_secs(1));
    fixture.say(id, LOGIN);
    fixture.check_password(is_right);
    fixture.receive(id);
    (fixture, id)
}

#[test]
fn refused_login_does_not_extend_the_deadline() {
    let (mut fixture, id) = log_in_a_second_before(false);
    fixture.pass(Duration::from_secs(1));
    assert!(fixture.receive(id)[0].starts_with("close "));
}

#[test]
fn accepted_login_extends_the_deadline() {
    let (mut fixture, id) = log_in_a_second_before(true);
    fixture.pass(SESSION_TIMEOUT - Duration::from_secs(1));
    assert!(fixture.receive(id).iter().all(|text| text == "ping"));
    fixture.pass(Duration::from_secs(1));
    assert!(fixture.receive(id).iter().any(|text| text.starts_with("close ")));
}

#[test]
fn login_of_a_closed_connection_is_not_checked() {
    let mut fixture = Fixture::new(4);
    let id = fixture.socket();
    let event = r#"{"type":"msg","data":{"type":"event","path":"system.library/login","data":{"username":"admin","password":"x","deviceid":"d"}}}"#;
    assert!(fixture.say(id, event).is_empty());
    assert!(fixture.system.checks.is_empty());
}

#[test]
fn pending_pushes_go_to_users_of_the_service() {
    let mut fixture = Fixture::new(4);
    let (id, other) = (fixture.bound(ADMIN), fixture.socket());
    let clock = start(ADMIN).replace("hello", "clock");
    for round in 0..20 {
        fixture.say(other, &clock);
        fixture.exit(1234 + round, crate::service::Exit::Code(0));
    }
    fixture.say(other, &clock);
    // With its pushes pending, the socket is bound to a user who may not control the clock.
    fixture.put(id, &super::fixture::frame(&format!(r#"<!--"CON"--"0"--"{ANNA}"-->"#)));
    let received = fixture.receive(id);
    assert!(!received.is_empty() && received.iter().all(|text| !text.contains("1254")), "{received:?}");
}

#[test]
fn chunks_need_a_session() {
    let mut fixture = Fixture::new(8);
    let (unauthenticated, named) = (fixture.socket(), fixture.bound(ANNA));
    let chunk = |id: usize| {
        format!(
            r#"{{"type":"con","data":{{"type":"chunk","data":{{"id":"{id}","part":0,"total":2,"data":"e30="}}}}}}"#
        )
    };
    let refused = [r#"{"type":"msg","data":{"type":"error","data":{"requestid":"(null)"}}}"#];
    for id in 0..=CHUNK_SETS {
        assert_eq!(fixture.say(unauthenticated, &chunk(id)), refused);
    }
    // A user has a share of them, on all sockets together; an administrator has the rest.
    let (another, admin) = (fixture.bound(ANNA), fixture.bound(ADMIN));
    let share = SHARED_CHUNK_SETS.div_ceil(2);
    for id in 0..share {
        assert!(fixture.say(if id == 0 { named } else { another }, &chunk(id)).is_empty());
    }
    for id in [named, another] {
        assert_eq!(fixture.say(id, &chunk(share)), refused);
    }
    for id in share..CHUNK_SETS {
        assert!(fixture.say(admin, &chunk(id)).is_empty());
    }
    assert_eq!(fixture.say(admin, &chunk(CHUNK_SETS)), refused);
}

#[test]
fn one_address_uses_half_of_the_password_queue() {
    let mut fixture = Fixture::new(PASSWORD_CHECKS + 4);
    let body = "username=nobody&password=x&deviceid=d";
    let login = format!(
        "POST /system.library/login HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    // Whether they wait for the answer or not.
    for _ in 0..PASSWORD_CHECKS.div_ceil(2) {
        let id = fixture.connect();
        fixture.put(id, login.as_bytes());
        fixture.server.release(id);
    }
    let id = fixture.connect();
    assert!(fixture.http(id, &login).contains(r#""code":"17""#));
    let other = IpAddr::from([192, 0, 2, 2]);
    let id = fixture.server.claim(Peer::Network(other), fixture.now).unwrap();
    assert!(fixture.http(id, &login).is_empty());
    // A verdict makes room again, even after the end of its connection.
    for _ in 0..2 {
        fixture.system.checks.rotate_left(1);
        fixture.check_password(false);
    }
    let id = fixture.connect();
    assert!(fixture.http(id, &login).is_empty());
}

#[test]
fn addresses_that_guess_leave_a_place_in_the_password_queue() {
    for hosts in 2..PASSWORD_CHECKS as u8 - 1 {
        let mut fixture = Fixture::new(PASSWORD_CHECKS + 4);
        let mut ask = |host: u8| {
            let peer = Peer::Network(IpAddr::from([192, 0, 2, host]));
            let id = fixture.server.claim(peer, fixture.now).expect("a slot");
            let body = "username=nobody&password=x&deviceid=d";
            let head = format!("Host: h\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            let answer = fixture.http(id, &format!("POST /system.library/login HTTP/1.1\r\n{head}"));
            fixture.server.release(id);
            answer.is_empty()
        };
        // Each asks again whenever it was refused, one after the other.
        let asked = (0..3 * PASSWORD_CHECKS as u8).filter(|number| ask(number % hosts)).count();
        assert!(asked >= usize::from(hosts) && asked < PASSWORD_CHECKS, "{asked} of {hosts}");
        assert!(ask(100), "{hosts} addresses");
    }
}

#[test]
fn last_place_of_the_password_queue_is_for_a_user_who_has_logged_in_from_there() {
    let mut fixture = Fixture::new(PASSWORD_CHECKS + 4);
    let ask = |fixture: &mut Fixture, host: u8, name: &str| {
        let peer = Peer::Network(IpAddr::from([192, 0, 2, host]));
        let id = fixture.server.claim(peer, fixture.now).expect("a slot");
        let body = format!("username={name}&password=x&deviceid=d");
        let head = format!("Host: h\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        (id, fixture.http(id, &format!("POST /system.library/login HTTP/1.1\r\n{head}")).is_empty())
    };
    let (id, is_asked) = ask(&mut fixture, 1, "admin");
    fixture.check_password(true);
    fixture.server.release(id);
    assert!(is_asked);
    let mut ask = |host: u8, name: &str| {
        let (id, is_asked) = ask(&mut fixture, host, name);
        fixture.server.release(id);
        is_asked
    };
    // From many addresses, that of the administrator among them.
    let asked = (0..50).filter(|host| ask(*host, "nobody")).count();
    assert_eq!(asked, PASSWORD_CHECKS - 1);
    for (host, name, is_asked) in
        [(99, "admin", false), (1, "nobody", false), (1, "admin", true), (1, "admin", false)]
    {
        assert_eq!(ask(host, name), is_asked, "{name} at {host}");
    }
}

#[test]
fn unknown_user_costs_as_much_as_a_known_one() {
    let mut fixture = Fixture::new(4);
    let id = fixture.socket();
    fixture.say(id, LOGIN);
    fixture.check_password(false);
    fixture.say(id, &LOGIN.replace("admin", "nobody"));
    assert_eq!(fixture.system.rounds, [1, 1]);
}

#[test]
fn socket_of_an_ended_session_needs_another() {
    let mut fixture = Fixture::new(6);
    let session = fixture.login("anna", "d");
    let (caller, kept) = (fixture.socket(), fixture.socket());
    let id = fixture.connect();
    fixture.http(id, &upgrade(&format!("/fcws?sessionid={session}")));
    for socket in [caller, kept] {
        fixture.say(socket, &start(&session));
    }
    fixture.say(kept, &format!(r#"<!--"CON"--"0"--"{ANNA}"-->"#));
    fixture.pass(SESSION_TIMEOUT);
    for socket in [caller, id, kept] {
        assert_eq!(fixture.receive(socket), ["ping"]);
    }
    fixture.say(kept, &start(&session).replace("services/start", "user/logout"));
    fixture.pass(SESSION_TIMEOUT);
    assert_eq!(fixture.receive(caller), ["ping", "close 1008"]);
    assert_eq!(fixture.receive(id), ["ping", "close 1008"]);
    assert_eq!(fixture.receive(kept), ["ping"]);
}

/// A viewer of `hello`.
const VIEWER: &str = "[[user]]\nname = \"eve\"\nlevel = \"viewer\"\nservices = [\"hello\"]\n";

#[test]
fn viewer_makes_the_calls_that_read_and_no_others() {
    let mut fixture = Fixture::with_tables(4, Board::default(), VIEWER);
    let session = fixture.login("eve", "d");
    for row in CALLS {
        let path = row.path.join("/").replace(NAME, "hello");
        let is_permitted = match row.handler {
            Handler::Public(_) => continue,
            Handler::Own(_) => true,
            Handler::Session(_) | Handler::Service(_) => row.effect == Effect::Reads,
            Handler::Verb(_) | Handler::Administrator(_) => false,
        };
        // A session that its own log-out ends is not that of the next row.
        let session = if is_permitted { fixture.login("eve", &path) } else { session.clone() };
        let id = fixture.socket();
        let call = format!(r#"<!--"MSG"--"1"--"system.library/{path}"-->{{"sessionid":"{session}"}}<--!>"#);
        let answer = fixture.say(id, &call);
        let is_refused = answer.iter().any(|text| text.contains(r#""code":"4""#));
        assert_eq!(is_refused, !is_permitted, "{path}: {answer:?}");
        fixture.server.release(id);
    }
    assert!(fixture.system.processes.is_empty() && fixture.system.writes.is_empty(), "nothing changed");
}

#[test]
fn viewer_sees_the_changes_of_the_granted_services_alone() {
    let mut fixture = Fixture::with_tables(4, Board::default(), VIEWER);
    let session = fixture.login("eve", "d");
    let id = fixture.bound(&session);
    let other = fixture.socket();
    fixture.say(other, &start(ADMIN));
    let pushed = fixture.receive(id);
    assert!(pushed.iter().any(|text| text.contains(r#""service":"hello","state":"started""#)), "{pushed:?}");
    fixture.say(other, &start(ADMIN).replace("hello", "clock"));
    assert!(fixture.receive(id).is_empty());
    let list = fixture.say(id, &start(&session).replace("start", "list"));
    assert!(list[0].contains("hello") && !list[0].contains("clock"), "{list:?}");
    let hidden = fixture.say(id, &start(&session).replace("start", "status").replace("hello", "clock"));
    assert!(hidden[0].contains(r#""code":"4""#), "{hidden:?}");
}

/// `[[token]]` of a user, with these keys.
fn token(user: &str, token: &str, keys: &str) -> String {
    let hash = ring::digest::digest(&ring::digest::SHA256, token.as_bytes());
    let hash = base16ct::lower::encode_string(hash.as_ref());
    format!("[[token]]\nuser = \"{user}\"\n  sha256 = \"{hash}\"\n{keys}\n")
}

#[test]
fn token_ends_at_its_time_in_calls_and_on_sockets() {
    let tables = token("anna", "old", "expires = 2027-01-01T00:00:00Z");
    let mut fixture = Fixture::with_tables(6, Board::default(), &tables);
    let end = 1_798_761_600;
    let other = fixture.socket();
    let is_valid = |fixture: &mut Fixture| {
        let answer = fixture.say(other, &start("old"));
        answer == [r#"{ "Status": "ok"}"#]
    };
    assert!(!is_valid(&mut fixture), "the time of day is unknown");
    fixture.system.time_of_day = Some(end - 1);
    assert!(is_valid(&mut fixture));
    let id = fixture.bound("old");
    assert!(fixture.say(id, VALIDATE)[0].contains(r#"\"response\":\"true\""#));
    fixture.system.time_of_day = Some(end);
    let refused = fixture.say(id, VALIDATE);
    assert!(refused[0].contains("sessionid or authid parameter is missing"), "{refused:?}");
    assert!(!is_valid(&mut fixture));
    fixture.pass(Duration::from_millis(1));
    assert_eq!(fixture.receive(id), [KILLED.replace("killed", "timeout")]);
    let late = fixture.bound("old");
    fixture.pass(SESSION_TIMEOUT);
    assert!(fixture.receive(late).iter().any(|text| text == "close 1008"));
}

#[test]
fn token_that_reads_changes_nothing() {
    let tables =
        token("admin", "reads", "scope = \"read\"") + &token("admin", "some", "services = [\"hello\"]");
    let mut fixture = Fixture::with_tables(4, Board::default(), &tables);
    let id = fixture.socket();
    let mut is_refused = |session: &str, path: &str, rest: &str| {
        let call =
            format!(r#"<!--"MSG"--"1"--"system.library/{path}"-->{{"sessionid":"{session}"{rest}}}<--!>"#);
        let answer = fixture.say(id, &call);
        assert_eq!(answer.len(), 1, "{path}");
        answer[0].contains(r#""code":"4""#)
    };
    for (path, rest) in [
        ("services/hello/start", ""),
        ("board/log", r#","level":"debug""#),
        ("board/configuration", r#","text":"x""#),
        ("board/reload", ""),
        ("user/unlock", ""),
        ("user/updatepassword", r#","username":"anna","password":"long enough""#),
    ] {
        assert!(is_refused("reads", path, rest), "{path}");
        assert!(path.starts_with("services") || is_refused("some", path, rest), "{path}");
    }
    for path in ["services/hello/status", "services/clock/status", "board/status", "board/log"] {
        assert!(!is_refused("reads", path, ""), "{path}");
    }
    for (path, is_permitted) in
        [("services/hello/stop", true), ("services/clock/status", false), ("board/status", false)]
    {
        assert_eq!(is_refused("some", path, ""), !is_permitted, "{path}");
    }
    assert!(fixture.system.processes.is_empty() && fixture.system.reloads.is_empty());
}

#[test]
fn token_does_not_know_the_operations_of_other_services() {
    let mut fixture =
        Fixture::with_tables(4, Board::default(), &token("admin", "some", "services = [\"clock\"]"));
    let id = fixture.socket();
    let started = start(ADMIN).replace("{\"serviceName\"", "{\"operation\":\"op-1\",\"serviceName\"");
    assert_eq!(fixture.say(id, &started), [r#"{ "Status": "ok"}"#]);
    for (session, is_known) in [(ADMIN, true), ("some", false)] {
        for path in ["list", "wait"] {
            let call = format!(
                r#"<!--"MSG"--"1"--"system.library/operations/{path}"-->{{"operation":"op-1","sessionid":"{session}"}}<--!>"#
            );
            let answer = fixture.say(id, &call);
            let is_there = answer[0].contains("op-1") || answer[0] == r#"{ "Status": "ok"}"#;
            assert_eq!(is_there, is_known, "{path}: {answer:?}");
        }
    }
}
