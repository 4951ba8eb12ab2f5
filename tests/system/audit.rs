//! Audit trail: what it has besides logins and changes by calls, and what it says if it cannot be written.

use std::fs;

use rustix::process::Signal;

use super::logs::{device, start};
use super::trial::change_by;
use crate::support::Server;
use crate::support::device::{ADMIN, GUEST, NOBODY, stored_password, token, user};
use crate::support::directory::Directory;
use crate::support::stream::Stream;
use crate::support::wait::until;
use crate::support::ws::upgrade_request;

/// A server with an audit trail.
fn audited() -> Server {
    let directory = Directory::new();
    let audit = format!("audit = \"{}\"", directory.file("audit"));
    let device = device(&directory, &audit);
    start(directory, &device, None)
}

/// Lines without their times.
fn lines(server: &Server) -> Vec<String> {
    let text = fs::read_to_string(server.directory().file("audit")).unwrap_or_default();
    text.lines().map(|line| line.split_once("] ").unwrap().1.to_owned()).collect()
}

#[track_caller]
fn until_line(server: &Server, line: &str) {
    until(line, || lines(server).iter().any(|other| other == line));
}

fn text(server: &Server) -> String {
    fs::read_to_string(server.config_file()).unwrap()
}

#[test]
fn reload_by_a_signal_has_its_line_and_those_of_the_users_that_it_changes() {
    let server = audited();
    let later = text(&server)
        .replace(&stored_password("guest", 1000), &stored_password("later", 1000))
        .replace("level = \"user\"", "level = \"admin\"")
        .replace(&token("guest", GUEST), "");
    fs::write(server.config_file(), later + &user("new", "user", "new", "")).unwrap();
    server.signal(Signal::HUP);
    until_line(&server, "user=(signal) call=board/reload outcome=ok");
    let changes = ["on=guest change=password change=level change=tokens", "on=new change=added"];
    changes.iter().for_each(|change| until_line(&server, &format!("user=(configuration) {change}")));
    assert_eq!(lines(&server).len(), 3, "{:?}", lines(&server));
    fs::write(server.config_file(), "[[[").unwrap();
    server.signal(Signal::HUP);
    until_line(&server, "user=(signal) call=board/reload outcome=failed");
    server.stop();
}

#[test]
fn refused_change_of_the_configuration_has_its_line() {
    let server = audited();
    let lost = "user=fadmin from=127.0.0.1 call=board/configuration outcome=failed";
    let refused = |parameters: &str, errno: &str| {
        let before = lines(&server).len();
        let form = format!("sessionid={ADMIN}&text=x&{parameters}");
        server.post("/system.library/board/configuration", &form);
        let line = format!("{lost}{errno}");
        until(parameters, || lines(&server).get(before).is_some_and(|last| *last == line));
    };
    refused("offset=7", "");
    refused("seconds=0", "");
    refused("more=maybe", " errno=22");
    // The change itself, and another one beside it.
    let answer = change_by(&server, ADMIN, &text(&server), "");
    assert!(answer.contains("\"Change\""), "{answer}");
    until_line(&server, "user=fadmin from=127.0.0.1 call=board/configuration outcome=ok");
    refused("", "");
    let count = lines(&server).len();
    // A dry run changes nothing, and has none.
    server.post(
        "/system.library/board/configuration",
        &format!("sessionid={ADMIN}&text=x&offset=7&dryrun=true"),
    );
    refused("seconds=0", "");
    assert_eq!(lines(&server).len(), count + 1);
    server.stop();
}

#[test]
fn login_with_an_over_long_name_or_device_has_its_line_and_its_record() {
    let server = audited();
    let login = |name: &str, device: &str| {
        let form = format!("username={name}&password=guest&deviceid={device}");
        server.post("/system.library/login", &form).body
    };
    login(&"n".repeat(40), "d");
    let name = "n".repeat(32);
    until_line(&server, &format!("user={name} from=127.0.0.1 call=login outcome=refused"));
    login("guest", &"d".repeat(70));
    until_line(&server, "user=guest from=127.0.0.1 call=login outcome=refused");
    let log = server.log();
    for name in [&name, "guest"] {
        assert!(log.contains(&format!("user {name}: login from 127.0.0.1 refused")), "{log}");
    }
    // A name is one word of the log.
    login("x:%20login%20from%201.2.3.4%E2%80%AE", "d");
    until("it is logged", || server.log().contains("user x:_login_from_1.2.3.4?: login from 127.0.0.1"));
    server.stop();
}

#[test]
fn unknown_sessions_have_their_lines_up_to_the_limit_of_their_address() {
    let server = audited();
    let unknown = |call: &str| format!("user=? from=127.0.0.1 call={call} outcome=refused");
    server.post("/system.library/services/list", &format!("sessionid={NOBODY}"));
    server.post("/system.library/no/such/call", &format!("sessionid={NOBODY}"));
    server.post("/system.library/login", &format!("sessionid={NOBODY}&deviceid=d&username=fadmin"));
    server.socket().send(&format!(r#"{{"type":"con","data":{{"sessionId":"{NOBODY}"}}}}"#));
    let request = upgrade_request(&format!("/fcws?sessionid={NOBODY}"), "");
    let mut stream = Stream::plain(server.address());
    std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
    for call in ["services/list", "?", "login", "con", "upgrade"] {
        until_line(&server, &unknown(call));
    }
    // A call without one does not guess.
    server.get("/system.library/services/list");
    for number in 0..100 {
        server.post("/system.library/services/list", &format!("sessionid={number}"));
    }
    server.login("fadmin", "secret");
    until_line(&server, "user=fadmin from=127.0.0.1 call=login outcome=ok");
    assert_eq!(lines(&server).len(), 15 + 1, "{:?}", lines(&server));
    server.stop();
}

#[test]
fn audit_trail_that_cannot_be_written_is_a_notice() {
    let directory = Directory::new();
    let path = directory.file("audit");
    fs::create_dir(&path).unwrap();
    let device = device(&directory, &format!("audit = \"{path}\""));
    let server = start(directory, &device, None);
    let mut socket = server.bound(ADMIN);
    let notice = "the audit trail cannot be written: the log has the reason";
    until("it is in the status", || {
        server.call("board/status").contains(&format!(r#""Notice": "{notice}""#))
    });
    assert!(socket.push("server-notice").contains(notice));
    let log = server.log();
    assert!(log.contains(&format!("cannot write {path}: ")), "{log}");
    fs::remove_dir(&path).unwrap();
    // The next line shows it.
    server.login("fadmin", "secret");
    until_line(&server, "user=fadmin from=127.0.0.1 call=login outcome=ok");
    until("it is gone", || server.call("board/status").contains(r#""Notice": """#));
    server.stop();
}
