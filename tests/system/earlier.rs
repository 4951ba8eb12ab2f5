//! State that passes between this program and an earlier version, which `FRIENDLET_EARLIER` names: forth by an upgrade, and
//! back by a roll-back.

use std::env;
use std::path::Path;
use std::process::Command;

use friendlet::net::tls::{Names, public_key};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::services::{OK, status, until_state};
use crate::support::device::{ADMIN, Device, shell};
use crate::support::directory::Directory;
use crate::support::http::session_of;
use crate::support::server::{Server, friendlet};

/// The key of the local socket, which the earlier version does not know.
fn without_socket(text: &str) -> String {
    text.lines().filter(|line| !line.starts_with("socket = ")).map(|line| line.to_owned() + "\n").collect()
}

/// Starts one of the versions in a directory that the other one may have left.
fn start(directory: Directory, device: &Device, is_earlier: bool) -> Server {
    let mut text = device.text(&directory.file("state"));
    let mut command = friendlet();
    if is_earlier {
        text = without_socket(&text);
        command = Command::new(env::var_os("FRIENDLET_EARLIER").expect("FRIENDLET_EARLIER is a program"));
    }
    command
        .args(["serve", "--config", &directory.write("friendlet.toml", text)])
        .env_remove("STATE_DIRECTORY");
    if is_earlier {
        return Server::start_without_keeper(directory, command);
    }
    Server::start_command(directory, command)
}

/// Returns true if the guest logs in with this password.
fn is_password(server: &Server, password: &str) -> bool {
    let form = format!("username=guest&password={password}&deviceid=x");
    session_of(&server.post("/system.library/login", &form).body).is_some()
}

#[test]
#[ignore = "needs a program of an earlier version"]
fn state_of_the_first_version_is_taken_over_and_a_roll_back_serves() {
    let device =
        Device::new().with(&(shell("one", "exec sleep 1000", "") + &shell("two", "exec sleep 1000", "")));
    let mut directory = Directory::new();
    let (mut pinned, mut password) = (None, "guest".to_owned());
    let enabled = [
        ("one", "install"),
        ("two", "install"),
        ("one", "uninstall"),
        ("one", "install"),
        ("two", "uninstall"),
    ];
    let mut is_enabled = [("one", false), ("two", false)];
    for (number, (service, verb)) in enabled.into_iter().enumerate() {
        let server = start(directory, &device, number % 2 == 0);
        let tls = Path::new(&server.config_file()).with_file_name("state/tls");
        // This version makes another certificate, with its names and the same key, which the earlier one serves, too.
        let certificate = CertificateDer::from_pem_file(tls.join("certificate.pem")).unwrap();
        let key = public_key(&certificate).map(<[u8]>::to_vec);
        assert_eq!(*pinned.get_or_insert_with(|| key.clone()), key, "after {number} versions");
        assert!(
            number == 0 || Names::of(&certificate).to_string().contains(".local"),
            "after {number} versions"
        );
        assert!(is_password(&server, &password), "after {number} versions");
        for (name, starts) in is_enabled {
            if starts {
                until_state(&server, name, "started");
            }
            assert_eq!(status(&server, name).state == "started", starts, "{name} after {number} versions");
        }
        assert_eq!(server.call(&format!("services/{service}/{verb}")), OK);
        is_enabled.iter_mut().filter(|(name, _)| *name == service).for_each(|row| row.1 = verb == "install");
        let later = format!("password{number}");
        let form = format!("sessionid={ADMIN}&username=guest&password={later}");
        let changed = server.post("/system.library/user/updatepassword", &form).body;
        assert!(changed.contains("success!"), "{changed}");
        assert!(!is_password(&server, &password));
        password = later;
        directory = server.stop();
    }
}
