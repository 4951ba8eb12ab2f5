//! Secrets of a configuration file: left out of the text that an administrator reads, and put back into the text that he
//! writes.
//!
//! Secret are the values of keys that the schema marks so; of `env`, the value of each variable. A value that is left out
//! is [`KEPT`] in the text. There it stands for the present secret of the same place: the same key in the table of the
//! same name. Where several tables have one name, such as the tokens of a user, `<kept secret 2>` is that of the second.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::References;
use super::diagnostics::{Diagnostics, ParseError};
use super::schema::TABLES;
use super::sources::Source;
use super::syntax::parse_toml;
use super::value::Span;

/// Value in place of a secret.
pub const KEPT: &str = "<kept secret>";
/// The same of a later table of the same name: this, a number, and `>`.
const KEPT_NUMBER: &str = "<kept secret ";

/// Place of a secret in a text.
struct Secret {
    /// Table, its name, and the key.
    key: String,
    /// Number among those of this key, from 1.
    number: usize,
    /// Place of the value.
    span: Span,
    /// Number of the secret that it stands for, if it stands for one.
    kept: Option<usize>,
}

/// Text with [`KEPT`] in the place of each secret; `None` if the text is not TOML.
pub fn hide_secrets(text: &str) -> Option<String> {
    let secrets = find(text)?;
    Some(replace(text, secrets.iter().map(|secret| (&secret.span, placeholder(secret.number)))))
}

/// Text with those secrets of `present` that it keeps. A text that is not TOML is returned as it is.
///
/// # Errors
/// Those places whose secret `present` does not have. They name the text `source`.
pub fn restore_secrets(text: &str, present: &str, source: &str) -> Result<String, ParseError> {
    let kept: Vec<_> = find(text).into_iter().flatten().filter(|secret| secret.kept.is_some()).collect();
    if kept.is_empty() {
        return Ok(text.to_owned());
    }
    let known = find(present).unwrap_or_default();
    let mut diagnostics = Diagnostics::new(&[Source::new(source, text)], References::Known);
    let mut values = Vec::new();
    for secret in &kept {
        let is_it = |other: &&Secret| other.key == secret.key && Some(other.number) == secret.kept;
        match known.iter().find(is_it).and_then(|other| present.get(other.span.clone())) {
            Some(value) => values.push((&secret.span, value.to_owned())),
            None => diagnostics.error_with_hint(
                &secret.span,
                "no secret to keep: the configuration in force has none in this place",
                "write the value",
            ),
        }
    }
    diagnostics.finish()?;
    Ok(replace(text, values.into_iter()))
}

/// The secrets of a text in their order; `None` if it is not TOML.
fn find(text: &str) -> Option<Vec<Secret>> {
    let mut diagnostics = Diagnostics::new(&[Source::new("", text)], References::Known);
    let values = parse_toml(text, 0, &mut diagnostics);
    diagnostics.finish().ok()?;
    let mut secrets = Vec::new();
    for table in TABLES {
        for entry in entries(&values, table.name) {
            let name = ["name", "user"].into_iter().find_map(|key| entry.get(key)?.get_ref().as_str());
            let name = name.unwrap_or_default();
            for key in table.keys.iter().filter(|key| key.is_secret) {
                if let Some(value) = entry.get(key.name) {
                    add(format!("{}\0{name}\0{}", table.name, key.name), value, &mut secrets);
                }
            }
        }
    }
    Some(secrets)
}

/// Adds a value, or those in it: only such a place is all of a value.
fn add(key: String, value: &Spanned<DeValue<'_>>, secrets: &mut Vec<Secret>) {
    match value.get_ref() {
        DeValue::Table(values) => {
            for (name, value) in values {
                add(format!("{key}\0{}", name.get_ref()), value, secrets);
            }
        }
        DeValue::Array(values) => values.iter().for_each(|value| add(key.clone(), value, secrets)),
        other => {
            let number = 1 + secrets.iter().filter(|secret| secret.key == key).count();
            let (span, kept) = (value.span(), other.as_str().and_then(kept_number));
            let place = secrets.partition_point(|secret| secret.span.start < span.start);
            secrets.insert(place, Secret { key, number, span, kept });
        }
    }
}

/// The tables of this name.
fn entries<'v, 't>(values: &'v DeTable<'t>, name: &str) -> impl Iterator<Item = &'v DeTable<'t>> {
    let value = values.get(name).map(Spanned::get_ref);
    let list = value.and_then(DeValue::as_array).into_iter().flat_map(|list| list.iter());
    list.filter_map(|entry| entry.get_ref().as_table()).chain(value.and_then(DeValue::as_table))
}

fn placeholder(number: usize) -> String {
    match number {
        1 => format!("\"{KEPT}\""),
        _ => format!("\"{KEPT_NUMBER}{number}>\""),
    }
}

/// Number of the secret that a value stands for.
fn kept_number(value: &str) -> Option<usize> {
    if value == KEPT {
        return Some(1);
    }
    value.strip_prefix(KEPT_NUMBER)?.strip_suffix('>')?.parse().ok()
}

/// Text with other values in these places, which are in order.
fn replace<'p>(text: &str, values: impl Iterator<Item = (&'p Span, String)>) -> String {
    let (mut replaced, mut from) = (String::new(), 0);
    for (span, value) in values {
        replaced.push_str(text.get(from..span.start).unwrap_or_default());
        replaced.push_str(&value);
        from = span.end;
    }
    replaced.push_str(text.get(from..).unwrap_or_default());
    replaced
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FILE: &str = "\
# Comments stay.
[[user]]
name = \"anna\"  # and this one
password = '$pbkdf2-sha256$i=1000$SALT$HASH'
[[user]]
name = 'ben'
[[token]]
sha256 = \"one\"
user = 'anna'
[[token]]
user = 'anna'
sha256 = \"\"\"two\"\"\"
[[service]]
name = 'web'
command = ['web']
env = { KEY = 'of web', \"A.B\" = \"\\u0041\" }
[[service]]
name = 'other'
command = ['other']
[service.env]
KEY = 'of other'
";
    const SHOWN: &str = "\
# Comments stay.
[[user]]
name = \"anna\"  # and this one
password = \"<kept secret>\"
[[user]]
name = 'ben'
[[token]]
sha256 = \"<kept secret>\"
user = 'anna'
[[token]]
user = 'anna'
sha256 = \"<kept secret 2>\"
[[service]]
name = 'web'
command = ['web']
env = { KEY = \"<kept secret>\", \"A.B\" = \"<kept secret>\" }
[[service]]
name = 'other'
command = ['other']
[service.env]
KEY = \"<kept secret>\"
";

    #[test]
    fn secrets_are_left_out_and_put_back() {
        assert_eq!(hide_secrets(FILE).as_deref(), Some(SHOWN));
        assert_eq!(restore_secrets(SHOWN, FILE, "f").as_deref(), Ok(FILE));
        assert_eq!(restore_secrets(FILE, "", "f").as_deref(), Ok(FILE));
        assert_eq!(hide_secrets("").as_deref(), Some(""));
        let nested = "[[user]]\nname = 'a'\n[user.password.x]\ny = [1, 'z']\n[[user.password.z]]\n";
        let shown = hide_secrets(nested).unwrap();
        assert!(shown.contains("[user.password.x]\ny = [\"<kept secret>\", \"<kept secret 2>\"]"), "{shown}");
        assert_eq!(restore_secrets(&shown, nested, "f").as_deref(), Ok(nested));
        // Its places cannot be found.
        assert_eq!(hide_secrets("[[user]]\npassword = 'x'\n["), None);
        assert_eq!(restore_secrets("[", FILE, "f").as_deref(), Ok("["));
    }

    #[test]
    fn secret_stays_with_its_name_wherever_its_table_stands() {
        let moved = "[[token]]\nuser = 'anna'\nsha256 = '<kept secret 2>'\n\
                     [[service]]\nname = 'other'\nenv.KEY = '<kept secret>'\n[[user]]\nname = 'anna'\npassword = '<kept secret>'";
        let expected = "[[token]]\nuser = 'anna'\nsha256 = \"\"\"two\"\"\"\n\
                        [[service]]\nname = 'other'\nenv.KEY = 'of other'\n[[user]]\nname = 'anna'\npassword = '$pbkdf2-sha256$i=1000$SALT$HASH'";
        assert_eq!(restore_secrets(moved, FILE, "f").as_deref(), Ok(expected));
    }

    #[test]
    fn secret_that_is_not_there_is_an_error_at_its_line() {
        let text = "[[user]]\nname = 'ben'\npassword = '<kept secret>'\n[[token]]\nuser = 'anna'\nsha256 = '<kept secret 3>'\n\
                    [[service]]\nname = 'web'\nenv = { NEW = '<kept secret>', KEY = '<kept secret>' }";
        let errors = restore_secrets(text, FILE, "f").unwrap_err();
        let places: Vec<_> = errors.errors().iter().map(|error| error.place.unwrap()).collect();
        assert_eq!(places, [(3, 12), (6, 10), (9, 15)]);
        assert!(errors.to_string().starts_with("f:3:12: no secret to keep"), "{errors}");
    }

    #[test]
    fn every_secret_of_the_schema_is_found() {
        let secret = |table: &&super::super::key::Table| table.keys.iter().any(|key| key.is_secret);
        let tables: Vec<_> = TABLES.iter().copied().filter(secret).map(|table| table.name).collect();
        assert_eq!(tables, ["user", "token", "service"]);
    }

    /// A file with these secrets.
    fn file(secrets: &[String], is_inline: bool) -> String {
        let mut text = String::new();
        for (number, secret) in secrets.iter().enumerate() {
            // JSON's escapes are those of TOML's basic strings.
            let secret: String = secret.chars().map(|c| format!("\\U{:08X}", u32::from(c))).collect();
            text += &match number % 4 {
                0 => format!("[[user]]\nname = 'u{number}'\npassword = \"{secret}\"\n"),
                1 => format!("[[token]] # \u{e4}\nuser = 'same'\nsha256 = \"{secret}\"\n"),
                2 if is_inline => {
                    format!("[[service]]\nname = 's'\nenv = {{ A = \"{secret}\", B = '''{number}''' }}\n")
                }
                _ => format!("[[service]]\nname = 's{number}'\n[service.env]\nA = \"{secret}\"\n"),
            };
        }
        text
    }

    proptest! {
        #[test]
        fn what_is_shown_has_no_secret_and_gives_the_same_text(
            secrets in prop::collection::vec("[a-z\u{e4}\"\\\\]{6,12}", 1..12),
            is_inline: bool,
        ) {
            let text = file(&secrets, is_inline);
            let shown = hide_secrets(&text).unwrap();
            prop_assert!(!shown.contains("\\U"), "{shown}");
            prop_assert_eq!(restore_secrets(&shown, &text, "f").unwrap(), text);
        }

        #[test]
        fn any_text_that_is_toml_is_shown_and_put_back(text in "([\\[\\]a-z='\"\\.{},\n <>0-9\u{e4}]|user|token|service|env|sha256|name|password|<kept secret 2>)*") {
            if let Some(shown) = hide_secrets(&text) {
                prop_assert_eq!(restore_secrets(&shown, &text, "f").unwrap(), text.clone());
            }
            let _ = restore_secrets(&text, &text, "f");
        }
    }
}
