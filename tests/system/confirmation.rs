//! Changes of the configuration: the combination in force, and the proof of their confirmation.

use std::fs;
use std::net::{SocketAddr, TcpStream};

use rustix::process::Signal;

use super::services::{OK, status, until_state};
use super::supervision::send;
use super::trial::{SHORT, added, change, change_by, confirm, device, post, text, written};
use super::upgrade::{put, start_copy};
use crate::support::device::{ADMIN, shell, stored_password};
use crate::support::directory::Directory;
use crate::support::http::{Response, exchange, form_request, login_form, session_of};
use crate::support::server::{friendlet, run_command};
use crate::support::stream::Stream;
use crate::support::wait::{SOON, until};
use crate::support::{Device, Server};

/// The changed text with another password of `fadmin`.
fn with_password(server: &Server, password: &str) -> String {
    text(server, &device("")).replace(&stored_password("secret", 1000), &stored_password(password, 1000))
}

/// Session of a login on a device, if it is accepted.
fn login_on(server: &Server, name: &str, password: &str, device: &str) -> Option<String> {
    let form = login_form("fadmin", password).replace("test", device);
    session_of(&server.post("/system.library/login", &form.replace("fadmin", name)).body)
}

fn is_valid(server: &Server, session: &str) -> bool {
    server.post("/system.library/validate", &format!("sessionid={session}")).body.contains("true")
}

#[test]
fn new_address_is_refused_while_its_encryption_waits_for_a_restart() {
    let server = Server::start(&device(""));
    let encrypted = |address: &str| Device { tls: true, address: address.to_owned(), ..device("") };
    for parameters in ["", "dryrun=true"] {
        let answer = change(&server, &encrypted("0.0.0.0:0"), parameters);
        assert!(answer.contains("cannot be opened while [listen] tls"), "{answer}");
    }
    assert!(confirm(&server).contains("no change waits"));
    // One after the other is the same.
    let answer = change(&server, &encrypted("127.0.0.1:0"), "");
    assert!(answer.contains(r#""NeedsRestart": ["[listen] tls"]"#), "{answer}");
    assert_eq!(confirm(&server), OK);
    let answer = change(&server, &encrypted("0.0.0.0:0"), "");
    assert!(answer.contains("cannot be opened while [listen] tls"), "{answer}");
    server.stop();
}

#[test]
fn new_address_is_refused_while_its_certificate_waits_for_a_restart() {
    let of = |address: &str, keys: &str| {
        Device { tls: true, address: address.to_owned(), ..device("") }.listen(keys)
    };
    let server = Server::start(&of("127.0.0.1:0", ""));
    // The one in use stays, and with it clients need no certificate.
    let directory = server.directory();
    fs::copy(directory.file("state/tls/certificate.pem"), directory.file("state/ca.pem")).unwrap();
    fs::remove_file(directory.file("state/tls/certificate.pem")).unwrap();
    let answer = change(&server, &of("127.0.0.2:0", "client_ca = \"ca.pem\""), "");
    assert!(answer.contains("cannot be opened while [listen] certificate"), "{answer}");
    server.stop();
}

#[test]
fn change_of_the_own_password_is_confirmed_after_a_login_with_it_alone() {
    let server = Server::start(&device(""));
    let session = server.login("fadmin", "secret");
    let other = login_on(&server, "fadmin", "secret", "other").unwrap();
    let answer = change_by(&server, &session, &with_password(&server, "mistyped"), SHORT);
    assert!(answer.ends_with(r#""NeedsLogin": true}"#), "{answer}");
    let refused = post(&server, "confirm", &session, "");
    assert!(refused.contains("log in with the password of the change"), "{refused}");
    assert!(!is_valid(&server, &other), "a session of the earlier password");
    let later = login_on(&server, "fadmin", "mistyped", "later").unwrap();
    until("it is back", || server.call("board/status").contains("was not confirmed"));
    assert!(!is_valid(&server, &later), "a session of the password that is not confirmed");
    // He may go on, and try it once more.
    let answer = change_by(&server, &session, &with_password(&server, "later"), "");
    assert!(answer.contains("NeedsLogin"), "{answer}");
    assert_eq!(login_on(&server, "fadmin", "secret", "test"), None);
    assert!(post(&server, "confirm", &session, "").contains("this session is older"));
    // On the same device, the login returns the same session.
    assert_eq!(server.login("fadmin", "later"), session);
    assert_eq!(post(&server, "confirm", &session, ""), OK);
    assert_eq!(written(&server), with_password(&server, "later"));
    server.stop();
}

#[test]
fn change_without_the_own_password_cannot_be_confirmed_by_a_session() {
    let server = Server::start(&device(""));
    let session = server.login("fadmin", "secret");
    let line = format!("password = \"{}\"\n", stored_password("secret", 1000));
    let without = text(&server, &device("")).replace(&line, "");
    assert!(change_by(&server, &session, &without, SHORT).contains("NeedsLogin"));
    assert_eq!(login_on(&server, "fadmin", "secret", "other"), None);
    assert!(post(&server, "confirm", &session, "").contains("this session is older"));
    until("it is back", || server.call("board/status").contains("was not confirmed"));
    assert!(login_on(&server, "fadmin", "secret", "other").is_some());
    // A token that is in the file still gets him in.
    assert!(change_by(&server, &session, &without, "").contains("NeedsLogin"));
    assert_eq!(post(&server, "confirm", ADMIN, ""), OK);
    // Passwords of others are not his.
    let boss = without.replace(&stored_password("boss", 1000), &stored_password("chief", 1000));
    assert!(!change_by(&server, ADMIN, &boss, "").contains("NeedsLogin"));
    assert_eq!(confirm(&server), OK);
    assert!(login_on(&server, "boss", "chief", "test").is_some());
    server.stop();
}

#[test]
fn ctl_asks_to_log_in_again_after_a_change_of_the_own_password() {
    let state = Directory::new();
    let server = Server::start(&device(""));
    let url = format!("ws://{}", server.address());
    let ctl = |arguments: &[&str], input: &str| {
        let mut command = friendlet();
        command.args([&["ctl", "--url", &url], arguments].concat());
        run_command(command.env("XDG_STATE_HOME", state.file("")), input)
    };
    assert_eq!(ctl(&["login", "fadmin"], "secret\n").code, Some(0));
    let path = server.directory().write("changed.toml", with_password(&server, "later"));
    let tried = ctl(&["configuration", "set", &path], "");
    assert_eq!(tried.code, Some(1), "{tried:?}");
    assert!(tried.stderr.contains("log in again with `friendlet ctl login"), "{tried:?}");
    assert!(tried.stdout.contains("in force for 60 s, unless"), "{tried:?}");
    let early = ctl(&["configuration", "confirm"], "");
    assert!(early.stderr.contains("log in with the password of the change"), "{early:?}");
    assert_eq!(ctl(&["login", "fadmin"], "later\n").code, Some(0));
    let confirmed = ctl(&["configuration", "confirm"], "");
    assert_eq!(confirmed.stdout, "configuration: ok, confirmed and written\n", "{confirmed:?}");
    server.stop();
}

#[test]
fn file_with_an_error_is_not_overwritten_before_a_reload_has_found_it() {
    let server = Server::start(&device(""));
    let later = device(&added("added"));
    fs::write(server.config_file(), "[[[in the middle").unwrap();
    for parameters in ["", "dryrun=true"] {
        let answer = change(&server, &later, parameters);
        assert!(answer.contains("is not the one in force and has an error"), "{answer}");
    }
    assert!(written(&server).starts_with("[[["));
    // Then administrators know of it, and a change replaces it.
    assert!(server.call("board/reload").contains("returned: 22"));
    assert!(change(&server, &later, "").contains("\"Change\""));
    assert_eq!(confirm(&server), OK);
    assert_eq!(written(&server), text(&server, &later));
    server.stop();
}

/// A service whose stop takes some seconds.
fn slow(nice: u8) -> String {
    slow_for("sleep 3", nice)
}

/// A directory, and the file in it that ends the stop of a service.
fn end_file() -> (Directory, String) {
    let files = Directory::new();
    let end = files.file("end");
    (files, end)
}

/// A service whose stop takes until this file exists.
fn held(end: &str, nice: u8) -> String {
    slow_for(&format!("until test -e {end}; do sleep 0.05; done"), nice)
}

fn slow_for(wait: &str, nice: u8) -> String {
    let script = format!("trap '{wait}; exit 0' TERM; echo up; while :; do sleep 0.05; done");
    let keys = format!("ready = \"line:up\"\nautostart = true\nnice = {nice}\nstop_timeout_s = 100");
    shell("slow", &script, &keys)
}

fn is_nice(server: &Server, nice: u8) -> bool {
    server.call("services/slow/show").contains(&format!("\"nice\": {nice}"))
}

/// A server that has begun to put a change in force, for which services still stop. They are changed, or removed.
fn with_change_under_way(tables: &str) -> Server {
    let server = Server::start(&device(
        &(slow(9)
            + &shell(
                "gone",
                "trap 'sleep 3; exit 0' TERM; echo up; while :; do sleep 0.05; done",
                "ready = \"line:up\"",
            )),
    ));
    until_state(&server, "slow", "started");
    assert_eq!(server.call("services/gone/start"), OK);
    until_state(&server, "gone", "started");
    let answer = change(&server, &device(tables), "seconds=60");
    assert!(answer.contains(r#""Changed": ["slow"], "Removed": ["gone"]"#), "{answer}");
    until_state(&server, "slow", "stopping");
    until_state(&server, "gone", "stopping");
    server
}

#[track_caller]
fn until_notice(server: &Server, words: &str) {
    until(words, || server.call("board/status").contains(words));
}

#[test]
fn change_is_gone_with_its_notice_when_the_server_is_killed_while_services_stop_for_it() {
    let mut server = with_change_under_way(&slow(11));
    // Nobody has reloaded it.
    let file = written(&server);
    fs::write(server.config_file(), file.clone() + &added("edited")).unwrap();
    server.crash();
    until_notice(&server, "by fadmin was not confirmed: the earlier one is back");
    for name in ["slow", "gone"] {
        until_state(&server, name, "started");
    }
    assert!(is_nice(&server, 9));
    assert!(!server.call("services/list").contains("edited"), "nobody has reloaded the file");
    assert!(confirm(&server).contains("no change waits"));
    // Until an administrator reloads the file, or makes another change.
    server.crash();
    assert!(server.call("board/status").contains("not confirmed"));
    assert_eq!(written(&server), file.clone() + &added("edited"));
    fs::write(server.config_file(), file).unwrap();
    assert!(post(&server, "reload", ADMIN, "").contains("\"ok\""));
    // A thread removes it after the answer.
    let mark = server.directory().file("state/unconfirmed");
    until("the mark of the change is removed", || !fs::exists(&mark).unwrap());
    for _ in 0..2 {
        assert!(!server.call("board/status").contains("not confirmed"));
        server.crash();
    }
    server.stop();
}

#[test]
fn service_that_has_stopped_for_a_change_runs_again_when_the_server_is_killed_meanwhile() {
    let (_files, end) = end_file();
    let quick = added("quick");
    let mut server = Server::start(&device(&(held(&end, 9) + &quick)));
    until_state(&server, "slow", "started");
    until_state(&server, "quick", "started");
    let answer = change(&server, &device(&held(&end, 11)), "seconds=60");
    assert!(answer.contains(r#""Removed": ["quick"]"#), "{answer}");
    until_state(&server, "quick", "stopped");
    assert_eq!(status(&server, "slow").state, "stopping");
    server.crash();
    fs::write(&end, "").unwrap();
    for name in ["slow", "quick"] {
        until_state(&server, name, "started");
    }
    server.stop();
}

/// The second server removed the mark of the change, and the third took it for one that was not confirmed.
#[test]
fn change_that_was_confirmed_while_services_stop_for_it_is_in_force_after_two_kills() {
    for has_hup in [false, true] {
        let (_files, end) = end_file();
        let mut server = Server::start(&device(&held(&end, 9)));
        until_state(&server, "slow", "started");
        let later = Device { address: "127.0.0.2:0".to_owned(), ..device(&held(&end, 11)) };
        let opened = confirmed_elsewhere(&server, &later);
        for number in 1..=2 {
            server.crash();
            assert_eq!(server.address().ip(), opened.ip(), "{number}: the administrator is there");
            let begun = "the reload of an earlier server begins anew";
            until(begun, || server.log().matches(begun).count() == number);
            until_state(&server, "slow", "stopping");
            if has_hup {
                send(server.keeper(), Signal::HUP);
            }
        }
        server.crash();
        fs::write(&end, "").unwrap();
        until("its services are in force", || is_nice(&server, 11));
        until_state(&server, "slow", "started");
        assert!(!server.call("board/status").contains("not confirmed"));
        server.stop();
    }
}

/// Puts a change with another address in force, and confirms it while `slow` stops. Returns the address.
fn confirmed_elsewhere(server: &Server, later: &Device) -> SocketAddr {
    let answer = change(server, later, "seconds=60");
    let opened = answer.split("\"Address\": \"").nth(1).and_then(|rest| rest.split('"').next());
    let opened: SocketAddr = opened.unwrap_or_else(|| panic!("{answer}")).parse().unwrap();
    let form = form_request("/system.library/board/confirm", &format!("sessionid={ADMIN}"));
    let socket = Stream::Plain(TcpStream::connect(opened).unwrap());
    assert_eq!(Response::parse(&exchange(socket, form.as_bytes())).body, OK);
    opened
}

/// The next program did not know of the change.
#[test]
fn change_that_was_confirmed_is_in_force_when_its_server_is_killed_before_an_upgrade() {
    let (_files, end) = end_file();
    let (mut server, program) = start_copy(&device(&held(&end, 9)));
    until_state(&server, "slow", "started");
    // It is tried for a second, before there is a change.
    let own = friendlet();
    let script = format!("#!/bin/sh\nsleep 1\nexec {} \"$@\"\n", own.get_program().display());
    put(&program, script.as_bytes());
    send(server.keeper(), Signal::USR2);
    assert!(change(&server, &device(&held(&end, 11)), "seconds=60").contains("Change"));
    assert_eq!(confirm(&server), OK);
    until("the program is tried", || server.log().contains("the new program can take over"));
    put(&program, &fs::read(own.get_program()).unwrap());
    assert_eq!(status(&server, "slow").state, "stopping");
    server.crash();
    assert_eq!(status(&server, "slow").state, "stopping");
    // Once it is in force, the upgrade goes on.
    server.replace(|| fs::write(&end, "").unwrap());
    until_state(&server, "slow", "started");
    assert!(is_nice(&server, 11) && !server.call("board/status").contains("not confirmed"));
    server.stop();
}

/// The second read failed because the server ended, and the first one was forgotten with it.
#[test]
fn reload_whose_services_stop_is_not_lost_in_an_upgrade_while_another_waits() {
    let (_files, end) = end_file();
    let mut server = Server::start(&device(&held(&end, 9)));
    until_state(&server, "slow", "started");
    fs::write(server.config_file(), text(&server, &device(&held(&end, 11)))).unwrap();
    for _ in 0..2 {
        send(server.keeper(), Signal::HUP);
        until_state(&server, "slow", "stopping");
    }
    until("both have come", || server.log().matches("SIGHUP: reload").count() == 2);
    server.upgrade();
    fs::write(&end, "").unwrap();
    until("its services are in force", || is_nice(&server, 11));
    until_state(&server, "slow", "started");
    server.stop();
}

/// The next server had what ran before the change run again.
#[test]
fn service_that_is_stopped_while_others_stop_for_a_change_stays_stopped_after_a_kill() {
    let simple = |nice| shell("simple", "exec sleep 1000", &format!("autostart = true\nnice = {nice}"));
    for is_kept in [false, true] {
        let (_files, end) = end_file();
        let mut server = Server::start(&device(&(held(&end, 9) + &simple(1))));
        until_state(&server, "slow", "started");
        until_state(&server, "simple", "started");
        assert!(change(&server, &device(&(held(&end, 11) + &simple(2))), "seconds=60").contains("Change"));
        if is_kept {
            assert_eq!(confirm(&server), OK);
        }
        until_state(&server, "simple", "starting");
        assert_eq!(server.call("services/simple/stop"), OK);
        assert_eq!(status(&server, "slow").state, "stopping");
        server.crash();
        fs::write(&end, "").unwrap();
        until("the change is in force, or gone", || is_nice(&server, if is_kept { 11 } else { 9 }));
        until_state(&server, "slow", "started");
        assert_eq!(status(&server, "simple").state, "stopped");
        server.stop();
    }
}

#[test]
fn change_that_was_confirmed_while_services_stop_for_it_is_in_force_after_a_kill() {
    let mut server = Server::start(&device(&slow(9)));
    until_state(&server, "slow", "started");
    let before = server.address();
    let later = Device { address: "127.0.0.2:0".to_owned(), ..device(&slow(11)) };
    let opened = confirmed_elsewhere(&server, &later);
    let stopping = server.log().matches("the configuration file has changed it").count();
    assert_eq!(stopping, 1);
    server.crash();
    assert_eq!(server.address().ip(), opened.ip(), "the administrator is there");
    until("its services are in force", || is_nice(&server, 11));
    until_state(&server, "slow", "started");
    assert!(!server.call("board/status").contains("not confirmed"));
    server.crash();
    assert_eq!((server.address().ip(), is_nice(&server, 11)), (opened.ip(), true));
    assert_ne!(before.ip(), opened.ip());
    server.stop();
}

#[test]
fn error_of_the_file_and_notice_of_a_change_are_both_reported() {
    let before = device("");
    let server = Server::start(&before);
    assert!(change(&server, &device(&added("added")), SHORT).contains("\"Change\": "));
    until_notice(&server, "was not confirmed");
    let text = written(&server);
    fs::write(server.config_file(), text.clone() + "[[service\n").unwrap();
    server.signal(Signal::HUP);
    until_notice(&server, "configuration file not reloaded");
    assert!(server.call("board/status").contains("was not confirmed"));
    server.stop();
}

#[test]
fn reload_that_was_asked_for_by_a_signal_is_not_lost_with_the_server() {
    let mut server = Server::start(&device(""));
    let text = written(&server);
    fs::write(server.config_file(), text + &added("added")).unwrap();
    // It handles no signal, and then none any more.
    send(server.pid(), Signal::STOP);
    server.signal(Signal::HUP);
    server.crash();
    until("it is reloaded", || server.call("services/list").contains("added"));
    server.stop();
}

#[test]
fn change_that_is_not_confirmed_leaves_its_notice_however_the_server_ends() {
    let before = device("");
    let mut server = Server::start(&before);
    let begin = |server: &Server| {
        let answer = change(server, &device(&added("added")), "seconds=60");
        assert!(answer.contains("\"Change\": "), "{answer}");
        until_state(server, "added", "started");
    };
    let is_back = |server: &Server, words: &str| {
        until_notice(server, words);
        until("it is back", || !server.call("services/list").contains("added"));
    };
    let ended = "by fadmin was not confirmed: the earlier one is back";
    begin(&server);
    server.crash();
    is_back(&server, ended);
    begin(&server);
    server.upgrade();
    is_back(&server, ended);
    for signal in [Signal::KILL, Signal::TERM] {
        begin(&server);
        send(server.keeper(), signal);
        server.wait(SOON);
        server = Server::start_in(server.take_directory(), &before);
        is_back(&server, ended);
    }
    begin(&server);
    server.signal(Signal::HUP);
    is_back(&server, "was not confirmed: the file is in force, which was read again");
    // One that is confirmed, and a server that is killed after it, leave none.
    begin(&server);
    assert_eq!(confirm(&server), OK);
    server.crash();
    assert!(!server.call("board/status").contains("not confirmed"));
    assert!(server.call("services/list").contains("added"));
    server.stop();
}

#[test]
fn server_that_is_killed_while_it_returns_leaves_the_notice_of_that() {
    let mut server = Server::start(&device(&slow(9)));
    until_state(&server, "slow", "started");
    assert!(change(&server, &device(&slow(11)), "seconds=20").contains(r#""Changed": ["slow"]"#));
    until("the later one runs", || is_nice(&server, 11) && status(&server, "slow").state == "started");
    until("it is over", || server.call("board/status").contains("was not confirmed"));
    assert!(is_nice(&server, 11), "the service still stops");
    // Nobody has reloaded it.
    fs::write(server.config_file(), written(&server) + &added("edited")).unwrap();
    server.crash();
    until("the earlier one runs", || is_nice(&server, 9) && status(&server, "slow").state == "started");
    assert!(server.call("board/status").contains("not confirmed"), "{}", server.call("board/status"));
    assert!(!server.call("services/list").contains("edited"), "nobody has reloaded the file");
    server.stop();
}
