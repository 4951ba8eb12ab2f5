//! Pages of `[web] root`.

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::reload::{NOTHING, reload};
use crate::support::directory::Directory;
use crate::support::http::{Response, exchange};
use crate::support::server::run_on;
use crate::support::{Device, Server};

const SECRET: &str = "not a page";

/// Directory of pages, with one above it that is not served.
struct Site {
    above: Directory,
}

impl Site {
    fn new() -> Self {
        let above = Directory::new();
        let site = Self { above };
        site.above.write("secret", SECRET);
        fs::create_dir(site.path("")).unwrap();
        fs::set_permissions(site.path(""), Permissions::from_mode(0o755)).unwrap();
        site.write("index.html", "<!doctype html><script src=\"app.js\"></script>");
        site
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.above.path().join("www").join(name)
    }

    fn write(&self, name: &str, content: &str) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), content).unwrap();
        fs::set_permissions(self.path(name), Permissions::from_mode(0o644)).unwrap();
    }

    fn table(&self, keys: &str) -> String {
        format!("[web]\nroot = \"{}\"\n{keys}\n", self.path("").display())
    }

    fn device(&self, keys: &str) -> Device {
        Device::plain().with(&self.table(keys))
    }
}

fn request(server: &Server, method: &str, path: &str, lines: &str) -> Response {
    server.raw(&format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n"))
}

#[test]
fn own_pages_are_served_beside_the_console() {
    let site = Site::new();
    site.write("app.js", "start()");
    site.write("img/a b.svg", "<svg/>");
    site.write("docs/index.html", "docs");
    for tls in [true, false] {
        let device = if tls { Device::new().with(&site.table("")) } else { site.device("") };
        let server = Server::start(&device);
        let page = server.get("/");
        assert!(page.status == 200 && page.body.contains("app.js"), "{page:?}");
        assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
        assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(page.header("cache-control"), Some("no-cache"));
        assert!(page.header("content-security-policy").unwrap().starts_with("default-src 'self'; "));
        for (path, body) in [("/app.js", "start()"), ("/img/a%20b.svg", "<svg/>"), ("/docs/", "docs")] {
            assert_eq!(server.get(path).body, body);
        }
        let console = server.get("/console");
        assert!(console.status == 200 && console.body.contains("Service control"), "{console:?}");
        assert_eq!(server.get("/healthz").body, "ok\n");
    }
}

#[test]
fn known_versions_heads_and_compressed_files() {
    let site = Site::new();
    site.write("app.js", "start()");
    // The server looks at no content.
    site.write("app.js.gz", "packed");
    let server = Server::start(&site.device(""));
    let gzip = "Accept-Encoding: gzip\r\n";
    let plain = request(&server, "GET", "/app.js", "");
    let packed = request(&server, "HEAD", "/app.js", gzip);
    assert_eq!((plain.body.as_str(), plain.header("content-encoding")), ("start()", None));
    assert_eq!((packed.body.as_str(), packed.header("content-encoding")), ("", Some("gzip")));
    for file in [&plain, &packed] {
        assert_eq!(file.header("vary"), Some("accept-encoding"));
        assert_eq!(file.header("content-type"), Some("text/javascript; charset=utf-8"));
    }
    assert_ne!(plain.header("etag"), packed.header("etag"));
    let head = request(&server, "HEAD", "/app.js", "");
    assert_eq!((head.head, head.body.as_str()), (plain.head.clone(), ""));
    let tag = plain.header("etag").unwrap();
    let known = request(&server, "GET", "/app.js", &format!("If-None-Match: {tag}\r\n"));
    assert_eq!((known.status, known.body.as_str()), (304, ""));
    let other = request(&server, "GET", "/app.js", &format!("{gzip}If-None-Match: {tag}\r\n"));
    assert_eq!(other.status, 200);
    assert_eq!(request(&server, "POST", "/app.js", "").status, 405);
}

#[test]
fn no_path_leads_out_of_the_directory() {
    let site = Site::new();
    site.write(".env", SECRET);
    site.write(".git/config", SECRET);
    site.write("d/x", "x");
    symlink(site.above.file("secret"), site.path("link")).unwrap();
    symlink("../../secret", site.path("d/link")).unwrap();
    symlink("..", site.path("up")).unwrap();
    let server = Server::start(&site.device(""));
    let long = format!("/{}", "../".repeat(80));
    for (path, status) in [
        ("/../secret", 404),
        ("/d/../../secret", 404),
        ("/%2e%2e/secret", 404),
        ("/%2E%2E%2Fsecret", 404),
        ("/..%2fsecret", 404),
        ("/..%5csecret", 404),
        ("/%252e%252e/secret", 404),
        ("/%c0%ae%c0%ae/secret", 404),
        ("//secret", 404),
        ("//index.html", 404),
        ("/./index.html", 404),
        ("/index.html%00", 404),
        ("/index.html%00.txt", 404),
        ("/%00", 404),
        ("/index.html%", 404),
        ("/%", 404),
        ("/.env", 404),
        ("/%2eenv", 404),
        ("/.git/config", 404),
        ("/link", 404),
        ("/d/link", 404),
        ("/up/secret", 404),
        ("/d", 404),
        (long.as_str(), 404),
        (&format!("/{}", "a".repeat(255)), 404),
        (&format!("/{}", "a".repeat(256)), 414),
        ("/d/x", 200),
    ] {
        let response = server.get(path);
        assert_eq!(response.status, status, "{path}");
        assert!(!response.body.contains(SECRET), "{path}");
    }
    let log = server.log();
    for name in ["/link", "/d/link", "/up"] {
        assert!(log.contains(&format!("{name} is left out: its link leads out of the directory")), "{log}");
    }
}

#[test]
fn special_files_are_left_out_and_nothing_waits_for_them() {
    let site = Site::new();
    let fifo = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, site.path("pipe.html"), fifo, 0o644.into(), 0).unwrap();
    site.write("healthz", SECRET);
    site.write("key.pem", SECRET);
    fs::set_permissions(site.path("key.pem"), Permissions::from_mode(0o600)).unwrap();
    let device = site.device("");
    let reasons = [
        "pipe.html is left out: neither a file nor a directory itself",
        "healthz is left out: the server has this path",
        "key.pem is left out: not every user may read it",
    ];
    let state = Directory::new();
    let checked = run_on(&device.text(&state.file("state")), &["check", "FILE"]);
    assert_eq!(checked.code, Some(0), "{checked:?}");
    let server = Server::start(&device);
    let log = server.log();
    for reason in reasons {
        assert!(checked.stdout.contains(reason), "{checked:?}");
        assert!(log.contains(reason), "{log}");
    }
    for path in ["/pipe.html", "/key.pem"] {
        assert_eq!(server.get(path).status, 404);
    }
    assert_eq!(server.get("/healthz").body, "ok\n");
    assert!(server.call("board/status").contains("[web] root: "), "{}", server.call("board/status"));
}

#[test]
fn directory_over_a_limit_or_open_to_all_has_no_pages() {
    let site = Site::new();
    site.write("big", &"x".repeat(5000));
    let server = Server::start(&site.device("bytes = 4999"));
    assert!(server.get("/").body.contains("Service control"));
    let status = server.call("board/status");
    assert!(status.contains("is left out: its files have more bytes than [web] bytes"), "{status}");
    drop(server);
    fs::set_permissions(site.path(""), Permissions::from_mode(0o757)).unwrap();
    let server = Server::start(&site.device(""));
    assert_eq!(server.get("/big").status, 404);
    assert!(server.call("board/status").contains("every user may write it"));
    fs::set_permissions(site.path(""), Permissions::from_mode(0o755)).unwrap();
    assert_eq!(server.call("board/reload"), NOTHING);
    assert_eq!(server.get("/big").body.len(), 5000);
}

#[test]
fn reload_serves_changed_files_or_changes_nothing() {
    let site = Site::new();
    let device = site.device("bytes = 8192");
    let server = Server::start(&device);
    site.write("index.html", "later");
    site.write("more.txt", "more");
    assert!(server.get("/").body.contains("app.js"), "files are read at a reload alone");
    assert_eq!(server.call("board/reload"), NOTHING);
    assert_eq!((server.get("/").body.as_str(), server.get("/more.txt").body.as_str()), ("later", "more"));
    site.write("big", &"x".repeat(8192));
    fs::remove_file(site.path("more.txt")).unwrap();
    let refused = server.call("board/reload");
    assert!(refused.contains("its files have more bytes than [web] bytes"), "{refused}");
    assert_eq!(server.get("/more.txt").body, "more");
    let other = Site::new();
    let answer = reload(&server, &other.device(""));
    assert!(answer.contains(r#""NeedsRestart": ["[web]"]"#), "{answer}");
    assert_eq!(server.get("/").body, "later");
}

#[test]
fn large_page_is_whole_while_others_are_served() {
    let site = Site::new();
    let content = "0123456789abcdef".repeat(64 * 1024);
    site.write("big.txt", &content[..content.len() - 1000]);
    for device in [site.device(""), Device::new().with(&site.table(""))] {
        let server = Server::start(&device);
        let mut stream = server.connect();
        stream.write_all(b"GET /big.txt HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        // Its response is under way, and not read.
        assert_eq!(server.get("/healthz").body, "ok\n");
        let page = Response::parse(&exchange(stream, b""));
        assert_eq!(page.header("content-length"), Some("1047576"));
        assert_eq!(page.body, content[..content.len() - 1000]);
    }
}
