//! A self-signed certificate (RFC 5280) with a P-256 key, in DER (X.690) as PEM (RFC 7468).

use base64::prelude::{BASE64_STANDARD as BASE64, Engine as _};
use ring::digest::{SHA256, digest};
use ring::error::Unspecified;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};

use super::Names;
use super::validity::{SUBJECT_ALT_NAME, serial, value};

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const SEQUENCE: u8 = 0x30;
/// `[3]`, the extensions.
const EXTENSIONS: u8 = 0xa3;

/// `[0]` with version 3.
const VERSION: &[u8] = b"\xa0\x03\x02\x01\x02";
/// ecdsa-with-SHA256.
const ALGORITHM: &[u8] = b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02";
/// CN=friendlet.
const NAME: &[u8] = b"\x30\x14\x31\x12\x30\x10\x06\x03\x55\x04\x03\x0c\x09friendlet";
/// Any time that the clock of a board may have: from 1970 to the date of no well-defined expiration (RFC 5280, 4.1.2.5).
const VALIDITY: &[u8] = b"\x30\x20\x17\x0d700101000000Z\x18\x0f99991231000000Z";
/// SubjectPublicKeyInfo of an uncompressed point of P-256, which follows.
const PUBLIC_KEY: &[u8] =
    b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00";
/// keyUsage, critical: digitalSignature. extKeyUsage: serverAuth.
const USAGES: &[u8] = b"\x30\x0e\x06\x03\x55\x1d\x0f\x01\x01\xff\x04\x04\x03\x02\x07\x80\
    \x30\x13\x06\x03\x55\x1d\x25\x04\x0c\x30\x0a\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x01";

/// Certificate and private key (PKCS #8) in PEM.
#[derive(Debug)]
pub struct SelfSigned {
    /// The certificate.
    pub certificate: String,
    /// Its private key.
    pub key: String,
}

impl SelfSigned {
    /// Makes a key, and a certificate with these names. Fails if the system has no random bytes.
    pub fn new(names: &Names) -> Result<Self, Unspecified> {
        let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new())?;
        Self::with_key(key.as_ref(), names)
    }

    /// Makes a certificate for a key (PKCS #8). Fails also if it is none of P-256.
    pub fn with_key(document: &[u8], names: &Names) -> Result<Self, Unspecified> {
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, document, &random)
            .map_err(|_| Unspecified)?;
        let content = content(key.public_key().as_ref(), names);
        let signature = key.sign(&random, &content)?;
        let signature = element(BIT_STRING, &[&[0], signature.as_ref()]);
        let certificate = element(SEQUENCE, &[&content, ALGORITHM, &signature]);
        Ok(Self { certificate: pem("CERTIFICATE", &certificate), key: pem("PRIVATE KEY", document) })
    }
}

/// Returns true for a certificate of this or an earlier version: issued to and by its name, with a serial number of its key.
/// Those have other dates and another order of names.
pub fn is_self_made(certificate: &[u8]) -> bool {
    let key_of = |rest: &[u8]| -> Option<[u8; 65]> {
        let (_dates, rest) = value(rest.strip_prefix(ALGORITHM)?.strip_prefix(NAME)?, SEQUENCE)?;
        rest.strip_prefix(NAME)?.strip_prefix(PUBLIC_KEY)?.first_chunk().copied()
    };
    serial(certificate).is_some_and(|(serial, rest)| {
        key_of(rest).is_some_and(|key| {
            // The first bytes are changed, or left out where they are zeros.
            let digest = digest(&SHA256, &key);
            digest.as_ref().get(4..20).is_some_and(|expected| serial.ends_with(expected))
        })
    })
}

/// The part of the certificate that is signed.
fn content(public_key: &[u8], names: &Names) -> Vec<u8> {
    let digest = digest(&SHA256, public_key);
    // RFC 5280, 4.1.2.2: positive, and at most 20 bytes.
    let mut serial = digest.as_ref().to_vec();
    serial.truncate(20);
    if let Some(first) = serial.first_mut() {
        *first = *first & 0x7f | 0x40;
    }
    let names = element(OCTET_STRING, &[&element(SEQUENCE, &[names.der()])]);
    let names = element(SEQUENCE, &[SUBJECT_ALT_NAME, &names]);
    let extensions = element(EXTENSIONS, &[&element(SEQUENCE, &[&names, USAGES])]);
    let serial = element(INTEGER, &[&serial]);
    element(
        SEQUENCE,
        &[VERSION, &serial, ALGORITHM, NAME, VALIDITY, NAME, PUBLIC_KEY, public_key, &extensions],
    )
}

/// An element of DER with these parts as its content, of up to 65,535 bytes.
fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let [high, low] = (content.len() as u16).to_be_bytes();
    let mut element = vec![tag];
    match content.len() {
        0..0x80 => {}
        0x80..0x100 => element.push(0x81),
        _ => element.extend([0x82, high]),
    }
    element.push(low);
    element.extend(content);
    element
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = BASE64.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, next) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = next;
    }
    pem + &format!("-----END {label}-----\n")
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use rcgen::{
        CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, PublicKeyData as _,
        SanType,
    };
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;

    use super::*;

    /// Certificate of rcgen with the same key and names, in DER.
    fn of_rcgen(key: &str, hosts: &[&str], addresses: &[IpAddr]) -> Vec<u8> {
        let key = KeyPair::from_pem(key).unwrap();
        let mut params = params(hosts, addresses);
        let mut serial = digest(&SHA256, key.der_bytes()).as_ref()[..20].to_vec();
        serial[0] = serial[0] & 0x7f | 0x40;
        params.serial_number = Some(serial.into());
        params.self_signed(&key).unwrap().der().to_vec()
    }

    /// The same without a serial number, as that of an earlier version.
    fn params(hosts: &[&str], addresses: &[IpAddr]) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "friendlet");
        let hosts = hosts.iter().map(|host| SanType::DnsName((*host).try_into().unwrap()));
        params.subject_alt_names = hosts.collect::<Vec<_>>();
        params.subject_alt_names.extend(addresses.iter().map(|address| SanType::IpAddress(*address)));
        params.not_before = rcgen::date_time_ymd(1970, 1, 1);
        params.not_after = rcgen::date_time_ymd(9999, 12, 31);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params
    }

    fn made(hosts: &[&str], addresses: &[IpAddr]) -> SelfSigned {
        let mut names = Names::default();
        hosts.iter().for_each(|host| names.add_host(host));
        addresses.iter().for_each(|address| names.add_address(*address));
        SelfSigned::new(&names).unwrap()
    }

    fn der(made: &SelfSigned) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(made.certificate.as_bytes()).unwrap()
    }

    #[test]
    fn certificate_is_that_of_rcgen_but_for_its_signature() {
        let addresses = ["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()];
        let long = ["a", "b", "c", "d"].map(|letter| letter.repeat(63));
        let long = long.each_ref().map(String::as_str);
        for hosts in [&["localhost"][..], &[], &["localhost", "board.example"], &long] {
            let made = made(hosts, &addresses);
            let der = der(&made);
            let expected = of_rcgen(&made.key, hosts, &addresses);
            // The outer sequence has two bytes of length here, and the signature one of several lengths.
            let signed = usize::from(u16::from_be_bytes([expected[6], expected[7]])) + 4;
            assert_eq!(der[4..4 + signed + ALGORITHM.len()], expected[4..4 + signed + ALGORITHM.len()]);
            assert_eq!(Names::of(&der), Names::of(&expected));
        }
    }

    #[test]
    fn certificate_of_this_and_of_an_earlier_version_is_known_and_no_other() {
        assert!(is_self_made(&der(&made(&["localhost"], &[]))));
        // Of two keys in 256, the serial number has a byte less.
        for _ in 0..300 {
            let key = KeyPair::generate().unwrap();
            assert!(is_self_made(params(&["localhost"], &[]).self_signed(&key).unwrap().der()));
        }
        let key = KeyPair::generate().unwrap();
        let mut other = params(&["localhost"], &[]);
        other.serial_number = Some(vec![7; 20].into());
        assert!(!is_self_made(other.self_signed(&key).unwrap().der()));
        let mut other = params(&["localhost"], &[]);
        other.distinguished_name = rcgen::DistinguishedName::new();
        other.distinguished_name.push(DnType::CommonName, "rcgen self signed cert");
        assert!(!is_self_made(other.self_signed(&key).unwrap().der()));
        let ca = KeyPair::generate().unwrap();
        let issuer = rcgen::Issuer::from_params(&other, &ca);
        assert!(!is_self_made(params(&["localhost"], &[]).signed_by(&key, &issuer).unwrap().der()));
        let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        assert!(!is_self_made(params(&["localhost"], &[]).self_signed(&key).unwrap().der()));
        let whole = der(&made(&["localhost"], &[]));
        // The key ends before the names.
        assert!((0..150).all(|end| !is_self_made(&whole[..end])));
    }

    #[test]
    fn lines_of_pem_have_64_characters() {
        assert_eq!(pem("X", b""), "-----BEGIN X-----\n-----END X-----\n");
        let whole = pem("X", &[0; 48]);
        assert_eq!(whole.lines().nth(1).map(str::len), Some(64));
        assert_eq!(whole.lines().count(), 3);
        assert_eq!(pem("X", &[0; 49]).lines().nth(2), Some("AA=="));
    }
}
