use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits { message_bytes: 64, binary: false, masked: true };
const MASK: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

/// Masked client frame; `first` is the first byte (FIN, RSV, opcode).
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..=125 => bytes.push(0x80 | length as u8),
        length @ 126..=0xFFFF => {
            bytes.push(0x80 | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
        length => {
            bytes.push(0x80 | 127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend(MASK);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, key)| byte ^ key));
    bytes
}

/// Feeds `bytes` in pieces of `step` and returns the events as strings.
fn run(limits: Limits, bytes: &[u8], step: usize) -> Vec<String> {
    let mut buffer = ReceiveBuffer::new(limits.message_bytes + 256);
    let mut assembler = Assembler::new(limits);
    let mut seen = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let space = buffer.space();
        let count = step.min(rest.len()).min(space.len());
        assert!(count > 0, "the buffer is full without an event");
        space[..count].copy_from_slice(&rest[..count]);
        buffer.commit(count);
        rest = &rest[count..];
        loop {
            match assembler.poll(&mut buffer) {
                Ok(Event::More) => break,
                Ok(Event::Message { text, range }) => {
                    let payload = String::from_utf8_lossy(&buffer.filled()[range]).into_owned();
                    seen.push(format!("{} {payload}", if text { "text" } else { "binary" }));
                }
                Ok(Event::Ping(range)) => {
                    seen.push(format!("ping {}", String::from_utf8_lossy(&buffer.filled()[range])));
                }
                Ok(Event::Pong) => seen.push("pong".to_owned()),
                Ok(Event::Close(code, range)) => {
                    let reason = String::from_utf8_lossy(&buffer.filled()[range]);
                    seen.push(format!("close {code:?} {reason}").trim_end().to_owned());
                }
                Err(violation) => {
                    seen.push(format!("{} {}", u16::from(violation.close_code()), violation.reason()));
                }
            }
        }
    }
    seen
}

/// Checks that the outcome does not depend on the size of the pieces.
fn check(bytes: &[u8], expected: &[&str]) {
    for step in [1, 2, 3, 7, 1000] {
        assert_eq!(run(LIMITS, bytes, step), expected, "in pieces of {step}");
    }
}

#[test]
fn rfc_6455_section_5_7_masked_hello() {
    check(&[0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58], &["text Hello"]);
}

#[test]
fn pings_between_fragments() {
    let mut bytes = frame(0x01, b"Hel");
    bytes.extend(frame(0x89, b"a"));
    bytes.extend(frame(0x00, b"lo "));
    bytes.extend(frame(0x8A, b""));
    bytes.extend(frame(0x80, b"there"));
    bytes.extend(frame(0x81, b"next"));
    check(&bytes, &["ping a", "pong", "text Hello there", "text next"]);
}

#[test]
fn message_up_to_its_limit() {
    check(&frame(0x81, &[b'x'; 64]), &[&format!("text {}", "x".repeat(64))]);
    check(&frame(0x81, &[b'x'; 65]), &["1009 message too big"]);
    let mut bytes = frame(0x01, &[b'x'; 40]);
    bytes.extend(frame(0x80, &[b'y'; 25]));
    check(&bytes, &["1009 message too big"]);
}

#[test]
fn empty_messages_and_empty_fragments() {
    let mut bytes = frame(0x81, b"");
    bytes.extend(frame(0x01, b""));
    bytes.extend(frame(0x00, b""));
    bytes.extend(frame(0x80, b""));
    check(&bytes, &["text ", "text "]);
}

#[test]
fn character_split_over_fragments() {
    let mut bytes = frame(0x01, &[0xE2]);
    bytes.extend(frame(0x00, &[0x82]));
    bytes.extend(frame(0x80, &[0xAC]));
    check(&bytes, &["text €"]);
}

#[test]
fn invalid_utf8_fails_at_once_and_at_the_end() {
    check(&frame(0x01, &[b'a', 0xFF]), &["1007 not UTF-8"]);
    check(&frame(0x81, &[b'a', 0xE2, 0x82]), &["1007 not UTF-8"]);
}

#[test]
fn binary_where_allowed() {
    check(&frame(0x82, b"ab"), &["1003 text messages only"]);
    let limits = Limits { binary: true, ..LIMITS };
    assert_eq!(run(limits, &frame(0x82, b"ab"), 1000), ["binary ab"]);
}

#[test]
fn framing_violations() {
    check(&[0x81, 0x01, b'a'], &["1002 frame not masked"]);
    check(&frame(0xC1, b"a"), &["1002 reserved bit set"]);
    check(&frame(0x83, b"a"), &["1002 reserved opcode"]);
    check(&frame(0x8B, b"a"), &["1002 reserved opcode"]);
    check(&frame(0x09, b"a"), &["1002 fragmented control frame"]);
    check(&frame(0x80, b"a"), &["1002 continuation of nothing"]);
    check(&[frame(0x01, b"a"), frame(0x81, b"b")].concat(), &["1002 new message inside a fragmented one"]);
    check(&frame(0x89, &[0; 126]), &["1002 control frame over 125 bytes"]);
    check(&[0x81, 0xFE, 0, 5, 0, 0, 0, 0], &["1002 length not in its shortest form"]);
}

#[test]
fn control_frame_of_the_largest_size() {
    let payload = [b'p'; CONTROL_BYTES];
    check(&frame(0x89, &payload), &[&format!("ping {}", "p".repeat(CONTROL_BYTES))]);
}

#[test]
fn closing() {
    check(&frame(0x88, b""), &["close None"]);
    check(&frame(0x88, &[0x03, 0xE8, b'o']), &["close Some(1000) o"]);
    check(&frame(0x88, &[0x03]), &["1002 close code cut short"]);
    check(&frame(0x88, &[0x03, 0xED]), &["1002 bad close code"]);
    check(&frame(0x88, &[0x03, 0xE8, 0xFF]), &["1007 not UTF-8"]);
    check(&[frame(0x88, b""), frame(0x81, b"late")].concat(), &["close None"]);
}

#[test]
fn frames_of_a_server_are_not_masked() {
    let limits = Limits { masked: false, ..LIMITS };
    let bytes = b"\x01\x03H\xc3\xa4\x89\x01p\x80\x01!\x88\x05\x03\xf0why";
    for step in [1, 2, 3, 7, 1000] {
        let seen = run(limits, bytes, step);
        assert_eq!(seen, ["ping p", "text H\u{e4}!", "close Some(1008) why"], "in pieces of {step}");
    }
    assert_eq!(run(limits, &frame(0x81, b"Hi"), 1000), ["1002 frame masked"]);
    assert_eq!(run(LIMITS, b"\x81\x02Hi", 1000), ["1002 frame not masked"]);
}

proptest! {
    #[test]
    fn any_bytes_end_in_events_or_one_violation(bytes in prop::collection::vec(any::<u8>(), 0..600), step in 1usize..64) {
        let seen = run(LIMITS, &bytes, step);
        prop_assert!(seen.iter().filter(|event| event.starts_with("10")).count() <= 1);
    }

    #[test]
    fn any_fragmentation_is_reassembled(text in "\\PC{0,16}", cuts in prop::collection::vec(0usize..8, 0..6), step in 1usize..64) {
        let mut rest = text.as_bytes();
        let mut bytes = Vec::new();
        for (index, cut) in cuts.iter().enumerate() {
            let (piece, tail) = rest.split_at((*cut).min(rest.len()));
            bytes.extend(frame(if index == 0 { 0x01 } else { 0x00 }, piece));
            bytes.extend(frame(0x89, piece));
            rest = tail;
        }
        bytes.extend(frame(if cuts.is_empty() { 0x81 } else { 0x80 }, rest));
        let seen = run(LIMITS, &bytes, step);
        prop_assert_eq!(seen.last().unwrap(), &format!("text {text}"));
        prop_assert_eq!(seen.len(), cuts.len() + 1);
    }
}
