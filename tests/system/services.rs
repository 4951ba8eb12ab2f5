//! Services: starting, ending by themselves, pausing, restarting, what they run in.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::device::{service, shell};
use crate::support::directory::Directory;
use crate::support::guest::guest;
use crate::support::wait::{SOON, until, within};
use crate::support::{Device, Server, process};

pub(super) const OK: &str = r#"{ "Status": "ok"}"#;

/// Status of a service.
#[derive(Debug)]
pub(super) struct Status {
    pub(super) state: String,
    pub(super) pid: u32,
    pub(super) restarts: u32,
    pub(super) last_exit: String,
}

/// Asks for the status of a service.
#[track_caller]
pub(super) fn status(server: &Server, name: &str) -> Status {
    let text = server.call(&format!("services/{name}/status"));
    let field = |key: &str| {
        let (_, rest) = text.split_once(&format!("\"{key}\": ")).unwrap_or_else(|| panic!("{text}"));
        let end = rest.find([',', '}']).unwrap();
        rest[..end].trim_matches('"').to_owned()
    };
    assert!(text.starts_with(r#"{ "Status": "ok", "State": ""#), "{text}");
    field("Since").parse::<u64>().unwrap();
    Status {
        state: field("State"),
        pid: field("Pid").parse().unwrap(),
        restarts: field("Restarts").parse().unwrap(),
        last_exit: field("LastExit"),
    }
}

/// Waits for a state.
#[track_caller]
pub(super) fn until_state(server: &Server, name: &str, state: &str) -> Status {
    within(SOON, &format!("{name} is {state}"), || {
        Some(status(server, name)).filter(|status| status.state == state)
    })
}

#[track_caller]
pub(super) fn start(server: &Server, name: &str) -> Status {
    assert_eq!(server.call(&format!("services/{name}/start")), OK);
    until_state(server, name, "started")
}

#[test]
fn a_missing_program_has_its_answer_and_state() {
    let server = Server::start(&Device::plain().with(&service("missing", &["/nowhere/at/all"], "")));
    let answer = server.call("services/missing/start");
    assert!(answer.starts_with(r#"fail<!--separate-->{ "response": "#), "{answer}");
    let status = status(&server, "missing");
    assert_eq!((status.state.as_str(), status.pid), ("failed", 0));
    assert_ne!(status.last_exit, "");
    // It can be tried again, and the server is none the worse.
    assert!(server.call("services/missing/start").starts_with("fail"));
    assert_eq!(server.call("services/hello/start"), OK);
}

#[test]
fn exit_of_a_program_is_reported() {
    let tables =
        [shell("good", "exit 0", ""), shell("bad", "exit 3", ""), shell("killed", "kill -KILL $$", "")];
    let server = Server::start(&Device::plain().with(&tables.concat()));
    for (name, state, last_exit) in
        [("good", "stopped", "exit 0"), ("bad", "failed", "exit 3"), ("killed", "failed", "signal 9")]
    {
        server.call(&format!("services/{name}/start"));
        let status = until_state(&server, name, state);
        assert_eq!((status.pid, status.last_exit.as_str(), status.restarts), (0, last_exit, 0), "{name}");
    }
    assert_eq!(server.services(), [0; 0], "nobody is left unreaped");
}

#[test]
fn starting_twice_and_stopping_a_stopped_one_change_nothing() {
    let server = Server::start(&Device::plain());
    let first = start(&server, "hello");
    let second = start(&server, "hello");
    assert_eq!(first.pid, second.pid);
    assert_eq!(server.call("services/hello/stop"), OK);
    until_state(&server, "hello", "stopped");
    assert_eq!(server.call("services/hello/stop"), OK);
    assert_eq!(status(&server, "hello").state, "stopped");
}

#[test]
fn restart_gives_a_new_process() {
    let server = Server::start(&Device::plain());
    let first = start(&server, "hello");
    assert_eq!(server.call("services/hello/restart"), OK);
    until("another process", || {
        let now = status(&server, "hello");
        now.state == "started" && now.pid != first.pid
    });
    assert!(!process::is_alive(first.pid));
}

#[test]
fn failed_service_is_restarted_with_its_restart_key() {
    let tables = [
        shell("failing", "exit 1", "restart = \"on-failure\""),
        shell("ending", "exit 0", "restart = \"always\""),
        shell("done", "exit 0", "restart = \"on-failure\""),
    ];
    let server = Server::start(&Device::plain().with(&tables.concat()));
    let answer = server.call("services/failing/start");
    // On an emulated board the program may run for longer than the time after which a start is answered.
    let is_slow = guest().is_some() && answer == OK;
    assert!(is_slow || answer.contains("failing: exited at once, exit 1"), "{answer}");
    for name in ["ending", "done"] {
        assert_eq!(server.call(&format!("services/{name}/start")), OK);
    }
    for name in ["failing", "ending"] {
        until("restarted twice", || status(&server, name).restarts >= 2);
        assert_eq!(server.call(&format!("services/{name}/stop")), OK);
        until_state(&server, name, "stopped");
    }
    let done = status(&server, "done");
    assert_eq!((done.state.as_str(), done.restarts), ("stopped", 0));
}

#[test]
fn pause_stops_the_group_and_start_resumes_it() {
    let script = "sleep 1000 & exec sleep 1000";
    let server = Server::start(&Device::plain().with(&shell("family", script, "")));
    let pid = start(&server, "family").pid;
    until("both run", || process::group(pid).len() == 2);
    assert_eq!(server.call("services/family/pause"), OK);
    until("both are stopped", || process::group(pid).iter().all(|pid| process::state(*pid) == Some('T')));
    assert_eq!(status(&server, "family").state, "paused");
    let list = server.call("services/list");
    assert!(list.contains(r#"{ "Name": "family" , "Status": "paused" ,"#), "{list}");
    assert_eq!(start(&server, "family").pid, pid);
    until("both go on", || process::group(pid).iter().all(|pid| process::state(*pid) != Some('T')));

    assert_eq!(server.call("services/family/pause"), OK);
    assert_eq!(server.call("services/family/stop"), OK);
    until_state(&server, "family", "stopped");
    assert_eq!(process::group(pid), [0; 0]);
}

#[test]
fn install_and_uninstall_outlast_the_server() {
    let sleeper = |name, autostart| shell(name, "exec sleep 1000", &format!("autostart = {autostart}"));
    let device = Device::plain().with(&(sleeper("off", false) + &sleeper("on", true)));
    let server = Server::start(&device);
    until_state(&server, "on", "started");
    assert_eq!(status(&server, "off").state, "stopped");
    assert_eq!(server.call("services/off/install"), OK);
    assert_eq!(server.call("services/on/uninstall"), OK);
    // Neither starts or stops anything now.
    assert_eq!(status(&server, "off").state, "stopped");
    assert_eq!(status(&server, "on").state, "started");

    let server = Server::start_in(server.stop(), &device);
    until_state(&server, "off", "started");
    assert_eq!(status(&server, "on").state, "stopped");
}

/// Starts a service with these further keys in a directory that it may write to; returns what
/// `script` writes to standard output.
fn output_of_a_service(directory: &Directory, script: &str, keys: &str) -> String {
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let keys = format!("cwd = \"{}\"\n{keys}", directory.path().display());
    let script = format!("{{ {script}; }} > part && mv part reported; exec sleep 1000");
    let server = Server::start(&Device::plain().with(&shell("place", &script, &keys)));
    let pid = start(&server, "place").pid;
    let reported = within(SOON, "it writes", || fs::read_to_string(directory.file("reported")).ok());
    assert_eq!(process::group(pid), [pid], "a group of its own");
    reported.trim().to_owned()
}

#[test]
fn service_runs_in_its_directory() {
    let directory = Directory::new();
    let reported =
        output_of_a_service(&directory, "echo \"$COLOUR|$(pwd)\"", "env = { COLOUR = \"dark red\" }");
    assert_eq!(reported, format!("dark red|{}", directory.path().display()));
}

#[test]
fn a_service_runs_as_the_user_of_the_file() {
    let reported = output_of_a_service(&Directory::new(), "id -u; id -g; id -G", "user = \"nobody\"");
    assert_eq!(reported.lines().count(), 3, "{reported}");
    assert!(reported.lines().all(|id| id != "0"), "{reported}");
}

#[test]
fn service_with_much_output_is_never_blocked() {
    let directory = Directory::new();
    let script = format!(
        "head -c 4000000 /dev/zero; head -c 4000000 /dev/zero >&2; touch {}; exec sleep 1000",
        directory.file("done")
    );
    let server = Server::start(&Device::plain().with(&shell("talker", &script, "")));
    start(&server, "talker");
    until("all is written", || fs::exists(directory.file("done")).unwrap());
}

#[test]
fn orphans_are_reaped() {
    // The middle process ends and leaves its child to whoever takes orphans.
    let script = "for i in 1 2 3 4 5; do (sleep 0.2 &); done; exec sleep 1000";
    let server = Server::start(&Device::plain().with(&shell("parent", script, "")));
    let pid = start(&server, "parent").pid;
    until("the orphans are gone", || process::group(pid) == [pid]);
    until("and reaped", || server.services() == [pid]);
}

#[test]
fn getwebgui_is_that_of_the_file() {
    let own = shell("own", "exit 0", "webgui = \"<p>mine</p>\"");
    let server = Server::start(&Device::plain().with(&own));
    assert_eq!(server.call("services/own/getwebgui"), "<p>mine</p>");
    assert_eq!(server.call("services/hello/getwebgui"), "<div> </div>");
}
