//! JSON (RFC 8259) parsed in place.
//!
//! `Table::scan` validates a text and records the positions of its members. `Table::resolve` then
//! decodes the escapes in the text itself, which always has space: an escape is never shorter than its
//! character. The scan reads each byte once, and the UTF-8 check once more; keys are compared in place.
//! The caller has the table on its stack: it has the size of a small message and is never moved.
//!
//! The scan is strict: no raw control characters, no lone surrogates, no number like `01`, nothing
//! after the object, no duplicate key in an object, and nesting and members up to the limits.
//! serde-json-core is laxer in each of these and does not decode surrogate pairs, so it only parses
//! numbers.
//!
//! The members of an array are validated and not recorded: its value is its own text. `Raw` reads
//! them, and values with more members than a table holds, one by one.

#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

use core::ops::Range;
use core::str;

use heapless::Vec;

use crate::{internal_error, limits};

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
pub use self::writer::{Full, Writer};

/// Most members of one text: the parameters, the members of the envelope and those with objects.
const MEMBERS: usize = limits::PARAMETERS + 16;

/// Returns true for whitespace of JSON.
pub(crate) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// Type of a member's value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ValueKind {
    String,
    Number,
    /// `true`, `false` or `null`.
    Word,
    Array,
    Object,
}

/// Range of a text.
#[derive(Clone, Copy, Debug, Default)]
struct Span {
    start: u32,
    end: u32,
}

impl Span {
    fn new(range: Range<usize>) -> Self {
        // A text is shorter than 4 GiB.
        Self { start: range.start as u32, end: range.end as u32 }
    }

    fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// Position of one member in a text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member {
    /// Key, without the quotes.
    key: Span,
    /// Value; a string is without the quotes.
    value: Span,
    /// Nesting depth of the object it belongs to; 1 for the outermost.
    depth: u8,
    kind: ValueKind,
    /// The key has escapes.
    escaped: bool,
}

impl Member {
    /// Range of the value; a string is without the quotes.
    pub(crate) fn value(&self) -> Range<usize> {
        self.value.range()
    }

    pub(crate) fn kind(&self) -> ValueKind {
        self.kind
    }

    pub(crate) fn depth(&self) -> u8 {
        self.depth
    }

    /// Compares with the key as encoded in `text`.
    #[inline(always)]
    pub(crate) fn has_key(&self, text: &[u8], key: &str) -> bool {
        text.get(self.key.range()) == Some(key.as_bytes())
    }
}

/// Members of one object, each followed by the members of its value.
#[derive(Debug, Default)]
pub(crate) struct Table {
    entries: Vec<Member, MEMBERS>,
    /// The text has escapes.
    escaped: bool,
}

impl Table {
    /// Validates that `text` is one JSON object, and records its members. [`resolve`](Self::resolve)
    /// validates the UTF-8 of its strings.
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

    /// Members in the order of the text.
    pub(crate) fn entries(&self) -> &[Member] {
        &self.entries
    }

    /// Decodes the escapes of `text`, which must be the scanned text, and returns its object.
    pub(crate) fn resolve<'a, 'm>(&'a mut self, text: &'m mut [u8]) -> Result<Object<'a, 'm>, JsonError> {
        if self.escaped {
            for entry in &mut self.entries {
                if entry.escaped {
                    unescape_span(text, &mut entry.key).ok_or(JsonError::Malformed)?;
                }
                if entry.kind == ValueKind::String {
                    unescape_span(text, &mut entry.value).ok_or(JsonError::Malformed)?;
                }
            }
        }
        let text = str::from_utf8(text).map_err(|_| JsonError::Encoding)?;
        Ok(Object { entries: &self.entries, text })
    }
}

/// Decodes the escapes of one string. The freed bytes become spaces: half a character there would
/// make the text invalid.
fn unescape_span(text: &mut [u8], place: &mut Span) -> Option<()> {
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
    /// Text of the array, with its escapes.
    Array(&'m str),
    Object,
}

impl<'m> Value<'m> {
    /// Value as the text of a parameter; `None` for an object.
    pub(crate) fn text(self) -> Option<&'m str> {
        match self {
            Self::String(text) | Self::Number(text) | Self::Word(text) | Self::Array(text) => Some(text),
            Self::Object => None,
        }
    }

    /// Value as an id: a string or the digits of a number.
    pub(crate) fn id(self) -> Option<&'m str> {
        match self {
            Self::String(text) | Self::Number(text) => Some(text),
            Self::Word(_) | Self::Array(_) | Self::Object => None,
        }
    }
}

/// Object: its members, each followed by the members of its value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Object<'a, 'm> {
    entries: &'a [Member],
    text: &'m str,
}

impl<'a, 'm> Object<'a, 'm> {
    /// Value of this key.
    pub(crate) fn get(self, key: &str) -> Option<Value<'m>> {
        self.position(key).and_then(|at| self.entries.get(at)).map(|entry| self.value(entry))
    }

    /// Object with this key.
    pub(crate) fn object(self, key: &str) -> Option<Self> {
        let (member, rest) = self.entries.get(self.position(key)?..)?.split_first()?;
        if member.kind != ValueKind::Object {
            return None;
        }
        let end = rest.iter().position(|other| other.depth <= member.depth).unwrap_or(rest.len());
        Some(Self { entries: rest.get(..end)?, ..self })
    }

    /// Nesting of the deepest member below this object; 0: its own are the deepest.
    pub(crate) fn deepest(self) -> u8 {
        let deepest = self.entries.iter().map(|member| member.depth).max();
        deepest.map_or(0, |deepest| deepest - self.depth())
    }

    /// Keys and values of the members that many levels below this object; 0: its own. In the order of the
    /// text.
    pub(crate) fn members_at(self, level: u8) -> impl Iterator<Item = (&'m str, Value<'m>)> + use<'a, 'm> {
        let depth = self.depth() + level;
        let members = self.entries.iter().filter(move |member| member.depth == depth);
        members.map(move |member| (self.slice(member.key), self.value(member)))
    }

    fn depth(self) -> u8 {
        self.entries.first().map_or(0, |entry| entry.depth)
    }

    #[inline(always)]
    fn position(self, key: &str) -> Option<usize> {
        let depth = self.depth();
        let text = self.text.as_bytes();
        self.entries.iter().position(|entry| entry.depth == depth && entry.has_key(text, key))
    }

    fn value(self, entry: &Member) -> Value<'m> {
        let text = self.slice(entry.value);
        match entry.kind {
            ValueKind::String => Value::String(text),
            ValueKind::Number => Value::Number(text),
            ValueKind::Word => Value::Word(text),
            ValueKind::Array => Value::Array(text),
            ValueKind::Object => Value::Object,
        }
    }

    #[inline(always)]
    fn slice(self, place: Span) -> &'m str {
        slice_or_report(self.text.get(place.range()), "")
    }
}

/// Returns true if `text` is one JSON value, nested up to `limits::JSON_DEPTH`.
pub(crate) fn is_valid(text: &str) -> bool {
    let mut scanner = Scanner { text: text.as_bytes(), at: 0, table: None };
    scanner.space();
    scanner.value(0, false).and_then(|_| scanner.end()).is_ok()
}

/// Returns `slice`, which lies in the text by construction.
fn slice_or_report<'t, T: ?Sized>(slice: Option<&'t T>, empty: &'t T) -> &'t T {
    match slice {
        Some(slice) => slice,
        None => {
            report_outside();
            empty
        }
    }
}

#[cold]
fn report_outside() {
    internal_error!("a member lies outside of its JSON text");
}

/// Parses an integer in the form of RFC 8259: no leading zeros, sign or space.
pub(crate) fn number(text: &str) -> Option<u32> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let (number, used) = serde_json_core::from_str(text).ok()?;
    (digits && used == text.len()).then_some(number)
}

struct Scanner<'t> {
    text: &'t [u8],
    at: usize,
    /// Table for the members; without it the text is only validated.
    table: Option<&'t mut Table>,
}

impl Scanner<'_> {
    /// Scans a value at nesting `depth` and returns its type and range. With `keep` its members stay
    /// recorded.
    fn value(&mut self, depth: usize, keep: bool) -> Result<(ValueKind, Range<usize>), JsonError> {
        let start = self.at;
        let kind = match self.peek().ok_or(JsonError::Malformed)? {
            b'"' => {
                let (place, escaped) = self.string()?;
                if let Some(table) = &mut self.table {
                    table.escaped |= escaped;
                }
                return Ok((ValueKind::String, place));
            }
            b'{' => {
                self.object(depth + 1, keep)?;
                ValueKind::Object
            }
            b'[' => {
                self.array(depth + 1)?;
                ValueKind::Array
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
        if !self.accept(b'}') {
            loop {
                let (key, escaped) = self.string()?;
                let entry = self.note(first, depth, key, escaped)?;
                self.space();
                self.expect(b':')?;
                self.space();
                let (kind, value) = self.value(depth, keep)?;
                if let Some(entry) = self.table.as_mut().and_then(|table| table.entries.get_mut(entry)) {
                    entry.kind = kind;
                    entry.value = Span::new(value);
                }
                self.space();
                if self.accept(b'}') {
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
        if self.accept(b']') {
            return Ok(());
        }
        loop {
            self.value(depth, false)?;
            self.space();
            if self.accept(b']') {
                return Ok(());
            }
            self.expect(b',')?;
            self.space();
        }
    }

    /// Skips the opening bracket of a value at nesting `depth`.
    fn open(&mut self, depth: usize) -> Result<(), JsonError> {
        if depth > limits::JSON_DEPTH {
            return Err(JsonError::TooDeep);
        }
        self.at += 1;
        self.space();
        Ok(())
    }

    /// Records a member of the object whose first member is at `first`; returns its index.
    #[inline(always)]
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
        let text = |range: Range<usize>| slice_or_report(self.text.get(range), &[]);
        let depth = depth as u8;
        let own = text(key.clone());
        let mut siblings = table.entries.iter().skip(first).filter(|entry| entry.depth == depth);
        // Cheap: most keys differ in length, all together are shorter than the message, and their number
        // has a limit.
        if siblings.any(|entry| is_same_key((text(entry.key.range()), entry.escaped), (own, escaped))) {
            return Err(JsonError::DuplicateKey);
        }
        table.escaped |= escaped;
        let entry =
            Member { key: Span::new(key), value: Span::default(), depth, kind: ValueKind::Word, escaped };
        table.entries.push(entry).map_err(|_| JsonError::TooManyMembers)?;
        Ok(table.entries.len() - 1)
    }

    /// Scans a string; returns its range within the quotes, and true if it has escapes.
    fn string(&mut self) -> Result<(Range<usize>, bool), JsonError> {
        self.expect(b'"')?;
        let start = self.at;
        let (end, escaped) = string_end_and_escapes(self.text, start).ok_or(JsonError::Malformed)?;
        self.at = end + 1;
        Ok((start..end, escaped))
    }

    fn word(&mut self, word: &str) -> Result<ValueKind, JsonError> {
        if !self.text.get(self.at..).is_some_and(|rest| rest.starts_with(word.as_bytes())) {
            return Err(JsonError::Malformed);
        }
        self.at += word.len();
        Ok(ValueKind::Word)
    }

    /// Scans a number: `-?(0|[1-9][0-9]*)(.[0-9]+)?([eE][+-]?[0-9]+)?`.
    fn number(&mut self) -> Result<ValueKind, JsonError> {
        self.accept(b'-');
        if !self.accept(b'0') {
            self.digits()?;
        }
        if self.accept(b'.') {
            self.digits()?;
        }
        if self.accept(b'e') || self.accept(b'E') {
            if !self.accept(b'+') {
                self.accept(b'-');
            }
            self.digits()?;
        }
        Ok(ValueKind::Number)
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

    #[inline(always)]
    fn expect(&mut self, byte: u8) -> Result<(), JsonError> {
        if self.accept(byte) { Ok(()) } else { Err(JsonError::Malformed) }
    }

    /// Skips `byte` if it is next.
    #[inline(always)]
    fn accept(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    #[inline(always)]
    fn space(&mut self) {
        while self.peek().is_some_and(is_space) {
            self.at += 1;
        }
    }

    #[inline(always)]
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }
}
