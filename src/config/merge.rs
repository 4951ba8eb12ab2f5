//! The files of a configuration, merged: each is TOML of its own, and a later one overrides an earlier one by name.

use std::mem;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::diagnostics::Diagnostics;
use super::key::Table;
use super::schema::{CHECK, DEVICE, SERVICE};
use super::sources::{Source, size_error};
use super::syntax::parse_toml;
use super::value::{Span, type_of};
use super::{BUILT_IN, References, instances};
use crate::limits::CONFIG_BYTES;

/// Tables that a drop-in may have.
const ALLOWED: [&Table; 3] = [&SERVICE, &CHECK, &DEVICE];
/// Tables that a later file overrides by their names.
const NAMED: [&Table; 2] = [&SERVICE, &CHECK];

/// Values of all files.
pub(super) struct Merged<'t> {
    /// Values in force.
    pub(super) values: DeTable<'t>,
    /// Tables with `enabled = false`.
    pub(super) masked: Vec<Masked>,
    /// Place of each table that another one overrides, and that of the other one.
    pub(super) overridden: Vec<(Span, Span)>,
}

/// Table with `enabled = false`.
pub(super) struct Masked {
    /// Its kind.
    pub(super) table: &'static Table,
    /// Its name.
    pub(super) name: String,
    /// Its place.
    pub(super) span: Span,
}

/// Reads the files, and merges them: services and checks by name, where the last one wins and stands in the place of the
/// first; rules of devices with those of later files first.
pub(super) fn merge<'t>(
    files: &[Source<'t>],
    references: References,
    diagnostics: &mut Diagnostics<'_>,
) -> Merged<'t> {
    let mut values = DeTable::new();
    let mut bytes = 0;
    for (index, file) in files.iter().enumerate() {
        let start = diagnostics.start(index);
        bytes += if index == 0 { file.text.map_or(0, str::len) } else { file.document_bytes() };
        match file.text {
            Err(reason) => diagnostics.unreadable(index, reason),
            Ok(text) if index == 0 => values = parse_toml(text, 0, diagnostics),
            Ok(_) if bytes > CONFIG_BYTES => diagnostics.unreadable(index, &size_error()),
            Ok(text) => add(&mut values, shift(parse_toml(text, start, diagnostics), start), diagnostics),
        }
    }
    let mut merged = Merged { values, masked: Vec::new(), overridden: Vec::new() };
    merged.override_by_name(diagnostics);
    if let Some(services) = array(&mut merged.values, &SERVICE) {
        instances::expand(services);
    }
    // An instance may be overridden, too.
    merged.override_by_name(diagnostics);
    merged.mask();
    merged.leave_out(references);
    merged
}

/// Adds the tables of a drop-in to those of the files before it.
fn add<'t>(values: &mut DeTable<'t>, drop_in: DeTable<'t>, diagnostics: &mut Diagnostics<'_>) {
    for (key, value) in drop_in {
        let (name, span) = (key.get_ref().as_ref(), value.span());
        let Some(table) = ALLOWED.into_iter().find(|table| table.name == name) else {
            let allowed = ALLOWED.map(|table| table.header).join(", ");
            diagnostics.error(
                &key.span(),
                format_args!("'{name}' is for the configuration file; a drop-in has {allowed}"),
            );
            continue;
        };
        let mut added = match value.into_inner() {
            DeValue::Array(added) => added,
            other => {
                let found = type_of(&other);
                diagnostics.error(&span, format_args!("expected {}, found {found}", table.header));
                continue;
            }
        };
        let entries = values.entry(key).or_insert(Spanned::new(span, DeValue::Array(DeArray::new())));
        // Another value is an error of the configuration file, reported when it is read.
        let DeValue::Array(entries) = entries.get_mut() else { continue };
        if table.name == DEVICE.name {
            mem::swap(entries, &mut added);
        }
        added.into_iter().for_each(|entry| entries.push(entry));
    }
}

impl Merged<'_> {
    /// Lets the last file win where several have a table of the same name. Within a file that stays an error.
    fn override_by_name(&mut self, diagnostics: &Diagnostics<'_>) {
        let file = |entry: &Spanned<DeValue<'_>>| diagnostics.file(&entry.span());
        for table in NAMED {
            let Some(entries) = array(&mut self.values, table) else { continue };
            for entry in mem::replace(entries, DeArray::new()) {
                let of_the_entry = name(&entry);
                let is_other = |known: &&mut Spanned<DeValue<'_>>| {
                    of_the_entry.is_some() && name(known) == of_the_entry && file(known) != file(&entry)
                };
                match entries.iter_mut().find(is_other) {
                    Some(known) if file(known) < file(&entry) => {
                        self.overridden.push((known.span(), entry.span()));
                        *known = entry;
                    }
                    Some(known) => self.overridden.push((entry.span(), known.span())),
                    None => entries.push(entry),
                }
            }
        }
    }

    /// Removes the tables with `enabled = false`.
    fn mask(&mut self) {
        for table in NAMED {
            let Some(entries) = array(&mut self.values, table) else { continue };
            retain(entries, &mut |entry| {
                let is_enabled = entry.get_ref().get("enabled").and_then(|value| value.get_ref().as_bool());
                let name = name(entry).filter(|_| is_enabled == Some(false));
                let masked = name.map(|name| Masked { table, name: name.to_owned(), span: entry.span() });
                let is_masked = masked.is_some();
                self.masked.extend(masked);
                !is_masked
            });
        }
    }

    /// Removes what refers to masked services: their checks, and their names in `after`. A service that requires one
    /// stays, and is an error. Where references may be missing, the service is removed, and missing services are as
    /// masked ones.
    fn leave_out(&mut self, references: References) {
        let may_miss = references == References::MayBeMissing;
        let masked = self.masked.iter().filter(|masked| masked.table.name == SERVICE.name);
        let mut absent: Vec<_> = masked.map(|masked| masked.name.clone()).collect();
        if absent.is_empty() && !may_miss {
            return;
        }
        let mut known = vec![BUILT_IN.to_owned()];
        if let Some(services) = array(&mut self.values, &SERVICE) {
            known.extend(services.iter().filter_map(name).map(str::to_owned));
        }
        let is_absent = |name: &str, absent: &[String]| {
            let is_one = |other: &String| other == name;
            absent.iter().any(is_one) || (may_miss && !known.iter().any(is_one))
        };
        if let Some(services) = array(&mut self.values, &SERVICE) {
            let mut count = usize::MAX;
            // Each may be required by another one.
            while may_miss && services.len() < count {
                count = services.len();
                retain(services, &mut |service| {
                    let lacks = strings(service, "requires").any(|name| is_absent(name, &absent));
                    absent.extend(name(service).filter(|_| lacks).map(str::to_owned));
                    !lacks
                });
            }
            for service in services.iter_mut() {
                if let DeValue::Table(keys) = service.get_mut()
                    && let Some(DeValue::Array(names)) = keys.get_mut("after").map(Spanned::get_mut)
                {
                    retain(names, &mut |name| {
                        !name.get_ref().as_str().is_some_and(|name| is_absent(name, &absent))
                    });
                }
            }
        }
        if let Some(checks) = array(&mut self.values, &CHECK) {
            retain(checks, &mut |check| {
                let service = check.get_ref().get("service").and_then(|service| service.get_ref().as_str());
                !service.is_some_and(|service| is_absent(service, &absent))
            });
        }
    }
}

/// The tables under `[[name]]`.
fn array<'v, 't>(values: &'v mut DeTable<'t>, table: &Table) -> Option<&'v mut DeArray<'t>> {
    match values.get_mut(table.name)?.get_mut() {
        DeValue::Array(entries) => Some(entries),
        _ => None,
    }
}

fn retain<'t>(entries: &mut DeArray<'t>, keep: &mut dyn FnMut(&Spanned<DeValue<'t>>) -> bool) {
    for entry in mem::replace(entries, DeArray::new()) {
        if keep(&entry) {
            entries.push(entry);
        }
    }
}

/// Name of a table.
pub(super) fn name<'v>(entry: &'v Spanned<DeValue<'_>>) -> Option<&'v str> {
    entry.get_ref().get("name")?.get_ref().as_str()
}

/// The strings of a list in a table.
fn strings<'v>(entry: &'v Spanned<DeValue<'_>>, key: &str) -> impl Iterator<Item = &'v str> {
    let list = entry.get_ref().get(key).and_then(|list| list.get_ref().as_array());
    list.into_iter().flat_map(|list| list.iter()).filter_map(|entry| entry.get_ref().as_str())
}

/// Values with their places moved by `start`: those of a file that begins there.
fn shift(table: DeTable<'_>, start: usize) -> DeTable<'_> {
    let mut moved = DeTable::new();
    for (key, value) in table {
        moved.insert(shifted(key, start), shift_value(value, start));
    }
    moved
}

fn shift_value(value: Spanned<DeValue<'_>>, start: usize) -> Spanned<DeValue<'_>> {
    let mut value = shifted(value, start);
    match value.get_mut() {
        DeValue::Array(entries) => {
            for entry in mem::replace(entries, DeArray::new()) {
                entries.push(shift_value(entry, start));
            }
        }
        DeValue::Table(keys) => *keys = shift(mem::take(keys), start),
        _ => {}
    }
    value
}

fn shifted<T>(value: Spanned<T>, start: usize) -> Spanned<T> {
    let Span { start: from, end } = value.span();
    Spanned::new(from + start..end + start, value.into_inner())
}

#[cfg(test)]
mod tests;
