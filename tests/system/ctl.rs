//! The command-line client against a real server.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::support::device::{ADMIN, GUEST, NOBODY, shell};
use crate::support::directory::Directory;
use crate::support::server::{Run, friendlet, run_command};
use crate::support::wait::until;
use crate::support::{Device, Server};

/// Removes the variables of the user who runs the tests.
pub(super) fn without_settings(command: &mut std::process::Command) -> &mut std::process::Command {
    for name in ["FRIENDLET_SESSION", "FRIENDLET_URL", "NO_COLOR", "VISUAL", "EDITOR"] {
        command.env_remove(name);
    }
    command
}

/// A user of the client, with a state directory of its own.
pub(super) struct Person<'s> {
    server: &'s Server,
    home: Directory,
}

impl<'s> Person<'s> {
    pub(super) fn new(server: &'s Server) -> Self {
        Self { server, home: Directory::new() }
    }

    pub(super) fn command(&self) -> std::process::Command {
        let scheme = if self.server.is_tls() { "wss" } else { "ws" };
        let mut command = friendlet();
        command.args(["ctl", "--url", &format!("{scheme}://{}", self.server.address())]);
        without_settings(&mut command).env("XDG_STATE_HOME", self.home.path());
        command
    }

    pub(super) fn ctl(&self, arguments: &[&str]) -> Run {
        run_command(self.command().args(arguments), "")
    }

    #[track_caller]
    pub(super) fn done(&self, arguments: &[&str]) -> String {
        let run = self.ctl(arguments);
        assert_eq!(run.code, Some(0), "{arguments:?}: {run:?}");
        run.stdout
    }

    #[track_caller]
    fn log_in(&self, user: &str, password: &str) {
        let run = run_command(self.command().args(["login", user]), &format!("{password}\n"));
        assert_eq!(run.code, Some(0), "{run:?}");
    }
}

#[test]
fn a_login_lasts_and_controls_services() {
    for device in [Device::new(), Device::plain()] {
        let server = Server::start(&device);
        let person = Person::new(&server);
        assert_eq!(person.ctl(&["list"]).code, Some(77), "not logged in");
        person.log_in("fadmin", "secret");
        assert!(person.done(&["list"]).contains("hello"));
        assert_eq!(person.ctl(&["status", "hello"]).code, Some(3), "LSB: not running");
        person.done(&["start", "hello"]);
        assert!(person.done(&["status", "hello"]).contains("started"));
        person.done(&["pause", "hello"]);
        person.done(&["start", "hello"]);
        person.done(&["restart", "hello"]);
        person.done(&["stop", "hello"]);
        until("it is stopped", || person.ctl(&["status", "hello"]).code == Some(3));
        person.done(&["logout"]);
        assert_eq!(person.ctl(&["list"]).code, Some(77));
    }
}

#[test]
fn logout_by_its_path_is_answered() {
    let server = Server::start(&Device::new());
    let person = Person::new(&server);
    person.log_in("fadmin", "secret");
    // The second session is a token, which no call ends.
    for arguments in
        [&["call", "user/logout"][..], &["--session", GUEST, "call", "system.library/user/logout"]]
    {
        assert_eq!(person.done(arguments), "{\"logout\":\"success\"}\n");
    }
    assert_eq!(person.ctl(&["list"]).code, Some(77), "logged out");
    assert_eq!(person.ctl(&["--session", NOBODY, "call", "user/logout"]).code, Some(77));
}

#[test]
fn a_wrong_password_is_reported() {
    let server = Server::start(&Device::new());
    let person = Person::new(&server);
    let run = run_command(person.command().args(["login", "fadmin"]), "wrong\n");
    assert_eq!(run.code, Some(77), "{run:?}");
    assert!(!run.stderr.is_empty() && !run.stderr.contains("wrong\n"), "{run:?}");
}

#[test]
fn a_session_may_come_from_outside() {
    let server = Server::start(&Device::new());
    let person = Person::new(&server);
    person.done(&["--session", ADMIN, "start", "hello"]);
    let run = run_command(person.command().args(["stop", "hello"]).env("FRIENDLET_SESSION", ADMIN), "");
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(person.ctl(&["--session", NOBODY, "start", "hello"]).code, Some(77));
    assert_eq!(person.ctl(&["--session", GUEST, "start", "hello"]).code, Some(77));
    assert_eq!(person.ctl(&["--session", GUEST, "start", "allowed"]).code, Some(0));
    assert_eq!(person.ctl(&["--session", ADMIN, "start", "nothing"]).code, Some(4));
    assert_eq!(person.ctl(&["frobnicate"]).code, Some(64));
}

#[test]
fn a_named_command_prints_its_output() {
    let tool = shell(
        "tool",
        "exec sleep 1000",
        "commands = { say = [\"/bin/echo\", \"it \\\"says\\\" this\"], reload = \"HUP\" }",
    );
    let server = Server::start(&Device::new().with(&tool));
    let person = Person::new(&server);
    assert_eq!(person.done(&["--session", ADMIN, "command", "tool", "say"]), "it \"says\" this\n");
    person.done(&["--session", ADMIN, "start", "tool"]);
    assert_eq!(
        person.done(&["--session", ADMIN, "command", "tool", "reload"]),
        "command reload of tool: ok\n"
    );
    let run = person.ctl(&["--session", ADMIN, "command", "tool", "other"]);
    assert!(run.code == Some(4) && run.stderr.contains("no command 'other'; it has"), "{run:?}");
}

#[test]
fn output_of_a_service_is_printed_and_followed() {
    let script = "echo one; printf 'two\\033[2J\\n'; echo three; exec sleep 1000";
    let server = Server::start(&Device::new().with(&shell("writer", script, "")));
    let person = Person::new(&server);
    let ctl = |arguments: &[&str]| person.done(&[&["--session", ADMIN][..], arguments].concat());
    ctl(&["start", "writer"]);
    until("it has written", || ctl(&["logs", "writer"]) == "one\ntwo\u{FFFD}[2J\nthree\n");
    assert_eq!(ctl(&["logs", "writer", "--lines", "1"]), "three\n");
    let mut command = person.command();
    command.args(["--session", ADMIN, "logs", "writer", "--follow", "--lines", "1"]);
    let mut follow = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(follow.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(lines.next().as_deref(), Some("three"));
    ctl(&["restart", "writer"]);
    assert_eq!(lines.by_ref().take(3).collect::<Vec<_>>(), ["one", "two\u{FFFD}[2J", "three"]);
    follow.kill().unwrap();
    follow.wait().unwrap();
    assert_eq!(person.ctl(&["--session", GUEST, "logs", "writer"]).code, Some(77));
}

#[test]
fn every_call_can_be_made_by_its_path() {
    let server = Server::start(&Device::new());
    let person = Person::new(&server);
    let status = person.done(&["--session", ADMIN, "call", "services/hello/status"]);
    assert!(status.starts_with(r#"{ "Status": "ok""#), "{status}");
    let log = person.done(&["--session", ADMIN, "call", "services/log", "serviceName=hello", "lines=1"]);
    assert!(log.contains(r#""Lines": ["#), "{log}");
    assert_eq!(person.ctl(&["--session", ADMIN, "call", "services/nothing/status"]).code, Some(4));
    let run = person.ctl(&["--session", ADMIN, "call", "services/lits"]);
    assert!(run.code == Some(4) && run.stderr.contains("'services/list'"), "{run:?}");
    assert!(person.done(&["complete-calls"]).contains("services/NAME/status\n"));
}

#[test]
fn the_board_reports_its_status_and_restarts() {
    let board = "[board]\nreboot = [\"/bin/sh\", \"-c\", \"exit 0\"]\n";
    let mut server = Server::start(&Device::new().with(board));
    let person = Person::new(&server);
    let status = person.done(&["--session", ADMIN, "board"]);
    for line in
        [&format!("board          {}", friendlet::limits::BOARD), "configuration  given", "boot error     -"]
    {
        assert!(status.lines().any(|printed| printed == line), "{line}: {status}");
    }
    assert_eq!(person.ctl(&["--session", GUEST, "board"]).code, Some(77));
    assert_eq!(person.ctl(&["--session", GUEST, "reboot"]).code, Some(77));
    let refused = person.ctl(&["--session", ADMIN, "poweroff"]);
    assert!(refused.code == Some(1) && refused.stderr.contains("[board] poweroff"), "{refused:?}");
    assert_eq!(person.done(&["--session", ADMIN, "reboot"]), "reboot: ok\n");
    drop(person);
    assert_eq!(server.wait(crate::support::wait::SOON).code(), Some(0), "{}", server.log());
}

#[test]
fn factory_reset_asks_for_the_name_of_the_board() {
    let server = Server::start(&Device::new());
    let person = Person::new(&server);
    let reset = |session, typed: &str| {
        run_command(person.command().args(["--session", session, "factory-reset"]), typed)
    };
    let run = reset(ADMIN, "yes\n");
    assert!(run.code == Some(1) && run.stderr.contains("nothing was erased"), "{run:?}");
    // The test has no board to erase.
    let run = reset(ADMIN, &format!("{}\n", friendlet::limits::BOARD));
    assert!(run.code == Some(1) && run.stderr.contains("`friendlet init`"), "{run:?}");
    assert_eq!(reset(GUEST, "yes\n").code, Some(77));
}

#[test]
fn a_password_is_changed_by_lines() {
    let server = Server::start(&Device::new());
    let person = Person::new(&server);
    person.log_in("fadmin", "secret");
    let run = run_command(person.command().args(["passwd"]), "wrong\nbetter-1\n");
    assert!(run.code == Some(77) && run.stderr.contains("old password is wrong"), "{run:?}");
    let run = run_command(person.command().args(["passwd"]), "secret\nbetter-1\n");
    assert_eq!(run.code, Some(0), "{run:?}");
    person.done(&["list"]);
    let run = run_command(person.command().args(["passwd", "guest"]), "other one\n");
    assert_eq!(run.code, Some(0), "{run:?}");
    person.log_in("fadmin", "better-1");
    Person::new(&server).log_in("guest", "other one");
    let run = run_command(person.command().args(["login", "fadmin"]), "secret\n");
    assert_eq!(run.code, Some(77), "{run:?}");
}

#[test]
fn watch_prints_each_change_as_it_happens() {
    let server = Server::start(&Device::new());
    let person = Person::new(&server);
    person.log_in("fadmin", "secret");
    let mut command = person.command();
    let mut watch = command.args(["watch"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let output = watch.stdout.take().unwrap();
    // Changes are pushed once the connection of `watch` is bound.
    until("watch prints a change", || {
        person.done(&["restart", "hello"]);
        rustix::io::ioctl_fionread(&output).unwrap() > 0
    });
    person.done(&["pause", "hello"]);
    let mut lines = BufReader::new(output).lines().map(Result::unwrap);
    for state in ["started", "paused"] {
        assert!(lines.any(|line| line.contains("hello") && line.contains(state)), "no {state}");
    }
    watch.kill().unwrap();
    watch.wait().unwrap();
}

#[test]
fn another_certificate_is_rejected() {
    // The servers of other tests are at 127.0.0.1, and could take the port between the two.
    let mut first = Device::new();
    first.address = "127.0.77.1:0".to_owned();
    let server = Server::start(&first);
    let person = Person::new(&server);
    person.done(&["--session", ADMIN, "list"]);
    // The same address with another key: the connection is intercepted, or the state of the device was lost.
    let mut device = Device::new();
    device.address = server.address().to_string();
    let home = person.home;
    server.stop();
    let other = Server::start(&device);
    let person = Person { server: &other, home };
    let run = person.ctl(&["--session", ADMIN, "list"]);
    assert!(run.code == Some(76) && run.stderr.contains("Nothing was sent"), "{run:?}");
    let wrong = "00".repeat(32);
    let stranger = Person::new(&other);
    assert_eq!(stranger.ctl(&["--fingerprint", &wrong, "--session", ADMIN, "list"]).code, Some(76));
    stranger.done(&["--session", ADMIN, "list"]);
}

#[test]
fn another_certificate_of_the_same_key_is_accepted() {
    let mut device = Device::new();
    device.address = "127.0.78.1:0".to_owned();
    let server = Server::start(&device);
    device.address = server.address().to_string();
    let person = Person::new(&server);
    person.done(&["--session", ADMIN, "list"]);
    let home = person.home;
    let directory = server.stop();
    // The key alone, of which the next start makes a certificate.
    let tls = directory.path().join("state/tls");
    let old = fs::read(tls.join("certificate.pem")).unwrap();
    for file in ["certificate.pem", "certificate.pem.copy", "key.pem.copy"] {
        fs::remove_file(tls.join(file)).unwrap();
    }
    let server = Server::start_in(directory, &device);
    assert_ne!(fs::read(tls.join("certificate.pem")).unwrap(), old);
    let person = Person { server: &server, home };
    let run = person.ctl(&["--session", ADMIN, "list"]);
    assert!(run.code == Some(0) && run.stderr.is_empty(), "{run:?}");
}

#[test]
fn an_unreachable_server_is_reported() {
    let server = Server::start(&Device::new());
    let person = Person::new(&server);
    let mut command = person.command();
    let address = server.address();
    server.stop();
    let run = run_command(command.args(["--session", ADMIN, "list"]), "");
    assert_eq!(run.code, Some(69), "{address}: {run:?}");
}

#[test]
fn sessions_are_listed_and_ended_by_their_short_ids() {
    let server = Server::start(&Device::new());
    let [guest, admin] = [Person::new(&server), Person::new(&server)];
    guest.log_in("guest", "guest");
    admin.log_in("fadmin", "secret");
    let rows = |person: &Person<'_>| {
        let list = person.done(&["sessions"]);
        list.lines()
            .skip(1)
            .map(|row| row.split_whitespace().map(str::to_owned).collect())
            .collect::<Vec<Vec<_>>>()
    };
    let own = rows(&guest);
    assert!(own.len() == 1 && own[0][1] == "guest" && own[0].contains(&"(this".to_owned()), "{own:?}");
    let all = rows(&admin);
    assert_eq!(all.len(), 2, "{all:?}");
    let of_admin = &all.iter().find(|row| row[1] == "fadmin").unwrap()[0];
    let refused = guest.ctl(&["sessions", "end", of_admin]);
    assert!(refused.code == Some(1) && refused.stderr.contains("no session"), "{refused:?}");
    assert_eq!(admin.done(&["sessions", "end", &own[0][0]]), format!("session {}: ended\n", own[0][0]));
    assert_eq!(guest.ctl(&["list"]).code, Some(77), "the session has ended");
    assert_eq!(rows(&admin).len(), 1);
}
