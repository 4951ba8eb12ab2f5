//! A limit of descriptors (`ulimit -n`): services have theirs, and connections what is left.

use std::process::{Command, Stdio};
use std::time::Duration;

use super::damage::start_behind;
use super::services::{OK, until_state};
use crate::support::device::shell;
use crate::support::directory::Directory;
use crate::support::wait::{SOON, within};
use crate::support::{Device, Server};

/// A command that serves a configuration with this limit.
fn limited(directory: &Directory, limit: usize) -> Command {
    let tables: String =
        (0..3).map(|number| shell(&format!("web-{number}"), "exec sleep 1000", "")).collect();
    let device = Device::plain().with(&tables).text(&directory.file("state"));
    directory.write("friendlet.toml", device);
    start_behind(directory, &format!("ulimit -n {limit}"))
}

/// Returns the least limit that a refused server names.
fn least() -> usize {
    let directory = Directory::new();
    let mut child = limited(&directory, 32).stderr(Stdio::piped()).spawn().unwrap();
    let status = within(SOON, "the server ends", || child.try_wait().unwrap());
    let error = std::io::read_to_string(child.stderr.take().unwrap()).unwrap();
    assert_eq!(status.code(), Some(71), "{error}");
    let start = "friendlet: descriptors: the limit is 32 (ulimit -n), and a server with this file needs ";
    let rest = error.strip_prefix(start).unwrap_or_else(|| panic!("{error}"));
    rest.split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn services_start_among_idle_strangers_at_the_lowest_limit() {
    let directory = Directory::new();
    let command = limited(&directory, least());
    let server = Server::start_command(directory, command);
    let status = server.call("board/status");
    assert!(status.contains(": room for 1 of "), "{status}");
    // They fill what there is, and the queue of the system.
    let idle: Vec<_> = (0..40).map(|_| server.connect()).collect();
    for round in 0..5 {
        for name in ["web-0", "web-1", "web-2"] {
            assert_eq!(server.call(&format!("services/{name}/start")), OK, "round {round}\n{}", server.log());
            until_state(&server, name, "started");
            assert_eq!(server.call(&format!("services/{name}/stop")), OK, "round {round}");
            until_state(&server, name, "stopped");
        }
    }
    assert!(!server.log().contains("Too many open files"), "{}", server.log());
    drop(idle);
}

#[test]
fn server_raises_its_own_limit_and_services_have_that_of_the_keeper() {
    let directory = Directory::new();
    let device =
        Device::plain().with(&shell("web", "ulimit -n; exec sleep 1000", "")).text(&directory.file("state"));
    directory.write("friendlet.toml", device);
    let command = start_behind(&directory, "ulimit -Sn 48");
    let server = Server::start_command(directory, command);
    let status = server.call("board/status");
    assert!(status.contains(r#""Notice": """#), "{status}");
    assert_eq!(server.call("services/web/start"), OK);
    within(Duration::from_secs(10), "it has written", || {
        server.call("services/web/log").contains("48").then_some(())
    });
}
