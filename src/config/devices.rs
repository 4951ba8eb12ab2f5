//! `[[device]]`: groups and modes of device nodes, on a board that `friendlet init` runs.

use heapless::{String, Vec};

use super::diagnostics::Diagnostics;
use super::section::Document;
use super::{DEVICE_NAME_BYTES, DEVICES, schema};
use crate::service::{AccountName, permissions_from_text};

/// Rules in the order of the file. The first that matches a device decides.
pub type DeviceRules = Vec<DeviceRule, DEVICES>;

/// Group and mode of the devices whose names match.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DeviceRule {
    /// Pattern of the name under `/dev`.
    pub pattern: String<DEVICE_NAME_BYTES>,
    /// Group, by name or number; empty: root's.
    pub group: AccountName,
    /// Permissions.
    pub mode: u16,
}

impl DeviceRule {
    /// Returns true for a device with this name under `/dev`, such as `ttyUSB0` or `input/event0`.
    pub fn matches(&self, name: &str) -> bool {
        matches_pattern(&self.pattern, name)
    }
}

/// Returns true for a name that matches a pattern of glob(7): `*` is any text without a slash, `?` any character but
/// a slash, `[0-9a]` one of these.
pub fn matches_pattern(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut at, mut from) = (0, 0);
    // Where the last star stands, and the first byte of the name that it does not cover.
    let mut star: Option<(usize, usize)> = None;
    while from < name.len() {
        let byte = name.get(from).copied().unwrap_or_default();
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, from));
                at += 1;
            }
            Some(b'?') if byte != b'/' => (at, from) = (at + 1, from + 1),
            Some(b'[') if let Some(length) = one_of(pattern.get(at..).unwrap_or_default(), byte) => {
                (at, from) = (at + length, from + 1);
            }
            Some(expected) if *expected == byte => (at, from) = (at + 1, from + 1),
            _ => match star {
                Some((stands, covers)) if name.get(covers).is_some_and(|byte| *byte != b'/') => {
                    star = Some((stands, covers + 1));
                    (at, from) = (stands + 1, covers + 1);
                }
                _ => return false,
            },
        }
    }
    pattern.iter().skip(at).all(|rest| *rest == b'*')
}

/// Length of the set `[0-9a]` at the start of a pattern, if this byte is one of it.
fn one_of(pattern: &[u8], byte: u8) -> Option<usize> {
    let end = pattern.iter().position(|other| *other == b']')?;
    let mut set = pattern.get(1..end)?;
    loop {
        set = match *set {
            [first, b'-', last, ref rest @ ..] if !(first..=last).contains(&byte) => rest,
            [other, ref rest @ ..] if set.get(1) != Some(&b'-') && other != byte => rest,
            [] => return None,
            _ => return Some(end + 1),
        }
    }
}

/// Each `[[device]]`.
pub(super) fn read(document: &Document<'_, '_>, diagnostics: &mut Diagnostics<'_>) -> DeviceRules {
    let mut rules = DeviceRules::new();
    for section in document.sections(&schema::DEVICE, diagnostics) {
        let pattern = section.bounded_if_set("match", diagnostics);
        let group = section.bounded("group", diagnostics);
        let mode = section.parsed("mode", permissions_from_text, diagnostics);
        if let Some(pattern) = pattern
            && rules.push(DeviceRule { pattern, group, mode }).is_err()
        {
            diagnostics.error(section.span(), format_args!("more than {DEVICES} device rules"));
        }
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_patterns() {
        for (pattern, name) in [
            ("ttyUSB0", "ttyUSB0"),
            ("ttyUSB*", "ttyUSB12"),
            ("tty*", "tty"),
            ("input/event?", "input/event7"),
            ("*/event*", "input/event7"),
            ("*a*b*", "xaybazb"),
            ("i2c-[0]", "i2c-0"),
            ("ttyUSB[0-3]", "ttyUSB2"),
            ("usb:v090Cp2000d010[0-9]dc*", "usb:v090Cp2000d0105dcFF"),
            ("*[a-cx-z]?", "12y3"),
            ("[", "["),
        ] {
            assert!(matches_pattern(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("ttyUSB0", "ttyUSB01"),
            ("ttyUSB?", "ttyUSB"),
            ("*", "input/event7"),
            ("input?event7", "input/event7"),
            ("*b", "abc"),
            ("", "a"),
            ("ttyUSB[0-3]", "ttyUSB4"),
            ("ttyUSB[0-3]", "ttyUSB-"),
            ("ttyUSB[0-3]", "ttyUSB"),
            ("[]", "x"),
            ("[a-", "a"),
            ("[z-a]", "m"),
        ] {
            assert!(!matches_pattern(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn time_of_a_match_is_bounded() {
        let (pattern, name) = ("*a".repeat(DEVICE_NAME_BYTES / 2), "a".repeat(4096));
        assert!(!matches_pattern(&format!("{pattern}b"), &name));
    }
    proptest::proptest! {
        #[test]
        fn never_panics(pattern in "[\\[\\]*?a-c-]{0,12}", name in "[a-c\\[/-]{0,12}") {
            let _ = matches_pattern(&pattern, &name);
        }
    }
}
