//! `watch`: each change of state as it happens, across lost connections.

use std::thread;
use std::time::{Duration, SystemTime};

use ring::rand::{SecureRandom, SystemRandom};

use super::action::{open, print, states};
use super::arguments::Invocation;
use super::json::{self, Node};
use super::link::Link;
use super::output::{clean, utc};
use super::reply::no_session;
use super::{FAILED, Failure, UNAVAILABLE, World};

/// First pause before connecting again; it doubles with every attempt in vain.
const PAUSE_MIN: Duration = Duration::from_millis(500);
/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Prints changes until the program is ended. The first connection must succeed; a later one is tried
/// again for as long as it takes, unless the session has ended or the certificate is another.
pub(super) fn run(
    invocation: &Invocation,
    world: &mut World<'_>,
    service: Option<&str>,
) -> Result<u8, Failure> {
    let mut link = open(invocation, world)?;
    let mut states = subscribe(&mut link, service)?;
    if let Some(service) = service.filter(|_| states.is_empty()) {
        return Err(Failure::new(
            FAILED,
            format!("there is no service '{}'; `friendlet ctl list` names them", clean(service)),
        ));
    }
    loop {
        let failure = follow(&mut link, invocation, world, service, &mut states);
        drop(link);
        if failure.code != UNAVAILABLE {
            return Err(failure);
        }
        tell(world, &failure);
        (link, states) = reconnect(invocation, world, service, &states)?;
    }
}

type States = Vec<(String, String)>;

/// Asks for the states and makes sure that what changes from then on is pushed. The list tells sooner
/// than the bind when the session is none: a bind that fails is not answered in Friend Core.
fn subscribe(link: &mut Link, service: Option<&str>) -> Result<States, Failure> {
    let states = states(link, service)?;
    link.wait_bound()?;
    Ok(states)
}

/// Prints what is pushed until the connection fails.
fn follow(
    link: &mut Link,
    invocation: &Invocation,
    world: &mut World<'_>,
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
                // Where standard error is closed nobody wants to know.
                let _ = writeln!(world.err, "{}  {notice}", utc(SystemTime::now()));
                continue;
            }
            Push::Other => continue,
        };
        if let Some(place) = states.iter_mut().find(|(name, _)| *name == change.service) {
            place.1.clone_from(&change.state);
        }
        if service.is_none_or(|service| service == change.service) {
            let line = if invocation.json { change.raw } else { line(&change) };
            if let Err(failure) = print(world, &format!("{line}\n")) {
                return failure;
            }
        }
    }
}

/// Connects again and prints what changed in the meantime.
fn reconnect(
    invocation: &Invocation,
    world: &mut World<'_>,
    service: Option<&str>,
    before: &States,
) -> Result<(Link, States), Failure> {
    let mut pause = PAUSE_MIN;
    loop {
        thread::sleep(jittered(pause));
        pause = (pause * 2).min(PAUSE_MAX);
        let attempt = open(invocation, world).and_then(|mut link| {
            let states = subscribe(&mut link, service)?;
            Ok((link, states))
        });
        match attempt {
            Err(failure) if failure.code == UNAVAILABLE => tell(world, &failure),
            Err(failure) => return Err(failure),
            Ok((link, states)) => {
                let missed = states.iter().filter(|now| !before.contains(now));
                for (name, state) in missed {
                    let text = if invocation.json {
                        let mut text = "{\"service\":".to_owned();
                        json::put_string(&mut text, name);
                        text += ",\"state\":";
                        json::put_string(&mut text, state);
                        text + "}\n"
                    } else {
                        format!("{}  {name}  {state}\n", utc(SystemTime::now()))
                    };
                    print(world, &text)?;
                }
                return Ok((link, states));
            }
        }
    }
}

fn tell(world: &mut World<'_>, failure: &Failure) {
    // Where standard error is closed nobody wants to know.
    let _ = writeln!(world.err, "{}  {}; connecting again", utc(SystemTime::now()), failure.text);
}

/// Between half of the pause and all of it, so that clients of a restarted server come one by one.
fn jittered(pause: Duration) -> Duration {
    let mut byte = [0];
    // Without random bytes the pause is the shortest.
    let _ = SystemRandom::new().fill(&mut byte);
    pause / 2 + pause / 2 * u32::from(byte[0]) / 256
}

struct Change {
    service: String,
    state: String,
    pid: Option<String>,
    raw: String,
}

enum Push {
    Change(Change),
    SessionEnd(String),
    /// What is wrong with the board.
    Notice(String),
    Other,
}

/// `{"type":"msg","data":{"type":"service-change","data":{"service":"hello","state":"started","pid":1}}}`
/// and the notices that end a session.
fn read_push(text: &str) -> Push {
    let node = json::parse(text);
    let data = node.as_ref().and_then(|node| node.get("data"));
    let (Some(kind), Some(data)) = (
        data.and_then(|data| data.get("type")).and_then(Node::string),
        data.and_then(|data| data.get("data")),
    ) else {
        return Push::Other;
    };
    let text = |name| data.get(name).and_then(Node::text).map(clean);
    match (kind, data.string()) {
        ("service-change", None) => match (text("service"), text("state")) {
            (Some(service), Some(state)) => {
                let pid = text("pid").filter(|pid| pid != "0");
                Push::Change(Change { service, state, pid, raw: data.raw.to_owned() })
            }
            _ => Push::Other,
        },
        ("server-notice", Some(notice @ ("session killed" | "session timeout"))) => {
            Push::SessionEnd(notice.to_owned())
        }
        ("server-notice", Some(notice)) => Push::Notice(clean(notice)),
        _ => Push::Other,
    }
}

fn line(change: &Change) -> String {
    let pid = change.pid.as_ref().map_or_else(String::new, |pid| format!("  pid {pid}"));
    format!("{}  {}  {}{pid}", utc(SystemTime::now()), change.service, change.state)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change() {
        let text = "{\"type\":\"msg\",\"data\":{\"type\":\"service-change\",\"data\":{\"service\":\"hello\",\"state\":\"started\",\"pid\":1234}}}";
        let Push::Change(change) = read_push(text) else { panic!("no change") };
        assert!(line(&change).ends_with("Z  hello  started  pid 1234"), "{}", line(&change));
        assert_eq!(change.raw, "{\"service\":\"hello\",\"state\":\"started\",\"pid\":1234}");
        let Push::Change(change) = read_push(&text.replace("1234", "0")) else { panic!("no change") };
        assert!(line(&change).ends_with("Z  hello  started"));
    }

    #[test]
    fn other_pushes() {
        let notice = |text| {
            format!("{{\"type\":\"msg\",\"data\":{{\"type\":\"server-notice\",\"data\":\"{text}\"}}}}")
        };
        assert!(matches!(read_push(&notice("session timeout")), Push::SessionEnd(_)));
        let told = read_push(&notice("no data\\u001b"));
        assert!(matches!(told, Push::Notice(text) if text == "no data\u{FFFD}"));
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
