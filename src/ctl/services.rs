//! The commands.

use data_encoding::HEXLOWER;
use ring::digest;

use super::arguments::{Action, Invocation};
use super::json::{self, Node};
use super::link::Link;
use super::output::{clean, clean_lines, columns, span, unwritable};
use super::reply::{judge, no_session};
use super::state::{SESSIONS, StateDir};
use super::{FAILED, Failure, NO_RIGHT, NOT_RUNNING, World, board, connection, http, log, watch};

/// Longest session id that is looked at; Friend Core keeps ids in 256 bytes.
const SESSION_BYTES: usize = 255;

/// Carries out a command and gives the exit code.
pub(super) fn run(invocation: &Invocation, world: &mut World<'_>) -> Result<u8, Failure> {
    match &invocation.action {
        Action::Login { user } => login(invocation, world, user),
        Action::Logout => logout(invocation, world),
        Action::List => {
            let content = open(invocation, world)?.call("system.library/services/list", &[])?;
            let content = judge(&content)?;
            if invocation.json {
                return print(world, &format!("{content}\n"));
            }
            let rows = services(content)?.into_iter().map(|(name, state)| [name, state]);
            let head = ["SERVICE", "STATE"].map(str::to_owned);
            print(world, &columns(&[head].into_iter().chain(rows).collect::<Vec<_>>()))
        }
        Action::Verb { verb, service } => {
            let path = format!("system.library/services/{}", verb.name());
            let content = open(invocation, world)?.call(&path, &[("serviceName", service)])?;
            let content = judge(&content)?;
            if invocation.json {
                return print(world, &format!("{content}\n"));
            }
            print(world, &format!("{} {}: ok\n", verb.name(), clean(service)))
        }
        Action::Status { service: Some(service) } => {
            let content = status_of(&mut open(invocation, world)?, service)?;
            let row = status_row(service, &content);
            let running = row[1] == "started";
            if invocation.json {
                print(world, &format!("{content}\n"))?;
            } else {
                print(world, &columns(&[status_head(), row]))?;
            }
            Ok(if running { 0 } else { NOT_RUNNING })
        }
        Action::Status { service: None } => status_of_all(invocation, world),
        Action::Command { service, name } => {
            let parameters = [("serviceName", service.as_str()), ("cmd", name)];
            let content = open(invocation, world)?.call("system.library/services/command", &parameters)?;
            let content = judge(&content)?;
            if invocation.json {
                return print(world, &format!("{content}\n"));
            }
            print(world, &command_text(content))?;
            let exit = command_exit(content);
            exit.map_or(Ok(0), |exit| {
                Err(Failure::new(FAILED, format!("{} of {}: {exit}", clean(name), clean(service))))
            })
        }
        Action::Board => board::status(invocation, world),
        Action::Log(options) => log::run(invocation, world, options),
        Action::End(end) => board::end(invocation, world, *end),
        Action::Passwd { user } => board::passwd(invocation, world, user.as_deref()),
        Action::Watch { service } => watch::run(invocation, world, service.as_deref()),
    }
}

pub(super) fn state_of<'w>(world: &'w World<'_>) -> Result<&'w StateDir, Failure> {
    world.state.as_ref().map_err(|failure| Failure::new(failure.code, failure.text.clone()))
}

pub(super) fn print(world: &mut World<'_>, text: &str) -> Result<u8, Failure> {
    world
        .out
        .write_all(text.as_bytes())
        .and_then(|()| world.out.flush())
        .map_err(|error| unwritable(&error))?;
    Ok(0)
}

/// The session to use: of the command line, of the environment, or the remembered one.
pub(super) fn session(invocation: &Invocation, world: &World<'_>) -> Result<String, Failure> {
    if let Some(session) = invocation.session.as_ref().or(world.session.as_ref()) {
        return Ok(session.clone());
    }
    state_of(world)?
        .get(SESSIONS, &invocation.url.to_string())?
        .ok_or_else(|| no_session(&format!("no session for {} is remembered", invocation.url)))
}

/// Connects and upgrades.
pub(super) fn open(invocation: &Invocation, world: &mut World<'_>) -> Result<Link, Failure> {
    let session = session(invocation, world)?;
    let stream = connect(invocation, world)?;
    Link::new(http::upgrade(stream, &invocation.url.authority(), &session)?, session)
}

pub(super) fn connect(invocation: &Invocation, world: &mut World<'_>) -> Result<connection::Stream, Failure> {
    let World { state, err, .. } = world;
    let state = state.as_ref().map_err(|failure| Failure::new(failure.code, failure.text.clone()))?;
    connection::connect(&invocation.url, invocation.fingerprint, state, *err)
}

fn login(invocation: &Invocation, world: &mut World<'_>, user: &str) -> Result<u8, Failure> {
    // The certificate is made sure of before anything secret is asked for.
    drop(connect(invocation, world)?);
    let password = (world.password)(&format!("password of {} at {}: ", clean(user), invocation.url))
        .map_err(|error| Failure::new(FAILED, format!("cannot read the password: {error}")))?;
    let password = hashed(&password);
    let device = device_id();
    let parameters = [("username", user), ("password", &password), ("deviceid", &device)];
    let mut stream = connect(invocation, world)?;
    let content = http::post(&mut stream, &invocation.url.authority(), "system.library/login", &parameters)?;
    let content = judge(&content)?;
    let node = json::parse(content);
    let fits =
        |id: &&str| (1..=SESSION_BYTES).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic());
    let session = node.as_ref().and_then(|node| node.get("sessionid")).and_then(Node::string).filter(fits);
    let session =
        session.ok_or_else(|| Failure::new(FAILED, "the server answers a login without a session"))?;
    state_of(world)?.set(SESSIONS, &invocation.url.to_string(), Some(session))?;
    if invocation.json {
        return print(world, &format!("{content}\n"));
    }
    let level = node.as_ref().and_then(|node| node.get("level")).and_then(Node::text).unwrap_or("user");
    print(world, &format!("logged in to {} as {} ({})\n", invocation.url, clean(user), clean(level)))
}

/// The form in which a password is sent.
pub(super) fn hashed(password: &str) -> String {
    let hash = digest::digest(&digest::SHA256, password.as_bytes());
    format!("HASHED{}", HEXLOWER.encode_display(hash.as_ref()))
}

fn logout(invocation: &Invocation, world: &mut World<'_>) -> Result<u8, Failure> {
    let session = session(invocation, world)?;
    let mut stream = connect(invocation, world)?;
    let authority = invocation.url.authority();
    let outcome =
        http::post(&mut stream, &authority, "system.library/user/logout", &[("sessionid", &session)])
            .and_then(|content| judge(&content).map(str::to_owned));
    let content = match outcome {
        // A session that has ended already is as good as one that ends now.
        Err(failure) if failure.code == NO_RIGHT => String::new(),
        other => other?,
    };
    let state = state_of(world)?;
    let url = invocation.url.to_string();
    if state.get(SESSIONS, &url)?.as_deref() == Some(session.as_str()) {
        state.set(SESSIONS, &url, None)?;
    }
    if invocation.json {
        return print(world, &format!("{content}\n"));
    }
    print(world, &format!("logged out of {url}\n"))
}

/// Names this machine, so that a second login from here takes up the same session.
fn device_id() -> String {
    let name = rustix::system::uname();
    let name = name.nodename().to_string_lossy();
    let fits = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    format!("friendlet-ctl-{}", name.chars().filter(fits).take(32).collect::<String>())
}

/// Names and states out of the content of `list`.
fn services(content: &str) -> Result<Vec<(String, String)>, Failure> {
    let unread = || Failure::new(FAILED, "the server's list of services cannot be read");
    let node = json::parse(content).ok_or_else(unread)?;
    let list = node.get("Services").ok_or_else(unread)?.elements();
    let text = |node: &Node<'_>, name| node.get(name).and_then(Node::text).map(clean);
    list.iter()
        .map(|service| {
            let name = text(service, "Name").or_else(|| text(service, "Service"));
            Some((name?, text(service, "Status").unwrap_or_default()))
        })
        .collect::<Option<_>>()
        .ok_or_else(unread)
}

/// Names and states of all services, or of one; in detail, where the server tells them so.
pub(super) fn states(link: &mut Link, only: Option<&str>) -> Result<Vec<(String, String)>, Failure> {
    let list = link.call("system.library/services/list", &[])?;
    let mut states = services(judge(&list)?)?;
    states.retain(|(name, _)| only.is_none_or(|only| only == name));
    for (name, state) in &mut states {
        let content = status_of(link, name)?;
        if let Some(detail) = json::parse(&content).as_ref().and_then(|node| node.get("State")?.string()) {
            *state = clean(detail);
        }
    }
    Ok(states)
}

fn status_of(link: &mut Link, service: &str) -> Result<String, Failure> {
    let content = link.call("system.library/services/status", &[("serviceName", service)])?;
    Ok(judge(&content)?.to_owned())
}

fn status_of_all(invocation: &Invocation, world: &mut World<'_>) -> Result<u8, Failure> {
    let mut link = open(invocation, world)?;
    let list = link.call("system.library/services/list", &[])?;
    let mut rows = vec![status_head()];
    let mut members = Vec::new();
    for (name, _) in services(judge(&list)?)? {
        let content = status_of(&mut link, &name)?;
        rows.push(status_row(&name, &content));
        let mut member = String::new();
        json::put_string(&mut member, &name);
        members.push(format!("{member}:{content}"));
    }
    drop(link);
    if invocation.json {
        return print(world, &format!("{{{}}}\n", members.join(",")));
    }
    print(world, &columns(&rows))
}

type StatusRow = [String; 6];

fn status_head() -> StatusRow {
    ["SERVICE", "STATE", "PID", "SINCE", "RESTARTS", "LAST EXIT"].map(str::to_owned)
}

fn status_row(service: &str, content: &str) -> StatusRow {
    let node = json::parse(content);
    let text = |name| node.as_ref().and_then(|node| node.get(name)).and_then(Node::text);
    let shown =
        |text: Option<&str>| text.filter(|text| !text.is_empty()).map_or_else(|| "-".to_owned(), clean);
    let since = text("Since").and_then(|seconds| seconds.parse().ok()).map(span);
    [
        clean(service),
        shown(text("State")),
        shown(text("Pid").filter(|pid| *pid != "0")),
        shown(since.as_deref()),
        shown(text("Restarts")),
        shown(text("LastExit")),
    ]
}

/// What a command says, for people: the text of an `Output`, or the content as it is.
fn command_text(content: &str) -> String {
    let node = json::parse(content);
    let output = node.as_ref().and_then(|node| node.get("Output"));
    let mut text = clean_lines(output.and_then(Node::string).unwrap_or(content));
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

/// How a command ended, unless it ended well.
fn command_exit(content: &str) -> Option<String> {
    let node = json::parse(content)?;
    let exit = node.get("Exit")?.text()?;
    (!matches!(exit, "" | "0" | "exit 0")).then(|| clean(exit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_both_generations() {
        let later = "{ \"Services\": [ { \"Name\": \"hello\" , \"Status\": \"stopped\" ,  \"Hosts\" : \"My computer\" }] }";
        let early = "{ \"Services\": [ { \"Service\": \"hello\" , \"Status\": \"0\" ,  \"Hosts\" : \"\" }] }";
        assert_eq!(services(later), Ok(vec![("hello".into(), "stopped".into())]));
        assert_eq!(services(early), Ok(vec![("hello".into(), "0".into())]));
        assert_eq!(services("{ \"Services\": [ ] }"), Ok(vec![]));
        for content in ["", "{}", "{\"Services\":[{}]}", "{\"Services\":[1]}"] {
            assert!(services(content).is_err(), "{content}");
        }
    }

    #[test]
    fn rows_of_a_status() {
        let row = |content| status_row("hello", content).join("|");
        assert_eq!(
            row(
                "{ \"Status\": \"ok\", \"State\": \"started\", \"Pid\": 1234, \"Since\": 61, \"Restarts\": 0, \"LastExit\": \"\"}"
            ),
            "hello|started|1234|1m 1s|0|-"
        );
        assert_eq!(row("{ \"Status\": \"ok\"}"), "hello|-|-|-|-|-");
    }

    #[test]
    fn text_of_a_command() {
        assert_eq!(command_text("{\"Status\":\"ok\",\"Output\":\"a\\nb\\u001b\"}"), "a\nb\u{FFFD}\n");
        assert_eq!(command_text("{ \"Status\": \"ok\"}"), "{ \"Status\": \"ok\"}\n");
        assert_eq!(command_text(""), "");
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

    #[test]
    fn device_id_fits() {
        let id = device_id();
        assert!(id.starts_with("friendlet-ctl-") && id.len() <= 46, "{id}");
    }
}
