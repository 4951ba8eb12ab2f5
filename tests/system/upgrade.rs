//! Upgrade: the keeper executes another program in its own place. Services, sessions and exits are known to it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;
use std::time::Instant;

use friendlet::keeper::{SERVER_LEAVE_TIME, UPGRADE_TRIAL_TIME};
use friendlet::serve::LEAVE_TIME;
use rustix::process::Signal;

use super::services::{OK, start, status, until_state};
use super::supervision::send;
use crate::support::device::{ADMIN, shell};
use crate::support::directory::Directory;
use crate::support::http::session_of;
use crate::support::server::{friendlet, run};
use crate::support::wait::{SOON, until};
use crate::support::ws::{Event, request};
use crate::support::{Device, Server, process};

const RUNS_ON: &str = "exec sleep 1000";

fn device(tables: &[String]) -> Device {
    Device::plain().with(&tables.concat())
}

/// A server whose program may be replaced.
pub(super) fn start_copy(device: &Device) -> (Server, String) {
    let directory = Directory::new();
    let program = directory.file("friendlet");
    fs::copy(friendlet().get_program(), &program).unwrap();
    let file = directory.write("friendlet.toml", device.text(&directory.file("state")));
    let mut command = std::process::Command::new(&program);
    command.args(["serve", "--config", &file]).env_remove("STATE_DIRECTORY");
    (Server::start_command(directory, command), program)
}

#[test]
fn board_that_falls_back_is_upgraded_and_logs_it() {
    let directory = Directory::new();
    let device = device(&[shell("a", RUNS_ON, "autostart = true")]);
    let file = directory.write("friendlet.toml", device.text(&directory.file("state")));
    let mut command = friendlet();
    command.args(["serve", "--config", &file, "--fall-back"]).env_remove("STATE_DIRECTORY");
    let mut server = Server::start_command(directory, command);
    let pid = until_state(&server, "a", "started").pid;
    fs::write(&file, "[[[").unwrap();
    server.upgrade();
    assert_eq!((status(&server, "a").pid, status(&server, "a").restarts), (pid, 0));
    assert!(server.log().contains("the new program can take over"), "{}", server.log());
}

/// Puts another program in the place of the one that runs.
pub(super) fn put(program: &str, content: &[u8]) {
    let new = format!("{program}.new");
    fs::write(&new, content).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(&new, program).unwrap();
}

/// Asks for an upgrade, which is refused with these words in the log.
#[track_caller]
fn refused(server: &Server, words: &str) {
    let pid = server.pid();
    let refusals = |server: &Server| server.log().matches("upgrade: nothing changes").count();
    let before = refusals(server);
    send(server.keeper(), Signal::USR2);
    crate::support::wait::within(SOON * 2, "it is refused", || (refusals(server) > before).then_some(()));
    let log = server.log();
    let line = log.lines().rfind(|line| line.contains("upgrade: nothing changes")).unwrap();
    assert!(line.contains(words), "{line}");
    assert_eq!(server.pid(), pid);
    assert!(server.call("services/list").contains("\"Status\""));
}

#[test]
fn services_and_sessions_outlive_upgrades() {
    let count = "i=100000; while :; do i=$((i+1)); echo $i; sleep 0.01; done";
    let directory = Directory::new();
    let files = ["one", "two"].map(|name| directory.file(name));
    let mut tables = Vec::new();
    for (name, file) in ["one", "two"].iter().zip(&files) {
        tables.push(shell(name, count, &format!("autostart = true\noutput_file = \"{file}\"")));
    }
    tables.extend(["a", "b", "c"].map(|name| shell(name, RUNS_ON, "autostart = true\nrestart = \"always\"")));
    tables.push(shell("line", &format!("echo up; {RUNS_ON}"), "ready = \"line:up\"\nautostart = true"));
    tables.push(shell("descriptor", &format!("echo >&3; {RUNS_ON}"), "ready = \"fd:3\"\nautostart = true"));
    tables.push(shell("done", "exit 0", "type = \"oneshot\"\nautostart = true"));
    tables.push(shell("failed", "exit 3", "autostart = true"));
    let mut server = Server::start(&device(&tables));
    let form = "username=guest&password=guest&deviceid=phone";
    let session = session_of(&server.post("/system.library/login", form).body).unwrap();
    let names = ["one", "two", "a", "b", "c", "line", "descriptor"];
    names.iter().for_each(|name| drop(until_state(&server, name, "started")));
    until_state(&server, "done", "finished");
    until_state(&server, "failed", "failed");
    let states = |server: &Server| {
        ["one", "two", "a", "b", "c", "line", "descriptor", "done", "failed"].map(|name| {
            let now = status(server, name);
            (now.state, now.pid, now.restarts)
        })
    };
    let (before, keeper) = (states(&server), server.keeper());
    for _ in 0..20 {
        let pid = server.pid();
        server.upgrade();
        assert_ne!(server.pid(), pid);
        assert_eq!(states(&server), before, "{}", server.log());
        let list = server.post("/system.library/services/list", &format!("sessionid={session}"));
        assert_eq!(list.status, 200, "the session lives");
    }
    assert_eq!(server.keeper(), keeper);
    // Each line of the output is in the file, once and in its order.
    for (file, name) in files.iter().zip(["one", "two"]) {
        assert_eq!(server.call(&format!("services/{name}/stop")), OK);
        until_state(&server, name, "stopped");
        let lines = || -> Vec<u64> {
            let text = fs::read_to_string(file).unwrap();
            let lines = text.lines().filter(|line| !line.contains("(friendlet: another server"));
            lines.map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect()
        };
        until("the file has lines", || lines().len() > 20);
        let lines = lines();
        assert!(lines.windows(2).all(|pair| pair[1] == pair[0] + 1), "{lines:?}");
    }
    server.stop();
}

#[test]
fn socket_is_closed_with_the_code_of_a_restart() {
    let mut server = Server::start(&device(&[shell("a", RUNS_ON, "")]));
    let mut socket = server.bound(ADMIN);
    assert!(socket.call(&request("s", "services/a/start", "{}", ADMIN)).contains(OK));
    server.upgrade();
    while !matches!(socket.receive(SOON), Some(Event::Close(1012))) {}
}

#[test]
fn signal_to_both_processes_is_an_upgrade() {
    let mut server = Server::start(&device(&[shell("a", RUNS_ON, "autostart = true")]));
    let pid = until_state(&server, "a", "started").pid;
    let (keeper, child) = (server.keeper(), server.pid());
    server.replace(|| {
        send(child, Signal::USR2);
        send(keeper, Signal::USR2);
    });
    assert_eq!((status(&server, "a").pid, status(&server, "a").restarts), (pid, 0));
}

#[test]
fn exits_during_an_upgrade_are_known_and_their_policy_decides() {
    let mut server = Server::start(&device(&[
        shell("again", RUNS_ON, "restart = \"always\""),
        shell("once", "trap 'exit 7' USR1; echo up; while :; do sleep 0.01; done", "ready = \"line:up\""),
    ]));
    for _ in 0..3 {
        let (again, once) = (start(&server, "again").pid, start(&server, "once").pid);
        until("it handles the signal", || server.call("services/once/show").contains("\"Ready\": true"));
        let keeper = server.keeper();
        server.replace(|| {
            send(keeper, Signal::USR2);
            send(again, Signal::KILL);
            send(once, Signal::USR1);
        });
        until_state(&server, "again", "started");
        until("the killed one has started again", || status(&server, "again").pid != again);
        until_state(&server, "once", "failed");
        assert_eq!(status(&server, "once").last_exit, "exit 7");
    }
}

#[test]
fn program_that_cannot_take_over_is_refused() {
    let (mut server, program) = start_copy(&device(&[shell("a", RUNS_ON, "autostart = true")]));
    let pid = until_state(&server, "a", "started").pid;
    let good = fs::read(&program).unwrap();
    put(&program, b"\x7fELF of nothing");
    refused(&server, "Exec format error");
    put(&program, b"#!/bin/sh\nexit 0\n");
    refused(&server, "it says nothing: exit 0");
    put(&program, b"#!/bin/sh\necho 'an older friendlet'; exit 64\n");
    refused(&server, "an older friendlet");
    fs::remove_file(&program).unwrap();
    refused(&server, "No such file or directory");
    // The right one at last, and the service has noticed nothing.
    put(&program, &good);
    server.upgrade();
    assert_eq!((status(&server, "a").pid, status(&server, "a").restarts), (pid, 0));
}

#[test]
fn ctl_upgrades_and_says_why_not() {
    let (mut server, program) = start_copy(&device(&[shell("a", RUNS_ON, "autostart = true")]));
    let pid = until_state(&server, "a", "started").pid;
    let good = fs::read(&program).unwrap();
    let url = format!("unix:{}", server.local_socket());
    let upgrade = || run(&["ctl", "--url", &url, "upgrade"], "");
    put(&program, b"#!/bin/sh\necho 'of another machine'; exit 1\n");
    let refused = upgrade();
    assert!(refused.code != Some(0) && refused.stderr.contains("of another machine"), "{refused:?}");
    put(&program, &good);
    server.replace(|| {
        let done = upgrade();
        let back = format!("upgrade: ok, the server is back: version {}, build ", env!("CARGO_PKG_VERSION"));
        assert!(done.code == Some(0) && done.stdout.starts_with(&back), "{done:?}");
        // A script has its next command behind `&&`.
        let next = run(&["ctl", "--url", &url, "status", "a"], "");
        assert!(next.code == Some(0), "{next:?}");
        let again = run(&["ctl", "--url", &url, "--json", "upgrade"], "");
        assert!(again.code == Some(0) && again.stdout.lines().count() == 1, "{again:?}");
        assert!(again.stdout.contains(r#""Version": ""#), "{again:?}");
    });
    assert_eq!((status(&server, "a").pid, status(&server, "a").restarts), (pid, 0));
    assert!(server.log().contains("upgrade by "), "{}", server.log());
}

/// It ended with 69, as it did where the server was killed.
#[test]
fn followed_output_goes_on_after_an_upgrade_and_a_death() {
    let mut server = Server::start(&device(&[shell("writer", "echo $$; exec sleep 1000", "")]));
    let url = format!("unix:{}", server.local_socket());
    let mut command = friendlet();
    command.args(["ctl", "--url", &url, "logs", "-f", "writer"]);
    let mut follow = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(follow.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut written = |server: &Server| {
        assert_eq!(server.call("services/writer/restart"), OK);
        let pid = status(server, "writer").pid.to_string();
        assert!(lines.any(|line| line == pid));
    };
    written(&server);
    server.upgrade();
    written(&server);
    let pid = server.pid();
    server.replace(|| send(pid, Signal::KILL));
    written(&server);
    follow.kill().unwrap();
    let said = String::from_utf8(follow.wait_with_output().unwrap().stderr).unwrap();
    assert!(said.matches("; connecting again, and").count() >= 2, "{said}");
}

#[test]
fn program_of_another_board_is_refused() {
    let (mut server, program) = start_copy(&device(&[]));
    let good = fs::read(&program).unwrap();
    let other = format!("{program}.other");
    put(&other, &good);
    put(&program, format!("#!/bin/sh\nFRIENDLET_LEGACY_BOARD=toaster exec {other} \"$@\"\n").as_bytes());
    let built = friendlet::limits::BOARD;
    refused(&server, &format!("it is built for the board {built}, and the one that runs for toaster"));
    put(&program, &good);
    server.upgrade();
}

#[test]
fn new_program_that_hangs_is_refused() {
    let (server, program) = start_copy(&device(&[]));
    put(&program, b"#!/bin/sh\nexec sleep 1000\n");
    refused(&server, &format!("it has not ended after {} s", UPGRADE_TRIAL_TIME.as_secs()));
}

#[test]
fn new_program_that_closes_its_output_costs_no_processor_time() {
    let (server, program) = start_copy(&device(&[]));
    put(&program, b"#!/bin/sh\nexec > /dev/null 2>&1\nexec sleep 1000\n");
    send(server.keeper(), Signal::USR2);
    until("it is tried", || {
        server.services().iter().any(|pid| process::command_line(*pid).contains("sleep"))
    });
    super::idle_cpu::is_idle(&server, "a program that is tried and silent");
}

#[test]
fn configuration_in_force_stays_in_force() {
    let mut server = Server::start(&device(&[shell("a", RUNS_ON, "autostart = true")]));
    let pid = until_state(&server, "a", "started").pid;
    let file = server.config_file();
    let later = fs::read_to_string(&file).unwrap().replace("name = \"a\"", "name = \"b\"");
    // Broken first, then another one.
    fs::write(&file, "[[[").unwrap();
    server.upgrade();
    assert_eq!(status(&server, "a").pid, pid);
    fs::write(&file, later).unwrap();
    server.upgrade();
    assert_eq!(status(&server, "a").pid, pid);
    assert!(server.call("board/reload").contains(OK.trim_end_matches('}')), "{}", server.log());
    until("the new one runs", || server.call("services/b/show").contains("\"State\": \"started\""));
    let b = status(&server, "b").pid;
    server.upgrade();
    assert_eq!(status(&server, "b").pid, b);
    until("the removed one has ended", || !process::is_alive(pid));
}

#[test]
fn signal_to_end_during_an_upgrade_ends_everything_in_order() {
    let directory = Directory::new();
    let flag = directory.file("flag");
    let trap = format!("trap 'sleep 0.3; echo flushed > {flag}; exit 0' TERM");
    let script = format!("{trap}; echo up; while :; do sleep 0.01; done");
    let table = shell("flush", &script, "autostart = true\nready = \"line:up\"");
    for _ in 0..3 {
        let mut server = Server::start(&device(std::slice::from_ref(&table)));
        let pid = until_state(&server, "flush", "started").pid;
        until("it has its trap", || server.call("services/flush/show").contains("\"Ready\": true"));
        let keeper = server.keeper();
        send(keeper, Signal::USR2);
        send(keeper, Signal::TERM);
        server.wait(SOON);
        assert!(!process::is_alive(pid));
        assert_eq!(fs::read_to_string(&flag).unwrap(), "flushed\n", "{}", server.log());
        fs::remove_file(&flag).unwrap();
    }
}

#[test]
fn server_that_does_not_go_is_killed() {
    let mut server = Server::start(&device(&[shell("a", RUNS_ON, "autostart = true")]));
    let pid = until_state(&server, "a", "started").pid;
    send(server.pid(), Signal::STOP);
    let begun = Instant::now();
    server.upgrade();
    assert!(begun.elapsed() >= SERVER_LEAVE_TIME);
    assert!(server.log().contains("the server does not end; it is killed"), "{}", server.log());
    assert_eq!(status(&server, "a").pid, pid);
}

#[test]
fn connection_that_does_not_close_delays_an_upgrade_by_its_time() {
    let mut server = Server::start(&device(&[]));
    let socket = server.bound(ADMIN);
    let begun = Instant::now();
    server.upgrade();
    assert!(begun.elapsed() < LEAVE_TIME + SOON);
    drop(socket);
}

#[test]
fn program_that_could_not_start_its_server_is_refused() {
    let directory = Directory::new();
    let (certificate, key) = (directory.file("c.pem"), directory.file("k.pem"));
    let pair = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    fs::write(&certificate, pair.cert.pem()).unwrap();
    fs::write(&key, pair.signing_key.serialize_pem()).unwrap();
    let keys = format!("certificate = \"{certificate}\"\nkey = \"{key}\"\n");
    let device = Device::new().listen(&keys).with(&shell("a", RUNS_ON, "autostart = true"));
    let server = Server::start(&device);
    let pid = until_state(&server, "a", "started").pid;
    fs::write(&certificate, "").unwrap();
    refused(&server, &certificate);
    assert_eq!(status(&server, "a").pid, pid);
    server.stop();
}

#[test]
fn stop_that_is_under_way_has_its_time() {
    let directory = Directory::new();
    let (flushed, up) = (directory.file("flushed"), directory.file("up"));
    // The program is not the leader of its group.
    let program = directory.write(
        "program",
        format!("trap 'sleep 2; echo x >> {flushed}; exit 0' TERM; : > {up}; while :; do sleep 0.02; done\n"),
    );
    let wrapper = shell("flush", &format!("sh {program}; true"), "stop_timeout_s = 20");
    for is_crash in [false, true] {
        let mut server = Server::start(&device(std::slice::from_ref(&wrapper)));
        start(&server, "flush");
        until("its program runs", || fs::exists(&up).unwrap());
        assert_eq!(server.call("services/flush/stop"), OK);
        if is_crash {
            server.crash()
        } else {
            server.upgrade()
        }
        until("it is stopped", || status(&server, "flush").state == "stopped");
        assert_eq!(fs::read_to_string(&flushed).unwrap_or_default(), "x\n", "{}", server.log());
        fs::remove_file(&flushed).unwrap();
        fs::remove_file(&up).unwrap();
        server.stop();
    }
}

#[test]
fn reload_by_a_signal_is_not_lost_in_an_upgrade() {
    let mut server = Server::start(&device(&[shell("a", RUNS_ON, "autostart = true")]));
    for number in 0..12 {
        let name = format!("b{number}");
        let text = device(&[shell("a", RUNS_ON, "autostart = true"), shell(&name, RUNS_ON, "")]);
        super::reload::rewrite(&server, &text);
        let keeper = server.keeper();
        server.replace(|| {
            send(keeper, Signal::USR2);
            std::thread::sleep(std::time::Duration::from_millis(number * 2));
            send(keeper, Signal::HUP);
        });
        until("the file is in force", || server.call("services/list").contains(&name));
    }
    assert!(!server.log().contains("killed by signal"), "{}", server.log());
}

#[test]
fn upgrade_does_not_come_between_a_shutdown_of_the_board() {
    let directory = Directory::new();
    let off = directory.file("off");
    let flush = shell(
        "flush",
        "trap 'sleep 1; exit 0' TERM; echo up; while :; do sleep 0.02; done",
        "ready = \"line:up\"\nautostart = true",
    );
    let board = format!("[board]\npoweroff = [\"/bin/sh\", \"-c\", \": > {off}\"]\n");
    let mut server = Server::start(&device(&[flush, board]));
    until("it has its trap", || server.call("services/flush/show").contains("\"Ready\": true"));
    assert_eq!(server.call("board/poweroff"), OK);
    send(server.keeper(), Signal::USR2);
    assert_eq!(server.wait(SOON).code(), Some(0), "{}", server.log());
    assert!(fs::exists(&off).unwrap(), "{}", server.log());
}
