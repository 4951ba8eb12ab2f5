//! A board's network on the real kernel: static, and against a DHCP and an NTP server in another namespace.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Stdio};
use std::time::Duration;

use friendlet::dhcp::DHCP_LEASE_MIN;

use crate::support::dhcp::{ACK, DISCOVER, DhcpServer, Message, NAK, OFFER, REQUEST, SERVER};
use crate::support::directory::Directory;
use crate::support::namespaces::{self, Namespaces};
use crate::support::ntp::NtpServer;
use crate::support::wait::{SOON, until};

const ADDRESS: [u8; 4] = [192, 0, 2, 100];
/// Router and nameservers.
const OPTIONS: &[u8] = &[3, 4, 192, 0, 2, 1, 6, 8, 192, 0, 2, 53, 192, 0, 2, 54];

/// The network manager at work, with a name and a `/run` of its own.
struct Board {
    child: Child,
    output: BufReader<ChildStdout>,
    directory: Directory,
}

impl Board {
    fn start(namespaces: &Namespaces, network: &str) -> Self {
        let directory = Directory::new();
        let file = directory.write("friendlet.toml", network);
        let program =
            Path::new(env!("CARGO_BIN_EXE_friendlet")).with_file_name("examples").join("board_network");
        assert!(
            program.exists(),
            "{} is missing: run `cargo build --example board_network` first",
            program.display()
        );
        let log = fs::File::create(directory.path().join("log")).unwrap();
        let script = "mount -t tmpfs tmpfs /run && exec \"$0\" \"$1\"";
        let mut child = namespaces
            .on_board("unshare")
            .args(["--mount", "--uts", "sh", "-c", script])
            .arg(program)
            .arg(file)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, output, directory }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap()
    }

    /// Waits for a line of its log, the place and time of it left out.
    #[track_caller]
    fn says(&self, line: &str) {
        until(line, || self.log().lines().any(|reported| reported.ends_with(&format!(": {line}"))));
    }

    /// Next line of its output.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// The nameservers that its services are reported.
    fn nameservers(&self) -> String {
        fs::read_to_string(format!("/proc/{}/root/run/resolv.conf", self.child.id())).unwrap_or_default()
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Gives the board [`ADDRESS`] for so long.
#[track_caller]
fn lease(server: &DhcpServer<'_>, lease_s: u32) {
    let discover = server.receive(DISCOVER, SOON);
    server.answer(&discover, OFFER, ADDRESS, lease_s, OPTIONS);
    let request = server.receive(REQUEST, SOON);
    assert_eq!((request.option(50), request.option(54)), (Some(&ADDRESS[..]), Some(&SERVER.octets()[..])));
    server.answer(&request, ACK, ADDRESS, lease_s, OPTIONS);
}

#[test]
fn static_address_is_set_when_its_interface_appears() {
    namespaces::run(|namespaces| {
        let mut board = Board::start(
            namespaces,
            "[network]\ninterface = 'eth0'\naddress = '192.0.2.20/24'\ngateway = '192.0.2.1'\n\
         nameservers = ['192.0.2.53']\nhostname = 'gateway-7'\n",
        );
        assert_eq!(board.line(), "gateway-7");
        board.says("waiting for eth0");
        assert!(namespaces.board(&["address", "show", "lo"]).contains("inet 127.0.0.1/8"));

        namespaces.plug();
        board.says("eth0: has 192.0.2.20/24, gateway 192.0.2.1");
        let address = namespaces.board(&["address", "show", "eth0"]);
        assert!(address.contains("inet 192.0.2.20/24 brd 192.0.2.255 scope global eth0"), "{address}");
        let route = namespaces.board(&["route", "get", "203.0.113.9"]);
        assert!(route.starts_with("203.0.113.9 via 192.0.2.1 dev eth0 src 192.0.2.20"), "{route}");
        until("nameservers", || board.nameservers() == "nameserver 192.0.2.53\n");

        // Switched off by somebody, it comes back with its routes, which the kernel forgets.
        namespaces.board(&["link", "set", "eth0", "down"]);
        until("the gateway", || namespaces.board(&["route"]).contains("default via 192.0.2.1 dev eth0"));
        // Taken away, it is waited for, and set up again.
        namespaces.unplug();
        board.says("eth0: removed");
        namespaces.plug();
        until("the address", || namespaces.board(&["address"]).contains("192.0.2.20/24"));
        assert_eq!(board.log().matches("waiting for eth0").count(), 2, "{}", board.log());
        assert!(!board.log().contains("error"), "{}", board.log());
    });
}

#[test]
fn address_by_dhcp_is_renewed_until_it_is_refused() {
    namespaces::run(|namespaces| {
        namespaces.plug();
        let server = DhcpServer::start(namespaces);
        let board = Board::start(namespaces, "[network]\nhostname = 'gateway-8'\n");
        let discover = server.receive(DISCOVER, SOON);
        assert_eq!(discover.from.to_string(), "0.0.0.0:68");
        assert_eq!(discover.option(12), Some(&b"gateway-8"[..]));

        // Nobody answers; it asks again.
        let time = u32::try_from(DHCP_LEASE_MIN.as_secs()).unwrap();
        lease(&server, time);
        board.says("eth0: has 192.0.2.100/24, gateway 192.0.2.1, by DHCP for 10 s");
        until("the address", || {
            namespaces.board(&["address", "show", "eth0"]).contains("inet 192.0.2.100/24")
        });
        until("the gateway", || namespaces.board(&["route"]).contains("default via 192.0.2.1 dev eth0"));
        until("nameservers", || board.nameservers() == "nameserver 192.0.2.53\nnameserver 192.0.2.54\n");

        let renewal = server.receive(REQUEST, seconds(8));
        assert_eq!((renewal.from.to_string().as_str(), renewal.client()), ("192.0.2.100:68", ADDRESS.into()));
        assert_eq!((renewal.option(50), renewal.option(54)), (None, None));
        server.answer(&renewal, ACK, ADDRESS, time, OPTIONS);
        board.says("eth0: keeps 192.0.2.100/24, gateway 192.0.2.1, by DHCP for 10 s");

        let renewal = server.receive(REQUEST, seconds(8));
        server.answer(&renewal, NAK, [0; 4], 0, &[]);
        board.says("eth0: drops 192.0.2.100/24: refused by a DHCP server");
        // It asks anew, and has no address by then.
        let discover = server.receive(DISCOVER, SOON);
        assert_eq!(discover.from.to_string(), "0.0.0.0:68");
        assert!(!namespaces.board(&["address"]).contains("192.0.2.100"));
        server.answer(&discover, OFFER, [192, 0, 2, 101], 3600, &[]);
        let request = server.receive(REQUEST, SOON);
        server.answer(&request, ACK, [192, 0, 2, 101], 3600, &[]);
        board.says("eth0: has 192.0.2.101/24, by DHCP for 3600 s");
        until("the address", || namespaces.board(&["address"]).contains("192.0.2.101/24"));
        assert!(!namespaces.board(&["route"]).contains("default"), "the gateway went with its address");
        assert_eq!(board.nameservers(), "");
    });
}

#[test]
fn lease_without_a_server_expires() {
    namespaces::run(|namespaces| {
        namespaces.plug();
        let server = DhcpServer::start(namespaces);
        let board = Board::start(namespaces, "");
        // From the request to all to the end there are 2.5 s: a busy machine is to have its chance.
        lease(&server, 20);
        until("the address", || namespaces.board(&["address"]).contains("192.0.2.100/24"));
        // To its server, then to all, both with the address in use.
        let renewal = server.receive(REQUEST, seconds(16));
        let rebinding = server.receive(REQUEST, seconds(16));
        assert_eq!((renewal.client(), rebinding.client()), (ADDRESS.into(), ADDRESS.into()));
        board.says("eth0: drops 192.0.2.100/24: lease expired");
        let discover = server.receive(DISCOVER, SOON);
        assert_eq!(discover.from.to_string(), "0.0.0.0:68");
        assert!(!namespaces.board(&["address"]).contains("192.0.2.100"));
    });
}

/// Pulls the cable and plugs it in again. Returns the request of the board, which keeps its address meanwhile.
fn request_after_a_pull(namespaces: &Namespaces, board: &Board, server: &DhcpServer<'_>) -> Message {
    let waits = || board.log().matches("eth0: waiting for a carrier").count();
    // It may have waited at its start, too.
    let before = waits();
    namespaces.set_carrier("down");
    until("the board has noticed", || waits() > before);
    assert!(namespaces.board(&["address"]).contains("192.0.2.100/24"));
    namespaces.set_carrier("up");
    server.receive(REQUEST, SOON)
}

#[test]
fn address_is_kept_when_the_carrier_is_back() {
    namespaces::run(|namespaces| {
        let board = Board::start(namespaces, "[network]\n");
        board.says("waiting for an Ethernet interface");
        namespaces.plug();
        let server = DhcpServer::start(namespaces);
        lease(&server, 3600);
        until("the address", || namespaces.board(&["address"]).contains("192.0.2.100/24"));
        let request = request_after_a_pull(namespaces, &board, &server);
        assert_eq!((request.option(50), request.option(54)), (Some(&ADDRESS[..]), None));
        server.answer(&request, ACK, ADDRESS, 7200, OPTIONS);
        board.says("eth0: keeps 192.0.2.100/24, gateway 192.0.2.1, by DHCP for 7200 s");
    });
}

/// Static address, with these NTP servers.
fn with_ntp(servers: &str) -> String {
    format!("[network]\naddress = '192.0.2.20/24'\nhostname = 'x'\nntp = {servers}\n")
}

/// Seconds between the present time and the one to which the clock is to be set.
fn step_of(line: &str) -> i64 {
    let text = line.strip_prefix("192.0.2.1 Step(").unwrap_or_else(|| panic!("{line}"));
    let (seconds, _) = text.split_once('.').unwrap_or_else(|| panic!("{line}"));
    let now = friendlet::wall_clock::now().as_secs();
    seconds.parse::<i64>().unwrap() - i64::try_from(now).unwrap()
}

#[test]
fn clock_follows_an_ntp_server_forward_and_back() {
    const DECADE: i64 = 10 * 365 * 86_400;
    namespaces::run(|namespaces| {
        namespaces.plug();
        let server = NtpServer::start(namespaces);
        for off in [DECADE, 3, -3, 0] {
            let mut board = Board::start(namespaces, &with_ntp("['192.0.2.1']"));
            assert_eq!(board.line(), "x");
            let request = server.receive();
            assert_eq!((request.bytes[0], request.from.ip().to_string().as_str()), (0x23, "192.0.2.20"));
            // A reply to another request is dropped, also from the right address.
            server.answer(&request.with_timestamp(1), 1, DECADE, b"GPS\0");
            server.answer(&request, 1, off, b"GPS\0");
            let line = board.line();
            if off == 0 {
                assert!(line.starts_with("192.0.2.1 Adjust("), "{line}");
            } else {
                assert!((off - 2..=off + 2).contains(&step_of(&line)), "{line}");
            }
            board.says("dropped a datagram that is not the reply of an NTP server");
        }
    });
}

#[test]
fn ntp_servers_of_dhcp_are_asked_in_turn() {
    namespaces::run(|namespaces| {
        namespaces.plug();
        let (dhcp, server) = (DhcpServer::start(namespaces), NtpServer::start(namespaces));
        let mut board = Board::start(namespaces, "[network]\nhostname = 'x'\n");
        assert_eq!(board.line(), "x");
        // The first of them does not exist.
        let options = [OPTIONS, &[42, 8, 192, 0, 2, 77, 192, 0, 2, 1]].concat();
        let discover = dhcp.receive(DISCOVER, SOON);
        assert!(discover.option(55).is_some_and(|asked| asked.contains(&42)));
        dhcp.answer(&discover, OFFER, ADDRESS, 3600, &options);
        dhcp.answer(&dhcp.receive(REQUEST, SOON), ACK, ADDRESS, 3600, &options);
        let request = server.receive();
        assert_eq!(request.from.ip().to_string(), "192.0.2.100");
        until("the first server has failed", || board.log().contains("NTP server 192.0.2.77: "));
        server.answer(&request, 0, 0, b"DENY");
        board.says("NTP server 192.0.2.1: refuses: DENY");
        // Where the network comes back, a server is asked again that has refused.
        let request = request_after_a_pull(namespaces, &board, &dhcp);
        dhcp.answer(&request, ACK, ADDRESS, 3600, &[42, 4, 192, 0, 2, 1]);
        server.answer(&server.receive(), 1, 7, b"GPS\0");
        assert!((5..=9).contains(&step_of(&board.line())));
    });
}
