//! Real proxies in front of the server, with the files of `docs/proxies.md`.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rcgen::generate_simple_self_signed;

use super::reload::{NOTHING, reload};
use super::services::OK;
use crate::support::device::ADMIN;
use crate::support::directory::Directory;
use crate::support::http::{Response, exchange};
use crate::support::stream::Stream;
use crate::support::wait::{SOON, until};
use crate::support::ws::{Socket, upgrade_request};
use crate::support::{Device, Server, fenced};

/// Name that the tests' client asks for.
const HOST: &str = "localhost";

/// Returns the block of a language in the page on proxies.
fn block(language: &str) -> String {
    let blocks = fenced::blocks(Path::new(env!("CARGO_MANIFEST_DIR")));
    let found =
        blocks.into_iter().find(|block| block.file == "docs/proxies.md" && block.language == language);
    found.unwrap().lines.join("\n").replace("panel.example", HOST) + "\n"
}

/// The server, and a proxy in front of it.
struct Proxy {
    /// Dropped first.
    process: Child,
    address: SocketAddr,
    server: Server,
    _directory: Directory,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Proxy {
    /// Starts `program` with the block of `language`, between `before` and `after`. `arguments` come before the path of the
    /// file.
    fn start(program: &str, arguments: &[&str], language: &str, before: &str, after: &str) -> Self {
        Self::start_with(program, arguments, language, before, after, "", ("", ""))
    }

    /// The same with further keys of `[listen]`, and another text in the file.
    fn start_with(
        program: &str,
        arguments: &[&str],
        language: &str,
        before: &str,
        after: &str,
        more: &str,
        (from, to): (&str, &str),
    ) -> Self {
        assert!(Path::new(program).exists(), "{program} is missing: `cargo xtask setup` installs it");
        let is_for_test = |line: &&str| line.starts_with("public_url") || line.starts_with("trusted_proxies");
        let listen: String =
            block("toml").lines().filter(is_for_test).map(|line| format!("{line}\n")).collect();
        let server = Server::start(&Device::plain().listen(&(listen + more)));

        let directory = Directory::new();
        let pair = generate_simple_self_signed([HOST.to_owned()]).unwrap();
        let (certificate, key) = (pair.cert.pem(), pair.signing_key.serialize_pem());
        directory.write("panel.both", format!("{certificate}{key}"));
        directory.write("panel.pem", certificate);
        directory.write("panel.key", key);

        // Free a moment ago.
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let file = format!("{before}\n{}\n{after}\n", block(language))
            .replace(from, to)
            .replace("127.0.0.1:6500", &server.address().to_string())
            .replace("/etc/proxy/", &directory.file(""))
            .replace("DIRECTORY/", &directory.file(""))
            .replace("listen 443", &format!("listen {address}"))
            .replace("bind :443", &format!("bind {address}"))
            .replace(&format!("https://{HOST} {{"), &format!("https://{HOST}:{} {{", address.port()));
        let file = directory.write("proxy.conf", file);
        let process = Command::new(program)
            .args(arguments)
            .arg(&file)
            .current_dir(directory.path())
            .env("HOME", directory.path())
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("XDG_DATA_HOME")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut proxy = Self { process, address, server, _directory: directory };
        until("the proxy listens", || {
            assert!(proxy.process.try_wait().unwrap().is_none(), "{program} ended");
            TcpStream::connect(address).is_ok()
        });
        until("the proxy reaches the server", || {
            proxy.send("GET /board/healthz HTTP/1.1\r\n", "", "").status == 200
        });
        proxy
    }

    /// Sends a request with these header lines and this body.
    fn send(&self, line: &str, lines: &str, body: &str) -> Response {
        let request = format!("{line}Host: {HOST}\r\nConnection: close\r\n{lines}\r\n{body}");
        Response::parse(&exchange(Stream::tls(self.address), request.as_bytes()))
    }

    /// Status of a login of an administrator from this address of the loopback.
    fn login_from(&self, host: u8, password: &str, lines: &str) -> u16 {
        let body = format!("{{\"username\":\"fadmin\",\"password\":\"{password}\"}}");
        let length = body.len();
        let request = format!(
            "POST /board/api/v1/login HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n{lines}\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        let stream = Stream::from_source(Ipv4Addr::new(127, 0, 0, host), self.address, true);
        Response::parse(&exchange(stream, request.as_bytes())).status
    }

    /// Wrong passwords of one client do not block another one, whatever it writes into the fields of proxies.
    fn check_clients(&self) {
        let name = |host: u8| {
            format!(
                "X-Forwarded-For: 127.0.0.{host}\r\nForwarded: for=127.0.0.{host}\r\nX-Real-IP: 127.0.0.{host}\r\n"
            )
        };
        for host in 10..14 {
            self.login_from(2, "a wrong one", &name(host));
        }
        assert_eq!(self.login_from(2, "secret", &name(3)), 429, "the client that guessed is blocked");
        assert_eq!(self.login_from(3, "secret", &name(2)), 200, "another one is not");
        until("the log has the client", || self.server.log().contains("127.0.0.2"));
        assert!(!self.server.log().contains("127.0.0.10"), "what a client writes is not an address");
    }

    fn check(&self) {
        let form = format!("sessionid={ADMIN}");
        let start = "POST /board/system.library/services/allowed/start HTTP/1.1\r\n";
        let length = format!("Content-Length: {}\r\nOrigin: https://{HOST}\r\n", form.len());
        assert_eq!(self.send(start, &length, &form).body, OK);

        let (first, second) = form.split_at(7);
        let chunks = format!("7\r\n{first}\r\n{:x}\r\n{second}\r\n0\r\n\r\n", second.len());
        let lines = "Transfer-Encoding: chunked\r\n";
        assert_eq!(self.send(start, lines, &chunks).body, OK);
        let answer = self.send(start, &format!("Expect: 100-continue\r\n{length}"), &form);
        // The proxy may have continued on its own.
        assert!(answer.status == 200 || answer.status == 100, "{answer:?}");
        assert!(answer.body.ends_with(OK), "{answer:?}");

        let head = self.send("HEAD /board/healthz HTTP/1.1\r\n", "", "");
        assert_eq!((head.status, head.body.as_str()), (200, ""));
        for file in ["", "console.css", "console.js"] {
            let line = format!("GET /board/{file} HTTP/1.1\r\n");
            let answer = self.send(&line, "Accept-Encoding: gzip\r\n", "");
            assert_eq!((answer.status, answer.header("content-encoding")), (200, Some("gzip")), "{file}");
        }
        assert_eq!(self.send("OPTIONS /board/ HTTP/1.1\r\n", "", "").status, 200);
        let foreign = length.replace(HOST, "evil.example");
        assert_eq!(self.send(start, &foreign, &form).status, 403);

        let mut socket = Socket::try_open(Stream::tls(self.address), "/board/fcws").unwrap();
        let call =
            format!("<!--\"MSG\"--\"9\"--\"system.library/validate\"-->{{\"sessionid\":\"{ADMIN}\"}}<--!>");
        assert_eq!(socket.call(&call), "ok<!--separate-->{\"response\":\"true\"}");
        for (origin, status) in [(HOST, 101), ("evil.example", 403)] {
            let request = upgrade_request("/board/fcws", &format!("Origin: https://{origin}\r\n"));
            let mut stream = Stream::tls(self.address);
            stream.write_all(request.as_bytes()).unwrap();
            let mut answer = Vec::new();
            while !answer.windows(4).any(|four| four == b"\r\n\r\n") {
                stream.read_some(&mut answer, SOON).unwrap();
            }
            assert_eq!(Response::parse(&answer).status, status, "{origin}");
        }
        self.check_clients();
        until("the refusal is logged", || {
            self.server.log().contains("request refused: pages of this origin may not connect")
        });
    }
}

#[test]
fn nginx_with_its_defaults() {
    let before = "daemon off; master_process off; pid DIRECTORY/pid; error_log stderr;\nevents {}\nhttp { access_log off; \
        client_body_temp_path DIRECTORY/body; proxy_temp_path DIRECTORY/proxy; fastcgi_temp_path DIRECTORY/fastcgi; \
        uwsgi_temp_path DIRECTORY/uwsgi; scgi_temp_path DIRECTORY/scgi;";
    Proxy::start("/usr/sbin/nginx", &["-e", "stderr", "-c"], "nginx", before, "}").check();
}

#[test]
fn haproxy_with_its_health_check() {
    Proxy::start("/usr/sbin/haproxy", &["-db", "-f"], "haproxy", "", "").check();
}

#[test]
fn haproxy_with_the_proxy_protocol() {
    let more = "client_from = \"proxy-protocol\"\n";
    let line = ("127.0.0.1:6500 check", "127.0.0.1:6500 check send-proxy-v2");
    Proxy::start_with("/usr/sbin/haproxy", &["-db", "-f"], "haproxy", "", "", more, line).check();
}

/// A header of the PROXY protocol for a client of IPv4.
fn header(client: [u8; 4]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    header.extend(client);
    header.extend([127, 0, 0, 1, 0, 1, 0, 2]);
    header
}

#[test]
fn header_of_the_proxy_protocol_comes_before_the_first_byte() {
    const REQUEST: &str = "GET /healthz HTTP/1.0\r\n\r\n";
    let lines = "trusted_proxies = [\"127.0.0.1\"]\nclient_from = \"proxy-protocol\"\n";
    for device in [Device::plain(), Device::new()] {
        let server = Server::start(&device.listen(lines));
        let from = |host: u8| {
            Stream::from_source(Ipv4Addr::new(127, 0, 0, host), server.address(), false).into_socket()
        };
        let answer = |mut socket: TcpStream| {
            if !server.is_tls() {
                socket.write_all(REQUEST.as_bytes()).unwrap();
                return Stream::Plain(socket).read_to_end_within(SOON);
            }
            exchange(Stream::try_tls(socket, None).unwrap(), REQUEST.as_bytes())
        };
        // A part of it is not a reason to close, and what follows may be in the same packet.
        let mut socket = from(1);
        let header = header([127, 0, 0, 7]);
        let (first, second) = header.split_at(14);
        socket.write_all(first).unwrap();
        // The server has handled it once it has answered another one.
        assert_eq!(Response::parse(&answer(from(2))).status, 200);
        socket.write_all(second).unwrap();
        assert_eq!(Response::parse(&answer(socket)).status, 200);
        // The proxy's own check.
        let mut socket = from(1);
        socket.write_all(b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0").unwrap();
        assert_eq!(Response::parse(&answer(socket)).status, 200);
        // A stranger's header is a wrong request, and a stranger needs none.
        let mut socket = from(2);
        socket.write_all(&header).unwrap();
        let mut stream = Stream::Plain(socket);
        stream.end_writing();
        let refused = stream.read_to_end_within(SOON);
        assert_eq!(Response::parse(&refused).status, 400);
        assert_eq!(Response::parse(&answer(from(2))).status, 200);
        // A trusted address without a header is closed, with its reason in the log.
        let mut socket = from(1);
        socket.write_all(REQUEST.as_bytes()).unwrap();
        assert_eq!(Stream::Plain(socket).read_to_end_within(SOON), b"");
        until("the reason is logged", || server.log().contains("without a header of the PROXY protocol"));
        server.stop();
    }
}

/// A socket that was open before the reload was closed, because its next message was not a header.
#[test]
fn socket_stays_when_later_connections_need_a_header() {
    let device = |keys: &str| Device::plain().listen(&format!("trusted_proxies = [\"127.0.0.1\"]\n{keys}"));
    let server = Server::start(&device(""));
    let mut socket = server.bound(ADMIN);
    assert_eq!(reload(&server, &device("client_from = \"proxy-protocol\"\n")), NOTHING);
    let call =
        format!("<!--\"MSG\"--\"9\"--\"system.library/validate\"-->{{\"sessionid\":\"{ADMIN}\"}}<--!>");
    assert_eq!(socket.call(&call), "ok<!--separate-->{\"response\":\"true\"}");
}

#[test]
fn caddy() {
    let before = "{\nadmin off\nauto_https disable_redirects\nstorage file_system DIRECTORY/storage\n}";
    let arguments = ["run", "--adapter", "caddyfile", "--config"];
    Proxy::start("/usr/bin/caddy", &arguments, "caddy", before, "").check();
}
