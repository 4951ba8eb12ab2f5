//! Services that wait for conditions of the machine and need them, with real files and devices.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::ordering::assert_order;
use super::services::{OK, status, until_state};
use crate::support::device::shell;
use crate::support::directory::Directory;
use crate::support::hanging_mount::{self, HangingMount};
use crate::support::wait::until;
use crate::support::{Device, Server};

const SLEEP: &str = "exec sleep 1000";

fn started_with(path: &Path, key: &str) -> Server {
    let keys = format!("autostart = true\n{key} = [\"clock\", \"path:{}\"]", path.display());
    Server::start(&Device::plain().with(&shell("sensor", SLEEP, &keys)))
}

#[test]
fn service_starts_once_its_conditions_are_met() {
    let directory = Directory::new();
    let path = directory.path().join("ready");
    let server = started_with(&path, "wait");
    until("the clock is seen", || {
        server.call("services/sensor/show").contains(&format!(r#""WaitsFor": ["path:{}"]"#, path.display()))
    });
    assert_eq!(status(&server, "sensor").state, "starting");
    assert!(server.call("services/list").contains(r#""state":"starting", "reason":"waits for path""#));
    assert_eq!(server.call("services/sensor/start"), OK, "it is accepted, and answered without a wait");
    fs::write(&path, "").unwrap();
    until_state(&server, "sensor", "started");
    assert!(!server.call("services/sensor/show").contains("WaitsFor"));
    fs::remove_file(&path).unwrap();
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(status(&server, "sensor").state, "started", "it waits for its start alone");
    assert_order(&server, &["sensor: waits for clock", "sensor: started"]);
}

#[test]
fn service_stops_without_what_it_needs_and_starts_again_with_it() {
    let directory = Directory::new();
    let path = directory.path().join("ready");
    fs::write(&path, "").unwrap();
    let server = started_with(&path, "needs");
    let first = until_state(&server, "sensor", "started").pid;
    fs::remove_file(&path).unwrap();
    until_state(&server, "sensor", "starting");
    fs::write(&path, "").unwrap();
    assert_ne!(until_state(&server, "sensor", "started").pid, first);
    let needs = format!("sensor: stopping, it needs path:{}", path.display());
    assert_order(&server, &["sensor: started", &needs]);
    assert_eq!(server.call("services/sensor/stop"), OK);
    until_state(&server, "sensor", "stopped");
}

#[test]
fn file_is_not_a_device() {
    let keys = "autostart = true\nwait = [\"device:/etc/passwd\"]";
    let null = "autostart = true\nneeds = [\"device:/dev/null\"]";
    let tables = [shell("file", SLEEP, keys), shell("null", SLEEP, null)];
    let server = Server::start(&Device::plain().with(&tables.concat()));
    until_state(&server, "null", "started");
    assert_eq!(status(&server, "file").state, "starting");
}

#[test]
fn condition_on_a_hanging_mount_delays_its_service_alone() {
    let directory = Directory::new();
    let point = directory.path().join("mount");
    fs::create_dir(&point).unwrap();
    let mount = HangingMount::new(&point);
    let hangs = format!("{}/{}-ready", point.display(), hanging_mount::HANGS);
    let tables = [
        shell("mounted", SLEEP, &format!("autostart = true\nwait = [\"path:{hangs}\"]")),
        shell("clock", SLEEP, "autostart = true\nwait = [\"clock\"]"),
    ];
    let server = Server::start(&Device::plain().with(&tables.concat()));
    until("the look hangs", || mount.hanging() > 0);
    until_state(&server, "clock", "started");
    assert_eq!(status(&server, "mounted").state, "starting");
    assert_eq!(server.call("services/mounted/stop"), OK);
    until_state(&server, "mounted", "stopped");
    drop(mount);
}

#[test]
fn instances_are_services_of_their_own() {
    let keys = "instances = [\"a\", \"b\"]\nautostart = true";
    let server = Server::start(&Device::plain().with(&shell("port", "echo on %i; exec sleep 1000", keys)));
    for name in ["port@a", "port@b"] {
        until_state(&server, name, "started");
    }
    until("each has its own words", || server.call("services/port@b/log").contains("on b"));
    assert_eq!(server.call("services/port@a/stop"), OK);
    until_state(&server, "port@a", "stopped");
    assert_eq!(status(&server, "port@b").state, "started");
}
