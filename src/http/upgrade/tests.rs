use super::super::parse_head;
use super::*;

const LINES: &[&str] = &[
    "Host: board:6500",
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Protocol: FC-protocol",
];

/// Checks the handshake with the field `name` replaced by `line`, or removed if that is empty.
fn check(name: &str, line: &str) -> Result<Upgrade, Rejection> {
    let mut text = "GET /fcws HTTP/1.1\r\n".to_owned();
    for old in LINES.iter().filter(|old| !old.to_lowercase().starts_with(name) || name.is_empty()) {
        text += &format!("{old}\r\n");
    }
    if !line.is_empty() {
        text += &format!("{line}\r\n");
    }
    text += "\r\n";
    check_upgrade(&parse_head(text.as_bytes()).unwrap().unwrap().0)
}

fn status(name: &str, line: &str) -> u16 {
    check(name, line).expect_err(line).status
}

#[test]
fn valid_handshake() {
    assert_eq!(check("", ""), Ok(Upgrade { key: *b"dGhlIHNhbXBsZSBub25jZQ==", protocol: true }));
}

#[test]
fn switching_to_the_byte() {
    let mut out = [0; 256];
    let upgrade = Upgrade { key: *b"dGhlIHNhbXBsZSBub25jZQ==", protocol: true };
    let used = write_switching(&mut out, &upgrade).unwrap();
    let expected: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: FC-protocol\r\n\r\n";
    assert_eq!(&out[..used], expected);
    assert_eq!(write_switching(&mut out[..used - 1], &upgrade), Err(ResponseTooLarge));
    let used = write_switching(&mut out, &Upgrade { protocol: false, ..upgrade }).unwrap();
    assert!(!String::from_utf8_lossy(&out[..used]).contains("Protocol:"));
    assert!(out[..used].ends_with(b"=\r\n\r\n"));
}

#[test]
fn subprotocols() {
    assert_eq!(check("sec-websocket-protocol", "").map(|u| u.protocol), Ok(false));
    assert_eq!(
        check("sec-websocket-protocol", "Sec-WebSocket-Protocol: a,FC-protocol , b").map(|u| u.protocol),
        Ok(true)
    );
    for offer in ["http-only", "fc-protocol", "FC-protocol2", ""] {
        assert_eq!(status("sec-websocket-protocol", &format!("Sec-WebSocket-Protocol: {offer}")), 400);
    }
}

#[test]
fn versions() {
    assert_eq!(status("sec-websocket-version", ""), 426);
    for version in ["8", "13, 8", "013", ""] {
        assert_eq!(status("sec-websocket-version", &format!("Sec-WebSocket-Version: {version}")), 426);
    }
}

#[test]
fn keys() {
    assert_eq!(status("sec-websocket-key", ""), 400);
    for key in [
        "",
        "==",
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25jZQ=",
        "dGhlIHNhbXBsZSBub25jZ===",
        "dGhlIHNhbXBsZSBub25jZQAA==",
        "dGhlIHNhbXBsZSBub25jZ-==",
        "dGhlIHNhbXBsZSBub25jAQAAZQ==",
    ] {
        assert_eq!(status("sec-websocket-key", &format!("Sec-WebSocket-Key: {key}")), 400, "{key}");
    }
}

#[test]
fn connection_and_upgrade() {
    assert_eq!(status("connection", ""), 400);
    assert_eq!(status("connection", "Connection: keep-alive"), 400);
    assert_eq!(status("upgrade", ""), 400);
    assert_eq!(status("upgrade", "Upgrade: h2c"), 400);
    assert!(check("connection", "CONNECTION: keep-alive, UPGRADE").is_ok());
}

#[test]
fn request_without_handshake() {
    let head = parse_head(b"GET /fcws HTTP/1.1\r\nHost: h\r\n\r\n").unwrap().unwrap().0;
    assert_eq!(check_upgrade(&head).map_err(|r| r.status), Err(426));
}

#[test]
fn handshake_is_a_get_without_body() {
    let rest = "Host: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    for text in [
        format!("POST / HTTP/1.1\r\n{rest}\r\n"),
        format!("GET / HTTP/1.1\r\n{rest}Content-Length: 1\r\n\r\n"),
        format!("GET / HTTP/1.1\r\n{rest}Transfer-Encoding: chunked\r\n\r\n"),
    ] {
        let head = parse_head(text.as_bytes()).unwrap().unwrap().0;
        assert_eq!(check_upgrade(&head).map_err(|r| r.status), Err(400));
    }
}
