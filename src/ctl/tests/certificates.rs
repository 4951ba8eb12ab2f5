//! Public keys of servers, remembered and required, in whatever certificate.

use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair, PublicKeyData as _, generate_simple_self_signed};
use ring::digest::{SHA256, digest};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use super::*;

pub(super) fn tls_config() -> Arc<ServerConfig> {
    let key = KeyPair::generate().unwrap();
    config_with(certificate(&key, "elsewhere"), &key)
}

fn certificate(key: &KeyPair, name: &str) -> CertificateDer<'static> {
    CertificateParams::new([name.to_owned()]).unwrap().self_signed(key).unwrap().into()
}

fn config_with(certificate: CertificateDer<'static>, key: &KeyPair) -> Arc<ServerConfig> {
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    Arc::new(config)
}

/// Fingerprint as OpenSSL and browsers have it.
fn sha256(der: &[u8]) -> String {
    base16ct::lower::encode_string(digest(&SHA256, der).as_ref())
}

fn known(directory: &TestDirectory, authority: &str) -> Option<String> {
    StateDir::new(directory.path().join("state")).get(KNOWN_SERVERS, authority).unwrap()
}

fn remember(directory: &TestDirectory, authority: &str, fingerprint: &str) {
    let state = StateDir::new(directory.path().join("state"));
    state.set(KNOWN_SERVERS, authority, Some(fingerprint)).unwrap();
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
fn key_is_remembered_and_then_demanded() {
    let directory = TestDirectory::new();
    let key = KeyPair::generate().unwrap();
    let of_key = sha256(&key.subject_public_key_info());
    let (first, renewed) = (certificate(&key, "elsewhere"), certificate(&key, "there"));
    let of_first = sha256(&first);
    let (first, renewed, other) = (config_with(first, &key), config_with(renewed, &key), tls_config());
    let (authority, thread) = tls_server(vec![first, renewed, other.clone(), other.clone(), other]);
    let line = format!("--url wss://{authority} --session S/1 list");

    let said = ctl(&directory, &line);
    assert_eq!(said.code, 0, "{}", said.err);
    assert_eq!(known(&directory, &authority), Some(of_key.clone()));
    let shown = format!("\n  public key   {of_key}\n  certificate  {of_first}\n");
    assert!(said.err.contains(&shown) && said.err.contains("trusted from now on"), "{}", said.err);

    let said = ctl(&directory, &line);
    assert_eq!((said.code, said.err.as_str()), (0, ""), "a renewed certificate with the same key");

    let said = ctl(&directory, &line);
    assert_eq!((said.code, said.out.as_str()), (UNTRUSTED, ""));
    assert!(said.err.contains(&of_key) && said.err.contains("Nothing was sent"), "{}", said.err);
    assert_eq!(known(&directory, &authority), Some(of_key.clone()));
    let shown = said.err.lines().find_map(|line| line.strip_prefix("  public key   ")).unwrap().to_owned();

    let said = ctl(&directory, &format!("{line} --fingerprint {of_key}"));
    assert_eq!(said.code, UNTRUSTED);
    assert!(said.err.contains("not the one demanded"), "{}", said.err);

    let said = ctl(&directory, &format!("{line} --fingerprint {shown}"));
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    assert_eq!(known(&directory, &authority), Some(shown));
    thread.join().unwrap();
}

/// Earlier versions remembered the certificate.
#[test]
fn remembered_certificate_becomes_its_key() {
    let directory = TestDirectory::new();
    let key = KeyPair::generate().unwrap();
    let of_key = sha256(&key.subject_public_key_info());
    let (first, renewed) = (certificate(&key, "elsewhere"), certificate(&key, "there"));
    let old = sha256(&first);
    let (first, renewed) = (config_with(first, &key), config_with(renewed, &key));
    let (authority, thread) =
        tls_server(vec![renewed.clone(), first.clone(), first.clone(), renewed.clone(), first, renewed]);
    let line = format!("--url wss://{authority} --session S/1 list");
    remember(&directory, &authority, &old);

    let said = ctl(&directory, &line);
    assert_eq!(said.code, UNTRUSTED, "renewed before its key was known: {}", said.err);
    assert_eq!(known(&directory, &authority), Some(old.clone()));

    // A file that cannot be written does not keep anybody out.
    let draft = format!("state/{KNOWN_SERVERS}.new-{}", std::process::id());
    let draft = directory.path().join(draft);
    fs::create_dir(&draft).unwrap();
    let said = ctl(&directory, &line);
    assert!(said.code == 0 && said.err.starts_with("friendlet ctl: cannot write "), "{}", said.err);
    assert_eq!(known(&directory, &authority), Some(old.clone()));
    fs::remove_dir(&draft).unwrap();

    let said = ctl(&directory, &line);
    let moved =
        format!("wss://{authority}: its public key is required from now on, no longer its certificate\n");
    assert_eq!((said.code, said.err), (0, moved));
    assert_eq!(known(&directory, &authority), Some(of_key.clone()));
    let said = ctl(&directory, &line);
    assert_eq!((said.code, said.err.as_str()), (0, ""), "the renewed one");

    // Either is accepted where a person names it, and a certificate is that certificate alone.
    let demanding = format!("{line} --fingerprint {old}");
    let said = ctl(&directory, &demanding);
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    assert_eq!(known(&directory, &authority), Some(of_key));
    let said = ctl(&directory, &demanding);
    assert!(said.code == UNTRUSTED && said.err.contains("not the one demanded"), "{}", said.err);
    thread.join().unwrap();
}

/// The line of this server may be the damaged one: its key would be trusted as that of a new server.
#[test]
fn damaged_file_of_known_servers_makes_no_server_new() {
    let directory = TestDirectory::new();
    let path = StateDir::new(directory.path().join("state")).path_of(KNOWN_SERVERS);
    remember(&directory, "elsewhere:1", &"ab".repeat(32));
    let (authority, thread) = tls_server(vec![tls_config(); 6]);
    let line = format!("--url wss://{authority} --session S/1 list");
    let fingerprint = "cd".repeat(32);
    let (whole, parts) = (format!("{authority} {fingerprint}"), fingerprint.split_at(40));
    for (damaged, part) in [
        ("nonsense", "line 2 is damaged"),
        ("\0\0\0\0", "line 2 is damaged"),
        (&*authority, "line 2 is damaged"),
        (&whole.replace(' ', "\0"), "line 2 is damaged"),
        (&format!("{authority} {}", parts.0), "is not a fingerprint"),
    ] {
        let text = format!("elsewhere:1 {}\n{damaged}\n", "ab".repeat(32));
        fs::write(&path, &text).unwrap();
        let said = ctl(&directory, &line);
        assert!([FAILED, IO].contains(&said.code) && said.err.contains(part), "{damaged:?}: {said:?}");
        assert!(
            said.err.contains(&*path.display().to_string()) && said.err.contains("remove it"),
            "{said:?}"
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), text, "{damaged:?}");
    }
    // Separated by a tab, it is that of this server.
    fs::write(&path, whole.replace(' ', "\t")).unwrap();
    assert_eq!(ctl(&directory, &line).code, UNTRUSTED);
    thread.join().unwrap();
}

/// Serves TLS to clients with a certificate of an authority that signs none.
fn server_with_client_ca(connections: usize) -> (String, JoinHandle<()>) {
    let key = KeyPair::generate().unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate(&key, "authority")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider)).build();
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_client_cert_verifier(verifier.unwrap())
        .with_single_cert(
            vec![certificate(&key, "server")],
            PrivateKeyDer::Pkcs8(key.serialize_der().into()),
        );
    let config = Arc::new(config.unwrap());
    server(connections, move |_, mut stream| {
        let mut connection = ServerConnection::new(Arc::clone(&config)).unwrap();
        assert!(connection.complete_io(&mut stream).is_err());
        // With bytes unread, the kernel would drop the alert.
        let _ = io::copy(&mut stream, &mut io::sink());
    })
}

#[test]
fn server_with_client_ca_has_the_client_name_a_certificate() {
    let directory = TestDirectory::new();
    let (authority, thread) = server_with_client_ca(2);
    let line = format!("--url wss://{authority} --session S/1 list");
    let said = ctl(&directory, &line);
    assert!(said.code == UNAVAILABLE && said.err.contains("--cert FILE --key FILE"), "{}", said.err);
    let key = KeyPair::generate().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    fs::write(path("key"), key.serialize_pem()).unwrap();
    let own = CertificateParams::new(["panel".to_owned()]).unwrap().self_signed(&key).unwrap();
    fs::write(path("cert"), own.pem()).unwrap();
    let said = ctl(&directory, &format!("{line} --cert {} --key {}", path("cert"), path("key")));
    assert!(
        said.code == UNAVAILABLE && said.err.contains("refuses the certificate of --cert"),
        "{}",
        said.err
    );
    thread.join().unwrap();
}

#[test]
fn key_that_cannot_be_remembered_is_not_said_to_be_trusted() {
    let directory = TestDirectory::new();
    let draft = format!("state/{KNOWN_SERVERS}.new-{}", std::process::id());
    fs::create_dir_all(directory.path().join(draft)).unwrap();
    let (authority, thread) = server(1, |_, stream| {
        let mut stream = StreamOwned::new(ServerConnection::new(tls_config()).unwrap(), stream);
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let said = ctl(&directory, &format!("--url wss://{authority} login anna"));
    assert!(said.code == IO && said.err.contains(KNOWN_SERVERS), "{said:?}");
    assert!(!said.err.contains("trusted"), "{}", said.err);
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
    assert_eq!(known(&directory, &authority), None);
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

#[test]
fn server_that_is_killed_has_words() {
    let directory = TestDirectory::new();
    let config = tls_config();
    let (authority, thread) = server(1, move |_, stream| {
        let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
        let mut socket = grant(StreamOwned::new(connection, stream));
        // Nothing is unread, so that the kernel ends the connection without a reset.
        text(&mut socket);
    });
    let said = ctl(&directory, &format!("--url wss://{authority} --session S/1 list"));
    assert_eq!(said.code, UNAVAILABLE);
    let why = said.err.lines().last().unwrap();
    assert_eq!(why, "friendlet ctl: connection lost: the server closed the connection");
    thread.join().unwrap();
}
