//! Output of programs as JSON.

use core::fmt::{self, Write as _};

use crate::json::{Full, Writer};

/// Writes lines of output as JSON strings, separated by commas.
pub(super) fn put_lines(out: &mut Writer<'_>, output: &[u8]) -> Result<(), Full> {
    let mut separator = "";
    for line in output.split_inclusive(|byte| *byte == b'\n') {
        out.put(separator)?;
        separator = ",";
        out.put_string(Harmless(line.strip_suffix(b"\n").unwrap_or(line)))?;
    }
    Ok(())
}

/// Line of output that cannot control a terminal or hide text: control characters except tabs, and
/// Unicode's bidirectional controls, become U+FFFD.
struct Harmless<'a>(&'a [u8]);

impl fmt::Display for Harmless<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for character in chunk.valid().chars() {
                let is_harmful = (character.is_control() && character != '\t')
                    || matches!(character, '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
                f.write_char(if is_harmful { char::REPLACEMENT_CHARACTER } else { character })?;
            }
            if !chunk.invalid().is_empty() {
                f.write_char(char::REPLACEMENT_CHARACTER)?;
            }
        }
        Ok(())
    }
}
