//! Peers of a session: rustls's client, and a forger.

use std::io::{Read as _, Write as _};
use std::sync::{Arc, OnceLock};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use ring::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::default_provider;
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CipherSuite, ClientConfig, ClientConnection, ConnectionTrafficSecrets, DigitallySignedStruct, Error,
    ServerConfig, SignatureScheme, version,
};

use super::super::{Buffers, Session, TlsFailure, server_config};

/// All suites, the one without AES first.
pub(crate) const SUITES: [CipherSuite; 3] = [
    CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
    CipherSuite::TLS13_AES_128_GCM_SHA256,
    CipherSuite::TLS13_AES_256_GCM_SHA384,
];
pub(crate) const SUITE: CipherSuite = SUITES[1];

/// A server's configuration with a certificate of its own.
pub(crate) fn config() -> Arc<ServerConfig> {
    static CONFIG: OnceLock<Arc<ServerConfig>> = OnceLock::new();
    let make = || {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["h".to_owned()]).unwrap();
        server_config(cert.pem().as_bytes(), signing_key.serialize_pem().as_bytes(), None).unwrap()
    };
    Arc::clone(CONFIG.get_or_init(make))
}

#[derive(Debug)]
struct AcceptAny(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptAny {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is not supported".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// A client's configuration with `suite` alone; it takes any certificate.
pub(crate) fn client_config(suite: CipherSuite) -> ClientConfig {
    let mut provider = default_provider();
    provider.cipher_suites.retain(|known| known.suite() == suite);
    client_config_with(provider)
}

pub(crate) fn client_config_with(provider: CryptoProvider) -> ClientConfig {
    let provider = Arc::new(provider);
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AcceptAny(provider)))
        .with_no_client_auth();
    config.enable_secret_extraction = true;
    config
}

pub(crate) fn client(config: ClientConfig) -> ClientConnection {
    ClientConnection::new(Arc::new(config), ServerName::try_from("h").unwrap()).unwrap()
}

/// A session of the server, with buffers of its own.
pub(crate) fn session() -> Session {
    Session::accept(&config(), false, Buffers::new()).unwrap()
}

/// Hands `bytes` to the session in pieces of `piece`, as far as it takes them before it fails, and
/// reads all that it opens.
pub(crate) fn feed(session: &mut Session, bytes: &[u8], piece: usize) -> (Vec<u8>, Option<TlsFailure>) {
    let mut opened = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let space = session.space();
        let count = piece.min(rest.len()).min(space.len());
        assert!(count > 0, "no space, and nothing to read");
        space[..count].copy_from_slice(&rest[..count]);
        rest = &rest[count..];
        let mut result = session.handle_received(count);
        while result.is_ok() && !session.plaintext().is_empty() {
            let count = session.plaintext().len();
            opened.extend_from_slice(session.plaintext());
            result = session.consume(count);
        }
        if let Err(failure) = result {
            return (opened, Some(failure));
        }
    }
    (opened, None)
}

/// All that waits to be sent.
pub(crate) fn drain(session: &mut Session) -> Vec<u8> {
    let mut bytes = Vec::new();
    while !session.pending().is_empty() {
        let count = session.pending().len();
        bytes.extend_from_slice(session.pending());
        session.sent(count).unwrap();
    }
    bytes
}

/// All that a client has to send.
pub(crate) fn flight(client: &mut ClientConnection) -> Vec<u8> {
    let mut bytes = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut bytes).unwrap();
    }
    bytes
}

/// Passes `bytes` to the client; returns its data, and true after close_notify.
pub(crate) fn receive(client: &mut ClientConnection, bytes: &[u8]) -> Result<(Vec<u8>, bool), Error> {
    let (mut rest, mut received) = (bytes, Vec::new());
    let mut closed = false;
    while !rest.is_empty() {
        client.read_tls(&mut rest).unwrap();
        let state = client.process_new_packets()?;
        closed = state.peer_has_closed();
        let mut data = vec![0; state.plaintext_bytes_to_read()];
        client.reader().read_exact(&mut data).unwrap();
        received.extend(data);
    }
    Ok((received, closed))
}

/// A client and a session, their handshake done in pieces of `piece`.
pub(crate) fn connect(config: ClientConfig, piece: usize) -> (ClientConnection, Session) {
    let (mut client, mut session) = (client(config), session());
    while client.is_handshaking() || session.is_handshaking() {
        let bytes = flight(&mut client);
        assert!(feed(&mut session, &bytes, piece).1.is_none());
        receive(&mut client, &drain(&mut session)).unwrap();
    }
    (client, session)
}

/// Sends `data` from the client.
pub(crate) fn say(client: &mut ClientConnection, data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for piece in data.chunks(1 << 14) {
        client.writer().write_all(piece).unwrap();
        bytes.extend(flight(client));
    }
    bytes
}

/// One direction's key of the forger, made with nothing of the code under test.
struct Key {
    key: LessSafeKey,
    iv: [u8; 12],
    sequence: u64,
}

impl Key {
    fn new((sequence, secrets): (u64, ConnectionTrafficSecrets)) -> Self {
        let (algorithm, key, iv) = match secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (&aead::AES_128_GCM, key, iv),
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (&aead::AES_256_GCM, key, iv),
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (&aead::CHACHA20_POLY1305, key, iv),
            _ => panic!("an unknown suite"),
        };
        let key = LessSafeKey::new(UnboundKey::new(algorithm, key.as_ref()).unwrap());
        Self { key, iv: iv.as_ref().try_into().unwrap(), sequence }
    }

    fn nonce(&mut self) -> Nonce {
        let number = u128::from(self.sequence).to_be_bytes();
        self.sequence += 1;
        Nonce::assume_unique_for_key(std::array::from_fn(|at| self.iv[at] ^ number[4 + at]))
    }
}

/// A client that has come through the handshake and seals what it likes.
pub(crate) struct Forger {
    sending: Key,
    receiving: Key,
}

impl Forger {
    pub(crate) fn connect(suite: CipherSuite) -> (Self, Session) {
        let (client, session) = connect(client_config(suite), usize::MAX);
        let secrets = client.dangerous_extract_secrets().unwrap();
        (Self { sending: Key::new(secrets.tx), receiving: Key::new(secrets.rx) }, session)
    }

    /// Seals an inner plaintext (RFC 8446, 5.2): the content, its type and padding, or whatever else.
    pub(crate) fn seal(&mut self, inner: &[u8]) -> Vec<u8> {
        let length = u16::try_from(inner.len() + 16).unwrap().to_be_bytes();
        let header = [23, 3, 3, length[0], length[1]];
        let mut sealed = inner.to_vec();
        let nonce = self.sending.nonce();
        self.sending.key.seal_in_place_append_tag(nonce, Aad::from(header), &mut sealed).unwrap();
        [&header[..], &sealed].concat()
    }

    /// Opens records: each one's content with its type behind it.
    pub(crate) fn open(&mut self, mut records: &[u8]) -> Vec<Vec<u8>> {
        let mut opened = Vec::new();
        while let Some((header, rest)) = records.split_first_chunk::<5>() {
            let (sealed, rest) = rest.split_at(usize::from(u16::from_be_bytes([header[3], header[4]])));
            records = rest;
            let mut inner = sealed.to_vec();
            let nonce = self.receiving.nonce();
            let inner = self.receiving.key.open_in_place(nonce, Aad::from(header), &mut inner).unwrap();
            opened.push(inner.to_vec());
        }
        opened
    }
}
