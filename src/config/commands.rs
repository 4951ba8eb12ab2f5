//! `[service.commands]`.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::alternatives;
use super::diagnostics::Diagnostics;
use super::section::Section;
use super::value::{Span, Text, any_string, arguments, report_type, report_unknown};
use super::warnings::entries;
use crate::limits;
use crate::service::{CommandAction, Name, NamedCommand, Scope, Signal, is_service_name};

/// Keys of a signal with its receivers.
const KEYS: [&str; 2] = ["signal", "scope"];

/// `commands = { reload = "HUP", version = ["/usr/bin/program", "--version"] }`.
pub(super) fn read(
    section: &Section<'_, '_>,
    diagnostics: &mut Diagnostics<'_>,
) -> heapless::Vec<NamedCommand, { limits::SERVICE_COMMANDS }> {
    let mut commands = heapless::Vec::new();
    let Some(table) = section.entries("commands", "[service.commands]", diagnostics) else {
        return commands;
    };
    for (name, value) in entries("commands", table, is_command, diagnostics) {
        let (name, span) = (name.get_ref().as_ref(), name.span());
        let action = command(name, value, diagnostics);
        if !is_service_name(name) {
            diagnostics.error(
                &span,
                format_args!(
                    "commands: '{name}' is not a name; expected letters, digits, '-', '_', '.' and '@'"
                ),
            );
        } else if let Ok(name) = Name::try_from(name) {
            let is_full = action.is_some_and(|action| commands.push(NamedCommand { name, action }).is_err());
            if is_full {
                let most = limits::SERVICE_COMMANDS;
                diagnostics.error(&span, format_args!("commands: more than {most}"));
            }
        } else {
            let bytes = limits::SERVICE_NAME_BYTES;
            diagnostics.error(&span, format_args!("commands: a name is longer than {bytes} bytes"));
        }
    }
    commands
}

/// Returns whether a value may be that of a command.
fn is_command(value: &DeValue<'_>) -> bool {
    match value {
        DeValue::String(text) => Signal::from_name(text).is_some(),
        value => value.is_array() || value.is_table(),
    }
}

/// A signal, a signal with its receivers, or a program and its arguments.
fn command(
    name: &str,
    value: &Spanned<DeValue<'_>>,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<CommandAction> {
    match value.get_ref() {
        DeValue::String(text) => {
            let signal = signal(name, &(text, value.span()), diagnostics)?;
            Some(CommandAction::Signal { signal, scope: Scope::default() })
        }
        DeValue::Table(table) => scoped(name, table, &value.span(), diagnostics),
        DeValue::Array(_) => arguments(name, value, diagnostics).map(CommandAction::Argv),
        _ => {
            report_type(
                name,
                "a signal's name, { signal = \"..\", scope = \"..\" }, or a list of a program and its arguments",
                value,
                diagnostics,
            );
            None
        }
    }
}

/// `{ signal = "HUP", scope = "group" }`.
fn scoped(
    name: &str,
    table: &DeTable<'_>,
    span: &Span,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<CommandAction> {
    for key in table.keys().filter(|key| !KEYS.contains(&key.get_ref().as_ref())) {
        report_unknown(
            key.get_ref(),
            &format!(" in {name}"),
            &key.span(),
            &mut KEYS.into_iter(),
            diagnostics,
        );
    }
    let [signal_value, scope_value] = KEYS.map(|key| table.get(key));
    let scope = match scope_value {
        Some(value) => any_string(name, value, diagnostics).and_then(|text| scope(name, &text, diagnostics)),
        None => Some(Scope::default()),
    };
    let Some(value) = signal_value else {
        diagnostics.error(span, format_args!("{name}: has no signal"));
        return None;
    };
    let text = any_string(name, value, diagnostics)?;
    let signal = signal(name, &text, diagnostics)?;
    Some(CommandAction::Signal { signal, scope: scope? })
}

fn signal(name: &str, text: &Text<'_>, diagnostics: &mut Diagnostics<'_>) -> Option<Signal> {
    known(name, text, Signal::from_name(text.0), &Signal::ALL.map(Signal::name), diagnostics)
}

fn scope(name: &str, text: &Text<'_>, diagnostics: &mut Diagnostics<'_>) -> Option<Scope> {
    known(name, text, Scope::from_name(text.0), &Scope::ALL.map(Scope::name), diagnostics)
}

/// Reports a text that has no value, with those that have one.
fn known<T>(
    name: &str,
    (text, span): &Text<'_>,
    value: Option<T>,
    names: &[&str],
    diagnostics: &mut Diagnostics<'_>,
) -> Option<T> {
    if value.is_none() {
        let names = alternatives(names);
        diagnostics.error(span, format_args!("{name}: expected {names}, found '{text}'"));
    }
    value
}
