//! A responder against messages of other hosts, under a clock of its own.

use core::net::IpAddr;

use proptest::prelude::*;

use super::super::browse;
use super::*;
use crate::mdns::{MDNS_ADDRESSES, MDNS_BYTES, MDNS_PAUSE};

const CLIENT: &str = "192.0.2.7:5353";
const PLAIN_CLIENT: &str = "192.0.2.7:40000";
const SECOND: Duration = Duration::from_secs(1);

fn responder(host: &str) -> Responder {
    Responder::new(host, Service { port: 6500, has_tls: true }, "0.1.0", 7)
}

fn served(address: &str) -> Address {
    let ip: IpAddr = address.parse().unwrap();
    Address::new(ip, if ip.is_ipv4() { 24 } else { 64 }, true)
}

impl Responder {
    fn handle_interfaces(&mut self, found: &[Interface], port: u16, now: Duration) {
        let addresses = |found: &Interface| found.addresses.clone().into_iter();
        let found = found.iter().flat_map(|found| addresses(found).map(|address| (found.index, address)));
        self.handle_addresses(&mut found.collect::<std::vec::Vec<_>>().into_iter(), port, now);
    }
}

fn interface(index: u32, addresses: &[&str]) -> Interface {
    let mut interface = Interface::new(index);
    for address in addresses {
        interface.add(served(address));
    }
    interface
}

/// A responder, and the messages that it has sent with their times.
struct Fixture {
    responder: Responder,
    now: Duration,
    sent: std::vec::Vec<(Duration, u32, std::vec::Vec<u8>)>,
}

impl Fixture {
    fn new(interfaces: &[Interface]) -> Self {
        let mut responder = responder("board");
        responder.handle_interfaces(interfaces, 6500, Duration::ZERO);
        Self { responder, now: Duration::ZERO, sent: std::vec::Vec::new() }
    }

    /// The same with established names.
    fn established(interfaces: &[Interface]) -> Self {
        let mut fixture = Self::new(interfaces);
        fixture.run(Duration::from_secs(5));
        fixture.sent.clear();
        fixture
    }

    /// Lets this time pass.
    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let mut out = [0; MDNS_BYTES];
            while let Some(transmit) = self.responder.poll_transmit(self.now, &mut out) {
                self.sent.push((self.now, transmit.index, out[..transmit.len].to_vec()));
            }
            match self.responder.poll_timeout() {
                Some(due) if due <= end => {
                    assert!(due > self.now, "{due:?}");
                    self.now = due;
                }
                _ => break,
            }
        }
        self.now = end;
    }

    fn receive(&mut self, bytes: &[u8], source: &str) -> Option<std::vec::Vec<u8>> {
        let mut reply = [0; MDNS_BYTES];
        let len = self.responder.handle_packet(bytes, source.parse().unwrap(), self.now, &mut reply)?;
        Some(reply[..len].to_vec())
    }

    /// Times of the messages since the last call.
    fn times(&mut self) -> std::vec::Vec<u128> {
        self.sent.drain(..).map(|(time, ..)| time.as_millis()).collect()
    }
}

/// Sections, names and types of the entries of a message.
fn entries(bytes: &[u8]) -> std::vec::Vec<String> {
    let message = Message::parse(bytes).unwrap();
    let text = |entry: Entry<'_>| {
        let labels: std::vec::Vec<_> = entry.name.labels().map(String::from_utf8_lossy).collect();
        let flush = if entry.class & TOP_BIT != 0 { "!" } else { "" };
        format!("{:?} {} {}{flush} {}", entry.section, labels.join("."), entry.kind, entry.ttl)
    };
    message.entries().map(text).collect()
}

/// Question for a name of `board`.
fn question(node: Node, kind: u16, class: u16) -> std::vec::Vec<u8> {
    question_of("board", node, kind, class, 0)
}

fn question_of(host: &str, node: Node, kind: u16, class: u16, flags: u16) -> std::vec::Vec<u8> {
    let (names, mut bytes) = (Names::new(host, true), [0; 200]);
    let mut writer = Writer::new(&names, &mut bytes, 0x1234, flags);
    writer.question(node, kind, class);
    let len = writer.finish();
    bytes[..len].to_vec()
}

/// Record of another host with a name of `host`.
fn record(host: &str, section: Section, node: Node, kind: u16, data: &[u8]) -> std::vec::Vec<u8> {
    let (names, mut bytes) = (Names::new(host, true), [0; 200]);
    let flags = if section == Section::Authority { 0 } else { RESPONSE };
    let mut writer = Writer::new(&names, &mut bytes, 0, flags);
    let at = writer.begin(section, node, kind, INTERNET | TOP_BIT, 120);
    writer.put(data);
    writer.end(at);
    let len = writer.finish();
    bytes[..len].to_vec()
}

#[test]
fn names_are_probed_and_then_announced_twice() {
    let mut fixture = Fixture::new(&[interface(2, &["192.0.2.1", "fe80::1"])]);
    fixture.run(Duration::from_secs(60));
    let [first, .., last] = fixture.sent.as_slice() else { panic!() };
    assert!(first.0 < Duration::from_millis(250));
    let probe = [
        "Question board.local 255! 0",
        "Question board._friendlet._tcp.local 255! 0",
        "Question board._https._tcp.local 255! 0",
        "Authority board._friendlet._tcp.local 33 120",
        "Authority board._https._tcp.local 33 120",
        "Authority board._friendlet._tcp.local 16 4500",
        "Authority board._https._tcp.local 16 4500",
        "Authority board.local 1 120",
        "Authority board.local 28 120",
    ];
    assert_eq!(entries(&first.2), probe);
    let announcement = [
        "Answer _services._dns-sd._udp.local 12 4500",
        "Answer _services._dns-sd._udp.local 12 4500",
        "Answer _friendlet._tcp.local 12 4500",
        "Answer _https._tcp.local 12 4500",
        "Answer board._friendlet._tcp.local 33! 120",
        "Answer board._https._tcp.local 33! 120",
        "Answer board._friendlet._tcp.local 16! 4500",
        "Answer board._https._tcp.local 16! 4500",
        "Answer board.local 1! 120",
        "Answer board.local 28! 120",
        "Answer board.local 47! 120",
    ];
    assert_eq!(entries(&last.2), announcement);
    let begin = first.0.as_millis();
    let times: std::vec::Vec<_> = fixture.times().into_iter().map(|time| time - begin).collect();
    assert_eq!(times, [0, 250, 500, 750, 1750]);
    assert_eq!(fixture.responder.poll_name(), Some(("board", false)));
    assert_eq!(fixture.responder.poll_name(), None);
    assert_eq!(fixture.responder.poll_timeout(), None);
}

#[test]
fn reply_to_plain_dns_is_byte_for_byte() {
    let mut fixture = Fixture::established(&[interface(2, &["192.0.2.1"])]);
    let reply = fixture.receive(&question(Node::FriendletInstance, kind::SRV, 1), PLAIN_CLIENT).unwrap();
    let mut expected = vec![0x12, 0x34, 0x84, 0, 0, 1, 0, 1, 0, 0, 0, 2];
    expected.extend(b"\x05board\x0a_friendlet\x04_tcp\x05local\0\0\x21\0\x01");
    expected.extend(b"\xc0\x0c\0\x21\0\x01\0\0\0\x0a\0\x0e\0\0\0\0\x19\x64\x05board\xc0\x22");
    expected.extend(b"\xc0\x3f\0\x01\0\x01\0\0\0\x0a\0\x04\xc0\0\x02\x01");
    expected.extend(b"\xc0\x3f\0\x2f\0\x01\0\0\0\x0a\0\x05\xc0\x3f\0\x01\x40");
    assert_eq!(reply, expected);
    fixture.run(SECOND);
    assert_eq!(fixture.sent.len(), 0, "nothing by multicast");
}

#[test]
fn browser_finds_what_the_responder_replies() {
    let mut fixture = Fixture::established(&[interface(2, &["192.0.2.1", "2001:db8::1", "fe80::1"])]);
    let reply = fixture.receive(browse::QUESTION, PLAIN_CLIENT).unwrap();
    let mut found = std::vec::Vec::new();
    browse::visit_servers(&reply, &mut |server| found.push(server));
    let [server] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((server.name.as_str(), server.port, server.has_tls), ("board", 6500, true));
    assert_eq!(server.version, "0.1.0");
    let addresses = ["192.0.2.1", "2001:db8::1", "fe80::1"].map(|address| address.parse::<IpAddr>().unwrap());
    assert_eq!(server.addresses, addresses);
}

#[test]
fn each_question_has_its_records() {
    use Node::{Friendlet, Host, Tcp, Types, Web, WebInstance};
    let none: &[&str] = &[];
    let mut fixture = Fixture::established(&[interface(2, &["192.0.2.1"])]);
    for (node, of, expected) in [
        (Types, kind::PTR, &["_services._dns-sd._udp.local 12"; 2][..]),
        (Friendlet, kind::PTR, &["_friendlet._tcp.local 12"]),
        (Web, kind::ANY, &["_https._tcp.local 12"]),
        (WebInstance, kind::TXT, &["board._https._tcp.local 16"]),
        (WebInstance, kind::ANY, &["board._https._tcp.local 33", "board._https._tcp.local 16"]),
        (Host, kind::A, &["board.local 1"]),
        (Host, kind::ANY, &["board.local 1"]),
        // Without an address of IPv6, the answer is that there is none.
        (Host, kind::AAAA, &["board.local 47"]),
        (Host, 65, &["board.local 47"]),
        (WebInstance, kind::A, none),
        (Tcp, kind::PTR, none),
    ] {
        let reply = fixture.receive(&question(node, of, 1), PLAIN_CLIENT);
        let found: std::vec::Vec<_> = reply.iter().flat_map(|reply| entries(reply)).collect();
        let answers = found.iter().filter_map(|entry| entry.strip_prefix("Answer "));
        let answers: std::vec::Vec<_> = answers.map(|entry| entry.trim_end_matches(" 10")).collect();
        assert_eq!(answers, expected, "{node:?} {of}");
        fixture.now += SECOND;
    }
    // In any case, and of another host.
    assert!(fixture.receive(&question_of("BOARD", Host, kind::A, 1, 0), PLAIN_CLIENT).is_some());
    assert!(fixture.receive(&question_of("other", Host, kind::A, 1, 0), PLAIN_CLIENT).is_none());
}

#[test]
fn unique_records_are_answered_at_once_and_shared_ones_after_a_delay() {
    let mut fixture = Fixture::established(&[interface(2, &["192.0.2.1"])]);
    fixture.receive(&question(Node::Host, kind::A, 1), CLIENT);
    fixture.run(SECOND);
    assert_eq!(fixture.times(), [5000]);
    fixture.receive(&question(Node::Friendlet, kind::PTR, 1), CLIENT);
    fixture.run(SECOND);
    let times = fixture.times();
    assert!((6020..6120).contains(&times[0]) && times.len() == 1, "{times:?}");
    // More known answers may follow.
    fixture.receive(&question_of("board", Node::Friendlet, kind::PTR, 1, 0x0200), CLIENT);
    fixture.run(SECOND);
    let times = fixture.times();
    assert!((7400..7500).contains(&times[0]) && times.len() == 1, "{times:?}");
}

#[test]
fn known_answers_are_not_repeated() {
    let mut fixture = Fixture::established(&[interface(2, &["192.0.2.1"])]);
    for (ttl, is_answered) in [(4500, false), (2250, false), (2249, true)] {
        for is_later in [false, true] {
            let names = Names::new("board", true);
            let mut bytes = [0; 200];
            let flags = if is_later { 0x0200 } else { 0 };
            let mut writer = Writer::new(&names, &mut bytes, 0, flags);
            if is_later {
                fixture.receive(&question_of("board", Node::Friendlet, kind::PTR, 1, flags), CLIENT);
            } else {
                writer.question(Node::Friendlet, kind::PTR, 1);
            }
            let at = writer.begin(Section::Answer, Node::Friendlet, kind::PTR, 1, ttl);
            writer.name(Node::FriendletInstance);
            writer.end(at);
            let len = writer.finish();
            fixture.receive(&bytes[..len], CLIENT);
            fixture.run(SECOND);
            assert_eq!(fixture.times().len(), usize::from(is_answered), "{ttl} {is_later}");
        }
    }
    // One of two addresses is not all of them.
    for (addresses, is_answered) in [(&["192.0.2.1"][..], false), (&["192.0.2.1", "192.0.2.2"], true)] {
        let mut fixture = Fixture::established(&[interface(2, addresses)]);
        let mut bytes = question(Node::Host, kind::A, 1);
        bytes[7] = 1;
        bytes.extend(b"\xc0\x0c\0\x01\0\x01\0\0\0\x78\0\x04\xc0\0\x02\x01");
        fixture.receive(&bytes, CLIENT);
        fixture.run(SECOND);
        assert_eq!(fixture.times().len(), usize::from(is_answered));
    }
}

#[test]
fn flood_of_questions_has_an_answer_a_second() {
    let mut fixture = Fixture::established(&[interface(2, &["192.0.2.1"])]);
    for _ in 0..3000 {
        assert_eq!(fixture.receive(&question(Node::Host, kind::A, 1), CLIENT), None);
        fixture.run(Duration::from_millis(1));
    }
    let times = [5, 6, 7, 8].map(|count| count * MDNS_PAUSE.as_millis());
    assert_eq!(fixture.times(), times);
    // A probe waits less than a second for its answer.
    fixture.run(SECOND);
    fixture.sent.clear();
    let mut probe = question(Node::Host, kind::ANY, 1);
    probe[9] = 1;
    probe.extend(b"\xc0\x0c\0\x01\0\x01\0\0\0\x78\0\x04\xc0\0\x02\x09");
    for _ in 0..1000 {
        fixture.receive(&probe, CLIENT);
        fixture.run(Duration::from_millis(1));
    }
    let times = fixture.times();
    assert!(times.len() == 5 && times.windows(2).all(|pair| pair[1] - pair[0] >= 250), "{times:?}");
}

#[test]
fn flood_of_questions_of_other_ports_has_so_many_answers() {
    let mut fixture = Fixture::established(&[interface(2, &["192.0.2.1"])]);
    let bytes = question(Node::Host, kind::A, 1);
    for _ in 0..2 {
        let count = (0..100).filter(|_| fixture.receive(&bytes, PLAIN_CLIENT).is_some()).count();
        assert_eq!(count, usize::from(MDNS_UNICASTS));
        fixture.run(MDNS_PAUSE);
    }
    assert_eq!(fixture.times(), [] as [u128; 0]);
}

#[test]
fn question_for_a_unicast_response_is_answered_by_multicast() {
    let mut fixture = Fixture::established(&[interface(2, &["192.0.2.1"])]);
    assert_eq!(fixture.receive(&question(Node::Host, kind::A, INTERNET | TOP_BIT), CLIENT), None);
    fixture.run(SECOND);
    let [(_, _, response)] = fixture.sent.as_slice() else { panic!() };
    assert_eq!(entries(response), ["Answer board.local 1! 120", "Additional board.local 47! 120"]);
}

#[test]
fn senders_beyond_the_link_have_no_answer() {
    let interfaces = [interface(2, &["192.0.2.1", "2001:db8::1"]), interface(3, &["198.51.100.1"])];
    let mut fixture = Fixture::established(&interfaces);
    let bytes = question(Node::Host, kind::A, 1);
    for (source, is_answered) in [
        ("192.0.2.200:1", true),
        ("198.51.100.9:1", true),
        ("192.0.3.1:1", false),
        ("[2001:db8::9]:1", true),
        ("[2001:db8:0:1::9]:1", false),
        ("127.0.0.1:1", false),
    ] {
        assert_eq!(fixture.receive(&bytes, source).is_some(), is_answered, "{source}");
    }
    // The kernel names the interface of an address of the link.
    for (scope, is_answered) in [(2, true), (3, true), (4, false)] {
        let source = core::net::SocketAddrV6::new("fe80::9".parse().unwrap(), 1, 0, scope).into();
        let reply = fixture.responder.handle_packet(&bytes, source, fixture.now, &mut [0; MDNS_BYTES]);
        assert_eq!(reply.is_some(), is_answered, "{scope}");
    }
}

#[test]
fn name_of_another_host_gets_a_number() {
    let mut fixture = Fixture::new(&[interface(2, &["192.0.2.1"])]);
    let taken = record("BOARD", Section::Answer, Node::Host, kind::A, &[192, 0, 2, 9]);
    // Before the first probe it answers nothing.
    fixture.receive(&taken, CLIENT);
    fixture.run(Duration::from_millis(300));
    fixture.receive(&taken, CLIENT);
    fixture.run(5 * SECOND);
    let (_, _, last) = fixture.sent.last().unwrap();
    assert!(entries(last).contains(&"Answer board-2.local 1! 120".to_owned()), "{:?}", entries(last));
    assert_eq!(fixture.responder.poll_name(), Some(("board-2", true)));
    assert_eq!(fixture.receive(&taken, CLIENT), None);
    fixture.run(5 * SECOND);
    assert_eq!(fixture.responder.poll_name(), None, "of a name that is not ours");
}

#[test]
fn conflict_with_an_established_name_is_probed() {
    let mut fixture = Fixture::established(&[interface(2, &["192.0.2.1"])]);
    for (node, of, data) in [
        (Node::Host, kind::A, &[192, 0, 2, 9][..]),
        (Node::Host, kind::AAAA, &[0xfe; 16]),
        (Node::WebInstance, kind::SRV, b"\0\0\0\0\x19\x64\x05other\0"),
        (Node::FriendletInstance, kind::TXT, b"\x01x"),
    ] {
        fixture.receive(&record("board", Section::Answer, node, of, data), CLIENT);
        // Without an answer to the probes, the name is announced again.
        fixture.run(5 * SECOND);
        assert_eq!(fixture.times().len(), 5, "{node:?}");
    }
    let own = fixture.responder.text.clone();
    for (source, node, of, data) in [
        (CLIENT, Node::Host, kind::A, &[192, 0, 2, 1][..]),
        (CLIENT, Node::WebInstance, kind::TXT, &own),
        (CLIENT, Node::Friendlet, kind::PTR, b"\x01x\0"),
        (CLIENT, Node::Host, kind::NSEC, b"\x01x\0"),
        // Another responder of this host, and no responder.
        ("192.0.2.1:5353", Node::Host, kind::A, &[192, 0, 2, 9]),
        (PLAIN_CLIENT, Node::Host, kind::A, &[192, 0, 2, 9]),
    ] {
        fixture.receive(&record("board", Section::Answer, node, of, data), source);
        fixture.run(5 * SECOND);
        assert_eq!(fixture.times().len(), 0, "{source} {node:?}");
    }
    assert_eq!(fixture.responder.poll_name(), Some(("board", false)));
}

#[test]
fn later_records_have_precedence_among_probes() {
    for (data, of, is_later) in [
        (&[192, 0, 2, 2][..], kind::A, true),
        (&[192, 0, 2, 1], kind::A, false),
        (&[192, 0, 1, 9], kind::A, false),
        (&[0xfe; 16], kind::AAAA, true),
    ] {
        let mut fixture = Fixture::new(&[interface(2, &["192.0.2.1"])]);
        fixture.run(Duration::from_millis(300));
        fixture.sent.clear();
        fixture.receive(&record("board", Section::Authority, Node::Host, of, data), CLIENT);
        fixture.run(Duration::from_millis(900));
        assert_eq!(fixture.sent.is_empty(), is_later, "{data:?}");
        fixture.run(5 * SECOND);
        assert_eq!(fixture.responder.poll_name(), Some(("board", false)));
    }
}

#[test]
fn names_after_the_first_ten_are_tried_slowly() {
    let mut fixture = Fixture::new(&[interface(2, &["192.0.2.1"])]);
    let mut names = Names::new("board", true);
    for _ in 0..12 {
        fixture.run(Duration::from_millis(300));
        fixture.receive(&record(names.own(), Section::Answer, Node::Host, kind::A, &[192, 0, 2, 9]), CLIENT);
        names.rename();
    }
    fixture.run(Duration::from_secs(60));
    let count = fixture.sent.len();
    // The tenth one is probed at once, the eleventh after five seconds.
    assert_eq!(fixture.responder.poll_name().map(|(name, _)| name.to_owned()), Some("board-11".to_owned()));
    assert!(count < 30, "{count}");
}

#[test]
fn changed_addresses_are_announced_again() {
    let mut fixture = Fixture::established(&[interface(2, &["192.0.2.1"])]);
    for (found, port, count) in [
        (vec![interface(2, &["192.0.2.1"])], 6500, 0),
        (vec![interface(2, &["192.0.2.1", "192.0.2.2"])], 6500, 2),
        (vec![interface(2, &["192.0.2.1", "192.0.2.2"])], 6501, 2),
        // A new one is probed, too, and one that has gone says nothing.
        (vec![interface(2, &["192.0.2.1", "192.0.2.2"]), interface(3, &["198.51.100.1"])], 6501, 5),
        (vec![interface(2, &[])], 6501, 0),
    ] {
        fixture.responder.handle_interfaces(&found, port, fixture.now);
        fixture.run(5 * SECOND);
        assert_eq!(fixture.times().len(), count, "{found:?}");
    }
    assert_eq!(fixture.responder.interfaces().len(), 0);
}

#[test]
fn interfaces_and_addresses_up_to_their_limits() {
    let interfaces: std::vec::Vec<_> = (1..=MDNS_INTERFACES as u32 + 2)
        .map(|index| interface(index, &[&format!("192.0.{index}.1")]))
        .collect();
    let mut fixture = Fixture::new(&interfaces);
    assert_eq!(fixture.responder.interfaces().len(), MDNS_INTERFACES);
    fixture.run(5 * SECOND);
    assert_eq!(fixture.times().len(), 5 * MDNS_INTERFACES);
    let addresses: std::vec::Vec<_> = (1..=9).map(|number| format!("192.0.2.{number}")).collect();
    let addresses: std::vec::Vec<_> = addresses.iter().map(String::as_str).collect();
    let mut interface = interface(2, &addresses);
    interface.add(served("fe80::1"));
    assert_eq!(interface.served(true).count(), MDNS_ADDRESSES);
    assert_eq!(interface.served(false).count(), 1);
}

#[test]
fn addresses_without_the_server_are_not_announced() {
    let mut other = interface(2, &[]);
    other.add(Address::new([192, 0, 2, 1].into(), 24, false));
    let mut fixture = Fixture::new(&[other.clone()]);
    assert_eq!(fixture.responder.interfaces().len(), 0);
    other.add(served("192.0.2.2"));
    fixture.responder.handle_interfaces(&[other], 6500, fixture.now);
    fixture.run(5 * SECOND);
    assert_eq!(fixture.responder.interfaces()[0].served(true).count(), 1);
    let reply = fixture.receive(&question(Node::Host, kind::A, 1), PLAIN_CLIENT).unwrap();
    assert_eq!(reply.windows(4).filter(|bytes| bytes[..3] == [192, 0, 2]).count(), 1);
}

#[test]
fn services_are_withdrawn_and_the_host_is_not() {
    let mut out = [0; MDNS_BYTES];
    let probing = Fixture::new(&[interface(2, &["192.0.2.1"])]);
    assert_eq!(probing.responder.withdraw(0, &mut out), None);
    let fixture = Fixture::established(&[interface(2, &["192.0.2.1"])]);
    let transmit = fixture.responder.withdraw(0, &mut out).unwrap();
    let expected = [
        "Answer _friendlet._tcp.local 12 0",
        "Answer _https._tcp.local 12 0",
        "Answer board._friendlet._tcp.local 33! 0",
        "Answer board._https._tcp.local 33! 0",
        "Answer board._friendlet._tcp.local 16! 0",
        "Answer board._https._tcp.local 16! 0",
    ];
    assert_eq!(entries(&out[..transmit.len]), expected);
    assert_eq!(fixture.responder.withdraw(1, &mut out), None);
}

#[test]
fn longest_announcement_has_room() {
    let mut longest = interface(2, &[]);
    for number in 0..=MDNS_ADDRESSES as u8 {
        longest.add(served(&format!("192.0.2.{number}")));
        longest.add(served(&format!("2001:db8:1234:5678:9abc:def0:1234:567{number}")));
    }
    let version = "1234.5678.9012-beta.12345";
    let mut responder = Responder::new(&"x".repeat(63), Service { port: 6500, has_tls: true }, version, 7);
    responder.handle_interfaces(&[longest], 6500, Duration::ZERO);
    assert!(responder.text.ends_with(b"tls=1"));
    let mut longest = 0;
    let mut out = [0; MDNS_BYTES];
    while let Some(due) = responder.poll_timeout() {
        longest = longest.max(responder.poll_transmit(due, &mut out).unwrap().len);
    }
    assert!((600..MDNS_BYTES).contains(&longest), "{longest}");
}

#[test]
fn datagram_over_the_limit_is_ignored() {
    let mut fixture = Fixture::established(&[interface(2, &["192.0.2.1"])]);
    for (len, is_answered) in [(MDNS_RECEIVED_BYTES, true), (MDNS_RECEIVED_BYTES + 1, false)] {
        let mut bytes = question(Node::Host, kind::A, 1);
        bytes.resize(len, 0);
        assert_eq!(fixture.receive(&bytes, PLAIN_CLIENT).is_some(), is_answered);
    }
}

proptest! {
    #[test]
    fn any_script_has_a_later_deadline(
        steps in proptest::collection::vec((0..4_u8, proptest::collection::vec(any::<u8>(), 0..60)), 0..40),
    ) {
        let mut fixture = Fixture::new(&[interface(2, &["192.0.2.1"])]);
        for (step, bytes) in steps {
            let data = bytes.get(..4).unwrap_or(&[1; 4]).to_vec();
            let own = fixture.responder.names.own().to_owned();
            match step {
                0 => drop(fixture.receive(&bytes, CLIENT)),
                1 => drop(fixture.receive(&record(&own, Section::Answer, Node::Host, kind::A, &data), CLIENT)),
                2 => drop(fixture.receive(&record(&own, Section::Authority, Node::Host, kind::A, &data), CLIENT)),
                _ => drop(fixture.receive(&question(Node::Host, kind::ANY, u16::from(data[0]) << 8 | 1), CLIENT)),
            }
            fixture.run(Duration::from_millis(u64::from(data[1]) * 10));
        }
        // It comes to rest, with a name.
        fixture.run(Duration::from_secs(30));
        prop_assert_eq!(fixture.responder.poll_timeout(), None);
        prop_assert!(fixture.responder.poll_name().is_some());
    }
}
