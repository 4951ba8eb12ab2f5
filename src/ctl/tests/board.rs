//! The board and its passwords.

use super::*;

/// Runs `line` with these answers to prompts.
fn ctl_typing(line: &str, is_terminal: bool, answers: &[(&str, &str)]) -> Run {
    let setting = Setting { session: Some("S/1"), answers, is_terminal, ..Setting::default() };
    setting.run(&TestDirectory::new(), line)
}

/// A server that replies to one call by POST on its last connection; returns the form of the call too.
fn one_call(
    connections: usize,
    path: &'static str,
    body: &'static str,
) -> (String, std::sync::mpsc::Receiver<String>, JoinHandle<()>) {
    let (sender, form) = std::sync::mpsc::channel();
    let (authority, thread) = server(connections, move |number, mut stream| {
        if number + 1 == connections {
            let request = read_request(&mut stream);
            assert!(request.starts_with(&format!("POST /system.library/{path} HTTP/1.1\r\n")), "{request}");
            sender.send(request.split_once("\r\n\r\n").unwrap().1.to_owned()).unwrap();
            answer(&mut stream, "200 OK", body);
        }
    });
    (authority, form, thread)
}

fn hashed(password: &str) -> String {
    crate::ctl::password::hashed(password)
}

#[test]
fn own_password_needs_the_old_one() {
    let (authority, form, thread) =
        one_call(2, "user/updatepassword", "ok<!--separate-->{ \"updatepassword\": \"success!\"}");
    let typed = [("old password: ", "old"), ("new password: ", "new secret"), ("again: ", "new secret")];
    let said = ctl_typing(&format!("--url ws://{authority} passwd"), true, &typed);
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{said:?}");
    assert!(said.out.starts_with("password changed"), "{said:?}");
    let expected = format!("sessionid=S%2F1&password={}&oldpassword={}", hashed("new secret"), hashed("old"));
    assert_eq!(form.recv().unwrap(), expected);
    thread.join().unwrap();
}

#[test]
fn password_of_another_user_is_a_line_without_a_terminal() {
    let (authority, form, thread) = one_call(
        2,
        "user/updatepassword",
        "fail<!--separate-->{ \"response\": \"User not found\", \"code\":\"13\" }",
    );
    let typed = [("new password of anna: ", "new secret")];
    let said = ctl_typing(&format!("--url ws://{authority} passwd anna"), false, &typed);
    assert_eq!(said.code, FAILED, "{said:?}");
    assert!(said.err.contains("no user 'anna'") && said.out.is_empty(), "{said:?}");
    let expected = format!("sessionid=S%2F1&password={}&username=anna", hashed("new secret"));
    assert_eq!(form.recv().unwrap(), expected);
    thread.join().unwrap();
}

#[test]
fn passwords_that_differ_or_are_short_are_not_sent() {
    for (typed, why) in [
        (
            &[("old password: ", "old"), ("new password: ", "new secret"), ("again: ", "now secret")][..],
            "differ",
        ),
        (&[("old password: ", "old"), ("new password: ", "sevench")], "8 characters"),
        (&[("old password: ", "old")], "cannot read the password"),
    ] {
        let (authority, thread) = server(1, |_, _| {});
        let said = ctl_typing(&format!("--url ws://{authority} passwd"), true, typed);
        assert!(said.code == FAILED && said.err.contains(why), "{said:?}");
        thread.join().unwrap();
    }
}

#[test]
fn board_restarts_or_powers_off_by_post() {
    for (name, path) in [("reboot", "board/reboot"), ("poweroff", "board/poweroff")] {
        let (authority, form, thread) = one_call(1, path, "{ \"Status\": \"ok\"}");
        let said = ctl_typing(&format!("--url ws://{authority} {name}"), false, &[]);
        assert_eq!((said.code, said.out.as_str()), (0, format!("{name}: ok\n").as_str()), "{said:?}");
        assert_eq!(form.recv().unwrap(), "sessionid=S%2F1");
        thread.join().unwrap();
    }
}

#[test]
fn board_without_a_program_for_poweroff() {
    let refusal = "fail<!--separate-->{ \"response\": \"Function poweroff returned: 38\", \"code\":\"18\" }";
    let (authority, _form, thread) = one_call(1, "board/poweroff", refusal);
    let said = ctl_typing(&format!("--url ws://{authority} poweroff"), false, &[]);
    assert!(said.code == FAILED && said.err.contains("[board] poweroff"), "{said:?}");
    thread.join().unwrap();
}

/// Answers these calls over a WebSocket, each with its content.
fn answer_calls(stream: TcpStream, calls: &[(&str, &str)]) -> WebSocket<TcpStream> {
    let mut socket = grant(stream);
    for (number, (call, content)) in (1..).zip(calls) {
        let request = text(&mut socket);
        assert!(request.contains(&format!("\"path\":\"system.library/{call}\"")), "{request}");
        say(&mut socket, &response(number, content));
    }
    socket
}

#[test]
fn upgrade_ends_once_the_later_server_answers() {
    const STATUS: &str = "{ \"Status\": \"ok\", \"Version\": \"0.2.0\", \"Build\": \"0a\"}";
    for (option, out) in
        [("", "upgrade: ok, the server is back: version 0.2.0, build 0a"), ("--json ", STATUS)]
    {
        let (authority, thread) = server(4, |number, mut stream| match number {
            0 => {
                let mut socket = answer_calls(stream, &[("board/upgrade", "{ \"Status\": \"ok\"}")]);
                let frame = CloseFrame { code: CloseCode::Restart, reason: "upgraded".into() };
                socket.close(Some(frame)).unwrap();
                finish(socket);
            }
            1 => drop(stream),
            2 => {
                read_request(&mut stream);
                answer(&mut stream, "503 Service Unavailable", "not yet\n");
            }
            _ => finish(answer_calls(stream, &[("board/status", STATUS)])),
        });
        let said = ctl_typing(&format!("{option}--url ws://{authority} upgrade"), false, &[]);
        assert_eq!((said.code, said.out, said.err.as_str()), (0, format!("{out}\n"), ""));
        thread.join().unwrap();
    }
}

#[test]
fn upgrade_that_is_refused_waits_for_nothing() {
    let refusal = r#""fail<!--separate-->{ \"response\": \"Function upgrade returned: 22\", \"code\":\"18\", \"reason\": \"of another machine\" }""#;
    let (authority, thread) =
        server(1, move |_, stream| finish(answer_calls(stream, &[("board/upgrade", refusal)])));
    let said = ctl_typing(&format!("--url ws://{authority} upgrade"), false, &[]);
    assert_eq!((said.code, said.err.as_str()), (FAILED, "friendlet ctl: of another machine\n"));
    thread.join().unwrap();
}
