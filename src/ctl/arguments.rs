//! What the command line asks for.

use std::ffi::OsString;

use data_encoding::HEXLOWER_PERMISSIVE;
use lexopt::{Arg, Parser};

use super::pin::Fingerprint;
use super::url::Url;
use super::{Failure, USAGE};

pub(super) const HELP: &str = "\
friendlet ctl: controls the services of a server

usage: friendlet ctl [options] command

commands
  login USER            ask for the password and remember the session
  logout                end the session
  list                  all services and their states
  status [SERVICE]      one service or all; exit code 3 when SERVICE does not run
  start SERVICE
  stop SERVICE
  restart SERVICE
  pause SERVICE         halt it where it is; `start` resumes it
  install SERVICE       start it with the server from now on
  uninstall SERVICE     start it with the server no more
  command SERVICE NAME  run a named command of the service, print what it says
  watch [SERVICE]       print each change of state as it happens
  board                 which board it is, how it was started, what is wrong with it
  log                   the newest records of the server's log
    --follow            and those that come after them
    --level LEVEL       log so much from now on: off, error, warn, info, debug
    --raw FILE          the records as they are, for `cargo xtask log`; - is standard output
  reboot                start the board anew; its services are stopped in order first
  poweroff              switch it off, likewise
  passwd [USER]         change the own password: asks for the old one, then for the new
                        one; an administrator changes that of USER. Where standard input
                        is no terminal, each is a line of it

options
  --url URL             wss://HOST:PORT (the default is wss://127.0.0.1:6500), or ws://
                        for a server on this machine that has TLS turned off
  --session ID          use this session instead of the remembered one; so does the
                        environment's FRIENDLET_SESSION
  --fingerprint HEX     demand the certificate with this SHA-256 fingerprint
  --json                print what the server answers as it is
  --help                print this

The fingerprint of a server's certificate is remembered when it is first seen, and demanded
from then on.

exit codes: 0 done, 1 the call failed, 3 not running, 64 wrong usage, 69 server not reached,
77 not logged in or no right
";

/// A command of a service that takes no more than its name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verb {
    Start,
    Stop,
    Restart,
    Pause,
    Install,
    Uninstall,
}

impl Verb {
    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "start" => Self::Start,
            "stop" => Self::Stop,
            "restart" => Self::Restart,
            "pause" => Self::Pause,
            "install" => Self::Install,
            "uninstall" => Self::Uninstall,
            _ => return None,
        })
    }

    /// Name on the command line and in the call's path.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Pause => "pause",
            Self::Install => "install",
            Self::Uninstall => "uninstall",
        }
    }
}

#[derive(Debug, Eq, PartialEq)]
pub(super) enum Action {
    Login { user: String },
    Logout,
    List,
    Verb { verb: Verb, service: String },
    Status { service: Option<String> },
    Command { service: String, name: String },
    Watch { service: Option<String> },
    Board,
    Log(LogOptions),
    End(End),
    Passwd { user: Option<String> },
}

/// How the log is shown.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct LogOptions {
    /// Whether what comes later is shown, too.
    pub(super) follow: bool,
    /// The level to be in force from now on.
    pub(super) level: Option<String>,
    /// The file that the records go to as they are; `-` is standard output.
    pub(super) raw: Option<String>,
}

/// An end of the board.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum End {
    Reboot,
    PowerOff,
}

impl End {
    /// Name on the command line and in the call's path.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Reboot => "reboot",
            Self::PowerOff => "poweroff",
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

fn usage(text: impl std::fmt::Display) -> Failure {
    Failure::new(USAGE, format!("{text}; see `friendlet ctl --help`"))
}

pub(super) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Parsed, Failure> {
    let mut parser = Parser::from_args(arguments);
    let mut url = Url::default();
    let (mut session, mut fingerprint, mut json) = (None, None, false);
    let mut log = LogOptions::default();
    let mut words: Vec<String> = Vec::new();
    while let Some(argument) = parser.next().map_err(usage)? {
        match argument {
            Arg::Short('h') | Arg::Long("help") => return Ok(Parsed::Help),
            Arg::Long("json") => json = true,
            Arg::Long("follow") => log.follow = true,
            Arg::Long("level") => log.level = Some(text(&mut parser)?),
            Arg::Long("raw") => log.raw = Some(text(&mut parser)?),
            Arg::Long("url") => url = Url::parse(&text(&mut parser)?).map_err(usage)?,
            Arg::Long("session") => session = Some(text(&mut parser)?),
            Arg::Long("fingerprint") => {
                let hex = text(&mut parser)?;
                fingerprint = Some(
                    read_fingerprint(&hex)
                        .ok_or_else(|| usage(format!("'{hex}' is no SHA-256 fingerprint of 64 digits")))?,
                );
            }
            Arg::Value(word) => {
                words.push(word.into_string().map_err(|word| usage(format!("{word:?} is not UTF-8")))?);
            }
            other => return Err(usage(other.unexpected())),
        }
    }
    let mut action = read_action(&words)?;
    match &mut action {
        Action::Log(options) => *options = log,
        _ if log != LogOptions::default() => {
            return Err(usage("--follow, --level and --raw are options of log"));
        }
        _ => {}
    }
    Ok(Parsed::Run(Invocation { url, session, fingerprint, json, action }))
}

fn text(parser: &mut Parser) -> Result<String, Failure> {
    parser.value().map_err(usage)?.into_string().map_err(|value| usage(format!("{value:?} is not UTF-8")))
}

/// 64 hexadecimal digits, with or without the colons that other tools put between them.
pub(super) fn read_fingerprint(hex: &str) -> Option<Fingerprint> {
    let digits: Vec<u8> = hex.bytes().filter(|b| *b != b':').collect();
    let mut fingerprint = [0; 32];
    if digits.len() != 64 || HEXLOWER_PERMISSIVE.decode_mut(&digits, &mut fingerprint).is_err() {
        return None;
    }
    Some(fingerprint)
}

/// Those that are no [`Verb`].
const COMMANDS: [&str; 10] =
    ["board", "list", "log", "login", "logout", "passwd", "poweroff", "reboot", "status", "watch"];

fn read_action(words: &[String]) -> Result<Action, Failure> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let own = |word: &&str| (*word).to_owned();
    Ok(match words.as_slice() {
        [] => return Err(usage("a command is missing")),
        ["login", user] => Action::Login { user: own(user) },
        ["login"] => return Err(usage("login needs the name of a user")),
        ["logout"] => Action::Logout,
        ["list"] => Action::List,
        ["status"] => Action::Status { service: None },
        ["status", service] => Action::Status { service: Some(own(service)) },
        ["watch"] => Action::Watch { service: None },
        ["watch", service] => Action::Watch { service: Some(own(service)) },
        ["board"] => Action::Board,
        ["log"] => Action::Log(LogOptions::default()),
        ["reboot"] => Action::End(End::Reboot),
        ["poweroff"] => Action::End(End::PowerOff),
        ["passwd"] => Action::Passwd { user: None },
        ["passwd", user] => Action::Passwd { user: Some(own(user)) },
        ["command", service, name] => Action::Command { service: own(service), name: own(name) },
        ["command", ..] => return Err(usage("command needs a service and the name of one of its commands")),
        [verb, rest @ ..] => match (Verb::from_name(verb), rest) {
            (Some(verb), [service]) => Action::Verb { verb, service: own(service) },
            (Some(_), []) => return Err(usage(format!("{verb} needs the name of a service"))),
            (Some(_), [_, extra, ..]) => return Err(usage(format!("'{extra}' is one argument too many"))),
            (None, [.., extra]) if COMMANDS.contains(verb) => {
                return Err(usage(format!("'{extra}' is one argument too many")));
            }
            (None, _) => return Err(usage(format!("'{verb}' is no command"))),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Parsed, Failure> {
        parse(line.split_whitespace().map(OsString::from))
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
        assert_eq!(action("watch a"), Action::Watch { service: Some("a".into()) });
        assert_eq!(action("command a b"), Action::Command { service: "a".into(), name: "b".into() });
        assert_eq!(action("board"), Action::Board);
        assert_eq!(action("log"), Action::Log(LogOptions::default()));
        let options = LogOptions { follow: true, level: Some("debug".into()), raw: Some("-".into()) };
        assert_eq!(action("log --follow --level debug --raw -"), Action::Log(options));
        assert_eq!(action("reboot"), Action::End(End::Reboot));
        assert_eq!(action("poweroff"), Action::End(End::PowerOff));
        assert_eq!(action("passwd"), Action::Passwd { user: None });
        assert_eq!(action("passwd anna"), Action::Passwd { user: Some("anna".into()) });
        for verb in [Verb::Start, Verb::Stop, Verb::Restart, Verb::Pause, Verb::Install, Verb::Uninstall] {
            let expected = Action::Verb { verb, service: "hello".into() };
            assert_eq!(action(&format!("{} hello", verb.name())), expected);
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
        assert!(HELP.lines().all(|line| line.len() <= 92));
    }

    #[test]
    fn wrong_usage() {
        for (line, part) in [
            ("", "a command is missing"),
            ("frobnicate", "'frobnicate' is no command"),
            ("start", "start needs the name of a service"),
            ("start a b", "'b' is one argument too many"),
            ("list a", "'a' is one argument too many"),
            ("status a b", "'b' is one argument too many"),
            ("list --follow", "options of log"),
            ("log all", "'all' is one argument too many"),
            ("reboot now", "'now' is one argument too many"),
            ("passwd a b", "'b' is one argument too many"),
            ("login", "login needs the name of a user"),
            ("command a", "command needs a service and"),
            ("--insecure list", "--insecure"),
            ("--fingerprint 12 list", "'12' is no SHA-256 fingerprint"),
            ("--url ftp://a list", "ftp://a"),
            ("--url", "--url"),
        ] {
            let failure = read(line).unwrap_err();
            assert_eq!(failure.code, USAGE, "{line}");
            assert!(failure.text.contains(part), "{line}: {}", failure.text);
        }
    }
}
