//! JSON strings (RFC 8259, 7): length, escapes, comparison.

use core::{iter, str};

/// Decodes the escapes of a string in place. `None` for a wrong escape, and for a string that is not
/// UTF-8.
pub(crate) fn unescape(bytes: &mut [u8]) -> Option<&str> {
    let length = unescape_bytes(bytes)?;
    str::from_utf8(bytes.get(..length)?).ok()
}

/// Decodes the escapes of `bytes` in place; returns the decoded length.
pub(super) fn unescape_bytes(bytes: &mut [u8]) -> Option<usize> {
    let mut read = bytes.iter().position(|byte| *byte == b'\\').unwrap_or(bytes.len());
    let mut written = read;
    while let Some(byte) = bytes.get(read).copied() {
        if byte == b'\\' {
            let (character, used) = escape(bytes.get(read..)?)?;
            let mut buffer = [0; 4];
            let text = character.encode_utf8(&mut buffer);
            bytes.get_mut(written..written + text.len())?.copy_from_slice(text.as_bytes());
            written += text.len();
            read += used;
        } else {
            *bytes.get_mut(written)? = byte;
            written += 1;
            read += 1;
        }
    }
    Some(written)
}

/// Position of the closing quote of the string whose first byte is at `from`. `None` without one, and
/// for a raw control character or a wrong escape.
pub(crate) fn string_end(bytes: &[u8], from: usize) -> Option<usize> {
    string_end_and_escapes(bytes, from).map(|(end, _)| end)
}

/// Position of the closing quote as in [`string_end`], and true if the string has escapes.
pub(super) fn string_end_and_escapes(bytes: &[u8], from: usize) -> Option<(usize, bool)> {
    let mut at = from;
    let mut escaped = false;
    loop {
        at += plain(bytes.get(at..)?);
        match bytes.get(at)? {
            b'"' => return Some((at, escaped)),
            b'\\' => {
                escaped = true;
                at += escape(bytes.get(at..)?)?.1;
            }
            _ => return None,
        }
    }
}

/// Length of the prefix without special bytes of a string: quote, backslash, control characters.
#[inline(always)]
pub(crate) fn plain(bytes: &[u8]) -> usize {
    const WORD: usize = size_of::<usize>();
    /// Word with `byte` in every byte.
    const fn every(byte: u8) -> usize {
        usize::from_le_bytes([byte; WORD])
    }
    /// High bit of every byte less than `limit`, which is at most 128. A borrow may mark the bytes after
    /// such a byte wrongly, never the first.
    const fn less(word: usize, limit: u8) -> usize {
        word.wrapping_sub(every(limit)) & !word & every(0x80)
    }
    let (words, rest) = bytes.as_chunks::<WORD>();
    for (number, word) in words.iter().enumerate() {
        let word = usize::from_le_bytes(*word);
        let marks = less(word, 0x20) | less(word ^ every(b'"'), 1) | less(word ^ every(b'\\'), 1);
        if marks != 0 {
            return number * WORD + (marks.trailing_zeros() / 8) as usize;
        }
    }
    let special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..=0x1f);
    words.len() * WORD + rest.iter().position(special).unwrap_or(rest.len())
}

/// Decodes the escape at the front of `bytes`: its character and its length.
fn escape(bytes: &[u8]) -> Option<(char, usize)> {
    let character = match bytes.get(1)? {
        b'"' => '"',
        b'\\' => '\\',
        b'/' => '/',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => {
            let high = unit(bytes.get(2..6)?)?;
            // A character beyond U+FFFF is a pair of surrogates (RFC 8259, 7).
            if !(0xd800..0xdc00).contains(&high) {
                return Some((char::from_u32(high)?, 6));
            }
            let low = unit(bytes.get(6..12)?.strip_prefix(b"\\u")?)?;
            if !(0xdc00..0xe000).contains(&low) {
                return None;
            }
            return Some((char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00))?, 12));
        }
        _ => return None,
    };
    Some((character, 2))
}

fn unit(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |unit, digit| Some(unit << 4 | char::from(*digit).to_digit(16)?))
}

/// Compares two keys that [`string_end`] accepted, with their escapes decoded.
#[inline(always)]
pub(super) fn is_same_key(one: (&[u8], bool), other: (&[u8], bool)) -> bool {
    match (one, other) {
        ((one, false), (other, false)) => one == other,
        ((one, _), (other, _)) => units(one).eq(units(other)),
    }
}

/// Bytes of a string with its escapes decoded, in UTF-8.
pub(super) fn units(mut key: &[u8]) -> impl Iterator<Item = u8> + '_ {
    let mut pending = ([0; 4], 0..0);
    iter::from_fn(move || {
        if let Some(at) = pending.1.next() {
            return pending.0.get(at).copied();
        }
        let (first, rest) = key.split_first()?;
        if *first != b'\\' {
            key = rest;
            return Some(*first);
        }
        let (character, used) = escape(key)?;
        key = key.get(used..)?;
        let length = character.encode_utf8(&mut pending.0).len();
        pending.1 = 1..length;
        Some(pending.0[0])
    })
}
