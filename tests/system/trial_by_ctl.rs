//! `ctl configuration`: shows the configuration file, changes it, and confirms the change.

use super::services::{OK, until_state};
use super::trial::{accepts, added, device, text, written};
use crate::support::device::ADMIN;
use crate::support::directory::Directory;
use crate::support::server::{Run, friendlet, run, run_command};
use crate::support::wait::until;
use crate::support::{Device, Server};

/// Runs `ctl configuration` with these arguments at the local socket.
fn ctl(server: &Server, arguments: &[&str], input: &str) -> Run {
    let url = format!("unix:{}", server.local_socket());
    run(&[&["ctl", "--url", &url, "configuration"], arguments].concat(), input)
}

#[test]
fn ctl_shows_changes_and_confirms() {
    let server = Server::start(&device(""));
    let shown = ctl(&server, &[], "");
    assert_eq!((shown.code, shown.stderr.as_str()), (Some(0), ""));
    assert!(shown.stdout.contains("env = { KEY = \"<kept secret>\" }"), "{}", shown.stdout);
    let sources = ctl(&server, &["--sources"], "");
    assert!(sources.stdout.contains(&format!("service same: {}\n", server.config_file())), "{sources:?}");
    let changed = format!("{}{}", shown.stdout, added("added"));
    let path = server.directory().write("changed.toml", &changed);
    let lines: String = added("added").lines().map(|line| format!("+ {line}\n")).collect();
    let effect = format!("{lines}added: added\n");
    let dry = ctl(&server, &["set", &path, "--dry-run"], "");
    assert_eq!((dry.code, dry.stdout), (Some(0), format!("{effect}nothing was changed\n")), "{}", dry.stderr);
    let done = ctl(&server, &["set", &path], "");
    let expected = format!("{effect}configuration: ok, confirmed and written\n");
    assert_eq!((done.code, done.stdout), (Some(0), expected), "{}", done.stderr);
    assert!(written(&server).contains("\"added\"") && written(&server).contains("of the service"));
    until_state(&server, "added", "started");
    // By hand, from standard input.
    let tried = ctl(&server, &["set", "-", "--no-confirm", "--seconds", "30"], &shown.stdout);
    assert!(tried.stdout.contains("removed: added\nin force for 30 s, unless"), "{tried:?}");
    let again = ctl(&server, &["set", "-"], &shown.stdout);
    assert!(again.code == Some(1) && again.stderr.contains("another change is unconfirmed"), "{again:?}");
    let confirmed = ctl(&server, &["confirm"], "");
    assert_eq!(confirmed.stdout, "configuration: ok, confirmed and written\n", "{}", confirmed.stderr);
    assert!(!written(&server).contains("\"added\""));
    let late = ctl(&server, &["confirm"], "");
    assert!(late.code == Some(1) && late.stderr.contains("no change waits"), "{late:?}");
    let wrong = ctl(&server, &["set", "-"], &format!("{}\nx = 1", shown.stdout));
    assert!(wrong.code == Some(1) && wrong.stderr.contains("friendlet.toml:"), "{wrong:?}");
    let missing = ctl(&server, &["set", "/nonexistent"], "");
    assert!(missing.code == Some(74) && missing.stderr.contains("cannot read /nonexistent"), "{missing:?}");
    let replies = ctl(&server, &["set", "-", "--json"], &changed).stdout;
    let replies: Vec<&str> = replies.lines().collect();
    assert!(replies[0].contains("\"Change\"") && replies[1..] == [OK], "{replies:?}");
    assert!(ctl(&server, &["--json"], "").stdout.starts_with(r#"{ "Status": "ok", "DeviceFile": "given""#));
    server.stop();
}

#[test]
fn ctl_sends_and_reads_a_file_of_several_parts() {
    let server = Server::start(&device(""));
    let comments: String =
        (0..800).map(|line| format!("# comment \u{e4} {line} {}\n", "x".repeat(20))).collect();
    let changed = ctl(&server, &[], "").stdout + &comments;
    let done = ctl(&server, &["set", "-"], &changed);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(written(&server).ends_with(&comments) && comments.len() > 30_000);
    assert_eq!(ctl(&server, &[], "").stdout, changed);
    server.stop();
}

#[test]
fn ctl_confirms_at_the_address_that_a_change_opens() {
    let state = Directory::new();
    let server = Server::start(&Device { tls: true, ..device("") });
    let session = server.login("fadmin", "secret");
    let ctl = |url: &str, arguments: &[&str]| {
        let mut command = friendlet();
        command.args([&["ctl", "--url", url], arguments].concat());
        run_command(command.env("XDG_STATE_HOME", state.file("")).env("FRIENDLET_SESSION", &session), "")
    };
    let old = format!("wss://{}", server.address());
    assert_eq!(ctl(&old, &["board"]).code, Some(0));
    let changed = Device { address: "127.0.0.1:0".to_owned(), tls: true, ..device(&added("added")) };
    let changed = text(&server, &changed).replace("127.0.0.1:0", "[::ffff:127.0.0.1]:0");
    let path = server.directory().write("changed.toml", changed);
    let done = ctl(&old, &["configuration", "set", &path]);
    assert!(done.stdout.ends_with("confirmed and written\n"), "{done:?}");
    let new = done.stderr.split("the server is at ").nth(1).unwrap().split(' ').next().unwrap().to_owned();
    assert!(!done.stderr.contains("is new"), "the certificate is known: {}", done.stderr);
    assert_eq!(ctl(&new, &["board"]).code, Some(0));
    until("the old address is closed", || !accepts(server.address()));
    server.stop();
}

#[test]
fn ctl_that_cannot_confirm_reports_that_the_earlier_configuration_comes_back() {
    let server = Server::start(&device(""));
    let old = format!("ws://{}", server.address());
    // Another host than that of the URL: its port is closed there.
    let changed = text(&server, &Device { address: "127.0.0.2:0".to_owned(), ..device("") });
    let path = server.directory().write("changed.toml", changed);
    let arguments =
        ["ctl", "--url", &old, "--session", ADMIN, "configuration", "set", &path, "--seconds", "2"];
    let failed = run(&arguments, "");
    assert_eq!(failed.code, Some(69), "{failed:?}");
    assert!(failed.stderr.contains("the change is not confirmed: cannot connect"), "{}", failed.stderr);
    assert!(failed.stderr.contains("the earlier configuration is back"), "{}", failed.stderr);
    until("it is back", || server.call("board/status").contains("was not confirmed"));
    assert!(written(&server).contains("127.0.0.1:0"));
    server.stop();
}
