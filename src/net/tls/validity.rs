//! Dates, public key and names of a certificate (RFC 5280, 4.1.2.5, 4.1.2.7 and 4.2.1.6), in its DER (X.690).

use core::ops::RangeInclusive;
use core::time::Duration;

use crate::wall_clock::seconds_of_day;

const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
/// `[0]`, the version; the first one has none.
const VERSION: u8 = 0xa0;
/// `[3]`, the extensions.
const EXTENSIONS: u8 = 0xa3;
/// Object identifier of subjectAltName.
pub(super) const SUBJECT_ALT_NAME: &[u8] = b"\x06\x03\x55\x1d\x11";

/// Time since 1970 from the first to the last moment at which a certificate is valid; `None` if it cannot be read.
pub fn validity(certificate: &[u8]) -> Option<RangeInclusive<Duration>> {
    let (dates, _) = value(from_dates_on(certificate)?, SEQUENCE)?;
    let (first, rest) = time(dates)?;
    let (last, _) = time(rest)?;
    Some(first..=last)
}

/// SubjectPublicKeyInfo of a certificate; `None` if it cannot be read.
pub fn public_key(certificate: &[u8]) -> Option<&[u8]> {
    let (_dates, rest) = value(from_dates_on(certificate)?, SEQUENCE)?;
    let (_subject, key) = value(rest, SEQUENCE)?;
    let (_, rest) = value(key, SEQUENCE)?;
    key.get(..key.len() - rest.len())
}

/// GeneralNames of a certificate, its names; `None` if there are none, or they cannot be read.
pub(super) fn alternative_names(certificate: &[u8]) -> Option<&[u8]> {
    let (_dates, rest) = value(from_dates_on(certificate)?, SEQUENCE)?;
    let (_subject, rest) = value(rest, SEQUENCE)?;
    let (_key, rest) = value(rest, SEQUENCE)?;
    let (extensions, _) = value(rest, EXTENSIONS)?;
    let (mut rest, _) = value(extensions, SEQUENCE)?;
    loop {
        let (extension, next) = value(rest, SEQUENCE)?;
        rest = next;
        if let Some(names) = extension.strip_prefix(SUBJECT_ALT_NAME) {
            // It may be critical.
            let names = value(names, BOOLEAN).map_or(names, |(_, names)| names);
            let (names, _) = value(names, OCTET_STRING)?;
            return value(names, SEQUENCE).map(|(names, _)| names);
        }
    }
}

/// The part of a certificate that begins with its dates.
fn from_dates_on(certificate: &[u8]) -> Option<&[u8]> {
    let (_serial, rest) = serial(certificate)?;
    let (_algorithm, rest) = value(rest, SEQUENCE)?;
    let (_issuer, rest) = value(rest, SEQUENCE)?;
    Some(rest)
}

/// Serial number of a certificate, and what follows it.
pub(super) fn serial(certificate: &[u8]) -> Option<(&[u8], &[u8])> {
    let (certificate, _) = value(certificate, SEQUENCE)?;
    let (signed, _) = value(certificate, SEQUENCE)?;
    let rest = value(signed, VERSION).map_or(signed, |(_, rest)| rest);
    value(rest, INTEGER)
}

/// Content of the element at the start of `der`, if it has this tag, and what follows it.
pub(super) fn value(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (first, rest) = der.split_first()?;
    let (length, rest) = rest.split_first()?;
    let (length, rest) = match *length {
        short @ 0..0x80 => (usize::from(short), rest),
        long => {
            let (bytes, rest) =
                rest.split_at_checked(usize::from(long & 0x7f)).filter(|(bytes, _)| bytes.len() <= 4)?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
    };
    rest.split_at_checked(length).filter(|_| *first == tag)
}

/// Time at the start of `der`, `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`; that of an earlier day than 1970-01-01 begins there.
fn time(der: &[u8]) -> Option<(Duration, &[u8])> {
    let (text, rest, century) = match (value(der, UTC_TIME), value(der, GENERALIZED_TIME)) {
        (Some((text, rest)), _) => (text, rest, None),
        (_, Some((text, rest))) => {
            let (century, text) = text.split_at_checked(2)?;
            (text, rest, Some(number(century)?))
        }
        _ => return None,
    };
    let (digits, zone) = text.split_at_checked(12)?;
    let mut parts = [0; 6];
    for (part, digits) in parts.iter_mut().zip(digits.chunks(2)) {
        *part = number(digits)?;
    }
    let [year, month, day, hour, minute, second] = parts;
    let century = century.unwrap_or(if year < 50 { 20 } else { 19 });
    let is_time = zone == b"Z" && hour < 24 && minute < 60 && second < 60;
    let day = seconds_of_day(century * 100 + year, month, day).filter(|_| is_time)?;
    Some((Duration::from_secs(day + hour * 3600 + minute * 60 + second), rest))
}

fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().all(u8::is_ascii_digit).then(|| str::from_utf8(digits).ok()?.parse().ok())?
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, PublicKeyData as _, date_time_ymd};
    use rustls::pki_types::CertificateDer;
    use rustls::server::ParsedCertificate;

    use super::*;
    use crate::wall_clock::Utc;

    fn dates(der: &[u8]) -> Option<(String, String)> {
        let found = validity(der)?;
        Some((Utc(*found.start()).to_string(), Utc(*found.end()).to_string()))
    }

    #[test]
    fn dates_of_certificates() {
        let key = KeyPair::generate().unwrap();
        for (from, to, expected) in [
            ((1970, 1, 1), (9999, 12, 31), ("1970-01-01T00:00:00Z", "9999-12-31T00:00:00Z")),
            ((2024, 2, 29), (2049, 12, 31), ("2024-02-29T00:00:00Z", "2049-12-31T00:00:00Z")),
            ((2026, 11, 30), (2050, 1, 1), ("2026-11-30T00:00:00Z", "2050-01-01T00:00:00Z")),
        ] {
            let mut params = CertificateParams::default();
            params.not_before = date_time_ymd(from.0, from.1, from.2);
            params.not_after = date_time_ymd(to.0, to.1, to.2);
            let certificate = params.self_signed(&key).unwrap();
            let (first, last) = dates(certificate.der()).unwrap();
            assert_eq!((first.as_str(), last.as_str()), expected);
        }
    }

    #[test]
    fn whatever_is_cut_or_changed_is_refused_or_has_other_dates() {
        let key = KeyPair::generate().unwrap();
        let der = CertificateParams::default().self_signed(&key).unwrap().der().to_vec();
        let whole = validity(&der);
        assert!(whole.is_some());
        for end in 0..der.len() {
            assert_eq!(validity(der.get(..end).unwrap()), None, "{end}");
        }
        for place in 0..der.len() {
            for bit in 0..8 {
                let mut changed = der.clone();
                changed[place] ^= 1 << bit;
                // It returns, whatever it finds.
                let _ = validity(&changed);
                let _ = alternative_names(&changed);
            }
        }
    }

    /// The signature of a handshake is verified with the key that rustls finds: another one here would be that of another
    /// client.
    #[test]
    fn public_key_is_the_one_that_rustls_finds_in_whatever_it_accepts() {
        let mut accepted = 0;
        for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ED25519] {
            let key = KeyPair::generate_for(algorithm).unwrap();
            let params = CertificateParams::new(["panel".to_owned()]).unwrap();
            let der = params.self_signed(&key).unwrap().der().to_vec();
            assert_eq!(public_key(&der), Some(&*key.subject_public_key_info()));
            let mut compare = |der: Vec<u8>| {
                let der = CertificateDer::from(der);
                if let Ok(parsed) = ParsedCertificate::try_from(&der) {
                    assert_eq!(public_key(&der), Some(&*parsed.subject_public_key_info()));
                    accepted += 1;
                }
                let _ = public_key(&der);
            };
            for place in 0..der.len() {
                for byte in 0..=u8::MAX {
                    let mut changed = der.clone();
                    changed[place] = byte;
                    compare(changed);
                }
                compare(der[..place].to_vec());
                compare([&der[..place], &der[place + 1..]].concat());
                compare([&der[..place], &[0], &der[place..]].concat());
            }
        }
        assert!(accepted > 10_000, "{accepted}: names, numbers, times, key and signature");
    }

    #[test]
    fn times_that_are_none() {
        for text in [
            "261301000000Z",
            "260230000000Z",
            "260101240000Z",
            "26010100000",
            "260101000000+0100",
            "2601010000000",
        ] {
            let der = [&[UTC_TIME, text.len() as u8], text.as_bytes()].concat();
            assert_eq!(time(&der), None, "{text}");
        }
        let der = [&[UTC_TIME, 13][..], b"500101000000Z"].concat();
        assert_eq!(time(&der).map(|(time, _)| time), Some(Duration::ZERO), "before 1970");
    }
}
