//! The client against a server on this machine with the replies of each test.

mod board;
mod calls;
mod certificates;
mod services;
mod several;
mod terminal;

use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::{fs, io};

use base64::prelude::{BASE64_STANDARD as BASE64, Engine as _};
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, Role};
use tungstenite::{Message, WebSocket};

use super::env::Env;
use super::failure::{FAILED, IO, NO_RIGHT, NOT_RUNNING, UNAVAILABLE, UNKNOWN, UNTRUSTED, UNUSABLE, USAGE};
use super::output::Terminal;
use super::run_in;
use super::state::{KNOWN_SERVERS, SESSIONS, StateDir};
use crate::http::accept_key;

/// Directory that is removed at the end of a test.
pub(super) struct TestDirectory(PathBuf);

impl TestDirectory {
    pub(super) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("friendlet-ctl-{}-{number}", std::process::id()));
        // Left behind by a run that was killed and had the same process id.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TestDirectory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Exit code and output of a run.
#[derive(Debug)]
struct Run {
    code: u8,
    out: String,
    err: String,
}

fn ctl(directory: &TestDirectory, line: &str) -> Run {
    Setting { answers: &[("password of ", "secret")], ..Setting::default() }.run(directory, line)
}

/// Surroundings of a run.
#[derive(Default)]
struct Setting<'t> {
    session: Option<&'t str>,
    url: Option<String>,
    /// Beginnings of prompts with the answers, in this order; the rest of them may stay unused.
    answers: &'t [(&'t str, &'t str)],
    is_terminal: bool,
    terminal: Option<Terminal>,
    /// Its size later on.
    measure: Option<fn() -> Option<Terminal>>,
    /// The reader of standard output has gone.
    is_closed: bool,
}

impl Setting<'_> {
    fn run(&self, directory: &TestDirectory, line: &str) -> Run {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut answers = self.answers.iter();
        let mut closed = Closed;
        let mut env = Env {
            state: Ok(StateDir::new(directory.path().join("state"))),
            configuration: Ok(StateDir::new(directory.path().join("config"))),
            url: self.url.clone(),
            session: self.session.map(str::to_owned),
            out: if self.is_closed { &mut closed } else { &mut out },
            err: &mut err,
            ask: &mut |prompt, is_secret| {
                let (asked, answer) = answers.next().ok_or(io::ErrorKind::UnexpectedEof)?;
                assert!(prompt.contains(asked), "{prompt}");
                assert_eq!(is_secret, prompt.contains("password") || prompt == "again: ", "{prompt}");
                Ok((*answer).to_owned())
            },
            is_terminal: self.is_terminal,
            terminal: self.terminal,
            measure: self.measure.unwrap_or(|| None),
        };
        let code = run_in(&mut env, line.split_whitespace().map(OsString::from), Path::new("/nonexistent"));
        Run { code, out: String::from_utf8(out).unwrap(), err: String::from_utf8(err).unwrap() }
    }
}

/// Pipe without a reader.
struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Serves this many connections, each by `serve` with its number; returns `HOST:PORT`.
fn server(
    connections: usize,
    mut serve: impl FnMut(usize, TcpStream) + Send + 'static,
) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    #[expect(clippy::disallowed_methods, reason = "the other side of the client under test")]
    let thread = thread::spawn(move || {
        for number in 0..connections {
            serve(number, listener.accept().unwrap().0);
        }
    });
    (authority, thread)
}

/// Reads a head and its body.
fn read_request(stream: &mut impl Read) -> String {
    let mut text = String::new();
    let mut byte = [0];
    let mut more = |text: &mut String| {
        stream.read_exact(&mut byte).unwrap();
        text.push(byte[0].into());
    };
    while !text.ends_with("\r\n\r\n") {
        more(&mut text);
    }
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
    for _ in 0..length.parse::<usize>().unwrap() {
        more(&mut text);
    }
    text
}

fn answer(stream: &mut impl Write, status: &str, body: &str) {
    let length = body.len();
    stream
        .write_all(
            format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nretry-after: 7\r\n\r\n{body}")
                .as_bytes(),
        )
        .unwrap();
}

/// Accepts the upgrade and the bind.
fn grant<S: Read + Write>(mut stream: S) -> WebSocket<S> {
    let request = read_request(&mut stream);
    assert!(request.starts_with("GET /fcws?sessionid=S%2F1 HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("\r\nsec-websocket-protocol: FC-protocol\r\n"), "{request}");
    let key = request.lines().find_map(|line| line.strip_prefix("sec-websocket-key: ")).unwrap();
    let mut accept = [0; 28];
    let accept = accept_key(key.as_bytes().try_into().unwrap(), &mut accept);
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: FC-protocol\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut socket = WebSocket::from_raw_socket(stream, Role::Server, None);
    assert_eq!(text(&mut socket), "{\"type\":\"con\",\"data\":{\"sessionId\":\"S/1\"}}");
    say(&mut socket, "{\"type\":\"con\",\"data\":{\"type\":\"pong\",\"data\":\"S/1\"}}");
    socket
}

fn text<S: Read + Write>(socket: &mut WebSocket<S>) -> String {
    match socket.read().unwrap() {
        Message::Text(text) => text.as_str().to_owned(),
        other => panic!("{other:?}"),
    }
}

fn say<S: Read + Write>(socket: &mut WebSocket<S>, text: &str) {
    socket.send(Message::text(text)).unwrap();
}

/// Expects a call and replies with this content.
fn respond<S: Read + Write>(socket: &mut WebSocket<S>, number: u32, call: &str, content: &str) {
    assert_eq!(
        split_operation(&text(socket)).0,
        format!(
            "{{\"type\":\"msg\",\"data\":{{\"type\":\"request\",\"requestid\":\"ctl-{number}\",\"path\":\"system.library/services/{call},\"sessionid\":\"S/1\"}}}}"
        )
    );
    say(socket, &response(number, content));
}

/// A request without the id of its operation, and that.
fn split_operation(request: &str) -> (String, Option<String>) {
    match request.split_once(",\"operation\":\"") {
        None => (request.to_owned(), None),
        Some((start, rest)) => {
            let (id, end) = rest.split_once('"').unwrap();
            (format!("{start}{end}"), Some(id.to_owned()))
        }
    }
}

fn response(number: u32, content: &str) -> String {
    format!(
        "{{\"type\":\"msg\",\"data\":{{ \"type\":\"response\",\"requestid\":\"ctl-{number}\",\"data\":{content}}}}}"
    )
}

/// Reads until the client closes the connection.
fn finish<S: Read + Write>(mut socket: WebSocket<S>) {
    while socket.read().is_ok() {}
}

const LIST: &str = "list\",\"data\":{}";
const LIST_CONTENT: &str = "{ \"Services\": [ { \"Name\": \"hello\" , \"Status\": \"started\" ,  \"Hosts\" : \"\" },{ \"Name\": \"a\" , \"Status\": \"stopped\" ,  \"Hosts\" : \"\" }] }";

/// One call over plain WebSocket, with one response.
fn one_call(line: &str, call: &'static str, content: &'static str) -> Run {
    let directory = TestDirectory::new();
    let (authority, thread) = server(1, move |_, stream| {
        let mut socket = grant(stream);
        respond(&mut socket, 1, call, content);
        finish(socket);
    });
    let said = ctl(&directory, &format!("--url ws://{authority} --session S/1 {line}"));
    thread.join().unwrap();
    said
}

#[test]
fn login_remembers_and_logout_forgets() {
    let directory = TestDirectory::new();
    let (authority, thread) = server(4, |number, mut stream| match number {
        // The first connection verifies the certificate before the password is read.
        0 => {}
        1 | 2 => {
            if number == 2 {
                let request = read_request(&mut stream);
                assert!(request.starts_with("GET /fcws?sessionid=0123 HTTP/1.1\r\n"), "{request}");
                return answer(&mut stream, "503 Service Unavailable", "all connections are in use\n");
            }
            let request = read_request(&mut stream);
            assert!(request.starts_with("POST /system.library/login HTTP/1.1\r\n"), "{request}");
            assert!(request.contains("\r\n\r\nusername=a%26b&password=HASHED2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b&deviceid=friendlet-ctl-"), "{request}");
            answer(
                &mut stream,
                "200 OK",
                "{\"result\":\"0\",\"sessionid\":\"0123\",\"level\":\"admin\",\"username\":\"a\"}",
            );
        }
        _ => {
            let request = read_request(&mut stream);
            assert!(request.starts_with("POST /system.library/user/logout HTTP/1.1\r\n"), "{request}");
            assert!(request.ends_with("\r\n\r\nsessionid=0123"), "{request}");
            answer(&mut stream, "200 OK", "ok<!--separate-->{\"logout\":\"success\"}");
        }
    });
    let url = format!("ws://{authority}");
    let said = ctl(&directory, &format!("--url {url} login a&b"));
    assert_eq!((said.code, said.out), (0, format!("logged in to {url} as a&b (admin)\n")));
    let state = StateDir::new(directory.path().join("state"));
    assert_eq!(state.get(SESSIONS, &url), Ok(Some("0123".to_owned())));

    let said = ctl(&directory, &format!("--url {url} list"));
    assert_eq!(said.code, UNAVAILABLE);
    assert!(said.err.contains("all connections are in use (retry in 7 s)"), "{}", said.err);

    let said = ctl(&directory, &format!("--url {url} logout"));
    assert_eq!((said.code, said.out), (0, format!("logged out of {url}\n")));
    assert_eq!(state.get(SESSIONS, &url), Ok(None));
    thread.join().unwrap();
}

#[test]
fn wrong_password() {
    let directory = TestDirectory::new();
    let (authority, thread) = server(2, |number, mut stream| {
        if number == 1 {
            read_request(&mut stream);
            answer(
                &mut stream,
                "200 OK",
                "fail<!--separate-->{\"result\":\"-1\",\"response\":\"Account blocked until: 0\", \"code\":\"6\"}",
            );
        }
    });
    let said = ctl(&directory, &format!("--url ws://{authority} login admin"));
    assert_eq!((said.code, said.err.as_str()), (NO_RIGHT, "friendlet ctl: wrong user or password\n"));
    thread.join().unwrap();
}

#[test]
fn list_in_columns_and_unchanged() {
    let said = one_call("list", LIST, LIST_CONTENT);
    assert_eq!((said.code, said.out.as_str()), (0, "SERVICE  STATE\nhello    started\na        stopped\n"));
    let said = one_call("list --json", LIST, LIST_CONTENT);
    assert_eq!(said.out, format!("{LIST_CONTENT}\n"));
}

#[test]
fn verbs() {
    let said = one_call(
        "start he\"llo",
        "start\",\"data\":{\"serviceName\":\"he\\\"llo\"}",
        "{ \"Status\": \"ok\"}",
    );
    assert_eq!((said.code, said.out.as_str()), (0, "start he\"llo: ok\n"));
    let said = one_call(
        "stop hello",
        "stop\",\"data\":{\"serviceName\":\"hello\"}",
        "\"fail<!--separate-->{ \\\"response\\\": \\\"Cannot execute function. Admin rights required\\\", \\\"code\\\":\\\"4\\\" }\"",
    );
    assert_eq!(said.code, NO_RIGHT);
    assert!(said.err.contains("none to that service"), "{}", said.err);
}

#[test]
fn status_of_one_and_its_exit_code() {
    let call = "status\",\"data\":{\"serviceName\":\"hello\"}";
    let said = one_call(
        "status hello",
        call,
        "{ \"Status\": \"ok\", \"State\": \"started\", \"Pid\": 1234, \"Since\": 12, \"Restarts\": 0, \"LastExit\": \"\"}",
    );
    let expected =
        "SERVICE  STATE    PID   SINCE  RESTARTS  LAST EXIT\nhello    started  1234  12s    0         -\n";
    assert_eq!((said.code, said.out.as_str()), (0, expected));
    let said = one_call("status hello", call, "{ \"Status\": \"ok\", \"State\": \"failed\", \"Pid\": 0}");
    assert_eq!(said.code, NOT_RUNNING);
}

#[test]
fn status_of_all() {
    let directory = TestDirectory::new();
    let (authority, thread) = server(1, |_, stream| {
        let mut socket = grant(stream);
        respond(&mut socket, 1, LIST, LIST_CONTENT);
        let content = "{ \"Status\": \"ok\", \"State\": \"started\"}";
        respond(&mut socket, 2, "status\",\"data\":{\"serviceName\":\"hello\"}", content);
        respond(&mut socket, 3, "status\",\"data\":{\"serviceName\":\"a\"}", "{\"State\":\"stopped\"}");
        finish(socket);
    });
    let said = ctl(&directory, &format!("--url ws://{authority} --session S/1 --json status"));
    let expected =
        "{\"hello\":{ \"Status\": \"ok\", \"State\": \"started\"},\"a\":{\"State\":\"stopped\"}}\n";
    assert_eq!((said.code, said.out.as_str()), (0, expected));
    thread.join().unwrap();
}

#[test]
fn chunked_reply_and_messages_between() {
    let directory = TestDirectory::new();
    let (authority, thread) = server(1, |_, stream| {
        let mut socket = grant(stream);
        text(&mut socket);
        socket.send(Message::Ping("p".into())).unwrap();
        say(&mut socket, &response(7, "{}"));
        let whole = response(1, &format!("{{\"Output\":\"{}\"}}", "é".repeat(1000)));
        let whole = BASE64.encode(whole.as_bytes());
        let (first, last) = whole.split_at(1001);
        for (part, piece) in [first, last, ""].into_iter().enumerate() {
            say(
                &mut socket,
                &format!(
                    "{{\"type\":\"con\",\"data\":{{\"type\":\"chunk\",\"data\":{{\"id\":\"0x1\",\"total\":\"3\",\"part\":\"{part}\",\"data\":\"{piece}\"}}}}}}"
                ),
            );
        }
        assert!(matches!(socket.read().unwrap(), Message::Pong(_)));
        finish(socket);
    });
    let said = ctl(&directory, &format!("--url ws://{authority} --session S/1 command hello greet"));
    assert_eq!((said.code, said.out), (0, "é".repeat(1000) + "\n"));
    thread.join().unwrap();
}

#[test]
fn broken_chunks_are_refused() {
    for parts in [&[(1, "AAAA")][..], &[(0, "A"), (1, "")], &[(0, "/w=="), (1, "")]] {
        let directory = TestDirectory::new();
        let (authority, thread) = server(1, move |_, stream| {
            let mut socket = grant(stream);
            text(&mut socket);
            for (part, piece) in parts {
                say(
                    &mut socket,
                    &format!(
                        "{{\"type\":\"con\",\"data\":{{\"type\":\"chunk\",\"data\":{{\"id\":\"1\",\"total\":2,\"part\":{part},\"data\":\"{piece}\"}}}}}}"
                    ),
                );
            }
            finish(socket);
        });
        let said = ctl(&directory, &format!("--url ws://{authority} --session S/1 list"));
        assert_eq!(said.code, FAILED, "{parts:?}");
        assert!(said.err.contains("broken chunked message"), "{}", said.err);
        thread.join().unwrap();
    }
}

#[test]
fn a_session_that_has_ended() {
    let directory = TestDirectory::new();
    let (authority, thread) = server(1, |_, stream| {
        let mut socket = grant(stream);
        text(&mut socket);
        let frame = CloseFrame { code: CloseCode::Policy, reason: "no valid session".into() };
        socket.close(Some(frame)).unwrap();
        finish(socket);
    });
    let said = ctl(&directory, &format!("--url ws://{authority} --session S/1 list"));
    assert_eq!(said.code, NO_RIGHT);
    assert!(said.err.contains("(no valid session); run `friendlet ctl login USER`"), "{}", said.err);
    thread.join().unwrap();
}

#[test]
fn server_that_is_not_reached_comes_before_a_missing_login() {
    let directory = TestDirectory::new();
    let (authority, thread) = server(1, |_, stream| drop(stream));
    let said = ctl(&directory, &format!("--url wss://{authority} list"));
    assert_eq!(said.code, NO_RIGHT);
    assert!(said.err.contains("login"), "{}", said.err);
    thread.join().unwrap();

    // Now nothing listens there.
    for command in ["list", "reload", "sessions", "passwd", "logout", "call user/logout"] {
        for options in ["", "--session S "] {
            let said = ctl(&directory, &format!("--url ws://{authority} {options}{command}"));
            assert_eq!(said.code, UNAVAILABLE, "{command}: {said:?}");
            assert!(said.err.contains(&authority), "{}", said.err);
            let said = ctl(&directory, &format!("--url ws://192.0.2.1:6500 {options}{command}"));
            assert_eq!(said.code, USAGE, "{command}: {said:?}");
            assert!(said.err.contains("wss://192.0.2.1:6500"), "{}", said.err);
        }
    }
}

#[test]
fn connection_lost_before_the_answer_to_a_start() {
    for (content, code, part) in [
        ("{ \"Status\": \"ok\"}", 0, ""),
        (
            "\"fail<!--separate-->{ \\\"response\\\": \\\"Function wait returned: 2\\\", \\\"code\\\":\\\"18\\\" }\"",
            UNAVAILABLE,
            "does not know of this call",
        ),
    ] {
        let directory = TestDirectory::new();
        let mut operation = None;
        let (authority, thread) = server(3, move |number, stream| {
            if number == 1 {
                // The first attempt after the loss is in vain.
                return drop(stream);
            }
            let mut socket = grant(stream);
            let request = text(&mut socket);
            if number == 0 {
                operation = split_operation(&request).1;
                return drop(socket);
            }
            let id = operation.as_ref().unwrap();
            assert!(id.len() == 20 && id.starts_with("ctl-"), "{id}");
            let asked = format!("operations/wait\",\"data\":{{\"operation\":\"{id}\"}}");
            assert!(request.contains(&asked), "{request}");
            say(&mut socket, &response(1, content));
            finish(socket);
        });
        let said = ctl(&directory, &format!("--url ws://{authority} --session S/1 start hello"));
        assert!(said.err.contains("services/start: "), "{}", said.err);
        assert!(said.err.contains("; asking what became of it\n") && said.err.contains(part), "{}", said.err);
        assert_eq!((said.code, said.out.as_str()), (code, if code == 0 { "start hello: ok\n" } else { "" }));
        thread.join().unwrap();
    }
}

#[test]
fn watch_across_a_lost_connection() {
    let change = |state: &str| {
        format!(
            "{{\"type\":\"msg\",\"data\":{{\"type\":\"service-change\",\"data\":{{\"service\":\"hello\",\"state\":\"{state}\",\"pid\":12}}}}}}"
        )
    };
    let directory = TestDirectory::new();
    let (authority, thread) = server(3, move |number, stream| {
        if number == 1 {
            // The first attempt after the loss is in vain.
            return drop(stream);
        }
        let mut socket = grant(stream);
        let status = "status\",\"data\":{\"serviceName\":\"hello\"}";
        respond(&mut socket, 1, LIST, LIST_CONTENT);
        if number == 0 {
            // What is pushed before an answer is a change like any other.
            say(&mut socket, &change("paused"));
        }
        respond(&mut socket, 2, status, "{ \"Status\": \"ok\", \"State\": \"starting\"}");
        if number == 0 {
            say(&mut socket, &change("stopping"));
            say(&mut socket, &change("stopped").replace("hello", "a"));
            say(&mut socket, "{\"type\":\"msg\",\"data\":{\"type\":\"news\",\"data\":1}}");
            let frame = CloseFrame { code: CloseCode::Away, reason: "".into() };
            socket.close(Some(frame)).unwrap();
        } else {
            say(&mut socket, &change("failed"));
            say(
                &mut socket,
                "{\"type\":\"msg\",\"data\":{\"type\":\"server-notice\",\"data\":\"session timeout\"}}",
            );
        }
        finish(socket);
    });
    let said = ctl(&directory, &format!("--url ws://{authority} --session S/1 watch hello"));
    let lines: Vec<&str> =
        said.out.lines().filter_map(|line| line.split_once("Z  ")).map(|(_, line)| line).collect();
    // In between it went from stopping to starting: its status after the loss is starting.
    let expected = [
        "hello  starting",
        "hello  paused  pid 12",
        "hello  stopping  pid 12",
        "hello  starting",
        "hello  failed  pid 12",
    ];
    assert_eq!(lines, expected);
    assert_eq!(said.err.matches("connecting again").count(), 2, "{}", said.err);
    assert_eq!(said.code, NO_RIGHT);
    thread.join().unwrap();
}

#[test]
fn watch_of_an_unknown_service() {
    let said = one_call("watch nobody", LIST, LIST_CONTENT);
    assert_eq!(said.code, UNKNOWN);
    assert!(said.err.contains("no service matches 'nobody'"), "{}", said.err);
}
