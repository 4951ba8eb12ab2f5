//! Messages of clients, on literals: each example of the protocol's documentation first.

mod bodies;
mod envelopes;
mod frames;

use proptest::prelude::*;

use super::*;
use crate::call::Outcome;
use crate::json::Writer;
use crate::limits;

const SESSION: &str = "8ed922535bc7cb2de39dc9bdafef502e2e20b986";

/// Decodes a copy of `text` that lives as long as the test.
fn read(text: impl AsRef<[u8]>) -> Result<Message<'static>, Refusal<'static>> {
    decode(Box::leak(text.as_ref().to_vec().into_boxed_slice()), Box::leak(Box::default()))
}

fn request(
    form: Form,
    path: &'static str,
    pairs: &[(&'static str, &'static str)],
    request_id: Option<&'static str>,
    session: Option<&'static str>,
) -> Request<'static> {
    let mut parameters = Parameters::default();
    for (key, value) in pairs {
        parameters.insert(key, value).unwrap();
    }
    let call = Call { path, parameters: Box::leak(Box::new(parameters)), session };
    Request { form, request_id, call }
}

fn call(text: impl AsRef<[u8]>) -> Request<'static> {
    match read(text) {
        Ok(Message::Call(request)) => request,
        other => panic!("{other:?}"),
    }
}

fn frame(body: &str) -> String {
    format!("<!--\"MSG\"--\"1\"--\"system.library/x\"-->{body}<--!>")
}

fn envelope(members: &str) -> String {
    format!(r#"{{"type":"msg","data":{{"type":"request","requestid":"r","path":"p",{members}}}}}"#)
}

fn parameters(text: impl AsRef<[u8]>) -> Vec<(&'static str, &'static str)> {
    call(text).call.parameters.iter().collect()
}

fn frame_refusal(kind: RefusalKind) -> Result<Message<'static>, Refusal<'static>> {
    Err(Refusal { form: Form::Frame, request_id: None, kind })
}

fn refusal(
    request_id: Option<&'static str>,
    kind: RefusalKind,
) -> Result<Message<'static>, Refusal<'static>> {
    Err(Refusal { form: Form::Envelope, request_id, kind })
}

/// Writes `text` as a JSON string the way a client might: every character as an escape, or as few as
/// there have to be.
fn json_string(text: &str, escape_all: bool) -> String {
    if escape_all {
        let units: Vec<u16> = text.encode_utf16().collect();
        let escapes: String = units.iter().map(|unit| format!("\\u{unit:04x}")).collect();
        return format!("\"{escapes}\"");
    }
    let mut buffer = vec![0; 6 * text.len() + 2];
    let mut out = Writer::new(&mut buffer);
    out.put_string(text).unwrap();
    String::from_utf8(out.finish().unwrap().to_vec()).unwrap()
}

proptest! {
    #[test]
    fn any_bytes_do_not_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode(&mut bytes, &mut Scratch::default());
        bytes.insert(0, b'{');
        let _ = decode(&mut bytes, &mut Scratch::default());
    }

    #[test]
    fn near_messages_do_not_panic(
        at in any::<prop::sample::Index>(),
        cut in any::<prop::sample::Index>(),
        byte in prop_oneof![any::<u8>(), prop::sample::select(&b"{}[]\",:\\u0 -<>!"[..])],
        which in 0..4usize,
    ) {
        let mut bytes = [
            r#"{"type":"msg","data":{"type":"request","requestid":"r\u00e9\ud83d\ude00","path":"p","data":{"a":[1,{"b":2}],"c":{"d":"\n"}},"sessionid":"s"}}"#,
            r#"<!--"MSG"--"760"--"system.library/services/start"-->{ "serviceName":"h\tello", "x":{"sessionid":"8e"} }<--!>"#,
            r#"{"type":"con","data":{"type":"chunk","data":{"id":"x","part":0,"total":"2","data":"eyJ0"}}}"#,
            r#"{"id":0,"req":{"cmd":"ping"}}"#,
        ][which].as_bytes().to_vec();
        let place = at.index(bytes.len());
        bytes[place] = byte;
        bytes.truncate(cut.index(bytes.len()).max(place) + 1);
        let copy = bytes.clone();
        if let Err(refusal) = decode(&mut bytes, &mut Scratch::default()) {
            let mut buffer = [0; 2048];
            let mut out = Writer::new(&mut buffer);
            reply::refused(&mut out, &refusal).unwrap();
            let text = core::str::from_utf8(out.finish().unwrap()).unwrap();
            prop_assert!(json::is_valid(text), "{} for {:?}", text, copy);
        }
    }

    #[test]
    fn plain_bytes_end_at_the_first_special_byte(bytes in proptest::collection::vec(
        prop_oneof![4 => any::<u8>(), 1 => prop::sample::select(&b"\"\\\0\x1f\x20\x21\x7f\x80\xff"[..])],
        0..40,
    )) {
        let special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..=0x1f);
        prop_assert_eq!(json::plain(&bytes), bytes.iter().position(special).unwrap_or(bytes.len()));
        let calm: Vec<u8> = bytes.iter().map(|byte| if special(byte) { b'x' } else { *byte }).collect();
        prop_assert_eq!(json::plain(&calm), calm.len());
    }

    #[test]
    fn keys_are_compared_by_their_content(
        key in any::<String>(),
        other in any::<String>(),
        one_escaped in any::<bool>(),
        other_escaped in any::<bool>(),
    ) {
        let body = |other: &str| {
            format!("{{{}:1,{}:2}}", json_string(&key, one_escaped), json_string(other, other_escaped))
        };
        let is_twice = |body: String| read(frame(&body)) == frame_refusal(RefusalKind::DuplicateKey);
        prop_assert!(is_twice(body(&key)));
        prop_assert_eq!(is_twice(body(&other)), key == other);
    }

    #[test]
    fn a_ping_in_any_form_is_the_same(number in "0|[1-9][0-9]{0,40}", space in "[ \n]{0,2}") {
        let usual = format!(r#"{{"type":"con","data":{{"type":"ping","data":{number}}}}}"#);
        let other = format!(r#"{{"type":"con",{space}"data":{{"data":{number},"type":"ping"}}}}{space}"#);
        prop_assert_eq!(read(usual), read(other));
    }

    #[test]
    fn strings_come_back(
        text in any::<String>(),
        key in "[a-z]{1,8}",
        escape_all in any::<bool>(),
    ) {
        let body = format!("{{{}:{}}}", json_string(&key, escape_all), json_string(&text, escape_all));
        let mut message = frame(&body).into_bytes();
        let mut scratch = Scratch::default();
        let Ok(Message::Call(request)) = decode(&mut message, &mut scratch) else {
            return Err(TestCaseError::fail(body));
        };
        prop_assert_eq!(request.call.parameters.get(&key), Some(&*text));
    }

    #[test]
    fn responses_are_json_and_contain_their_content(
        id in proptest::collection::vec(any::<char>(), 0..limits::REQUEST_ID_BYTES / 4),
        content in any::<String>(),
        opening in prop::sample::select(&["", "{", "[", "{}", "[]"][..]),
    ) {
        let id: String = id.into_iter().collect();
        let content = format!("{opening}{content}");
        let mut buffer = vec![0; 6 * (id.len() + content.len()) + 256];
        let mut out = Writer::new(&mut buffer);
        let outcome = Outcome::WebGui(&content);
        reply::outcome(&mut out, Form::Envelope, Some(&id), &outcome, false).unwrap();
        let text = core::str::from_utf8(out.finish().unwrap()).unwrap();
        prop_assert!(json::is_valid(text), "{}", text);
        // A response has a request's shape but for the path, and so can be read back as an event.
        let mut event = text.replacen(r#""type":"response""#, r#""type":"event","path":"p""#, 1).into_bytes();
        let mut scratch = Scratch::default();
        let Ok(Message::Event(request)) = decode(&mut event, &mut scratch) else {
            return Err(TestCaseError::fail(content));
        };
        if !json::is_valid(&content) {
            prop_assert_eq!(request.call.parameters.get("data"), Some(&*content));
        }
    }
}
