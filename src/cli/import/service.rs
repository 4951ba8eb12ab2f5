//! Service that is translated: its keys, and what has no twin.

use std::fmt::Write as _;
use std::path::Path;

use super::ini::Entry;
use super::words;
use crate::config::key::Kind;
use crate::config::schema;

/// Key of another supervisor.
pub(super) struct Row {
    /// Its name there.
    pub(super) theirs: &'static str,
    /// Its name here; empty for what is always so.
    pub(super) ours: &'static str,
    /// Form of its value there.
    pub(super) form: Form,
}

/// Form of a value.
pub(super) enum Form {
    /// As it is written here.
    Same,
    /// A time such as `1min 30s`, in seconds without a unit.
    Span,
    /// Bytes, with a suffix of powers of 1,024.
    Size,
    /// A word, with the value that it is here in TOML; empty: it is always so.
    Words(&'static [(&'static str, &'static str)]),
    /// Entry of the table `ours` with this name: a size, or its first of two.
    Member(&'static str),
}

/// Row of a key whose value is written as here.
pub(super) const fn same(theirs: &'static str, ours: &'static str) -> Row {
    Row { theirs, ours, form: Form::Same }
}

/// Row of a key whose value has another form.
pub(super) const fn row(theirs: &'static str, ours: &'static str, form: Form) -> Row {
    Row { theirs, ours, form }
}

/// Value of a key.
enum Value {
    /// TOML.
    One(String),
    List(Vec<String>),
    /// TOML by names.
    Table(Vec<(String, String)>),
}

/// Service with its keys.
pub(super) struct Service {
    pub(super) name: String,
    /// Name of its file.
    pub(super) file: String,
    /// Entries that were not translated, or not as they were.
    pub(super) notes: Vec<String>,
    values: Vec<(&'static str, Value)>,
    /// Other services that it names, each with a note for the case that nothing has that name.
    references: Vec<(String, String)>,
}

impl Service {
    /// A service with the niceness of other supervisors.
    pub(super) fn new(name: &str, file: &Path) -> Self {
        let mut service = Self {
            name: name.to_owned(),
            file: file.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            notes: Vec::new(),
            values: Vec::new(),
            references: Vec::new(),
        };
        service.set("nice", "0");
        service
    }

    /// Notes why an entry is not, or not quite, here.
    pub(super) fn note(&mut self, entry: &Entry<'_>, reason: &str) {
        let note = format!("{}:{}: {}={}: {reason}", self.file, entry.line, entry.key, entry.value);
        self.notes.push(note.chars().map(|sign| if sign.is_control() { ' ' } else { sign }).collect());
    }

    /// Sets a key to a value in TOML.
    pub(super) fn set(&mut self, key: &'static str, toml: &str) {
        self.unset(key);
        self.values.push((key, Value::One(toml.to_owned())));
    }

    /// Appends an entry to a list.
    pub(super) fn push(&mut self, key: &'static str, text: &str) {
        if !self.has(key) {
            self.values.push((key, Value::List(Vec::new())));
        }
        if let Some((_, Value::List(entries))) = self.values.iter_mut().find(|(name, _)| *name == key)
            && !entries.iter().any(|entry| entry == text)
        {
            entries.push(text.to_owned());
        }
    }

    /// Adds an entry to a table; the last one of a name counts.
    pub(super) fn insert(&mut self, key: &'static str, name: &str, toml: String) {
        if !self.has(key) {
            self.values.push((key, Value::Table(Vec::new())));
        }
        if let Some((_, Value::Table(entries))) = self.values.iter_mut().find(|(other, _)| *other == key) {
            entries.retain(|(other, _)| other != name);
            entries.push((name.to_owned(), toml));
        }
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.values.iter().any(|(name, _)| *name == key)
    }

    pub(super) fn unset(&mut self, key: &str) {
        self.values.retain(|(name, _)| *name != key);
    }

    /// Appends another service to a list. [`keep_known`](Self::keep_known) removes it if nothing has that name.
    pub(super) fn refer(&mut self, key: &'static str, entry: &Entry<'_>, name: &str) {
        self.push(key, name);
        let note =
            format!("{}:{}: {}={name}.service: not imported with it", self.file, entry.line, entry.key);
        self.references.push((name.to_owned(), note));
    }

    /// Removes services with other names from the lists.
    pub(super) fn keep_known(&mut self, names: &[String]) {
        let missing = self.references.drain(..).filter(|(name, _)| !names.contains(name));
        self.notes.extend(missing.map(|(_, note)| note));
        for (key, value) in &mut self.values {
            if let ("after" | "requires", Value::List(entries)) = (*key, value) {
                entries.retain(|entry| names.contains(entry));
            }
        }
    }

    /// Translates an entry by its row; an empty value resets the key, as with systemd.
    pub(super) fn translate(&mut self, entry: &Entry<'_>, row: &Row) {
        let value = entry.value.as_str();
        if value.is_empty() {
            return self.unset(row.ours);
        }
        let number = match row.form {
            Form::Member(name) => {
                let (soft, hard) = value.split_once(':').unwrap_or((value, value));
                match size(soft) {
                    Some(number) => self.insert(row.ours, name, number.to_string()),
                    None => return self.note(entry, "not translated"),
                }
                if hard != soft {
                    self.note(entry, "one limit here, the first");
                }
                return;
            }
            Form::Words(words) => {
                return match words.iter().find(|(theirs, _)| *theirs == value) {
                    Some((_, "")) => {}
                    Some((_, ours)) => self.set(row.ours, ours),
                    None => self.note(entry, "not translated"),
                };
            }
            Form::Span => seconds(value),
            Form::Size => size(value),
            Form::Same => value.parse().ok(),
        };
        let Some(key) = schema::SERVICE.key(row.ours) else { return };
        match (&key.kind, number) {
            (Kind::Integer { .. } | Kind::Memory, number) => {
                let Some((least, most, _)) = key.kind.range() else { return };
                let (least, most) = (least.unsigned_abs(), most.unsigned_abs());
                // Without a limit: 0 here, or the most where 0 is none.
                let is_unlimited =
                    value == "infinity" || number == Some(0) && !matches!(row.form, Form::Same);
                let number = match number {
                    _ if is_unlimited => {
                        if least == 0 {
                            0
                        } else {
                            u64::MAX
                        }
                    }
                    Some(number) => number.max(least),
                    None => return self.note(entry, "not translated"),
                };
                if number > most {
                    self.note(entry, &format!("{most} is the most"));
                }
                self.set(row.ours, &number.min(most).to_string());
            }
            (Kind::Signed { least, most }, _) => match value.parse::<i64>() {
                Ok(number) => self.set(row.ours, &number.clamp((*least).into(), (*most).into()).to_string()),
                Err(_) => self.note(entry, "not translated"),
            },
            (Kind::Boolean, _) => match truth(value) {
                Some(truth) => self.set(row.ours, &truth.to_string()),
                None => self.note(entry, "not translated"),
            },
            (Kind::Integers { .. }, _) => {
                let numbers: Vec<&str> =
                    value.split([',', ' ']).filter(|number| !number.is_empty()).collect();
                match numbers.iter().all(|number| number.parse::<u8>().is_ok()) {
                    true => self.set(row.ours, &format!("[{}]", numbers.join(", "))),
                    false => self.note(entry, "not translated"),
                }
            }
            (Kind::Choice(words), _) => {
                let word = value.strip_prefix("SIG").unwrap_or(value);
                match words.contains(&word) {
                    true => self.set(row.ours, &quoted(word)),
                    false => self.note(entry, "not translated"),
                }
            }
            (Kind::Command, _) => match words::split(value) {
                Ok(words) => self.set(row.ours, &list(&words)),
                Err(reason) => self.note(entry, &reason),
            },
            (Kind::List { entry: form, .. }, _) => {
                for word in value.split_whitespace() {
                    match (form.is_met)(word) {
                        true => self.push(row.ours, word),
                        false => self.note(entry, &format!("expected {}", form.expected)),
                    }
                }
            }
            (Kind::String(form), _) => {
                match (form.is_met)(value) && value.len() as u64 <= form.bytes.value.into() {
                    true => self.set(row.ours, &quoted(value)),
                    false => self.note(entry, &format!("expected {}", form.expected)),
                }
            }
            _ => self.note(entry, "not translated"),
        }
    }

    /// Its table, after its notes.
    pub(super) fn text(&self) -> String {
        let mut text = String::from("\n");
        for note in &self.notes {
            text = text + "# " + note + "\n";
        }
        // Writing to a String does not fail.
        let _ = writeln!(text, "[[service]]\nname = {}", quoted(&self.name));
        for (key, value) in &self.values {
            let value = match value {
                Value::One(toml) => toml.clone(),
                Value::List(entries) => list(entries),
                Value::Table(entries) => {
                    let entries: Vec<_> =
                        entries.iter().map(|(name, toml)| format!("{} = {toml}", quoted_key(name))).collect();
                    format!("{{ {} }}", entries.join(", "))
                }
            };
            if value != "[]" {
                let _ = writeln!(text, "{key} = {value}");
            }
        }
        text
    }
}

/// A list of strings in TOML.
pub(super) fn list(entries: &[String]) -> String {
    format!("[{}]", entries.iter().map(|entry| quoted(entry)).collect::<Vec<_>>().join(", "))
}

/// A string in TOML.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for sign in text.chars() {
        match sign {
            '"' | '\\' => quoted.extend(['\\', sign]),
            sign if sign.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(sign));
            }
            sign => quoted.push(sign),
        }
    }
    quoted + "\""
}

/// A name in a table of TOML, in quotes where it needs them.
fn quoted_key(name: &str) -> String {
    let is_bare = |sign: char| sign.is_ascii_alphanumeric() || matches!(sign, '_' | '-');
    if !name.is_empty() && name.chars().all(is_bare) { name.to_owned() } else { quoted(name) }
}

/// A truth value of either supervisor.
pub(super) fn truth(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Some(true),
        "false" | "no" | "off" | "0" => Some(false),
        _ => None,
    }
}

/// Bytes of a text such as `50MB`, `64K` or `1073741824`.
fn size(text: &str) -> Option<u64> {
    let text = text.trim().trim_end_matches(['B', 'b']);
    let number = text.trim_end_matches(|sign: char| sign.is_ascii_alphabetic());
    let power = match text[number.len()..].to_ascii_uppercase().as_str() {
        "" => 0,
        "K" => 1,
        "M" => 2,
        "G" => 3,
        "T" => 4,
        _ => return None,
    };
    number.trim_end().parse::<u64>().ok()?.checked_mul(1 << (10 * power))
}

/// Seconds of a text such as `1min 30s` or `90`, rounded up.
fn seconds(text: &str) -> Option<u64> {
    const UNITS: &[(&[&str], u64)] = &[
        (&["us", "usec"], 1),
        (&["ms", "msec"], 1_000),
        (&["", "s", "sec", "second", "seconds"], 1_000_000),
        (&["m", "min", "minute", "minutes"], 60_000_000),
        (&["h", "hr", "hour", "hours"], 3_600_000_000),
        (&["d", "day", "days"], 86_400_000_000),
        (&["w", "week", "weeks"], 604_800_000_000),
    ];
    let mut rest = text.trim();
    let mut sum = 0_u64;
    while !rest.is_empty() {
        let digits = rest.find(|sign: char| !sign.is_ascii_digit()).unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let after = after.trim_start();
        let end = after.find(|sign: char| !sign.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let (_, factor) = UNITS.iter().find(|(names, _)| names.contains(&unit))?;
        sum = sum.checked_add(number.parse::<u64>().ok()?.checked_mul(*factor)?)?;
        rest = after.trim_start();
    }
    (!text.is_empty()).then_some(sum.div_ceil(1_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_of_time() {
        for (text, expected) in [
            ("90", Some(90)),
            ("1min 30s", Some(90)),
            ("1m30", Some(90)),
            ("500ms", Some(1)),
            ("2h", Some(7200)),
            ("0", Some(0)),
            ("", None),
            ("1.5s", None),
            ("1 fortnight", None),
            ("infinity", None),
            ("99999999999999999999", None),
            ("18446744073709551615h", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }

    #[test]
    fn sizes() {
        for (text, expected) in [
            ("50MB", Some(52_428_800)),
            ("64K", Some(65_536)),
            ("1073741824", Some(1 << 30)),
            ("1G", Some(1 << 30)),
            ("80%", None),
            ("", None),
            ("17179869184G", None),
        ] {
            assert_eq!(size(text), expected, "{text}");
        }
    }

    #[test]
    fn strings_are_toml() {
        for text in ["", "a b", "\"\\", "\u{0}\n\u{7f}\u{85}", "ä€"] {
            let parsed: toml::Table =
                toml::from_str(&format!("{} = {}", quoted_key(text), quoted(text))).unwrap();
            assert_eq!(parsed[text].as_str(), Some(text));
        }
    }
}
