//! The command line.

use super::*;

fn read(line: &str) -> Result<Parsed, Failure> {
    parse(line.split_whitespace().map(OsString::from))
}

fn action(line: &str) -> Action {
    match read(line).unwrap() {
        Parsed::Run(arguments) => arguments.action,
        Parsed::Help(_) => panic!("help"),
    }
}

#[test]
fn commands() {
    assert_eq!(action("login admin"), Action::Login { user: "admin".into() });
    assert_eq!(action("logout"), Action::Logout);
    assert_eq!(action("list"), Action::List);
    assert_eq!(action("status"), Action::Status { services: Vec::new() });
    assert_eq!(action("status a b*"), Action::Status { services: vec!["a".into(), "b*".into()] });
    assert_eq!(action("show a"), Action::Show { service: "a".into() });
    assert_eq!(action("watch a"), Action::Watch { services: vec!["a".into()] });
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
    let audit = LogOptions { source: Some(LogSource::Audit), raw: Some("f".into()), ..LogOptions::default() };
    assert_eq!(action("server-log --audit --raw f"), Action::ServerLog(audit));
    let options = LogOptions { follow: true, lines: Some(7), ..LogOptions::default() };
    let services = vec!["a".to_owned(), "b".to_owned()];
    assert_eq!(action("logs a b -n 7 -f"), Action::Logs { services, options });
    assert_eq!(action("edit"), Action::Configuration(ConfigurationAction::Edit));
    let configuration = |action| Action::Configuration(action);
    let show = ConfigurationAction::Show { has_sources: true };
    assert_eq!(action("configuration --sources"), configuration(show));
    assert_eq!(action("configuration confirm"), configuration(ConfigurationAction::Confirm));
    let (file, seconds) = ("f".to_owned(), Some("9".to_owned()));
    let set = ConfigurationAction::Set { file, is_dry: true, seconds, is_confirmed: false };
    assert_eq!(action("configuration set f --dry-run --seconds 9 --no-confirm"), configuration(set));
    assert_eq!(action("reboot"), Action::End(BoardEnd::Reboot));
    assert_eq!(action("poweroff"), Action::End(BoardEnd::PowerOff));
    assert_eq!(action("pair wall"), Action::Pair { user: Some("wall".into()), only: None });
    let only = Action::Pair { user: Some("wall".into()), only: Some("0011".into()) };
    assert_eq!(action("pair wall --only 0011"), only);
    assert_eq!(action("pair --cert c --key k"), Action::Pair { user: None, only: None });
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
    for (word, call) in [
        ("start", "start"),
        ("stop", "stop"),
        ("restart", "restart"),
        ("pause", "pause"),
        ("install", "install"),
        ("uninstall", "uninstall"),
        ("enable", "install"),
        ("disable", "uninstall"),
    ] {
        let verb = |services: &[&str], waits| {
            let services = services.iter().map(|name| (*name).to_owned()).collect();
            Action::Verb { verb: Verb { word, call }, services, waits }
        };
        assert_eq!(action(&format!("{word} hello")), verb(&["hello"], false));
        assert_eq!(action(&format!("{word} a b*")), verb(&["a", "b*"], false));
        if ["start", "stop", "restart"].contains(&word) {
            assert_eq!(action(&format!("{word} --wait all")), verb(&["all"], true));
        }
    }
}

#[test]
fn options() {
    let line =
        format!("--json --url ws://[::1]:1 list --session=s --on a,b* --fingerprint {}", "0A:".repeat(32));
    let Parsed::Run(arguments) = read(&line).unwrap() else { panic!("help") };
    assert_eq!(arguments.servers, ["ws://[::1]:1", "a", "b*"]);
    assert_eq!((arguments.session.as_deref(), arguments.json), (Some("s"), true));
    assert_eq!(arguments.fingerprint, Some([0x0a; 32]));
    let Parsed::Run(arguments) = read("list --key k --cert c").unwrap() else { panic!("help") };
    assert_eq!(arguments.certificate, Some(Box::new(["c".into(), "k".into()])));
    let Parsed::Run(arguments) = read("list").unwrap() else { panic!("help") };
    assert!(arguments.servers.is_empty() && !arguments.json);
}

#[test]
fn help_of_everything_or_of_a_command() {
    for line in ["--help", "-h", "help"] {
        assert_eq!(read(line), Ok(Parsed::Help(help::text())), "{line}");
    }
    for line in ["logout --help", "help logout"] {
        assert_eq!(read(line), Ok(Parsed::Help(help::of("logout").unwrap())), "{line}");
    }
    assert!(read("help strat").unwrap_err().text.contains("did you mean 'start'?"));
}

#[test]
fn help_has_every_verb_and_option() {
    let text = help::text();
    let names: Vec<&str> = help::commands(&text).map(|(name, _)| name).collect();
    for row in CALLS.iter().filter(|row| matches!(row.handler, Handler::Verb(_))) {
        let call = row.path.last().unwrap();
        assert!(names.contains(call) || text.contains(&format!("also `{call}`")), "{call}");
    }
    for (name, letter, has_value, commands) in OPTIONS {
        let end = if has_value { ' ' } else { '\n' };
        let places: Vec<String> = match commands {
            [] => vec![help::text()],
            _ => {
                commands.iter().map(|command| help::of(command.split(' ').next().unwrap()).unwrap()).collect()
            }
        };
        for place in places {
            assert!(place.replace("  ", "\n").contains(&format!("--{name}{end}")), "--{name}: {place}");
            assert!(letter == NONE || place.contains(&format!("-{letter}, --{name}")), "-{letter}: {place}");
        }
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
        ("start", "start needs SERVICE.."),
        ("install", "install needs SERVICE.."),
        ("show", "show needs SERVICE"),
        ("logs", "logs needs SERVICE"),
        ("call", "call needs PATH"),
        ("call services/list x", "'x' is not of the form KEY=VALUE"),
        ("list a", "'a' is one argument too many"),
        ("discover a", "'a' is one argument too many"),
        ("discover --url wss://board:1", "without --url and --on"),
        ("discover --on board", "without --url and --on"),
        ("show a b", "'b' is one argument too many"),
        ("pause a --wait", "'pause a' has no option --wait"),
        ("start --wiat a", "'--wiat' is not an option; did you mean '--wait'?"),
        ("start --wait=9 a", "--wait"),
        ("-x list", "'-x' is not an option; see"),
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
        ("pair", "pair needs the USER whose certificate is accepted"),
        ("pair a b", "'b' is one argument too many"),
        ("list --cert c", "--cert and --key go together"),
        ("login", "login needs USER"),
        ("command a", "command needs SERVICE NAME"),
        ("--insecure list", "--insecure"),
        ("--fingerprint 12 list", "'12' is not a SHA-256 fingerprint"),
        ("--url", "--url"),
    ] {
        let failure = read(line).unwrap_err();
        assert_eq!(failure.code, USAGE, "{line}");
        assert!(failure.text.contains(part), "{line}: {}", failure.text);
    }
}
