//! Verification of clients' certificates: those of an authority, or without one any whose key has signed the handshake.
//! The server decides which user a key belongs to
//! ([`Endpoint::handle_client_key`](crate::net::Endpoint::handle_client_key)).

use core::cell::Cell;
use std::sync::Arc;

use ring::digest;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, ExtendedKeyPurpose, OtherError,
    PeerIncompatible, RootCertStore, SignatureScheme,
};
use webpki::{EndEntityCert, KeyUsage};

use super::TLS_CLIENT_CERTIFICATES;
use super::validity::public_key;

thread_local! {
    /// The client of the handshake that this thread processes is asked for a certificate. rustls asks the
    /// verifier, which all connections share.
    static IS_ASKED: Cell<bool> = const { Cell::new(false) };
}

/// Sets whether the client is asked in the handshake that is processed next. With an authority, each one is.
pub(super) fn ask(is_asked: bool) {
    IS_ASKED.set(is_asked);
}

/// SHA-256 of the public key of a certificate that rustls has read, its SubjectPublicKeyInfo.
pub(super) fn key_of(certificate: &CertificateDer<'_>) -> Option<[u8; 32]> {
    digest::digest(&digest::SHA256, public_key(certificate)?).as_ref().try_into().ok()
}

/// Verifier of clients. It is that of rustls without revocation lists, whose parser rustls would bring even where there
/// are none.
#[derive(Debug)]
pub(super) struct ClientVerifier {
    /// Authorities, of one of which a client must show a certificate. `None`: it may show any, or none.
    roots: Option<RootCertStore>,
    names: Vec<DistinguishedName>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientVerifier {
    pub(super) fn new(roots: Option<RootCertStore>, algorithms: WebPkiSupportedAlgorithms) -> Self {
        let names = roots.as_ref().map(RootCertStore::subjects).unwrap_or_default();
        Self { roots, names, algorithms }
    }

    /// Bytes of the authorities' names, which the server shows in a handshake.
    pub(super) fn shown(&self) -> usize {
        self.names.iter().map(|name| name.as_ref().len()).sum()
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn offer_client_auth(&self) -> bool {
        self.roots.is_some() || IS_ASKED.get()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.roots.is_some()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.names
    }

    /// Without an authority, names and dates of a certificate prove nothing. The connection holds all of them.
    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if intermediates.len() >= TLS_CLIENT_CERTIFICATES {
            return Err(CertificateError::BadEncoding.into());
        }
        if let Some(roots) = &self.roots {
            let usage = KeyUsage::client_auth();
            verify_chain(end_entity, intermediates, roots, now, usage, self.algorithms, None)?;
        }
        Ok(ClientCertVerified::assertion())
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

/// Verifies that a certificate is of an authority, and has a name if one is given.
#[inline(never)]
pub(super) fn verify_chain(
    end_entity: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    roots: &RootCertStore,
    now: UnixTime,
    usage: KeyUsage,
    algorithms: WebPkiSupportedAlgorithms,
    name: Option<&ServerName<'_>>,
) -> Result<(), Error> {
    let verify = || {
        let certificate = EndEntityCert::try_from(end_entity)?;
        certificate.verify_for_usage(algorithms.all, &roots.roots, intermediates, now, usage, None, None)?;
        name.map_or(Ok(()), |name| certificate.verify_is_valid_for_subject_name(name))
    };
    verify().map_err(refusal)
}

/// Error of rustls, which has an alert for each.
fn refusal(error: webpki::Error) -> Error {
    use webpki::Error as Why;
    let error = match error {
        Why::BadDer | Why::BadDerTime | Why::TrailingData(_) => CertificateError::BadEncoding,
        Why::CertNotValidYet { time, not_before } => {
            CertificateError::NotValidYetContext { time, not_before }
        }
        Why::CertExpired { time, not_after } => CertificateError::ExpiredContext { time, not_after },
        Why::InvalidCertValidity => CertificateError::Expired,
        Why::UnknownIssuer => CertificateError::UnknownIssuer,
        Why::CertNotValidForName(_) => CertificateError::NotValidForName,
        Why::InvalidSignatureForPublicKey => CertificateError::BadSignature,
        Why::RequiredEkuNotFoundContext(context) => CertificateError::InvalidPurposeContext {
            required: ExtendedKeyPurpose::ClientAuth,
            presented: context.present.into_iter().map(purpose).collect(),
        },
        other => CertificateError::Other(OtherError(Arc::new(other))),
    };
    error.into()
}

/// Purpose of a certificate by the numbers of its identifier.
fn purpose(numbers: Vec<usize>) -> ExtendedKeyPurpose {
    match numbers.as_slice() {
        KeyUsage::CLIENT_AUTH_REPR => ExtendedKeyPurpose::ClientAuth,
        KeyUsage::SERVER_AUTH_REPR => ExtendedKeyPurpose::ServerAuth,
        _ => ExtendedKeyPurpose::Other(numbers),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{
        BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    };
    use rustls::crypto::ring;

    use super::*;

    /// Answer of the verifier of one authority to a certificate of an authority with `name`, for `purpose`.
    fn verify(name: &str, purpose: ExtendedKeyUsagePurpose, now_s: u64) -> Result<(), String> {
        let authority = |name: &str| {
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.distinguished_name.push(DnType::CommonName, name);
            (params, KeyPair::generate().unwrap())
        };
        let (params, key) = authority("ours");
        let mut roots = RootCertStore::empty();
        roots.add(params.self_signed(&key).unwrap().der().clone()).unwrap();
        let issuer = if name == "ours" { (params, key) } else { authority(name) };
        let mut params = CertificateParams::new(["client".to_owned()]).unwrap();
        params.extended_key_usages.push(purpose);
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2030, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &Issuer::new(issuer.0, issuer.1)).unwrap();
        let algorithms = ring::default_provider().signature_verification_algorithms;
        let now = UnixTime::since_unix_epoch(Duration::from_secs(now_s));
        let verified =
            ClientVerifier::new(Some(roots), algorithms).verify_client_cert(certificate.der(), &[], now);
        verified.map(drop).map_err(|error| error.to_string())
    }

    #[test]
    fn certificate_that_cannot_be_used_has_its_reason() {
        use ExtendedKeyUsagePurpose::{ClientAuth, CodeSigning, ServerAuth};
        const IN_2026: u64 = 1_780_000_000;
        assert_eq!(verify("ours", ClientAuth, IN_2026), Ok(()));
        for (name, purpose, now_s, reason) in [
            ("another", ClientAuth, IN_2026, "UnknownIssuer"),
            ("ours", ServerAuth, IN_2026, "for client authentication, allows server authentication"),
            ("ours", CodeSigning, IN_2026, "allows 1, 3, 6, 1, 5, 5, 7, 3, 3"),
            ("ours", ClientAuth, 1_500_000_000, "not valid yet"),
            ("ours", ClientAuth, 1_900_000_000, "expired"),
        ] {
            let refused = verify(name, purpose, now_s).unwrap_err();
            assert!(refused.contains(reason), "{reason}: {refused}");
        }
    }
}
