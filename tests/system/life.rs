//! First start, port, and environment of the process.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use crate::support::device::ADMIN;
use crate::support::directory::Directory;
use crate::support::machine::first_password;
use crate::support::server::{friendlet, run};
use crate::support::wait::SOON;
use crate::support::{Device, Server, process};

/// A configuration file that names no user.
fn without_users() -> Device {
    Device { tables: String::new(), ..Device::new() }
}

#[test]
fn first_start_creates_an_administrator_whose_password_is_in_a_private_file_alone() {
    let server = Server::start(&without_users());
    let password = first_password(&server);
    assert!(password.len() >= 12, "{password}");
    assert_eq!(server.login("admin", &password).len(), 40);
    assert!(!server.log().contains(&password), "a log has more readers");
    let file = server.directory().file("state/first-password");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    fs::remove_file(file).unwrap();
    // Only the hash is kept elsewhere.
    let mut directories = vec![server.directory().path().to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.is_file() {
                let bytes = fs::read(&path).unwrap();
                assert!(!String::from_utf8_lossy(&bytes).contains(&password), "{}", path.display());
            }
        }
    }
    let again = Server::start_in(server.stop(), &without_users());
    assert!(!again.log().contains("made the administrator"), "{}", again.log());
    assert_eq!(again.login("admin", &password).len(), 40, "the same one still counts");
    // Another device has another password.
    assert_ne!(first_password(&Server::start(&without_users())), password);
}

#[test]
fn second_server_on_the_same_port_creates_no_file() {
    let one = Server::start(&without_users());
    let directory = Directory::new();
    let mut device = without_users();
    device.address = one.address().to_string();
    let file = directory.write("friendlet.toml", device.text(&directory.file("state")));
    let run = run(&["serve", "--config", &file], "");
    assert_eq!(run.code, Some(69), "{run:?}");
    assert!(run.stderr.contains("cannot listen on") && !run.stderr.contains("password"), "{run:?}");
    assert!(!std::path::Path::new(&directory.file("state")).exists());
}

#[test]
fn no_user_is_created_where_the_file_has_users() {
    let server = Server::start(&Device::new());
    assert!(!server.log().contains("made the administrator"), "{}", server.log());
    assert!(!std::path::Path::new(&server.directory().file("state/first-password")).exists());
}

#[test]
fn port_0_is_a_free_port() {
    let (one, two) = (Server::start(&Device::plain()), Server::start(&Device::plain()));
    assert_ne!(one.address().port(), 0);
    assert_ne!(one.address().port(), two.address().port());
    let lines = one.log().lines().filter(|line| line.contains("listening on http://127.0.0.1:")).count();
    assert_eq!(lines, 1);
}

#[test]
fn ipv6_is_supported() {
    let mut device = Device::new();
    device.address = "[::1]:0".to_owned();
    let server = Server::start(&device);
    assert!(server.address().is_ipv6());
    server.bound(ADMIN).service("start", "hello");
}

#[test]
fn address_in_use_is_an_error() {
    let server = Server::start(&Device::plain());
    let mut device = Device::plain();
    device.address = server.address().to_string();
    let directory = Directory::new();
    let file = directory.write("friendlet.toml", device.text(&directory.file("state")));
    let output = friendlet().args(["serve", "--config", &file]).output().unwrap();
    assert!(!output.status.success());
    let reported = String::from_utf8_lossy(&output.stderr);
    assert!(reported.contains(&device.address), "{reported}");
}

#[test]
fn serve_is_the_default_and_uses_the_state_directory_of_systemd() {
    let directory = Directory::new();
    let text = Device::plain().text("").replace("dir = \"\"", "");
    let file = directory.write("friendlet.toml", text);
    let state = directory.file("given");
    let mut command = friendlet();
    command.args(["--config", &file]).env("STATE_DIRECTORY", &state);
    let server = Server::start_command(directory, command);
    server.call("services/hello/install");
    assert!(fs::read_dir(&state).unwrap().count() > 0, "nothing was kept in {state}");
}

#[test]
fn threads_and_descriptors_do_not_grow() {
    let server = Server::start(&Device::new());
    server.login("fadmin", "secret");
    let threads = process::status(server.pid(), "Threads");
    assert!(threads <= 4, "{threads} threads");
    let descriptors = process::descriptors(server.pid());
    for _ in 0..30 {
        server.login("fadmin", "secret");
        server.call("services/hello/start");
        server.call("services/hello/stop");
    }
    assert_eq!(process::status(server.pid(), "Threads"), threads);
    crate::support::wait::until("as many descriptors as before", || {
        process::descriptors(server.pid()) <= descriptors
    });
}

#[test]
fn built_in_service_writes_a_line_a_second_and_ends_on_term() {
    let child = friendlet().arg("hello").stdout(std::process::Stdio::piped()).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(2500));
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let lines = String::from_utf8_lossy(&output.stdout).lines().count();
    assert!((2..=4).contains(&lines), "{lines} lines");
}

#[test]
fn children_inherit_nothing_of_the_server() {
    let server = Server::start(&Device::plain());
    let mut sockets: Vec<_> = (0..5).map(|_| server.bound(ADMIN)).collect();
    sockets[0].service("start", "hello");
    let hello = crate::support::wait::within(SOON, "hello runs", || server.services().first().copied());
    // What the server was itself given at its start is not its own: sockets and its helpers are.
    let of_the_server = |path: &str| path.starts_with("socket:") || path.starts_with("anon_inode:");
    crate::support::wait::until("it has nothing of the server", || {
        let open = process::open_files(hello);
        !open.is_empty() && !open.iter().any(|path| of_the_server(path))
    });
    assert!(process::open_files(server.pid()).iter().any(|path| of_the_server(path)));
}
