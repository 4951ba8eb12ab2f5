//! What is wrong with a device file: all of it, each with its place.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

use crate::limits::CONFIG_ERRORS;

/// A message that quotes the file is cut here.
const MESSAGE_CHARS: usize = 400;

/// One error of a device file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Diagnostic {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong, and what would be right.
    pub message: String,
}

/// The errors of a device file in the order of their places; at most [`CONFIG_ERRORS`] of them.
///
/// Shown as `FILE:LINE:COLUMN: MESSAGE`, a line each, without a line's end after the last.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Diagnostics {
    origin: String,
    errors: Vec<Diagnostic>,
    omitted: usize,
}

impl Diagnostics {
    /// The errors.
    pub fn errors(&self) -> &[Diagnostic] {
        &self.errors
    }

    /// The first error alone, shown as all of them are.
    pub fn first(&self) -> impl fmt::Display {
        let errors = self.errors.iter().take(1).cloned().collect();
        Self { origin: self.origin.clone(), errors, omitted: 0 }
    }

    /// How many there are after the first, the ones that are not among [`errors`](Self::errors) too.
    pub fn after_first(&self) -> usize {
        self.errors.len().saturating_sub(1) + self.omitted
    }

    /// How many more there are.
    pub fn omitted(&self) -> usize {
        self.omitted
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, error) in self.errors.iter().enumerate() {
            if n > 0 {
                writeln!(f)?;
            }
            write!(f, "{}:{}:{}: ", self.origin, error.line, error.column)?;
            // The message may quote the file, and the file may hold anything.
            for c in error.message.chars() {
                write!(f, "{}", if c.is_control() { '?' } else { c })?;
            }
        }
        if self.omitted > 0 {
            write!(f, "\n{}: and {} more", self.origin, self.omitted)?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

/// Collects errors while a text is read.
#[derive(Debug)]
pub(super) struct Report<'t> {
    text: &'t str,
    /// Where each line begins.
    line_starts: Vec<usize>,
    errors: Vec<(usize, String)>,
    /// Lines that TOML could not be read from; what is found on them beside that is a consequence.
    broken_lines: BTreeSet<usize>,
}

impl<'t> Report<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        let ends = text.match_indices('\n').map(|(end, _)| end + 1);
        Self {
            text,
            line_starts: std::iter::once(0).chain(ends).collect(),
            errors: Vec::new(),
            broken_lines: BTreeSet::new(),
        }
    }

    /// The text is no TOML here.
    pub(super) fn syntax_error(&mut self, at: Range<usize>, message: impl fmt::Display) {
        self.broken_lines.insert(self.line(&at));
        self.errors.push((at.start, message.to_string()));
    }

    /// Something that is TOML is wrong here.
    pub(super) fn error(&mut self, at: &Range<usize>, message: impl fmt::Display) {
        if !self.broken_lines.contains(&self.line(at)) {
            self.errors.push((at.start, message.to_string()));
        }
    }

    /// Something is missing or refers to nothing. Not told of a text that is no TOML: what is missed
    /// may be in what could not be read.
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
        let line_text = self.text.get(start..).unwrap_or_default();
        let before = line_text.char_indices().take_while(|(at, c)| start + at + c.len_utf8() <= offset);
        (line, before.count() + 1)
    }

    /// What was read, if there are no errors. What could not be read has its error.
    pub(super) fn finish<T>(mut self, origin: &str, value: Option<T>) -> Result<T, Diagnostics> {
        if let Some(value) = value
            && self.errors.is_empty()
        {
            return Ok(value);
        }
        self.errors.sort_by_key(|(offset, _)| *offset);
        self.errors.dedup();
        let omitted = self.errors.len().saturating_sub(CONFIG_ERRORS);
        let told = self.errors.iter().take(CONFIG_ERRORS).map(|(offset, message)| {
            let (line, column) = self.position(*offset);
            Diagnostic { line, column, message: message.chars().take(MESSAGE_CHARS).collect() }
        });
        Err(Diagnostics { origin: origin.to_owned(), errors: told.collect(), omitted })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_from_one_in_characters() {
        let text = "ab\näöx\n";
        let report = Report::new(text);
        for (offset, place) in
            [(0, (1, 1)), (2, (1, 3)), (3, (2, 1)), (6, (2, 2)), (7, (2, 3)), (9, (3, 1)), (99, (3, 1))]
        {
            assert_eq!(report.position(offset), place, "{offset}");
        }
        assert_eq!(Report::new("").position(0), (1, 1));
    }

    #[test]
    fn errors_are_told_in_the_order_of_their_places() {
        let mut report = Report::new("a\nb\nc");
        report.error(&(4..5), "second");
        report.error(&(0..1), "fir\x1bst");
        let errors = report.finish("f.toml", Some(())).unwrap_err();
        assert_eq!(errors.to_string(), "f.toml:1:1: fir?st\nf.toml:3:1: second");
        assert_eq!((errors.errors().len(), errors.omitted()), (2, 0));
        assert_eq!((errors.first().to_string().as_str(), errors.after_first()), ("f.toml:1:1: fir?st", 1));
    }

    #[test]
    fn as_many_errors_are_told_as_the_limit_says() {
        let text = "x".repeat(CONFIG_ERRORS + 2);
        let report_of = |errors: usize| {
            let mut report = Report::new(&text);
            (0..errors).for_each(|n| report.error(&(n..n), "bad"));
            report.finish("f", Some(())).unwrap_err()
        };
        let met = report_of(CONFIG_ERRORS);
        assert_eq!((met.errors().len(), met.omitted()), (CONFIG_ERRORS, 0));
        let passed = report_of(CONFIG_ERRORS + 2);
        assert_eq!((passed.errors().len(), passed.omitted()), (CONFIG_ERRORS, 2));
        assert_eq!(passed.after_first(), CONFIG_ERRORS + 1);
        assert!(passed.to_string().ends_with("bad\nf: and 2 more"));
    }

    #[test]
    fn what_follows_from_a_broken_line_is_not_told() {
        let mut report = Report::new("a = \nb = 1\n");
        report.syntax_error(4..5, "no value");
        report.error(&(0..1), "expected a string");
        report.error(&(5..6), "unknown");
        report.missing(&(0..1), "missing");
        let errors = report.finish("f", Some(())).unwrap_err();
        assert_eq!(errors.to_string(), "f:1:5: no value\nf:2:1: unknown");
    }

    #[test]
    fn without_errors_all_is_well() {
        assert_eq!(Report::new("x").finish("f", Some(())), Ok(()));
    }
}
