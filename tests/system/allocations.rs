//! Neither calls nor messages to a log server allocate in the server.

use crate::support::device::{ADMIN, shell};
use crate::support::log_server::LogServer;
use crate::support::server::Allocations;
use crate::support::wait::until;
use crate::support::ws::{Frame, TEXT, frame, request};
use crate::support::{Device, Server};

const CALLS: usize = 100_000;
/// Calls that are made before the first count, so that what is made on first use is there.
const WARM_UP: usize = 2_000;
/// Calls in one write.
const BATCH: usize = 50;

/// Makes calls of all forms on one connection, several in flight, and counts what comes of it.
fn calls(device: &Device) -> [Allocations; 2] {
    let mut server = Server::start_counting(device);
    let mut socket = server.bound(ADMIN);
    socket.service("start", "hello");
    let forms = [
        frame(
            "system.library/services/status",
            &format!(r#"{{"serviceName":"hello","sessionid":"{ADMIN}"}}"#),
        ),
        request("r", "services/hello/status", "{}", ADMIN),
        r#"{"type":"con","data":{"type":"ping","data":1795374850306}}"#.to_owned(),
        frame(
            "system.library/services/start",
            &format!(r#"{{"serviceName":"nobody","sessionid":"{ADMIN}"}}"#),
        ),
        "not a frame, not an envelope".to_owned(),
    ];
    let batch: Vec<u8> =
        (0..BATCH).flat_map(|number| Frame::new(TEXT, forms[number % forms.len()].clone()).bytes()).collect();
    let mut run = |calls: usize| {
        for _ in 0..calls / BATCH {
            socket.send_raw(&batch);
            for _ in 0..BATCH {
                socket.text();
            }
        }
    };
    run(WARM_UP);
    let before = server.allocations();
    run(CALLS);
    [before, server.allocations()]
}

fn nothing_is_taken(device: &Device) {
    let [before, after] = calls(device);
    assert!(after.bytes <= before.bytes + 4096, "{before:?} {after:?}");
    assert!(after.blocks <= before.blocks + 4, "{before:?} {after:?}");
    // Not even for a moment: some blocks for what the machine itself may bring about, none for a call.
    let taken = after.total - before.total;
    println!("{taken} blocks taken in {CALLS} calls");
    assert!(taken < CALLS / 1000, "{taken} blocks taken in {CALLS} calls");
}

#[test]
fn nothing_is_allocated_in_100_000_calls_in_plain_text() {
    nothing_is_taken(&Device::plain());
}

#[test]
fn nothing_is_allocated_in_100_000_calls_over_tls() {
    nothing_is_taken(&Device::new());
}

#[test]
fn messages_to_a_log_server_allocate_nothing() {
    let logs = LogServer::udp(([127, 0, 0, 1], 0).into());
    let script = "while :; do printf '1\\n2\\n3\\n4\\n5\\n6\\n7\\n8\\n'; sleep 0.02; done";
    let tables = format!("[syslog]\naddress = \"udp://{}\"\n", logs.address);
    let device = Device::plain().with(&(tables + &shell("ticker", script, "autostart = true")));
    let mut server = Server::start_counting(&device);
    let mut until_more = |count: usize| {
        let before = logs.texts("ticker").len();
        until("lines come", || logs.texts("ticker").len() >= before + count);
        server.allocations()
    };
    let [before, after] = [until_more(100), until_more(1000)];
    assert!(after.total - before.total < 10, "{before:?} {after:?}");
}
