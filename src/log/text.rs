//! Text sink: lines on standard error.

use core::fmt::{self, Write as _};

use super::Level;
use super::line::Line;

/// Writes one line: time of day, seconds since start, level, module, text.
pub fn write_line(level: Level, module: &str, arguments: fmt::Arguments<'_>) {
    let mut line = Line::of_now(level);
    let module = module.strip_prefix("friendlet::").unwrap_or(module);
    let body = line.len();
    // Writing to a line never fails; a `Display` that does leaves the record out.
    let _ = write!(line, "{module}: ");
    if line.write_fmt(arguments).is_err() {
        return;
    }
    store(level, body, &mut line);
    super::stderr::write_line(&mut line);
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
