//! Pushes to bound sockets.

use super::fixture::{ADMIN, ANNA, Fixture};
use crate::connection::{PUSH_BACKLOG_BYTES, SEND_TIMEOUT};
use crate::service::Exit;

fn change(service: &str, state: &str, pid: u32) -> String {
    format!(
        r#"{{"type":"msg","data":{{"type":"service-change","data":{{"service":"{service}","state":"{state}","pid":{pid}}}}}}}"#
    )
}

fn command(verb: &str, service: &str) -> String {
    format!(
        r#"<!--"MSG"--"1"--"system.library/services/{verb}"-->{{"serviceName":"{service}","sessionid":"{ADMIN}"}}<--!>"#
    )
}

#[test]
fn change_is_pushed_at_once_to_users_of_the_service() {
    let mut fixture = Fixture::new(8);
    let (admin, anna, unbound) = (fixture.bound(ADMIN), fixture.bound(ANNA), fixture.socket());
    fixture.say(unbound, &command("start", "hello"));
    fixture.say(unbound, &command("start", "clock"));
    fixture.say(unbound, &command("stop", "hello"));
    fixture.exit(1234, Exit::signal(15));
    let hello = [("started", 1234), ("stopping", 1234), ("stopped", 0)];
    let hello = hello.map(|(state, pid)| change("hello", state, pid));
    assert_eq!(fixture.receive(anna), hello);
    assert_eq!(
        fixture.receive(admin),
        [hello[0].clone(), change("clock", "started", 1235), hello[1].clone(), hello[2].clone()]
    );
    assert!(fixture.receive(unbound).is_empty());
}

#[test]
fn peer_that_does_not_read_gets_the_newest_state_only() {
    let mut fixture = Fixture::new(4);
    let (reader, caller) = (fixture.bound(ADMIN), fixture.socket());
    for _ in 0..60 {
        fixture.say(caller, &command("start", "hello"));
        fixture.say(caller, &command("stop", "hello"));
        let pid = 1233 + fixture.system.next_pid;
        fixture.exit(pid, Exit::Code(0));
    }
    fixture.say(caller, &command("start", "hello"));
    let received = fixture.receive(reader);
    assert!(received.len() < 2 + PUSH_BACKLOG_BYTES / 80, "{}", received.len());
    assert_eq!(received.last().unwrap(), &change("hello", "started", 1233 + fixture.system.next_pid));
    // It has read everything, and gets every change again.
    fixture.say(caller, &command("stop", "hello"));
    assert_eq!(fixture.receive(reader).len(), 1);
}

#[test]
fn peer_that_does_not_read_is_closed() {
    let mut fixture = Fixture::new(4);
    let (reader, caller) = (fixture.bound(ADMIN), fixture.socket());
    fixture.say(caller, &command("start", "hello"));
    fixture.pass(SEND_TIMEOUT);
    assert!(fixture.server.state(reader).finish.is_some());
    assert_eq!(fixture.receive(reader), [change("hello", "started", 1234), "close 1013".to_owned()]);
    assert_eq!(fixture.server.counters().unresponsive, 1);
}

#[test]
fn end_of_the_session_is_pushed_and_ends_the_binding() {
    let mut fixture = Fixture::new(4);
    let id = fixture.connect();
    let body = "username=admin&password=x&deviceid=d";
    let head = format!(
        "POST /system.library/login HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    fixture.put(id, head.as_bytes());
    fixture.check_password(true);
    let response = String::from_utf8(fixture.get(id)).unwrap();
    let session = response.split(r#""sessionid":""#).nth(1).unwrap().split('"').next().unwrap().to_owned();
    fixture.server.release(id);
    let (bound, caller) = (fixture.bound(&session), fixture.socket());
    let out = fixture.say(
        caller,
        &format!(r#"<!--"MSG"--"1"--"system.library/user/logout"-->{{"sessionid":"{session}"}}<--!>"#),
    );
    assert_eq!(out, [""]);
    assert_eq!(
        fixture.receive(bound),
        [r#"{"type":"msg","data":{"type":"server-notice","data":"session killed"}}"#]
    );
    fixture.say(caller, &command("start", "hello"));
    assert!(fixture.receive(bound).is_empty());
}
