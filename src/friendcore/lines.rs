//! Output of programs as JSON.

use core::fmt::{self, Write as _};

use crate::json::{Full, Writer};
use crate::log::is_harmful;

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

/// Output of a program that cannot control a terminal or hide text: [harmful](is_harmful) characters except tabs and
/// ends of lines, and bytes that are not UTF-8, become U+FFFD.
pub(super) struct Harmless<'a>(pub(super) &'a [u8]);

impl fmt::Display for Harmless<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for character in chunk.valid().chars() {
                let is_kept = matches!(character, '\t' | '\n') || !is_harmful(character);
                f.write_char(if is_kept { character } else { char::REPLACEMENT_CHARACTER })?;
            }
            if !chunk.invalid().is_empty() {
                f.write_char(char::REPLACEMENT_CHARACTER)?;
            }
        }
        Ok(())
    }
}
