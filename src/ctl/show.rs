//! `show`: declaration, state and past ends of one service.

use super::client::{Invocation, connect};
use super::env::Env;
use super::failure::{FAILED, Failure};
use super::output::{Row, columns, format_duration, sanitize, table};
use super::services::with_hint;
use super::values::{shown, shown_or, shown_state, text, text_of};
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

/// A row for each key; the lines of a key with several have one title.
fn rows(reply: Raw<'_>) -> Vec<Row> {
    let shown = |key| shown(reply, key);
    let seconds = |key| shown_or(text_of(reply, key).and_then(|text| text.parse().ok()).map(format_duration));
    let reason = text_of(reply, "Reason").filter(|_| reply.get("WaitsFor").is_none());
    let state = match reason.filter(|reason| !reason.is_empty()) {
        Some(reason) if text_of(reply, "Pid").is_some_and(|pid| pid == "0") => {
            format!("{}: {}", shown("State"), sanitize(&reason))
        }
        _ => shown_state(reply),
    };
    let is_new = text_of(reply, "StartedOnce").is_some_and(|once| once == "false");
    let limit = text_of(reply, "StartLimit").filter(|limit| limit != "0");
    let limit = limit.map_or_else(String::new, |limit| format!(", at most {} short runs", sanitize(&limit)));
    let pid = text_of(reply, "Pid").filter(|pid| pid != "0");
    let mut rows = vec![
        ("service", shown("Name")),
        ("description", shown("Description")),
        ("state", state),
        ("pid", shown_or(pid.as_deref().map(sanitize))),
        ("since", seconds("Since")),
        ("processor", shown_or(text_of(reply, "Cpu").map(|seconds| format!("{} s", sanitize(&seconds))))),
        ("memory", shown_or(text_of(reply, "Memory").map(|bytes| format!("{} bytes", sanitize(&bytes))))),
        ("restarts", shown("Restarts")),
        ("last exit", if is_new { "never run".to_owned() } else { shown("LastExit") }),
        ("enabled", format!("{} (autostart {})", yes_no(reply, "Enabled"), yes_no(reply, "Autostart"))),
        ("restart", shown("Restart") + &limit),
        ("success codes", list(reply, "SuccessCodes")),
        ("after", list(reply, "After")),
        ("command", program(reply, "Command")),
        ("environment", list(reply, "Env")),
        ("directory", shown("Cwd")),
        ("user", shown("User")),
        ("stop", format!("{}, after {} KILL", shown("StopSignal"), seconds("StopTimeout"))),
    ];
    if reply.get("WaitsFor").is_some() {
        rows.insert(3, ("waits for", list(reply, "WaitsFor")));
    }
    rows.extend(reply.get("Next").map(|next| {
        let seconds = text(next).and_then(|text| text.parse().ok()).map(format_duration);
        ("next run", seconds.map_or_else(|| "once the clock is set".to_owned(), |time| format!("in {time}")))
    }));
    for (key, title) in [("OnFailure", "on failure"), ("OnSuccess", "on success")] {
        rows.extend(text_of(reply, key).map(|action| (title, sanitize(&action))));
    }
    rows.extend(text_of(reply, "MaxRuntime").map(|_| ("max runtime", seconds("MaxRuntime"))));
    for (key, title) in [("Programs", "programs"), ("Commands", "commands")] {
        rows.extend(members(reply, key).enumerate().map(|(index, entry)| {
            let title = if index == 0 { title } else { "" };
            (title, command(entry))
        }));
    }
    rows.extend(check_rows(reply));
    let rows = rows.into_iter().map(|(title, value)| vec![title.to_owned(), value]);
    let keys = reply.get("Keys").into_iter().flat_map(Raw::members);
    rows.chain(keys.map(|(key, value)| vec![sanitize(key), key_value(value)])).collect()
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

/// A row for each health check of a reply.
pub(super) fn check_rows(reply: Raw<'_>) -> impl Iterator<Item = (&'static str, String)> {
    members(reply, "Checks").enumerate().map(|(index, entry)| {
        let title = if index == 0 { "checks" } else { "" };
        let [name, state, failures] = ["Name", "State", "Failures"].map(|key| shown(entry, key));
        let error = text_of(entry, "Error").map(|error| format!(": {}", sanitize(&error)));
        let failures = if error.is_some() { format!(", {failures} failures") } else { String::new() };
        (title, format!("{name}: {state}{failures}{}", error.unwrap_or_default()))
    })
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
    let ago = text_of(end, "Ago").and_then(|text| text.parse().ok()).map(format_duration);
    let ago = ago.map_or_else(|| "-".to_owned(), |ago| format!("{ago} ago"));
    let ran = text_of(end, "Ran").map(|ran| format!("{} s", sanitize(&ran)));
    vec![ago, shown_or(ran), shown(end, "Exit"), shown(end, "Reason")]
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

fn members<'t>(object: Raw<'t>, key: &str) -> impl Iterator<Item = Raw<'t>> + use<'t> {
    object.get(key).into_iter().flat_map(Raw::elements)
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
