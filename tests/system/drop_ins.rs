//! Drop-in files: a package brings a service, the owner overrides it, and a broken one leaves the rest in force.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::process::Command;

use super::services::until_state;
use crate::support::device::{ADMIN, shell};
use crate::support::directory::Directory;
use crate::support::server::{Run, friendlet, run, run_command};
use crate::support::wait::until;
use crate::support::{Device, Server};

const RUNS_ON: &str = "exec sleep 1000";
const GOOD: &str = "friendlet.toml.good";

/// A configuration file with these drop-ins.
fn directory(files: &[(&str, &str)]) -> Directory {
    let directory = Directory::new();
    directory.write("friendlet.toml", Device::plain().text(&directory.file("state")));
    fs::create_dir(directory.file("friendlet.d")).unwrap();
    for (name, text) in files {
        put(&directory, name, text);
    }
    directory
}

/// Writes a drop-in, as a package manager does.
fn put(directory: &Directory, name: &str, text: &str) {
    let new = directory.write("new", text);
    fs::rename(new, directory.file(&format!("friendlet.d/{name}"))).unwrap();
}

fn remove(directory: &Directory, name: &str) {
    fs::remove_file(directory.file(&format!("friendlet.d/{name}"))).unwrap();
}

fn start(directory: Directory) -> Server {
    let mut command = friendlet();
    command.args(["serve", "--config", &directory.file("friendlet.toml")]).env_remove("STATE_DIRECTORY");
    Server::start_command(directory, command)
}

fn start_falling_back(directory: Directory) -> Server {
    let mut command = friendlet();
    command.args(["serve", "--fall-back", "--config", &directory.file("friendlet.toml")]);
    command.env_remove("STATE_DIRECTORY");
    Server::start_command(directory, command)
}

fn check(directory: &Directory) -> Run {
    run(&["check", &directory.file("friendlet.toml")], "")
}

fn is_known(server: &Server, name: &str) -> bool {
    server.call("services/list").contains(&format!("\"{name}\""))
}

/// A service whose command line distinguishes it.
fn version(name: &str, seconds: u32) -> String {
    shell(name, &format!("exec sleep {seconds}"), "autostart = true")
}

fn sleeps(server: &Server, name: &str, seconds: u32) -> bool {
    server.call(&format!("services/{name}/show")).contains(&format!("exec sleep {seconds}"))
}

fn mask(name: &str) -> String {
    format!("[[service]]\nname = \"{name}\"\nenabled = false\n")
}

#[test]
fn package_brings_a_service_and_the_owner_overrides_it() {
    let directory = directory(&[
        ("10-web.toml", &version("web", 1000)),
        ("20-radio.toml", &(version("radio", 1000) + &shell("after-radio", RUNS_ON, "after = [\"radio\"]"))),
        ("90-owner.toml", &(version("web", 2000) + &mask("radio"))),
        (".91-hidden.toml", "broken"),
        ("92-notes.txt", "broken"),
    ]);
    let run = check(&directory);
    let path = |name: &str| directory.file(&format!("friendlet.d/{name}"));
    let file = directory.file("friendlet.toml");
    let lines = format!(
        "{file}: ok\nservice allowed: {file}\nservice web: {}, overrides {}\nservice after-radio: {}\nservice radio: masked by {}, overrides {}\n",
        path("90-owner.toml"),
        path("10-web.toml"),
        path("20-radio.toml"),
        path("90-owner.toml"),
        path("20-radio.toml")
    );
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.stdout.starts_with(&lines), "{lines}\n{run:?}");
    let server = start(directory);
    until_state(&server, "web", "started");
    assert!(sleeps(&server, "web", 2000));
    assert!(is_known(&server, "allowed") && is_known(&server, "after-radio") && !is_known(&server, "radio"));
    assert!(!server.log().contains("drop-in"), "{}", server.log());
    server.stop();
}

#[test]
fn broken_one_is_left_out_alone_with_a_notice() {
    let directory = directory(&[
        ("10-web.toml", "[[service]]\nname = \"web\"\ncomand = 1\n[log]\n"),
        ("20-app.toml", &shell("app", RUNS_ON, "autostart = true\nafter = [\"web\"]")),
        ("30-needy.toml", &shell("needy", RUNS_ON, "requires = [\"web\"]")),
    ]);
    let run = check(&directory);
    assert_eq!(run.code, Some(78), "{run:?}");
    for error in
        ["10-web.toml:3:1: unknown key 'comand'", "10-web.toml:4:2: 'log' is for the configuration file"]
    {
        assert!(run.stderr.contains(error), "{run:?}");
    }
    let server = start(directory);
    until_state(&server, "app", "started");
    assert!(is_known(&server, "allowed") && !is_known(&server, "web") && !is_known(&server, "needy"));
    let notice =
        format!("drop-in 10-web.toml left out: {}/10-web.toml:", server.directory().file("friendlet.d"));
    assert!(server.log().contains(&notice), "{}", server.log());
    assert!(server.call("board/status").contains(&notice), "{}", server.call("board/status"));
    let mut socket = server.bound(ADMIN);
    assert!(socket.text().contains("10-web.toml"));
    // Once it is right, a reload puts it in force, and the notice ends.
    put(server.directory(), "10-web.toml", &version("web", 1000));
    assert!(server.call("board/reload").contains("\"Status\": \"ok\""));
    until("it is added", || is_known(&server, "web"));
    until_state(&server, "web", "started");
    assert!(is_known(&server, "needy") && !server.call("board/status").contains("drop-in"));
    server.stop();
}

#[test]
fn last_good_copy_replaces_a_broken_one() {
    let both = [("10-web.toml", version("web", 1000)), ("20-app.toml", version("app", 1000))];
    let directory = directory(&both.each_ref().map(|(name, text)| (*name, text.as_str())));
    let server = start_falling_back(directory);
    let has =
        |text: &str| fs::read_to_string(server.directory().file(GOOD)).is_ok_and(|good| good.contains(text));
    until("the copy is written", || has("\x1c10-web.toml\n") && has("\x1c20-app.toml\n"));
    // With a change of another one, and of the file.
    let mut directory = server.stop();
    put(&directory, "20-app.toml", &version("app", 2000));
    // The second one is what a power cut may leave.
    for text in ["[[service]]\nname = \"web\"\n", "", " \n"] {
        put(&directory, "10-web.toml", text);
        let server = start_falling_back(directory);
        until_state(&server, "web", "started");
        assert!(sleeps(&server, "web", 1000) && sleeps(&server, "app", 2000));
        let notice = "last good copy of drop-in 10-web.toml in force: ";
        assert!(server.call("board/status").contains(notice), "{}", server.call("board/status"));
        let good = server.directory().file(GOOD);
        let copied =
            "20-app.toml\n[[service]]\nname = \"app\"\ncommand = [\"/bin/sh\", \"-c\", \"exec sleep 2000\"]";
        until("the copy is written", || fs::read_to_string(&good).is_ok_and(|good| good.contains(copied)));
        assert!(fs::read_to_string(&good).unwrap().contains("exec sleep 1000"));
        directory = server.stop();
    }
    // Without the file, too: what was last good stays.
    fs::write(directory.file("friendlet.toml"), "broken").unwrap();
    let server = start_falling_back(directory);
    assert!(is_known(&server, "allowed") && sleeps(&server, "web", 1000) && sleeps(&server, "app", 2000));
    let status = server.call("board/status");
    assert!(
        status.contains("last good copy in force: ") && status.contains("; last good copy of drop-in"),
        "{status}"
    );
    server.stop();
}

#[test]
fn reload_is_all_or_nothing() {
    let server = start(directory(&[("10-web.toml", &version("web", 1000))]));
    until_state(&server, "web", "started");
    put(server.directory(), "20-app.toml", &version("app", 1000));
    put(server.directory(), "30-wrong.toml", "[[service]]\nname = \"x\"\n");
    put(server.directory(), "40-wrong.toml", "[[device]\n");
    let answer = server.call("board/reload");
    for error in ["reload returned: 22", "30-wrong.toml:1:1: [[service]] has no command", "40-wrong.toml:1:"]
    {
        assert!(answer.contains(error), "{error}: {answer}");
    }
    assert!(!is_known(&server, "app"));
    remove(server.directory(), "30-wrong.toml");
    remove(server.directory(), "40-wrong.toml");
    put(server.directory(), "90-owner.toml", &mask("web"));
    let answer = server.call("board/reload");
    assert!(answer.contains(r#""Added": ["app"], "Changed": [], "Removed": ["web"]"#), "{answer}");
    until("it is added", || is_known(&server, "app"));
    until_state(&server, "app", "started");
    until("it is gone", || !is_known(&server, "web"));
    assert!(!server.call("board/status").contains("not reloaded"));
    // The keeper has read the same: a service starts as its drop-in wants it.
    put(server.directory(), "90-owner.toml", &version("app", 2000));
    assert!(server.call("board/reload").contains(r#""Added": ["web"], "Changed": ["app"]"#));
    until("it is the other one", || sleeps(&server, "app", 2000));
    until("it is added", || is_known(&server, "web"));
    until_state(&server, "app", "started");
    until_state(&server, "web", "started");
    server.stop();
}

#[test]
fn next_server_has_the_drop_ins_of_the_last_reload() {
    let mut server = start(directory(&[]));
    put(server.directory(), "10-web.toml", &version("web", 1000));
    assert!(server.call("board/reload").contains("\"Added\": [\"web\"]"));
    until("it is added", || is_known(&server, "web"));
    until_state(&server, "web", "started");
    put(server.directory(), "10-web.toml", "broken");
    server.crash();
    assert!(is_known(&server, "web"));
    server.stop();
}

#[test]
fn entries_that_are_not_files_of_text_are_left_out() {
    let directory = directory(&[("50-app.toml", &version("app", 1000))]);
    let path = |name: &str| directory.file(&format!("friendlet.d/{name}"));
    assert!(Command::new("mkfifo").arg(path("10-fifo.toml")).status().unwrap().success());
    fs::create_dir(path("20-directory.toml")).unwrap();
    symlink("/nonexistent", path("30-link.toml")).unwrap();
    fs::write(path("40-bytes.toml"), b"\xff\xfe").unwrap();
    fs::write(path("60-huge.toml"), "#".repeat(friendlet::limits::CONFIG_BYTES + 1)).unwrap();
    let reasons = [
        "10-fifo.toml: not a regular file",
        "20-directory.toml: not a regular file",
        "30-link.toml: No such file or directory",
        "40-bytes.toml: UTF-16, not UTF-8",
        "60-huge.toml: with this file, the configuration is larger than",
    ];
    let run = check(&directory);
    assert_eq!(run.code, Some(78), "{run:?}");
    let server = start(directory);
    until_state(&server, "app", "started");
    let answer = server.call("board/reload");
    for reason in reasons {
        for text in [&run.stderr, &server.log(), &answer] {
            assert!(text.contains(reason), "{reason}: {text}");
        }
    }
    server.stop();
}

#[test]
fn drop_ins_are_beside_the_built_in_default_without_a_file() {
    // Its port is fixed, so the test occupies it, or another one does.
    let directory = directory(&[("10-web.toml", &version("web", 1000)), ("20-wrong.toml", "x = 1")]);
    let file = directory.file("friendlet.toml");
    fs::remove_file(&file).unwrap();
    let built_in: toml::Table = friendlet::limits::BOARD_FILE.parse().unwrap();
    let taken = TcpListener::bind(built_in["listen"]["address"].as_str().unwrap());
    let mut command = friendlet();
    command.args(["serve", "--fall-back", "--config", &file]);
    let run = run_command(command.env("STATE_DIRECTORY", directory.file("state")), "");
    drop(taken);
    assert_eq!(run.code, Some(69), "{run:?}");
    assert!(run.stderr.contains("drop-in 20-wrong.toml left out: "), "{run:?}");
    assert!(!run.stderr.contains("built-in default in force"), "{run:?}");
}
