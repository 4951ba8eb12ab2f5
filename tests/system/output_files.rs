//! Files that keep the output of services, written by the real server.

use std::fs;

use rustix::process::Signal;

use super::services::{OK, start, until_state};
use crate::support::device::shell;
use crate::support::directory::Directory;
use crate::support::hanging_mount::{self, HangingMount};
use crate::support::wait::{SOON, until};
use crate::support::{Device, Server};

#[test]
fn output_is_in_its_file_to_the_last_line_and_a_further_server_appends() {
    let directory = Directory::new();
    let path = directory.file("logs/web");
    // More than the buffer in memory holds, at once, and a last line at the stop.
    let script = "i=0; while [ $i -lt 2000 ]; do i=$((i+1)); echo line $i of many; done; \
                  trap 'echo the last one; exit 0' TERM; sleep 1000 & wait";
    let tables = shell("web", script, &format!("output_file = \"{path}\"\noutput_file_bytes = 1048576"));
    for run in 1..3 {
        let mut server = Server::start(&Device::plain().with(&tables));
        start(&server, "web");
        let text = || fs::read_to_string(&path).unwrap_or_default();
        until("the lines are there", || text().matches("line 2000 of many\n").count() == run);
        server.signal(Signal::TERM);
        assert_eq!(server.wait(SOON).code(), Some(0), "{}", server.log());
        assert_eq!(text().matches("the last one\n").count(), run, "{}", server.log());
        let is_stamped = |line: &str| line.starts_with("20") && line.as_bytes().get(23) == Some(&b'Z');
        assert!(text().lines().all(is_stamped));
        let lines = text().matches(" of many\n").count();
        assert!(lines == 2000 * run || text().contains(" bytes left out]\n"), "{lines}");
    }
}

#[test]
fn directory_that_does_not_answer_delays_the_start_by_its_time_alone() {
    let directory = Directory::new();
    let point = directory.path().join("mount");
    fs::create_dir(&point).unwrap();
    let mount = HangingMount::new(&point);
    let hangs = point.join(format!("{}-logs/web", hanging_mount::HANGS));
    let keys = format!("output_file = \"{}\"", hangs.display());
    let server = Server::start(&Device::plain().with(&shell("web", "exec sleep 1000", &keys)));
    assert!(mount.hanging() > 0);
    assert_eq!(server.call("services/hello/start"), OK);
    assert!(server.call("board/status").contains("a directory does not answer"));
    drop(mount);
}

#[test]
fn file_on_a_hanging_mount_delays_nothing() {
    let directory = Directory::new();
    let point = directory.path().join("mount");
    fs::create_dir(&point).unwrap();
    // Dropped in the other order: a server whose write hangs cannot be killed.
    let server;
    let mount = HangingMount::new(&point);
    let (hangs, works) = (point.join(hanging_mount::NAME), directory.file("web"));
    let endless = "while :; do echo a line; sleep 0.01; done";
    let tables = [
        shell("hangs", endless, &format!("output_file = \"{}\"", hangs.display())),
        shell("web", "echo hello; exec sleep 1000", &format!("output_file = \"{works}\"")),
    ];
    server = Server::start(&Device::plain().with(&tables.concat()));
    start(&server, "hangs");
    until("a write hangs", || mount.writes() > 0);
    start(&server, "web");
    for _ in 0..20 {
        assert_eq!(server.call("services/hello/start"), OK);
    }
    assert_eq!(server.call("services/hangs/stop"), OK);
    until_state(&server, "hangs", "stopped");
    drop(mount);
    until("the other file is written", || {
        fs::read_to_string(&works).unwrap_or_default().ends_with(" hello\n")
    });
}
