//! A server that is announced on its network, and those that look for it there: each in a network of its own, with a
//! cable between them.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use friendlet::mdns::MDNS_UNICASTS;
use friendlet::mdns::browse::{Found, QUESTION, visit_servers};
use friendlet::net::tls::Names;
use friendlet::sys::multicast::{IpVersion, MulticastSocket};
use rustix::process::Signal;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::Value;

use crate::support::directory::Directory;
use crate::support::namespaces::{self, Namespaces};
use crate::support::server::{friendlet, run_command, run_on};
use crate::support::wait::{SOON, until};
use crate::support::{Device, Server};

/// Address of the looking side.
const BOARD: &str = "192.0.2.20/24";
/// Those of the server that begin with this are the ones of the cable.
const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);

/// Configuration of a server at this address.
fn text(directory: &Directory, address: &str, keys: &str) -> String {
    let tls = !keys.contains("insecure");
    let device = Device { address: address.to_owned(), tls, ..Device::new().listen(keys) };
    device.text(&directory.file("state"))
}

/// Starts a server behind a command that enters a network.
fn serve(command: Command, address: &str, keys: &str) -> Server {
    serve_in(Directory::new(), command, address, keys)
}

fn serve_in(directory: Directory, mut command: Command, address: &str, keys: &str) -> Server {
    let file = directory.write("friendlet.toml", text(&directory, address, keys));
    command.args(["serve", "--config", &file]).env_remove("STATE_DIRECTORY");
    Server::start_command(directory, command)
}

fn program() -> String {
    friendlet().get_program().to_str().unwrap().to_owned()
}

/// Sockets in the board's network, of a client with a port of its own, and the index of `eth0` there.
fn client(namespaces: &Namespaces) -> ([MulticastSocket; 2], u32) {
    namespaces.at_board(|| {
        let sockets =
            [IpVersion::V4, IpVersion::V6].map(|version| MulticastSocket::open_client(version).unwrap());
        let index = rustix::net::netdevice::name_to_index(&sockets[0], "eth0").unwrap();
        (sockets, index)
    })
}

/// The servers that reply in the board's network within half a second.
fn found(namespaces: &Namespaces) -> Vec<Found> {
    let (sockets, index) = client(namespaces);
    for socket in &sockets {
        // Without an address of this IP version it fails.
        let _ = socket.send(QUESTION, index);
    }
    let begin = Instant::now();
    let (mut found, mut bytes) = (Vec::new(), [0; 1500]);
    while begin.elapsed() < Duration::from_millis(500) {
        match sockets.iter().find_map(|socket| socket.receive(&mut bytes).ok()) {
            Some((len, _)) => visit_servers(&bytes[..len], &mut |server| found.push(server)),
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    }
    found
}

/// Waits until a server is found that is this one.
#[track_caller]
fn until_one(namespaces: &Namespaces, what: &str, is_it: impl Fn(&Found) -> bool) {
    until(what, || found(namespaces).iter().any(&is_it));
}

/// Waits until the server of this port is found by this name.
#[track_caller]
fn until_found(namespaces: &Namespaces, name: &str, port: u16) {
    until_one(namespaces, name, |server| server.name == name && server.port == port);
}

/// First label of the host name.
fn host() -> String {
    let name = rustix::system::uname().nodename().to_str().unwrap().to_owned();
    name.split('.').next().unwrap().to_owned()
}

/// Messages on the board's network.
struct Listener(UdpSocket);

impl Listener {
    fn new(namespaces: &Namespaces) -> Self {
        namespaces.at_board(|| {
            use rustix::net::{AddressFamily, SocketAddrV4, SocketType, bind, socket, sockopt};
            let socket = socket(AddressFamily::INET, SocketType::DGRAM, None).unwrap();
            sockopt::set_socket_reuseaddr(&socket, true).unwrap();
            bind(&socket, &SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 5353)).unwrap();
            let socket = UdpSocket::from(socket);
            socket.join_multicast_v4(&GROUP, &Ipv4Addr::new(192, 0, 2, 20)).unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
            Self(socket)
        })
    }

    /// Next withdrawal within this time: a response whose first record is valid for no time.
    fn withdrawal(&self, time: Duration) -> Option<Vec<u8>> {
        let begin = Instant::now();
        let mut bytes = [0; 1500];
        while begin.elapsed() < time {
            match self.0.recv(&mut bytes) {
                Ok(len) => {
                    let bytes = &bytes[..len];
                    let name = bytes[12..].iter().position(|byte| *byte == 0).unwrap() + 13;
                    if bytes[2] & 0x80 != 0 && bytes[name + 4..name + 8] == [0; 4] {
                        return Some(bytes.to_vec());
                    }
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        }
        None
    }
}

#[test]
fn server_is_found_on_its_network_until_it_ends() {
    namespaces::run(|namespaces| {
        namespaces.plug_with(BOARD);
        let mut server = serve(namespaces.on_server(&program()), "0.0.0.0:6500", "announce = true");
        until_found(namespaces, &host(), 6500);
        let servers = found(namespaces);
        let [server_found, ..] = servers.as_slice() else { panic!("{servers:?}") };
        assert_eq!(server_found.addresses, [SERVER]);
        assert!(server_found.has_tls && server_found.version == env!("CARGO_PKG_VERSION"), "{servers:?}");

        // Another server takes its place without a gap.
        let listener = Listener::new(namespaces);
        server.upgrade();
        assert_eq!(listener.withdrawal(Duration::from_secs(2)), None);
        server.crash();
        assert_eq!(listener.withdrawal(Duration::from_secs(2)), None);
        until_found(namespaces, &host(), 6500);

        server.signal(Signal::TERM);
        assert!(listener.withdrawal(SOON).is_some());
        server.wait(SOON);
        assert_eq!(found(namespaces), []);
    });
}

#[test]
fn client_prints_the_servers_of_its_network_and_connects_to_them() {
    namespaces::run(|namespaces| {
        namespaces.plug_with(BOARD);
        let discover = |arguments: &[&str]| {
            run_command(namespaces.on_board(&program()).args(["ctl", "discover"]).args(arguments), "")
        };
        let run = discover(&[]);
        assert!(run.code == Some(69) && run.stderr.contains("no server has replied within 3 s"), "{run:?}");
        let server = serve(namespaces.on_server(&program()), "[::]:6500", "announce = true");
        until_one(namespaces, "both IP versions", |server| server.addresses.len() == 2);
        let run = discover(&[]);
        let lines: Vec<Vec<_>> = run.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
        let (name, version) = (host(), env!("CARGO_PKG_VERSION"));
        let expected = [&*name, "192.0.2.1", "wss://192.0.2.1:6500", version];
        assert_eq!(lines, [["NAME", "ADDRESS", "URL", "VERSION"], expected]);

        // Without IPv4, an address of the link is one for `ctl`, too.
        let mut ip = namespaces.on_server("ip");
        assert!(ip.args(["address", "delete", "192.0.2.1/24", "dev", "server0"]).status().unwrap().success());
        until_one(namespaces, "its address of the link", |server| server.addresses.len() == 1);
        let run = discover(&["--json"]);
        let object: Value = serde_json::from_str(&run.stdout).unwrap();
        let url = object["url"].as_str().unwrap();
        assert!(url.starts_with("wss://[fe80:") && url.contains('%'), "{url}");
        let mut list = namespaces.on_board(&program());
        list.args(["ctl", "--url", url, "--session", crate::support::device::ADMIN, "list"]);
        let list = run_command(list.env("HOME", server.directory().path()).env_remove("XDG_STATE_HOME"), "");
        assert!(list.code == Some(0) && list.stdout.contains("allowed"), "{list:?}");
        server.stop();
    });
}

#[test]
fn server_without_tls_at_another_port_is_announced_as_such() {
    namespaces::run(|namespaces| {
        namespaces.plug_with(BOARD);
        let keys = "announce = true\ninsecure = true";
        let _server = serve(namespaces.on_server(&program()), "192.0.2.1:6777", keys);
        until_one(namespaces, "it", |server| !server.has_tls && server.port == 6777);
    });
}

#[test]
fn other_host_of_the_same_name_gets_a_number_and_a_notice() {
    namespaces::run(|namespaces| {
        namespaces.plug_with(BOARD);
        let first = serve(namespaces.on_server(&program()), "0.0.0.0:6500", "announce = true");
        until_found(namespaces, &host(), 6500);
        let second = serve(namespaces.on_board(&program()), "0.0.0.0:6501", "announce = true");
        let name = format!("{}-2", host());
        until("the log names it", || second.log().contains(&format!("found as {name}.local")));
        until_found(namespaces, &name, 6501);
        until_found(namespaces, &host(), 6500);
        let url = format!("unix:{}", second.local_socket());
        let board = run_command(friendlet().args(["ctl", "--url", &url, "board"]), "");
        assert!(board.stdout.contains("another host on the network has the name of this one"), "{board:?}");
        assert!(
            first.log().contains(&format!("found on the network as {}.local", host())),
            "{}",
            first.log()
        );
        // What others on the network say does not change the certificate.
        let file = second.directory().file("state/tls/certificate.pem");
        let certificate = CertificateDer::from_pem_slice(&std::fs::read(file).unwrap()).unwrap();
        let names = Names::of(&certificate).to_string();
        assert!(names.contains(&format!("{}.local", host())) && !names.contains(&name), "{names}");
        let directory = second.take_directory();

        // Without the other one, the name is free.
        first.stop();
        let second = serve_in(directory, namespaces.on_board(&program()), "0.0.0.0:6501", "announce = true");
        until_found(namespaces, &host(), 6501);
        second.stop();
    });
}

#[test]
fn new_address_is_found_and_an_old_one_is_not() {
    namespaces::run(|namespaces| {
        namespaces.plug_with(BOARD);
        let server = serve(namespaces.on_server(&program()), "[::]:6500", "announce = true");
        until_one(namespaces, "both IP versions", |server| {
            server.addresses.iter().any(IpAddr::is_ipv6) && server.addresses.contains(&SERVER)
        });
        // As without a DHCP server: addresses of the link are left.
        let mut ip = namespaces.on_server("ip");
        assert!(ip.args(["address", "delete", "192.0.2.1/24", "dev", "server0"]).status().unwrap().success());
        until_one(namespaces, "its address of the link alone", |server| {
            server.addresses.iter().all(IpAddr::is_ipv6)
        });
        namespaces.board(&["address", "delete", BOARD, "dev", "eth0"]);
        until_found(namespaces, &host(), 6500);
        server.stop();
    });
}

#[test]
fn server_without_a_network_is_found_once_it_has_one_each_time() {
    namespaces::run(|namespaces| {
        let server = serve(namespaces.on_server(&program()), "0.0.0.0:6500", "announce = true");
        // More than the memberships that the kernel allows a socket (`igmp_max_memberships`).
        for _ in 0..25 {
            namespaces.plug();
            namespaces.unplug();
        }
        for _ in 0..2 {
            namespaces.plug_with(BOARD);
            until_found(namespaces, &host(), 6500);
            namespaces.unplug();
        }
        let log = server.log();
        assert!(!log.contains("multicast over"), "{log}");
        assert_eq!(log.matches("found on the network as").count(), 1, "{log}");
        server.stop();
    });
}

#[test]
fn hostile_messages_have_bounded_answers() {
    namespaces::run(|namespaces| {
        namespaces.plug_with(BOARD);
        let server = serve(namespaces.on_server(&program()), "0.0.0.0:6500", "announce = true");
        until_found(namespaces, &host(), 6500);
        let ([socket, _], index) = client(namespaces);
        let begin = Instant::now();
        let (mut replies, mut bytes) = (0, [0; 1500]);
        for _ in 0..200 {
            // Names whose pointers lead to themselves and forwards, more entries than there are, and too long a message.
            for name in [&b"\xc0\x0c"[..], b"\xc0\x0e\xc0\x0c", b"\x3fx"] {
                let message =
                    [b"\0\0\x84\0\0\0\0\x01\0\0\0\0", name, b"\0\x0c\0\x01\0\0\0\x78\0\x02\xc0\x0c"];
                socket.send(&message.concat(), index).unwrap();
            }
            socket.send(&[&QUESTION[..4], &[0xff; 8], &QUESTION[12..]].concat(), index).unwrap();
            socket.send(&[QUESTION, &[0; 9000]].concat(), index).unwrap();
            socket.send(QUESTION, index).unwrap();
            while let Ok((len, _)) = socket.receive(&mut bytes) {
                visit_servers(&bytes[..len], &mut |_| replies += 1);
            }
        }
        let most = (begin.elapsed().as_secs() + 2) * u64::from(MDNS_UNICASTS);
        assert!((1..=most).contains(&replies), "{replies} of {most}");
        until_found(namespaces, &host(), 6500);
        server.stop();
    });
}

#[test]
fn reload_names_what_needs_a_restart_and_the_server_stays_as_it_was() {
    namespaces::run(|namespaces| {
        namespaces.plug_with(BOARD);
        let others = [("announce = true", ""), ("", "announce = true")];
        let servers = others.map(|(keys, later)| {
            let port = if later.is_empty() { 6500 } else { 6501 };
            let address = format!("0.0.0.0:{port}");
            let server = serve(namespaces.on_server(&program()), &address, keys);
            let directory = server.directory();
            directory.write("friendlet.toml", text(directory, &address, later));
            let url = format!("unix:{}", server.local_socket());
            let reload = run_command(friendlet().args(["ctl", "--url", &url, "reload"]), "");
            assert!(reload.code == Some(0) && reload.stdout.contains("[listen] announce"), "{reload:?}");
            server
        });
        until_found(namespaces, &host(), 6500);
        assert!(found(namespaces).iter().all(|server| server.port == 6500));
        drop(servers);
    });
}

#[test]
fn server_that_only_its_machine_reaches_announces_nothing() {
    let text = Device::new().listen("announce = true").text("");
    let check = run_on(&text, &["check", "--config", "FILE"]);
    let warning = "announce: only this machine reaches 127.0.0.1:0: nothing is announced";
    assert!(check.code == Some(0) && check.stdout.contains(warning), "{check:?}");
    namespaces::run(|namespaces| {
        namespaces.plug_with(BOARD);
        let _servers = [
            serve(namespaces.on_server(&program()), "127.0.0.1:6500", "announce = true"),
            serve(namespaces.on_server(&program()), "0.0.0.0:6501", ""),
            serve(namespaces.on_server(&program()), "0.0.0.0:6502", "announce = true"),
        ];
        until_found(namespaces, &host(), 6502);
        assert!(found(namespaces).iter().all(|server| server.port == 6502));
    });
}

#[test]
#[ignore = "needs zeroconf"]
fn tool_finds_server_and_withdrawal() {
    const SCRIPT: &str = "
import socket, threading
from zeroconf import IPVersion, ServiceBrowser, Zeroconf
gone = threading.Event()
class Listener:
    def add_service(self, zeroconf, kind, name):
        info = zeroconf.get_service_info(kind, name, timeout=10000)
        addresses = sorted(info.parsed_addresses(IPVersion.V4Only))
        print(kind, name, info.server, info.port, addresses, info.properties[b'path'], flush=True)
    def update_service(self, *_):
        pass
    def remove_service(self, zeroconf, kind, name):
        print('gone', name, flush=True)
        if 'friendlet' in kind:
            gone.set()
zeroconf = Zeroconf()
ServiceBrowser(zeroconf, ['_friendlet._tcp.local.', '_https._tcp.local.'], Listener())
gone.wait(60)
";
    let python =
        std::env::var_os("FRIENDLET_ZEROCONF").expect("FRIENDLET_ZEROCONF is a Python with zeroconf");
    namespaces::run(|namespaces| {
        namespaces.plug_with(BOARD);
        let server = serve(namespaces.on_server(&program()), "0.0.0.0:6500", "announce = true");
        until_found(namespaces, &host(), 6500);
        let mut command = namespaces.on_board(python.to_str().unwrap());
        let directory = Directory::new();
        let output = directory.file("output");
        let file = std::fs::File::create(&output).unwrap();
        let mut tool = command.args(["-c", SCRIPT]).stdout(file).stderr(Stdio::inherit()).spawn().unwrap();
        let read = || std::fs::read_to_string(&output).unwrap();
        for kind in ["_friendlet._tcp.local.", "_https._tcp.local."] {
            let name = host();
            let line = format!("{kind} {name}.{kind} {name}.local. 6500 ['192.0.2.1'] b'/'\n");
            until(&line, || read().contains(&line));
        }
        server.stop();
        assert!(tool.wait().unwrap().success());
        assert!(read().contains(&format!("gone {}._friendlet._tcp.local.", host())), "{}", read());
    });
}
