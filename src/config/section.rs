//! One table of the device file: its values by key, each wrong one reported.

use std::ops::{Range, RangeInclusive};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostics::Report;
use crate::suggest::nearest;

/// Some bytes of the device file.
pub(super) type Place = Range<usize>;

/// A table of the device file whose keys are known.
#[derive(Debug)]
pub(super) struct Section<'t, 'i> {
    /// As people write it: `[listen]`.
    name: &'static str,
    /// None: it is not in the file.
    table: Option<&'t DeTable<'i>>,
    at: Place,
}

impl<'t, 'i> Section<'t, 'i> {
    /// The table of this value. Reports what is no table, and the keys that are not among `known`.
    pub(super) fn of(
        name: &'static str,
        value: &'t Spanned<DeValue<'i>>,
        known: &[&str],
        report: &mut Report<'_>,
    ) -> Option<Self> {
        let Some(table) = value.get_ref().as_table() else {
            report.error(&value.span(), format!("expected {name}, found {}", kind(value.get_ref())));
            return None;
        };
        let section = Self { name, table: Some(table), at: value.span() };
        section.report_unknown(known, report);
        Some(section)
    }

    /// The document itself.
    pub(super) fn root(table: &'t Spanned<DeTable<'i>>, known: &[&str], report: &mut Report<'_>) -> Self {
        let section = Self { name: "", table: Some(table.get_ref()), at: 0..0 };
        section.report_unknown(known, report);
        section
    }

    /// The table under `key`; an empty one when there is none.
    pub(super) fn section(
        &self,
        key: &str,
        name: &'static str,
        known: &[&str],
        report: &mut Report<'_>,
    ) -> Self {
        self.value(key).and_then(|value| Self::of(name, value, known, report)).unwrap_or(Self {
            name,
            table: None,
            at: 0..0,
        })
    }

    fn report_unknown(&self, known: &[&str], report: &mut Report<'_>) {
        for (word, place, _) in self.entries() {
            if known.contains(&word) {
                continue;
            }
            let section = if self.name.is_empty() { String::new() } else { format!(" in {}", self.name) };
            let hint = match nearest(word, known.iter().copied()) {
                Some(meant) => format!("; did you mean '{meant}'?"),
                None => String::new(),
            };
            report.error(&place, format!("unknown key '{word}'{section}{hint}"));
        }
    }

    /// Where the table is.
    pub(super) fn at(&self) -> &Place {
        &self.at
    }

    /// Its keys with their places.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'t str, Place, &'t Spanned<DeValue<'i>>)> {
        self.table
            .into_iter()
            .flat_map(|table| table.iter())
            .map(|(key, value)| (key.get_ref().as_ref(), key.span(), value))
    }

    /// The value of a key as it is.
    pub(super) fn value(&self, key: &str) -> Option<&'t Spanned<DeValue<'i>>> {
        self.table?.get(key)
    }

    /// A text.
    pub(super) fn text(&self, key: &str, report: &mut Report<'_>) -> Option<(&'t str, Place)> {
        text(self.value(key)?, key, report)
    }

    /// A text that must be there.
    pub(super) fn needed_text(&self, key: &str, report: &mut Report<'_>) -> Option<(&'t str, Place)> {
        if self.value(key).is_none() {
            report.missing(&self.at, format!("{} has no {key}", self.name));
        }
        self.text(key, report)
    }

    /// true or false.
    pub(super) fn boolean(&self, key: &str, report: &mut Report<'_>) -> Option<bool> {
        let value = self.value(key)?;
        let boolean = value.get_ref().as_bool();
        if boolean.is_none() {
            report_kind(key, "true or false", value, report);
        }
        boolean
    }

    /// A whole number of this range.
    pub(super) fn integer(
        &self,
        key: &str,
        range: RangeInclusive<u64>,
        report: &mut Report<'_>,
    ) -> Option<(u64, Place)> {
        let value = self.value(key)?;
        let Some(integer) = value.get_ref().as_integer() else {
            report_kind(key, "a whole number", value, report);
            return None;
        };
        let number = u64::from_str_radix(integer.as_str(), integer.radix()).ok();
        let number = number.filter(|number| range.contains(number));
        if number.is_none() {
            let (low, high) = (range.start(), range.end());
            report.error(&value.span(), format!("{key} = {integer}: must be {low} to {high}"));
        }
        number.map(|number| (number, value.span()))
    }

    /// A list of texts; the ones that are none are reported and left out.
    pub(super) fn texts(&self, key: &str, report: &mut Report<'_>) -> Option<Vec<(&'t str, Place)>> {
        let value = self.value(key)?;
        texts(value, key, report)
    }

    /// The tables under `[[name]]`.
    pub(super) fn tables(&self, key: &str, report: &mut Report<'_>) -> &'t [Spanned<DeValue<'i>>] {
        let Some(value) = self.value(key) else {
            return &[];
        };
        match value.get_ref() {
            DeValue::Array(array) => array,
            other => {
                report.error(&value.span(), format!("expected [[{key}]], found {}", kind(other)));
                &[]
            }
        }
    }
}

/// A text that has its limit.
pub(super) fn bounded<const N: usize>(
    key: &str,
    (text, at): &(&str, Place),
    report: &mut Report<'_>,
) -> Option<heapless::String<N>> {
    let bounded = heapless::String::try_from(*text).ok();
    if bounded.is_none() {
        report.error(at, format!("{key}: longer than {N} bytes"));
    }
    bounded
}

/// The text of a value, which is that of `key`.
pub(super) fn text<'t>(
    value: &'t Spanned<DeValue<'_>>,
    key: &str,
    report: &mut Report<'_>,
) -> Option<(&'t str, Place)> {
    let text = value.get_ref().as_str();
    if text.is_none() {
        report_kind(key, "a text in quotes", value, report);
    }
    text.map(|text| (text, value.span()))
}

/// The texts of a list, which is that of `key`.
pub(super) fn texts<'t>(
    value: &'t Spanned<DeValue<'_>>,
    key: &str,
    report: &mut Report<'_>,
) -> Option<Vec<(&'t str, Place)>> {
    let Some(array) = value.get_ref().as_array() else {
        report_kind(key, "a list of texts in brackets", value, report);
        return None;
    };
    Some(array.iter().filter_map(|entry| text(entry, key, report)).collect())
}

/// Reports that the value of `key` is of another kind than `expected`.
pub(super) fn report_kind(key: &str, expected: &str, value: &Spanned<DeValue<'_>>, report: &mut Report<'_>) {
    report.error(&value.span(), format!("{key}: expected {expected}, found {}", kind(value.get_ref())));
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
