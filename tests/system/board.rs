//! Calls of the board over the wire: status, notice of a problem, and shutdown.

use std::fs;
use std::process::Command;
use std::time::Duration;

use crate::support::device::{ADMIN, GUEST, shell};
use crate::support::directory::Directory;
use crate::support::notify::Listener;
use crate::support::server::{friendlet, run};
use crate::support::wait::{SOON, until};
use crate::support::ws::request;
use crate::support::{Device, Server, process};

const OK: &str = r#"{ "Status": "ok"}"#;

fn serve(directory: &Directory, device: &Device) -> Command {
    let file = directory.write("friendlet.toml", device.text(&directory.file("state")));
    let mut command = friendlet();
    command.args(["serve", "--fall-back", "--config", &file]).env_remove("STATE_DIRECTORY");
    command.env_remove("NOTIFY_SOCKET");
    command
}

/// A configuration file that ends the board by writing its name into a file.
fn ending(directory: &Directory, script: &str) -> Device {
    let ended = directory.file("ended");
    let command =
        |name: &str| format!("{name} = [\"/bin/sh\", \"-c\", \"{script}; echo {name} >> {ended}\"]\n");
    Device::new().with(&format!("[board]\n{}{}", command("reboot"), command("poweroff")))
}

#[test]
fn notice_of_init_is_in_the_status_and_pushed_on_binding() {
    let directory = Directory::new();
    let mut command = serve(&directory, &Device::new());
    command.env("FRIENDLET_SLOT", "B").env("FRIENDLET_NOTICE", "no \"data\" partition");
    let server = Server::start_command(directory, command);
    let status = server.call("board/status");
    let reported = r#""Slot": "B", "DeviceFile": "given", "Complaint": "", "Notice": "no \"data\" partition", "Certificate": "", "CertificateNames": "localhost, "#;
    assert!(status.contains(reported), "{status}");
    until("it is logged", || server.log().contains(", its public key "));
    let log = server.log();
    let (sum, rest) = log.split_once("has the SHA-256 ").unwrap().1.split_once(", its public key ").unwrap();
    let certificate =
        format!(r#""CertificateSum": "{sum}", "CertificateKey": "{}", "CertificateEnd": """#, &rest[..64]);
    assert!(status.contains(&certificate), "{status}");
    let mut socket = server.bound(ADMIN);
    let notice = r#"{"type":"msg","data":{"type":"server-notice","data":"no \"data\" partition"}}"#;
    assert_eq!(socket.text(), notice);
    let mut guest = server.bound(GUEST);
    assert_eq!(guest.text_after_probe(), None);
    socket.bind(ADMIN);
    assert_eq!(socket.text_after_probe(), None, "once");
}

#[test]
fn broken_file_is_reported_to_administrators_over_the_wire() {
    let directory = Directory::new();
    let command = serve(&directory, &Device::new());
    fs::rename(directory.file("friendlet.toml"), directory.file("friendlet.toml.good")).unwrap();
    directory.write("friendlet.toml", "[listen]\naddres = \"x\"\n[log]\nlevel = 1\n");
    let server = Server::start_command(directory, command);
    let complaint = format!(
        "last good copy in force: {}:2:1: unknown key 'addres' in [listen]; did you mean 'address'?; and 1 more",
        server.directory().file("friendlet.toml")
    );
    let status = server.call("board/status");
    assert!(
        status.contains(&format!(r#""DeviceFile": "last good", "Complaint": "{complaint}""#)),
        "{status}"
    );
    let mut socket = server.bound(ADMIN);
    assert_eq!(
        socket.text(),
        format!(r#"{{"type":"msg","data":{{"type":"server-notice","data":"{complaint}"}}}}"#)
    );
    let refused = server.post("/system.library/board/status", &format!("sessionid={GUEST}")).body;
    assert!(refused.contains(r#""code":"4""#) && !refused.contains("addres"), "{refused}");
}

#[test]
fn command_of_the_board_runs_last() {
    for (name, over_http) in [("reboot", false), ("poweroff", true)] {
        let directory = Directory::new();
        let stopped = directory.file("ended");
        let script = format!("trap 'echo service >> {stopped}; exit 0' TERM; while :; do sleep 0.05; done");
        let device = ending(&directory, "true").with(&shell("slow", &script, ""));
        let command = serve(&directory, &device);
        let mut server = Server::start_command(directory, command);
        assert_eq!(server.call("services/slow/start"), OK);
        let service = server.services()[0];
        std::thread::sleep(Duration::from_millis(300));
        let mut socket = server.bound(ADMIN);
        if over_http {
            assert_eq!(server.call(&format!("board/{name}")), OK);
        } else {
            let answer = socket.call(&request("r", &format!("board/{name}"), "{}", ADMIN));
            assert!(answer.contains(OK), "{answer}");
        }
        socket.expect_close(1001, SOON);
        assert_eq!(server.wait(SOON).code(), Some(0), "{}", server.log());
        assert!(!process::is_alive(service));
        let reported = fs::read_to_string(server.directory().file("ended")).unwrap();
        assert_eq!(reported, format!("service\n{name}\n"));
    }
}

#[test]
fn board_that_stays_up_is_an_error_of_the_server() {
    let directory = Directory::new();
    let device = ending(&directory, "exit 3");
    let command = serve(&directory, &device);
    let mut server = Server::start_command(directory, command);
    assert_eq!(server.call("board/reboot"), OK);
    assert_eq!(server.wait(SOON).code(), Some(71));
    until("it is reported", || server.log().contains("[board] reboot: /bin/sh: exit 3"));
}

#[test]
fn board_without_a_command_stays_up() {
    let gone = "[board]\nreboot = [\"/nonexistent/reboot\"]\n";
    let server = Server::start(&Device::plain().with(gone));
    assert!(server.call("board/reboot").contains("Function reboot returned: 2\""));
    assert!(server.call("board/poweroff").contains("Function poweroff returned: 38\""));
    assert!(server.call("services/list").contains("hello"));
}

#[test]
fn init_gets_the_request_and_ends_the_server() {
    let directory = Directory::new();
    let listener = Listener::new(&directory);
    // What the configuration file names is for boards whose init is another.
    let device = ending(&directory, "true");
    let mut command = serve(&directory, &device);
    command.env("NOTIFY_SOCKET", listener.path()).env("FRIENDLET_INIT", "1");
    let mut server = Server::start_command(directory, command);
    listener.expect("READY=1", SOON);
    let mut socket = server.bound(ADMIN);
    for name in ["reboot", "poweroff"] {
        assert_eq!(server.call(&format!("board/{name}")), OK);
        listener.expect(&format!("X_FRIENDLET={name}"), SOON);
    }
    assert!(socket.service("list", "").contains("hello"), "it serves until init ends it");
    server.signal(rustix::process::Signal::TERM);
    listener.expect("STOPPING=1\nEXTEND_TIMEOUT_USEC=70000000", SOON);
    socket.expect_close(1001, SOON);
    assert_eq!(server.wait(SOON).code(), Some(0));
    assert!(!fs::exists(server.directory().file("ended")).unwrap());
}

#[test]
fn init_that_can_do_it_gets_the_request_of_a_factory_reset() {
    let confirmed = format!(r#"{{"confirm":"{}"}}"#, friendlet::limits::BOARD);
    let reset = request("r", "board/factory-reset", &confirmed, ADMIN);
    for (can_reset, answer) in [("1", OK), ("", "Function factory-reset returned: 38")] {
        let directory = Directory::new();
        let listener = Listener::new(&directory);
        let mut command = serve(&directory, &Device::plain());
        command.env("NOTIFY_SOCKET", listener.path()).env("FRIENDLET_INIT", "1");
        command.env("FRIENDLET_FACTORY_RESET", can_reset);
        let server = Server::start_command(directory, command);
        listener.expect("READY=1", SOON);
        let mut socket = server.socket();
        let unconfirmed = request("r", "board/factory-reset", "{}", ADMIN);
        assert!(socket.call(&unconfirmed).contains("Missing parameters: confirm"));
        assert!(socket.call(&reset).contains(answer), "{can_reset}");
        if can_reset == "1" {
            listener.expect("X_FRIENDLET=factory-reset", SOON);
        }
    }
}

#[test]
fn missing_init_is_reported_as_a_failure() {
    let directory = Directory::new();
    let listener = Listener::new(&directory);
    let mut command = serve(&directory, &Device::plain());
    command.env("NOTIFY_SOCKET", listener.path()).env("FRIENDLET_INIT", "1");
    let server = Server::start_command(directory, command);
    fs::remove_file(listener.path()).unwrap();
    assert!(server.call("board/reboot").contains("Function reboot returned: 2\""));
}

/// Command of a server in slot B, which is in test, whose file has these tables.
fn serve_in_test(directory: &Directory, listener: &Listener, tables: &str) -> Command {
    let mut command = serve(directory, &Device::plain().with(tables));
    command.env("NOTIFY_SOCKET", listener.path()).env("FRIENDLET_INIT", "1");
    command.env("FRIENDLET_SLOT", "B").env("FRIENDLET_SLOT_STATE", "testing");
    command
}

/// Slot, its state, and what is missing.
fn slot_of(server: &Server) -> String {
    let status = server.call("board/status");
    let from = status.find(r#""Slot": "#).unwrap();
    status[from..status.find(r#", "DeviceFile""#).unwrap()].to_owned()
}

#[test]
fn slot_is_good_once_its_required_service_is_up() {
    let directory = Directory::new();
    let listener = Listener::new(&directory);
    let required = shell("needed", "exec sleep 1000", "required = true");
    let tables = format!("[update]\nsettle_s = 1\n{required}");
    let command = serve_in_test(&directory, &listener, &tables);
    let mut server = Server::start_command(directory, command);
    listener.expect("READY=1", SOON);
    let missing = r#""Slot": "B", "SlotState": "testing", "SlotMissing": "service needed is not up""#;
    until("the slot was looked at", || slot_of(&server) == missing);
    assert!(server.call("board/markgood").contains(r#""reason": "service needed is not up""#));
    assert_eq!(server.call("services/needed/start"), OK);
    listener.expect("X_FRIENDLET=good", SOON);
    assert_eq!(slot_of(&server), r#""Slot": "B", "SlotState": "good""#);
    // Nor does another server or another program begin the test anew.
    assert_eq!(server.call("services/needed/stop"), OK);
    server.crash();
    until("another server", || slot_of(&server) == r#""Slot": "B", "SlotState": "good""#);
    server.upgrade();
    until("another program", || slot_of(&server) == r#""Slot": "B", "SlotState": "good""#);
}

#[test]
fn slot_without_its_configuration_file_is_not_good() {
    let directory = Directory::new();
    let listener = Listener::new(&directory);
    let command = serve_in_test(&directory, &listener, "[update]\nsettle_s = 0\n");
    let file = directory.file("friendlet.toml");
    fs::copy(&file, directory.file("friendlet.toml.good")).unwrap();
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.clone() + "settle = 1\n").unwrap();
    let server = Server::start_command(directory, command);
    let missing =
        r#""Slot": "B", "SlotState": "testing", "SlotMissing": "the configuration file is not in force""#;
    until("the slot was looked at", || slot_of(&server) == missing);
    // Until it is in force.
    fs::write(&file, text).unwrap();
    assert!(server.call("board/reload").contains(r#""Status": "ok""#));
    listener.expect("X_FRIENDLET=good", SOON);
}

#[test]
fn slot_with_its_data_in_memory_is_not_good() {
    let directory = Directory::new();
    let listener = Listener::new(&directory);
    let mut command = serve_in_test(&directory, &listener, "[update]\nsettle_s = 0\n");
    command.env("FRIENDLET_DATA", "memory");
    let server = Server::start_command(directory, command);
    let missing = r#""SlotMissing": "the data partition is not mounted""#;
    until("the slot was looked at", || slot_of(&server).contains(missing));
}

#[test]
fn slot_is_good_although_its_data_were_repaired() {
    let directory = Directory::new();
    let listener = Listener::new(&directory);
    let mut command = serve_in_test(&directory, &listener, "[update]\nsettle_s = 0\n");
    command.env("FRIENDLET_NOTICE", "/dev/vda4 was repaired, files may be missing");
    let server = Server::start_command(directory, command);
    listener.expect("X_FRIENDLET=good", SOON);
    assert!(server.call("board/status").contains("was repaired"));
}

#[test]
fn slot_is_good_after_a_change_of_the_configuration_that_nobody_confirmed() {
    let directory = Directory::new();
    let listener = Listener::new(&directory);
    let tables = "[update]\nsettle_s = 0\nconfirm = \"administrator\"\n";
    let command = serve_in_test(&directory, &listener, tables);
    let server = Server::start_command(directory, command);
    let text = fs::read_to_string(server.config_file()).unwrap() + &shell("added", "exec sleep 1000", "");
    let encoded: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let changed = server
        .post("/system.library/board/configuration", &format!("sessionid={ADMIN}&seconds=2&text={encoded}"));
    assert!(changed.body.contains(r#""Seconds": 2"#), "{}", changed.body);
    let missing = r#""SlotMissing": "the configuration file is not in force""#;
    assert!(slot_of(&server).contains(missing), "{}", slot_of(&server));
    assert!(server.call("board/markgood").contains("the configuration file is not in force"));
    until("the earlier configuration is back", || !slot_of(&server).contains(missing));
    assert!(server.call("board/status").contains("was not confirmed"));
    assert_eq!(server.call("board/markgood"), OK);
    listener.expect("X_FRIENDLET=good", SOON);
}

#[test]
fn administrator_confirms_the_slot_by_ctl() {
    let directory = Directory::new();
    let listener = Listener::new(&directory);
    let tables = "[update]\nsettle_s = 0\nconfirm = \"administrator\"\n";
    let command = serve_in_test(&directory, &listener, tables);
    let server = Server::start_command(directory, command);
    until("an administrator is missing", || slot_of(&server).contains("no administrator has called"));
    let url = format!("unix:{}", server.local_socket());
    let marked = run(&["ctl", "--url", &url, "mark-good"], "");
    assert_eq!((marked.code, marked.stdout.as_str()), (Some(0), "mark-good: ok\n"), "{marked:?}");
    listener.expect("X_FRIENDLET=good", SOON);
    assert_eq!(server.call("board/markgood"), OK);
}
