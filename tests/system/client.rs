//! The command-line client with several services and servers, at a terminal and in a pipe.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use super::ctl::{Person, without_settings};
use crate::support::device::{ADMIN, NOBODY, shell};
use crate::support::directory::Directory;
use crate::support::server::{Run, friendlet, run_command};
use crate::support::wait::until;
use crate::support::{Device, Server};

/// Services of which one is ready late and one fails.
fn device() -> Device {
    let late = "sleep 0.5; echo ready; exec sleep 1000";
    Device::new()
        .with(&shell("web", late, "ready = \"line:ready\"\nautostart = false"))
        .with(&shell("webcam", "exec sleep 1000", "autostart = false"))
        .with(&shell("broken", "sleep 0.4; exit 7", "autostart = false"))
}

/// Runs a command as administrator.
fn ctl(person: &Person<'_>, arguments: &[&str]) -> Run {
    person.ctl(&[&["--session", ADMIN][..], arguments].concat())
}

/// Runs a command at a terminal, of which `input` is typed. Its output has both streams.
fn at_terminal(command: &Command, input: &str, variables: &[(&str, &str)]) -> Run {
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "'\\''"));
    let words = [command.get_program()].into_iter().chain(command.get_args());
    let line: Vec<String> = words.map(|word| quoted(word.to_str().unwrap())).collect();
    // Of util-linux; with -e its exit code is that of the command.
    let mut script = Command::new("script");
    script.args(["-qec", &line.join(" "), "/dev/null"]).env("TERM", "xterm");
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => script.env(name, value),
            None => script.env_remove(name),
        };
    }
    run_command(script.envs(variables.iter().copied()), input)
}

#[test]
fn several_services_are_handled_with_one_line_each() {
    let server = Server::start(&device());
    let person = Person::new(&server);
    let run = ctl(&person, &["start", "--wait", "web*"]);
    assert_eq!(
        (run.code, run.stdout.as_str()),
        (Some(0), "start web: started\nstart webcam: started\n"),
        "{run:?}"
    );
    let run = ctl(&person, &["status", "web", "webcam"]);
    assert_eq!((run.code, run.stdout.lines().count()), (Some(0), 3), "{run:?}");
    assert_eq!(ctl(&person, &["status", "all"]).code, Some(3), "`broken` does not run");
    let run = ctl(&person, &["start", "--wait", "broken", "webacm", "allowed"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(4), "start allowed: started\n"), "{run:?}");
    assert!(
        run.stderr.contains("broken: failed: exit 7") || run.stderr.contains("broken: starting"),
        "{run:?}"
    );
    assert!(run.stderr.contains("no service 'webacm'; did you mean 'webcam'?"), "{run:?}");
    let run = ctl(&person, &["stop", "--wait", "web*"]);
    assert_eq!(
        (run.code, run.stdout.as_str()),
        (Some(0), "stop webcam: stopped\nstop web: stopped\n"),
        "{run:?}"
    );
    let run = ctl(&person, &["enable", "web", "webcam"]);
    assert_eq!(run.stdout, "enable web: ok\nenable webcam: ok\n", "{run:?}");
    let status = ctl(&person, &["--json", "status", "web", "nothing"]);
    assert!(status.stdout.starts_with(r#"{"web":{ "Status": "ok""#), "{status:?}");
    assert!(status.stdout.contains(r#""Enabled": true"#), "{status:?}");
    assert!(status.stdout.ends_with("\"exit\":4}}\n") && status.stderr.is_empty(), "{status:?}");
    let run = ctl(&person, &["disable", "web*"]);
    assert_eq!(run.stdout, "disable webcam: ok\ndisable web: ok\n", "{run:?}");
    let run = ctl(&person, &["pause", "web"]);
    assert!(run.code == Some(1) && run.stderr.contains("it does not run"), "{run:?}");
}

#[test]
fn output_of_several_services_is_followed_with_their_names() {
    let writer = |name: &str| shell(name, &format!("echo of {name}; exec sleep 1000"), "");
    let server = Server::start(&Device::new().with(&writer("one")).with(&writer("two")));
    let person = Person::new(&server);
    let mut command = person.command();
    command.args(["--session", ADMIN, "logs", "-f", "one", "two"]);
    let mut follow = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    ctl(&person, &["start", "two", "one"]);
    let mut lines: Vec<String> = Vec::new();
    let mut output = BufReader::new(follow.stdout.take().unwrap());
    while lines.len() < 2 {
        let mut line = String::new();
        assert!(std::io::BufRead::read_line(&mut output, &mut line).unwrap() > 0, "{lines:?}");
        lines.push(line);
    }
    lines.sort();
    assert_eq!(lines, ["one  of one\n", "two  of two\n"]);
    follow.kill().unwrap();
    follow.wait().unwrap();
}

#[test]
fn several_servers_are_named_by_a_file_or_a_variable() {
    let (one, two) = (Server::start(&Device::plain()), Server::start(&Device::plain()));
    let home = Directory::new();
    std::fs::create_dir_all(home.path().join("friendlet")).unwrap();
    let (hall, kitchen) = (format!("ws://{}", one.address()), format!("ws://{}", two.address()));
    home.write("friendlet/devices", format!("# of the tests\nhall {hall}\nkitchen {kitchen}\n"));
    let command = |arguments: &[&str]| {
        let mut command = friendlet();
        without_settings(&mut command).env("XDG_CONFIG_HOME", home.path()).env("XDG_STATE_HOME", home.path());
        command.arg("ctl").args(arguments);
        command
    };
    for name in ["hall", "kitchen"] {
        let run = run_command(&mut command(&["--on", name, "login", "fadmin"]), "secret\n");
        assert_eq!(run.code, Some(0), "{run:?}");
    }
    let run = run_command(&mut command(&["--on", "*", "start", "hello", "allowed"]), "");
    let expected = "hall     start hello: ok\nhall     start allowed: ok\nkitchen  start hello: ok\nkitchen  start allowed: ok\n";
    assert_eq!((run.code, run.stdout.as_str()), (Some(0), expected), "{run:?}");
    let run = run_command(command(&["status", "hello"]).env("FRIENDLET_URL", &kitchen), "");
    assert!(run.code == Some(0) && run.stdout.contains("started"), "{run:?}");
    two.stop();
    let run = run_command(command(&["--json", "stop", "hello"]).env("FRIENDLET_URL", "hall,kitchen"), "");
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert_eq!((run.code, lines.len(), lines[0]), (Some(69), 2, r#"{"hall":{ "Status": "ok"}}"#), "{run:?}");
    assert!(lines[1].starts_with(r#"{"kitchen":{"error":"cannot connect"#), "{run:?}");
    let run = run_command(&mut command(&["--on", "hal", "list"]), "");
    assert!(run.code == Some(64) && run.stderr.contains("did you mean 'hall'?"), "{run:?}");
}

#[test]
fn path_of_public_url_is_used() {
    let server = Server::start(&Device::plain().listen("public_url = \"https://panel.example/board\"\n"));
    let home = Directory::new();
    let ctl = |path: &str, arguments: &[&str]| {
        let mut command = friendlet();
        without_settings(&mut command).env("XDG_STATE_HOME", home.path());
        command.args(["ctl", "--url", &format!("ws://{}/{path}", server.address())]).args(arguments);
        run_command(&mut command, "secret\n")
    };
    assert_eq!(ctl("board", &["login", "fadmin"]).code, Some(0));
    let run = ctl("board/", &["start", "hello"]);
    assert_eq!(run.stdout, "start hello: ok\n", "{run:?}");
    assert_eq!(ctl("board/fcws", &["status", "hello"]).code, Some(0));
    assert_eq!(ctl("other", &["--session", ADMIN, "call", "user/logout"]).code, Some(1));
}

#[test]
fn terminal_has_colours_and_a_pipe_has_none() {
    let server = Server::start(&Device::plain());
    let person = Person::new(&server);
    ctl(&person, &["start", "hello"]);
    let mut list = person.command();
    list.args(["--session", ADMIN, "list"]);
    let run = at_terminal(&list, "", &[]);
    assert!(run.stdout.contains("hello    \x1b[32mstarted\x1b[0m\r\n"), "{run:?}");
    for variable in [("NO_COLOR", "1"), ("TERM", "dumb"), ("TERM", "")] {
        let run = at_terminal(&list, "", &[variable]);
        assert!(run.stdout.contains("hello    started\r\n"), "{run:?}");
    }
    assert!(run_command(&mut list, "").stdout.contains("hello    started\n"));
}

#[test]
fn person_at_a_terminal_is_asked_about_a_certificate() {
    let server = Server::start(&Device::new());
    let person = Person::new(&server);
    let mut list = person.command();
    list.args(["--session", ADMIN, "list"]);
    let run = at_terminal(&list, "no\n", &[]);
    assert!(run.code == Some(76) && run.stdout.contains("nothing was sent"), "{run:?}");
    let run = at_terminal(&list, "yes\n", &[]);
    assert!(
        run.code == Some(0) && run.stdout.contains("[yes or no] ") && run.stdout.contains("hello"),
        "{run:?}"
    );
    let run = at_terminal(&list, "", &[]);
    assert!(run.code == Some(0) && !run.stdout.contains("fingerprint"), "{run:?}");
}

#[test]
fn configuration_is_edited() {
    let server = Server::start(&Device::plain());
    let person = Person::new(&server);
    let mut edit = person.command();
    edit.args(["--session", ADMIN, "edit"]);
    let with_answer = |answer: &str, editor: &str| at_terminal(&edit, answer, &[("EDITOR", editor)]);
    let with = |editor: &str| with_answer("", editor);
    let run = with("true");
    assert!(run.code == Some(0) && run.stdout.contains("nothing was changed"), "{run:?}");
    let run = with("sed -i 's/sleep 1000/sleep 2000/'");
    assert!(run.code == Some(0) && run.stdout.contains("changed: allowed"), "{run:?}");
    assert!(run.stdout.contains("confirmed and written"), "{run:?}");
    let run = with("sed -i '$a x = 1'");
    assert!(run.code == Some(1) && run.stdout.contains("the draft is "), "{run:?}");
    // The draft is edited on, or given up.
    let run = with_answer("yes\n", "grep -q 'x = 1'");
    assert!(run.code == Some(1) && run.stdout.contains("unknown key 'x'"), "{run:?}");
    let run = with_answer("yes\n", "false");
    assert!(run.code == Some(1) && run.stdout.contains("nothing was changed; the draft is "), "{run:?}");
    let run = with_answer("\n", "true");
    assert!(run.code == Some(1) && run.stdout.contains("the draft is kept"), "{run:?}");
    let run = with_answer("no\n", "grep -q 'x = 1'");
    let failed = "the editor 'grep -q 'x = 1'' failed; nothing was changed\r\n";
    assert!(run.code == Some(1) && run.stdout.ends_with(failed), "{run:?}");
    let run = with("nosuch");
    let missing = "the editor 'nosuch' is not there: set EDITOR; nothing was changed\r\n";
    assert!(run.code == Some(1) && run.stdout.ends_with(missing), "{run:?}");
    // That of another server is another one.
    let other = Server::start(&Device::plain());
    assert!(with("sed -i '$a x = 1'").stdout.contains("the draft is "));
    let mut elsewhere = Person::new(&other).command();
    let home =
        edit.get_envs().find(|(name, _)| *name == "XDG_STATE_HOME").and_then(|(_, home)| home).unwrap();
    elsewhere.args(["--session", ADMIN, "edit"]).env("XDG_STATE_HOME", home);
    assert!(!at_terminal(&elsewhere, "", &[("EDITOR", "true")]).stdout.contains("draft"));
    let run = run_command(&mut edit, "");
    assert!(run.code == Some(64) && run.stderr.contains("configuration set FILE"), "{run:?}");
}

#[test]
fn draft_of_a_file_that_was_changed_meanwhile_is_refused_and_kept() {
    let server = Server::start(&Device::plain());
    let person = Person::new(&server);
    let mut edit = person.command();
    edit.args(["--session", ADMIN, "edit"]);
    let with = |answer: &str, editor: &str| at_terminal(&edit, answer, &[("EDITOR", editor)]);
    let own = with("", "sed -i '$a x = 1'");
    assert!(own.code == Some(1) && own.stdout.contains("unknown key 'x'"), "{own:?}");
    // Another administrator keeps a change.
    let other = Person::new(&server);
    let mut by_other = other.command();
    by_other.args(["--session", ADMIN, "edit"]);
    let run = at_terminal(&by_other, "", &[("EDITOR", "sed -i '$a # theirs'")]);
    assert!(run.stdout.contains("confirmed and written"), "{run:?}");
    let run = with("yes\n", "sed -i 's/x = 1/# mine/'");
    assert!(run.code == Some(1) && run.stdout.contains("another configuration is in force"), "{run:?}");
    assert!(run.stdout.contains("- # theirs") && run.stdout.contains("the draft is "), "{run:?}");
    let file = std::fs::read_to_string(server.config_file()).unwrap();
    assert!(file.contains("# theirs") && !file.contains("# mine"), "{file}");
    server.stop();
}

#[test]
fn draft_that_is_not_edited_on_is_kept_by_another_name() {
    let server = Server::start(&Device::plain());
    let person = Person::new(&server);
    let mut edit = person.command();
    edit.args(["--session", ADMIN, "edit"]);
    let run = at_terminal(&edit, "", &[("EDITOR", "sed -i '$a x = 1'")]);
    assert!(run.code == Some(1) && run.stdout.contains("unknown key 'x'"), "{run:?}");
    let run = at_terminal(&edit, "no\n", &[("EDITOR", "true")]);
    assert!(run.code == Some(0) && run.stdout.contains("nothing was changed"), "{run:?}");
    let (_, draft) = run.stdout.split_once("the draft is ").unwrap_or_else(|| panic!("{run:?}"));
    let draft = std::fs::read_to_string(draft.lines().next().unwrap()).unwrap();
    assert!(draft.ends_with("x = 1\n"), "{draft}");
    // The next one asks about nothing.
    let run = at_terminal(&edit, "", &[("EDITOR", "true")]);
    assert!(run.code == Some(0) && !run.stdout.contains("draft"), "{run:?}");
}

#[test]
fn reader_that_has_gone_ends_it_quietly() {
    let server = Server::start(&Device::plain());
    let person = Person::new(&server);
    for arguments in [&["list"][..], &["start", "hello", "allowed"], &["watch"], &["help"]] {
        let mut command = person.command();
        command.args(["--session", ADMIN]).args(arguments);
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output =
            command.stdout(writer).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
        assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]), "{arguments:?}");
    }
    assert_eq!(ctl(&person, &["status", "hello", "allowed"]).code, Some(0), "both were started");
}

#[test]
fn reader_that_goes_later_ends_what_has_no_end() {
    let server = Server::start(&device());
    let person = Person::new(&server);
    ctl(&person, &["start", "--wait", "web"]);
    for arguments in [&["watch"][..], &["logs", "web", "--follow"], &["server-log", "--follow"]] {
        let mut command = person.command();
        command.args(["--session", ADMIN]).args(arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "{arguments:?}");
        // Nothing changes any more.
        let mut status = None;
        until("it has ended", || {
            status = child.try_wait().unwrap();
            status.is_some()
        });
        assert_eq!(status.unwrap().code(), Some(0), "{arguments:?}");
    }
}

#[test]
fn output_that_cannot_be_written_has_its_own_code() {
    let server = Server::start(&Device::plain());
    let person = Person::new(&server);
    let full = std::fs::File::create("/dev/full").unwrap();
    let mut command = person.command();
    command.args(["--session", ADMIN, "list"]).stdout(full).stderr(Stdio::piped());
    let output = command.spawn().unwrap().wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(74) && said.contains("cannot write to standard output"), "{said}");
}

#[test]
fn login_without_a_terminal_and_a_line_is_an_error() {
    let server = Server::start(&Device::plain());
    let person = Person::new(&server);
    let run = run_command(person.command().args(["login", "fadmin"]), "");
    assert!(run.code == Some(1) && run.stderr.contains("no line on standard input"), "{run:?}");
    let run = run_command(person.command().args(["--json", "login", "fadmin"]), "wrong\n");
    let expected = "{\"error\":\"wrong user or password\",\"exit\":77}\n";
    assert_eq!((run.code, run.stdout.as_str(), run.stderr.as_str()), (Some(77), expected, ""));
    let run = person.ctl(&["--json", "--session", NOBODY, "list"]);
    assert!(run.code == Some(77) && run.stdout.contains("friendlet ctl login USER"), "{run:?}");
}
