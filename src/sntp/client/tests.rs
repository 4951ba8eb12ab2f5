//! Client against scripts of replies and time.

use proptest::prelude::*;

use super::*;

const BUILT: u64 = 1_795_996_800;
const A: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const B: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const START: Duration = Duration::from_secs(5);
/// Time of the servers at the start.
const TIME: Duration = Duration::from_secs(BUILT + 1000);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Reply to a request at a time of the server, which differs from a good one in its first bytes and its reference.
fn reply(request: &[u8], time: Duration, first: [u8; 2], reference: &[u8; 4]) -> std::vec::Vec<u8> {
    let fraction = (u64::from(time.subsec_nanos()) << 32) / 1_000_000_000;
    let timestamp = (time.as_secs() + 2_208_988_800) << 32 | fraction;
    let mut bytes = first.to_vec();
    bytes.extend([0; 10]);
    bytes.extend(reference);
    bytes.extend([0; 8]);
    bytes.extend(&request[40..]);
    bytes.extend(timestamp.to_be_bytes());
    bytes.extend(timestamp.to_be_bytes());
    bytes
}

fn client(servers: &[Ipv4Addr]) -> Client {
    let mut client = Client::new(BUILT);
    client.handle_servers(servers, START);
    client
}

/// Next request, which is due at `now`.
#[track_caller]
fn asked(client: &mut Client, now: Duration) -> (Ipv4Addr, [u8; MESSAGE_BYTES]) {
    assert!(client.poll_timeout().is_some_and(|at| at <= now), "{:?}", client.poll_timeout());
    client.handle_timeout(now, 0x1234_5678_9abc_de00 | now.as_secs() & 0xff);
    let request = client.poll_request().unwrap();
    assert_eq!(client.poll_request(), None, "once");
    request
}

/// Has the client receive a good reply `after` its request at `now`.
#[track_caller]
fn answered(client: &mut Client, now: Duration, time: Duration, after: Duration, clock: Duration) -> Reading {
    let (_, request) = asked(client, now);
    client.handle_packet(&reply(&request, time, [0x24, 2], b"GPS\0"), now + after, clock).unwrap()
}

#[test]
fn error_of_the_clock_decides_between_step_and_adjustment() {
    let ms = Duration::from_millis;
    let small = NTP_STEP - ms(1);
    let nanoseconds = i32::try_from(small.as_nanos()).unwrap();
    let corrections = [
        (TIME, Correction::Adjust(0)),
        (TIME - small, Correction::Adjust(nanoseconds)),
        (TIME + small, Correction::Adjust(-nanoseconds)),
        (TIME - NTP_STEP, Correction::Step(TIME)),
        (TIME + NTP_STEP, Correction::Step(TIME)),
        (Duration::ZERO, Correction::Step(TIME)),
        // Back from 2110: the clock of the board has no say.
        (seconds(4_417_977_600), Correction::Step(TIME)),
        (Duration::MAX, Correction::Step(TIME)),
    ];
    for (clock, correction) in corrections {
        let mut client = client(&[A]);
        // Half a second on the way there and back, of which half is the way back.
        let reading = answered(&mut client, START, TIME - ms(250), ms(500), clock);
        assert_eq!(reading, Reading { server: A, correction, interval: NTP_POLL_MIN }, "{clock:?}");
    }
}

#[test]
fn pause_between_replies_doubles_while_the_clock_is_right() {
    let mut client = client(&[A]);
    let mut now = START;
    let mut answer = |clock: Duration| {
        let reading = answered(&mut client, now, TIME, Duration::ZERO, clock);
        let pause = client.poll_timeout().unwrap() - now;
        assert!(pause <= reading.interval && pause > reading.interval / 16 * 15, "{pause:?}");
        now += pause;
        reading.interval
    };
    assert_eq!(answer(Duration::ZERO), NTP_POLL_MIN);
    assert_eq!([answer(TIME), answer(TIME), answer(TIME)], [2, 4, 8].map(|factor| factor * NTP_POLL_MIN));
    assert_eq!([answer(TIME), answer(TIME)], [NTP_POLL_MAX; 2]);
    assert_eq!([answer(Duration::ZERO), answer(TIME)], [NTP_POLL_MIN, 2 * NTP_POLL_MIN]);
}

#[test]
fn silent_servers_are_asked_in_turn_with_growing_pauses() {
    let mut client = client(&[A, B]);
    let mut now = START;
    let mut pause = NTP_RETRY_MIN;
    for round in 0..9 {
        for server in [A, B] {
            assert_eq!(asked(&mut client, now).0, server);
            assert_eq!(client.poll_timeout(), Some(now + NTP_TIMEOUT));
            // Not a moment earlier.
            client.handle_timeout(now + NTP_TIMEOUT - Duration::from_nanos(1), 1);
            assert!(client.awaits_reply());
            now += NTP_TIMEOUT;
            client.handle_timeout(now, 1);
            // The first failure of each is reported.
            assert_eq!(client.poll_failure(), (round == 0).then_some((server, Failure::Silent)));
        }
        assert_eq!(client.poll_timeout(), Some(now + pause));
        now += pause;
        pause = (2 * pause).min(NTP_RETRY_MAX);
    }
    assert_eq!(pause, NTP_RETRY_MAX);
    // A reply ends that, and the server that sent it is asked again.
    asked(&mut client, now);
    now += NTP_TIMEOUT;
    client.handle_timeout(now, 1);
    assert_eq!(answered(&mut client, now, TIME, Duration::ZERO, TIME).server, B);
    now = client.poll_timeout().unwrap();
    assert_eq!(asked(&mut client, now).0, B);
    client.handle_unreachable(now);
    assert_eq!(client.poll_failure(), Some((B, Failure::Unreachable)));
    assert_eq!(client.poll_timeout(), Some(now + NTP_RETRY_MIN));
}

#[test]
fn kiss_codes_end_or_slow_the_requests() {
    for (code, pause) in
        [(b"DENY", None), (b"RSTR", None), (b"RATE", Some(NTP_RETRY_MAX)), (b"INIT", Some(NTP_RETRY_MIN))]
    {
        let mut client = client(&[A]);
        let (_, request) = asked(&mut client, START);
        assert_eq!(client.handle_packet(&reply(&request, TIME, [0xe4, 0], code), START, TIME), None);
        assert_eq!(client.poll_failure(), Some((A, Failure::Rejected(Rejection::Kiss(*code)))));
        assert_eq!(client.poll_timeout(), pause.map(|pause| START + pause), "{code:?}");
    }
    // The other server goes on alone.
    let mut client = client(&[A, B]);
    let (_, request) = asked(&mut client, START);
    client.handle_packet(&reply(&request, TIME, [0xe4, 0], b"DENY"), START, TIME);
    let mut now = START;
    for _ in 0..3 {
        assert_eq!(asked(&mut client, now).0, B);
        client.handle_unreachable(now);
        now = client.poll_timeout().unwrap();
    }
}

#[test]
fn datagrams_that_are_not_the_reply_change_nothing() {
    let mut client = client(&[A]);
    let (_, request) = asked(&mut client, START);
    let good = reply(&request, TIME, [0x24, 2], b"GPS\0");
    let mut forged = good.clone();
    forged[31] ^= 1;
    for bytes in [&forged[..], &[], &request, &good[..47]] {
        assert_eq!(client.handle_packet(bytes, START, TIME), None);
        assert!(client.awaits_reply() && client.poll_failure().is_none());
    }
    assert!(client.handle_packet(&good, START, TIME).is_some());
    assert_eq!(client.handle_packet(&good, START, TIME), None, "once");
}

#[test]
fn servers_follow_the_network() {
    let mut client = Client::new(BUILT);
    assert_eq!((client.poll_timeout(), client.poll_request()), (None, None));
    client.handle_servers(&[A], START);
    assert_eq!(asked(&mut client, START).0, A);
    // The same ones change nothing.
    client.handle_servers(&[A], START);
    assert!(client.awaits_reply());
    // The network is gone, and back within a second.
    client.handle_servers(&[], START);
    assert_eq!((client.awaits_reply(), client.poll_timeout()), (false, None));
    client.handle_servers(&[B, A], START + seconds(1));
    assert_eq!(client.poll_timeout(), Some(START + NTP_RETRY_MIN));
    assert_eq!(asked(&mut client, START + NTP_RETRY_MIN).0, B);
    client.handle_servers(&[], START + NTP_RETRY_MIN);
    client.handle_servers(&[A], START + seconds(3600));
    assert_eq!(client.poll_timeout(), Some(START + seconds(3600)));
}

proptest! {
    /// Whatever happens, a client with a server that has not denied it has a deadline, and asks no more than it may.
    #[test]
    fn client_goes_on(script in proptest::collection::vec((0_u8..8, any::<u64>()), 0..200)) {
        let mut client = client(&[A, B]);
        let (mut now, mut request, mut requests) = (START, [0; MESSAGE_BYTES], 0_u32);
        for (step, number) in script {
            let time = TIME + seconds(number >> 40);
            let bytes = match step {
                0 => reply(&request, time, [0x24, 2], b"GPS\0"),
                1 => reply(&request, time, [0xe4, 0], b"RATE"),
                2 => reply(&request, time, [0xe4, 2], b"GPS\0"),
                3 => number.to_be_bytes().repeat(6),
                _ => vec![],
            };
            match step {
                0..=3 => {
                    client.handle_packet(&bytes, now, seconds(number));
                }
                4 => client.handle_unreachable(now),
                5 => now += Duration::from_millis(number % 5000),
                _ => now = now.max(client.poll_timeout().unwrap()),
            }
            client.handle_timeout(now, number);
            if let Some((_, bytes)) = client.poll_request() {
                request = bytes;
                requests += 1;
            }
            prop_assert!(client.poll_timeout().is_some());
        }
        // Two servers in a round, a round each pause.
        let rounds = u32::try_from((now - START).as_secs() / NTP_RETRY_MIN.as_secs()).unwrap_or(u32::MAX);
        prop_assert!(requests <= 2 + 2 * (rounds + 1), "{requests} in {now:?}");
    }
}
