//! Data both ways, of all sizes and in all pieces.

use proptest::prelude::*;

use super::peer::{SUITE, SUITES, client_config, connect, drain, feed, receive, say};
use crate::connection::Stage;

#[test]
fn stage_is_that_of_the_handshake() {
    let (mut client, mut session) = (super::peer::client(client_config(SUITE)), super::peer::session());
    let hello = super::peer::flight(&mut client);
    let (begin, rest) = hello.split_at(hello.len() / 2);
    assert_eq!(feed(&mut session, begin, usize::MAX), (Vec::new(), None));
    assert_eq!(session.stage(), Stage::Begun);
    assert_eq!(feed(&mut session, rest, usize::MAX), (Vec::new(), None));
    assert_eq!(session.stage(), Stage::Greeted);
    receive(&mut client, &drain(&mut session)).unwrap();
    assert_eq!(feed(&mut session, &super::peer::flight(&mut client), usize::MAX), (Vec::new(), None));
    assert_eq!(session.stage(), Stage::Secured);
}

#[test]
fn data_of_every_size_passes_both_ways() {
    let (mut client, mut session) = connect(client_config(SUITE), usize::MAX);
    let data: Vec<u8> = (0..=1 << 14).map(|number: u32| (number % 251) as u8).collect();
    for size in 0..=1 << 14 {
        let bytes = say(&mut client, &data[..size]);
        assert_eq!(feed(&mut session, &bytes, usize::MAX), (data[..size].to_vec(), None));
        let mut received = Vec::new();
        while received.len() < size {
            let sealed = session.seal(&data[received.len()..size]).unwrap();
            assert!(sealed > 0);
            received.extend(receive(&mut client, &drain(&mut session)).unwrap().0);
        }
        assert!(received == data[..size]);
    }
}

#[test]
fn several_records_in_one_read_are_opened_one_after_the_other() {
    let (mut client, mut session) = connect(client_config(SUITE), usize::MAX);
    let pieces: [&[u8]; 4] = [b"one", b"two", b"", b"three"];
    let bytes: Vec<u8> = pieces.iter().flat_map(|piece| say(&mut client, piece)).collect();
    session.space()[..bytes.len()].copy_from_slice(&bytes);
    session.handle_received(bytes.len()).unwrap();
    assert_eq!(session.plaintext(), b"one");
    session.consume(1).unwrap();
    assert_eq!(session.plaintext(), b"ne");
    // More may come while there is something to read.
    let more = say(&mut client, b"four");
    session.space()[..more.len()].copy_from_slice(&more);
    session.handle_received(more.len()).unwrap();
    assert_eq!(session.plaintext(), b"ne");
    session.consume(2).unwrap();
    assert_eq!(session.plaintext(), b"two");
    session.consume(3).unwrap();
    assert_eq!(session.plaintext(), b"three");
    session.consume(5).unwrap();
    assert_eq!(session.plaintext(), b"four");
    session.consume(100).unwrap();
    assert!(session.plaintext().is_empty());
}

#[test]
fn unread_data_may_fill_the_buffer_and_nothing_is_lost() {
    let (mut client, mut session) = connect(client_config(SUITE), usize::MAX);
    let data = vec![9; 40_000];
    let bytes: Vec<u8> = data.chunks(1000).flat_map(|piece| say(&mut client, piece)).collect();
    let (mut rest, mut opened) = (&bytes[..], Vec::new());
    while !rest.is_empty() || !session.plaintext().is_empty() {
        let space = session.space();
        let count = space.len().min(rest.len());
        space[..count].copy_from_slice(&rest[..count]);
        rest = &rest[count..];
        session.handle_received(count).unwrap();
        let count = session.plaintext().len().min(700);
        opened.extend_from_slice(&session.plaintext()[..count]);
        session.consume(count).unwrap();
        assert!(!session.plaintext().is_empty() || !session.space().is_empty());
    }
    assert!(opened == data);
}

#[test]
fn output_is_full_at_its_limit_and_accepts_more_when_empty() {
    let (mut client, mut session) = connect(client_config(SUITE), usize::MAX);
    let data = vec![6; 65_536];
    let (mut sealed, mut received, mut rounds) = (0, Vec::new(), 0);
    while sealed < data.len() {
        let count = session.seal(&data[sealed..]).unwrap();
        assert!(count > 0 && session.pending().len() <= crate::net::tls::TLS_SEND_BYTES);
        assert_eq!(session.seal(&data[sealed + count..]), Ok(0));
        sealed += count;
        session.sent(0).unwrap();
        received.extend(receive(&mut client, &drain(&mut session)).unwrap().0);
        rounds += 1;
    }
    assert!(received == data);
    assert_eq!(rounds, 5);
}

#[test]
fn idle_session_holds_no_buffer_and_continues() {
    let (mut client, mut session) = connect(client_config(SUITE), usize::MAX);
    for round in 0..3 {
        session.release_idle();
        let bytes = say(&mut client, b"ping");
        assert_eq!(feed(&mut session, &bytes[..3], 1).0, []);
        session.release_idle();
        assert_eq!(feed(&mut session, &bytes[3..], 9), (b"ping".to_vec(), None), "{round}");
        assert_eq!(session.seal(b"pong"), Ok(4));
        session.release_idle();
        assert_eq!(receive(&mut client, &drain(&mut session)).unwrap().0, b"pong");
    }
    // Half a handshake is not forgotten.
    let (mut client, mut session) = (super::peer::client(client_config(SUITE)), super::peer::session());
    let hello = super::peer::flight(&mut client);
    assert!(feed(&mut session, &hello[..100], 100).1.is_none());
    session.release_idle();
    assert!(feed(&mut session, &hello[100..], 100).1.is_none());
    assert!(receive(&mut client, &drain(&mut session)).is_ok());
}

#[test]
fn buffers_serve_one_after_the_other_and_keep_nothing() {
    let (mut client, mut session) = connect(client_config(SUITE), usize::MAX);
    let bytes = say(&mut client, b"secret");
    session.space()[..bytes.len()].copy_from_slice(&bytes);
    session.handle_received(bytes.len()).unwrap();
    assert_eq!(session.seal(b"unsent"), Ok(6));
    let mut buffers = session.into_buffers();
    assert!(buffers.outgoing.is_empty());
    assert!(buffers.incoming.opened().is_empty() && buffers.incoming.sealed().is_empty());
    assert!(buffers.incoming.space().iter().all(|byte| *byte == 0));
    assert!(buffers.outgoing.space().iter().all(|byte| *byte == 0));
    let next = super::super::Session::accept(&super::peer::config(), false, buffers).unwrap();
    assert!(next.is_handshaking() && next.pending().is_empty() && next.plaintext().is_empty());
}

#[test]
fn close_notify_of_either_side_is_accepted() {
    let (mut client, mut session) = connect(client_config(SUITE), usize::MAX);
    assert_eq!(session.seal(b"last"), Ok(4));
    session.close();
    assert_eq!(receive(&mut client, &drain(&mut session)).unwrap(), (b"last".to_vec(), true));
    assert!(!session.is_closed_by_peer());
    let mut bytes = say(&mut client, b"mine");
    client.send_close_notify();
    bytes.extend(super::peer::flight(&mut client));
    assert_eq!(feed(&mut session, &bytes, usize::MAX), (b"mine".to_vec(), None));
    assert!(session.is_closed_by_peer());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_conversation_in_any_pieces_arrives(
        suite in 0..SUITES.len(),
        piece in 1..20_000_usize,
        fragment in prop_oneof![Just(None), (33..16_384_usize).prop_map(Some)],
        turns in proptest::collection::vec((0..40_000_usize, 0..40_000_usize, any::<bool>(), 1..3000_usize), 1..6),
    ) {
        let mut config = client_config(SUITES[suite]);
        config.max_fragment_size = fragment;
        let (mut client, mut session) = connect(config, piece);
        for (number, (up, down, renew, step)) in turns.into_iter().enumerate() {
            let byte = number as u8 + 1;
            if renew {
                client.refresh_traffic_keys().unwrap();
            }
            let bytes = say(&mut client, &vec![byte; up]);
            let (opened, failure) = feed(&mut session, &bytes, piece);
            prop_assert!(failure.is_none());
            prop_assert!(opened == vec![byte; up]);
            let (data, mut sealed, mut received) = (vec![byte; down], 0, Vec::new());
            while sealed < down || !session.pending().is_empty() {
                sealed += session.seal(&data[sealed..]).unwrap();
                let count = session.pending().len().min(step);
                let bytes = session.pending()[..count].to_vec();
                session.sent(count).unwrap();
                received.extend(receive(&mut client, &bytes).unwrap().0);
            }
            prop_assert!(received == data);
        }
    }
}
