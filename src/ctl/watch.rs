//! `watch`: changes of state as the server pushes them, across lost connections.

use std::thread;
use std::time::Duration;

use ring::rand::{SecureRandom, SystemRandom};

use super::arguments::Invocation;
use super::client::connect;
use super::env::Env;
use super::failure::{FAILED, Failure, UNAVAILABLE};
use super::link::Link;
use super::output::sanitize;
use super::reply::no_session;
use super::services::states;
use super::values::{compose, string, text_of};
use crate::json::Raw;
use crate::wall_clock::{self, Utc};

/// First pause before connecting again; it doubles with every failed attempt.
const PAUSE_MIN: Duration = Duration::from_millis(500);
/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Prints changes until the process is killed. The first connection must succeed; later ones are retried
/// without end, unless the session has ended or the certificate has changed.
pub(super) fn run(invocation: &Invocation, env: &mut Env<'_>, service: Option<&str>) -> Result<u8, Failure> {
    let mut link = connect(invocation, env)?;
    let mut states = subscribe(&mut link, service)?;
    if let Some(service) = service.filter(|_| states.is_empty()) {
        return Err(Failure::new(
            FAILED,
            format!("no service '{}'; `friendlet ctl list` prints all", sanitize(service)),
        ));
    }
    loop {
        let failure = follow(&mut link, invocation, env, service, &mut states);
        drop(link);
        if failure.code != UNAVAILABLE {
            return Err(failure);
        }
        note_retry(env, &failure);
        (link, states) = reconnect(invocation, env, service, &states)?;
    }
}

type States = Vec<(String, String)>;

/// Requests the states, then waits for the bind, from which on changes are pushed. The list comes first
/// because it fails without a session: Friend Core does not answer a bind that fails.
fn subscribe(link: &mut Link, service: Option<&str>) -> Result<States, Failure> {
    let states = states(link, service)?;
    link.wait_bound()?;
    Ok(states)
}

/// Prints pushed changes until the connection fails.
fn follow(
    link: &mut Link,
    invocation: &Invocation,
    env: &mut Env<'_>,
    service: Option<&str>,
    states: &mut States,
) -> Failure {
    loop {
        let text = match link.next() {
            Ok(text) => text,
            Err(failure) => return failure,
        };
        let change = match read_push(&text) {
            Push::Change(change) => change,
            Push::SessionEnd(why) => return no_session(&why),
            Push::Notice(notice) => {
                env.note(format_args!("{}  {notice}", Utc(wall_clock::now())));
                continue;
            }
            Push::Other => continue,
        };
        let changed = states.iter_mut().find(|(name, _)| *name == change.service && change.check.is_none());
        if let Some((_, state)) = changed {
            state.clone_from(&change.state);
        }
        if service.is_none_or(|service| service == change.service) {
            let line = if invocation.json { change.raw } else { format_change(&change) };
            if let Err(failure) = env.print(&format!("{line}\n")) {
                return failure;
            }
        }
    }
}

/// Connects again and prints the changes in between.
fn reconnect(
    invocation: &Invocation,
    env: &mut Env<'_>,
    service: Option<&str>,
    before: &States,
) -> Result<(Link, States), Failure> {
    let mut pause = PAUSE_MIN;
    loop {
        thread::sleep(jittered(pause));
        pause = (pause * 2).min(PAUSE_MAX);
        let attempt = connect(invocation, env).and_then(|mut link| {
            let states = subscribe(&mut link, service)?;
            Ok((link, states))
        });
        match attempt {
            Err(failure) if failure.code == UNAVAILABLE => note_retry(env, &failure),
            Err(failure) => return Err(failure),
            Ok((link, states)) => {
                let missed = states.iter().filter(|now| !before.contains(now));
                for (name, state) in missed {
                    let text = if invocation.json {
                        compose(|out| {
                            out.put(r#"{"service":"#)?;
                            out.put_text(name)?;
                            out.put(r#","state":"#)?;
                            out.put_text(state)?;
                            out.put("}\n")
                        })?
                    } else {
                        format!("{}  {name}  {state}\n", Utc(wall_clock::now()))
                    };
                    env.print(&text)?;
                }
                return Ok((link, states));
            }
        }
    }
}

fn note_retry(env: &mut Env<'_>, failure: &Failure) {
    env.note(format_args!("{}  {}; connecting again", Utc(wall_clock::now()), failure.text));
}

/// A random time from half of the pause to all of it, which spreads the clients of a restarted server.
fn jittered(pause: Duration) -> Duration {
    let mut byte = [0];
    // Without random bytes the pause is the shortest one.
    let _ = SystemRandom::new().fill(&mut byte);
    pause / 2 + pause / 2 * u32::from(byte[0]) / 256
}

struct Change {
    /// Health check that changed; `None`: the service did.
    check: Option<String>,
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
/// and the like with `check-change`, and `server-notice`, some of which end the session.
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
                Push::Change(Change { check: None, service, state, pid, reason, output, raw })
            }
            _ => Push::Other,
        },
        ("check-change", None) => match (text("check"), text("state")) {
            (check @ Some(_), Some(state)) => {
                let (service, reason) = (text("service").unwrap_or_default(), text("error"));
                let raw = data.text().to_owned();
                Push::Change(Change { check, service, state, pid: None, reason, output: Vec::new(), raw })
            }
            _ => Push::Other,
        },
        ("server-notice", Some(notice @ ("session killed" | "session timeout"))) => {
            Push::SessionEnd(notice.to_owned())
        }
        ("server-notice", Some(notice)) => Push::Notice(sanitize(notice)),
        _ => Push::Other,
    }
}

fn format_change(change: &Change) -> String {
    let pid = change.pid.as_ref().map_or_else(String::new, |pid| format!("  pid {pid}"));
    let reason = change.reason.as_ref().map_or_else(String::new, |reason| format!("  {reason}"));
    let name = match &change.check {
        Some(check) => format!("check {check}"),
        None => change.service.clone(),
    };
    let line = format!("{}  {name}  {}{pid}{reason}", Utc(wall_clock::now()), change.state);
    change.output.iter().fold(line, |text, line| format!("{text}\n    {line}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change() {
        let text = "{\"type\":\"msg\",\"data\":{\"type\":\"service-change\",\"data\":{\"service\":\"hello\",\"state\":\"started\",\"pid\":1234}}}";
        let Push::Change(change) = read_push(text) else { panic!("no change") };
        assert!(format_change(&change).ends_with("Z  hello  started  pid 1234"));
        assert_eq!(change.raw, "{\"service\":\"hello\",\"state\":\"started\",\"pid\":1234}");
        let Push::Change(change) = read_push(&text.replace("1234", "0")) else { panic!("no change") };
        assert!(format_change(&change).ends_with("Z  hello  started"));
        let end = r#""state":"failed","pid":0,"reason":"exit 1","output":["a","b\u001b"]"#;
        let Push::Change(change) = read_push(&text.replace("\"state\":\"started\",\"pid\":1234", end)) else {
            panic!("no change")
        };
        assert!(format_change(&change).ends_with("Z  hello  failed  exit 1\n    a\n    b\u{FFFD}"));
    }

    #[test]
    fn a_change_of_a_check() {
        let data = r#"{"check":"port","service":"web","state":"failing","error":"timed out"}"#;
        let text = format!(r#"{{"type":"msg","data":{{"type":"check-change","data":{data}}}}}"#);
        let Push::Change(change) = read_push(&text) else { panic!("no change") };
        assert!(format_change(&change).ends_with("Z  check port  failing  timed out"));
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

    #[test]
    fn pauses_stay_within_half_and_whole() {
        for _ in 0..100 {
            let pause = jittered(PAUSE_MAX);
            assert!(pause >= PAUSE_MAX / 2 && pause < PAUSE_MAX, "{pause:?}");
        }
    }
}
