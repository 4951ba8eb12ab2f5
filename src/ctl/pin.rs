//! Verification of the server by the fingerprint of its public key.
//!
//! A board's certificate is self-signed, so its name and dates prove nothing, and a renewed one has others. The public
//! key in it must be the one seen before, and the server must have its private key: the signature of the handshake is
//! always verified.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use ring::digest;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, ring as provider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

use crate::wall_clock::TlsClock;

/// Certificates that a client shows, its own one first, and the private key of that.
pub(super) type OwnCertificate = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// SHA-256 of a public key, its SubjectPublicKeyInfo (RFC 5280, 4.1.2.7), or of a whole certificate.
pub(super) type Fingerprint = [u8; 32];

/// Fingerprints that the server has presented.
#[derive(Clone, Copy, Debug)]
pub(super) struct Presented {
    pub(super) key: Fingerprint,
    pub(super) certificate: Fingerprint,
}

impl Presented {
    fn of(certificate: &CertificateDer<'_>) -> Result<Self, Error> {
        let key = ParsedCertificate::try_from(certificate)?.subject_public_key_info();
        Ok(Self { key: sha256(&key), certificate: sha256(certificate) })
    }

    /// Returns true if one of the two is expected. The key is required; a fingerprint of the certificate is one of an
    /// earlier version, or of a tool that displays no other.
    pub(super) fn has(&self, expected: &Fingerprint) -> bool {
        [self.key, self.certificate].contains(expected)
    }
}

/// The two in lines of their own.
impl fmt::Display for Presented {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  public key   {}\n  certificate  {}\n", hex(&self.key), hex(&self.certificate))
    }
}

/// Verifier that accepts the server with one fingerprint, or any if none is known yet.
#[derive(Debug)]
pub(super) struct Pin {
    expected: Option<Fingerprint>,
    presented: Mutex<Option<Presented>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Pin {
    pub(super) fn new(expected: Option<Fingerprint>) -> Arc<Self> {
        let algorithms = provider::default_provider().signature_verification_algorithms;
        Arc::new(Self { expected, presented: Mutex::new(None), algorithms })
    }

    /// Fingerprints of the certificate that the server presented.
    pub(super) fn presented(&self) -> Option<Presented> {
        *self.presented.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// TLS 1.3 alone, without resumption: few commands connect twice. `own` is the certificate of this client.
    pub(super) fn config(self: &Arc<Self>, own: Option<OwnCertificate>) -> Result<ClientConfig, Error> {
        let builder =
            ClientConfig::builder_with_details(Arc::new(provider::default_provider()), Arc::new(TlsClock))
                .with_protocol_versions(&[&rustls::version::TLS13])?
                .dangerous()
                .with_custom_certificate_verifier(Arc::clone(self) as _);
        let mut config = match own {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => builder.with_client_auth_cert(chain, key)?,
        };
        config.resumption = Resumption::disabled();
        Ok(config)
    }
}

impl ServerCertVerifier for Pin {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let presented = Presented::of(end_entity)?;
        *self.presented.lock().unwrap_or_else(PoisonError::into_inner) = Some(presented);
        if self.expected.is_none_or(|expected| presented.has(&expected)) {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is not supported".to_owned()))
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

fn sha256(der: &[u8]) -> Fingerprint {
    let mut fingerprint = [0; 32];
    fingerprint.copy_from_slice(digest::digest(&digest::SHA256, der).as_ref());
    fingerprint
}

/// Parses 64 hexadecimal digits, with or without the colons that other tools put between them.
pub(super) fn parse_fingerprint(hex: &str) -> Option<Fingerprint> {
    let digits: Vec<u8> = hex.bytes().filter(|b| *b != b':').collect();
    let mut fingerprint = [0; 32];
    (base16ct::mixed::decode(digits, &mut fingerprint).ok()?.len() == fingerprint.len())
        .then_some(fingerprint)
}

/// Formats a fingerprint in hexadecimal.
pub(super) fn hex(fingerprint: &Fingerprint) -> String {
    base16ct::lower::encode_string(fingerprint)
}
