//! Named commands: a signal, or a program with its output.

use std::fs;
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD as BASE64, Engine as _};

use super::services::start;
use crate::support::device::{ADMIN, GUEST, shell, token, user};
use crate::support::directory::Directory;
use crate::support::wait::until;
use crate::support::ws::request;
use crate::support::{Device, Server};

const OK: &str = r#"{ "Status": "ok"}"#;

fn command(server: &Server, cmd: &str) -> String {
    server.post("/system.library/services/tool/command", &format!("sessionid={ADMIN}&cmd={cmd}")).body
}

fn tool(commands: &str) -> String {
    shell("tool", "exec sleep 1000", &format!("[service.commands]\n{commands}"))
}

#[test]
fn a_signal_reaches_the_service() {
    let directory = Directory::new();
    let script = format!(
        "trap 'touch {}' HUP; touch {}; while :; do sleep 0.1; done",
        directory.file("hup"),
        directory.file("up")
    );
    let table = shell("tool", &script, "commands = { reload = \"HUP\" }");
    let server = Server::start(&Device::plain().with(&table));
    let refused = command(&server, "reload");
    assert!(refused.starts_with("fail<!--separate-->"), "it does not run: {refused}");
    start(&server, "tool");
    until("it listens", || fs::exists(directory.file("up")).unwrap());
    assert_eq!(command(&server, "reload"), OK);
    until("the signal came", || fs::exists(directory.file("hup")).unwrap());
}

#[test]
fn a_program_answers_with_its_output() {
    let server = Server::start(
        &Device::plain()
            .with(&tool("say = [\"/bin/sh\", \"-c\", \"echo \\\"a b\\\"; echo oops >&2; exit 4\"]")),
    );
    let answer = command(&server, "say");
    assert!(answer.starts_with(r#"{ "Status": "ok", "Exit": "exit 4", "Output": "#), "{answer}");
    assert!(answer.contains("a b\\n") && answer.contains("oops"), "{answer}");
}

#[test]
fn unnamed_command_is_refused() {
    let server = Server::start(&Device::plain().with(&tool("say = [\"/bin/echo\"]")));
    for cmd in ["", "other", "sh", "say;id", "%2Fbin%2Fsh"] {
        let answer = command(&server, cmd);
        assert!(answer.starts_with("fail<!--separate-->"), "{cmd}: {answer}");
    }
    let body = format!("sessionid={ADMIN}");
    let answer = server.post("/system.library/services/tool/command", &body).body;
    assert!(answer.contains(r#""code":"14""#), "{answer}");
    let body = format!("sessionid={GUEST}&cmd=say");
    let answer = server.post("/system.library/services/tool/command", &body).body;
    assert!(answer.contains(r#""code":"4""#), "{answer}");
}

#[test]
fn missing_program_of_a_command_is_named() {
    let server = Server::start(&Device::plain().with(&tool(r#"say = ["/no/such/command", "x"]"#)));
    let answer = command(&server, "say");
    let reason = "tool: cannot start /no/such/command: No such file or directory (errno 2)";
    assert!(answer.contains(reason), "{answer}");
}

#[test]
fn a_long_answer_comes_in_chunks() {
    // Every byte needs an escape, so that the answer is longer than what is sent whole.
    let quotes = r#"say = ["/bin/sh", "-c", "head -c 32768 /dev/zero | tr '\\0' '\"'"]"#;
    let server = Server::start(&Device::new().with(&tool(quotes)));
    let mut socket = server.bound(ADMIN);
    socket.send(&request("r", "services/tool/command", r#"{"cmd":"say"}"#, ADMIN));
    let mut whole = String::new();
    let mut parts = 0;
    loop {
        let chunk = socket.text();
        let field = |key: &str| {
            let (_, rest) = chunk.split_once(&format!("\"{key}\":\"")).unwrap_or_else(|| panic!("{chunk}"));
            rest.split('"').next().unwrap().to_owned()
        };
        assert!(chunk.starts_with(r#"{"type":"con","data":{"type":"chunk","data":{"id":""#), "{chunk}");
        assert_eq!(field("part"), parts.to_string());
        // The last "data" is the piece.
        let (_, piece) = chunk.rsplit_once("\"data\":\"").unwrap();
        let piece = piece.split('"').next().unwrap();
        assert!(piece.len() <= 63487);
        whole += piece;
        parts += 1;
        if field("total") == parts.to_string() {
            break;
        }
    }
    assert!(parts >= 2);
    let text = BASE64.decode(&whole).unwrap();
    let text = std::str::from_utf8(&text).unwrap();
    assert!(text.contains(r#""requestid":"r""#) && text.contains(&"\\\"".repeat(30_000)), "{}", text.len());
    // The connection goes on as before.
    assert!(socket.call(&request("s", "services/list", "{}", ADMIN)).contains(r#""requestid":"s""#));
}

#[test]
fn a_program_that_writes_too_much_is_cut() {
    let server = Server::start(
        &Device::plain().with(&tool(r#"say = ["/bin/sh", "-c", "head -c 10000000 /dev/zero | tr '\\0' x"]"#)),
    );
    let answer = command(&server, "say");
    let letters = answer.matches('x').count();
    assert!((1000..=friendlet::limits::COMMAND_OUTPUT_BYTES + 8).contains(&letters), "{letters}");
    assert!(answer.ends_with(r#"", "Cut": true}"#), "the answer reports the cut");
}

#[test]
fn user_whose_commands_do_not_end_leaves_the_others() {
    const PANEL: &str = "5b2a7b6f0c1e4d3a9f8877665544332211000fed";
    let directory = Directory::new();
    let begun = directory.file("begun");
    let wait = format!("wait = [\"/bin/sh\", \"-c\", \"echo >> {begun}; exec sleep 1000\"]");
    let commands = tool(&format!("{wait}\nsay = [\"/bin/echo\", \"hello\"]"));
    let accounts = user("panel", "user", "panel", "services = [\"tool\"]") + &token("panel", PANEL);
    let server = Server::start(&Device::plain().with(&accounts).with(&commands));
    let run = |cmd: &str| {
        let mut socket = server.bound(PANEL);
        let data = format!(r#"{{"cmd":"{cmd}"}}"#);
        socket.send(&request("r", "services/tool/command", &data, PANEL));
        socket
    };
    let share = friendlet::limits::SERVICE_COMMAND_RUNS / 2;
    let _running: Vec<_> = (1..=share)
        .map(|number| {
            let socket = run("wait");
            until("it begins", || {
                fs::read_to_string(&begun).is_ok_and(|text| text.lines().count() == number)
            });
            socket
        })
        .collect();
    let refused = run("say").reply();
    assert!(refused.contains(r#"\"code\":\"17\""#), "{refused}");
    let answer = command(&server, "say");
    assert!(answer.contains("exit 0"), "an administrator: {answer}");
}

#[test]
fn endless_command_is_killed_and_blocks_no_other_call() {
    let server = Server::start(
        &Device::plain().with(&tool("hang = [\"/bin/sh\", \"-c\", \"sleep 1000 & sleep 1000\"]")),
    );
    let asked = Instant::now();
    let mut socket = server.bound(ADMIN);
    socket.send(&request("slow", "services/tool/command", r#"{"cmd":"hang"}"#, ADMIN));
    let mut other = server.bound(ADMIN);
    for _ in 0..20 {
        other.call(&request("fast", "services/list", "{}", ADMIN));
    }
    assert!(asked.elapsed() < Duration::from_secs(10));
    let answer = match socket.receive(friendlet::service::COMMAND_TIMEOUT + Duration::from_secs(10)) {
        Some(crate::support::ws::Event::Text(text)) => text,
        answer => panic!("{answer:?}"),
    };
    assert!(answer.contains(r#""requestid":"slow""#), "{answer}");
    until("nobody is left", || server.services().is_empty());
}
