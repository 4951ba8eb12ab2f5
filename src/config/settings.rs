//! Tables that the configuration file has once: `[listen]`, `[web]`, `[state]`, `[limits]`, `[log]`, `[update]`, `[session]`.

use core::net::SocketAddr;
use core::time::Duration;

use super::checks::OFF;
use super::diagnostics::Diagnostics;
use super::section::{Document, Section};
use super::{FilePath, Listen, LocalSocket, LogFiles, Tls, Update, Web, schema};
use crate::http::{ClientFrom, Front};
use crate::log::Level;

/// `[listen]`.
pub(super) fn listen(document: &Document<'_, '_>, diagnostics: &mut Diagnostics<'_>) -> Listen {
    let section = document.section(&schema::LISTEN, diagnostics);
    let address: SocketAddr = section.parsed("address", |text| text.parse().ok(), diagnostics);
    let is_announced = section.boolean("announce", diagnostics);
    if is_announced
        && address.ip().to_canonical().is_loopback()
        && let (_, Some(value)) = section.value("announce", diagnostics)
    {
        let message = format_args!("announce: only this machine reaches {address}: nothing is announced");
        let hint = "set address to one of the network, such as '0.0.0.0:6500'";
        diagnostics.warning(&value.span(), message, hint);
    }
    let is_insecure = section.boolean("insecure", diagnostics);
    let tls_off = section.parsed_if_set("tls", is_off, diagnostics).filter(|(is_off, _)| *is_off);
    if let Some((_, span)) = &tls_off
        && !address.ip().to_canonical().is_loopback()
        && !is_insecure
    {
        diagnostics.error_with_hint(
            span,
            format_args!("tls = \"off\" on {address}: passwords would cross the network in plain text"),
            "use \"on\", or set insecure = true",
        );
    }
    let tls = tls(&section, tls_off.is_some(), diagnostics);
    let origins = section.strings("origins", diagnostics);
    let origins = section.list("origins", &origins, |text| text.try_into().ok(), diagnostics);
    let public_url = section.bounded("public_url", diagnostics);
    let proxies = section.strings("trusted_proxies", diagnostics);
    let proxies = section.list("trusted_proxies", &proxies, |text| text.parse().ok(), diagnostics);
    let client_from = section.parsed("client_from", ClientFrom::from_name, diagnostics);
    if proxies.is_empty()
        && let Some(span) = section.changed("public_url")
    {
        let text =
            "all clients of the proxy count as one address: a block after wrong passwords is for all of them";
        diagnostics.warning(&span, format_args!("public_url: {text}"), "name the proxy in trusted_proxies");
    }
    let front = Front { origins, public_url, proxies, client_from };
    let socket = match section.bounded_if_set("socket", diagnostics) {
        None => LocalSocket::Default,
        Some(word) if word == OFF => LocalSocket::Off,
        Some(path) => LocalSocket::At(path),
    };
    Listen { address, is_announced, tls, front, socket }
}

fn is_off(word: &str) -> Option<bool> {
    match word {
        "on" => Some(false),
        "off" => Some(true),
        _ => None,
    }
}

fn tls(section: &Section<'_, '_>, is_off: bool, diagnostics: &mut Diagnostics<'_>) -> Tls {
    let certificate: FilePath = section.bounded("certificate", diagnostics);
    let key: FilePath = section.bounded("key", diagnostics);
    let client_ca: FilePath = section.bounded("client_ca", diagnostics);
    let own_certificate = section.changed("certificate");
    let own_key = section.changed("key");
    match (&own_certificate, &own_key) {
        (Some(span), None) => diagnostics.missing(span, "certificate: set key as well", ""),
        (None, Some(span)) => diagnostics.missing(span, "key: set certificate as well", ""),
        _ => {}
    }
    if !is_off {
        let client_ca = Some(client_ca).filter(|path| !path.is_empty());
        return Tls::On { certificate, key, own: own_certificate.is_some(), client_ca };
    }
    if let Some(span) = section.changed("client_ca") {
        diagnostics.error(&span, "client_ca: needs tls = \"on\"");
    }
    Tls::Off
}

/// `[web]`.
pub(super) fn web(document: &Document<'_, '_>, diagnostics: &mut Diagnostics<'_>) -> Web {
    let section = document.section(&schema::WEB, diagnostics);
    Web { root: section.bounded("root", diagnostics), bytes: section.integer("bytes", diagnostics) }
}

/// `[state] dir`.
pub(super) fn state_dir(document: &Document<'_, '_>, diagnostics: &mut Diagnostics<'_>) -> FilePath {
    document.section(&schema::STATE, diagnostics).bounded("dir", diagnostics)
}

/// `[limits] slots`.
pub(super) fn slots(document: &Document<'_, '_>, diagnostics: &mut Diagnostics<'_>) -> usize {
    document.section(&schema::LIMITS, diagnostics).integer("slots", diagnostics)
}

/// `[log]`.
pub(super) fn log(
    document: &Document<'_, '_>,
    diagnostics: &mut Diagnostics<'_>,
) -> (Level, LogFiles, LogFiles) {
    let section = document.section(&schema::LOG, diagnostics);
    let level = section.parsed("level", Level::from_name, diagnostics);
    let files = LogFiles {
        file: section.bounded("file", diagnostics),
        bytes: section.integer("file_bytes", diagnostics),
        count: section.integer("files", diagnostics),
    };
    let audit = LogFiles {
        file: section.bounded("audit", diagnostics),
        bytes: section.integer("audit_bytes", diagnostics),
        count: section.integer("audit_files", diagnostics),
    };
    if !audit.file.is_empty()
        && audit.file == files.file
        && let (_, Some(value)) = section.value("audit", diagnostics)
    {
        diagnostics.error(&value.span(), "audit: the log has this file");
    }
    (level, files, audit)
}

/// `[update]`.
pub(super) fn update(document: &Document<'_, '_>, diagnostics: &mut Diagnostics<'_>) -> Update {
    let section = document.section(&schema::UPDATE, diagnostics);
    let settle = Duration::from_secs(section.integer("settle_s", diagnostics));
    let confirm = |name: &str| match name {
        "automatic" => Some(false),
        "administrator" => Some(true),
        _ => None,
    };
    Update { settle, needs_administrator: section.parsed("confirm", confirm, diagnostics) }
}

/// Values of `[session]`.
pub(super) struct Session {
    pub(super) idle_timeout: Duration,
    pub(super) lifetime: Duration,
    pub(super) lockout_attempts: u8,
    pub(super) lockout_time: Duration,
}

/// `[session]`.
pub(super) fn session(document: &Document<'_, '_>, diagnostics: &mut Diagnostics<'_>) -> Session {
    let section = document.section(&schema::SESSION, diagnostics);
    let lifetime = match section.integer("lifetime_s", diagnostics) {
        0 => Duration::MAX,
        seconds => Duration::from_secs(seconds),
    };
    Session {
        idle_timeout: Duration::from_secs(section.integer("idle_timeout_s", diagnostics)),
        lifetime,
        lockout_attempts: section.integer("lockout_attempts", diagnostics),
        lockout_time: Duration::from_secs(section.integer("lockout_s", diagnostics)),
    }
}
