//! `logs` and `call`.

use super::*;

const STATUS: &str = "{ \"Status\": \"ok\", \"State\": \"started\", \"Pid\": 12}";

#[test]
fn newest_output_of_a_service() {
    let call = "log\",\"data\":{\"serviceName\":\"hello\",\"lines\":\"2\"}";
    let content = r#"{ "Status": "ok", "From": 4, "Next": 9, "Lost": 0, "Lines": ["a\tb","\u009bc"]}"#;
    let said = one_call("logs hello --lines 2", call, content);
    assert_eq!((said.code, said.out.as_str()), (0, "a\tb\n\u{FFFD}c\n"), "{}", said.err);
    let said = one_call("--json logs hello --lines 2", call, content);
    assert_eq!((said.code, said.out), (0, format!("{content}\n")));
    let said = one_call("logs hello --lines 2", call, "{ \"Status\": \"ok\"}");
    assert_eq!(said.code, FAILED);
    assert!(said.err.contains("cannot read the log of hello"), "{}", said.err);
}

#[test]
fn output_is_followed_from_where_it_ended() {
    let directory = TestDirectory::new();
    let (authority, thread) = server(1, |_, stream| {
        let mut socket = grant(stream);
        respond(&mut socket, 1, "log\",\"data\":{\"serviceName\":\"hello\"}", &page(0, 2, 0, "\"a\""));
        respond(&mut socket, 2, &since(2), &page(2, 2, 0, ""));
        respond(&mut socket, 3, &since(2), &page(7, 9, 5, "\"b\""));
        respond(&mut socket, 4, &since(9), GONE);
        finish(socket);
    });
    let said = ctl(&directory, &format!("--url ws://{authority} --session S/1 logs hello --follow"));
    assert_eq!(said.out, "a\n-- 5 bytes lost --\nb\n");
    assert_eq!(said.code, FAILED, "{}", said.err);
    thread.join().unwrap();
}

/// Content of a reply to `services/log`.
fn page(from: u32, next: u32, lost: u32, lines: &str) -> String {
    format!(r#"{{ "Status": "ok", "From": {from}, "Next": {next}, "Lost": {lost}, "Lines": [{lines}]}}"#)
}

fn since(since: u32) -> String {
    format!("log\",\"data\":{{\"serviceName\":\"hello\",\"since\":\"{since}\"}}")
}

/// Ends a client that follows.
const GONE: &str = r#""fail<!--separate-->{ \"response\": \"gone\", \"code\":\"18\" }""#;

#[test]
fn output_is_followed_across_a_lost_connection_and_another_server() {
    let directory = TestDirectory::new();
    let (authority, thread) = server(4, |number, stream| {
        if number == 1 {
            // The first attempt after the loss is in vain.
            return drop(stream);
        }
        let mut socket = grant(stream);
        let first = "log\",\"data\":{\"serviceName\":\"hello\"}";
        match number {
            0 => respond(&mut socket, 1, first, &page(0, 2, 0, "\"a\"")),
            // The same server or another one, whose positions would say nothing.
            2 => respond(&mut socket, 1, first, &page(0, 4, 0, "\"a\",\"b\"")),
            _ => {
                respond(&mut socket, 1, first, &page(0, 2, 0, "\"c\""));
                respond(&mut socket, 2, &since(2), GONE);
                return finish(socket);
            }
        }
        let frame = CloseFrame { code: CloseCode::Restart, reason: "".into() };
        socket.close(Some(frame)).unwrap();
        finish(socket);
    });
    let said = ctl(&directory, &format!("--url ws://{authority} --session S/1 logs hello -f"));
    assert_eq!((said.code, said.out.as_str()), (FAILED, "a\na\nb\nc\n"), "{said:?}");
    let lost = "-- the server closed the connection: 1012 ; connecting again, and then printing the newest lines anew --\n";
    let end = "friendlet ctl: gone (code 18)\n";
    assert_eq!(said.err, [lost, lost, end].concat());
    thread.join().unwrap();
}

#[test]
fn server_log_is_followed_across_a_lost_connection() {
    let directory = TestDirectory::new();
    let (authority, thread) = server(2, |number, stream| {
        let mut socket = grant(stream);
        let records = |from: u32, next: u32, text: &str| {
            let records = BASE64.encode(text);
            format!(
                "{{ \"Form\": \"text\", \"Build\": \"\", \"Board\": \"b\", \"Level\": \"info\", \"Wall\": 1, \"Mono\": 1, \
                 \"From\": {from}, \"Next\": {next}, \"Records\": \"{records}\"}}"
            )
        };
        let request = text(&mut socket);
        if number == 0 {
            say(&mut socket, &response(1, &records(0, 4, "one\n")));
            return drop(socket);
        }
        assert!(!request.contains("since"), "{request}");
        say(&mut socket, &response(1, &records(0, 2, "two\n")));
        text(&mut socket);
        say(&mut socket, &response(2, GONE));
        finish(socket);
    });
    let said = ctl(&directory, &format!("--url ws://{authority} --session S/1 server-log -f"));
    assert_eq!((said.code, said.out.as_str()), (FAILED, "one\ntwo\n"), "{said:?}");
    assert!(
        said.err.contains("; connecting again, and then printing the newest lines anew --\n"),
        "{said:?}"
    );
    thread.join().unwrap();
}

#[test]
fn call_by_its_path() {
    for path in ["services/hello/status", "system.library/services/hello/status"] {
        let said = one_call(&format!("call {path}"), "hello/status\",\"data\":{}", STATUS);
        assert_eq!((said.code, said.out), (0, format!("{STATUS}\n")), "{}", said.err);
    }
    let call = "command\",\"data\":{\"serviceName\":\"hello\",\"cmd\":\"a=b\"}";
    let said = one_call("call services/command serviceName=hello cmd=a=b", call, "{\"Output\":\"\u{9b}\"}");
    assert_eq!((said.code, said.out.as_str()), (0, "{\"Output\":\"\u{FFFD}\"}\n"));
    let failure = "\"fail<!--separate-->{ \\\"response\\\": \\\"why\\\", \\\"code\\\":\\\"18\\\" }\"";
    let said = one_call("call services/hello/start", "hello/start\",\"data\":{}", failure);
    assert_eq!((said.code, said.err.as_str()), (FAILED, "friendlet ctl: why (code 18)\n"));
}

#[test]
fn parameter_twice_is_an_error_of_the_command_line() {
    let said = ctl(&TestDirectory::new(), "--session S call services/hello/log lines=2 lines=3");
    assert!(said.code == USAGE && said.err.contains("'lines' is given twice"), "{said:?}");
}

#[test]
fn call_of_an_unknown_path_is_not_sent() {
    let said = ctl(&TestDirectory::new(), "--session S call services/hello/statsu");
    assert_eq!(said.code, UNKNOWN);
    assert!(said.err.contains("did you mean 'services/hello/status'?"), "{}", said.err);
}

#[test]
fn paths_for_a_shell_are_those_of_the_table() {
    let said = ctl(&TestDirectory::new(), "complete-calls");
    assert_eq!(said.code, 0);
    assert_eq!(said.out.lines().count(), crate::api::CALLS.len());
    assert!(said.out.lines().any(|line| line == "services/NAME/log"), "{}", said.out);
}

#[test]
fn server_log_that_always_has_a_next_record_ends() {
    let directory = TestDirectory::new();
    let (authority, thread) = server(1, |_, stream| {
        let mut socket = grant(stream);
        let records = BASE64.encode("record\n".repeat(10_000));
        for number in 1..=15 {
            text(&mut socket);
            let content = format!(
                "{{ \"Form\": \"text\", \"Build\": \"\", \"Board\": \"b\", \"Level\": \"info\", \"Wall\": 1, \"Mono\": 1, \
                 \"From\": {number}, \"Next\": {number}, \"Records\": \"{records}\"}}"
            );
            say(&mut socket, &response(number, &content));
        }
        finish(socket);
    });
    let said = ctl(&directory, &format!("--url ws://{authority} --session S/1 server-log"));
    assert!(said.code == 0 && said.out.len() == 15 * 70_000 && said.err.contains("--follow"), "{}", said.err);
    thread.join().unwrap();
}

#[test]
fn server_that_does_not_speak_json_is_left_at_once() {
    let directory = TestDirectory::new();
    let (authority, thread) = server(1, |_, stream| {
        let mut socket = grant(stream);
        text(&mut socket);
        say(&mut socket, "hello");
        finish(socket);
    });
    let said = ctl(&directory, &format!("--url ws://{authority} --session S/1 list"));
    assert!(said.code == FAILED && said.err.contains("not JSON"), "{said:?}");
    thread.join().unwrap();
}

#[test]
fn files_without_an_end_are_refused() {
    let directory = TestDirectory::new();
    let said = ctl(&directory, "--url wss://127.0.0.1:1 --session S configuration set /dev/zero");
    assert!(said.code != 0, "{said:?}");
    let (authority, thread) = server(1, |_, stream| drop(stream));
    let line = format!("--url wss://{authority} --cert /dev/zero --key /dev/zero list");
    let said = ctl(&directory, &line);
    assert!(said.code == UNUSABLE && said.err.contains("/dev/zero: larger than 65536 bytes"), "{said:?}");
    thread.join().unwrap();
}
