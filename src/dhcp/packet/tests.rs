//! Messages byte for byte, as in RFC 2131, figure 1, and RFC 2132.

use proptest::prelude::*;

use super::*;

const HARDWARE: [u8; 6] = [0x52, 0x54, 0x00, 0x12, 0x34, 0x56];

/// Reply with these options; `sname` and `file` are filled from their starts.
fn reply(options: &[u8], sname: &[u8], file: &[u8]) -> Vec<u8, DHCP_BYTES> {
    let mut bytes = Vec::new();
    let mut put = |part: &[u8]| bytes.extend_from_slice(part).unwrap();
    // op, htype, hlen, hops; xid; secs, flags.
    put(&[2, 1, 6, 0, 0x12, 0x34, 0x56, 0x78, 0, 0, 0x80, 0]);
    // ciaddr, yiaddr, siaddr, giaddr.
    put(&[0, 0, 0, 0, 10, 0, 2, 15, 10, 0, 2, 2, 0, 0, 0, 0]);
    put(&HARDWARE);
    put(&[0; 10]);
    for (field, len) in [(sname, 64), (file, 128)] {
        put(field);
        put(&vec![0; len - field.len()]);
    }
    put(&[99, 130, 83, 99]);
    put(options);
    bytes
}

fn parsed(options: &[u8]) -> Result<ServerMessage, ParseError> {
    ServerMessage::parse(&reply(options, b"", b""))
}

/// Options of the DHCPACK of QEMU's user network.
const ACK: &[u8] = &[
    53, 1, 5, 54, 4, 10, 0, 2, 2, 1, 4, 255, 255, 255, 0, 3, 4, 10, 0, 2, 2, 6, 4, 10, 0, 2, 3, 51, 4, 0, 1,
    0x51, 0x80, 255,
];

#[test]
fn discover_is_encoded() {
    let request = ClientMessage {
        kind: MessageType::Discover,
        transaction: 0x3903_f326,
        seconds: 7,
        hardware: HARDWARE,
        address: None,
        requested: None,
        server: None,
        host_name: "gateway-1",
    };
    let mut buffer = [0xee; DHCP_BYTES];
    let mut expected = vec![1, 1, 6, 0, 0x39, 0x03, 0xf3, 0x26, 0, 7, 0x80, 0];
    expected.extend([0; 16]);
    expected.extend(HARDWARE);
    expected.extend([0; 10 + 64 + 128]);
    expected.extend([99, 130, 83, 99, 53, 1, 1, 57, 2, 0x05, 0xdc, 12, 9]);
    expected.extend(b"gateway-1");
    expected.extend([55, 7, 1, 3, 6, 42, 51, 58, 59, 255]);
    expected.resize(300, 0);
    assert_eq!(request.write(&mut buffer), expected);
}

#[test]
fn request_for_an_offer_is_encoded() {
    let request = ClientMessage {
        kind: MessageType::Request,
        transaction: 1,
        seconds: 0,
        hardware: HARDWARE,
        address: None,
        requested: Some([10, 0, 2, 15].into()),
        server: Some([10, 0, 2, 2].into()),
        host_name: "",
    };
    let mut buffer = [0; DHCP_BYTES];
    let bytes = request.write(&mut buffer);
    let mut expected = vec![53, 1, 3, 50, 4, 10, 0, 2, 15, 54, 4, 10, 0, 2, 2, 57, 2, 0x05, 0xdc];
    expected.extend([55, 7, 1, 3, 6, 42, 51, 58, 59, 255]);
    expected.resize(60, 0);
    assert_eq!(bytes[240..], expected);
    assert_eq!(bytes[10..16], [0x80, 0, 0, 0, 0, 0], "broadcast, and no address");
}

#[test]
fn renewal_contains_its_address_and_asks_for_a_unicast_reply() {
    let request = ClientMessage {
        kind: MessageType::Request,
        transaction: 1,
        seconds: 0,
        hardware: HARDWARE,
        address: Some([10, 0, 2, 15].into()),
        requested: None,
        server: None,
        host_name: "",
    };
    let mut buffer = [0; DHCP_BYTES];
    let bytes = request.write(&mut buffer);
    assert_eq!(bytes[10..16], [0, 0, 10, 0, 2, 15]);
    assert_eq!(bytes[240..247], [53, 1, 3, 57, 2, 0x05, 0xdc]);
}

#[test]
fn longest_message_has_room() {
    let host_name = "h".repeat(crate::dhcp::HOST_NAME_BYTES);
    let address = Some(Ipv4Addr::new(192, 0, 2, 1));
    let request = ClientMessage {
        kind: MessageType::Request,
        transaction: u32::MAX,
        seconds: u16::MAX,
        hardware: HARDWARE,
        address,
        requested: address,
        server: address,
        host_name: &host_name,
    };
    let mut buffer = [0; DHCP_BYTES];
    let bytes = request.write(&mut buffer);
    assert!(bytes.len() < 548, "RFC 2131, 2: longer messages need option 57: {}", bytes.len());
    assert_eq!(bytes.last(), Some(&255));
    // A name longer than an option is cut, and the next option follows it.
    let request = ClientMessage { host_name: &"h".repeat(2000), ..request };
    let bytes = request.write(&mut buffer);
    assert_eq!(bytes[240 + 3 + 6 + 6 + 4..][..3], [12, 255, b'h']);
    assert!(bytes.ends_with(&[b'h', 55, 7, 1, 3, 6, 42, 51, 58, 59, 255]));
}

#[test]
fn ack_is_parsed() {
    let reply = parsed(ACK).unwrap();
    let expected = ServerMessage {
        kind: MessageType::Ack,
        transaction: 0x1234_5678,
        hardware: HARDWARE,
        address: [10, 0, 2, 15].into(),
        server: Some([10, 0, 2, 2].into()),
        prefix: Some(24),
        router: Some([10, 0, 2, 2].into()),
        nameservers: Vec::from_slice(&[[10, 0, 2, 3].into()]).unwrap(),
        ntp: Vec::new(),
        lease: Some(86400),
        renewal: None,
        rebinding: None,
    };
    assert_eq!(reply, expected);
}

#[test]
fn options_are_parsed_in_any_order_between_padding() {
    let reply = parsed(&[
        0, 58, 4, 0, 0, 0, 5, 0, 0, 59, 4, 0, 0, 0, 9, 12, 2, b'h', b'i', 53, 1, 2, 66, 0, 1, 4, 255, 255,
        255, 255,
    ]);
    let reply = reply.unwrap();
    assert_eq!((reply.kind, reply.prefix), (MessageType::Offer, Some(32)));
    assert_eq!((reply.renewal, reply.rebinding, reply.lease), (Some(5), Some(9), None));
}

#[test]
fn bytes_behind_the_end_option_are_ignored() {
    assert_eq!(parsed(&[53, 1, 6, 255, 53, 1]).unwrap().kind, MessageType::Nak);
}

#[test]
fn first_of_two_equal_options_counts() {
    let reply =
        parsed(&[53, 1, 5, 53, 1, 6, 54, 4, 1, 1, 1, 1, 54, 4, 2, 2, 2, 2, 3, 8, 3, 3, 3, 3, 4, 4, 4, 4]);
    let reply = reply.unwrap();
    assert_eq!(reply.kind, MessageType::Ack);
    assert_eq!(reply.server, Some([1, 1, 1, 1].into()));
    assert_eq!(reply.router, Some([3, 3, 3, 3].into()));
}

#[test]
fn nameservers_beyond_the_limit_are_ignored() {
    let servers = |count: u8| {
        let mut options = std::vec![53, 1, 5, 6, 4 * count];
        options.extend((1..=count).flat_map(|n| [192, 0, 2, n]));
        parsed(&options).unwrap().nameservers
    };
    let limit = NAMESERVERS as u8;
    assert_eq!(servers(limit).len(), NAMESERVERS);
    assert_eq!(servers(limit + 1), servers(limit));
    // Two options are joined to one list (RFC 3396).
    let two = parsed(&[53, 1, 5, 6, 4, 1, 1, 1, 1, 6, 4, 2, 2, 2, 2]).unwrap().nameservers;
    assert_eq!(two, [Ipv4Addr::new(1, 1, 1, 1), Ipv4Addr::new(2, 2, 2, 2)]);
}

#[test]
fn ntp_servers_beyond_the_limit_are_ignored() {
    let servers = |count: u8| {
        let mut options = std::vec![53, 1, 5, 42, 4 * count];
        options.extend((1..=count).flat_map(|n| [192, 0, 2, n]));
        parsed(&options).unwrap().ntp
    };
    let limit = NTP_SERVERS as u8;
    assert_eq!(servers(limit).len(), NTP_SERVERS);
    assert_eq!(servers(limit + 1), servers(limit));
    // The address counts also without the time.
    for damaged in [&[53, 1, 5, 42, 3, 1, 1, 1][..], &[53, 1, 5, 42, 0]] {
        assert!(parsed(damaged).unwrap().ntp.is_empty());
    }
}

#[test]
fn options_continue_in_file_and_sname() {
    let in_file = reply(&[52, 1, 1, 53, 1, 2, 255], &[51, 4, 9, 9, 9, 9], &[51, 4, 0, 0, 1, 0, 255]);
    assert_eq!(ServerMessage::parse(&in_file).unwrap().lease, Some(256));
    let in_sname = reply(&[52, 1, 2, 53, 1, 2, 255], &[51, 4, 0, 0, 2, 0], &[51, 4, 9, 9, 9, 9]);
    assert_eq!(ServerMessage::parse(&in_sname).unwrap().lease, Some(512));
    let in_both = reply(&[52, 1, 3, 255], &[53, 1, 5, 255], &[51, 4, 0, 0, 3, 0, 52, 1, 3]);
    let both = ServerMessage::parse(&in_both).unwrap();
    assert_eq!((both.kind, both.lease), (MessageType::Ack, Some(768)));
    let in_neither = reply(&[53, 1, 2, 255], b"server", &[51, 4, 0, 0, 1, 0, 255]);
    assert_eq!(ServerMessage::parse(&in_neither).unwrap().lease, None);
    // A string in such a field is not an option.
    assert_eq!(
        ServerMessage::parse(&reply(&[52, 1, 2, 53, 1, 2, 255], b"pxelinux.0", b"")),
        Err(ParseError::Option(b'p'))
    );
}

#[test]
fn values_of_wrong_length_are_rejected() {
    for options in [
        &[1, 3, 255, 255, 255][..],
        &[1, 4, 255, 0, 255, 0],
        &[1, 4, 0, 0, 0, 0],
        &[3, 0],
        &[3, 5, 1, 2, 3, 4, 5],
        &[6, 0],
        &[6, 3, 1, 2, 3],
        &[51, 2, 0, 1],
        &[52, 1, 0],
        &[52, 1, 4],
        &[54, 5, 1, 2, 3, 4, 5],
        &[58, 0],
        &[59, 3, 0, 0, 1],
        &[51, 4, 0, 0, 0],
        &[99, 1],
        &[99],
    ] {
        assert_eq!(parsed(options), Err(ParseError::Option(options[0])), "{options:?}");
    }
    for options in [&[53, 1, 1][..], &[53, 1, 4], &[53, 2, 5, 5], &[53, 0], &[255], &[]] {
        assert_eq!(parsed(options), Err(ParseError::MessageType), "{options:?}");
    }
}

#[test]
fn mask_is_ones_then_zeros() {
    for (mask, prefix) in [
        ([255, 255, 255, 255], Some(32)),
        ([255, 255, 255, 0], Some(24)),
        ([255, 255, 240, 0], Some(20)),
        ([128, 0, 0, 0], Some(1)),
        ([0, 0, 0, 0], None),
        ([255, 0, 255, 0], None),
        ([0, 255, 255, 255], None),
        ([255, 255, 255, 253], None),
    ] {
        assert_eq!(prefix_of_mask(mask), prefix, "{mask:?}");
    }
}

#[test]
fn bytes_that_are_not_a_reply_are_rejected() {
    let good = reply(ACK, b"", b"");
    for at in 0..3 {
        let mut bytes = good.clone();
        bytes[at] ^= 0x10;
        assert_eq!(ServerMessage::parse(&bytes), Err(ParseError::NotReply));
    }
    let mut bytes = good.clone();
    bytes[239] = 0;
    assert_eq!(ServerMessage::parse(&bytes), Err(ParseError::Cookie));
    for len in [0, 1, 236, 239] {
        assert_eq!(ServerMessage::parse(&good[..len]), Err(ParseError::Length));
    }
}

#[test]
fn messages_up_to_the_limit_are_parsed() {
    let mut bytes = std::vec::Vec::from(&reply(ACK, b"", b"")[..]);
    bytes.resize(DHCP_BYTES, 0);
    assert_eq!(ServerMessage::parse(&bytes).unwrap().kind, MessageType::Ack);
    bytes.push(0);
    assert_eq!(ServerMessage::parse(&bytes), Err(ParseError::Length));
}

proptest! {
    #[test]
    fn any_bytes_are_parsed_or_rejected(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = ServerMessage::parse(&bytes);
    }

    #[test]
    fn any_options_are_parsed_or_rejected(
        options in prop::collection::vec(any::<u8>(), 0..200), overload in 0..5_u8, fill in any::<[u8; 64]>()
    ) {
        let mut all = std::vec![53, 1, 5, 52, 1, overload];
        all.extend(options);
        if let Ok(reply) = ServerMessage::parse(&reply(&all, &fill, &fill)) {
            prop_assert_eq!(reply.kind, MessageType::Ack);
            prop_assert!(reply.prefix.is_none_or(|prefix| (1..=32).contains(&prefix)));
        }
    }
}
