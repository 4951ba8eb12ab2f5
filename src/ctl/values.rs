//! JSON values as owned strings, and JSON text for requests and results.

use super::failure::{FAILED, Failure};
use super::output::{format_duration, sanitize};
use crate::json::{Full, Raw, ValueKind, Writer};

/// First segment of the path of every call.
pub(super) const LIBRARY: &str = "system.library/";
/// Longest JSON text that is written: a request, or a line of a result.
const TEXT_BYTES: usize = 64 * 1024;

/// A string; `None` for any other value.
pub(super) fn string(value: Raw<'_>) -> Option<String> {
    (value.kind() == ValueKind::String).then(|| String::from_utf8(value.bytes().collect()).ok())?
}

/// A string, a number, `true` or `false`: Friend Core sends numbers in both forms.
pub(super) fn text(value: Raw<'_>) -> Option<String> {
    match value.kind() {
        ValueKind::String => string(value),
        ValueKind::Number => Some(value.text().to_owned()),
        ValueKind::Word => (value.text() != "null").then(|| value.text().to_owned()),
        ValueKind::Array | ValueKind::Object => None,
    }
}

/// The [`text`] of a member.
pub(super) fn text_of(object: Raw<'_>, key: &str) -> Option<String> {
    object.get(key).and_then(text)
}

/// Returns the JSON text that `write` writes.
pub(super) fn compose(write: impl FnOnce(&mut Writer<'_>) -> Result<(), Full>) -> Result<String, Failure> {
    let mut buffer = vec![0; TEXT_BYTES];
    let mut writer = Writer::new(&mut buffer);
    let written = write(&mut writer).and_then(|()| writer.finish());
    let text = written.ok().and_then(|bytes| core::str::from_utf8(bytes).ok());
    text.map(str::to_owned)
        .ok_or_else(|| Failure::new(FAILED, format!("the request is longer than {TEXT_BYTES} bytes")))
}

/// A failure as an object.
pub(super) fn failure_object(failure: &Failure) -> Result<String, Failure> {
    compose(|out| {
        out.put(r#"{"error":"#)?;
        out.put_text(&failure.text)?;
        out.put_display(format_args!(r#","exit":{}}}"#, failure.code))
    })
}

/// Line of the failure of one operand among several.
pub(super) fn failure_line(operand: &str, failure: &Failure) -> Result<String, Failure> {
    Ok(format!("{{{}}}\n", member(operand, &failure_object(failure)?)?))
}

/// An object with one member.
pub(super) fn member(key: &str, value: &str) -> Result<String, Failure> {
    Ok(quoted(key)? + ":" + value)
}

/// A string.
pub(super) fn quoted(text: &str) -> Result<String, Failure> {
    compose(|out| out.put_text(text))
}

/// A member as a terminal may show it, or `-` for none.
pub(super) fn shown(object: Raw<'_>, key: &str) -> String {
    shown_or(text_of(object, key).as_deref().map(sanitize))
}

/// A member with a number of seconds, in its two largest units, or `-` for none.
pub(super) fn shown_duration(object: Raw<'_>, key: &str) -> String {
    shown_or(text_of(object, key).and_then(|seconds| seconds.parse().ok()).map(format_duration))
}

/// State of a service that runs and is not ready, with that; else its state, or `-` for none.
pub(super) fn shown_state(service: Raw<'_>) -> String {
    let state = shown(service, "State");
    let is_late = text_of(service, "Ready").as_deref() == Some("false");
    if is_late && state == "started" { state + ", not ready" } else { state }
}

/// The text, or `-` for none.
pub(super) fn shown_or(text: Option<String>) -> String {
    text.filter(|text| !text.is_empty()).unwrap_or_else(|| "-".to_owned())
}

/// Elements of an array.
pub(super) fn members<'t>(object: Raw<'t>, key: &str) -> impl Iterator<Item = Raw<'t>> + use<'t> {
    object.get(key).into_iter().flat_map(Raw::elements)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn strings_and_texts() {
        let value = Raw::parse(r#"{"s":"a\u001b","n":-1.5,"t":true,"z":null,"a":[1],"o":{}}"#).unwrap();
        for (key, as_string, as_text) in [
            ("s", Some("a\x1b"), Some("a\x1b")),
            ("n", None, Some("-1.5")),
            ("t", None, Some("true")),
            ("z", None, None),
            ("a", None, None),
            ("o", None, None),
            ("none", None, None),
        ] {
            assert_eq!(value.get(key).and_then(string).as_deref(), as_string, "{key}");
            assert_eq!(text_of(value, key).as_deref(), as_text, "{key}");
        }
    }

    #[test]
    fn longest_text_and_one_byte_more() {
        let write = |length: usize| compose(|out| out.put_text(&"a".repeat(length - 2)));
        assert_eq!(write(TEXT_BYTES).unwrap().len(), TEXT_BYTES);
        assert!(write(TEXT_BYTES + 1).unwrap_err().text.contains("longer than 65536 bytes"));
    }

    proptest! {
        #[test]
        fn strings_come_back(text in any::<String>()) {
            let written = compose(|out| out.put_text(&text)).unwrap();
            prop_assert_eq!(Raw::parse(&written).and_then(string), Some(text));
        }
    }
}
