//! Services: `list`, `status`, `command`, and the verbs of the supervisor.

use super::arguments::Invocation;
use super::client::{connect, operate};
use super::env::Env;
use super::failure::{FAILED, Failure, NOT_RUNNING};
use super::link::Link;
use super::output::{columns, format_duration, sanitize, sanitize_lines};
use super::values::{compose, shown_or, shown_state, string, text_of};
use crate::json::Raw;

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
    let rows =
        read_list(&content)?.into_iter().map(|service| [service.name, service.state, service.description]);
    env.print(&table(LIST_HEAD, rows))?;
    Ok(0)
}

/// Runs a verb of the supervisor.
pub(super) fn run(
    invocation: &Invocation,
    env: &mut Env<'_>,
    verb: &str,
    service: &str,
) -> Result<u8, Failure> {
    let path = format!("services/{verb}");
    let content = operate(invocation, env, &path, &[("serviceName", service)])?;
    let text = if invocation.json { content } else { format!("{verb} {}: ok", sanitize(service)) };
    env.print(&format!("{text}\n"))?;
    Ok(0)
}

/// Prints the status of one service; its exit code is that of an LSB script.
pub(super) fn status(invocation: &Invocation, env: &mut Env<'_>, service: &str) -> Result<u8, Failure> {
    let content = status_of(&mut connect(invocation, env)?, service)?;
    let row = status_row(service, &content);
    let is_started = row[1].starts_with("started");
    env.print(&if invocation.json { format!("{content}\n") } else { table(STATUS_HEAD, [row]) })?;
    Ok(if is_started { 0 } else { NOT_RUNNING })
}

/// Prints the status of every service.
pub(super) fn status_of_all(invocation: &Invocation, env: &mut Env<'_>) -> Result<u8, Failure> {
    let mut link = connect(invocation, env)?;
    let mut rows = Vec::new();
    let mut members = Vec::new();
    for Service { name, .. } in read_list(&link.call("services/list", &[])?)? {
        let content = status_of(&mut link, &name)?;
        rows.push(status_row(&name, &content));
        members.push(format!("{}:{content}", compose(|out| out.put_text(&name))?));
    }
    drop(link);
    let members = || format!("{{{}}}\n", members.join(","));
    env.print(&if invocation.json { members() } else { table(STATUS_HEAD, rows) })?;
    Ok(0)
}

/// Runs a named command of a service and prints its output.
pub(super) fn command(
    invocation: &Invocation,
    env: &mut Env<'_>,
    service: &str,
    name: &str,
) -> Result<u8, Failure> {
    let parameters = [("serviceName", service), ("cmd", name)];
    let content = operate(invocation, env, "services/command", &parameters)?;
    if invocation.json {
        env.print(&format!("{content}\n"))?;
        return Ok(0);
    }
    env.print(&command_output(&content))?;
    match command_exit(&content) {
        None => Ok(0),
        Some(exit) => {
            let text = format!("command {} of {} failed: {exit}", sanitize(name), sanitize(service));
            Err(Failure::new(FAILED, text))
        }
    }
}

/// Services with their states, or one service; in detail, where the server reports it.
pub(super) fn states(link: &mut Link, only: Option<&str>) -> Result<Vec<(String, String)>, Failure> {
    let mut services = read_list(&link.call("services/list", &[])?)?;
    services.retain(|service| only.is_none_or(|only| only == service.name));
    services
        .into_iter()
        .map(|Service { name, state, .. }| {
            let content = status_of(link, &name)?;
            let detail = Raw::parse(&content).and_then(|reply| reply.get("State")).and_then(string);
            Ok((name, detail.map_or(state, |detail| sanitize(&detail))))
        })
        .collect()
}

fn status_of(link: &mut Link, service: &str) -> Result<String, Failure> {
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

fn status_row(service: &str, content: &str) -> [String; 7] {
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
    let since = text("Since").and_then(|seconds| seconds.parse().ok()).map(format_duration);
    [
        sanitize(service),
        state,
        shown(text("Pid").filter(|pid| pid != "0")),
        shown(since),
        shown(text("Restarts")),
        shown(last_exit),
        reply.map_or_else(String::new, description),
    ]
}

/// Aligned columns; the last one, the description, is left out where no row has one.
fn table<const N: usize>(head: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut rows: Vec<Vec<String>> = rows.into_iter().map(Vec::from).collect();
    rows.insert(0, head.map(str::to_owned).into());
    if rows.iter().skip(1).all(|row| row.last().is_none_or(String::is_empty)) {
        rows.iter_mut().for_each(|row| row.truncate(N - 1));
    }
    columns(&rows)
}

/// Output of a named command; of a signal, the content of the reply.
fn command_output(content: &str) -> String {
    let output = Raw::parse(content).and_then(|reply| reply.get("Output")).and_then(string);
    let mut text = sanitize_lines(output.as_deref().unwrap_or(content));
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
        assert_eq!(row("nonsense"), "hello|-|-|-|-|-|");
    }

    #[test]
    fn description_is_a_column_where_there_is_one() {
        let row = |name: &str, description: &str| [name.to_owned(), "-".to_owned(), description.to_owned()];
        assert_eq!(
            table(LIST_HEAD, [row("a", ""), row("b", "")]),
            "SERVICE  STATE\na        -\nb        -\n"
        );
        assert_eq!(
            table(LIST_HEAD, [row("a", ""), row("b", "Web page")]),
            "SERVICE  STATE  DESCRIPTION\na        -\nb        -      Web page\n"
        );
        assert_eq!(table(LIST_HEAD, []), "SERVICE  STATE\n");
    }

    #[test]
    fn output_of_a_command() {
        assert_eq!(command_output("{\"Status\":\"ok\",\"Output\":\"a\\nb\\u001b\"}"), "a\nb\u{FFFD}\n");
        assert_eq!(command_output("{ \"Status\": \"ok\"}"), "{ \"Status\": \"ok\"}\n");
        assert_eq!(command_output(""), "");
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
