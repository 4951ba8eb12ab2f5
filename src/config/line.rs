//! Line of a configuration file, which need not be TOML.

use super::key::Key;
use super::schema::TABLES;

/// Line of a configuration file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Line<'t> {
    /// Name of the table, such as `service.commands`; empty before the first one.
    pub table: &'t str,
    /// Key that it sets; `None` for a header, or a part of a value.
    pub key: Option<&'t str>,
    /// Its text, without the value of a secret.
    pub text: &'t str,
}

impl<'t> Line<'t> {
    /// The line of this number, from 1.
    pub fn of(text: &'t str, number: usize) -> Option<Self> {
        let mut table = "";
        // The line before is a key whose value may be in this one.
        let mut is_open = false;
        for (index, text) in text.split('\n').enumerate() {
            let (key, has_value) = match text.split_once('=') {
                Some((key, _)) => (key.trim(), true),
                None => (text.trim(), false),
            };
            if key.starts_with('[') {
                table = key.trim_start_matches('[').split(']').next().unwrap_or_default();
            }
            if index + 1 < number {
                is_open = text.trim_end().ends_with('=') || is_open && text.trim().is_empty();
                continue;
            }
            let text = match has_value || key.starts_with(['[', '#']) {
                true => secret(text, table).and_then(|end| text.get(..=end)).unwrap_or(text),
                false => without_value(text, table, is_open),
            };
            return Some(Self { table, key: has_value.then_some(key), text: text.trim_end() });
        }
        None
    }
}

/// Keys with a secret value, of all tables.
fn secrets() -> impl Iterator<Item = &'static Key> {
    TABLES.iter().flat_map(|table| table.keys).filter(|key| key.is_secret)
}

/// Returns true if a table has a key of this name.
fn is_known(name: &str) -> bool {
    TABLES.iter().flat_map(|table| table.keys).any(|key| key.name == name)
}

/// A line without an equals sign, up to its first word: what follows may be a secret. So may be a line of which the value begins in
/// the one before.
fn without_value<'t>(text: &'t str, table: &str, is_open: bool) -> &'t str {
    let is_secret = secrets().any(|key| table.rsplit('.').next() == Some(key.name));
    let start = text.len() - text.trim_start().len();
    match text.trim_start().chars().next() {
        Some(first) if first.is_alphabetic() && !is_open => {
            let end = text[start..].find([' ', '\t', ':']).map_or(text.len(), |length| start + length);
            text.get(..=end).unwrap_or(text)
        }
        _ if is_open || is_secret => "",
        _ => text,
    }
}

/// Place of the equals sign after the first unknown name of an inline table.
fn unknown_inside(text: &str) -> Option<usize> {
    let (mut quote, mut is_inside) = (None, false);
    for (at, sign) in text.char_indices() {
        match (sign, quote) {
            (_, Some(open)) if open == sign => quote = None,
            (_, Some(_)) => {}
            ('"' | '\'', None) => quote = Some(sign),
            ('{', None) => is_inside = true,
            ('=', None) if is_inside => {
                let name = text[..at].rsplit(['{', ',']).next().unwrap_or_default();
                if !is_known(name.trim().trim_matches(['"', '\''])) {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

/// Place of the equals sign before the first secret of a line. The value of an unknown key may be one: `pasword`.
fn secret(text: &str, table: &str) -> Option<usize> {
    let own = table.rsplit('.').next();
    if let Some((name, _)) = text.split_once('=')
        && !name.trim().trim_matches(['"', '\'']).split('.').any(is_known)
        && !own.is_some_and(|own| table.contains('.') && is_known(own))
    {
        return Some(name.len());
    }
    let begins = secrets().filter_map(|key| {
        // `env` may have a table of its own, or variables with a dot.
        let end = if own == Some(key.name) { 0 } else { text.find(key.name)? + key.name.len() };
        let (_, rest) = text.split_at_checked(end)?;
        let is_set = end == 0 || rest.trim_start_matches(['"', '\'', ' ', '\t']).starts_with(['=', '.']);
        Some(end + rest.find('=')?).filter(|_| is_set)
    });
    begins.chain(unknown_inside(text)).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_has_its_table_and_key_and_no_secret() {
        let text = "slots = 2\r\n[[user]] # one\npassword = 'hush'\nname=\"a\"\n[service.env]\n  A = 'hush'\nat = [\n'b']\n\
                    [[service]]\nenv.A = 'hush'\n\"env\" = { A = 'hush' }\nenv_file = '/e'\n\
                    command = ['/usr/bin/env']\nx = { name = 'a', env = { A = 'hush' }, password = 'hush' }";
        for (number, table, key, shown) in [
            (1, "", Some("slots"), "slots = 2"),
            (2, "user", None, "[[user]] # one"),
            (3, "user", Some("password"), "password ="),
            (4, "user", Some("name"), "name=\"a\""),
            (6, "service.env", Some("A"), "  A ="),
            (8, "service.env", None, ""),
            (10, "service", Some("env.A"), "env.A ="),
            (11, "service", Some("\"env\""), "\"env\" ="),
            (12, "service", Some("env_file"), "env_file = '/e'"),
            (13, "service", Some("command"), "command = ['/usr/bin/env']"),
            (14, "service", Some("x"), "x ="),
        ] {
            assert_eq!(Line::of(text, number), Some(Line { table, key, text: shown }), "{number}");
        }
        assert_eq!(Line::of(text, 15), None);
    }

    #[test]
    fn line_without_key_and_value_shows_no_secret() {
        for (text, shown) in [
            ("password: hush", "password:"),
            ("  password hush", "  password"),
            ("password", "password"),
            ("'hush',", "'hush',"),
            ("[service.env]\nTOKEN: hush", "TOKEN:"),
            ("[service.env]\n'hush'", ""),
            ("password =\n\n  'hush'", ""),
            ("password =\nhush", ""),
            ("[[user]", "[[user]"),
            ("# password = 'x'", "# password ="),
            ("user = [{ name = 'a=b', pasword = 'hush' }]", "user = [{ name = 'a=b', pasword ="),
            ("limits = { nofile = 7 }", "limits = { nofile ="),
        ] {
            let number = text.split('\n').count();
            assert_eq!(Line::of(text, number).unwrap().text, shown, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_has_lines(text: String, number in 0..9_usize) {
            let line = Line::of(&text, number);
            proptest::prop_assert!(line.is_none_or(|line| text.contains(line.text)));
        }
    }
}
