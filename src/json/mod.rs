//! JSON as RFC 8259 has it, read without a copy.
//!
//! [`Table::scan`] checks a whole text and notes where its members stand; [`Table::resolve`] then undoes
//! the escapes within the text itself, where there is always room, because no escape is shorter than what
//! it stands for. Each byte is looked at once by the scan, and once more where UTF-8 is checked; keys are
//! compared where they stand. The table belongs to the caller, who has it on his stack: it is the size of
//! a small message, and is never moved. What the scan lets through is strict: no raw control characters, no lone surrogates,
//! no number like `01`, nothing behind the object, no key twice in one object, no deeper nesting and
//! no more members than the limits say. serde-json-core is laxer in each of these, and knows no
//! surrogate pairs, so only numbers are read with it.
//!
//! The members of an array are checked and not noted: the array's value is its own text. [`Raw`] reads
//! them, and values of any length, one by one.

use core::ops::Range;
use core::str;

use heapless::Vec;

use crate::limits;

mod error;
mod raw;
mod text;
mod writer;

pub use self::error::JsonError;
pub(crate) use self::raw::Raw;
#[cfg(test)]
pub(crate) use self::text::plain;
use self::text::{is_same_key, string_end_and_escapes, unescape_bytes};
pub(crate) use self::text::{string_end, unescape};
pub use self::writer::{Full, Lossy, Writer};

/// Members noted of one text: the parameters, and beside them the members of the envelope and those
/// whose values are objects.
const MEMBERS: usize = limits::PARAMETERS + 16;

/// Whether JSON allows this byte between values.
pub(crate) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// What kind of value a member has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    String,
    Number,
    /// `true`, `false` or `null`.
    Word,
    Array,
    Object,
}

/// A stretch of a text.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    start: u32,
    end: u32,
}

impl Place {
    fn new(range: Range<usize>) -> Self {
        // No text is as long as 4 GiB.
        Self { start: range.start as u32, end: range.end as u32 }
    }

    fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// Place of one member in a text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    /// Its key, without the quotes.
    key: Place,
    /// Its value; a string's is without the quotes.
    value: Place,
    /// Nesting of the object it is in; 1 for the outermost.
    depth: u8,
    kind: Kind,
    /// Whether there are escapes in its key.
    escaped: bool,
}

impl Entry {
    /// Its value; a string's is without the quotes.
    pub(crate) fn value(&self) -> Range<usize> {
        self.value.range()
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) fn depth(&self) -> u8 {
        self.depth
    }

    /// Whether this is its key as it stands in `text`.
    pub(crate) fn has_key(&self, text: &[u8], key: &str) -> bool {
        text.get(self.key.range()) == Some(key.as_bytes())
    }
}

/// Places of the members of one object, its objects' members behind themselves.
#[derive(Debug, Default)]
pub(crate) struct Table {
    entries: Vec<Entry, MEMBERS>,
    /// There are escapes to be undone.
    escaped: bool,
}

impl Table {
    /// Checks that `text` is one JSON object and nothing else, and notes its members. Whether its strings
    /// are UTF-8 is seen by [`resolve`](Self::resolve).
    pub(crate) fn scan(&mut self, text: &[u8]) -> Result<(), JsonError> {
        self.entries.clear();
        self.escaped = false;
        let mut scanner = Scanner { text, at: 0, table: Some(self) };
        scanner.space();
        if scanner.peek() != Some(b'{') {
            return Err(JsonError::Malformed);
        }
        scanner.value(0, true)?;
        scanner.end()
    }

    /// All places, in the order of the text.
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Undoes the escapes of `text`, which must be the text that was scanned, and gives its members.
    pub(crate) fn resolve<'a, 'm>(&'a mut self, text: &'m mut [u8]) -> Result<Object<'a, 'm>, JsonError> {
        if self.escaped {
            for entry in &mut self.entries {
                if entry.escaped {
                    unescape_place(text, &mut entry.key).ok_or(JsonError::Malformed)?;
                }
                if entry.kind == Kind::String {
                    unescape_place(text, &mut entry.value).ok_or(JsonError::Malformed)?;
                }
            }
        }
        let text = str::from_utf8(text).map_err(|_| JsonError::Encoding)?;
        Ok(Object { entries: &self.entries, text })
    }
}

/// Undoes the escapes of one string. What it leaves over becomes spaces: half a character there would
/// spoil the text.
fn unescape_place(text: &mut [u8], place: &mut Place) -> Option<()> {
    let string = text.get_mut(place.range())?;
    if !string.contains(&b'\\') {
        return Some(());
    }
    let length = unescape_bytes(string)?;
    string.get_mut(length..)?.fill(b' ');
    place.end = place.start + length as u32;
    Some(())
}

/// Value of a member.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Value<'m> {
    String(&'m str),
    Number(&'m str),
    /// `true`, `false` or `null`.
    Word(&'m str),
    /// The array's text, escapes and all.
    Array(&'m str),
    Object,
}

impl<'m> Value<'m> {
    /// The value as the text of a parameter; objects have none.
    pub(crate) fn text(self) -> Option<&'m str> {
        match self {
            Self::String(text) | Self::Number(text) | Self::Word(text) | Self::Array(text) => Some(text),
            Self::Object => None,
        }
    }

    /// The value as an id: what a string says, or a number's digits.
    pub(crate) fn id(self) -> Option<&'m str> {
        match self {
            Self::String(text) | Self::Number(text) => Some(text),
            Self::Word(_) | Self::Array(_) | Self::Object => None,
        }
    }
}

/// One object: its members, each followed by those of its value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Object<'a, 'm> {
    entries: &'a [Entry],
    text: &'m str,
}

impl<'a, 'm> Object<'a, 'm> {
    /// The value of this key.
    pub(crate) fn get(self, key: &str) -> Option<Value<'m>> {
        self.position(key).and_then(|at| self.entries.get(at)).map(|entry| self.value(entry))
    }

    /// The object that is the value of this key.
    pub(crate) fn object(self, key: &str) -> Option<Self> {
        let (member, rest) = self.entries.get(self.position(key)?..)?.split_first()?;
        if member.kind != Kind::Object {
            return None;
        }
        let end = rest.iter().position(|other| other.depth <= member.depth).unwrap_or(rest.len());
        Some(Self { entries: rest.get(..end)?, ..self })
    }

    /// Every member, those of nested objects included, in the order of the text: its depth below this
    /// object (0: its own), its key and its value.
    pub(crate) fn members(self) -> impl Iterator<Item = (u8, &'m str, Value<'m>)> + use<'a, 'm> {
        let first = self.depth();
        let entries = self.entries.iter();
        entries.map(move |entry| (entry.depth - first, self.slice(entry.key), self.value(entry)))
    }

    fn depth(self) -> u8 {
        self.entries.first().map_or(0, |entry| entry.depth)
    }

    fn position(self, key: &str) -> Option<usize> {
        let depth = self.depth();
        let text = self.text.as_bytes();
        self.entries.iter().position(|entry| entry.depth == depth && entry.has_key(text, key))
    }

    fn value(self, entry: &Entry) -> Value<'m> {
        let text = self.slice(entry.value);
        match entry.kind {
            Kind::String => Value::String(text),
            Kind::Number => Value::Number(text),
            Kind::Word => Value::Word(text),
            Kind::Array => Value::Array(text),
            Kind::Object => Value::Object,
        }
    }

    fn slice(self, place: Place) -> &'m str {
        // The places are those of the scan, at quotes and brackets, so none is amiss.
        self.text.get(place.range()).unwrap_or_default()
    }
}

/// Whether `text` is one JSON value and nothing else, nested no deeper than `limits::JSON_DEPTH`.
pub(crate) fn is_valid(text: &str) -> bool {
    let mut scanner = Scanner { text: text.as_bytes(), at: 0, table: None };
    scanner.space();
    scanner.value(0, false).and_then(|_| scanner.end()).is_ok()
}

/// The whole number that `text` is; RFC 8259's form, so no leading zeros, sign or space.
pub(crate) fn number(text: &str) -> Option<u32> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let (number, used) = serde_json_core::from_str(text).ok()?;
    (digits && used == text.len()).then_some(number)
}

struct Scanner<'t> {
    text: &'t [u8],
    at: usize,
    /// Where members are noted; without it they are only checked.
    table: Option<&'t mut Table>,
}

impl Scanner<'_> {
    /// Reads one value inside `depth` others and gives its kind and place. `keep` says whether its
    /// members stay noted.
    fn value(&mut self, depth: usize, keep: bool) -> Result<(Kind, Range<usize>), JsonError> {
        let start = self.at;
        let kind = match self.peek().ok_or(JsonError::Malformed)? {
            b'"' => {
                let (place, escaped) = self.string()?;
                if let Some(table) = &mut self.table {
                    table.escaped |= escaped;
                }
                return Ok((Kind::String, place));
            }
            b'{' => {
                self.object(depth + 1, keep)?;
                Kind::Object
            }
            b'[' => {
                self.array(depth + 1)?;
                Kind::Array
            }
            b't' => self.word("true")?,
            b'f' => self.word("false")?,
            b'n' => self.word("null")?,
            _ => self.number()?,
        };
        Ok((kind, start..self.at))
    }

    fn object(&mut self, depth: usize, keep: bool) -> Result<(), JsonError> {
        self.open(depth)?;
        let first = self.table.as_ref().map_or(0, |table| table.entries.len());
        if !self.take(b'}') {
            loop {
                let (key, escaped) = self.string()?;
                let entry = self.note(first, depth, key, escaped)?;
                self.space();
                self.expect(b':')?;
                self.space();
                let (kind, value) = self.value(depth, keep)?;
                if let Some(entry) = self.table.as_mut().and_then(|table| table.entries.get_mut(entry)) {
                    entry.kind = kind;
                    entry.value = Place::new(value);
                }
                self.space();
                if self.take(b'}') {
                    break;
                }
                self.expect(b',')?;
                self.space();
            }
        }
        if !keep && let Some(table) = &mut self.table {
            table.entries.truncate(first);
        }
        Ok(())
    }

    fn array(&mut self, depth: usize) -> Result<(), JsonError> {
        self.open(depth)?;
        if self.take(b']') {
            return Ok(());
        }
        loop {
            self.value(depth, false)?;
            self.space();
            if self.take(b']') {
                return Ok(());
            }
            self.expect(b',')?;
            self.space();
        }
    }

    /// Steps over the opening bracket of a value that makes the nesting `depth`.
    fn open(&mut self, depth: usize) -> Result<(), JsonError> {
        if depth > limits::JSON_DEPTH {
            return Err(JsonError::TooDeep);
        }
        self.at += 1;
        self.space();
        Ok(())
    }

    /// Notes a member of the object whose first member is at `first`, and gives the place of the note.
    fn note(
        &mut self,
        first: usize,
        depth: usize,
        key: Range<usize>,
        escaped: bool,
    ) -> Result<usize, JsonError> {
        let Some(table) = &mut self.table else {
            return Ok(0);
        };
        let text = |place: Range<usize>| self.text.get(place).unwrap_or_default();
        let depth = depth as u8;
        let own = text(key.clone());
        let mut siblings = table.entries.iter().skip(first).filter(|entry| entry.depth == depth);
        // Most differ in length; together they are no longer than the message, and their number has a
        // limit.
        if siblings.any(|entry| is_same_key((text(entry.key.range()), entry.escaped), (own, escaped))) {
            return Err(JsonError::DuplicateKey);
        }
        table.escaped |= escaped;
        let entry = Entry { key: Place::new(key), value: Place::default(), depth, kind: Kind::Word, escaped };
        table.entries.push(entry).map_err(|_| JsonError::TooManyMembers)?;
        Ok(table.entries.len() - 1)
    }

    /// Reads a string and gives its place within the quotes, and whether there are escapes in it.
    fn string(&mut self) -> Result<(Range<usize>, bool), JsonError> {
        self.expect(b'"')?;
        let start = self.at;
        let (end, escaped) = string_end_and_escapes(self.text, start).ok_or(JsonError::Malformed)?;
        self.at = end + 1;
        Ok((start..end, escaped))
    }

    fn word(&mut self, word: &str) -> Result<Kind, JsonError> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        if !rest.starts_with(word.as_bytes()) {
            return Err(JsonError::Malformed);
        }
        self.at += word.len();
        Ok(Kind::Word)
    }

    /// Reads a number: `-?(0|[1-9][0-9]*)(.[0-9]+)?([eE][+-]?[0-9]+)?`.
    fn number(&mut self) -> Result<Kind, JsonError> {
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            if !self.take(b'+') {
                self.take(b'-');
            }
            self.digits()?;
        }
        Ok(Kind::Number)
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start { Err(JsonError::Malformed) } else { Ok(()) }
    }

    fn end(&mut self) -> Result<(), JsonError> {
        self.space();
        if self.peek().is_some() { Err(JsonError::Malformed) } else { Ok(()) }
    }

    fn expect(&mut self, byte: u8) -> Result<(), JsonError> {
        if self.take(byte) { Ok(()) } else { Err(JsonError::Malformed) }
    }

    fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn space(&mut self) {
        while self.peek().is_some_and(is_space) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }
}
