//! Handshakes that are legal and unusual, and alerts to those that are not.

use proptest::collection::vec;
use proptest::prelude::*;
use rustls::{AlertDescription as Alert, Error, InvalidMessage};

use super::super::{Session, TlsFailure};
use super::by_hand::{
    ALERT, ALPN, ByHand, CHANGE_CIPHER_SPEC, CONTENT_BYTES, DATA, HANDSHAKE, Hello, extension, list, record,
};
use super::peer::{drain, feed, session};
use crate::net::tls::{TLS_EARLY_DATA_BYTES, TLS_HANDSHAKE_BYTES, TLS_RECORD_BYTES};

/// Record of early data with a content of `length` bytes. The server has no key that opens it.
fn early_data(length: usize) -> Vec<u8> {
    record(DATA, &vec![0xab; length + 17])
}

/// Feeds `bytes`, which the session accepts, and passes the answer on.
#[track_caller]
fn say(client: &mut ByHand, session: &mut Session, bytes: &[u8], piece: usize) {
    let (opened, failure) = feed(session, bytes, piece);
    assert!(opened.is_empty() && failure.is_none(), "{failure:?}");
    assert_eq!(client.receive(&drain(session)), []);
}

/// A client and a session after the server's flight.
fn greeted(hello: Hello<'_>) -> (ByHand, Session) {
    let (mut client, mut session) = (ByHand::new(), session());
    let hello = record(HANDSHAKE, &client.hello(hello));
    say(&mut client, &mut session, &hello, usize::MAX);
    assert!(client.is_ready);
    (client, session)
}

/// Ends the handshake, and exchanges data.
#[track_caller]
fn finish(client: &mut ByHand, session: &mut Session, padding: usize, piece: usize) {
    let finished = client.finished();
    let mut bytes = client.seal(HANDSHAKE, &finished, padding);
    client.finish();
    bytes.extend(client.seal(DATA, b"ping", 0));
    assert_eq!(feed(session, &bytes, piece), (b"ping".to_vec(), None));
    assert_eq!(session.seal(b"pong"), Ok(4));
    assert_eq!(client.receive(&drain(session)), [(DATA, b"pong".to_vec())]);
}

/// Checks that `bytes` end the handshake with `alert`, which the client can read.
#[track_caller]
fn refuses(client: &mut ByHand, session: &mut Session, bytes: &[u8], alert: Alert) -> TlsFailure {
    let (opened, failure) = feed(session, bytes, 1000);
    assert!(opened.is_empty());
    assert_eq!(client.receive(&drain(session)), [(ALERT, vec![2, alert.into()])], "{failure:?}");
    assert!(session.is_closed_by_peer() && !session.is_handshaking());
    failure.unwrap()
}

#[test]
fn padding_of_a_handshake_message_does_not_count() {
    // A content of 36 bytes and its type leave so much for the padding.
    let most = CONTENT_BYTES - 36;
    for padding in [0, 1, TLS_HANDSHAKE_BYTES, most] {
        for piece in [1, 700, usize::MAX] {
            let (mut client, mut session) = greeted(Hello::default());
            finish(&mut client, &mut session, padding, piece);
        }
    }
    // Up to the longest record that there may be, it is too much.
    for padding in [most + 1, most + 239] {
        let (mut client, mut session) = greeted(Hello::default());
        let finished = client.finished();
        let sealed = client.seal(HANDSHAKE, &finished, padding);
        assert!(sealed.len() <= TLS_RECORD_BYTES);
        refuses(&mut client, &mut session, &sealed, Alert::RecordOverflow);
    }
}

#[test]
fn record_longer_than_any_may_be_is_refused_by_its_header() {
    let overlong = u16::try_from(TLS_RECORD_BYTES - 5 + 1).unwrap().to_be_bytes();
    let header = [DATA, 3, 3, overlong[0], overlong[1]];
    let (mut client, mut session) = greeted(Hello::default());
    let failure = refuses(&mut client, &mut session, &header, Alert::RecordOverflow);
    assert_eq!(failure, TlsFailure::TooLong);
}

#[test]
fn sealed_handshake_message_meets_its_limit_and_not_more() {
    let too_large = TlsFailure::Handshake(Error::InvalidMessage(InvalidMessage::HandshakePayloadTooLarge));
    for (length, is_too_large) in [(TLS_HANDSHAKE_BYTES, false), (TLS_HANDSHAKE_BYTES + 1, true)] {
        let (mut client, mut session) = greeted(Hello::default());
        let [high, low] = u16::try_from(length - 4).unwrap().to_be_bytes();
        let message = [&[20, 0, high, low], &vec![1; length - 4][..]].concat();
        let sealed = client.seal(HANDSHAKE, &message, 10);
        // rustls reads the shorter one, and finds that it is not as it should be.
        let alert = if is_too_large { Alert::DecodeError } else { Alert::DecryptError };
        let failure = refuses(&mut client, &mut session, &sealed, alert);
        assert_eq!(failure == too_large, is_too_large, "{failure:?}");
    }
}

#[test]
fn sealed_message_in_several_records_meets_the_limit_with_them() {
    let (mut client, mut session) = greeted(Hello::default());
    let finished = client.finished();
    let (first, rest) = finished.split_at(7);
    let records = [client.seal(HANDSHAKE, first, 3000), client.seal(HANDSHAKE, rest, 5000)].concat();
    assert!(records.len() <= TLS_HANDSHAKE_BYTES);
    assert_eq!(feed(&mut session, &records, 100), (Vec::new(), None));
    assert!(!session.is_handshaking());

    for padding in [6000, 16_348, 16_500, 16_590] {
        let (mut client, mut session) = greeted(Hello::default());
        let records = [client.seal(HANDSHAKE, first, 3000), client.seal(HANDSHAKE, rest, padding)].concat();
        let failure = refuses(&mut client, &mut session, &records, Alert::DecodeError);
        assert_eq!(failure, TlsFailure::TooLong);
    }
}

#[test]
fn hello_of_many_extensions_meets_the_limit_and_not_more() {
    let unknown = |count: u16| (0..count).flat_map(|number| extension(0x5000 + number, &[])).collect();
    for (count, fits) in [(1900, true), (2100, false), (4000, false)] {
        let extensions: Vec<u8> = unknown(count);
        let (mut client, mut session) = (ByHand::new(), session());
        let hello = client.hello(Hello { extensions: &extensions, ..Hello::default() });
        let bytes = record(HANDSHAKE, &hello);
        assert_eq!(bytes.len() <= TLS_HANDSHAKE_BYTES, fits, "{}", bytes.len());
        if fits {
            say(&mut client, &mut session, &bytes, 1000);
            finish(&mut client, &mut session, 0, usize::MAX);
        } else {
            let alert = if hello.len() > CONTENT_BYTES { Alert::RecordOverflow } else { Alert::DecodeError };
            refuses(&mut client, &mut session, &bytes, alert);
        }
    }
}

#[test]
fn client_of_an_unknown_protocol_is_accepted() {
    let extensions = extension(ALPN, &list(b"\x07unknown"));
    let (mut client, mut session) = greeted(Hello { extensions: &extensions, ..Hello::default() });
    finish(&mut client, &mut session, 0, usize::MAX);
}

const RESUMPTION: Hello<'_> = Hello { early_data: true, resumes: true, lacks_key: false, extensions: &[] };

#[test]
fn early_data_are_skipped() {
    for lengths in [&[1][..], &[CONTENT_BYTES], &[6000, 6000], &[100; 100]] {
        for piece in [1, 700, usize::MAX] {
            let (mut client, mut session) = (ByHand::new(), session());
            let mut bytes = record(HANDSHAKE, &client.hello(RESUMPTION));
            bytes.extend(record(CHANGE_CIPHER_SPEC, &[1]));
            lengths.iter().for_each(|length| bytes.extend(early_data(*length)));
            say(&mut client, &mut session, &bytes, piece);
            assert!(client.is_ready);
            finish(&mut client, &mut session, 500, piece);
        }
    }
}

#[test]
fn part_of_a_message_that_is_all_zeros_is_kept() {
    // A record that could not be opened is all zeros, too.
    let mut session = session();
    let part = record(HANDSHAKE, &[0]);
    assert_eq!(feed(&mut session, &part, usize::MAX), (Vec::new(), None));
    let failure = feed(&mut session, &[part, record(HANDSHAKE, &[0; 2])].concat(), usize::MAX).1;
    assert!(matches!(failure, Some(TlsFailure::Handshake(_))), "{failure:?}");
    assert_eq!(drain(&mut session), [ALERT, 3, 3, 0, 2, 2, Alert::UnexpectedMessage.into()]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn whatever_fails_a_sealed_handshake_is_answered_with_one_alert(
        early_data: bool,
        piece in 1_usize..20_000,
        records in vec((0_u8..4, 0_u8..6, vec(any::<u8>(), 0..60), 0_usize..3), 1..40),
    ) {
        let hello = if early_data { RESUMPTION } else { Hello::default() };
        let (mut client, mut session) = greeted(hello);
        let mut bytes = Vec::new();
        for (form, kind, content, size) in records {
            // All but alerts of the client, which are not answered.
            let kind = [0, CHANGE_CIPHER_SPEC, HANDSHAKE, HANDSHAKE, DATA, 99][usize::from(kind)];
            let size = [0, 300, 16_000][size];
            bytes.extend(match form {
                0 | 1 => client.seal(kind, &content, size),
                2 => record(DATA, &[&content[..], &vec![0; size]].concat()),
                _ => record(kind, &content),
            });
        }
        let (opened, failure) = feed(&mut session, &bytes, piece);
        prop_assert!(opened.is_empty());
        let answer = client.receive(&drain(&mut session));
        match failure {
            None => prop_assert!(answer.is_empty() && session.is_handshaking()),
            Some(_) => prop_assert!(matches!(&answer[..], [(ALERT, _)]), "{:?} {:?}", failure, answer),
        }
    }

    #[test]
    fn whatever_fails_a_first_message_is_answered_with_one_alert(
        piece in 1_usize..20_000,
        records in vec((0_u8..4, vec(any::<u8>(), 0..60), 0_usize..3), 1..40),
    ) {
        let mut session = session();
        let mut bytes = Vec::new();
        for (kind, content, size) in records {
            let kind = [HANDSHAKE, HANDSHAKE, HANDSHAKE, DATA][usize::from(kind)];
            // The first byte of a message is the type of a hello, or none.
            let content = content.iter().map(|byte| byte & 1).collect::<Vec<_>>();
            bytes.extend(record(kind, &[&content[..], &vec![0; [0, 300, 16_000][size]]].concat()));
        }
        let (opened, failure) = feed(&mut session, &bytes, piece);
        prop_assert!(opened.is_empty());
        let answer = drain(&mut session);
        match failure {
            None => prop_assert!(answer.is_empty() && session.is_handshaking()),
            Some(_) => prop_assert!(matches!(answer[..], [ALERT, 3, 3, 0, 2, 2, _]), "{:?} {:?}", failure, answer),
        }
    }
}

/// A client that was asked for another hello, which comes behind its early data.
fn retried(lengths: &[usize], piece: usize) -> (ByHand, Session) {
    let (mut client, mut session) = (ByHand::new(), session());
    let mut bytes = record(HANDSHAKE, &client.hello(Hello { lacks_key: true, ..RESUMPTION }));
    lengths.iter().for_each(|length| bytes.extend(early_data(*length)));
    say(&mut client, &mut session, &bytes, piece);
    assert!(client.is_retried && !client.is_ready);
    let hello = record(HANDSHAKE, &client.hello(Hello { early_data: false, ..RESUMPTION }));
    say(&mut client, &mut session, &hello, piece);
    assert!(client.is_ready);
    (client, session)
}

#[test]
fn early_data_before_another_hello_are_skipped() {
    for lengths in [&[1][..], &[CONTENT_BYTES], &[6000, 6000], &[100; 100]] {
        for piece in [1, 700, usize::MAX] {
            let (mut client, mut session) = retried(lengths, piece);
            finish(&mut client, &mut session, 500, piece);
        }
    }
}

#[test]
fn early_data_are_skipped_up_to_their_limit_and_not_more() {
    let limit = TLS_EARLY_DATA_BYTES as usize;
    let (half, overhead) = (limit / 2, 17);
    // The sealed content counts.
    let within = [half - overhead, half - overhead];
    let begin = |lacks_key| {
        let (mut client, mut session) = (ByHand::new(), session());
        let mut bytes = record(HANDSHAKE, &client.hello(Hello { lacks_key, ..RESUMPTION }));
        within.iter().for_each(|length| bytes.extend(early_data(*length)));
        say(&mut client, &mut session, &bytes, 1000);
        (client, session)
    };
    let (mut client, mut session) = retried(&within, 1000);
    finish(&mut client, &mut session, 0, usize::MAX);
    let (mut client, mut session) = begin(false);
    finish(&mut client, &mut session, 0, usize::MAX);
    for (lacks_key, alert) in [(false, Alert::BadRecordMac), (true, Alert::UnexpectedMessage)] {
        let (mut client, mut session) = begin(lacks_key);
        refuses(&mut client, &mut session, &early_data(1), alert);
    }
}

#[test]
fn record_that_cannot_be_opened_is_refused_where_no_early_data_may_be() {
    // The client has announced none.
    let (mut client, mut session) = greeted(Hello::default());
    refuses(&mut client, &mut session, &early_data(CONTENT_BYTES), Alert::BadRecordMac);
    // None may follow the second hello.
    let (mut client, mut session) = retried(&[10], usize::MAX);
    refuses(&mut client, &mut session, &early_data(64), Alert::BadRecordMac);
    // It was announced, and the handshake has gone on.
    let (mut client, mut session) = greeted(RESUMPTION);
    say(&mut client, &mut session, &early_data(CONTENT_BYTES), 1000);
    finish(&mut client, &mut session, 0, usize::MAX);
    refuses(&mut client, &mut session, &early_data(64), Alert::BadRecordMac);
}

#[test]
fn what_interrupts_a_sealed_handshake_is_answered_with_an_alert() {
    type Make = fn(&mut ByHand) -> Vec<u8>;
    let cases: [(&str, Make, Alert); 9] = [
        ("empty data", |client| client.seal(DATA, &[], 0), Alert::UnexpectedMessage),
        ("empty data, padded", |client| client.seal(DATA, &[], 16_384), Alert::UnexpectedMessage),
        ("data", |client| client.seal(DATA, &[1; 10_000], 0), Alert::UnexpectedMessage),
        ("an empty record", |_| record(DATA, &[]), Alert::BadRecordMac),
        ("a record in the clear", |_| record(HANDSHAKE, &[20, 0, 0, 0]), Alert::UnexpectedMessage),
        ("no type", |client| client.seal(0, &[], 100), Alert::UnexpectedMessage),
        (
            "data within a message",
            |client| [client.seal(HANDSHAKE, &[20, 0, 0, 32], 0), client.seal(DATA, &[1], 0)].concat(),
            Alert::UnexpectedMessage,
        ),
        (
            "empty records",
            |client| (0..33).flat_map(|_| client.seal(HANDSHAKE, &[], 0)).collect(),
            Alert::UnexpectedMessage,
        ),
        (
            "a message of 16 MiB",
            |client| client.seal(HANDSHAKE, &[20, 255, 255, 255, 1], 9000),
            Alert::DecodeError,
        ),
    ];
    for (name, make, alert) in cases {
        println!("{name}");
        let (mut client, mut session) = greeted(Hello::default());
        let bytes = make(&mut client);
        refuses(&mut client, &mut session, &bytes, alert);
    }
}
