//! Parser of messages of DNS (RFC 1035, 4), as far as multicast DNS has them.

use core::net::Ipv4Addr;
use core::ops::Range;

use super::MDNS_POINTERS;

/// Address of IPv6, or one of IPv4 as that (RFC 4291, 2.5.5.2): in this form, those of IPv4 come before those of IPv6 as
/// their records do (RFC 6762, 8.2).
pub(super) type Octets = [u8; 16];
/// No address: after all others.
pub(super) const NONE: Octets = [0xff; 16];

/// Length of the header.
const HEADER_BYTES: usize = 12;
/// Longest label (RFC 1035, 2.3.4), and longest name with its lengths.
const LABEL_BYTES: usize = 63;
const NAME_BYTES: usize = 255;
/// Flags of a header: response, authoritative, truncated; operation and error, which are 0 (RFC 6762, 18).
pub(super) const RESPONSE: u16 = 0x8400;
const IS_RESPONSE: u16 = 0x8000;
const IS_TRUNCATED: u16 = 0x0200;
const OPERATION_AND_ERROR: u16 = 0x780f;
/// Class of the internet, and the bit above it: "unicast response" of a question, "cache flush" of a record.
pub(super) const INTERNET: u16 = 1;
pub(super) const TOP_BIT: u16 = 0x8000;

/// Types of records.
pub(super) mod kind {
    pub(in super::super) const A: u16 = 1;
    pub(in super::super) const PTR: u16 = 12;
    pub(in super::super) const TXT: u16 = 16;
    pub(in super::super) const AAAA: u16 = 28;
    pub(in super::super) const SRV: u16 = 33;
    pub(in super::super) const NSEC: u16 = 47;
    pub(in super::super) const ANY: u16 = 255;
}

/// Section of a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Section {
    Question,
    Answer,
    Authority,
    Additional,
}

pub(super) const SECTIONS: [Section; 4] =
    [Section::Question, Section::Answer, Section::Authority, Section::Additional];

/// Message that is whole.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message<'m> {
    bytes: &'m [u8],
}

/// Question, or record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'m> {
    pub(super) section: Section,
    pub(super) name: Name<'m>,
    pub(super) kind: u16,
    pub(super) class: u16,
    pub(super) ttl: u32,
    /// Data of a record.
    pub(super) data: &'m [u8],
    message: &'m [u8],
    data_at: usize,
}

/// Name in a message, perhaps compressed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Name<'m> {
    bytes: &'m [u8],
    at: usize,
}

impl<'m> Message<'m> {
    /// Parses a message; `None` if it is of another operation, an error, or not whole.
    pub(super) fn parse(bytes: &'m [u8]) -> Option<Self> {
        let message = Self { bytes };
        let expected: usize = (0..SECTIONS.len()).map(|section| message.count(section)).sum();
        let is_right = message.flags()? & OPERATION_AND_ERROR == 0 && bytes.len() >= HEADER_BYTES;
        (is_right && message.entries().count() == expected).then_some(message)
    }

    /// Number that a response to a client of plain DNS repeats.
    pub(super) fn id(self) -> u16 {
        half_word(self.bytes, 0).unwrap_or(0)
    }

    pub(super) fn is_response(self) -> bool {
        self.flags().is_some_and(|flags| flags & IS_RESPONSE != 0)
    }

    /// Returns true if more known answers follow in another message.
    pub(super) fn is_truncated(self) -> bool {
        self.flags().is_some_and(|flags| flags & IS_TRUNCATED != 0)
    }

    /// Questions and records in their order.
    pub(super) fn entries(self) -> impl Iterator<Item = Entry<'m>> {
        let (mut section, mut left, mut at) = (0, self.count(0), HEADER_BYTES);
        core::iter::from_fn(move || {
            while left == 0 {
                section += 1;
                left = (section < SECTIONS.len()).then(|| self.count(section))?;
            }
            left -= 1;
            let (entry, end) = self.entry(*SECTIONS.get(section)?, at)?;
            at = end;
            Some(entry)
        })
    }

    fn flags(self) -> Option<u16> {
        half_word(self.bytes, 2)
    }

    fn count(self, section: usize) -> usize {
        half_word(self.bytes, 4 + 2 * section).unwrap_or(0).into()
    }

    /// Returns true if there is an entry in this section.
    pub(super) fn has(self, section: Section) -> bool {
        self.count(section as usize) > 0
    }

    /// Question or record at this position, and the position after it.
    fn entry(self, section: Section, at: usize) -> Option<(Entry<'m>, usize)> {
        let bytes = self.bytes;
        let name = Name { bytes, at };
        let at = name.end()?;
        let (kind, class) = (half_word(bytes, at)?, half_word(bytes, at + 2)?);
        let (mut ttl, mut data) = (0, at + 4..at + 4);
        if section != Section::Question {
            ttl = bytes.get(at + 4..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))?;
            data = at + 10..at + 10 + usize::from(half_word(bytes, at + 8)?);
        }
        let Range { start: data_at, end } = data;
        let data = bytes.get(data)?;
        Some((Entry { section, name, kind, class, ttl, data, message: bytes, data_at }, end))
    }
}

impl<'m> Entry<'m> {
    /// Address in the data of a record of type A or AAAA, or [`NONE`].
    pub(super) fn octets(&self) -> Octets {
        match (self.kind, self.data) {
            (kind::A, &[a, b, c, d]) => Ipv4Addr::new(a, b, c, d).to_ipv6_mapped().octets(),
            (kind::AAAA, data) => data.try_into().unwrap_or(NONE),
            _ => NONE,
        }
    }

    /// Name in the data of a record, behind this many bytes.
    pub(super) fn target(&self, skipped: usize) -> Name<'m> {
        Name { bytes: self.message, at: self.data_at + skipped }
    }
}

impl<'m> Name<'m> {
    /// Labels from the host to the root, up to the first that is wrong. A pointer leads to an earlier position.
    pub(super) fn labels(self) -> impl Iterator<Item = &'m [u8]> {
        let Self { bytes, mut at } = self;
        let (mut least, mut pointers, mut len) = (at, 0, 0);
        core::iter::from_fn(move || {
            loop {
                let first = usize::from(*bytes.get(at)?);
                if first > LABEL_BYTES {
                    let target = pointer(bytes, at)?;
                    pointers += 1;
                    if target >= least || pointers > MDNS_POINTERS {
                        return None;
                    }
                    (least, at) = (target, target);
                    continue;
                }
                len += first + 1;
                if first == 0 || len > NAME_BYTES {
                    return None;
                }
                let label = bytes.get(at + 1..=at + first);
                at += first + 1;
                return label;
            }
        })
    }

    /// Position after the name.
    fn end(self) -> Option<usize> {
        let Self { bytes, mut at } = self;
        loop {
            match usize::from(*bytes.get(at)?) {
                0 => return Some(at + 1),
                len @ ..=LABEL_BYTES => at += len + 1,
                _ => return pointer(bytes, at).map(|_| at + 2),
            }
        }
    }
}

/// Target of a pointer (RFC 1035, 4.1.4).
fn pointer(bytes: &[u8], at: usize) -> Option<usize> {
    let pointer = half_word(bytes, at)?;
    (pointer >> 14 == 3).then_some(usize::from(pointer & 0x3fff))
}

fn half_word(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests;
