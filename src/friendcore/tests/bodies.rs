use super::*;
use crate::call::ParameterError;
use crate::limits;

#[test]
fn scalars_are_their_text() {
    assert_eq!(
        parameters(frame(r#"{"a":12,"b":true,"c":null,"d":-0.5e+3,"e":false,"f":""}"#)),
        [("a", "12"), ("b", "true"), ("c", "null"), ("d", "-0.5e+3"), ("e", "false"), ("f", "")]
    );
}

#[test]
fn escapes_are_decoded() {
    assert_eq!(
        parameters(frame(r#"{"\u0061\"":"\"\\\/\b\f\n\r\t\u00e9\u20AC\ud83d\ude00\u0000é"}"#)),
        [("a\"", "\"\\/\u{8}\u{c}\n\r\té€😀\0é")]
    );
}

#[test]
fn wrong_strings() {
    for text in [
        r#""\ud83d""#,
        r#""\ud83dx""#,
        r#""\ud83d\u0041""#,
        r#""\ud83d\ud83d""#,
        r#""\ude00""#,
        r#""\ude00\ud83d""#,
        r#""\u12g4""#,
        r#""\u123""#,
        r#""\x""#,
        r#""\""#,
        r#"""""#,
        r#"'a'"#,
        "\"\n\"",
        "\"\u{1f}\"",
        "\"\0\"",
    ] {
        let text = frame(&format!(r#"{{"a":{text}}}"#));
        assert_eq!(read(&text), frame_refusal(RefusalKind::Malformed), "{text}");
    }
}

#[test]
fn wrong_scalars() {
    for text in [
        "01",
        "+1",
        "1.",
        ".5",
        "1e",
        "1e+",
        "-",
        "--1",
        "0x1",
        "1_0",
        "tru",
        "trueX",
        "True",
        "nul",
        "NaN",
        "Infinity",
        "1 2",
        "undefined",
        "",
        "[1,]",
        "[,1]",
        "[1 2]",
        "[1",
        "[tru@e]",
        "{",
        "{,}",
        r#"{"a"}"#,
        r#"{"a":}"#,
        r#"{"a":1,}"#,
        r#"{a:1}"#,
        r#"{"a":1;}"#,
        r#"{1:2}"#,
    ] {
        let text = frame(&format!(r#"{{"a":{text}}}"#));
        assert_eq!(read(&text), frame_refusal(RefusalKind::Malformed), "{text}");
    }
}

#[test]
fn wrong_bodies() {
    for text in ["{} x", "{}{}", "[]", "\"a\"", "1", "}", "{\"a\":1", "\u{feff}{}", "{\u{a0}}", "{}\0"] {
        assert_eq!(read(frame(text)), frame_refusal(RefusalKind::Malformed), "{text}");
    }
    let mut bytes = frame(r#"{"a":"b"}"#).into_bytes();
    let place = bytes.iter().position(|byte| *byte == b'b').unwrap();
    bytes[place] = 0xc3;
    assert_eq!(read(bytes), frame_refusal(RefusalKind::Encoding));
}

#[test]
fn nested_objects_are_flattened_and_the_outermost_wins() {
    assert_eq!(
        parameters(frame(r#"{"deep":{"a":"inner","b":{"c":1,"a":2}},"e":{},"a":"outer"}"#)),
        [("a", "outer"), ("c", "1")]
    );
    assert_eq!(parameters(frame(r#"{"x":{"a":1},"y":{"a":2}}"#)), [("a", "1")]);
}

#[test]
fn arrays_are_their_text() {
    assert_eq!(
        parameters(frame(r#"{"a":[1, "\n", {"b":[]}],"c":"d"}"#)),
        [("a", r#"[1, "\n", {"b":[]}]"#), ("c", "d")]
    );
}

#[test]
fn same_key_twice() {
    for text in [
        r#"{"a":1,"a":1}"#,
        r#"{"a":1,"b":{"c":1},"\u0061":2}"#,
        r#"{"b":{"a":1,"a":2}}"#,
        r#"{"b":[{"a":{"x":1},"c":0,"a":2}]}"#,
        r#"{"\ud83d\ude00":1,"😀":2}"#,
        r#"{"a":{},"a":[]}"#,
    ] {
        assert_eq!(read(frame(text)), frame_refusal(RefusalKind::DuplicateKey), "{text}");
    }
    for text in [r#"{"a":1,"A":1,"":1}"#, r#"{"a":[{"a":1},{"a":1}],"b":[[{"a":1}]]}"#] {
        assert!(read(frame(text)).is_ok(), "{text}");
    }
}

#[test]
fn depth_limit() {
    let nested = |depth: usize, open: &str, close: &str| {
        frame(&format!(r#"{{"a":{}1{}}}"#, open.repeat(depth - 1), close.repeat(depth - 1)))
    };
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        assert!(read(nested(limits::JSON_DEPTH, open, close)).is_ok());
        assert_eq!(read(nested(limits::JSON_DEPTH + 1, open, close)), frame_refusal(RefusalKind::TooDeep));
    }
    assert_eq!(read(frame(&"{\"a\":".repeat(20_000))), frame_refusal(RefusalKind::TooDeep));
}

#[test]
fn parameters_limit() {
    let body = |count: usize| {
        let members: Vec<String> = (0..count).map(|at| format!(r#""k{at}":{at}"#)).collect();
        format!("{{{}}}", members.join(","))
    };
    assert_eq!(call(frame(&body(limits::PARAMETERS))).call.parameters.len(), limits::PARAMETERS);
    for count in [limits::PARAMETERS + 1, limits::PARAMETERS + 17, 5000] {
        assert_eq!(read(frame(&body(count))), frame_refusal(RefusalKind::TooManyParameters));
    }
    let array = format!(r#"{{"a":[{}]}}"#, body(5000));
    assert_eq!(read(frame(&array)), frame_refusal(RefusalKind::TooManyParameters));
}

#[test]
fn parameters_full_and_duplicate() {
    let names: Vec<String> = (0..limits::PARAMETERS).map(|at| at.to_string()).collect();
    let mut parameters = Parameters::default();
    for name in &names {
        assert_eq!(parameters.insert(name, "v"), Ok(()));
    }
    assert_eq!(parameters.insert("0", "w"), Err(ParameterError::Duplicate));
    assert_eq!(parameters.insert("more", "w"), Err(ParameterError::Full));
    assert_eq!(parameters.get("0"), Some("v"));
    assert_eq!(parameters.get("more"), None);
}
