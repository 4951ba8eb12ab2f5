//! `application/x-www-form-urlencoded` (WHATWG URL, 5.1), decoded in place.
//!
//! Decoding never lengthens a string, so each name and value overwrites its encoded form, without
//! allocation. Unlike the parser of the standard, this one rejects broken escapes and invalid UTF-8: an
//! error is better than a wrong value.

use super::Rejection;

/// Error in an encoded string.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FormError {
    /// Percent sign without two hexadecimal digits.
    Escape,
    /// The decoded bytes are not UTF-8.
    Utf8,
}

impl From<FormError> for Rejection {
    fn from(error: FormError) -> Self {
        match error {
            FormError::Escape => {
                Self::new(400, "a percent sign is not followed by two hexadecimal digits; encode it as %25")
            }
            FormError::Utf8 => Self::new(400, "a percent-encoded string is not UTF-8"),
        }
    }
}

/// Iterator over the names and values of a form or a query; decodes each in turn.
///
/// Skips empty pieces (`a=1&&b=2`). A piece without `=` has an empty value. The iterator ends after an
/// error.
#[derive(Debug)]
pub struct Pairs<'b> {
    rest: &'b mut [u8],
}

impl<'b> Pairs<'b> {
    /// Pairs of a body, or of a query without its question mark.
    pub fn new(encoded: &'b mut [u8]) -> Self {
        Self { rest: encoded }
    }
}

impl<'b> Iterator for Pairs<'b> {
    type Item = Result<(&'b str, &'b str), FormError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            let piece = cut(&mut self.rest, b'&');
            if piece.is_empty() {
                continue;
            }
            let mut value = piece;
            let name = cut(&mut value, b'=');
            let pair = decode(name, true).and_then(|name| Ok((name, decode(value, true)?)));
            if pair.is_err() {
                self.rest = &mut [];
            }
            return Some(pair);
        }
        None
    }
}

/// Percent-decodes a path in place. A plus sign is kept.
///
/// # Errors
///
/// [`FormError`] for a broken escape or invalid UTF-8.
pub fn decode_path(encoded: &mut [u8]) -> Result<&str, FormError> {
    decode(encoded, false)
}

/// Checks that a body of this type is a form; a missing type counts as one.
///
/// # Errors
///
/// 415 for any other type.
pub fn check_content_type(content_type: Option<&str>) -> Result<(), Rejection> {
    let Some(value) = content_type else {
        return Ok(());
    };
    if is_type(value, "application/x-www-form-urlencoded") {
        Ok(())
    } else {
        Err(Rejection::new(415, "send a call's values as application/x-www-form-urlencoded, in UTF-8"))
    }
}

/// Returns true if a content type is this one and names no other character set than UTF-8 (RFC 9110, 8.3).
pub fn is_type(content_type: &str, essence: &str) -> bool {
    let mut parts = content_type.split(';').map(str::trim_ascii);
    let is_utf_8 = |parameter: &str| {
        let (name, value) = parameter.split_once('=').unwrap_or_default();
        !name.eq_ignore_ascii_case("charset") || value.trim_matches('"').eq_ignore_ascii_case("utf-8")
    };
    parts.next().is_some_and(|first| first.eq_ignore_ascii_case(essence)) && parts.all(is_utf_8)
}

/// Removes the bytes before the first `separator` from the front, with the separator, and returns them.
fn cut<'b>(rest: &mut &'b mut [u8], separator: u8) -> &'b mut [u8] {
    let whole = core::mem::take(rest);
    match whole.iter().position(|b| *b == separator) {
        None => whole,
        Some(at) => {
            let (piece, tail) = whole.split_at_mut(at);
            if let Some((_, tail)) = tail.split_first_mut() {
                *rest = tail;
            }
            piece
        }
    }
}

fn decode(bytes: &mut [u8], plus_is_space: bool) -> Result<&str, FormError> {
    let (mut read, mut written) = (0, 0);
    while let Some(byte) = bytes.get(read).copied() {
        read += 1;
        let decoded = match byte {
            b'+' if plus_is_space => b' ',
            b'%' => {
                let digit = |at: usize| bytes.get(at).and_then(|b| (*b as char).to_digit(16));
                let (Some(high), Some(low)) = (digit(read), digit(read + 1)) else {
                    return Err(FormError::Escape);
                };
                read += 2;
                (high << 4 | low) as u8
            }
            _ => byte,
        };
        if let Some(place) = bytes.get_mut(written) {
            *place = decoded;
        }
        written += 1;
    }
    bytes.get(..written).and_then(|decoded| core::str::from_utf8(decoded).ok()).ok_or(FormError::Utf8)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pairs(text: &str) -> Result<Vec<(String, String)>, FormError> {
        let mut bytes = text.as_bytes().to_vec();
        Pairs::new(&mut bytes).map(|pair| pair.map(|(n, v)| (n.to_owned(), v.to_owned()))).collect()
    }

    fn owned(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn form_of_the_2016_client() {
        assert_eq!(
            pairs("serviceName=hello&sessionid=8ed922535bc7cb2de39dc9bdafef502e2e20b986"),
            Ok(owned(&[("serviceName", "hello"), ("sessionid", "8ed922535bc7cb2de39dc9bdafef502e2e20b986")]))
        );
    }

    #[test]
    fn escapes_and_plus_are_decoded() {
        assert_eq!(
            pairs("full+name=a%26b%3Dc+%2b%C3%a9&e="),
            Ok(owned(&[("full name", "a&b=c +é"), ("e", "")]))
        );
    }

    #[test]
    fn empty_pieces_and_missing_values() {
        assert_eq!(pairs(""), Ok(vec![]));
        assert_eq!(pairs("&&"), Ok(vec![]));
        assert_eq!(pairs("&a&&b=c=d&=x&"), Ok(owned(&[("a", ""), ("b", "c=d"), ("", "x")])));
    }

    #[test]
    fn broken_escapes_are_errors_and_end_the_iterator() {
        for text in ["a=%", "a=%4", "a=%4g", "%zz=1", "a=%+1"] {
            assert_eq!(pairs(text), Err(FormError::Escape), "{text}");
        }
        assert_eq!(pairs("a=%ff"), Err(FormError::Utf8));
        assert_eq!(pairs("a=%C3&b=%A9"), Err(FormError::Utf8));
        let mut bytes = *b"a=%&b=1";
        let mut pairs = Pairs::new(&mut bytes);
        assert_eq!(pairs.next(), Some(Err(FormError::Escape)));
        assert_eq!(pairs.next(), None);
    }

    #[test]
    fn path_keeps_plus_signs() {
        let mut path = *b"/system.library/services/a+b%20c/start";
        assert_eq!(decode_path(&mut path), Ok("/system.library/services/a+b c/start"));
        assert_eq!(decode_path(&mut b"/%f".to_owned()), Err(FormError::Escape));
    }

    #[test]
    fn content_type() {
        assert_eq!(check_content_type(None), Ok(()));
        assert_eq!(check_content_type(Some("Application/x-www-form-urlencoded ; charset=UTF-8")), Ok(()));
        let latin = "application/x-www-form-urlencoded; charset=latin1";
        for other in ["multipart/form-data; boundary=x", "application/json", "", latin] {
            assert_eq!(check_content_type(Some(other)).map_err(|r| r.status), Err(415), "{other}");
        }
    }

    fn encode(text: &str) -> String {
        text.bytes()
            .map(|b| match b {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(b).to_string(),
                b' ' => "+".to_owned(),
                _ => format!("%{b:02X}"),
            })
            .collect()
    }

    proptest! {
        #[test]
        fn encoded_pairs_are_decoded(list in proptest::collection::vec((".{1,9}", ".{0,9}"), 0..9)) {
            let text = list.iter().map(|(n, v)| format!("{}={}", encode(n), encode(v))).collect::<Vec<_>>();
            prop_assert_eq!(pairs(&text.join("&")), Ok(list));
        }

        #[test]
        fn any_bytes_do_not_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let length = bytes.len();
            let decoded: usize = Pairs::new(&mut bytes.clone()).flatten().map(|(n, v)| n.len() + v.len()).sum();
            prop_assert!(decoded <= length);
            prop_assert!(decode_path(&mut bytes).map_or(0, str::len) <= length);
        }
    }
}
