//! Text of a file as TOML. An error of the syntax has a correction, and its consequences are left out.

use toml::de::DeTable;

use super::diagnostics::Diagnostics;
use super::key::Table;
use super::schema::TABLES;
use crate::limits::CONFIG_BYTES;

/// Message of the parser about a key or table that is there already.
const DUPLICATE: &str = "duplicate key";

/// Messages of the parser by their beginning, each with its correction.
const HINTS: [(&str, &str); 10] = [
    ("string values must", "write it in quotes"),
    ("invalid boolean", "write true or false, and nothing after it"),
    ("missing comma", "or the bracket is not closed"),
    ("missing escaped value", "in \"..\" a backslash is \\\\, in '..' it is a character"),
    ("invalid basic string", "close the quotes"),
    ("invalid multi-line", "close the three quotes"),
    ("unexpected leading zero", "write it without that zero, or in quotes"),
    ("carriage return", "save the file with a line feed at the end of each line"),
    ("unclosed", "close the bracket"),
    // Any other.
    ("", "a line is KEY = VALUE, a header in brackets, or a # comment"),
];

/// Words that other formats have for true and false.
const YES_NO: [&str; 4] = ["yes", "no", "on", "off"];

/// Returns the parts of a text that are TOML. `start` is its place among the files; the places of the values are those in
/// the text.
pub(super) fn parse_toml<'t>(text: &'t str, start: usize, diagnostics: &mut Diagnostics<'_>) -> DeTable<'t> {
    if text.len() > CONFIG_BYTES {
        diagnostics.syntax_error(start, format_args!("the file is larger than {CONFIG_BYTES} bytes"), "");
        return DeTable::new();
    }
    if matches!(text.as_bytes(), [0, 1..=255, ..] | [1..=255, 0, ..]) {
        diagnostics.syntax_error(start, "the text is UTF-16", "save it as UTF-8");
        return DeTable::new();
    }
    let (values, errors) = DeTable::parse_recoverable(text);
    let values = values.into_inner();
    // Of several `[service]`, all but one are duplicates.
    let mut is_single = false;
    for table in TABLES.into_iter().filter(|table| table.is_repeated()) {
        let Some((name, value)) = values.get_key_value(table.name) else { continue };
        if value.get_ref().is_table() {
            is_single = true;
            // The place of the table is that of its last header.
            let first = format!("\n[{}]", table.name);
            let at = text.find(&first).map_or(value.span().start.min(name.span().start), |end| end + 1);
            report_single(table, start + at, diagnostics);
            diagnostics.broken_line(start + value.span().start);
        }
    }
    // End of a table whose keys are all duplicates.
    let mut duplicate_until = if is_single { text.len() } else { 0 };
    for error in errors {
        let (message, span) = (error.message(), error.span().unwrap_or_default());
        let (before, rest) = text.split_at_checked(span.start).unwrap_or_default();
        if message != DUPLICATE {
            let begin = |quotes| before.rfind(quotes).unwrap_or(span.start);
            let at = match message {
                // It is missing behind the value before this place.
                _ if message.starts_with("missing comma") => before.trim_end().len(),
                // Its begin is the place to look at.
                _ if message.starts_with("invalid multi-line basic") => begin("\"\"\""),
                _ if message.starts_with("invalid multi-line") => begin("'''"),
                _ => span.start,
            };
            diagnostics.syntax_error(start + at, message, hint(message, rest));
            let line = before.rfind('\n').map_or(0, |end| end + 1);
            if text.get(line..).is_some_and(|line| line.trim_start().starts_with('[')) {
                // The keys of a wrong header are those of no table.
                let end = rest.find("\n[").map_or(text.len(), |end| span.start + end);
                diagnostics.ignore(start + span.start..start + end);
            }
            if before.get(at..).is_some_and(|between| between.contains('\n')) {
                // All that follows was read as a part of what is open.
                diagnostics.ignore(start + at..start + text.len());
                break;
            }
            continue;
        }
        if span.start < duplicate_until {
            continue;
        }
        let at = start + span.start;
        let name = text.get(span).unwrap_or_default();
        let is_header = before.rsplit('\n').next().is_some_and(|line| line.trim_start().starts_with('['));
        if is_header || name == "name" {
            duplicate_until = before.len() + rest.find("\n[").unwrap_or(rest.len());
        }
        match TABLES.iter().find(|table| is_header && table.is_repeated() && table.name == name) {
            Some(table) => report_single(table, at, diagnostics),
            None => {
                let hint = match (is_header, name) {
                    (true, _) => "that table is there already: write its keys under one header",
                    (false, other) if other != "name" => "its table has it already: keep one of them",
                    _ => "its table has it already: write a header such as [[service]] before it",
                };
                diagnostics.syntax_error(at, format_args!("{DUPLICATE} '{name}'"), hint);
            }
        }
    }
    values
}

/// Reports `[service]` in place of `[[service]]`.
fn report_single(table: &Table, at: usize, diagnostics: &mut Diagnostics<'_>) {
    let message = format_args!("expected {}, found a single table", table.header);
    diagnostics.syntax_error(at, message, "there can be several: its brackets are double");
}

/// Correction of an error with this message. `rest` is the text from its place on.
fn hint(message: &str, rest: &str) -> &'static str {
    let word = rest.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
    let (start, hint) = *HINTS.iter().find(|(start, _)| message.starts_with(start)).unwrap_or(&HINTS[0]);
    match rest.chars().next() {
        // Those of word processors.
        Some('‘'..='„' | '«' | '»') => "write straight quotes",
        // The first of them is about a value.
        Some('0'..='9') if start == HINTS[0].0 => "a number has no unit",
        Some('\n' | '\r') | None if start == HINTS[0].0 => "the value is missing",
        Some(c) if c.is_control() && !matches!(c, '\n' | '\r') && hint == "close the quotes" => {
            "remove the control character"
        }
        _ if start == HINTS[0].0 && YES_NO.iter().any(|known| word.eq_ignore_ascii_case(known)) => {
            "write true or false, or the word in quotes"
        }
        _ => hint,
    }
}
