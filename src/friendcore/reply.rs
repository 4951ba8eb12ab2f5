//! Whole messages of the server: the envelope around a reply's content, answers that have no content,
//! and what is told unasked.
//!
//! To the byte as Friend Core writes them, spaces included, with one difference: what a client sent and
//! is told again is escaped. All of these fail only for want of room, with [`Full`].

use core::fmt;

use super::{Form, Refusal};
use crate::json::{self, Full, Writer};

/// Answers a request of the envelope form. `content` that is a JSON object or array goes in as it is,
/// other text as a string; so does text that begins like JSON and is none. Whether it is has to be looked
/// at only where the content is not `own`, made by [`content`](super::content) alone.
pub fn response(out: &mut Writer<'_>, request_id: &str, content: &str, own: bool) -> Result<(), Full> {
    let is_json = matches!(content.as_bytes(), [b'{' | b'[', ..]) && (own || json::is_valid(content));
    // The space is where Friend Core has it, and only there.
    out.put(r#"{"type":"msg","data":{"#)?;
    out.put(if is_json { " " } else { "" })?;
    out.put(r#""type":"response","requestid":"#)?;
    out.put_text(request_id)?;
    out.put(r#","data":"#)?;
    if is_json {
        out.put(content)?;
    } else {
        out.put_string(content)?;
    }
    out.put("}}")
}

/// Answers a request of the envelope form whose path names no library that is here.
pub fn unknown_library(out: &mut Writer<'_>, request_id: &str) -> Result<(), Full> {
    out.put(r#"{"type":"msg","data":{"type":"response","requestid":"#)?;
    out.put_string(request_id)?;
    out.put(r#","data":{"response":"Cannot parse command or not existing lib was called"}}}"#)
}

/// Answers a broken envelope.
pub fn parse_error(out: &mut Writer<'_>, request_id: Option<&str>) -> Result<(), Full> {
    out.put(r#"{"type":"msg","data":{"type":"error","data":{"requestid":"#)?;
    // What C's printf makes of no text; clients that know Friend Core know it.
    out.put_string(request_id.unwrap_or("(null)"))?;
    out.put("}}}")
}

/// Answers a broken frame, with the space in front that Friend Core has.
pub fn frame_refused(out: &mut Writer<'_>) -> Result<(), Full> {
    out.put(r#" { "ErrorMessage":"Request do not contain required data" }"#)
}

/// Answers a message that [`decode`](super::decode) refused, in the form it came in.
pub fn refused(out: &mut Writer<'_>, refusal: &Refusal<'_>) -> Result<(), Full> {
    match refusal.form {
        Form::Envelope => parse_error(out, refusal.request_id),
        Form::Frame | Form::Http => frame_refused(out),
    }
}

/// Answers a `con` that bound the socket to this session. The desktop waits for it.
pub fn bind_ok(out: &mut Writer<'_>, session: &str) -> Result<(), Full> {
    pong(out, session)
}

/// Answers a ping; `echo` is what the ping carried.
pub fn pong(out: &mut Writer<'_>, echo: &str) -> Result<(), Full> {
    out.put(r#"{"type":"con","data":{"type":"pong","data":"#)?;
    out.put_text(echo)?;
    out.put("}}")
}

/// Answers a [`LegacyPing`](super::Message::LegacyPing); `id` is the ping's, as JSON.
pub fn legacy_pong(out: &mut Writer<'_>, id: &str) -> Result<(), Full> {
    out.put(r#"{"id":"#)?;
    out.put(id)?;
    out.put(r#","resp":{"cmd":"pong"}}"#)
}

/// Tells something unasked: `session killed` and `session timeout` are what the desktop knows.
pub fn notice(out: &mut Writer<'_>, text: impl fmt::Display) -> Result<(), Full> {
    out.put(r#"{"type":"msg","data":{"type":"server-notice","data":"#)?;
    out.put_string(text)?;
    out.put("}}")
}

/// Tells that a service changed its state. `pid` is 0 when it has no process.
pub fn service_change(out: &mut Writer<'_>, service: &str, state: &str, pid: u32) -> Result<(), Full> {
    out.put(r#"{"type":"msg","data":{"type":"service-change","data":{"service":"#)?;
    out.put_string(service)?;
    out.put(r#","state":"#)?;
    out.put_string(state)?;
    out.put_display(format_args!(r#","pid":{pid}}}}}}}"#))
}

#[cfg(test)]
mod tests {
    use super::super::RefusalKind;
    use super::*;

    fn written(write: impl FnOnce(&mut Writer<'_>) -> Result<(), Full>) -> String {
        let mut buffer = [0; 1024];
        let mut out = Writer::new(&mut buffer);
        write(&mut out).unwrap();
        String::from_utf8(out.finish().unwrap().to_vec()).unwrap()
    }

    #[test]
    fn response_with_json() {
        assert_eq!(
            written(|out| response(
                out,
                "fconn-req-onn36w7r-z5j4jjrw-mimqbd4x",
                r#"{ "Status": "ok"}"#,
                true
            )),
            r#"{"type":"msg","data":{ "type":"response","requestid":"fconn-req-onn36w7r-z5j4jjrw-mimqbd4x","data":{ "Status": "ok"}}}"#
        );
        assert_eq!(
            written(|out| response(out, "R", "[1]", false)),
            r#"{"type":"msg","data":{ "type":"response","requestid":"R","data":[1]}}"#
        );
    }

    #[test]
    fn response_with_text() {
        assert_eq!(
            written(|out| response(
                out,
                "R",
                r#"fail<!--separate-->{ "response": "Service not found or service name parameter is missing!", "code":"20" }"#,
                true
            )),
            r#"{"type":"msg","data":{"type":"response","requestid":"R","data":"fail<!--separate-->{ \"response\": \"Service not found or service name parameter is missing!\", \"code\":\"20\" }"}}"#
        );
        assert_eq!(
            written(|out| response(out, "R", "", true)),
            r#"{"type":"msg","data":{"type":"response","requestid":"R","data":""}}"#
        );
    }

    #[test]
    fn response_with_what_only_looks_like_json() {
        for content in ["{", "{}}", "{\"a\":1,}", "[1 2]", "{\"a\":\"\n\"}"] {
            let text = written(|out| response(out, "R", content, false));
            assert!(json::is_valid(&text), "{text}");
            assert!(text.starts_with(r#"{"type":"msg","data":{"type""#), "{text}");
        }
    }

    #[test]
    fn request_id_is_escaped() {
        assert_eq!(
            written(|out| response(out, "\"},\n", "[]", true)),
            r#"{"type":"msg","data":{ "type":"response","requestid":"\"},\n","data":[]}}"#
        );
    }

    #[test]
    fn errors() {
        assert_eq!(
            written(|out| unknown_library(out, "R")),
            r#"{"type":"msg","data":{"type":"response","requestid":"R","data":{"response":"Cannot parse command or not existing lib was called"}}}"#
        );
        let refusal = |form, request_id| Refusal { form, request_id, kind: RefusalKind::Malformed };
        assert_eq!(
            written(|out| refused(out, &refusal(Form::Envelope, Some("r1")))),
            r#"{"type":"msg","data":{"type":"error","data":{"requestid":"r1"}}}"#
        );
        assert_eq!(
            written(|out| refused(out, &refusal(Form::Envelope, None))),
            r#"{"type":"msg","data":{"type":"error","data":{"requestid":"(null)"}}}"#
        );
        assert_eq!(
            written(|out| refused(out, &refusal(Form::Frame, None))),
            r#" { "ErrorMessage":"Request do not contain required data" }"#
        );
    }

    #[test]
    fn pongs() {
        assert_eq!(
            written(|out| bind_ok(out, "8ed922535bc7cb2de39dc9bdafef502e2e20b986")),
            r#"{"type":"con","data":{"type":"pong","data":"8ed922535bc7cb2de39dc9bdafef502e2e20b986"}}"#
        );
        assert_eq!(
            written(|out| pong(out, "1795374850306")),
            r#"{"type":"con","data":{"type":"pong","data":"1795374850306"}}"#
        );
        assert_eq!(
            written(|out| pong(out, "null")),
            r#"{"type":"con","data":{"type":"pong","data":"null"}}"#
        );
        assert_eq!(written(|out| legacy_pong(out, "0")), r#"{"id":0,"resp":{"cmd":"pong"}}"#);
    }

    #[test]
    fn unasked() {
        assert_eq!(
            written(|out| notice(out, "session killed")),
            r#"{"type":"msg","data":{"type":"server-notice","data":"session killed"}}"#
        );
        assert_eq!(
            written(|out| service_change(out, "hello", "started", 1234)),
            r#"{"type":"msg","data":{"type":"service-change","data":{"service":"hello","state":"started","pid":1234}}}"#
        );
    }
}
