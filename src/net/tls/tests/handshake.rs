//! Handshakes, whole and broken.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair};
use rustls::{AlertDescription, CipherSuite};

use super::super::{Buffers, Session, TlsError, TlsFailure, has_aes, provider, server_config};
use super::peer::{
    SUITE, SUITES, client, client_config, client_config_with, connect, drain, feed, flight, receive, say,
    session,
};
use crate::net::tls::{TLS_CHAIN_BYTES, TLS_HANDSHAKE_BYTES, TLS_SEND_BYTES};

#[test]
fn handshake_is_done_in_pieces_of_any_size() {
    for suite in SUITES {
        for piece in [1, 2, 5, 100, 1000, usize::MAX] {
            let (mut client, mut session) = connect(client_config(suite), piece);
            assert_eq!(client.negotiated_cipher_suite().unwrap().suite(), suite);
            let bytes = say(&mut client, b"ping");
            assert_eq!(feed(&mut session, &bytes, piece), (b"ping".to_vec(), None));
        }
    }
}

#[test]
fn messages_in_small_records_are_put_together() {
    for size in [33, 64, 100, 300] {
        let mut config = client_config(SUITE);
        config.max_fragment_size = Some(size);
        let (mut client, mut session) = connect(config, usize::MAX);
        let bytes = say(&mut client, &[4; 1000]);
        assert_eq!(feed(&mut session, &bytes, usize::MAX), (vec![4; 1000], None));
    }
}

#[test]
fn data_right_behind_the_last_message_is_not_lost() {
    for piece in [1, 3, 50, usize::MAX] {
        let (mut client, mut session) = (client(client_config(SUITE)), session());
        assert!(feed(&mut session, &flight(&mut client), usize::MAX).1.is_none());
        assert_eq!(session.seal(b"too early"), Ok(0));
        receive(&mut client, &drain(&mut session)).unwrap();
        // The client's last message and its first data, in one go.
        let mut bytes = flight(&mut client);
        bytes.extend(say(&mut client, b"first"));
        bytes.extend(say(&mut client, b" and second"));
        assert_eq!(feed(&mut session, &bytes, piece), (b"first and second".to_vec(), None), "{piece}");
        assert!(!session.is_handshaking());
    }
}

#[test]
fn data_before_the_last_message_is_refused() {
    let (mut client, mut session) = (client(client_config(SUITE)), session());
    assert!(feed(&mut session, &flight(&mut client), usize::MAX).1.is_none());
    receive(&mut client, &drain(&mut session)).unwrap();
    let last = flight(&mut client);
    let early = say(&mut client, b"first");
    let (opened, failure) = feed(&mut session, &[early, last].concat(), usize::MAX);
    assert!(opened.is_empty());
    assert!(matches!(failure, Some(TlsFailure::Handshake(_))), "{failure:?}");
    assert!(session.is_closed_by_peer());
}

#[test]
fn broken_hello_is_answered_with_an_alert() {
    let hello = flight(&mut client(client_config(SUITE)));
    for position in 5..hello.len() {
        let mut session = session();
        let mut broken = hello.clone();
        broken[position] ^= 0xff;
        let (opened, failure) = feed(&mut session, &broken, usize::MAX);
        assert!(opened.is_empty());
        let pending = drain(&mut session);
        match failure {
            // Most of it is random numbers, and one is as good as another.
            None => assert!(pending.is_empty() || pending[0] == 22),
            Some(TlsFailure::Handshake(_)) => {
                // An alert in the clear. After our hello, which precedes the check of the key, it may be sealed.
                let said = match pending[..] {
                    [22, 3, 3, high, low, ..] => 5 + usize::from(u16::from_be_bytes([high, low])),
                    _ => 0,
                };
                let alert = &pending[said..];
                let is_alert = matches!(alert, [21, 3, 3, 0, 2, 2, _]);
                assert!(is_alert || said > 0 && !alert.is_empty(), "{position}: {pending:?}");
            }
            Some(failure) => panic!("{position}: {failure}"),
        }
    }
}

#[test]
fn plain_text_is_refused_by_its_header() {
    for bytes in
        [&[22, 3, 1, 0xff, 0xff][..], &[22; 400], &[22, 3, 1, 0, 5, 1, 2, 3, 4, 5], b"\x16GET / HTTP/1.1"]
    {
        let mut session = session();
        let failure = feed(&mut session, bytes, usize::MAX).1;
        assert!(matches!(failure, Some(TlsFailure::Handshake(_))), "{failure:?}");
        let pending = drain(&mut session);
        assert!(matches!(pending[..], [21, 3, 3, 0, 2, 2, _]), "{bytes:?}: {pending:?}, {failure:?}");
    }
}

/// Records of a handshake message of `length` bytes that the client has begun.
fn long_hello(length: usize, piece: usize) -> Vec<u8> {
    let size = (length as u32).to_be_bytes();
    let mut message = vec![1, size[1], size[2], size[3]];
    message.resize(4 + length, 0);
    let record = |piece: &[u8]| {
        let length = (piece.len() as u16).to_be_bytes();
        [&[22, 3, 1, length[0], length[1]], piece].concat()
    };
    message.chunks(piece).map(record).collect::<Vec<_>>().concat()
}

#[test]
fn handshake_message_meets_its_limit_and_not_more() {
    for piece in [8192, 1000, 1] {
        let bytes = |length: usize| length + 4 + 5 * (length + 4).div_ceil(piece);
        let longest = (0..8192).rev().find(|length| bytes(*length) <= TLS_HANDSHAKE_BYTES).unwrap();
        // What is wrong with it is rustls's to say, when it is there.
        let mut fits = session();
        let message = long_hello(longest, piece);
        assert!(feed(&mut fits, &message[..message.len() - 1], 700).1.is_none());
        let failure = feed(&mut fits, &message[message.len() - 1..], 700).1;
        assert!(matches!(failure, Some(TlsFailure::Handshake(_))), "{failure:?}");
        for more in [1, 100, 8000, 50_000] {
            let mut session = session();
            let failure = feed(&mut session, &long_hello(longest + more, piece), 700).1;
            assert_eq!(failure, Some(TlsFailure::TooLong), "{piece} {more}");
            assert_eq!(drain(&mut session), [21, 3, 3, 0, 2, 2, AlertDescription::DecodeError.into()]);
            assert!(session.is_closed_by_peer() && !session.is_handshaking());
        }
    }
}

#[test]
fn long_record_is_refused_by_its_header() {
    for (length, alert) in [
        (8188_u16, AlertDescription::DecodeError),
        (16_384, AlertDescription::DecodeError),
        (16_385, AlertDescription::RecordOverflow),
        (18_431, AlertDescription::RecordOverflow),
    ] {
        let mut session = session();
        let length = length.to_be_bytes();
        assert!(feed(&mut session, &[22, 3, 1, length[0]], usize::MAX).1.is_none());
        assert_eq!(feed(&mut session, &length[1..], usize::MAX).1, Some(TlsFailure::TooLong));
        assert_eq!(drain(&mut session), [21, 3, 3, 0, 2, 2, alert.into()]);
    }
}

#[test]
fn close_notify_in_the_clear_is_rejected() {
    // Anyone on the path could have sent it. From the client, the end of the stream follows.
    let mut session = session();
    assert!(feed(&mut session, &[21, 3, 3, 0, 2, 1, 0], 1).1.is_none());
    assert!(!session.is_closed_by_peer() && session.is_handshaking());
    assert!(session.pending().is_empty());
}

#[test]
fn alert_during_a_handshake_ends_the_session() {
    let (mut client, mut session) = (client(client_config(SUITE)), session());
    assert!(feed(&mut session, &flight(&mut client), usize::MAX).1.is_none());
    drain(&mut session);
    let failure = feed(&mut session, &[21, 3, 3, 0, 2, 2, 42], usize::MAX).1;
    assert!(matches!(failure, Some(TlsFailure::Handshake(_))), "{failure:?}");
}

#[test]
fn cheapest_suite_is_chosen_whatever_the_clients_order() {
    let [chacha, aes, long_aes] = SUITES;
    let order =
        |has_aes| provider(has_aes).cipher_suites.iter().map(|suite| suite.suite()).collect::<Vec<_>>();
    assert_eq!(order(true), [aes, chacha, long_aes]);
    assert_eq!(order(false), [chacha, aes, long_aes]);
    let chosen = |order: &[CipherSuite]| {
        let mut provider = rustls::crypto::ring::default_provider();
        let known = provider.cipher_suites.clone();
        let named = |suite: &CipherSuite| known.iter().find(|known| known.suite() == *suite).copied();
        provider.cipher_suites = order.iter().filter_map(named).collect();
        let (mut client, mut session) = (client(client_config_with(provider)), session());
        feed(&mut session, &flight(&mut client), usize::MAX);
        receive(&mut client, &drain(&mut session)).unwrap();
        client.negotiated_cipher_suite().unwrap().suite()
    };
    let best = order(has_aes())[0];
    for clients in [[long_aes, aes, chacha], [chacha, long_aes, aes], [aes, chacha, long_aes]] {
        assert_eq!(chosen(&clients), best);
    }
    for only in SUITES {
        assert_eq!(chosen(&[only]), only);
    }
}

/// Creates a certificate with `names` long names.
fn identity(names: usize) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let name = |number: usize| format!("{}-{number:05}.example", "x".repeat(50));
    let params = CertificateParams::new((0..names).map(name).collect::<Vec<_>>()).unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

#[test]
fn chain_meets_its_limit_and_not_more() {
    let (certificate, key) = identity(180);
    let config = server_config(certificate.as_bytes(), key.as_bytes(), None).unwrap();
    let mut session = Session::accept(&config, false, Buffers::new()).unwrap();
    let mut client = client(client_config(SUITE));
    assert!(feed(&mut session, &flight(&mut client), usize::MAX).1.is_none());
    let flight = session.pending().len();
    assert!(flight > TLS_CHAIN_BYTES - 2048 && flight < TLS_SEND_BYTES, "{flight}");
    receive(&mut client, &drain(&mut session)).unwrap();

    let (certificate, key) = identity(260);
    let refused = server_config(certificate.as_bytes(), key.as_bytes(), None);
    assert!(matches!(refused, Err(TlsError::TooLong(bytes)) if bytes > TLS_CHAIN_BYTES));
    let (certificate, key) = identity(1);
    let authorities: String = (0..60).map(|_| authority()).collect();
    let refused = server_config(certificate.as_bytes(), key.as_bytes(), Some(authorities.as_bytes()));
    assert!(matches!(refused, Err(TlsError::TooLong(_))), "{refused:?}");
}

fn authority() -> String {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "authority".repeat(30));
    params.self_signed(&key).unwrap().pem()
}
