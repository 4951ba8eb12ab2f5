//! The call `services/NAME/log`.

use super::fixture::{ADMIN, ANNA, Fixture};
use crate::api::LOG_LINES;
use crate::log::LOG_WRITE_BYTES;

fn frame_call(path: &str, members: &str) -> String {
    format!(r#"<!--"MSG"--"1"--"system.library/{path}"-->{{ {members}"sessionid":"{ADMIN}" }}<--!>"#)
}

/// The call in the form of 2021, which uses the session of the socket.
fn envelope_call(service: &str, members: &str) -> String {
    format!(
        r#"{{"type":"msg","data":{{"type":"request","requestid":"r","path":"system.library/services/{service}/log","data":{{{members}}}}}}}"#
    )
}

/// Parts of a `log` answer: from, next, lost, lines.
fn log_answer(answer: &str) -> (u64, u64, u64, String) {
    let number = |key: &str| {
        let rest = answer.split_once(&format!(r#""{key}": "#)).unwrap().1;
        rest.split(',').next().unwrap().parse().unwrap()
    };
    let lines = answer.split_once(r#""Lines": "#).unwrap().1;
    (number("From"), number("Next"), number("Lost"), lines.trim_end_matches('}').to_owned())
}

#[test]
fn log_of_a_service_is_its_newest_whole_lines() {
    let mut fixture = Fixture::new(4);
    let id = fixture.socket();
    let mut log = |output: &str, members: &str| {
        fixture.system.output = output.to_owned();
        let call = frame_call("services/hello/log", members);
        let answer = fixture.say(id, &call);
        log_answer(&answer[0])
    };
    assert_eq!(log("", ""), (0, 0, 0, "[]".to_owned()));
    assert_eq!(log("one\ntwo\nthr", ""), (0, 8, 0, r#"["one","two"]"#.to_owned()));
    assert_eq!(log("one\ntwo\nthr", r#""lines":1,"#), (4, 8, 0, r#"["two"]"#.to_owned()));
    assert_eq!(log("one\ntwo\nthr", r#""lines":0,"#), (8, 8, 0, "[]".to_owned()));
    assert_eq!(log("one\ntwo\nthree\n", r#""since":4,"lines":1,"#), (4, 8, 0, r#"["two"]"#.to_owned()));
    assert_eq!(log("one\ntwo\nthree\n", r#""since":4,"lines":0,"#), (4, 4, 0, "[]".to_owned()));
    assert_eq!(log("one\ntwo\nthree\n", r#""since":14,"#), (14, 14, 0, "[]".to_owned()));
    // Control characters do not reach a terminal.
    assert_eq!(
        log("\u{1b}[31mred\r\u{9b}\u{202e}\t\"\n", ""),
        (0, 17, 0, "[\"\u{FFFD}[31mred\u{FFFD}\u{FFFD}\u{FFFD}\\t\\\"\"]".to_owned())
    );
}

#[test]
fn log_of_a_service_begins_at_a_line_and_counts_what_is_lost() {
    let mut fixture = Fixture::new(4);
    let id = fixture.socket();
    let line = format!("{}\n", "x".repeat(99));
    let output = line.repeat(100);
    fixture.system.output = output.clone();
    let (from, next, lost, lines) = log_answer(&fixture.say(id, &frame_call("services/hello/log", ""))[0]);
    assert_eq!((from % 100, next, lost), (0, output.len() as u64, 0));
    assert_eq!(lines.matches('x').count() as u64, (next - from) / 100 * 99);
    // A position inside a line is used as it is.
    let (from, ..) = log_answer(&fixture.say(id, &frame_call("services/hello/log", r#""since":50,"#))[0]);
    assert_eq!(from, 50);
    // A line longer than an answer is split.
    fixture.system.output = "y".repeat(LOG_WRITE_BYTES + 7);
    let (from, next, ..) =
        log_answer(&fixture.say(id, &frame_call("services/hello/log", r#""since":0,"#))[0]);
    assert_eq!((from, next), (0, LOG_WRITE_BYTES as u64));
}

#[test]
fn log_of_a_service_has_no_more_lines_than_its_limit() {
    let mut fixture = Fixture::new(4);
    let id = fixture.socket();
    fixture.system.output = "\n".repeat(LOG_LINES + 1);
    for members in ["", r#""lines":1000,"#, r#""since":0,"#] {
        let (from, next, ..) = log_answer(&fixture.say(id, &frame_call("services/hello/log", members))[0]);
        assert_eq!(next - from, LOG_LINES as u64, "{members}");
    }
    let refused = &fixture.say(id, &frame_call("services/hello/log", r#""since":"x","#))[0];
    assert!(refused.contains("Function log returned: 22"), "{refused}");
}

#[test]
fn log_of_a_service_is_for_its_users() {
    let mut fixture = Fixture::new(4);
    let id = fixture.bound(ANNA);
    let refused = &fixture.say(id, &envelope_call("clock", ""))[0];
    assert!(refused.contains(r#"\"code\":\"4\""#), "{refused}");
}

#[test]
fn socket_that_follows_receives_each_whole_line_once() {
    let mut fixture = Fixture::new(4);
    let (id, other) = (fixture.bound(ADMIN), fixture.bound(ADMIN));
    fixture.system.output = "old\n".to_owned();
    let answer = fixture.say(id, &envelope_call("hello", r#""follow":true"#));
    assert!(answer[0].contains(r#""From": 0, "Next": 4, "Lost": 0, "Lines": ["old"]"#), "{answer:?}");
    let hello = fixture.hello();
    let push = |from: u64, next: u64, lines: &str| {
        format!(
            r#"{{"type":"msg","data":{{"type":"service-log","data":{{"service":"hello","from":{from},"next":{next},"lost":0,"lines":[{lines}]}}}}}}"#
        )
    };
    for (output, pushes) in [
        ("old\none\ntw", vec![push(4, 8, r#""one""#)]),
        ("old\none\ntwo", vec![]),
        ("old\none\ntwo\nthree\n", vec![push(8, 18, r#""two","three""#)]),
    ] {
        fixture.system.output = output.to_owned();
        fixture.server.handle_output(hello, fixture.now, &mut fixture.system);
        assert_eq!(fixture.receive(id), pushes);
        assert!(fixture.receive(other).is_empty(), "only for a socket that follows");
    }
    assert_eq!(fixture.say(id, &envelope_call("hello", r#""follow":false"#)).len(), 1);
    fixture.system.output += "four\n";
    fixture.server.handle_output(hello, fixture.now, &mut fixture.system);
    assert!(fixture.receive(id).is_empty());
}

#[test]
fn slow_socket_that_follows_receives_the_rest_when_it_has_caught_up() {
    let mut fixture = Fixture::new(4);
    let id = fixture.bound(ADMIN);
    fixture.say(id, &envelope_call("hello", r#""follow":true"#));
    let hello = fixture.hello();
    for number in 0..300 {
        fixture.system.output += &format!("{number:0>99}\n");
        fixture.server.handle_output(hello, fixture.now, &mut fixture.system);
    }
    let pushes = fixture.receive(id);
    let text = pushes.concat();
    let lines: Vec<usize> = (0..300).filter_map(|number| text.find(&format!("\"{number:0>99}\""))).collect();
    assert!(lines.len() == 300 && lines.is_sorted(), "{} lines in order", lines.len());
    assert!(pushes.len() < 300, "lines that waited go together");
}

#[test]
fn only_a_bound_socket_may_follow() {
    let mut fixture = Fixture::new(4);
    let id = fixture.socket();
    for follow in ["true", "false", "1"] {
        let members = format!(r#""follow":{follow},"#);
        let refused = &fixture.say(id, &frame_call("services/hello/log", &members))[0];
        assert!(refused.contains("Function log returned: 22"), "{refused}");
    }
}

#[test]
fn socket_of_another_user_follows_no_more() {
    for rebound in [false, true] {
        let mut fixture = Fixture::new(4);
        let id = fixture.bound(ADMIN);
        assert!(fixture.say(id, &envelope_call("clock", r#""follow":true"#))[0].contains(r#""Lines": []"#));
        if rebound {
            fixture.say(id, &format!(r#"<!--"CON"--"0"--"{ANNA}"-->"#));
        }
        let clock = fixture.service("clock");
        fixture.system.output = "secret\n".to_owned();
        fixture.server.handle_output(clock, fixture.now, &mut fixture.system);
        assert_eq!(fixture.receive(id).is_empty(), rebound);
        assert_eq!(fixture.server.is_followed(clock), !rebound);
    }
}

#[test]
fn session_of_a_call_lets_no_socket_of_another_user_follow() {
    let mut fixture = Fixture::new(4);
    let id = fixture.bound(ANNA);
    let session = format!(r#""sessionid":"{ADMIN}","follow":true"#);
    let refused = &fixture.say(id, &envelope_call("clock", &session))[0];
    assert!(refused.contains(r#"\"code\":\"4\""#), "{refused}");
    assert!(!fixture.server.is_followed(fixture.service("clock")));
}
