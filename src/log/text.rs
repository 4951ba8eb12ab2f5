//! The sink for people: lines on standard error.

use core::fmt::{self, Write as _};
use std::io::Write as _;
use std::sync::OnceLock;
use std::time::Instant;

use super::Level;
use crate::log::LOG_LINE_BYTES;

static START: OnceLock<Instant> = OnceLock::new();

/// Starts the log's clock, unless it runs.
pub(super) fn start_clock() {
    START.get_or_init(Instant::now);
}

/// Time on the log's clock.
pub(super) fn elapsed_ms() -> u64 {
    u64::try_from(START.get_or_init(Instant::now).elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Writes one line: seconds since start, level, place, text. Control characters are shown as `?`,
/// so that nothing from the network can write to a terminal.
pub fn write_line(level: Level, module: &str, arguments: fmt::Arguments<'_>) {
    let elapsed = elapsed_ms();
    let mut line = Text::default();
    let place = module.strip_prefix("friendlet::").unwrap_or(module);
    let _ = write!(line, "[{:>5}.{:03}] {:<5} ", elapsed / 1000, elapsed % 1000, level.name());
    let head = line.len;
    let _ = write!(line, "{place}: ");
    let _ = line.write_fmt(arguments);
    keep(level, head, &mut line);
    // A closed standard error must not stop the server.
    let _ = std::io::stderr().write_all(line.finish());
}

#[cfg(not(feature = "defmt"))]
fn keep(_: Level, _: usize, line: &mut Text) {
    super::kept::push(line.finish());
}

/// The log of such a build is frames: this one holds what stands behind the level.
#[cfg(feature = "defmt")]
fn keep(level: Level, head: usize, line: &mut Text) {
    if super::is_kept() {
        super::frames::keep_line(level, line.as_str().get(head..).unwrap_or_default());
    }
}

/// Text of at most [`LOG_LINE_BYTES`] with its line's end, without control characters.
pub(super) struct Text {
    bytes: [u8; LOG_LINE_BYTES],
    len: usize,
}

impl Default for Text {
    fn default() -> Self {
        Self { bytes: [0; LOG_LINE_BYTES], len: 0 }
    }
}

impl Text {
    /// What `value` shows, cut at the limit.
    #[cfg(feature = "defmt")]
    pub(super) fn of(value: &dyn fmt::Display) -> Self {
        let mut text = Self::default();
        let _ = write!(text, "{value}");
        text
    }

    #[cfg(feature = "defmt")]
    pub(super) fn as_str(&self) -> &str {
        // Only whole characters were put in.
        core::str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }

    fn finish(&mut self) -> &[u8] {
        self.bytes[self.len] = b'\n';
        &self.bytes[..=self.len]
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            let c = if c.is_control() { '?' } else { c };
            // One byte is kept for the line's end.
            if self.len + c.len_utf8() >= LOG_LINE_BYTES {
                return Ok(());
            }
            self.len += c.encode_utf8(&mut self.bytes[self.len..]).len();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_line_is_cut() {
        let mut line = Text::default();
        for _ in 0..LOG_LINE_BYTES {
            line.write_str("ä").unwrap();
        }
        assert!(line.finish().len() <= LOG_LINE_BYTES);
        assert_eq!(line.finish().last(), Some(&b'\n'));
    }

    #[test]
    fn line_up_to_the_limit_is_whole() {
        let mut line = Text::default();
        line.write_str(&"x".repeat(LOG_LINE_BYTES - 1)).unwrap();
        assert_eq!(line.finish().len(), LOG_LINE_BYTES);
        line.write_str("y").unwrap();
        assert!(line.finish().ends_with(b"x\n"));
    }

    #[test]
    fn control_characters_do_not_pass() {
        let mut line = Text::default();
        line.write_str("a\u{1b}[31m\nb").unwrap();
        assert_eq!(line.finish(), b"a?[31m?b\n");
    }
}
