//! `[[service]]` of the device file.

use core::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use super::accounts::unknown;
use super::alternatives;
use super::diagnostics::Report;
use super::section::{Place, Section, bounded, report_kind, text, texts};
use crate::limits;
use crate::service::{
    Arguments, CommandAction, Name, NamedCommand, RestartPolicy, ServiceTable, Signal, Spec, TableError,
    is_service_name,
};

/// The service that is there when the device file names none of this name.
const BUILT_IN: &str = "hello";
const POLICIES: [RestartPolicy; 3] = [RestartPolicy::Never, RestartPolicy::OnFailure, RestartPolicy::Always];

/// All services of a device file.
pub(super) struct Services<'t> {
    pub(super) table: ServiceTable,
    /// Those of the file, also where something is wrong with one.
    mentions: Vec<Mention<'t>>,
    /// How many of those have a name that none before has.
    distinct: usize,
}

/// A service of the file by its name, and those it waits for.
struct Mention<'t> {
    name: (&'t str, Place),
    after: Vec<(&'t str, Place)>,
}

impl<'t> Services<'t> {
    /// The names of all services, the built-in one among them.
    pub(super) fn names(&self) -> Vec<&'t str> {
        let mut names: Vec<_> = self.mentions.iter().map(|mention| mention.name.0).collect();
        if !names.contains(&BUILT_IN) && self.table.find(BUILT_IN).is_some() {
            names.push(BUILT_IN);
        }
        names
    }
}

/// Each `[[service]]`, and the built-in one where there is room for it.
pub(super) fn read<'t>(root: &Section<'t, '_>, program: &str, report: &mut Report<'_>) -> Services<'t> {
    let mut services = Services { table: ServiceTable::new(), mentions: Vec::new(), distinct: 0 };
    for value in root.tables("service", report) {
        add(&mut services, value, report);
    }
    if !services.names().contains(&BUILT_IN)
        && let Ok(hello) = Spec::new(BUILT_IN, &[program, BUILT_IN])
    {
        // A table without room for it does without.
        let _ = services.table.push(hello);
    }
    check_order(&services, report);
    services
}

fn add<'t>(services: &mut Services<'t>, value: &'t Spanned<DeValue<'_>>, report: &mut Report<'_>) {
    let known = [
        "after",
        "autostart",
        "command",
        "commands",
        "cwd",
        "env",
        "name",
        "restart",
        "stop_signal",
        "stop_timeout_s",
        "user",
        "webgui",
    ];
    let Some(section) = Section::of("[[service]]", value, &known, report) else {
        return;
    };
    let name = section.needed_text("name", report);
    let after = section.texts("after", report).unwrap_or_default();
    let spec = spec(&section, &after, report);
    let Some(name) = name else {
        return;
    };
    let first = services.mentions.iter().find(|mention| mention.name.0 == name.0);
    let duplicate_of = first.map(|first| report.line(&first.name.1));
    services.mentions.push(Mention { name: name.clone(), after });
    if let Some(line) = duplicate_of {
        report.error(&name.1, format_args!("service '{}' is there already, in line {line}", name.0));
        return;
    }
    services.distinct += 1;
    if !is_service_name(name.0) {
        report.error(&name.1, format_args!("name '{}': {}", name.0, TableError::BadName));
        return;
    }
    let bounded_name = bounded("name", &name, report);
    if services.distinct > limits::SERVICES {
        report.error(section.at(), TableError::Full);
    } else if let (Some(mut spec), Some(bounded_name)) = (spec, bounded_name) {
        spec.name = bounded_name;
        if let Err(error) = services.table.push(spec) {
            report.error(section.at(), error);
        }
    }
}

/// A service but for its name; None when it has no program.
fn spec(section: &Section<'_, '_>, after: &[(&str, Place)], report: &mut Report<'_>) -> Option<Spec> {
    let mut spec = Spec { stop_timeout: limits::STOP_TIMEOUT, ..Spec::default() };
    let argv = match section.value("command") {
        Some(value) => arguments("command", value, report),
        None => {
            report.missing(section.at(), "[[service]] has no command");
            None
        }
    };
    if let Some(value) = section.value("env") {
        variables(&mut spec, value, report);
    }
    if let Some(cwd) = section.text("cwd", report) {
        if !cwd.0.starts_with('/') || cwd.0.contains('\0') {
            report.error(&cwd.1, format_args!("cwd '{}': expected an absolute path", cwd.0));
        }
        spec.cwd = bounded("cwd", &cwd, report).unwrap_or_default();
    }
    if let Some(user) = section.text("user", report) {
        spec.user = bounded("user", &user, report).unwrap_or_default();
    }
    spec.autostart = section.boolean("autostart", report).unwrap_or(false);
    if let Some((name, at)) = section.text("restart", report) {
        match RestartPolicy::from_name(name) {
            Some(policy) => spec.restart = policy,
            None => {
                let names = POLICIES.map(RestartPolicy::name);
                report.error(&at, format_args!("restart: expected {}, found '{name}'", alternatives(&names)));
            }
        }
    }
    for other in after {
        if let Some(name) = bounded("after", other, report)
            && spec.after.push(name).is_err()
        {
            report.error(&other.1, format_args!("after: more than {}", limits::SERVICE_AFTER));
        }
    }
    if let Some((name, at)) = section.text("stop_signal", report)
        && let Some(signal) = signal("stop_signal", name, &at, Signal::can_end, report)
    {
        spec.stop_signal = signal;
    }
    let timeout_range = 1..=limits::STOP_TIMEOUT_MAX.as_secs();
    if let Some((seconds, _)) = section.integer("stop_timeout_s", timeout_range, report) {
        spec.stop_timeout = Duration::from_secs(seconds);
    }
    if let Some(value) = section.value("commands") {
        commands(&mut spec, value, report);
    }
    if let Some(html) = section.text("webgui", report) {
        spec.webgui = bounded("webgui", &html, report);
    }
    spec.argv = argv?;
    Some(spec)
}

/// A program and its arguments.
pub(super) fn arguments(
    key: &str,
    value: &Spanned<DeValue<'_>>,
    report: &mut Report<'_>,
) -> Option<Arguments> {
    let texts = texts(value, key, report)?;
    if texts.first().is_none_or(|(program, _)| program.is_empty()) {
        report.error(&value.span(), format_args!("{key}: expected a program and its arguments"));
        return None;
    }
    let mut arguments = Arguments::new();
    for (text, at) in texts {
        if text.contains('\0') {
            report.error(&at, format_args!("{key}: an argument cannot hold a NUL"));
        } else if arguments.push(text).is_err() {
            report.error(
                &at,
                format_args!(
                    "{key}: more than {} arguments, or than {} bytes of them together",
                    limits::SERVICE_ARGUMENTS,
                    limits::SERVICE_ARGUMENT_BYTES
                ),
            );
            return None;
        }
    }
    Some(arguments)
}

/// `env = { NAME = "value" }`.
fn variables(spec: &mut Spec, value: &Spanned<DeValue<'_>>, report: &mut Report<'_>) {
    let Some(table) = value.get_ref().as_table() else {
        report_kind("env", "{ NAME = \"value\" }", value, report);
        return;
    };
    for (key, value) in table {
        let name = key.get_ref().as_ref();
        let Some((text, at)) = text(value, name, report) else {
            continue;
        };
        if name.is_empty() || name.contains(['=', '\0']) || text.contains('\0') {
            report.error(
                &key.span(),
                "env: a name is not empty and holds no '=', and neither it nor its value holds a NUL",
            );
        } else if spec.env.push(&format!("{name}={text}")).is_err() {
            report.error(
                &at,
                format_args!(
                    "env: more than {} variables, or than {} bytes of them together",
                    limits::SERVICE_VARIABLES,
                    limits::SERVICE_VARIABLE_BYTES
                ),
            );
        }
    }
}

/// `commands = { reload = "HUP", version = ["/usr/bin/program", "--version"] }`.
fn commands(spec: &mut Spec, value: &Spanned<DeValue<'_>>, report: &mut Report<'_>) {
    let Some(table) = value.get_ref().as_table() else {
        report_kind("commands", "[service.commands]", value, report);
        return;
    };
    for (key, value) in table {
        let name = (key.get_ref().as_ref(), key.span());
        let what = match value.get_ref() {
            DeValue::String(text) => {
                signal(name.0, text, &value.span(), |_| true, report).map(CommandAction::Signal)
            }
            DeValue::Array(_) => arguments(name.0, value, report).map(CommandAction::Argv),
            _ => {
                report_kind(
                    name.0,
                    "a signal's name, or a list of a program and its arguments",
                    value,
                    report,
                );
                None
            }
        };
        if !is_service_name(name.0) {
            report.error(
                &name.1,
                format_args!(
                    "commands: '{}' is no name; expected letters, digits, '-', '_', '.' and '@'",
                    name.0
                ),
            );
        } else if let Some(bounded_name) =
            bounded::<{ limits::SERVICE_NAME_BYTES }>("commands", &name, report)
            && let Some(what) = what
            && spec.commands.push(NamedCommand { name: Name::from(bounded_name), action: what }).is_err()
        {
            report.error(
                &name.1,
                format_args!("commands: more than {} of one service", limits::SERVICE_COMMANDS),
            );
        }
    }
}

/// The signal of this name, if it is one of those allowed here.
fn signal(
    key: &str,
    name: &str,
    at: &Place,
    is_allowed: impl Fn(Signal) -> bool,
    report: &mut Report<'_>,
) -> Option<Signal> {
    let signal = Signal::from_name(name).filter(|signal| is_allowed(*signal));
    if signal.is_none() {
        let allowed = Signal::ALL.into_iter().filter(|signal| is_allowed(*signal));
        let names = allowed.map(Signal::name).collect::<Vec<_>>();
        report.error(at, format_args!("{key}: expected {}, found '{name}'", alternatives(&names)));
    }
    signal
}

/// Reports services that wait for what does not exist, or for each other.
fn check_order(services: &Services<'_>, report: &mut Report<'_>) {
    let names = services.names();
    for mention in &services.mentions {
        for (name, at) in &mention.after {
            if !names.contains(name) {
                report.missing(at, unknown("after", "service", name, &names));
            }
        }
    }
    if services.distinct > limits::SERVICES {
        // Reported already, and the search is made for few.
        return;
    }
    let mut told: Vec<&str> = Vec::new();
    for mention in &services.mentions {
        let name = mention.name.0;
        if told.contains(&name) {
            continue;
        }
        if let Some(ring) = ring(&services.mentions, name) {
            let at = mention.after.iter().find(|(other, _)| ring.contains(other)).map(|(_, at)| at.clone());
            report.missing(
                &at.unwrap_or(mention.name.1.clone()),
                format_args!("after: these services wait for each other: {}, {name}", ring.join(", ")),
            );
            told.extend(ring);
        }
    }
}

/// A way by which this service waits for itself: the names on it, this one first.
fn ring<'t>(mentions: &[Mention<'t>], name: &'t str) -> Option<Vec<&'t str>> {
    let mut ways = vec![vec![name]];
    let mut visited = Vec::new();
    while let Some(way) = ways.pop() {
        let last = *way.last()?;
        let Some(mention) = mentions.iter().find(|mention| mention.name.0 == last) else {
            continue;
        };
        for (next, _) in &mention.after {
            if *next == name {
                return Some(way);
            }
            if !visited.contains(next) {
                visited.push(*next);
                ways.push(way.iter().copied().chain([*next]).collect());
            }
        }
    }
    None
}
