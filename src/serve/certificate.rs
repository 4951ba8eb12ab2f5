//! Certificate and key: the first start creates them, and later ones use them.
//!
//! Each has a copy, which is written last: a key without its copy is one of a start that ended before there was a
//! certificate. Where no certificate and key can be used, a temporary certificate serves: administrators are
//! notified, and a client that has pinned the lost key refuses the other one.
//!
//! A certificate that the server has made is made anew with the same key when it lacks a name of this machine
//! ([`renewal`](super::renewal)). One of another origin is never replaced.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ring::digest::{SHA256, digest};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::expiry::Dates;
use super::state::State;
use super::{PEM_BYTES, StartError};
use crate::config::{Listen, Tls};
use crate::http::host_of_url;
use crate::log::console::{info, warning};
use crate::log::print;
use crate::net::tls::{Names, SelfSigned, TlsError, is_self_made, public_key, server_config};
use crate::sys::file::{self, FileError, set_aside};
use crate::sys::state_file::{StateFile, is_link};
use crate::sys::{Clock, HostAddress};

/// Temporary certificate with its key, in the state directory: the one of the other files may be damaged.
pub(super) const TEMPORARY: &str = "temporary.pem";
/// Longest label of DNS, and `.local`.
const LOCAL_HOST_BYTES: usize = 63 + 6;

/// Certificate and key in use.
pub(super) struct InUse {
    pub(super) config: Arc<ServerConfig>,
    /// Dates of the certificate and of the authority of the clients.
    pub(super) dates: Arc<[Dates]>,
    pub(super) certificate: Arc<Certificate>,
}

/// Certificate, with the files and the key for making it anew.
pub(super) struct Certificate {
    files: Arc<Files>,
    names: Names,
    /// Its SHA-256, that of its public key, and its end; empty without one.
    facts: Arc<[String; 3]>,
    /// PEM of one that the server has made, and of its key.
    renewable: Option<[Vec<u8>; 2]>,
    /// Notice that it is in memory alone.
    unwritten: Option<String>,
}

/// The same when they are loaded.
struct Served {
    in_use: InUse,
    fingerprints: Fingerprints,
}

/// SHA-256 of a certificate and of the public key in it, in hexadecimal, as clients display them for comparison.
#[derive(Default)]
struct Fingerprints {
    certificate: String,
    key: String,
}

/// Reason why a certificate and a key cannot be used.
struct Refusal {
    text: String,
    /// Exit code where another certificate would not help: the reason is the authority of the clients, or one of this
    /// moment.
    code: Option<u8>,
}

impl Refusal {
    /// Refusal of a file that cannot be read.
    fn unread(error: &FileError) -> Self {
        Self { text: error.to_string(), code: error.is_passing().then_some(StartError::SYSTEM) }
    }
}

impl From<Refusal> for StartError {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.code.unwrap_or(Self::CONFIG), refusal.text)
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

/// Loads TLS of the configuration file. Creates a key and a certificate if there are none, and makes the latter anew if it
/// lacks a name of this machine.
pub(super) fn tls(
    listen: &Listen,
    addresses: &[HostAddress],
    state: &mut State<'_>,
) -> Result<Option<InUse>, StartError> {
    let Some(files) = Files::of(listen, state.dir, &here)? else {
        warning!("connections are not encrypted: [listen] tls is off");
        return Ok(None);
    };
    let names = names(listen, addresses);
    let made = files.are_to_be_made(state.dir).then(|| make(&names, files.key.alone().as_deref()));
    let served = if let Some(Ok(made)) = made {
        files.create(&made, state)?
    } else {
        match files.find(state) {
            Ok(served) => served,
            // Of a file that a person has just written, the error says more than a server that runs.
            Err(refusal) if refusal.code.is_some() || (files.own && !state.falls_back) => {
                return Err(refusal.into());
            }
            Err(refusal) => files.temporary(&names, &refusal.text, state)?,
        }
    };
    if let Some(problem) = open_key(files.key.path()) {
        warning!("{}", problem);
    }
    if served.in_use.certificate.is_due(&names) {
        match served.in_use.certificate.renew(names) {
            Ok(renewed) => return Ok(Some(renewed)),
            Err(error) => warning!("{}", error),
        }
    }
    files.log(&served, "");
    Ok(Some(served.in_use))
}

/// Names by which people reach this machine: of itself, as a host of DNS and of multicast DNS (RFC 6762), of `public_url`,
/// and its addresses, except those that change by themselves.
pub(super) fn names(listen: &Listen, addresses: &[HostAddress]) -> Names {
    let mut names = Names::default();
    names.add_host("localhost");
    let system = rustix::system::uname();
    // A name that is not UTF-8 is not a DNS name.
    let host = system.nodename().to_str().unwrap_or_default();
    names.add_host(host);
    let mut local = heapless::String::<LOCAL_HOST_BYTES>::new();
    let label = host.split('.').next().unwrap_or_default();
    if !label.is_empty() && local.push_str(label).and_then(|()| local.push_str(".local")).is_ok() {
        names.add_host(&local);
    }
    match host_of_url(&listen.front.public_url).map(|host| (host, host.parse())) {
        Some((_, Ok(address))) => names.add_address(address),
        Some((host, Err(_))) => names.add_host(host),
        None => {}
    }
    names.add_address(Ipv4Addr::LOCALHOST.into());
    names.add_address(Ipv6Addr::LOCALHOST.into());
    let own = listen.address.ip();
    if !own.is_unspecified() {
        names.add_address(own);
    }
    for known in addresses.iter().filter(|known| known.is_global() && known.is_stable) {
        names.add_address(known.address);
    }
    names
}

/// Certificate and key of a later configuration file, for new connections. `None`: those in use stay, because there is
/// no TLS, or because files that the server makes itself are missing or damaged.
pub(super) fn renewed(listen: &Listen, dir: &Path) -> Result<Option<InUse>, StartError> {
    Ok(given(listen, dir, &here)?.map(|(files, served)| {
        files.log(&served, "");
        served.in_use
    }))
}

/// Checks what a person has written: files that the server makes itself may be missing or damaged. `locate` returns the
/// path on this machine of one that the configuration names. Returns the problems with which the server runs, and what the
/// certificate is for.
pub(super) fn check(
    listen: &Listen,
    dir: &Path,
    locate: Locate<'_>,
) -> Result<(Vec<String>, Option<String>), StartError> {
    let Some((files, served)) = given(listen, dir, locate)? else { return Ok((Vec::new(), None)) };
    let names = &served.in_use.certificate.names;
    let names = format!("certificate {} is for {names}", files.certificate.path().display());
    let unix_s = Clock::new().time_of_day();
    let problems = served.in_use.dates.iter().filter_map(|dates| dates.problem(unix_s));
    let problems = problems.map(|problem| problem.to_string()).chain(open_key(files.key.path())).collect();
    Ok((problems, Some(names)))
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
fn given(
    listen: &Listen,
    dir: &Path,
    locate: Locate<'_>,
) -> Result<Option<(Arc<Files>, Served)>, StartError> {
    let Some(files) = Files::of(listen, dir, locate)? else { return Ok(None) };
    let read = |file: &StateFile| file::read_regular(file.path(), PEM_BYTES);
    match files.serve_read(&read(&files.certificate), &read(&files.key)) {
        Ok(served) => Ok(Some((files, served))),
        Err(refusal) if files.own || refusal.code.is_some() => Err(refusal.into()),
        Err(_) => Ok(None),
    }
}

impl Files {
    /// Files of a configuration; `None` without TLS.
    fn of(listen: &Listen, dir: &Path, locate: Locate<'_>) -> Result<Option<Arc<Self>>, StartError> {
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
        Ok(Some(Arc::new(Self {
            certificate: file(certificate, 0o644)?,
            key: file(key, 0o600)?,
            own: *own,
            authority: authority.map(read).transpose()?,
        })))
    }

    /// Returns true if there are none, or a key alone, and no temporary certificate in `dir` either.
    fn are_to_be_made(&self, dir: &Path) -> bool {
        let are_absent =
            !self.own && self.certificate.is_absent() && (self.key.is_absent() || self.key.alone().is_some());
        are_absent && file::is_absent(&dir.join(TEMPORARY))
    }

    /// Serves with a certificate and a key.
    fn serve(self: &Arc<Self>, certificate: &[u8], key: &[u8]) -> Result<Served, Refusal> {
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
            let code = matches!(error, TlsError::ClientAuthority(_)).then_some(StartError::CONFIG);
            Refusal { text: format!("{}: {error}", file.path().display()), code }
        })?;
        let of_authority = authority.and_then(|(file, pem)| Dates::of_authority(file.path(), pem));
        let of_server = Dates::of_server(self.certificate.path(), certificate);
        let end = of_server.as_ref().map(|dates| dates.end().to_string()).unwrap_or_default();
        let dates = of_server.into_iter().chain(of_authority);
        let fingerprints = fingerprints(certificate).unwrap_or_default();
        let der = CertificateDer::from_pem_slice(certificate).ok();
        let der = der.as_deref().unwrap_or_default();
        // Where a link leads, its owner decides.
        let is_renewable = !self.own && is_self_made(der) && !is_link(self.certificate.path());
        let certificate = Arc::new(Certificate {
            files: Arc::clone(self),
            names: Names::of(der),
            facts: Arc::new([fingerprints.certificate.clone(), fingerprints.key.clone(), end]),
            renewable: is_renewable.then(|| [certificate.to_owned(), key.to_owned()]),
            unwritten: None,
        });
        Ok(Served { in_use: InUse { config, dates: dates.collect(), certificate }, fingerprints })
    }

    /// Logs the certificate in use.
    fn log(&self, served: &Served, what: &str) {
        let Fingerprints { certificate, key } = &served.fingerprints;
        let path = self.certificate.path().display();
        info!("certificate {} has the SHA-256 {}, its public key {}", path, certificate, key);
        info!("certificate {} is {}for {}", path, what, served.in_use.certificate.names);
    }

    /// Serves with a certificate and a key that were read.
    fn serve_read(
        self: &Arc<Self>,
        certificate: &Result<Vec<u8>, FileError>,
        key: &Result<Vec<u8>, FileError>,
    ) -> Result<Served, Refusal> {
        match (certificate, key) {
            (Ok(certificate), Ok(key)) => self.serve(certificate, key),
            (Err(error), _) | (_, Err(error)) => Err(Refusal::unread(error)),
        }
    }

    /// Finds a certificate and a key that go together: the files, else one of them with the copy of the other,
    /// else the copies. From then on files and copies have these contents.
    fn find(self: &Arc<Self>, state: &mut State<'_>) -> Result<Served, Refusal> {
        let versions = |file: &StateFile| file.versions().map_err(|error| Refusal::unread(&error));
        let (certificates, keys) = (versions(&self.certificate)?, versions(&self.key)?);
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
            if self.own || refusal.code.is_some() {
                return Err(refusal);
            }
            reason = reason.or(Some(refusal));
        }
        Err(reason.unwrap_or(Refusal { text: String::new(), code: None }))
    }

    /// Keeps a certificate that lasts.
    fn create(self: &Arc<Self>, made: &SelfSigned, state: &mut State<'_>) -> Result<Served, StartError> {
        let kept = self.key.alone();
        let (certificate, key) =
            (made.certificate.as_bytes(), kept.as_deref().unwrap_or(made.key.as_bytes()));
        match self.write(certificate, key) {
            Ok(()) => print(format_args!(
                "made a key and a self-signed certificate: {}\n",
                self.certificate.path().display()
            )),
            Err(error) => state.handle_unwritten(&error)?,
        }
        Ok(self.serve(certificate, key)?)
    }

    /// Writes the files, and last their copies.
    fn write(&self, certificate: &[u8], key: &[u8]) -> Result<(), FileError> {
        for directory in [self.key.path().parent(), self.certificate.path().parent()].into_iter().flatten() {
            file::create_dir(directory)?;
        }
        self.key.create(key, false)?;
        self.certificate.create(certificate, false)?;
        self.key.replace(key, false)?;
        self.certificate.replace(certificate, false)
    }

    /// Returns true if the files are those of this key, or absent. Others are those of a person who has not reloaded yet.
    fn are_of(&self, key: &[u8]) -> bool {
        let read = |file: &StateFile| file::read_regular(file.path(), PEM_BYTES).ok();
        match (read(&self.certificate), read(&self.key)) {
            (Some(certificate), Some(own)) => {
                let certificate = CertificateDer::from_pem_slice(&certificate);
                own == key && certificate.is_ok_and(|certificate| is_self_made(&certificate))
            }
            _ => self.certificate.is_absent() && self.key.is_absent(),
        }
    }

    /// Loads the temporary certificate, or makes one. It stays the same until the files can be used.
    fn temporary(
        self: &Arc<Self>,
        names: &Names,
        reason: &str,
        state: &mut State<'_>,
    ) -> Result<Served, StartError> {
        let path = state.dir.join(TEMPORARY);
        let kept = match file::read_regular(&path, 2 * PEM_BYTES) {
            Err(error) if error.is_passing() => return Err(Refusal::unread(&error).into()),
            kept => kept.ok(),
        };
        let mut served = match kept.and_then(|pem| self.serve(&pem, &pem).ok()) {
            Some(served) => served,
            None => {
                let SelfSigned { certificate, key } = make(names, None)?;
                let pem = (certificate + &key).into_bytes();
                set_aside(&path);
                if let Err(error) = file::write_atomic(&path, &pem, 0o600) {
                    let notice = format!("the temporary certificate is another one after a restart: {error}");
                    state.notices.push(notice);
                }
                self.serve(&pem, &pem)?
            }
        };
        if let Some(temporary) = Arc::get_mut(&mut served.in_use.certificate) {
            // It stays the same.
            temporary.renewable = None;
        }
        let versions = self.certificate.versions().into_iter().flatten().flatten();
        let lost = versions.filter_map(|pem| fingerprints(&pem)).next();
        if !self.own {
            self.set_damaged_aside();
        }
        state.notices.push(format!(
            "{reason}; a temporary certificate serves, public key SHA-256 {} instead of {}: restore certificate and \
             key, or delete both, their copies and {TEMPORARY}, and new ones are made",
            served.fingerprints.key,
            lost.as_ref().map_or("one that cannot be read", |lost| &lost.key)
        ));
        Ok(served)
    }

    /// Sets aside each of the files that has no certificate or key in it.
    fn set_damaged_aside(&self) {
        let is_key = |pem: &[u8]| PrivateKeyDer::from_pem_slice(pem).is_ok();
        let is_certificate = |pem: &[u8]| fingerprints(pem).is_some();
        for (file, is_whole) in
            [(&self.certificate, &is_certificate as &dyn Fn(&[u8]) -> bool), (&self.key, &is_key)]
        {
            let path = file.path();
            let is_good = match file::read_regular(path, PEM_BYTES) {
                Ok(pem) => is_whole(&pem),
                Err(error) => error.is_passing(),
            };
            if !is_link(path) && !is_good {
                set_aside(path);
            }
        }
    }
}

impl Certificate {
    /// Its names.
    pub(super) fn names(&self) -> &Names {
        &self.names
    }

    /// Its SHA-256, that of its public key, and its end; empty without one.
    pub(super) fn facts(&self) -> &Arc<[String; 3]> {
        &self.facts
    }

    /// Notice that it is in memory alone.
    pub(super) fn unwritten(&self) -> Option<&str> {
        self.unwritten.as_deref()
    }

    /// Returns true if the server has to make it anew, for these names or for the disk.
    pub(super) fn is_due(&self, names: &Names) -> bool {
        self.renewable.is_some() && (self.unwritten.is_some() || !self.names.has_all(names))
    }

    /// Makes it anew with these names, the addresses that it had, and the same key. One that cannot be written is in memory
    /// alone.
    pub(super) fn renew(&self, mut names: Names) -> Result<InUse, String> {
        let Some([certificate, key]) = &self.renewable else { return Err(String::new()) };
        let (files, path) = (&self.files, self.files.certificate.path().display());
        let mut certificate = certificate.clone();
        let is_other = !self.names.has_all(&names);
        if is_other {
            // One that is gone may come back, and each certificate is a write.
            names.keep_addresses(&self.names);
            let made = make(&names, Some(key)).map_err(|error| error.to_string())?;
            certificate = made.certificate.into_bytes();
        }
        let mut served = files.serve(&certificate, key).map_err(|refusal| refusal.text)?;
        let written = if files.are_of(key) {
            files.write(&certificate, key).map_err(|error| error.to_string())
        } else {
            Err("certificate or key there is another one, or cannot be read: reload or restore them"
                .to_owned())
        };
        if let (Err(error), Some(renewed)) = (written, Arc::get_mut(&mut served.in_use.certificate)) {
            renewed.unwritten = Some(format!("{path}: its renewal is in memory alone: {error}"));
        }
        if is_other {
            files.log(&served, "renewed with the same key, ");
        }
        Ok(served.in_use)
    }
}

/// Those of the first certificate.
fn fingerprints(pem: &[u8]) -> Option<Fingerprints> {
    let certificate = CertificateDer::from_pem_slice(pem).ok()?;
    let sha256 = |der| base16ct::lower::encode_string(digest(&SHA256, der).as_ref());
    Some(Fingerprints { certificate: sha256(&certificate), key: sha256(public_key(&certificate)?) })
}

/// Problem of a key that others may read. One that cannot be read is one of the notices.
fn open_key(key: &Path) -> Option<String> {
    let mode = fs::metadata(key).ok()?.permissions().mode();
    let is_open = mode & 0o077 != 0;
    is_open.then(|| format!("{}: others may read this private key; chmod 600 it", key.display()))
}

/// Makes a certificate with these names, and a key unless there is one.
fn make(names: &Names, key: Option<&[u8]>) -> Result<SelfSigned, StartError> {
    let made = match key.map(PrivateKeyDer::from_pem_slice) {
        Some(Ok(key)) => SelfSigned::with_key(key.secret_der(), names),
        Some(Err(_)) => Err(ring::error::Unspecified),
        None => SelfSigned::new(names),
    };
    made.map_err(|_| StartError::system("cannot make a certificate", "the system has no random bytes"))
}

#[cfg(test)]
mod tests;
