//! Passwords that are changed over the wire.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

use rustix::process::Signal;

use super::damage::start_behind;
use crate::support::device::{ADMIN, GUEST, accounts, hashed, user};
use crate::support::directory::Directory;
use crate::support::http::{login_form, session_of};
use crate::support::machine::first_password;
use crate::support::server::friendlet;
use crate::support::wait::SOON;
use crate::support::{Device, Server};

const OK: &str = r#"ok<!--separate-->{ "updatepassword": "success!"}"#;

fn change(server: &Server, form: &str) -> String {
    server.post("/system.library/user/updatepassword", form).body
}

fn may_log_in(server: &Server, user: &str, password: &str) -> bool {
    session_of(&server.post("/system.library/login", &login_form(user, password)).body).is_some()
}

/// Ends a server as a power cut does.
fn cut(mut server: Server) -> Directory {
    server.signal(Signal::KILL);
    server.wait(SOON);
    server.take_directory()
}

fn device() -> Device {
    Device::plain().session("lockout_attempts = 100")
}

#[test]
fn changed_password_survives_a_power_cut() {
    let server = Server::start(&device());
    let session = server.login("guest", "guest");
    let asked = format!("sessionid={session}&oldpassword=guest&password=better-1");
    assert_eq!(change(&server, &asked), OK);
    let directory = cut(server);
    let server = Server::start_in(directory, &device());
    for (password, is_right) in [("guest", false), ("better-1", true), (&hashed("better-1"), true)] {
        assert_eq!(may_log_in(&server, "guest", password), is_right, "{password}");
    }
    assert!(may_log_in(&server, "fadmin", "secret"));
    // Once more, hashed as Friend Core's client does, and by an administrator.
    let asked = format!("sessionid={ADMIN}&username=guest&password={}", hashed("the best"));
    assert_eq!(change(&server, &asked), OK);
    let server = Server::start_in(cut(server), &device());
    assert!(may_log_in(&server, "guest", "the best") && !may_log_in(&server, "guest", "better-1"));
    let directory = server.stop();
    let kept = fs::read_to_string(directory.file("state/passwords")).unwrap();
    assert!(kept.contains("\nguest $pbkdf2-sha256$") && kept.lines().count() == 2, "{kept}");
}

#[test]
fn other_sessions_end_and_their_sockets_are_notified() {
    let server = Server::start(&device());
    let sessions = ["a", "b"].map(|device| {
        let form = format!("username=guest&password=guest&deviceid={device}");
        session_of(&server.post("/system.library/login", &form).body).unwrap()
    });
    let mut sockets = sessions.each_ref().map(|session| server.bound(session));
    let asked = format!("sessionid={}&oldpassword=guest&password=better-1", sessions[0]);
    assert_eq!(change(&server, &asked), OK);
    assert!(sockets[1].push("server-notice").contains("session killed"));
    assert_eq!(sockets[0].text_after_probe(), None);
    let list = |session: &str| server.post("/system.library/services/list", &format!("sessionid={session}"));
    assert_eq!((list(&sessions[0]).status, list(&sessions[1]).status), (200, 403));
    // The device file's token is not a session.
    assert_eq!(list(GUEST).status, 200);
}

#[test]
fn wrong_old_password_changes_nothing_and_blocks() {
    let server = Server::start(&Device::plain());
    let session = server.login("guest", "guest");
    let asked = format!("sessionid={session}&oldpassword=Guest&password=better-1");
    for _ in 0..2 {
        assert!(change(&server, &asked).contains("Account blocked until: 0"));
    }
    let blocked = change(&server, &asked);
    assert!(blocked.contains(r#""code":"6""#) && !blocked.contains("until: 0"), "{blocked}");
    assert!(!may_log_in(&server, "guest", "guest"), "blocked");
    assert!(!fs::exists(server.directory().file("state/passwords")).unwrap());
}

#[test]
fn later_password_of_the_configuration_file_is_used_again() {
    let server = Server::start(&device());
    let asked = format!("sessionid={ADMIN}&oldpassword=secret&password=changed-1");
    assert_eq!(change(&server, &asked), OK);
    let directory = server.stop();
    // An administrator with access to the configuration file has forgotten the changed password.
    let forgotten = user("fadmin", "admin", "secret", "full_name = \"Friend Administrator\"");
    let known = user("fadmin", "admin", "known", "full_name = \"Friend Administrator\"");
    let mut other = device();
    other.tables = other.tables.replace(&forgotten, &known);
    assert!(accounts().contains(&forgotten) && !other.tables.contains(&forgotten));
    let server = Server::start_in(directory, &other);
    assert!(may_log_in(&server, "fadmin", "known") && !may_log_in(&server, "fadmin", "changed-1"));
    let server = Server::start_in(server.stop(), &device());
    assert!(may_log_in(&server, "fadmin", "changed-1"), "and with the old file the change counts still");
}

#[test]
fn administrator_of_the_first_start_changes_the_password() {
    let device = Device { tables: String::new(), ..device() };
    let server = Server::start(&device);
    let password = first_password(&server);
    let session = server.login("admin", &password);
    assert_eq!(
        change(&server, &format!("sessionid={session}&oldpassword={password}&password=mine-mine")),
        OK
    );
    let server = Server::start_in(cut(server), &device);
    assert!(may_log_in(&server, "admin", "mine-mine") && !may_log_in(&server, "admin", &password));
}

#[test]
fn change_that_cannot_be_stored_is_refused() {
    let server = Server::start(&device());
    // Something is in the way of the new file.
    fs::create_dir_all(server.directory().file("state/passwords/x")).unwrap();
    let asked = format!("sessionid={ADMIN}&username=guest&password=better-1");
    let refused = change(&server, &asked);
    assert!(refused.contains("Function updatepassword returned: 21"), "EISDIR: {refused}");
    assert!(may_log_in(&server, "guest", "guest") && !may_log_in(&server, "guest", "better-1"));
}

#[test]
fn change_whose_copy_stays_the_older_one_is_refused_at_this_start_and_the_next() {
    let server = Server::start(&device());
    let better = format!("sessionid={ADMIN}&username=guest&password=better-1");
    assert_eq!(change(&server, &better), OK);
    let state = server.directory().file("state");
    let copy = fs::read(format!("{state}/passwords.copy")).unwrap();
    // As of a file that nobody can remove.
    fs::remove_file(format!("{state}/passwords.copy")).unwrap();
    for name in ["", ".broken", ".broken.1"] {
        fs::create_dir_all(format!("{state}/passwords.copy{name}/x")).unwrap();
    }
    let best = format!("sessionid={ADMIN}&username=guest&password=best-best");
    assert!(change(&server, &best).contains("Function updatepassword returned: 21"));
    assert!(may_log_in(&server, "guest", "better-1") && !may_log_in(&server, "guest", "best-best"));
    let directory = cut(server);
    assert_eq!(fs::read(format!("{state}/passwords")).unwrap(), copy);
    let server = Server::start_in(directory, &device());
    assert!(may_log_in(&server, "guest", "better-1") && !may_log_in(&server, "guest", "best-best"));
}

#[test]
fn state_on_a_medium_that_is_not_mounted_lets_no_older_password_in() {
    let server = Server::start(&device());
    let asked = format!("sessionid={ADMIN}&username=guest&password=better-1");
    assert_eq!(change(&server, &asked), OK);
    let directory = server.stop();
    let (state, away) = (directory.file("state"), directory.file("away"));
    fs::rename(&state, &away).unwrap();
    symlink("medium/state", &state).unwrap();
    let mut command = friendlet();
    command.args(["serve", "--fall-back", "--config", &directory.file("friendlet.toml")]);
    command.env_remove("STATE_DIRECTORY");
    let server = Server::start_command(directory, command);
    assert!(!may_log_in(&server, "guest", "guest") && !may_log_in(&server, "guest", "better-1"));
    assert!(server.log().contains("the password of guest is lost"), "{}", server.log());
    let directory = server.stop();
    fs::remove_file(&state).unwrap();
    fs::rename(&away, &state).unwrap();
    assert!(may_log_in(&Server::start_in(directory, &device()), "guest", "better-1"), "the medium is back");
}

#[test]
fn changed_password_is_where_the_link_of_its_file_leads() {
    let server = Server::start(&device());
    let asked = |password| format!("sessionid={ADMIN}&username=guest&password={password}");
    assert_eq!(change(&server, &asked("better-1")), OK);
    let directory = server.stop();
    let medium = Directory::new();
    let [file, kept, away] = [directory.file("state/passwords"), medium.file("kept"), medium.file("away")];
    fs::rename(&file, &kept).unwrap();
    symlink(&kept, &file).unwrap();
    let server = Server::start_in(directory, &device());
    assert_eq!(change(&server, &asked("best-best")), OK);
    fs::rename(&kept, &away).unwrap();
    assert!(change(&server, &asked("worst-one")).contains("Function updatepassword returned: 2"), "ENOENT");
    fs::rename(&away, &kept).unwrap();
    let server = Server::start_in(cut(server), &device());
    assert!(may_log_in(&server, "guest", "best-best") && !may_log_in(&server, "guest", "worst-one"));
    assert!(fs::symlink_metadata(&file).unwrap().is_symlink());
}

#[test]
fn directory_without_rights_of_a_plain_user_lets_no_older_password_in() {
    let directory = Directory::new();
    directory.write("friendlet.toml", device().text(&directory.file("state")));
    chown(directory.path(), Some(65534), Some(65534)).unwrap();
    let start = |directory: Directory| {
        let user = "set -- setpriv --reuid=65534 --regid=65534 --clear-groups \"$@\"";
        let command = start_behind(&directory, user);
        Server::start_command(directory, command)
    };
    let set_mode = |directory: &Directory, mode| {
        fs::set_permissions(directory.file("state"), fs::Permissions::from_mode(mode)).unwrap();
    };
    let server = start(directory);
    let asked = format!("sessionid={ADMIN}&username=guest&password=better-1");
    assert_eq!(change(&server, &asked), OK);
    let directory = server.stop();
    set_mode(&directory, 0o600);
    let server = start(directory);
    assert!(!may_log_in(&server, "guest", "guest") && !may_log_in(&server, "guest", "better-1"));
    assert!(server.log().contains("the password of guest is lost"), "{}", server.log());
    let directory = server.stop();
    // Without a lock, another server may use it.
    set_mode(&directory, 0o300);
    let server = start(directory);
    assert!(may_log_in(&server, "guest", "better-1"));
    let board = server.post("/system.library/board/status", &format!("sessionid={ADMIN}")).body;
    assert!(board.contains("cannot lock the state directory"), "{board}");
}
