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

    /// SHA-256 of the public key that serves, and the notices.
    fn served(&self, falls_back: bool) -> Result<(String, Vec<String>), StartError> {
        let listen = crate::config::parse("", "f", "/bin/friendlet").map(|config| config.listen).unwrap();
        let mut state = self.0.open(falls_back)?;
        tls(&listen, &mut state)?;
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
    let problems = check(&listen, &dir.0.path(""), &here).unwrap();
    assert!(problems.len() == 2 && problems[0].contains("has expired on 2020-01-01"), "{problems:?}");
    assert!(problems[1].ends_with("others may read this private key; chmod 600 it"), "{problems:?}");
    let mut state = dir.0.open(false).unwrap();
    let served = tls(&listen, &mut state).unwrap().unwrap();
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
    assert!(tls(&listen, &mut state).unwrap().is_some());
    assert!(state.notices[1].starts_with("kept in memory alone: "), "{:?}", state.notices);
    state.falls_back = false;
    assert_eq!(tls(&listen, &mut state).unwrap_err().code, StartError::CANNOT_CREATE);
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
