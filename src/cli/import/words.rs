//! Words of a command line, as a shell would split them.

/// Splits a text at its spaces, but for those in quotes and after a backslash.
///
/// # Errors
/// The quote that is not closed.
pub(super) fn split(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut signs = text.chars();
    while let Some(sign) = signs.next() {
        match (quote, sign) {
            (Some(open), _) if sign == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(sign);
                word.get_or_insert_default();
            }
            (None, _) if sign.is_ascii_whitespace() => words.extend(word.take()),
            (None | Some('"'), '\\') => {
                let next = signs.next().unwrap_or('\\');
                let word = word.get_or_insert_default();
                if quote.is_some() && !matches!(next, '"' | '\\') {
                    word.push('\\');
                }
                word.push(next);
            }
            _ => word.get_or_insert_default().push(sign),
        }
    }
    match quote {
        Some(quote) => Err(format!("the quote {quote} is not closed")),
        None => {
            words.extend(word);
            Ok(words)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_quotes() {
        for (text, words) in [
            ("", &[][..]),
            ("  a  b\t", &["a", "b"]),
            ("'a b' \"c d\"e", &["a b", "c de"]),
            ("'' \"\"", &["", ""]),
            (r#"a\ b "c\"d\\e\f" 'g\h'"#, &["a b", "c\"d\\e\\f", "g\\h"]),
            ("a\\", &["a\\"]),
        ] {
            assert_eq!(split(text).unwrap(), words, "{text}");
        }
        assert_eq!(split("a 'b").unwrap_err(), "the quote ' is not closed");
    }
}
