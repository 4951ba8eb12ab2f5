//! The messages that are measured.

use std::borrow::Cow;

use base64::prelude::{BASE64_STANDARD as BASE64, Engine as _};

/// Session id of the load: a token of an administrator. Its SHA-256 is in the configuration file.
pub(super) const SESSION: &str = "8ed922535bc7cb2de39dc9bdafef502e2e20b986";

/// A message, and a part of its answer.
#[derive(Clone, Debug)]
pub(super) struct Message {
    /// Name in the tables.
    pub(super) name: &'static str,
    /// One frame a line. `SESSION` stands for the session id.
    text: Cow<'static, str>,
    /// Text that every answer contains.
    pub(super) answer: &'static str,
}

impl Message {
    const fn new(name: &'static str, text: &'static str, answer: &'static str) -> Self {
        Self { name, text: Cow::Borrowed(text), answer }
    }

    /// The frames, one a line.
    pub(super) fn text(&self) -> String {
        self.text.replace("SESSION", SESSION)
    }
}

/// As a browser writes it: friendlet recognises it by its bytes. Its pong is two bytes longer; an echo
/// sends the 58 bytes back.
pub(super) static PING: Message = Message::new(
    "ping",
    r#"{"type":"con","data":{"type":"ping","data":1795374850306}}"#,
    r#""data":{"type":"p"#,
);
/// One space more, so that friendlet parses it as it does every other message.
pub(super) static PARSED_PING: Message = Message::new(
    "ping, parsed",
    r#"{"type":"con","data":{"type":"ping", "data":1795374850306}}"#,
    r#""data":{"type":"p"#,
);
/// In the form of the envelope.
pub(super) static STATUS: Message = Message::new(
    "status",
    r#"{"type":"msg","data":{"type":"request","requestid":"fconn-req-onn36w7r-z5j4jjrw-mimqbd4x","path":"system.library/services/hello/status","data":{},"sessionid":"SESSION"}}"#,
    r#""data":{ "Status""#,
);
/// Two changes of a service: it stops, and it starts. The last of their pushes is expected.
pub(super) static RESTART: Message = Message::new(
    "restart",
    r#"{"type":"msg","data":{"type":"event","path":"system.library/services/hello/restart","data":{},"sessionid":"SESSION"}}"#,
    r#""state":"started""#,
);
/// Calls in both forms. The service runs when it is started: the first start does it.
pub(super) static CALLS: [&Message; 4] = [
    &STATUS,
    &Message::new(
        "status, frame",
        r#"<!--"MSG"--"81"--"system.library/services/status"-->{ "serviceName":"hello", "sessionid":"SESSION" }<--!>"#,
        r#"{ "Status""#,
    ),
    &Message::new(
        "start of a running service",
        r#"{"type":"msg","data":{"type":"request","requestid":"fconn-req-onn36w7r-z5j4jjrw-mimqbd4x","path":"system.library/services/hello/start","data":{},"sessionid":"SESSION"}}"#,
        r#""data":{ "Status": "ok"}"#,
    ),
    &Message::new(
        "start of a running service, frame",
        r#"<!--"MSG"--"81"--"system.library/services/start"-->{ "serviceName":"hello", "sessionid":"SESSION" }<--!>"#,
        r#"{ "Status": "ok"}"#,
    ),
];

/// A status call of so many bytes in two chunks, cut as Friend Core's desktop cuts it.
pub(super) fn chunked(bytes: usize) -> Message {
    let (head, tail) = STATUS.text.split_once("{},").unwrap_or_default();
    let (head, tail) =
        (format!("{head}{{\"filler\":\""), format!("\"}},{}", tail.replace("SESSION", SESSION)));
    let filler = "x".repeat(bytes.saturating_sub(head.len() + tail.len()));
    let encoded = BASE64.encode(format!("{head}{filler}{tail}").as_bytes());
    let (first, second) = encoded.split_at(encoded.len() / 2);
    let part = |number: u8, data: &str| {
        format!(
            r#"{{"type":"con","data":{{"type":"chunk","data":{{"id":"c","total":"2","part":"{number}","data":"{data}"}}}}}}"#
        )
    };
    let text = Cow::Owned(format!("{}\n{}", part(0, first), part(1, second)));
    Message { name: "status, chunked", text, answer: STATUS.answer }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunked_message_has_its_size_and_two_frames() {
        let message = chunked(3000);
        let parts: Vec<&str> = message.text.lines().map(|line| line.rsplit('"').nth(1).unwrap()).collect();
        assert_eq!(parts.len(), 2);
        let text = BASE64.decode(parts.concat()).unwrap();
        assert_eq!(text.len(), 3000);
        assert!(text.starts_with(br#"{"type":"msg","#) && text.ends_with(b"\"}}"));
        assert!(String::from_utf8(text).unwrap().contains(SESSION));
    }
}
