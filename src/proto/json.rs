//! JSON as RFC 8259 has it, read without a copy.
//!
//! [`scan`] checks a whole text and notes where its members stand; [`Table::resolve`] then undoes the
//! escapes within the text itself, where there is always room, because no escape is shorter than what
//! it stands for. What the scan lets through is strict: no raw control characters, no lone surrogates,
//! no number like `01`, nothing behind the object, no key twice in one object, no deeper nesting and
//! no more members than the limits say. serde-json-core is laxer in each of these, and knows no
//! surrogate pairs, so only numbers are read with it.
//!
//! The members of an array are checked and not noted: the array's value is its own text.

use core::ops::Range;
use core::str;
use core::{iter, mem};

use heapless::Vec;

use super::{ParameterError, Parameters, RefusalKind};
use crate::limits;

/// Members noted of one text: the parameters, and beside them the members of the envelope and those
/// whose values are objects.
const MEMBERS: usize = limits::PARAMETERS + 16;

/// Whether JSON allows this byte between values.
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// What kind of value a member has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    String,
    Number,
    Word,
    Array,
    Object,
}

/// Place of one member in a text.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Nesting of the object it is in; 1 for the outermost.
    pub(super) depth: usize,
    /// Its key, without the quotes.
    pub(super) key: Range<usize>,
    /// Hash of its key, escapes undone: keys are compared only where these are the same.
    hash: u32,
    /// Its value; a string's is without the quotes.
    pub(super) value: Range<usize>,
    pub(super) kind: Kind,
}

/// Places of the members of one object, its objects' members behind themselves.
#[derive(Debug)]
pub(super) struct Table(Vec<Entry, MEMBERS>);

impl Table {
    /// All places, in the order of the text.
    pub(super) fn entries(&self) -> &[Entry] {
        &self.0
    }

    /// Undoes the escapes of `text`, which must be the text that was scanned.
    pub(super) fn resolve(self, text: &mut [u8]) -> Result<Members<'_>, RefusalKind> {
        let mut members = Vec::new();
        let mut cursor = Cursor { rest: text, at: 0 };
        for entry in self.0 {
            let key = cursor.text(entry.key, true).ok_or(RefusalKind::Malformed)?;
            let value = match entry.kind {
                // Its members come next.
                Kind::Object => Some(Value::Object),
                Kind::String => cursor.text(entry.value, true).map(Value::String),
                Kind::Number => cursor.text(entry.value, false).map(Value::Number),
                Kind::Word => cursor.text(entry.value, false).map(Value::Word),
                Kind::Array => cursor.text(entry.value, false).map(Value::Array),
            };
            let value = value.ok_or(RefusalKind::Malformed)?;
            let member = Member { depth: entry.depth, key, value };
            members.push(member).map_err(|_| RefusalKind::TooManyParameters)?;
        }
        Ok(Members(members))
    }
}

/// Cuts pieces off the front of a text, each further on than the one before.
struct Cursor<'m> {
    rest: &'m mut [u8],
    at: usize,
}

impl<'m> Cursor<'m> {
    fn text(&mut self, place: Range<usize>, escaped: bool) -> Option<&'m str> {
        let skipped = place.start.checked_sub(self.at)?;
        let (_, rest) = mem::take(&mut self.rest).split_at_mut_checked(skipped)?;
        let (text, rest) = rest.split_at_mut_checked(place.len())?;
        self.rest = rest;
        self.at = place.end;
        if escaped { unescape(text) } else { str::from_utf8(text).ok() }
    }
}

/// One member, its escapes undone.
#[derive(Debug)]
struct Member<'m> {
    depth: usize,
    key: &'m str,
    value: Value<'m>,
}

/// Value of a member.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Value<'m> {
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
    pub(super) fn text(self) -> Option<&'m str> {
        match self {
            Self::String(text) | Self::Number(text) | Self::Word(text) | Self::Array(text) => Some(text),
            Self::Object => None,
        }
    }

    /// The value as an id: what a string says, or a number's digits.
    pub(super) fn id(self) -> Option<&'m str> {
        match self {
            Self::String(text) | Self::Number(text) => Some(text),
            Self::Word(_) | Self::Array(_) | Self::Object => None,
        }
    }
}

/// The members of a text.
#[derive(Debug)]
pub(super) struct Members<'m>(Vec<Member<'m>, MEMBERS>);

impl<'m> Members<'m> {
    /// The outermost object.
    pub(super) fn root(&self) -> Object<'_, 'm> {
        Object(&self.0)
    }
}

/// One object: its members, each followed by those of its value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Object<'a, 'm>(&'a [Member<'m>]);

impl<'a, 'm> Object<'a, 'm> {
    /// The value of this key.
    pub(super) fn get(self, key: &str) -> Option<Value<'m>> {
        self.position(key).and_then(|at| self.0.get(at)).map(|member| member.value)
    }

    /// The object that is the value of this key.
    pub(super) fn object(self, key: &str) -> Option<Self> {
        let (member, rest) = self.0.get(self.position(key)?..)?.split_first()?;
        if member.value != Value::Object {
            return None;
        }
        let end = rest.iter().position(|other| other.depth <= member.depth).unwrap_or(rest.len());
        rest.get(..end).map(Object)
    }

    /// The session id under the first of these keys that has one; what is `null` or `false` for want
    /// of a session counts as none.
    pub(super) fn session(self, keys: &[&str]) -> Result<Option<&'m str>, RefusalKind> {
        let session = keys.iter().filter_map(|key| self.get(key)).find_map(Value::id);
        match session {
            Some(id) if id.len() > limits::PRESENTED_SESSION_BYTES => Err(RefusalKind::TooLong),
            session => Ok(session),
        }
    }

    /// Adds all values but objects, from all depths, under their own keys. Of a key at several depths
    /// the outermost counts, at one depth the first. `skip` says which of the object's own members
    /// are left out.
    pub(super) fn flatten_into(
        self,
        parameters: &mut Parameters<'m>,
        skip: impl Fn(&str, Value<'m>) -> bool,
    ) -> Result<(), RefusalKind> {
        let first = self.depth();
        let last = self.0.iter().map(|member| member.depth).max().unwrap_or(first);
        for depth in first..=last {
            for member in self.0.iter().filter(|member| member.depth == depth) {
                let Some(text) = member.value.text() else { continue };
                if depth == first && skip(member.key, member.value) {
                    continue;
                }
                match parameters.insert(member.key, text) {
                    Ok(()) | Err(ParameterError::Duplicate) => {}
                    Err(ParameterError::Full) => return Err(RefusalKind::TooManyParameters),
                }
            }
        }
        Ok(())
    }

    fn depth(self) -> usize {
        self.0.first().map_or(0, |member| member.depth)
    }

    fn position(self, key: &str) -> Option<usize> {
        let depth = self.depth();
        self.0.iter().position(|member| member.depth == depth && member.key == key)
    }
}

/// Checks that `text` is one JSON object and nothing else, and notes its members.
pub(super) fn scan(text: &str) -> Result<Table, RefusalKind> {
    let mut scanner = Scanner { text, at: 0, table: Some(Vec::new()) };
    scanner.space();
    if scanner.peek() != Some(b'{') {
        return Err(RefusalKind::Malformed);
    }
    scanner.value(0, true)?;
    scanner.end()?;
    Ok(Table(scanner.table.unwrap_or_default()))
}

/// Whether `text` is one JSON value and nothing else, nested no deeper than `limits::JSON_DEPTH`.
pub(super) fn is_valid(text: &str) -> bool {
    let mut scanner = Scanner { text, at: 0, table: None };
    scanner.space();
    scanner.value(0, false).and_then(|_| scanner.end()).is_ok()
}

/// The whole number that `text` is; RFC 8259's form, so no leading zeros, sign or space.
pub(super) fn number(text: &str) -> Option<u32> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let (number, used) = serde_json_core::from_str(text).ok()?;
    (digits && used == text.len()).then_some(number)
}

/// Undoes the escapes of a string, in its own place. `None` when one is wrong, or the string is not
/// UTF-8.
pub(super) fn unescape(bytes: &mut [u8]) -> Option<&str> {
    let mut read = bytes.iter().position(|byte| *byte == b'\\').unwrap_or(bytes.len());
    let mut written = read;
    while let Some(byte) = bytes.get(read).copied() {
        if byte == b'\\' {
            let (character, used) = escape(bytes.get(read..)?)?;
            let mut buffer = [0; 4];
            let text = character.encode_utf8(&mut buffer);
            bytes.get_mut(written..written + text.len())?.copy_from_slice(text.as_bytes());
            written += text.len();
            read += used;
        } else {
            *bytes.get_mut(written)? = byte;
            written += 1;
            read += 1;
        }
    }
    str::from_utf8(bytes.get(..written)?).ok()
}

/// Where the string whose first byte is at `from` ends: the place of its closing quote. `None` when it
/// has none before its end, or holds a raw control character or a wrong escape.
pub(super) fn string_end(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at),
            b'\\' => at += escape(bytes.get(at..)?)?.1,
            0..=0x1f => return None,
            _ => at += 1,
        }
    }
}

/// Reads the escape at the front of `bytes`: what it stands for and how long it is.
fn escape(bytes: &[u8]) -> Option<(char, usize)> {
    let character = match bytes.get(1)? {
        b'"' => '"',
        b'\\' => '\\',
        b'/' => '/',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => {
            let high = unit(bytes.get(2..6)?)?;
            // A character beyond the first 65536 is written as a pair of surrogates (RFC 8259, 7).
            if !(0xd800..0xdc00).contains(&high) {
                return Some((char::from_u32(high)?, 6));
            }
            let low = unit(bytes.get(6..12)?.strip_prefix(b"\\u")?)?;
            if !(0xdc00..0xe000).contains(&low) {
                return None;
            }
            return Some((char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00))?, 12));
        }
        _ => return None,
    };
    Some((character, 2))
}

fn unit(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |unit, digit| Some(unit << 4 | char::from(*digit).to_digit(16)?))
}

/// The characters of a string that [`string_end`] has passed, escapes undone.
fn characters(mut text: &str) -> impl Iterator<Item = char> + '_ {
    iter::from_fn(move || {
        let mut rest = text.chars();
        let character = match rest.next()? {
            '\\' => {
                let (character, used) = escape(text.as_bytes())?;
                text = text.get(used..)?;
                return Some(character);
            }
            character => character,
        };
        text = rest.as_str();
        Some(character)
    })
}

/// FNV-1a, character by character.
fn hash(characters: impl Iterator<Item = char>) -> u32 {
    characters.fold(0x811c_9dc5, |hash, character| (hash ^ u32::from(character)).wrapping_mul(0x0100_0193))
}

struct Scanner<'t> {
    text: &'t str,
    at: usize,
    /// Where members are noted; without it they are only checked.
    table: Option<Vec<Entry, MEMBERS>>,
}

impl Scanner<'_> {
    /// Reads one value inside `depth` others and gives its kind and place. `keep` says whether its
    /// members stay noted.
    fn value(&mut self, depth: usize, keep: bool) -> Result<(Kind, Range<usize>), RefusalKind> {
        let start = self.at;
        let kind = match self.peek().ok_or(RefusalKind::Malformed)? {
            b'"' => return Ok((Kind::String, self.string()?)),
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

    fn object(&mut self, depth: usize, keep: bool) -> Result<(), RefusalKind> {
        self.open(depth)?;
        let first = self.table.as_ref().map_or(0, |table| table.len());
        if !self.take(b'}') {
            loop {
                let key = self.string()?;
                let entry = self.note(first, depth, key)?;
                self.space();
                self.expect(b':')?;
                self.space();
                let (kind, value) = self.value(depth, keep)?;
                if let Some(entry) = self.table.as_mut().and_then(|table| table.get_mut(entry)) {
                    entry.kind = kind;
                    entry.value = value;
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
            table.truncate(first);
        }
        Ok(())
    }

    fn array(&mut self, depth: usize) -> Result<(), RefusalKind> {
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
    fn open(&mut self, depth: usize) -> Result<(), RefusalKind> {
        if depth > limits::JSON_DEPTH {
            return Err(RefusalKind::TooDeep);
        }
        self.at += 1;
        self.space();
        Ok(())
    }

    /// Notes a member of the object whose first member is at `first`, and gives the place of the note.
    fn note(&mut self, first: usize, depth: usize, key: Range<usize>) -> Result<usize, RefusalKind> {
        let Some(table) = &mut self.table else {
            return Ok(0);
        };
        let text = |place: &Range<usize>| characters(self.text.get(place.clone()).unwrap_or_default());
        // Long keys that differ at their ends would else cost their length for each pair of them.
        let hash = hash(text(&key));
        let mut siblings = table.iter().skip(first).filter(|entry| entry.depth == depth);
        if siblings.any(|entry| entry.hash == hash && text(&entry.key).eq(text(&key))) {
            return Err(RefusalKind::DuplicateKey);
        }
        let entry = Entry { depth, key, hash, value: 0..0, kind: Kind::Word };
        table.push(entry).map_err(|_| RefusalKind::TooManyParameters)?;
        Ok(table.len() - 1)
    }

    /// Reads a string and gives its place within the quotes.
    fn string(&mut self) -> Result<Range<usize>, RefusalKind> {
        self.expect(b'"')?;
        let start = self.at;
        let end = string_end(self.text.as_bytes(), start).ok_or(RefusalKind::Malformed)?;
        self.at = end + 1;
        Ok(start..end)
    }

    fn word(&mut self, word: &str) -> Result<Kind, RefusalKind> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        if !rest.starts_with(word) {
            return Err(RefusalKind::Malformed);
        }
        self.at += word.len();
        Ok(Kind::Word)
    }

    /// Reads a number: `-?(0|[1-9][0-9]*)(.[0-9]+)?([eE][+-]?[0-9]+)?`.
    fn number(&mut self) -> Result<Kind, RefusalKind> {
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

    fn digits(&mut self) -> Result<(), RefusalKind> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start { Err(RefusalKind::Malformed) } else { Ok(()) }
    }

    fn end(&mut self) -> Result<(), RefusalKind> {
        self.space();
        if self.peek().is_some() { Err(RefusalKind::Malformed) } else { Ok(()) }
    }

    fn expect(&mut self, byte: u8) -> Result<(), RefusalKind> {
        if self.take(byte) { Ok(()) } else { Err(RefusalKind::Malformed) }
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
        self.text.as_bytes().get(self.at).copied()
    }
}
