//! Verification of the server's certificate by its fingerprint.
//!
//! A board's certificate is self-signed, so its name and dates prove nothing. It must be the one seen
//! before, and the server must have its key: the signature of the handshake is always verified.

use std::sync::{Arc, Mutex, PoisonError};

use ring::digest;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, ring as provider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

use crate::wall_clock::TlsClock;

/// Certificates that a client shows, its own one first, and the private key of that.
pub(super) type OwnCertificate = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// SHA-256 of a certificate.
pub(super) type Fingerprint = [u8; 32];

/// Verifier that accepts the certificate with one fingerprint, or any if none is known yet.
#[derive(Debug)]
pub(super) struct Pin {
    expected: Option<Fingerprint>,
    presented: Mutex<Option<Fingerprint>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Pin {
    pub(super) fn new(expected: Option<Fingerprint>) -> Arc<Self> {
        let algorithms = provider::default_provider().signature_verification_algorithms;
        Arc::new(Self { expected, presented: Mutex::new(None), algorithms })
    }

    /// Fingerprint of the certificate that the server presented.
    pub(super) fn presented(&self) -> Option<Fingerprint> {
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
        let presented = fingerprint(end_entity);
        *self.presented.lock().unwrap_or_else(PoisonError::into_inner) = Some(presented);
        if self.expected.is_none_or(|expected| expected == presented) {
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

fn fingerprint(certificate: &CertificateDer<'_>) -> Fingerprint {
    let mut fingerprint = [0; 32];
    fingerprint.copy_from_slice(digest::digest(&digest::SHA256, certificate).as_ref());
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
