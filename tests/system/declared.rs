//! Declaration, state and past ends of a service, as clients see them.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use super::ctl::Person;
use super::services::{OK, start, until_state};
use crate::support::device::{ADMIN, GUEST, service, shell};
use crate::support::directory::Directory;
use crate::support::wait::until;
use crate::support::{Device, Server};

const ENOENT: &str = "No such file or directory (errno 2)";

/// Services of every state that a list shows alike without its own word for each.
fn states() -> String {
    [
        shell("job", "exit 0", ""),
        shell("new", "exit 0", ""),
        shell("broken", "echo before; echo 'no port' >&2; exit 7", "restart = \"never\""),
        shell("flapping", "echo x; exit 1", "restart = \"always\""),
        service("missing", &["/usr/sbin/no-such-program"], ""),
    ]
    .concat()
}

#[test]
fn push_of_a_death_has_its_reason_and_the_last_lines() {
    let server = Server::start(&Device::plain().with(&states()));
    let mut socket = server.bound(ADMIN);
    server.call("services/broken/start");
    socket.push(
        r#"{"service":"broken","state":"failed","pid":0,"reason":"exit 7","output":["before","no port"]}"#,
    );
    server.call("services/flapping/start");
    socket.push(r#"{"service":"flapping","state":"starting","pid":0,"reason":"exit 1","output":["x"]}"#);
    server.call("services/missing/start");
    let reason = format!("cannot start /usr/sbin/no-such-program: {ENOENT}");
    socket.push(&format!(r#"{{"service":"missing","state":"failed","pid":0,"reason":"{reason}"}}"#));
    // A change that no process ended has no reason.
    assert_eq!(server.call("services/hello/start"), OK);
    let started = socket.push(r#""service":"hello","state":"started""#);
    assert!(!started.contains("reason"), "{started}");
}

#[test]
fn status_and_list_show_finished_failed_and_starting() {
    let server = Server::start(&Device::plain().with(&states()));
    for name in ["job", "broken", "flapping", "missing"] {
        server.call(&format!("services/{name}/start"));
    }
    until_state(&server, "job", "stopped");
    let status = |name: &str| server.call(&format!("services/{name}/status"));
    let rest = r#""Enabled": false, "Restart": "never", "StartedOnce": "#;
    let job = status("job");
    assert!(job.contains(&format!(r#""Reason": "exit 0", {rest}true, "Ends": 1}}"#)), "{job}");
    let new = status("new");
    assert!(new.contains(&format!(r#""Reason": "", {rest}false, "Ends": 0}}"#)), "{new}");
    let missing = status("missing");
    let reason = format!("cannot start /usr/sbin/no-such-program: {ENOENT}");
    assert!(missing.contains(&format!(r#""Reason": "{reason}", {rest}false, "Ends": 1}}"#)), "{missing}");

    let list = server.call("services/list");
    for entry in [
        r#"{ "Name": "hello" , "Status": "stopped" ,  "Hosts" : "My computer", "state":"stopped" }"#,
        r#"{ "Name": "job" , "Status": "stopped" ,  "Hosts" : "My computer", "state":"stopped", "reason":"exit 0" }"#,
        r#"{ "Name": "new" , "Status": "stopped" ,  "Hosts" : "My computer", "state":"stopped" }"#,
        r#"{ "Name": "broken" , "Status": "stopped" ,  "Hosts" : "My computer", "state":"failed", "reason":"exit 7" }"#,
        r#"{ "Name": "flapping" , "Status": "stopped" ,  "Hosts" : "My computer", "state":"starting", "reason":"exit 1" }"#,
    ] {
        assert!(list.contains(entry), "{entry}: {list}");
    }
}

#[test]
fn everything_declared_is_shown_but_the_values_of_variables() {
    let directory = Directory::new();
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let cwd = directory.path().display();
    let keys = format!(
        "description = \"Page\"\nenv = {{ KEY = \"s3cret\" }}\ncwd = \"{cwd}\"\nautostart = true\n\
         restart = \"on-failure\"\nstart_limit = 5\nsuccess_codes = [0, 3]\nafter = [\"hello\"]\n\
         stop_signal = \"INT\"\nstop_timeout_s = 7\n\
         commands = {{ reload = {{ signal = \"HUP\", scope = \"group\" }}, say = [\"/bin/echo\", \"a b\"] }}"
    );
    let server = Server::start(&Device::plain().with(&shell("web", "exec sleep 1000", &keys)));
    let pid = until_state(&server, "web", "started").pid;
    assert_eq!(server.call("services/web/uninstall"), OK);
    let shown = server.call("services/web/show");
    for part in [
        &format!(r#"{{ "Status": "ok", "State": "started", "Pid": {pid}, "Since": "#),
        r#""Description": "Page", "Reason": "", "StartedOnce": true, "Name": "web", "#,
        r#""Command": ["/bin/sh","-c","exec sleep 1000"], "Env": ["KEY"], "#,
        &format!(r#""Cwd": "{cwd}", "User": "", "Autostart": true, "Restart": "on-failure", "#),
        r#""StartLimit": 5, "SuccessCodes": [0,3], "After": ["hello"], "StopSignal": "INT", "#,
        r#""StopTimeout": 7, "Commands": [{"Name": "reload", "Signal": "HUP", "Scope": "group"},"#,
        r#"{"Name": "say", "Program": ["/bin/echo","a b"]}], "Enabled": false, "Cpu": "#,
        r#", "History": []}"#,
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(!shown.contains("s3cret"), "{shown}");
    let guest = server.post("/system.library/services/web/show", &format!("sessionid={GUEST}"));
    assert!(guest.body.contains(r#""code":"4""#), "{guest:?}");
}

#[test]
fn past_ends_are_shown_the_newest_first() {
    let server = Server::start(&Device::plain().with(&shell("hello2", "exec sleep 1000", "")));
    start(&server, "hello2");
    assert_eq!(server.call("services/hello2/stop"), OK);
    until_state(&server, "hello2", "stopped");
    let shown = server.call("services/hello2/show");
    let ends = shown.split(r#""History": ["#).nth(1).unwrap();
    assert!(ends.starts_with(r#"{"Ago": 0, "Ran": "#) || ends.starts_with(r#"{"Ago": 1, "Ran": "#), "{ends}");
    assert!(ends.ends_with(r#", "Exit": "signal 15", "Reason": "stopped"}]}"#), "{ends}");
}

#[test]
fn client_prints_reasons_in_words() {
    let server = Server::start(&Device::plain().with(&states()));
    let person = Person::new(&server);
    let ctl = |arguments: &[&str]| person.ctl(&[&["--session", ADMIN][..], arguments].concat());
    let run = ctl(&["start", "missing"]);
    let missing = format!("missing: cannot start /usr/sbin/no-such-program: {ENOENT}");
    assert_eq!((run.code, run.stderr), (Some(1), format!("friendlet ctl: {missing}\n")));
    let run = ctl(&["start", "broken"]);
    let broken = "friendlet ctl: broken: exited at once, exit 7\n  before\n  no port\n";
    assert_eq!((run.code, run.stderr.as_str()), (Some(1), broken));

    let list = ctl(&["list"]).stdout;
    let has = |text: &str, wanted: &str| {
        text.lines().any(|line| line.split_whitespace().collect::<Vec<_>>().join(" ") == wanted)
    };
    assert!(has(&list, "broken failed: exit 7"), "{list}");
    let status = ctl(&["status"]).stdout;
    assert!(status.contains("never run"), "{status}");
    assert!(status.contains(&format!("cannot start /usr/sbin/no-such-program: {ENOENT}")), "{status}");
    assert_eq!(ctl(&["status", "broken"]).code, Some(3));

    let shown = ctl(&["show", "broken"]);
    assert_eq!(shown.code, Some(0), "{shown:?}");
    for line in [
        "state failed: exit 7",
        "last exit exit 7",
        "enabled no (autostart no)",
        "command /bin/sh -c 'echo before; echo '\\''no port'\\'' >&2; exit 7'",
        "stop TERM, after 10s KILL",
        "ENDED RAN EXIT REASON",
    ] {
        assert!(has(&shown.stdout, line), "{line}: {}", shown.stdout);
    }
    assert!(person.done(&["complete-calls"]).contains("services/NAME/show\n"));
    assert_eq!(person.ctl(&["--session", GUEST, "show", "broken"]).code, Some(77));
}

#[test]
fn watch_prints_the_reason_of_a_death() {
    let server = Server::start(&Device::plain().with(&states()));
    let person = Person::new(&server);
    let mut command = person.command();
    command.args(["--session", ADMIN, "watch", "broken"]);
    let mut watch = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let output = watch.stdout.take().unwrap();
    // Changes are pushed once the connection of `watch` is bound.
    until("watch prints a change", || {
        server.call("services/broken/start");
        rustix::io::ioctl_fionread(&output).unwrap() > 0
    });
    server.call("services/broken/start");
    let mut lines = BufReader::new(output).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.ends_with("  broken  failed  exit 7")));
    // Three lines of two runs may come first.
    assert!(lines.by_ref().take(3).any(|line| line == "    no port"));
    watch.kill().unwrap();
    watch.wait().unwrap();
}
