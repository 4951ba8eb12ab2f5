//! The local socket: administrators by their user, without a login.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::device::{GUEST, NOBODY};
use crate::support::directory::Directory;
use crate::support::machine::Machine;
use crate::support::namespaces::run_alone;
use crate::support::server::{Run, friendlet, run, run_command};
use crate::support::wait::{SOON, until, within};
use crate::support::{Device, Server};

/// A user who is neither root nor the server's.
const STRANGER: u32 = 65_534;

/// A command of the client at the local socket, with a state directory of its own.
fn command(server: &Server, home: &Directory) -> Command {
    let mut command = friendlet();
    command.args(["ctl", "--url", &format!("unix:{}", server.local_socket())]);
    command.env("XDG_STATE_HOME", home.path()).env_remove("FRIENDLET_SESSION");
    command
}

fn ctl(server: &Server, arguments: &[&str]) -> Run {
    run_command(command(server, &Directory::new()).args(arguments), "")
}

#[track_caller]
fn done(server: &Server, arguments: &[&str]) -> String {
    let run = ctl(server, arguments);
    assert_eq!(run.code, Some(0), "{arguments:?}: {run:?}");
    run.stdout
}

#[test]
fn user_of_the_server_controls_it_without_a_login() {
    for device in [Device::new(), Device::plain()] {
        let server = Server::start(&device);
        assert!(done(&server, &["list"]).contains("hello"));
        done(&server, &["start", "hello"]);
        assert!(done(&server, &["status", "hello"]).contains("started"));
        assert!(done(&server, &["board"]).contains("given"));
        assert!(done(&server, &["call", "services/hello/show"]).contains("\"ok\""));
        assert_eq!(
            done(&server, &["call", "user/logout"]),
            "{\"logout\":\"success\"}\n",
            "it has no session"
        );
        until("the log names the user", || {
            let log = server.log();
            log.lines().any(|line| {
                line.contains("service hello: start by ") && line.ends_with(" (local) from local")
            })
        });
        assert!(server.log().contains(&format!("listening on unix:{}\n", server.local_socket())));
        // Without a home, too: nothing is remembered.
        let mut command = command(&server, &Directory::new());
        command.env_remove("XDG_STATE_HOME").env_remove("HOME");
        assert_eq!(run_command(command.args(["list"]), "").code, Some(0));
    }
}

#[test]
fn changes_are_pushed_to_it() {
    let server = Server::start(&Device::new());
    let home = Directory::new();
    let mut command = command(&server, &home);
    let mut watch = command.args(["watch"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let output = watch.stdout.take().unwrap();
    until("watch prints the states", || {
        done(&server, &["restart", "hello"]);
        rustix::io::ioctl_fionread(&output).unwrap() > 0
    });
    done(&server, &["pause", "hello"]);
    let mut lines = BufReader::new(output).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains("hello  paused")));
    watch.kill().unwrap();
    watch.wait().unwrap();
}

#[test]
fn session_counts_before_the_user() {
    let server = Server::start(&Device::new());
    assert_eq!(ctl(&server, &["--session", GUEST, "start", "hello"]).code, Some(77));
    assert_eq!(ctl(&server, &["--session", GUEST, "start", "allowed"]).code, Some(0));
    assert_eq!(ctl(&server, &["--session", NOBODY, "list"]).code, Some(77));
    let home = Directory::new();
    let login = run_command(command(&server, &home).args(["login", "guest"]), "guest\n");
    assert_eq!(login.code, Some(0), "{login:?}");
    assert_eq!(run_command(command(&server, &home).args(["board"]), "").code, Some(77));
    assert_eq!(run_command(command(&server, &home).args(["logout"]), "").code, Some(0));
    assert_eq!(run_command(command(&server, &home).args(["board"]), "").code, Some(0));
}

#[test]
fn forgotten_password_is_replaced() {
    let server = Server::start(&Device::new());
    let home = Directory::new();
    let own = run_command(command(&server, &home).args(["passwd"]), "");
    assert!(own.code == Some(64) && own.stderr.contains("`friendlet ctl passwd USER`"), "{own:?}");
    let other = run_command(command(&server, &home).args(["passwd", "fadmin"]), "better-1\n");
    assert_eq!(other.code, Some(0), "{other:?}");
    assert_eq!(server.login("fadmin", "better-1").len(), 40);
}

#[test]
fn other_users_are_refused() {
    let server = Server::start(&Device::new());
    let directory = server.directory();
    // The program and its state are where that user may read and write.
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let copy = directory.file("program");
    let mut words = friendlet_words();
    // By a process of its own: a child of another test would have the file open, which makes it busy.
    assert!(Command::new("cp").args([&words.pop().unwrap(), &copy]).status().unwrap().success());
    words.push(copy);
    let list = || {
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).args(["ctl", "--url", &format!("unix:{}", server.local_socket()), "list"]);
        command.env("XDG_STATE_HOME", directory.path()).env_remove("FRIENDLET_SESSION");
        run_command(command.uid(STRANGER).gid(STRANGER), "")
    };
    let refused = list();
    assert!(
        refused.code == Some(77) && refused.stderr.contains("permission denied; it is for root"),
        "{refused:?}"
    );
    // If its mode is changed, the server refuses.
    fs::set_permissions(server.local_socket(), fs::Permissions::from_mode(0o666)).unwrap();
    let refused = list();
    let reason = "permission denied: only root and the user of the server may use this socket";
    assert!(refused.code == Some(77) && refused.stderr.contains(reason), "{refused:?}");
    until("it is logged", || server.log().contains(&format!("local socket: refused to user {STRANGER}\n")));
    assert!(done(&server, &["list"]).contains("hello"));
}

/// The program under test and the words before it.
fn friendlet_words() -> Vec<String> {
    let command = friendlet();
    let words = [command.get_program()].into_iter().chain(command.get_args());
    words.map(|word| word.to_str().unwrap().to_owned()).collect()
}

#[test]
fn administrator_of_this_machine_gets_in_while_all_slots_are_taken() {
    let server = Server::start(&Device::plain().slots(3));
    let _users = [server.bound(GUEST), server.bound(GUEST)];
    let _administrator = within(SOON, "the administrator gets in", || server.administrator().ok());
    assert!(done(&server, &["list"]).contains("hello"));
    // Clients of the port that send nothing use the overflow slots.
    let _silent: Vec<_> = (0..8).map(|_| server.connect()).collect();
    for _ in 0..3 {
        assert!(done(&server, &["list"]).contains("hello"));
    }
}

#[test]
fn socket_of_a_living_server_is_not_stolen_and_a_stale_one_is_replaced() {
    let mut server = Server::start(&Device::new());
    let path = server.local_socket();
    let metadata = fs::metadata(&path).unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    let directory = Directory::new();
    let text = Device::new().text(&directory.file("state"));
    let text = text.replace(&format!("{}.ctl", directory.file("state")), &path);
    let file = directory.write("friendlet.toml", text);
    let second = run(&["serve", "--config", &file], "");
    assert_eq!(second.code, Some(69), "{second:?}");
    let in_use = format!("{path}.processes: in use by process {}, another friendlet", server.keeper());
    assert!(second.stderr.contains(&in_use), "{second:?}");
    assert!(second.stderr.contains("[listen] socket"), "{second:?}");
    assert!(!second.stderr.contains("password"), "{second:?}");
    assert!(done(&server, &["list"]).contains("hello"));
    // A server that is killed with its keeper leaves its file.
    // A keeper that is stopped starts no other one.
    server.signal(Signal::STOP);
    kill_process(Pid::from_raw(server.pid().try_into().unwrap()).unwrap(), Signal::KILL).unwrap();
    server.signal(Signal::KILL);
    server.wait(SOON);
    assert!(Path::new(&path).exists());
    // The kernel closes the socket of a process that was killed a little later than its parent's.
    until("no server listens", || {
        let dead = ctl(&server, &["list"]);
        dead.code == Some(69) && dead.stderr.contains("no server listens there")
    });
    let server = Server::start_in(server.take_directory(), &Device::new());
    assert!(done(&server, &["list"]).contains("hello"));
    let directory = server.stop();
    assert!(!Path::new(&path).exists());
    drop(directory);
}

#[test]
fn there_is_none_if_it_is_off() {
    let directory = Directory::new();
    let text =
        Device::new().text("").replace("dir = \"\"", &format!("dir = \"{}\"", directory.file("state")));
    let file = directory.write("friendlet.toml", text);
    let mut command = friendlet();
    command.args(["serve", "--config", &file]);
    let server = Server::start_command(directory, command);
    let missing = ctl(&server, &["list"]);
    assert!(missing.code == Some(69) && missing.stderr.contains("no server listens there"), "{missing:?}");
    assert!(!server.log().contains("unix:"), "{}", server.log());
}

#[test]
fn directory_that_cannot_be_created_is_an_error() {
    let directory = Directory::new();
    let blocker = directory.write("file", "");
    let text = Device::new().text(&directory.file("state"));
    let text = text.replace(&format!("{}.ctl", directory.file("state")), &format!("{blocker}/ctl"));
    let file = directory.write("friendlet.toml", text);
    let run = run(&["serve", "--config", &file], "");
    assert_eq!(run.code, Some(73), "{run:?}");
    assert!(run.stderr.contains(&blocker) && run.stderr.contains("[listen] socket names another"), "{run:?}");
}

#[test]
fn client_of_root_finds_it_at_its_default_path() {
    run_alone(|| {
        let machine = Machine::new();
        let server = machine.serve("friendlet serve");
        until("the log has the socket", || server.log().contains("listening on unix:/run/friendlet/ctl\n"));
        let list = machine.run("friendlet ctl list", "");
        assert!(list.code == Some(0) && list.stdout.contains("hello"), "{list:?}");
        let over_tls = machine.run("friendlet ctl --url wss://127.0.0.1:6500 list", "");
        assert_eq!(over_tls.code, Some(77), "{over_tls:?}");
        server.stop();
        // The socket has gone with its server, so the port of this machine is the default.
        let login = machine.run("friendlet ctl login admin", "");
        assert!(login.code == Some(69) && login.stderr.contains("wss://127.0.0.1:6500"), "{login:?}");
    });
}

#[test]
fn administrator_outside_of_the_pid_namespace_of_the_server_is_served() {
    let directory = Directory::new();
    let config = directory.write("friendlet.toml", Device::plain().text(&directory.file("state")));
    let program = friendlet();
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--pid", "--fork", "--kill-child"]);
    command.arg(program.get_program()).args(program.get_args());
    command.args(["serve", "--config", &config]).env_remove("STATE_DIRECTORY");
    let mut server = command.stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(server.stderr.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.into_iter().any(|line| line.contains("listening on unix:")));
    let url = format!("unix:{}.ctl", directory.file("state"));
    let run = run_command(friendlet().args(["ctl", "--url", &url, "board"]), "");
    server.kill().unwrap();
    server.wait().unwrap();
    assert!(run.code == Some(0) && run.stdout.contains("given"), "{run:?}");
}
