//! Messages byte for byte, as in RFC 1035, section 4.

use proptest::prelude::*;

use super::super::browse;
use super::super::names::{Names, Node};
use super::super::writer::Writer;
use super::*;

/// Header with these flags and counts.
fn header(flags: u16, counts: [u16; 4]) -> Vec<u8> {
    [0, flags].into_iter().chain(counts).flat_map(u16::to_be_bytes).collect()
}

fn labels(name: Name<'_>) -> Vec<String> {
    name.labels().map(|label| String::from_utf8(label.to_vec()).unwrap()).collect()
}

#[test]
fn question_is_parsed() {
    let message = Message::parse(browse::QUESTION).unwrap();
    let entries: Vec<_> = message.entries().collect();
    let [entry] = entries.as_slice() else { panic!("{entries:?}") };
    assert_eq!((entry.section, entry.kind, entry.class), (Section::Question, kind::PTR, INTERNET));
    assert_eq!(labels(entry.name), ["_friendlet", "_tcp", "local"]);
    assert_eq!((message.id(), message.is_response(), message.is_truncated()), (1, false, false));
}

#[test]
fn record_has_a_compressed_name_in_its_data() {
    let mut bytes = header(0x8400, [0, 1, 0, 0]);
    bytes.extend(b"\x04_tcp\x05local\0\0\x0c\x80\x01\0\0\x11\x94\0\x04\x01a\xc0\x0c");
    let message = Message::parse(&bytes).unwrap();
    let entry = message.entries().next().unwrap();
    assert_eq!((entry.section, entry.class, entry.ttl), (Section::Answer, INTERNET | TOP_BIT, 4500));
    assert_eq!(labels(entry.target(0)), ["a", "_tcp", "local"]);
    assert_eq!(entry.data, b"\x01a\xc0\x0c");
    assert!(message.is_response());
}

#[test]
fn message_that_is_not_whole_is_ignored() {
    let whole = browse::QUESTION;
    for len in 0..whole.len() {
        assert!(Message::parse(&whole[..len]).is_none(), "{len}");
    }
    // A second question is missing; what is behind the last one counts nothing.
    let mut bytes = whole.to_vec();
    bytes[5] = 2;
    assert!(Message::parse(&bytes).is_none());
    bytes[5] = 1;
    bytes.push(0);
    assert!(Message::parse(&bytes).is_some());
    // Of another operation, and an error.
    for flags in [0x0800, 0x7800, 0x0001] {
        assert!(Message::parse(&header(flags, [0; 4])).is_none(), "{flags:x}");
    }
    assert!(Message::parse(&header(IS_TRUNCATED, [0; 4])).unwrap().is_truncated());
    // A label of a form that is reserved.
    assert!(Message::parse(&[&header(0, [1, 0, 0, 0])[..], b"\x41a\0\0\x01\0\x01"].concat()).is_none());
}

#[test]
fn pointers_of_a_name_up_to_their_limit() {
    for (count, is_whole) in [(MDNS_POINTERS, true), (MDNS_POINTERS + 1, false)] {
        // `a`, and pointers that each lead to the one before.
        let mut bytes = b"\x01a\0".to_vec();
        let mut target = 0_u16;
        for _ in 0..count {
            let at = bytes.len() as u16;
            bytes.extend((0xc000 | target).to_be_bytes());
            target = at;
        }
        let name = Name { bytes: &bytes, at: target.into() };
        assert_eq!(labels(name).len(), usize::from(is_whole));
    }
    // To itself, and to a later position.
    for bytes in [b"\xc0\x00\x01a\0", b"\xc0\x02\x01a\0"] {
        assert_eq!(labels(Name { bytes, at: 0 }).len(), 0);
    }
}

#[test]
fn name_is_cut_at_its_longest() {
    let bytes: Vec<u8> = [[1, b'a']; 200].concat();
    assert_eq!(Name { bytes: &bytes, at: 0 }.labels().count(), NAME_BYTES / 2);
}

#[test]
fn written_names_share_their_ends() {
    let names = Names::new("board", true);
    let mut buffer = [0xee; 100];
    let mut writer = Writer::new(&names, &mut buffer, 7, RESPONSE);
    writer.question(Node::WebInstance, kind::ANY, INTERNET);
    let at = writer.begin(Section::Answer, Node::Host, kind::A, INTERNET, 120);
    writer.put(&[1, 2, 3, 4]);
    writer.end(at);
    let at = writer.begin(Section::Additional, Node::WebInstance, kind::PTR, 1, 9);
    writer.name(Node::Host);
    writer.end(at);
    let len = writer.finish();
    let mut expected = vec![0, 7, 0x84, 0, 0, 1, 0, 1, 0, 0, 0, 1];
    expected.extend(b"\x05board\x06_https\x04_tcp\x05local\0\0\xff\0\x01");
    expected.extend(b"\x05board\xc0\x1e\0\x01\0\x01\0\0\0\x78\0\x04\x01\x02\x03\x04");
    expected.extend(b"\xc0\x0c\0\x0c\0\x01\0\0\0\x09\0\x02\xc0\x29");
    assert_eq!(&buffer[..len], expected);
}

proptest! {
    #[test]
    fn any_bytes_are_parsed_or_ignored(
        flags in prop_oneof![Just(0_u16), Just(0x8400), any::<u16>()],
        counts in proptest::array::uniform4(0..4_u16),
        body in proptest::collection::vec(prop_oneof![0..13_u8, Just(0xc0), any::<u8>()], 0..120),
    ) {
        let bytes = [header(flags, counts), body].concat();
        if let Some(message) = Message::parse(&bytes) {
            for entry in message.entries() {
                for name in [entry.name, entry.target(0), entry.target(6)] {
                    prop_assert!(name.labels().map(|label| label.len() + 1).sum::<usize>() <= NAME_BYTES);
                    prop_assert!(name.labels().all(|label| (1..=LABEL_BYTES).contains(&label.len())));
                }
            }
        }
        browse::visit_servers(&bytes, &mut |found| assert!(found.port > 0 && !found.addresses.is_empty()));
    }
}
