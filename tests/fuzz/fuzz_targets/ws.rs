//! WebSocket frames: the same events whatever the pieces in which their bytes come, within the
//! limits; and a socket over them answers with frames alone.

#![no_main]

use std::time::Duration;

use friendlet::ws::{Assembler, Event, Incoming, Limits, ReceiveBuffer, SendBuffer, Socket, Violation};
use libfuzzer_sys::fuzz_target;

const LIMITS: Limits = Limits { message_bytes: 160, binary: true, masked: true };
/// The message, one header and one control frame besides.
const RECEIVE_BYTES: usize = 160 + 14 + 14 + 125;

fuzz_target!(|bytes: &[u8]| {
    let Some((pieces, bytes)) = bytes.split_at_checked(8) else { return };
    let binary = pieces[0] % 2 == 0;
    let whole = events(bytes, &[usize::MAX], binary);
    assert_eq!(events(bytes, &[1], binary), whole);
    let pieces: Vec<usize> = pieces.iter().map(|piece| 1 + usize::from(*piece)).collect();
    assert_eq!(events(bytes, &pieces, binary), whole);
    socket(bytes, &pieces);
});

#[derive(Debug, PartialEq)]
enum Seen {
    Message(bool, Vec<u8>),
    Ping(Vec<u8>),
    Close(Option<u16>, Vec<u8>),
    Event(Event),
    Violation(Violation),
}

fn events(mut bytes: &[u8], pieces: &[usize], binary: bool) -> Vec<Seen> {
    let mut assembler = Assembler::new(Limits { binary, ..LIMITS });
    let mut buffer = ReceiveBuffer::new(RECEIVE_BYTES);
    let mut pieces = pieces.iter().cycle();
    let mut seen = Vec::new();
    while !bytes.is_empty() {
        let count = put(&mut buffer, bytes, *pieces.next().expect("a cycle"));
        assert!(count > 0, "no room, and nothing whole");
        bytes = &bytes[count..];
        loop {
            match assembler.poll(&mut buffer) {
                Ok(Event::More) => break,
                Ok(Event::Message { text, range }) => {
                    let message = buffer.filled()[range].to_vec();
                    assert!(message.len() <= LIMITS.message_bytes && (text || binary));
                    assert!(!text || std::str::from_utf8(&message).is_ok());
                    seen.push(Seen::Message(text, message));
                }
                // Their places in the buffer depend on the pieces.
                Ok(Event::Ping(range)) => seen.push(Seen::Ping(buffer.filled()[range].to_vec())),
                Ok(Event::Close(code, range)) => {
                    seen.push(Seen::Close(code, buffer.filled()[range].to_vec()));
                }
                Ok(event) => seen.push(Seen::Event(event)),
                Err(violation) => {
                    assert!(violation.reason().len() <= 123);
                    seen.push(Seen::Violation(violation));
                }
            }
        }
    }
    let end = |seen: &Seen| matches!(seen, Seen::Violation(_) | Seen::Close(..));
    assert!(seen.iter().rev().skip(1).all(|seen| !end(seen)), "something follows the end");
    seen
}

fn put(buffer: &mut ReceiveBuffer, bytes: &[u8], piece: usize) -> usize {
    let space = buffer.space();
    let count = bytes.len().min(space.len()).min(piece);
    space[..count].copy_from_slice(&bytes[..count]);
    buffer.commit(count);
    count
}

/// A socket whose peer reads in pieces, too.
fn socket(mut bytes: &[u8], pieces: &[usize]) {
    let mut socket = Socket::new(LIMITS, Duration::ZERO);
    let mut receive = ReceiveBuffer::new(RECEIVE_BYTES);
    let mut send = SendBuffer::new(300);
    let mut sent = Vec::new();
    let mut pieces = pieces.iter().cycle();
    let mut stalled = false;
    while !bytes.is_empty() && !socket.is_closed() {
        if !stalled {
            let count = put(&mut receive, bytes, *pieces.next().expect("a cycle"));
            bytes = &bytes[count..];
        }
        loop {
            stalled = false;
            match socket.poll(&mut receive, &mut send, Duration::ZERO) {
                Incoming::More => break,
                Incoming::Message { range, .. } => assert!(range.len() <= LIMITS.message_bytes),
                Incoming::Stalled => {
                    stalled = true;
                    break;
                }
            }
        }
        let count = send.pending().len().min(*pieces.next().expect("a cycle"));
        sent.extend_from_slice(&send.pending()[..count]);
        send.sent(count);
    }
    sent.extend_from_slice(send.pending());
    let mut rest = &sent[..];
    while let Some((&[first, length], tail)) = rest.split_first_chunk() {
        assert!(first == 0x8A || first == 0x88, "{first:02x}");
        rest = &tail[usize::from(length)..];
        assert!(first == 0x8A || rest.is_empty(), "something follows the closing frame");
    }
    assert!(rest.is_empty());
}
