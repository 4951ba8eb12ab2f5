//! Messages byte for byte.

use proptest::prelude::*;

use super::*;

/// 2026-11-30T00:00:00Z, and the same on the wire.
const BUILT: u64 = 1_795_996_800;
const NONCE: u64 = 0x0123_4567_89ab_cdef;

/// Timestamp of seconds since 1970, in whatever era.
fn timestamp(unix_s: u64) -> u64 {
    (unix_s + UNIX_EPOCH) << 32
}

/// Reply of a server: first byte, stratum, root delay, dispersion, reference, and its last three timestamps.
fn reply(first: u8, stratum: u8, distance: [u32; 2], reference: &[u8; 4], times: [u64; 3]) -> Vec<u8> {
    let mut bytes = vec![first, stratum, 6, 0xec];
    distance.iter().for_each(|part| bytes.extend(part.to_be_bytes()));
    bytes.extend(reference);
    bytes.extend(timestamp(BUILT - 100).to_be_bytes());
    times.iter().for_each(|time| bytes.extend(time.to_be_bytes()));
    assert_eq!(bytes.len(), MESSAGE_BYTES);
    bytes
}

/// Reply of a good server at a time since 1970.
fn at(unix_s: u64) -> Vec<u8> {
    reply(0x24, 2, [0x100, 0x80], &[192, 0, 2, 9], [NONCE, timestamp(unix_s), timestamp(unix_s)])
}

fn parse(bytes: &[u8]) -> Result<Reply, Rejection> {
    Reply::parse(bytes, NONCE, BUILT)
}

#[test]
fn request_is_encoded() {
    let mut expected = vec![0x23];
    expected.extend([0; 39]);
    expected.extend([0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef]);
    assert_eq!(request(NONCE)[..], expected);
}

#[test]
fn reply_of_a_server_is_parsed() {
    // Recorded form: LI 0, version 4, mode 4; received a quarter of a second before it was sent.
    let sent = timestamp(BUILT + 5) | 0x8000_0000;
    let bytes = reply(0x24, 1, [0, 0x10], b"GPS\0", [NONCE, sent - 0x4000_0000, sent]);
    let expected = Reply {
        processing: Duration::from_millis(250),
        sent: Duration::from_secs(BUILT + 5) + Duration::from_millis(500),
    };
    assert_eq!(parse(&bytes), Ok(expected));
    // What follows, such as an authenticator, is not read.
    assert_eq!(parse(&[&bytes[..], &[7; 20]].concat()), Ok(expected));
    // A leap second is announced, and an old version.
    let bytes = reply(0x5c, 15, [0, 0], b"GPS\0", [NONCE, sent, sent]);
    assert_eq!(parse(&bytes).unwrap().sent, expected.sent);
    // A server that sends before it receives.
    let bytes = reply(0x24, 1, [0, 0], b"GPS\0", [NONCE, sent + 1, sent]);
    assert_eq!(parse(&bytes).unwrap().processing, Duration::ZERO);
}

#[test]
fn replies_that_are_rejected() {
    let now = timestamp(BUILT + 5);
    let with = |first, stratum, distance| {
        parse(&reply(first, stratum, distance, b"DENY", [NONCE, now, now])).unwrap_err()
    };
    let near = [0x100, 0x80];
    // With 16 bits of a fraction.
    let limit = u32::try_from(NTP_DISTANCE_MAX.as_secs() << 16).unwrap();
    for (first, stratum, distance, expected) in [
        // A request, a broadcast, version 0.
        (0x23, 2, near, Rejection::NotOurs),
        (0x25, 2, near, Rejection::NotOurs),
        (0x04, 2, near, Rejection::NotOurs),
        (0x2c, 2, near, Rejection::NotOurs),
        (0xe4, 2, near, Rejection::Unsynchronised),
        (0x24, 16, near, Rejection::Unsynchronised),
        (0x24, 255, near, Rejection::Unsynchronised),
        (0x24, 0, near, Rejection::Kiss(*b"DENY")),
        // A kiss has the other signs of an unsynchronised server, too.
        (0xe4, 0, near, Rejection::Kiss(*b"DENY")),
        // From its source: half of the delay, and the dispersion.
        (0x24, 2, [2 * limit, 0], Rejection::Unsynchronised),
        (0x24, 2, [0, limit], Rejection::Unsynchronised),
        (0x24, 2, [u32::MAX, u32::MAX], Rejection::Unsynchronised),
    ] {
        assert_eq!(with(first, stratum, distance), expected, "{first:#x} {stratum} {distance:?}");
    }
    assert!(parse(&reply(0x24, 2, [2 * limit - 2, 0], b"GPS\0", [NONCE, now, now])).is_ok());
    let other = reply(0x24, 2, near, b"GPS\0", [NONCE + 1, now, now]);
    assert_eq!(parse(&other), Err(Rejection::NotOurs));
    let kiss_of_another = reply(0xe4, 0, near, b"DENY", [0, now, now]);
    assert_eq!(parse(&kiss_of_another), Err(Rejection::NotOurs));
    let without_a_time = reply(0x24, 2, near, b"GPS\0", [NONCE, now, 0]);
    assert_eq!(parse(&without_a_time), Err(Rejection::Unsynchronised));
    assert_eq!(parse(&at(BUILT)[..MESSAGE_BYTES - 1]), Err(Rejection::NotOurs));
    assert_eq!(parse(&[]), Err(Rejection::NotOurs));
}

#[test]
fn era_is_the_one_after_the_build() {
    // The end of the first era, 2036-02-07T06:28:16Z, which itself is 0 on the wire, and of the 68 years after the build.
    let era = (1 << 32) - UNIX_EPOCH;
    let end = BUILT + (1 << 31);
    for unix_s in [BUILT, BUILT + 1, era - 1, era + 1, (1 << 31) + 7, end - 1] {
        // On the wire the era is cut off.
        assert_eq!(parse(&at(unix_s)).map(|reply| reply.sent), Ok(Duration::from_secs(unix_s)), "{unix_s}");
    }
    for unix_s in [BUILT - 1, 0, end] {
        assert_eq!(parse(&at(unix_s)), Err(Rejection::BeforeBuild), "{unix_s}");
    }
    // A build of a later era.
    let built = era + 1_000_000_000;
    let late = Reply::parse(&at(built + 5), NONCE, built).unwrap();
    assert_eq!(late.sent, Duration::from_secs(built + 5));
}

proptest! {
    #[test]
    fn any_bytes_are_parsed_or_rejected(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..100),
        is_ours: bool,
        built: u32,
    ) {
        if is_ours && bytes.len() >= MESSAGE_BYTES {
            bytes[0] = 0x24;
            bytes[1] = 1 + bytes[1] % 15;
            bytes[4..12].fill(0);
            bytes[24..32].copy_from_slice(&NONCE.to_be_bytes());
        }
        let built = u64::from(built);
        if let Ok(reply) = Reply::parse(&bytes, NONCE, built) {
            let since_build = reply.sent.as_secs().checked_sub(built);
            prop_assert!(since_build.is_some_and(|seconds| seconds < 1 << 31));
        }
    }
}
