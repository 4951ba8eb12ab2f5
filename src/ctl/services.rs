//! Services: `list`, `status`, `command`, and the verbs of the supervisor.

use std::thread::sleep;
use std::time::{Duration, Instant};

use super::arguments::Verb;
use super::client::{Invocation, connect, operate};
use super::env::Env;
use super::failure::{FAILED, Failure, NOT_RUNNING, UNAVAILABLE, UNKNOWN};
use super::link::Link;
use super::output::{Row, sanitize, sanitize_lines, table};
use super::pattern::{self, ALL, is_pattern};
use super::values::{
    failure_object, member, members, shown, shown_duration, shown_or, shown_state, string, text_of,
};
use crate::json::Raw;
use crate::suggest::nearest;

const LIST_HEAD: [&str; 3] = ["SERVICE", "STATE", "DESCRIPTION"];
const STATUS_HEAD: [&str; 7] = ["SERVICE", "STATE", "PID", "SINCE", "RESTARTS", "LAST EXIT", "DESCRIPTION"];

/// One service of a list.
#[derive(Debug, Eq, PartialEq)]
struct Service {
    name: String,
    state: String,
    description: String,
}

/// Prints all services.
pub(super) fn list(invocation: &Invocation, env: &mut Env<'_>) -> Result<u8, Failure> {
    let content = connect(invocation, env)?.call("services/list", &[])?;
    if invocation.json {
        env.print(&format!("{content}\n"))?;
        return Ok(0);
    }
    let row = |service: Service| vec![service.name, service.state, service.description];
    let rows = read_list(&content)?.into_iter().map(row).collect();
    env.print(&table(&LIST_HEAD, rows, env.terminal))?;
    Ok(0)
}

/// Verbs for which services of a pattern are handled from the last to the first.
const FROM_THE_LAST: [&str; 3] = ["stop", "pause", "uninstall"];
/// Verbs after which a service is to run.
const UP: [&str; 2] = ["start", "restart"];
/// Longest wait for a service to settle.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(300);
/// Pause between two looks at its state.
const SETTLE_STEP: Duration = Duration::from_millis(250);

/// Runs a verb of the supervisor for each of the services. With `waits`, all are commanded before it waits for them.
pub(super) fn run(
    invocation: &Invocation,
    env: &mut Env<'_>,
    verb: Verb,
    operands: &[String],
    waits: bool,
) -> Result<u8, Failure> {
    let mut link = connect(invocation, env)?;
    let targets = select(&mut link, operands, FROM_THE_LAST.contains(&verb.call))?;
    let path = format!("services/{}", verb.call);
    let command = |env: &mut Env<'_>, link: &mut Link, name: &str| {
        operate(invocation, env, link, &path, &[("serviceName", name)])
            .map_err(|failure| with_hint(link, name, failure))
    };
    let done = |name: &str, state: &str| format!("{} {}: {state}\n", verb.word, sanitize(name));
    if !waits {
        return each(invocation, env, operands, &targets, &mut |env, name| {
            let content = command(env, &mut link, name)?;
            Ok(Reply { content, text: done(name, "ok"), code: 0 })
        });
    }
    let mut commanded = Vec::new();
    for name in targets.iter().filter_map(|target| target.service().ok()) {
        commanded.push(command(env, &mut link, name));
    }
    let mut commanded = commanded.into_iter();
    each(invocation, env, operands, &targets, &mut |_, name| {
        commanded.next().transpose()?;
        let content = settled(&mut link, name, UP.contains(&verb.call))?;
        let state = Raw::parse(&content).map_or_else(String::new, |reply| shown_state(reply));
        Ok(Reply { text: done(name, &state), content, code: 0 })
    })
}

/// Waits until a service is ready or without processes, and returns its status.
fn settled(link: &mut Link, name: &str, is_to_run: bool) -> Result<String, Failure> {
    let deadline = Instant::now() + SETTLE_TIMEOUT;
    loop {
        let content = status_of(link, name)?;
        let text = |key| Raw::parse(&content).and_then(|reply| text_of(reply, key)).unwrap_or_default();
        let (state, ready, exit) = (text("State"), text("Ready"), text("LastExit"));
        let is_settled = match state.as_str() {
            "started" => is_to_run && ready != "false",
            "finished" => is_to_run,
            "failed" => !is_to_run,
            "stopped" => !is_to_run || exit == "exit 0",
            _ => false,
        };
        if is_settled {
            return Ok(content);
        }
        let has_failed = is_to_run && matches!(state.as_str(), "failed" | "stopped");
        let late = text("Late");
        let is_late = is_to_run && state == "started" && !late.is_empty();
        if has_failed || is_late || Instant::now() >= deadline {
            let why = if is_late {
                format!("not ready within {late} s")
            } else if has_failed {
                format!("{state}: {}", text("Reason"))
            } else {
                format!("still {}", Raw::parse(&content).map_or(state, shown_state))
            };
            let (why, name) = (sanitize(&why), sanitize(name));
            return Err(Failure::new(FAILED, format!("{name}: {why}; see `friendlet ctl logs {name}`")));
        }
        sleep(SETTLE_STEP);
    }
}

/// Result of one service.
struct Reply {
    content: String,
    /// Text for the terminal.
    text: String,
    /// Exit code.
    code: u8,
}

/// Acts on each of the services and prints the results: the reply of a single one, or one object with all of them. The
/// exit code is the highest.
fn each(
    invocation: &Invocation,
    env: &mut Env<'_>,
    operands: &[String],
    targets: &[Target],
    act: &mut dyn FnMut(&mut Env<'_>, &str) -> Result<Reply, Failure>,
) -> Result<u8, Failure> {
    let is_many = is_many(operands, targets);
    let mut act = |env: &mut Env<'_>, target: &Target| {
        let name = &target.name;
        target.service().and_then(|name| act(env, name)).map_err(|failure| {
            let is_named = failure.text.contains(name.as_str()) || (!is_many && failure.code != FAILED);
            let text = if is_named { String::new() } else { sanitize(name) + ": " };
            let text = text + &failure.text;
            failure.with_text(text)
        })
    };
    if let ([target], false) = (targets, is_many) {
        let Reply { content, text, code } = act(env, target)?;
        env.print(&if invocation.json { content + "\n" } else { text })?;
        return Ok(code);
    }
    let (mut worst, mut members, mut printed) = (0, Vec::new(), Ok(()));
    for target in targets {
        let (code, content) = match act(env, target) {
            Ok(Reply { content, text, code }) => {
                if !invocation.json {
                    // A closed output keeps no service from being handled.
                    printed = printed.and(env.print(&text));
                }
                (code, content)
            }
            Err(failure) => {
                if !invocation.json {
                    env.note_failure(&failure);
                }
                (failure.code, failure_object(&failure)?)
            }
        };
        members.push(member(&target.name, &content)?);
        worst = worst.max(code);
        if code == UNAVAILABLE {
            break;
        }
    }
    printed?;
    if invocation.json {
        env.print(&format!("{{{}}}\n", members.join(",")))?;
    }
    Ok(worst)
}

/// A service that an operand stands for, or a pattern that matches none.
pub(super) struct Target {
    pub(super) name: String,
    is_pattern: bool,
}

impl Target {
    /// Name of the service.
    pub(super) fn service(&self) -> Result<&str, Failure> {
        if self.is_pattern { Err(no_match(&self.name)) } else { Ok(&self.name) }
    }
}

/// Failure of a pattern that matches no service.
pub(super) fn no_match(pattern: &str) -> Failure {
    let pattern = sanitize(pattern);
    let text = format!("no service matches '{pattern}'; `friendlet ctl list` names the services");
    Failure::new(UNKNOWN, text)
}

/// Returns true for operands that may stand for several services.
pub(super) fn is_many(operands: &[String], targets: &[Target]) -> bool {
    targets.len() != 1 || operands.iter().any(|operand| is_pattern(operand))
}

/// Services that the operands stand for, each once: names as they are, those of a pattern in the order of the list.
pub(super) fn select(
    link: &mut Link,
    operands: &[String],
    is_from_the_last: bool,
) -> Result<Vec<Target>, Failure> {
    let mut selected: Vec<Target> = Vec::new();
    let names = if operands.iter().any(|operand| is_pattern(operand)) { names(link)? } else { Vec::new() };
    for operand in operands {
        let mut found: Vec<&String> = match is_pattern(operand) {
            true => names.iter().filter(|name| pattern::is_match(operand, name)).collect(),
            false => vec![operand],
        };
        if is_from_the_last {
            found.reverse();
        }
        // Without a match, the pattern stands for itself.
        let is_pattern = found.is_empty();
        if is_pattern {
            found.push(operand);
        }
        for name in found {
            if selected.iter().all(|target| target.name != *name) {
                selected.push(Target { name: name.clone(), is_pattern });
            }
        }
    }
    Ok(selected)
}

pub(super) fn names(link: &mut Link) -> Result<Vec<String>, Failure> {
    let list = read_list(&link.call("services/list", &[])?)?;
    Ok(list.into_iter().map(|service| service.name).collect())
}

/// Names the nearest service where there is none of this name.
pub(super) fn with_hint(link: &mut Link, name: &str, failure: Failure) -> Failure {
    if failure.code != UNKNOWN {
        return failure;
    }
    let names = names(link).unwrap_or_default();
    let hint = match nearest(name, names.iter().map(String::as_str)) {
        Some(near) => format!("did you mean '{near}'?"),
        None => "`friendlet ctl list` names the services".to_owned(),
    };
    failure.with_text(format!("no service '{}'; {hint}", sanitize(name)))
}

/// Prints the status of the services, or of all; the exit code is that of an LSB script, and 0 for all.
pub(super) fn status(invocation: &Invocation, env: &mut Env<'_>, operands: &[String]) -> Result<u8, Failure> {
    let mut link = connect(invocation, env)?;
    let is_all = operands.is_empty();
    let all = [ALL.to_owned()];
    let operands = if is_all { &all[..] } else { operands };
    let mut targets = select(&mut link, operands, false)?;
    // Without an operand, a server without services is as good as any.
    targets.retain(|target| !is_all || target.service().is_ok());
    let mut rows = Vec::new();
    let code = each(invocation, env, operands, &targets, &mut |_, name| {
        let content = status_of(&mut link, name).map_err(|failure| with_hint(&mut link, name, failure))?;
        let state = Raw::parse(&content).map_or_else(String::new, |reply| shown(reply, "State"));
        let is_up = matches!(state.as_str(), "started" | "finished");
        rows.push(status_row(name, &content));
        let code = if is_up || is_all { 0 } else { NOT_RUNNING };
        Ok(Reply { content, text: String::new(), code })
    })?;
    drop(link);
    if !invocation.json && (is_all || !rows.is_empty()) {
        env.print(&table(&STATUS_HEAD, rows, env.terminal))?;
    }
    Ok(code)
}

/// Runs a named command of a service and prints its output.
pub(super) fn command(
    invocation: &Invocation,
    env: &mut Env<'_>,
    service: &str,
    name: &str,
) -> Result<u8, Failure> {
    let parameters = [("serviceName", service), ("cmd", name)];
    let mut link = connect(invocation, env)?;
    let content = operate(invocation, env, &mut link, "services/command", &parameters)
        .map_err(|failure| unknown_command(&mut link, service, name, failure))?;
    if invocation.json {
        env.print(&format!("{content}\n"))?;
        return Ok(0);
    }
    let done = format!("command {} of {}", sanitize(name), sanitize(service));
    match Raw::parse(&content).and_then(|reply| reply.get("Output")).and_then(string) {
        Some(output) => env.print(&ended(sanitize_lines(&output)))?,
        None => env.print(&format!("{done}: ok\n"))?,
    }
    match command_exit(&content) {
        None => Ok(0),
        Some(exit) => Err(Failure::new(FAILED, format!("{done} failed: {exit}"))),
    }
}

/// Names the commands of the service where it has none of this name.
fn unknown_command(link: &mut Link, service: &str, name: &str, failure: Failure) -> Failure {
    if failure.code != UNKNOWN {
        return failure;
    }
    let Ok(content) = link.call("services/show", &[("serviceName", service)]) else {
        return with_hint(link, service, failure);
    };
    let commands = Raw::parse(&content).and_then(|reply| reply.get("Commands"));
    let commands = commands.into_iter().flat_map(Raw::elements).filter_map(|entry| text_of(entry, "Name"));
    let commands: Vec<String> = commands.map(|name| sanitize(&name)).collect();
    let has = if commands.is_empty() {
        "it has none".to_owned()
    } else {
        format!("it has {}", commands.join(", "))
    };
    failure.with_text(format!("{} has no command '{}'; {has}", sanitize(service), sanitize(name)))
}

pub(super) fn status_of(link: &mut Link, service: &str) -> Result<String, Failure> {
    link.call("services/status", &[("serviceName", service)])
}

/// Reads the content of a reply to `services/list`.
fn read_list(content: &str) -> Result<Vec<Service>, Failure> {
    let malformed = || Failure::new(FAILED, "cannot read the server's list of services");
    let list = Raw::parse(content).and_then(|reply| reply.get("Services")).ok_or_else(malformed)?;
    let shown = |service, key| text_of(service, key).as_deref().map(sanitize);
    list.elements()
        .map(|service| {
            // Friend Core named a service `Service` at first.
            let name = shown(service, "Name").or_else(|| shown(service, "Service")).ok_or_else(malformed)?;
            // `Status` is Friend Core's own word, which knows three states.
            let state = shown(service, "state").or_else(|| shown(service, "Status"));
            let state = state.unwrap_or_else(|| "-".to_owned());
            let state = match shown(service, "reason") {
                Some(reason) => format!("{state}: {reason}"),
                None => state,
            };
            Ok(Service { name, state, description: description(service) })
        })
        .collect()
}

/// Description of a service; may be empty.
fn description(service: Raw<'_>) -> String {
    text_of(service, "Description").map_or_else(String::new, |description| sanitize(&description))
}

fn status_row(service: &str, content: &str) -> Row {
    let reply = Raw::parse(content);
    let text = |key| reply.and_then(|reply| text_of(reply, key)).filter(|text| !text.is_empty());
    let shown = |text: Option<String>| shown_or(text.as_deref().map(sanitize));
    let never = || {
        let is_new = text("StartedOnce").is_some_and(|once| once == "false");
        is_new.then(|| "never run".to_owned())
    };
    let last_exit = text("Reason").or_else(|| text("LastExit")).or_else(never);
    let state = shown_or(reply.map(shown_state));
    let state = match text("Text").filter(|_| state.starts_with("started")) {
        Some(own) => format!("{state}: {}", sanitize(&own)),
        None => state,
    };
    let events = reply.map_or_else(String::new, |reply| events(reply, "Events", ["Key", "Value"]));
    vec![
        sanitize(service),
        state + &events,
        shown(text("Pid").filter(|pid| pid != "0")),
        reply.map_or_else(|| "-".to_owned(), |reply| shown_duration(reply, "Since")),
        shown(text("Restarts")),
        shown(last_exit),
        reply.map_or_else(String::new, description),
    ]
}

/// Events of a service, such as `, door open`.
pub(super) fn events(reply: Raw<'_>, list: &str, [key, value]: [&str; 2]) -> String {
    let event = |event| Some(format!(", {} {}", text_of(event, key)?, text_of(event, value)?));
    sanitize(&members(reply, list).filter_map(event).collect::<String>())
}

/// Text whose last line has an end.
fn ended(mut text: String) -> String {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

/// Exit of a named command, unless it succeeded.
fn command_exit(content: &str) -> Option<String> {
    let exit = text_of(Raw::parse(content)?, "Exit")?;
    (!matches!(exit.as_str(), "" | "0" | "exit 0")).then(|| sanitize(&exit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_each_generation() {
        let pairs = |content| {
            read_list(content)
                .map(|list| list.into_iter().map(|service| (service.name, service.state)).collect::<Vec<_>>())
        };
        let later = "{ \"Services\": [ { \"Name\": \"hello\" , \"Status\": \"stopped\" ,  \"Hosts\" : \"My computer\" }] }";
        let early = "{ \"Services\": [ { \"Service\": \"hello\" , \"Status\": \"0\" ,  \"Hosts\" : \"\" }] }";
        assert_eq!(pairs(later), Ok(vec![("hello".into(), "stopped".into())]));
        let current = r#"{ "Services": [ { "Name": "a" , "Status": "stopped" ,  "Hosts" : "My computer", "state":"failed", "reason":"exit 1" }] }"#;
        assert_eq!(pairs(current), Ok(vec![("a".into(), "failed: exit 1".into())]));
        assert_eq!(pairs(early), Ok(vec![("hello".into(), "0".into())]));
        assert_eq!(pairs("{ \"Services\": [{\"Name\":\"a\"}] }"), Ok(vec![("a".into(), "-".into())]));
        assert_eq!(pairs("{ \"Services\": [ ] }"), Ok(vec![]));
        for content in ["", "{}", "{\"Services\":[{}]}", "{\"Services\":[1]}"] {
            assert!(pairs(content).is_err(), "{content}");
        }
    }

    #[test]
    fn list_of_the_largest_table() {
        let service = r#"{ "Name": "s" , "Status": "started" ,  "Hosts" : "My computer" }"#;
        let content = format!("{{ \"Services\": [ {}] }}", [service; 64].join(","));
        assert_eq!(read_list(&content).unwrap().len(), 64);
    }

    #[test]
    fn rows_of_a_status() {
        let row = |content| status_row("hello", content).join("|");
        assert_eq!(
            row(
                "{ \"Status\": \"ok\", \"State\": \"started\", \"Pid\": 1234, \"Since\": 61, \"Restarts\": 0, \"LastExit\": \"\"}"
            ),
            "hello|started|1234|1m 1s|0|-|"
        );
        assert_eq!(row("{ \"Status\": \"ok\", \"Description\": \"a\\u001b\"}"), "hello|-|-|-|-|-|a\u{FFFD}");
        assert_eq!(
            row(
                r#"{ "State": "failed", "LastExit": "cannot start", "Reason": "cannot start /x", "StartedOnce": false}"#
            ),
            "hello|failed|-|-|-|cannot start /x|"
        );
        assert_eq!(
            row(r#"{ "State": "stopped", "LastExit": "", "Reason": "", "StartedOnce": false}"#),
            "hello|stopped|-|-|-|never run|"
        );
        assert_eq!(
            row(r#"{ "State": "started", "Ready": false, "Text": "loading\u0007"}"#),
            "hello|started, not ready: loading\u{FFFD}|-|-|-|-|"
        );
        assert_eq!(
            row(
                r#"{ "State": "started", "Events": [{"Key": "door", "Value": "open\u001b"}, {"Key": "n", "Value": "1"}]}"#
            ),
            "hello|started, door open\u{FFFD}, n 1|-|-|-|-|"
        );
        assert_eq!(row("nonsense"), "hello|-|-|-|-|-|");
    }

    #[test]
    fn exit_of_a_command() {
        let exit =
            |exit| command_exit(&format!("{{ \"Status\": \"ok\", \"Exit\": \"{exit}\", \"Output\": \"\"}}"));
        assert_eq!(exit("exit 0"), None);
        assert_eq!(exit(""), None);
        assert_eq!(exit("exit 1"), Some("exit 1".to_owned()));
        assert_eq!(exit("signal 9"), Some("signal 9".to_owned()));
        assert_eq!(command_exit("{ \"Status\": \"ok\"}"), None);
    }
}
