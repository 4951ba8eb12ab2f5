use proptest::prelude::*;

use super::*;

/// A body, and the bytes after it.
type Whole = (Vec<u8>, Vec<u8>);

/// Decodes a body that arrives in these pieces as a connection does; `None` if it is incomplete.
fn decode(pieces: &[&[u8]]) -> Result<Option<Whole>, u16> {
    let (mut buffer, mut decoded) = (Vec::new(), 0);
    for (at, piece) in pieces.iter().enumerate() {
        buffer.extend_from_slice(piece);
        let chunks = decode_chunks(&mut buffer[decoded..], decoded).map_err(|rejection| rejection.status)?;
        assert!(chunks.data <= chunks.read);
        buffer.drain(decoded + chunks.data..decoded + chunks.read);
        decoded += chunks.data;
        if chunks.is_whole {
            buffer.extend(pieces[at + 1..].concat());
            let rest = buffer.split_off(decoded);
            return Ok(Some((buffer, rest)));
        }
    }
    Ok(None)
}

/// Body of a text that arrives at once.
fn body(text: &str) -> Result<Option<String>, u16> {
    let whole = decode(&[text.as_bytes()])?;
    Ok(whole.map(|(body, _)| String::from_utf8(body).unwrap()))
}

/// A chunked body with `data` in chunks of these sizes, repeated.
fn encode(data: &[u8], sizes: &[usize]) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), data);
    for size in sizes.iter().cycle() {
        let (chunk, after) = rest.split_at((*size).min(rest.len()));
        bytes.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
        if chunk.is_empty() {
            bytes.extend(b"\r\n");
            return bytes;
        }
        bytes.extend([chunk, b"\r\n"].concat());
        rest = after;
    }
    unreachable!("there are sizes");
}

#[test]
fn chunks_are_joined() {
    for text in [
        "3\r\na=1\r\n4\r\n&b=2\r\n0\r\n\r\n",
        "7\r\na=1&b=2\r\n0\r\n\r\n",
        "00003\r\na=1\r\n4;name=\"v\";x\r\n&b=2\r\n000;last\r\n\r\n",
        "3 ;a\r\na=1\r\n4\t\r\n&b=2\r\n0\r\nTrailer: x\r\nother:\r\n\r\n",
    ] {
        assert_eq!(body(text), Ok(Some("a=1&b=2".to_owned())), "{text:?}");
        for cut in 0..text.len() {
            assert_eq!(body(&text[..cut]), Ok(None), "{text:?} {cut}");
        }
    }
    assert_eq!(body("0\r\n\r\n"), Ok(Some(String::new())));
    assert_eq!(body("A\r\n0123456789\r\n0\r\n\r\n"), Ok(Some("0123456789".to_owned())));
}

#[test]
fn bytes_after_the_body_are_left() {
    let (body, rest) = decode(&[b"1\r\na\r\n0\r\n\r\nGET /"]).unwrap().unwrap();
    assert_eq!((body.as_slice(), rest.as_slice()), (&b"a"[..], &b"GET /"[..]));
}

#[test]
fn malformed_bodies() {
    for text in [
        "\r\n",
        "g\r\n",
        "-1\r\n",
        "+1\r\n",
        "0x1\r\n",
        " 1\r\n",
        ";a\r\n",
        "1\n",
        "1\ra",
        "1;\0\r\n",
        "1;a\nb\r\n",
        "1\r\nab",
        "1\r\na\n",
        "1\r\na\rb",
        "3\r\nab\r\n0\r\n\r\n",
        "0\r\n\n",
        "0\r\na: b\n",
        "0\r\n\ra",
        "0\r\na\0",
    ] {
        assert_eq!(body(text), Err(400), "{text:?}");
    }
}

#[test]
fn chunks_up_to_the_limit_of_a_body() {
    let text = |size: usize| encode(&vec![b'a'; size], &[size]);
    let whole = decode(&[&text(BODY_BYTES)]).unwrap().unwrap();
    assert_eq!(whole.0.len(), BODY_BYTES);
    assert_eq!(decode(&[&text(BODY_BYTES + 1)]), Err(413));
    // In many chunks, as in one; and before the chunk that exceeds it arrives.
    let text = encode(&vec![b'a'; BODY_BYTES + 1], &[1]);
    assert_eq!(decode(&[&text]), Err(413));
    assert_eq!(body("ffffffffffffffffffffffffffffffff\r\n"), Err(413));
    let text = encode(&vec![b'a'; BODY_BYTES], &[1]);
    assert_eq!(decode(&text.chunks(7).collect::<Vec<_>>()).unwrap().unwrap().0.len(), BODY_BYTES);
}

#[test]
fn size_line_up_to_its_limit() {
    let line = |length: usize| format!("0;{}\r\n", "a".repeat(length - 4));
    assert_eq!(body(&format!("{}\r\n", line(CHUNK_LINE_BYTES))), Ok(Some(String::new())));
    assert_eq!(body(&line(CHUNK_LINE_BYTES + 1)), Err(400));
    assert_eq!(body(&line(CHUNK_LINE_BYTES + 1)[..CHUNK_LINE_BYTES]), Err(400));
    assert_eq!(body(&line(CHUNK_LINE_BYTES + 1)[..CHUNK_LINE_BYTES - 1]), Ok(None));
    assert_eq!(body(&"0".repeat(CHUNK_LINE_BYTES)), Err(400));
}

#[test]
fn trailer_section_up_to_its_limit() {
    let text = |length: usize| format!("0\r\na: b\r\nc: {}\r\n\r\n", "d".repeat(length - 13));
    assert_eq!(body(&text(TRAILER_BYTES)), Ok(Some(String::new())));
    assert_eq!(body(&text(TRAILER_BYTES + 1)), Err(431));
    let text = text(TRAILER_BYTES + 1);
    assert_eq!(body(&text[..3 + TRAILER_BYTES - 1]), Ok(None));
    assert_eq!(body(&text[..3 + TRAILER_BYTES]), Err(431));
}

proptest! {
    #[test]
    fn any_chunks_in_any_pieces_are_the_same_body(
        data in proptest::collection::vec(any::<u8>(), 0..200),
        sizes in proptest::collection::vec(1_usize..40, 1..9),
        cuts in proptest::collection::vec(1_usize..30, 1..9),
    ) {
        let bytes = encode(&data, &sizes);
        let (mut pieces, mut rest) = (Vec::new(), bytes.as_slice());
        for cut in cuts.iter().cycle() {
            let (piece, after) = rest.split_at((*cut).min(rest.len()));
            if piece.is_empty() {
                break;
            }
            pieces.push(piece);
            rest = after;
        }
        prop_assert_eq!(decode(&pieces), Ok(Some((data, Vec::new()))));
    }

    #[test]
    fn near_bodies_end_alike_in_any_pieces(
        text in "([0-3a]{0,2}(;[a\t]{0,3})?\r?\n[ab]{0,3}\r?\n?){0,5}(0\r\n(t:\r\n)?\r\n)?",
        piece in 1_usize..9,
    ) {
        let pieces: Vec<&[u8]> = text.as_bytes().chunks(piece).collect();
        prop_assert_eq!(decode(&pieces), decode(&[text.as_bytes()]));
    }

    #[test]
    fn any_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let pieces: Vec<&[u8]> = bytes.chunks(5).collect();
        prop_assert_eq!(decode(&pieces), decode(&[&bytes]));
    }
}
