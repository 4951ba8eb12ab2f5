//! Attributes of the processes of a service, from the configuration file to the process.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use super::services::{OK, start, status, until_state};
use crate::support::device::{service, shell};
use crate::support::directory::Directory;
use crate::support::hanging_mount::{self, HangingMount};
use crate::support::wait::until;
use crate::support::{Device, Server};

#[test]
fn keys_of_the_file_reach_the_process() {
    let directory = Directory::new();
    let (seen, env_file) = (directory.file("seen"), directory.write("web.env", "A=file\nB=file\n"));
    let script = format!(
        "umask 077; (nice; ulimit -Hn; cat /proc/$$/oom_score_adj; echo $A $B) > {seen}; exec sleep 1000"
    );
    let keys = format!(
        "nice = 11\noom_score = 200\nlimits = {{ nofile = 99 }}\nenv_file = '{env_file}'\nenv = {{ A = 'key' }}"
    );
    let server = Server::start(&Device::plain().with(&shell("web", &script, &keys)));
    start(&server, "web");
    let text = || std::fs::read_to_string(&seen).unwrap_or_default();
    until("it has written", || text().ends_with("file\n"));
    assert_eq!(text(), "11\n99\n200\nkey file\n");
}

#[test]
fn plain_user_opens_the_pipes_of_its_service() {
    let script = "echo one > /dev/stderr; echo two > /dev/stdout; echo > /proc/self/fd/3; exec sleep 1000";
    let keys = "user = 'nobody'\nready = 'fd:3'";
    let server = Server::start(&Device::plain().with(&shell("web", script, keys)));
    start(&server, "web");
    until("it is ready", || server.call("services/web/status").contains("\"Ready\": true"));
    let log = server.call("services/web/log");
    assert!(log.contains("one") && log.contains("two"), "{log}");
}

#[test]
fn answer_of_a_start_names_what_cannot_be_set() {
    let tables = [
        shell("member", "true", "groups = ['no-such-group']"),
        shell("web", "true", "env_file = '/no/such/web.env'"),
    ];
    let server = Server::start(&Device::plain().with(&tables.concat()));
    for (name, text) in [
        ("member", "group 'no-such-group' does not exist"),
        ("web", "cannot read environment file /no/such/web.env: No such file or directory"),
    ] {
        let answer = server.call(&format!("services/{name}/start"));
        assert!(answer.contains(text), "{answer}");
        assert_eq!(status(&server, name).state, "failed");
    }
}

#[test]
fn environment_file_that_hangs_delays_its_service_alone() {
    let directory = Directory::new();
    let point = directory.path().join("mount");
    std::fs::create_dir(&point).unwrap();
    let mount = HangingMount::new(&point);
    let keys = format!("env_file = '{}/{}'\nautostart = true", point.display(), hanging_mount::HANGS);
    let server = Server::start(&Device::plain().with(&shell("web", "true", &keys)));
    until("it hangs", || mount.hanging() > 0);
    start(&server, "hello");
    assert_eq!(status(&server, "web").state, "starting");
    assert_eq!(server.call("services/web/stop"), OK);
    drop(mount);
    until_state(&server, "web", "stopped");
}

#[test]
fn environment_file_that_is_a_pipe_fails_the_start() {
    let directory = Directory::new();
    let pipe = directory.file("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let keys = format!("env_file = '{pipe}'");
    let server = Server::start(&Device::plain().with(&shell("web", "true", &keys)));
    let answer = server.call("services/web/start");
    let reason = format!("web: cannot read environment file {pipe}, which is not a regular file\"");
    assert!(answer.contains(&reason), "{answer}");
}

#[test]
fn private_tmp_is_empty_and_seen_by_its_service_alone() {
    let name = format!("friendlet-private-{}", std::process::id());
    let script =
        format!("ls -A /tmp; echo secret > /tmp/{name}; stat -f -c %T /tmp; echo done; exec sleep 1000");
    let server = Server::start(&Device::plain().with(&shell("web", &script, "private_tmp = true")));
    start(&server, "web");
    until("it has written", || server.call("services/web/log").contains("done"));
    let log = server.call("services/web/log");
    assert!(log.contains(r#"["tmpfs","done"]"#) && !log.contains("friendlet-"), "{log}");
    assert!(!std::path::Path::new("/tmp").join(name).exists());
}

#[test]
fn env_file_in_the_common_tmp_is_read_by_a_service_with_its_own() {
    let directory = Directory::new();
    let file = directory.write("web.env", "A=from the file\n");
    assert!(file.starts_with("/tmp/"), "{file}");
    let keys = format!("private_tmp = true\nenv_file = '{file}'");
    let server = Server::start(&Device::plain().with(&shell("web", "echo $A; exec sleep 1000", &keys)));
    start(&server, "web");
    until("it has it", || server.call("services/web/log").contains("from the file"));
}

#[test]
fn check_warns_of_programs_that_a_private_tmp_hides() {
    let directory = Directory::new();
    let program = directory.write("web", "#!/bin/sh\nexec sleep 1000\n");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let device = Device::plain().with(&service("web", &[&program], "private_tmp = true"));
    let file = directory.write("friendlet.toml", device.text(&directory.file("state")));
    let run = crate::support::server::run(&["check", &file], "");
    let warning = format!(
        "web: command: {program}: it is in the common /tmp, and the service has its own (private_tmp)"
    );
    assert!(run.stdout.contains(&warning), "{run:?}");
    // And so it is.
    let server = Server::start(&device);
    assert!(server.call("services/web/start").contains("No such file or directory"));
}

#[test]
fn read_only_service_writes_to_its_own_directories_alone() {
    let name = format!("friendlet-read-only-{}", std::process::id());
    let script = "t() { (echo x > $1/x) 2> /dev/null && echo $2 yes || echo $2 no; }; t / root; t /run run; \
         t /usr usr; t $STATE_DIRECTORY state; t /tmp tmp; echo x > /dev/null && echo done; exec sleep 1000";
    let keys = format!("read_only = true\nprivate_tmp = true\nstate_directory = '{name}'");
    let server = Server::start(&Device::plain().with(&shell("web", script, &keys)));
    start(&server, "web");
    until("it has tried all", || server.call("services/web/log").contains("done"));
    let log = server.call("services/web/log");
    std::fs::remove_dir_all(std::path::Path::new("/var/lib").join(name)).unwrap();
    for expected in ["root no", "run no", "usr no", "state yes", "tmp yes"] {
        assert!(log.contains(expected), "{expected}: {log}");
    }
}
