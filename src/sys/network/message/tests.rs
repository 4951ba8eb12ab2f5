//! Messages word by word, in native byte order.

use proptest::prelude::*;

use super::*;

/// Sequence of words, half-words and bytes.
#[derive(Default)]
struct Bytes(Vec<u8>);

impl Bytes {
    fn w(mut self, word: u32) -> Self {
        self.0.extend(word.to_ne_bytes());
        self
    }

    fn h(mut self, half_word: u16) -> Self {
        self.0.extend(half_word.to_ne_bytes());
        self
    }

    fn b(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }
}

fn header(len: u32, kind: u16, flags: u16, sequence: u32) -> Bytes {
    Bytes::default().w(len).h(kind).h(flags).w(sequence).w(0)
}

const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 20);
const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 1);

#[test]
fn requests_are_encoded() {
    let up = header(32, 16, 0x5, 9).b(&[0; 4]).w(2).w(1).w(1);
    assert_eq!(Request::up(2).finish(9), up.0);
    let links = header(40, 18, 0x301, 1).b(&[0; 16]).h(8).h(29).w(8);
    assert_eq!(Request::links().finish(1), links.0);
    let addresses = header(24, 22, 0x301, 1).b(&[0; 8]);
    assert_eq!(Request::addresses().finish(1), addresses.0);
    let add = header(48, 20, 0x505, 1).b(&[2, 24, 0, 0]).w(2);
    let add =
        add.h(8).h(2).b(&[192, 168, 1, 20]).h(8).h(1).b(&[192, 168, 1, 20]).h(8).h(4).b(&[192, 168, 1, 255]);
    assert_eq!(Request::add_address(2, ADDRESS, 24).finish(1), add.0);
    let delete = header(40, 21, 0x5, 1).b(&[2, 24, 0, 0]).w(2);
    let delete = delete.h(8).h(2).b(&[192, 168, 1, 20]).h(8).h(1).b(&[192, 168, 1, 20]);
    assert_eq!(Request::delete_address(2, ADDRESS, 24).finish(1), delete.0);
    let gateway = header(44, 24, 0x505, 1).b(&[2, 0, 0, 0, 254, 3, 0, 1]).w(0);
    let gateway = gateway.h(8).h(5).b(&[192, 168, 1, 1]).h(8).h(4).w(2);
    assert_eq!(Request::add_gateway(2, GATEWAY, false).finish(1), gateway.0);
    let gone = header(44, 25, 0x5, 1).b(&[2, 0, 0, 0, 254, 3, 255, 1]).w(0);
    let gone = gone.h(8).h(5).b(&[192, 168, 1, 1]).h(8).h(4).w(2);
    assert_eq!(Request::delete_gateway(2, GATEWAY).finish(1), gone.0);
    let broadcast = header(44, 24, 0x505, 1).b(&[2, 32, 0, 0, 254, 3, 253, 1]).w(0);
    let broadcast = broadcast.h(8).h(1).b(&[255; 4]).h(8).h(4).w(2);
    assert_eq!(Request::add_broadcast(2).finish(1), broadcast.0);
}

#[test]
fn gateway_outside_the_subnet_is_on_link() {
    let flags = |is_on_link| word(Request::add_gateway(2, GATEWAY, is_on_link).finish(1), 24);
    assert_eq!((flags(false), flags(true)), (Some(0), Some(4)));
}

#[test]
fn broadcast_address_is_that_of_the_subnet() {
    let broadcast = |prefix| {
        let mut request = Request::add_address(2, ADDRESS, prefix);
        request.finish(1).get(44..48).map(<[u8]>::to_vec)
    };
    assert_eq!(broadcast(1), Some(vec![255; 4]));
    assert_eq!(broadcast(30), Some(vec![192, 168, 1, 23]));
    assert_eq!((broadcast(31), broadcast(32)), (None, None));
}

#[test]
fn longest_request_has_room() {
    assert!(Request::add_address(2, ADDRESS, 24).finish(1).len() <= REQUEST_BYTES);
    assert!(Request::add_gateway(2, GATEWAY, true).finish(1).len() <= REQUEST_BYTES);
}

fn ethernet(flags: u32) -> Bytes {
    let link = header(80, 16, 2, 5).b(&[0, 0]).h(1).w(3).w(flags).w(0);
    let link = link.h(9).h(3).b(b"eth0\0").b(&[0; 3]);
    // An unknown attribute, then the address, then two more unknown ones.
    link.h(5)
        .h(99)
        .b(&[7, 0, 0, 0])
        .h(10)
        .h(1)
        .b(&[2, 0, 0, 0, 0, 9, 0, 0])
        .h(10)
        .h(2)
        .b(&[255; 6])
        .b(&[0; 2])
        .h(4)
        .h(98)
}

#[test]
fn interfaces_are_parsed() {
    let of = |flags| {
        let bytes = ethernet(flags).0;
        assert_eq!(bytes.len(), 80);
        Responses::new(&bytes).collect::<Vec<_>>()
    };
    let link = Link {
        index: 3,
        name: "eth0".try_into().unwrap(),
        hardware: Some([2, 0, 0, 0, 0, 9]),
        is_up: true,
        is_running: true,
        is_loopback: false,
    };
    assert_eq!(of(0x1043), [(5, Response::Link(link.clone()))]);
    assert_eq!(of(0x1003), [(5, Response::Link(Link { is_running: false, ..link.clone() }))]);
    assert_eq!(of(0x42), [(5, Response::Link(Link { is_up: false, is_running: false, ..link.clone() }))]);
    assert_eq!(of(0x4b), [(5, Response::Link(Link { is_loopback: true, ..link }))]);
    // Of another type than Ethernet: DHCP cannot use its address.
    let mut bytes = ethernet(1).0;
    bytes[18..20].copy_from_slice(&65534_u16.to_ne_bytes());
    assert!(matches!(Responses::new(&bytes).next(), Some((5, Response::Link(Link { hardware: None, .. })))));
}

/// Address of family, flags and scope with these attributes.
fn address(family: u8, flags: u8, scope: u8, attributes: &[(u16, &[u8])]) -> Option<HostAddress> {
    let mut body = Bytes::default().b(&[family, 24, flags, scope]).w(3);
    for (kind, value) in attributes {
        body = body.h(4 + value.len() as u16).h(*kind).b(value);
    }
    let bytes = header(16 + body.0.len() as u32, 20, 2, 5).b(&body.0).0;
    match Responses::new(&bytes).collect::<Vec<_>>().as_slice() {
        [(5, Response::Address(address))] => Some(*address),
        [(5, Response::Other)] => None,
        other => panic!("{other:?}"),
    }
}

#[test]
fn addresses_are_parsed() {
    let own = HostAddress { address: ADDRESS.into(), prefix: 24, interface: 3, scope: 0, is_stable: true };
    let (octets, peer) = (ADDRESS.octets(), GATEWAY.octets());
    let label: (u16, &[u8]) = (3, b"eth0\0\0\0\0");
    for attributes in [
        &[(IFA_ADDRESS, &octets[..]), (IFA_LOCAL, &octets), label][..],
        &[(IFA_ADDRESS, &peer), (IFA_LOCAL, &octets)],
        &[(IFA_LOCAL, &octets), (IFA_ADDRESS, &peer)],
        &[label, (IFA_ADDRESS, &octets)],
    ] {
        // A secondary address of IPv4 is as good.
        for flags in [0x80, 0x81] {
            assert_eq!(address(2, flags, 0, attributes), Some(own), "{attributes:?}");
        }
        assert_eq!(address(9, 0, 0, attributes), None, "of another family");
    }
    assert_eq!(address(2, 0, 0, &[label]), None);
    assert_eq!(address(2, 0, 0, &[(IFA_LOCAL, &[1, 2, 3])]), None);
    let octets = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9];
    let own = HostAddress { address: octets.into(), ..own };
    for (flags, scope, expected) in [
        (0x80, 0, Some(own)),
        (0x80, SCOPE_LINK, Some(HostAddress { scope: SCOPE_LINK, ..own })),
        (0x01, 0, Some(HostAddress { is_stable: false, ..own })),
        (0x20, 0, Some(HostAddress { is_stable: false, ..own })),
        // Not, or not yet, the only one on its link.
        (0x40, 0, None),
        (0x48, 0, None),
    ] {
        assert_eq!(address(10, flags, scope, &[(IFA_ADDRESS, &octets)]), expected, "{flags:x}");
    }
}

#[test]
fn responses_follow_each_other() {
    let mut bytes = ethernet(1).0;
    bytes.extend(header(20, 3, 2, 5).w(0).0);
    bytes.extend(header(17, 77, 0, 6).b(&[1, 0, 0, 0]).0);
    bytes.extend(header(36, 2, 0, 7).w((-17_i32).cast_unsigned()).b(&[0; 16]).0);
    let responses: Vec<_> = Responses::new(&bytes).collect();
    assert!(matches!(responses[0], (5, Response::Link(_))));
    assert_eq!(responses[1..], [(5, Response::End(0)), (6, Response::Other), (7, Response::End(17))]);
    // A truncated message is left out.
    for len in 0..16 + 20 {
        assert_eq!(Responses::new(&bytes[bytes.len() - 36..][..len]).count(), 0, "{len}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_parsed(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Responses::new(&bytes).count() <= bytes.len() / HEADER_BYTES);
    }

    #[test]
    fn any_address_is_parsed(body in prop::collection::vec(0..20_u8, 0..80)) {
        let bytes = header(16 + u32::try_from(body.len()).unwrap(), 20, 0, 1).b(&body);
        prop_assert_eq!(Responses::new(&bytes.0).count(), 1);
    }

    #[test]
    fn any_interface_is_parsed(attributes in prop::collection::vec(0..20_u8, 0..80)) {
        let len = u32::try_from(32 + attributes.len()).unwrap();
        let bytes = header(len, 16, 0, 1).b(&[0, 0]).h(1).b(&[0; 12]).b(&attributes);
        prop_assert_eq!(Responses::new(&bytes.0).count(), 1);
    }
}
