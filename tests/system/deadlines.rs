//! Deadlines of unfinished input. These tests wait for real time to pass.

use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use friendlet::connection::{HEAD_TIMEOUT, SESSION_TIMEOUT};
use friendlet::ws::{PING_INTERVAL, UNANSWERED_PINGS};

use crate::support::device::ADMIN;
use crate::support::http::session_of;
use crate::support::stream::Stream;
use crate::support::ws::{Event, Frame, TEXT};
use crate::support::{Device, Server, tls};

/// Tolerance of a deadline: its step, and a busy machine.
const SLACK: Duration = Duration::from_secs(6);

/// Waits until the server ends the connection, which has to be when `deadline` is over.
#[track_caller]
fn ends_at(mut stream: Stream, start: Instant, deadline: Duration) -> Vec<u8> {
    let answer = stream.read_to_end_within(deadline + SLACK);
    let took = start.elapsed();
    assert!(took + Duration::from_secs(1) > deadline && took < deadline + SLACK, "{took:?}");
    answer
}

#[test]
fn silence_ends_after_the_head_timeout() {
    let (plain, secure) = (Server::start(&Device::plain()), Server::start(&Device::new()));
    let start = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| ends_at(Stream::plain(plain.address()), start, HEAD_TIMEOUT));
        scope.spawn(|| ends_at(Stream::plain(secure.address()), start, HEAD_TIMEOUT));
        // The handshake is part of it.
        scope.spawn(|| ends_at(secure.connect(), start, HEAD_TIMEOUT));
    });
}

#[test]
fn half_a_request_ends_after_the_head_timeout() {
    let (plain, secure) = (Server::start(&Device::plain()), Server::start(&Device::new()));
    let hello = tls::client_hello();
    let half = |server: &Server, bytes: &[u8]| {
        let start = Instant::now();
        let mut stream = Stream::plain(server.address());
        stream.write_all(bytes).unwrap();
        ends_at(stream, start, HEAD_TIMEOUT)
    };
    thread::scope(|scope| {
        scope.spawn(|| half(&secure, &hello[..hello.len() / 2]));
        for bytes in [
            &b"GET / HTTP/1.1\r\nHost: h"[..],
            b"POST /system.library/login HTTP/1.1\r\nHost: h\r\nContent-Length: 20\r\n\r\nusername=",
        ] {
            let half = &half;
            let plain = &plain;
            scope.spawn(move || {
                let answer = half(plain, bytes);
                assert!(answer.starts_with(b"HTTP/1.1 408 "), "{:?}", String::from_utf8_lossy(&answer));
            });
        }
    });
}

#[test]
fn slow_request_does_not_extend_the_deadline() {
    let server = Server::start(&Device::plain());
    let start = Instant::now();
    let mut stream = server.connect();
    for byte in b"GET / HTTP/1.1\r\nX: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy" {
        if stream.write_all(&[*byte]).is_err() || start.elapsed() > HEAD_TIMEOUT + SLACK {
            break;
        }
        thread::sleep(Duration::from_millis(250));
    }
    assert!(start.elapsed() < HEAD_TIMEOUT + SLACK);
    ends_at(stream, start, HEAD_TIMEOUT);
}

#[test]
fn a_socket_without_a_session_is_closed() {
    let server = Server::start(&Device::new());
    let start = Instant::now();
    let mut unauthenticated = server.socket();
    let mut wrong = server.socket();
    let mut named = server.bound(ADMIN);
    // Calls that show no valid session do not count.
    wrong.send(r#"{"type":"con","data":{"sessionId":"nobody"}}"#);
    wrong.send_frame(&Frame::new(TEXT, r#"{"type":"con","data":{"type":"ping","data":1}}"#));
    unauthenticated.expect_close(1008, SESSION_TIMEOUT + SLACK);
    assert!(start.elapsed() + Duration::from_secs(1) > SESSION_TIMEOUT, "{:?}", start.elapsed());
    wrong.expect_close(1008, SLACK);
    named.service("start", "hello");
}

#[test]
fn a_call_with_a_session_keeps_an_unbound_socket() {
    let server = Server::start(&Device::plain());
    let mut socket = server.socket();
    socket.service("start", "hello");
    thread::sleep(SESSION_TIMEOUT + Duration::from_secs(3));
    socket.service("stop", "hello");
}

#[test]
fn unanswered_pings_end_a_socket_and_answered_ones_keep_it() {
    let server = Server::start(&Device::plain());
    let start = Instant::now();
    let mut deaf = server.bound(ADMIN);
    let mut alive = server.bound(ADMIN);
    deaf.answers_pings = false;
    let last = PING_INTERVAL * (u32::from(UNANSWERED_PINGS) + 1) + SLACK;
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut pings = 0;
            loop {
                match deaf.receive(last.saturating_sub(start.elapsed())) {
                    Some(Event::Ping(_)) => pings += 1,
                    Some(Event::Close(_) | Event::End) => break,
                    other => panic!("{other:?} after {pings} pings"),
                }
            }
            assert_eq!(pings, u32::from(UNANSWERED_PINGS));
            assert!(start.elapsed() > PING_INTERVAL * 2, "{:?}", start.elapsed());
        });
        // Nothing but pings, and those are answered by `receive`.
        assert_eq!(alive.receive(last), None);
    });
    alive.service("start", "hello");
}

#[test]
fn session_ends_after_its_lifetime_and_its_socket_is_notified() {
    let server = Server::start(&Device::plain().session("idle_timeout_s = 30\nlifetime_s = 40"));
    let session = server.login("fadmin", "secret");
    let mut socket = server.bound(&session);
    // Of another device: the same one would get the same session.
    let form = "username=fadmin&password=secret&deviceid=another";
    let kept = session_of(&server.post("/system.library/login", form).body).unwrap();
    assert_ne!(kept, session);
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(34) {
        let answer = server.post("/system.library/validate", &format!("sessionid={kept}"));
        assert_eq!(answer.status, 200, "what is used stays");
        thread::sleep(Duration::from_secs(4));
    }
    // The idle time has passed, but its socket is a use.
    let reported = socket.push("server-notice");
    assert_eq!(reported, r#"{"type":"msg","data":{"type":"server-notice","data":"session timeout"}}"#);
    assert_eq!(server.post("/system.library/validate", &format!("sessionid={session}")).status, 403);
}
