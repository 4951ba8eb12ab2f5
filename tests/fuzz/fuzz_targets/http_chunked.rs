//! Chunked bodies: the same data or the same refusal whatever the pieces, and chunks of any sizes are joined.

#![no_main]

use friendlet::http::decode_chunks;
use friendlet::limits::BODY_BYTES;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((size, bytes)) = bytes.split_first() else { return };
    let size = 1 + usize::from(*size);
    assert_eq!(decode(bytes, size), decode(bytes, bytes.len().max(1)));

    let mut encoded = Vec::new();
    for chunk in bytes.chunks(size) {
        encoded.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
        encoded.extend([chunk, b"\r\n"].concat());
    }
    encoded.extend(b"0\r\n\r\n");
    let expected = if bytes.len() <= BODY_BYTES { Ok(Some(bytes.to_vec())) } else { Err(413) };
    assert_eq!(decode(&encoded, 7), expected);
});

/// Decodes a body that arrives in pieces, as a connection does; `None` if it is not whole, else the status of a refusal.
fn decode(bytes: &[u8], piece: usize) -> Result<Option<Vec<u8>>, u16> {
    let (mut buffer, mut decoded) = (Vec::new(), 0);
    for piece in bytes.chunks(piece) {
        buffer.extend_from_slice(piece);
        let chunks = decode_chunks(&mut buffer[decoded..], decoded).map_err(|rejection| rejection.status)?;
        assert!(chunks.data <= chunks.read);
        buffer.drain(decoded + chunks.data..decoded + chunks.read);
        decoded += chunks.data;
        assert!(decoded <= BODY_BYTES);
        if chunks.is_whole {
            buffer.truncate(decoded);
            return Ok(Some(buffer));
        }
    }
    Ok(None)
}
