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
    /// Returns true for a device with this name under `/dev`, such as `ttyUSB0` or `input/event0`. `*` is any
    /// text without a slash, `?` any character but a slash.
    pub fn matches(&self, name: &str) -> bool {
        matches(self.pattern.as_bytes(), name.as_bytes())
    }
}

fn matches(pattern: &[u8], name: &[u8]) -> bool {
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
            ("i2c-[0]", "i2c-[0]"),
        ] {
            assert!(matches(pattern.as_bytes(), name.as_bytes()), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("ttyUSB0", "ttyUSB01"),
            ("ttyUSB?", "ttyUSB"),
            ("*", "input/event7"),
            ("input?event7", "input/event7"),
            ("*b", "abc"),
            ("", "a"),
        ] {
            assert!(!matches(pattern.as_bytes(), name.as_bytes()), "{pattern} {name}");
        }
    }

    #[test]
    fn time_of_a_match_is_bounded() {
        let (pattern, name) = ("*a".repeat(DEVICE_NAME_BYTES / 2), "a".repeat(4096));
        assert!(!matches(format!("{pattern}b").as_bytes(), name.as_bytes()));
    }
}
