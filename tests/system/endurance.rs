//! Services over a long time: the delays of restarts, and what thousands of ends and cycles cost.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use super::cgroups::WAYS;
use super::services::OK;
use crate::support::device::{ADMIN, service, shell};
use crate::support::directory::Directory;
use crate::support::wait::{until, within};
use crate::support::ws::frame;
use crate::support::{Device, Server, process};

/// First delays of the back-off, in seconds.
const DELAYS: [f64; 5] = [0.5, 1.0, 2.0, 4.0, 8.0];
/// Part of a delay by which it differs at most.
const JITTER: f64 = 0.1;
/// Precision of `/proc/uptime`, in seconds.
const PRECISION: f64 = 0.01;
/// Time for fork, exec, shell and exit on a busy machine, in seconds. Delays that double from another first one, or
/// that do not double, exceed it within five.
const ALLOWANCE: f64 = 1.0;

#[test]
fn delays_between_restarts_are_the_documented_ones() {
    let directory = Directory::new();
    let file = directory.file("starts");
    let script = format!("read now rest < /proc/uptime; echo $now >> {file}; exit 1");
    let table = shell("failing", &script, "restart = \"on-failure\"\nautostart = true");
    let _server = Server::start(&Device::plain().with(&table));
    let starts: Vec<f64> = within(Duration::from_secs(120), "it starts six times", || {
        let text = fs::read_to_string(&file).unwrap_or_default();
        let starts: Vec<f64> = text.split_terminator('\n').map(|time| time.parse().unwrap()).collect();
        Some(starts).filter(|starts| starts.len() > DELAYS.len())
    });
    let gaps: Vec<f64> = starts.windows(2).map(|pair| pair[1] - pair[0]).collect();
    println!("{gaps:.2?} s");
    for (gap, delay) in gaps.iter().zip(DELAYS) {
        // A start is noted before the exit after which the delay begins.
        assert!(*gap >= delay * (1.0 - JITTER) - PRECISION, "{gap} s of {delay} s, {gaps:?}");
        assert!(*gap <= delay * (1.0 + JITTER) + PRECISION + ALLOWANCE, "{gap} s of {delay} s, {gaps:?}");
    }
}

/// Cycles until every buffer has been in use: the longest is the queue of log lines for standard error.
const FIRST: usize = 500;
/// Most growth of memory, in kB. What is kept first fills the free part of the heap, so the smallest leaks are found by
/// 10,000 cycles alone.
const GROWTH: u64 = 8;

/// Private memory in kB, and descriptors, of keeper and server, with the service stopped.
fn used(server: &Server, service: &str) -> [(u64, usize); 2] {
    // It may be in its back-off.
    assert_eq!(server.call(&format!("services/{service}/stop")), OK);
    // Zombies are children, too.
    until("all processes are reaped", || server.services().is_empty());
    // Buffers of connections are released within half a second.
    thread::sleep(Duration::from_secs(1));
    [server.keeper(), server.pid()].map(|pid| (process::anonymous(pid), process::descriptors(pid)))
}

/// Checks that `times` cycles of a service cost neither memory nor descriptors, and leave no process.
#[track_caller]
fn assert_costs_nothing(server: &Server, service: &str, times: usize, mut cycle: impl FnMut()) {
    (0..FIRST).for_each(|_| cycle());
    let before = used(server, service);
    let begun = Instant::now();
    (0..times).for_each(|_| cycle());
    let elapsed = begun.elapsed();
    let after = used(server, service);
    println!("{times} cycles in {elapsed:?}; keeper and server had {before:?}, have {after:?}");
    for (before, after) in before.into_iter().zip(after) {
        assert_eq!(after.1, before.1, "descriptors");
        assert!(after.0 <= before.0 + GROWTH, "{before:?} before, {after:?} after");
    }
}

#[test]
fn thousand_deaths_cost_nothing() {
    let table = shell("brief", "echo cannot work; exit 1", "restart = \"on-failure\"");
    let server = Server::start(&Device::plain().with(&table));
    let mut socket = server.socket();
    assert_costs_nothing(&server, "brief", 1000, || {
        let answer = socket.service("start", "brief");
        assert!(answer.contains("brief: exited at once, exit 1"), "{answer}");
    });
}

/// Starts and stops a service. A start is answered after 250 ms, or when a stop comes before.
fn assert_cycles_cost_nothing(times: usize) {
    for way in WAYS {
        let table = service("calm", &["/bin/sleep", "1000"], "");
        let server = Server::start(&Device::plain().with(&(table + way)));
        let (mut starts, mut stops, mut pushes) = (server.socket(), server.socket(), server.bound(ADMIN));
        let mut until_pushed = |state: &str| while !pushes.text().contains(state) {};
        let start = frame("services/start", &format!(r#"{{ "serviceName":"calm", "sessionid":"{ADMIN}" }}"#));
        assert_costs_nothing(&server, "calm", times, || {
            starts.send(&start);
            until_pushed(r#""state":"started""#);
            assert_eq!(stops.service("stop", "calm"), OK);
            until_pushed(r#""state":"stopped""#);
            assert_eq!(starts.reply(), OK);
        });
    }
}

#[test]
fn five_hundred_starts_and_stops_cost_nothing() {
    assert_cycles_cost_nothing(500);
}

#[test]
#[ignore = "takes minutes"]
fn ten_thousand_starts_and_stops_cost_nothing() {
    assert_cycles_cost_nothing(10_000);
}
