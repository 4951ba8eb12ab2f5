//! HTTP beside the calls: the pages, origins, and requests that are at fault.

use std::io::Write;

use crate::support::device::ADMIN;
use crate::support::http::{Response, exchange, form_request, login_form, session_of};
use crate::support::stream::Stream;
use crate::support::ws::{Socket, upgrade_request};
use crate::support::{Device, Server, process, wait::until};

#[test]
fn the_page_and_health_need_no_session() {
    for device in [Device::plain(), Device::new()] {
        let server = Server::start(&device);
        let page = server.get("/");
        assert_eq!(page.status, 200);
        assert!(page.header("content-type").is_some_and(|kind| kind.starts_with("text/html")), "{page:?}");
        assert!(!page.body.contains(env!("CARGO_PKG_VERSION")), "no version for strangers");
        assert_eq!((server.get("/healthz").status, server.get("/healthz").body.as_str()), (200, "ok\n"));
        let head = server.raw("HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert_eq!((head.status, head.body.as_str()), (200, ""));
        assert_eq!(server.get("/nothing").status, 404);
    }
}

/// Requests a file of the console as a browser does.
fn request_file(server: &Server, method: &str, path: &str, lines: &str) -> Response {
    server.raw(&format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n"))
}

#[test]
fn console_is_compressed_and_its_version_is_known() {
    const GZIP: &str = "Accept-Encoding: gzip, deflate, br\r\n";
    let server = Server::start(&Device::plain());
    for (path, media_type) in
        [("/", "text/html; charset=utf-8"), ("/console.css", "text/css"), ("/console.js", "text/javascript")]
    {
        let file = request_file(&server, "GET", path, GZIP);
        assert_eq!((file.status, file.header("content-encoding")), (200, Some("gzip")), "{path}");
        assert_eq!(file.header("content-type"), Some(media_type));
        assert_eq!(file.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(file.header("vary"), Some("accept-encoding"));
        assert_eq!(file.header("cache-control"), Some("no-cache"));
        let policy = file.header("content-security-policy").unwrap();
        assert!(
            policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{policy}"
        );
        assert!(!policy.contains("unsafe"), "{policy}");
        let length: usize = file.header("content-length").unwrap().parse().unwrap();
        assert!(length > 100 && !file.body.is_empty());

        let head = request_file(&server, "HEAD", path, GZIP);
        assert_eq!((head.head, head.body.as_str()), (file.head.clone(), ""));
        let tag = file.header("etag").unwrap();
        let known = request_file(&server, "GET", path, &format!("{GZIP}If-None-Match: W/{tag}\r\n"));
        assert_eq!((known.status, known.body.as_str(), known.header("etag")), (304, "", Some(tag)));
        let other = request_file(&server, "GET", path, &format!("{GZIP}If-None-Match: \"other\"\r\n"));
        assert_eq!(other.status, 200);
    }
    assert_eq!(request_file(&server, "POST", "/", GZIP).status, 405);
}

#[test]
fn client_without_gzip_gets_a_plain_page() {
    let server = Server::start(&Device::plain());
    for lines in ["", "Accept-Encoding: br\r\n", "Accept-Encoding: gzip;q=0, br\r\n"] {
        let page = request_file(&server, "GET", "/", lines);
        assert_eq!((page.status, page.header("content-encoding")), (200, None), "{lines}");
        assert!(page.body.contains("/system.library/login") && page.body.contains("gzip"), "{}", page.body);
        assert_eq!(request_file(&server, "GET", "/console.js", lines).status, 406);
    }
}

#[test]
fn malformed_requests_are_answered_with_a_reason() {
    let server = Server::start(&Device::plain());
    let long_path = format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "x".repeat(7000));
    let long_head = format!("GET / HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", "x".repeat(20_000));
    let many_fields = format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "X: y\r\n".repeat(60));
    let long_body = format!(
        "POST /system.library/login HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 100000\r\n\r\n{}",
        "x".repeat(100)
    );
    let cases = [
        ("nonsense\r\n\r\n", &[400][..]),
        ("GET / HTTP/3.0\r\nHost: h\r\n\r\n", &[400, 505]),
        ("DELETE / HTTP/1.1\r\nHost: h\r\n\r\n", &[405]),
        ("BREW /pot HTTP/1.1\r\nHost: h\r\n\r\n", &[405, 501]),
        ("GET / HTTP/1.1\r\n\r\n", &[400]),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", &[400]),
        ("GET / HTTP/1.1\r\nHost: a b/c\r\n\r\n", &[400]),
        ("GET http://elsewhere/ HTTP/1.1\r\nHost: h\r\n\r\n", &[403]),
        ("GET / HTTP/1.1\r\nHost: h\r\n Folded: x\r\n\r\n", &[400]),
        ("GET / HTTP/1.1\r\nHost : h\r\n\r\n", &[400]),
        (
            "POST /system.library/login HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nExpect: a miracle\r\n\r\n",
            &[417],
        ),
        (
            "POST /system.library/login HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            &[501],
        ),
        (
            "POST /system.library/login HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzero\r\n\r\n",
            &[400],
        ),
        (
            "POST /system.library/login HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            &[400],
        ),
        ("POST /system.library/login HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n", &[400]),
        (
            "POST /system.library/login HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
            &[400],
        ),
        (
            "POST /system.library/login HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
            &[415],
        ),
        (&long_path, &[414]),
        (&long_head, &[431]),
        (&many_fields, &[431]),
        (&long_body, &[413]),
    ];
    for (request, wanted) in cases {
        let answer = server.raw(request);
        let start = request.get(..60).unwrap_or(request);
        assert!(wanted.contains(&answer.status), "{start:?}: {answer:?}");
        assert_eq!(answer.header("connection"), Some("close"), "{start:?}");
        assert_eq!(answer.body.lines().count(), 1, "one line says why: {start:?}: {answer:?}");
    }
    assert_eq!(server.get("/healthz").status, 200);
}

#[test]
fn request_in_single_bytes_is_answered() {
    let server = Server::start(&Device::plain());
    let mut stream = Stream::plain(server.address());
    stream.socket().set_nodelay(true).unwrap();
    for byte in b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" {
        stream.write_all(&[*byte]).unwrap();
    }
    let answer = stream.read_to_end_within(crate::support::http::TIMEOUT);
    assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
}

#[test]
fn options_is_answered_on_every_path() {
    let server = Server::start(&Device::plain().listen("origins = [\"https://panel.example\"]\n"));
    for path in ["*", "/", "/fcws", "/nothing", "/system.library/login"] {
        let options = |lines: &str| server.raw(&format!("OPTIONS {path} HTTP/1.0\r\n{lines}\r\n"));
        let answer = options("");
        assert_eq!(
            (answer.status, answer.header("allow")),
            (200, Some(if path == "/" { "GET, HEAD, OPTIONS" } else { "GET, HEAD, POST, OPTIONS" })),
            "{path}"
        );
        assert_eq!(answer.header("access-control-allow-origin"), None, "{path}");
        let answer = options("Origin: https://panel.example\r\n");
        assert_eq!(answer.header("access-control-allow-origin"), Some("https://panel.example"), "{path}");
        assert_eq!(options("Origin: https://evil.example\r\n").status, 403, "{path}");
    }
}

#[test]
fn log_ins_of_foreign_pages_lock_nobody_out() {
    let server = Server::start(&Device::plain());
    let guess = form_request("/system.library/login", &login_form("fadmin", "wrong"));
    // Over plain text a name of anybody's may lead to the address of the server.
    let rebound = guess.replace("Host: localhost", "Host: evil.example\r\nOrigin: http://evil.example");
    for origin in ["Origin: https://evil.example", "Origin: null", "Sec-Fetch-Site: cross-site"] {
        let foreign = guess.replacen("\r\n", &format!("\r\n{origin}\r\n"), 1);
        for request in [&foreign, &rebound].into_iter().cycle().take(8) {
            let answer = server.raw(request);
            assert_eq!(
                (answer.status, answer.header("access-control-allow-origin")),
                (403, None),
                "{answer:?}"
            );
            assert!(answer.body.contains("may not connect") || answer.body.contains("connect only"));
        }
    }
    server.login("fadmin", "secret");
}

#[test]
fn refused_page_is_logged() {
    let server = Server::start(&Device::plain());
    let call = "GET /system.library/validate HTTP/1.1\r\nHost: h\r\nOrigin: https://evil.example\r\n\r\n";
    assert_eq!(server.raw(call).status, 403);
    until("the refusal is logged", || server.log().contains("request refused: "));
}

#[test]
fn body_is_asked_for_and_may_be_chunked() {
    for device in [Device::plain(), Device::new()] {
        let server = Server::start(&device);
        let mut stream = server.connect();
        let head = "POST /system.library/login HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n\
                    Transfer-Encoding: chunked\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = Vec::new();
        until("the body is asked for", || {
            let _ = stream.read_some(&mut answer, std::time::Duration::from_millis(100));
            answer == b"HTTP/1.1 100 Continue\r\n\r\n"
        });
        for piece in login_form("fadmin", "secret").as_bytes().chunks(5) {
            stream.write_all(format!("{:x}\r\n", piece.len()).as_bytes()).unwrap();
            stream.write_all(&[piece, b"\r\n"].concat()).unwrap();
        }
        let answer = Response::parse(&exchange(stream, b"0\r\n\r\n"));
        assert!(session_of(&answer.body).is_some(), "{answer:?}");
    }
}

#[test]
fn a_connection_that_ends_without_a_byte_is_closed_without_one() {
    for device in [Device::plain(), Device::new()] {
        let server = Server::start(&device);
        let idle = process::descriptors(server.pid());
        let mut stream = Stream::plain(server.address());
        stream.end_writing();
        assert_eq!(stream.read_to_end_within(crate::support::http::TIMEOUT), b"");
        until("it is closed", || process::descriptors(server.pid()) <= idle);
    }
}

#[test]
fn half_a_request_and_a_hang_up_is_a_400() {
    let server = Server::start(&Device::plain());
    let mut stream = Stream::plain(server.address());
    stream.write_all(b"GET / HTTP/1.1\r\nHo").unwrap();
    stream.end_writing();
    let answer = stream.read_to_end_within(crate::support::http::TIMEOUT);
    assert!(answer.starts_with(b"HTTP/1.1 400 "), "{:?}", String::from_utf8_lossy(&answer));
}

#[test]
fn pages_of_other_origins_do_not_open_the_socket() {
    for device in [Device::plain(), Device::new()] {
        let server = Server::start(&device.listen("origins = [\"https://panel.example\"]\n"));
        let scheme = if server.is_tls() { "https" } else { "http" };
        let own = format!("{scheme}://localhost:{}", server.address().port());
        let open = |host: &str, origin: &str| {
            let request = upgrade_request("/fcws", &format!("Origin: {origin}\r\n"));
            server_answer(&server, &request.replace("Host: localhost", &format!("Host: {host}")))
        };
        let host = own.split_once("://").unwrap().1;
        assert_eq!(open(host, &own), 101);
        assert_eq!(open(host, "https://panel.example"), 101);
        for foreign in
            ["https://evil.example", "null", "https://panel.example.evil.example", "http://panel.example"]
        {
            assert_eq!(open(host, foreign), 403, "{foreign}");
        }
    }
}

/// The status of the answer to an upgrade.
fn server_answer(server: &Server, request: &str) -> u16 {
    let mut stream = server.connect();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    while !answer.windows(4).any(|four| four == b"\r\n\r\n") {
        let received = stream.read_some(&mut answer, crate::support::http::TIMEOUT).unwrap();
        assert_eq!(received, crate::support::stream::ReadOutcome::Bytes);
    }
    Response::parse(&answer).status
}

#[test]
fn malformed_upgrade_is_refused() {
    let server = Server::start(&Device::plain());
    let good = upgrade_request("/", "");
    for (from, to, status) in [
        ("Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 8", 426),
        ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Key: short", 400),
        ("FC-protocol", "chat", 400),
        ("GET / ", "POST / ", 400),
    ] {
        let answer = server.raw(&good.replace(from, to));
        assert_eq!(answer.status, status, "{to}: {answer:?}");
    }
}

#[test]
fn any_path_opens_the_socket_and_pipelined_frames_are_read() {
    let server = Server::start(&Device::plain());
    for path in ["/", "/fcws", "/some/where?else=1"] {
        assert_eq!(server_answer(&server, &upgrade_request(path, "")), 101, "{path}");
    }
    // A client may send its first frame with the upgrade.
    let mut stream = server.connect();
    let mut bytes = upgrade_request("/", "").into_bytes();
    let con = format!(r#"{{"type":"con","data":{{"sessionId":"{ADMIN}"}}}}"#);
    bytes.extend(crate::support::ws::Frame::new(crate::support::ws::TEXT, con).bytes());
    stream.write_all(&bytes).unwrap();
    let mut answer = Vec::new();
    until("both are answered", || {
        let _ = stream.read_some(&mut answer, std::time::Duration::from_millis(100));
        String::from_utf8_lossy(&answer).contains("pong")
    });
}

#[test]
fn without_a_subprotocol_the_socket_opens_too() {
    let server = Server::start(&Device::plain());
    let request = upgrade_request("/", "").replace("Sec-WebSocket-Protocol: FC-protocol\r\n", "");
    assert_eq!(server_answer(&server, &request), 101);
    drop(Socket::open(server.connect()));
}
