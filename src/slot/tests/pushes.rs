//! What bound sockets are told.

use super::world::{ANNA, FOUNDING, World};
use crate::limits::{PUSH_BACKLOG_BYTES, SEND_TIMEOUT};
use crate::service::Exit;

fn change(service: &str, state: &str, pid: u32) -> String {
    format!(
        r#"{{"type":"msg","data":{{"type":"service-change","data":{{"service":"{service}","state":"{state}","pid":{pid}}}}}}}"#
    )
}

fn command(verb: &str, service: &str) -> String {
    format!(
        r#"<!--"MSG"--"1"--"system.library/services/{verb}"-->{{"serviceName":"{service}","sessionid":"{FOUNDING}"}}<--!>"#
    )
}

#[test]
fn every_change_at_once_to_those_who_may_know() {
    let mut world = World::new(8);
    let (admin, anna, unbound) = (world.bound(FOUNDING), world.bound(ANNA), world.socket());
    world.say(unbound, &command("start", "hello"));
    world.say(unbound, &command("start", "clock"));
    world.say(unbound, &command("stop", "hello"));
    world.exit(1234, Exit::Signal(15));
    let hello = [("started", 1234), ("stopping", 1234), ("stopped", 0)];
    let hello = hello.map(|(state, pid)| change("hello", state, pid));
    assert_eq!(world.hear(anna), hello);
    assert_eq!(
        world.hear(admin),
        [hello[0].clone(), change("clock", "started", 1235), hello[1].clone(), hello[2].clone()]
    );
    assert!(world.hear(unbound).is_empty());
}

#[test]
fn peer_that_does_not_read_is_owed_the_newest_state_only() {
    let mut world = World::new(4);
    let (reader, caller) = (world.bound(FOUNDING), world.socket());
    for _ in 0..200 {
        world.say(caller, &command("start", "hello"));
        world.say(caller, &command("stop", "hello"));
        let pid = 1233 + world.system.next_pid;
        world.exit(pid, Exit::Code(0));
    }
    world.say(caller, &command("start", "hello"));
    let heard = world.hear(reader);
    assert!(heard.len() < 2 + PUSH_BACKLOG_BYTES / 80, "{}", heard.len());
    assert_eq!(heard.last().unwrap(), &change("hello", "started", 1233 + world.system.next_pid));
    // It has caught up: from here on it gets every change again.
    world.say(caller, &command("stop", "hello"));
    assert_eq!(world.hear(reader).len(), 1);
}

#[test]
fn peer_that_does_not_read_is_closed_in_time() {
    let mut world = World::new(4);
    let (reader, caller) = (world.bound(FOUNDING), world.socket());
    world.say(caller, &command("start", "hello"));
    world.pass(SEND_TIMEOUT);
    assert!(world.server.state(reader).finish.is_some());
    assert_eq!(world.hear(reader), [change("hello", "started", 1234), "close 1013".to_owned()]);
    assert_eq!(world.server.counters().unresponsive, 1);
}

#[test]
fn end_of_the_session_is_told_and_ends_the_binding() {
    let mut world = World::new(4);
    let id = world.connect();
    let body = "username=admin&password=x&deviceid=d";
    let head = format!(
        "POST /system.library/login HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    world.put(id, head.as_bytes());
    world.check_password(true);
    let response = String::from_utf8(world.get(id)).unwrap();
    let session = response.split(r#""sessionid":""#).nth(1).unwrap().split('"').next().unwrap().to_owned();
    world.server.release(id);
    let (bound, caller) = (world.bound(&session), world.socket());
    let out = world.say(
        caller,
        &format!(r#"<!--"MSG"--"1"--"system.library/user/logout"-->{{"sessionid":"{session}"}}<--!>"#),
    );
    assert_eq!(out, [""]);
    assert_eq!(
        world.hear(bound),
        [r#"{"type":"msg","data":{"type":"server-notice","data":"session killed"}}"#]
    );
    world.say(caller, &command("start", "hello"));
    assert!(world.hear(bound).is_empty());
}
