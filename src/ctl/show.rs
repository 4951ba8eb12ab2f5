//! `show`: declaration, state and past ends of one service.

use super::client::{Invocation, connect};
use super::env::Env;
use super::failure::{FAILED, Failure};
use super::output::{Row, columns, sanitize, table};
use super::services::with_hint;
use super::values::{members, shown, shown_duration, shown_or, shown_state, text, text_of};
use crate::json::{Raw, ValueKind};

/// Heads of the table of past ends.
const ENDS_HEAD: [&str; 4] = ["ENDED", "RAN", "EXIT", "REASON"];

/// Prints everything about a service.
pub(super) fn run(invocation: &Invocation, env: &mut Env<'_>, service: &str) -> Result<u8, Failure> {
    let mut link = connect(invocation, env)?;
    let content = link
        .call("services/show", &[("serviceName", service)])
        .map_err(|failure| with_hint(&mut link, service, failure))?;
    env.print(&if invocation.json { format!("{content}\n") } else { readable(&content)? })?;
    Ok(0)
}

/// Text for the terminal: a line for each key, then the past ends.
fn readable(content: &str) -> Result<String, Failure> {
    let reply = Raw::parse(content).filter(|reply| reply.get("Command").is_some()).ok_or_else(|| {
        Failure::new(FAILED, "cannot read what the server shows of the service: its reply is malformed")
    })?;
    let ends: Vec<Row> = members(reply, "History").map(end).collect();
    let mut text = columns(&rows(reply));
    if !ends.is_empty() {
        text.push('\n');
        text += &table(&ENDS_HEAD, ends, None);
    }
    Ok(text)
}

/// Form of a value.
#[derive(Clone, Copy)]
enum Shape {
    Text,
    Seconds,
    /// Number with a unit.
    Number(&'static str),
    List,
    Program,
    State,
    Process,
    LastExit,
    Enabled,
    Restart,
    Stop,
    Next,
}

/// Rows of every service: title, member of the reply, and form.
#[rustfmt::skip]
const ROWS: [(&str, &str, Shape); 23] = [
    ("service",       "Name",         Shape::Text),
    ("description",   "Description",  Shape::Text),
    ("state",         "State",        Shape::State),
    ("waits for",     "WaitsFor",     Shape::List),
    ("pid",           "Pid",          Shape::Process),
    ("since",         "Since",        Shape::Seconds),
    ("processor",     "Cpu",          Shape::Number(" s")),
    ("memory",        "Memory",       Shape::Number(" bytes")),
    ("restarts",      "Restarts",     Shape::Text),
    ("last exit",     "LastExit",     Shape::LastExit),
    ("enabled",       "Enabled",      Shape::Enabled),
    ("restart",       "Restart",      Shape::Restart),
    ("success codes", "SuccessCodes", Shape::List),
    ("after",         "After",        Shape::List),
    ("command",       "Command",      Shape::Program),
    ("environment",   "Env",          Shape::List),
    ("directory",     "Cwd",          Shape::Text),
    ("user",          "User",         Shape::Text),
    ("stop",          "StopSignal",   Shape::Stop),
    ("next run",      "Next",         Shape::Next),
    ("on failure",    "OnFailure",    Shape::Text),
    ("on success",    "OnSuccess",    Shape::Text),
    ("max runtime",   "MaxRuntime",   Shape::Seconds),
];
/// Titles of rows that only some services have.
const OPTIONAL: [&str; 5] = ["waits for", "next run", "on failure", "on success", "max runtime"];

/// A row for each key; the lines of a key with several have one title.
fn rows(reply: Raw<'_>) -> Vec<Row> {
    let mut rows = Vec::new();
    for (title, key, shape) in ROWS {
        if reply.get(key).is_some() || !OPTIONAL.contains(&title) {
            rows.push(vec![title.to_owned(), value(reply, key, shape)]);
        }
    }
    for (key, title) in [("Programs", "programs"), ("Commands", "commands")] {
        put_lines(&mut rows, title, reply, key, command);
    }
    put_lines(&mut rows, "events", reply, "Events", event);
    put_checks(&mut rows, reply);
    for (key, value) in reply.get("Keys").into_iter().flat_map(Raw::members) {
        rows.push(vec![sanitize(key), key_value(value)]);
    }
    rows
}

/// Value of a member as a terminal may show it.
fn value(reply: Raw<'_>, key: &str, shape: Shape) -> String {
    let given = |key| text_of(reply, key).filter(|text| !matches!(text.as_str(), "" | "0"));
    let text = shown(reply, key);
    match shape {
        Shape::Text => text,
        Shape::Seconds => shown_duration(reply, key),
        Shape::Number(unit) => {
            if text == "-" {
                text
            } else {
                text + unit
            }
        }
        Shape::List => list(reply, key),
        Shape::Program => program(reply, key),
        Shape::Process => {
            if text == "0" {
                "-".to_owned()
            } else {
                text
            }
        }
        Shape::State => match given("Reason") {
            Some(reason) if given("Pid").is_none() && reply.get("WaitsFor").is_none() => {
                text + ": " + &sanitize(&reason)
            }
            _ => shown_state(reply),
        },
        Shape::LastExit => match text_of(reply, "StartedOnce").as_deref() {
            Some("false") => "never run".to_owned(),
            _ => text,
        },
        Shape::Enabled => format!("{} (autostart {})", yes_no(reply, key), yes_no(reply, "Autostart")),
        Shape::Restart => match given("StartLimit") {
            Some(limit) => format!("{text}, at most {} short runs", sanitize(&limit)),
            None => text,
        },
        Shape::Stop => format!("{text}, after {} KILL", shown_duration(reply, "StopTimeout")),
        Shape::Next => match shown_duration(reply, key).as_str() {
            "-" => "once the clock is set".to_owned(),
            time => format!("in {time}"),
        },
    }
}

/// Adds a line for each element of a list; the first one has the title.
fn put_lines(rows: &mut Vec<Row>, title: &str, reply: Raw<'_>, key: &str, line: fn(Raw<'_>) -> String) {
    for (index, entry) in members(reply, key).enumerate() {
        let title = if index == 0 { title } else { "" };
        rows.push(vec![title.to_owned(), line(entry)]);
    }
}

/// Adds a line for each health check of a reply.
pub(super) fn put_checks(rows: &mut Vec<Row>, reply: Raw<'_>) {
    put_lines(rows, "checks", reply, "Checks", check);
}

fn check(entry: Raw<'_>) -> String {
    let [name, state, failures] = ["Name", "State", "Failures"].map(|key| shown(entry, key));
    match text_of(entry, "Error") {
        Some(error) => format!("{name}: {state}, {failures} failures: {}", sanitize(&error)),
        None => format!("{name}: {state}"),
    }
}

fn event(entry: Raw<'_>) -> String {
    let [key, value, changes] = ["Key", "Value", "Changes"].map(|key| shown(entry, key));
    let times = match text_of(entry, "Expires") {
        Some(_) => format!(", for {} more", shown_duration(entry, "Expires")),
        None => String::new(),
    };
    format!("{key} {value}, since {}{times}, changes: {changes}", shown_duration(entry, "Ago"))
}

/// Value of a key of the configuration file.
fn key_value(value: Raw<'_>) -> String {
    match value.kind() {
        ValueKind::Array => sanitize(&value.elements().filter_map(text).collect::<Vec<_>>().join(", ")),
        ValueKind::Object => {
            let entries = value.members().map(|(name, value)| format!("{name} = {}", value.text()));
            sanitize(&entries.collect::<Vec<_>>().join(", "))
        }
        _ => shown_or(text(value).map(|text| sanitize(&text))),
    }
}

/// Named command: its signal and receivers, or its program.
fn command(entry: Raw<'_>) -> String {
    let name = shown(entry, "Name");
    match text_of(entry, "Signal") {
        Some(signal) => format!("{name}: signal {} to the {}", sanitize(&signal), shown(entry, "Scope")),
        None => format!("{name}: {}", program(entry, "Program")),
    }
}

/// Row of a past end.
fn end(end: Raw<'_>) -> Row {
    let ago = match shown_duration(end, "Ago").as_str() {
        "-" => "-".to_owned(),
        ago => format!("{ago} ago"),
    };
    let ran = value(end, "Ran", Shape::Number(" s"));
    vec![ago, ran, shown(end, "Exit"), shown(end, "Reason")]
}

/// Program and arguments; those that a shell would split or change are quoted.
fn program(object: Raw<'_>, key: &str) -> String {
    let is_plain = |word: &str| {
        !word.is_empty()
            && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./:=,+@%".contains(&byte))
    };
    let quoted =
        |word: String| if is_plain(&word) { word } else { format!("'{}'", word.replace('\'', "'\\''")) };
    let words: Vec<String> =
        members(object, key).filter_map(text).map(|word| sanitize(&quoted(word))).collect();
    words.join(" ")
}

fn list(object: Raw<'_>, key: &str) -> String {
    let words: Vec<String> = members(object, key).filter_map(text).map(|word| sanitize(&word)).collect();
    shown_or(Some(words.join(", ")))
}

fn yes_no(object: Raw<'_>, key: &str) -> &'static str {
    match text_of(object, key).as_deref() {
        Some("true") => "yes",
        Some("false") => "no",
        _ => "-",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_of_a_service_in_lines() {
        let content = concat!(
            r#"{ "Status": "ok", "State": "starting", "Pid": 0, "Since": 61, "Restarts": 2, "LastExit": "exit 1", "Next": 90, "#,
            r#""Description": "Web \u001bpage", "Reason": "exit 1", "StartedOnce": true, "Name": "web", "#,
            r#""Command": ["/bin/sh","-c","it's"], "Env": ["A","B"], "Cwd": "/", "User": "", "#,
            r#""Autostart": false, "Restart": "on-failure", "StartLimit": 5, "OnFailure": "reboot", "SuccessCodes": [0,3], "After": [], "#,
            r#""StopSignal": "TERM", "StopTimeout": 10, "MaxRuntime": 90, "Commands": [{"Name": "reload", "Signal": "HUP", "#,
            r#""Scope": "leader"},{"Name": "say", "Program": ["/bin/echo","a b"]}], "#,
            r#""Programs": [{"Name": "finish", "Program": ["/bin/rm","a b"]}], "Enabled": true, "#,
            r#""Keys": {"requires": ["db","net"], "nice": -3, "limits": {"core": 0, "nofile": 9}, "umask": "007"}, "#,
            r#""History": [{"Ago": 3, "Ran": 0.250, "Exit": "exit 1", "Reason": "exited"}], "#,
            r#""Checks": [{"Name": "web", "Level": "alive", "State": "healthy", "Failures": 0},"#,
            r#"{"Name": "x", "Level": "ready", "State": "failing", "Failures": 3, "Error": "timed out"}]}"#
        );
        let expected = "\
service        web
description    Web \u{FFFD}page
state          starting: exit 1
pid            -
since          1m 1s
processor      -
memory         -
restarts       2
last exit      exit 1
enabled        yes (autostart no)
restart        on-failure, at most 5 short runs
success codes  0, 3
after          -
command        /bin/sh -c 'it'\\''s'
environment    A, B
directory      /
user           -
stop           TERM, after 10s KILL
next run       in 1m 30s
on failure     reboot
max runtime    1m 30s
programs       finish: /bin/rm 'a b'
commands       reload: signal HUP to the leader
               say: /bin/echo 'a b'
checks         web: healthy
               x: failing, 3 failures: timed out
requires       db, net
nice           -3
limits         core = 0, nofile = 9
umask          007

ENDED   RAN      EXIT    REASON
3s ago  0.250 s  exit 1  exited
";
        assert_eq!(readable(content).unwrap(), expected);
    }

    #[test]
    fn reply_without_a_declaration_is_malformed() {
        for content in ["", "[]", "{}", r#"{ "Status": "ok"}"#] {
            assert!(readable(content).unwrap_err().text.contains("malformed"), "{content}");
        }
        let least = readable(r#"{"Command": [], "Next": null, "StartedOnce": false}"#).unwrap();
        assert!(
            least.contains("last exit      never run\n")
                && least.contains("next run       once the clock is set\n")
                && !least.contains("ENDED"),
            "{least}"
        );
    }
}
