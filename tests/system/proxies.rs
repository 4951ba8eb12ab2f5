//! Real proxies in front of the server, with the files of `docs/proxies.md`.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rcgen::generate_simple_self_signed;

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
        assert!(Path::new(program).exists(), "{program} is missing: `cargo xtask setup` installs it");
        let listen = block("toml");
        let public_url = listen.lines().find(|line| line.starts_with("public_url")).unwrap();
        let server = Server::start(&Device::plain().listen(&format!("{public_url}\n")));

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
fn caddy() {
    let before = "{\nadmin off\nauto_https disable_redirects\nstorage file_system DIRECTORY/storage\n}";
    let arguments = ["run", "--adapter", "caddyfile", "--config"];
    Proxy::start("/usr/bin/caddy", &arguments, "caddy", before, "").check();
}
