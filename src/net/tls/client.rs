//! Client of another server: of the log server alone. It verifies the server by the key in its certificate, or by an
//! authority.
//!
//! rustls does the records, too, because few are sent: its buffered connection allocates them. What it holds is bounded by
//! [`TLS_CLIENT_QUEUE_BYTES`] and by the longest handshake.

use core::fmt;
use std::io::{self, Read, Write};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, PeerIncompatible,
    RootCertStore, SignatureScheme, version,
};
use webpki::KeyUsage;

use super::client_certificate::{key_of, verify_chain};
use super::{TLS_CLIENT_QUEUE_BYTES, TlsError, certificates, has_aes, provider};
use crate::wall_clock::TlsClock;

/// Proof that a server has to give.
#[derive(Clone, Copy, Debug)]
pub enum Trust<'t> {
    /// Its certificate has the public key with this SHA-256.
    Key([u8; 32]),
    /// Its certificate is of an authority of this PEM file, and has the name that the client expects.
    Authority(&'t [u8]),
}

#[derive(Debug)]
struct ServerVerifier {
    key: Option<[u8; 32]>,
    roots: RootCertStore,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(key) = &self.key {
            let is_it = key_of(end_entity).as_ref() == Some(key);
            let refused = CertificateError::ApplicationVerificationFailure;
            return if is_it { Ok(ServerCertVerified::assertion()) } else { Err(refused.into()) };
        }
        let (roots, usage, name) = (&self.roots, KeyUsage::server_auth(), Some(server_name));
        verify_chain(end_entity, intermediates, roots, now, usage, self.algorithms, name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::ServerDoesNotSupportTls12Or13.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Creates the configuration of a client that accepts the servers with this proof.
pub fn client_config(trust: Trust<'_>) -> Result<Arc<ClientConfig>, TlsError> {
    let provider = Arc::new(provider(has_aes()));
    let (mut key, mut roots) = (None, RootCertStore::empty());
    match trust {
        Trust::Key(hash) => key = Some(hash),
        Trust::Authority(pem) => {
            for root in certificates(pem).map_err(TlsError::ClientAuthority)? {
                roots.add(root).map_err(|error| TlsError::ClientAuthority(error.to_string()))?;
            }
        }
    }
    let algorithms = provider.signature_verification_algorithms;
    let builder = ClientConfig::builder_with_details(provider, Arc::new(TlsClock))
        .with_protocol_versions(&[&version::TLS13])
        .map_err(|error| TlsError::Protocol(error.to_string()))?;
    let verifier = Arc::new(ServerVerifier { key, roots, algorithms });
    let mut config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// Text about a certificate that was refused, with its correction.
pub fn refusal_text(error: &io::Error) -> Option<&'static str> {
    let Error::InvalidCertificate(error) = error.get_ref()?.downcast_ref()? else { return None };
    match error {
        CertificateError::ApplicationVerificationFailure => {
            Some("it has another public key than that of fingerprint")
        }
        CertificateError::UnknownIssuer => Some("its certificate is not of an authority in ca"),
        CertificateError::NotValidForName => {
            Some("its certificate has neither server_name nor, without that key, the address")
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            Some("its certificate has expired, or the clock of this board is wrong")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            Some("its certificate is not valid yet, or the clock of this board is wrong")
        }
        // That of `openssl req -x509`.
        CertificateError::Other(_) => {
            Some("its certificate is that of an authority itself; set fingerprint in place of ca")
        }
        _ => None,
    }
}

/// Session with a server that sends nothing but TLS.
pub struct Client(ClientConnection);

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

impl Client {
    /// Begins a session with the server that has this name or address in its certificate.
    pub fn new(config: &Arc<ClientConfig>, name: String) -> Result<Self, Error> {
        let name = ServerName::try_from(name).map_err(|_| CertificateError::NotValidForName)?;
        let mut connection = ClientConnection::new(Arc::clone(config), name)?;
        connection.set_buffer_limit(Some(TLS_CLIENT_QUEUE_BYTES));
        Ok(Self(connection))
    }

    /// Returns true until the handshake is done.
    pub fn is_handshaking(&self) -> bool {
        self.0.is_handshaking()
    }

    /// Returns true while there are bytes for the socket.
    pub fn has_pending(&self) -> bool {
        self.0.wants_write()
    }

    /// Seals data, while nothing is pending.
    ///
    /// # Errors
    /// The data have no room.
    pub fn seal(&mut self, data: &[u8]) -> io::Result<()> {
        self.0.writer().write_all(data)
    }

    /// Writes pending bytes to the socket, once.
    ///
    /// # Errors
    /// Errors of the socket.
    pub fn write_to(&mut self, socket: &mut dyn Write) -> io::Result<usize> {
        self.0.write_tls(&mut &mut *socket)
    }

    /// Reads from the socket once, and processes what it has.
    ///
    /// # Errors
    /// Errors of the socket and of TLS; and the server has closed the connection, or sent data.
    pub fn read_from(&mut self, socket: &mut dyn Read) -> io::Result<()> {
        if self.0.read_tls(&mut &mut *socket)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let state = self
            .0
            .process_new_packets()
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        if state.plaintext_bytes_to_read() > 0 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if state.peer_has_closed() { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }

    /// Sends close_notify.
    pub fn close(&mut self) {
        self.0.send_close_notify();
    }
}
