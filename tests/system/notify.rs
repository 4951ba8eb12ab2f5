//! Reports to the service manager, and those of services: sd_notify(3).

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::cgroups::WAYS;
use super::ordering::notifier_path;
use crate::support::device::shell;
use crate::support::directory::Directory;
use crate::support::guest::program;
use crate::support::notify::Listener;
use crate::support::server::friendlet;
use crate::support::wait::{SOON, until};
use crate::support::{Device, Server};

/// Starts a server that notifies `listener`, with a watchdog of `usec` microseconds.
fn start(directory: Directory, device: &Device, listener: &Listener, usec: Option<&str>) -> Server {
    let file = directory.write("friendlet.toml", device.text(&directory.file("state")));
    let mut command = friendlet();
    command.args(["serve", "--config", &file]).env_remove("STATE_DIRECTORY");
    command.env("NOTIFY_SOCKET", listener.path());
    match usec {
        Some(usec) => command.env("WATCHDOG_USEC", usec),
        None => command.env_remove("WATCHDOG_USEC"),
    };
    Server::start_command(directory, command)
}

#[test]
fn ready_is_sent_when_connections_are_accepted_and_stopping_at_the_end() {
    let directory = Directory::new();
    let listener = Listener::new(&directory);
    let server = start(directory, &Device::new(), &listener, None);
    assert_eq!(listener.next(SOON).as_deref(), Some("READY=1"));
    server.call("services/hello/start");
    let _directory = server.stop();
    assert_eq!(listener.next(SOON).as_deref(), Some("STOPPING=1\nEXTEND_TIMEOUT_USEC=70000000"));
    assert_eq!(listener.next(Duration::from_millis(300)), None, "no heartbeats without a watchdog");
}

#[test]
fn heartbeats_end_with_the_server() {
    let directory = Directory::new();
    let listener = Listener::new(&directory);
    let server = start(directory, &Device::plain(), &listener, Some("2000000"));
    listener.expect("READY=1", SOON);
    listener.expect("WATCHDOG=1", SOON);
    for _ in 0..3 {
        // Half of two seconds, and some for a busy machine.
        listener.expect("WATCHDOG=1", Duration::from_millis(1900));
    }
    server.signal(Signal::STOP);
    // What was on its way.
    while listener.next(Duration::from_millis(100)).is_some() {}
    let stopped = Instant::now();
    assert_eq!(listener.next(Duration::from_secs(3)), None, "after {:?}", stopped.elapsed());
    server.signal(Signal::CONT);
    listener.expect("WATCHDOG=1", SOON);
}

#[test]
fn services_do_not_inherit_the_socket() {
    let directory = Directory::new();
    let listener = Listener::new(&directory);
    let reported = directory.file("environment");
    let teller =
        shell("teller", &format!("env > {reported}.new; mv {reported}.new {reported}; exec sleep 1000"), "");
    let server = start(directory, &Device::plain().with(&teller), &listener, Some("60000000"));
    server.call("services/teller/start");
    until("it has reported", || fs::exists(&reported).unwrap());
    let reported = fs::read_to_string(&reported).unwrap();
    assert!(reported.contains("PATH="), "{reported}");
    for other in [listener.path(), "WATCHDOG", "FRIENDLET_INIT"] {
        assert!(!reported.contains(other), "{reported}");
    }
    assert!(
        reported.contains("NOTIFY_SOCKET=@friendlet/notify/"),
        "its own is that of the keeper: {reported}"
    );
}

#[test]
fn missing_receiver_is_logged_once_and_is_not_an_error() {
    let directory = Directory::new();
    let listener = Listener::new(&directory);
    fs::remove_file(listener.path()).unwrap();
    let server = start(directory, &Device::plain(), &listener, Some("1000000"));
    std::thread::sleep(Duration::from_millis(1200));
    assert!(server.call("services/list").contains("hello"));
    assert_eq!(server.log().matches("NOTIFY_SOCKET").count(), 1, "{}", server.log());
    server.stop();
}

#[test]
fn unit_of_the_example_matches_the_server() {
    let unit = include_str!("../../examples/friendlet.service");
    for line in [
        "Type=notify",
        "WatchdogSec=",
        "StateDirectory=friendlet",
        "KillMode=mixed",
        "ExecReload=/usr/local/bin/friendlet ctl reload",
    ] {
        assert!(unit.lines().any(|written| written.starts_with(line)), "{line}");
    }
    let command = unit.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/local/bin/friendlet "));
    let mut arguments: Vec<&str> = command.unwrap().split(' ').collect();
    arguments.push("--help");
    let run = crate::support::server::run(&arguments, "");
    assert_eq!(run.code, Some(0), "{run:?}");
    let stop = unit.lines().find_map(|line| line.strip_prefix("TimeoutStopSec=")).unwrap();
    let stop: u64 = stop.parse().unwrap();
    let longest = friendlet::service::SHUTDOWN_GRACE + friendlet::keeper::SERVER_END_TIME;
    assert!(Duration::from_secs(stop) > longest);
}

/// A service of type notify that reports nothing but a text, once `go` exists: what was sent before has been read then.
fn silent(go: &str) -> String {
    let script =
        format!("until test -e {go}; do sleep 0.05; done; exec {} STATUS=own sleep:1000000", notifier_path());
    shell("web", &script, "type = \"notify\"\nautostart = true")
}

#[track_caller]
fn assert_silent(server: &Server, go: &str) {
    fs::write(go, "").unwrap();
    until("its own text is shown", || server.call("services/web/status").contains("\"Text\": \"own\""));
    assert!(server.call("services/web/status").contains("\"Ready\": false"));
}

#[test]
fn report_of_a_stranger_with_the_marker_of_a_service_is_not_believed() {
    for way in WAYS {
        let directory = Directory::new();
        let [go, sent] = ["go", "sent"].map(|name| directory.file(name));
        let server = Server::start(&Device::plain().with(&(silent(&go) + way)));
        let mut stranger = Command::new(notifier_path());
        stranger.args(["READY=1", "STATUS=forged", &format!("write:{sent}"), "sleep:1000000"]);
        stranger.env("FRIENDLET_SERVICE", "web");
        stranger.env("NOTIFY_SOCKET", format!("@friendlet/notify/{}-0", server.keeper()));
        let mut stranger = stranger.spawn().unwrap();
        until("it is sent", || fs::exists(&sent).unwrap());
        assert_silent(&server, &go);
        stranger.kill().unwrap();
        stranger.wait().unwrap();
    }
}

#[test]
fn report_of_a_service_of_another_user_with_the_marker_is_not_believed() {
    for way in WAYS {
        let directory = Directory::new();
        let [go, sent] = ["go", "sent"].map(|name| directory.file(name));
        let script = format!(
            "(setsid env FRIENDLET_SERVICE=web NOTIFY_SOCKET=@friendlet/notify/$PPID-0 {} sleep:300 \
             'READY=1' 'STATUS=forged' write:{sent} sleep:1000000 &); exec sleep 1000",
            notifier_path()
        );
        fs::write(&sent, "").unwrap();
        fs::set_permissions(&sent, fs::Permissions::from_mode(0o666)).unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let other = shell("other", &script, "user = \"nobody\"");
        let server = Server::start(&Device::plain().with(&(silent(&go) + &other + way)));
        assert!(server.call("services/other/start").contains("ok"));
        until("it is sent", || fs::read_to_string(&sent).unwrap() == "done\n");
        assert_silent(&server, &go);
    }
}

#[test]
fn report_of_a_daemon_of_the_service_counts() {
    for way in WAYS {
        let script =
            format!("(setsid {} sleep:300 READY=1 sleep:1000000 &); exec sleep 1000", notifier_path());
        let table = shell("web", &script, "type = \"notify\"\nautostart = true");
        let server = Server::start(&Device::plain().with(&(table + way)));
        until("it is ready", || server.call("services/web/status").contains("\"Ready\": true"));
    }
}

/// A service of type notify whose script reports by `friendlet notify`.
fn reporter(script: &str) -> String {
    reporter_of("notify", script)
}

fn reporter_of(kind: &str, script: &str) -> String {
    let script = script.replace("NOTIFY", &format!("{} notify", program()));
    shell("web", &format!("{script}\nexec sleep 1000"), &format!("type = \"{kind}\"\nautostart = true"))
}

#[test]
fn script_reports_events_that_are_shown_until_its_run_ends() {
    for way in WAYS {
        let table = reporter("NOTIFY READY=1 door=open 'lamp=<b>' old=x\nNOTIFY old= STATUS=own");
        let server = Server::start(&Device::plain().with(&(table + way)));
        let status = || server.call("services/web/status");
        let door = r#""Events": [{"Key": "door", "Value": "open", "Ago": "#;
        until("its events are shown", || status().contains("own") && status().contains(door));
        let text = status();
        assert!(text.contains("\"Ready\": true") && !text.contains("\"old\""), "{text}");
        assert!(server.call("services/web/show").contains(door));
        server.call("services/web/stop");
        until("they end with the run", || !status().contains("Events"));
    }
}

#[test]
fn events_of_a_service_that_is_not_of_type_notify() {
    for kind in ["simple", "oneshot"] {
        let table = reporter_of(kind, "NOTIFY door=open STATUS=own READY=1 STOPPING=1 MAINPID=1");
        let server = Server::start(&Device::plain().with(&table));
        let status = || server.call("services/web/status");
        let door = r#""Events": [{"Key": "door", "Value": "open", "Ago": "#;
        until("its events are shown", || status().contains("own") && status().contains(door));
        let stopping = "\"Ready\": false";
        assert_eq!(status().contains(stopping), kind == "oneshot", "{}", status());
        until("it runs, whatever it reports", || status().contains("\"State\": \"started\""));
    }
}

#[test]
fn service_that_reports_its_stop_is_not_ready_after_an_upgrade() {
    let table = reporter("NOTIFY READY=1 STATUS=open\nNOTIFY STOPPING=1 STATUS=closing");
    let mut server = Server::start(&Device::plain().with(&table));
    let is_shown = |server: &Server| {
        let status = server.call("services/web/status");
        status.contains("\"Text\": \"closing\"") && status.contains("\"Ready\": false")
    };
    until("it is shown", || is_shown(&server));
    server.crash();
    until("the next server shows it", || is_shown(&server));
    server.upgrade();
    until("the next program shows it", || is_shown(&server));
}

#[test]
fn refused_events_are_counted() {
    let keys: String = (0..friendlet::service::SERVICE_EVENTS).map(|key| format!(" k{key}=1")).collect();
    let table = reporter(&format!("NOTIFY READY=1{keys}\nNOTIFY one=more\nNOTIFY two=more k0=2 STATUS=own"));
    let server = Server::start(&Device::plain().with(&table));
    let status = || server.call("services/web/status");
    until("the last one is handled", || status().contains(r#"{"Key": "k0", "Value": "2""#));
    assert!(!status().contains("more"), "{}", status());
    for count in [1, 2] {
        let line = format!("web: event refused, {count} so far");
        until("it is logged", || server.log().contains(&line));
    }
}

#[test]
fn events_survive_the_server() {
    let table = reporter("NOTIFY READY=1 door=closed\nNOTIFY door=open\nNOTIFY --for 1000 lamp=on");
    let mut server = Server::start(&Device::plain().with(&table));
    let shows = |server: &Server| {
        let text = server.call("services/web/show");
        let door = text.contains(r#"{"Key": "door", "Value": "open""#) && text.contains("\"Changes\": 2");
        door && text.contains(r#"{"Key": "lamp", "Value": "on""#) && text.contains("\"Expires\": 9")
    };
    until("its events are shown", || shows(&server));
    server.crash();
    until("the next server shows them", || shows(&server));
}

#[test]
fn notify_without_a_service_fails() {
    let mut command = friendlet();
    let run = crate::support::server::run_command(
        command.args(["notify", "door=open"]).env_remove("NOTIFY_SOCKET"),
        "",
    );
    assert_eq!(run.code, Some(69), "{run:?}");
}
