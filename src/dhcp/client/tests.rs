//! Client against literal messages of a server, and against a server that loses messages.

mod lossy;

use super::*;

const HARDWARE: [u8; 6] = [2, 0, 0, 0, 0, 1];
const SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const OTHER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 100);

/// Message of the client, as a server parses it.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Received {
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

/// Parses a message as a server does.
fn parse(bytes: &[u8], to: Destination) -> Received {
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
    Received {
        kind,
        transaction: bytes[4..8].try_into().unwrap(),
        is_broadcast_wanted: bytes[10] == 0x80,
        address: ip(&bytes[12..16]),
        requested,
        server,
        to,
    }
}

fn output(client: &mut Client) -> Option<Received> {
    let mut buffer = [0; DHCP_BYTES];
    let (bytes, to) = client.poll_output(&mut buffer)?;
    Some(parse(bytes, to))
}

/// Reply to a message: type, address, and options beside the server and the mask.
fn reply(
    message: &Received,
    kind: u8,
    address: Ipv4Addr,
    server: Ipv4Addr,
    options: &[u8],
) -> std::vec::Vec<u8> {
    let mut bytes = std::vec![2, 1, 6, 0];
    bytes.extend(message.transaction);
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

fn host_name() -> String<HOST_NAME_BYTES> {
    "board".try_into().unwrap()
}

fn started() -> Client {
    let mut client = Client::new(HARDWARE, host_name(), SEED);
    assert_eq!((client.poll_timeout(), output(&mut client)), (None, None));
    client.handle_link_up(Duration::ZERO);
    client
}

/// Client that is bound to [`ADDRESS`] since second 0, with these options.
fn bound(options: &[u8]) -> Client {
    let mut client = started();
    let discover = output(&mut client).unwrap();
    client.handle_packet(&reply(&discover, 2, ADDRESS, SERVER, options), Duration::ZERO).unwrap();
    let request = output(&mut client).unwrap();
    client.handle_packet(&reply(&request, 5, ADDRESS, SERVER, options), Duration::ZERO).unwrap();
    assert!(matches!(client.poll_change(), Some(AddressChange::Configure(_))));
    assert_eq!(output(&mut client), None);
    client
}

/// Advances to the next deadline of the client and returns it.
fn wait(client: &mut Client) -> Duration {
    let at = client.poll_timeout().unwrap();
    client.handle_timeout(at - Duration::from_millis(1));
    assert_eq!(output(client), None, "before its time");
    client.handle_timeout(at);
    at
}

#[test]
fn address_is_requested_and_configured() {
    let mut client = started();
    let discover = output(&mut client).unwrap();
    assert_eq!((discover.kind, discover.to), (1, Destination::Broadcast));
    assert!(discover.is_broadcast_wanted && discover.address.is_unspecified());
    assert_eq!((discover.requested, discover.server), (None, None));
    assert_eq!(output(&mut client), None, "once");

    client.handle_packet(&reply(&discover, 2, ADDRESS, SERVER, &lease_option(86_400)), seconds(1)).unwrap();
    assert_eq!(client.poll_change(), None, "an offer is not a lease");
    let request = output(&mut client).unwrap();
    let expected = Received { kind: 3, requested: Some(ADDRESS), server: Some(SERVER), ..discover };
    assert_eq!(request, expected);

    let mut options = lease_option(86_400);
    options.extend([3, 4, 192, 0, 2, 254, 6, 4, 192, 0, 2, 253]);
    // Of these two, one is not that of a host.
    options.extend([42, 8, 0, 0, 0, 0, 192, 0, 2, 252]);
    client.handle_packet(&reply(&request, 5, ADDRESS, SERVER, &options), seconds(1)).unwrap();
    let lease = Lease {
        address: ADDRESS,
        prefix: 24,
        gateway: Some(Ipv4Addr::new(192, 0, 2, 254)),
        nameservers: Vec::from_slice(&[Ipv4Addr::new(192, 0, 2, 253)]).unwrap(),
        ntp: Vec::from_slice(&[Ipv4Addr::new(192, 0, 2, 252)]).unwrap(),
        server: SERVER,
        time: Some(seconds(86_400)),
    };
    assert_eq!(client.lease(), Some(&lease));
    assert_eq!(client.poll_change(), Some(AddressChange::Configure(lease)));
    assert_eq!((client.poll_change(), output(&mut client)), (None, None));
}

#[test]
fn message_without_reply_is_repeated_after_growing_pauses() {
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
    // The jitter makes equal pauses differ.
    assert_ne!(pauses[5], pauses[6]);
    let mut other = Client::new(HARDWARE, host_name(), SEED ^ 0xff00);
    other.handle_link_up(Duration::ZERO);
    assert_ne!(other.poll_timeout(), Some(pauses[0]));
}

#[test]
fn offer_without_an_ack_is_given_up() {
    let mut client = started();
    let discover = output(&mut client).unwrap();
    client.handle_packet(&reply(&discover, 2, ADDRESS, SERVER, &[]), Duration::ZERO).unwrap();
    let request = output(&mut client).unwrap();
    for _ in 1..DHCP_TRIES {
        wait(&mut client);
        assert_eq!(output(&mut client), Some(request.clone()));
    }
    wait(&mut client);
    let again = output(&mut client).unwrap();
    assert_eq!((again.kind, again.requested), (1, None));
    assert_ne!(again.transaction, discover.transaction);
    // A reply to the old request is late.
    let late = reply(&request, 5, ADDRESS, SERVER, &lease_option(60));
    assert_eq!(client.handle_packet(&late, seconds(61)), Err(DropReason::NotOurs));
}

#[test]
fn ack_after_the_end_of_its_lease_is_dropped() {
    let mut client = started();
    let discover = output(&mut client).unwrap();
    client.handle_packet(&reply(&discover, 2, ADDRESS, SERVER, &[]), seconds(1)).unwrap();
    let request = output(&mut client).unwrap();
    wait(&mut client);
    let late = reply(&request, 5, ADDRESS, SERVER, &lease_option(10));
    assert_eq!(client.clone().handle_packet(&late, seconds(11)), Err(DropReason::ShortLease));
    client.handle_packet(&late, seconds(10)).unwrap();
    assert_eq!(client.bound.as_ref().unwrap().end, Some(seconds(11)));
}

#[test]
fn unusable_replies_are_dropped() {
    let mut client = started();
    let discover = output(&mut client).unwrap();
    let good = reply(&discover, 2, ADDRESS, SERVER, &lease_option(60));
    let mut other_hardware = good.clone();
    other_hardware[33] ^= 1;
    let mut other_transaction = good.clone();
    other_transaction[7] ^= 1;
    let mut no_server = good.clone();
    no_server[243] = 99;
    let short = u32::try_from(DHCP_LEASE_MIN.as_secs()).unwrap() - 1;
    for (bytes, why) in [
        (good[..100].to_vec(), DropReason::Malformed(ParseError::Length)),
        (other_hardware, DropReason::NotOurs),
        (other_transaction, DropReason::NotOurs),
        (no_server, DropReason::Server),
        (reply(&discover, 5, ADDRESS, SERVER, &lease_option(60)), DropReason::Unexpected(MessageType::Ack)),
        (reply(&discover, 6, ADDRESS, SERVER, &[]), DropReason::Unexpected(MessageType::Nak)),
        (reply(&discover, 2, Ipv4Addr::UNSPECIFIED, SERVER, &[]), DropReason::Address),
        (reply(&discover, 2, Ipv4Addr::BROADCAST, SERVER, &[]), DropReason::Address),
        (reply(&discover, 2, Ipv4Addr::LOCALHOST, SERVER, &[]), DropReason::Address),
        (reply(&discover, 2, ADDRESS, SERVER, &lease_option(short)), DropReason::ShortLease),
    ] {
        assert_eq!(client.handle_packet(&bytes, Duration::ZERO), Err(why));
        assert_eq!((output(&mut client), client.poll_change()), (None, None), "{why:?}");
    }
    client.handle_packet(&good, Duration::ZERO).unwrap();
    let request = output(&mut client).unwrap();
    for (bytes, why) in [
        (good, DropReason::Unexpected(MessageType::Offer)),
        (reply(&request, 5, OTHER, SERVER, &lease_option(60)), DropReason::Address),
        (reply(&request, 5, ADDRESS, OTHER, &lease_option(60)), DropReason::Server),
        (reply(&request, 6, ADDRESS, OTHER, &[]), DropReason::Server),
        (reply(&request, 5, ADDRESS, SERVER, &[]), DropReason::ShortLease),
        (reply(&request, 5, ADDRESS, SERVER, &lease_option(short)), DropReason::ShortLease),
    ] {
        assert_eq!(client.handle_packet(&bytes, Duration::ZERO), Err(why));
        assert_eq!((output(&mut client), client.poll_change()), (None, None), "{why:?}");
    }
    client
        .handle_packet(&reply(&request, 5, ADDRESS, SERVER, &lease_option(short + 1)), Duration::ZERO)
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
    // Without a reply it is repeated after half the time until rebinding.
    let again = wait(&mut client);
    assert_eq!(again, renewal + (seconds(3150) - renewal) / 2);
    assert_eq!(output(&mut client), Some(request.clone()));
    client.handle_packet(&reply(&request, 5, ADDRESS, SERVER, &lease_option(3600)), again).unwrap();
    let Some(AddressChange::Configure(lease)) = client.poll_change() else { panic!() };
    assert_eq!((lease.address, lease.time), (ADDRESS, Some(seconds(3600))));
    // The lease starts with the first of the two messages, which the reply may be for.
    let next = client.poll_timeout().unwrap();
    assert!(renewal + seconds(1680) < next && next <= renewal + seconds(1800), "{next:?}");
}

#[test]
fn renewals_keep_the_shortest_pause() {
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
fn lease_is_rebound_and_expires() {
    let mut client = bound(&lease_option(80));
    wait(&mut client);
    let renew = output(&mut client).unwrap();
    assert_eq!(wait(&mut client), seconds(70), "half the time left would be sooner than the shortest pause");
    let rebind = output(&mut client).unwrap();
    assert_eq!((rebind.kind, rebind.to, rebind.address), (3, Destination::Broadcast, ADDRESS));
    assert_eq!((rebind.requested, rebind.server), (None, None));
    assert_ne!(rebind.transaction, renew.transaction);
    // Another server may extend the lease.
    let mut other = client.clone();
    other.handle_packet(&reply(&rebind, 5, ADDRESS, OTHER, &lease_option(80)), seconds(71)).unwrap();
    assert_eq!(other.lease().unwrap().server, OTHER);

    assert_eq!(wait(&mut client), seconds(80));
    assert_eq!(client.poll_change(), Some(AddressChange::Deconfigure(LeaseEnd::Expired)));
    assert_eq!(client.lease(), None);
    assert_eq!(output(&mut client).unwrap().kind, 1);
}

#[test]
fn times_of_the_server_are_used_unless_they_contradict_each_other() {
    let with = |renewal: u32, rebinding: u32| {
        let mut options = lease_option(1000);
        options.extend([58, 4].into_iter().chain(renewal.to_be_bytes()));
        options.extend([59, 4].into_iter().chain(rebinding.to_be_bytes()));
        let mut client = bound(&options);
        let renewal = wait(&mut client);
        output(&mut client);
        while client.state != ClientState::Rebinding {
            wait(&mut client);
            output(&mut client);
        }
        (renewal.as_secs(), client.last_sent.as_secs())
    };
    let (renewal, rebinding) = with(100, 300);
    assert!((93..=100).contains(&renewal) && rebinding == 300, "{renewal} {rebinding}");
    for (renewal, rebinding) in [(300, 100), (100, 1000), (4, 300), (0, 0), (u32::MAX, u32::MAX)] {
        let (renewal, rebinding) = with(renewal, rebinding);
        assert!((468..=500).contains(&renewal) && rebinding == 875, "{renewal} {rebinding}");
    }
}

#[test]
fn infinite_lease_is_not_renewed() {
    let client = bound(&lease_option(u32::MAX));
    assert_eq!(client.lease().unwrap().time, None);
    assert_eq!(client.poll_timeout(), None);
    // The longest finite lease fits the clock.
    assert!(bound(&lease_option(u32::MAX - 1)).poll_timeout().unwrap() > seconds(1 << 30));
}

#[test]
fn refused_address_is_dropped_and_requests_get_rarer() {
    let mut client = bound(&lease_option(3600));
    let at = wait(&mut client);
    let request = output(&mut client).unwrap();
    client.handle_packet(&reply(&request, 6, Ipv4Addr::UNSPECIFIED, SERVER, &[]), at).unwrap();
    assert_eq!(client.poll_change(), Some(AddressChange::Deconfigure(LeaseEnd::Refused)));
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
        client.handle_packet(&reply(&discover, 2, ADDRESS, SERVER, &[]), now).unwrap();
        let request = output(&mut client).unwrap();
        client.handle_packet(&reply(&request, 6, Ipv4Addr::UNSPECIFIED, SERVER, &[]), now).unwrap();
        assert_eq!(client.poll_change(), None, "no lease before");
    }
    assert_eq!(pauses[0], Duration::ZERO);
    assert!(pauses[1] >= DHCP_RETRY_MIN - seconds(1) && pauses[3] > pauses[1] * 2, "{pauses:?}");
}

#[test]
fn same_address_is_requested_when_the_link_is_back() {
    let mut client = bound(&lease_option(3600));
    client.handle_link_down();
    assert_eq!(client.poll_change(), None, "the address is kept");
    client.handle_link_up(seconds(100));
    let request = output(&mut client).unwrap();
    assert_eq!((request.kind, request.to), (3, Destination::Broadcast));
    assert_eq!((request.requested, request.server), (Some(ADDRESS), None));
    assert!(request.address.is_unspecified() && request.is_broadcast_wanted);
    // In another subnet the server refuses it.
    let mut moved = client.clone();
    moved.handle_packet(&reply(&request, 6, Ipv4Addr::UNSPECIFIED, OTHER, &[]), seconds(100)).unwrap();
    assert_eq!(moved.poll_change(), Some(AddressChange::Deconfigure(LeaseEnd::Refused)));
    // In the same subnet the server grants it again.
    let mut granted = client.clone();
    granted.handle_packet(&reply(&request, 5, ADDRESS, SERVER, &lease_option(3600)), seconds(100)).unwrap();
    assert!(granted.poll_timeout().unwrap() > seconds(1700));
    // Without a reply the lease stays.
    for _ in 1..DHCP_TRIES {
        wait(&mut client);
        assert_eq!(output(&mut client).unwrap(), request);
    }
    wait(&mut client);
    assert_eq!((output(&mut client), client.poll_change()), (None, None));
    assert!(client.poll_timeout().unwrap() <= seconds(1800));
}

#[test]
fn lease_expires_without_a_link() {
    let mut client = bound(&lease_option(60));
    client.handle_link_down();
    assert_eq!(wait(&mut client), seconds(60));
    assert_eq!(client.poll_change(), Some(AddressChange::Deconfigure(LeaseEnd::Expired)));
    assert_eq!((client.poll_timeout(), output(&mut client)), (None, None));
    client.handle_link_up(seconds(61));
    assert_eq!(output(&mut client).unwrap().kind, 1);
    // It may also have expired by the time the link is back, without a timeout in between.
    let mut client = bound(&lease_option(60));
    client.handle_link_down();
    client.handle_link_up(seconds(60));
    assert_eq!(client.poll_change(), Some(AddressChange::Deconfigure(LeaseEnd::Expired)));
    assert_eq!(output(&mut client).unwrap().kind, 1);
}

#[test]
fn message_is_dropped_with_the_link() {
    let mut client = started();
    client.handle_link_down();
    assert_eq!((output(&mut client), client.poll_timeout()), (None, None));
    client.handle_link_up(seconds(1));
    let discover = output(&mut client).unwrap();
    client.handle_link_up(seconds(2));
    assert_eq!(output(&mut client), None, "it was up already");
    client.handle_packet(&reply(&discover, 2, ADDRESS, SERVER, &[]), seconds(2)).unwrap();
    assert_eq!(output(&mut client).unwrap().transaction, discover.transaction);
}

#[test]
fn subnet_without_a_mask_is_that_of_the_class() {
    for (address, prefix) in [([10, 0, 0, 1], 8), ([172, 16, 0, 1], 16), ([192, 168, 0, 1], 24)] {
        let mut client = started();
        let discover = output(&mut client).unwrap();
        let without_mask = |mut bytes: std::vec::Vec<u8>| {
            // The mask becomes an option that the client does not request.
            bytes[249] = 99;
            bytes
        };
        let offer = reply(&discover, 2, address.into(), SERVER, &lease_option(60));
        client.handle_packet(&without_mask(offer), Duration::ZERO).unwrap();
        let request = output(&mut client).unwrap();
        let ack = reply(&request, 5, address.into(), SERVER, &lease_option(60));
        client.handle_packet(&without_mask(ack), Duration::ZERO).unwrap();
        assert_eq!(client.lease().unwrap().prefix, prefix);
    }
}

#[test]
fn random_numbers_stay_below_their_limit_and_differ() {
    let mut client = started();
    let numbers: std::collections::BTreeSet<u32> = (0..1000).map(|_| client.random_below(2001)).collect();
    assert!(numbers.len() > 500 && numbers.iter().all(|number| *number <= 2000), "{}", numbers.len());
    assert!(numbers.contains(&2000) || numbers.iter().any(|number| *number > 1900));
    let mut zero = Client::new(HARDWARE, host_name(), 0);
    assert_ne!(zero.random_below(u32::MAX), zero.random_below(u32::MAX));
}
