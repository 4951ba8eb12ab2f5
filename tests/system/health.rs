//! Health checks: sockets that close or hang, programs that hang, and `/healthz` by level.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::services::{OK, start, status, until_state};
use crate::support::device::shell;
use crate::support::directory::Directory;
use crate::support::server::run_on;
use crate::support::wait::until;
use crate::support::{Device, Server, process};

/// Times of a check that fails soon.
const FAST: &str = "period_s = 1, timeout_s = 1, limit = 2, grace_s = 0";

fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A `[[check]]` that fails soon; `rest` is further lines of it.
fn check(name: &str, rest: &str) -> String {
    format!("[[check]]\nname = \"{name}\"\n{}\n{rest}\n", FAST.replace(", ", "\n"))
}

/// Status and body of `/healthz` with this query.
#[track_caller]
fn health(server: &Server, query: &str) -> (u16, String) {
    let response = server.get(&format!("/healthz{query}"));
    (response.status, response.body)
}

fn good() -> (u16, String) {
    (200, "ok\n".to_owned())
}

fn bad(line: &str) -> (u16, String) {
    (503, format!("{line}\n"))
}

/// Waits until the details of a service contain this text.
#[track_caller]
fn until_shown(server: &Server, service: &str, text: &str) {
    until(text, || server.call(&format!("services/{service}/show")).contains(text));
}

#[test]
fn service_whose_port_closes_is_restarted_by_its_policy() {
    let (listener, address) = listen();
    let health_key = format!("health = {{ tcp = \"{address}\", {FAST} }}");
    let keys = format!("autostart = true\nrestart = \"always\"\n{health_key}");
    let server = Server::start(&Device::plain().with(&shell("web", "exec sleep 1000", &keys)));
    until_shown(
        &server,
        "web",
        r#""Checks": [{"Name": "web", "Level": "alive", "State": "healthy", "Failures": 0}]"#,
    );
    let pid = status(&server, "web").pid;
    assert_eq!(health(&server, "?level=alive"), good());
    until("it is ready, after a short run", || health(&server, "?level=ready") == good());
    drop(listener);
    until("it is failing", || health(&server, "?level=alive") == bad("check web is failing"));
    until("it is stopped", || server.log().contains("web: stopped, check web is failing"));
    until("it is restarted", || status(&server, "web").restarts > 0);
    until_state(&server, "web", "started");
    assert_ne!(status(&server, "web").pid, pid);
    until_shown(&server, "web", r#""Reason": "unhealthy (check web)""#);
    until_shown(&server, "web", "cannot connect: Connection refused (errno 111)");
    assert_eq!(health(&server, "?level=ready"), bad("check web is failing"));
    assert_eq!(health(&server, ""), good(), "the server answers");
    let _listener = TcpListener::bind(address).unwrap();
    until("it is healthy", || health(&server, "?level=alive") == good());
    // Not while it is started again.
    until_state(&server, "web", "started");
    until_shown(&server, "web", r#""State": "healthy""#);
    assert_eq!(server.call("services/web/pause"), OK);
    until_shown(&server, "web", r#""State": "unchecked""#);
}

#[test]
fn peer_that_hangs_costs_its_own_check_alone() {
    let (_listener, address) = listen();
    let mute = check("mute", &format!("http = \"http://{address}/\"\nlevel = \"ready\""));
    let open = check("open", &format!("tcp = \"{address}\""));
    let server = Server::start(&Device::plain().with(&(mute + &open)));
    let idle = process::descriptors(server.pid());
    until("it is failing", || health(&server, "?level=ready") == bad("check mute is failing"));
    let begun = Instant::now();
    assert_eq!(health(&server, "?level=alive"), good());
    assert_eq!(server.call("services/hello/start"), OK);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    let status = server.call("board/status");
    assert!(status.contains(r#""Name": "mute", "Level": "ready", "State": "failing""#), "{status}");
    assert!(status.contains(r#""Error": "timed out""#), "{status}");
    assert!(status.contains(r#""Name": "open", "Level": "alive", "State": "healthy""#), "{status}");
    // The output of the service and one attempt of each check.
    assert!(process::descriptors(server.pid()) <= idle + 4, "its sockets are closed");
}

#[test]
fn status_of_an_http_response_decides() {
    let (listener, address) = listen();
    let status = Arc::new(AtomicU16::new(204));
    let sent = Arc::clone(&status);
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut request = [0; 512];
            let length = stream.read(&mut request).unwrap_or(0);
            let is_expected = request[..length].starts_with(b"GET /health?full HTTP/1.1\r\n");
            let status = if is_expected { sent.load(Ordering::Relaxed) } else { 404 };
            // The server may have closed.
            let _ = stream.write_all(format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\n\r\n").as_bytes());
        }
    });
    let table = check("page", &format!("http = \"http://{address}/health?full\""));
    let server = Server::start(&Device::plain().with(&table));
    let shows = |text: &str| server.call("board/status").contains(text);
    until("it is healthy", || shows(r#""State": "healthy""#));
    status.store(500, Ordering::Relaxed);
    until("it is failing", || shows(r#""State": "failing""#) && shows(r#""Error": "HTTP status 500""#));
    assert_eq!(health(&server, "?level=alive"), bad("check page is failing"));
    status.store(200, Ordering::Relaxed);
    until("it is healthy again", || health(&server, "?level=alive") == good());
    until("both are logged", || server.log().matches("check page: healthy").count() == 2);
    let log = server.log();
    assert_eq!(log.matches("warn  service::supervisor::health: check page: failing, ").count(), 1, "{log}");
}

#[test]
fn program_of_a_check_that_hangs_is_killed() {
    let directory = Directory::new();
    let file = directory.file("pid");
    let program = directory.write("hang", format!("echo $$ > {file}\nexec sleep 1000\n"));
    let keys = "timeout_s = 1\nlimit = 1\ngrace_s = 0\nperiod_s = 1000\nservice = \"base\"";
    let check = format!("[[check]]\nname = \"self-test\"\ncommand = [\"/bin/sh\", \"{program}\"]\n{keys}\n");
    let base = shell("base", "exec sleep 1000", "[service.commands]\nsay = [\"/bin/echo\", \"said\"]");
    let server = Server::start(&Device::plain().with(&(base + &check)));
    start(&server, "base");
    until("the program runs", || fs::read_to_string(&file).is_ok_and(|text| text.ends_with('\n')));
    let said = server.post(
        "/system.library/services/base/command",
        &format!("sessionid={}&cmd=say", crate::support::device::ADMIN),
    );
    assert!(said.body.contains("said"), "{said:?}");
    let pid = fs::read_to_string(&file).unwrap().trim().parse().unwrap();
    until("it is killed", || !process::is_alive(pid));
    until_shown(&server, "base", r#""Name": "self-test", "Level": "alive", "State": "failing""#);
    until_shown(&server, "base", r#""Reason": "unhealthy (check self-test)""#);
    // Its policy is never.
    until_state(&server, "base", "failed");
    assert_eq!(health(&server, "?level=alive"), bad("check self-test is failing"));
    assert_eq!(server.call("services/base/stop"), OK);
    assert_eq!(health(&server, "?level=alive"), good(), "nothing is desired");
}

#[test]
fn enabled_service_that_is_not_ready_counts_for_the_level_ready() {
    let keys = "autostart = true\nready = \"line:never\"";
    let server = Server::start(&Device::plain().with(&shell("slow", "exec sleep 1000", keys)));
    until_state(&server, "slow", "started");
    assert_eq!(health(&server, "?level=ready"), bad("service slow is not ready"));
    assert_eq!(health(&server, "?level=alive"), good());
    assert_eq!(health(&server, "?level=dead").0, 400);
    assert_eq!(health(&server, "?other=1"), good());
    let head = server.raw("HEAD /healthz?level=ready HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!((head.status, head.body.as_str()), (503, ""));
}

#[test]
fn wrong_address_is_refused_with_place_and_reason() {
    for (key, column, expected) in [
        (
            "tcp = \"localhost:80\"",
            7,
            "tcp: expected a numeric address with a port, such as '127.0.0.1:8080'",
        ),
        ("tcp = \"127.0.0.1:0\"", 7, "tcp: expected a numeric address with a port, such as '127.0.0.1:8080'"),
        ("http = \"http://localhost:80/\"", 8, "http: expected a URL with a numeric address"),
    ] {
        let run = run_on(&format!("[[check]]\nname = \"c\"\n{key}\n"), &["check", "FILE"]);
        assert_eq!(run.code, Some(78), "{run:?}");
        assert!(run.stderr.contains(&format!("friendlet.toml:3:{column}: {expected}")), "{run:?}");
    }
}
