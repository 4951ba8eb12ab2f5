//! Service that reports about itself, for the tests of order and readiness.
//!
//! Each argument is a step: `sleep:MILLISECONDS`, `write:FILE`, or a datagram to `NOTIFY_SOCKET`. It ends after
//! the last one.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::thread::sleep;
use std::time::Duration;

fn main() {
    let socket = std::env::var("NOTIFY_SOCKET").expect("NOTIFY_SOCKET");
    let name = socket.strip_prefix('@').expect("an abstract name");
    let address = SocketAddr::from_abstract_name(name).expect("an address");
    for step in std::env::args().skip(1) {
        match step.split_once(':') {
            Some(("sleep", millis)) => sleep(Duration::from_millis(millis.parse().expect("a number"))),
            Some(("write", file)) => std::fs::write(file, "done\n").expect("a file"),
            _ => {
                let datagram = step.replace("$$", &std::process::id().to_string());
                let sent =
                    UnixDatagram::unbound().and_then(|own| own.send_to_addr(datagram.as_bytes(), &address));
                sent.expect("a keeper that listens");
            }
        }
    }
}
