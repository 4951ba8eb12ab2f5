//! The client at a terminal, and without one.

use rustls::{ServerConnection, StreamOwned};

use super::certificates::tls_config;
use super::*;

const TERMINAL: Terminal = Terminal { width: 17, height: 5, has_colour: true };

#[test]
fn table_fits_the_terminal() {
    let directory = TestDirectory::new();
    let (authority, thread) = server(1, |_, stream| {
        let mut socket = grant(stream);
        respond(&mut socket, 1, LIST, &LIST_CONTENT.replace("\"Name\"", "\"Description\": \"x\", \"Name\""));
        finish(socket);
    });
    let setting = Setting { terminal: Some(TERMINAL), session: Some("S/1"), ..Setting::default() };
    let said = setting.run(&directory, &format!("--url ws://{authority} list"));
    let expected = "SERVICE  STATE  …\nhello    \x1b[32mstarted\x1b[0m…\na        stopped…\n";
    assert_eq!(said.out, expected);
    thread.join().unwrap();
}

#[test]
fn changes_are_above_a_table_that_is_drawn_anew() {
    let directory = TestDirectory::new();
    let (authority, thread) = server(1, |_, stream| {
        let mut socket = grant(stream);
        respond(&mut socket, 1, LIST, LIST_CONTENT);
        let status = |name: &str| format!("status\",\"data\":{{\"serviceName\":\"{name}\"}}");
        respond(&mut socket, 2, &status("hello"), "{ \"State\": \"started\", \"Pid\": 7}");
        respond(&mut socket, 3, &status("a"), "{ \"State\": \"stopped\", \"Pid\": 0}");
        say(
            &mut socket,
            "{\"type\":\"msg\",\"data\":{\"type\":\"service-change\",\"data\":{\"service\":\"a\",\"state\":\"paused\",\"pid\":8}}}",
        );
        say(
            &mut socket,
            "{\"type\":\"msg\",\"data\":{\"type\":\"server-notice\",\"data\":\"session timeout\"}}",
        );
        finish(socket);
    });
    let terminal = Terminal { width: 80, has_colour: false, ..TERMINAL };
    let setting = Setting { terminal: Some(terminal), session: Some("S/1"), ..Setting::default() };
    let said = setting.run(&directory, &format!("--url ws://{authority} watch"));
    let (first, rest) = said.out.split_once("\x1b[3A\x1b[J").unwrap();
    assert_eq!(first, "SERVICE  STATE    DETAIL\nhello    started  pid 7\na        stopped\n");
    let (change, table) = rest.split_once('\n').unwrap();
    assert!(change.ends_with("Z  a  paused  pid 8"), "{change}");
    assert_eq!(table, "SERVICE  STATE    DETAIL\nhello    started  pid 7\na        paused   pid 8\n");
    assert_eq!(said.code, NO_RIGHT);
    thread.join().unwrap();
}

/// Answers a `watch` of two services that are stopped, up to the changes.
fn list_of_stopped(stream: TcpStream) -> WebSocket<TcpStream> {
    let mut socket = grant(stream);
    respond(&mut socket, 1, LIST, LIST_CONTENT);
    for (number, name) in [(2, "hello"), (3, "a")] {
        let call = format!("status\",\"data\":{{\"serviceName\":\"{name}\"}}");
        respond(&mut socket, number, &call, "{ \"State\": \"stopped\"}");
    }
    socket
}

#[test]
fn table_of_watch_follows_the_size_of_the_terminal() {
    let directory = TestDirectory::new();
    let (authority, thread) = server(1, |_, stream| {
        let mut socket = list_of_stopped(stream);
        for change in [
            r#"{"type":"msg","data":{"type":"service-change","data":{"service":"a","state":"paused","pid":8}}}"#,
            r#"{"type":"msg","data":{"type":"server-notice","data":"session timeout"}}"#,
        ] {
            say(&mut socket, change);
        }
        finish(socket);
    });
    fn measure() -> Option<Terminal> {
        static TIMES: AtomicU32 = AtomicU32::new(0);
        let is_first = TIMES.fetch_add(1, Ordering::Relaxed) == 0;
        Some(if is_first { WIDE } else { Terminal { width: 11, height: 4, ..WIDE } })
    }
    const WIDE: Terminal = Terminal { width: 80, height: 9, has_colour: false };
    let setting = Setting { terminal: Some(WIDE), session: Some("S/1"), ..Setting::default() };
    let setting = Setting { measure: Some(measure), ..setting };
    let said = setting.run(&directory, &format!("--url ws://{authority} watch"));
    let (first, rest) = said.out.split_once("a        stopped\n").unwrap();
    assert_eq!(first, "SERVICE  STATE\nhello    stopped\n");
    let (change, table) = rest.split_once('\n').unwrap();
    assert!(change.ends_with("Z  a  paused  pid 8"), "{change:?}");
    assert_eq!(table, "SERVICE  S…\nhello    s…\nand 1 more\n");
    thread.join().unwrap();
}

#[test]
fn table_of_watch_is_never_higher_than_the_terminal() {
    let directory = TestDirectory::new();
    let (authority, thread) = server(1, |_, stream| {
        let mut socket = list_of_stopped(stream);
        say(
            &mut socket,
            "{\"type\":\"msg\",\"data\":{\"type\":\"server-notice\",\"data\":\"session timeout\"}}",
        );
        finish(socket);
    });
    let terminal = Terminal { height: 4, ..TERMINAL };
    let setting = Setting { terminal: Some(terminal), session: Some("S/1"), ..Setting::default() };
    let said = setting.run(&directory, &format!("--url ws://{authority} watch"));
    assert_eq!(said.out, "SERVICE  STATE\nhello    stopped\nand 1 more\n");
    thread.join().unwrap();
}

#[test]
fn reader_that_has_gone_ends_it_quietly() {
    let directory = TestDirectory::new();
    let (authority, thread) = server(1, |_, stream| {
        let mut socket = grant(stream);
        respond(&mut socket, 1, LIST, LIST_CONTENT);
        finish(socket);
    });
    let setting = Setting { is_closed: true, session: Some("S/1"), ..Setting::default() };
    let said = setting.run(&directory, &format!("--url ws://{authority} list"));
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    thread.join().unwrap();
}

#[test]
fn person_is_asked_about_a_new_key() {
    for (answer, code) in [("yes", 0), ("no", UNTRUSTED), ("", UNTRUSTED)] {
        let directory = TestDirectory::new();
        let (authority, thread) = server(1, move |_, stream| {
            let mut stream = StreamOwned::new(ServerConnection::new(tls_config()).unwrap(), stream);
            if code != 0 {
                // Nothing follows the handshake.
                let mut sent = Vec::new();
                let _ = stream.read_to_end(&mut sent);
                return assert_eq!(sent, b"");
            }
            let mut socket = grant(stream);
            respond(&mut socket, 1, LIST, LIST_CONTENT);
            finish(socket);
        });
        let answers = [("Are these the fingerprints of the server?", answer)];
        let setting =
            Setting { is_terminal: true, session: Some("S/1"), answers: &answers, ..Setting::default() };
        let said = setting.run(&directory, &format!("--url wss://{authority} list"));
        assert_eq!(said.code, code, "{said:?}");
        let known = StateDir::new(directory.path().join("state")).get(KNOWN_SERVERS, &authority).unwrap();
        assert_eq!(
            (known.is_some(), said.err.contains("nothing was sent")),
            (code == 0, code != 0),
            "{said:?}"
        );
        thread.join().unwrap();
    }
}

#[test]
fn edit_needs_a_terminal() {
    let said = ctl(&TestDirectory::new(), "--session S edit");
    assert!(said.code == USAGE && said.err.contains("configuration set FILE"), "{said:?}");
}

#[test]
fn level_that_does_not_exist_is_an_error_of_the_command_line() {
    let said = ctl(&TestDirectory::new(), "--session S server-log --level loud");
    let expected = "--level: 'loud' is none of off, error, warn, info, debug";
    assert!(said.code == USAGE && said.err.contains(expected), "{said:?}");
}
