//! Command line of `friendlet ctl`.

use std::ffi::OsString;
use std::path::Path;

use lexopt::{Arg, Parser};

use super::failure::{Failure, USAGE};
use super::pin::{Fingerprint, parse_fingerprint};
use super::url::Url;
use crate::api::{CALLS, Handler};
use crate::call::LogSource;
use crate::suggest::nearest;

pub(super) const HELP: &str = "\
friendlet ctl: control the services of a server

usage: friendlet ctl [OPTIONS] COMMAND

commands
  login USER            ask for the password, open a session and remember it
  logout                end the session
  list                  list the services with their states
  status [SERVICE]      status of SERVICE or of all; exit code 3 if SERVICE does not run
  show SERVICE          all that is configured for SERVICE, its state and its last ends
  start SERVICE         start it, or resume it after `pause`
  stop SERVICE          stop it with all its processes
  restart SERVICE       stop it if it runs, then start it
  pause SERVICE         stop its processes by SIGSTOP until `start`
  install SERVICE       start it with the server from now on
  uninstall SERVICE     do not start it with the server from now on
  command SERVICE NAME  run a named command of the service and print its output
  logs SERVICE          print the newest output of the service
    --lines N           at most N lines
    --follow            then print new output as it is written
  watch [SERVICE]       print changes of state as they happen
  board                 print the status of the board
  reload                read the configuration file again and put it in force, all of it or
                        nothing: only services that it changes are restarted
    --dry-run           only print what would change
  configuration [set FILE|confirm]
                        print the configuration file in force, without its secrets; `set`
                        prints what FILE changes (- is standard input), puts it in force,
                        and confirms it over a new connection: then the server writes it,
                        else the earlier one is back. `<kept secret>` keeps a secret
    --sources           print the file of each service, check and device rule instead
    --dry-run           only print what would change
    --seconds N         time to confirm, up to a minute
    --no-confirm        leave it to `configuration confirm`
  upgrade               let the program that is at the path of friendlet by now take over,
                        if it can: services run on, connections end
  mark-good             confirm the running slot, where the configuration file wants that of
                        an administrator
  server-log            print the newest records of the server's own log
    --follow            then print new records as they are logged
    --earlier           print the log files instead, those of earlier runs included
    --audit             print the audit trail instead: who did what, from where
    --level LEVEL       set the log level until the server exits: off, error, warn, info,
                        debug
    --raw FILE          store the records unchanged, for `cargo xtask log`; - is standard
                        output
  reboot                stop the services in order and restart the board
  poweroff              stop the services in order and switch the board off
  factory-reset         erase configuration, users, certificate and all data of the board,
                        and restart it: asks for the name of the board
  passwd [USER]         change your own password: asks for the old one, then for the new
                        one; an administrator changes that of USER. Without a terminal,
                        each password is a line of standard input
  unlock [USER]         end the block of USER, or of all users, after wrong passwords
  sessions [end ID]     list your sessions, those of all users for an administrator; `end`
                        ends the one with this ID of the list
  call PATH [KEY=VALUE]..
                        make any call and print its reply: `call services/hello/status`
  complete-calls        print the path of every call, for the completion of a shell

options
  --url URL             wss://HOST:PORT, or ws:// for a server on this machine without TLS,
                        or unix:PATH for the local socket, which needs no login
                        [default: the local socket of this user if it exists, such as
                        unix:/run/friendlet/ctl of root, else wss://127.0.0.1:6500]
  --session ID          use this session instead of the remembered one [environment:
                        FRIENDLET_SESSION]
  --fingerprint HEX     require the certificate with this SHA-256 fingerprint
  --json                print the server's reply unchanged
  -h, --help            print this

At the local socket, root and the user of the server are administrators. Elsewhere `login`
comes first, and the fingerprint of the server's certificate is remembered when it is first
seen, and required from then on.

exit codes: 0 success, 1 call failed, 3 service not running, 64 command line error, 69 server
not reached, 77 not logged in or permission denied
";

/// Command with its operands checked.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Action {
    Login {
        user: String,
    },
    Logout,
    List,
    Verb {
        verb: &'static str,
        service: String,
    },
    Status {
        service: Option<String>,
    },
    Show {
        service: String,
    },
    Command {
        service: String,
        name: String,
    },
    Logs {
        service: String,
        options: LogOptions,
    },
    Watch {
        service: Option<String>,
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
    /// End blocks after wrong passwords.
    Unlock {
        user: Option<String>,
    },
    Call {
        path: String,
        parameters: Vec<(String, String)>,
    },
    CompleteCalls,
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

#[derive(Debug, Eq, PartialEq)]
pub(super) struct Invocation {
    pub(super) url: Url,
    pub(super) session: Option<String>,
    pub(super) fingerprint: Option<Fingerprint>,
    pub(super) json: bool,
    pub(super) action: Action,
}

#[derive(Debug, Eq, PartialEq)]
pub(super) enum Parsed {
    Help,
    Run(Invocation),
}

/// Every command but the verbs, with its operands.
const COMMANDS: [(&str, &str); 22] = [
    ("board", ""),
    ("call", "PATH [KEY=VALUE].."),
    ("command", "SERVICE NAME"),
    ("complete-calls", ""),
    ("configuration", "[set FILE|confirm]"),
    ("factory-reset", ""),
    ("list", ""),
    ("login", "USER"),
    ("logout", ""),
    ("logs", "SERVICE"),
    ("mark-good", ""),
    ("passwd", "[USER]"),
    ("poweroff", ""),
    ("reboot", ""),
    ("reload", ""),
    ("server-log", ""),
    ("sessions", "[end ID]"),
    ("show", "SERVICE"),
    ("status", "[SERVICE]"),
    ("unlock", "[USER]"),
    ("upgrade", ""),
    ("watch", "[SERVICE]"),
];
/// Operands of a verb.
const VERB_OPERANDS: &str = "SERVICE";

/// Verbs of the supervisor: each is a command.
fn verbs() -> impl Iterator<Item = &'static str> {
    let verbs = CALLS.iter().filter(|row| matches!(row.handler, Handler::Verb(_)));
    verbs.filter_map(|row| row.path.last().copied())
}

fn usage(text: impl std::fmt::Display) -> Failure {
    Failure::new(USAGE, format!("{text}; see `friendlet ctl --help`"))
}

/// Parses a command line. Without an address, `socket` is that of the server if it exists.
pub(super) fn parse(arguments: impl IntoIterator<Item = OsString>, socket: &Path) -> Result<Parsed, Failure> {
    let mut parser = Parser::from_args(arguments);
    let mut url = None;
    let (mut session, mut fingerprint, mut json, mut is_dry) = (None, None, false, false);
    let (mut sources, mut confirms, mut time) = (false, true, None);
    let mut log = LogOptions::default();
    // Options that only some commands have.
    let mut own_options = Vec::new();
    let mut words: Vec<String> = Vec::new();
    while let Some(argument) = parser.next().map_err(usage)? {
        match argument {
            Arg::Short('h') | Arg::Long("help") => return Ok(Parsed::Help),
            Arg::Long("json") => json = true,
            Arg::Long("dry-run") => {
                is_dry = true;
                own_options.push("--dry-run");
            }
            Arg::Long("sources") => {
                sources = true;
                own_options.push("--sources");
            }
            Arg::Long("no-confirm") => {
                confirms = false;
                own_options.push("--no-confirm");
            }
            Arg::Long("seconds") => {
                time = Some(value(&mut parser)?);
                own_options.push("--seconds");
            }
            Arg::Long("follow") => {
                log.follow = true;
                own_options.push("--follow");
            }
            Arg::Long("lines") => {
                let text = value(&mut parser)?;
                let lines = text.parse().map_err(|_| usage(format!("--lines: '{text}' is not a number")))?;
                log.lines = Some(lines);
                own_options.push("--lines");
            }
            Arg::Long("level") => {
                log.level = Some(value(&mut parser)?);
                own_options.push("--level");
            }
            Arg::Long("earlier") => {
                log.source = Some(LogSource::Files);
                own_options.push("--earlier");
            }
            Arg::Long("audit") => {
                log.source = Some(LogSource::Audit);
                own_options.push("--audit");
            }
            Arg::Long("raw") => {
                log.raw = Some(value(&mut parser)?);
                own_options.push("--raw");
            }
            Arg::Long("url") => url = Some(Url::parse(&value(&mut parser)?).map_err(usage)?),
            Arg::Long("session") => session = Some(value(&mut parser)?),
            Arg::Long("fingerprint") => {
                let hex = value(&mut parser)?;
                fingerprint = Some(parse_fingerprint(&hex).ok_or_else(|| {
                    usage(format!("'{hex}' is not a SHA-256 fingerprint of 64 hexadecimal digits"))
                })?);
            }
            Arg::Value(word) => {
                words.push(
                    word.into_string().map_err(|word| usage(format!("{} is not UTF-8", word.display())))?,
                );
            }
            other => return Err(usage(other.unexpected())),
        }
    }
    let mut action = parse_action(&words)?;
    let (options, allowed): (_, &[&str]) = match &mut action {
        Action::Logs { options, .. } => (Some(options), &["--follow", "--lines"]),
        Action::ServerLog(options) => {
            (Some(options), &["--follow", "--level", "--raw", "--earlier", "--audit"])
        }
        Action::Reload { is_trial } => {
            *is_trial = is_dry;
            (None, &["--dry-run"])
        }
        Action::Configuration(ConfigurationAction::Show { has_sources }) => {
            *has_sources = sources;
            (None, &["--sources"])
        }
        Action::Configuration(ConfigurationAction::Set {
            is_dry: is_trial, seconds, is_confirmed, ..
        }) => {
            (*is_trial, *seconds, *is_confirmed) = (is_dry, time, confirms);
            (None, &["--dry-run", "--seconds", "--no-confirm"])
        }
        _ => (None, &[]),
    };
    if let Some(option) = own_options.iter().find(|option| !allowed.contains(option)) {
        return Err(usage(format!("'{}' has no option {option}", words.join(" "))));
    }
    if log.source.is_some() && (log.follow || log.level.is_some()) {
        return Err(usage("--earlier and --audit print files: without --follow and --level"));
    }
    if let Some(options) = options {
        *options = log;
    }
    let url = url.unwrap_or_else(|| Url::default_with(socket));
    Ok(Parsed::Run(Invocation { url, session, fingerprint, json, action }))
}

fn value(parser: &mut Parser) -> Result<String, Failure> {
    parser
        .value()
        .map_err(usage)?
        .into_string()
        .map_err(|value| usage(format!("{} is not UTF-8", value.display())))
}

fn parse_action(words: &[String]) -> Result<Action, Failure> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let own = |word: &&str| (*word).to_owned();
    let options = LogOptions::default();
    Ok(match words.as_slice() {
        [] => return Err(usage("a command is missing")),
        ["login", user] => Action::Login { user: own(user) },
        ["logout"] => Action::Logout,
        ["list"] => Action::List,
        ["status"] => Action::Status { service: None },
        ["status", service] => Action::Status { service: Some(own(service)) },
        ["show", service] => Action::Show { service: own(service) },
        ["command", service, name] => Action::Command { service: own(service), name: own(name) },
        ["logs", service] => Action::Logs { service: own(service), options },
        ["watch"] => Action::Watch { service: None },
        ["watch", service] => Action::Watch { service: Some(own(service)) },
        ["board"] => Action::Board,
        ["reload"] => Action::Reload { is_trial: false },
        ["configuration"] => Action::Configuration(ConfigurationAction::Show { has_sources: false }),
        ["configuration", "confirm"] => Action::Configuration(ConfigurationAction::Confirm),
        ["configuration", "set", file] => Action::Configuration(ConfigurationAction::Set {
            file: own(file),
            is_dry: false,
            seconds: None,
            is_confirmed: true,
        }),
        ["upgrade"] => Action::Upgrade,
        ["mark-good"] => Action::MarkGood,
        ["server-log"] => Action::ServerLog(options),
        ["reboot"] => Action::End(BoardEnd::Reboot),
        ["poweroff"] => Action::End(BoardEnd::PowerOff),
        ["sessions"] => Action::Sessions { end: None },
        ["sessions", "end", id] => Action::Sessions { end: Some(own(id)) },
        ["unlock"] => Action::Unlock { user: None },
        ["unlock", user] => Action::Unlock { user: Some(own(user)) },
        ["factory-reset"] => Action::End(BoardEnd::FactoryReset),
        ["passwd"] => Action::Passwd { user: None },
        ["passwd", user] => Action::Passwd { user: Some(own(user)) },
        ["call", path, parameters @ ..] => Action::Call {
            path: own(path),
            parameters: parameters.iter().map(|word| parse_parameter(word)).collect::<Result<_, _>>()?,
        },
        ["complete-calls"] => Action::CompleteCalls,
        [word, operands @ ..] => match (verbs().find(|verb| verb == word), operands) {
            (Some(verb), [service]) => Action::Verb { verb, service: own(service) },
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
    let verbs = || verbs().map(|verb| (verb, VERB_OPERANDS));
    let mut commands = COMMANDS.into_iter().chain(verbs());
    let Some((_, expected)) = commands.find(|(name, _)| *name == command) else {
        return unknown_command(command, COMMANDS.into_iter().chain(verbs()).map(|(name, _)| name));
    };
    let required = expected.split_whitespace().filter(|operand| !operand.starts_with('[')).count();
    match operands.last() {
        Some(extra) if operands.len() > required => usage(format!("'{extra}' is one argument too many")),
        _ => usage(format!("{command} needs {expected}")),
    }
}

fn unknown_command(command: &str, known: impl Iterator<Item = &'static str>) -> Failure {
    // The name of `server-log` until 0.1.
    if command == "log" {
        let text = "'log' is not a command: 'logs SERVICE' prints the output of a service, 'server-log' the \
                    server's own log";
        return usage(text);
    }
    match nearest(command, known) {
        Some(near) => usage(format!("'{command}' is not a command; did you mean '{near}'?")),
        None => usage(format!("'{command}' is not a command")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Parsed, Failure> {
        parse(line.split_whitespace().map(OsString::from), Path::new("/nonexistent"))
    }

    fn action(line: &str) -> Action {
        match read(line).unwrap() {
            Parsed::Run(invocation) => invocation.action,
            Parsed::Help => panic!("help"),
        }
    }

    #[test]
    fn commands() {
        assert_eq!(action("login admin"), Action::Login { user: "admin".into() });
        assert_eq!(action("logout"), Action::Logout);
        assert_eq!(action("list"), Action::List);
        assert_eq!(action("status"), Action::Status { service: None });
        assert_eq!(action("show a"), Action::Show { service: "a".into() });
        assert_eq!(action("watch a"), Action::Watch { service: Some("a".into()) });
        assert_eq!(action("command a b"), Action::Command { service: "a".into(), name: "b".into() });
        assert_eq!(action("board"), Action::Board);
        assert_eq!(action("server-log"), Action::ServerLog(LogOptions::default()));
        let options = LogOptions {
            follow: true,
            level: Some("debug".into()),
            raw: Some("-".into()),
            ..LogOptions::default()
        };
        assert_eq!(action("server-log --follow --level debug --raw -"), Action::ServerLog(options));
        let earlier = LogOptions { source: Some(LogSource::Files), ..LogOptions::default() };
        assert_eq!(action("server-log --earlier"), Action::ServerLog(earlier));
        let audit =
            LogOptions { source: Some(LogSource::Audit), raw: Some("f".into()), ..LogOptions::default() };
        assert_eq!(action("server-log --audit --raw f"), Action::ServerLog(audit));
        let options = LogOptions { follow: true, lines: Some(7), ..LogOptions::default() };
        assert_eq!(action("logs a --lines 7 --follow"), Action::Logs { service: "a".into(), options });
        let configuration = |action| Action::Configuration(action);
        let show = ConfigurationAction::Show { has_sources: true };
        assert_eq!(action("configuration --sources"), configuration(show));
        assert_eq!(action("configuration confirm"), configuration(ConfigurationAction::Confirm));
        let (file, seconds) = ("f".to_owned(), Some("9".to_owned()));
        let set = ConfigurationAction::Set { file, is_dry: true, seconds, is_confirmed: false };
        assert_eq!(action("configuration set f --dry-run --seconds 9 --no-confirm"), configuration(set));
        assert_eq!(action("reboot"), Action::End(BoardEnd::Reboot));
        assert_eq!(action("poweroff"), Action::End(BoardEnd::PowerOff));
        assert_eq!(action("unlock"), Action::Unlock { user: None });
        assert_eq!(action("sessions"), Action::Sessions { end: None });
        assert_eq!(action("sessions end 8ed92253"), Action::Sessions { end: Some("8ed92253".into()) });
        assert_eq!(action("unlock anna"), Action::Unlock { user: Some("anna".into()) });
        assert_eq!(action("factory-reset"), Action::End(BoardEnd::FactoryReset));
        assert_eq!(action("passwd"), Action::Passwd { user: None });
        assert_eq!(action("passwd anna"), Action::Passwd { user: Some("anna".into()) });
        let parameters = vec![("cmd".into(), "a=b".into()), ("x".into(), String::new())];
        let call = Action::Call { path: "services/a/command".into(), parameters };
        assert_eq!(action("call services/a/command cmd=a=b x="), call);
        assert_eq!(action("complete-calls"), Action::CompleteCalls);
        for verb in ["start", "stop", "restart", "pause", "install", "uninstall"] {
            let expected = Action::Verb { verb, service: "hello".into() };
            assert_eq!(action(&format!("{verb} hello")), expected);
        }
    }

    #[test]
    fn options() {
        let line = format!("--json --url ws://[::1]:1 list --session=s --fingerprint {}", "0A:".repeat(32));
        let Parsed::Run(invocation) = read(&line).unwrap() else { panic!("help") };
        assert_eq!(invocation.url, Url::parse("ws://[::1]:1").unwrap());
        assert_eq!((invocation.session.as_deref(), invocation.json), (Some("s"), true));
        assert_eq!(invocation.fingerprint, Some([0x0a; 32]));
        let Parsed::Run(invocation) = read("list").unwrap() else { panic!("help") };
        assert_eq!(invocation.url, Url::parse("wss://127.0.0.1:6500").unwrap());
    }

    #[test]
    fn help() {
        assert_eq!(read("start --help"), Ok(Parsed::Help));
        assert!(HELP.lines().all(|line| line.len() <= 94));
        for (command, operands) in COMMANDS.into_iter().chain(verbs().map(|verb| (verb, VERB_OPERANDS))) {
            let line = format!("  {command} {operands}");
            let line = line.trim_end();
            let is_line = |help: &str| help == line || help.starts_with(&format!("{line} "));
            assert!(HELP.lines().any(is_line), "{line}");
        }
    }

    #[test]
    fn wrong_usage() {
        for (line, part) in [
            ("", "a command is missing"),
            ("frobnicate", "'frobnicate' is not a command; see"),
            ("strat hello", "'strat' is not a command; did you mean 'start'?"),
            ("log", "'server-log' the server's own log"),
            ("log --follow", "'logs SERVICE' prints the output of a service"),
            ("start", "start needs SERVICE"),
            ("show", "show needs SERVICE"),
            ("logs", "logs needs SERVICE"),
            ("call", "call needs PATH"),
            ("call services/list x", "'x' is not of the form KEY=VALUE"),
            ("start a b", "'b' is one argument too many"),
            ("list a", "'a' is one argument too many"),
            ("status a b", "'b' is one argument too many"),
            ("list --follow", "'list' has no option --follow"),
            ("server-log --lines 1", "'server-log' has no option --lines"),
            ("server-log --audit --follow", "--earlier and --audit print files"),
            ("server-log --earlier --level info", "--earlier and --audit print files"),
            ("logs a --audit", "'logs a' has no option --audit"),
            ("logs a --raw -", "'logs a' has no option --raw"),
            ("logs a --lines x", "--lines: 'x' is not a number"),
            ("server-log all", "'all' is one argument too many"),
            ("reboot now", "'now' is one argument too many"),
            ("configuration set", "configuration needs [set FILE|confirm]"),
            ("configuration put x", "'x' is one argument too many"),
            ("configuration --dry-run", "'configuration' has no option --dry-run"),
            ("configuration confirm --seconds 1", "'configuration confirm' has no option --seconds"),
            ("passwd a b", "'b' is one argument too many"),
            ("login", "login needs USER"),
            ("command a", "command needs SERVICE NAME"),
            ("--insecure list", "--insecure"),
            ("--fingerprint 12 list", "'12' is not a SHA-256 fingerprint"),
            ("--url ftp://a list", "ftp://a"),
            ("--url", "--url"),
        ] {
            let failure = read(line).unwrap_err();
            assert_eq!(failure.code, USAGE, "{line}");
            assert!(failure.text.contains(part), "{line}: {}", failure.text);
        }
    }
}
