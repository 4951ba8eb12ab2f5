//! Request heads: what a prefix is refused for, the whole is refused for; what is a head already stays
//! that head whatever follows; places are where they say, and the upgrade is checked without a panic.

#![no_main]

use friendlet::http::{check_origin, check_upgrade, parse_head, write_switching};
use friendlet::limits;
use libfuzzer_sys::fuzz_target;

const UPGRADE: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n";

fuzz_target!(|bytes: &[u8]| {
    check(bytes);
    check(&[UPGRADE, bytes].concat());
});

fn check(bytes: &[u8]) {
    let whole = parse_head(bytes);
    // All cuts of a short text, and some of a long one.
    for cut in (0..bytes.len()).step_by(1 + bytes.len() / 64) {
        match (parse_head(&bytes[..cut]), &whole) {
            (Err(_), Err(_)) | (Ok(None), _) => {}
            (Ok(Some((head, length))), Ok(Some((whole, whole_length)))) => {
                assert_eq!((&head, length), (whole, *whole_length));
            }
            (part, _) => panic!("{part:?} becomes {whole:?} after {cut}"),
        }
    }
    let Ok(Some((head, length))) = whole else {
        assert!(whole.is_err() || bytes.len() < limits::HEAD_BYTES, "waits for what will not fit");
        return;
    };
    assert!(length <= bytes.len() && length <= limits::HEAD_BYTES);
    assert_eq!(&bytes[head.path_at.clone()], head.path.as_bytes());
    assert_eq!(&bytes[head.query_at.clone()], head.query.unwrap_or_default().as_bytes());
    assert!(head.path_at.end <= head.query_at.start && head.query_at.end <= length);
    assert!(head.path.len() <= limits::PATH_BYTES && head.content_length <= limits::BODY_BYTES);
    for tls in [false, true] {
        let allowed = check_origin(&head, ["https://friend.example", "http://[::1]:81"], tls);
        assert!(allowed.is_err() || head.origin.is_some() || !head.is_cross_origin);
    }
    if let Ok(upgrade) = check_upgrade(&head) {
        assert!(head.upgrade.is_some());
        write_switching(&mut [0; 512], &upgrade).expect("room");
    }
}
