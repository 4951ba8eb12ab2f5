//! Certificate and key: the first start creates them, and later ones use them.
//!
//! Each has a copy. Where no certificate and key can be used, a temporary certificate serves: administrators are
//! notified, and a client that has pinned the lost certificate refuses the other one.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::state::State;
use super::{PEM_BYTES, StartError};
use crate::config::{Listen, Tls};
use crate::log::console::{info, warning};
use crate::log::print;
use crate::net::tls::{SelfSigned, TlsError, server_config, validity};
use crate::sys::Clock;
use crate::sys::file::{self, FileError};
use crate::sys::state_file::{StateFile, is_link, set_aside};
use crate::wall_clock::Utc;

/// Temporary certificate with its key, in the state directory.
const TEMPORARY: &str = "tls/temporary.pem";

/// Rest of a certificate's time in which administrators are notified.
const EXPIRES_SOON: Duration = Duration::from_secs(30 * 86_400);

/// Certificate and key in use.
struct Served {
    config: Arc<ServerConfig>,
    /// SHA-256 of the certificate.
    fingerprint: String,
    /// Problem with its dates.
    problem: Option<String>,
}

/// Reason why a certificate and a key cannot be used.
struct Refusal {
    text: String,
    /// The reason is the authority of the clients: another certificate would not help.
    is_of_authority: bool,
}

impl From<Refusal> for StartError {
    fn from(refusal: Refusal) -> Self {
        Self::new(Self::CONFIG, refusal.text)
    }
}

/// Files of `[listen]` for TLS.
struct Files {
    certificate: StateFile,
    key: StateFile,
    /// The configuration file names them: their owner alone writes them.
    own: bool,
    authority: Option<(StateFile, Vec<u8>)>,
}

/// Loads TLS of the configuration file. Creates a key and a certificate if there are none.
pub(super) fn tls(listen: &Listen, state: &mut State<'_>) -> Result<Option<Arc<ServerConfig>>, StartError> {
    let Some(files) = Files::of(listen, state.dir, &here)? else {
        warning!("connections are not encrypted: [listen] tls is off");
        return Ok(None);
    };
    let Served { config, fingerprint, problem } = if files.are_to_be_made(state.dir) {
        files.create(listen.address, state)?
    } else {
        match files.find(state) {
            Ok(served) => served,
            // Of a file that a person has just written, the error says more than a server that runs.
            Err(refusal) if refusal.is_of_authority || (files.own && !state.falls_back) => {
                return Err(refusal.into());
            }
            Err(refusal) => files.temporary(listen.address, &refusal.text, state)?,
        }
    };
    if let Some(problem) = open_key(files.key.path()) {
        warning!("{}", problem);
    }
    state.notices.extend(problem);
    info!("certificate {} has the SHA-256 {}", files.certificate.path().display(), fingerprint);
    Ok(Some(config))
}

/// Certificate and key of a later configuration file, for new connections. `None`: those in use stay, because there is
/// no TLS, or because files that the server makes itself are missing or damaged.
pub(super) fn renewed(listen: &Listen, dir: &Path) -> Result<Option<Arc<ServerConfig>>, StartError> {
    Ok(given(listen, dir, &here)?.map(|(files, Served { config, fingerprint, problem })| {
        if let Some(problem) = problem {
            warning!("{}", problem);
        }
        info!("certificate {} has the SHA-256 {}", files.certificate.path().display(), fingerprint);
        config
    }))
}

/// Checks what a person has written: files that the server makes itself may be missing or damaged. `locate` returns the
/// path on this machine of one that the configuration names. Returns the problems with which the server runs.
pub(super) fn check(listen: &Listen, dir: &Path, locate: Locate<'_>) -> Result<Vec<String>, StartError> {
    let Some((files, served)) = given(listen, dir, locate)? else { return Ok(Vec::new()) };
    Ok(served.problem.into_iter().chain(open_key(files.key.path())).collect())
}

/// Returns true if the server makes a key and a certificate at its start.
pub(super) fn is_to_be_made(listen: &Listen, dir: &Path) -> bool {
    matches!(Files::of(listen, dir, &here), Ok(Some(files)) if files.are_to_be_made(dir))
}

/// Path on this machine of a file of the configuration.
pub(super) type Locate<'a> = &'a dyn Fn(&Path) -> io::Result<PathBuf>;

/// Path of a file of this machine.
pub(super) fn here(path: &Path) -> io::Result<PathBuf> {
    Ok(path.to_owned())
}

/// Loads the files as they are. `None`: without TLS, or if the server itself makes those that cannot be used.
fn given(listen: &Listen, dir: &Path, locate: Locate<'_>) -> Result<Option<(Files, Served)>, StartError> {
    let Some(files) = Files::of(listen, dir, locate)? else { return Ok(None) };
    let read = |file: &StateFile| file::read_regular(file.path(), PEM_BYTES);
    match files.serve_read(&read(&files.certificate), &read(&files.key)) {
        Ok(served) => Ok(Some((files, served))),
        Err(refusal) if files.own || refusal.is_of_authority => Err(refusal.into()),
        Err(_) => Ok(None),
    }
}

impl Files {
    /// Files of a configuration; `None` without TLS.
    fn of(listen: &Listen, dir: &Path, locate: Locate<'_>) -> Result<Option<Self>, StartError> {
        let Tls::On { certificate, key, own, client_ca } = &listen.tls else { return Ok(None) };
        let file = |path: &str, mode| {
            let path = dir.join(path);
            let failed = |error| StartError::new(StartError::CONFIG, FileError::io(&path, error));
            locate(&path).map_err(failed).map(|path| StateFile::new(&path, mode, PEM_BYTES))
        };
        let authority = client_ca.as_ref().map(|path| file(path, 0o644)).transpose()?;
        let read = |authority: StateFile| match file::read_regular(authority.path(), PEM_BYTES) {
            Ok(pem) => Ok((authority, pem)),
            Err(error) => Err(StartError::new(StartError::CONFIG, error)),
        };
        Ok(Some(Self {
            certificate: file(certificate, 0o644)?,
            key: file(key, 0o600)?,
            own: *own,
            authority: authority.map(read).transpose()?,
        }))
    }

    /// Returns true if there are none, and no temporary certificate in `dir` either.
    fn are_to_be_made(&self, dir: &Path) -> bool {
        let are_absent = !self.own && self.certificate.is_absent() && self.key.is_absent();
        are_absent && !dir.join(TEMPORARY).exists()
    }

    /// Serves with a certificate and a key.
    fn serve(&self, certificate: &[u8], key: &[u8]) -> Result<Served, Refusal> {
        let authority = self.authority.as_ref();
        let config = server_config(certificate, key, authority.map(|(_, pem)| pem.as_slice()));
        let config = config.map_err(|error| {
            let file = match error {
                TlsError::Key(_) | TlsError::KeyKind(_) => &self.key,
                TlsError::ClientAuthority(_) => authority.map_or(&self.certificate, |(file, _)| file),
                TlsError::Certificate(_)
                | TlsError::Mismatch
                | TlsError::TooLong(_)
                | TlsError::Protocol(_) => &self.certificate,
            };
            let is_of_authority = matches!(error, TlsError::ClientAuthority(_));
            Refusal { text: format!("{}: {error}", file.path().display()), is_of_authority }
        })?;
        let problem = dates_problem(certificate, Clock::new().time_of_day());
        let problem = problem.map(|problem| format!("{}: {problem}", self.certificate.path().display()));
        Ok(Served { config, fingerprint: fingerprint(certificate).unwrap_or_default(), problem })
    }

    /// Serves with a certificate and a key that were read.
    fn serve_read(
        &self,
        certificate: &Result<Vec<u8>, FileError>,
        key: &Result<Vec<u8>, FileError>,
    ) -> Result<Served, Refusal> {
        match (certificate, key) {
            (Ok(certificate), Ok(key)) => self.serve(certificate, key),
            (Err(error), _) | (_, Err(error)) => {
                Err(Refusal { text: error.to_string(), is_of_authority: false })
            }
        }
    }

    /// Finds a certificate and a key that go together: the files, else one of them with the copy of the other,
    /// else the copies. From then on files and copies have these contents.
    fn find(&self, state: &mut State<'_>) -> Result<Served, Refusal> {
        let (certificates, keys) = (self.certificate.versions(), self.key.versions());
        let mut reason = None;
        for (certificate, key) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
            let refusal = match self.serve_read(&certificates[certificate], &keys[key]) {
                Ok(served) => {
                    let damage = reason.map(|Refusal { text, .. }| format!("{text}; its copy is used"));
                    state.notices.extend(damage);
                    for (file, versions, version) in
                        [(&self.certificate, &certificates, certificate), (&self.key, &keys, key)]
                    {
                        if let (Ok(pem), false) = (&versions[version], self.own) {
                            file.repair(pem, version == 1, &mut state.notices);
                        }
                    }
                    return Ok(served);
                }
                Err(refusal) => refusal,
            };
            if self.own || refusal.is_of_authority {
                return Err(refusal);
            }
            reason = reason.or(Some(refusal));
        }
        Err(reason.unwrap_or(Refusal { text: String::new(), is_of_authority: false }))
    }

    /// Makes a certificate that lasts.
    fn create(&self, address: SocketAddr, state: &mut State<'_>) -> Result<Served, StartError> {
        let SelfSigned { certificate, key } = make_pair(address)?;
        for directory in [self.key.path().parent(), self.certificate.path().parent()].into_iter().flatten() {
            file::create_dir(directory).or_else(|error| state.handle_unwritten(&error))?;
        }
        let written = self
            .key
            .replace(key.as_bytes(), false)
            .and_then(|()| self.certificate.replace(certificate.as_bytes(), false));
        match written {
            Ok(()) => print(format_args!(
                "made a key and a self-signed certificate: {}\n",
                self.certificate.path().display()
            )),
            Err(error) => state.handle_unwritten(&error)?,
        }
        Ok(self.serve(certificate.as_bytes(), key.as_bytes())?)
    }

    /// Loads the temporary certificate, or makes one. It stays the same until the files can be used.
    fn temporary(
        &self,
        address: SocketAddr,
        reason: &str,
        state: &mut State<'_>,
    ) -> Result<Served, StartError> {
        let path = state.dir.join(TEMPORARY);
        let kept = file::read_regular(&path, 2 * PEM_BYTES).ok();
        let served = match kept.and_then(|pem| self.serve(&pem, &pem).ok()) {
            Some(served) => served,
            None => {
                let SelfSigned { certificate, key } = make_pair(address)?;
                let pem = (certificate + &key).into_bytes();
                set_aside(&path);
                if let Err(error) = file::write_atomic(&path, &pem, 0o600) {
                    let notice = format!("the temporary certificate is another one after a restart: {error}");
                    state.notices.push(notice);
                }
                self.serve(&pem, &pem)?
            }
        };
        let lost = file::read_regular(self.certificate.path(), PEM_BYTES).ok();
        let lost = lost.as_deref().and_then(fingerprint);
        if !self.own {
            self.set_damaged_aside();
        }
        state.notices.push(format!(
            "{reason}; a temporary certificate serves, SHA-256 {}{}: restore certificate and key, or delete both, \
             their copies and {TEMPORARY}, and new ones are made",
            served.fingerprint,
            lost.map(|lost| format!(" instead of {lost}")).unwrap_or_default()
        ));
        Ok(served)
    }

    /// Sets aside each of the files that has no certificate or key in it.
    fn set_damaged_aside(&self) {
        let is_key = |pem: &[u8]| PrivateKeyDer::from_pem_slice(pem).is_ok();
        let is_certificate = |pem: &[u8]| fingerprint(pem).is_some();
        for (file, is_whole) in
            [(&self.certificate, &is_certificate as &dyn Fn(&[u8]) -> bool), (&self.key, &is_key)]
        {
            let path = file.path();
            if !is_link(path) && !file::read_regular(path, PEM_BYTES).is_ok_and(|pem| is_whole(&pem)) {
                set_aside(path);
            }
        }
    }
}

/// SHA-256 of the first certificate, as clients display it for comparison.
fn fingerprint(pem: &[u8]) -> Option<String> {
    let certificate = CertificateDer::from_pem_slice(pem).ok()?;
    Some(base16ct::lower::encode_string(ring::digest::digest(&ring::digest::SHA256, &certificate).as_ref()))
}

/// Problem of a key that others may read. One that cannot be read is one of the notices.
fn open_key(key: &Path) -> Option<String> {
    let mode = fs::metadata(key).ok()?.permissions().mode();
    let is_open = mode & 0o077 != 0;
    is_open.then(|| format!("{}: others may read this private key; chmod 600 it", key.display()))
}

/// Problem with the dates of the first certificate, at this time of day; none without a time of day.
fn dates_problem(pem: &[u8], unix_s: Option<u64>) -> Option<String> {
    let dates = validity(&CertificateDer::from_pem_slice(pem).ok()?)?;
    let now = Duration::from_secs(unix_s?);
    let (first, last) = (*dates.start(), *dates.end());
    if now < first {
        return Some(format!(
            "this certificate is valid from {} on; clients refuse it until then",
            Utc(first)
        ));
    }
    let Some(left) = last.checked_sub(now) else {
        return Some(format!(
            "this certificate has expired on {}; clients refuse it: renew it and reload",
            Utc(last)
        ));
    };
    (left < EXPIRES_SOON).then(|| {
        format!(
            "this certificate expires in {} days, on {}: renew it and reload",
            left.as_secs() / 86_400,
            Utc(last)
        )
    })
}

/// Makes a key and a certificate for this machine as seen from itself, its name and its address.
fn make_pair(address: SocketAddr) -> Result<SelfSigned, StartError> {
    let host = rustix::system::uname();
    // A name that is not UTF-8 is not a DNS name.
    let hosts = ["localhost", host.nodename().to_str().unwrap_or_default()];
    let hosts = if hosts[1].is_empty() { &hosts[..1] } else { &hosts };
    let addresses = [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST), address.ip()];
    let is_local = address.ip().is_loopback() || address.ip().is_unspecified();
    let addresses = if is_local { &addresses[..2] } else { &addresses };
    SelfSigned::new(hosts, addresses)
        .map_err(|_| StartError::system("cannot make a certificate", "the system has no random bytes"))
}

#[cfg(test)]
mod tests {
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

        /// SHA-256 of the certificate that serves, and the notices.
        fn served(&self, falls_back: bool) -> Result<(String, Vec<String>), StartError> {
            let listen = crate::config::parse("", "f", "/bin/friendlet").map(|config| config.listen).unwrap();
            let mut state = self.0.open(falls_back)?;
            tls(&listen, &mut state)?;
            let files = [self.path("certificate.pem"), self.path("temporary.pem")];
            let is_temporary = state.notices.iter().any(|notice| notice.contains("a temporary certificate"));
            let pem = fs::read(&files[usize::from(is_temporary)]).unwrap();
            Ok((fingerprint(&pem).unwrap(), state.notices))
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
    fn dates_are_a_problem_before_after_and_in_the_last_thirty_days() {
        let day = 86_400;
        let mut params = CertificateParams::default();
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2027, 1, 1);
        let pem = params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem();
        let (first, last) = (1_767_225_600, 1_798_761_600);
        for (now, problem) in [
            (first - 1, "is valid from 2026-01-01T00:00:00Z on"),
            (first, ""),
            (last - 30 * day, ""),
            (last - 30 * day + 1, "expires in 29 days, on 2027-01-01T00:00:00Z"),
            (last, "expires in 0 days"),
            (last + 1, "has expired on 2027-01-01T00:00:00Z"),
        ] {
            let found = dates_problem(pem.as_bytes(), Some(now)).unwrap_or_default();
            assert!(found.contains(problem) && found.is_empty() == problem.is_empty(), "{now}: {found}");
        }
        assert_eq!(dates_problem(pem.as_bytes(), None), None, "the time of day is not known");
    }

    #[test]
    fn problems_of_a_certificate_are_notices_and_warnings_of_check() {
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
        assert!(tls(&listen, &mut state).unwrap().is_some());
        assert!(
            state.notices.len() == 1 && state.notices[0].contains("has expired on"),
            "{:?}",
            state.notices
        );
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
        assert!(dir.path("key.pem.broken").exists() && !dir.path("temporary.pem").exists());
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
        let both = format!("SHA-256 {served} instead of {made}");
        assert!(notices.iter().any(|notice| notice.contains(&both)), "{notices:?}");
        assert_eq!(dir.served(false).unwrap().0, served);
        // Nothing was replaced.
        let certificate = fs::read(dir.path("certificate.pem")).unwrap();
        assert_eq!(fingerprint(&certificate).unwrap(), made);
        assert!(dir.path("key.pem.broken").exists());
        for name in ["certificate.pem", "certificate.pem.copy", "key.pem.copy", "temporary.pem"] {
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
        assert_ne!(served, fingerprint(cert.pem().as_bytes()).unwrap());
        assert_eq!(fs::read_to_string(dir.path("certificate.pem")).unwrap(), cert.pem());
        fs::create_dir(dir.0.path("medium")).unwrap();
        fs::write(dir.0.path("medium/key.pem"), signing_key.serialize_pem()).unwrap();
        let (served, notices) = dir.served(true).unwrap();
        assert_eq!((served, notices), (fingerprint(cert.pem().as_bytes()).unwrap(), vec![]));
    }

    #[test]
    fn certificate_that_cannot_be_written_is_in_memory_where_nobody_is_there() {
        let dir = Directory::new("unwritten");
        fs::remove_dir(dir.0.path("tls")).unwrap();
        fs::write(dir.0.path("tls"), "").unwrap();
        assert_eq!(dir.served(false).unwrap_err().code, StartError::CANNOT_CREATE);
        let listen = crate::config::parse("", "f", "/bin/friendlet").map(|config| config.listen).unwrap();
        let mut state = dir.0.open(true).unwrap();
        assert!(tls(&listen, &mut state).unwrap().is_some());
        assert!(state.notices[0].starts_with("kept in memory alone: "), "{:?}", state.notices);
    }
}
