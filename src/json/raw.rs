//! Values of a text as they were sent, without a table: a reply may have more members than one holds.

use super::text::{is_same_key, units};
use super::{Scanner, ValueKind};

/// One value of a text, as it was sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Raw<'t> {
    kind: ValueKind,
    /// Text of the value; a string is without its quotes.
    text: &'t str,
}

impl<'t> Raw<'t> {
    /// Parses the single value of `text`; `None` if it is not JSON, or nested deeper than
    /// `limits::JSON_DEPTH`.
    pub(crate) fn parse(text: &'t str) -> Option<Self> {
        let mut scanner = Scanner { text: text.as_bytes(), at: 0, table: None };
        scanner.space();
        let value = read(&mut scanner, text)?;
        scanner.end().ok()?;
        Some(value)
    }

    pub(crate) fn kind(self) -> ValueKind {
        self.kind
    }

    /// Returns the text with its escapes; a string is without its quotes.
    pub(crate) fn text(self) -> &'t str {
        self.text
    }

    /// The text of a string in UTF-8, escapes undone; of any other value, its text.
    pub(crate) fn bytes(self) -> impl Iterator<Item = u8> + use<'t> {
        units(self.text.as_bytes())
    }

    /// The first member of an object with this key.
    pub(crate) fn get(self, key: &str) -> Option<Self> {
        let is_key = |own: &str| is_same_key((own.as_bytes(), own.contains('\\')), (key.as_bytes(), false));
        let mut members = (self.kind == ValueKind::Object).then(|| self.items())?;
        members.find_map(|(own, value)| is_key(own).then_some(value))
    }

    /// Elements of an array; none of any other value.
    pub(crate) fn elements(self) -> impl Iterator<Item = Self> + use<'t> {
        let elements = (self.kind == ValueKind::Array).then(|| self.items());
        elements.into_iter().flatten().map(|(_, value)| value)
    }

    /// Members of an object with their keys; none of any other value.
    pub(crate) fn members(self) -> impl Iterator<Item = (&'t str, Self)> + use<'t> {
        (self.kind == ValueKind::Object).then(|| self.items()).into_iter().flatten()
    }

    /// Members of an object with their keys, or elements of an array without.
    fn items(self) -> Items<'t> {
        Items { text: self.text, at: 1, has_keys: self.kind == ValueKind::Object }
    }
}

/// Iterator over the text of an object or an array, which [`Raw::parse`] has checked.
struct Items<'t> {
    text: &'t str,
    /// Position behind the opening bracket or the latest comma.
    at: usize,
    has_keys: bool,
}

impl<'t> Iterator for Items<'t> {
    type Item = (&'t str, Raw<'t>);

    fn next(&mut self) -> Option<Self::Item> {
        let mut scanner = Scanner { text: self.text.as_bytes(), at: self.at, table: None };
        scanner.space();
        let mut key = "";
        if self.has_keys {
            key = self.text.get(scanner.string().ok()?.0)?;
            scanner.space();
            scanner.expect(b':').ok()?;
            scanner.space();
        }
        let value = read(&mut scanner, self.text)?;
        scanner.space();
        scanner.accept(b',');
        self.at = scanner.at;
        Some((key, value))
    }
}

fn read<'t>(scanner: &mut Scanner<'_>, text: &'t str) -> Option<Raw<'t>> {
    let (kind, place) = scanner.value(0, false).ok()?;
    Some(Raw { kind, text: text.get(place)? })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::is_valid;
    use super::*;
    use crate::limits::JSON_DEPTH;

    fn string(value: Raw<'_>) -> String {
        String::from_utf8(value.bytes().collect()).unwrap()
    }

    #[test]
    fn members_and_elements_as_they_were_sent() {
        let value =
            Raw::parse(r#" {"a" : 1,"b":{ "c": [1, "x,]\"" ,[], null] } , "\u0064":"é\n"} "#).unwrap();
        assert_eq!(value.get("a").map(|a| (a.kind(), a.text())), Some((ValueKind::Number, "1")));
        let inner = value.get("b").unwrap();
        assert_eq!(inner.text(), r#"{ "c": [1, "x,]\"" ,[], null] }"#);
        let elements: Vec<_> = inner.get("c").unwrap().elements().map(Raw::text).collect();
        assert_eq!(elements, ["1", r#"x,]\""#, "[]", "null"]);
        assert_eq!(value.get("d").map(string), Some("é\n".to_owned()));
        assert_eq!(value.get("d").unwrap().text(), r"é\n");
        assert_eq!(value.get("c"), None, "not its own member");
        assert_eq!((value.elements().count(), inner.get("c").unwrap().get("x")), (0, None));
        assert_eq!(Raw::parse("[ ]").unwrap().elements().count(), 0);
        assert_eq!(Raw::parse("{ }").unwrap().get(""), None);
    }

    #[test]
    fn more_elements_than_a_table_holds_members() {
        let text = format!("[{}{{}}]", r#"{"a":1},"#.repeat(1000));
        assert_eq!(Raw::parse(&text).unwrap().elements().count(), 1001);
    }

    #[test]
    fn nesting_at_its_limit_and_beyond() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(Raw::parse(&nested(JSON_DEPTH)).is_some());
        assert!(Raw::parse(&nested(JSON_DEPTH + 1)).is_none());
    }

    proptest! {
        #[test]
        fn every_part_of_a_value_is_one(text in "[\\[\\]{}\",:a0-9.e \\\\ud\u{e9}-]{0,40}") {
            let value = Raw::parse(&text);
            prop_assert_eq!(value.is_some(), is_valid(&text));
            for element in value.iter().flat_map(|value| value.elements()) {
                prop_assert!(text.contains(element.text()));
                prop_assert!(element.kind() == ValueKind::String || is_valid(element.text()));
            }
        }
    }
}
