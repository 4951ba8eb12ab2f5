//! Chunked body of a request (RFC 9112, 7.1), decoded in place.
//!
//! Decoding never lengthens a body, so the data of the chunks moves to the front of the received bytes. Lines end in
//! CR LF alone. Extensions of chunks and the trailer section are ignored.

use super::{CHUNK_LINE_BYTES, Rejection, TRAILER_BYTES};
use crate::limits::BODY_BYTES;

#[cfg(test)]
mod tests;

/// Progress of a chunked body.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Chunks {
    /// Length of the data, which is at the front.
    pub data: usize,
    /// Length of the bytes that it was decoded from. The following ones are of a chunk that is not whole yet.
    pub read: usize,
    /// The last chunk and the trailer section are among them.
    pub is_whole: bool,
}

const TOO_LARGE: Rejection = Rejection::new(413, "the body is too large; a call is short");
const MALFORMED: Rejection = Rejection::new(400, "the chunked body is malformed");

/// Decodes the whole chunks at the front of `bytes`. `before` is the length of the data that earlier calls decoded.
///
/// # Errors
///
/// 400 for a malformed body or a size line over `CHUNK_LINE_BYTES`, 413 for data over `BODY_BYTES`, 431 for a trailer
/// section over `TRAILER_BYTES`.
pub fn decode_chunks(bytes: &mut [u8], before: usize) -> Result<Chunks, Rejection> {
    let mut chunks = Chunks { data: 0, read: 0, is_whole: false };
    loop {
        let rest = bytes.get(chunks.read..).unwrap_or_default();
        let Some((size, line)) = size_line(rest)? else { return Ok(chunks) };
        if size == 0 {
            if let Some(trailer) = trailer_section(rest.get(line..).unwrap_or_default())? {
                chunks.read += line + trailer;
                chunks.is_whole = true;
            }
            return Ok(chunks);
        }
        if size > BODY_BYTES.saturating_sub(before + chunks.data) {
            return Err(TOO_LARGE);
        }
        match rest.get(line + size..) {
            Some([b'\r', b'\n', ..]) => {}
            None | Some([] | [b'\r']) => return Ok(chunks),
            Some(_) => return Err(MALFORMED),
        }
        let start = chunks.read + line;
        bytes.copy_within(start..start + size, chunks.data);
        chunks.data += size;
        chunks.read = start + size + 2;
    }
}

/// Parses the line before the data of a chunk: its size, and the length of the line.
fn size_line(bytes: &[u8]) -> Result<Option<(usize, usize)>, Rejection> {
    let digits = bytes.iter().map_while(|b| (*b as char).to_digit(16));
    let (count, size) = digits.fold((0, 0_usize), |(count, size), digit| {
        (count + 1, size.saturating_mul(16).saturating_add(digit as usize))
    });
    match bytes.get(count) {
        Some(b'\r' | b';' | b' ' | b'\t') if count > 0 => {}
        None => {}
        Some(_) => return Err(MALFORMED),
    }
    let Some(length) = line(bytes, CHUNK_LINE_BYTES, MALFORMED)? else { return Ok(None) };
    Ok(Some((size, length)))
}

/// Length of the lines up to the empty one, which is the last.
fn trailer_section(bytes: &[u8]) -> Result<Option<usize>, Rejection> {
    let too_long = Rejection::new(431, "the trailer section of the body is too long");
    let mut read = 0;
    while let Some(length) = line(bytes.get(read..).unwrap_or_default(), TRAILER_BYTES - read, too_long)? {
        read += length;
        if length == 2 {
            return Ok(Some(read));
        }
    }
    Ok(None)
}

/// Length of the first line with its CR LF, at most `limit` bytes; `None` if it is not whole.
fn line(bytes: &[u8], limit: usize, too_long: Rejection) -> Result<Option<usize>, Rejection> {
    let bounded = bytes.get(..limit).unwrap_or(bytes);
    let end = bounded.iter().position(|b| b.is_ascii_control() && *b != b'\t').unwrap_or(bounded.len());
    match bounded.get(end..).unwrap_or_default() {
        [b'\r', b'\n', ..] => Ok(Some(end + 2)),
        [] | [b'\r'] if bounded.len() < limit => Ok(None),
        [] | [b'\r'] => Err(too_long),
        _ => Err(MALFORMED),
    }
}
