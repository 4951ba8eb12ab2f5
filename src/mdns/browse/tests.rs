//! Responses byte for byte.

use super::*;

fn found(bytes: &[u8]) -> std::vec::Vec<Found> {
    let mut found = std::vec::Vec::new();
    visit_servers(bytes, &mut |server| found.push(server));
    found
}

/// Response with a server whose text record is this one.
fn response(text: &[u8], port: u8) -> std::vec::Vec<u8> {
    let mut bytes = vec![0, 1, 0x84, 0, 0, 1, 0, 1, 0, 0, 0, 3];
    bytes.extend(&QUESTION[12..]);
    bytes.extend(b"\xc0\x0c\0\x0c\0\x01\0\0\0\x0a\0\x06\x03web\xc0\x0c");
    let instance = bytes.len() as u8 - 6;
    bytes.extend([0xc0, instance, 0, 0x21, 0, 1, 0, 0, 0, 10, 0, 10, 0, 0, 0, 0, 0, port, 0xc0, instance]);
    // Its host has the name of the instance: any name will do.
    bytes.truncate(bytes.len() - 2);
    bytes.extend([0xc0, instance]);
    let at = bytes.len() - 10;
    bytes[at..at + 2].copy_from_slice(&[0, 8]);
    bytes.extend([0xc0, instance, 0, 0x10, 0, 1, 0, 0, 0, 10, 0, text.len() as u8]);
    bytes.extend(text);
    bytes.extend([0xc0, instance, 0, 1, 0x80, 1, 0, 0, 0, 10, 0, 4, 192, 0, 2, 1]);
    bytes
}

#[test]
fn server_has_what_the_response_says() {
    let [server] = &found(&response(b"\x09version=1\x05tls=0\x01x\0", 80))[..] else { panic!() };
    assert_eq!((server.name.as_str(), server.port, server.has_tls), ("web", 80, false));
    assert_eq!((server.version.as_str(), &*server.addresses), ("1", &[[192, 0, 2, 1].into()][..]));
    // Without its text, and with one that is cut.
    for text in [&b""[..], b"\x09version=", b"\0"] {
        let [server] = &found(&response(text, 80))[..] else { panic!() };
        assert_eq!((server.version.as_str(), server.has_tls), ("", true));
    }
    let long = [&[48][..], b"version=", &[b'1'; 40]].concat();
    assert_eq!(found(&response(&long, 80))[0].version, "");
}

#[test]
fn server_without_port_or_address_is_left_out() {
    assert_eq!(found(&response(b"", 0)), []);
    let whole = response(b"", 80);
    // The address is a question's answer of another host.
    let mut other = whole.clone();
    let at = other.len() - 15;
    other[at] = 0x0c;
    assert_eq!(found(&other), []);
    // Not a response.
    let mut question = whole.clone();
    question[2] = 0;
    assert_eq!(found(&question), []);
    for len in 0..whole.len() {
        assert_eq!(found(&whole[..len]), [], "{len}");
    }
}
