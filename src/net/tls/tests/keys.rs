//! New keys, ours and the peer's (RFC 8446, 4.6.3 and 5.5).

use super::super::TlsFailure;
use super::peer::{Forger, SUITE, SUITES, client_config, connect, drain, feed, flight, receive, say};
use crate::net::tls::TLS_IDLE_RECORDS;

#[test]
fn client_accepts_and_requests_new_keys() {
    for suite in SUITES {
        let (mut client, mut session) = connect(client_config(suite), usize::MAX);
        for round in 0..100_u8 {
            client.refresh_traffic_keys().unwrap();
            let bytes = say(&mut client, &[round; 9]);
            assert_eq!(feed(&mut session, &bytes, 7), ([round; 9].to_vec(), None), "{suite:?}");
            assert_eq!(session.seal(&[round; 30]), Ok(30));
            // Our key update comes first, in a record of its own, or the client could not decrypt the data.
            let (received, closed) = receive(&mut client, &drain(&mut session)).unwrap();
            assert_eq!((received, closed), (vec![round; 30], false));
        }
    }
}

#[test]
fn a_new_key_is_answered_at_once_and_once() {
    let (mut client, mut session) = connect(client_config(SUITE), usize::MAX);
    client.refresh_traffic_keys().unwrap();
    let bytes = flight(&mut client);
    assert!(feed(&mut session, &bytes, usize::MAX).1.is_none());
    // Header, message, type, tag.
    assert_eq!(drain(&mut session).len(), 5 + 5 + 1 + 16);
    assert!(drain(&mut session).is_empty());
}

#[test]
fn a_new_key_of_the_peer_alone_is_not_answered() {
    let (mut forger, mut session) = Forger::connect(SUITE);
    let record = forger.seal(&[24, 0, 0, 1, 0, 22]);
    assert!(feed(&mut session, &record, usize::MAX).1.is_none());
    assert!(session.pending().is_empty());
    // The old key is gone.
    let record = forger.seal(&[1, 23]);
    let (opened, failure) = feed(&mut session, &record, usize::MAX);
    assert!(opened.is_empty());
    assert!(matches!(failure, Some(TlsFailure::LocalAlert(rustls::AlertDescription::BadRecordMac))));
}

#[test]
fn new_keys_meet_their_limit_and_not_more() {
    let renew = |count: u8| {
        let (mut client, mut session) = connect(client_config(SUITE), usize::MAX);
        let mut failure = None;
        for _ in 0..count {
            client.refresh_traffic_keys().unwrap();
            let bytes = flight(&mut client);
            failure = feed(&mut session, &bytes, usize::MAX).1;
        }
        // For a client that does not read, one answer is pending, within the room of a few.
        assert!(session.pending().len() <= 27 * usize::from(TLS_IDLE_RECORDS) + 24);
        failure
    };
    assert!(renew(TLS_IDLE_RECORDS).is_none());
    assert!(matches!(
        renew(TLS_IDLE_RECORDS + 1),
        Some(TlsFailure::LocalAlert(rustls::AlertDescription::UnexpectedMessage))
    ));
}

#[test]
fn a_new_key_waits_for_room_and_holds_data_back() {
    let (mut client, mut session) = connect(client_config(SUITE), usize::MAX);
    let data = vec![3; 100_000];
    let sealed = session.seal(&data).unwrap();
    assert!(sealed > 16_000 && sealed < 16_384, "{sealed}");
    assert_eq!(session.seal(&data), Ok(0));
    // Room is left for one key update and a close_notify only.
    for _ in 0..3 {
        client.refresh_traffic_keys().unwrap();
        let bytes = flight(&mut client);
        assert!(feed(&mut session, &bytes, usize::MAX).1.is_none());
    }
    let full = session.pending().len();
    assert_eq!(session.seal(b"more"), Ok(0));
    // Bit by bit it is sent; when the last byte is gone, the second answer comes.
    let mut bytes = Vec::new();
    for _ in 0..full {
        bytes.push(session.pending()[0]);
        session.sent(1).unwrap();
    }
    bytes.extend(drain(&mut session));
    assert_eq!(bytes.len(), full + 27);
    assert_eq!(session.seal(b"more"), Ok(4));
    bytes.extend(drain(&mut session));
    let (received, _) = receive(&mut client, &bytes).unwrap();
    assert_eq!(received, [&data[..sealed], b"more"].concat());
}

#[test]
fn full_output_has_room_for_close_notify() {
    let (mut client, mut session) = connect(client_config(SUITE), usize::MAX);
    let sealed = session.seal(&[3; 100_000]).unwrap();
    client.refresh_traffic_keys().unwrap();
    let bytes = flight(&mut client);
    assert!(feed(&mut session, &bytes, usize::MAX).1.is_none());
    session.close();
    let (received, closed) = receive(&mut client, &drain(&mut session)).unwrap();
    assert_eq!((received.len(), closed), (sealed, true));
}

#[test]
fn a_spent_key_is_renewed_before_it_seals_more() {
    for suite in SUITES {
        let (mut client, mut session) = connect(client_config(suite), usize::MAX);
        // Eight records of a key: six of data, one that ends it, and one kept for an alert.
        session.limit_sending(8);
        let mut renewed = 0;
        for number in 0..100_u8 {
            assert_eq!(session.seal(&[number; 50]), Ok(50));
            let bytes = drain(&mut session);
            renewed += usize::from(bytes.len() > 50 + 22);
            assert_eq!(receive(&mut client, &bytes).unwrap().0, [number; 50]);
        }
        assert_eq!(renewed, 16, "{suite:?}");
        // And in one go, without room for more than some.
        session.limit_sending(3);
        for _ in 0..20 {
            assert_eq!(session.seal(&[5; 600]), Ok(600));
        }
        assert_eq!(receive(&mut client, &drain(&mut session)).unwrap().0.len(), 20 * 600);
    }
}
