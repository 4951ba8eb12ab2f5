//! A board and a server, each in a network of its own, with a cable between them. A plain user may make
//! them: they lie in a user namespace, in which the test runs in a process of its own.

use std::any::type_name;
use std::fs::File;
use std::process::Command;
use std::{env, thread};

use rustix::fd::AsFd as _;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Set in the process that runs one test in namespaces of its own.
const INSIDE: &str = "FRIENDLET_TEST_NAMESPACES";
/// Makes a directory for the names of networks, `/run/netns`, and becomes the test.
const ENTER: &str = "mount -t tmpfs tmpfs /run && exec \"$@\"";
const BOARD: &str = "board";
const SERVER: &str = "server";

/// Runs a test, which is its caller's closure, in namespaces of its own.
#[track_caller]
pub(crate) fn run<F: FnOnce(&Namespaces)>(test: F) {
    if env::var_os(INSIDE).is_some() {
        test(&Namespaces::new());
    } else {
        run_inside(type_name::<F>());
    }
}

/// The same with one network, that of the test: a loopback on which every port is free.
#[track_caller]
pub(crate) fn run_alone<F: FnOnce()>(test: F) {
    if env::var_os(INSIDE).is_some() {
        ip(&["link", "set", "lo", "up"]);
        test();
    } else {
        run_inside(type_name::<F>());
    }
}

/// Runs the test with this closure alone, as root of a new user namespace.
#[track_caller]
fn run_inside(closure: &str) {
    let test = closure.trim_start_matches("it::").trim_end_matches("::{{closure}}");
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--net", "--uts", "--mount", "sh", "-c", ENTER, "sh"]);
    command.arg(env::current_exe().unwrap()).args(["--exact", "--include-ignored", test]).env(INSIDE, "1");
    let output = command.output().unwrap_or_else(|error| panic!("unshare: {error}"));
    let [reported, errors] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    assert!(output.status.success() && reported.contains("1 passed"), "{reported}{errors}");
}

/// Two network namespaces; they go with the process of the test.
pub(crate) struct Namespaces(());

impl Namespaces {
    fn new() -> Self {
        for side in [BOARD, SERVER] {
            ip(&["netns", "add", side]);
            // As on a board without any other init: a new namespace has the settings of its host.
            let open = "for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 > $f; done";
            let status = inside(side, "sh").args(["-c", open]).status().unwrap();
            assert!(status.success(), "{side}: {status}");
        }
        Self(())
    }

    /// Lays the cable: `eth0` on the board, `server0` at 192.0.2.1/24.
    pub(crate) fn plug(&self) {
        ip(&["-n", BOARD, "link", "add", "eth0", "type", "veth", "peer", "name", "server0", "netns", SERVER]);
        ip(&["-n", SERVER, "address", "add", "192.0.2.1/24", "dev", "server0"]);
        self.set_carrier("up");
    }

    /// Takes the whole interface away.
    pub(crate) fn unplug(&self) {
        ip(&["-n", SERVER, "link", "delete", "server0"]);
    }

    /// `up` or `down` of the other end.
    pub(crate) fn set_carrier(&self, state: &str) {
        ip(&["-n", SERVER, "link", "set", "server0", state]);
        if state == "up" {
            ip(&["-n", SERVER, "route", "replace", "255.255.255.255", "dev", "server0"]);
        }
    }

    /// Returns whether the kernel sends by the server's end: it begins some time after both ends have a carrier.
    pub(crate) fn is_server_up(&self) -> bool {
        ip(&["-n", SERVER, "link", "show", "server0"]).contains(" state UP ")
    }

    /// A command in the board's network.
    pub(crate) fn on_board(&self, program: &str) -> Command {
        inside(BOARD, program)
    }

    /// A command in the server's network.
    pub(crate) fn on_server(&self, program: &str) -> Command {
        inside(SERVER, program)
    }

    /// Lays the cable with an address of the board, too.
    pub(crate) fn plug_with(&self, address: &str) {
        self.plug();
        // Each side looks for its own server, too.
        for (side, link) in [(BOARD, "eth0"), (BOARD, "lo"), (SERVER, "lo")] {
            ip(&["-n", side, "link", "set", link, "up"]);
        }
        self.board(&["address", "add", address, "dev", "eth0"]);
    }

    /// Returns the output of `ip` for the board, words with one blank between them.
    pub(crate) fn board(&self, arguments: &[&str]) -> String {
        let reported = ip(&[&["-n", BOARD, "-4", "-oneline"], arguments].concat());
        reported.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// Runs something in the server's network, such as the opening of a socket.
    pub(crate) fn at_server<T: Send>(&self, run: impl FnOnce() -> T + Send) -> T {
        at(SERVER, run)
    }

    /// The same in the board's network.
    pub(crate) fn at_board<T: Send>(&self, run: impl FnOnce() -> T + Send) -> T {
        at(BOARD, run)
    }
}

fn at<T: Send>(side: &str, run: impl FnOnce() -> T + Send) -> T {
    let file = File::open(path(side)).unwrap();
    // A thread of its own, for it stays there.
    thread::scope(|scope| {
        let there = scope.spawn(|| {
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            run()
        });
        there.join().unwrap()
    })
}

fn path(side: &str) -> String {
    format!("/run/netns/{side}")
}

/// A command in the network of one side.
fn inside(side: &str, program: &str) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net={}", path(side))).arg(program);
    command
}

/// Runs `ip` and returns what it says.
#[track_caller]
pub(crate) fn ip(arguments: &[&str]) -> String {
    let output = Command::new("ip").args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("ip: {error}; the tests of networks need iproute2"));
    let reported = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {}: {reported}", arguments.join(" "));
    String::from_utf8(output.stdout).unwrap()
}
