//! The sink for people: lines on standard error.

use core::fmt::{self, Write as _};
use core::sync::atomic::{AtomicU8, Ordering};
use std::io::Write as _;
use std::sync::OnceLock;
use std::time::Instant;

use super::Level;
use crate::limits::LOG_LINE_BYTES;

static LEVEL: AtomicU8 = AtomicU8::new(Level::Info as u8);
static START: OnceLock<Instant> = OnceLock::new();

/// Sets what is written from now on, and starts the log's clock.
pub fn set_level(level: Level) {
    START.get_or_init(Instant::now);
    LEVEL.store(level as u8, Ordering::Relaxed);
}

/// The level in force.
pub fn level() -> Level {
    match LEVEL.load(Ordering::Relaxed) {
        0 => Level::Off,
        1 => Level::Error,
        2 => Level::Warn,
        3 => Level::Info,
        _ => Level::Debug,
    }
}

/// Writes one line: seconds since start, level, place, text. Control characters are shown as `?`,
/// so that nothing from the network can write to a terminal.
pub fn write_line(level: Level, module: &str, arguments: fmt::Arguments<'_>) {
    let elapsed = START.get_or_init(Instant::now).elapsed();
    let mut line = Line::default();
    let place = module.strip_prefix("friendlet::").unwrap_or(module);
    let _ = write!(
        line,
        "[{:>5}.{:03}] {:<5} {place}: ",
        elapsed.as_secs(),
        elapsed.subsec_millis(),
        level.name()
    );
    let _ = line.write_fmt(arguments);
    // A closed standard error must not stop the server.
    let _ = std::io::stderr().write_all(line.finish());
}

struct Line {
    bytes: [u8; LOG_LINE_BYTES],
    len: usize,
}

impl Default for Line {
    fn default() -> Self {
        Self { bytes: [0; LOG_LINE_BYTES], len: 0 }
    }
}

impl Line {
    fn finish(&mut self) -> &[u8] {
        self.bytes[self.len] = b'\n';
        &self.bytes[..=self.len]
    }
}

impl fmt::Write for Line {
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
    fn control_characters_do_not_pass() {
        let mut line = Line::default();
        line.write_str("a\u{1b}[31m\nb").unwrap();
        assert_eq!(line.finish(), b"a?[31m?b\n");
    }
}
