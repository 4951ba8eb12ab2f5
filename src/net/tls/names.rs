//! Names of a certificate: host names and addresses.

use core::fmt;
use core::net::IpAddr;

use heapless::Vec;

use super::validity::{alternative_names, value};
use super::{CERTIFICATE_ADDRESSES, CERTIFICATE_NAMES_BYTES};

/// `[2]` and `[7]` of a GeneralName: dNSName and iPAddress.
const DNS_NAME: u8 = 0x82;
const IP_ADDRESS: u8 = 0x87;

/// Names of a certificate, each once, in a fixed space.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Names {
    /// GeneralNames (RFC 5280, 4.2.1.6) in DER.
    der: Vec<u8, CERTIFICATE_NAMES_BYTES>,
}

impl Names {
    /// Host names and addresses of a certificate, those with room.
    pub fn of(certificate: &[u8]) -> Self {
        let mut names = Self::default();
        for (tag, name) in elements(alternative_names(certificate).unwrap_or_default()) {
            if matches!(tag, DNS_NAME | IP_ADDRESS) {
                names.add(tag, name);
            }
        }
        names
    }

    /// Adds a host name, unless it has the form of none (RFC 1035, 2.3.1, with underscores).
    pub fn add_host(&mut self, host: &str) {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if host.split('.').all(|label| matches!(label.len(), 1..64) && label.bytes().all(fits)) {
            self.add(DNS_NAME, host.as_bytes());
        }
    }

    /// Adds an address.
    pub fn add_address(&mut self, address: IpAddr) {
        match address {
            IpAddr::V4(address) => self.add(IP_ADDRESS, &address.octets()),
            IpAddr::V6(address) => self.add(IP_ADDRESS, &address.octets()),
        }
    }

    /// Adds the addresses of an earlier certificate.
    pub fn keep_addresses(&mut self, earlier: &Self) {
        for (_, address) in elements(&earlier.der).filter(|(tag, _)| *tag == IP_ADDRESS) {
            self.add(IP_ADDRESS, address);
        }
    }

    /// Returns true if all of `others` are among them.
    pub fn has_all(&self, others: &Self) -> bool {
        elements(&others.der).all(|name| self.has(name))
    }

    /// GeneralNames in DER.
    pub(super) fn der(&self) -> &[u8] {
        &self.der
    }

    fn has(&self, name: (u8, &[u8])) -> bool {
        elements(&self.der).any(|other| other == name)
    }

    /// Adds a name, if there is room for it.
    fn add(&mut self, tag: u8, name: &[u8]) {
        let addresses = elements(&self.der).filter(|(tag, _)| *tag == IP_ADDRESS).count();
        let Ok(length @ 0..0x80) = u8::try_from(name.len()) else { return };
        let has_room = self.der.capacity() - self.der.len() >= 2 + name.len();
        if has_room && !self.has((tag, name)) && (tag != IP_ADDRESS || addresses < CERTIFICATE_ADDRESSES) {
            // There is room.
            let _ = self.der.extend_from_slice(&[tag, length]);
            let _ = self.der.extend_from_slice(name);
        }
    }
}

/// Tags and contents of consecutive elements of DER.
fn elements(mut der: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    core::iter::from_fn(move || {
        let tag = *der.first()?;
        let (content, rest) = value(der, tag)?;
        der = rest;
        Some((tag, content))
    })
}

/// The names, separated by commas.
impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut joint = "";
        for (tag, name) in elements(&self.der) {
            f.write_str(joint)?;
            joint = ", ";
            match (tag, <[u8; 4]>::try_from(name), <[u8; 16]>::try_from(name)) {
                (IP_ADDRESS, Ok(address), _) => IpAddr::from(address).fmt(f)?,
                (IP_ADDRESS, _, Ok(address)) => IpAddr::from(address).fmt(f)?,
                _ => f.write_str(str::from_utf8(name).unwrap_or("?"))?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use rcgen::{CertificateParams, KeyPair, SanType};

    use super::*;

    fn names(hosts: &[&str], addresses: &[&str]) -> Names {
        let mut names = Names::default();
        hosts.iter().for_each(|host| names.add_host(host));
        addresses.iter().for_each(|address| names.add_address(address.parse().unwrap()));
        names
    }

    #[test]
    fn hosts_and_addresses_are_listed_once() {
        let hosts = ["localhost", "wall", "wall.local", "localhost", "a_b-c.example", "four"];
        let names = names(&hosts, &["127.0.0.1", "::1", "127.0.0.1", "fd00::16"]);
        let text = "localhost, wall, wall.local, a_b-c.example, four, 127.0.0.1, ::1, fd00::16";
        assert_eq!(names.to_string(), text);
        assert_eq!(Names::default().to_string(), "");
    }

    #[test]
    fn text_in_another_form_than_a_host_name_is_left_out() {
        let label = "x".repeat(64);
        let hosts = ["", "(none)", "größe", "a b", "a..b", ".a", "a.", "*.a", "a\0", &label, &label[1..]];
        assert_eq!(names(&hosts, &[]).to_string(), label[1..]);
    }

    #[test]
    fn addresses_up_to_their_limit_are_names() {
        let mut all = Names::default();
        for number in 0..=CERTIFICATE_ADDRESSES as u32 {
            all.add_address(Ipv4Addr::from_bits(number).into());
            all.add_address(Ipv4Addr::from_bits(number).into());
        }
        assert_eq!(elements(&all.der).count(), CERTIFICATE_ADDRESSES);
        let mut fewer = names(&[], &["192.0.2.1", "192.0.2.2"]);
        fewer.keep_addresses(&all);
        assert_eq!(elements(&fewer.der).count(), CERTIFICATE_ADDRESSES);
        assert!(fewer.to_string().starts_with("192.0.2.1, 192.0.2.2, 0.0.0.0, 0.0.0.1, "), "{fewer}");
    }

    #[test]
    fn names_up_to_their_limit_have_room() {
        let mut all = Names::default();
        let host = |number: usize| format!("{}.{number:03}", "x".repeat(58));
        let count = CERTIFICATE_NAMES_BYTES / 64;
        (0..=count).for_each(|number| all.add_host(&host(number)));
        assert_eq!((all.der.len(), elements(&all.der).count()), (CERTIFICATE_NAMES_BYTES, count));
        assert!(!all.to_string().contains(&host(count)));
    }

    #[test]
    fn earlier_addresses_stay_and_earlier_hosts_do_not() {
        let mut later = names(&["new"], &["192.0.2.9", "192.0.2.1"]);
        later.keep_addresses(&names(&["old"], &["192.0.2.1", "fd00::1"]));
        assert_eq!(later.to_string(), "new, 192.0.2.9, 192.0.2.1, fd00::1");
        assert!(later.has_all(&names(&["new"], &["fd00::1"])) && later.has_all(&Names::default()));
        assert!(!later.has_all(&names(&["old"], &[])) && !later.has_all(&names(&[], &["192.0.2.2"])));
    }

    #[test]
    fn names_of_another_certificate() {
        let mut params =
            CertificateParams::new(["panel.example".to_owned(), "192.0.2.7".to_owned()]).unwrap();
        params.subject_alt_names.push(SanType::Rfc822Name("a@b".try_into().unwrap()));
        params.subject_alt_names.push(SanType::DnsName("last".try_into().unwrap()));
        let key = KeyPair::generate().unwrap();
        let der = params.self_signed(&key).unwrap().der().to_vec();
        assert_eq!(Names::of(&der).to_string(), "panel.example, 192.0.2.7, last");
        let without = CertificateParams::default().self_signed(&key).unwrap();
        assert_eq!(Names::of(without.der()), Names::default());
        for end in 0..der.len() {
            assert_eq!(Names::of(&der[..end]), Names::default(), "{end}");
        }
    }
}
