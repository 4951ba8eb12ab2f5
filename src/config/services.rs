//! `[[service]]`.

use core::time::Duration;

use super::diagnostics::Diagnostics;
use super::merge::Masked;
use super::section::{Document, Section};
use super::value::{Span, Text, any_string, report_not_found};
use super::warnings::{entries, has_variable};
use super::{BUILT_IN, attributes, commands, health, life, schema};
use crate::limits;
use crate::service::{
    Arguments, Name, ReadyCheck, RestartPolicy, Sent, ServiceKind, ServiceTable, Signal, Spec, TableError,
    Variables, is_service_name,
};

/// Word of the client for every service.
const EVERY_SERVICE: &str = "all";

/// Services of a file.
pub(super) struct Services<'t> {
    pub(super) table: ServiceTable,
    /// Every `[[service]]` with a name, including those with errors.
    entries: Vec<ServiceEntry<'t>>,
    /// Number of different names among them.
    unique: usize,
    /// Names of masked services, each with its place.
    masked: Vec<Text<'t>>,
}

/// Name of a `[[service]]`, and of those that it waits for, each with its key.
struct ServiceEntry<'t> {
    name: Text<'t>,
    after: Vec<(&'static str, Text<'t>)>,
}

impl<'t> Services<'t> {
    /// Names of all services, including the built-in one and those that are masked.
    pub(super) fn known_names(&self) -> Vec<&'t str> {
        self.names().into_iter().chain(self.masked.iter().map(|(name, _)| *name)).collect()
    }

    /// Names of all services, including the built-in one.
    fn names(&self) -> Vec<&'t str> {
        let mut names: Vec<_> = self.entries.iter().map(|entry| entry.name.0).collect();
        if !names.contains(&BUILT_IN) && self.table.find(BUILT_IN).is_some() {
            names.push(BUILT_IN);
        }
        names
    }
}

/// Each `[[service]]`, and the built-in one if it is not masked and the table has room for it.
pub(super) fn read<'t>(
    document: &Document<'t, '_>,
    masked: &'t [Masked],
    program: &str,
    is_sent: bool,
    diagnostics: &mut Diagnostics<'_>,
) -> Services<'t> {
    let masked = masked.iter().filter(|masked| masked.table.name == schema::SERVICE.name);
    let masked = masked.map(|masked| (masked.name.as_str(), masked.span.clone())).collect();
    let mut services = Services { table: ServiceTable::new(), entries: Vec::new(), unique: 0, masked };
    let sections = document.sections(&schema::SERVICE, diagnostics);
    for section in &sections {
        add(&mut services, section, is_sent, diagnostics);
    }
    if !services.known_names().contains(&BUILT_IN)
        && let Ok(mut hello) = Spec::new(BUILT_IN, &[program, BUILT_IN])
    {
        hello.is_sent = Sent(is_sent);
        // A full table has no built-in service.
        let _ = services.table.push(hello);
    }
    check_order(&services, diagnostics);
    check_output_files(&sections, diagnostics);
    let names = services.names();
    health::read(document, &sections, &names, &mut services.table, diagnostics);
    services
}

/// Reports a file of output that two services have.
fn check_output_files(sections: &[Section<'_, '_>], diagnostics: &mut Diagnostics<'_>) {
    let mut seen = Vec::new();
    for (path, span) in sections.iter().filter_map(|section| section.written("output_file")) {
        if seen.contains(&path) {
            diagnostics.error(&span, format_args!("output_file: another service has '{path}'"));
        }
        seen.push(path);
    }
}

fn add<'t>(
    services: &mut Services<'t>,
    section: &Section<'t, '_>,
    is_sent: bool,
    diagnostics: &mut Diagnostics<'_>,
) {
    let [after, requires] = ["after", "requires"].map(|key| section.strings(key, diagnostics));
    let spec = spec(section, &after, &requires, is_sent, diagnostics);
    let Some(name) = section.written("name") else {
        diagnostics.doubt_names();
        return;
    };
    let first = services.entries.iter().find(|entry| entry.name.0 == name.0);
    let first_line = first.map(|first| diagnostics.line(&first.name.1, &name.1));
    let after = after.into_iter().map(|name| ("after", name));
    let after = after.chain(requires.into_iter().map(|name| ("requires", name))).collect();
    services.entries.push(ServiceEntry { name: name.clone(), after });
    if !is_service_name(name.0) || name.0.len() > limits::SERVICE_NAME_BYTES {
        diagnostics.doubt_names();
    }
    if name.0 == EVERY_SERVICE {
        let message = format_args!("name: '{EVERY_SERVICE}' stands for every service in `friendlet ctl`");
        diagnostics.warning(&name.1, message, "choose another name");
    }
    if let Some(line) = first_line {
        diagnostics.error(&name.1, format_args!("duplicate service '{}', first in {line}", name.0));
        // One of them was meant to have another one.
        diagnostics.doubt_names();
        return;
    }
    services.unique += 1;
    if services.unique > limits::SERVICES {
        // The first of them is enough.
        if services.unique == limits::SERVICES + 1 {
            diagnostics.error(section.span(), TableError::Full);
        }
    } else if let Some(spec) = spec
        && let Err(error) = services.table.push(spec)
    {
        diagnostics.error(section.span(), error);
    }
}

/// Parses a service; `None` if it has no name or no program.
fn spec(
    section: &Section<'_, '_>,
    after: &[Text<'_>],
    requires: &[Text<'_>],
    is_sent: bool,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<Spec> {
    life::check_instances(section, diagnostics);
    // Where it is false, the service is masked.
    section.boolean("enabled", diagnostics);
    let name = section.bounded_if_set("name", diagnostics);
    let argv = life::program(section, "command", diagnostics);
    let kind = section.parsed("type", ServiceKind::from_name, diagnostics);
    let restart = restart(section, kind, diagnostics);
    let start_limit = section.integer("start_limit", diagnostics);
    let spec = Spec {
        name: Name::new(),
        kind,
        description: section.bounded_if_set("description", diagnostics),
        argv: Arguments::new(),
        pre_start: life::program(section, "pre_start", diagnostics),
        stop_command: life::program(section, "stop_command", diagnostics),
        finish: life::program(section, "finish", diagnostics),
        env: variables(section, diagnostics),
        cwd: section.bounded("cwd", diagnostics),
        user: section.bounded("user", diagnostics),
        attributes: attributes::read(section, diagnostics),
        autostart: section.boolean("autostart", diagnostics),
        is_required: section.boolean("required", diagnostics),
        restart,
        start_limit,
        schedule: life::schedule(section, kind, diagnostics),
        on_failure: life::on_failure(section, restart, start_limit, diagnostics),
        on_success: life::on_success(section, restart, diagnostics),
        success_codes: section.integers("success_codes", diagnostics),
        after: section.list("after", after, |name| name.try_into().ok(), diagnostics),
        requires: section.list("requires", requires, |name| name.try_into().ok(), diagnostics),
        wait: life::conditions(section, "wait", diagnostics),
        needs: life::conditions(section, "needs", diagnostics),
        ready: ready(section, kind, diagnostics),
        ready_timeout: Duration::from_secs(section.integer("ready_timeout_s", diagnostics)),
        watchdog: watchdog(section, kind, diagnostics),
        max_runtime: life::seconds_if_set(section, "max_runtime_s", diagnostics),
        stop_signal: section.parsed("stop_signal", stop_signal, diagnostics),
        stop_timeout: Duration::from_secs(section.integer("stop_timeout_s", diagnostics)),
        commands: commands::read(section, diagnostics),
        output: life::output(section, diagnostics),
        is_sent: Sent(section.boolean_or("syslog", is_sent, diagnostics)),
        webgui: section.bounded_if_set("webgui", diagnostics),
    };
    (!argv.is_empty()).then_some(Spec { name: name?, argv, ..spec })
}

fn restart(section: &Section<'_, '_>, kind: ServiceKind, diagnostics: &mut Diagnostics<'_>) -> RestartPolicy {
    let policy = section.parsed("restart", RestartPolicy::from_name, diagnostics);
    if let Some((_, span)) = section.written("restart")
        && (kind, policy) == (ServiceKind::Oneshot, RestartPolicy::Always)
    {
        diagnostics.error(&span, "restart: a service of type oneshot is not started again after a success");
    }
    policy
}

/// The sign of readiness. Only a simple service has a choice.
fn ready(section: &Section<'_, '_>, kind: ServiceKind, diagnostics: &mut Diagnostics<'_>) -> ReadyCheck {
    let Some((ready, span)) = section.parsed_if_set("ready", ReadyCheck::from_text, diagnostics) else {
        return ReadyCheck::OfKind;
    };
    if kind != ServiceKind::Simple {
        let kind = kind.name();
        diagnostics.error(&span, format_args!("ready: type {kind} has its own sign of readiness"));
    }
    ready
}

fn watchdog(
    section: &Section<'_, '_>,
    kind: ServiceKind,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<Duration> {
    let watchdog = life::seconds_if_set(section, "watchdog_s", diagnostics);
    if watchdog.is_some()
        && kind != ServiceKind::Notify
        && let (_, Some(value)) = section.value("watchdog_s", diagnostics)
    {
        diagnostics
            .error(&value.span(), "watchdog_s: only a service of type notify reports that it is alive");
    }
    watchdog
}

fn stop_signal(name: &str) -> Option<Signal> {
    Signal::from_name(name).filter(|signal| signal.can_end())
}

/// `env = { NAME = "value" }`.
fn variables(section: &Section<'_, '_>, diagnostics: &mut Diagnostics<'_>) -> Variables {
    let mut variables = Variables::new();
    let Some(table) = section.entries("env", "{ NAME = \"value\" }", diagnostics) else {
        return variables;
    };
    for (name, value) in entries("env", table, |value| value.is_str(), diagnostics) {
        let (name, span) = (name.get_ref().as_ref(), name.span());
        let Some((text, at)) = any_string(name, value, diagnostics) else {
            continue;
        };
        if name.is_empty() || name.contains(['=', '\0']) || text.contains('\0') {
            diagnostics.error(
                &span,
                "env: a name cannot be empty or contain '=', and neither it nor its value can contain NUL",
            );
        } else if variables.push(&format!("{name}={text}")).is_err() {
            let (most, bytes) = (limits::SERVICE_VARIABLES, limits::SERVICE_VARIABLE_BYTES);
            diagnostics.error(&at, format_args!("env: more than {most} variables or {bytes} bytes"));
        }
        if has_variable(text) {
            // The value may be a secret.
            let message = format_args!("env: {name}: a variable such as $PATH is not replaced");
            diagnostics.warning(&at, message, "write its value");
        }
    }
    variables
}

/// Reports services that wait for one that does not exist, or for each other.
fn check_order(services: &Services<'_>, diagnostics: &mut Diagnostics<'_>) {
    let names = services.names();
    for entry in &services.entries {
        for (key, (name, span)) in &entry.after {
            if let Some((_, mask)) = services.masked.iter().find(|(masked, _)| masked == name) {
                let mask = diagnostics.line(mask, span);
                diagnostics.error(span, format_args!("{key}: service '{name}' is masked in {mask}"));
            } else if !names.contains(name) {
                report_not_found(key, (name, span), &names, diagnostics);
            }
        }
    }
    if services.unique > limits::SERVICES {
        // Reported already, and the search is quadratic.
        return;
    }
    let mut reported: Vec<&str> = Vec::new();
    for entry in &services.entries {
        let name = entry.name.0;
        if reported.contains(&name) {
            continue;
        }
        if let Some(cycle) = find_cycle(&services.entries, name) {
            let next = entry.after.iter().find(|(_, (other, _))| cycle.contains(other));
            let span: Span = next.map_or_else(|| entry.name.1.clone(), |(_, (_, span))| span.clone());
            let key = next.map_or("after", |(key, _)| key);
            if let [_] = cycle[..] {
                diagnostics.missing(&span, format_args!("{key}: a service cannot wait for itself"), "");
            } else {
                let names = cycle.join(", ");
                diagnostics.missing(
                    &span,
                    format_args!("{key}: these services wait for each other: {names}, {name}"),
                    "",
                );
            }
            reported.extend(cycle);
        }
    }
}

/// Names on a path from this service back to itself, this one first.
fn find_cycle<'t>(entries: &[ServiceEntry<'t>], name: &'t str) -> Option<Vec<&'t str>> {
    let mut paths = vec![vec![name]];
    let mut visited = Vec::new();
    while let Some(path) = paths.pop() {
        let last = *path.last()?;
        let Some(entry) = entries.iter().find(|entry| entry.name.0 == last) else {
            continue;
        };
        for (_, (next, _)) in &entry.after {
            if *next == name {
                return Some(path);
            }
            if !visited.contains(next) {
                visited.push(*next);
                paths.push(path.iter().copied().chain([*next]).collect());
            }
        }
    }
    None
}
