use std::time::Duration;

use rcgen::{CertificateParams, CertifiedKey, KeyPair, generate_simple_self_signed};

use super::super::state::tests::StateDirectory;
use super::*;

/// State directory with one for certificate and key in it.
struct Directory(StateDirectory);

impl Directory {
    fn new(name: &str) -> Self {
        let directory = StateDirectory::new(name);
        fs::create_dir(directory.path("tls")).unwrap();
        Self(directory)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path("tls").join(name)
    }

    /// Starts with these addresses of the machine. Returns the certificate in use.
    fn in_use(&self, addresses: &[HostAddress]) -> Arc<Certificate> {
        let listen = crate::config::parse("", "f", "/bin/friendlet").map(|config| config.listen).unwrap();
        let mut state = self.0.open(false).unwrap();
        let in_use = tls(&listen, addresses, &mut state).unwrap().unwrap();
        assert_eq!(state.notices, Vec::<String>::new());
        in_use.certificate
    }

    /// PEM files of a certificate with this name and key.
    fn write_pair(&self, name: &str, host: &str) -> KeyPair {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([host.to_owned()]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        fs::write(self.path("certificate.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        fs::write(self.path("key.pem"), key.serialize_pem()).unwrap();
        key
    }

    /// Fingerprints, names and PEM of the file, which has an equal copy.
    fn stored(&self) -> (Fingerprints, String, Vec<u8>) {
        let [pem, copy] =
            ["certificate.pem", "certificate.pem.copy"].map(|name| fs::read(self.path(name)).unwrap());
        assert_eq!(pem, copy);
        let der = CertificateDer::from_pem_slice(&pem).unwrap();
        (fingerprints(&pem).unwrap(), Names::of(&der).to_string(), pem)
    }

    /// SHA-256 of the public key that serves, and the notices.
    fn served(&self, falls_back: bool) -> Result<(String, Vec<String>), StartError> {
        let listen = crate::config::parse("", "f", "/bin/friendlet").map(|config| config.listen).unwrap();
        let mut state = self.0.open(falls_back)?;
        tls(&listen, &[], &mut state)?;
        let files = [self.path("certificate.pem"), self.0.path(TEMPORARY)];
        let is_temporary = state.notices.iter().any(|notice| notice.contains("a temporary certificate"));
        let pem = fs::read(&files[usize::from(is_temporary)]).unwrap();
        Ok((fingerprints(&pem).unwrap().key, state.notices))
    }
}

/// `text` and a remark before it that makes it `bytes` long.
fn padded(text: &str, bytes: usize) -> String {
    "#".repeat(bytes - 1 - text.len()) + "\n" + text
}

#[test]
fn pem_files_may_be_as_large_as_their_limit() {
    let dir = Directory::new("pem");
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["h".to_owned()]).unwrap();
    let (certificate, key) = (cert.pem(), signing_key.serialize_pem());
    let notices = |certificate_bytes, key_bytes| {
        fs::write(dir.path("certificate.pem"), padded(&certificate, certificate_bytes)).unwrap();
        fs::write(dir.path("key.pem"), padded(&key, key_bytes)).unwrap();
        dir.served(false).unwrap().1
    };
    assert_eq!(notices(PEM_BYTES, PEM_BYTES), Vec::<String>::new());
    assert!(notices(PEM_BYTES + 1, PEM_BYTES)[0].contains("larger than 65536 bytes; its copy is used"));
    assert!(notices(PEM_BYTES, PEM_BYTES + 1)[0].contains("larger than 65536 bytes; its copy is used"));
}

#[test]
fn problems_of_a_certificate_are_a_notice_and_warnings_of_check() {
    let dir = Directory::new("expired");
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    fs::write(dir.path("certificate.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
    fs::write(dir.path("key.pem"), key.serialize_pem()).unwrap();
    fs::set_permissions(dir.path("key.pem"), fs::Permissions::from_mode(0o644)).unwrap();
    let text = "[listen]\ncertificate = \"tls/certificate.pem\"\nkey = \"tls/key.pem\"\n";
    let listen = crate::config::parse(text, "f", "/bin/friendlet").map(|config| config.listen).unwrap();
    let (problems, names) = check(&listen, &dir.0.path(""), &here).unwrap();
    assert!(names.is_some_and(|names| names.ends_with("/tls/certificate.pem is for ")));
    assert!(problems.len() == 2 && problems[0].contains("has expired on 2020-01-01"), "{problems:?}");
    assert!(problems[1].ends_with("others may read this private key; chmod 600 it"), "{problems:?}");
    let mut state = dir.0.open(false).unwrap();
    let served = tls(&listen, &[], &mut state).unwrap().unwrap();
    let mut watch = super::super::expiry::ExpiryWatch::new(served.dates);
    watch.handle_timeout(Duration::ZERO, Clock::new().time_of_day());
    let notice = watch.notice().unwrap_or_default();
    assert!(notice.contains("has expired on"), "{notice:?}");
    assert_eq!(state.notices, Vec::<String>::new());
}

#[test]
fn certificate_stays_whichever_file_is_damaged() {
    let dir = Directory::new("pair");
    let (made, notices) = dir.served(false).unwrap();
    assert_eq!(notices, Vec::<String>::new());
    for names in [
        &["certificate.pem"][..],
        &["key.pem"],
        &["certificate.pem", "key.pem"],
        &["certificate.pem.copy", "key.pem"],
        &["certificate.pem", "key.pem.copy"],
    ] {
        names.iter().for_each(|name| fs::write(dir.path(name), "x").unwrap());
        let (served, notices) = dir.served(false).unwrap();
        assert_eq!(served, made, "{names:?}");
        assert!(notices.len() == 1 && notices[0].ends_with("; its copy is used"), "{notices:?}");
        assert_eq!(dir.served(false).unwrap().1, Vec::<String>::new(), "repaired");
    }
    assert!(dir.path("key.pem.broken").exists() && !dir.0.path(TEMPORARY).exists());
}

#[test]
fn temporary_certificate_serves_where_all_is_damaged_and_stays_the_same() {
    let dir = Directory::new("temporary");
    let (made, _) = dir.served(false).unwrap();
    for name in ["key.pem", "key.pem.copy"] {
        fs::write(dir.path(name), "").unwrap();
    }
    let (served, notices) = dir.served(false).unwrap();
    assert_ne!(served, made);
    let both = format!("public key SHA-256 {served} instead of {made}");
    assert!(notices.iter().any(|notice| notice.contains(&both)), "{notices:?}");
    assert_eq!(dir.served(false).unwrap().0, served);
    // Nothing was replaced.
    let certificate = fs::read(dir.path("certificate.pem")).unwrap();
    assert_eq!(fingerprints(&certificate).unwrap().key, made);
    assert!(dir.path("key.pem.broken").exists());
    fs::remove_file(dir.0.path(TEMPORARY)).unwrap();
    for name in ["certificate.pem", "certificate.pem.copy", "key.pem.copy"] {
        fs::remove_file(dir.path(name)).unwrap();
    }
    let (new, notices) = dir.served(false).unwrap();
    assert!(new != made && new != served && notices.is_empty(), "{notices:?}");
}

#[test]
fn key_on_a_medium_that_is_not_mounted_is_not_replaced() {
    let dir = Directory::new("medium");
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["h".to_owned()]).unwrap();
    fs::write(dir.path("certificate.pem"), cert.pem()).unwrap();
    std::os::unix::fs::symlink("../medium/key.pem", dir.path("key.pem")).unwrap();
    let (served, notices) = dir.served(true).unwrap();
    assert!(notices.iter().any(|notice| notice.contains("a temporary certificate")), "{notices:?}");
    assert_ne!(served, fingerprints(cert.pem().as_bytes()).unwrap().key);
    assert_eq!(fs::read_to_string(dir.path("certificate.pem")).unwrap(), cert.pem());
    fs::create_dir(dir.0.path("medium")).unwrap();
    fs::write(dir.0.path("medium/key.pem"), signing_key.serialize_pem()).unwrap();
    let (served, notices) = dir.served(true).unwrap();
    assert_eq!((served, notices), (fingerprints(cert.pem().as_bytes()).unwrap().key, vec![]));
}

#[test]
fn certificate_that_cannot_be_written_is_in_memory_where_nobody_is_there() {
    crate::log::set_level(crate::log::Level::Off);
    let listen = crate::config::parse("", "f", "/bin/friendlet").map(|config| config.listen).unwrap();
    // Root cannot make a directory there either.
    let dir = Path::new("/proc/friendlet");
    let mut state = State::open(dir, true).unwrap();
    assert!(tls(&listen, &[], &mut state).unwrap().is_some());
    assert!(state.notices[1].starts_with("kept in memory alone: "), "{:?}", state.notices);
    state.falls_back = false;
    assert_eq!(tls(&listen, &[], &mut state).err().map(|error| error.code), Some(StartError::CANNOT_CREATE));
}

#[test]
fn directory_of_the_certificate_is_damaged_and_the_temporary_one_stays_the_same() {
    let dir = Directory::new("tls-directory");
    let (made, _) = dir.served(false).unwrap();
    let [tls, away] = ["tls", "away"].map(|name| dir.0.path(name));
    fs::rename(&tls, &away).unwrap();
    let damages: [&dyn Fn(); 3] = [
        &|| std::os::unix::fs::symlink("medium/tls", &tls).unwrap(),
        &|| std::os::unix::fs::symlink("tls", &tls).unwrap(),
        &|| fs::write(&tls, "").unwrap(),
    ];
    let mut temporary = None;
    for damage in damages {
        damage();
        for falls_back in [false, true] {
            let (served, notices) = dir.served(falls_back).unwrap();
            assert_ne!(served, made);
            assert_eq!(*temporary.get_or_insert(served.clone()), served);
            let both = format!("public key SHA-256 {served} instead of one that cannot be read");
            assert!(notices.len() == 1 && notices[0].contains(&both), "{notices:?}");
        }
        fs::remove_file(&tls).unwrap();
    }
    fs::rename(&away, &tls).unwrap();
    assert_eq!(dir.served(false).unwrap(), (made, vec![]));
}

#[test]
fn first_start_that_ends_before_the_certificate_is_not_damage() {
    for left in [&["key.pem"][..], &["key.pem", "certificate.pem"]] {
        let dir = Directory::new("key-alone");
        dir.served(false).unwrap();
        for entry in fs::read_dir(dir.0.path("tls")).unwrap().map(Result::unwrap) {
            if !left.iter().any(|name| entry.file_name() == **name) {
                fs::remove_file(entry.path()).unwrap();
            }
        }
        let key = fs::read(dir.path("key.pem")).unwrap();
        let (served, notices) = dir.served(false).unwrap();
        assert_eq!(notices, Vec::<String>::new(), "{left:?}");
        assert_eq!(fs::read(dir.path("key.pem")).unwrap(), key);
        assert_eq!(dir.served(false).unwrap(), (served, vec![]));
        assert!(dir.path("key.pem.copy").exists() && dir.path("certificate.pem.copy").exists());
    }
}

#[test]
fn certificate_that_is_lost_is_not_replaced_by_another_of_its_key() {
    let dir = Directory::new("certificate-lost");
    dir.served(false).unwrap();
    for name in ["certificate.pem", "certificate.pem.copy"] {
        fs::remove_file(dir.path(name)).unwrap();
    }
    let (_, notices) = dir.served(false).unwrap();
    assert!(notices[0].contains("a temporary certificate serves"), "{notices:?}");
}

#[test]
fn key_alone_that_is_none_is_damage() {
    let dir = Directory::new("key-none");
    fs::write(dir.path("key.pem"), "x").unwrap();
    let (_, notices) = dir.served(false).unwrap();
    assert!(notices[0].contains("a temporary certificate serves"), "{notices:?}");
}

fn address(address: &str) -> HostAddress {
    HostAddress { address: address.parse().unwrap(), prefix: 24, interface: 2, scope: 0, is_stable: true }
}

#[test]
fn certificate_of_an_earlier_version_gets_the_names_of_the_machine_and_keeps_its_key() {
    let dir = Directory::new("earlier-names");
    let key = dir.write_pair("friendlet", "localhost");
    let pem = fs::read(dir.path("certificate.pem")).unwrap();
    let earlier = fingerprints(&pem).unwrap();
    let link_local = HostAddress { scope: 253, ..address("fe80::1") };
    let temporary = HostAddress { is_stable: false, ..address("fd00::2") };
    let known = [address("127.0.0.1"), address("192.0.2.7"), address("fd00::1"), link_local, temporary];
    let in_use = dir.in_use(&known);
    let (later, names, pem) = dir.stored();
    assert_eq!(later.key, earlier.key);
    assert_ne!(later.certificate, earlier.certificate);
    assert_eq!(names, in_use.names().to_string());
    assert!(names.starts_with("localhost, ") && names.contains(".local, "), "{names}");
    assert!(names.ends_with("127.0.0.1, ::1, 192.0.2.7, fd00::1"), "{names}");
    assert_eq!(fs::read_to_string(dir.path("key.pem")).unwrap(), key.serialize_pem());
    // The next start has nothing to do, even before it has its addresses.
    for known in [&known[..], &[]] {
        assert_eq!(dir.in_use(known).names(), in_use.names());
        assert_eq!(dir.stored().2, pem);
    }
    // An address that is gone stays.
    dir.in_use(&[address("192.0.2.8")]);
    let (last, names, _) = dir.stored();
    assert_eq!(last.key, earlier.key);
    assert!(names.ends_with("127.0.0.1, ::1, 192.0.2.8, 192.0.2.7, fd00::1"), "{names}");
}

#[test]
fn certificate_of_another_origin_is_left_alone() {
    for (text, name) in [
        ("", "board.example"),
        ("[listen]\ncertificate = './tls/certificate.pem'\nkey = './tls/key.pem'\n", "friendlet"),
    ] {
        let dir = Directory::new("other-origin");
        dir.write_pair(name, "board.example");
        let pem = fs::read(dir.path("certificate.pem")).unwrap();
        let listen = crate::config::parse(text, "f", "/bin/friendlet").map(|config| config.listen).unwrap();
        let mut state = dir.0.open(false).unwrap();
        let in_use = tls(&listen, &[address("192.0.2.7")], &mut state).unwrap().unwrap();
        assert_eq!(in_use.certificate.names().to_string(), "board.example", "{name}");
        assert_eq!(fs::read(dir.path("certificate.pem")).unwrap(), pem);
        assert!(!in_use.certificate.is_due(&names(&listen, &[])));
    }
    let dir = Directory::new("linked");
    dir.write_pair("friendlet", "localhost");
    fs::rename(dir.path("certificate.pem"), dir.path("target.pem")).unwrap();
    std::os::unix::fs::symlink("target.pem", dir.path("certificate.pem")).unwrap();
    assert_eq!(dir.in_use(&[address("192.0.2.7")]).names().to_string(), "localhost");
}

#[test]
fn temporary_certificate_has_the_names_and_is_not_renewed() {
    let dir = Directory::new("temporary-names");
    dir.served(false).unwrap();
    for name in ["key.pem", "key.pem.copy"] {
        fs::write(dir.path(name), "").unwrap();
    }
    let listen = crate::config::parse("", "f", "/bin/friendlet").map(|config| config.listen).unwrap();
    let serve = |known: &[HostAddress]| {
        let mut state = dir.0.open(false).unwrap();
        tls(&listen, known, &mut state).unwrap().unwrap().certificate
    };
    let first = serve(&[address("192.0.2.7")]);
    assert!(first.names().to_string().ends_with("192.0.2.7"), "{}", first.names());
    assert_eq!(serve(&[address("192.0.2.8")]).names(), first.names());
}

#[test]
fn renewal_that_cannot_be_written_is_in_memory_and_tried_again() {
    let dir = Directory::new("unwritten");
    let first = dir.in_use(&[]);
    let listen = crate::config::parse("", "f", "/bin/friendlet").map(|config| config.listen).unwrap();
    let later = names(&listen, &[address("192.0.2.7")]);
    assert!(!first.is_due(&names(&listen, &[])) && first.is_due(&later));
    let (before, _, pem) = dir.stored();
    // A person has put a key there, and its certificate is not there yet.
    let key = fs::read(dir.path("key.pem")).unwrap();
    fs::write(dir.path("key.pem"), KeyPair::generate().unwrap().serialize_pem()).unwrap();
    let second = first.renew(later.clone()).unwrap().certificate;
    assert!(second.unwritten().unwrap().contains("certificate.pem: its renewal is in memory alone: "));
    assert_eq!(second.names(), &later);
    assert_eq!(dir.stored().2, pem, "nothing is written");
    // The disk is full.
    fs::write(dir.path("key.pem"), key).unwrap();
    for name in ["", ".broken", ".broken.1"] {
        fs::create_dir_all(dir.path(&format!(".certificate.pem.new{name}/x"))).unwrap();
    }
    let third = second.renew(later.clone()).unwrap().certificate;
    let notice = third.unwritten().unwrap();
    assert!(notice.contains("(errno "), "{notice}");
    assert!(third.is_due(&later) && dir.stored().2 == pem);
    fs::remove_dir_all(dir.path(".certificate.pem.new")).unwrap();
    let last = third.renew(later.clone()).unwrap().certificate;
    assert!(last.unwritten().is_none() && !last.is_due(&later));
    let (after, names, pem) = dir.stored();
    assert_eq!(second.renewable.as_ref().map(|[certificate, _]| certificate), Some(&pem), "made once");
    assert_eq!((after.key, names), (before.key, later.to_string()));
}

#[test]
fn names_of_the_configuration_are_names_of_the_certificate() {
    for (text, expected) in [
        ("address = '192.0.2.9:6500'\n", "127.0.0.1, ::1, 192.0.2.9"),
        ("address = '[::]:6500'\n", "127.0.0.1, ::1"),
        ("public_url = 'https://panel.example:8443/a'\n", "panel.example, 127.0.0.1, ::1"),
        ("public_url = 'https://[fd00::1]/'\n", "fd00::1, 127.0.0.1, ::1"),
    ] {
        let text = format!("[listen]\n{text}");
        let listen = crate::config::parse(&text, "f", "/bin/friendlet").map(|config| config.listen).unwrap();
        let names = names(&listen, &[]).to_string();
        assert!(names.starts_with("localhost, ") && names.ends_with(expected), "{names}");
    }
}
