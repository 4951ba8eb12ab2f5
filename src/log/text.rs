//! Text sink: lines on standard error.

use core::fmt::{self, Write as _};

use super::Level;
use super::clock::elapsed_ms;
use super::line::Line;

/// Writes one line: seconds since start, level, module, text.
pub fn write_line(level: Level, module: &str, arguments: fmt::Arguments<'_>) {
    let elapsed = elapsed_ms();
    let mut line = Line::default();
    let module = module.strip_prefix("friendlet::").unwrap_or(module);
    // Writing to a line never fails; a `Display` that does leaves the line short.
    let _ = write!(line, "[{:>5}.{:03}] {:<5} ", elapsed / 1000, elapsed % 1000, level.name());
    let body = line.len();
    let _ = write!(line, "{module}: ");
    let _ = line.write_fmt(arguments);
    store(level, body, &mut line);
    super::stderr::write(line.finish());
}

/// Stores the line in the ring buffer.
#[cfg(not(feature = "defmt"))]
fn store(_: Level, _: usize, line: &mut Line) {
    super::buffer::push(line.finish());
}

/// Stores the line in the ring buffer as a frame, from `body` on: a frame has its own time and level.
#[cfg(feature = "defmt")]
fn store(level: Level, body: usize, line: &mut Line) {
    if super::is_enabled()
        && let Some(text) = line.as_str().get(body..)
    {
        super::frames::store_line(level, text);
    }
}
