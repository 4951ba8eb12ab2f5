//! Fallback of a configuration file that cannot be used.

use std::time::{Duration, Instant};
use std::{fs, thread};

use crate::support::device::{ADMIN, shell};
use crate::support::directory::Directory;
use crate::support::server::{friendlet, run_command};
use crate::support::wait::until;
use crate::support::{Device, Server};

const GOOD: &str = "friendlet.toml.good";

/// A configuration file with one service, which distinguishes it from others.
fn device(directory: &Directory, service: &str) -> String {
    Device::plain().with(&shell(service, "exec sleep 1000", "")).text(&directory.file("state"))
}

fn start(directory: Directory) -> Server {
    let mut command = friendlet();
    command.args(["serve", "--fall-back", "--config", &directory.file("friendlet.toml")]);
    command.env("STATE_DIRECTORY", directory.file("state"));
    Server::start_command(directory, command)
}

#[test]
fn file_of_a_serving_server_becomes_the_last_good_copy() {
    let directory = Directory::new();
    let first = device(&directory, "first");
    directory.write("friendlet.toml", &first);
    let server = start(directory);
    let good = server.directory().file(GOOD);
    until("the copy is written", || fs::read_to_string(&good).is_ok_and(|kept| kept == first));
    let written = fs::metadata(&good).unwrap().modified().unwrap();
    // The same text is not written again, another one is.
    let directory = start(server.stop()).stop();
    assert_eq!(fs::metadata(&good).unwrap().modified().unwrap(), written);
    let second = device(&directory, "second");
    directory.write("friendlet.toml", &second);
    let server = start(directory);
    until("the other copy is written", || fs::read_to_string(&good).is_ok_and(|kept| kept == second));
    assert!(!server.log().contains("in force"), "{}", server.log());
}

#[test]
fn last_good_copy_replaces_a_broken_file_and_stays() {
    let directory = Directory::new();
    let good = device(&directory, "good");
    directory.write(GOOD, &good);
    directory.write("friendlet.toml", device(&directory, "broken") + "[log]\nlevle = 1\n[state]\n");
    let server = start(directory);
    assert!(server.call("services/list").contains("\"good\""));
    let log = server.log();
    let line = log.lines().find(|line| line.contains("in force")).unwrap();
    assert!(line.contains("error") && line.contains("last good copy in force"), "{line}");
    assert!(line.contains("friendlet.toml:") && line.ends_with("more"), "{line}");
    let directory = server.stop();
    assert_eq!(fs::read_to_string(directory.file(GOOD)).unwrap(), good);
}

#[test]
fn built_in_default_is_in_force_without_a_last_good_copy() {
    // Its port is fixed, so the test occupies it: an error about that port shows the file in force.
    let directory = Directory::new();
    let file = directory.write("friendlet.toml", "[listen]\naddress = 1\n");
    let mut command = friendlet();
    command.args(["serve", "--fall-back", "--config", &file]).env("STATE_DIRECTORY", directory.file("state"));
    let address = built_in_address();
    let mut taken = std::net::TcpListener::bind(&address);
    let start = Instant::now();
    // Another run of the tests may occupy it for a moment.
    while taken.is_err() && start.elapsed() < Duration::from_secs(30) {
        thread::sleep(Duration::from_millis(50));
        taken = std::net::TcpListener::bind(&address);
    }
    let run = run_command(&mut command, "");
    drop(taken);
    assert_eq!(run.code, Some(69), "{run:?}");
    assert!(run.stderr.contains("built-in default in force"), "{run:?}");
    assert!(run.stderr.contains("friendlet.toml:2:11: "), "{run:?}");
    assert!(run.stderr.contains(&format!("cannot listen on {address}")), "{run:?}");
    assert!(!directory.path().join(GOOD).exists() && !directory.path().join("state").exists());
}

#[test]
fn lost_file_is_replaced_by_its_good_copy_with_a_notice() {
    for link in [false, true] {
        let directory = Directory::new();
        directory.write(GOOD, device(&directory, "given"));
        if link {
            std::os::unix::fs::symlink("medium/f.toml", directory.file("friendlet.toml")).unwrap();
        }
        let server = start(directory);
        assert!(server.call("services/list").contains("\"given\""));
        let status = server.call("board/status");
        assert!(
            status.contains(r#""DeviceFile": "last good", "Complaint": "last good copy in force: "#),
            "{status}"
        );
        assert!(server.log().contains("friendlet.toml: No such file or directory"), "{}", server.log());
        let mut socket = server.bound(ADMIN);
        assert!(socket.text().contains("last good copy in force"));
        assert!(server.call("board/reload").contains("No such file"));
        server.stop();
    }
}

fn built_in_address() -> String {
    let file: toml::Table = friendlet::limits::BOARD_FILE.parse().unwrap();
    file["listen"]["address"].as_str().unwrap().to_owned()
}

/// The services of the server, by its local socket.
fn services(server: &Server) -> String {
    let url = format!("unix:{}.ctl", server.directory().file("state"));
    run_command(friendlet().args(["ctl", "--url", &url, "list"]), "").stdout
}

#[test]
fn address_that_comes_late_and_a_missing_certificate_leave_the_file_in_force() {
    let directory = Directory::new();
    directory.write(GOOD, device(&directory, "good"));
    // No machine has this address for documentation (RFC 5737).
    let text =
        device(&directory, "given").replace("127.0.0.1:0", "192.0.2.1:6500").replace("\"off\"", "\"on\"");
    directory.write("friendlet.toml", text);
    let server = start(directory);
    until("it listens", || server.log().contains("listening on https://192.0.2.1:6500"));
    assert!(server.log().contains("192.0.2.1:6500: not an address of this machine yet"), "{}", server.log());
    assert!(services(&server).contains("given"));
    let directory = server.stop();
    let own = device(&directory, "given");
    let own = own.replace("tls = \"off\"", "tls = \"on\"\ncertificate = \"none.pem\"\nkey = \"none.pem\"");
    directory.write("friendlet.toml", own);
    let server = start(directory);
    assert!(server.log().contains("none.pem: No such file or directory (errno 2); a temporary certificate"));
    assert!(services(&server).contains("given"));
}

#[test]
fn state_that_cannot_be_written_is_in_memory() {
    let directory = Directory::new();
    let text = device(&directory, "given").replace("tls = \"off\"", "tls = \"on\"");
    let blocker = directory.write("blocker", "");
    let text = text.replace(&format!("{}\"", directory.file("state")), &format!("{blocker}/state\""));
    directory.write("friendlet.toml", text);
    let server = start(directory);
    assert!(services(&server).contains("given"));
    assert!(server.log().contains("state: cannot create the state directory"), "{}", server.log());
    assert!(!server.log().contains("in force"), "{}", server.log());
    let mut socket = server.bound(ADMIN);
    assert!(socket.text().contains("cannot create the state directory"));
}

#[test]
fn file_that_this_machine_cannot_apply_is_replaced_once() {
    let directory = Directory::new();
    let good = device(&directory, "good");
    directory.write(GOOD, &good);
    let authority = directory.write("authority.pem", "no certificate");
    let text = device(&directory, "given")
        .replace("tls = \"off\"", &format!("tls = \"on\"\nclient_ca = \"{authority}\""));
    directory.write("friendlet.toml", text);
    let server = start(directory);
    assert!(server.log().contains("last good copy in force: "), "{}", server.log());
    assert!(server.call("services/list").contains("\"good\""));
    let directory = server.stop();
    let blocked = device(&directory, "given").replace("/state.ctl", "/friendlet.toml/ctl");
    directory.write("friendlet.toml", blocked);
    let server = start(directory);
    assert!(server.call("services/list").contains("\"given\""));
    assert!(
        server.log().contains("state: cannot create the directory of the local socket"),
        "{}",
        server.log()
    );
}

#[test]
fn second_server_on_a_port_does_not_fall_back_to_another() {
    let first = Server::start(&Device::plain());
    let directory = Directory::new();
    directory.write(GOOD, device(&directory, "good"));
    let text = device(&directory, "given").replace("127.0.0.1:0", &first.address().to_string());
    let file = directory.write("friendlet.toml", text);
    let run = run_command(friendlet().args(["serve", "--fall-back", "--config", &file]), "");
    assert_eq!(run.code, Some(69), "{run:?}");
    assert!(!run.stderr.contains("in force") && !directory.path().join("state").exists(), "{run:?}");
}

#[test]
fn without_the_option_a_broken_file_is_an_error_and_no_copy_is_written() {
    let directory = Directory::new();
    directory.write(GOOD, device(&directory, "good"));
    let file = directory.write("friendlet.toml", "[listen]\naddress = 1\n");
    let run = run_command(friendlet().args(["serve", "--config", &file]), "");
    assert_eq!(run.code, Some(78), "{run:?}");
    let server = Server::start(&Device::plain());
    assert!(server.call("services/list").contains("hello"));
    assert!(!server.directory().path().join(GOOD).exists());
}

#[test]
fn installed_service_waits_for_its_configuration_file() {
    let directory = Directory::new();
    let whole = device(&directory, "kept");
    directory.write("friendlet.toml", &whole);
    let server = start(directory);
    assert_eq!(server.call("services/kept/install"), r#"{ "Status": "ok"}"#);
    let directory = server.stop();
    fs::write(directory.file(GOOD), device(&directory, "other")).unwrap();
    directory.write("friendlet.toml", "broken");
    let server = start(directory);
    assert_eq!(server.call("services/other/install"), r#"{ "Status": "ok"}"#);
    let directory = server.stop();
    directory.write("friendlet.toml", &whole);
    let server = start(directory);
    until("it is started", || server.call("services/kept/status").contains("started"));
}
