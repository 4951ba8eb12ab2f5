//! Damaged files of the state directory: the server serves, with the same users, services and certificate, and
//! says what was damaged.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Pid, Signal, kill_process};

use super::services::OK;
use crate::support::device::service;
use crate::support::directory::Directory;
use crate::support::http::{login_form, session_of};
use crate::support::machine::first_password;
use crate::support::server::{behind, run};
use crate::support::wait::{SOON, until, within};
use crate::support::{Device, Server};

/// Files of the state directory that have a copy.
const FILES: [&str; 5] = ["passwords", "enabled", "admin.toml", "tls/certificate.pem", "tls/key.pem"];

/// Name and effect of a damage.
type Damage = (&'static str, fn(&Path));

const DAMAGES: [Damage; 12] = [
    ("removed", |path| fs::remove_file(path).unwrap()),
    ("empty", |path| fs::write(path, "").unwrap()),
    ("cut by a byte", |path| cut(path, |len| len - 1)),
    ("cut in half", |path| cut(path, |len| len / 2)),
    ("NUL", |path| fs::write(path, vec![0; fs::read(path).unwrap().len()]).unwrap()),
    ("garbage", |path| fs::write(path, [0xa5; 300]).unwrap()),
    ("a bit", |path| {
        let mut bytes = fs::read(path).unwrap();
        let place = bytes.len() / 2;
        bytes[place] ^= 0x80;
        fs::write(path, bytes).unwrap();
    }),
    ("huge", |path| fs::write(path, vec![b'x'; 1 << 20]).unwrap()),
    ("a directory", |path| {
        fs::remove_file(path).unwrap();
        fs::create_dir(path).unwrap();
        fs::write(path.join("file"), "").unwrap();
    }),
    ("a pipe", |path| {
        fs::remove_file(path).unwrap();
        mknodat(CWD, path, FileType::Fifo, Mode::RUSR, 0).unwrap();
    }),
    ("a link to nothing", |path| {
        fs::remove_file(path).unwrap();
        symlink("/nonexistent/medium", path).unwrap();
    }),
    ("unreadable", |path| fs::set_permissions(path, fs::Permissions::from_mode(0o000)).unwrap()),
];

fn cut(path: &Path, to: fn(usize) -> usize) {
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..to(bytes.len())]).unwrap();
}

fn device() -> Device {
    let tables = service("kept", &["/bin/sleep", "1000"], "");
    Device { tables, ..Device::new() }.session("lockout_attempts = 100")
}

fn may_log_in(server: &Server, password: &str) -> bool {
    session_of(&server.post("/system.library/login", &login_form("admin", password)).body).is_some()
}

/// SHA-256 of the certificate in use.
fn certificate(server: &Server) -> String {
    let log = within(SOON, "the certificate is logged", || {
        let log = server.log();
        log.contains(" has the SHA-256 ").then_some(log)
    });
    log.split_once(" has the SHA-256 ").unwrap().1.lines().next().unwrap().to_owned()
}

/// A state directory in use: a changed password, an installed service, a certificate.
struct Used {
    directory: Directory,
    /// The password before the change.
    old: String,
    certificate: String,
}

impl Used {
    fn new() -> Self {
        let server = Server::start(&device());
        let (old, certificate) = (first_password(&server), certificate(&server));
        let session = server.login("admin", &old);
        let form = format!("sessionid={session}&oldpassword={old}&password=my-own-1");
        assert!(server.post("/system.library/user/updatepassword", &form).body.contains("success"));
        let form = format!("sessionid={session}");
        assert_eq!(server.post("/system.library/services/kept/install", &form).body, OK);
        Self { directory: server.stop(), old, certificate }
    }

    /// A server with a copy of the directory, after `damage`.
    fn start_after(&self, damage: impl FnOnce(&Path)) -> Server {
        let directory = Directory::new();
        let state = directory.path().join("state");
        copy(&self.directory.path().join("state"), &state);
        damage(&state);
        Server::start_in(directory, &device())
    }

    /// Asserts that users, services and certificate are those of the directory. Returns the notice of the board.
    #[track_caller]
    fn assert_serves(&self, server: &Server, what: &str) -> String {
        assert!(may_log_in(server, "my-own-1") && !may_log_in(server, &self.old), "{what}");
        assert_eq!(certificate(server), self.certificate, "{what}");
        let session = server.login("admin", "my-own-1");
        let ask = |path: &str| server.post(path, &format!("sessionid={session}")).body;
        until(what, || ask("/system.library/services/kept/status").contains("\"started\""));
        ask("/system.library/board/status")
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target)
        } else {
            drop(fs::copy(entry.path(), target))
        }
    }
}

#[test]
fn each_file_outlasts_each_damage() {
    let used = Used::new();
    for name in FILES {
        for (damage, apply) in DAMAGES {
            let what = format!("{name}: {damage}");
            let server = used.start_after(|state| apply(&state.join(name)));
            let board = used.assert_serves(&server, &what);
            // A PEM file is whole without its last line feed, and root reads every file.
            let is_text = name.ends_with(".pem");
            let is_whole = (damage == "cut by a byte" && is_text)
                || (damage == "unreadable" && rustix::process::geteuid().is_root());
            assert_eq!(board.contains("; its copy is used"), !is_whole, "{what}: {board}");
            assert_eq!(server.log().contains("; its copy is used"), !is_whole, "{what}: {}", server.log());
            let server = Server::start_in(server.stop(), &device());
            let is_reported_again = damage == "a link to nothing";
            let board = used.assert_serves(&server, &what);
            assert_eq!(board.contains("; its copy is used"), is_reported_again, "{what}: {board}");
        }
    }
}

#[test]
fn file_and_copy_of_passwords_are_damaged_and_no_older_password_logs_in() {
    let used = Used::new();
    let server = used.start_after(|state| {
        fs::write(state.join("passwords"), "").unwrap();
        fs::write(state.join("passwords.copy"), "\0").unwrap();
    });
    assert!(!may_log_in(&server, "my-own-1") && !may_log_in(&server, &used.old));
    assert!(server.log().contains("the password of admin is lost"), "{}", server.log());
    let server = Server::start_in(server.stop(), &device());
    assert!(server.log().contains("the password of admin is lost"), "{}", server.log());
    assert!(!may_log_in(&server, &used.old), "nor after another start");
    // An administrator of the machine sets another.
    let url = format!("unix:{}", server.local_socket());
    let set = run(
        &["ctl", "--url", &url, "call", "user/updatepassword", "username=admin", "password=new-one-1"],
        "",
    );
    assert_eq!(set.code, Some(0), "{set:?}");
    assert!(may_log_in(&server, "new-one-1"));
}

#[test]
fn all_other_files_and_copies_are_damaged_and_the_server_serves() {
    let used = Used::new();
    let names = ["enabled", "admin.toml", "tls/certificate.pem", "tls/key.pem"];
    let server = used.start_after(|state| {
        for name in names {
            fs::write(state.join(name), "\0").unwrap();
            fs::write(state.join(format!("{name}.copy")), "").unwrap();
        }
    });
    let password = first_password(&server);
    assert!(may_log_in(&server, &password), "the new administrator");
    assert_ne!(certificate(&server), used.certificate);
    assert!(server.log().contains("a temporary certificate serves"), "{}", server.log());
    let state = server.directory().path().join("state");
    assert!(names.iter().all(|name| state.join(format!("{name}.broken")).exists()));
}

#[test]
fn state_of_the_first_version_is_taken_over() {
    let used = Used::new();
    // Without first lines and copies.
    let server = used.start_after(|state| {
        for name in ["passwords", "enabled", "admin.toml"] {
            let text = fs::read_to_string(state.join(name)).unwrap();
            fs::write(state.join(name), text.split_once('\n').unwrap().1).unwrap();
        }
        FILES.iter().for_each(|name| fs::remove_file(state.join(format!("{name}.copy"))).unwrap());
    });
    let board = used.assert_serves(&server, "taken over");
    assert!(!board.contains("its copy is used"), "{board}");
    let directory = server.stop();
    FILES.iter().for_each(|name| cut(&directory.path().join("state").join(name), |len| len / 2));
    used.assert_serves(&Server::start_in(directory, &device()), "from the copies");
}

/// A server behind commands of a shell, such as `umask`.
pub(super) fn start_behind(directory: &Directory, commands: &str) -> Command {
    let mut command = behind(commands);
    command.args(["serve", "--config", &directory.file("friendlet.toml")]).env_remove("STATE_DIRECTORY");
    command
}

#[test]
fn state_directory_is_private_whatever_the_umask() {
    for umask in ["0000", "0177", "0777"] {
        let directory = Directory::new();
        directory.write("friendlet.toml", device().text(&directory.file("state")));
        let command = start_behind(&directory, &format!("umask {umask}"));
        let server = Server::start_command(directory, command);
        for name in ["state", "state/tls"] {
            let mode = fs::metadata(server.directory().file(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, 0o700, "{umask}: {name}");
        }
    }
}

/// Names and contents of the files below a directory.
fn tree(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
        match entry.is_dir() {
            true => files.extend(tree(&entry)),
            false => files.push((entry.clone(), fs::read(&entry).unwrap())),
        }
    }
    files.sort();
    files
}

#[test]
fn start_with_too_few_descriptors_sets_nothing_aside() {
    let used = Used::new();
    let directory = used.directory;
    let state = directory.path().join("state");
    let before = tree(&state);
    for descriptors in 4..16 {
        let mut command = start_behind(&directory, &format!("ulimit -n {descriptors}"));
        let log = directory.file("log");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(fs::File::create(&log).unwrap());
        let mut server = command.spawn().unwrap();
        within(SOON, "the server serves or ends", || {
            let serves = fs::read_to_string(&log).unwrap().contains("listening on");
            (serves || server.try_wait().unwrap().is_some()).then_some(())
        });
        // An error without a process.
        let _ = kill_process(Pid::from_child(&server), Signal::TERM);
        server.wait().unwrap();
        assert_eq!(tree(&state), before, "{descriptors}: {}", fs::read_to_string(&log).unwrap());
    }
}

#[test]
fn second_server_on_a_state_directory_is_refused() {
    let server = Server::start(&device());
    let text = device().text(&server.directory().file("state"));
    let second = text.replace(".ctl\"", ".other\"");
    let file = server.directory().write("second.toml", second);
    for option in ["--config", "--fall-back"] {
        let arguments = if option == "--config" { vec![option] } else { vec![option, "--config"] };
        let run = run(&[&["serve"], &arguments[..], &[file.as_str()]].concat(), "");
        assert_eq!(run.code, Some(69), "{run:?}");
        let holder = format!("is in use by process {}", server.pid());
        assert!(run.stderr.contains(&holder), "{run:?}");
    }
}
