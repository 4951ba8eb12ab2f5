//! Certificate, key and first administrator: the first start creates them, and later ones use them.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use data_encoding::HEXLOWER;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, SanType};
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::{FIRST_USER_FILE_BYTES, PEM_BYTES, StartError};
use crate::config::{self, Listen, Tls};
use crate::limits::USER_NAME_BYTES;
use crate::log::console::{info, warning};
use crate::log::print;
use crate::net::tls::{TlsError, server_config};
use crate::session::{User, UserLevel, Users, canonical_password};
use crate::sys::{file, lookup, password, random};

/// File of the administrator that the first start creates.
const FIRST_USER_FILE: &str = "admin.toml";
/// Name of that administrator.
const FIRST_USER: &str = "admin";

/// Creates the state directory, for its owner alone.
pub(super) fn prepare_state_dir(state_dir: &Path) -> Result<(), StartError> {
    file::create_dir(state_dir).map_err(|error| {
        StartError::new(
            StartError::CANNOT_CREATE,
            format_args!("cannot create the state directory: {error}; [state] dir names another one"),
        )
    })
}

/// Loads TLS of the configuration file. Creates a key and a certificate if there are none.
pub(super) fn tls(listen: &Listen, state_dir: &Path) -> Result<Option<Arc<ServerConfig>>, StartError> {
    let Tls::On { certificate, key, own, client_ca } = &listen.tls else {
        warning!("connections are not encrypted: [listen] tls is off");
        return Ok(None);
    };
    let certificate = state_dir.join(certificate.as_str());
    let key = state_dir.join(key.as_str());
    let client_ca = client_ca.as_ref().map(|path| state_dir.join(path.as_str()));
    // A power cut between the two writes leaves one without the other.
    let are_there = certificate.exists() && key.exists();
    if !own && !are_there {
        make_certificate(&certificate, &key, listen.address)?;
    }
    warn_of_open_key(&key);
    let read =
        |path: &Path| file::read(path, PEM_BYTES).map_err(|error| StartError::new(StartError::CONFIG, error));
    let authority = client_ca.as_deref().map(read).transpose()?;
    let chain = read(&certificate)?;
    if let Some(fingerprint) = fingerprint(&chain) {
        info!("certificate {} has the SHA-256 {}", certificate.display(), fingerprint);
    }
    let made = server_config(&chain, &read(&key)?, authority.as_deref());
    made.map(Some).map_err(|error| {
        let path = match error {
            TlsError::Key(_) => &key,
            TlsError::ClientAuthority(_) => client_ca.as_ref().unwrap_or(&certificate),
            TlsError::Certificate(_) | TlsError::Mismatch(_) | TlsError::TooLong(_) => &certificate,
        };
        let advice = if *own { "" } else { "; delete certificate and key, and new ones are made" };
        StartError::new(StartError::CONFIG, format_args!("{}: {error}{advice}", path.display()))
    })
}

/// SHA-256 of the first certificate, as clients display it for comparison.
fn fingerprint(pem: &[u8]) -> Option<String> {
    let certificate = CertificateDer::from_pem_slice(pem).ok()?;
    Some(HEXLOWER.encode(ring::digest::digest(&ring::digest::SHA256, &certificate).as_ref()))
}

fn warn_of_open_key(key: &Path) {
    match fs::metadata(key).map(|metadata| metadata.permissions().mode()) {
        Ok(mode) if mode & 0o077 == 0 => {}
        Ok(_) => warning!("{}: others may read this private key; chmod 600 it", key.display()),
        Err(error) => warning!("{}: cannot read the mode of this private key: {}", key.display(), error),
    }
}

/// Creates a P-256 key and a self-signed certificate, valid at any time that the clock of a board may have.
fn make_certificate(certificate: &Path, key: &Path, address: SocketAddr) -> Result<(), StartError> {
    let failed = |error: rcgen::Error| StartError::system("cannot make a certificate", error);
    let pair = KeyPair::generate().map_err(failed)?;
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "friendlet");
    params.subject_alt_names = names(address).map_err(failed)?;
    params.not_before = rcgen::date_time_ymd(1970, 1, 1);
    // RFC 5280, 4.1.2.5: no well-defined expiration.
    params.not_after = rcgen::date_time_ymd(9999, 12, 31);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let signed = params.self_signed(&pair).map_err(failed)?;

    for dir in [key.parent(), certificate.parent()].into_iter().flatten() {
        file::create_dir(dir).map_err(|error| StartError::new(StartError::CANNOT_CREATE, error))?;
    }
    let write = |path: &Path, text: &str, mode| {
        file::write_atomic(path, text.as_bytes(), mode)
            .map_err(|error| StartError::new(StartError::CANNOT_CREATE, error))
    };
    write(key, &pair.serialize_pem(), 0o600)?;
    write(certificate, &signed.pem(), 0o644)?;
    print(format_args!("made a key and a self-signed certificate: {}\n", certificate.display()));
    Ok(())
}

/// Names of the certificate: this machine as seen from itself, and its address.
fn names(address: SocketAddr) -> Result<Vec<SanType>, rcgen::Error> {
    let mut names = vec![
        SanType::DnsName("localhost".try_into()?),
        SanType::IpAddress(IpAddr::from([127, 0, 0, 1])),
        SanType::IpAddress(IpAddr::from(std::net::Ipv6Addr::LOCALHOST)),
    ];
    if !address.ip().is_loopback() && !address.ip().is_unspecified() {
        names.push(SanType::IpAddress(address.ip()));
    }
    let host = rustix::system::uname();
    // A name that is not UTF-8 is not a DNS name.
    if let Ok(Ok(host)) = host.nodename().to_str().map(TryInto::try_into) {
        names.push(SanType::DnsName(host));
    }
    Ok(names)
}

/// Name of a user of the system, or its number without one.
pub(super) fn user_name(uid: u32) -> heapless::String<USER_NAME_BYTES> {
    let number = uid.to_string();
    let account = lookup(&number).ok().flatten();
    // Every number fits.
    account.map_or_else(|| number.as_str().try_into().unwrap_or_default(), |account| account.name)
}

/// Returns the users of the configuration file or, without any, the administrator of the first start.
pub(super) fn users(users: Users, state_dir: &Path) -> Result<Users, StartError> {
    if !users.is_empty() {
        return Ok(users);
    }
    let path = state_dir.join(FIRST_USER_FILE);
    let user = match file::read_text(&path, FIRST_USER_FILE_BYTES) {
        Ok(text) => config::parse_user(&text, &path.display().to_string()).map_err(|errors| {
            StartError::new(
                StartError::CONFIG,
                format_args!("{errors}\ndelete the file, and a new administrator is made"),
            )
        })?,
        Err(error) if error.is_missing() => make_first_user(&path)?,
        Err(error) => return Err(StartError::new(StartError::CONFIG, error)),
    };
    let mut users = users;
    users
        .push(user)
        .map_err(|error| StartError::system("cannot keep the first user", format_args!("{error:?}")))?;
    Ok(users)
}

fn make_first_user(path: &Path) -> Result<User, StartError> {
    let failed = |error: random::RandomError| StartError::system("cannot make a password", error);
    let plain = random::password().map_err(failed)?;
    let salt = random::bytes().map_err(failed)?;
    let hash = password::hash(&canonical_password(plain.as_bytes()), password::rounds(), salt)
        .map_err(|error| StartError::system("cannot make a password", error))?;
    let text = config::user_text(FIRST_USER, UserLevel::Admin, &hash);
    // Read as every later start will read it.
    let user = config::parse_user(&text, FIRST_USER_FILE)
        .map_err(|errors| StartError::system("cannot make the first user", errors))?;
    file::write_atomic(path, text.as_bytes(), 0o600)
        .map_err(|error| StartError::new(StartError::CANNOT_CREATE, error))?;
    // The password is at the end of a line of its own, because people copy it.
    print(format_args!(
        "no user is configured: made the administrator '{FIRST_USER}' with the password {plain}\n\
         it is shown this once; 'friendlet passwd {FIRST_USER}' makes the [[user]] table of another\n"
    ));
    Ok(user)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertifiedKey, generate_simple_self_signed};

    use super::*;

    fn dir(name: &str) -> std::path::PathBuf {
        let path = std::env::temp_dir().join(format!("friendlet-{name}-{}", std::process::id()));
        fs::create_dir_all(path.join("tls")).unwrap();
        path
    }

    /// `text` and a remark before it that makes it `bytes` long.
    fn padded(text: &str, bytes: usize) -> String {
        "#".repeat(bytes - 1 - text.len()) + "\n" + text
    }

    #[test]
    fn pem_files_may_be_as_large_as_their_limit() {
        let dir = dir("pem");
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["h".to_owned()]).unwrap();
        let (certificate, key) = (cert.pem(), signing_key.serialize_pem());
        let listen = config::parse("", "f", "/bin/friendlet").map(|config| config.listen).unwrap();
        let is_taken = |certificate_bytes, key_bytes| {
            fs::write(dir.join("tls/certificate.pem"), padded(&certificate, certificate_bytes)).unwrap();
            fs::write(dir.join("tls/key.pem"), padded(&key, key_bytes)).unwrap();
            tls(&listen, &dir).is_ok()
        };
        crate::log::set_level(crate::log::Level::Off);
        assert!(is_taken(PEM_BYTES, PEM_BYTES));
        assert!(!is_taken(PEM_BYTES + 1, PEM_BYTES));
        assert!(!is_taken(PEM_BYTES, PEM_BYTES + 1));
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn file_of_the_first_user_may_be_as_large_as_its_limit() {
        let dir = dir("first-user");
        let hash = password::hash(&canonical_password(b"x"), 1, [0; 16]).unwrap();
        let text = config::user_text(FIRST_USER, UserLevel::Admin, &hash);
        let read = |bytes| {
            fs::write(dir.join(FIRST_USER_FILE), padded(&text, bytes)).unwrap();
            users(Users::new(), &dir).map(|users| users.len())
        };
        assert_eq!(read(FIRST_USER_FILE_BYTES).unwrap(), 1);
        let error = read(FIRST_USER_FILE_BYTES + 1).unwrap_err();
        assert_eq!(error.code, StartError::CONFIG);
        assert!(error.text.contains("larger than 4096 bytes"), "{}", error.text);
        fs::remove_dir_all(dir).unwrap();
    }
}
