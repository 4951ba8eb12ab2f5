//! WebSocket frames from the client's side (RFC 6455, section 5), as far as servers under test send them.

/// A text message.
pub(crate) const TEXT: u8 = 1;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// The same for every frame: a server unmasks whatever comes.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// Appends a masked frame to `out`.
pub(crate) fn append(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    out.push(0x80 | opcode);
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(length), _) if length < 126 => out.push(0x80 | length),
        (_, Ok(length)) => {
            out.push(0x80 | 126);
            out.extend_from_slice(&length.to_be_bytes());
        }
        _ => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(payload.len() as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&MASK);
    out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

/// The text that binds a socket of friendlet to a session.
pub(crate) fn bind(session: &str) -> String {
    format!(r#"{{"type":"con","data":{{"sessionId":"{session}"}}}}"#)
}

/// A whole frame at the beginning of some bytes.
#[derive(Debug, PartialEq)]
pub(crate) struct Frame<'a> {
    pub(crate) opcode: u8,
    pub(crate) payload: &'a [u8],
    /// Bytes that it takes.
    pub(crate) bytes: usize,
}

/// The frame that `input` begins with, if it is whole.
pub(crate) fn parse(input: &[u8]) -> Option<Frame<'_>> {
    let (length, head) = match *input {
        [_, length, ..] if length < 126 => (usize::from(length), 2),
        [_, 126, high, low, ..] => (usize::from(u16::from_be_bytes([high, low])), 4),
        [_, 127, a, b, c, d, e, f, g, h, ..] => {
            (usize::try_from(u64::from_be_bytes([a, b, c, d, e, f, g, h])).ok()?, 10)
        }
        _ => return None,
    };
    let bytes = length.checked_add(head)?;
    let payload = input.get(head..bytes)?;
    Some(Frame { opcode: input[0] & 0x0f, payload, bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_masked_and_a_server_s_is_read() {
        let mut out = Vec::new();
        append(&mut out, TEXT, b"Hello");
        // RFC 6455, 5.7.
        assert_eq!(out, [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]);
        let input = b"\x81\x05Hello\x89\x00";
        assert_eq!(parse(input), Some(Frame { opcode: TEXT, payload: b"Hello", bytes: 7 }));
        assert_eq!(parse(&input[7..]), Some(Frame { opcode: PING, payload: b"", bytes: 2 }));
        assert!((0..7).all(|end| parse(&input[..end]).is_none()));
    }

    #[test]
    fn lengths_of_two_and_eight_bytes() {
        for (length, head) in [(126, 4), (65535, 4), (65536, 10)] {
            let mut out = Vec::new();
            append(&mut out, TEXT, &vec![0; length]);
            assert_eq!(out.len(), head + 4 + length);
            // As a server sends it: no mask.
            out[1] &= 0x7f;
            out.drain(head..head + 4);
            assert_eq!(parse(&out).unwrap().payload.len(), length);
        }
    }
}
