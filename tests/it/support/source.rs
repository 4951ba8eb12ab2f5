//! Rust sources as words and separators, comments and literals left out.

/// A token, as far as paths need one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Token {
    /// An identifier or a keyword; also a number.
    Word(String),
    /// `::`.
    PathSeparator,
    /// Any other character that is not white space.
    Other(char),
}

/// A token and its line, counted from 1.
#[derive(Clone, Debug)]
pub(crate) struct At {
    pub(crate) line: usize,
    pub(crate) token: Token,
}

/// The tokens of `source`.
pub(crate) fn tokens(source: &str) -> Vec<At> {
    let mut found = Vec::new();
    let mut rest = source;
    let mut line = 1;
    while let Some(first) = rest.chars().next() {
        let skipped = literal_or_comment(rest);
        let (token, length) = if skipped > 0 {
            (None, skipped)
        } else if first.is_alphanumeric() || first == '_' {
            let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
            (Some(Token::Word(rest[..end].to_owned())), end)
        } else if rest.starts_with("::") {
            (Some(Token::PathSeparator), 2)
        } else if first.is_whitespace() {
            (None, first.len_utf8())
        } else {
            (Some(Token::Other(first)), first.len_utf8())
        };
        found.extend(token.map(|token| At { line, token }));
        line += rest[..length].matches('\n').count();
        rest = &rest[length..];
    }
    found
}

/// Length of the comment, string or character that `rest` begins with; 0 for anything else.
fn literal_or_comment(rest: &str) -> usize {
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return block_comment(rest);
    }
    let raw = rest.trim_start_matches(['b', 'c']);
    if rest.len() - raw.len() <= 1
        && let Some(hashes) = raw.strip_prefix('r')
        && let opening = hashes.len() - hashes.trim_start_matches('#').len()
        && hashes[opening..].starts_with('"')
    {
        let closing = format!("\"{}", "#".repeat(opening));
        let body = &hashes[opening + 1..];
        let end = body.find(&closing).map_or(body.len(), |end| end + closing.len());
        return rest.len() - body.len() + end;
    }
    if rest.starts_with('"') {
        return quoted(rest, '"');
    }
    // A character, and not a lifetime: 'x' or '\..'.
    let mut letters = rest.chars();
    if letters.next() == Some('\'') {
        let (second, third) = (letters.next(), letters.next());
        if second == Some('\\') || third == Some('\'') {
            return quoted(rest, '\'');
        }
    }
    0
}

fn block_comment(rest: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, letter) in rest.char_indices().skip(1) {
        if !escaped && letter == quote {
            return at + 1;
        }
        escaped = !escaped && letter == '\\';
    }
    rest.len()
}
