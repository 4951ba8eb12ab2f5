//! SNTP: a client under a script of datagrams, failures and time always has a deadline, and never a time before
//! the build.

#![no_main]

use std::net::Ipv4Addr;
use std::time::Duration;

use friendlet::sntp::{Client, Correction, MESSAGE_BYTES};
use libfuzzer_sys::fuzz_target;

const BUILT: u64 = 1_795_996_800;
const SERVERS: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2)];

fuzz_target!(|bytes: &[u8]| {
    let mut client = Client::new(BUILT);
    let mut now = Duration::ZERO;
    client.handle_servers(&SERVERS, now);
    let mut request = [0; MESSAGE_BYTES];
    let mut rest = bytes;
    while let Some((step, after)) = rest.split_first() {
        rest = after;
        match step % 4 {
            0 => client.handle_unreachable(now),
            1 => now = client.poll_timeout().unwrap_or(now).max(now),
            2 => now += Duration::from_millis(u64::from(*step)),
            _ => {
                let (datagram, after) = rest.split_at(rest.len().min(MESSAGE_BYTES));
                rest = after;
                // An answer to what was asked last, but for what the bytes say.
                let mut reply = datagram.to_vec();
                if reply.len() == MESSAGE_BYTES && step & 0x80 == 0 {
                    reply[24..32].copy_from_slice(&request[40..]);
                }
                if let Some(reading) = client.handle_packet(&reply, now, now)
                    && let Correction::Step(time) = reading.correction
                {
                    assert!(time.as_secs() >= BUILT);
                }
            }
        }
        client.handle_timeout(now, u64::from_be_bytes([*step; 8]));
        if let Some((_, bytes)) = client.poll_request() {
            request = bytes;
        }
    }
});
