//! TLS: the one module that knows how rustls is set up.
//!
//! TLS 1.3 with ring, no tickets, no early data, no session storage: nothing of a connection is
//! kept after it, and nothing in it can be replayed.

mod buffers;
mod failure;
mod handshake;
mod record;
mod session;
mod traffic;

use core::fmt;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig, SupportedCipherSuite, version};

pub(super) use buffers::Buffers;
pub(super) use failure::TlsFailure;
pub(super) use session::Session;

/// Why a certificate, a key or an authority cannot be used.
#[derive(Debug)]
pub enum TlsError {
    /// The certificate file has none, or a broken one.
    Certificate(String),
    /// The key file has none, or a broken one.
    Key(String),
    /// The file of the clients' authority has no certificate, or a broken one.
    ClientAuthority(String),
    /// They do not go together.
    Mismatch(String),
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate(why) => write!(f, "no usable certificate (PEM) in it: {why}"),
            Self::Key(why) => write!(f, "no usable private key (PEM) in it: {why}"),
            Self::ClientAuthority(why) => write!(f, "no usable certificate (PEM) in it: {why}"),
            Self::Mismatch(why) => write!(f, "certificate and key do not go together: {why}"),
        }
    }
}

impl std::error::Error for TlsError {}

/// Sets up the server's side from the texts of PEM files. With `client_authority`, clients must
/// show a certificate of one of its authorities.
pub fn server_config(
    certificate: &[u8],
    key: &[u8],
    client_authority: Option<&[u8]>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(provider());
    let chain = certificates(certificate).map_err(TlsError::Certificate)?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| TlsError::Key(error.to_string()))?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&version::TLS13])
        .map_err(|error| TlsError::Mismatch(error.to_string()))?;
    let builder = match client_authority {
        None => builder.with_no_client_auth(),
        Some(pem) => {
            let mut roots = RootCertStore::empty();
            for root in certificates(pem).map_err(TlsError::ClientAuthority)? {
                roots.add(root).map_err(|error| TlsError::ClientAuthority(error.to_string()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .map_err(|error| TlsError::ClientAuthority(error.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config =
        builder.with_single_cert(chain, key).map_err(|error| TlsError::Mismatch(error.to_string()))?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    // The keys come to `traffic` when the handshake is done, and go nowhere else.
    config.enable_secret_extraction = true;
    Ok(Arc::new(config))
}

/// ring, without the suites of TLS 1.2.
fn provider() -> CryptoProvider {
    let mut provider = ring::default_provider();
    provider.cipher_suites.retain(|suite| matches!(suite, SupportedCipherSuite::Tls13(_)));
    provider
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| error.to_string())?;
    if chain.is_empty() { Err("there is none".to_owned()) } else { Ok(chain) }
}
