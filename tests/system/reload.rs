//! Reload of the configuration file: what it changes, and what goes on as before.

use std::fs;
use std::time::{Duration, Instant};

use friendlet::wall_clock::Utc;
use rustix::process::Signal;

use super::crash::is_ready;
use super::services::{OK, start, status, until_state};
use crate::support::device::{ADMIN, GUEST, service, shell, stored_password, token, user};
use crate::support::directory::Directory;
use crate::support::http::session_of;
use crate::support::server::run;
use crate::support::wait::{SOON, until, within};
use crate::support::ws::{Event, request};
use crate::support::{Device, Server, process};

const RUNS_ON: &str = "exec sleep 1000";
pub(super) const NOTHING: &str =
    r#"{ "Status": "ok", "Added": [], "Changed": [], "Removed": [], "NeedsRestart": []}"#;

/// Puts another file in the place of the server's, as an editor does.
pub(super) fn rewrite(server: &Server, device: &Device) {
    let directory = server.directory();
    let text = device.text(&directory.file("state"));
    let later = directory.write("later", text);
    fs::rename(later, directory.file("friendlet.toml")).unwrap();
}

pub(super) fn reload(server: &Server, device: &Device) -> String {
    rewrite(server, device);
    server.call("board/reload")
}

fn all_started(server: &Server, names: &[&str]) {
    for name in names {
        until_state(server, name, "started");
    }
}

fn is_known(server: &Server, name: &str) -> bool {
    server.call("services/list").contains(&format!("\"{name}\""))
}

#[test]
fn services_are_added_changed_and_removed_and_the_others_run_on() {
    let same = shell("same", RUNS_ON, "autostart = true");
    let before = Device::plain().with(
        &[
            same.clone(),
            shell("changed", RUNS_ON, "autostart = true"),
            shell("removed", RUNS_ON, "autostart = true"),
            shell("stopped", RUNS_ON, ""),
            shell("dependent", RUNS_ON, "requires = [\"changed\"]\nautostart = true"),
        ]
        .concat(),
    );
    let server = Server::start(&before);
    for name in ["same", "changed", "removed", "dependent"] {
        until_state(&server, name, "started");
    }
    let pid = |name: &str| status(&server, name).pid;
    let (same_pid, changed_pid, removed_pid) = (pid("same"), pid("changed"), pid("removed"));
    let later = Device::plain().with(
        &[
            shell("added", RUNS_ON, "autostart = true"),
            shell("by-hand", RUNS_ON, ""),
            same,
            shell("changed", "exec sleep 2000", "autostart = true"),
            shell("stopped", "exec sleep 2000", ""),
            shell("dependent", RUNS_ON, "requires = [\"changed\"]\nautostart = true"),
        ]
        .concat(),
    );
    let expected = r#"{ "Status": "ok", "Added": ["added", "by-hand"], "Changed": ["changed", "stopped"], "Removed": ["removed"], "NeedsRestart": []}"#;
    let trial = expected.replacen("\"ok\"", "\"ok\", \"DryRun\": true", 1);
    rewrite(&server, &later);
    let sorted = |text: &str| {
        let mut words: Vec<String> = text.split([',', '[', ']']).map(|word| word.trim().to_owned()).collect();
        words.sort();
        words
    };
    assert_eq!(sorted(&server.call("board/reload?dryrun=true")), sorted(&trial));
    assert_eq!((pid("removed"), is_known(&server, "added")), (removed_pid, false), "a trial changes nothing");
    assert_eq!(sorted(&server.call("board/reload")), sorted(expected));
    until("the new table is in force", || is_known(&server, "added"));
    for name in ["same", "changed", "added", "dependent"] {
        until_state(&server, name, "started");
    }
    assert_eq!((pid("same"), status(&server, "same").restarts), (same_pid, 0));
    assert_ne!(pid("changed"), changed_pid);
    assert!(!process::is_alive(removed_pid) && !is_known(&server, "removed"));
    assert_eq!(status(&server, "by-hand").state, "stopped");
    assert_eq!(status(&server, "stopped").state, "stopped");
    assert!(process::command_line(start(&server, "stopped").pid).contains("2000"));
    assert_eq!(reload(&server, &later), NOTHING);
    server.stop();
}

#[test]
fn service_in_the_place_of_a_removed_one_has_nothing_of_it() {
    let server = Server::start(&Device::plain().with(&shell(
        "old",
        "echo secret; exec sleep 1000",
        "autostart = true",
    )));
    until("it writes", || server.call("services/old/log").contains("secret"));
    let mut socket = server.bound(ADMIN);
    assert!(socket.call(&request("f", "services/old/log", r#"{"follow":"true"}"#, ADMIN)).contains("secret"));
    reload(&server, &Device::plain().with(&shell("new", "echo public; exec sleep 1000", "autostart = true")));
    until("it writes", || is_known(&server, "new") && server.call("services/new/log").contains("public"));
    assert!(!server.call("services/new/log").contains("secret"));
    assert!(!server.call("services/new/show").contains("exit"), "{}", server.call("services/new/show"));
    // The socket followed the other service.
    let pushed = socket.call(&request("s", "services/new/status", "{}", ADMIN));
    assert!(!pushed.contains("public"), "{pushed}");
    server.stop();
}

#[test]
fn file_with_an_error_changes_nothing_and_administrators_are_notified() {
    let device = Device::plain().with(&shell("web", RUNS_ON, "autostart = true"));
    let server = Server::start(&device);
    until_state(&server, "web", "started");
    let pid = status(&server, "web").pid;
    let wrong = device.clone().with("[[service]]\nname = \"x\"\ncomand = [\"y\"]\nuser = 3\n");
    let answer = reload(&server, &wrong);
    for part in ["reload returned: 22", "friendlet.toml:", "unknown key 'comand'", "command"] {
        assert!(answer.contains(part), "{part}: {answer}");
    }
    assert!(server.call("board/status").contains("configuration file not reloaded"));
    assert_eq!(status(&server, "web").pid, pid);
    let missing = server.directory().file("friendlet.toml");
    fs::remove_file(&missing).unwrap();
    assert!(server.call("board/reload").contains("No such file or directory"));
    assert_eq!(reload(&server, &device), NOTHING);
    assert!(!server.call("board/status").contains("not reloaded"));
    server.stop();
}

#[test]
fn hang_up_signal_reloads() {
    let server = Server::start(&Device::plain());
    rewrite(&server, &Device::plain().with(&shell("added", RUNS_ON, "autostart = true")));
    server.signal(Signal::HUP);
    until("the file is in force", || is_known(&server, "added"));
    until_state(&server, "added", "started");
    rewrite(&server, &Device::plain().with("nonsense"));
    server.signal(Signal::HUP);
    until("the error is logged", || server.log().contains("nothing changes"));
    assert!(is_known(&server, "added"));
    server.stop();
}

#[test]
fn socket_of_a_removed_user_is_closed_and_others_stay() {
    let server = Server::start(&Device::plain());
    let form = "username=guest&password=guest&deviceid=phone";
    let session = session_of(&server.post("/system.library/login", form).body).unwrap();
    let (mut guest, mut program, mut admin) =
        (server.bound(&session), server.bound(GUEST), server.bound(ADMIN));
    let tables = [
        user("fadmin", "admin", "secret", ""),
        user("new", "user", "new", "services = [\"allowed\"]"),
        token("fadmin", ADMIN),
    ];
    let later = Device { tables: tables.concat() + &shell("allowed", RUNS_ON, ""), ..Device::plain() };
    assert_eq!(reload(&server, &later), NOTHING);
    for socket in [&mut guest, &mut program] {
        let end = within(Duration::from_secs(5), "the socket is closed", || match socket.receive(SOON) {
            Some(Event::Close(code)) => Some(code),
            Some(Event::Text(text)) => {
                assert!(text.contains("user removed"), "{text}");
                None
            }
            _ => None,
        });
        assert_eq!(end, 1008);
    }
    admin.bind(ADMIN);
    assert!(admin.call(&request("l", "services/allowed/start", "{}", ADMIN)).contains(OK));
    let list = server.post("/system.library/services/list", &format!("sessionid={session}"));
    assert_eq!(list.status, 403, "{}", list.body);
    let form = "username=new&password=new&deviceid=phone";
    assert!(session_of(&server.post("/system.library/login", form).body).is_some());
    let old = server.post("/system.library/login", "username=guest&password=guest&deviceid=phone");
    assert!(session_of(&old.body).is_none());
    server.stop();
}

#[test]
fn next_server_has_the_file_of_the_last_reload() {
    let mut server = Server::start(&Device::plain().with(&shell("one", RUNS_ON, "autostart = true")));
    until_state(&server, "one", "started");
    let later =
        Device::plain().with(&(shell("two", RUNS_ON, "autostart = true") + &shell("three", RUNS_ON, "")));
    reload(&server, &later);
    until("the new table is in force", || is_known(&server, "two"));
    until_state(&server, "two", "started");
    let pid = status(&server, "two").pid;
    server.crash();
    assert_eq!((status(&server, "two").state.as_str(), status(&server, "two").pid), ("started", pid));
    assert!(is_known(&server, "three") && !is_known(&server, "one"));
    server.stop();
}

#[test]
fn settings_by_install_outlast_a_file_without_the_service() {
    let with = Device::plain().with(&shell("web", RUNS_ON, "autostart = true"));
    let server = Server::start(&with);
    until_state(&server, "web", "started");
    assert_eq!(server.call("services/web/uninstall"), OK);
    reload(&server, &Device::plain());
    until("it is gone", || !is_known(&server, "web"));
    reload(&server, &with);
    until("it is back", || is_known(&server, "web"));
    assert_eq!(status(&server, "web").state, "stopped");
    assert_eq!(server.call("services/web/install"), OK);
    server.stop();
}

#[test]
fn many_reloads_drop_no_connection_and_restart_nothing_else() {
    let count = "i=100000; while :; do i=$((i+1)); echo $i; sleep 0.01; done";
    let device = |number: usize| {
        Device::plain().with(
            &[
                shell("same", count, "autostart = true"),
                service("turn", &["/bin/sleep", &(1000 + number).to_string()], "autostart = true"),
                if number.is_multiple_of(2) { shell("even", RUNS_ON, "") } else { String::new() },
            ]
            .concat(),
        )
    };
    let server = Server::start(&device(0));
    until_state(&server, "same", "started");
    let pid = status(&server, "same").pid;
    let mut socket = server.bound(ADMIN);
    for number in 1..=40 {
        let answer = reload(&server, &device(number));
        assert!(answer.starts_with(r#"{ "Status": "ok""#), "{answer}");
        assert!(socket.call(&request("s", "services/same/status", "{}", ADMIN)).contains("started"));
    }
    assert_eq!((status(&server, "same").pid, status(&server, "same").restarts), (pid, 0));
    until_state(&server, "turn", "started");
    server.stop();
}

#[test]
fn password_changed_by_a_reload_ends_the_sessions_of_the_old_one() {
    let server = Server::start(&Device::plain());
    let sessions = [server.login("guest", "guest"), server.login("fadmin", "secret")];
    let [mut guest, mut admin] = sessions.each_ref().map(|session| server.bound(session));
    let mut by_token = server.bound(GUEST);
    let mut later = Device::plain();
    later.tables = later.tables.replace(&stored_password("guest", 1000), &stored_password("later", 1000));
    assert_eq!(reload(&server, &later), NOTHING);
    assert!(guest.push("server-notice").contains("session killed"));
    let is_valid = |session: &str| {
        server.post("/system.library/validate", &format!("sessionid={session}")).body.contains("true")
    };
    assert!(!is_valid(&sessions[0]) && is_valid(&sessions[1]) && is_valid(GUEST));
    for (socket, session) in [(&mut admin, &sessions[1][..]), (&mut by_token, GUEST)] {
        let answer = socket.call(&request("s", "services/allowed/status", "{}", session));
        assert!(answer.contains("\"State\""), "{answer}");
    }
    // The same file changes nothing.
    let session = server.login("guest", "later");
    assert_eq!(server.call("board/reload"), NOTHING);
    assert!(is_valid(&session));
    server.stop();
}

#[test]
fn ctl_prints_what_a_reload_changes() {
    let server = Server::start(&Device::plain());
    rewrite(&server, &Device::plain().with(&shell("added", RUNS_ON, "")).slots(7));
    let url = format!("unix:{}", server.local_socket());
    let ctl = |arguments: &[&str]| run(&[&["ctl", "--url", &url], arguments].concat(), "");
    let trial = ctl(&["reload", "--dry-run"]);
    let changes = "added: added\nneeds a restart of the server: [limits] slots\n";
    assert_eq!(
        (trial.code, trial.stdout),
        (Some(0), format!("{changes}nothing was changed\n")),
        "{}",
        trial.stderr
    );
    let done = ctl(&["reload"]);
    assert_eq!((done.code, done.stdout), (Some(0), format!("{changes}reload: ok\n")), "{}", done.stderr);
    rewrite(&server, &Device::plain().with("[[service]]\nname = \"x\"\n"));
    let failed = ctl(&["reload"]);
    assert_eq!(failed.code, Some(1));
    assert!(
        failed.stderr.contains("friendlet.toml:") && failed.stderr.contains("command"),
        "{}",
        failed.stderr
    );
    server.stop();
}

#[test]
fn output_files_follow_a_reload() {
    let files = Directory::new();
    let (kept, added) = (files.file("kept.log"), files.file("added.log"));
    let writes = |name: &str, file: &str| {
        shell(name, "echo first; exec sleep 1000", &format!("autostart = true\noutput_file = \"{file}\""))
    };
    let server = Server::start(&Device::plain().with(&writes("kept", &kept)));
    until("it is written", || fs::read_to_string(&kept).is_ok_and(|text| text.contains("first")));
    reload(&server, &Device::plain().with(&(writes("kept", &kept) + &writes("added", &added))));
    until("it is written", || fs::read_to_string(&added).is_ok_and(|text| text.contains("first")));
    assert_eq!(fs::read_to_string(&kept).unwrap().matches("first").count(), 1);
    server.stop();
}

/// A service that ends this many seconds after SIGTERM and notes the time in a file.
fn slow(name: &str, seconds: u32, file: &str, rest: &str) -> String {
    let end = format!("trap 'sleep {seconds}; date +%s%N >> {file}; exit 0' TERM");
    shell(
        name,
        &format!("{end}; echo up; while :; do sleep 0.05; done"),
        &format!("ready = \"line:up\"\nautostart = true\n{rest}"),
    )
}

#[test]
fn services_that_a_reload_ends_stop_in_their_order() {
    let files = Directory::new();
    let (db, app) = (files.file("db"), files.file("app"));
    let tables =
        |keys: &str| slow("db", 1, &db, keys) + &slow("app", 1, &app, &format!("after = [\"db\"]\n{keys}"));
    let server = Server::start(&Device::plain().with(&tables("")));
    until_state(&server, "app", "started");
    for later in [tables("nice = 11"), String::new()] {
        // They handle the signal from then on.
        until("both are ready", || ["db", "app"].iter().all(|name| is_ready(&server, name)));
        let pid = status(&server, "app").pid;
        reload(&server, &Device::plain().with(&later));
        let is_written = |file: &str| fs::read_to_string(file).is_ok_and(|text| text.ends_with('\n'));
        until("both have ended", || is_written(&db) && is_written(&app));
        let time = |file: &str| fs::read_to_string(file).unwrap().trim().parse::<u64>().unwrap();
        assert!(time(&db) > time(&app) + 900_000_000, "db has ended before app");
        assert!(!process::is_alive(pid));
        [&db, &app].iter().for_each(|file| fs::remove_file(file).unwrap());
    }
    until("they are gone", || !is_known(&server, "db"));
    server.stop();
}

#[test]
fn service_that_requires_a_changed_one_runs_on() {
    let dependent = shell("dependent", RUNS_ON, "requires = [\"base\"]\nautostart = true");
    let tables = |keys: &str| shell("base", RUNS_ON, &format!("autostart = true\n{keys}")) + &dependent;
    let server = Server::start(&Device::plain().with(&tables("")));
    until_state(&server, "dependent", "started");
    let (base, pid) = (status(&server, "base").pid, status(&server, "dependent").pid);
    reload(&server, &Device::plain().with(&tables("nice = 11")));
    until("it is another process", || {
        status(&server, "base").pid != base && status(&server, "base").state == "started"
    });
    assert_eq!(status(&server, "dependent").pid, pid);
    server.stop();
}

#[test]
fn reload_that_a_crash_interrupts_begins_anew() {
    let files = Directory::new();
    let tables = |keys: &str| slow("slow", 1, &files.file("slow"), keys);
    let mut server =
        Server::start(&Device::plain().with(&(tables("") + &shell("quick", RUNS_ON, "autostart = true"))));
    all_started(&server, &["slow", "quick"]);
    let later =
        Device { tables: Device::plain().tables.replace(&token("guest", GUEST), ""), ..Device::plain() };
    let later = later.with(
        &(tables("nice = 11")
            + &shell("quick", "exec sleep 2000", "autostart = true")
            + &shell("new", RUNS_ON, "autostart = true")),
    );
    let as_guest =
        |server: &Server| server.post("/system.library/services/list", &format!("sessionid={GUEST}")).status;
    assert_eq!(as_guest(&server), 200);
    assert!(reload(&server, &later).contains("new"));
    assert_eq!(as_guest(&server), 403);
    server.crash();
    until("the new file is in force", || is_known(&server, "new"));
    for name in ["slow", "quick", "new"] {
        until_state(&server, name, "started");
    }
    assert!(process::command_line(status(&server, "quick").pid).contains("2000"));
    assert_eq!((as_guest(&server), server.services().len()), (403, 3));
    server.stop();
}

#[test]
fn end_of_the_server_comes_before_a_reload() {
    let files = Directory::new();
    let tables =
        |keys: &str| slow("slow", 2, &files.file("slow"), keys) + &shell("same", RUNS_ON, "autostart = true");
    let mut server = Server::start(&Device::plain().with(&tables("")));
    all_started(&server, &["slow", "same"]);
    reload(
        &server,
        &Device::plain().with(&(tables("nice = 11") + &shell("new", RUNS_ON, "autostart = true"))),
    );
    let (mut waiting, start) = (server.bound(ADMIN), Instant::now());
    waiting.send(&request("r", "board/reload", "{}", ADMIN));
    until("it waits", || server.log().matches("reload by fadmin").count() == 2);
    server.signal(Signal::TERM);
    assert!(server.wait(SOON).success());
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    until("the whole log is read", || server.log().contains("] info  serve::core: served "));
    let log = server.log();
    let (_, end) = log.split_once("stopping: closing sockets").unwrap();
    assert!(!end.contains(": started"), "{log}");
}

#[test]
fn newest_of_many_files_is_in_force_in_the_end() {
    let files = Directory::new();
    let tables = |nice: u8| slow("slow", 1, &files.file("slow"), &format!("nice = {nice}"));
    let server = Server::start(&Device::plain().with(&tables(10)));
    until_state(&server, "slow", "started");
    for nice in 11..16 {
        rewrite(&server, &Device::plain().with(&tables(nice)));
        server.signal(Signal::HUP);
        std::thread::sleep(Duration::from_millis(100));
    }
    until("the newest is in force", || server.call("services/slow/show").contains("\"nice\": 15"));
    server.stop();
}

#[test]
fn token_that_nears_its_end_is_reported_while_the_server_runs() {
    let month = 30 * 86_400;
    let now = || friendlet::wall_clock::now().as_secs();
    let device = |unix_s| {
        let end = Utc(Duration::from_secs(unix_s)).to_string();
        Device::new().with(&format!("{}expires = {}\n", token("guest", "a token"), end.trim_end_matches('Z')))
    };
    let server = Server::start(&device(now() + 2 * month));
    // The socket of a token is unbound when tokens change.
    let mut socket = server.bound(&server.login("fadmin", "secret"));
    let has_notice = |text: &str| server.call("board/status").contains(&format!(r#""Token": "{text}"#));
    let reload = |unix_s| assert_eq!(reload(&server, &device(unix_s)), NOTHING);
    let end = now() + month + 5;
    reload(end);
    assert!(has_notice("\""), "more than 30 days are left");
    let soon = "[[token]] 4, of guest: expires within 30 days, on ";
    assert!(socket.push("server-notice").contains(soon));
    assert!(has_notice(soon) && server.call("board/status").contains(r#""Notice": "", "#));
    // The same again.
    reload(end);
    assert_eq!(server.log().matches(soon).count(), 1, "{}", server.log());
    reload(now() - 1);
    let over = "[[token]] 4, of guest: has expired on ";
    assert!(socket.push("server-notice").contains(over) && has_notice(over));
    reload(now() + 2 * month);
    assert!(has_notice("\""));
}
