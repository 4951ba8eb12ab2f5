//! A peer that does not read: it uses no memory, and gets the newest states only.

use std::io::{ErrorKind, Write};
use std::time::{Duration, Instant};

use friendlet::connection::SEND_TIMEOUT;

use crate::support::device::{ADMIN, shell};
use crate::support::memory::assert_bound_holds;
use crate::support::stream::Stream;
use crate::support::wait::{SOON, within};
use crate::support::ws::{Event, Frame, Socket, TEXT, request};
use crate::support::{Device, Server, process};

const OK: &str = r#"{ "Status": "ok"}"#;

/// A bound socket that has asked for so much without reading that it can write no more.
fn stuffed(server: &Server) -> Socket {
    let mut socket = Socket::open(Stream::plain(server.address()));
    socket.bind(ADMIN);
    let tcp = socket.stream().socket().try_clone().unwrap();
    tcp.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let calls = Frame::new(TEXT, request("r", "services/list", "{}", ADMIN)).bytes().repeat(500);
    let start = Instant::now();
    loop {
        match (&tcp).write(&calls) {
            // The rest of a cut frame must not follow something else: nothing more is sent.
            Ok(count) if count < calls.len() => return socket,
            Ok(_) => assert!(start.elapsed() < Duration::from_secs(60), "the server takes without end"),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return socket;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn peer_that_does_not_read_is_closed_and_uses_no_memory() {
    let server = Server::start(&Device::plain());
    let mut other = server.bound(ADMIN);
    let descriptors = process::descriptors(server.pid());
    drop(stuffed(&server));
    within(SOON, "the first is gone", || (process::descriptors(server.pid()) <= descriptors).then_some(()));
    let memory = process::status(server.pid(), "VmRSS");

    let start = Instant::now();
    let mut stuck = stuffed(&server);
    assert!(process::descriptors(server.pid()) > descriptors);
    // Others notice nothing of it.
    for _ in 0..20 {
        assert_eq!(other.service("start", "hello"), OK);
        other.push(r#""state":"started""#);
        assert_eq!(other.service("stop", "hello"), OK);
        other.push(r#""state":"stopped""#);
    }
    within(SEND_TIMEOUT + Duration::from_secs(30), "the slot is free", || {
        (process::descriptors(server.pid()) <= descriptors).then_some(())
    });
    assert!(start.elapsed() + Duration::from_secs(1) > SEND_TIMEOUT, "{:?}", start.elapsed());
    assert_bound_holds(&server, "a slow reader");
    let after = process::status(server.pid(), "VmRSS");
    assert!(after <= memory + 512, "{memory} kB before, {after} kB after");
    // What it was sent before is still there to be read, up to the reason of the end.
    loop {
        match stuck.receive(SOON) {
            Some(Event::Text(_) | Event::Ping(_)) => {}
            Some(Event::Close(code)) => {
                assert_eq!(code, 1013);
                break;
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn peer_that_does_not_read_gets_the_newest_state() {
    let server = Server::start(&Device::plain().with(&shell("flapping", "exec sleep 1000", "")));
    let mut other = server.bound(ADMIN);
    let mut stuck = stuffed(&server);
    // As many as there is time for on a slow machine.
    let (start, mut rounds) = (Instant::now(), 0);
    while rounds < 40 && start.elapsed() < SEND_TIMEOUT / 2 {
        rounds += 1;
        assert_eq!(other.service("start", "flapping"), OK);
        other.push(r#""state":"started""#);
        assert_eq!(other.service("stop", "flapping"), OK);
        other.push(r#""state":"stopped""#);
    }
    assert_eq!(other.service("start", "flapping"), OK);
    let newest = other.push(r#""state":"started""#);

    // It wakes up before its deadline: what it reads ends with the newest.
    let mut reported = Vec::new();
    while reported.last() != Some(&newest) {
        match stuck.receive(SOON) {
            Some(Event::Text(text)) if text.contains("service-change") => reported.push(text),
            Some(Event::Text(text)) => assert!(text.contains(r#""requestid":"r""#), "{text}"),
            other => panic!("{other:?} after {reported:?}"),
        }
    }
    assert!(reported.len() < rounds, "{} of {} changes were kept for it", reported.len(), 2 * rounds + 1);
}

#[test]
fn peer_that_reads_late_finds_the_reason_at_the_end() {
    for mut device in [Device::plain(), Device::new()] {
        for number in 0..20 {
            device = device.with(&shell(&format!("a-service-with-a-long-name-{number}"), "exit 0", ""));
        }
        let server = Server::start(&device);
        let mut slow = server.bound(ADMIN);
        // Short calls with long answers, more of them than fit on the way.
        let calls = Frame::new(TEXT, request("r", "services/list", "{}", ADMIN)).bytes().repeat(400);
        slow.send_raw(&calls);
        std::thread::sleep(SEND_TIMEOUT + Duration::from_secs(3));
        let mut answers = 0;
        loop {
            match slow.receive(SOON) {
                Some(Event::Text(_)) => answers += 1,
                Some(Event::Ping(_)) => {}
                Some(Event::Close(code)) => {
                    assert_eq!(code, 1013);
                    break;
                }
                other => panic!("{other:?} after {answers} answers"),
            }
        }
        assert!((1..400).contains(&answers), "{answers} answers were on the way");
    }
}
