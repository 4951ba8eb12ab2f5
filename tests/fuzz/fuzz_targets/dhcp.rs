//! DHCP: any message is read or refused, and a client under a script of messages, links and time uses
//! an address only while it holds a lease of it, and always says when it goes on.

#![no_main]

use std::time::Duration;

use friendlet::dhcp::{AddressChange, Client, DHCP_BYTES, ServerMessage};
use libfuzzer_sys::fuzz_target;

const HARDWARE: [u8; 6] = [2, 0, 0, 0, 0, 1];

fuzz_target!(|bytes: &[u8]| {
    if let Ok(reply) = ServerMessage::parse(bytes) {
        assert!(reply.prefix.is_none_or(|prefix| (1..=32).contains(&prefix)));
    }
    script(bytes);
});

/// Runs one step for each byte, with its arguments in the bytes after it.
fn script(bytes: &[u8]) {
    let mut client = Client::new(HARDWARE, "board".try_into().unwrap(), 1);
    let mut now = Duration::ZERO;
    let mut configured = None;
    let mut sent = [0; 8];
    let mut rest = bytes;
    while let Some((step, after)) = rest.split_first() {
        rest = after;
        match step % 8 {
            0 => client.handle_link_down(),
            1 => client.handle_link_up(now),
            2 | 3 => {
                now = client.poll_timeout().unwrap_or(now).max(now);
                client.handle_timeout(now);
            }
            4 => {
                now += Duration::from_secs(u64::from(*step));
                client.handle_timeout(now);
            }
            _ => {
                let (options, after) = rest.split_at(rest.len().min(usize::from(step / 4)));
                rest = after;
                // An answer to what was asked last, but for what the options say.
                let mut reply = vec![2, 1, 6, 0];
                reply.extend(&sent[4..8]);
                reply.extend([0; 8]);
                reply.extend([10, 0, 0, 1 + step % 2]);
                reply.extend([0; 8]);
                reply.extend(HARDWARE);
                reply.extend([0; 202]);
                reply.extend([99, 130, 83, 99]);
                reply.extend([53, 1, [2, 5, 6][usize::from(step % 3)]]);
                reply.extend([54, 4, 10, 0, 0, 254]);
                reply.extend(options);
                let _ = client.handle_packet(&reply, now);
            }
        }
        while let Some(change) = client.poll_change() {
            configured = match change {
                AddressChange::Configure(lease) => Some(lease),
                AddressChange::Deconfigure(_) => None,
            };
        }
        assert_eq!(configured.as_ref(), client.lease());
        let mut buffer = [0; DHCP_BYTES];
        if let Some((message, _)) = client.poll_output(&mut buffer) {
            assert!(message.len() >= 300);
            sent.copy_from_slice(&message[..8]);
        }
    }
}
