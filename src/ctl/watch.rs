//! `watch`: changes of state as the server pushes them, across lost connections.

use super::client::{Invocation, Pauses, connect};
use super::env::Env;
use super::failure::{Failure, UNAVAILABLE};
use super::link::Link;
use super::output::{Row, sanitize, table};
use super::pattern;
use super::reply::no_session;
use super::services::{events, names, no_match, status_of};
use super::values::{compose, failure_line, string, text_of};
use crate::json::Raw;
use crate::wall_clock::{self, Utc};

/// Heads of the table on a terminal.
const HEAD: [&str; 3] = ["SERVICE", "STATE", "DETAIL"];

/// Prints the states, then changes until the process is killed. The first connection must succeed; later ones are
/// retried without end, unless the session has ended or the certificate has changed.
pub(super) fn run(invocation: &Invocation, env: &mut Env<'_>, operands: &[String]) -> Result<u8, Failure> {
    let mut link = connect(invocation, env)?;
    let mut watch = Watch { invocation, operands, states: Vec::new(), drawn: 0 };
    watch.subscribe(&mut link, env)?;
    loop {
        let failure = watch.follow(&mut link, env);
        drop(link);
        if failure.code != UNAVAILABLE {
            return Err(failure);
        }
        watch.note_retry(env, &failure)?;
        link = watch.reconnect(env)?;
    }
}

/// Services that are watched.
struct Watch<'w> {
    invocation: &'w Invocation,
    operands: &'w [String],
    /// Name, state, and process or why there is none.
    states: Vec<Row>,
    /// Lines of the table below the changes, on a terminal.
    drawn: usize,
}

impl Watch<'_> {
    fn is_watched(&self, name: &str) -> bool {
        self.operands.is_empty() || self.operands.iter().any(|operand| pattern::is_match(operand, name))
    }

    /// Requests the states, waits for the bind, from which on changes are pushed, and prints what is new. The list
    /// comes first because it fails without a session: Friend Core does not answer a bind that fails.
    fn subscribe(&mut self, link: &mut Link, env: &mut Env<'_>) -> Result<(), Failure> {
        let mut states = Vec::new();
        for name in names(link)?.into_iter().filter(|name| self.is_watched(name)) {
            let content = status_of(link, &name)?;
            let text = |key| Raw::parse(&content).and_then(|reply| text_of(reply, key)).unwrap_or_default();
            let detail = detail(&text("Pid"), &text("Reason"));
            states.push(vec![name, sanitize(&text("State")), detail]);
        }
        let is_known = |operand: &String| {
            states.iter().any(|row: &Row| row.first().is_some_and(|name| pattern::is_match(operand, name)))
        };
        let unknown: Vec<&String> = self.operands.iter().filter(|operand| !is_known(operand)).collect();
        if states.is_empty() && !unknown.is_empty() {
            return Err(no_match(&self.operands.join(" ")));
        }
        // Later on, a reload may have removed it.
        for operand in unknown.into_iter().filter(|_| self.states.is_empty()) {
            match self.invocation.json {
                true => env.print(&failure_line(operand, &no_match(operand))?)?,
                false => env.note_failure(&no_match(operand)),
            }
        }
        link.wait_bound()?;
        link.end_with_output();
        let before = core::mem::replace(&mut self.states, states);
        let mut lines = String::new();
        for row in self.states.iter().filter(|now| !before.contains(now)) {
            let [name, state, detail] = row.as_slice() else { continue };
            lines += &match self.invocation.json {
                true => compose(|out| {
                    out.put(r#"{"service":"#)?;
                    out.put_text(name)?;
                    out.put(r#","state":"#)?;
                    out.put_text(state)?;
                    out.put("}\n")
                })?,
                false => format_line(name, state, detail),
            };
        }
        // The table has the first states.
        let is_first = before.is_empty() && env.terminal.is_some() && !self.invocation.json;
        self.print(env, if is_first { "" } else { &lines })
    }

    /// Prints lines, on a terminal above the table, which is drawn anew.
    fn print(&mut self, env: &mut Env<'_>, lines: &str) -> Result<(), Failure> {
        let Some(before) = env.terminal.filter(|_| !self.invocation.json) else {
            return env.print(lines);
        };
        let terminal = (env.measure)().unwrap_or(before);
        if terminal != before {
            // Its lines may have been wrapped anew: it stays as it is, above the next one.
            env.terminal = Some(terminal);
            self.drawn = 0;
        }
        let mut text = match self.drawn {
            0 => String::new(),
            // Up to its first line, and erased from there on.
            drawn => format!("\x1b[{drawn}A\x1b[J"),
        };
        text += lines;
        // The table must not be higher than the terminal, or its begin is out of reach.
        let shown = terminal.height.saturating_sub(3).min(self.states.len());
        let table = table(&HEAD, self.states.iter().take(shown).cloned().collect(), Some(terminal));
        self.drawn = shown + 1;
        text += &table;
        if shown < self.states.len() {
            text += &format!("and {} more\n", self.states.len() - shown);
            self.drawn += 1;
        }
        env.print(&text)
    }

    /// Prints pushed changes until the connection fails.
    fn follow(&mut self, link: &mut Link, env: &mut Env<'_>) -> Failure {
        loop {
            let text = match link.next() {
                Ok(text) => text,
                Err(failure) => return failure,
            };
            let change = match read_push(&text) {
                Push::Change(change) => change,
                Push::SessionEnd(why) => return no_session(&why),
                Push::Notice(notice) => {
                    let noted = self.note(env, &notice);
                    if let Err(failure) = noted {
                        return failure;
                    }
                    continue;
                }
                Push::Other => continue,
            };
            let text = |text: &Option<String>| text.clone().unwrap_or_default();
            let row = self.states.iter_mut().find(|row| row.first() == Some(&change.service));
            if let (Some(row), None) = (row, &change.title) {
                let detail = detail(&text(&change.pid), &text(&change.reason));
                *row = vec![change.service.clone(), change.state.clone(), detail];
            }
            if self.is_watched(&change.service) {
                let line = if self.invocation.json { change.raw + "\n" } else { format_change(&change) };
                if let Err(failure) = self.print(env, &line) {
                    return failure;
                }
            }
        }
    }

    /// Connects again and prints the changes in between.
    fn reconnect(&mut self, env: &mut Env<'_>) -> Result<Link, Failure> {
        let mut pauses = Pauses::new();
        loop {
            pauses.pause(env)?;
            let attempt = connect(self.invocation, env).and_then(|mut link| {
                self.subscribe(&mut link, env)?;
                Ok(link)
            });
            match attempt {
                Err(failure) if failure.code == UNAVAILABLE => self.note_retry(env, &failure)?,
                other => return other,
            }
        }
    }

    /// Writes a line to standard error; the table is drawn anew below it.
    fn note(&mut self, env: &mut Env<'_>, text: &str) -> Result<(), Failure> {
        if self.drawn > 0 {
            env.print(&format!("\x1b[{}A\x1b[J", self.drawn))?;
            self.drawn = 0;
        }
        env.note(format_args!("{}  {text}", Utc(wall_clock::now())));
        if env.terminal.is_some() { self.print(env, "") } else { Ok(()) }
    }

    fn note_retry(&mut self, env: &mut Env<'_>, failure: &Failure) -> Result<(), Failure> {
        self.note(env, &format!("{}; connecting again", failure.text))
    }
}

/// Process, or the reason without one.
fn detail(pid: &str, reason: &str) -> String {
    match pid {
        "" | "0" => sanitize(reason),
        pid => format!("pid {}", sanitize(pid)),
    }
}

fn format_line(name: &str, state: &str, detail: &str) -> String {
    let line = format!("{}  {name}  {state}  {detail}", Utc(wall_clock::now()));
    line.trim_end().to_owned() + "\n"
}

struct Change {
    /// Title of a change of something else than the state of the service.
    title: Option<String>,
    /// The service, or that of the check; empty without one.
    service: String,
    state: String,
    pid: Option<String>,
    reason: Option<String>,
    output: Vec<String>,
    raw: String,
}

enum Push {
    Change(Change),
    SessionEnd(String),
    /// A problem of the board.
    Notice(String),
    Other,
}

/// Reads `{"type":"msg","data":{"type":"service-change","data":{"service":"hello","state":"started","pid":1}}}`
/// and the like with `check-change` and `service-events`, and `server-notice`, some of which end the session.
fn read_push(text: &str) -> Push {
    let push = Raw::parse(text).and_then(|message| message.get("data"));
    let Some((kind, data)) = push.and_then(|push| Some((text_of(push, "type")?, push.get("data")?))) else {
        return Push::Other;
    };
    let text = |key| text_of(data, key).as_deref().map(sanitize);
    match (kind.as_str(), string(data).as_deref()) {
        ("service-change", None) => match (text("service"), text("state")) {
            (Some(service), Some(state)) => {
                let pid = text("pid").filter(|pid| pid != "0");
                let lines = data.get("output").into_iter().flat_map(Raw::elements).filter_map(string);
                let output = lines.map(|line| sanitize(&line)).collect();
                let (reason, raw) = (text("reason"), data.text().to_owned());
                Push::Change(Change { title: None, service, state, pid, reason, output, raw })
            }
            _ => Push::Other,
        },
        ("check-change", None) => match (text("check"), text("state")) {
            (Some(check), Some(state)) => {
                let title = Some(format!("check {check}"));
                let (service, reason) = (text("service").unwrap_or_default(), text("error"));
                let raw = data.text().to_owned();
                Push::Change(Change { title, service, state, pid: None, reason, output: Vec::new(), raw })
            }
            _ => Push::Other,
        },
        ("service-events", None) => match text("service") {
            Some(service) => {
                let events = events(data, "events", ["key", "value"]);
                let (title, raw) = (Some(format!("events of {service}")), data.text().to_owned());
                let state = events.strip_prefix(", ").unwrap_or("none").to_owned();
                let (pid, reason, output) = (None, None, Vec::new());
                Push::Change(Change { title, service, state, pid, reason, output, raw })
            }
            None => Push::Other,
        },
        ("server-notice", Some(notice @ ("session killed" | "session timeout"))) => {
            Push::SessionEnd(notice.to_owned())
        }
        ("server-notice", Some(notice)) => Push::Notice(sanitize(notice)),
        _ => Push::Other,
    }
}

fn format_change(change: &Change) -> String {
    let pid = change.pid.as_ref().map_or_else(String::new, |pid| format!("pid {pid}"));
    let parts = [Some(pid).filter(|pid| !pid.is_empty()), change.reason.clone()];
    let detail = parts.into_iter().flatten().collect::<Vec<_>>().join("  ");
    let name = change.title.as_ref().unwrap_or(&change.service);
    let line = format_line(name, &change.state, &detail);
    change.output.iter().fold(line, |text, line| format!("{text}    {line}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change() {
        let text = "{\"type\":\"msg\",\"data\":{\"type\":\"service-change\",\"data\":{\"service\":\"hello\",\"state\":\"started\",\"pid\":1234}}}";
        let Push::Change(change) = read_push(text) else { panic!("no change") };
        assert!(format_change(&change).ends_with("Z  hello  started  pid 1234\n"));
        assert_eq!(change.raw, "{\"service\":\"hello\",\"state\":\"started\",\"pid\":1234}");
        let Push::Change(change) = read_push(&text.replace("1234", "0")) else { panic!("no change") };
        assert!(format_change(&change).ends_with("Z  hello  started\n"));
        let end = r#""state":"failed","pid":0,"reason":"exit 1","output":["a","b\u001b"]"#;
        let Push::Change(change) = read_push(&text.replace("\"state\":\"started\",\"pid\":1234", end)) else {
            panic!("no change")
        };
        assert!(format_change(&change).ends_with("Z  hello  failed  exit 1\n    a\n    b\u{FFFD}\n"));
    }

    #[test]
    fn a_change_of_events() {
        let push = |events| {
            let data = format!(r#"{{"service":"web","events":[{events}]}}"#);
            let text = format!(r#"{{"type":"msg","data":{{"type":"service-events","data":{data}}}}}"#);
            let Push::Change(change) = read_push(&text) else { panic!("no change") };
            assert_eq!((&*change.service, change.raw.as_str()), ("web", &*data));
            format_change(&change)
        };
        let two = r#"{"key":"door","value":"open\u001b"},{"key":"lamp","value":"on"}"#;
        assert!(push(two).ends_with("Z  events of web  door open\u{FFFD}, lamp on\n"), "{}", push(two));
        assert!(push("").ends_with("Z  events of web  none\n"));
    }

    #[test]
    fn a_change_of_a_check() {
        let data = r#"{"check":"port","service":"web","state":"failing","error":"timed out"}"#;
        let text = format!(r#"{{"type":"msg","data":{{"type":"check-change","data":{data}}}}}"#);
        let Push::Change(change) = read_push(&text) else { panic!("no change") };
        assert!(format_change(&change).ends_with("Z  check port  failing  timed out\n"));
        assert_eq!((change.service.as_str(), change.raw.as_str()), ("web", data));
    }

    #[test]
    fn other_pushes() {
        let notice = |text| {
            format!("{{\"type\":\"msg\",\"data\":{{\"type\":\"server-notice\",\"data\":\"{text}\"}}}}")
        };
        assert!(matches!(read_push(&notice("session timeout")), Push::SessionEnd(_)));
        let push = read_push(&notice("no data\\u001b"));
        assert!(matches!(push, Push::Notice(text) if text == "no data\u{FFFD}"));
        for text in
            ["", "hello", "{\"type\":\"msg\"}", "{\"data\":{\"type\":\"service-change\",\"data\":{}}}"]
        {
            assert!(matches!(read_push(text), Push::Other), "{text}");
        }
    }
}
