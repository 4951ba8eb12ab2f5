//! Reads the JSON of replies (RFC 8259), keeping the text of each value as it was sent.

use std::borrow::Cow;

/// Deepest nesting taken.
const DEPTH: usize = 64;

/// A value and its text.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node<'t> {
    pub(super) raw: &'t str,
    value: Value<'t>,
}

#[derive(Clone, Debug, PartialEq)]
enum Value<'t> {
    /// Number, `true`, `false` or `null`: what it says is its text.
    Scalar,
    String(Cow<'t, str>),
    Array(Vec<Node<'t>>),
    Object(Vec<(Cow<'t, str>, Node<'t>)>),
}

impl<'t> Node<'t> {
    /// The member of this name; `None` also for what is no object.
    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        match &self.value {
            Value::Object(members) => members.iter().find(|(key, _)| key == name).map(|(_, node)| node),
            _ => None,
        }
    }

    /// Elements of an array; none for what is no array.
    pub(super) fn elements(&self) -> &[Self] {
        match &self.value {
            Value::Array(elements) => elements,
            _ => &[],
        }
    }

    /// A string's text.
    pub(super) fn string(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// A string's text, or that of a number, `true` or `false`: Friend Core writes numbers both ways.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            Value::Scalar if self.raw != "null" => Some(self.raw),
            _ => None,
        }
    }
}

/// Reads one value with nothing but white space around it.
pub(super) fn parse(text: &str) -> Option<Node<'_>> {
    let mut parser = Parser { text, at: 0 };
    let node = parser.node(DEPTH)?;
    parser.space();
    (parser.at == text.len()).then_some(node)
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Parser<'t> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        self.space();
        (self.peek() == Some(byte)).then(|| self.at += 1)
    }

    fn node(&mut self, depth: usize) -> Option<Node<'t>> {
        self.space();
        let start = self.at;
        let value = match self.peek()? {
            b'"' => Value::String(self.string()?),
            b'{' => {
                let mut members = Vec::new();
                self.list(b'{', b'}', |parser| {
                    parser.space();
                    let key = parser.string()?;
                    parser.take(b':')?;
                    members.push((key, parser.node(depth.checked_sub(1)?)?));
                    Some(())
                })?;
                Value::Object(members)
            }
            b'[' => {
                let mut elements = Vec::new();
                self.list(b'[', b']', |parser| {
                    elements.push(parser.node(depth.checked_sub(1)?)?);
                    Some(())
                })?;
                Value::Array(elements)
            }
            _ => self.scalar()?,
        };
        Some(Node { raw: self.text.get(start..self.at)?, value })
    }

    fn list(&mut self, open: u8, close: u8, mut item: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.take(open)?;
        if self.take(close).is_some() {
            return Some(());
        }
        loop {
            item(self)?;
            if self.take(close).is_some() {
                return Some(());
            }
            self.take(b',')?;
        }
    }

    fn scalar(&mut self) -> Option<Value<'t>> {
        let start = self.at;
        while self.peek().is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'+' | b'.')) {
            self.at += 1;
        }
        let word = self.text.get(start..self.at)?;
        (matches!(word, "null" | "true" | "false") || is_number(word)).then_some(Value::Scalar)
    }

    fn string(&mut self) -> Option<Cow<'t, str>> {
        if self.peek() != Some(b'"') {
            return None;
        }
        self.at += 1;
        let mut text = Cow::Borrowed("");
        loop {
            let start = self.at;
            while !matches!(self.peek()?, b'"' | b'\\' | 0..=0x1f) {
                self.at += 1;
            }
            let plain = self.text.get(start..self.at)?;
            let end = self.peek()?;
            self.at += 1;
            if text.is_empty() {
                text = Cow::Borrowed(plain);
            } else {
                text.to_mut().push_str(plain);
            }
            match end {
                b'"' => return Some(text),
                b'\\' => text.to_mut().push(self.escape()?),
                _ => return None,
            }
        }
    }

    fn escape(&mut self) -> Option<char> {
        let byte = self.peek()?;
        self.at += 1;
        Some(match byte {
            b'"' | b'\\' | b'/' => byte.into(),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let high = self.hex()?;
                if !(0xD800..0xDC00).contains(&high) {
                    return char::from_u32(high);
                }
                let rest = self.text.get(self.at..)?;
                rest.strip_prefix("\\u")?;
                self.at += 2;
                let low = self.hex()?.checked_sub(0xDC00).filter(|low| *low < 0x400)?;
                return char::from_u32(0x10000 + ((high - 0xD800) << 10) + low);
            }
            _ => return None,
        })
    }

    fn hex(&mut self) -> Option<u32> {
        let digits = self.text.get(self.at..self.at + 4)?;
        self.at += 4;
        digits.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u32::from_str_radix(digits, 16).ok())?
    }
}

fn is_number(word: &str) -> bool {
    let digits = word.strip_prefix('-').unwrap_or(word);
    let starts = digits.starts_with(|c: char| c.is_ascii_digit());
    let leading_zero = digits.starts_with('0') && digits.as_bytes().get(1).is_some_and(u8::is_ascii_digit);
    starts && !leading_zero && word.parse::<f64>().is_ok()
}

/// Appends `text` as a JSON string.
pub(super) fn put_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_reply() {
        let text = "{\"type\":\"msg\",\"data\":{ \"type\":\"response\",\"requestid\":\"R\",\"data\":{ \"Status\": \"ok\", \"Pid\" : 12, \"a\":[1, null ,[]] }}}";
        let node = parse(text).unwrap();
        let data = node.get("data").unwrap();
        assert_eq!(data.get("type").unwrap().string(), Some("response"));
        let content = data.get("data").unwrap();
        assert_eq!(content.raw, "{ \"Status\": \"ok\", \"Pid\" : 12, \"a\":[1, null ,[]] }");
        assert_eq!(content.get("Pid").unwrap().text(), Some("12"));
        assert_eq!(content.get("Pid").unwrap().string(), None);
        let list = content.get("a").unwrap().elements();
        assert_eq!(list.iter().map(|node| node.raw).collect::<Vec<_>>(), ["1", "null", "[]"]);
        assert_eq!(list[1].text(), None);
        assert_eq!(content.get("none"), None);
    }

    #[test]
    fn escapes() {
        let node = parse(r#""a\"\\\/\b\f\n\r\t\u0041\ud83d\ude00é""#).unwrap();
        assert_eq!(node.string(), Some("a\"\\/\u{8}\u{c}\n\r\tA😀é"));
    }

    #[test]
    fn what_is_no_json() {
        for text in [
            "",
            "{",
            "}",
            "[1,]",
            "{\"a\":1,}",
            "{\"a\"}",
            "{a:1}",
            "01",
            "+1",
            "-",
            "1.2.3",
            "nul",
            "NaN",
            "inf",
            "\"a",
            "\"\u{1}\"",
            r#""\x""#,
            r#""\ud800""#,
            r#""\ud800\u0041""#,
            r#""\u00g0""#,
            r#""\u+123""#,
            "1 2",
            "'a'",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn depth_met_and_passed() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(parse(&nested(DEPTH + 1)).is_some());
        assert!(parse(&nested(DEPTH + 2)).is_none());
        assert!(parse(&"[".repeat(100_000)).is_none());
    }

    proptest! {
        #[test]
        fn strings_come_back(text in any::<String>()) {
            let mut out = String::new();
            put_string(&mut out, &text);
            let node = parse(&out).unwrap();
            prop_assert_eq!(node.string(), Some(text.as_str()));
        }

        #[test]
        fn no_text_panics(text in "[\\[\\]{}\",:a0-9.e \\\\ud\u{e9}-]{0,40}") {
            if let Some(node) = parse(&text) {
                prop_assert!(text.contains(node.raw));
            }
        }
    }
}
