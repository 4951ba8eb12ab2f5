//! Reads the JSON that other tools print: `cargo metadata` and the conformance report.

/// A JSON value. Objects keep the order of their members.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// `null`, `true`, `false` and numbers, as they are written.
    Other(String),
    /// A string, escapes resolved.
    Text(String),
    /// An array.
    List(Vec<Self>),
    /// An object.
    Object(Vec<(String, Self)>),
}

impl Value {
    /// The member `key` of an object.
    pub(crate) fn member(&self, key: &str) -> Option<&Self> {
        self.members().iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// The members of an object; none of anything else.
    pub(crate) fn members(&self) -> &[(String, Self)] {
        if let Self::Object(members) = self { members } else { &[] }
    }

    /// The elements of an array; none of anything else.
    pub(crate) fn elements(&self) -> &[Self] {
        if let Self::List(elements) = self { elements } else { &[] }
    }

    /// The text of a string.
    pub(crate) fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }
}

/// Parses one JSON text.
pub(crate) fn parse(text: &str) -> Result<Value, String> {
    let mut parser = Parser { rest: text, whole: text.len() };
    let value = parser.value()?;
    parser.blanks();
    if parser.rest.is_empty() { Ok(value) } else { Err(parser.error("the end")) }
}

struct Parser<'a> {
    rest: &'a str,
    whole: usize,
}

impl Parser<'_> {
    fn error(&self, wanted: &str) -> String {
        format!("JSON, byte {}: {wanted} is expected", self.whole - self.rest.len())
    }

    fn blanks(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    fn take(&mut self, token: &str) -> bool {
        self.blanks();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn value(&mut self) -> Result<Value, String> {
        if self.take("{") {
            let mut members = Vec::new();
            self.items("}", |parser| {
                let key = parser.string()?;
                if !parser.take(":") {
                    return Err(parser.error("':'"));
                }
                members.push((key, parser.value()?));
                Ok(())
            })?;
            Ok(Value::Object(members))
        } else if self.take("[") {
            let mut elements = Vec::new();
            self.items("]", |parser| {
                elements.push(parser.value()?);
                Ok(())
            })?;
            Ok(Value::List(elements))
        } else if self.rest.starts_with('"') {
            self.string().map(Value::Text)
        } else {
            let end = self
                .rest
                .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.')))
                .unwrap_or(self.rest.len());
            if end == 0 {
                return Err(self.error("a value"));
            }
            let (scalar, rest) = self.rest.split_at(end);
            self.rest = rest;
            Ok(Value::Other(scalar.to_owned()))
        }
    }

    fn items(
        &mut self,
        end: &str,
        mut item: impl FnMut(&mut Self) -> Result<(), String>,
    ) -> Result<(), String> {
        if self.take(end) {
            return Ok(());
        }
        loop {
            item(self)?;
            if self.take(end) {
                return Ok(());
            }
            if !self.take(",") {
                return Err(self.error("',' or the closing bracket"));
            }
        }
    }

    fn string(&mut self) -> Result<String, String> {
        if !self.take("\"") {
            return Err(self.error("a string"));
        }
        let mut text = String::new();
        loop {
            let end = self.rest.find(['"', '\\']).ok_or_else(|| self.error("a closing quote"))?;
            text += &self.rest[..end];
            let escape = self.rest[end..].starts_with('\\');
            self.rest = &self.rest[end + 1..];
            if !escape {
                return Ok(text);
            }
            text.push(self.escape()?);
        }
    }

    fn escape(&mut self) -> Result<char, String> {
        let mut letters = self.rest.chars();
        let letter = letters.next().ok_or_else(|| self.error("an escape"))?;
        self.rest = letters.as_str();
        Ok(match letter {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'u' => self.unicode()?,
            other => other,
        })
    }

    fn unicode(&mut self) -> Result<char, String> {
        let high = self.hex()?;
        let code = match high {
            0xd800..0xdc00 if self.rest.starts_with("\\u") => {
                self.rest = &self.rest[2..];
                let low = self.hex()?;
                0x10000 + ((high - 0xd800) << 10) + (low.wrapping_sub(0xdc00) & 0x3ff)
            }
            _ => high,
        };
        char::from_u32(code).ok_or_else(|| self.error("a character"))
    }

    fn hex(&mut self) -> Result<u32, String> {
        let digits = self.rest.get(..4).ok_or_else(|| self.error("four digits"))?;
        let code = u32::from_str_radix(digits, 16).map_err(|_| self.error("four digits"))?;
        self.rest = &self.rest[4..];
        Ok(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_tools_print() {
        let value =
            parse(r#" { "a" : [1, -2.5e3, true, null, "x\"\\\u00e9\ud83d\ude00\n"], "b": {}, "c": [] } "#)
                .unwrap();
        let elements = value.member("a").unwrap().elements();
        assert_eq!(elements[1], Value::Other("-2.5e3".to_owned()));
        assert_eq!(elements[4].text(), Some("x\"\\é😀\n"));
        assert_eq!(value.members().len(), 3);
        assert_eq!(value.member("z"), None);
        assert_eq!(value.text(), None);
    }

    #[test]
    fn refuses_what_is_no_json() {
        for text in
            ["", "{", "[1", "[1,]", "{\"a\"}", "{\"a\":}", "\"x", "\"\\u12", "\"\\ud800\"", "1 2", "{a:1}"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
