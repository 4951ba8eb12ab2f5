//! The tables of the device file that are there once: `[listen]`, `[state]`, `[limits]`, `[log]`,
//! `[session]`.

use core::net::{Ipv4Addr, SocketAddr};
use core::ops::RangeInclusive;
use core::time::Duration;

use heapless::Vec;

use super::diagnostics::Report;
use super::section::{Place, Section, bounded};
use super::{FilePath, Listen, LogFiles, Tls, alternatives};
use crate::limits;
use crate::log::{LOG_FILE_BYTES, LOG_FILE_BYTES_MAX, LOG_FILE_BYTES_MIN, LOG_FILES, LOG_FILES_MAX, Level};
use crate::session::{
    IDLE_TIMEOUT, IDLE_TIMEOUT_MAX, IDLE_TIMEOUT_MIN, LOCKOUT_ATTEMPTS, LOCKOUT_ATTEMPTS_MAX, LOCKOUT_TIME,
    LOCKOUT_TIME_MAX,
};

const DEFAULT_PORT: u16 = 6500;
const CERTIFICATE: &str = "tls/certificate.pem";
const KEY: &str = "tls/key.pem";
/// Where the log of a device is kept: in memory. What is for people goes to standard error.
const DEFAULT_LOG_FILE: &str = if cfg!(feature = "defmt") { "/run/friendlet/log" } else { "" };

/// `[listen]`.
pub(super) fn listen(root: &Section<'_, '_>, report: &mut Report<'_>) -> Listen {
    let known = ["address", "certificate", "client_ca", "insecure", "key", "origins", "tls"];
    let section = root.section("listen", "[listen]", &known, report);

    let mut address = SocketAddr::from((Ipv4Addr::LOCALHOST, DEFAULT_PORT));
    let given = section.text("address", report);
    if let Some((text, at)) = &given {
        match text.parse() {
            Ok(parsed) => address = parsed,
            Err(_) => report.error(
                at,
                format_args!(
                    "address '{text}': expected an IP address and a port, such as '0.0.0.0:6500' or '[::]:6500'"
                ),
            ),
        }
    }

    let insecure = section.boolean("insecure", report).unwrap_or(false);
    let tls = tls(&section, report);
    if let (Tls::Off, Some((_, at))) = (&tls, section.text("tls", report))
        && !address.ip().to_canonical().is_loopback()
        && !insecure
    {
        report.error(
            &at,
            format_args!(
                "tls = \"off\" on {address}: passwords would cross the network in plain text; use \"on\", or say insecure = true"
            ),
        );
    }

    let mut origins = Vec::new();
    for origin in section.texts("origins", report).unwrap_or_default() {
        if !is_origin(origin.0) {
            report.error(
                &origin.1,
                format_args!("origins: expected such as 'https://panel.example' or 'https://panel.example:8443', found '{}'", origin.0),
            );
        } else if let Some(text) = bounded("origins", &origin, report)
            && origins.push(text).is_err()
        {
            report.error(&origin.1, format_args!("origins: more than {}", limits::ORIGINS));
        }
    }
    Listen { address, tls, origins }
}

fn tls(section: &Section<'_, '_>, report: &mut Report<'_>) -> Tls {
    let on = match section.text("tls", report) {
        None | Some(("on", _)) => true,
        Some(("off", _)) => false,
        Some((other, at)) => {
            report.error(&at, format_args!("tls: expected 'on' or 'off', found '{other}'"));
            true
        }
    };
    let named = |key, report: &mut Report<'_>| {
        section.text(key, report).and_then(|text| file_path(key, &text, report).map(|path| (path, text.1)))
    };
    let certificate = named("certificate", report).filter(|(path, _)| path != CERTIFICATE);
    let key = named("key", report).filter(|(path, _)| path != KEY);
    match (&certificate, &key) {
        (Some((_, at)), None) => report.missing(at, "certificate: name its key as well"),
        (None, Some((_, at))) => report.missing(at, "key: name its certificate as well"),
        _ => {}
    }
    let client_ca = match section.text("client_ca", report) {
        None | Some(("", _)) => None,
        Some(text) => file_path("client_ca", &text, report).map(|path| (path, text.1)),
    };
    if !on {
        if let Some((_, at)) = client_ca {
            report.error(&at, "client_ca: needs tls = \"on\"");
        }
        return Tls::Off;
    }
    let own = certificate.is_some();
    let path = |named: Option<(FilePath, Place)>, default: &str| {
        named.map_or_else(|| FilePath::try_from(default).unwrap_or_default(), |(path, _)| path)
    };
    Tls::On {
        certificate: path(certificate, CERTIFICATE),
        key: path(key, KEY),
        own,
        client_ca: client_ca.map(|(path, _)| path),
    }
}

/// Whether this is an origin as browsers send it (RFC 6454, 6.2): scheme, host, port, nothing else.
fn is_origin(text: &str) -> bool {
    let Some((scheme, host)) = text.split_once("://") else {
        return false;
    };
    scheme.starts_with(|c: char| c.is_ascii_lowercase())
        && scheme.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.".contains(&b))
        && !host.is_empty()
        && host.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-_:[]".contains(&b))
}

/// The path of a file.
pub(super) fn file_path(key: &str, text: &(&str, Place), report: &mut Report<'_>) -> Option<FilePath> {
    if text.0.is_empty() || text.0.contains('\0') {
        report.error(&text.1, format_args!("{key}: expected the path of a file"));
        return None;
    }
    bounded(key, text, report)
}

/// `[state] dir`.
pub(super) fn state_dir(root: &Section<'_, '_>, report: &mut Report<'_>) -> FilePath {
    let section = root.section("state", "[state]", &["dir"], report);
    let Some(text) = section.text("dir", report) else {
        return FilePath::new();
    };
    if !text.0.is_empty() && (!text.0.starts_with('/') || text.0.contains('\0')) {
        report.error(&text.1, format_args!("dir '{}': expected an absolute path", text.0));
    }
    bounded("dir", &text, report).unwrap_or_default()
}

/// `[limits] slots`.
pub(super) fn slots(root: &Section<'_, '_>, report: &mut Report<'_>) -> usize {
    let mut known = std::vec::Vec::with_capacity(limits::TABLE.len());
    known.extend(limits::TABLE.iter().map(|(name, _)| *name));
    let section = root.section("limits", "[limits]", &known, report);
    for (name, at, _) in section.entries() {
        if let Some((_, value)) = limits::TABLE.iter().find(|(known, _)| *known == name)
            && name != "slots"
        {
            report.error(
                &at,
                format_args!(
                    "{name} is {value} on board '{}' and fixed when the program is built; only slots can be lowered",
                    limits::BOARD
                ),
            );
        }
    }
    let Some((slots, at)) = section.integer("slots", 2..=u64::MAX, report) else {
        return limits::SLOTS;
    };
    match usize::try_from(slots) {
        Ok(slots) if slots <= limits::SLOTS => slots,
        _ => {
            report.error(
                &at,
                format_args!(
                    "slots = {slots} is more than the {} of board '{}'; a limit can only be lowered",
                    limits::SLOTS,
                    limits::BOARD
                ),
            );
            limits::SLOTS
        }
    }
}

/// `[log]`.
pub(super) fn log(root: &Section<'_, '_>, report: &mut Report<'_>) -> (Level, LogFiles) {
    let section = root.section("log", "[log]", &["file", "file_bytes", "files", "level"], report);
    let level = match section.text("level", report) {
        None => Level::Info,
        Some((name, at)) => Level::from_name(name).unwrap_or_else(|| {
            let names = Level::ALL.map(Level::name);
            report.error(&at, format_args!("level: expected {}, found '{name}'", alternatives(&names)));
            Level::Info
        }),
    };
    let file = match section.text("file", report) {
        None => FilePath::try_from(DEFAULT_LOG_FILE).unwrap_or_default(),
        Some(text) => {
            if !text.0.is_empty() && (!text.0.starts_with('/') || text.0.contains('\0')) {
                report.error(&text.1, format_args!("file '{}': expected an absolute path", text.0));
            }
            bounded("file", &text, report).unwrap_or_default()
        }
    };
    let mut number = |key, range: RangeInclusive<usize>, default| {
        let range = *range.start() as u64..=*range.end() as u64;
        let given = section.integer(key, range, report);
        given.and_then(|(number, _)| usize::try_from(number).ok()).unwrap_or(default)
    };
    let bytes = number("file_bytes", LOG_FILE_BYTES_MIN..=LOG_FILE_BYTES_MAX, LOG_FILE_BYTES);
    let count = number("files", 1..=LOG_FILES_MAX, LOG_FILES);
    (level, LogFiles { file, bytes, count })
}

/// What `[session]` says.
pub(super) struct Session {
    pub(super) idle_timeout: Duration,
    pub(super) lockout_attempts: u8,
    pub(super) lockout_time: Duration,
}

/// `[session]`.
pub(super) fn session(root: &Section<'_, '_>, report: &mut Report<'_>) -> Session {
    let known = ["idle_timeout_s", "lockout_attempts", "lockout_s"];
    let section = root.section("session", "[session]", &known, report);
    let idle_range = IDLE_TIMEOUT_MIN.as_secs()..=IDLE_TIMEOUT_MAX.as_secs();
    let idle = section.integer("idle_timeout_s", idle_range, report);
    let attempts = section.integer("lockout_attempts", 1..=u64::from(LOCKOUT_ATTEMPTS_MAX), report);
    let lockout = section.integer("lockout_s", 1..=LOCKOUT_TIME_MAX.as_secs(), report);
    Session {
        idle_timeout: idle.map_or(IDLE_TIMEOUT, |(seconds, _)| Duration::from_secs(seconds)),
        lockout_attempts: attempts
            .and_then(|(attempts, _)| u8::try_from(attempts).ok())
            .unwrap_or(LOCKOUT_ATTEMPTS),
        lockout_time: lockout.map_or(LOCKOUT_TIME, |(seconds, _)| Duration::from_secs(seconds)),
    }
}
