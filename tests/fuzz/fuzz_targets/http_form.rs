//! Forms and paths: decoded in place, never longer than they were, and to what a plain decoder says.

#![no_main]

use friendlet::http::{FormError, Pairs, check_content_type, decode_path};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut form = bytes.to_vec();
    let seen: Vec<_> = Pairs::new(&mut form)
        .map(|pair| pair.map(|(name, value)| (name.to_owned(), value.to_owned())))
        .collect();
    assert_eq!(seen, plain(bytes));

    let mut path = bytes.to_vec();
    assert_eq!(decode_path(&mut path).map(str::to_owned), text(bytes, false));

    if let Ok(value) = std::str::from_utf8(bytes) {
        let _ = check_content_type(Some(value));
    }
});

type Pair = (String, String);

/// The same with copies.
fn plain(form: &[u8]) -> Vec<Result<Pair, FormError>> {
    let mut pairs = Vec::new();
    for piece in form.split(|byte| *byte == b'&').filter(|piece| !piece.is_empty()) {
        let at = piece.iter().position(|byte| *byte == b'=');
        let (name, value) = at.map_or((piece, &b""[..]), |at| (&piece[..at], &piece[at + 1..]));
        let pair = text(name, true).and_then(|name| Ok((name, text(value, true)?)));
        let is_over = pair.is_err();
        pairs.push(pair);
        if is_over {
            break;
        }
    }
    pairs
}

fn text(encoded: &[u8], plus_is_space: bool) -> Result<String, FormError> {
    let mut decoded = Vec::new();
    let mut rest = encoded;
    while let Some((byte, tail)) = rest.split_first() {
        rest = tail;
        decoded.push(match byte {
            b'+' if plus_is_space => b' ',
            b'%' => {
                let (digits, tail) = rest.split_at_checked(2).ok_or(FormError::Escape)?;
                rest = tail;
                if !digits.iter().all(u8::is_ascii_hexdigit) {
                    return Err(FormError::Escape);
                }
                let digits = std::str::from_utf8(digits).expect("digits");
                u8::from_str_radix(digits, 16).expect("digits")
            }
            byte => *byte,
        });
    }
    String::from_utf8(decoded).map_err(|_| FormError::Utf8)
}
