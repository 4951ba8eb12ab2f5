//! Attacks by a client that has the keys.

use rustls::AlertDescription as Alert;

use super::super::{Session, TlsFailure};
use super::peer::{Forger, SUITE, SUITES, drain, feed};
use crate::net::tls::{TLS_IDLE_RECORDS, TLS_RECORD_BYTES};

const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const DATA: u8 = 23;

/// Checks that the session refuses `bytes`, sends `alert` and then nothing.
#[track_caller]
fn refuses(forger: &mut Forger, session: &mut Session, bytes: &[u8], alert: Alert) {
    let (opened, failure) = feed(session, bytes, usize::MAX);
    assert!(opened.is_empty(), "{opened:?}");
    assert!(matches!(failure, Some(TlsFailure::LocalAlert(sent)) if sent == alert), "{failure:?}");
    is_over(session);
    assert_eq!(forger.open(&drain(session)), [vec![2, alert.into(), ALERT]]);
}

/// Checks that the session accepts nothing and sends nothing.
#[track_caller]
fn is_over(session: &mut Session) {
    let pending = session.pending().len();
    assert!(session.is_closed_by_peer() && !session.is_handshaking());
    assert_eq!(session.seal(b"more"), Ok(0));
    session.close();
    let (opened, failure) = feed(session, &[7; 50_000], 20_000);
    assert!(opened.is_empty() && failure.is_none());
    assert!(session.plaintext().is_empty());
    assert_eq!(session.pending().len(), pending);
}

#[test]
fn record_meets_the_limit_of_the_buffer_and_not_more() {
    let (mut forger, mut session) = Forger::connect(SUITE);
    // As long as the standard allows a record to be, and of more content than it allows.
    let longest = forger.seal(&vec![DATA; TLS_RECORD_BYTES - 5 - 16]);
    assert_eq!(longest.len(), TLS_RECORD_BYTES);
    assert!(feed(&mut session, &longest[..TLS_RECORD_BYTES - 1], usize::MAX).1.is_none());
    assert_eq!(session.space().len(), 1);
    refuses(&mut forger, &mut session, &longest[TLS_RECORD_BYTES - 1..], Alert::RecordOverflow);
    // One byte more is refused before it comes.
    let (mut forger, mut session) = Forger::connect(SUITE);
    let length = u16::try_from(TLS_RECORD_BYTES - 5 + 1).unwrap().to_be_bytes();
    refuses(&mut forger, &mut session, &[23, 3, 3, length[0], length[1]], Alert::RecordOverflow);
}

#[test]
fn each_record_is_refused_with_its_alert() {
    let large = |inner: usize| [vec![1; inner - 1], vec![DATA]].concat();
    let cases: &[(&str, &[u8], Alert)] = &[
        ("no type", &[], Alert::UnexpectedMessage),
        ("nothing but padding", &[0; 40], Alert::UnexpectedMessage),
        ("too much padding", &[&[DATA][..], &[0; 16_385]].concat(), Alert::RecordOverflow),
        ("too much", &large((1 << 14) + 2), Alert::RecordOverflow),
        ("as much as a record takes", &large((1 << 14) + 240), Alert::RecordOverflow),
        ("a change of cipher", &[1, 20], Alert::UnexpectedMessage),
        ("a heartbeat", &[1, 24], Alert::UnexpectedMessage),
        ("a type of none", &[1, 99], Alert::UnexpectedMessage),
        ("an empty alert", &[ALERT], Alert::UnexpectedMessage),
        ("half an alert", &[1, ALERT], Alert::DecodeError),
        ("two alerts", &[1, 0, 1, 0, ALERT], Alert::DecodeError),
        ("an empty message", &[HANDSHAKE], Alert::UnexpectedMessage),
        ("a hello", &[1, 0, 0, 0, HANDSHAKE], Alert::UnexpectedMessage),
        ("a ticket", &[4, 0, 0, 1, 0, HANDSHAKE], Alert::UnexpectedMessage),
        ("a second end", &[20, 0, 0, 1, 0, HANDSHAKE], Alert::UnexpectedMessage),
        ("a key of kind 2", &[24, 0, 0, 1, 2, HANDSHAKE], Alert::IllegalParameter),
        ("a key without a kind", &[24, 0, 0, 0, HANDSHAKE], Alert::DecodeError),
        ("a long key", &[24, 0, 0, 2, 0, 0, HANDSHAKE], Alert::DecodeError),
        ("the start of a key", &[24, 0, 0, HANDSHAKE], Alert::UnexpectedMessage),
        ("a key without its end", &[24, 0, 0, 1, HANDSHAKE], Alert::UnexpectedMessage),
        ("a key and more", &[24, 0, 0, 1, 0, 24, HANDSHAKE], Alert::UnexpectedMessage),
        ("two keys", &[24, 0, 0, 1, 0, 24, 0, 0, 1, 0, HANDSHAKE], Alert::UnexpectedMessage),
        ("a key of 16 MiB", &[24, 255, 255, 255, 0, HANDSHAKE], Alert::UnexpectedMessage),
    ];
    for (name, inner, alert) in cases {
        println!("{name}");
        let (mut forger, mut session) = Forger::connect(SUITE);
        let record = forger.seal(inner);
        refuses(&mut forger, &mut session, &record, *alert);
    }
}

#[test]
fn each_header_is_refused_with_its_alert() {
    let longest = (16_384_u16 + 256).to_be_bytes();
    let over = (16_384_u16 + 257).to_be_bytes();
    for (header, alert) in [
        ([20, 3, 3, 0, 1], Alert::UnexpectedMessage),
        ([21, 3, 3, 0, 2], Alert::UnexpectedMessage),
        ([22, 3, 3, 0, 5], Alert::UnexpectedMessage),
        ([0, 0, 0, 0, 0], Alert::UnexpectedMessage),
        ([23, 3, 3, over[0], over[1]], Alert::RecordOverflow),
        ([23, 3, 3, 255, 255], Alert::RecordOverflow),
    ] {
        let (mut forger, mut session) = Forger::connect(SUITE);
        refuses(&mut forger, &mut session, &header, alert);
    }
    // The longest record that there may be is waited for, and then refused: it holds too much.
    let (mut forger, mut session) = Forger::connect(SUITE);
    let (opened, failure) = feed(&mut session, &[23, 3, 3, longest[0], longest[1]], 1);
    assert!(opened.is_empty() && failure.is_none());
    refuses(&mut forger, &mut session, &[7; 16_640], Alert::BadRecordMac);
}

#[test]
fn a_record_with_one_bit_changed_gives_nothing() {
    for suite in SUITES {
        for position in 0..5 + 3 + 1 + 16 {
            let (mut forger, mut session) = Forger::connect(suite);
            let mut record = forger.seal(&[1, 2, 3, DATA]);
            record[position] ^= 1 << (position % 8);
            let alert = match position {
                0 => Alert::UnexpectedMessage,
                // The length says something else: longer, and the end is waited for.
                3 => Alert::BadRecordMac,
                _ => Alert::BadRecordMac,
            };
            record.resize(17_000, 7);
            // What does not fit is not taken any more.
            let alert = if position == 3 && record[3] >= 0x41 { Alert::RecordOverflow } else { alert };
            refuses(&mut forger, &mut session, &record, alert);
        }
    }
}

#[test]
fn a_record_cut_short_is_waited_for_and_not_opened() {
    let (mut forger, mut session) = Forger::connect(SUITE);
    let record = forger.seal(&[1, 2, 3, DATA]);
    for byte in &record[..record.len() - 1] {
        let (opened, failure) = feed(&mut session, &[*byte], 1);
        assert!(opened.is_empty() && failure.is_none() && session.pending().is_empty());
    }
    assert_eq!(feed(&mut session, &record[record.len() - 1..], 1).0, [1, 2, 3]);
}

#[test]
fn record_repeated_or_out_of_order_is_refused() {
    let (mut forger, mut session) = Forger::connect(SUITE);
    let record = forger.seal(&[1, DATA]);
    assert_eq!(feed(&mut session, &record, 9).0, [1]);
    refuses(&mut forger, &mut session, &record, Alert::BadRecordMac);

    let (mut forger, mut session) = Forger::connect(SUITE);
    let _lost = forger.seal(&[1, DATA]);
    let record = forger.seal(&[2, DATA]);
    refuses(&mut forger, &mut session, &record, Alert::BadRecordMac);
}

#[test]
fn padding_is_not_data() {
    let (mut forger, mut session) = Forger::connect(SUITE);
    for padding in [0, 1, 255, 16_384 - 3] {
        let record = forger.seal(&[&[1, 2, 0, DATA][..], &vec![0; padding]].concat());
        assert_eq!(feed(&mut session, &record, usize::MAX).0, [1, 2, 0], "{padding}");
    }
}

#[test]
fn version_of_a_record_is_authenticated_and_not_checked() {
    // RFC 8446, 5.2: it is ignored, but it is part of what the tag covers.
    let (mut forger, mut session) = Forger::connect(SUITE);
    let mut record = forger.seal(&[1, DATA]);
    record[1] = 2;
    refuses(&mut forger, &mut session, &record, Alert::BadRecordMac);
}

/// Checks that records without data are accepted up to the limit, and one more is refused.
fn idle_records_are_counted(inner: &[u8], limit: u8) {
    let limit = usize::from(limit);
    let idle = |forger: &mut Forger, count: usize| {
        (0..count).map(|_| forger.seal(inner)).collect::<Vec<_>>().concat()
    };
    let (mut forger, mut session) = Forger::connect(SUITE);
    for _ in 0..3 {
        let records = [idle(&mut forger, limit), forger.seal(&[1, DATA])].concat();
        let (opened, failure) = feed(&mut session, &records, 1000);
        assert!(failure.is_none(), "{failure:?}");
        assert_eq!(opened, [1]);
    }
    let records = idle(&mut forger, limit + 1);
    refuses(&mut forger, &mut session, &records, Alert::UnexpectedMessage);
}

#[test]
fn records_without_data_meet_their_limit_and_not_more() {
    idle_records_are_counted(&[DATA], TLS_IDLE_RECORDS);
    idle_records_are_counted(&[DATA, 0, 0, 0], TLS_IDLE_RECORDS);
    // user_canceled, at any level.
    idle_records_are_counted(&[1, 90, ALERT], TLS_IDLE_RECORDS);
    idle_records_are_counted(&[2, 90, ALERT], TLS_IDLE_RECORDS);
}

#[test]
fn nothing_is_received_after_close_notify() {
    let (mut forger, mut session) = Forger::connect(SUITE);
    let records =
        [forger.seal(&[1, DATA]), forger.seal(&[1, 0, ALERT]), forger.seal(&[2, DATA]), vec![9; 40_000]];
    let (opened, failure) = feed(&mut session, &records.concat(), 1000);
    assert!(failure.is_none() && session.is_closed_by_peer());
    assert_eq!(opened, [1]);
    // Our direction stays open until we close it, too.
    assert_eq!(session.seal(b"reply"), Ok(5));
    session.close();
    session.close();
    assert_eq!(session.seal(b"more"), Ok(0));
    assert_eq!(forger.open(&drain(&mut session)), [&b"reply\x17"[..], &[1, 0, ALERT]]);
}

#[test]
fn any_other_alert_ends_the_session_without_an_answer() {
    for alert in (1..=255).filter(|alert| *alert != 90) {
        let (mut forger, mut session) = Forger::connect(SUITE);
        let record = forger.seal(&[1, alert, ALERT]);
        let (_, failure) = feed(&mut session, &record, usize::MAX);
        assert!(
            matches!(failure, Some(TlsFailure::PeerAlert(sent)) if u8::from(sent) == alert),
            "{failure:?}"
        );
        is_over(&mut session);
        assert!(session.pending().is_empty());
    }
}
