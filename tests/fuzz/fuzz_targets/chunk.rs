//! The assembler: any sequence of parts, replies, releases and time keeps it within its sets, and
//! dropping the owners frees them all.

#![no_main]

use std::time::Duration;

use friendlet::friendcore::chunk::Owner;
use friendlet::friendcore::{Assembler, CHUNK_AGE, CHUNK_ENVELOPE_BYTES, CHUNK_PIECE_BYTES, Part, Progress};
use friendlet::json::Writer;
use friendlet::limits;
use libfuzzer_sys::fuzz_target;

const OWNERS: u32 = 4;

/// Owner of a connection: the first one is an administrator, who has any free set.
fn owner(connection: u32) -> Owner {
    Owner { connection, user: None, is_admin: connection == 0 }
}

fuzz_target!(|bytes: &[u8]| {
    let mut pool = Assembler::new();
    let mut now = Duration::ZERO;
    let mut leased = Vec::new();
    let mut rest = bytes;
    while let Some((head, tail)) = rest.split_first_chunk::<5>() {
        let [what, id, part, total, length] = *head;
        let (data, tail) = tail.split_at(usize::from(length).min(tail.len()));
        rest = tail;
        let connection = u32::from(what >> 4) % OWNERS;
        let owner = owner(connection);
        match what % 8 {
            0 => now += Duration::from_secs(u64::from(length)),
            1 => pool.drop_owner(connection),
            2 => {
                if let Ok(set) = pool.lease_down(owner, data, now) {
                    leased.push(set);
                }
            }
            3 => {
                if let Some(set) = leased.pop() {
                    let mut buffer = vec![0; CHUNK_PIECE_BYTES + CHUNK_ENVELOPE_BYTES];
                    let mut out = Writer::new(&mut buffer);
                    pool.write_part(set, usize::from(part), &mut out).expect("room");
                    assert_eq!(out.is_empty(), usize::from(part) >= pool.parts(set));
                    pool.release(set);
                }
            }
            _ => {
                let Ok(data) = std::str::from_utf8(data) else { continue };
                let id = ["a", "b", "c", ""][usize::from(id) % 4];
                let part = Part { id, part: part.into(), total: total.into(), data };
                if let Ok(Progress::Complete(set)) = pool.handle_part(owner, part, now) {
                    assert!(pool.message(set).len() <= limits::CHUNK_BYTES);
                    pool.release(set);
                }
            }
        }
        if let Some(deadline) = pool.poll_timeout() {
            assert!(deadline <= now + CHUNK_AGE);
        }
    }
    for owner in 0..OWNERS {
        pool.drop_owner(owner);
    }
    assert_eq!(pool.poll_timeout(), None);
    for _ in 0..limits::CHUNK_SETS {
        assert!(pool.lease_down(owner(0), b"x", now).is_ok());
    }
});
