//! Fenced blocks of the documents: commands run, configurations are accepted, messages are exchanged.

mod commands;
mod drawings;
mod links;
mod provisions;

use serde::de::IgnoredAny;

use crate::layers::root;
use crate::support::device::{ADMIN, shell, stored_password, token, user};
use crate::support::fenced::{Block, blocks};
use crate::support::http::{exchange, session_of};
use crate::support::server::run_on;
use crate::support::wait::until;
use crate::support::ws::frame;
use crate::support::{Device, Server};

/// Blocks that no test reads, by document and the beginning of their first line, and why.
#[rustfmt::skip]
const EXCEPTIONS: [(&str, &str, &str); 12] = [
    ("docs/rest.md", "scrape_configs:", "of Prometheus, which no test installs; its parser reads the metrics"),
    ("docs/configuration.md", "f.toml:", "a finding of check, whose texts config::tests::mistakes holds"),
    ("docs/protocol.md", "<!--\"MSG\"--\"LENGTH\"", "the form of a message, with names in place of values"),
    ("docs/ctl.md", "# name", "servers of a user, which ctl::tests::several reads"),
    ("docs/ctl.md", "openssl x509", "for any server; ctl::tests::certificates computes the same"),
    ("docs/security.md", "openssl req", "for a panel and a board; system::pairing does the same"),
    ("docs/security.md", "openssl pkey", "for a panel; system::pairing computes the same"),
    ("docs/logs.md", "<27>1 ", "messages to a log server, whose form syslog::message holds"),
    ("docs/logs.md", "-- board", "a log with places, which cross/frames holds"),
    ("docs/discovery.md", "NAME ", "output of `ctl discover`, which system::discovery holds"),
    ("docs/logs.md", "friendlet-log", "the head of a binary log, which cross/frames holds"),
    ("docs/logs.md", "info!(", "a line of a source, without what it names"),
];

/// Time of the record in the page of logs.
const RECORD: &str = "2026-11-25T15:22:33.348Z [   12.345] ";

/// Placeholders of values that a document leaves out, each with a value.
fn completions() -> [(&'static str, String); 1] {
    [("password = \"..\"", format!("password = \"{}\"", stored_password("secret", 1000)))]
}

/// The block of `file` that begins with `start`.
#[track_caller]
fn block(file: &str, start: &str) -> Block {
    let mut blocks = blocks(&root()).into_iter();
    let is_wanted = |block: &Block| block.file == file && first_line(block).starts_with(start);
    blocks.find(is_wanted).unwrap_or_else(|| panic!("{file}: no block begins with {start}"))
}

fn first_line(block: &Block) -> &str {
    block.lines.first().map_or("", String::as_str)
}

fn is_exception(block: &Block, (file, start, _): &(&str, &str, &str)) -> bool {
    block.file == *file && first_line(block).starts_with(start)
}

/// Returns whether a test reads the block: `commands` those of a shell, `system::proxies` those of a proxy,
/// `system::clients` those of a program, `events` those of events, the tests below the others.
fn is_read(block: &Block) -> bool {
    match block.language.as_str() {
        "sh" | "console" | "toml" | "json" | "nginx" | "haproxy" | "caddy" => true,
        "html" | "python" | "js" | "rust" => block.file == "docs/pages.md",
        "text" => {
            let first = first_line(block);
            ["{", "> ", "POST ", "HTTP/1.1 ", "event: ", RECORD].iter().any(|start| first.starts_with(start))
        }
        _ => false,
    }
}

#[test]
fn every_block_is_read_or_an_exception() {
    let blocks = blocks(&root());
    for block in &blocks {
        let is_excepted = EXCEPTIONS.iter().any(|row| is_exception(block, row));
        assert!(is_read(block) != is_excepted, "{}: no test reads '{}'", block.place(0), first_line(block));
    }
    for row in &EXCEPTIONS {
        assert!(blocks.iter().any(|block| is_exception(block, row)), "{row:?}: no such block");
    }
}

#[test]
fn configurations_are_accepted() {
    let blocks = blocks(&root());
    let configurations: Vec<_> = blocks.iter().filter(|block| block.language == "toml").collect();
    assert!(!configurations.is_empty());
    for block in configurations {
        let mut text = block.lines.join("\n");
        for (blank, value) in completions() {
            text = text.replace(blank, &value);
        }
        let run = run_on(&text, &["check", "FILE"]);
        assert_eq!(run.code, Some(0), "{}: {run:?}", block.place(0));
    }
}

#[test]
fn json_is_json() {
    let mut count = 0;
    for block in blocks(&root()) {
        let texts = match block.language.as_str() {
            "json" => vec![(0, block.lines.join("\n"))],
            "text" => block.lines.iter().enumerate().filter_map(json_of_line).collect(),
            _ => Vec::new(),
        };
        for (line, text) in texts {
            let parsed = serde_json_core::from_str::<IgnoredAny>(&text);
            let end = parsed.map(|(_, end)| end);
            assert_eq!(end, Ok(text.len()), "{}: {text}", block.place(line));
            count += 1;
        }
    }
    assert!(count > 0);
}

/// The JSON of a message: the whole text, or the body of a frame.
fn json_of_line((at, line): (usize, &String)) -> Option<(usize, String)> {
    let message = line.strip_prefix(['>', '<']).filter(|rest| rest.starts_with(' ')).unwrap_or(line).trim();
    let body = message.split_once("\"-->").map_or(message, |(_, body)| body);
    let body = body.strip_suffix("<--!>").unwrap_or(body);
    body.starts_with('{').then(|| (at, body.to_owned()))
}

/// The exchange of the README, with the session of its login, and the two messages after it.
#[test]
fn exchange_of_the_readme_happens() {
    let server = Server::start(&Device { tables: user("admin", "admin", "PASSWORD", ""), ..Device::new() });
    let mut socket = server.socket();
    let mut session = ADMIN.to_owned();
    let block = block("README.md", "> ");
    let mut lines = block.lines.iter().enumerate().peekable();
    while let Some((at, line)) = lines.next() {
        let place = block.place(at);
        let message = line.strip_prefix("> ").unwrap_or_else(|| panic!("{place}: nothing was asked"));
        let message = message.replace(ADMIN, &session);
        let Some((_, reply)) = lines.next_if(|(_, line)| line.starts_with("< ")) else {
            socket.send(&message);
            socket.expect_nothing();
            continue;
        };
        let answer = socket.call(&message);
        session = session_of(&answer).unwrap_or(session);
        assert_eq!(answer, reply[2..].replace(ADMIN, &session), "{place}");
    }
    let change = one_line("README.md", r#"{"type":"msg","data":{"type":"service-change""#);
    let request = one_line("README.md", r#"{"type":"msg","data":{"type":"request""#);
    let stop = format!(r#"{{ "serviceName":"hello", "sessionid":"{session}" }}"#);
    assert_eq!(socket.call(&frame("services/stop", &stop)), r#"{ "Status": "ok"}"#);
    socket.push(r#""state":"stopped""#);
    until("hello is gone", || server.services().is_empty());
    let reply = socket.call(&request.replace("\"..\"", &format!("\"{session}\"")));
    assert!(reply.contains(r#""requestid":"r1","data":{ "Status": "ok"}"#), "{reply}");
    let pid = server.services()[0];
    assert_eq!(socket.push(r#""state":"started""#), change.replace("1234", &pid.to_string()));
}

fn one_line(file: &str, start: &str) -> String {
    let block = block(file, start);
    assert_eq!(block.lines.len(), 1, "{}", block.place(0));
    block.lines[0].clone()
}

#[test]
fn http_call_of_the_protocol_happens() {
    let server = Server::start(&Device {
        tables: user("admin", "admin", "secret", "") + &token("admin", ADMIN),
        ..Device::plain()
    });
    let [request, response] = ["POST ", "HTTP/1.1 "].map(|start| block("docs/protocol.md", start));
    let answer = exchange(server.connect(), request.lines.join("\r\n").as_bytes());
    assert_eq!(String::from_utf8(answer).unwrap(), response.lines.join("\r\n"));
}

#[test]
fn record_of_the_page_of_logs_is_logged() {
    let tables =
        [user("anna", "admin", "secret", ""), token("anna", ADMIN), shell("door", "exec sleep 1000", "")];
    let server = Server::start(&Device { tables: tables.concat(), ..Device::plain() });
    server.call("services/door/start");
    let record = one_line("docs/logs.md", RECORD).replace(RECORD, "");
    until(&record, || server.log().lines().any(|line| line.ends_with(&format!("] {record}"))));
}
