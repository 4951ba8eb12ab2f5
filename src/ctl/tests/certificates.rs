//! Certificates of servers, remembered and required.

use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::*;

pub(super) fn tls_config() -> Arc<ServerConfig> {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["elsewhere".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    Arc::new(config)
}

/// Serves `list` over TLS, with the certificates in turn; a client may reject its certificate.
pub(super) fn tls_server(configs: Vec<Arc<ServerConfig>>) -> (String, JoinHandle<()>) {
    server(configs.len(), move |number, stream| {
        let connection = ServerConnection::new(Arc::clone(&configs[number])).unwrap();
        let mut stream = StreamOwned::new(connection, stream);
        if stream.conn.complete_io(&mut stream.sock).is_err() {
            return;
        }
        let mut socket = grant(stream);
        respond(&mut socket, 1, LIST, LIST_CONTENT);
        finish(socket);
    })
}

#[test]
fn certificate_is_remembered_and_then_demanded() {
    let directory = TestDirectory::new();
    let (one, other) = (tls_config(), tls_config());
    let (authority, thread) = tls_server(vec![one.clone(), one.clone(), other.clone(), other.clone(), other]);
    let line = format!("--url wss://{authority} --session S/1 list");
    let state = StateDir::new(directory.path().join("state"));

    let said = ctl(&directory, &line);
    assert_eq!(said.code, 0, "{}", said.err);
    let known = state.get(KNOWN_SERVERS, &authority).unwrap().unwrap();
    assert_eq!(known.len(), 64);
    assert!(said.err.contains(&known) && said.err.contains("trusted from now on"), "{}", said.err);

    let said = ctl(&directory, &line);
    assert_eq!((said.code, said.err.as_str()), (0, ""));

    let said = ctl(&directory, &line);
    assert_eq!((said.code, said.out.as_str()), (UNTRUSTED, ""));
    assert!(said.err.contains(&known) && said.err.contains("Nothing was sent"), "{}", said.err);
    assert_eq!(state.get(KNOWN_SERVERS, &authority).unwrap(), Some(known.clone()));
    let shown = said.err.lines().find_map(|line| line.strip_prefix("  presented ")).unwrap().to_owned();

    let said = ctl(&directory, &format!("{line} --fingerprint {known}"));
    assert_eq!(said.code, UNTRUSTED);
    assert!(said.err.contains("not the one demanded"), "{}", said.err);

    let said = ctl(&directory, &format!("{line} --fingerprint {shown}"));
    assert_eq!(said.code, 0, "{}", said.err);
    assert_eq!(state.get(KNOWN_SERVERS, &authority).unwrap(), Some(shown));
    thread.join().unwrap();
}

/// A certificate is public: a server that presents it without its key is another one.
#[test]
fn certificate_without_its_key() {
    let directory = TestDirectory::new();
    let own = generate_simple_self_signed(["elsewhere".to_owned()]).unwrap();
    let stolen = generate_simple_self_signed(["elsewhere".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(own.signing_key.serialize_der().into());
    let key = rustls::crypto::ring::sign::any_supported_type(&key).unwrap();
    let certified = rustls::sign::CertifiedKey::new(vec![stolen.cert.der().clone()], key);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(certified)));
    let (authority, thread) = tls_server(vec![Arc::new(config)]);
    let said = ctl(&directory, &format!("--url wss://{authority} --session S/1 list"));
    assert_eq!((said.code, said.out.as_str()), (UNAVAILABLE, ""));
    assert!(said.err.contains("BadSignature"), "{}", said.err);
    assert_eq!(StateDir::new(directory.path().join("state")).get(KNOWN_SERVERS, &authority), Ok(None));
    thread.join().unwrap();
}

#[test]
fn server_without_tls() {
    let directory = TestDirectory::new();
    let (authority, thread) = server(1, |_, mut stream| {
        stream.read_exact(&mut [0; 5]).unwrap();
        answer(&mut stream, "400 Bad Request", "this is not an HTTP request\n");
        let _ = io::copy(&mut stream, &mut io::sink());
    });
    let said = ctl(&directory, &format!("--url wss://{authority} --session S list"));
    assert_eq!(said.code, UNAVAILABLE);
    assert!(said.err.contains("does not use TLS"), "{}", said.err);
    thread.join().unwrap();
}
