//! Processor time and system calls of a server whose peers do nothing, or nothing but harm.

use std::fs;
use std::io::Write;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::device::{ADMIN, shell, stored_password};
use crate::support::http::{form_request, login_form, session_of};
use crate::support::stream::Stream;
use crate::support::ws::{Frame, Socket, TEXT, request};
use crate::support::{Device, Server};

/// Time over which processor time is measured.
const TIME: Duration = Duration::from_secs(2);
/// Most of it that a server may use, on a slow machine. A task that wakes itself would use all of it.
const USED_MAX: Duration = Duration::from_millis(400);

/// Time in which a closed connection is cleared up: its lingering close and the release of its memory.
const SETTLING_TIME: Duration = Duration::from_secs(3);
/// Time over which system calls are counted.
const IDLE_TIME: Duration = Duration::from_secs(10);

/// Threads of the server, and that of the keeper.
fn tasks(server: &Server) -> impl Iterator<Item = std::io::Result<fs::DirEntry>> {
    let tasks = |pid| fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    tasks(server.pid()).chain(tasks(server.keeper()))
}

/// Times that one of these threads went to sleep. A thread that sleeps makes no system call, and one that
/// wakes for a system call goes to sleep again.
fn sleeps(server: &Server) -> u64 {
    let count = |task: std::io::Result<fs::DirEntry>| {
        let status = fs::read_to_string(task.unwrap().path().join("status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.unwrap().trim().parse::<u64>().unwrap()
    };
    tasks(server).map(count).sum()
}

/// Processor time that these threads have used together.
fn used(server: &Server) -> Duration {
    let nanoseconds = tasks(server).map(|task| {
        let schedstat = fs::read_to_string(task.unwrap().path().join("schedstat")).unwrap();
        schedstat.split_whitespace().next().unwrap().parse::<u64>().unwrap()
    });
    Duration::from_nanos(nanoseconds.sum())
}

#[track_caller]
pub(super) fn is_idle(server: &Server, what: &str) {
    thread::sleep(Duration::from_millis(500));
    let before = used(server);
    thread::sleep(TIME);
    let used = used(server) - before;
    assert!(used < USED_MAX, "{what}: {used:?} of processor time in {TIME:?}");
}

/// Writes until the server takes no more.
fn stuff(socket: &mut Socket, calls: &[u8]) {
    let stream = socket.stream();
    stream.socket().set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    while stream.write_all(calls).is_ok() {}
}

#[test]
fn server_without_connections_makes_no_system_call() {
    let server = Server::start(&Device::plain());
    let start = sleeps(&server);
    // With a past: what a connection and a login leave is cleared up first.
    drop(server.bound(ADMIN));
    let answer = server.post("/system.library/login", &login_form("admin", "wrong")).body;
    assert!(session_of(&answer).is_none(), "{answer}");
    thread::sleep(SETTLING_TIME);
    let before = sleeps(&server);
    assert!(before > start, "wake-ups are counted");
    thread::sleep(IDLE_TIME);
    assert_eq!(sleeps(&server) - before, 0, "wake-ups in {IDLE_TIME:?}");
}

#[test]
fn silent_peers_use_no_cpu_time() {
    peers_cost_nothing(Device::plain());
}

#[test]
fn silent_peers_use_no_cpu_time_over_tls() {
    peers_cost_nothing(Device::new());
}

fn peers_cost_nothing(device: Device) {
    let sleeper = shell("tool", "exec sleep 1000", "[service.commands]\nwait = [\"/bin/sleep\", \"10\"]");
    let calls = Frame::new(TEXT, request("r", "services/list", "{}", ADMIN)).bytes().repeat(200);
    let server = Server::start(&device.with(&sleeper));
    is_idle(&server, "nobody");

    let _bound: Vec<_> = (0..8).map(|_| server.bound(ADMIN)).collect();
    let _silent: Vec<_> = (0..8).map(|_| server.connect()).collect();
    is_idle(&server, "silence");

    // Neither side of it goes on: what it asked for is not read.
    let mut deaf = server.bound(ADMIN);
    stuff(&mut deaf, &calls);
    is_idle(&server, "a peer that does not read");

    // Its calls lie ready, and are not looked at before the first is answered.
    let mut waiting = server.bound(ADMIN);
    waiting.send(&request("r", "services/tool/command", r#"{"cmd":"wait"}"#, ADMIN));
    stuff(&mut waiting, &calls);
    is_idle(&server, "a socket that waits for a command");

    let mut half = server.connect();
    let form = format!("cmd=wait&sessionid={ADMIN}");
    half.write_all(form_request("/system.library/services/tool/command", &form).as_bytes()).unwrap();
    half.end_writing();
    is_idle(&server, "half a connection that waits for a command");

    let mut refused = server.connect();
    refused.write_all(b"GET /nowhere HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    is_idle(&server, "a response that nobody reads");
    assert!(half.read_to_end_within(Duration::from_secs(30)).ends_with(br#""Output": ""}"#));
}

#[test]
fn flood_of_logins_from_one_address_does_not_block_others() {
    // Passwords that take as long to check as real ones, and as many connections as a server has to do
    // with. A 32-bit ARM processor, or QEMU in its place, takes as long for fewer of both.
    let (rounds, pause) = if cfg!(target_arch = "arm") { (10_000, 50) } else { (100_000, 2) };
    let slow = format!(
        "[[user]]\nname = \"slow\"\nlevel = \"admin\"\npassword = \"{}\"\n",
        stored_password("secret", rounds)
    );
    let server = Server::start(&Device::plain().with(&slow));
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for flooder in 0..4 {
            let (server, is_over) = (&server, &is_over);
            scope.spawn(move || {
                let mut number = 0;
                while !is_over.load(Ordering::Relaxed) {
                    number += 1;
                    let login = login_form(&format!("user{flooder}x{number}"), "wrong");
                    let source = Ipv4Addr::new(127, 0, 0, 2);
                    let mut stream = Stream::from_source(source, server.address(), false);
                    // It hangs up, and its password is checked all the same.
                    let _ = stream.write_all(form_request("/system.library/login", &login).as_bytes());
                    thread::sleep(Duration::from_millis(pause));
                }
            });
        }
        thread::sleep(Duration::from_secs(1));
        let start = Instant::now();
        let answers: Vec<String> = (0..5)
            .map(|_| server.post("/system.library/login", &login_form("slow", "secret")).body)
            .collect();
        is_over.store(true, Ordering::Relaxed);
        assert!(answers.iter().all(|answer| session_of(answer).is_some()), "{answers:?}");
        assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
    });
}
