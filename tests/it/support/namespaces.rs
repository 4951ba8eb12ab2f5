//! A board and a server, each in a network of its own, with a cable between them.

use std::fs::File;
use std::process::{self, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use rustix::fd::AsFd as _;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// Two network namespaces, gone with this value and all that is in them.
pub(crate) struct Namespaces {
    pub(crate) board: String,
    server: String,
}

impl Namespaces {
    /// `None` where this user may not make them. Root can, and it is an error when not.
    pub(crate) fn new() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("NOT TESTED: only root may make network namespaces");
            return None;
        }
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = |side: &str| format!("friendlet-{}-{number}-{side}", process::id());
        let namespaces = Self { board: name("board"), server: name("server") };
        ip(&["netns", "add", &namespaces.board]);
        ip(&["netns", "add", &namespaces.server]);
        // Both are as on a board without any other init: a new namespace has the settings of its host.
        for side in [&namespaces.board, &namespaces.server] {
            let open = "for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 > $f; done";
            ip(&["netns", "exec", side, "sh", "-c", open]);
        }
        Some(namespaces)
    }

    /// Lays the cable: `eth0` on the board, `server0` at 192.0.2.1/24.
    pub(crate) fn plug(&self) {
        let (board, server) = (&*self.board, &*self.server);
        ip(&["-n", board, "link", "add", "eth0", "type", "veth", "peer", "name", "server0", "netns", server]);
        ip(&["-n", server, "address", "add", "192.0.2.1/24", "dev", "server0"]);
        self.set_carrier("up");
    }

    /// Takes the whole interface away.
    pub(crate) fn unplug(&self) {
        ip(&["-n", &self.server, "link", "delete", "server0"]);
    }

    /// `up` or `down` of the other end.
    pub(crate) fn set_carrier(&self, state: &str) {
        ip(&["-n", &self.server, "link", "set", "server0", state]);
        if state == "up" {
            ip(&["-n", &self.server, "route", "replace", "255.255.255.255", "dev", "server0"]);
        }
    }

    /// What `ip` tells of the board, words with one blank between them.
    pub(crate) fn board(&self, arguments: &[&str]) -> String {
        let told = ip(&[&["-n", self.board.as_str(), "-4", "-oneline"], arguments].concat());
        told.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// Runs something in the server's network, such as the opening of a socket.
    pub(crate) fn at_server<T: Send>(&self, run: impl FnOnce() -> T + Send) -> T {
        let file = File::open(format!("/run/netns/{}", self.server)).unwrap();
        // A thread of its own, for it stays there.
        thread::scope(|scope| {
            let there = scope.spawn(|| {
                move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
                run()
            });
            there.join().unwrap()
        })
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        for side in [&self.board, &self.server] {
            let _ = Command::new("ip").args(["netns", "delete", side]).output();
        }
    }
}

/// Runs `ip` and returns what it says.
#[track_caller]
fn ip(arguments: &[&str]) -> String {
    let output = Command::new("ip").args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("ip: {error}; the tests of networks need iproute2"));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {}: {told}", arguments.join(" "));
    String::from_utf8(output.stdout).unwrap()
}
