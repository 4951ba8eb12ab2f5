//! A stack as on a board, of real programs: a broker, a program that requires it, a web server, a job, and what
//! prepares a directory for them.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

use super::ordering::assert_order;
use super::services::{OK, status, until_state};
use crate::support::device::ADMIN;
use crate::support::directory::Directory;
use crate::support::wait::{SOON, until};
use crate::support::{Device, Server, process};

const PROGRAMS: [&str; 3] = ["/usr/bin/python3", "/usr/sbin/lighttpd", "/usr/sbin/mosquitto"];
const SERVICES: &str = include_str!("stack/services.toml");
/// Files of the programs.
const FILES: [(&str, &str); 5] = [
    ("mqtt.py", include_str!("stack/mqtt.py")),
    ("broker.conf", include_str!("stack/broker.conf")),
    ("web.conf", include_str!("stack/web.conf")),
    ("first.html", "the first page"),
    ("second.html", "the second page"),
];
/// Runs of less than 10 s of the broker, after which it fails for good.
const START_LIMIT: usize = 2;

/// The server with its stack.
struct Stack {
    server: Server,
    directory: Directory,
    web_port: u16,
}

impl Stack {
    /// Starts all of it, and waits until its last services are ready.
    fn start() -> Self {
        for program in PROGRAMS {
            assert!(Path::new(program).exists(), "{program} is missing: `cargo xtask setup` installs it");
        }
        let directory = Directory::new();
        // Free a moment ago.
        let listeners = [(); 2].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
        let [broker_port, web_port] = listeners.map(|listener| listener.local_addr().unwrap().port());
        let replaced = |text: &str| {
            text.replace("DIRECTORY/", &directory.file(""))
                .replace("BROKER_PORT", &broker_port.to_string())
                .replace("WEB_PORT", &web_port.to_string())
                .replace("START_LIMIT", &START_LIMIT.to_string())
                .replace("NAME", name(&directory))
        };
        for (name, text) in FILES {
            directory.write(name, replaced(text));
        }
        let server = Server::start(&Device::plain().with(&replaced(SERVICES)));
        let stack = Self { server, directory, web_port };
        until_state(&stack.server, "job", "finished");
        until("the web server is ready", || stack.is_ready("web"));
        stack
    }

    fn is_ready(&self, name: &str) -> bool {
        self.server.call(&format!("services/{name}/status")).contains("\"Ready\": true")
    }

    fn log_of(&self, name: &str) -> String {
        self.server.call(&format!("services/{name}/log"))
    }

    /// Kills the broker, which runs. Returns its pid.
    fn kill_broker(&self) -> u32 {
        let pid = status(&self.server, "broker").pid;
        kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), Signal::KILL).unwrap();
        pid
    }

    /// Processes of the services.
    fn processes(&self) -> Vec<u32> {
        process::with(&self.directory.file(""))
    }

    /// State, runtime and log directory of the web server.
    fn created(&self) -> [String; 3] {
        ["/var/lib", "/run", "/var/log"].map(|parent| format!("{parent}/{}", name(&self.directory)))
    }

    /// The page that the web server answers with.
    fn page(&self) -> String {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.web_port)).unwrap();
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{answer}");
        answer.rsplit("\r\n").next().unwrap().to_owned()
    }
}

/// Name that no other stack has.
fn name(directory: &Directory) -> &str {
    directory.path().file_name().unwrap().to_str().unwrap()
}

impl Drop for Stack {
    fn drop(&mut self) {
        for path in self.created() {
            let _ = fs::remove_dir_all(path);
        }
    }
}

#[test]
fn stack_starts_in_order_and_stops_in_reverse() {
    let mut stack = Stack::start();
    let prepared = "prepare: exited, exit 0";
    let order =
        [prepared, "broker: started", "broker: ready", "panel: started", "panel: ready", "job: started"];
    assert_order(&stack.server, &order);
    assert_order(&stack.server, &[prepared, "web: started", "web: ready"]);
    assert!(["broker", "panel", "web"].iter().all(|name| stack.is_ready(name)));
    assert_eq!(status(&stack.server, "job").last_exit, "exit 0");
    until("the message of the job has arrived", || stack.log_of("panel").contains("received 21.5 degrees"));
    until("it has run on schedule", || stack.log_of("panel").matches("received a reading").count() >= 2);

    assert!(!stack.processes().is_empty());
    stack.server.signal(Signal::TERM);
    assert_eq!(stack.server.wait(SOON).code(), Some(0), "{}", stack.server.log());
    assert_eq!(stack.processes(), [0; 0]);
    // The broker still accepts what the panel publishes at its end.
    assert_order(&stack.server, &["stopping", "panel: exited, exit 0", "broker: exited, exit 0"]);
    assert_order(&stack.server, &["stopping", "web: exited, exit 0"]);
    assert!(fs::exists(stack.directory.file("kept/mosquitto.db")).unwrap(), "the broker has stored its data");
}

#[test]
fn broker_that_is_killed_comes_back_until_it_fails_for_good() {
    let stack = Stack::start();
    let server = &stack.server;
    let killed = stack.kill_broker();
    until("the panel is restarted", || status(server, "panel").restarts > 0);
    until("the panel is ready again", || stack.is_ready("panel"));
    let [broker, panel] = ["broker", "panel"].map(|name| status(server, name));
    assert_eq!((broker.restarts, broker.last_exit.as_str()), (1, "signal 9"));
    assert_eq!(panel.last_exit, "exit 1");
    assert!(broker.pid != killed && stack.log_of("panel").contains("lost the broker"));

    // Once more, unless the broker has run for long meanwhile.
    let mut killed = stack.kill_broker();
    until("the broker has failed for good", || {
        let broker = status(server, "broker");
        if broker.state == "started" && broker.pid != killed {
            killed = stack.kill_broker();
        }
        broker.state == "failed"
    });
    until_state(server, "panel", "failed");
    assert!(server.call("services/panel/status").contains("\"requires broker, which does not run\""));
    let failed = format!("broker: failed, {START_LIMIT} short runs in a row");
    assert_order(server, &[&failed, "panel: stopping, it requires broker, which does not run"]);
    assert_eq!(server.call("services/panel/start"), OK);
    until("both are ready", || ["broker", "panel"].iter().all(|name| stack.is_ready(name)));
    assert_order(server, &[&failed, "broker: starting, panel requires it"]);
}

#[test]
fn web_server_answers_while_it_reloads() {
    let stack = Stack::start();
    let pid = status(&stack.server, "web").pid;
    assert_eq!(stack.page(), "the first page");
    let file = stack.directory.file("web.conf");
    fs::write(&file, fs::read_to_string(&file).unwrap().replace("first", "second")).unwrap();
    let command = "/system.library/services/web/command";
    assert_eq!(stack.server.post(command, &format!("sessionid={ADMIN}&cmd=reload")).body, OK);
    // Each request has an answer meanwhile.
    until("the file is in force", || stack.page() == "the second page");
    assert_eq!((status(&stack.server, "web").pid, status(&stack.server, "web").restarts), (pid, 0));

    let user = process::status(pid, "Uid");
    assert_ne!(user, 0);
    let directories @ [_, run, log] = &stack.created();
    assert!(directories.iter().all(|path| u64::from(fs::metadata(path).unwrap().uid()) == user));
    assert_eq!(fs::read_to_string(format!("{run}/pid")).unwrap().trim(), pid.to_string());
    assert_eq!(fs::read_to_string(format!("{log}/errors")).unwrap().matches("server started").count(), 2);
}
