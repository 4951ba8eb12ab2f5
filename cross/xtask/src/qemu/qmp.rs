//! QMP, QEMU's control: one JSON object a line.

use std::time::Duration;

use serde_json::Value;

/// Message of QEMU.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Message {
    /// It is there.
    Greeting,
    /// A command is done.
    Done,
    /// A command is refused, with QEMU's reason.
    Refused(String),
    /// Something happened: its name, and the member `reason` or `action` of its data.
    Event(String, String),
}

/// Something that happened in a guest.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Event {
    /// QEMU's name: `SHUTDOWN`, `RESET`, `WATCHDOG`.
    pub(crate) name: String,
    /// Reason: `guest-shutdown`, `guest-reset`, `host-qmp-quit`; a watchdog's action.
    pub(crate) reason: String,
    /// Time since the guest's start.
    pub(crate) at: Duration,
}

/// Reads one line.
pub(crate) fn message(line: &str) -> Result<Message, String> {
    let value: Value = serde_json::from_str(line).map_err(|error| format!("QEMU said '{line}': {error}"))?;
    if value.get("QMP").is_some() {
        return Ok(Message::Greeting);
    }
    if value.get("return").is_some() {
        return Ok(Message::Done);
    }
    if let Some(error) = value.get("error") {
        let text = error.get("desc").and_then(Value::as_str);
        return Ok(Message::Refused(text.unwrap_or("for no reason").to_owned()));
    }
    let name = value.get("event").and_then(Value::as_str);
    let name = name.ok_or_else(|| format!("QEMU said '{line}', which is nothing of QMP"))?;
    let data = value.get("data");
    let reason = ["reason", "action"].iter().find_map(|key| data?.get(key)?.as_str());
    Ok(Message::Event(name.to_owned(), reason.unwrap_or_default().to_owned()))
}

/// A command, as QEMU takes it; `arguments` is an object.
pub(crate) fn command(name: &str, arguments: &Value) -> String {
    format!("{{\"execute\":\"{name}\",\"arguments\":{arguments}}}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_qemu_are_understood() {
        for (line, expected) in [
            (r#"{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}}}}"#, Message::Greeting),
            (r#"{"return": {}}"#, Message::Done),
            (r#"{"error": {"class": "CommandNotFound", "desc": "no"}}"#, Message::Refused("no".to_owned())),
            (
                r#"{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-shutdown"}}"#,
                Message::Event("SHUTDOWN".to_owned(), "guest-shutdown".to_owned()),
            ),
            (
                r#"{"event": "WATCHDOG", "data": {"action": "reset"}}"#,
                Message::Event("WATCHDOG".to_owned(), "reset".to_owned()),
            ),
            (r#"{"event": "RESUME"}"#, Message::Event("RESUME".to_owned(), String::new())),
        ] {
            assert_eq!(message(line).as_ref(), Ok(&expected), "{line}");
        }
        assert!(message("qemu: oh").unwrap_err().contains("qemu: oh"));
        assert!(message("{\"x\": 1}").is_err());
        let text = command("balloon", &serde_json::json!({ "value": 7 }));
        assert_eq!(text, "{\"execute\":\"balloon\",\"arguments\":{\"value\":7}}\n");
    }
}
