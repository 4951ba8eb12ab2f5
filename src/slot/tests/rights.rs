//! What a session is worth, and when it is worth nothing any more.

use core::net::IpAddr;
use core::time::Duration;

use super::world::{ANNA, FOUNDING, World};
use crate::limits::{ADMINISTRATOR_TIMEOUT, CHUNK_SETS, PASSWORD_CHECKS, SESSION_TIMEOUT, SESSIONS};

const KILLED: &str = r#"{"type":"msg","data":{"type":"server-notice","data":"session killed"}}"#;

/// Logs in over HTTP and gives the session.
fn login(world: &mut World, user: &str, device: &str) -> String {
    let id = world.connect();
    let body = format!("username={user}&password=x&deviceid={device}");
    let head =
        format!("POST /system.library/login HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", body.len());
    world.put(id, (head + &body).as_bytes());
    world.check_password(true);
    let response = String::from_utf8(world.get(id)).unwrap();
    world.server.release(id);
    response.split(r#""sessionid":""#).nth(1).unwrap().split('"').next().unwrap().to_owned()
}

/// A call that shows no session: the socket speaks for whom it is bound to.
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
fn socket_of_a_displaced_session_is_told_and_bound_no_more() {
    let mut world = World::new(4);
    let first = login(&mut world, "anna", "first");
    let id = world.bound(&first);
    assert!(world.say(id, VALIDATE)[0].contains(r#"\"response\":\"true\""#));
    world.now += Duration::from_secs(1);
    for device in 0..SESSIONS {
        login(&mut world, "anna", &device.to_string());
    }
    assert_eq!(world.hear(id), [KILLED]);
    let refused = world.say(id, VALIDATE);
    assert!(refused[0].contains("sessionid or authid parameter is missing"), "{refused:?}");
    let other = world.socket();
    world.say(other, &start(FOUNDING));
    assert!(world.hear(id).is_empty());
}

#[test]
fn session_past_its_time_counts_for_nothing_before_it_is_ended() {
    let mut world = World::new(4);
    let session = login(&mut world, "admin", "d");
    let id = world.bound(&session);
    // The next tick will end it.
    world.now += Duration::from_secs(10_800);
    let refused = world.say(id, VALIDATE);
    assert!(refused[0].contains("sessionid or authid parameter is missing"), "{refused:?}");
}

#[test]
fn administrators_slot_is_not_kept_by_the_session_of_somebody_else() {
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
        let mut world = World::new(3);
        let _tenants = (world.socket(), world.socket());
        let id = world.socket();
        let mut heard = world.say(id, &text);
        world.pass(ADMINISTRATOR_TIMEOUT);
        heard.extend(world.hear(id));
        assert_eq!(heard.last().map(String::as_str), Some("close 1013"), "{text}");
    }
}

#[test]
fn refused_login_buys_a_nameless_socket_no_time() {
    for (slots, patience) in [(4, SESSION_TIMEOUT), (2, ADMINISTRATOR_TIMEOUT)] {
        let mut world = World::new(slots);
        let _tenant = world.socket();
        let id = world.socket();
        world.pass(patience - Duration::from_secs(1));
        world.say(id, LOGIN);
        world.check_password(false);
        world.hear(id);
        world.pass(Duration::from_secs(1));
        assert!(world.hear(id)[0].starts_with("close "));
    }
}

#[test]
fn login_buys_a_nameless_socket_time_to_bind() {
    for (slots, patience) in [(4, SESSION_TIMEOUT), (2, ADMINISTRATOR_TIMEOUT)] {
        let mut world = World::new(slots);
        let _tenant = world.socket();
        let id = world.socket();
        world.pass(patience - Duration::from_secs(1));
        world.say(id, LOGIN);
        world.check_password(true);
        world.hear(id);
        world.pass(patience - Duration::from_secs(1));
        assert!(world.hear(id).iter().all(|text| text == "ping"));
        world.pass(Duration::from_secs(1));
        assert!(world.hear(id).iter().any(|text| text.starts_with("close ")));
    }
}

#[test]
fn login_that_nobody_waits_for_is_not_checked() {
    let mut world = World::new(4);
    let id = world.socket();
    let event = r#"{"type":"msg","data":{"type":"event","path":"system.library/login","data":{"username":"admin","password":"x","deviceid":"d"}}}"#;
    assert!(world.say(id, event).is_empty());
    assert!(world.system.checks.is_empty());
}

#[test]
fn what_is_owed_is_told_to_those_who_may_know() {
    let mut world = World::new(4);
    let (id, other) = (world.bound(FOUNDING), world.socket());
    let clock = start(FOUNDING).replace("hello", "clock");
    for round in 0..20 {
        world.say(other, &clock);
        world.exit(1234 + round, crate::service::Exit::Code(0));
    }
    world.say(other, &clock);
    // Behind as it is, it goes on for somebody who knows nothing of the clock.
    world.put(id, &super::world::frame(&format!(r#"<!--"CON"--"0"--"{ANNA}"-->"#)));
    let heard = world.hear(id);
    assert!(!heard.is_empty() && heard.iter().all(|text| !text.contains("1254")), "{heard:?}");
}

#[test]
fn nobody_without_a_session_takes_up_the_sets_of_chunks() {
    let mut world = World::new(4);
    let (nameless, named) = (world.socket(), world.bound(ANNA));
    let chunk = |id: usize| {
        format!(
            r#"{{"type":"con","data":{{"type":"chunk","data":{{"id":"{id}","part":0,"total":2,"data":"e30="}}}}}}"#
        )
    };
    let refused = [r#"{"type":"msg","data":{"type":"error","data":{"requestid":"(null)"}}}"#];
    for id in 0..=CHUNK_SETS {
        assert_eq!(world.say(nameless, &chunk(id)), refused);
    }
    for id in 0..CHUNK_SETS {
        assert!(world.say(named, &chunk(id)).is_empty());
    }
    assert_eq!(world.say(named, &chunk(CHUNK_SETS)), refused);
}

#[test]
fn one_address_leaves_others_room_to_log_in() {
    let mut world = World::new(PASSWORD_CHECKS + 4);
    let body = "username=nobody&password=x&deviceid=d";
    let login = format!(
        "POST /system.library/login HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    // Whether they wait for the answer or not.
    for _ in 0..PASSWORD_CHECKS.div_ceil(2) {
        let id = world.connect();
        world.put(id, login.as_bytes());
        world.server.release(id);
    }
    let id = world.connect();
    assert!(world.http(id, &login).contains(r#""code":"17""#));
    let other = IpAddr::from([192, 0, 2, 2]);
    let id = world.server.claim(other, world.now).unwrap();
    assert!(world.http(id, &login).is_empty());
    // A verdict makes room again, though nobody heard it.
    world.system.checks.rotate_left(1);
    world.check_password(false);
    let id = world.connect();
    assert!(world.http(id, &login).is_empty());
}

#[test]
fn unknown_user_costs_what_a_known_one_does() {
    let mut world = World::new(4);
    let id = world.socket();
    world.say(id, LOGIN);
    world.check_password(false);
    world.say(id, &LOGIN.replace("admin", "nobody"));
    assert_eq!(world.system.rounds, [1, 1]);
}

#[test]
fn socket_whose_shown_session_has_ended_has_to_show_another() {
    let mut world = World::new(6);
    let session = login(&mut world, "anna", "d");
    let (caller, kept) = (world.socket(), world.socket());
    let id = world.connect();
    world.http(id, &super::world::upgrade(&format!("/fcws?sessionid={session}")));
    for socket in [caller, kept] {
        world.say(socket, &start(&session));
    }
    world.say(kept, &format!(r#"<!--"CON"--"0"--"{ANNA}"-->"#));
    world.pass(SESSION_TIMEOUT);
    for socket in [caller, id, kept] {
        assert_eq!(world.hear(socket), ["ping"]);
    }
    world.say(kept, &start(&session).replace("services/start", "user/logout"));
    world.pass(SESSION_TIMEOUT);
    assert_eq!(world.hear(caller), ["ping", "close 1008"]);
    assert_eq!(world.hear(id), ["ping", "close 1008"]);
    assert_eq!(world.hear(kept), ["ping"]);
}
