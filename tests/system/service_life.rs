//! Programs and times around the life of a service, with real programs.

use std::fs;

use super::services::{OK, start, status, until_state};
use crate::support::device::shell;
use crate::support::directory::Directory;
use crate::support::server::run;
use crate::support::wait::until;
use crate::support::{Device, Server, process};

#[test]
fn service_that_runs_too_long_is_stopped_and_restarted_with_the_reason() {
    let script = "trap 'echo stopping in order; exit 0' TERM; while :; do sleep 0.05; done";
    let keys = "max_runtime_s = 1\nrestart = \"on-failure\"";
    let tables = [shell("job", script, keys), shell("once", "exec sleep 1000", "max_runtime_s = 1")];
    let server = Server::start(&Device::plain().with(&tables.concat()));
    let pid = start(&server, "job").pid;
    until("restarted", || status(&server, "job").restarts > 0);
    assert!(process::group(pid).is_empty());
    let shown = server.call("services/job/show");
    assert!(shown.contains(r#""Exit": "ran longer than 1 s", "Reason": "max runtime""#), "{shown}");
    assert!(shown.contains(r#""StopTimeout": 10, "MaxRuntime": 1, "#), "{shown}");
    assert!(server.call("services/job/log").contains("stopping in order"));
    start(&server, "once");
    assert_eq!(until_state(&server, "once", "failed").last_exit, "ran longer than 1 s");
}

/// Key whose value is a shell script.
fn program(key: &str, script: &str) -> String {
    format!("{key} = [\"/bin/sh\", \"-c\", {script:?}]\n")
}

#[test]
fn programs_run_in_order_with_user_environment_and_directory_of_the_service() {
    let directory = Directory::new();
    let file = directory.file("reported");
    let report = |what: &str| format!("echo {what} $KEY $FRIENDLET_SERVICE $PWD >> {file}");
    let keys = [
        "env = { KEY = \"value\" }\ncwd = \"/usr\"\nrestart = \"on-failure\"\n".to_owned(),
        program("pre_start", &report("pre_start")),
        program("finish", &report("finish $FRIENDLET_EXIT")),
    ];
    let script = format!("{}; sleep 0.3; exit 3", report("main"));
    let server = Server::start(&Device::plain().with(&shell("job", &script, &keys.concat())));
    start(&server, "job");
    let expected = "pre_start value job /usr\nmain value job /usr\nfinish exit 3 value job /usr\n".repeat(2);
    until("restarted", || fs::read_to_string(&file).is_ok_and(|text| text.starts_with(&expected)));
}

#[test]
fn start_that_pre_start_fails_has_its_reason_and_last_lines() {
    let pre_start = program("pre_start", "echo no card; exit 3");
    let missing = "pre_start = [\"/nowhere/at/all\"]";
    let tables = [shell("job", "exec sleep 1000", &pre_start), shell("missing", "exec sleep 1000", missing)];
    let server = Server::start(&Device::plain().with(&tables.concat()));
    let answer = server.call("services/job/start");
    let expected = r#""reason": "job: pre_start: exit 3", "output": ["no card"]"#;
    assert!(answer.starts_with("fail") && answer.contains(expected), "{answer}");
    assert_eq!(until_state(&server, "job", "failed").last_exit, "pre_start: exit 3");
    // Lines of an earlier run are none of it.
    assert!(server.call("services/job/start").contains(expected));
    let answer = server.call("services/missing/start");
    assert!(answer.contains("missing: pre_start: cannot start /nowhere/at/all: No such file"), "{answer}");
}

#[test]
fn stop_command_ends_the_service_and_the_signal_follows_where_it_does_not() {
    let script = |signal: &str| {
        format!("trap 'echo by {signal}; exit 0' {signal}; echo ready; while :; do sleep 0.05; done")
    };
    let asks = program("stop_command", "echo asked; kill -USR1 $MAINPID; sleep 0.5");
    let tables = [
        shell("asked", &script("USR1"), &format!("ready = \"line:ready\"\n{asks}")),
        shell(
            "deaf",
            &script("TERM"),
            &format!("ready = \"line:ready\"\n{}", program("stop_command", "exit 1")),
        ),
        shell(
            "stuck",
            "trap 'sleep 1; exit 5' TERM; while :; do sleep 0.05; done",
            &format!(
                "stop_timeout_s = 4\n{}",
                program("stop_command", "trap '' TERM; while :; do sleep 1; done")
            ),
        ),
    ];
    let server = Server::start(&Device::plain().with(&tables.concat()));
    for (name, expected) in [("asked", r#""asked","by USR1""#), ("deaf", r#""by TERM""#)] {
        start(&server, name);
        until("ready", || server.call(&format!("services/{name}/status")).contains("\"Ready\": true"));
        assert_eq!(server.call(&format!("services/{name}/stop")), OK);
        assert_eq!(until_state(&server, name, "stopped").last_exit, "exit 0");
        let log = server.call(&format!("services/{name}/log"));
        assert!(log.contains(expected), "{log}");
    }
    assert!(server.log().contains("deaf: stop_command: exit 1"), "{}", server.log());
    let pid = start(&server, "stuck").pid;
    assert_eq!(server.call("services/stuck/stop"), OK);
    // It has the other half of the time to flush.
    assert_eq!(until_state(&server, "stuck", "stopped").last_exit, "exit 5");
    assert!(server.log().contains("stuck: stop_command takes too long"), "{}", server.log());
    assert!(process::group(pid).is_empty(), "the stop command is killed, too");
}

#[test]
fn nothing_that_the_programs_start_is_left() {
    let directory = Directory::new();
    let daemon = |name: &str| {
        let file = directory.file(name);
        format!(
            "setsid sh -c 'echo $$ > {file}; exec sleep 1000' & until test -s {file}; do sleep 0.02; done"
        )
    };
    let programs = ["pre_start", "stop_command", "finish"];
    let keys: Vec<String> = programs.iter().map(|key| program(key, &daemon(key))).collect();
    let server = Server::start(&Device::plain().with(&shell("job", "exec sleep 1000", &keys.concat())));
    start(&server, "job");
    assert_eq!(server.call("services/job/stop"), OK);
    until_state(&server, "job", "stopped");
    for key in programs {
        let pid = fs::read_to_string(directory.file(key)).unwrap().trim().parse().unwrap();
        assert!(!process::is_alive(pid), "{key}");
    }
}

#[test]
fn board_that_cannot_be_restarted_is_a_warning() {
    let tables = shell("web", "exec sleep 1000", "on_failure = \"reboot\"");
    let check = |tables: &str| {
        let directory = Directory::new();
        let text = Device::plain().with(tables).text(&directory.file("state"));
        run(&["check", &directory.write("friendlet.toml", text)], "")
    };
    let checked = check(&tables);
    assert_eq!(checked.code, Some(0), "{checked:?}");
    let warning = "warning: web: reboot after its end needs friendlet init, because [board] has no reboot\n";
    assert!(checked.stdout.contains(warning), "{checked:?}");
    let checked = check(&(tables.clone() + "[board]\nreboot = [\"/sbin/reboot\"]\n"));
    assert!(checked.code == Some(0) && !checked.stdout.contains("warning: web"), "{checked:?}");
    let server = Server::start(&Device::plain().with(&tables));
    let warning = "web: its end cannot reboot the board: neither friendlet init nor a program in [board]";
    until("it is logged", || server.log().contains(warning));
}

#[test]
fn oneshot_runs_by_its_schedule_and_never_twice_at_once() {
    let directory = Directory::new();
    let file = directory.file("runs");
    let script = format!("echo start >> {file}; sleep 1.5; echo end >> {file}");
    let tables = [
        shell("often", &script, "type = \"oneshot\"\nevery_s = 1"),
        shell("daily", "true", "type = \"oneshot\"\nat = [\"03:30\"]"),
    ];
    let server = Server::start(&Device::plain().with(&tables.concat()));
    let next = |name: &str| {
        let text = server.call(&format!("services/{name}/status"));
        let (_, rest) = text.split_once(r#""Next": "#).unwrap_or_else(|| panic!("{text}"));
        rest.split(',').next().unwrap().parse::<u64>().unwrap()
    };
    assert!(next("often") <= 1 && next("daily") <= 24 * 3600);
    until("two runs have ended", || {
        fs::read_to_string(&file).is_ok_and(|text| text.matches("end").count() >= 2)
    });
    let runs = fs::read_to_string(&file).unwrap();
    assert!(runs.starts_with("start\nend\nstart\nend\n"), "{runs}");
    assert_eq!(status(&server, "daily").state, "stopped");
}

#[test]
fn finish_runs_when_the_server_ends() {
    let directory = Directory::new();
    let file = directory.file("ended");
    let keys = program("finish", &format!("sleep 0.3; echo $FRIENDLET_EXIT > {file}"));
    let server = Server::start(&Device::plain().with(&shell("job", "exec sleep 1000", &keys)));
    start(&server, "job");
    server.stop();
    assert_eq!(fs::read_to_string(file).unwrap(), "signal 15\n");
}
