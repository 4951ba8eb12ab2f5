//! The suites of ring, with a limit to what a client's record of the handshake may hold.
//!
//! rustls parses a message of a handshake as soon as its record is opened, and needs many times its length
//! for that. The length without the padding is known only here, in between.

use rustls::crypto::CipherSuiteCommon;
use rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, InboundPlainMessage, Iv, MessageDecrypter, MessageEncrypter,
    Tls13AeadAlgorithm, UnsupportedOperationError,
};
use rustls::crypto::ring::cipher_suite::{
    TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256,
};
use rustls::{
    ConnectionTrafficSecrets, ContentType, Error, InvalidMessage, PeerMisbehaved, SupportedCipherSuite,
    Tls13CipherSuite,
};

use super::TLS_HANDSHAKE_BYTES;
use super::record::{APPLICATION_DATA, CONTENT_BYTES, HEADER_BYTES, OVERHEAD_BYTES};

pub(super) const AES_128: SupportedCipherSuite = {
    static AEAD: Limited = Limited(suite(&TLS13_AES_128_GCM_SHA256).aead_alg);
    static SUITE: Tls13CipherSuite = limited(suite(&TLS13_AES_128_GCM_SHA256), &AEAD);
    SupportedCipherSuite::Tls13(&SUITE)
};
pub(super) const AES_256: SupportedCipherSuite = {
    static AEAD: Limited = Limited(suite(&TLS13_AES_256_GCM_SHA384).aead_alg);
    static SUITE: Tls13CipherSuite = limited(suite(&TLS13_AES_256_GCM_SHA384), &AEAD);
    SupportedCipherSuite::Tls13(&SUITE)
};
pub(super) const CHACHA20: SupportedCipherSuite = {
    static AEAD: Limited = Limited(suite(&TLS13_CHACHA20_POLY1305_SHA256).aead_alg);
    static SUITE: Tls13CipherSuite = limited(suite(&TLS13_CHACHA20_POLY1305_SHA256), &AEAD);
    SupportedCipherSuite::Tls13(&SUITE)
};

const fn suite(suite: &SupportedCipherSuite) -> &'static Tls13CipherSuite {
    match suite.tls13() {
        Some(suite) => suite,
        None => panic!("a suite of TLS 1.3"),
    }
}

const fn limited(suite: &'static Tls13CipherSuite, aead: &'static Limited) -> Tls13CipherSuite {
    let common = &suite.common;
    Tls13CipherSuite {
        common: CipherSuiteCommon {
            suite: common.suite,
            hash_provider: common.hash_provider,
            confidentiality_limit: common.confidentiality_limit,
        },
        hkdf_provider: suite.hkdf_provider,
        aead_alg: aead,
        quic: None,
    }
}

struct Limited(&'static dyn Tls13AeadAlgorithm);

impl Tls13AeadAlgorithm for Limited {
    fn encrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageEncrypter> {
        self.0.encrypter(key, iv)
    }

    fn decrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageDecrypter> {
        Box::new(Opener(self.0.decrypter(key, iv)))
    }

    fn key_len(&self) -> usize {
        self.0.key_len()
    }

    fn extract_keys(
        &self,
        key: AeadKey,
        iv: Iv,
    ) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        self.0.extract_keys(key, iv)
    }
}

/// Opens the records of a client's handshake, in place.
struct Opener(Box<dyn MessageDecrypter>);

impl MessageDecrypter for Opener {
    /// Erases what cannot be opened: see [`is_erased`]. Errors are those for which rustls has the alert.
    fn decrypt<'a>(
        &mut self,
        mut record: InboundOpaqueMessage<'a>,
        sequence: u64,
    ) -> Result<InboundPlainMessage<'a>, Error> {
        let unexpected = PeerMisbehaved::IllegalMiddleboxChangeCipherSpec.into();
        if record.typ != ContentType::ApplicationData {
            return Err(unexpected);
        }
        let sealed = &mut *record.payload;
        if sealed.len() > CONTENT_BYTES + OVERHEAD_BYTES - HEADER_BYTES {
            return Err(Error::PeerSentOversizedRecord);
        }
        let sealed = InboundOpaqueMessage::new(record.typ, record.version, sealed);
        let opened = self.0.decrypt(sealed, sequence);
        match opened.map(|content| (content.typ, content.version, content.payload.len())) {
            Ok((ContentType::Handshake, _, length)) if length > TLS_HANDSHAKE_BYTES => {
                Err(InvalidMessage::HandshakePayloadTooLarge.into())
            }
            Ok((kind, version, length)) => {
                (record.typ, record.version) = (kind, version);
                Ok(record.into_plain_message_range(0..length))
            }
            // No type of content, for one.
            Err(Error::PeerMisbehaved(_)) => Err(unexpected),
            Err(error) => {
                record.payload.fill(0);
                Err(error)
            }
        }
    }
}

/// Returns true for a record that could not be opened. One that was opened has at least its type of content,
/// which is not zero.
pub(super) fn is_erased(record: &[u8]) -> bool {
    record.first() == Some(&APPLICATION_DATA) && record.iter().skip(HEADER_BYTES).all(|byte| *byte == 0)
}
