//! Findings for people, each with its line, and for programs.

use std::fmt::Write as _;

use crate::config::{Diagnostic, Line, Places, Severity, Source};
use crate::json::Writer;
use crate::log::is_harmful;

/// Most characters of a line that is shown.
const LINE_CHARS: usize = 100;

/// Printer of the findings in these files.
pub(super) struct Report<'t> {
    /// Name of the configuration file.
    name: &'t str,
    sources: &'t [Source<'t>],
    pub(super) places: Places<'t>,
}

impl<'t> Report<'t> {
    pub(super) fn new(name: &'t str, sources: &'t [Source<'t>]) -> Self {
        Self { name, sources, places: Places::new(sources) }
    }

    /// Each finding with its line of the file.
    pub(super) fn text(&self, findings: &[Diagnostic], omitted: usize) -> String {
        let mut text = String::new();
        for finding in findings {
            // Writing to it never fails.
            let _ = writeln!(text, "{finding}");
            let _ = self.excerpt(finding, &mut text);
        }
        if omitted > 0 {
            let _ = writeln!(text, "{}: and {omitted} more", self.name);
        }
        text
    }

    /// Line of a finding.
    fn line(&self, finding: &Diagnostic) -> Option<Line<'t>> {
        let source = self.sources.iter().find(|source| source.name == finding.source)?;
        Line::of(source.text.ok()?, finding.place?.0)
    }

    /// Adds the line of a finding, and a caret under its place.
    fn excerpt(&self, finding: &Diagnostic, text: &mut String) -> Option<()> {
        let (line, column) = finding.place?;
        let shown = self.line(finding)?.text.chars().take(LINE_CHARS);
        let shown: String = shown.map(plain).collect();
        // Where the text is cut, at its end.
        let caret = column.min(shown.chars().count() + 1);
        writeln!(text, "{line:>5} | {shown}\n      | {:>caret$}", '^').ok()
    }

    /// All findings as one JSON object.
    pub(super) fn json(&self, findings: &[Diagnostic], omitted: usize) -> String {
        let is_ok = !findings.iter().any(|finding| finding.severity == Severity::Error);
        let name = json(Some(self.name));
        let mut text = format!("{{\"file\":{name},\"ok\":{is_ok},\"omitted\":{omitted},\"findings\":[");
        for (number, finding) in findings.iter().enumerate() {
            let key = self.line(finding).and_then(|line| match line.key {
                Some(key) => Some(format!("{}.{key}", line.table).trim_start_matches('.').to_owned()),
                None if line.text.trim_start().starts_with('[') => Some(line.table.to_owned()),
                None => None,
            });
            // Writing to it never fails.
            let _ = write!(
                text,
                "{}{{\"level\":\"{}\",\"line\":",
                if number == 0 { "" } else { "," },
                finding.severity.name(),
            );
            let _ = match finding.place {
                Some((line, column)) => write!(text, "{line},\"column\":{column}"),
                None => text.write_str("null,\"column\":null"),
            };
            let _ = write!(
                text,
                ",\"file\":{},\"key\":{},\"message\":{},\"hint\":{}}}",
                json(Some(&finding.source)),
                json(key.as_deref()),
                json(Some(&finding.message)),
                json(Some(&*finding.hint).filter(|hint| !hint.is_empty())),
            );
        }
        text + "]}\n"
    }
}

/// A character of the file that cannot control the terminal or show the line as another one.
fn plain(c: char) -> char {
    match c {
        '\t' => ' ',
        c if is_harmful(c) => '?',
        c => c,
    }
}

/// Text as JSON, or `null`.
fn json(text: Option<&str>) -> String {
    let Some(text) = text else { return "null".to_owned() };
    // A byte becomes six at most (RFC 8259, 7).
    let mut buffer = vec![0; 6 * text.len() + 2];
    let mut out = Writer::new(&mut buffer);
    let written = out.put_text(text);
    debug_assert!(written.is_ok(), "the longest text fits");
    let length = out.len();
    buffer.truncate(length);
    String::from_utf8(buffer).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_that_reverse_text_are_replaced_in_the_quoted_line() {
        let text = "# n\u{202E}ew\t\u{1b}[2J";
        let sources = [Source::new("f\u{202E}", text)];
        let finding = Diagnostic {
            source: "f\u{202E}".to_owned(),
            place: Some((1, 3)),
            severity: Severity::Error,
            message: "wrong".to_owned(),
            hint: String::new(),
        };
        let shown = Report::new("f", &sources).text(&[finding], 0);
        assert_eq!(shown, "f?:1:3: wrong\n    1 | # n?ew ?[2J\n      |   ^\n");
    }
}
