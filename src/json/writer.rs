//! Writer for JSON text in a fixed buffer.

use core::fmt;

use serde::{Serialize, Serializer};

use super::text;

/// The buffer is full; the value was not written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Full;

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("buffer full")
    }
}

/// Writer into a buffer of the caller.
///
/// After an overflow every further write fails, and so does [`finish`](Self::finish): a reply is
/// complete or absent.
#[derive(Debug)]
pub struct Writer<'b> {
    buffer: &'b mut [u8],
    length: usize,
    full: bool,
}

impl<'b> Writer<'b> {
    /// Writer at the front of `buffer`.
    pub fn new(buffer: &'b mut [u8]) -> Self {
        Self { buffer, length: 0, full: false }
    }

    /// Length written so far.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Returns true if nothing was written.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Returns the written bytes.
    ///
    /// # Errors
    /// [`Full`] after any write that did not fit.
    pub fn finish(self) -> Result<&'b [u8], Full> {
        let Self { buffer, length, full } = self;
        if full { Err(Full) } else { buffer.get(..length).ok_or(Full) }
    }

    /// Bytes that still fit.
    pub fn room(&self) -> usize {
        if self.full { 0 } else { self.buffer.len() - self.length }
    }

    /// Drops everything after the first `length` bytes, and that a write did not fit.
    pub fn rewind(&mut self, length: usize) {
        self.length = self.length.min(length);
        self.full = false;
    }

    /// Appends `text` as it is.
    ///
    /// # Errors
    /// [`Full`] when it does not fit.
    pub fn put(&mut self, text: &str) -> Result<(), Full> {
        self.put_bytes(text.as_bytes())
    }

    #[inline(always)]
    fn put_bytes(&mut self, bytes: &[u8]) -> Result<(), Full> {
        let free = self.free()?;
        let Some(place) = free.get_mut(..bytes.len()) else {
            return self.overflow();
        };
        place.copy_from_slice(bytes);
        self.length += bytes.len();
        Ok(())
    }

    /// Appends the text of `value` as it is.
    ///
    /// # Errors
    /// [`Full`] when it does not fit.
    pub fn put_display(&mut self, value: impl fmt::Display) -> Result<(), Full> {
        self.put_any(&value)
    }

    /// The same for all types, once in the program.
    fn put_any(&mut self, value: &dyn fmt::Display) -> Result<(), Full> {
        fmt::write(self, format_args!("{value}")).map_err(|_| Full)
    }

    /// Appends a number in decimal.
    ///
    /// # Errors
    /// [`Full`] when it does not fit.
    pub fn put_number(&mut self, number: impl Into<u64>) -> Result<(), Full> {
        let mut digits = [0; 20];
        let mut start = digits.len();
        let mut rest: u64 = number.into();
        for place in digits.iter_mut().rev() {
            // Most numbers are small, and a 64-bit division is slow on a 32-bit machine.
            let digit = match u32::try_from(rest) {
                Ok(small) => {
                    rest = u64::from(small / 10);
                    small % 10
                }
                Err(_) => {
                    let digit = (rest % 10) as u32;
                    rest /= 10;
                    digit
                }
            };
            *place = b'0' + digit as u8;
            start -= 1;
            if rest == 0 {
                break;
            }
        }
        let (_, number) = digits.split_at(start);
        self.put_bytes(number)
    }

    /// Appends `text` as a JSON string: quoted, with the escapes that RFC 8259 requires.
    ///
    /// # Errors
    /// [`Full`] when it does not fit.
    pub fn put_text(&mut self, text: &str) -> Result<(), Full> {
        // Nearly every text is free of special characters.
        if text::plain(text.as_bytes()) < text.len() {
            return self.put_string(text);
        }
        self.put("\"")?;
        self.put(text)?;
        self.put("\"")
    }

    /// Appends the text of `value` as a JSON string: quoted, with the escapes that RFC 8259 requires.
    ///
    /// # Errors
    /// [`Full`] when it does not fit.
    pub fn put_string(&mut self, value: impl fmt::Display) -> Result<(), Full> {
        self.put_any_string(&value)
    }

    /// The same for all types, once in the program.
    fn put_any_string(&mut self, value: &dyn fmt::Display) -> Result<(), Full> {
        let start = self.length;
        let written = self.put("\"").and_then(|()| self.put_any(value)).and_then(|()| self.put("\""));
        // Nearly every text is free of special characters: only the closing quote is one.
        if written.is_ok()
            && let Some(text) = self.buffer.get(start + 1..self.length)
            && text::plain(text) + 1 == text.len()
        {
            return written;
        }
        self.length = start;
        // A text that does not fit unescaped does not fit escaped.
        written?;
        match serde_json_core::to_slice(&Displayed(value), self.free()?) {
            Ok(written) => {
                self.length += written;
                Ok(())
            }
            Err(_) => self.overflow(),
        }
    }

    #[inline(always)]
    fn free(&mut self) -> Result<&mut [u8], Full> {
        if self.full { Err(Full) } else { self.buffer.get_mut(self.length..).ok_or(Full) }
    }

    fn overflow(&mut self) -> Result<(), Full> {
        self.full = true;
        Err(Full)
    }
}

impl fmt::Write for Writer<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.put(text).map_err(|Full| fmt::Error)
    }
}

/// Serializes a value as the string that it displays.
struct Displayed<'d>(&'d dyn fmt::Display);

impl Serialize for Displayed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_up_to_the_size_of_the_buffer() {
        let mut buffer = [0; 4];
        let mut out = Writer::new(&mut buffer);
        assert_eq!(out.put("abcd"), Ok(()));
        assert_eq!(out.finish(), Ok(&b"abcd"[..]));

        let mut out = Writer::new(&mut buffer);
        assert_eq!(out.put("abcde"), Err(Full));
        assert_eq!(out.len(), 0);
        assert_eq!(out.put("a"), Err(Full), "a write after an overflow would leave a gap");
        assert_eq!(out.finish(), Err(Full));
    }

    #[test]
    fn string_up_to_the_size_of_the_buffer() {
        let mut buffer = [0; 6];
        let mut out = Writer::new(&mut buffer);
        assert_eq!(out.put_string("a\n1"), Ok(()));
        assert_eq!(out.finish(), Ok(&br#""a\n1""#[..]));
        let mut out = Writer::new(&mut buffer);
        assert_eq!(out.put_string("a\n12"), Err(Full));
        assert_eq!(out.finish(), Err(Full));
    }

    #[test]
    fn overflow_of_a_displayed_value_is_remembered() {
        let mut buffer = [0; 3];
        let mut out = Writer::new(&mut buffer);
        assert_eq!(out.put_display(1234), Err(Full));
        assert_eq!(out.finish(), Err(Full));
    }

    #[test]
    fn numbers_and_texts() {
        let mut buffer = [0; 64];
        let mut out = Writer::new(&mut buffer);
        for number in [0, 9, 10, u64::from(u32::MAX), u64::from(u32::MAX) + 1, u64::MAX] {
            out.put_number(number).unwrap();
            out.put(" ").unwrap();
        }
        assert_eq!(out.finish().unwrap(), b"0 9 10 4294967295 4294967296 18446744073709551615 ");
        let mut out = Writer::new(&mut buffer);
        out.put_text("plain").unwrap();
        out.put_text("a\"b").unwrap();
        assert_eq!(out.finish().unwrap(), br#""plain""a\"b""#);
        assert_eq!(Writer::new(&mut [0; 3]).put_number(1000_u32), Err(Full));
        assert_eq!(Writer::new(&mut [0; 3]).put_text("ab"), Err(Full));
    }

    #[test]
    fn every_escape() {
        let mut buffer = [0; 64];
        let mut out = Writer::new(&mut buffer);
        out.put_string("\"\\\u{8}\t\n\u{c}\r\0\u{1f}/\u{7f}é😀").unwrap();
        assert_eq!(out.finish().unwrap(), "\"\\\"\\\\\\b\\t\\n\\f\\r\\u0000\\u001F/\u{7f}é😀\"".as_bytes());
    }
}
