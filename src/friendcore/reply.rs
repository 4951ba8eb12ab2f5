//! Whole messages of the server: outcomes of calls, answers that have no content, notices and pushes.
//!
//! They equal those of Friend Core to the byte, spaces included, with one difference: text of a client that
//! is sent back is escaped. All functions fail only for lack of room, with [`Full`].

use core::fmt;

use super::lines::put_lines;
use super::{Form, Refusal, content, failure};
use crate::call::{Failure, Outcome, ServiceLog};
use crate::json::{Full, Writer};
use crate::limits::FILE_PATH_BYTES;
use crate::service::{Check, CheckStatus, Event, START_OUTPUT_BYTES, State};
use crate::session::PRESENTED_SESSION_BYTES;

/// End of a `response`.
const END: &str = "}}";
/// Longest content that is neither JSON nor HTML: a failure with a session id or the last lines of a program,
/// each byte escaped.
const TEXT_BYTES: usize = 6 * longer(PRESENTED_SESSION_BYTES, START_OUTPUT_BYTES + FILE_PATH_BYTES) + 512;

const fn longer(a: usize, b: usize) -> usize {
    if a > b { a } else { b }
}

/// Returns true if a call of this form is answered with a message.
pub fn is_sent(form: Form, outcome: &Outcome<'_>) -> bool {
    match outcome {
        // Friend Core does not answer these.
        Outcome::LoggedOut => form != Form::Envelope,
        Outcome::Failed(Failure::UnknownLibrary) => form != Form::Frame,
        Outcome::AtCapacity | Outcome::Pending(_) => false,
        _ => true,
    }
}

/// HTTP status of the response to a call.
pub fn http_status(outcome: &Outcome<'_>) -> u16 {
    match outcome {
        Outcome::Failed(failure) => failure::http_status(*failure),
        _ => 200,
    }
}

/// Answers a call over HTTP or in the frame form with the content of its outcome, and one in the envelope
/// form with a `response` around it. The envelope contains JSON content as it is, and other content as a
/// string. With `may_cut`, the output of a command or a service is cut to fit.
pub fn outcome(
    out: &mut Writer<'_>,
    form: Form,
    request_id: Option<&str>,
    outcome: &Outcome<'_>,
    may_cut: bool,
) -> Result<(), Full> {
    if form != Form::Envelope {
        return content::write(out, form, outcome, may_cut.then_some(0));
    }
    // Calls of this form without an id are events, which are not answered.
    let request_id = request_id.unwrap_or_default();
    if let Outcome::Failed(Failure::UnknownLibrary) = outcome {
        return unknown_library(out, request_id);
    }
    let is_json = content::kind(outcome) == content::Kind::Json;
    // Friend Core writes this space, and no other.
    out.put(r#"{"type":"msg","data":{"#)?;
    out.put(if is_json { " " } else { "" })?;
    out.put(r#""type":"response","requestid":"#)?;
    out.put_text(request_id)?;
    out.put(r#","data":"#)?;
    match outcome {
        _ if is_json => content::write(out, form, outcome, may_cut.then_some(END.len()))?,
        Outcome::WebGui(html) => out.put_string(html)?,
        _ => {
            let mut buffer = [0; TEXT_BYTES];
            let mut text = Writer::new(&mut buffer);
            content::write(&mut text, form, outcome, None)?;
            let text = text.finish()?;
            debug_assert!(text.is_ascii() || str::from_utf8(text).is_ok());
            out.put_string(str::from_utf8(text).map_err(|_| Full)?)?;
        }
    }
    out.put(END)
}

/// Answers a request of the envelope form whose path names another library.
fn unknown_library(out: &mut Writer<'_>, request_id: &str) -> Result<(), Full> {
    out.put(r#"{"type":"msg","data":{"type":"response","requestid":"#)?;
    out.put_string(request_id)?;
    out.put(r#","data":{"response":"Cannot parse command or not existing lib was called"}}}"#)
}

/// Answers a broken envelope.
pub fn parse_error(out: &mut Writer<'_>, request_id: Option<&str>) -> Result<(), Full> {
    out.put(r#"{"type":"msg","data":{"type":"error","data":{"requestid":"#)?;
    // C's printf writes this for a null pointer, so clients of Friend Core know it.
    out.put_string(request_id.unwrap_or("(null)"))?;
    out.put("}}}")
}

/// Answers a broken frame, with the leading space of Friend Core.
pub fn frame_refused(out: &mut Writer<'_>) -> Result<(), Full> {
    out.put(r#" { "ErrorMessage":"Request do not contain required data" }"#)
}

/// Answers a message that [`decode`](super::decode) refused, in its form.
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

/// Answers a ping; `echo` is its value.
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

/// Notifies the client; the desktop knows `session killed` and `session timeout`.
pub fn notice(out: &mut Writer<'_>, text: impl fmt::Display) -> Result<(), Full> {
    out.put(r#"{"type":"msg","data":{"type":"server-notice","data":"#)?;
    out.put_string(text)?;
    out.put("}}")
}

/// Change of a service, as a push reports it.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a, R> {
    /// Name of the service.
    pub service: &'a str,
    /// New state.
    pub state: State,
    /// Process id of the leader; 0 without a leader.
    pub pid: u32,
    /// Exit or failed start that caused the change, in words.
    pub reason: Option<R>,
    /// Newest lines of the service; empty: not part of the push.
    pub output: &'a [u8],
}

/// Notifies the client that a service changed its state.
pub fn service_change(out: &mut Writer<'_>, change: &Change<'_, impl fmt::Display>) -> Result<(), Full> {
    out.put(r#"{"type":"msg","data":{"type":"service-change","data":{"service":"#)?;
    out.put_text(change.service)?;
    out.put(r#","state":"#)?;
    out.put_text(change.state.word())?;
    out.put(r#","pid":"#)?;
    out.put_number(change.pid)?;
    if let Some(reason) = &change.reason {
        out.put(r#","reason":"#)?;
        out.put_string(reason)?;
    }
    if !change.output.is_empty() {
        out.put(r#","output":["#)?;
        put_lines(out, change.output)?;
        out.put("]")?;
    }
    out.put("}}}")
}

/// Notifies the client that a health check changed its state.
pub fn check_change(
    out: &mut Writer<'_>,
    check: &Check,
    service: Option<&str>,
    status: CheckStatus,
) -> Result<(), Full> {
    out.put(r#"{"type":"msg","data":{"type":"check-change","data":{"check":"#)?;
    out.put_text(&check.name)?;
    if let Some(service) = service {
        out.put(r#","service":"#)?;
        out.put_text(service)?;
    }
    out.put(r#","state":"#)?;
    out.put_text(status.state.word())?;
    if let Some(error) = status.error {
        out.put(r#","error":"#)?;
        out.put_string(error)?;
    }
    out.put("}}}")
}

/// Notifies the client of all events of a service, after one has changed.
pub fn service_events<'a>(
    out: &mut Writer<'_>,
    service: &str,
    events: impl Iterator<Item = &'a Event>,
) -> Result<(), Full> {
    out.put(r#"{"type":"msg","data":{"type":"service-events","data":{"service":"#)?;
    out.put_text(service)?;
    out.put(r#","events":["#)?;
    let mut separator = r#"{"key":"#;
    for event in events {
        out.put(separator)?;
        separator = r#",{"key":"#;
        out.put_text(event.key())?;
        out.put(r#","value":"#)?;
        out.put_text(event.value())?;
        out.put("}")?;
    }
    out.put("]}}}")
}

/// Pushes output of a service to a socket that follows it.
pub fn service_log(out: &mut Writer<'_>, service: &str, log: &ServiceLog<'_>) -> Result<(), Full> {
    out.put(r#"{"type":"msg","data":{"type":"service-log","data":{"service":"#)?;
    out.put_text(service)?;
    let ServiceLog { from, next, lost, output } = log;
    out.put_display(format_args!(r#","from":{from},"next":{next},"lost":{lost},"lines":["#))?;
    put_lines(out, output)?;
    out.put("]}}}")
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::super::RefusalKind;
    use super::*;
    use crate::json;
    use crate::service::{ServiceId, StatusText};

    fn written(write: impl FnOnce(&mut Writer<'_>) -> Result<(), Full>) -> String {
        let mut buffer = [0; 1024];
        let mut out = Writer::new(&mut buffer);
        write(&mut out).unwrap();
        String::from_utf8(out.finish().unwrap().to_vec()).unwrap()
    }

    fn response(request_id: &str, outcome_: &Outcome<'_>) -> String {
        written(|out| outcome(out, Form::Envelope, Some(request_id), outcome_, false))
    }

    #[test]
    fn response_with_json() {
        assert_eq!(
            response("fconn-req-onn36w7r-z5j4jjrw-mimqbd4x", &Outcome::Done),
            r#"{"type":"msg","data":{ "type":"response","requestid":"fconn-req-onn36w7r-z5j4jjrw-mimqbd4x","data":{ "Status": "ok"}}}"#
        );
        assert_eq!(
            response("R", &Outcome::WebGui("[1]")),
            r#"{"type":"msg","data":{ "type":"response","requestid":"R","data":[1]}}"#
        );
    }

    #[test]
    fn response_with_text() {
        assert_eq!(
            response("R", &Outcome::Failed(Failure::NoServiceName)),
            r#"{"type":"msg","data":{"type":"response","requestid":"R","data":"fail<!--separate-->{ \"response\": \"Service not found or service name parameter is missing!\", \"code\":\"20\" }"}}"#
        );
        assert_eq!(
            response("R", &Outcome::WebGui("")),
            r#"{"type":"msg","data":{"type":"response","requestid":"R","data":""}}"#
        );
    }

    #[test]
    fn response_with_text_that_begins_like_json() {
        for content in ["{", "{}}", "{\"a\":1,}", "[1 2]", "{\"a\":\"\n\"}"] {
            let text = response("R", &Outcome::WebGui(content));
            assert!(json::is_valid(&text), "{text}");
            assert!(text.starts_with(r#"{"type":"msg","data":{"type""#), "{text}");
        }
    }

    #[test]
    fn longest_text_fits() {
        let given = "\u{1}".repeat(PRESENTED_SESSION_BYTES);
        let mut buffer = vec![0; 60 * PRESENTED_SESSION_BYTES];
        let mut out = Writer::new(&mut buffer);
        let failure = Outcome::Failed(Failure::UnknownSession { given: &given });
        outcome(&mut out, Form::Envelope, Some("R"), &failure, false).unwrap();
        assert!(json::is_valid(str::from_utf8(out.finish().unwrap()).unwrap()));
    }

    #[test]
    fn request_id_is_escaped() {
        assert_eq!(
            response("\"},\n", &Outcome::WebGui("[]")),
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
    fn notices_and_pushes() {
        let started =
            Change { service: "hello", state: State::Started, pid: 1234, reason: None::<&str>, output: b"" };
        assert_eq!(
            written(|out| notice(out, "session killed")),
            r#"{"type":"msg","data":{"type":"server-notice","data":"session killed"}}"#
        );
        assert_eq!(
            written(|out| service_change(out, &started)),
            r#"{"type":"msg","data":{"type":"service-change","data":{"service":"hello","state":"started","pid":1234}}}"#
        );
        let (state, pid, reason) = (State::Failed, 0, Some("cannot start /bin/\"x\""));
        let failed = Change { state, pid, reason, output: b"a\n\x1bb\n", ..started };
        assert_eq!(
            written(|out| service_change(out, &failed)),
            concat!(
                r#"{"type":"msg","data":{"type":"service-change","data":{"service":"hello","state":"failed","pid":0"#,
                r#","reason":"cannot start /bin/\"x\"","output":["a",""#,
                "\u{FFFD}b\"]}}}"
            )
        );
        let events = ["door=open", "lamp=\"\u{9b}<b>"].map(|text| Event {
            service: ServiceId::from_index(0).unwrap(),
            text: StatusText::new(text),
            at: Duration::ZERO,
            until: None,
            changes: 1,
            is_sent: true,
        });
        assert_eq!(
            written(|out| service_events(out, "hello", events.iter())),
            concat!(
                r#"{"type":"msg","data":{"type":"service-events","data":{"service":"hello","events":"#,
                r#"[{"key":"door","value":"open"},{"key":"lamp","value":"\" <b>"}]}}}"#
            )
        );
        let log = ServiceLog { from: 7, next: 13, lost: 2, output: b"a\n\x1b\xff\n" };
        assert_eq!(
            written(|out| service_log(out, "hello", &log)),
            "{\"type\":\"msg\",\"data\":{\"type\":\"service-log\",\"data\":{\"service\":\"hello\",\"from\":7,\"next\":13,\"lost\":2,\"lines\":[\"a\",\"\u{FFFD}\u{FFFD}\"]}}}"
        );
    }
}
