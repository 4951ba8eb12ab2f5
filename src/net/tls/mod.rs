//! TLS 1.3. rustls does the handshake, and only this module uses it. After the handshake our own record layer
//! opens and seals records in place (docs/decisions/0012). Padding is not limited, messages are, and each refusal is
//! an alert.
//!
//! The cryptography is that of ring. It has no tickets, no early data and no session storage, so nothing
//! remains of a connection after its end, and nothing in it can be replayed.

mod buffers;
mod client;
mod client_certificate;
mod failure;
mod handshake;
mod names;
mod record;
mod record_layer;
mod self_signed;
mod session;
mod suites;
mod validity;

use core::fmt;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{Error, InconsistentKeys, RootCertStore, ServerConfig, version};

use self::client_certificate::ClientVerifier;
use crate::wall_clock::TlsClock;

pub use buffers::Buffers;
pub use client::{Client, Trust, client_config, refusal_text};
pub use failure::TlsFailure;
pub use names::Names;
pub use self_signed::{SelfSigned, is_self_made};
pub use session::Session;
pub use validity::{public_key, validity};

crate::limits::limits! {
    /// Incoming buffer of one TLS connection: the largest record of RFC 8446, 5.2.
    TLS_RECORD_BYTES: usize = 5 + 16 * 1024 + 256, exceeded "the connection ends with an alert",
        tests ["record_meets_the_limit_of_the_buffer_and_not_more"];
    /// Outgoing buffer of one TLS connection: four pages, which four times filled hold the longest frame.
    TLS_SEND_BYTES: usize = 16 * 1024, exceeded "data waits",
        tests ["output_is_full_at_its_limit_and_accepts_more_when_empty"];
    /// Certificates of the server and names of the clients' authorities in a handshake; the rest of it
    /// takes less than the rest of the outgoing buffer.
    TLS_CHAIN_BYTES: usize = TLS_SEND_BYTES - 2048, exceeded "the server does not start",
        tests ["chain_meets_its_limit_and_not_more"];
    /// Addresses in the certificate that the server makes: the present ones first, then those that it had before.
    CERTIFICATE_ADDRESSES: usize = 12, exceeded "the others are left out",
        tests ["addresses_up_to_their_limit_are_names"];
    /// Names of a certificate, each with two bytes more.
    CERTIFICATE_NAMES_BYTES: usize = 512, exceeded "the rest is left out",
        tests ["names_up_to_their_limit_have_room"];
    /// Message of a client's handshake, without the padding of a record; in several records, their length.
    /// Browsers send 2 KiB, and rustls needs many times that to read one.
    TLS_HANDSHAKE_BYTES: usize = 8 * 1024, exceeded "the connection ends with an alert",
        tests [
            "handshake_message_meets_its_limit_and_not_more",
            "padding_of_a_handshake_message_does_not_count"
        ];
    /// Certificates that a client shows, its own one included. With an authority, its name is a limit, too.
    TLS_CLIENT_CERTIFICATES: usize = 8, exceeded "the connection ends with an alert",
        tests ["certificates_of_a_client_up_to_their_limit"];
    /// Early data of a client, which are not accepted: its sealed records are skipped (RFC 8446, 4.2.10).
    TLS_EARLY_DATA_BYTES: u32 = 32 * 1024, exceeded "the connection ends with an alert",
        tests ["early_data_are_skipped_up_to_their_limit_and_not_more"];
    /// Data of a client that are sealed and not written yet; a client seals the next ones after these.
    TLS_CLIENT_QUEUE_BYTES: usize = 4096, exceeded "the connection has failed",
        tests ["client_seals_up_to_its_limit"];
    /// Consecutive TLS records without data: empty ones, key updates, warnings.
    TLS_IDLE_RECORDS: u8 = 32, exceeded "the connection ends with an alert",
        tests ["records_without_data_meet_their_limit_and_not_more"];
}

/// Worst-case heap of one TLS connection: the state of rustls during a handshake, or the keys after it.
pub const TLS_HEAP_BYTES: usize = 5 * 1024;
/// Certificates of a client, which rustls keeps with the connection.
pub const TLS_CLIENT_CHAIN_BYTES: usize =
    TLS_HANDSHAKE_BYTES + 2 * TLS_CLIENT_CERTIFICATES * size_of::<CertificateDer<'_>>();
/// Further heap of rustls where clients need a certificate of an authority: the messages of both sides, in a vector that
/// doubles, and the certificates.
pub const TLS_CLIENT_HEAP_BYTES: usize = 2 * (2 * TLS_HANDSHAKE_BYTES + TLS_SEND_BYTES) + TLS_HANDSHAKE_BYTES;
/// Worst-case heap of the client's connection: two records received and one sent, the messages of a handshake in a vector that
/// doubles, and the certificates of the server.
pub const TLS_CLIENT_BYTES: usize =
    2 * TLS_RECORD_BYTES + 2 * TLS_CLIENT_QUEUE_BYTES + 2 * u16::MAX as usize + TLS_HANDSHAKE_BYTES;
/// Heap of rustls while it reads a message of a handshake and answers it, of one connection at a time.
/// Worst are names of one letter: two bytes sent, a vector of three words and a block of four held.
pub const TLS_PARSE_BYTES: usize = TLS_HANDSHAKE_BYTES / 2 * 7 * size_of::<usize>();

const _: () = assert!(
    TLS_HANDSHAKE_BYTES < TLS_RECORD_BYTES && TLS_CHAIN_BYTES + 2048 <= TLS_SEND_BYTES,
    "a handshake has to fit the buffers of TLS, either way"
);

/// Error of a certificate, a key or an authority.
#[derive(Debug)]
pub enum TlsError {
    /// The certificate file has no certificate, or a broken one.
    Certificate(String),
    /// The key file has no key, or a broken one.
    Key(String),
    /// The file of the clients' authority has no certificate, or a broken one.
    ClientAuthority(String),
    /// The key is of a kind that the server cannot sign with.
    KeyKind(String),
    /// The key is not that of the certificate.
    Mismatch,
    /// No protocol version or suite.
    Protocol(String),
    /// Certificates and names of authorities, of this many bytes, do not fit the buffer of the handshake.
    TooLong(usize),
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate(why) => write!(f, "no usable certificate (PEM) in it: {why}"),
            Self::Key(why) => write!(f, "no usable private key (PEM) in it: {why}"),
            Self::ClientAuthority(why) => write!(f, "no usable certificate (PEM) in it: {why}"),
            Self::KeyKind(why) => write!(
                f,
                "a private key that cannot be used: {why}; P-256, P-384, Ed25519, and RSA of 2048 to 4096 bits can"
            ),
            Self::Mismatch => {
                f.write_str("certificate and key do not go together: the key is that of another one")
            }
            Self::Protocol(why) => write!(f, "TLS cannot be used: {why}"),
            Self::TooLong(bytes) => write!(
                f,
                "certificates and names of authorities take {bytes} bytes of a handshake; at most \
                 {TLS_CHAIN_BYTES} can be shown"
            ),
        }
    }
}

impl std::error::Error for TlsError {}

/// Creates the configuration of the server from the contents of PEM files. With `client_authority`, clients
/// must present a certificate of one of its authorities; without it, they may present any, in a session that asks for it.
pub fn server_config(
    certificate: &[u8],
    key: &[u8],
    client_authority: Option<&[u8]>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(provider(has_aes()));
    let chain = certificates(certificate).map_err(TlsError::Certificate)?;
    let mut shown: usize = chain.iter().map(|certificate| certificate.len()).sum();
    let has_password = key.windows(ENCRYPTED.len()).any(|part| part == ENCRYPTED);
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| {
        TlsError::Key(if has_password { "it has a password".to_owned() } else { error.to_string() })
    })?;
    let signer = provider.key_provider.load_private_key(key);
    let signer = signer.map_err(|error| match error {
        Error::General(why) => TlsError::KeyKind(why),
        other => TlsError::KeyKind(other.to_string()),
    })?;
    let builder = ServerConfig::builder_with_details(Arc::clone(&provider), Arc::new(TlsClock))
        .with_protocol_versions(&[&version::TLS13])
        .map_err(|error| TlsError::Protocol(error.to_string()))?;
    let mut roots = None;
    if let Some(pem) = client_authority {
        let roots = roots.insert(RootCertStore::empty());
        for root in certificates(pem).map_err(TlsError::ClientAuthority)? {
            roots.add(root).map_err(|error| TlsError::ClientAuthority(error.to_string()))?;
        }
    }
    let verifier = ClientVerifier::new(roots, provider.signature_verification_algorithms);
    shown += verifier.shown();
    let builder = builder.with_client_cert_verifier(Arc::new(verifier));
    if shown > TLS_CHAIN_BYTES {
        return Err(TlsError::TooLong(shown));
    }
    let certified = CertifiedKey::new(chain, signer);
    match certified.keys_match() {
        // Of a key that does not reveal its public half.
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
        Err(Error::InconsistentKeys(_)) => return Err(TlsError::Mismatch),
        Err(_) => {
            return Err(TlsError::Certificate("it is broken, or not one of X.509 version 3".to_owned()));
        }
    }
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    // Without a session to resume, none are accepted.
    config.max_early_data_size = TLS_EARLY_DATA_BYTES;
    // Only the record layer gets the keys, at the end of the handshake.
    config.enable_secret_extraction = true;
    config.ignore_client_order = true;
    Ok(Arc::new(config))
}

/// Word in the PEM file of a private key with a password, in its title or below (RFC 1421, 4.6.1.1).
const ENCRYPTED: &[u8] = b"ENCRYPTED";

/// Returns the TLS 1.3 suites of ring in the order of their cost here, which overrides the client's order.
/// With AES instructions, AES with SHA-256 is the cheapest: SHA-384 adds a fifth to a handshake. Without
/// them, ChaCha20 is several times as fast.
fn provider(has_aes: bool) -> CryptoProvider {
    let (aes, chacha) = (suites::AES_128, suites::CHACHA20);
    let [first, second] = if has_aes { [aes, chacha] } else { [chacha, aes] };
    let cipher_suites = vec![first, second, suites::AES_256];
    CryptoProvider { cipher_suites, ..ring::default_provider() }
}

/// Returns true if ring uses AES instructions here. On 32-bit ARM few processors have them, and the standard
/// library does not report which.
fn has_aes() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("aes") && is_x86_feature_detected!("pclmulqdq");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("aes")
        && std::arch::is_aarch64_feature_detected!("pmull");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    false
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| error.to_string())?;
    if chain.is_empty() { Err("there is none".to_owned()) } else { Ok(chain) }
}

#[cfg(test)]
mod tests;
