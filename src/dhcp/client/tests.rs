//! The client against a server on literals, and against one that loses messages.

mod lossy;

use super::*;

const HARDWARE: [u8; 6] = [2, 0, 0, 0, 0, 1];
const SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const OTHER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 100);

/// What a message of the client asks.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Asked {
    kind: u8,
    transaction: [u8; 4],
    is_broadcast_wanted: bool,
    address: Ipv4Addr,
    requested: Option<Ipv4Addr>,
    server: Option<Ipv4Addr>,
    to: Destination,
}

fn ip(bytes: &[u8]) -> Ipv4Addr {
    <[u8; 4]>::try_from(bytes).unwrap().into()
}

/// Reads a message as a server does.
fn read(bytes: &[u8], to: Destination) -> Asked {
    let (mut requested, mut server, mut kind) = (None, None, 0);
    let mut rest = &bytes[240..];
    while rest[0] != 255 {
        let (value, after) = rest[2..].split_at(usize::from(rest[1]));
        match rest[0] {
            50 => requested = Some(ip(value)),
            53 => kind = value[0],
            54 => server = Some(ip(value)),
            _ => {}
        }
        rest = after;
    }
    Asked {
        kind,
        transaction: bytes[4..8].try_into().unwrap(),
        is_broadcast_wanted: bytes[10] == 0x80,
        address: ip(&bytes[12..16]),
        requested,
        server,
        to,
    }
}

fn output(client: &mut Client) -> Option<Asked> {
    let mut buffer = [0; DHCP_BYTES];
    let (bytes, to) = client.poll_output(&mut buffer)?;
    Some(read(bytes, to))
}

/// An answer to a question: kind, address, and options beside the server and the mask.
fn answer(asked: &Asked, kind: u8, address: Ipv4Addr, server: Ipv4Addr, options: &[u8]) -> std::vec::Vec<u8> {
    let mut bytes = std::vec![2, 1, 6, 0];
    bytes.extend(asked.transaction);
    bytes.extend([0; 8]);
    bytes.extend(address.octets());
    bytes.extend([0; 8]);
    bytes.extend(HARDWARE);
    bytes.extend([0; 10 + 64 + 128]);
    bytes.extend([99, 130, 83, 99, 53, 1, kind, 54, 4]);
    bytes.extend(server.octets());
    bytes.extend([1, 4, 255, 255, 255, 0]);
    bytes.extend(options);
    bytes.push(255);
    bytes
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn lease_option(seconds: u32) -> std::vec::Vec<u8> {
    [51, 4].into_iter().chain(seconds.to_be_bytes()).collect()
}

const SEED: u64 = 0x0123_4567_89ab_cdef;

fn started() -> Client {
    let mut client = Client::new(HARDWARE, "board", SEED);
    assert_eq!((client.poll_timeout(), output(&mut client)), (None, None));
    client.handle_link_up(Duration::ZERO);
    client
}

/// A client that has got [`ADDRESS`] at second 0 for so many seconds.
fn bound(options: &[u8]) -> Client {
    let mut client = started();
    let discover = output(&mut client).unwrap();
    client.handle_packet(&answer(&discover, 2, ADDRESS, SERVER, options), Duration::ZERO).unwrap();
    let request = output(&mut client).unwrap();
    client.handle_packet(&answer(&request, 5, ADDRESS, SERVER, options), Duration::ZERO).unwrap();
    assert!(matches!(client.poll_action(), Some(Action::Configure(_))));
    assert_eq!(output(&mut client), None);
    client
}

/// Goes on to the client's next deadline and returns it.
fn wait(client: &mut Client) -> Duration {
    let at = client.poll_timeout().unwrap();
    client.handle_timeout(at - Duration::from_millis(1));
    assert_eq!(output(client), None, "before its time");
    client.handle_timeout(at);
    at
}

#[test]
fn address_is_asked_for_and_taken() {
    let mut client = started();
    let discover = output(&mut client).unwrap();
    assert_eq!((discover.kind, discover.to), (1, Destination::Broadcast));
    assert!(discover.is_broadcast_wanted && discover.address.is_unspecified());
    assert_eq!((discover.requested, discover.server), (None, None));
    assert_eq!(output(&mut client), None, "once");

    client.handle_packet(&answer(&discover, 2, ADDRESS, SERVER, &lease_option(86_400)), seconds(1)).unwrap();
    assert_eq!(client.poll_action(), None, "an offer is none yet");
    let request = output(&mut client).unwrap();
    let expected = Asked { kind: 3, requested: Some(ADDRESS), server: Some(SERVER), ..discover };
    assert_eq!(request, expected);

    let mut options = lease_option(86_400);
    options.extend([3, 4, 192, 0, 2, 254, 6, 4, 192, 0, 2, 253]);
    client.handle_packet(&answer(&request, 5, ADDRESS, SERVER, &options), seconds(1)).unwrap();
    let lease = Lease {
        address: ADDRESS,
        prefix: 24,
        gateway: Some(Ipv4Addr::new(192, 0, 2, 254)),
        nameservers: Vec::from_slice(&[Ipv4Addr::new(192, 0, 2, 253)]).unwrap(),
        server: SERVER,
        time: Some(seconds(86_400)),
    };
    assert_eq!(client.lease(), Some(&lease));
    assert_eq!(client.poll_action(), Some(Action::Configure(lease)));
    assert_eq!((client.poll_action(), output(&mut client)), (None, None));
}

#[test]
fn unanswered_message_is_sent_again_and_less_and_less() {
    let mut client = started();
    let discover = output(&mut client).unwrap();
    let mut pauses = std::vec::Vec::new();
    let mut last = Duration::ZERO;
    for _ in 0..8 {
        let at = wait(&mut client);
        pauses.push(at - last);
        last = at;
        assert_eq!(output(&mut client), Some(discover.clone()));
    }
    let mut doubled = DHCP_RETRY_MIN;
    for pause in &pauses {
        assert!(
            doubled - seconds(1) <= *pause && *pause <= doubled + seconds(1),
            "{pause:?}, not {doubled:?}"
        );
        doubled = (doubled * 2).min(DHCP_RETRY_MAX);
    }
    // Two of one kind are alike only where the jitter is.
    assert_ne!(pauses[5], pauses[6]);
    let mut other = Client::new(HARDWARE, "board", SEED ^ 0xff00);
    other.handle_link_up(Duration::ZERO);
    assert_ne!(other.poll_timeout(), Some(pauses[0]));
}

#[test]
fn offer_that_is_not_kept_is_given_up() {
    let mut client = started();
    let discover = output(&mut client).unwrap();
    client.handle_packet(&answer(&discover, 2, ADDRESS, SERVER, &[]), Duration::ZERO).unwrap();
    let request = output(&mut client).unwrap();
    for _ in 1..DHCP_TRIES {
        wait(&mut client);
        assert_eq!(output(&mut client), Some(request.clone()));
    }
    wait(&mut client);
    let again = output(&mut client).unwrap();
    assert_eq!((again.kind, again.requested), (1, None));
    assert_ne!(again.transaction, discover.transaction);
    // An answer to the old question is late.
    let late = answer(&request, 5, ADDRESS, SERVER, &lease_option(60));
    assert_eq!(client.handle_packet(&late, seconds(61)), Err(Ignored::NotOurs));
}

#[test]
fn answer_that_comes_after_its_lease_is_none() {
    let mut client = started();
    let discover = output(&mut client).unwrap();
    client.handle_packet(&answer(&discover, 2, ADDRESS, SERVER, &[]), seconds(1)).unwrap();
    let request = output(&mut client).unwrap();
    wait(&mut client);
    let late = answer(&request, 5, ADDRESS, SERVER, &lease_option(10));
    assert_eq!(client.clone().handle_packet(&late, seconds(11)), Err(Ignored::ShortLease));
    client.handle_packet(&late, seconds(10)).unwrap();
    assert_eq!(client.held.as_ref().unwrap().end, Some(seconds(11)));
}

#[test]
fn answers_that_are_none_are_left_alone() {
    let mut client = started();
    let discover = output(&mut client).unwrap();
    let good = answer(&discover, 2, ADDRESS, SERVER, &lease_option(60));
    let mut other_hardware = good.clone();
    other_hardware[33] ^= 1;
    let mut other_transaction = good.clone();
    other_transaction[7] ^= 1;
    let mut no_server = good.clone();
    no_server[243] = 99;
    let short = u32::try_from(DHCP_LEASE_MIN.as_secs()).unwrap() - 1;
    for (bytes, why) in [
        (good[..100].to_vec(), Ignored::Malformed(ParseError::Length)),
        (other_hardware, Ignored::NotOurs),
        (other_transaction, Ignored::NotOurs),
        (no_server, Ignored::Server),
        (answer(&discover, 5, ADDRESS, SERVER, &lease_option(60)), Ignored::Unexpected(Kind::Ack)),
        (answer(&discover, 6, ADDRESS, SERVER, &[]), Ignored::Unexpected(Kind::Nak)),
        (answer(&discover, 2, Ipv4Addr::UNSPECIFIED, SERVER, &[]), Ignored::Address),
        (answer(&discover, 2, Ipv4Addr::BROADCAST, SERVER, &[]), Ignored::Address),
        (answer(&discover, 2, Ipv4Addr::LOCALHOST, SERVER, &[]), Ignored::Address),
        (answer(&discover, 2, ADDRESS, SERVER, &lease_option(short)), Ignored::ShortLease),
    ] {
        assert_eq!(client.handle_packet(&bytes, Duration::ZERO), Err(why));
        assert_eq!((output(&mut client), client.poll_action()), (None, None), "{why:?}");
    }
    client.handle_packet(&good, Duration::ZERO).unwrap();
    let request = output(&mut client).unwrap();
    for (bytes, why) in [
        (good, Ignored::Unexpected(Kind::Offer)),
        (answer(&request, 5, OTHER, SERVER, &lease_option(60)), Ignored::Address),
        (answer(&request, 5, ADDRESS, OTHER, &lease_option(60)), Ignored::Server),
        (answer(&request, 6, ADDRESS, OTHER, &[]), Ignored::Server),
        (answer(&request, 5, ADDRESS, SERVER, &[]), Ignored::ShortLease),
        (answer(&request, 5, ADDRESS, SERVER, &lease_option(short)), Ignored::ShortLease),
    ] {
        assert_eq!(client.handle_packet(&bytes, Duration::ZERO), Err(why));
        assert_eq!((output(&mut client), client.poll_action()), (None, None), "{why:?}");
    }
    client
        .handle_packet(&answer(&request, 5, ADDRESS, SERVER, &lease_option(short + 1)), Duration::ZERO)
        .unwrap();
    assert_eq!(client.lease().unwrap().time, Some(DHCP_LEASE_MIN));
}

#[test]
fn lease_is_renewed_with_its_server() {
    let mut client = bound(&lease_option(3600));
    let renewal = wait(&mut client);
    assert!(seconds(1800 - 1800 / 16) <= renewal && renewal <= seconds(1800), "{renewal:?}");
    let request = output(&mut client).unwrap();
    assert_eq!((request.kind, request.to), (3, Destination::Server(SERVER)));
    assert_eq!((request.address, request.requested, request.server), (ADDRESS, None, None));
    assert!(!request.is_broadcast_wanted);
    // Nobody answers: it is sent again after half the time until rebinding.
    let again = wait(&mut client);
    assert_eq!(again, renewal + (seconds(3150) - renewal) / 2);
    assert_eq!(output(&mut client), Some(request.clone()));
    client.handle_packet(&answer(&request, 5, ADDRESS, SERVER, &lease_option(3600)), again).unwrap();
    let Some(Action::Configure(lease)) = client.poll_action() else { panic!() };
    assert_eq!((lease.address, lease.time), (ADDRESS, Some(seconds(3600))));
    // It counts from the first of the two messages, for the answer may be that one's.
    let next = client.poll_timeout().unwrap();
    assert!(renewal + seconds(1680) < next && next <= renewal + seconds(1800), "{next:?}");
}

#[test]
fn tries_to_renew_keep_their_distance() {
    let mut client = bound(&lease_option(1000));
    let mut last = wait(&mut client);
    let mut tries = 0;
    while last < seconds(1000) {
        output(&mut client);
        let at = wait(&mut client);
        tries += 1;
        assert!(
            at - last >= DHCP_RENEW_MIN || at == seconds(875) || at == seconds(1000),
            "{last:?} to {at:?}"
        );
        last = at;
    }
    assert!(tries > 4, "{tries}");
}

#[test]
fn lease_is_rebound_and_ends() {
    let mut client = bound(&lease_option(80));
    wait(&mut client);
    let renew = output(&mut client).unwrap();
    assert_eq!(wait(&mut client), seconds(70), "half the time left would be sooner than the shortest pause");
    let rebind = output(&mut client).unwrap();
    assert_eq!((rebind.kind, rebind.to, rebind.address), (3, Destination::Broadcast, ADDRESS));
    assert_eq!((rebind.requested, rebind.server), (None, None));
    assert_ne!(rebind.transaction, renew.transaction);
    // Another server may keep the lease up.
    let mut other = client.clone();
    other.handle_packet(&answer(&rebind, 5, ADDRESS, OTHER, &lease_option(80)), seconds(71)).unwrap();
    assert_eq!(other.lease().unwrap().server, OTHER);

    assert_eq!(wait(&mut client), seconds(80));
    assert_eq!(client.poll_action(), Some(Action::Deconfigure(Lost::Expired)));
    assert_eq!(client.lease(), None);
    assert_eq!(output(&mut client).unwrap().kind, 1);
}

#[test]
fn times_of_the_server_count_where_they_make_sense() {
    let with = |renewal: u32, rebinding: u32| {
        let mut options = lease_option(1000);
        options.extend([58, 4].into_iter().chain(renewal.to_be_bytes()));
        options.extend([59, 4].into_iter().chain(rebinding.to_be_bytes()));
        let mut client = bound(&options);
        let renewal = wait(&mut client);
        output(&mut client);
        while client.state != State::Rebinding {
            wait(&mut client);
            output(&mut client);
        }
        (renewal.as_secs(), client.sent.as_secs())
    };
    let (renewal, rebinding) = with(100, 300);
    assert!((93..=100).contains(&renewal) && rebinding == 300, "{renewal} {rebinding}");
    for (renewal, rebinding) in [(300, 100), (100, 1000), (4, 300), (0, 0), (u32::MAX, u32::MAX)] {
        let (renewal, rebinding) = with(renewal, rebinding);
        assert!((468..=500).contains(&renewal) && rebinding == 875, "{renewal} {rebinding}");
    }
}

#[test]
fn lease_without_end_is_left_in_peace() {
    let client = bound(&lease_option(u32::MAX));
    assert_eq!(client.lease().unwrap().time, None);
    assert_eq!(client.poll_timeout(), None);
    // The longest one that ends is no trouble for the clock.
    assert!(bound(&lease_option(u32::MAX - 1)).poll_timeout().unwrap() > seconds(1 << 30));
}

#[test]
fn refused_address_is_given_up_at_once_and_then_with_patience() {
    let mut client = bound(&lease_option(3600));
    let at = wait(&mut client);
    let request = output(&mut client).unwrap();
    client.handle_packet(&answer(&request, 6, Ipv4Addr::UNSPECIFIED, SERVER, &[]), at).unwrap();
    assert_eq!(client.poll_action(), Some(Action::Deconfigure(Lost::Refused)));
    assert_eq!(client.poll_timeout(), Some(at));
    let mut now = at;
    let mut pauses = std::vec::Vec::new();
    for _ in 0..4 {
        let next = client.poll_timeout().unwrap();
        pauses.push(next - now);
        now = next;
        client.handle_timeout(now);
        let discover = output(&mut client).unwrap();
        assert_eq!(discover.kind, 1);
        client.handle_packet(&answer(&discover, 2, ADDRESS, SERVER, &[]), now).unwrap();
        let request = output(&mut client).unwrap();
        client.handle_packet(&answer(&request, 6, Ipv4Addr::UNSPECIFIED, SERVER, &[]), now).unwrap();
        assert_eq!(client.poll_action(), None, "there was none to give up");
    }
    assert_eq!(pauses[0], Duration::ZERO);
    assert!(pauses[1] >= DHCP_RETRY_MIN - seconds(1) && pauses[3] > pauses[1] * 2, "{pauses:?}");
}

#[test]
fn link_that_comes_back_asks_for_the_same_address() {
    let mut client = bound(&lease_option(3600));
    client.handle_link_down();
    assert_eq!(client.poll_action(), None, "the address is kept");
    client.handle_link_up(seconds(100));
    let request = output(&mut client).unwrap();
    assert_eq!((request.kind, request.to), (3, Destination::Broadcast));
    assert_eq!((request.requested, request.server), (Some(ADDRESS), None));
    assert!(request.address.is_unspecified() && request.is_broadcast_wanted);
    // In another net it is refused.
    let mut moved = client.clone();
    moved.handle_packet(&answer(&request, 6, Ipv4Addr::UNSPECIFIED, OTHER, &[]), seconds(100)).unwrap();
    assert_eq!(moved.poll_action(), Some(Action::Deconfigure(Lost::Refused)));
    // In the same it is granted anew.
    let mut granted = client.clone();
    granted.handle_packet(&answer(&request, 5, ADDRESS, SERVER, &lease_option(3600)), seconds(100)).unwrap();
    assert!(granted.poll_timeout().unwrap() > seconds(1700));
    // Where nobody answers, the lease is what it was.
    for _ in 1..DHCP_TRIES {
        wait(&mut client);
        assert_eq!(output(&mut client).unwrap(), request);
    }
    wait(&mut client);
    assert_eq!((output(&mut client), client.poll_action()), (None, None));
    assert!(client.poll_timeout().unwrap() <= seconds(1800));
}

#[test]
fn lease_ends_without_a_link_too() {
    let mut client = bound(&lease_option(60));
    client.handle_link_down();
    assert_eq!(wait(&mut client), seconds(60));
    assert_eq!(client.poll_action(), Some(Action::Deconfigure(Lost::Expired)));
    assert_eq!((client.poll_timeout(), output(&mut client)), (None, None));
    client.handle_link_up(seconds(61));
    assert_eq!(output(&mut client).unwrap().kind, 1);
    // It may also have ended by the time the link is back, and nobody said so.
    let mut client = bound(&lease_option(60));
    client.handle_link_down();
    client.handle_link_up(seconds(60));
    assert_eq!(client.poll_action(), Some(Action::Deconfigure(Lost::Expired)));
    assert_eq!(output(&mut client).unwrap().kind, 1);
}

#[test]
fn link_that_goes_takes_its_message_with_it() {
    let mut client = started();
    client.handle_link_down();
    assert_eq!((output(&mut client), client.poll_timeout()), (None, None));
    client.handle_link_up(seconds(1));
    let discover = output(&mut client).unwrap();
    client.handle_link_up(seconds(2));
    assert_eq!(output(&mut client), None, "it was up already");
    client.handle_packet(&answer(&discover, 2, ADDRESS, SERVER, &[]), seconds(2)).unwrap();
    assert_eq!(output(&mut client).unwrap().transaction, discover.transaction);
}

#[test]
fn net_that_is_not_told_is_that_of_the_class() {
    for (address, prefix) in [([10, 0, 0, 1], 8), ([172, 16, 0, 1], 16), ([192, 168, 0, 1], 24)] {
        let mut client = started();
        let discover = output(&mut client).unwrap();
        let without_mask = |mut bytes: std::vec::Vec<u8>| {
            // The mask's option becomes one that nobody asked for.
            bytes[249] = 99;
            bytes
        };
        let offer = answer(&discover, 2, address.into(), SERVER, &lease_option(60));
        client.handle_packet(&without_mask(offer), Duration::ZERO).unwrap();
        let request = output(&mut client).unwrap();
        let ack = answer(&request, 5, address.into(), SERVER, &lease_option(60));
        client.handle_packet(&without_mask(ack), Duration::ZERO).unwrap();
        assert_eq!(client.lease().unwrap().prefix, prefix);
    }
}

#[test]
fn numbers_stay_below_their_limit_and_differ() {
    let mut client = started();
    let numbers: std::collections::BTreeSet<u32> = (0..1000).map(|_| client.random_below(2001)).collect();
    assert!(numbers.len() > 500 && numbers.iter().all(|number| *number <= 2000), "{}", numbers.len());
    assert!(numbers.contains(&2000) || numbers.iter().any(|number| *number > 1900));
    let mut zero = Client::new(HARDWARE, "", 0);
    assert_ne!(zero.random_below(u32::MAX), zero.random_below(u32::MAX));
}
