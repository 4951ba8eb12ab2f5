//! `[syslog]`.

use super::accounts::sha256;
use super::diagnostics::Diagnostics;
use super::schema;
use super::section::Document;
use crate::syslog::{Facility, Settings, Target};

/// `[syslog]`, if it has an address, and whether it sends the output of services without a key of their own.
pub(super) fn read(
    document: &Document<'_, '_>,
    diagnostics: &mut Diagnostics<'_>,
) -> (Option<Settings>, bool) {
    let section = document.section(&schema::SYSLOG, diagnostics);
    let target = section.parsed_if_set("address", Target::parse, diagnostics);
    let mut settings = Settings {
        // Where there is none, the rest has no effect.
        target: target.as_ref().map_or(Target::Journal, |(target, _)| *target),
        authority: section.bounded("ca", diagnostics),
        server_name: section.bounded("server_name", diagnostics),
        key: section.parsed("fingerprint", fingerprint, diagnostics),
        facility: section.parsed("facility", Facility::from_name, diagnostics),
        host: section.bounded("hostname", diagnostics),
        has_audit: section.boolean("audit", diagnostics),
        has_log: section.boolean("server_log", diagnostics),
    };
    let sends_services = section.boolean("services", diagnostics);
    if settings.has_log
        && cfg!(feature = "defmt")
        && let (_, Some(value)) = section.value("server_log", diagnostics)
    {
        diagnostics.error_with_hint(
            &value.span(),
            "server_log: the log of this board is frames, which a log server cannot read",
            "leave it out; [log] file keeps the log",
        );
        settings.has_log = false;
    }
    let Some((target, span)) = target else {
        if !section.is_empty() && !section.is_wrong("address", Target::parse) {
            diagnostics.missing(
                section.span(),
                "[syslog] has no address",
                "write address = \"udp://192.0.2.1:514\"",
            );
        }
        return (None, sends_services);
    };
    let keys = ["ca", "fingerprint"].map(|name| (name, section.changed(name)));
    let proofs = keys.iter().filter(|(_, span)| span.is_some()).count();
    if !target.is_tls() {
        let names = keys.into_iter().chain([("server_name", section.changed("server_name"))]);
        for (name, span) in names.filter_map(|(name, span)| Some((name, span?))) {
            diagnostics.error(&span, format_args!("{name}: needs an address with tls://"));
        }
    } else if proofs != 1 {
        diagnostics.error_with_hint(
            &span,
            "address: with tls:// either ca or fingerprint has to prove that it is the log server",
            "set one of the two",
        );
    }
    if target.is_readable_by_all() {
        diagnostics.warning(
            &span,
            "address: anyone on the way to this public address can read and change what is sent",
            "use tls://",
        );
    }
    if !settings.has_audit
        && let (_, Some(value)) = section.value("audit", diagnostics)
    {
        diagnostics.warning(
            &value.span(),
            "audit: the log server does not learn who did what",
            "leave it out",
        );
    }
    (Some(settings), sends_services)
}

/// SHA-256 in hexadecimal; an empty text is none.
fn fingerprint(text: &str) -> Option<Option<[u8; 32]>> {
    if text.is_empty() { Some(None) } else { sha256(text).map(Some) }
}
