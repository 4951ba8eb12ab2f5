//! Certificates of clients without an authority.

use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair, PublicKeyData as _};
use ring::digest;
use rustls::ClientConfig;
use rustls::client::ResolvesClientCert;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::super::{Buffers, Session, TLS_CLIENT_CERTIFICATES};
use super::peer::{SUITE, client, client_config, config, feed};

/// Client certificate that is shown whenever the server asks for one.
#[derive(Debug)]
struct Shown(Arc<CertifiedKey>);

impl ResolvesClientCert for Shown {
    fn resolve(&self, hints: &[&[u8]], _: &[rustls::SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        assert!(hints.is_empty(), "no authority is named");
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

fn certificate(key: &KeyPair) -> CertificateDer<'static> {
    CertificateParams::default().self_signed(key).unwrap().der().clone()
}

/// Client that shows this chain, and signs with `key`.
fn showing(chain: Vec<CertificateDer<'static>>, key: &KeyPair) -> ClientConfig {
    let mut config = client_config(SUITE);
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let key = rustls::crypto::ring::sign::any_supported_type(&key).unwrap();
    config.client_auth_cert_resolver = Arc::new(Shown(Arc::new(CertifiedKey::new(chain, key))));
    config
}

/// Key of the client after its handshake; or the alert of the server. `asks`: the server asks for a certificate.
fn key_of(config_of_client: ClientConfig, asks: bool) -> Result<Option<[u8; 32]>, String> {
    let mut session = Session::accept(&config(), asks, Buffers::new()).unwrap();
    let mut client = client(config_of_client);
    while client.is_handshaking() || session.is_handshaking() {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        let failure = feed(&mut session, &bytes, usize::MAX).1;
        let mut answer = session.pending().to_vec();
        session.sent(answer.len()).unwrap();
        let mut answer = std::io::Cursor::new(&mut answer);
        while (answer.position() as usize) < answer.get_ref().len() {
            client.read_tls(&mut answer).unwrap();
            if let Err(error) = client.process_new_packets() {
                assert!(failure.is_some());
                return Err(error.to_string());
            }
        }
        assert!(failure.is_none(), "a failure without an alert");
    }
    Ok(session.client_key().copied())
}

fn hash(key: &KeyPair) -> [u8; 32] {
    digest::digest(&digest::SHA256, &key.subject_public_key_info()).as_ref().try_into().unwrap()
}

#[test]
fn key_of_a_client_is_that_of_its_certificate() {
    let key = KeyPair::generate().unwrap();
    let shown = || showing(vec![certificate(&key)], &key);
    assert_eq!(key_of(shown(), true), Ok(Some(hash(&key))));
    assert_eq!(key_of(shown(), false), Ok(None), "it is not asked");
    assert_eq!(key_of(client_config(SUITE), true), Ok(None), "a client without one is served, too");
    // A later certificate of the same key, with other names and dates.
    let mut params = CertificateParams::new(["other".to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(2001, 1, 1);
    let other = params.self_signed(&key).unwrap().der().clone();
    assert_eq!(key_of(showing(vec![other], &key), true), Ok(Some(hash(&key))));
    let ed25519 = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    assert_eq!(key_of(showing(vec![certificate(&ed25519)], &ed25519), true), Ok(Some(hash(&ed25519))));
}

#[test]
fn certificate_of_another_ends_the_handshake() {
    let [own, other] = [(), ()].map(|()| KeyPair::generate().unwrap());
    let alert = key_of(showing(vec![certificate(&other)], &own), true).unwrap_err();
    assert!(alert.contains("DecryptError"), "{alert}");
    let alert = key_of(showing(vec![CertificateDer::from(vec![0x30, 3, 1, 1, 1])], &own), true).unwrap_err();
    assert!(alert.contains("BadCertificate"), "{alert}");
}

#[test]
fn certificates_of_a_client_up_to_their_limit() {
    let key = KeyPair::generate().unwrap();
    let chain = |count: usize| vec![certificate(&key); count];
    assert_eq!(key_of(showing(chain(TLS_CLIENT_CERTIFICATES), &key), true), Ok(Some(hash(&key))));
    let alert = key_of(showing(chain(TLS_CLIENT_CERTIFICATES + 1), &key), true).unwrap_err();
    assert!(alert.contains("BadCertificate"), "{alert}");
}
