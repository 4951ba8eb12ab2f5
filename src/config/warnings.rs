//! Values that can be used, but are not what is probably meant.

use std::borrow::Cow;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostics::{Diagnostics, Severity};
use super::schema::SERVICE;

/// Arguments that only a shell understands.
const OPERATORS: [&str; 8] = ["|", "||", "&", "&&", ">", ">>", "<", "2>&1"];

/// Correction of a command that a shell is to read.
const BY_SHELL: &str = "write [\"/bin/sh\", \"-c\", \"exec ..\"]";

/// Warns of a program and arguments that look as if a shell would read them.
pub(super) fn warn_of_shell(name: &str, texts: &[(&str, Range<usize>)], diagnostics: &mut Diagnostics<'_>) {
    let Some(program) = texts.first() else { return };
    let is_for_shell = |text: &&(&str, Range<usize>)| OPERATORS.contains(&text.0) || has_variable(text.0);
    // The argument after `-c` or `-ec` is for a shell.
    let has_shell = texts.iter().any(|(text, _)| text.starts_with('-') && text.ends_with('c'));
    let words = write_words(program.0);
    let (text, hint) = if program.0.contains(['|', '&', ';', '<', '>']) || program.0.starts_with('~') {
        (program, BY_SHELL)
    } else if program.0.contains(' ') {
        (program, &*words)
    } else if let Some(text) = texts.iter().find(is_for_shell).filter(|_| !has_shell) {
        (text, BY_SHELL)
    } else {
        return;
    };
    diagnostics.warning(&text.1, format_args!("{name}: no shell reads '{}'", text.0), hint);
}

/// Correction of several words in a string: `write ["/bin/sh", "-c"]`.
pub(super) fn write_words(text: &str) -> String {
    format!("write [\"{}\"]", Vec::from_iter(text.split_whitespace()).join("\", \""))
}

/// Returns true for a text with `$NAME` or `${NAME}`.
pub(super) fn has_variable(text: &str) -> bool {
    text.split('$').skip(1).any(|rest| rest.starts_with(|c: char| c.is_ascii_uppercase() || c == '{'))
}

/// Name and value of an entry of a table.
type Entry<'v, 't> = (&'v Spanned<Cow<'t, str>>, &'v Spanned<DeValue<'t>>);

/// Entries of a table of a service. Keys of `[[service]]` among them are reported, where the first of them is: as an error
/// if one of them has a value that the table cannot have. Such ones are left out.
pub(super) fn entries<'v, 't>(
    table: &str,
    values: &'v DeTable<'t>,
    is_entry: fn(&DeValue<'_>) -> bool,
    diagnostics: &mut Diagnostics<'_>,
) -> Vec<Entry<'v, 't>> {
    let (mut entries, mut first): (_, Option<&Spanned<_>>) = (Vec::new(), None);
    for (name, value) in values {
        let is_key = SERVICE.key(name.get_ref()).is_some();
        if is_key && first.is_none_or(|first| name.span().start < first.span().start) {
            first = Some(name);
        }
        if !is_key || is_entry(value.get_ref()) {
            entries.push((name, value));
        }
    }
    if let Some(first) = first {
        let is_right = entries.len() == values.len();
        let severity = if is_right { Severity::Warning } else { Severity::Error };
        let name = first.get_ref();
        let message = format_args!("{table}: '{name}' is a key of [[service]]");
        let move_it = format!("move it above [service.{table}]");
        let hint = if name == "name" { "write [[service]] before it" } else { &move_it };
        if name == "name" {
            diagnostics.doubt_names();
        }
        diagnostics.finding(severity, &first.span(), &message, hint);
    }
    entries
}
