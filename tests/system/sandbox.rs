//! Sandbox of the server, as the kernel shows it: the server has it, the keeper and the services do not.

use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;

use super::services::{OK, start, status};
use crate::support::device::shell;
use crate::support::directory::Directory;
use crate::support::server::friendlet;
use crate::support::wait::until;
use crate::support::{Device, Server, process};

/// Capabilities that a server of root keeps: `CAP_CHOWN`, `CAP_DAC_OVERRIDE`, `CAP_FOWNER` and `CAP_NET_BIND_SERVICE`.
const KEPT: u64 = 1 | 1 << 1 | 1 << 3 | 1 << 10;
/// Capability of services in these tests: `CAP_NET_RAW`.
const NET_RAW: u64 = 1 << 13;
const RUNS_ON: &str = "exec sleep 1000";

fn capabilities(status: &str, key: &str) -> u64 {
    u64::from_str_radix(&process::field(status, key), 16).unwrap()
}

/// Asserts that a server is confined, as one whose keeper has these capabilities.
fn assert_confined(server: &Server, of_keeper: u64) {
    assert_threads_confined(server.pid(), of_keeper);
    let status = server.call("board/status");
    assert!(status.contains("capabilities, system calls, files\""), "{status}");
    assert!(status.contains(r#""Notice": """#), "{status}");
}

/// Asserts that each thread of a process is.
pub(super) fn assert_threads_confined(pid: u32, of_keeper: u64) {
    let threads = process::threads(pid);
    assert!(threads.len() > 1, "{threads:?}");
    for status in threads {
        assert_eq!(process::field(&status, "Seccomp"), "2", "{status}");
        assert_eq!(process::field(&status, "NoNewPrivs"), "1", "{status}");
        for key in ["CapEff", "CapPrm"] {
            assert_eq!(capabilities(&status, key), of_keeper & KEPT, "{key}: {status}");
        }
        for key in ["CapInh", "CapAmb"] {
            assert_eq!(capabilities(&status, key), 0, "{key}: {status}");
        }
    }
}

/// Asserts that a process has nothing of the sandbox.
fn assert_free(status: &str) {
    assert_eq!(
        (process::field(status, "Seccomp"), process::field(status, "NoNewPrivs")),
        ("0".to_owned(), "0".to_owned()),
        "{status}"
    );
}

#[test]
fn server_is_confined_and_its_keeper_and_services_are_not() {
    let server = Server::start(&Device::plain().with(&shell("web", RUNS_ON, "")));
    start(&server, "web");
    let keeper = process::status_text(server.keeper());
    assert_free(&keeper);
    assert_confined(&server, capabilities(&keeper, "CapEff"));
    let service = process::status_text(status(&server, "web").pid);
    assert_free(&service);
    assert_eq!(capabilities(&service, "CapEff"), capabilities(&keeper, "CapEff"));
    assert_eq!(capabilities(&service, "CapBnd"), capabilities(&keeper, "CapBnd"));
}

#[test]
fn server_that_follows_a_killed_one_is_confined() {
    let mut server = Server::start(&Device::plain());
    let keeper = process::status_text(server.keeper());
    server.crash();
    assert_confined(&server, capabilities(&keeper, "CapEff"));
}

#[test]
fn declared_capabilities_of_a_service_are_those_that_it_has() {
    let keys = "user = '65534'\ncapabilities = ['net_raw']\nno_new_privs = true";
    let server = Server::start(&Device::plain().with(&shell("web", RUNS_ON, keys)));
    start(&server, "web");
    let service = process::status_text(status(&server, "web").pid);
    assert_eq!(process::field(&service, "Seccomp"), "0", "{service}");
    assert_eq!(process::field(&service, "NoNewPrivs"), "1", "{service}");
    for key in ["CapEff", "CapPrm", "CapBnd", "CapAmb"] {
        assert_eq!(capabilities(&service, key), NET_RAW, "{key}: {service}");
    }
}

#[test]
fn server_of_a_plain_user_started_by_root_is_confined() {
    const NOBODY: u32 = 65534;
    let directory = Directory::new();
    // The program that was built may be in a directory of root.
    let program = directory.file("friendlet");
    fs::copy(friendlet().get_program(), &program).unwrap();
    let config = directory.write("friendlet.toml", Device::plain().text(&directory.file("state")));
    for path in [directory.path(), config.as_ref(), program.as_ref()] {
        chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let mut command = std::process::Command::new(&program);
    command.args(["serve", "--config", &config]).env_remove("STATE_DIRECTORY").uid(NOBODY).gid(NOBODY);
    let server = Server::start_command(directory, command);
    assert_confined(&server, 0);
    assert!(process::field(&process::status_text(server.pid()), "Uid").starts_with("65534\t65534"));
}

#[test]
fn server_has_a_user_of_its_own_and_one_of_root_takes_over_its_state() {
    const NOBODY: &str = "65534\t65534\t65534\t65534";
    let logs = Directory::new();
    let output = logs.file("logs/web");
    let device = |keys: &str| {
        let web = shell("web", "id -u; exec sleep 1000", &format!("output_file = \"{output}\""));
        Device { tls: true, ..Device::new() }.with(&format!("[board]\n{keys}\n{web}"))
    };
    let (confined, as_root) = (device("user = 'nobody'"), device("sandbox = false"));
    let mut directory = Directory::new();
    // An earlier version has no sandbox, and comes back.
    for (round, device) in [&as_root, &confined, &as_root, &confined].into_iter().enumerate() {
        let server = Server::start_in(directory, device);
        let status = process::status_text(server.pid());
        let is_confined = round % 2 == 1;
        assert_eq!(process::field(&status, "Uid") == NOBODY, is_confined, "{status}");
        assert_eq!(process::field(&status, "Gid") == NOBODY, is_confined, "{status}");
        if is_confined {
            assert_confined(&server, u64::MAX);
            assert_eq!(capabilities(&status, "CapBnd"), KEPT);
            assert_eq!(process::field(&status, "Groups"), "");
            let status = server.call("board/status");
            assert!(status.contains(r#""Sandbox": "user, capabilities, system calls, files""#), "{status}");
        }
        // What it writes: the enabled services, and the output of one that is root's.
        let call = ["install", "uninstall"][round % 2];
        assert_eq!(server.call(&format!("services/web/{call}")), OK);
        start(&server, "web");
        let lines = || fs::read_to_string(&output).unwrap_or_default().matches(" 0\n").count();
        until("the line is there", || lines() > round);
        directory = server.stop();
        let enabled = fs::read_to_string(directory.file("state/enabled")).unwrap();
        assert_eq!(enabled.contains("web"), !is_confined, "{enabled}");
    }
}

#[test]
fn configuration_file_keeps_the_server_out_of_its_sandbox() {
    let server = Server::start(&Device::plain().with("[board]\nsandbox = false\n"));
    assert_free(&process::status_text(server.pid()));
    let status = server.call("board/status");
    assert!(status.contains(r#""Sandbox": """#), "{status}");
}

#[test]
fn reload_names_output_that_the_sandbox_forbids() {
    let (directory, other) = (Directory::new(), Directory::new());
    let device = |path: &str| {
        let keys = format!("output_file = \"{path}\"");
        Device::plain().with(&shell("web", "echo a line; exec sleep 1000", &keys))
    };
    let (before, beside, elsewhere) =
        (directory.file("logs/web"), directory.file("logs/other"), other.file("web"));
    let server = Server::start(&device(&before));
    let reload = |path: &str| {
        fs::write(server.config_file(), device(path).text(&server.directory().file("state"))).unwrap();
        server.call("board/reload")
    };
    start(&server, "web");
    until("the line is there", || fs::read_to_string(&before).is_ok_and(|text| text.contains("a line")));
    // The same directory.
    let answer = reload(&beside);
    assert!(!answer.contains("output_file"), "{answer}");
    until("the line is there", || fs::read_to_string(&beside).is_ok_and(|text| text.contains("a line")));
    let answer = reload(&elsewhere);
    assert!(answer.contains(r#""NeedsRestart": ["[[service]] output_file"]"#), "{answer}");
    until("it is reported", || server.log().contains(&format!("{elsewhere}: Permission denied")));
    assert!(!fs::exists(&elsewhere).unwrap());
    // The next server writes there.
    let mut server = server;
    server.crash();
    assert_eq!(server.call("services/web/restart"), OK);
    until("the line is there", || fs::read_to_string(&elsewhere).is_ok_and(|text| text.contains("a line")));
}
