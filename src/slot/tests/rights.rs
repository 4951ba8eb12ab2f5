//! What a session is worth, and when it is worth nothing any more.

use core::time::Duration;

use super::world::{ANNA, FOUNDING, World};
use crate::limits::SESSIONS;

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
