//! Values of the configuration file, checked by the row of their key.

use std::ops::Range;

use toml::Spanned;
use toml::de::DeValue;
use toml::value::{Datetime, Offset};

use super::alternatives;
use super::diagnostics::Diagnostics;
use super::key::{Default, Key, Kind};
use super::schema::TABLES;
use super::warnings::{warn_of_shell, write_words};
use crate::limits;
use crate::service::Arguments;
use crate::suggest::nearest;
use crate::wall_clock::seconds_of_day;

/// Byte range of the configuration file.
pub(super) type Span = Range<usize>;

/// String of the configuration file and its span.
pub(super) type Text<'t> = (&'t str, Span);

/// Description of a string.
const STRING: &str = "a string in quotes";

/// The default of a key, if it is a string.
pub(super) fn default_string(key: &Key) -> Option<&'static str> {
    match key.default.value() {
        Default::String(default) => Some(default),
        _ => None,
    }
}

/// The whole number of a value or of an entry of a list, in the range of its row.
pub(super) fn integer(
    key: &Key,
    value: &Spanned<DeValue<'_>>,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<i64> {
    let Some((least, most, limit)) = key.kind.range() else {
        unreachable!("{} is not a number", key.name);
    };
    let Some(integer) = value.get_ref().as_integer() else {
        report_type(key.name, "a whole number", value, diagnostics);
        return None;
    };
    let number = i64::from_str_radix(integer.as_str(), integer.radix()).ok();
    let number = number.filter(|number| (least..=most).contains(number));
    if number.is_none() {
        let board = limit.map(|_| format!(" (limit of board '{}')", limits::BOARD)).unwrap_or_default();
        let message = format_args!("{}: expected {least} to {most}{board}, found {integer}", key.name);
        diagnostics.error(&value.span(), message);
    }
    number
}

/// Seconds from 1970 to a date, or to a date and time; `None` for anything else.
pub(super) fn unix_s(value: &DeValue<'_>) -> Option<u64> {
    let DeValue::Datetime(Datetime { date: Some(date), time, offset }) = value else { return None };
    let day = seconds_of_day(date.year.into(), date.month.into(), date.day.into())?;
    let seconds = time.map_or(0, |time| {
        let [hour, minute, second] = [time.hour, time.minute, time.second.unwrap_or(0)].map(u64::from);
        hour * 3600 + minute * 60 + second
    });
    let offset = match offset {
        Some(Offset::Custom { minutes }) => i64::from(*minutes) * 60,
        Some(Offset::Z) | None => 0,
    };
    Some((day + seconds).saturating_add_signed(-offset))
}

/// The string of a value, in the form that the row of its key demands.
pub(super) fn string<'t>(
    key: &Key,
    value: &'t Spanned<DeValue<'_>>,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<Text<'t>> {
    let Some(text) = value.get_ref().as_str() else {
        let expected = match &key.kind {
            Kind::Choice(words) => alternatives(words),
            _ => STRING.to_owned(),
        };
        report_type(key.name, &expected, value, diagnostics);
        return None;
    };
    let text = (text, value.span());
    if let Some(form) = key.kind.form() {
        if text.0.len() > form.bytes.value as usize {
            diagnostics.error(&text.1, format_args!("{}: longer than {} bytes", key.name, form.bytes.value));
            return None;
        }
        if !(form.is_met)(text.0) {
            report_unexpected(key, &text, diagnostics);
            return None;
        }
    }
    if key.is_secret && key.example.is_some_and(|example| example.trim_matches('"') == text.0) {
        let message = format_args!("{}: this is the published example, which everybody knows", key.name);
        diagnostics.warning(&text.1, message, "write one of your own");
    }
    Some(text)
}

/// The string of a value of any form.
pub(super) fn any_string<'t>(
    name: &str,
    value: &'t Spanned<DeValue<'_>>,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<Text<'t>> {
    let text = value.get_ref().as_str();
    if text.is_none() {
        report_type(name, STRING, value, diagnostics);
    }
    text.map(|text| (text, value.span()))
}

/// A program and its arguments.
pub(super) fn arguments(
    name: &str,
    value: &Spanned<DeValue<'_>>,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<Arguments> {
    let Some(entries) = value.get_ref().as_array() else {
        report_type(name, "a list of strings in brackets", value, diagnostics);
        return None;
    };
    let texts: Vec<_> = entries.iter().filter_map(|entry| any_string(name, entry, diagnostics)).collect();
    if texts.first().is_none_or(|(program, _)| program.is_empty()) {
        diagnostics.error(&value.span(), format_args!("{name}: expected a program and its arguments"));
        return None;
    }
    warn_of_shell(name, &texts, diagnostics);
    let mut arguments = Arguments::new();
    for (text, span) in texts {
        if text.contains('\0') {
            diagnostics.error(&span, format_args!("{name}: an argument cannot contain NUL"));
        } else if arguments.push(text).is_err() {
            let (most, bytes) = (limits::SERVICE_ARGUMENTS, limits::SERVICE_ARGUMENT_BYTES);
            diagnostics.error(&span, format_args!("{name}: more than {most} arguments or {bytes} bytes"));
            return None;
        }
    }
    Some(arguments)
}

/// Reports a string that does not have the form of its row. A secret is not quoted.
pub(super) fn report_unexpected(key: &Key, (text, span): &Text<'_>, diagnostics: &mut Diagnostics<'_>) {
    let (expected, hint) = match &key.kind {
        Kind::Choice(words) => (alternatives(words), hint(text, words.iter().copied())),
        kind => (kind.form().map_or("another value", |form| form.expected).to_owned(), String::new()),
    };
    let found = if key.is_secret { String::new() } else { format!(", found '{text}'") };
    let message = format_args!("{}: expected {expected}{found}", key.name);
    diagnostics.error_with_hint(span, message, &hint);
}

/// Reports a value of another type than `expected`.
pub(super) fn report_type(
    name: &str,
    expected: &str,
    value: &Spanned<DeValue<'_>>,
    diagnostics: &mut Diagnostics<'_>,
) {
    let found = type_of(value.get_ref());
    let hint = match value.get_ref() {
        DeValue::String(text) if expected.starts_with("a list") => write_words(text),
        DeValue::String(_) if expected.contains("number") => "a number has no quotes and no unit".to_owned(),
        DeValue::String(text) if matches!(&**text, "true" | "false") => format!("write {text}"),
        DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_)
            if expected == STRING =>
        {
            "write it in quotes".to_owned()
        }
        _ if expected.starts_with('\'') => "write one of them, with the quotes".to_owned(),
        _ => String::new(),
    };
    let message = format_args!("{name}: expected {expected}, found {found}");
    diagnostics.error_with_hint(&value.span(), message, &hint);
}

/// Keys of systemd and supervisord, and those that have their meaning here.
const FOREIGN: [(&str, &str); 9] = [
    ("ExecStart", "command"),
    ("ExecStartPre", "pre_start"),
    ("ExecStop", "stop_command"),
    ("ExecStopPost", "finish"),
    ("Environment", "env"),
    ("environment", "env"),
    ("autorestart", "restart"),
    ("directory", "working_directory"),
    ("stdout_logfile", "output_file"),
];

/// Reports a name that is not among `known`.
pub(super) fn report_unknown(
    name: &str,
    place: &str,
    span: &Span,
    known: &mut dyn Iterator<Item = &str>,
    diagnostics: &mut Diagnostics<'_>,
) {
    let homes = TABLES.iter().filter(|table| table.key(name).is_some()).map(|table| table.header);
    let homes = Vec::from_iter(homes).join(", ");
    // A table is rather one that is misspelt.
    let near = match FOREIGN.iter().find(|(foreign, _)| *foreign == name) {
        Some((_, own)) => format!("it is called '{own}' here"),
        None if homes.is_empty() || place.is_empty() => hint(name, known),
        None => String::new(),
    };
    let hint = if near.is_empty() && !homes.is_empty() { format!("it is a key of {homes}") } else { near };
    diagnostics.error_with_hint(span, format_args!("unknown key '{name}'{place}"), &hint);
}

/// Reports a name under `key` that no service has.
pub(super) fn report_not_found(
    key: &str,
    (name, span): (&str, &Span),
    known: &[&str],
    diagnostics: &mut Diagnostics<'_>,
) {
    let hint = hint(name, known.iter().copied());
    diagnostics.unknown_reference(span, format_args!("{key}: no service '{name}'"), &hint);
}

/// `did you mean 'address'?`, where one of the known names is near enough.
pub(super) fn hint<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> String {
    nearest(name, known).map_or_else(String::new, |meant| format!("did you mean '{meant}'?"))
}

/// Type of a value, in words.
pub(super) fn type_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
