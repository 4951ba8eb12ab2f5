//! Pushes to bound sockets.

use core::time::Duration;

use super::fixture::{ADMIN, ANNA, Fixture};
use crate::api::Board;
use crate::connection::{PUSH_BACKLOG_BYTES, PUSH_OUTPUT_BYTES, PUSH_OUTPUT_LINES, SEND_TIMEOUT};
use crate::service::{CheckError, CheckId, EVENT_PERIOD, EventReport, Exit, ProcessEvent, StatusText};

fn change(service: &str, state: &str, pid: u32) -> String {
    format!(
        r#"{{"type":"msg","data":{{"type":"service-change","data":{{"service":"{service}","state":"{state}","pid":{pid}}}}}}}"#
    )
}

/// Change without a process, with its reason and further members.
fn end(service: &str, state: &str, reason: &str, rest: &str) -> String {
    change(service, state, 0).replace("}}}", &format!(r#","reason":"{reason}"{rest}}}}}}}"#))
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
    let hello = [
        change("hello", "started", 1234),
        change("hello", "stopping", 1234),
        end("hello", "stopped", "signal 15", ""),
    ];
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
fn push_of_an_end_has_its_reason_and_the_newest_lines() {
    let mut fixture = Fixture::new(4);
    let (reader, caller) = (fixture.bound(ADMIN), fixture.socket());
    fixture.say(caller, &command("start", "hello"));
    fixture.system.output = "one\ntwo\nno \x1b \"port\"\nfour\n".to_owned();
    fixture.exit(1234, Exit::Signal { signal: 11, core: true, oom: false });
    // The newest of four lines.
    assert_eq!(PUSH_OUTPUT_LINES, 3);
    let lines = ",\"output\":[\"two\",\"no \u{FFFD} \\\"port\\\"\",\"four\"]";
    assert_eq!(
        fixture.receive(reader),
        [change("hello", "started", 1234), end("hello", "failed", "signal 11 (core dumped)", lines)]
    );
    let (x, a) = ("x".repeat(300), "a".repeat(PUSH_OUTPUT_BYTES - 4));
    // Lines over the limit; then one that is longer, whose end is sent.
    for (output, lines) in [
        (format!("{x}\nb\n{a}\nc\n"), format!(r#","output":["{a}","c"]"#)),
        (format!("{x}\n"), format!(r#","output":["{}"]"#, &x[..PUSH_OUTPUT_BYTES - 1])),
    ] {
        fixture.say(caller, &command("start", "hello"));
        fixture.receive(reader);
        fixture.system.output = output;
        fixture.exit(1233 + fixture.system.next_pid, Exit::Code(1));
        assert_eq!(fixture.receive(reader), [end("hello", "failed", "exit 1", &lines)]);
    }
}

#[test]
fn push_of_a_failed_start_has_the_names_and_no_output() {
    let mut fixture = Fixture::new(4);
    let (reader, caller) = (fixture.bound(ADMIN), fixture.socket());
    fixture.system.output = "of an earlier run\n".to_owned();
    fixture.system.refuses = Some(2);
    fixture.say(caller, &command("start", "clock"));
    let reason = "cannot start /bin/clock: No such file or directory (errno 2)";
    assert_eq!(fixture.receive(reader), [end("clock", "failed", reason, "")]);
}

#[test]
fn push_without_room_for_its_output_has_the_state() {
    let mut fixture = Fixture::new(4);
    let (reader, caller) = (fixture.bound(ADMIN), fixture.socket());
    fixture.say(caller, &command("start", "hello"));
    fixture.receive(reader);
    // Each byte becomes three.
    fixture.system.output = "\x1b".repeat(PUSH_OUTPUT_BYTES);
    fixture.exit(1234, Exit::Code(1));
    let received = fixture.receive(reader);
    let start = end("hello", "failed", "exit 1", "");
    assert!(received[0].starts_with(start.trim_end_matches('}')), "{received:?}");
    assert!(received[0].len() <= PUSH_BACKLOG_BYTES, "{received:?}");
}

#[test]
fn peer_that_is_behind_gets_the_last_exit_with_the_newest_state() {
    let mut fixture = Fixture::new(4);
    let (reader, caller) = (fixture.bound(ADMIN), fixture.socket());
    for _ in 0..60 {
        fixture.say(caller, &command("start", "hello"));
        fixture.exit(1233 + fixture.system.next_pid, Exit::Code(0));
    }
    fixture.say(caller, &command("start", "hello"));
    fixture.system.output = "the last line\n".to_owned();
    fixture.exit(1233 + fixture.system.next_pid, Exit::Code(9));
    let received = fixture.receive(reader);
    assert!(received.len() < 60, "{}", received.len());
    let newest = end("hello", "failed", "exit 9", r#","output":["the last line"]"#);
    assert_eq!(received.last().unwrap(), &newest);
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

const CHECKS: &str = "
[[check]]
name = 'port'
service = 'hello'
tcp = '127.0.0.1:80'
limit = 1
[[check]]
name = 'uplink'
tcp = '192.0.2.1:53'
";

fn check(name: &str, rest: &str) -> String {
    format!(r#"{{"type":"msg","data":{{"type":"check-change","data":{{"check":"{name}",{rest}}}}}}}"#)
}

impl Fixture {
    fn attempt(&mut self, check: usize, result: Result<(), CheckError>) {
        let attempt = self.server.begin_check(CheckId::from_index(check).unwrap(), self.now);
        self.server.handle_checked(attempt, result, self.now, &mut self.system);
    }
}

#[test]
fn change_of_a_check_is_pushed_to_users_of_its_service() {
    let mut fixture = Fixture::with_tables(8, Board::default(), CHECKS);
    let (admin, anna, unbound) = (fixture.bound(ADMIN), fixture.bound(ANNA), fixture.socket());
    fixture.say(unbound, &command("start", "hello"));
    for id in [admin, anna] {
        fixture.receive(id);
    }
    fixture.attempt(0, Ok(()));
    fixture.attempt(1, Ok(()));
    fixture.attempt(0, Err(CheckError::Closed));
    let healthy = check("port", r#""service":"hello","state":"healthy""#);
    let error = r#""service":"hello","state":"failing","error":"closed without a response""#;
    let (failing, uplink) = (check("port", error), check("uplink", r#""state":"healthy""#));
    let stopping = change("hello", "stopping", 1234);
    assert_eq!(fixture.receive(anna), [healthy.clone(), stopping.clone(), failing.clone()]);
    assert_eq!(fixture.receive(admin), [healthy, uplink, stopping, failing]);
    assert!(fixture.receive(unbound).is_empty());
}

#[test]
fn peer_that_does_not_read_gets_the_newest_state_of_a_check() {
    let mut fixture = Fixture::with_tables(4, Board::default(), CHECKS);
    let reader = fixture.bound(ADMIN);
    for _ in 0..60 {
        fixture.attempt(1, Ok(()));
        for _ in 0..crate::service::CHECK_FAILURES {
            fixture.attempt(1, Err(CheckError::TimedOut));
        }
    }
    let received = fixture.receive(reader);
    assert!(received.len() < 2 + PUSH_BACKLOG_BYTES / 80, "{}", received.len());
    assert_eq!(received.last().unwrap(), &check("uplink", r#""state":"failing","error":"timed out""#));
    fixture.attempt(1, Ok(()));
    assert_eq!(fixture.receive(reader), [check("uplink", r#""state":"healthy""#)]);
}

impl Fixture {
    /// The service `hello` says something.
    fn say_event(&mut self, text: &str) {
        let report = EventReport { text: StatusText::new(text), age: Duration::ZERO, life: None, changes: 1 };
        let hello = self.hello();
        self.server.handle_event(hello, ProcessEvent::Event(report), self.now, &mut self.system);
        self.settle();
    }
}

fn events(all: &str) -> String {
    format!(
        r#"{{"type":"msg","data":{{"type":"service-events","data":{{"service":"hello","events":[{all}]}}}}}}"#
    )
}

#[test]
fn events_are_pushed_at_most_once_in_their_period() {
    let mut fixture = Fixture::new(8);
    let (admin, anna, unbound) = (fixture.bound(ADMIN), fixture.bound(ANNA), fixture.socket());
    fixture.say(unbound, &command("start", "hello"));
    [admin, anna].into_iter().for_each(|id| _ = fixture.receive(id));
    fixture.say_event("door=open");
    let open = events(r#"{"key":"door","value":"open"}"#);
    for id in [admin, anna] {
        assert_eq!(fixture.receive(id), std::slice::from_ref(&open));
    }
    for number in 0..100 {
        fixture.say_event(&format!("door={number}"));
        fixture.say_event("lamp=\"on\"");
        assert!(fixture.receive(anna).is_empty(), "{number}");
    }
    fixture.pass(EVENT_PERIOD);
    let last = r#"{"key":"door","value":"99"},{"key":"lamp","value":"\"on\""}"#;
    assert_eq!(fixture.receive(anna), [events(last)]);
    assert!(fixture.receive(unbound).is_empty());
    // They end with the run that has said them.
    fixture.pass(EVENT_PERIOD);
    fixture.exit(1234, Exit::Code(0));
    assert_eq!(fixture.receive(anna), [end("hello", "stopped", "exit 0", ""), events("")]);
}

#[test]
fn events_are_pushed_to_users_of_the_service_alone() {
    let mut fixture = Fixture::new(8);
    let (anna, caller) = (fixture.bound(ANNA), fixture.socket());
    fixture.say(caller, &command("start", "clock"));
    fixture.receive(anna);
    let report = EventReport { text: StatusText::new("a=b"), age: Duration::ZERO, life: None, changes: 1 };
    let clock = fixture.service("clock");
    fixture.server.handle_event(clock, ProcessEvent::Event(report), fixture.now, &mut fixture.system);
    fixture.settle();
    assert!(fixture.receive(anna).is_empty());
}

#[test]
fn largest_events_of_a_service_fit_a_push() {
    use crate::service::{EVENT_KEY_BYTES, EVENT_VALUE_BYTES, SERVICE_EVENTS};
    let mut fixture = Fixture::new(8);
    let (anna, caller) = (fixture.bound(ANNA), fixture.socket());
    fixture.say(caller, &command("start", "hello"));
    for number in 0..SERVICE_EVENTS {
        let key = format!("{number}{}", "k".repeat(EVENT_KEY_BYTES - 1));
        fixture.say_event(&format!("{key}={}", "\"".repeat(EVENT_VALUE_BYTES)));
    }
    fixture.receive(anna);
    fixture.pass(EVENT_PERIOD);
    let pushed = fixture.receive(anna);
    assert!(pushed.len() == 1 && pushed[0].len() <= PUSH_BACKLOG_BYTES, "{pushed:?}");
    assert_eq!(pushed[0].matches("\"key\"").count(), SERVICE_EVENTS);
}
