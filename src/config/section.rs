//! Tables of the configuration file, read by the rows of the schema.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostics::Diagnostics;
use super::key::{Bound, Default, Key, Kind, Table};
use super::value::{
    Span, Text, default_string, integer, report_type, report_unexpected, report_unknown, string, type_of,
    unix_s,
};
use crate::limits;

/// Span of a value that the file does not set.
const DEFAULTED: Span = 0..0;

/// Parsed file.
#[derive(Debug)]
pub(super) struct Document<'t, 'i> {
    values: &'t DeTable<'i>,
}

impl<'t, 'i> Document<'t, 'i> {
    /// Creates the document of `values`. Reports tables that are not among `known`.
    pub(super) fn new(values: &'t DeTable<'i>, known: &[&Table], diagnostics: &mut Diagnostics<'_>) -> Self {
        let names = || known.iter().map(|table| table.name);
        // A header is missing before the first of several keys.
        let mut first: Option<&Spanned<_>> = None;
        for (name, value) in values {
            if names().any(|known| known == name.get_ref()) {
                continue;
            }
            let is_list = value.get_ref().get(0).is_some_and(|entry| entry.get_ref().is_table());
            if is_list || value.get_ref().is_table() {
                report_unknown(name.get_ref(), "", &name.span(), &mut names(), diagnostics);
            } else if first.is_none_or(|first| name.span().start < first.span().start) {
                first = Some(name);
            }
            if is_list {
                // It may have been meant to be one of services.
                diagnostics.doubt_names();
            }
        }
        if let Some(name) = first {
            report_unknown(name.get_ref(), "", &name.span(), &mut names(), diagnostics);
        }
        Self { values }
    }

    /// Returns whether the file has this table.
    pub(super) fn has(&self, table: &Table) -> bool {
        self.values.contains_key(table.name)
    }

    /// Returns the table of this schema, without values if the file does not have it.
    pub(super) fn section(
        &self,
        table: &'static Table,
        diagnostics: &mut Diagnostics<'_>,
    ) -> Section<'t, 'i> {
        let section = self.values.get(table.name).and_then(|value| Section::new(table, value, diagnostics));
        section.unwrap_or(Section { table, values: None, span: DEFAULTED })
    }

    /// Returns the tables under `[[name]]`.
    pub(super) fn sections(
        &self,
        table: &'static Table,
        diagnostics: &mut Diagnostics<'_>,
    ) -> Vec<Section<'t, 'i>> {
        match self.values.get(table.name).map(|value| (value.get_ref(), value.span())) {
            Some((DeValue::Array(values), _)) => {
                values.iter().filter_map(|value| Section::new(table, value, diagnostics)).collect()
            }
            Some((other, span)) => {
                diagnostics.error(&span, format_args!("expected {}, found {}", table.header, type_of(other)));
                Vec::new()
            }
            None => Vec::new(),
        }
    }
}

/// One table of the file.
#[derive(Debug)]
pub(super) struct Section<'t, 'i> {
    table: &'static Table,
    /// `None` if the file does not have the table.
    values: Option<&'t DeTable<'i>>,
    span: Span,
}

impl<'t, 'i> Section<'t, 'i> {
    /// Creates the section of `value`. Reports a value that is not a table, and keys without a row.
    fn new(
        table: &'static Table,
        value: &'t Spanned<DeValue<'i>>,
        diagnostics: &mut Diagnostics<'_>,
    ) -> Option<Self> {
        let Some(values) = value.get_ref().as_table() else {
            let found = type_of(value.get_ref());
            diagnostics.error(&value.span(), format_args!("expected {}, found {found}", table.header));
            return None;
        };
        for name in values.keys() {
            let (text, span) = (name.get_ref().as_ref(), name.span());
            if table.key(text).is_some() {
                continue;
            }
            match table.fixed.iter().find(|(fixed, _)| *fixed == text) {
                Some((_, value)) => diagnostics.error(
                    &span,
                    format_args!("{text} is fixed at build time: {value} on board '{}'", limits::BOARD),
                ),
                None => {
                    let place = format!(" in {}", table.header);
                    let mut known = table.keys.iter().map(|key| key.name);
                    report_unknown(text, &place, &span, &mut known, diagnostics);
                }
            }
        }
        Some(Self { table, values: Some(values), span: value.span() })
    }

    /// Place of the table.
    pub(super) fn span(&self) -> &Span {
        &self.span
    }

    /// Returns whether the file sets none of its keys.
    pub(super) fn is_empty(&self) -> bool {
        self.values.is_none_or(|values| values.is_empty())
    }

    /// Returns the table that is the value of `name`. Reports a value that is not a table, with
    /// the expected form; `None` also without a value.
    pub(super) fn entries(
        &self,
        name: &str,
        expected: &str,
        diagnostics: &mut Diagnostics<'_>,
    ) -> Option<&'t DeTable<'i>> {
        let (_, value) = self.value(name, diagnostics);
        let value = value?;
        let table = value.get_ref().as_table();
        if table.is_none() {
            report_type(name, expected, value, diagnostics);
        }
        table
    }

    /// Returns the table that is the value of `name`, for the rows of `table`.
    pub(super) fn nested(
        &self,
        name: &str,
        table: &'static Table,
        diagnostics: &mut Diagnostics<'_>,
    ) -> Option<Self> {
        let (_, value) = self.value(name, diagnostics);
        Self::new(table, value?, diagnostics)
    }

    /// The row of `name`.
    fn key(&self, name: &str) -> &'static Key {
        // Every name that the code reads is read for every file, so that a wrong one fails each test.
        self.table.key(name).unwrap_or_else(|| unreachable!("{} has no row {name}", self.table.header))
    }

    /// The row of `name` and its value in the file. Reports a required value that is missing.
    pub(super) fn value(
        &self,
        name: &str,
        diagnostics: &mut Diagnostics<'_>,
    ) -> (&'static Key, Option<&'t Spanned<DeValue<'i>>>) {
        let key = self.key(name);
        let value = self.values.and_then(|values| values.get(name));
        if value.is_none() && matches!(key.default, Default::Required) {
            diagnostics.missing(&self.span, format_args!("{} has no {name}", self.table.header), "");
        }
        (key, value)
    }

    /// A string of the file, whatever its form.
    pub(super) fn written(&self, name: &str) -> Option<Text<'t>> {
        let value = self.values?.get(name)?;
        value.get_ref().as_str().map(|text| (text, value.span()))
    }

    /// Span of a string that differs from the default.
    pub(super) fn changed(&self, name: &str) -> Option<Span> {
        let (text, span) = self.written(name)?;
        (default_string(self.key(name)) != Some(text)).then_some(span)
    }

    /// Returns whether a value is set that `convert` does not accept.
    pub(super) fn is_wrong<T>(&self, name: &str, convert: impl Fn(&str) -> Option<T>) -> bool {
        let is_set = self.values.is_some_and(|values| values.contains_key(name));
        is_set && self.written(name).and_then(|(text, _)| convert(text)).is_none()
    }

    /// `true` or `false`; the default where the value is missing or wrong.
    pub(super) fn boolean(&self, name: &str, diagnostics: &mut Diagnostics<'_>) -> bool {
        let is_default = matches!(self.key(name).default.value(), Default::Boolean(true));
        self.boolean_or(name, is_default, diagnostics)
    }

    /// The same with this default.
    pub(super) fn boolean_or(&self, name: &str, default: bool, diagnostics: &mut Diagnostics<'_>) -> bool {
        let (_, value) = self.value(name, diagnostics);
        let given = value.and_then(|value| {
            let boolean = value.get_ref().as_bool();
            if boolean.is_none() {
                report_type(name, "true or false", value, diagnostics);
            }
            boolean
        });
        given.unwrap_or(default)
    }

    /// A date, or a date and time, in seconds since 1970: UTC without an offset. `None` where it is missing or wrong.
    pub(super) fn unix_s(&self, name: &str, diagnostics: &mut Diagnostics<'_>) -> Option<u64> {
        let (_, value) = self.value(name, diagnostics);
        let value = value?;
        let seconds = unix_s(value.get_ref());
        if seconds.is_none() {
            report_type(name, "a date such as 2027-01-31, without quotes", value, diagnostics);
        }
        seconds
    }

    /// A whole number in the range of its row; the default where the value is missing or wrong.
    pub(super) fn integer<T: TryFrom<u64>>(&self, name: &str, diagnostics: &mut Diagnostics<'_>) -> T {
        T::try_from(self.number(name, diagnostics)).unwrap_or_else(|_| self.no_default(name))
    }

    /// The same for all types, once in the program.
    fn number(&self, name: &str, diagnostics: &mut Diagnostics<'_>) -> u64 {
        let (key, value) = self.value(name, diagnostics);
        let default = || match key.default.value() {
            Default::Integer(default) => u64::from(*default),
            _ => self.no_default(name),
        };
        let given = value.and_then(|value| integer(key, value, diagnostics));
        given.and_then(|number| u64::try_from(number).ok()).unwrap_or_else(default)
    }

    /// The row of a key is wrong, which fails each test.
    #[cold]
    fn no_default(&self, name: &str) -> ! {
        unreachable!("{}: {name} has no default of its type", self.table.header)
    }

    /// The same for a number that may be negative.
    pub(super) fn signed<T: TryFrom<i64>>(&self, name: &str, diagnostics: &mut Diagnostics<'_>) -> T {
        let (key, value) = self.value(name, diagnostics);
        let given =
            value.and_then(|value| integer(key, value, diagnostics)).and_then(|n| T::try_from(n).ok());
        let default = || match key.default.value() {
            Default::Signed(default) => T::try_from(i64::from(*default)).ok(),
            _ => None,
        };
        given.or_else(default).unwrap_or_else(|| self.no_default(name))
    }

    /// Whole numbers of a list, each in the range of its row; the default where the list is missing. Wrong
    /// entries are reported and left out.
    pub(super) fn integers<T: TryFrom<u64>, const N: usize>(
        &self,
        name: &str,
        diagnostics: &mut Diagnostics<'_>,
    ) -> heapless::Vec<T, N> {
        let (key, value) = self.value(name, diagnostics);
        let Some(value) = value else {
            return match key.default.value() {
                Default::Integers(numbers) => numbers.iter().filter_map(|n| T::try_from(*n).ok()).collect(),
                _ => self.no_default(name),
            };
        };
        let mut list = heapless::Vec::new();
        let Some(entries) = value.get_ref().as_array() else {
            report_type(name, "a list of whole numbers in brackets", value, diagnostics);
            return list;
        };
        for entry in entries.iter() {
            let number =
                integer(key, entry, diagnostics).and_then(|number| T::try_from(number.unsigned_abs()).ok());
            if number.is_some_and(|number| list.push(number).is_err()) {
                self.report_full(name, &entry.span(), diagnostics);
            }
        }
        list
    }

    /// Returns a string in the form of its row, or the default if it is missing. `None` means that there is no
    /// Returns a string in the form of its row, or the default if it is missing. `None` means a missing value
    /// without a default, or a wrong value.
    pub(super) fn string(&self, name: &str, diagnostics: &mut Diagnostics<'_>) -> Option<Text<'t>> {
        let (key, value) = self.value(name, diagnostics);
        match value {
            Some(value) => string(key, value, diagnostics),
            None => default_string(key).map(|default| (default, DEFAULTED)),
        }
    }

    /// Returns a string as the type of its use, whose size is the limit of its row. It is empty if the key
    /// is not set and has no default, and after an error, which is reported.
    pub(super) fn bounded<const N: usize>(
        &self,
        name: &str,
        diagnostics: &mut Diagnostics<'_>,
    ) -> heapless::String<N> {
        self.bounded_if_set(name, diagnostics).unwrap_or_default()
    }

    /// The same for a key without a default; `None` as for [`string`](Self::string).
    pub(super) fn bounded_if_set<const N: usize>(
        &self,
        name: &str,
        diagnostics: &mut Diagnostics<'_>,
    ) -> Option<heapless::String<N>> {
        let form = self.key(name).kind.form();
        debug_assert!(form.is_some_and(|form| form.bytes.value as usize == N), "{name}: limit of its row");
        self.string(name, diagnostics).and_then(|(text, _)| heapless::String::try_from(text).ok())
    }

    /// Returns a string converted by `convert`, which returns `None` for a wrong one. A missing or wrong value
    /// is replaced by the default.
    pub(super) fn parsed<T>(
        &self,
        name: &str,
        convert: impl Fn(&str) -> Option<T>,
        diagnostics: &mut Diagnostics<'_>,
    ) -> T {
        self.parsed_if_set(name, &convert, diagnostics)
            .map(|(value, _)| value)
            .or_else(|| default_string(self.key(name)).and_then(convert))
            .unwrap_or_else(|| self.no_default(name))
    }

    /// The same for a key that is set, with its span.
    pub(super) fn parsed_if_set<T>(
        &self,
        name: &str,
        convert: impl Fn(&str) -> Option<T>,
        diagnostics: &mut Diagnostics<'_>,
    ) -> Option<(T, Span)> {
        let (key, text) = self.given(name, diagnostics)?;
        let converted = convert(text.0);
        if converted.is_none() {
            report_unexpected(key, &text, diagnostics);
        }
        converted.map(|converted| (converted, text.1))
    }

    /// The row of a key and its string, if it is set and in the form of the row.
    fn given(&self, name: &str, diagnostics: &mut Diagnostics<'_>) -> Option<(&'static Key, Text<'t>)> {
        let (key, value) = self.value(name, diagnostics);
        Some((key, string(key, value?, diagnostics)?))
    }

    /// Returns the strings of a list. Wrong ones are reported and left out.
    pub(super) fn strings(&self, name: &str, diagnostics: &mut Diagnostics<'_>) -> Vec<Text<'t>> {
        let (key, value) = self.value(name, diagnostics);
        let Some(value) = value else {
            return Vec::new();
        };
        let Some(entries) = value.get_ref().as_array() else {
            report_type(name, "a list of strings in brackets", value, diagnostics);
            return Vec::new();
        };
        entries.iter().filter_map(|entry| string(key, entry, diagnostics)).collect()
    }

    /// These strings of a list, each converted by `convert`, which returns None for a wrong one.
    pub(super) fn list<T, const N: usize>(
        &self,
        name: &str,
        texts: &[Text<'_>],
        convert: impl Fn(&str) -> Option<T>,
        diagnostics: &mut Diagnostics<'_>,
    ) -> heapless::Vec<T, N> {
        let mut list = heapless::Vec::new();
        for text in texts {
            match convert(text.0) {
                Some(entry) => {
                    if list.push(entry).is_err() {
                        self.report_full(name, &text.1, diagnostics);
                    }
                }
                None => report_unexpected(self.key(name), text, diagnostics),
            }
        }
        list
    }

    /// Reports that a list has more entries than its row allows.
    pub(super) fn report_full(&self, name: &str, span: &Span, diagnostics: &mut Diagnostics<'_>) {
        let (Kind::List { most: Bound { value: most, .. }, .. } | Kind::Integers { entries: most, .. }) =
            &self.key(name).kind
        else {
            return;
        };
        diagnostics.error(span, format_args!("{name}: more than {most}"));
    }
}
