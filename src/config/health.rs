//! `[[check]]`, and `health` of a service.

use core::time::Duration;

use super::diagnostics::Diagnostics;
use super::schema;
use super::section::{Document, Section};
use super::value::{Text, arguments, report_not_found};
use crate::limits::CHECKS;
use crate::service::{Check, CheckKind, CheckLevel, Endpoint, ServiceKind, ServiceTable, Url};

/// Keys of the attempt, of which a check has one.
const KINDS: [&str; 4] = ["tcp", "unix", "http", "command"];

/// Adds the check of each of these services, and each `[[check]]`, to the table.
pub(super) fn read<'t>(
    document: &Document<'t, '_>,
    services: &[Section<'t, '_>],
    names: &[&str],
    table: &mut ServiceTable,
    diagnostics: &mut Diagnostics<'_>,
) {
    let mut seen = Vec::new();
    for service in services {
        if let Some(section) = service.nested("health", &schema::HEALTH, diagnostics) {
            let name = service.written("name");
            add(table, &mut seen, &section, name.clone(), CheckLevel::Alive, name, diagnostics);
        }
    }
    for section in document.sections(&schema::CHECK, diagnostics) {
        // Where it is false, the check is masked.
        section.boolean("enabled", diagnostics);
        let name = section.string("name", diagnostics);
        let level = section.parsed("level", CheckLevel::from_name, diagnostics);
        let service = section.string("service", diagnostics);
        if let Some((of, span)) = &service
            && !names.contains(of)
        {
            report_not_found("service", (of, span), names, diagnostics);
        }
        add(table, &mut seen, &section, name, level, service, diagnostics);
    }
}

/// Adds one check. `seen` has the names of those before it.
fn add<'t>(
    table: &mut ServiceTable,
    seen: &mut Vec<Text<'t>>,
    section: &Section<'t, '_>,
    name: Option<Text<'t>>,
    level: CheckLevel,
    service: Option<Text<'t>>,
    diagnostics: &mut Diagnostics<'_>,
) {
    let kind = kind(section, service.is_some(), diagnostics);
    let mut seconds = |key| Duration::from_secs(section.integer(key, diagnostics));
    let [period, timeout, grace] = ["period_s", "timeout_s", "grace_s"].map(&mut seconds);
    let limit = section.integer("limit", diagnostics);
    let of = service.as_ref().and_then(|(name, _)| table.find(name));
    if of.and_then(|of| table.get(of)).is_some_and(|spec| spec.kind == ServiceKind::Oneshot) {
        diagnostics.error(section.span(), "a service of type oneshot has no process to check");
    }
    let Some(name) = name else { return };
    if let Some(first) = seen.iter().find(|first| first.0 == name.0) {
        let first = diagnostics.line(&first.1, &name.1);
        diagnostics.error(&name.1, format_args!("duplicate check '{}', first in {first}", name.0));
        return;
    }
    seen.push(name.clone());
    if seen.len() > CHECKS {
        diagnostics.error(section.span(), format_args!("more than {CHECKS} checks"));
    } else if let (Some(kind), Ok(name)) = (kind, name.0.try_into()) {
        // Not full: each check has a name.
        let _ = table.push_check(Check { name, level, kind, service: of, period, timeout, limit, grace });
    }
}

/// The attempt of a check, by the one of its keys that is set.
fn kind(
    section: &Section<'_, '_>,
    has_service: bool,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<CheckKind> {
    let values = KINDS.map(|key| section.value(key, diagnostics).1.map(|value| (key, value)));
    let mut set = values.into_iter().flatten();
    let Some((key, value)) = set.next() else {
        diagnostics.missing(section.span(), "a check needs one of tcp, unix, http and command", "");
        return None;
    };
    for (other, value) in set {
        diagnostics.error(&value.span(), format_args!("{other}: the check has {key} already"));
    }
    let (tcp, unix) = (Endpoint::tcp, Endpoint::unix);
    match key {
        "tcp" => section.parsed_if_set(key, tcp, diagnostics).map(|(to, _)| CheckKind::Connect(to)),
        "unix" => section.parsed_if_set(key, unix, diagnostics).map(|(to, _)| CheckKind::Connect(to)),
        "http" => {
            section.parsed_if_set(key, Url::from_text, diagnostics).map(|(url, _)| CheckKind::Http(url))
        }
        _ => {
            if !has_service {
                diagnostics.error(&value.span(), "command: needs a service, with whose user it runs");
            }
            arguments(key, value, diagnostics).map(CheckKind::Command)
        }
    }
}
