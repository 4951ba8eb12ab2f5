//! Command line of `friendlet ctl`.

#[cfg(test)]
mod tests;

use std::ffi::OsString;

use lexopt::{Arg, Parser};

use super::failure::{Failure, USAGE};
use super::help;
use super::pin::{Fingerprint, parse_fingerprint};
use crate::api::{CALLS, Handler};
use crate::call::LogSource;
use crate::log::Level;
use crate::suggest::nearest;

/// Command with its operands checked.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Action {
    Login {
        user: String,
    },
    Logout,
    List,
    Verb {
        verb: Verb,
        services: Vec<String>,
        /// Wait until they have the state that it leads to.
        waits: bool,
    },
    Status {
        services: Vec<String>,
    },
    Show {
        service: String,
    },
    Command {
        service: String,
        name: String,
    },
    Logs {
        services: Vec<String>,
        options: LogOptions,
    },
    Watch {
        services: Vec<String>,
    },
    Board,
    Reload {
        is_trial: bool,
    },
    Configuration(ConfigurationAction),
    /// Let another program take over.
    Upgrade,
    MarkGood,
    ServerLog(LogOptions),
    End(BoardEnd),
    Passwd {
        user: Option<String>,
    },
    /// List sessions, or end one.
    Sessions {
        end: Option<String>,
    },
    /// Open the window for the certificate of a user, close it, or pair one's own.
    Pair {
        /// User of the window; empty: it is closed.
        user: Option<String>,
        /// Beginning of the only key that it accepts.
        only: Option<String>,
    },
    /// End blocks after wrong passwords.
    Unlock {
        user: Option<String>,
    },
    Call {
        path: String,
        parameters: Vec<(String, String)>,
    },
    CompleteCalls,
    /// Ask the network for servers.
    Discover,
}

/// Command of the supervisor.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Verb {
    /// Name on the command line.
    pub(super) word: &'static str,
    /// Name in the path of the call.
    pub(super) call: &'static str,
}

/// Operation of `configuration`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum ConfigurationAction {
    Show {
        /// The file of each service instead.
        has_sources: bool,
    },
    Set {
        /// Path; `-` is standard input.
        file: String,
        is_dry: bool,
        /// Time to confirm.
        seconds: Option<String>,
        /// The command confirms it.
        is_confirmed: bool,
    },
    Edit,
    Confirm,
}

/// Options of `logs` and `server-log`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct LogOptions {
    /// Continue with later lines.
    pub(super) follow: bool,
    /// Largest number of lines.
    pub(super) lines: Option<u32>,
    /// Log level to set.
    pub(super) level: Option<String>,
    /// Files instead of the records in memory.
    pub(super) source: Option<LogSource>,
    /// File for the records, unchanged; `-` is standard output.
    pub(super) raw: Option<String>,
}

/// Restart, shutdown or factory reset of the board.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum BoardEnd {
    Reboot,
    PowerOff,
    FactoryReset,
}

impl BoardEnd {
    /// Name on the command line and in the path of the call.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Reboot => "reboot",
            Self::PowerOff => "poweroff",
            Self::FactoryReset => "factory-reset",
        }
    }
}

/// Command line.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Arguments {
    /// Addresses and names of servers.
    pub(super) servers: Vec<String>,
    pub(super) session: Option<String>,
    pub(super) fingerprint: Option<Fingerprint>,
    /// Files of the client certificate and its key.
    pub(super) certificate: Option<Box<[String; 2]>>,
    pub(super) json: bool,
    pub(super) action: Action,
}

#[derive(Debug, Eq, PartialEq)]
pub(super) enum Parsed {
    Help(String),
    Run(Arguments),
}

/// Option: its name and letter, whether a value follows, and the commands that have it; none: all.
type Opt = (&'static str, char, bool, &'static [&'static str]);

const NONE: char = '\0';
#[rustfmt::skip]
const OPTIONS: [Opt; 21] = [
    ("help",        'h',  false, &[]),
    ("url",         NONE, true,  &[]),
    ("on",          NONE, true,  &[]),
    ("session",     NONE, true,  &[]),
    ("fingerprint", NONE, true,  &[]),
    ("cert",        NONE, true,  &[]),
    ("key",         NONE, true,  &[]),
    ("json",        NONE, false, &[]),
    ("wait",        NONE, false, &["start", "stop", "restart"]),
    ("follow",      'f',  false, &["logs", "server-log"]),
    ("lines",       'n',  true,  &["logs"]),
    ("level",       NONE, true,  &["server-log"]),
    ("raw",         NONE, true,  &["server-log"]),
    ("earlier",     NONE, false, &["server-log"]),
    ("audit",       NONE, false, &["server-log"]),
    ("dry-run",     NONE, false, &["reload", "configuration set"]),
    ("sources",     NONE, false, &["configuration"]),
    ("seconds",     NONE, true,  &["configuration set"]),
    ("no-confirm",  NONE, false, &["configuration set"]),
    ("cancel",      NONE, false, &["pair"]),
    ("only",        NONE, true,  &["pair"]),
];
/// Other words for verbs of the supervisor.
const SYNONYMS: [Verb; 2] =
    [Verb { word: "enable", call: "install" }, Verb { word: "disable", call: "uninstall" }];

/// Options of a command line, each with its value.
struct Given(Vec<(&'static Opt, String)>);

impl Given {
    fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    fn value(&self, name: &str) -> Option<String> {
        self.0.iter().rev().find(|(option, _)| option.0 == name).map(|(_, value)| value.clone())
    }

    fn log_options(&self) -> Result<LogOptions, Failure> {
        let mut lines = None;
        if let Some(text) = self.value("lines") {
            let number = text.parse().map_err(|_| usage(format!("--lines: '{text}' is not a number")))?;
            lines = Some(number);
        }
        let source = |name, source| self.has(name).then_some(source);
        let options = LogOptions {
            follow: self.has("follow"),
            lines,
            level: self.value("level"),
            source: source("audit", LogSource::Audit).or(source("earlier", LogSource::Files)),
            raw: self.value("raw"),
        };
        if let Some(level) = &options.level
            && Level::from_name(level).is_none()
        {
            let levels = Level::ALL.map(Level::name).join(", ");
            return Err(usage(format!("--level: '{level}' is none of {levels}")));
        }
        if options.source.is_some() && (options.follow || options.level.is_some()) {
            return Err(usage("--earlier and --audit print files: without --follow and --level"));
        }
        Ok(options)
    }
}

/// Finds a verb of the supervisor, each of which is a command.
fn find_verb(word: &str) -> Option<Verb> {
    let verbs = CALLS.iter().filter(|row| matches!(row.handler, Handler::Verb(_)));
    let verbs = verbs.filter_map(|row| row.path.last()).map(|call| Verb { word: call, call });
    verbs.chain(SYNONYMS).find(|verb| verb.word == word)
}

pub(super) fn usage(text: impl std::fmt::Display) -> Failure {
    let text = text.to_string();
    // A question is advice enough.
    let advice = if text.ends_with('?') { "" } else { "; see `friendlet ctl --help`" };
    Failure::new(USAGE, text + advice)
}

/// Parses a command line.
pub(super) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Parsed, Failure> {
    let mut parser = Parser::from_args(arguments);
    let mut given = Given(Vec::new());
    let (mut words, mut servers) = (Vec::<String>::new(), Vec::new());
    while let Some(argument) = parser.next().map_err(usage)? {
        let (option, name) = match argument {
            Arg::Value(word) => {
                words.push(text(word)?);
                continue;
            }
            Arg::Long(name) => (OPTIONS.iter().find(|option| option.0 == name), format!("--{name}")),
            Arg::Short(letter) => (OPTIONS.iter().find(|option| option.1 == letter), format!("-{letter}")),
        };
        let option = option.ok_or_else(|| unknown_option(&name))?;
        let value = if option.2 { text(parser.value().map_err(usage)?)? } else { String::new() };
        if matches!(option.0, "url" | "on") {
            servers.extend(value.split(',').map(str::to_owned));
        }
        given.0.push((option, value));
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if let (true, [command, ..]) | (false, ["help", command]) = (given.has("help"), words.as_slice()) {
        return help::of(command).map(Parsed::Help).ok_or_else(|| unknown_command(command));
    }
    if given.has("help") || words == ["help"] {
        return Ok(Parsed::Help(help::text()));
    }
    let action = parse_action(&words, &given)?;
    let command = match words.as_slice() {
        ["configuration", word, ..] => format!("configuration {word}"),
        words => words.first().copied().unwrap_or_default().to_owned(),
    };
    let is_wrong = |option: &Opt| !option.3.is_empty() && !option.3.contains(&command.as_str());
    if let Some((option, _)) = given.0.iter().find(|(option, _)| is_wrong(option)) {
        return Err(usage(format!("'{}' has no option --{}", words.join(" "), option.0)));
    }
    let mut fingerprint = None;
    if let Some(hex) = given.value("fingerprint") {
        fingerprint = parse_fingerprint(&hex);
        if fingerprint.is_none() {
            return Err(usage(format!("'{hex}' is not a SHA-256 fingerprint of 64 hexadecimal digits")));
        }
    }
    let (certificate, key) = (given.value("cert"), given.value("key"));
    if certificate.is_some() != key.is_some() {
        return Err(usage("--cert and --key go together"));
    }
    let certificate = certificate.zip(key).map(|(certificate, key)| Box::new([certificate, key]));
    if certificate.is_none() && matches!(action, Action::Pair { user: None, .. }) {
        return Err(usage(
            "pair needs the USER whose certificate is accepted, --cancel, or --cert and --key to pair that one",
        ));
    }
    Ok(Parsed::Run(Arguments {
        servers,
        session: given.value("session"),
        fingerprint,
        certificate,
        json: given.has("json"),
        action,
    }))
}

fn text(word: OsString) -> Result<String, Failure> {
    word.into_string().map_err(|word| usage(format!("{} is not UTF-8", word.display())))
}

fn parse_action(words: &[&str], given: &Given) -> Result<Action, Failure> {
    let own = |word: &&str| (*word).to_owned();
    let all = |words: &[&str]| words.iter().map(own).collect::<Vec<_>>();
    Ok(match words {
        [] => return Err(usage("a command is missing")),
        ["login", user] => Action::Login { user: own(user) },
        ["logout"] => Action::Logout,
        ["list"] => Action::List,
        ["status", services @ ..] => Action::Status { services: all(services) },
        ["show", service] => Action::Show { service: own(service) },
        ["command", service, name] => Action::Command { service: own(service), name: own(name) },
        ["logs", services @ ..] if !services.is_empty() => {
            Action::Logs { services: all(services), options: given.log_options()? }
        }
        ["watch", services @ ..] => Action::Watch { services: all(services) },
        ["board"] => Action::Board,
        ["reload"] => Action::Reload { is_trial: given.has("dry-run") },
        ["configuration"] => {
            Action::Configuration(ConfigurationAction::Show { has_sources: given.has("sources") })
        }
        ["configuration", "confirm"] => Action::Configuration(ConfigurationAction::Confirm),
        ["configuration", "set", file] => Action::Configuration(ConfigurationAction::Set {
            file: own(file),
            is_dry: given.has("dry-run"),
            seconds: given.value("seconds"),
            is_confirmed: !given.has("no-confirm"),
        }),
        ["edit"] => Action::Configuration(ConfigurationAction::Edit),
        ["upgrade"] => Action::Upgrade,
        ["mark-good"] => Action::MarkGood,
        ["server-log"] => Action::ServerLog(given.log_options()?),
        ["reboot"] => Action::End(BoardEnd::Reboot),
        ["poweroff"] => Action::End(BoardEnd::PowerOff),
        ["sessions"] => Action::Sessions { end: None },
        ["sessions", "end", id] => Action::Sessions { end: Some(own(id)) },
        ["pair"] if !given.has("only") => {
            Action::Pair { user: given.has("cancel").then(String::new), only: None }
        }
        ["pair", user] if !given.has("cancel") && !user.is_empty() => {
            Action::Pair { user: Some(own(user)), only: given.value("only") }
        }
        ["unlock"] => Action::Unlock { user: None },
        ["unlock", user] => Action::Unlock { user: Some(own(user)) },
        ["factory-reset"] => Action::End(BoardEnd::FactoryReset),
        ["passwd"] => Action::Passwd { user: None },
        ["passwd", user] => Action::Passwd { user: Some(own(user)) },
        ["call", path, words @ ..] => {
            let mut parameters: Vec<(String, String)> = Vec::new();
            for word in words {
                let (key, value) = parse_parameter(word)?;
                if parameters.iter().any(|(other, _)| *other == key) {
                    return Err(usage(format!("'{key}' is given twice")));
                }
                parameters.push((key, value));
            }
            Action::Call { path: own(path), parameters }
        }
        ["complete-calls"] => Action::CompleteCalls,
        ["discover"] if given.has("url") || given.has("on") => {
            return Err(usage("discover asks the network: without --url and --on"));
        }
        ["discover"] => Action::Discover,
        [word, operands @ ..] => match find_verb(word) {
            Some(verb) if !operands.is_empty() => {
                Action::Verb { verb, services: all(operands), waits: given.has("wait") }
            }
            _ => return Err(explain(word, operands)),
        },
    })
}

fn parse_parameter(word: &str) -> Result<(String, String), Failure> {
    let (key, value) =
        word.split_once('=').ok_or_else(|| usage(format!("'{word}' is not of the form KEY=VALUE")))?;
    Ok((key.to_owned(), value.to_owned()))
}

/// Failure of a command line that is not an action.
fn explain(command: &str, operands: &[&str]) -> Failure {
    let text = help::text();
    let Some((_, expected)) = help::commands(&text).find(|(name, _)| *name == command) else {
        return match find_verb(command) {
            Some(_) => usage(format!("{command} needs SERVICE..")),
            None => unknown_command(command),
        };
    };
    let required = expected.split_whitespace().filter(|operand| !operand.starts_with('[')).count();
    match operands.last() {
        Some(extra) if operands.len() > required => usage(format!("'{extra}' is one argument too many")),
        _ => usage(format!("{command} needs {expected}")),
    }
}

fn unknown_command(command: &str) -> Failure {
    // The name of `server-log` until 0.1.
    if command == "log" {
        let text = "'log' is not a command: 'logs SERVICE' prints the output of a service, 'server-log' the \
                    server's own log";
        return usage(text);
    }
    let text = help::text();
    unknown("command", command, nearest(command, help::commands(&text).map(|(name, _)| name)))
}

fn unknown_option(option: &str) -> Failure {
    let near = nearest(option.trim_start_matches('-'), OPTIONS.iter().map(|option| option.0));
    unknown("option", option, near.map(|near| format!("--{near}")).as_deref())
}

fn unknown(kind: &str, word: &str, near: Option<&str>) -> Failure {
    let hint = near.map_or_else(String::new, |near| format!("; did you mean '{near}'?"));
    usage(format!("'{word}' is not {} {kind}{hint}", if kind == "option" { "an" } else { "a" }))
}
