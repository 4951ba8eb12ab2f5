//! Errors of a configuration file: all of them, each with its place.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

use super::References;
use super::sources::Source;
use crate::limits::CONFIG_ERRORS;

/// Most characters of one message, which may quote the file.
const MESSAGE_CHARS: usize = 400;

/// One error of a configuration file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Diagnostic {
    /// Name of the file.
    pub source: String,
    /// Line, and column in characters, both from 1; `None` for the file as a whole.
    pub place: Option<(usize, usize)>,
    /// Description of the error and of a correct value.
    pub message: String,
}

/// Errors of a configuration file in the order of their places; at most [`CONFIG_ERRORS`] of them.
///
/// Displayed as `FILE:LINE:COLUMN: MESSAGE`, a line each, without a newline after the last.
#[derive(Clone, Debug, Eq, PartialEq)]
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
    pub fn first(&self) -> impl fmt::Display {
        let errors = self.errors.iter().take(1).cloned().collect();
        Self { errors, omitted: 0 }
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
            match error.place {
                Some((line, column)) => write!(f, "{}:{line}:{column}: ", error.source)?,
                None => write!(f, "{}: ", error.source)?,
            }
            // The message may quote the file, and the file may hold anything.
            for c in error.message.chars() {
                write!(f, "{}", if c.is_control() { '?' } else { c })?;
            }
        }
        if self.omitted > 0 {
            let source = self.errors.last().map_or("", |error| &error.source);
            write!(f, "\n{source}: and {} more", self.omitted)?;
        }
        Ok(())
    }
}

impl std::error::Error for ParseError {}

/// Errors collected while the files of a configuration are parsed. Places count through all of them.
#[derive(Debug)]
pub(super) struct Diagnostics<'t> {
    files: Vec<File<'t>>,
    references: References,
    /// Place of each error; `false` for one of the file as a whole.
    errors: Vec<(usize, bool, String)>,
    /// Begins of lines with a syntax error; further errors in them are its consequence.
    broken_lines: BTreeSet<usize>,
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
        Self { files: files.collect(), references, errors: Vec::new(), broken_lines: BTreeSet::new() }
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
    pub(super) fn unreadable(&mut self, file: usize, reason: impl fmt::Display) {
        let start = self.start(file);
        self.broken_lines.insert(start);
        self.errors.push((start, false, reason.to_string()));
    }

    /// Adds a place where the text is not TOML.
    pub(super) fn syntax_error(&mut self, at: Range<usize>, message: impl fmt::Display) {
        self.broken_lines.insert(self.line_start(&at));
        self.errors.push((at.start, true, message.to_string()));
    }

    /// Adds an error in a value or a key.
    pub(super) fn error(&mut self, at: &Range<usize>, message: impl fmt::Display) {
        if !self.broken_lines.contains(&self.line_start(at)) {
            self.errors.push((at.start, true, message.to_string()));
        }
    }

    /// Adds the place where something is missing. Ignored where the file is not TOML: the missing part may be in the
    /// lines that could not be parsed.
    pub(super) fn missing(&mut self, at: &Range<usize>, message: impl fmt::Display) {
        let file = self.file(at);
        if !self.broken_lines.iter().any(|line| self.file(&(*line..*line)) == file) {
            self.errors.push((at.start, true, message.to_string()));
        }
    }

    /// Adds the place of a name that nothing has. Ignored where any of the files is not TOML, and where references may be
    /// missing.
    pub(super) fn unknown_reference(&mut self, at: &Range<usize>, message: impl fmt::Display) {
        if self.broken_lines.is_empty() && self.references == References::Known {
            self.errors.push((at.start, true, message.to_string()));
        }
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

    /// Place of the first byte of a line.
    fn line_start(&self, at: &Range<usize>) -> usize {
        let Some(file) = self.files.get(self.file(at)) else { return 0 };
        let before = before(file, at.start);
        file.start + before.rfind('\n').map_or(0, |end| end + 1)
    }

    /// Line and column, both from 1, of a place in its file.
    fn position(&self, offset: usize) -> (usize, usize) {
        let Some(file) = self.files.get(self.file(&(offset..offset))) else { return (1, 1) };
        let before = before(file, offset);
        let line = before.rsplit('\n').next().unwrap_or_default();
        (before.matches('\n').count() + 1, line.chars().count() + 1)
    }

    /// Returns the value if no error was reported.
    pub(super) fn finish<T>(mut self, value: Option<T>) -> Result<T, ParseError> {
        if let Some(value) = value
            && self.errors.is_empty()
        {
            return Ok(value);
        }
        self.errors.sort_by_key(|(offset, ..)| *offset);
        self.errors.dedup();
        let omitted = self.errors.len().saturating_sub(CONFIG_ERRORS);
        let errors = self.errors.iter().take(CONFIG_ERRORS).map(|(offset, has_place, message)| Diagnostic {
            source: self.file_name(&(*offset..*offset)).to_owned(),
            place: has_place.then(|| self.position(*offset)),
            message: message.chars().take(MESSAGE_CHARS).collect(),
        });
        Err(ParseError { errors: errors.collect(), omitted })
    }
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
        let errors = diagnostics.finish(Some(())).unwrap_err();
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
            diagnostics.finish(Some(())).unwrap_err()
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
        diagnostics.syntax_error(4..5, "no value");
        diagnostics.error(&(0..1), "expected a string");
        diagnostics.error(&(5..6), "unknown");
        diagnostics.missing(&(0..1), "missing");
        let errors = diagnostics.finish(Some(())).unwrap_err();
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
        diagnostics.missing(&(3..3), "the end of f");
        diagnostics.missing(&(h + 2..h + 3), "of h");
        diagnostics.missing(&(g..g), "a consequence");
        diagnostics.unknown_reference(&(h..h), "perhaps in g");
        assert_eq!(diagnostics.line(&(h + 2..h + 3), &(h..h)), "line 2");
        assert_eq!(diagnostics.line(&(h + 2..h + 3), &(f..f)), "h, line 2");
        let errors = diagnostics.finish(Some(())).unwrap_err();
        assert_eq!(errors.to_string(), "f:2:1: of f\nf:2:2: the end of f\ng: gone\nh:2:1: of h");
        assert_eq!(errors.of("h").unwrap().to_string(), "h:2:1: of h");
        assert_eq!(errors.of("x"), None);
    }

    #[test]
    fn without_errors_the_value_is_returned() {
        assert_eq!(of("x").finish(Some(())), Ok(()));
    }
}
