//! Errors of a configuration file: all of them, each with its place.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

use crate::limits::CONFIG_ERRORS;

/// Most characters of one message, which may quote the file.
const MESSAGE_CHARS: usize = 400;

/// One error of a configuration file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Diagnostic {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Description of the error and of a correct value.
    pub message: String,
}

/// Errors of a configuration file in the order of their places; at most [`CONFIG_ERRORS`] of them.
///
/// Displayed as `FILE:LINE:COLUMN: MESSAGE`, a line each, without a newline after the last.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ParseError {
    source: String,
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
        Self { source: self.source.clone(), errors, omitted: 0 }
    }

    /// Number of errors after the first, including [`omitted`](Self::omitted).
    pub fn after_first(&self) -> usize {
        self.errors.len().saturating_sub(1) + self.omitted
    }

    /// Number of errors beyond [`errors`](Self::errors).
    pub fn omitted(&self) -> usize {
        self.omitted
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, error) in self.errors.iter().enumerate() {
            if n > 0 {
                writeln!(f)?;
            }
            write!(f, "{}:{}:{}: ", self.source, error.line, error.column)?;
            // The message may quote the file, and the file may hold anything.
            for c in error.message.chars() {
                write!(f, "{}", if c.is_control() { '?' } else { c })?;
            }
        }
        if self.omitted > 0 {
            write!(f, "\n{}: and {} more", self.source, self.omitted)?;
        }
        Ok(())
    }
}

impl std::error::Error for ParseError {}

/// Errors collected while a text is parsed.
#[derive(Debug)]
pub(super) struct Diagnostics<'t> {
    text: &'t str,
    /// Offset of the first byte of each line.
    line_starts: Vec<usize>,
    errors: Vec<(usize, String)>,
    /// Lines with a syntax error; further errors in them are its consequence.
    broken_lines: BTreeSet<usize>,
}

impl<'t> Diagnostics<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        let ends = text.match_indices('\n').map(|(end, _)| end + 1);
        Self {
            text,
            line_starts: std::iter::once(0).chain(ends).collect(),
            errors: Vec::new(),
            broken_lines: BTreeSet::new(),
        }
    }

    /// Adds a place where the text is not TOML.
    pub(super) fn syntax_error(&mut self, at: Range<usize>, message: impl fmt::Display) {
        self.broken_lines.insert(self.line(&at));
        self.errors.push((at.start, message.to_string()));
    }

    /// Adds an error in a value or a key.
    pub(super) fn error(&mut self, at: &Range<usize>, message: impl fmt::Display) {
        if !self.broken_lines.contains(&self.line(at)) {
            self.errors.push((at.start, message.to_string()));
        }
    }

    /// Adds the place where something is missing or refers to nothing. Ignored where the text is not TOML:
    /// the missing part may be in the lines that could not be parsed.
    pub(super) fn missing(&mut self, at: &Range<usize>, message: impl fmt::Display) {
        if self.broken_lines.is_empty() {
            self.errors.push((at.start, message.to_string()));
        }
    }

    /// Line of a place in the text, from 1.
    pub(super) fn line(&self, at: &Range<usize>) -> usize {
        self.line_starts.partition_point(|start| *start <= at.start)
    }

    /// Line and column, both from 1, of a byte of the text.
    fn position(&self, offset: usize) -> (usize, usize) {
        let line = self.line(&(offset..offset));
        let start = line.checked_sub(1).and_then(|index| self.line_starts.get(index)).copied().unwrap_or(0);
        // Lines start at character boundaries of the text.
        let line_text = self.text.get(start..).unwrap_or_default();
        let before = line_text.char_indices().take_while(|(at, c)| start + at + c.len_utf8() <= offset);
        (line, before.count() + 1)
    }

    /// Returns the value if no error was reported.
    pub(super) fn finish<T>(mut self, source: &str, value: Option<T>) -> Result<T, ParseError> {
        if let Some(value) = value
            && self.errors.is_empty()
        {
            return Ok(value);
        }
        self.errors.sort_by_key(|(offset, _)| *offset);
        self.errors.dedup();
        let omitted = self.errors.len().saturating_sub(CONFIG_ERRORS);
        let errors = self.errors.iter().take(CONFIG_ERRORS).map(|(offset, message)| {
            let (line, column) = self.position(*offset);
            Diagnostic { line, column, message: message.chars().take(MESSAGE_CHARS).collect() }
        });
        Err(ParseError { source: source.to_owned(), errors: errors.collect(), omitted })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_from_one_in_characters() {
        let text = "ab\näöx\n";
        let diagnostics = Diagnostics::new(text);
        for (offset, place) in
            [(0, (1, 1)), (2, (1, 3)), (3, (2, 1)), (6, (2, 2)), (7, (2, 3)), (9, (3, 1)), (99, (3, 1))]
        {
            assert_eq!(diagnostics.position(offset), place, "{offset}");
        }
        assert_eq!(Diagnostics::new("").position(0), (1, 1));
    }

    #[test]
    fn errors_are_reported_in_the_order_of_their_spans() {
        let mut diagnostics = Diagnostics::new("a\nb\nc");
        diagnostics.error(&(4..5), "second");
        diagnostics.error(&(0..1), "fir\x1bst");
        let errors = diagnostics.finish("f.toml", Some(())).unwrap_err();
        assert_eq!(errors.to_string(), "f.toml:1:1: fir?st\nf.toml:3:1: second");
        assert_eq!((errors.errors().len(), errors.omitted()), (2, 0));
        assert_eq!((errors.first().to_string().as_str(), errors.after_first()), ("f.toml:1:1: fir?st", 1));
    }

    #[test]
    fn errors_are_reported_up_to_the_limit() {
        let text = "x".repeat(CONFIG_ERRORS + 2);
        let report_of = |errors: usize| {
            let mut diagnostics = Diagnostics::new(&text);
            (0..errors).for_each(|n| diagnostics.error(&(n..n), "bad"));
            diagnostics.finish("f", Some(())).unwrap_err()
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
        let mut diagnostics = Diagnostics::new("a = \nb = 1\n");
        diagnostics.syntax_error(4..5, "no value");
        diagnostics.error(&(0..1), "expected a string");
        diagnostics.error(&(5..6), "unknown");
        diagnostics.missing(&(0..1), "missing");
        let errors = diagnostics.finish("f", Some(())).unwrap_err();
        assert_eq!(errors.to_string(), "f:1:5: no value\nf:2:1: unknown");
    }

    #[test]
    fn without_errors_the_value_is_returned() {
        assert_eq!(Diagnostics::new("x").finish("f", Some(())), Ok(()));
    }
}
