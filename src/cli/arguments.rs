//! Command line parser.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use lexopt::prelude::*;

use super::{check, notify};
use crate::help;
use crate::session::is_user_name;

/// Parsed command line.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Command {
    /// Validate a configuration file.
    Check(check::Options),
    /// Run the client with the remaining arguments.
    Ctl(Vec<String>),
    /// Run the built-in service.
    Hello,
    /// Print a help text.
    Help(help::Text),
    /// Translate files of other supervisors.
    Import(Vec<PathBuf>),
    /// Run as process 1.
    Init,
    /// Print the limits.
    Limits,
    /// Send a report of a service.
    Notify { datagram: String },
    /// Print the `[[user]]` table of a new password.
    Passwd { user: String },
    /// Run the server.
    Serve { config: Option<PathBuf>, falls_back: bool },
    /// Print version, board and build.
    Version,
}

/// Parses the arguments, the name of the program first.
pub(super) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, lexopt::Error> {
    let mut parser = lexopt::Parser::from_iter(arguments);
    // The kernel passes init every word of its command line that it does not use itself.
    if parser.bin_name().is_some_and(|name| Path::new(name).file_name() == Some(OsStr::new("init"))) {
        return match parser.next() {
            Ok(Some(Short('h') | Long("help"))) => Ok(Command::Help(help::INIT)),
            _ => Ok(Command::Init),
        };
    }
    let mut config = None;
    let mut falls_back = false;
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(Command::Help(help::GENERAL)),
            Short('V') | Long("version") => return Ok(Command::Version),
            Long("config") => config = Some(PathBuf::from(parser.value()?)),
            Long("fall-back") => falls_back = true,
            Value(name) => {
                let name = name.string()?;
                return match name.as_str() {
                    "serve" => serve(parser, config, falls_back),
                    _ if falls_back => {
                        Err(format!("{name}: --fall-back is not an option of this command").into())
                    }
                    _ if config.is_some() => {
                        Err(format!("{name}: --config is not an option of this command").into())
                    }
                    "check" => check(parser),
                    "ctl" => {
                        parser.raw_args()?.map(OsString::string).collect::<Result<_, _>>().map(Command::Ctl)
                    }
                    "hello" => alone(parser, Command::Hello, help::HELLO),
                    "import" => import(parser),
                    "init" => alone(parser, Command::Init, help::INIT),
                    "limits" => alone(parser, Command::Limits, help::LIMITS),
                    "notify" => notify(parser),
                    "passwd" => passwd(parser),
                    _ => Err(format!("unknown command '{name}'").into()),
                };
            }
            other => return Err(other.unexpected()),
        }
    }
    Ok(Command::Serve { config, falls_back })
}

fn serve(
    mut parser: lexopt::Parser,
    mut config: Option<PathBuf>,
    mut falls_back: bool,
) -> Result<Command, lexopt::Error> {
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(Command::Help(help::SERVE)),
            Long("config") => config = Some(PathBuf::from(parser.value()?)),
            Long("fall-back") => falls_back = true,
            other => return Err(other.unexpected()),
        }
    }
    Ok(Command::Serve { config, falls_back })
}

fn check(mut parser: lexopt::Parser) -> Result<Command, lexopt::Error> {
    let mut options = check::Options::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(Command::Help(help::CHECK)),
            Long("config") if options.file.is_none() => options.file = Some(PathBuf::from(parser.value()?)),
            Long("json") => options.is_json = true,
            Long("root") if options.root.is_none() => options.root = Some(PathBuf::from(parser.value()?)),
            Long("board") if options.board.is_none() => options.board = Some(parser.value()?.string()?),
            Value(name) if options.file.is_none() => options.file = Some(PathBuf::from(name)),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Command::Check(options))
}

fn import(mut parser: lexopt::Parser) -> Result<Command, lexopt::Error> {
    let mut files = Vec::new();
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(Command::Help(help::IMPORT)),
            Value(name) => files.push(PathBuf::from(name)),
            other => return Err(other.unexpected()),
        }
    }
    if files.is_empty() {
        Err("import: the argument FILE is missing".into())
    } else {
        Ok(Command::Import(files))
    }
}

fn notify(mut parser: lexopt::Parser) -> Result<Command, lexopt::Error> {
    let (mut words, mut seconds) = (Vec::new(), None);
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(Command::Help(help::NOTIFY)),
            Long("for") if seconds.is_none() => seconds = Some(parser.value()?.string()?),
            Value(word) => words.push(word.string()?),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Command::Notify { datagram: notify::datagram(&words, seconds.as_deref())? })
}

fn passwd(mut parser: lexopt::Parser) -> Result<Command, lexopt::Error> {
    let mut user = None;
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(Command::Help(help::PASSWD)),
            Value(name) if user.is_none() => user = Some(name.string()?),
            other => return Err(other.unexpected()),
        }
    }
    match user {
        None => Err("passwd: the argument USER is missing".into()),
        Some(user) if !is_user_name(&user) => Err(format!(
            "passwd: '{}' is not a user name; expected 1 to {} letters, digits and '.', '_', '-', '@'",
            user.escape_debug(),
            crate::limits::USER_NAME_BYTES
        )
        .into()),
        Some(user) => Ok(Command::Passwd { user }),
    }
}

/// Parses the rest of a command without arguments.
fn alone(mut parser: lexopt::Parser, command: Command, help: help::Text) -> Result<Command, lexopt::Error> {
    match parser.next()? {
        None => Ok(command),
        Some(Short('h') | Long("help")) => Ok(Command::Help(help)),
        Some(other) => Err(other.unexpected()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command, String> {
        let words = std::iter::once("friendlet").chain(line.split_whitespace());
        parse(words.map(OsString::from)).map_err(|error| error.to_string())
    }

    #[test]
    fn commands() {
        let file = |name: &str| Some(PathBuf::from(name));
        let serve = |config, falls_back| Command::Serve { config, falls_back };
        let check = |file| Command::Check(check::Options { file, ..check::Options::default() });
        let for_board = |file| check::Options {
            file,
            root: Some("r".into()),
            board: Some("b".to_owned()),
            is_json: false,
        };
        for (line, command) in [
            ("", serve(None, false)),
            ("serve", serve(None, false)),
            ("--config f", serve(file("f"), false)),
            ("--config=f serve", serve(file("f"), false)),
            ("serve --config f", serve(file("f"), false)),
            ("serve --fall-back", serve(None, true)),
            ("serve --fall-back --config f", serve(file("f"), true)),
            ("--fall-back --config f serve", serve(file("f"), true)),
            ("--fall-back", serve(None, true)),
            ("check", check(None)),
            ("check f", check(file("f"))),
            ("check --config f", check(file("f"))),
            ("check --root r f --board=b", Command::Check(for_board(file("f")))),
            ("check --json", Command::Check(check::Options { is_json: true, ..check::Options::default() })),
            ("check --board b --root r", Command::Check(for_board(None))),
            ("passwd admin", Command::Passwd { user: "admin".to_owned() }),
            ("limits", Command::Limits),
            ("notify a=b", Command::Notify { datagram: "X_FRIENDLET_EVENT=a=b\n".to_owned() }),
            (
                "notify --for 1 READY=1",
                Command::Notify { datagram: "READY=1\nX_FRIENDLET_FOR=1\n".to_owned() },
            ),
            ("import a b", Command::Import(vec!["a".into(), "b".into()])),
            ("import --help", Command::Help(help::IMPORT)),
            ("notify --help", Command::Help(help::NOTIFY)),
            ("hello", Command::Hello),
            ("init", Command::Init),
            ("--version", Command::Version),
            ("-V", Command::Version),
            ("-h", Command::Help(help::GENERAL)),
            ("--help", Command::Help(help::GENERAL)),
            ("serve --help", Command::Help(help::SERVE)),
            ("check -h", Command::Help(help::CHECK)),
            ("passwd --help", Command::Help(help::PASSWD)),
            ("init --help", Command::Help(help::INIT)),
            ("limits --help", Command::Help(help::LIMITS)),
            ("hello -h", Command::Help(help::HELLO)),
        ] {
            assert_eq!(parsed(line), Ok(command), "{line}");
        }
    }

    #[test]
    fn ctl_gets_the_remaining_arguments() {
        let arguments = ["--url", "wss://h", "--help", "start", "hello"].map(str::to_owned).to_vec();
        assert_eq!(parsed("ctl --url wss://h --help start hello"), Ok(Command::Ctl(arguments)));
        assert_eq!(parsed("ctl"), Ok(Command::Ctl(Vec::new())));
    }

    #[test]
    fn program_named_init_is_init_with_any_arguments() {
        let called = |words: &[&str]| parse(words.iter().map(OsString::from)).unwrap();
        for words in [&["init"][..], &["/init"], &["/sbin/init", "single", "--config"], &["init", "serve"]] {
            assert_eq!(called(words), Command::Init, "{words:?}");
        }
        assert_eq!(called(&["/sbin/init", "--help"]), Command::Help(help::INIT));
        assert_eq!(called(&["/sbin/reinit"]), Command::Serve { config: None, falls_back: false });
    }

    #[test]
    fn wrong_command_lines_are_errors() {
        for line in [
            "nonsense",
            "--nonsense",
            "-x",
            "--config",
            "--config f check",
            "--fall-back check",
            "check --fall-back",
            "serve --fall-back=yes",
            "serve f",
            "check a b",
            "check --root",
            "check --root a --root b",
            "check --board a --board b",
            "check --config a --config b",
            "passwd",
            "passwd a b",
            "passwd ä",
            "limits now",
            "hello world",
            "init now",
            "import",
            "import --nonsense f",
            "--config f init",
        ] {
            assert!(parsed(line).is_err(), "{line}");
        }
    }

    #[test]
    fn every_help_shows_its_usage() {
        for text in [
            help::GENERAL,
            help::SERVE,
            help::CHECK,
            help::IMPORT,
            help::PASSWD,
            help::LIMITS,
            help::HELLO,
            help::INIT,
        ] {
            let text = text.to_string();
            assert!(text.contains("\nUsage: friendlet ") && text.ends_with('\n'), "{text}");
            assert!(text.lines().all(|line| line.len() <= 100), "{text}");
        }
    }
}
