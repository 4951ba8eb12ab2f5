//! Multicast DNS: any message is parsed or ignored, and a responder under a script of messages and time has a later
//! deadline after each step, sends messages that a browser reads, and comes to rest.

#![no_main]

use std::net::SocketAddr;
use std::time::Duration;

use friendlet::mdns::{Address, MDNS_BYTES, Responder, Service, browse};
use libfuzzer_sys::fuzz_target;

/// A responder, a client on its link and one beyond it.
const SOURCES: [&str; 4] = ["192.0.2.7:5353", "192.0.2.7:40000", "192.0.2.1:5353", "198.51.100.1:5353"];

fuzz_target!(|bytes: &[u8]| {
    let visit = &mut |found: browse::Found| assert!(found.port > 0 && !found.addresses.is_empty());
    browse::visit_servers(bytes, visit);
    let mut responder = Responder::new("board", Service { port: 6500, has_tls: true }, "0.1.0", 1);
    let mut now = Duration::ZERO;
    let addresses = [
        Address::new("192.0.2.1".parse().unwrap(), 24, true),
        Address::new("fe80::1".parse().unwrap(), 64, true),
    ];
    responder.handle_addresses(&mut addresses.into_iter().map(|address| (2, address)), 6500, now);
    let mut rest = bytes;
    while let Some((step, after)) = rest.split_first() {
        let (message, after) = after.split_at(after.len().min(usize::from(step >> 2) * 4));
        rest = after;
        let source: SocketAddr = SOURCES[usize::from(step % 4)].parse().unwrap();
        let mut reply = [0; MDNS_BYTES];
        if let Some(len) = responder.handle_packet(message, source, now, &mut reply) {
            assert!((12..=MDNS_BYTES).contains(&len));
            browse::visit_servers(&reply[..len], visit);
        }
        now += Duration::from_millis(u64::from(*step));
        run(&mut responder, now);
    }
    // It comes to rest, with a name.
    for _ in 0..100 {
        let Some(due) = responder.poll_timeout() else { break };
        now = due.max(now);
        run(&mut responder, now);
    }
    assert_eq!(responder.poll_timeout(), None);
    assert!(responder.poll_name().is_some());
});

fn run(responder: &mut Responder, now: Duration) {
    let mut out = [0; MDNS_BYTES];
    while let Some(transmit) = responder.poll_transmit(now, &mut out) {
        assert!((12..=MDNS_BYTES).contains(&transmit.len));
    }
    assert!(responder.poll_timeout().is_none_or(|due| due > now));
}
