//! The configuration file and its commands: `check`, `passwd`, `limits`.

use super::services::OK;
use crate::support::device::{Device, accounts, shell};
use crate::support::http::session_of;
use crate::support::server::{Run, run, run_on};
use crate::support::wait::until;
use crate::support::{Server, directory::Directory};

/// EX_CONFIG of sysexits.
const CONFIG: i32 = 78;
/// EX_USAGE.
const USAGE: i32 = 64;

const WRONG: &str = r#"[listen]
address = "somewhere"
adress = "127.0.0.1:1"

[limits]
slots = 1000000

[[user]]
name = "admin"
level = "king"

[[service]]
name = "web"
command = []
after = ["databse"]
"#;

/// `LINE:COLUMN` of each error, in the order of the report.
fn places(run: &Run) -> Vec<String> {
    let output = format!("{}{}", run.stdout, run.stderr);
    output
        .lines()
        .filter_map(|line| {
            let (_, place) = line.split_once("friendlet.toml:")?;
            let mut fields = place.split(':');
            let (line, column) = (fields.next()?, fields.next()?);
            line.parse::<u32>().ok()?;
            column.parse::<u32>().ok()?;
            Some(format!("{line}:{column}"))
        })
        .collect()
}

#[test]
fn every_error_is_reported_with_its_place() {
    let wanted = ["2:11", "3:1", "6:9", "10:9", "14:11", "15:10"];
    for arguments in [&["check", "FILE"][..], &["serve", "--config", "FILE"], &["--config", "FILE"]] {
        let run = run_on(WRONG, arguments);
        assert_eq!(run.code, Some(CONFIG), "{arguments:?}: {run:?}");
        assert_eq!(places(&run), wanted, "{arguments:?}: {run:?}");
        assert!(run.stderr.contains("did you mean 'address'"), "the nearest known key: {run:?}");
    }
}

#[test]
fn syntax_errors_are_reported_too() {
    let run = run_on("[listen\naddress = \"127.0.0.1:0\"\n[log]\nlevel = loud\n", &["check", "FILE"]);
    assert_eq!(run.code, Some(CONFIG), "{run:?}");
    assert!(places(&run).iter().any(|place| place.starts_with("4:")), "both lines: {run:?}");
    let run = run_on("a = \"\u{0}\"", &["check", "FILE"]);
    assert_eq!(run.code, Some(CONFIG), "{run:?}");
}

#[test]
fn a_missing_file_is_an_error() {
    for arguments in [&["check", "/nowhere/friendlet.toml"][..], &["--config", "/nowhere/friendlet.toml"]] {
        let run = run(arguments, "");
        assert!(run.code.is_some_and(|code| code != 0), "{run:?}");
        assert!(run.stderr.contains("/nowhere/friendlet.toml"), "{run:?}");
    }
}

#[test]
fn worst_case_of_a_correct_file_is_reported() {
    let directory = Directory::new();
    let text = Device::new().text(&directory.file("state"));
    let full = run_on(&text, &["check", "FILE"]);
    assert_eq!(full.code, Some(0), "{full:?}");
    let lower = run_on(&Device::new().slots(8).text(&directory.file("state")), &["check", "FILE"]);
    // The bound is that of this configuration: fewer slots, less memory.
    let largest = |run: &Run| {
        let digits = run.stdout.replace([',', '.'], "");
        let numbers = digits.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse::<u64>().ok());
        numbers.max().unwrap_or_else(|| panic!("no number in {run:?}"))
    };
    assert!(largest(&full) > largest(&lower), "{full:?}\n{lower:?}");
    assert!(!std::fs::exists(directory.file("state")).unwrap(), "check creates nothing");
}

#[test]
fn passwd_prints_a_table_for_the_file() {
    let printed = run(&["passwd", "keeper"], "its secret\n");
    assert_eq!(printed.code, Some(0), "{printed:?}");
    assert!(printed.stdout.contains("[[user]]") && !printed.stdout.contains("its secret"), "{printed:?}");
    let table: toml::Table = printed.stdout.parse().unwrap();
    let user = &table["user"].as_array().unwrap()[0];
    assert_eq!(user["name"].as_str(), Some("keeper"));
    assert!(user["password"].as_str().unwrap().starts_with("$pbkdf2-sha256$i="));
    // Appended to the file as it is.
    let server = Server::start(&Device::plain().with(&printed.stdout));
    assert_eq!(server.login("keeper", "its%20secret").len(), 40);
    // Another salt each time.
    assert_ne!(run(&["passwd", "keeper"], "its secret\n").stdout, printed.stdout);
}

#[test]
fn limits_names_every_limit() {
    let run = run(&["limits"], "");
    assert_eq!(run.code, Some(0), "{run:?}");
    for (name, value) in friendlet::limits::TABLE {
        let line = run.stdout.lines().find(|line| line.split_whitespace().next() == Some(name));
        let line = line.unwrap_or_else(|| panic!("{name} is not in {run:?}"));
        assert!(line.split_whitespace().any(|word| word == value.to_string()), "{line}");
    }
}

#[test]
fn version_and_help() {
    let version = run(&["--version"], "");
    assert_eq!(version.code, Some(0), "{version:?}");
    assert!(version.stdout.contains(env!("CARGO_PKG_VERSION")), "{version:?}");
    assert!(version.stdout.contains(friendlet::limits::BOARD), "{version:?}");
    let help = run(&["--help"], "");
    assert_eq!(help.code, Some(0), "{help:?}");
    for word in ["serve", "init", "check", "passwd", "limits", "ctl"] {
        assert!(help.stdout.contains(word), "{word}");
    }
}

#[test]
fn only_the_first_process_can_be_init() {
    let run = run(&["init"], "");
    assert_eq!(run.code, Some(USAGE), "{run:?}");
    assert!(run.stderr.contains("first process") && run.stderr.contains("friendlet serve"), "{run:?}");
}

#[test]
fn a_wrong_command_line_is_an_error() {
    for arguments in [&["frobnicate"][..], &["serve", "--confg", "x"], &["passwd"], &["check", "a", "b"]] {
        let run = run(arguments, "");
        assert_eq!(run.code, Some(USAGE), "{arguments:?}: {run:?}");
        assert!(!run.stderr.is_empty() && run.stdout.is_empty(), "{run:?}");
    }
}

#[test]
fn plain_text_is_for_the_loopback() {
    let directory = Directory::new();
    let mut device = Device::plain();
    device.address = "0.0.0.0:0".to_owned();
    let run = run_on(&device.text(&directory.file("state")), &["check", "FILE"]);
    assert_eq!(run.code, Some(CONFIG), "{run:?}");
    let run = run_on(&device.listen("insecure = true").text(&directory.file("state")), &["check", "FILE"]);
    assert_eq!(run.code, Some(0), "{run:?}");
}

#[test]
fn a_file_at_the_limits_of_the_board_is_served() {
    let mut tables = accounts() + &shell("allowed", "exec sleep 1000", "");
    // hello is the built-in one.
    for number in 2..friendlet::limits::SERVICES {
        tables += &shell(&format!("service-{number}"), "exec sleep 1000", "");
    }
    let server = Server::start(&Device { tables, ..Device::plain() });
    let list = server.call("services/list");
    assert_eq!(list.matches("\"Name\"").count(), friendlet::limits::SERVICES, "{list}");
    let too_many = Device::plain().with(
        &(0..friendlet::limits::SERVICES)
            .map(|number| shell(&format!("service-{number}"), "exec sleep 1000", ""))
            .collect::<String>(),
    );
    let run = run_on(&too_many.text("/tmp"), &["check", "FILE"]);
    assert_eq!(run.code, Some(CONFIG), "{run:?}");
}

#[test]
fn a_broken_file_does_not_affect_a_running_server() {
    let server = Server::start(&Device::plain());
    server.directory().write("friendlet.toml", WRONG);
    server.signal(rustix::process::Signal::HUP);
    assert!(
        session_of(&server.post("/system.library/login", "username=fadmin&password=secret").body).is_some()
    );
}

#[test]
fn check_says_what_serve_would_say_of_certificates_and_programs() {
    let directory = Directory::new();
    let text = Device::new().text(&directory.file("state"));
    let own = text.replace(
        "tls = \"on\"\n",
        "tls = \"on\"\ncertificate = \"/nowhere/c.pem\"\nkey = \"/nowhere/k.pem\"\n",
    );
    let file = directory.write("own.toml", own);
    for arguments in [["check", &file].as_slice(), &["serve", "--config", &file]] {
        let run = run(arguments, "");
        assert_eq!(run.code, Some(78), "{run:?}");
        assert!(run.stderr.contains("friendlet: /nowhere/c.pem: No such file or directory"), "{run:?}");
    }
    let missing = crate::support::device::service("web", &["/nowhere/web"], "user = \"nobody-of-this-name\"");
    let file = directory.write("missing.toml", text + &missing);
    let run = run(&["check", &file], "");
    assert_eq!(run.code, Some(0), "{run:?}");
    let command = ": warning: web: command: /nowhere/web: No such file or directory (errno 2);";
    let user = ": warning: web: user: no user 'nobody-of-this-name';";
    assert!(run.stdout.contains(command) && run.stdout.contains(user), "{run:?}");
}

#[test]
fn override_of_autostart_is_shown_and_a_later_change_of_the_file_counts() {
    let device = |autostart: bool| {
        let table = format!("autostart = {autostart}");
        Device::plain().with(&shell("web", "exec sleep 1000", &table))
    };
    let is_started = |server: &Server| {
        let status = server.call("services/web/status");
        (status.contains("\"started\""), status.contains("\"Overridden\": true"))
    };
    let server = Server::start(&device(true));
    assert_eq!(server.call("services/web/uninstall"), OK);
    let server = Server::start_in(server.stop(), &device(true));
    assert_eq!(is_started(&server), (false, true));
    let line = "web: uninstall overrides autostart = true of the configuration file; install undoes it";
    assert!(server.log().contains(line), "{}", server.log());
    let server = Server::start_in(server.stop(), &device(false));
    assert_eq!(is_started(&server), (false, false));
    let server = Server::start_in(server.stop(), &device(true));
    until("it is started", || is_started(&server) == (true, false));
}
