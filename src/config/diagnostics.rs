//! Errors and warnings of a configuration file: all of them, each with its place.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::ops::Range;

use super::References;
use super::sources::Source;
use crate::limits::CONFIG_ERRORS;
use crate::log;

/// Most characters of one message for people, which may quote the file.
const MESSAGE_CHARS: usize = 400;

/// Effect of a finding.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Severity {
    /// No server runs with this file.
    Error,
    /// A server runs, but probably not as meant.
    Warning,
    /// Nothing is wrong.
    Note,
}

impl Severity {
    /// Name in the answers of `check`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// One finding in a configuration file.
///
/// Displayed as `FILE:LINE:COLUMN: MESSAGE; HINT`, a warning or note with its severity before the message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Diagnostic {
    /// Name of the file.
    pub source: String,
    /// Line, and column in characters, both from 1; `None` for the file as a whole.
    pub place: Option<(usize, usize)>,
    /// Effect.
    pub severity: Severity,
    /// Description of the finding and of a correct value.
    pub message: String,
    /// Correction; empty without one.
    pub hint: String,
}

impl Diagnostic {
    /// Returns whether both are about the same line.
    pub fn is_in_line_of(&self, other: &Self) -> bool {
        let [own, others] = [self, other].map(|finding| finding.place.map_or(0, |(line, _)| line));
        own > 0 && own == others && self.source == other.source
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |c| if log::is_harmful(c) { '?' } else { c };
        self.source.chars().try_for_each(|c| f.write_char(plain(c)))?;
        if let Some((line, column)) = self.place {
            write!(f, ":{line}:{column}")?;
        }
        f.write_str(": ")?;
        if self.severity != Severity::Error {
            write!(f, "{}: ", self.severity.name())?;
        }
        let joint = if self.hint.is_empty() { "" } else { "; " };
        // The texts may quote the file, and the file may hold anything.
        for text in [&self.message, joint, &self.hint] {
            for c in text.chars().take(MESSAGE_CHARS) {
                f.write_char(plain(c))?;
            }
        }
        Ok(())
    }
}

/// Errors of a configuration file in the order of their places; at most [`CONFIG_ERRORS`] of them.
///
/// Displayed a line each, without a newline after the last.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ParseError {
    errors: Vec<Diagnostic>,
    omitted: usize,
}

impl ParseError {
    /// The errors.
    pub fn errors(&self) -> &[Diagnostic] {
        &self.errors
    }

    /// The first error alone, displayed in the same way.
    pub fn first(&self) -> String {
        self.errors.first().map(ToString::to_string).unwrap_or_default()
    }

    /// Number of errors after the first, including [`omitted`](Self::omitted).
    pub fn after_first(&self) -> usize {
        self.errors.len().saturating_sub(1) + self.omitted
    }

    /// Number of errors beyond [`errors`](Self::errors).
    pub fn omitted(&self) -> usize {
        self.omitted
    }

    /// Those of this file among [`errors`](Self::errors); `None` if there are none.
    pub fn of(&self, source: &str) -> Option<Self> {
        let errors: Vec<_> = self.errors.iter().filter(|error| error.source == source).cloned().collect();
        (!errors.is_empty()).then_some(Self { errors, omitted: 0 })
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, error) in self.errors.iter().enumerate() {
            if n > 0 {
                writeln!(f)?;
            }
            error.fmt(f)?;
        }
        if self.omitted > 0 {
            let source = self.errors.last().map_or("", |error| &error.source);
            write!(f, "\n{source}: and {} more", self.omitted)?;
        }
        Ok(())
    }
}

impl std::error::Error for ParseError {}

/// Findings collected while the files of a configuration are parsed. Places count through all of them.
#[derive(Debug)]
pub(super) struct Diagnostics<'t> {
    files: Vec<File<'t>>,
    references: References,
    /// In the order of their places, each once.
    errors: Vec<Finding>,
    warnings: Vec<Finding>,
    /// Begins of lines with a syntax error; further errors in them are its consequence.
    broken_lines: BTreeSet<usize>,
    /// The same for whole parts of the files.
    ignored: Vec<Range<usize>>,
}

/// One of them.
#[derive(Debug, Eq, PartialEq)]
struct Finding {
    at: usize,
    /// False for the file as a whole.
    has_place: bool,
    severity: Severity,
    message: String,
    hint: String,
}

/// Text of a file, empty if it has none.
#[derive(Debug)]
struct File<'t> {
    name: &'t str,
    text: &'t str,
    /// Place of its first byte.
    start: usize,
}

impl<'t> Diagnostics<'t> {
    pub(super) fn new(files: &[Source<'t>], references: References) -> Self {
        let mut next = 0;
        let files = files.iter().map(|file| {
            let (text, start) = (file.text.unwrap_or_default(), next);
            // The place after the last byte is of this file, too.
            next += text.len() + 1;
            File { name: file.name, text, start }
        });
        Self {
            files: files.collect(),
            references,
            errors: Vec::new(),
            warnings: Vec::new(),
            broken_lines: BTreeSet::new(),
            ignored: Vec::new(),
        }
    }

    /// Place of the first byte of a file.
    pub(super) fn start(&self, file: usize) -> usize {
        self.files.get(file).map_or(0, |file| file.start)
    }

    /// Index of the file of a place.
    pub(super) fn file(&self, at: &Range<usize>) -> usize {
        self.files.partition_point(|file| file.start <= at.start).saturating_sub(1)
    }

    /// Name of the file of a place.
    pub(super) fn file_name(&self, at: &Range<usize>) -> &'t str {
        self.files.get(self.file(at)).map_or("", |file| file.name)
    }

    /// Adds a file that cannot be read. What is missing elsewhere may be in it.
    pub(super) fn unreadable(&mut self, file: usize, reason: &str) {
        let start = self.start(file);
        self.broken_lines.insert(start);
        self.add(Severity::Error, start, false, &reason, "");
    }

    /// Adds a place where the text is not TOML. Further ones in the same line are its consequence.
    pub(super) fn syntax_error(&mut self, at: usize, message: impl fmt::Display, hint: &str) {
        if self.broken_lines.insert(self.line_start(at)) {
            self.add(Severity::Error, at, true, &message, hint);
        }
    }

    /// Notes a line whose errors are consequences.
    pub(super) fn broken_line(&mut self, at: usize) {
        self.broken_lines.insert(self.line_start(at));
    }

    /// Notes a part of a file whose errors are consequences.
    pub(super) fn ignore(&mut self, part: Range<usize>) {
        self.ignored.push(part);
    }

    /// Adds an error in a value or a key.
    pub(super) fn error(&mut self, at: &Range<usize>, message: impl fmt::Display) {
        self.finding(Severity::Error, at, &message, "");
    }

    /// Adds one whose correction is known; an empty `hint` is none.
    pub(super) fn error_with_hint(&mut self, at: &Range<usize>, message: impl fmt::Display, hint: &str) {
        self.finding(Severity::Error, at, &message, hint);
    }

    /// Adds a value that can be used, but is not what is probably meant.
    pub(super) fn warning(&mut self, at: &Range<usize>, message: impl fmt::Display, hint: &str) {
        self.finding(Severity::Warning, at, &message, hint);
    }

    /// Adds a finding, unless it is the consequence of a syntax error. A value that could not be parsed has no extent.
    pub(super) fn finding(
        &mut self,
        severity: Severity,
        at: &Range<usize>,
        message: &dyn fmt::Display,
        hint: &str,
    ) {
        let is_consequence = self.broken_lines.contains(&self.line_start(at.start))
            || self.ignored.iter().any(|part| part.contains(&at.start))
            || (at.is_empty() && !self.broken_lines.is_empty());
        if !is_consequence {
            self.add(severity, at.start, true, message, hint);
        }
    }

    fn add(
        &mut self,
        severity: Severity,
        at: usize,
        has_place: bool,
        message: &dyn fmt::Display,
        hint: &str,
    ) {
        let finding =
            Finding { at, has_place, severity, message: message.to_string(), hint: hint.to_owned() };
        let findings = if severity == Severity::Error { &mut self.errors } else { &mut self.warnings };
        let place = findings.partition_point(|other| other.at <= at);
        // Instances have the errors of their table.
        let before = findings.get(..place).unwrap_or_default().iter().rev();
        if !before.take_while(|other| other.at == at).any(|other| *other == finding) {
            findings.insert(place, finding);
        }
    }

    /// Adds the place where something is missing. Ignored where the file is not TOML: the missing part may be in the
    /// lines that could not be parsed.
    pub(super) fn missing(&mut self, at: &Range<usize>, message: impl fmt::Display, hint: &str) {
        let file = self.file(at);
        if !self.broken_lines.iter().any(|line| self.file(&(*line..*line)) == file) {
            self.add(Severity::Error, at.start, true, &message, hint);
        }
    }

    /// Adds the place of a name that nothing has. Ignored where any of the files is not TOML, where references may be
    /// missing, and after [`doubt_names`](Self::doubt_names).
    pub(super) fn unknown_reference(&mut self, at: &Range<usize>, message: impl fmt::Display, hint: &str) {
        if self.broken_lines.is_empty() && self.references == References::Known {
            self.add(Severity::Error, at.start, true, &message, hint);
        }
    }

    /// Notes that a name is wrong, or its table: names that nothing has are the consequence.
    pub(super) fn doubt_names(&mut self) {
        self.references = References::MayBeMissing;
    }

    /// `line 3`, or `FILE, line 3` if that is not the file of `from`.
    pub(super) fn line(&self, at: &Range<usize>, from: &Range<usize>) -> String {
        let (file, (line, _)) = (self.file(at), self.position(at.start));
        if file == self.file(from) {
            format!("line {line}")
        } else {
            format!("{}, line {line}", self.file_name(at))
        }
    }

    /// Text of a file before a place in it.
    fn before(&self, at: usize) -> &'t str {
        self.files.get(self.file(&(at..at))).map_or("", |file| before(file, at))
    }

    /// Place of the first byte of a line.
    fn line_start(&self, at: usize) -> usize {
        let before = self.before(at);
        at - (before.len() - before.rfind('\n').map_or(0, |end| end + 1))
    }

    /// Line and column, both from 1, of a place in its file.
    fn position(&self, offset: usize) -> (usize, usize) {
        position(self.before(offset))
    }

    /// Returns at most [`CONFIG_ERRORS`] warnings if no error was reported.
    pub(super) fn finish(mut self) -> Result<Vec<Diagnostic>, ParseError> {
        let is_right = self.errors.is_empty();
        let findings = std::mem::take(if is_right { &mut self.warnings } else { &mut self.errors });
        let omitted = findings.len().saturating_sub(CONFIG_ERRORS);
        let first = findings.into_iter().take(CONFIG_ERRORS);
        let errors = first.map(|finding| self.diagnostic(finding)).collect();
        if is_right { Ok(errors) } else { Err(ParseError { errors, omitted }) }
    }

    /// Finding at a place, or about the files as a whole.
    pub(super) fn finding_at(
        &self,
        at: Option<Range<usize>>,
        severity: Severity,
        message: String,
        hint: String,
    ) -> Diagnostic {
        let (has_place, at) = (at.is_some(), at.map_or(0, |at| at.start));
        self.diagnostic(Finding { at, has_place, severity, message, hint })
    }

    fn diagnostic(&self, finding: Finding) -> Diagnostic {
        let Finding { at, has_place, severity, message, hint } = finding;
        let (source, place) = (self.file_name(&(at..at)).to_owned(), has_place.then(|| self.position(at)));
        Diagnostic { source, place, severity, message, hint }
    }
}

/// Line and column, both from 1, behind a text.
pub fn position(before: &str) -> (usize, usize) {
    let line = before.rsplit('\n').next().unwrap_or_default();
    (before.matches('\n').count() + 1, line.chars().count() + 1)
}

/// The text of a file before a place in it.
fn before<'t>(file: &File<'t>, offset: usize) -> &'t str {
    let mut end = offset.saturating_sub(file.start).min(file.text.len());
    while !file.text.is_char_boundary(end) {
        end -= 1;
    }
    // A character boundary within the text.
    file.text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Those of one file.
    fn of(text: &str) -> Diagnostics<'_> {
        Diagnostics::new(&[Source::new("f", text)], References::Known)
    }

    #[test]
    fn positions_count_from_one_in_characters() {
        let text = "ab\näöx\n";
        let diagnostics = of(text);
        for (offset, place) in
            [(0, (1, 1)), (2, (1, 3)), (3, (2, 1)), (6, (2, 2)), (7, (2, 3)), (9, (3, 1)), (99, (3, 1))]
        {
            assert_eq!(diagnostics.position(offset), place, "{offset}");
        }
        assert_eq!(of("").position(0), (1, 1));
    }

    #[test]
    fn errors_are_reported_in_the_order_of_their_spans() {
        let mut diagnostics = of("a\nb\nc");
        diagnostics.error(&(4..5), "second");
        diagnostics.error(&(0..1), "fir\x1bst");
        let errors = diagnostics.finish().unwrap_err();
        assert_eq!(errors.to_string(), "f:1:1: fir?st\nf:3:1: second");
        assert_eq!((errors.errors().len(), errors.omitted()), (2, 0));
        assert_eq!((errors.first().to_string().as_str(), errors.after_first()), ("f:1:1: fir?st", 1));
    }

    #[test]
    fn errors_are_reported_up_to_the_limit() {
        let text = "x".repeat(CONFIG_ERRORS + 2);
        let report_of = |errors: usize| {
            let mut diagnostics = of(&text);
            (0..errors).for_each(|n| diagnostics.error(&(n..n), "bad"));
            diagnostics.finish().unwrap_err()
        };
        let met = report_of(CONFIG_ERRORS);
        assert_eq!((met.errors().len(), met.omitted()), (CONFIG_ERRORS, 0));
        let passed = report_of(CONFIG_ERRORS + 2);
        assert_eq!((passed.errors().len(), passed.omitted()), (CONFIG_ERRORS, 2));
        assert_eq!(passed.after_first(), CONFIG_ERRORS + 1);
        assert!(passed.to_string().ends_with("bad\nf: and 2 more"));
    }

    #[test]
    fn consequences_of_a_broken_line_are_not_reported() {
        let mut diagnostics = of("a = \nb = 1\n");
        diagnostics.syntax_error(4, "no value", "");
        diagnostics.error(&(0..1), "expected a string");
        diagnostics.error(&(5..6), "unknown");
        diagnostics.missing(&(0..1), "missing", "");
        let errors = diagnostics.finish().unwrap_err();
        assert_eq!(errors.to_string(), "f:1:5: no value\nf:2:1: unknown");
    }

    #[test]
    fn errors_of_several_files_have_places_in_their_own() {
        let files =
            [Source::new("f", "a\nb"), Source { name: "g", text: Err("gone") }, Source::new("h", "c\nd\n")];
        let mut diagnostics = Diagnostics::new(&files, References::Known);
        let [f, g, h] = [0, 1, 2].map(|file| diagnostics.start(file));
        assert_eq!((f, g, h), (0, 4, 5));
        diagnostics.unreadable(1, "gone");
        diagnostics.error(&(2..3), "of f");
        diagnostics.missing(&(3..3), "the end of f", "");
        diagnostics.missing(&(h + 2..h + 3), "of h", "");
        diagnostics.missing(&(g..g), "a consequence", "");
        diagnostics.unknown_reference(&(h..h), "perhaps in g", "");
        assert_eq!(diagnostics.line(&(h + 2..h + 3), &(h..h)), "line 2");
        assert_eq!(diagnostics.line(&(h + 2..h + 3), &(f..f)), "h, line 2");
        let errors = diagnostics.finish().unwrap_err();
        assert_eq!(errors.to_string(), "f:2:1: of f\nf:2:2: the end of f\ng: gone\nh:2:1: of h");
        assert_eq!(errors.of("h").unwrap().to_string(), "h:2:1: of h");
        assert_eq!(errors.of("x"), None);
    }

    #[test]
    fn without_errors_there_are_warnings() {
        assert_eq!(of("x").finish(), Ok(Vec::new()));
        let mut diagnostics = of("x\ny");
        diagnostics.warning(&(2..3), "odd", "mend it");
        let warnings = diagnostics.finish().unwrap();
        assert_eq!(
            warnings.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["f:2:1: warning: odd; mend it"]
        );
        let mut diagnostics = of("x\ny");
        diagnostics.warning(&(2..3), "odd", "");
        diagnostics.error(&(0..1), "wrong");
        assert_eq!(diagnostics.finish().unwrap_err().to_string(), "f:1:1: wrong");
    }
}
