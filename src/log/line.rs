//! Buffer that a log line is formatted in.

use core::fmt::{self, Write as _};

use super::clock::elapsed_ms;
use super::{LOG_LINE_BYTES, Level, RECORD_END};
use crate::wall_clock::{self, Utc};

/// Line of at most [`LOG_LINE_BYTES`] with its line feed. [Harmful](is_harmful) characters are replaced by
/// `?`, so that nothing from the network reaches a terminal.
pub(super) struct Line {
    bytes: [u8; LOG_LINE_BYTES],
    len: usize,
    /// Length of the time of day at the beginning, with its space.
    time: usize,
    level: Level,
}

impl Default for Line {
    fn default() -> Self {
        Self { bytes: [0; LOG_LINE_BYTES], len: 0, time: 0, level: Level::Info }
    }
}

impl Line {
    /// Line with the text of `value`, cut at the limit. `None` if its `Display` fails.
    #[cfg(feature = "defmt")]
    pub(super) fn of(value: &dyn fmt::Display) -> Option<Self> {
        let mut line = Self::default();
        fmt::write(&mut line, format_args!("{value}")).is_ok().then_some(line)
    }

    /// Content without the line feed.
    #[cfg(feature = "defmt")]
    pub(super) fn as_str(&self) -> &str {
        // `write_str` stores whole characters.
        core::str::from_utf8(&self.bytes[..self.len]).unwrap_or("?")
    }

    /// Length of the content in bytes.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Line of this moment: its beginning up to the level. The console of a device has no time of day: its
    /// clock may not be set yet.
    pub(super) fn of_now(level: Level) -> Self {
        let mut line = if cfg!(feature = "defmt") { Self::default() } else { Self::of_time_of_day() };
        line.level = level;
        line.put_elapsed();
        // Writing to a line never fails.
        let _ = write!(line, " {:<5} ", level.name());
        line
    }

    /// Line of the audit trail at this moment: its beginning.
    pub(super) fn of_audit() -> Self {
        let mut line = Self::of_time_of_day();
        line.put_elapsed();
        line
    }

    fn of_time_of_day() -> Self {
        let mut line = Self::default();
        // Writing to a line never fails.
        let _ = write!(line, "{:.3} ", Utc(wall_clock::now()));
        line.time = line.len;
        line
    }

    fn put_elapsed(&mut self) {
        let elapsed = elapsed_ms();
        // Writing to a line never fails.
        let _ = write!(self, "[{:>5}.{:03}]", elapsed / 1000, elapsed % 1000);
    }

    /// Content with the line feed.
    pub(super) fn finish(&mut self) -> &[u8] {
        self.bytes[self.len] = b'\n';
        &self.bytes[..=self.len]
    }

    /// The same as a record of a ring, without the time of day.
    pub(super) fn finish_record(&mut self) -> &[u8] {
        self.bytes[self.len] = RECORD_END;
        self.bytes.get(self.time..=self.len).unwrap_or_default()
    }

    /// Content with the line feed, with the number of its level (sd-daemon(3)) in place of the time of day.
    pub(super) fn finish_for_journal(&mut self) -> &[u8] {
        let prefix = [b'<', b'0' + self.level.severity(), b'>'];
        let start = self.time.saturating_sub(prefix.len());
        if let Some(place) = self.bytes.get_mut(start..self.time).filter(|place| place.len() == prefix.len())
        {
            place.copy_from_slice(&prefix);
        }
        self.finish().get(start..).unwrap_or_default()
    }
}

impl fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            let c = if is_harmful(c) { '?' } else { c };
            // One byte is reserved for the line feed.
            if self.len + c.len_utf8() >= LOG_LINE_BYTES {
                return Ok(());
            }
            self.len += c.encode_utf8(&mut self.bytes[self.len..]).len();
        }
        Ok(())
    }
}

/// Returns true for a character that may control a terminal, or show a text as another one: a control character, or a
/// mark that reverses text (Unicode's `Bidi_Control`).
pub fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// Line about lines that were lost on their way to standard error.
pub(super) fn lost_notice(lost: u32) -> Line {
    let mut line = Line::of_now(Level::Warn);
    // Writing to a line never fails.
    let _ = write!(line, "log: {lost} lines were lost: standard error did not accept them");
    line
}

#[cfg(test)]
mod tests {
    use core::fmt::Write as _;

    use super::*;

    #[test]
    fn long_line_is_cut() {
        let mut line = Line::default();
        for _ in 0..LOG_LINE_BYTES {
            line.write_str("ä").unwrap();
        }
        assert!(line.finish().len() <= LOG_LINE_BYTES);
        assert_eq!(line.finish().last(), Some(&b'\n'));
    }

    #[test]
    fn line_up_to_the_limit_is_whole() {
        let mut line = Line::default();
        line.write_str(&"x".repeat(LOG_LINE_BYTES - 1)).unwrap();
        assert_eq!(line.finish().len(), LOG_LINE_BYTES);
        line.write_str("y").unwrap();
        assert!(line.finish().ends_with(b"x\n"));
    }

    #[test]
    fn line_for_the_journal_begins_with_the_number_of_its_level() {
        for (level, prefix) in [(Level::Error, "<3>["), (Level::Warn, "<4>["), (Level::Debug, "<7>[")] {
            let mut line = Line { level, ..Line::of_audit() };
            assert!(line.finish_for_journal().starts_with(prefix.as_bytes()));
        }
        assert_eq!(Line::default().finish_for_journal(), b"\n");
    }

    #[test]
    fn control_characters_are_replaced() {
        let mut line = Line::default();
        line.write_str("a\u{1b}[31m\nb").unwrap();
        assert_eq!(line.finish(), b"a?[31m?b\n");
    }

    #[test]
    fn marks_that_reverse_text_are_harmful() {
        let marks = ['\u{61C}', '\u{200E}', '\u{200F}'].into_iter();
        let marks = marks.chain('\u{202A}'..='\u{202E}').chain('\u{2066}'..='\u{2069}');
        assert!(marks.chain(['\0', '\t', '\n', '\u{1b}', '\u{7f}', '\u{9b}']).all(is_harmful));
        assert!(!" é\u{FFFD}\u{200D}\u{202F}".chars().any(is_harmful));
        let mut line = Line::default();
        line.write_str("a\u{202E}b").unwrap();
        assert_eq!(line.finish(), b"a?b\n");
    }
}
