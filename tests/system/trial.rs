//! The configuration file over the wire: shown without its secrets, changed for a trial, confirmed or taken back.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::services::{OK, status, until_state};
use super::supervision::send;
use crate::support::device::{ADMIN, GUEST, sha256_hex, shell, stored_password, token, user};
use crate::support::directory::Directory;
use crate::support::http::{Response, exchange, form_request};
use crate::support::server::friendlet;
use crate::support::stream::Stream;
use crate::support::wait::{SOON, until, within};
use crate::support::ws::{frame, request};
use crate::support::{Device, Server, process};

const RUNS_ON: &str = "exec sleep 1000";
/// Token of another administrator.
pub(super) const BOSS: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
/// Time of a trial that is not confirmed, in seconds.
pub(super) const SHORT: &str = "seconds=2";

/// Two administrators, a service that stays, and further tables.
pub(super) fn device(tables: &str) -> Device {
    let boss = user("boss", "admin", "boss", "") + &token("boss", BOSS);
    let same = shell("same", RUNS_ON, "autostart = true\nenv = { KEY = \"of the service\" }");
    Device::plain().with(&(boss + &same + tables))
}

pub(super) fn added(name: &str) -> String {
    shell(name, RUNS_ON, "autostart = true")
}

pub(super) fn text(server: &Server, device: &Device) -> String {
    device.text(&server.directory().file("state"))
}

fn encode(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// A call by POST: with a session, and further parameters.
pub(super) fn post(server: &Server, path: &str, session: &str, parameters: &str) -> String {
    server.post(&format!("/system.library/board/{path}"), &format!("sessionid={session}&{parameters}")).body
}

/// Puts the text of a device in force, to be confirmed.
pub(super) fn change(server: &Server, device: &Device, parameters: &str) -> String {
    change_text(server, &text(server, device), parameters)
}

/// The same of a text.
fn change_text(server: &Server, text: &str, parameters: &str) -> String {
    change_by(server, ADMIN, text, parameters)
}

/// The same by a session, in parts that fit in a form.
pub(super) fn change_by(server: &Server, session: &str, text: &str, parameters: &str) -> String {
    let parts: Vec<&str> = text.as_bytes().chunks(2000).map(|part| str::from_utf8(part).unwrap()).collect();
    let (mut offset, mut answer) = (0, String::new());
    for (number, part) in parts.iter().enumerate() {
        let has_more = number + 1 < parts.len();
        let part_of = format!("offset={offset}&more={has_more}&text={}", encode(part));
        answer = post(server, "configuration", session, &format!("{part_of}&{parameters}"));
        offset += part.len();
        if has_more {
            assert_eq!(answer, format!(r#"{{ "Status": "ok", "Received": {offset}}}"#));
        }
    }
    answer
}

pub(super) fn confirm(server: &Server) -> String {
    post(server, "confirm", ADMIN, "")
}

pub(super) fn written(server: &Server) -> String {
    fs::read_to_string(server.config_file()).unwrap()
}

fn is_known(server: &Server, name: &str) -> bool {
    server.call("services/list").contains(&format!("\"{name}\""))
}

/// A server whose changed configuration has the service `added`.
fn unconfirmed(parameters: &str) -> Server {
    let server = Server::start(&device(""));
    until_state(&server, "same", "started");
    let answer = change(&server, &device(&added("added")), parameters);
    assert!(answer.contains(r#""Added": ["added"]"#) && answer.contains("\"Change\": "), "{answer}");
    until_state(&server, "added", "started");
    server
}

/// The earlier configuration is in force, and in the file.
#[track_caller]
fn is_back(server: &Server) {
    until("the earlier configuration is back", || !is_known(server, "added"));
    assert_eq!(written(server), text(server, &device("")));
    until_state(server, "same", "started");
    assert!(confirm(server).contains("no change waits to be confirmed"));
}

#[test]
fn change_is_tried_and_written_once_it_is_confirmed() {
    let server = Server::start(&device(""));
    let pid = until_state(&server, "same", "started").pid;
    let path = server.config_file();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let (before, later) = (written(&server), device(&added("added")));
    let trial = change(&server, &later, "dryrun=true");
    assert_eq!(
        trial,
        r#"{ "Status": "ok", "DryRun": true, "Added": ["added"], "Changed": [], "Removed": [], "NeedsRestart": []}"#
    );
    assert!(!is_known(&server, "added"));
    let answer = change(&server, &later, "");
    assert!(answer.ends_with(r#""Seconds": 60}"#), "{answer}");
    until_state(&server, "added", "started");
    assert_eq!(written(&server), before);
    assert_eq!(confirm(&server), OK);
    assert_eq!(written(&server), text(&server, &later));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    assert!(confirm(&server).contains("no change waits to be confirmed"));
    assert_eq!((status(&server, "same").pid, status(&server, "same").restarts), (pid, 0));
    let mut server = server;
    server.crash();
    until_state(&server, "added", "started");
    let directory = server.stop();
    let server = Server::start_in(directory, &later);
    until_state(&server, "added", "started");
    server.stop();
}

#[test]
fn change_that_is_not_confirmed_is_in_the_audit_trail() {
    let directory = Directory::new();
    let path = directory.file("audit");
    let log = format!("[log]\naudit = \"{path}\"\n");
    let text = device("").text(&directory.file("state")).replacen("[log]\n", &log, 1);
    let mut command = friendlet();
    command.args(["serve", "--config", &directory.write("friendlet.toml", &text)]);
    let server = Server::start_command(directory, command);
    let answer = change_text(&server, &(text + &added("added")), SHORT);
    assert!(answer.contains(r#""Added": ["added"]"#), "{answer}");
    let line = "user=fadmin call=board/configuration outcome=unconfirmed\n";
    until("its end is there", || fs::read_to_string(&path).unwrap_or_default().contains(line));
    server.stop();
}

#[test]
fn change_that_is_not_confirmed_comes_back() {
    let server = Server::start(&device(""));
    // Bound by a session: the tokens change.
    let mut socket = server.bound(&server.login("fadmin", "secret"));
    let mut later = device(&(shell("same", "exec sleep 2000", "autostart = true") + &added("added")));
    later.tables = later.tables.replacen(&shell("same", RUNS_ON, ""), "", 1);
    let same = shell("same", RUNS_ON, "autostart = true\nenv = { KEY = \"of the service\" }");
    later.tables = later.tables.replace(&same, "").replace(&token("guest", GUEST), "");
    let as_guest = || post(&server, "status", GUEST, "").contains("Admin rights required");
    let start = Instant::now();
    let answer = change(&server, &later, SHORT);
    assert!(answer.contains(r#""Changed": ["same"]"#) && answer.contains(r#""Seconds": 2"#), "{answer}");
    assert!(!as_guest());
    until("the changed service runs", || {
        let now = status(&server, "same");
        now.state == "started" && process::command_line(now.pid).contains("2000")
    });
    is_back(&server);
    assert!(start.elapsed() >= Duration::from_secs(2));
    assert!(process::command_line(until_state(&server, "same", "started").pid).contains("1000"));
    assert!(as_guest());
    let notice = socket.push("was not confirmed");
    assert!(notice.contains("by fadmin"), "{notice}");
    assert!(server.call("board/status").contains("was not confirmed: the earlier one is back"));
    // The next one is tried as the first one was.
    assert!(change(&server, &device(&added("added")), "").contains("\"Change\""));
    assert_eq!(confirm(&server), OK);
    assert!(!server.call("board/status").contains("was not confirmed"));
    server.stop();
}

#[test]
fn only_the_same_administrator_confirms_over_a_new_connection() {
    let server = Server::start(&device(""));
    let mut old = server.bound(ADMIN);
    assert!(change(&server, &device(&added("added")), "").contains("\"Change\""));
    let refused = old.call(&request("c", "board/confirm", "{}", ADMIN));
    assert!(refused.contains("over a new one"), "{refused}");
    assert!(post(&server, "confirm", BOSS, "").contains("another administrator"));
    assert!(post(&server, "confirm", ADMIN, "change=999").contains("another change"));
    assert!(post(&server, "confirm", GUEST, "").contains("Admin rights required"));
    let second = change(&server, &device(""), "");
    assert!(second.contains("another change is unconfirmed"), "{second}");
    let get = server.get(&format!("/system.library/board/confirm?sessionid={ADMIN}")).body;
    assert!(get.contains("POST"), "{get}");
    let mut new = server.bound(ADMIN);
    let done = new.call(&frame("board/confirm", &format!(r#"{{"sessionid":"{ADMIN}"}}"#)));
    assert_eq!(done, OK);
    assert!(written(&server).contains("\"added\""));
    server.stop();
}

/// The part of the answer that reads the file before its text.
fn head(server: &Server, session: &str) -> String {
    let answer = post(server, "configuration", session, "");
    answer.split_once(", \"Text\"").unwrap().0.to_owned()
}

/// Checksum of the file in force.
fn base(server: &Server) -> String {
    head(server, ADMIN).split_once("\"Base\": \"").unwrap().1[..16].to_owned()
}

#[test]
fn change_of_another_text_than_the_one_in_force_is_refused() {
    let server = Server::start(&device(""));
    let old = base(&server);
    assert!(change_by(&server, BOSS, &text(&server, &device(&added("theirs"))), "").contains("\"Change\""));
    assert_eq!(post(&server, "confirm", BOSS, ""), OK);
    assert_ne!(base(&server), old);
    let of_old = format!("base={old}");
    for parameters in [of_old.clone(), format!("{of_old}&dryrun=true")] {
        let refused = change(&server, &device(&added("added")), &parameters);
        assert!(refused.contains("another configuration is in force by now"), "{refused}");
    }
    assert!(is_known(&server, "theirs") && !is_known(&server, "added"));
    assert!(change(&server, &device(""), "base=x").contains("configuration returned: 22"));
    // With that of the text in force, and without any.
    let both = device(&(added("theirs") + &added("added")));
    assert!(change(&server, &both, &format!("base={}", base(&server))).contains("\"Change\""));
    assert_eq!(confirm(&server), OK);
    assert!(change(&server, &device(""), "dryrun=true").contains(r#""Removed": ["theirs", "added"]"#));
    server.stop();
}

#[test]
fn every_administrator_reads_that_a_change_is_tried() {
    let server = Server::start(&device(""));
    assert!(!head(&server, BOSS).contains("\"Trial\""));
    let later = Device { address: "127.0.0.2:0".to_owned(), ..device(&added("added")) };
    let answer = change(&server, &later, "seconds=50");
    let (_, members) = answer.split_once("\"Change\": ").unwrap();
    for session in [ADMIN, BOSS] {
        let head = head(&server, session);
        let (_, trial) = head.split_once("\"Trial\": { \"By\": \"fadmin\", \"Change\": ").unwrap();
        let left = trial.split_once("\"Seconds\": ").unwrap().1.split_once(',').unwrap().0;
        assert!((1..=50).contains(&left.parse().unwrap()), "{head}");
        let left = format!("\"Seconds\": {left}");
        assert_eq!(trial.replace(&left, "\"Seconds\": 50"), members, "{head}");
    }
    server.stop();
}

#[test]
fn plain_users_see_and_change_nothing() {
    let server = Server::start(&device(""));
    for parameters in ["", "text=x", "text=x&dryrun=true"] {
        let answer = post(&server, "configuration", GUEST, parameters);
        assert!(answer.contains("Admin rights required"), "{answer}");
    }
    let get = server.get(&format!("/system.library/board/configuration?sessionid={ADMIN}&text=x")).body;
    assert!(get.contains("POST"), "{get}");
    assert!(server.get("/system.library/board/configuration").body.contains("sessionid"));
    server.stop();
}

#[test]
fn errors_have_their_lines_and_nothing_changes() {
    let server = Server::start(&device(""));
    let before = written(&server);
    let with = |lines: &str| format!("{before}\n{lines}");
    let line = |offset: usize| format!("friendlet.toml:{}:", before.lines().count() + 1 + offset);
    for (changed, words) in [
        (with("[[service]]\nname = \"x\"\ncomand = [\"y\"]\n"), [line(3), "unknown key 'comand'".to_owned()]),
        (with("[[["), [line(1), "configuration returned: 22".to_owned()]),
        (
            with("[[user]]\nname = \"new\"\npassword = \"<kept secret>\"\n"),
            [line(3), "no secret to keep".to_owned()],
        ),
        ("\n".to_owned(), ["friendlet.toml".to_owned(), "the file is empty".to_owned()]),
    ] {
        for parameters in ["", "dryrun=true"] {
            let answer = change_text(&server, &changed, parameters);
            words.iter().for_each(|word| assert!(answer.contains(word), "{word}: {answer}"));
        }
    }
    for (parameters, word) in [
        ("text=x&seconds=0", "seconds"),
        ("text=x&seconds=61", "seconds"),
        ("text=x&offset=7", "begin again"),
        ("text=x&more=maybe", "22"),
        ("since=x", "22"),
    ] {
        let answer = post(&server, "configuration", ADMIN, parameters);
        assert!(answer.contains(word), "{parameters}: {answer}");
    }
    assert_eq!(written(&server), before);
    assert!(confirm(&server).contains("no change waits to be confirmed"));
    server.stop();
}

#[test]
fn secrets_never_leave() {
    let server = Server::start(&device(""));
    let session = format!(r#"{{"sessionid":"{ADMIN}"}}"#);
    let mut socket = server.bound(ADMIN);
    let answers = [
        post(&server, "configuration", ADMIN, ""),
        socket.call(&request("c", "board/configuration", "{}", ADMIN)),
        socket.call(&frame("board/configuration", &session)),
    ];
    let secrets = [
        stored_password("secret", 1000),
        stored_password("guest", 1000),
        sha256_hex(ADMIN),
        sha256_hex(GUEST),
        "of the service".to_owned(),
    ];
    for answer in &answers {
        assert!(answer.contains("<kept secret>") && answer.contains("<kept secret 2>"), "{answer}");
        assert!(answer.contains(r#""DeviceFile": "given""#), "{answer}");
        secrets.iter().for_each(|secret| assert!(!answer.contains(secret), "{secret}: {answer}"));
    }
    // What was shown, written back, is the same.
    let (_, shown) = answers[0].split_once("\"Text\": \"").unwrap();
    let shown = shown.strip_suffix("\"}").unwrap().replace("\\n", "\n").replace("\\\"", "\"");
    let same = change_text(&server, &shown, "dryrun=true");
    assert!(same.contains(r#""Added": [], "Changed": [], "Removed": [], "NeedsRestart": []"#), "{same}");
    let before = written(&server);
    assert!(change_text(&server, &format!("{shown}# more\n"), "").contains("\"Change\""));
    assert_eq!(confirm(&server), OK);
    assert_eq!(written(&server), format!("{before}# more\n"));
    // Errors do not quote them either.
    let wrong = before.replace(&stored_password("secret", 1000), "my own");
    assert!(!change_text(&server, &wrong, "").contains("my own"));
    assert!(!server.log().contains("of the service"));
    server.stop();
}

#[test]
fn change_that_takes_the_rights_of_its_administrator_is_refused() {
    let server = Server::start(&device(""));
    let before = text(&server, &device(""));
    let own = user("fadmin", "admin", "secret", "full_name = \"Friend Administrator\"");
    let without = before.replace(&own, "").replace("user = \"fadmin\"", "user = \"boss\"");
    for changed in [without, before.replace(&own, &own.replacen("\"admin\"", "\"user\"", 1))] {
        let answer = change_text(&server, &changed, "");
        assert!(answer.contains("fadmin would not be an administrator"), "{answer}");
    }
    // Without his token he cannot confirm: it comes back.
    let changed = before.replace(&token("fadmin", ADMIN), "");
    assert!(change_text(&server, &changed, SHORT).contains("\"Change\""));
    assert!(confirm(&server).contains("session not found"), "{}", confirm(&server));
    until("he is back", || server.call("board/status").contains("was not confirmed"));
    assert_eq!(written(&server), before);
    server.stop();
}

#[test]
fn server_that_is_killed_in_a_trial_is_followed_by_one_with_the_earlier_configuration() {
    let server = Server::start(&device(&added("gone")));
    until_state(&server, "gone", "started");
    let pid = until_state(&server, "same", "started").pid;
    let later =
        Device { tables: device(&added("added")).tables.replace(&token("guest", GUEST), ""), ..device("") };
    assert!(change(&server, &later, "").contains(r#""Removed": ["gone"]"#));
    until("its services are in force", || is_known(&server, "added"));
    until_state(&server, "added", "started");
    let added_pid = status(&server, "added").pid;
    let mut server = server;
    server.crash();
    // Its users are those of the file from the start.
    assert!(post(&server, "status", GUEST, "").contains("Admin rights required"));
    until("the earlier services are back", || is_known(&server, "gone"));
    until_state(&server, "gone", "started");
    until("the added service is gone", || !is_known(&server, "added") && !process::is_alive(added_pid));
    assert_eq!((status(&server, "same").pid, status(&server, "same").restarts), (pid, 0));
    assert_eq!(written(&server), text(&server, &device(&added("gone"))));
    assert!(confirm(&server).contains("no change waits to be confirmed"));
    assert!(server.call("board/status").contains("was not confirmed"));
    // And so is the next one.
    server.crash();
    until_state(&server, "gone", "started");
    assert!(!is_known(&server, "added"));
    server.stop();
}

#[test]
fn keeper_that_is_killed_in_a_trial_is_followed_by_one_with_the_earlier_configuration() {
    let mut server = unconfirmed("");
    let (keeper, added) = (server.keeper(), status(&server, "added").pid);
    send(keeper, Signal::KILL);
    server.wait(SOON);
    let server = Server::start_in(server.take_directory(), &device(""));
    is_back(&server);
    until("the added service has ended", || !process::is_alive(added));
    server.stop();
}

#[test]
fn end_in_a_trial_leaves_the_earlier_configuration_and_its_good_copy() {
    let directory = Directory::new();
    let path = directory.write("friendlet.toml", device("").text(&directory.file("state")));
    let start = |directory: Directory| {
        let mut command = friendlet();
        command.args(["serve", "--config", &path, "--fall-back"]).env_remove("STATE_DIRECTORY");
        Server::start_command(directory, command)
    };
    let server = start(directory);
    let good = format!("{path}.good");
    until("the good copy is written", || {
        fs::read_to_string(&good).is_ok_and(|good| good == written(&server))
    });
    assert!(change(&server, &device(&added("added")), "").contains("\"Change\""));
    until_state(&server, "added", "started");
    let server = start(server.stop());
    is_back(&server);
    assert_eq!(fs::read_to_string(&good).unwrap(), written(&server));
    assert!(change(&server, &device(&added("added")), "").contains("\"Change\""));
    assert_eq!(confirm(&server), OK);
    assert_eq!(fs::read_to_string(&good).unwrap(), written(&server));
    let server = start(server.stop());
    until_state(&server, "added", "started");
    server.stop();
}

#[test]
fn reload_in_a_trial_ends_it() {
    let server = unconfirmed("");
    server.signal(Signal::HUP);
    is_back(&server);
    assert!(server.log().contains("the configuration file is read again"));
    // One with an error changes nothing, not even that.
    assert!(change(&server, &device(&added("added")), SHORT).contains("\"Change\""));
    fs::write(server.config_file(), "[[[").unwrap();
    assert!(server.call("board/reload").contains("returned: 22"));
    assert!(is_known(&server, "added"));
    fs::write(server.config_file(), text(&server, &device(""))).unwrap();
    is_back(&server);
    server.stop();
}

#[test]
fn upgrade_in_a_trial_takes_the_earlier_configuration() {
    let mut server = unconfirmed("");
    server.upgrade();
    is_back(&server);
    assert!(change(&server, &device(&added("added")), "").contains("\"Change\""));
    until_state(&server, "added", "started");
    server.replace_by_call();
    is_back(&server);
    server.stop();
}

#[test]
fn file_that_cannot_be_written_is_reported_before_the_trial_and_at_its_confirmation() {
    let server = Server::start(&device(""));
    let before = written(&server);
    let in_the_way =
        ["", ".broken", ".broken.1"].map(|end| server.directory().file(".friendlet.toml.new") + end);
    let block = || in_the_way.iter().for_each(|name| fs::create_dir_all(name.clone() + "/x").unwrap());
    let free = || in_the_way.iter().for_each(|name| fs::remove_dir_all(name).unwrap());
    block();
    let answer = change(&server, &device(&added("added")), "");
    assert!(answer.contains("friendlet.toml: ") && answer.contains("errno"), "{answer}");
    assert!(!is_known(&server, "added"));
    free();
    assert!(change(&server, &device(&added("added")), "").contains("\"Change\""));
    block();
    let answer = confirm(&server);
    assert!(answer.contains("friendlet.toml: ") && answer.contains("errno"), "{answer}");
    assert_eq!(written(&server), before);
    // The trial goes on.
    assert!(is_known(&server, "added"));
    free();
    assert_eq!(confirm(&server), OK);
    assert!(written(&server).contains("\"added\""));
    server.stop();
}

/// A call at another address than the server's.
fn post_at(address: SocketAddr, path: &str) -> Response {
    let form = form_request(&format!("/system.library/board/{path}"), &format!("sessionid={ADMIN}"));
    Response::parse(&exchange(Stream::plain(address), form.as_bytes()))
}

/// Address of an answer.
fn address_of(answer: &str) -> SocketAddr {
    let (_, rest) = answer.split_once("\"Address\": \"").unwrap_or_else(|| panic!("{answer}"));
    rest.split('"').next().unwrap().parse().unwrap()
}

pub(super) fn accepts(address: SocketAddr) -> bool {
    std::net::TcpStream::connect(address).is_ok()
}

#[test]
fn new_address_is_opened_beside_the_old_one_until_it_is_confirmed() {
    let server = Server::start(&device(""));
    let old = server.address();
    let changed = || Device { address: "127.0.0.2:0".to_owned(), ..device("") };
    let dry = change(&server, &changed(), "dryrun=true");
    assert!(dry.contains(r#""NeedsRestart": []"#), "{dry}");
    // Not confirmed: it is closed again.
    let answer = change(&server, &changed(), SHORT);
    let new = address_of(&answer);
    assert!(answer.contains(r#""NeedsRestart": []"#), "{answer}");
    assert!(accepts(old) && accepts(new));
    until("it is closed", || !accepts(new));
    assert!(accepts(old));
    // Confirmed over the new one alone: then the old one is closed.
    let mut socket = server.bound(ADMIN);
    let new = address_of(&change(&server, &changed(), ""));
    assert!(confirm(&server).contains("opens another address"));
    assert!(post_at(new, "status").body.contains("\"Status\": \"ok\""));
    assert_eq!(post_at(new, "confirm").body, OK);
    until("the old one is closed", || !accepts(old));
    assert!(written(&server).contains("127.0.0.2:0"));
    // Connections stay.
    assert!(socket.call(&request("s", "services/same/status", "{}", ADMIN)).contains("ok"));
    let mut server = server;
    server.crash();
    assert!(server.address().ip().to_string() == "127.0.0.2" && accepts(server.address()));
    server.stop();
}

#[test]
fn address_that_cannot_be_opened_is_refused() {
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    // Free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let of = |address: &str| Device { address: address.to_owned(), ..device("") }.listen("insecure = true");
    let server = Server::start(&of(&free.to_string()));
    for (address, words) in [
        (format!("0.0.0.0:{}", free.port()), ["cannot be opened beside", "another port"]),
        (other.local_addr().unwrap().to_string(), ["cannot listen on", "in use"]),
        ("192.0.2.1:6500".to_owned(), ["cannot listen on", "does not have that address"]),
    ] {
        for parameters in ["", "dryrun=true"] {
            let answer = change(&server, &of(&address), parameters);
            words.iter().for_each(|word| assert!(answer.contains(word), "{word}: {answer}"));
        }
    }
    assert!(confirm(&server).contains("no change waits to be confirmed"));
    server.stop();
}

#[test]
fn service_that_stops_slowly_delays_neither_confirmation_nor_return() {
    let files = Directory::new();
    let slow = |nice: u8| {
        let end = format!("trap 'sleep 4; echo ended >> {}; exit 0' TERM", files.file("slow"));
        let script = format!("{end}; echo up; while :; do sleep 0.05; done");
        shell("slow", &script, &format!("ready = \"line:up\"\nautostart = true\nnice = {nice}"))
    };
    let server = Server::start(&device(&slow(9)));
    until_state(&server, "slow", "started");
    // Settings come back while the service still stops.
    let mut later = device(&slow(11));
    later.tables = later.tables.replace(&token("guest", GUEST), "");
    let as_guest = || post(&server, "status", GUEST, "").contains("Admin rights required");
    assert!(change(&server, &later, "seconds=1").contains(r#""Changed": ["slow"]"#));
    assert!(!as_guest());
    within(SOON, "the token is back", || as_guest().then_some(()));
    assert!(!fs::exists(files.file("slow")).unwrap(), "the service has ended before");
    let is_nice = |nice: u8| server.call("services/slow/show").contains(&format!("\"nice\": {nice}"));
    until("the service is the earlier one", || {
        is_nice(9) && status(&server, "slow").state == "started" && fs::exists(files.file("slow")).unwrap()
    });
    // Confirmed meanwhile, it is in force in the end, and in the next server.
    let changed = change(&server, &device(&slow(12)), "");
    assert!(changed.contains(r#""Changed": ["slow"]"#), "{changed}");
    assert_eq!(confirm(&server), OK);
    until("the service is the later one", || is_nice(12) && status(&server, "slow").state == "started");
    let mut server = server;
    server.crash();
    assert!(server.call("services/slow/show").contains("\"nice\": 12"));
    server.stop();
}
