//! Records under a known key: those of RFC 8448, section 3, and the arithmetic around them.

use ring::aead::AES_128_GCM;
use rustls::AlertDescription;

use super::super::record::{
    ALERT, APPLICATION_DATA, CONTENT_BYTES, Content, HANDSHAKE, HEADER_BYTES, OVERHEAD_BYTES, SEALED_BYTES,
    TrafficKey,
};

fn bytes(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

const SERVER_KEY: &str = "9f 02 28 3b 6c 9c 07 ef c2 6b b9 f2 ac 92 e3 56";
const SERVER_IV: &str = "cf 78 2b 88 dd 83 54 9a ad f1 e9 84";
const CLIENT_KEY: &str = "17 42 2d da 59 6e d5 d9 ac d8 90 e3 c6 3f 50 51";
const CLIENT_IV: &str = "5b 78 92 3d ee 08 57 90 33 e5 23 d9";
/// Fifty bytes, 0 to 49, each way.
const SERVER_DATA: &str = "17 03 03 00 43 2e 93 7e 11 ef 4a c7 40 e5 38 ad 36 00 5f c4 a4 69 32 fc 32 25 d0
    5f 82 aa 1b 36 e3 0e fa f9 7d 90 e6 df fc 60 2d cb 50 1a 59 a8 fc c4 9c 4b f2 e5 f0 a2 1c 00 47 c2 ab
    f3 32 54 0d d0 32 e1 67 c2 95 5d";
const CLIENT_DATA: &str = "17 03 03 00 43 a2 3f 70 54 b6 2c 94 d0 af fa fe 82 28 ba 55 cb ef ac ea 42 f9 14
    aa 66 bc ab 3f 2b 98 19 a8 a5 b4 6b 39 5b d5 4a 9a 20 44 1e 2b 62 97 4e 1f 5a 62 92 a2 97 70 14 bd 1e
    3d ea e6 3a ee bb 21 69 49 15 e4";
/// close_notify, each way.
const SERVER_ALERT: &str = "17 03 03 00 13 b5 8f d6 71 66 eb f5 99 d2 47 20 cf be 7e fa 7a 88 64 a9";
const CLIENT_ALERT: &str = "17 03 03 00 13 c9 87 27 60 65 56 66 b7 4d 7f f1 15 3e fd 6d b6 d0 b0 e3";

fn key(key: &str, iv: &str, sequence: u64) -> TrafficKey {
    TrafficKey::from_parts(&AES_128_GCM, &bytes(key), &bytes(iv), sequence).unwrap()
}

fn sealed(key: &mut TrafficKey, kind: u8, content: &[u8]) -> Vec<u8> {
    let mut record = vec![0xaa; content.len() + OVERHEAD_BYTES];
    record[HEADER_BYTES..HEADER_BYTES + content.len()].copy_from_slice(content);
    let count = key.seal(Content { kind, len: content.len() }, &mut record).unwrap();
    assert_eq!(count, record.len());
    record
}

fn data() -> Vec<u8> {
    (0..50).collect()
}

#[test]
fn records_of_rfc_8448_are_sealed() {
    // The server's first record under this key was a ticket.
    let mut server = key(SERVER_KEY, SERVER_IV, 1);
    assert_eq!(sealed(&mut server, APPLICATION_DATA, &data()), bytes(SERVER_DATA));
    assert_eq!(sealed(&mut server, ALERT, &[1, 0]), bytes(SERVER_ALERT));
    assert_eq!(server.sequence(), 3);
    let mut client = key(CLIENT_KEY, CLIENT_IV, 0);
    assert_eq!(sealed(&mut client, APPLICATION_DATA, &data()), bytes(CLIENT_DATA));
    assert_eq!(sealed(&mut client, ALERT, &[1, 0]), bytes(CLIENT_ALERT));
}

#[test]
fn records_of_rfc_8448_are_opened() {
    for (name, iv, sequence, [first, second]) in [
        (SERVER_KEY, SERVER_IV, 1, [SERVER_DATA, SERVER_ALERT]),
        (CLIENT_KEY, CLIENT_IV, 0, [CLIENT_DATA, CLIENT_ALERT]),
    ] {
        let mut key = key(name, iv, sequence);
        let mut record = bytes(first);
        assert_eq!(key.open(&mut record), Ok(Content { kind: APPLICATION_DATA, len: 50 }));
        assert_eq!(record[HEADER_BYTES..HEADER_BYTES + 50], data());
        let mut record = bytes(second);
        assert_eq!(key.open(&mut record), Ok(Content { kind: ALERT, len: 2 }));
        assert_eq!(record[HEADER_BYTES..HEADER_BYTES + 2], [1, 0]);
    }
}

#[test]
fn record_opens_under_its_number_alone() {
    for sequence in [0, 2, 256, u64::MAX - 1] {
        let mut record = bytes(SERVER_DATA);
        let opened = key(SERVER_KEY, SERVER_IV, sequence).open(&mut record);
        assert_eq!(opened, Err(AlertDescription::BadRecordMac), "{sequence}");
    }
}

#[test]
fn number_never_starts_again() {
    let mut key = key(SERVER_KEY, SERVER_IV, u64::MAX - 1);
    sealed(&mut key, APPLICATION_DATA, b"last");
    let mut record = [0; 64];
    let refused = key.seal(Content { kind: APPLICATION_DATA, len: 4 }, &mut record);
    assert_eq!(refused, Err(AlertDescription::InternalError));
    assert_eq!(record, [0; 64], "and nothing is sealed");
    assert_eq!(key.open(&mut record), Err(AlertDescription::InternalError));
    assert_eq!(key.sequence(), u64::MAX);
}

#[test]
fn every_byte_of_a_nonce_that_has_a_number_in_it_counts() {
    // Records that differ in one bit of their number are sealed differently, and open as sealed.
    let first = sealed(&mut key(SERVER_KEY, SERVER_IV, 0), HANDSHAKE, &data());
    for bit in 0..64 {
        let mut record = sealed(&mut key(SERVER_KEY, SERVER_IV, 1 << bit), HANDSHAKE, &data());
        assert_ne!(record, first);
        let opened = key(SERVER_KEY, SERVER_IV, 1 << bit).open(&mut record);
        assert_eq!(opened, Ok(Content { kind: HANDSHAKE, len: 50 }), "{bit}");
    }
}

#[test]
fn content_is_what_is_left_of_type_and_padding() {
    let open = |inner: &[u8]| {
        // Sealed as content of type 0, a plaintext keeps its end: what is behind it is padding.
        let mut record = sealed(&mut key(SERVER_KEY, SERVER_IV, 7), 0, inner);
        key(SERVER_KEY, SERVER_IV, 7).open(&mut record)
    };
    assert_eq!(open(&[5, 6, ALERT]), Ok(Content { kind: ALERT, len: 2 }));
    assert_eq!(open(&[5, 0, 0, HANDSHAKE, 0, 0]), Ok(Content { kind: HANDSHAKE, len: 3 }));
    assert_eq!(open(&[APPLICATION_DATA, 0]), Ok(Content { kind: APPLICATION_DATA, len: 0 }));
    assert_eq!(open(&[]), Err(AlertDescription::UnexpectedMessage));
    assert_eq!(open(&[0; 100]), Err(AlertDescription::UnexpectedMessage));
    // 2^14 bytes of content with a type, and one more.
    let mut largest = vec![APPLICATION_DATA; CONTENT_BYTES];
    assert_eq!(open(&largest), Ok(Content { kind: APPLICATION_DATA, len: CONTENT_BYTES - 1 }));
    largest.push(APPLICATION_DATA);
    assert_eq!(open(&largest), Err(AlertDescription::RecordOverflow));
}

#[test]
fn malformed_record_is_refused() {
    for length in 0..HEADER_BYTES + 16 {
        let mut key = key(SERVER_KEY, SERVER_IV, 1);
        assert!(key.open(&mut bytes(SERVER_DATA)[..length]).is_err(), "{length}");
    }
    let mut key = key(SERVER_KEY, SERVER_IV, 1);
    let mut record = vec![0; SEALED_BYTES];
    for (len, room) in [(1, OVERHEAD_BYTES), (100, 100), (0, 5), (70_000, SEALED_BYTES)] {
        let refused = key.seal(Content { kind: APPLICATION_DATA, len }, &mut record[..room]);
        assert_eq!(refused, Err(AlertDescription::InternalError), "{len}");
    }
}
