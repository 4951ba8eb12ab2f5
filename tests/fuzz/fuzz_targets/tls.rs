//! A TLS session under bytes of a script: anything at all, a real client's flights with something
//! changed, records of a client that has the keys and seals what it likes, in the handshake and after it, and a
//! long talk with a real client. It fails or goes on; what comes out is what was put in, and after an end nothing.

#![no_main]

use std::sync::{Arc, OnceLock};

use libfuzzer_sys::fuzz_target;
use rustls::ServerConfig;

use tls::tests::by_hand::{self, ByHand, Hello};
use tls::tests::peer::{
    Forger, SUITES, client, client_config, config, connect, drain, feed, flight, receive, say,
};
use tls::{Buffers, Session, TlsFailure};

/// Parent module of [`peer`](tls::tests::peer).
#[path = "."]
mod tls {
    pub(crate) use friendlet::net::tls::{Buffers, Session, TlsFailure, server_config};

    #[path = "."]
    #[expect(dead_code, reason = "the unit tests use the rest")]
    pub(crate) mod tests {
        #[path = "../../../src/net/tls/tests/by_hand.rs"]
        pub(crate) mod by_hand;
        #[path = "../../../src/net/tls/tests/peer.rs"]
        pub(crate) mod peer;
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&[mode, piece], rest)) = bytes.split_first_chunk() else { return };
    let piece = if piece == 0 { usize::MAX } else { usize::from(piece) * 8 - 7 };
    let mut script = Script(rest);
    match mode % 6 {
        0 => anything(rest, piece, &config()),
        1 => anything(rest, piece, &config_with_clients()),
        2 => changed_flights(&mut script, piece),
        3 => forged(&mut script, piece),
        4 => sealed_handshake(&mut script, piece),
        _ => talk(&mut script, piece),
    }
});

struct Script<'a>(&'a [u8]);

impl Script<'_> {
    /// The next byte; zeros in the end.
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn number(&mut self) -> usize {
        usize::from(u16::from_be_bytes([self.byte(), self.byte()]))
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken.to_vec()
    }
}

/// A server that asks clients for certificates.
fn config_with_clients() -> Arc<ServerConfig> {
    static CONFIG: OnceLock<Arc<ServerConfig>> = OnceLock::new();
    let make = || {
        let own = rcgen::generate_simple_self_signed(["h".to_owned()]).unwrap();
        let mut params = rcgen::CertificateParams::new(["ca".to_owned()]).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let authority = params.self_signed(&own.signing_key).unwrap().pem();
        let key = own.signing_key.serialize_pem();
        tls::server_config(own.cert.pem().as_bytes(), key.as_bytes(), Some(authority.as_bytes())).unwrap()
    };
    Arc::clone(CONFIG.get_or_init(make))
}

/// Hands bytes over and checks what came of it.
fn give(session: &mut Session, bytes: &[u8], piece: usize) -> (Vec<u8>, Option<TlsFailure>) {
    let (opened, failure) = feed(session, bytes, piece);
    assert!(session.plaintext().is_empty() || failure.is_some());
    if failure.is_some() {
        is_over(session);
    }
    (opened, failure)
}

fn is_over(session: &mut Session) {
    let pending = session.pending().len();
    assert!(session.is_closed_by_peer() && !session.is_handshaking());
    assert!(session.plaintext().is_empty());
    assert_eq!(session.seal(b"more"), Ok(0));
    session.close();
    let (opened, failure) = feed(session, &[22; 20_000], 20_000);
    assert!(opened.is_empty() && failure.is_none());
    assert_eq!(session.pending().len(), pending);
    drain(session);
    session.release_idle();
}

fn anything(bytes: &[u8], piece: usize, config: &Arc<ServerConfig>) {
    let mut session = Session::accept(config, false, Buffers::new()).unwrap();
    let (opened, _) = give(&mut session, bytes, piece);
    assert!(opened.is_empty(), "without a key");
    let buffers = session.into_buffers();
    // The next one begins afresh in the same buffers.
    let session = Session::accept(config, false, buffers).unwrap();
    assert!(session.pending().is_empty() && session.plaintext().is_empty());
}

/// A handshake in which the script changes what the client sends, or cuts it into records anew.
fn changed_flights(script: &mut Script, piece: usize) {
    let with_clients = script.byte() % 2 == 1;
    let config = if with_clients { config_with_clients() } else { config() };
    let mut session = Session::accept(&config, false, Buffers::new()).unwrap();
    let suite = SUITES[usize::from(script.byte()) % SUITES.len()];
    let mut client_config = client_config(suite);
    client_config.max_fragment_size = [None, Some(33), Some(64), Some(700)][usize::from(script.byte()) % 4];
    let mut client = client(client_config);
    for _ in 0..4 {
        let mut bytes = flight(&mut client);
        let untouched = bytes.clone();
        for _ in 0..script.byte() % 4 {
            change(script, &mut bytes);
        }
        let (opened, failure) = give(&mut session, &bytes, piece);
        assert!(opened.is_empty(), "nobody has said anything");
        if failure.is_some() {
            // The client may receive the alert or not; it is not data of the server.
            let _ = receive(&mut client, &drain(&mut session));
            return;
        }
        if receive(&mut client, &drain(&mut session)).is_err() {
            return;
        }
        if !session.is_handshaking() {
            assert!(!with_clients || bytes != untouched, "a client without a certificate came in");
            return;
        }
    }
}

fn change(script: &mut Script, bytes: &mut Vec<u8>) {
    if bytes.is_empty() {
        return;
    }
    let at = script.number() % bytes.len();
    match script.byte() % 7 {
        0 => bytes[at] ^= 1 << (script.byte() % 8),
        1 => bytes[at] = script.byte(),
        2 => bytes.truncate(at),
        3 => {
            let count = usize::from(script.byte());
            let more = script.bytes(count);
            bytes.splice(at..at, more);
        }
        4 => {
            let end = (at + usize::from(script.byte())).min(bytes.len());
            bytes.drain(at..end);
        }
        5 => {
            let end = (at + usize::from(script.byte())).min(bytes.len());
            let again = bytes[at..end].to_vec();
            bytes.extend(again);
        }
        // One record more in front: whatever type, whatever in it.
        _ => {
            let count = usize::from(script.byte());
            let body = script.bytes(count);
            let header = [20 + script.byte() % 5, 3, 3, 0, body.len() as u8];
            bytes.splice(0..0, [&header[..], &body].concat());
        }
    }
}

/// Records in place of a client's last message, which is among them or not.
fn sealed_handshake(script: &mut Script, piece: usize) {
    let mut session = Session::accept(&config(), false, Buffers::new()).unwrap();
    let mut client = ByHand::new();
    let flags = script.byte();
    let (lacks_key, early_data) = (flags & 1 != 0, flags & 2 != 0);
    let hello = Hello { lacks_key, early_data, resumes: early_data, extensions: &[] };
    let mut bytes = by_hand::record(by_hand::HANDSHAKE, &client.hello(hello));
    while !client.is_ready && !script.0.is_empty() {
        for _ in 0..script.byte() % 4 {
            bytes.extend(by_hand::record(by_hand::DATA, &vec![7; script.number() % 17_000]));
        }
        if feed(&mut session, &bytes, piece).1.is_some() {
            return has_alert(&mut client, &mut session);
        }
        client.receive(&drain(&mut session));
        let again = Hello { lacks_key: false, early_data: false, ..hello };
        bytes = if client.is_retried {
            by_hand::record(by_hand::HANDSHAKE, &client.hello(again))
        } else {
            Vec::new()
        };
    }
    while client.is_ready && !script.0.is_empty() {
        let count = usize::from(script.byte());
        let content = if count == 0 { client.finished() } else { script.bytes(count % 80) };
        let kind = [20, 22, 22, 22, 22, 23, 24, 0][usize::from(script.byte()) % 8];
        let padding = if script.byte().is_multiple_of(4) { script.number() % 17_000 } else { 0 };
        let record = match script.byte() % 4 {
            0 => by_hand::record([20, 22, 23, 99][usize::from(kind) % 4], &content),
            _ => client.seal(kind, &content, padding),
        };
        let (opened, failure) = feed(&mut session, &record, piece);
        assert!(opened.is_empty());
        if failure.is_some() {
            return has_alert(&mut client, &mut session);
        }
        if !session.is_handshaking() {
            return;
        }
    }
}

/// Checks that the last of a session is an alert for the client.
fn has_alert(client: &mut ByHand, session: &mut Session) {
    assert!(matches!(client.receive(&drain(session))[..], [(by_hand::ALERT, _)]));
    is_over(session);
}

/// Records under the right key with whatever in them.
fn forged(script: &mut Script, piece: usize) {
    let suite = SUITES[usize::from(script.byte()) % SUITES.len()];
    let (mut forger, mut session) = Forger::connect(suite);
    while !script.0.is_empty() {
        let mut inner = match script.byte() % 4 {
            0 => vec![script.byte(); script.number() % 17_000],
            _ => {
                let count = usize::from(script.byte());
                script.bytes(count)
            }
        };
        let kind = [20, 21, 22, 23, 24, 0, 23, 23][usize::from(script.byte()) % 8];
        let padding = if script.byte().is_multiple_of(8) { script.number() % 17_000 } else { 0 };
        let content = inner.clone();
        inner.push(kind);
        inner.resize((inner.len() + padding).min(65_000), 0);
        let mut record = forger.seal(&inner);
        let is_changed = script.byte().is_multiple_of(16);
        if is_changed {
            let at = script.number() % record.len();
            record[at] ^= 1 << (script.byte() % 8);
        }
        let (opened, failure) = give(&mut session, &record, piece);
        if failure.is_some() || session.is_closed_by_peer() {
            assert!(opened.is_empty());
            return;
        }
        if kind == 23 && !is_changed {
            assert!(opened == content, "not what was sealed");
        } else {
            // A changed header can leave the session waiting for more; nothing else gets by.
            assert!(opened.is_empty(), "{kind} {is_changed}");
            if is_changed || kind == 22 {
                return;
            }
        }
    }
}

/// Both sides send, at times with new keys, and each receives what the other sent.
fn talk(script: &mut Script, piece: usize) {
    let suite = SUITES[usize::from(script.byte()) % SUITES.len()];
    let (mut client, mut session) = connect(client_config(suite), usize::MAX);
    let (mut to_client, mut received, mut renewals) = (Vec::new(), Vec::new(), 0);
    for _ in 0..200 {
        if script.0.is_empty() {
            break;
        }
        let (what, fill) = (script.byte(), script.byte());
        match what % 6 {
            0 => {
                let data = vec![fill; 1 + script.number() % 40_000];
                let bytes = say(&mut client, &data);
                let (opened, failure) = give(&mut session, &bytes, piece);
                assert!(failure.is_none() && opened == data);
            }
            1 => {
                let data = vec![fill; script.number()];
                let count = session.seal(&data).unwrap();
                to_client.extend_from_slice(&data[..count]);
            }
            2 => {
                let count = session.pending().len().min(script.number());
                received.extend(receive(&mut client, &session.pending()[..count]).unwrap().0);
                session.sent(count).unwrap();
            }
            // rustls's client bears no more answers to it in a row without data.
            3 if renewals < 32 => {
                renewals += 1;
                client.refresh_traffic_keys().unwrap();
                let bytes = say(&mut client, &[fill]);
                let (opened, failure) = give(&mut session, &bytes, piece);
                assert!(failure.is_none() && opened == [fill]);
            }
            4 => {
                // Partly read, and the rest of it later.
                let data = vec![fill; 1 + script.number() % 10_000];
                let bytes = say(&mut client, &data);
                let mut opened = Vec::new();
                let mut rest = &bytes[..];
                while !rest.is_empty() || !session.plaintext().is_empty() {
                    let count = session.space().len().min(rest.len()).min(piece);
                    session.space()[..count].copy_from_slice(&rest[..count]);
                    rest = &rest[count..];
                    session.handle_received(count).unwrap();
                    let count = session.plaintext().len().min(1 + usize::from(fill));
                    opened.extend_from_slice(&session.plaintext()[..count]);
                    session.consume(count).unwrap();
                }
                assert!(opened == data);
            }
            _ => session.release_idle(),
        }
    }
    session.close();
    let (rest, closed) = receive(&mut client, &drain(&mut session)).unwrap();
    received.extend(rest);
    assert!(closed && received == to_client, "{} bytes of {}", received.len(), to_client.len());
    client.send_close_notify();
    let (opened, failure) = give(&mut session, &flight(&mut client), piece);
    assert!(opened.is_empty() && failure.is_none() && session.is_closed_by_peer());
}
