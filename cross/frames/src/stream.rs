//! A stream of frames, and the lines that come of it.

use std::fmt::Write as _;

use defmt_decoder::{DecodeError, Frame, Location};

use crate::head::Head;
use crate::program::{Program, Programs};
use crate::time::utc;

/// The format of a line that the device wrote as text: place and text are in its one argument.
pub(crate) const WRITTEN: &str = "log/frames.rs";
/// Names of the levels, as in the tags of format strings.
pub(crate) const LEVELS: [&str; 4] = ["error", "warn", "info", "debug"];

/// Format of a line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Style {
    /// Wall clock, time since start, level, module and place in the source, text.
    Full,
    /// As friendlet's text log.
    Lines,
}

/// Takes bytes and gives lines.
pub(crate) struct Reader {
    programs: Programs,
    style: Style,
    program: Option<Program>,
    head: Option<Head>,
    /// Bytes of a frame whose final zero is missing.
    pending: Vec<u8>,
    /// True if the first bytes may be the rest of a frame.
    is_first: bool,
}

impl Reader {
    pub(crate) fn new(programs: Programs, style: Style) -> Self {
        Self { programs, style, program: None, head: None, pending: Vec::new(), is_first: true }
    }

    /// The lines of the frames that are whole with these bytes.
    ///
    /// # Errors
    /// The program of the frames is missing.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<String, String> {
        let mut text = String::new();
        for byte in bytes {
            if *byte == b'\n' && self.head.as_ref().is_some_and(|head| head.is_text) {
                let line = std::mem::take(&mut self.pending);
                match Head::parse(&line) {
                    // Another run.
                    Some(head) => self.begin(head?, &mut text)?,
                    None => {
                        let _ = writeln!(text, "{}", String::from_utf8_lossy(&line));
                    }
                }
                continue;
            }
            if *byte != 0 {
                self.pending.push(*byte);
                continue;
            }
            let frame = std::mem::take(&mut self.pending);
            if !frame.is_empty() {
                self.frame(&frame, &mut text)?;
            }
            self.is_first = false;
        }
        Ok(text)
    }

    /// Returns the rest at the end of a file.
    pub(crate) fn end(&mut self) -> String {
        let rest = std::mem::take(&mut self.pending);
        self.is_first = true;
        if rest.is_empty() { String::new() } else { format!("-- {} bytes of a cut record --\n", rest.len()) }
    }

    fn frame(&mut self, bytes: &[u8], text: &mut String) -> Result<(), String> {
        if let Some(head) = Head::parse(bytes) {
            return self.begin(head?, text);
        }
        if self.program.is_none() {
            self.program = Some(self.programs.find(None)?);
        }
        let Some(program) = &self.program else { return Ok(()) };
        let mut decoder = program.table.new_stream_decoder();
        decoder.received(bytes);
        decoder.received(&[0]);
        match decoder.decode() {
            Ok(frame) => line(&frame, program, self.head.as_ref(), self.style, text),
            // Where a stream is joined there may be the end of a record.
            Err(DecodeError::UnexpectedEof | DecodeError::Malformed) if self.is_first => {}
            Err(DecodeError::UnexpectedEof | DecodeError::Malformed) => {
                let _ = writeln!(text, "-- {} bytes that are not a record --", bytes.len());
            }
        }
        Ok(())
    }

    fn begin(&mut self, head: Head, text: &mut String) -> Result<(), String> {
        let is_known = self.head.as_ref().is_some_and(|known| known.build == head.build);
        let is_there = is_known && self.program.is_some();
        if !is_there && !head.is_text {
            self.program = Some(self.programs.find(Some(&head.build))?);
        }
        if self.style == Style::Full {
            let Head { build, board, wall_ms, mono_ms, .. } = &head;
            let _ = writeln!(
                text,
                "-- board {board}, build {build}, begun {} --",
                utc(wall_ms.saturating_sub(*mono_ms))
            );
        }
        self.head = Some(head);
        Ok(())
    }
}

fn line(frame: &Frame<'_>, program: &Program, head: Option<&Head>, style: Style, text: &mut String) {
    let time = frame.display_timestamp().map(|time| time.to_string()).unwrap_or_default();
    let mono_ms = milliseconds(&time).unwrap_or_default();
    let level = frame.level().map(|level| level.as_str()).unwrap_or("-");
    let location = program.locations.get(&frame.index());
    let message = frame.display_message().to_string();
    let file = location.map(source).unwrap_or_default();
    let (module, message) = match (file.ends_with(WRITTEN), message.split_once(": ")) {
        (true, Some((module, rest))) => (module.to_owned(), rest.to_owned()),
        _ => (module(&file), message),
    };
    if style == Style::Full {
        let wall = head.map(|head| utc((head.wall_ms + mono_ms).saturating_sub(head.mono_ms)));
        let _ = write!(text, "{} ", wall.unwrap_or_default());
    }
    let _ = write!(text, "[{:>5}.{:03}] {level:<5} {module}", mono_ms / 1000, mono_ms % 1000);
    if style == Style::Full
        && let Some(location) = location.filter(|_| !file.ends_with(WRITTEN))
    {
        let _ = write!(text, " ({file}:{})", location.line);
    }
    let _ = writeln!(text, ": {message}");
}

/// Milliseconds of `12.345`.
fn milliseconds(seconds: &str) -> Option<u64> {
    let (seconds, ms) = seconds.split_once('.')?;
    Some(seconds.parse::<u64>().ok()? * 1000 + ms.parse::<u64>().ok()?)
}

/// The path of a source file from the root of the repository.
pub(crate) fn source(location: &Location) -> String {
    let path = location.file.to_string_lossy();
    match path.rfind("/src/") {
        Some(at) => path[at + 1..].to_owned(),
        None => path.into_owned(),
    }
}

/// The module that a source file is, as the text log names it.
pub(crate) fn module(file: &str) -> String {
    let path = file.strip_prefix("src/").unwrap_or(file);
    let path = path.strip_suffix(".rs").unwrap_or(path);
    path.strip_suffix("/mod").unwrap_or(path).replace('/', "::")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_named_as_in_the_text_log() {
        assert_eq!(module("src/serve/mod.rs"), "serve");
        assert_eq!(module("src/serve/core.rs"), "serve::core");
        assert_eq!(module("src/sys/process/launch.rs"), "sys::process::launch");
    }

    #[test]
    fn times_as_defmt_shows_them() {
        assert_eq!(milliseconds("0.000"), Some(0));
        assert_eq!(milliseconds("12.345"), Some(12_345));
        assert_eq!(milliseconds("12"), None);
    }

    #[test]
    fn lines_pass_as_they_are() {
        let mut reader = Reader::new(Programs::new(None, None), Style::Lines);
        let stream = b"\0friendlet-log 1 form=text build=0a board=b wall_ms=5 mono_ms=4 slide=0\n\0a\nb";
        assert_eq!(reader.take(stream).unwrap(), "a\n");
        assert_eq!(reader.take(b"c\n").unwrap(), "bc\n");
        // Another run.
        assert_eq!(reader.take(stream).unwrap(), "a\n");
    }

    #[test]
    fn stream_without_head_wants_a_program_and_a_cut_one_is_reported() {
        let mut reader = Reader::new(Programs::new(None, None), Style::Lines);
        assert_eq!(reader.take(b"\x01\x02").unwrap(), "");
        assert_eq!(reader.end(), "-- 2 bytes of a cut record --\n");
        assert!(reader.take(b"\x01\x02\0").unwrap_err().contains("--elf"));
    }
}
