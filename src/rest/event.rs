//! Pushes as server-sent events.

/// Resource of the stream of events.
pub const EVENTS: &str = "events";

/// Makes an event (HTML, 9.2.6) of a push `{"type":"msg","data":{"type":NAME,"data":CONTENT}}`, the first `length` bytes
/// of `room`. Its type is the name, its data are the content; it is shorter than the push and takes its place. Returns
/// its length, and `None` for another text.
pub fn event(room: &mut [u8], length: usize) -> Option<usize> {
    const BEFORE: &[u8] = br#"{"type":"msg","data":{"type":""#;
    const BETWEEN: &[u8] = br#"","data":"#;
    let rest = room.get(..length)?.strip_prefix(BEFORE)?.strip_suffix(b"}}")?;
    let name = rest.iter().position(|byte| *byte == b'"')?;
    let content = rest.get(name..)?.strip_prefix(BETWEEN)?.len();
    let content_at = BEFORE.len() + name + BETWEEN.len();
    let name_at = BEFORE.len();
    let end = put(room, 0, b"event: ")?;
    room.copy_within(name_at..name_at + name, end);
    let end = put(room, end + name, b"\ndata: ")?;
    room.copy_within(content_at..content_at + content, end);
    put(room, end + content, b"\n\n")
}

/// Puts a text at a position; returns its end.
fn put(room: &mut [u8], at: usize, text: &[u8]) -> Option<usize> {
    let end = at + text.len();
    room.get_mut(at..end)?.copy_from_slice(text);
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn push_becomes_an_event_and_other_texts_do_not() {
        let made = |text: &str| {
            let mut room = [b'x'; 128];
            room[..text.len()].copy_from_slice(text.as_bytes());
            let length = event(&mut room, text.len())?;
            Some(String::from_utf8(room[..length].to_vec()).unwrap())
        };
        let push = r#"{"type":"msg","data":{"type":"service-change","data":{"service":"a\"b","pid":1}}}"#;
        let event = "event: service-change\ndata: {\"service\":\"a\\\"b\",\"pid\":1}\n\n";
        assert_eq!(made(push).as_deref(), Some(event));
        let notice = r#"{"type":"msg","data":{"type":"server-notice","data":"session killed"}}"#;
        assert_eq!(made(notice).as_deref(), Some("event: server-notice\ndata: \"session killed\"\n\n"));
        for other in ["", "{}", r#"{"type":"con","data":{"type":"pong","data":"s"}}"#] {
            assert_eq!(made(other), None, "{other}");
        }
    }
}
